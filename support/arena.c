/* An arena is a list of zeroed blocks that are handed out from front to back and freed together. Small
 * allocations share blocks; one that would waste much of a block gets its own. */
#include "support/arena.h"

#include "runtime/room.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer every allocation is a block of its own, so that an overrun of it is seen; but the
 * preset `hostile` goes through the sharing of blocks. */
#if defined(__SANITIZE_ADDRESS__)
#define USUAL_BLOCK_BYTES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define USUAL_BLOCK_BYTES 0
#endif
#endif
#ifndef USUAL_BLOCK_BYTES
#define USUAL_BLOCK_BYTES (1 << 16)
#endif
enum { BLOCK_BYTES = KT_ROOM(USUAL_BLOCK_BYTES, 256) };

struct block {
    struct block *next;
};

struct deferred {
    void (*release)(void *object);
    void *object;
    struct deferred *next;
};

struct kt_arena {
    struct block *blocks;
    struct deferred *deferred;
    uintptr_t at, end; /* the unused rest of the shared block */
};

struct guard {
    jmp_buf leave;
    struct guard *outer;
};

/* Where this thread goes when memory is exhausted. */
static _Thread_local struct guard *innermost;
static _Thread_local uint64_t countdown;
static bool shares = true;

bool kt_is_guarded(void) { return innermost != NULL; }

_Noreturn void kt_out_of_memory(void) {
    if (!innermost) KT_BUG("memory is exhausted outside kt_guarded");
    longjmp(innermost->leave, 1);
}

kt_status kt_guarded(kt_status (*body)(void *context), void *context, kt_diag *diag) {
    struct guard guard = {.outer = innermost};
    kt_status status = KT_OUT_OF_MEMORY;
    if (setjmp(guard.leave) == 0) {
        innermost = &guard;
        status = body(context);
        innermost = guard.outer;
        return status;
    }
    innermost = guard.outer;
    return kt_diag_add(diag, KT_OUT_OF_MEMORY, NULL, "Memory is exhausted.");
}

/* One allocation less until the one that is to fail. */
static void count_down(void) {
    if (countdown == 0) return;
    countdown--;
    if (countdown == 0) kt_out_of_memory();
}

void kt_arena_fail_after(uint64_t allocations) { countdown = allocations; }
void kt_arena_share_blocks(bool share) { shares = share; }

static void *zeroed(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory) kt_out_of_memory();
    return memory;
}

kt_arena *kt_arena_create(void) {
    count_down();
    return zeroed(sizeof(kt_arena));
}

void kt_arena_destroy(kt_arena *arena) {
    if (!arena) return;
    for (struct deferred *d = arena->deferred; d; d = d->next) d->release(d->object);
    for (struct block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

static uintptr_t align_up(uintptr_t address, uintptr_t alignment) {
    return (address + alignment - 1) & ~(alignment - 1);
}

static uintptr_t add_block(kt_arena *arena, size_t bytes) {
    struct block *block = zeroed(sizeof *block + bytes);
    block->next = arena->blocks;
    arena->blocks = block;
    return (uintptr_t)(block + 1);
}

void *kt_arena_alloc(kt_arena *arena, size_t bytes) {
    count_down();
    if (bytes > PTRDIFF_MAX - BLOCK_BYTES) kt_out_of_memory();
    if (bytes == 0) bytes = 1;
    size_t alignment = bytes >= 64 ? 64 : 16;
    uintptr_t start = align_up(arena->at, alignment);
    if (arena->at == 0 || start > arena->end || arena->end - start < bytes) {
        if (bytes >= BLOCK_BYTES / 4 || !shares)
            return (void *)align_up(add_block(arena, bytes + alignment), alignment);
        arena->at = add_block(arena, BLOCK_BYTES);
        arena->end = arena->at + BLOCK_BYTES;
        start = align_up(arena->at, alignment);
    }
    arena->at = start + bytes;
    return (void *)start;
}

void *kt_arena_array(kt_arena *arena, size_t count, size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) kt_out_of_memory();
    return kt_arena_alloc(arena, bytes);
}

void *kt_arena_copy(kt_arena *arena, const void *data, size_t bytes) {
    void *copy = kt_arena_alloc(arena, bytes);
    if (bytes) memcpy(copy, data, bytes);
    return copy;
}

char *kt_arena_string(kt_arena *arena, const char *text) {
    return kt_arena_copy(arena, text, strlen(text) + 1);
}

char *kt_arena_format(kt_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = kt_arena_vformat(arena, format, arguments);
    va_end(arguments);
    return text;
}

char *kt_arena_vformat(kt_arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    KT_ASSERT(length >= 0);
    char *text = kt_arena_alloc(arena, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

void kt_arena_defer(kt_arena *arena, void (*release)(void *object), void *object) {
    struct guard guard = {.outer = innermost};
    if (setjmp(guard.leave) != 0) {
        innermost = guard.outer;
        release(object);
        kt_out_of_memory();
    }
    innermost = &guard;
    struct deferred *deferred = KT_NEW(arena, struct deferred);
    innermost = guard.outer;
    *deferred = (struct deferred){release, object, arena->deferred};
    arena->deferred = deferred;
}

void kt_vector_reserve(kt_arena *arena, void **at, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return;
    if (*capacity > UINT32_MAX / 2) kt_out_of_memory();
    uint32_t larger = *capacity ? 2 * *capacity : KT_ROOM(8, 1);
    void *moved = kt_arena_array(arena, larger, size);
    if (count) memcpy(moved, *at, count * size);
    *at = moved;
    *capacity = larger;
}
