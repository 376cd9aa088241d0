/* Allocations that fail, whoever makes them: our code, jansson, zlib, libhdf5, libc. For one test
 * program each, since it defines malloc, calloc and realloc; sanitizers let that be. What a fork makes fails
 * nothing.
 *
 * LLVM's allocations, the C++ library's for it among them, can be spared: see codegen/llvm/memory.c for what
 * happens when they fail. */
#ifndef KT_TESTS_FAILING_MEMORY_H
#define KT_TESTS_FAILING_MEMORY_H

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#ifdef KT_SANITIZE
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif
void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t count, size_t bytes);
void *REAL(realloc)(void *at, size_t bytes);

enum { MOST_SITES = 1 << 16, SITE_FRAMES = 12 };

typedef struct mapping {
    uintptr_t first, end;
} mapping;

static struct failing {
    bool counts;  /* allocations */
    bool notes;   /* where they are made */
    bool forever; /* all fail after the first that does */
    atomic_long count;
    long fail_at; /* 0: none fails */
    bool spares;  /* LLVM */
    mapping llvm, cxx, libc;
    /* Where allocations are made: a hash of the callers, and the number of the first from there. */
    uint64_t sites[MOST_SITES];
    long firsts[MOST_SITES];
    int site_count;
} failing;

struct callers {
    uint64_t hash;
    int depth;
};

static _Unwind_Reason_Code add_caller(struct _Unwind_Context *at, void *object) {
    struct callers *callers = object;
    callers->hash = (callers->hash ^ _Unwind_GetIP(at)) * 0xff51afd7ed558ccdU;
    return ++callers->depth < SITE_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void note_site(void) {
    struct callers callers = {.hash = 1};
    (void)_Unwind_Backtrace(add_caller, &callers);
    uint64_t place = (callers.hash >> 32) % MOST_SITES;
    while (failing.sites[place] && failing.sites[place] != callers.hash) place = (place + 1) % MOST_SITES;
    if (failing.sites[place] || failing.site_count >= MOST_SITES / 2) return;
    failing.sites[place] = callers.hash;
    failing.firsts[failing.site_count++] = failing.count;
}

static bool holds(mapping code, uintptr_t at) { return at >= code.first && at < code.end; }

static _Unwind_Reason_Code find_llvm(struct _Unwind_Context *at, void *found) {
    *(bool *)found = holds(failing.llvm, _Unwind_GetIP(at));
    return *(bool *)found ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* Is the code at caller LLVM's, the C++ library's, or libc's that LLVM called? */
static bool is_spared(uintptr_t caller) {
    bool found = false;
    if (holds(failing.llvm, caller) || holds(failing.cxx, caller)) return true;
    if (holds(failing.libc, caller)) (void)_Unwind_Backtrace(find_llvm, &found);
    return found;
}

static bool is_to_fail(void *caller) {
    if (!failing.counts || (failing.spares && is_spared((uintptr_t)caller))) return false;
    long number = atomic_fetch_add(&failing.count, 1) + 1;
    if (failing.notes) note_site();
    bool fails =
        number == failing.fail_at || (failing.forever && failing.fail_at && number > failing.fail_at);
    if (fails) errno = ENOMEM;
    return fails;
}

#define IS_TO_FAIL() is_to_fail(__builtin_return_address(0))
void *malloc(size_t bytes) { return IS_TO_FAIL() ? NULL : REAL(malloc)(bytes); }
void *calloc(size_t count, size_t bytes) { return IS_TO_FAIL() ? NULL : REAL(calloc)(count, bytes); }
void *realloc(void *at, size_t bytes) { return IS_TO_FAIL() ? NULL : REAL(realloc)(at, bytes); }

static int find_mappings(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    mapping *known = strstr(object->dlpi_name, "libLLVM")     ? &failing.llvm
                     : strstr(object->dlpi_name, "libstdc++") ? &failing.cxx
                     : strstr(object->dlpi_name, "/libc.so")  ? &failing.libc
                                                              : NULL;
    for (int i = 0; known && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        *known =
            (mapping){object->dlpi_addr + part->p_vaddr, object->dlpi_addr + part->p_vaddr + part->p_memsz};
    }
    return 0;
}

static inline void spare_llvm(void) {
    (void)dl_iterate_phdr(find_mappings, NULL);
    failing.spares = true;
}

static void stop_failing(void) { failing.counts = failing.notes = false; }

/* From now on the fail_at-th allocation fails; 0: none does, but where they are made is noted. */
static void start_failing(long fail_at, bool forever) {
    failing.count = 0;
    failing.fail_at = fail_at;
    failing.forever = forever;
    failing.notes = fail_at == 0;
    failing.counts = true;
}

#endif
