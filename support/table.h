/* A hash table from byte strings to 32-bit numbers, in an arena. Zero-initialised it is empty. */
#ifndef KT_SUPPORT_TABLE_H
#define KT_SUPPORT_TABLE_H

#include "support/arena.h"

typedef struct kt_table {
    struct kt_table_slot *slots;
    uint32_t count, capacity;
} kt_table;

/* Where the value of key is, or NULL. */
uint32_t *kt_table_find(const kt_table *table, const void *key, size_t bytes);
/* Where the value of key is; a new key is copied and gets value. */
uint32_t *kt_table_add(kt_table *table, kt_arena *arena, const void *key, size_t bytes, uint32_t value);

uint64_t kt_hash_bytes(const void *bytes, size_t count, uint64_t seed);

#endif
