/* A pool of threads that spin briefly for the next step, then sleep.
 *
 * One 64-bit word, the ticket, holds the number of the present job and how many of its parts are still to be
 * handed out. Whoever lowers it, worker or caller, has got a part. The job's fields are written before the
 * ticket and stay as they are until all its parts are done, so what a thread has read of them is right if its
 * compare-and-swap of the ticket succeeds. The first part is always the caller's, so that of two threads each
 * gets the same part of every job, and finds in its cache what it wrote there. Then the caller takes others
 * too, and all of them if no worker wakes in time: nothing ever waits for a thread that sleeps. Workers start
 * with the first job of several parts.
 *
 * How much it costs to share a job out differs by more than their distance tells: cores of one cache hand
 * lines over several times as fast as others. So a pool finds it out, once, by jobs of two parts that each
 * write what the other wrote in the job before. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum {
    SPINS = 8000, /* some ten to some hundred microseconds: as long as a step that is not shared */
    STACK_BYTES =
        4 << 20, /* of a worker: kernels have scratch memory there, and not all C libraries give so much */
    MOVED_LINES = KT_HANDED_BYTES / 64,
    ROUNDS = 4, /* of a try */
    TRIES = 16,
    LOOKS = 64,            /* at what a worker has begun, before one at the clock */
    LONGEST = 1000000,     /* nanoseconds that tries may take */
    HANDING_MOST = 50000,  /* where it took longer, a thread had lost its core */
    HANDING_UNKNOWN = 1000 /* there, and where no worker came in time */
};

struct kt_pool {
    _Atomic uint64_t ticket;  /* job number << 32 | parts to hand out */
    _Atomic int64_t finished; /* of those that were handed out */
    _Atomic(kt_kernel_fn *) kernel;
    _Atomic(void *const *) args;
    _Atomic(const int64_t *) symbols;
    _Atomic int64_t parts;

    pthread_mutex_t mutex; /* for sleeping only */
    pthread_cond_t work, done;
    _Atomic int sleeping;
    _Atomic bool caller_sleeps, stop;

