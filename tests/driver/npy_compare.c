/* usage: npy_compare close A B      0 where all elements agree to 1e-5 of A's largest
 *        npy_compare classes A B    0 where A's largest along the last axis is everywhere at the index that B
 * holds Prints how many elements or rows depart. */
#include "runtime/runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t count(const kt_buffer *buffer) {
    int64_t product = 1;
    for (int axis = 0; axis < buffer->rank; axis++) product *= buffer->dims[axis];
    return product;
}

static int read_doubles(const char *path, kt_buffer *out) {
    kt_arrays arrays;
    char error[KT_IO_ERROR];
    if (kt_arrays_read(path, &arrays, error)) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    int failed = arrays.count != 1 || kt_buffer_convert(&arrays.at[0].buffer, KT_F64, out);
    kt_arrays_deinit(&arrays);
    if (failed) fprintf(stderr, "%s does not hold one numeric array\n", path);
    return failed;
}

static int64_t departures(const double *a, const double *b, int64_t n) {
    double largest = 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(a[i]));
    for (int64_t i = 0; i < n; i++) wrong += !(fabs(a[i] - b[i]) <= 1e-5 * largest);
    return wrong;
}

static int64_t wrong_classes(const double *a, int64_t columns, const double *b, int64_t rows) {
    int64_t wrong = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t best = 0;
        for (int64_t i = 1; i < columns; i++)
            if (a[row * columns + i] > a[row * columns + best]) best = i;
        wrong += best != (int64_t)b[row];
    }
    return wrong;
}

static int compare(const char *how, const kt_buffer *a, const kt_buffer *b) {
    int64_t wrong, rows = count(b);
    if (rows == 0 || count(a) % rows != 0) return fprintf(stderr, "the sizes do not fit\n"), 1;
    if (!strcmp(how, "close"))
        wrong = count(a) == rows ? departures(a->data, b->data, rows) : rows;
    else
        wrong = wrong_classes(a->data, count(a) / rows, b->data, rows);
    printf("%lld of %lld depart\n", (long long)wrong, (long long)rows);
    return wrong != 0;
}

int main(int argc, char **argv) {
    kt_buffer a = {0}, b = {0};
    int status = 2;
    if (argc == 4 && !read_doubles(argv[2], &a) && !read_doubles(argv[3], &b))
        status = compare(argv[1], &a, &b);
    free(a.data);
    free(b.data);
    return status;
}
