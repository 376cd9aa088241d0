/* Large products by OpenBLAS, where it is installed, for kt_eval_fast alone: plain loops are what the
 * operations mean.
 *
 * It is loaded when a product first wants it, and kept. It reads its environment at that moment only, so for
 * that moment the environment says: one thread, so that sums have one order, and the kernels of this CPU,
 * since versions that are older than the CPU would take slow ones. */
#include "ir/eval/eval_impl.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

enum { LEAST_PRODUCTS = 1 << 22 }; /* below, plain loops take some milliseconds at most */

/* cblas_dgemm, as in cblas.h */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111 };
typedef void dgemm_fn(int order, int trans_a, int trans_b, int rows, int columns, int depth, double alpha,
                      const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);

static dgemm_fn *dgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *core_type(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vl")) return "SkylakeX";
    if (__builtin_cpu_supports("avx2")) return "Haswell";
#endif
    return NULL;
}

static void load(void) {
    static const char core[] = "OPENBLAS_CORETYPE", threads[] = "OPENBLAS_NUM_THREADS";
    const char *wanted = getenv(core) ? NULL : core_type();
    bool unbound = !getenv(threads);
    if (wanted) (void)setenv(core, wanted, 1);
    if (unbound) (void)setenv(threads, "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (wanted) (void)unsetenv(core);
    if (unbound) (void)unsetenv(threads);
    if (library) dgemm = (dgemm_fn *)dlsym(library, "cblas_dgemm");
}

bool kt_eval_blas_product(int64_t rows, int64_t columns, int64_t depth, const kt_number *x,
                          const kt_number *y, kt_number *totals) {
    if (rows < 1 || columns < 1 || depth < 1 || rows > INT_MAX || columns > INT_MAX || depth > INT_MAX)
        return false;
    if (rows * columns < LEAST_PRODUCTS / depth) return false;
    pthread_once(&once, load);
    if (!dgemm) return false;
    dgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, (int)rows, (int)columns, (int)depth, 1, &x->real, (int)depth,
          &y->real, (int)columns, 0, &totals->real, (int)columns);
    return true;
}
