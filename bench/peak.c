/* What the machine could do at most: a line of JSON with multiply-adds and reads of each number of bytes.
 *
 *   bench_peak CPUS [BYTES ...]     CPUS: how many threads, each on a processor of its own from 0 on
 *
 * {"flops": per second, of all threads together, "read": [bytes per second for each of BYTES]}. The reads go
 * over a buffer of BYTES in all again and again, each thread over its share; the best of many runs counts. */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 24, MAX_THREADS = 256, RUNS = 40, FLOPS_TURNS = 40000, READ_BYTES = 1 << 23 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

typedef struct {
    int cpu;
    const char *data; /* NULL: multiply-adds */
    size_t bytes;
    pthread_barrier_t *barrier;
    double best; /* seconds of a run, of the first thread */
} work;

#if defined(__x86_64__)
/* Independent chains of multiply-adds; their number covers two units of a latency of four and more. */
__attribute__((target("avx512f"))) static void multiply_512(void) {
    typedef float lanes __attribute__((vector_size(64)));
    lanes sums[CHAINS] = {{0}}, x = {0}, y = {0};
    for (int turn = 0; turn < FLOPS_TURNS; turn++) {
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++)
            __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(sums[i]) : "v"(x), "v"(y));
    }
}

__attribute__((target("avx2,fma"))) static void multiply_256(void) {
    typedef float lanes __attribute__((vector_size(32)));
    lanes sums[CHAINS / 2] = {{0}}, x = {0}, y = {0};
    for (int turn = 0; turn < FLOPS_TURNS * 2; turn++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS / 2; i++)
            __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sums[i]) : "x"(x), "x"(y));
    }
}

__attribute__((target("avx512f"))) static void read_512(const char *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 256)
        __asm__ volatile("vmovups (%0), %%zmm0\n\tvmovups 64(%0), %%zmm1\n\t"
                         "vmovups 128(%0), %%zmm2\n\tvmovups 192(%0), %%zmm3" ::"r"(data + i)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
}

__attribute__((target("avx"))) static void read_256(const char *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 128)
        __asm__ volatile("vmovups (%0), %%ymm0\n\tvmovups 32(%0), %%ymm1\n\t"
                         "vmovups 64(%0), %%ymm2\n\tvmovups 96(%0), %%ymm3" ::"r"(data + i)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
}

static bool wide(void) { return __builtin_cpu_supports("avx512f"); }
static void multiply(void) { wide() ? multiply_512() : multiply_256(); }
static double lanes_per_turn(void) { return wide() ? CHAINS * 16.0 : CHAINS * 8.0; }
static void read_all(const char *data, size_t bytes) {
    wide() ? read_512(data, bytes) : read_256(data, bytes);
}
#else
#error "bench_peak knows x86-64 only"
#endif

static void *run(void *argument) {
    work *w = argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    for (int i = 0; i < RUNS; i++) {
        pthread_barrier_wait(w->barrier);
        double start = seconds();
        if (!w->data)
            multiply();
        else
            for (size_t done = 0; done < READ_BYTES; done += w->bytes) read_all(w->data, w->bytes);
        pthread_barrier_wait(w->barrier);
        double took = seconds() - start;
        if (i == 0 || took < w->best) w->best = took;
    }
    return NULL;
}

/* The seconds of the fastest run of all threads side by side. */
static double fastest(int threads, const char *data, size_t bytes_each) {
    pthread_t handles[MAX_THREADS];
    work works[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        works[i] = (work){i, data ? data + (size_t)i * bytes_each : NULL, bytes_each, &barrier, 0};
        if (pthread_create(&handles[i], NULL, run, &works[i])) exit(1);
    }
    for (int i = 0; i < threads; i++) pthread_join(handles[i], NULL);
    pthread_barrier_destroy(&barrier);
    return works[0].best;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: bench_peak CPUS [BYTES ...]\n");
        return 2;
    }
    printf("{\"flops\": %.4g, \"read\": [",
           threads * 2 * lanes_per_turn() * FLOPS_TURNS / fastest(threads, NULL, 0));
    for (int i = 2; i < argc; i++) {
        size_t each = ((size_t)atoll(argv[i]) / (size_t)threads + 255) / 256 * 256;
        char *data = aligned_alloc(256, each * (size_t)threads);
        if (!data) return 1;
        memset(data, 1, each * (size_t)threads);
        size_t runs = (READ_BYTES + each - 1) / each;
        printf("%s%.4g", i > 2 ? ", " : "",
               (double)(runs * each * (size_t)threads) / fastest(threads, data, each));
        free(data);
    }
    printf("]}\n");
    return 0;
}
