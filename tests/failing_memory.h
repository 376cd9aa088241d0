/* Allocations that fail, whoever makes them: our code, jansson, zlib, libhdf5, libc. For one test
 * program each, since it defines malloc, calloc and realloc; sanitizers let that be. What a fork makes fails
 * nothing. */
#ifndef KT_TESTS_FAILING_MEMORY_H
#define KT_TESTS_FAILING_MEMORY_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unwind.h>

#ifdef KT_SANITIZE
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif
void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t count, size_t bytes);
void *REAL(realloc)(void *at, size_t bytes);

enum { MOST_SITES = 1 << 14, SITE_FRAMES = 12 };

static struct failing {
    bool counts;         /* allocations */
    bool notes;          /* where they are made */
    bool forever;        /* all fail after the first that does */
    long count, fail_at; /* 0: none fails */
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

static bool is_to_fail(void) {
    if (!failing.counts) return false;
    failing.count++;
    if (failing.notes) note_site();
    bool fails = failing.count == failing.fail_at ||
                 (failing.forever && failing.fail_at && failing.count > failing.fail_at);
    if (fails) errno = ENOMEM;
    return fails;
}

void *malloc(size_t bytes) { return is_to_fail() ? NULL : REAL(malloc)(bytes); }
void *calloc(size_t count, size_t bytes) { return is_to_fail() ? NULL : REAL(calloc)(count, bytes); }
void *realloc(void *at, size_t bytes) { return is_to_fail() ? NULL : REAL(realloc)(at, bytes); }

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
