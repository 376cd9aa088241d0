/* What this machine can do at most, to hold against what was measured: multiply-adds and reads in vectors of 32 or 64 bytes. */
#ifndef KT_BENCH_LIMITS_H
#define KT_BENCH_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#if !defined(__x86_64__)
#error "bench/limits.h knows x86-64 only"
#endif

/* Independent chains of multiply-adds; their number covers two units of a latency of four and more. */
enum { LIMITS_CHAINS = 24 };

static double limits_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline bool limits_wide(void) { return __builtin_cpu_supports("avx512f"); }

__attribute__((target("avx512f"))) static void limits_multiply_512(int turns) {
    typedef float lanes __attribute__((vector_size(64)));
    lanes sums[LIMITS_CHAINS] = {{0}}, x = {0}, y = {0};
    for (int turn = 0; turn < turns; turn++) {
#pragma GCC unroll 24
        for (int i = 0; i < LIMITS_CHAINS; i++)
            __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(sums[i]) : "v"(x), "v"(y));
    }
}

__attribute__((target("avx2,fma"))) static void limits_multiply_256(int turns) {
    typedef float lanes __attribute__((vector_size(32)));
    lanes sums[LIMITS_CHAINS / 2] = {{0}}, x = {0}, y = {0};
    for (int turn = 0; turn < turns * 2; turn++) {
#pragma GCC unroll 12
        for (int i = 0; i < LIMITS_CHAINS / 2; i++)
            __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sums[i]) : "x"(x), "x"(y));
    }
}

static void limits_multiply(bool wide, int turns) {
    (wide ? limits_multiply_512 : limits_multiply_256)(turns);
}

/* Operations of a turn, two a multiply-add. */
static double limits_operations(bool wide) { return 2.0 * LIMITS_CHAINS * (wide ? 16 : 8); }

/* Prefetches, since the streams that the processor itself finds are slower from the last cache. */
__attribute__((target("avx512f"))) static void limits_read_512(const char *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 128)
        __asm__ volatile("vmovups (%0), %%zmm0\n\tvmovups 64(%0), %%zmm1\n\t"
                         "prefetcht0 1024(%0)\n\tprefetcht0 1088(%0)" ::"r"(data + i)
                         : "xmm0", "xmm1", "memory");
}

__attribute__((target("avx"))) static void limits_read_256(const char *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 128)
        __asm__ volatile("vmovups (%0), %%ymm0\n\tvmovups 32(%0), %%ymm1\n\t"
                         "vmovups 64(%0), %%ymm2\n\tvmovups 96(%0), %%ymm3\n\t"
                         "prefetcht0 1024(%0)\n\tprefetcht0 1088(%0)" ::"r"(data + i)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
}

/* Reads up to the next 128 bytes. */
static void limits_read(bool wide, const char *data, size_t bytes) {
    (wide ? limits_read_512 : limits_read_256)(data, bytes);
}

#endif
