/* How functions fail: a must-use kt_status, and sentences in a kt_diag.
 *
 * Two kinds of failure are kept apart. What the user gave is wrong: the function records whole sentences in
 * its kt_diag and returns a status other than KT_OK; on success the kt_diag is untouched. What this code
 * believes is wrong: KT_BUG, which prints where and aborts. */
#ifndef KT_SUPPORT_STATUS_H
#define KT_SUPPORT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#define KT_MUST_USE __attribute__((warn_unused_result))

typedef enum kt_status {
    KT_OK = 0,
    KT_INVALID,       /* the input is wrong */
    KT_UNSUPPORTED,   /* the input is right, but this version cannot do it */
    KT_IO,            /* a file could not be read or written */
    KT_OUT_OF_MEMORY, /* see support/arena.h */
} kt_status;

typedef struct kt_problem {
    kt_status status;
    const char *file;  /* or NULL */
    const char *where; /* layer path, "line 3", or NULL */
    const char *text;  /* a whole sentence: what is wrong, and what to do */
} kt_problem;

/* A list of problems. Storage is the caller's: kt_diag d = {0}; ... kt_diag_deinit(&d); */
typedef struct kt_diag {
    const char *file; /* recorded with each problem that is added from now on */
    kt_problem *problems;
    uint32_t count, capacity;
} kt_diag;

/* Adds a problem and returns status, so that a function can `return kt_diag_add(...)`. Never fails itself: a
 * problem for which there is no memory is dropped, or is "Memory is exhausted." if it is the first. where may be NULL. */
kt_status kt_diag_add(kt_diag *diag, kt_status status, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void kt_diag_deinit(kt_diag *diag);

/* An invariant of this code is broken. Never for bad input. */
#define KT_BUG(...) kt_bug(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void kt_bug(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define KT_ASSERT(condition) \
    do { \
        if (!(condition)) KT_BUG("violated: %s", #condition); \
    } while (0)

#define KT_TRY(expression) \
    do { \
        kt_status kt_try_status_ = (expression); \
        if (kt_try_status_ != KT_OK) return kt_try_status_; \
    } while (0)

#endif
