/* Arenas: memory that is freed whole, and what happens when there is none.
 *
 * Everything the compiler allocates lives in an arena. An allocation never returns NULL: when memory is
 * exhausted it leaves through the innermost kt_guarded call of the same thread, which returns
 * KT_OUT_OF_MEMORY. Nothing is lost on that way, because arenas are freed by whoever owns them, and foreign
 * objects (JSON, HDF5, LLVM) are registered with kt_arena_defer, so that they go when their arena goes. */
#ifndef KT_SUPPORT_ARENA_H
#define KT_SUPPORT_ARENA_H

#include "support/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kt_arena kt_arena;

/* The caller owns the arena; one thread at a time may use it. Creating one fails like an allocation. */
kt_arena *kt_arena_create(void);
void kt_arena_destroy(kt_arena *arena); /* NULL is allowed; deferred calls run in reverse order first */

/* Zeroed memory, aligned to 64 bytes if it is that large, else to 16. */
void *kt_arena_alloc(kt_arena *arena, size_t bytes);
void *kt_arena_copy(kt_arena *arena, const void *data, size_t bytes);
char *kt_arena_string(kt_arena *arena, const char *text);
char *kt_arena_format(kt_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *kt_arena_vformat(kt_arena *arena, const char *format, va_list arguments);
/* release(object) is called when the arena goes; at once where there is no memory to remember it. */
void kt_arena_defer(kt_arena *arena, void (*release)(void *object), void *object);

#define KT_NEW(arena, type)             ((type *)kt_arena_alloc((arena), sizeof(type)))
#define KT_NEW_ARRAY(arena, type, count) ((type *)kt_arena_array((arena), (size_t)(count), sizeof(type)))
void *kt_arena_array(kt_arena *arena, size_t count, size_t size); /* checks the product */

/* A growable array in an arena: struct { T *at; uint32_t count, capacity; }. */
#define KT_VECTOR(type) \
    struct { \
        type *at; \
        uint32_t count, capacity; \
    }
#define KT_PUSH(arena, vector, item) \
    (*(kt_vector_reserve((arena), (void **)&(vector)->at, (vector)->count, &(vector)->capacity, \
                         sizeof *(vector)->at), \
       &(vector)->at[(vector)->count++]) = (item))
void kt_vector_reserve(kt_arena *arena, void **at, uint32_t count, uint32_t *capacity, size_t size);

/* Runs body(context); if any arena allocation inside fails, returns KT_OUT_OF_MEMORY and records a sentence
 * in diag. Guards nest. Every public function of the compiler that allocates is entered through one. */
kt_status kt_guarded(kt_status (*body)(void *context), void *context, kt_diag *diag);
/* Leaves through the innermost kt_guarded of this thread, which there must be. */
_Noreturn void kt_out_of_memory(void);
bool kt_is_guarded(void);

/* For tests: from now on, the countdown-th allocation of this thread fails (0: none does). */
void kt_arena_fail_after(uint64_t countdown);
/* For tests, before there is another thread: whether small allocations share blocks, or each is one of malloc's. */
void kt_arena_share_blocks(bool share);

#endif
