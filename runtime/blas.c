/* Products of matrices by OpenBLAS, which generated code calls where it was compiled with
 * --contractions=openblas. No other part of the runtime refers to this one, so that only such programs link
 * it, and OpenBLAS with it.
 *
 * OpenBLAS reads its environment when it is loaded, and starts threads of its own; the runtime has its pool
 * already, so it is told to use one. It is also told which kernels to use, because versions that are older
 * than the CPU choose slow ones for want of knowing better (0.3.21 takes SSE3 for AVX-512). For that, the
 * constructor here comes before those without a priority, makes OpenBLAS start at once, and puts the
 * environment back. */
#include "runtime/runtime.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* As in cblas.h; repeated, so that this builds where OpenBLAS is not installed. */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
void cblas_sgemm(int order, int trans_a, int trans_b, int rows, int columns, int depth, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
void cblas_dgemm(int order, int trans_a, int trans_b, int rows, int columns, int depth, double alpha,
                 const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);
void cblas_sgemv(int order, int trans, int rows, int columns, float alpha, const float *a, int lda,
                 const float *x, int step_x, float beta, float *y, int step_y);
void cblas_dgemv(int order, int trans, int rows, int columns, double alpha, const double *a, int lda,
                 const double *x, int step_x, double beta, double *y, int step_y);
void gotoblas_init(void); /* OpenBLAS's own constructor; a second call does nothing */

static const char *core_type(void) {
    enum {
        AVX2 = KT_CPU_AVX2 | KT_CPU_FMA,
        AVX512 =
            AVX2 | KT_CPU_AVX512F | KT_CPU_AVX512BW | KT_CPU_AVX512DQ | KT_CPU_AVX512VL | KT_CPU_AVX512CD,
    };
    uint64_t features = kt_cpu_features();
    if ((features & AVX512) == AVX512) return "SkylakeX";
    if ((features & AVX2) == AVX2) return "Haswell";
    return NULL;
}

/* 101 is the first priority that is not kept for the compiler. */
__attribute__((constructor(101))) static void start_openblas(void) {
    static const char core[] = "OPENBLAS_CORETYPE", threads[] = "OPENBLAS_NUM_THREADS";
    const char *wanted = getenv(core) ? NULL : core_type();
    const char *kept = getenv(threads);
    char *before = kept ? strdup(kept) : NULL;
    if (wanted) (void)setenv(core, wanted, 1);
    (void)setenv(threads, "1", 1);
    gotoblas_init();
    if (wanted) (void)unsetenv(core);
    if (before)
        (void)setenv(threads, before, 1);
    else
        (void)unsetenv(threads);
    free(before);
}

static bool fits(int64_t size) { return size >= 1 && size <= INT_MAX; }

/* C[rows, columns] = A[rows, depth] * B[depth, columns], or C += that where before is not 0. Strides in
 * elements: from row to row and from column to column of A, one of which is 1; from row to row of B and of C,
 * whose columns are adjacent. Sizes that OpenBLAS's integers do not hold, or strides that it refuses, go by
 * plain loops. */
#define DEFINE_PRODUCT(name, type, gemm, gemv)                                                               \
    void name(const type *a, const type *b, type *c, int64_t rows, int64_t columns, int64_t depth,           \
              int64_t a_row, int64_t a_depth, int64_t b_depth, int64_t c_row, int64_t before);               \
    void name(const type *a, const type *b, type *c, int64_t rows, int64_t columns, int64_t depth,           \
              int64_t a_row, int64_t a_depth, int64_t b_depth, int64_t c_row, int64_t before) {              \
        type beta = before ? 1 : 0;                                                                          \
        bool across = a_depth == 1;                                                                          \
        int64_t lda = across ? a_row : a_depth;                                                              \
        if (rows <= 0 || columns <= 0) return;                                                               \
        if (fits(rows) && fits(columns) && fits(depth) && fits(lda) && fits(b_depth) && fits(c_row) &&       \
            lda >= (across ? depth : rows) && b_depth >= columns && c_row >= columns) {                      \
            if (rows == 1 && across)                                                                         \
                gemv(ROW_MAJOR, TRANSPOSE, (int)depth, (int)columns, 1, b, (int)b_depth, a, 1, beta, c, 1);  \
            else                                                                                             \
                gemm(ROW_MAJOR, across ? NO_TRANSPOSE : TRANSPOSE, NO_TRANSPOSE, (int)rows, (int)columns,    \
                     (int)depth, 1, a, (int)lda, b, (int)b_depth, beta, c, (int)c_row);                      \
            return;                                                                                          \
        }                                                                                                    \
        for (int64_t i = 0; i < rows; i++) {                                                                 \
            for (int64_t j = 0; j < columns; j++) {                                                          \
                type sum = before ? c[i * c_row + j] : 0;                                                    \
                for (int64_t k = 0; k < depth; k++) sum += a[i * a_row + k * a_depth] * b[k * b_depth + j];  \
                c[i * c_row + j] = sum;                                                                      \
            }                                                                                                \
        }                                                                                                    \
    }
DEFINE_PRODUCT(kt_blas_sgemm, float, cblas_sgemm, cblas_sgemv)
DEFINE_PRODUCT(kt_blas_dgemm, double, cblas_dgemm, cblas_dgemv)
