/* Open addressing with linear probing; at most three quarters of the slots are taken. */
#include "support/table.h"

#include "runtime/room.h"

#include <string.h>

struct kt_table_slot {
    const void *key; /* NULL: free */
    size_t bytes;
    uint64_t hash;
    uint32_t value;
};

uint64_t kt_hash_bytes(const void *bytes, size_t count, uint64_t seed) {
    const uint8_t *at = bytes;
    uint64_t hash = seed ^ (count * 0x9e3779b97f4a7c15u);
    while (count) {
        size_t taken = count < 8 ? count : 8;
        uint64_t word = 0;
        for (size_t i = 0; i < taken; i++) word |= (uint64_t)at[i] << (8 * i);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
        at += taken;
        count -= taken;
    }
    hash *= 0xc4ceb9fe1a85ec53u;
    return hash ^ (hash >> 29);
}

/* The slot of key, or the free one where it would go. The table is not empty. */
static struct kt_table_slot *probe(const kt_table *table, const void *key, size_t bytes, uint64_t hash) {
    for (uint32_t i = (uint32_t)hash;; i++) {
        struct kt_table_slot *slot = &table->slots[i & (table->capacity - 1)];
        if (!slot->key) return slot;
        if (slot->hash == hash && slot->bytes == bytes && memcmp(slot->key, key, bytes) == 0) return slot;
    }
}

uint32_t *kt_table_find(const kt_table *table, const void *key, size_t bytes) {
    if (table->capacity == 0) return NULL;
    struct kt_table_slot *slot = probe(table, key, bytes, kt_hash_bytes(key, bytes, 0));
    return slot->key ? &slot->value : NULL;
}

static void grow(kt_table *table, kt_arena *arena) {
    kt_table larger = {.count = table->count,
                       .capacity = table->capacity ? 2 * table->capacity : KT_ROOM(16, 4)};
    larger.slots = KT_NEW_ARRAY(arena, struct kt_table_slot, larger.capacity);
    for (uint32_t i = 0; i < table->capacity; i++) {
        const struct kt_table_slot *slot = &table->slots[i];
        if (slot->key) *probe(&larger, slot->key, slot->bytes, slot->hash) = *slot;
    }
    *table = larger;
}

uint32_t *kt_table_add(kt_table *table, kt_arena *arena, const void *key, size_t bytes, uint32_t value) {
    if (table->count >= table->capacity / 4 * 3) grow(table, arena);
    uint64_t hash = kt_hash_bytes(key, bytes, 0);
    struct kt_table_slot *slot = probe(table, key, bytes, hash);
    if (!slot->key) {
        *slot = (struct kt_table_slot){kt_arena_copy(arena, key, bytes), bytes, hash, value};
        table->count++;
    }
    return &slot->value;
}