    int threads, started;
    double handing; /* 0: not known yet */
    pthread_t workers[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool has_parts(uint64_t ticket) { return (uint32_t)ticket != 0; }

/* Runs one part of the present job; false if none is left. */
static bool run_part(kt_pool *pool) {
    uint64_t ticket = atomic_load(&pool->ticket);
    while (has_parts(ticket)) {
        kt_kernel_fn *kernel = atomic_load_explicit(&pool->kernel, memory_order_relaxed);
        void *const *args = atomic_load_explicit(&pool->args, memory_order_relaxed);
        const int64_t *symbols = atomic_load_explicit(&pool->symbols, memory_order_relaxed);
        int64_t parts = atomic_load_explicit(&pool->parts, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) continue;
        kernel(args, symbols, parts - (uint32_t)ticket, parts);
        if (atomic_fetch_add(&pool->finished, 1) + 1 == parts - 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
        return true;
    }
    return false;
}

/* Also returns when it has slept, whatever there is: the job that woke it may be over by then, and the next
 * is to find it spinning. */
static void wait_for_work(kt_pool *pool) {
    for (int i = 0; i < SPINS; i++) {
        if (has_parts(atomic_load(&pool->ticket)) || atomic_load(&pool->stop)) return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleeping, 1);
    if (!has_parts(atomic_load(&pool->ticket)) && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->work, &pool->mutex);
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker(void *argument) {
    kt_pool *pool = argument;
    while (!atomic_load(&pool->stop)) {
        if (!run_part(pool)) wait_for_work(pool);
    }
    return NULL;
}

static void wake_workers(kt_pool *pool) {
    if (atomic_load(&pool->sleeping) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_parts(kt_pool *pool, int64_t parts) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->finished) == parts) return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->finished) != parts) pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

/* With fewer threads than wished for the results are the same. */
static void start_workers(kt_pool *pool) {
    pthread_attr_t attributes;
    bool fits = pthread_attr_init(&attributes) == 0;
    if (fits && pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0)
        while (pool->started < pool->threads - 1 &&
               pthread_create(&pool->workers[pool->started], &attributes, worker, pool) == 0)
            pool->started++;
    if (fits) pthread_attr_destroy(&attributes);
    pool->threads = pool->started + 1;
}

kt_pool *kt_pool_create(int threads) {
    if (threads < 1) return NULL;
    size_t workers = (size_t)threads - 1;
    kt_pool *pool = calloc(1, sizeof *pool + workers * sizeof(pthread_t));
    if (!pool) return NULL;
    pool->threads = threads;
    if (pthread_mutex_init(&pool->mutex, NULL) != 0) goto no_mutex;
    if (pthread_cond_init(&pool->work, NULL) != 0) goto no_work;
    if (pthread_cond_init(&pool->done, NULL) != 0) goto no_done;
    return pool;
no_done:
    pthread_cond_destroy(&pool->work);
no_work:
    pthread_mutex_destroy(&pool->mutex);
no_mutex:
    free(pool);
    return NULL;
}

void kt_pool_destroy(kt_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stop, true);
    wake_workers(pool);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

int kt_pool_threads(const kt_pool *pool) { return pool->threads; }

void kt_pool_run(kt_pool *pool, kt_kernel_fn *kernel, void *const *args, const int64_t *symbols,
                 int64_t parts) {
    if (parts <= 1 || pool->threads == 1 || parts > UINT32_MAX) {
        for (int64_t part = 0; part < parts; part++) kernel(args, symbols, part, parts);
        return;
    }
    if (pool->started < pool->threads - 1) start_workers(pool);
    atomic_store_explicit(&pool->kernel, kernel, memory_order_relaxed);
    atomic_store_explicit(&pool->args, args, memory_order_relaxed);
    atomic_store_explicit(&pool->symbols, symbols, memory_order_relaxed);
    atomic_store_explicit(&pool->parts, parts, memory_order_relaxed);
    atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
    uint64_t job = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->ticket, job << 32 | (uint64_t)(parts - 1));
    wake_workers(pool);
    kernel(args, symbols, 0, parts);
    while (run_part(pool)) {}
    wait_for_parts(pool, parts - 1);
}

/* ---- what sharing costs ---------------------------------------------------------------------- */
typedef struct exchange {
    _Alignas(64) char lines[2][MOVED_LINES][64];
    _Alignas(64) _Atomic int64_t begun; /* turns whose second part a worker has */
    double end;                         /* until when the caller waits for one */
    bool missed;                        /* none came */
} exchange;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The first part does not end before the second has begun, which else the caller would take, too. */
static void write_lines(void *const *args, const int64_t *turn, int64_t part, int64_t parts) {
    exchange *e = args[0];
    if (part > 0) atomic_store(&e->begun, *turn + 1);
    for (int i = 0; i < MOVED_LINES; i++) e->lines[(part + *turn) % parts][i][0]++;
    for (int i = 1; part == 0 && !e->missed && atomic_load(&e->begun) <= *turn; i++) {
        relax();
        e->missed = i % LOOKS == 0 && now() >= e->end;
    }
}

/* Nanoseconds of a job in which two threads exchange their lines. */
static double try_exchange(kt_pool *pool, exchange *e) {
    void *const args[] = {e};
    atomic_store(&e->begun, 0);
    double begin = now();
    for (int64_t turn = 0; turn < ROUNDS; turn++) kt_pool_run(pool, write_lines, args, &turn, 2);
    return (now() - begin) / ROUNDS;
}

double kt_pool_handing(kt_pool *pool) {
    if (pool->handing > 0) return pool->handing;
    if (pool->started < pool->threads - 1) start_workers(pool); /* which takes longer, the more there are */
    exchange e = {.end = now() + LONGEST};
    double least = HANDING_MOST;
    for (int tries = 0; tries < TRIES && !e.missed; tries++) {
        double time = try_exchange(pool, &e);
        if (!e.missed && time < least) least = time;
    }
    pool->handing = least < HANDING_MOST ? least : HANDING_UNKNOWN;
    return pool->handing;
}
