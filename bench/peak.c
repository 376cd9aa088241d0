/* What the machine could do at most: a line of JSON with multiply-adds and reads of each number of bytes.
 *
 *   bench_peak [--avx2] CPUS [BYTES ...]     CPUS: how many threads, each on a processor of its own from 0 on
 *
 * {"flops": per second, of all threads together, "read": [bytes per second for each of BYTES]}. The reads go
 * over a buffer of BYTES in all again and again, each thread over its share; the best of many runs counts. */
#include "limits.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 256, RUNS = 40, FLOPS_TURNS = 40000, READ_BYTES = 1 << 23 };

typedef struct {
    int cpu;
    const char *data; /* NULL: multiply-adds */
    size_t bytes;
    bool wide;
    pthread_barrier_t *barrier;
    double best; /* seconds of a run, of the first thread */
} work;

static void *run(void *argument) {
    work *w = argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    for (int i = 0; i < RUNS; i++) {
        pthread_barrier_wait(w->barrier);
        double start = limits_seconds();
        if (!w->data)
            limits_multiply(w->wide, FLOPS_TURNS);
        else
            for (size_t done = 0; done < READ_BYTES; done += w->bytes)
                limits_read(w->wide, w->data, w->bytes);
        pthread_barrier_wait(w->barrier);
        double took = limits_seconds() - start;
        if (i == 0 || took < w->best) w->best = took;
    }
    return NULL;
}

/* The seconds of the fastest run of all threads side by side. */
static double fastest(int threads, bool wide, const char *data, size_t bytes_each) {
    pthread_t handles[MAX_THREADS];
    work works[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        works[i] = (work){i, data ? data + (size_t)i * bytes_each : NULL, bytes_each, wide, &barrier, 0};
        if (pthread_create(&handles[i], NULL, run, &works[i])) exit(1);
    }
    for (int i = 0; i < threads; i++) pthread_join(handles[i], NULL);
    pthread_barrier_destroy(&barrier);
    return works[0].best;
}

int main(int argc, char **argv) {
    bool narrow = argc > 1 && strcmp(argv[1], "--avx2") == 0, wide = !narrow && limits_wide();
    argc -= narrow, argv += narrow;
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: bench_peak [--avx2] CPUS [BYTES ...]\n");
        return 2;
    }
    printf("{\"flops\": %.4g, \"read\": [",
           threads * limits_operations(wide) * FLOPS_TURNS / fastest(threads, wide, NULL, 0));
    for (int i = 2; i < argc; i++) {
        size_t each = ((size_t)atoll(argv[i]) / (size_t)threads + 255) / 256 * 256;
        char *data = aligned_alloc(256, each * (size_t)threads);
        if (!data) return 1;
        memset(data, 1, each * (size_t)threads);
        size_t runs = (READ_BYTES + each - 1) / each;
        printf("%s%.4g", i > 2 ? ", " : "",
               (double)(runs * each * (size_t)threads) / fastest(threads, wide, data, each));
        free(data);
    }
    printf("]}\n");
    return 0;
}
