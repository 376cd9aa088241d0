/* Two models in one program, each with two contexts that predict from two threads at once. With RACE defined
 * both threads write to the same place, which ThreadSanitizer must see. */
#include "digits.h"
#include "fashion.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, BATCH = 7 };

typedef struct caller {
    digits *a;
    fashion *b;
    float *small, *large, digit[BATCH * 10], garment[BATCH * 10];
    float *digit_to; /* where digits_predict writes */
    int failed;
} caller;

static void *call(void *context) {
    caller *self = context;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t batch = 1 + round % BATCH;
        self->failed |= digits_predict(self->a, batch, self->small, self->digit_to);
        self->failed |= fashion_predict(self->b, batch, self->large, self->garment);
    }
    return NULL;
}

static void sum_to_one(const char *model, const float *rows) {
    for (int row = 0; row < BATCH - 1; row++) {
        double sum = 0;
        for (int i = 0; i < 10; i++) sum += rows[row * 10 + i];
        if (!(sum > 0.9999 && sum < 1.0001))
            exit(fprintf(stderr, "%s: row %d sums to %g\n", model, row, sum));
    }
}

int main(void) {
    caller callers[2];
    pthread_t threads[2];
    float *small = malloc(BATCH * 64 * sizeof *small), *large = malloc(BATCH * 784 * sizeof *large);
    for (int i = 0; i < BATCH * 64; i++) small[i] = (float)(i * 7 % 17);
    for (int i = 0; i < BATCH * 784; i++) large[i] = (float)(i * 31 % 256);
    for (int i = 0; i < 2; i++) {
        memset(&callers[i], 0, sizeof callers[i]);
        callers[i].small = small;
        callers[i].large = large;
#ifdef RACE
        callers[i].digit_to = callers[0].digit;
#else
        callers[i].digit_to = callers[i].digit;
#endif
        callers[i].a = digits_create(2);
        callers[i].b = fashion_create(2);
        if (!callers[i].a || !callers[i].b) return fprintf(stderr, "create failed\n"), 1;
    }
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, call, &callers[i]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    if (callers[0].failed || callers[1].failed) return fprintf(stderr, "%s\n", digits_error(callers[0].a)), 1;
    sum_to_one("digits", callers[0].digit);
    sum_to_one("fashion", callers[0].garment);
    if (memcmp(callers[0].digit, callers[1].digit, sizeof callers[0].digit) ||
        memcmp(callers[0].garment, callers[1].garment, sizeof callers[0].garment))
        return fprintf(stderr, "two contexts disagree\n"), 1;

    /* The generic call, its shape question, and errors. */
    int64_t symbols[] = {5}, dims[8];
    if (digits_output_shape(callers[0].a, "predict", 0, symbols, dims) != 2 || dims[0] != 5 || dims[1] != 10)
        return fprintf(stderr, "output_shape\n"), 1;
    kt_buffer in = {small, 5 * 64 * 4, KT_F32, 4, {5, 8, 8, 1}},
              out = {callers[1].digit, sizeof callers[1].digit, KT_F32, 0, {0}};
    if (digits_predict(callers[0].a, 5, small, callers[0].digit) ||
        digits_call(callers[0].a, "predict", &in, &out))
        return fprintf(stderr, "call: %s\n", digits_error(callers[0].a)), 1;
    if (out.rank != 2 || out.dims[0] != 5 ||
        memcmp(callers[0].digit, callers[1].digit, 5 * 10 * sizeof(float)))
        return fprintf(stderr, "call gives something else\n"), 1;
    in.dims[1] = 9;
    if (!digits_call(callers[0].a, "predict", &in, &out) || !*digits_error(callers[0].a))
        return fprintf(stderr, "a wrong shape was taken\n"), 1;
    if (!digits_call(callers[0].a, "no_such_entry", &in, &out))
        return fprintf(stderr, "a wrong entry was taken\n"), 1;
    if (!digits_predict(callers[0].a, 0, small, callers[0].digit))
        return fprintf(stderr, "batch 0 was taken\n"), 1;
    if (!strstr(digits_describe(), "entry_points")) return fprintf(stderr, "describe\n"), 1;
    for (int i = 0; i < 2; i++) {
        digits_destroy(callers[i].a);
        fashion_destroy(callers[i].b);
    }
    free(small);
    free(large);
    return 0;
}
