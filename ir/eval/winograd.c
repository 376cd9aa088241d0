/* The evaluator's winograd: tile by tile, in the order of its definition (ir/winograd.h). */
#include "ir/winograd.h"
#include "ir/eval/eval_impl.h"

#include <string.h>

enum { MOST = KT_WINOGRAD_MOST_POINTS };

/* A matrix [rows, points] along an axis. */
typedef struct matrix {
    int rows, points;
    const double (*at)[MOST];
} matrix;

/* out = high * in * wide^T */
static void transform(matrix high, matrix wide, double in[MOST][MOST], double out[MOST][MOST]) {
    double half[MOST][MOST] = {{0}};
    for (int i = 0; i < high.rows; i++)
        for (int k = 0; k < high.points; k++)
            for (int j = 0; j < wide.points; j++) half[i][j] += high.at[i][k] * in[k][j];
    memset(out, 0, sizeof(double[MOST][MOST]));
    for (int i = 0; i < high.rows; i++)
        for (int j = 0; j < wide.rows; j++)
            for (int k = 0; k < wide.points; k++) out[i][j] += half[i][k] * wide.at[j][k];
}

static matrix input_matrix(const kt_winograd *w) {
    return (matrix){w->points, w->points, (const double(*)[MOST])w->input};
}

static matrix output_matrix(const kt_winograd *w) {
    return (matrix){w->tile, w->points, (const double(*)[MOST])w->output};
}

typedef struct tiles {
    kt_winograd w[2];      /* along height and width */
    int64_t height, width; /* of the input */
    int64_t low[2];        /* zeros before it */
    int64_t channels, features, panel;
    int64_t pair;                /* channels that lie side by side in the kernel */
    const kt_number *x, *kernel; /* x: of one image; all as doubles, which hold whole numbers that large */
    kt_number *inputs;           /* [points high, points wide, channels] of a tile */
    kt_number *result;           /* of one image: [high, wide, features] */
    int64_t high, wide;
} tiles;

static double read_pixel(const tiles *t, int64_t row, int64_t column, int64_t channel) {
    bool inside = row >= 0 && row < t->height && column >= 0 && column < t->width;
    return inside ? t->x[(row * t->width + column) * t->channels + channel].real : 0;
}

static void transform_inputs(const tiles *t, int64_t row, int64_t column) {
    int high = t->w[0].points, wide = t->w[1].points;
    for (int64_t channel = 0; channel < t->channels; channel++) {
        double in[MOST][MOST] = {{0}}, out[MOST][MOST];
        for (int i = 0; i < high; i++)
            for (int j = 0; j < wide; j++)
                in[i][j] = read_pixel(t, row + i - t->low[0], column + j - t->low[1], channel);
        transform(input_matrix(&t->w[0]), input_matrix(&t->w[1]), in, out);
        for (int i = 0; i < high; i++)
            for (int j = 0; j < wide; j++) t->inputs[(i * wide + j) * t->channels + channel].real = out[i][j];
    }
}

static void make_outputs(const tiles *t, int64_t row, int64_t column, int64_t feature) {
    int wide = t->w[1].points, points = t->w[0].points * wide;
    double sums[MOST][MOST] = {{0}}, out[MOST][MOST];
    for (int p = 0; p < points; p++) {
        const kt_number *panel = t->kernel + (feature / t->panel * points + p) * t->channels * t->panel +
                                 feature % t->panel * t->pair;
        for (int64_t channel = 0; channel < t->channels; channel++)
            sums[p / wide][p % wide] +=
                t->inputs[p * t->channels + channel].real *
                panel[channel / t->pair * t->pair * t->panel + channel % t->pair].real;
    }
    transform(output_matrix(&t->w[0]), output_matrix(&t->w[1]), sums, out);
    for (int64_t i = 0; i < t->w[0].tile && row + i < t->high; i++)
        for (int64_t j = 0; j < t->w[1].tile && column + j < t->wide; j++)
            t->result[((row + i) * t->wide + column + j) * t->features + feature].real = out[i][j];
}

static kt_number *as_doubles(kt_arena *arena, const kt_tensor *tensor) {
    kt_number *numbers = kt_numbers_of(arena, tensor);
    for (size_t i = 0; !kt_dtype_is_float(tensor->dtype) && i < kt_tensor_elements(tensor); i++)
        numbers[i].real = (double)numbers[i].integer;
    return numbers;
}

/* What is 576 times as large, as compiled code divides it modulo 2^32. */
static void divide(kt_number *results, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t ninth = (uint32_t)(int64_t)results[i].real * KT_WINOGRAD_NINTH;
        results[i].integer = (int32_t)ninth >> KT_WINOGRAD_SHIFT;
    }
}

kt_status kt_eval_winograd(kt_eval_op *e) {
    const kt_attrs_winograd *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *kernel = &e->operands[1];
    bool bytes = x->dtype == KT_U8;
    int64_t pair = bytes ? KT_WINOGRAD_PAIR : 1;
    tiles t = {.height = x->dims[1],
               .width = x->dims[2],
               .channels = x->dims[3],
               .features = e->result->dims[3],
               .pair = pair,
               .panel = kernel->dims[3] / pair,
               .kernel = as_doubles(e->arena, kernel),
               .high = e->result->dims[1],
               .wide = e->result->dims[2]};
    KT_TRY(kt_eval_dims(e, &attrs->low, t.low));
    for (int axis = 0; axis < 2; axis++) {
        const kt_winograd w = kt_winograd_make((int)attrs->tile, (int)attrs->line, axis, bytes);
        int64_t most = (e->result->dims[axis + 1] + w.tile - 1) / w.tile * w.tile + w.window - 1;
        if (t.low[axis] + x->dims[axis + 1] > most)
            return kt_eval_fail(e, KT_INVALID, "winograd: the input is larger than its tiles.");
        t.w[axis] = w;
    }
    const kt_number *xs = as_doubles(e->arena, x);
    int64_t pixels = t.high * t.wide * t.features;
    t.inputs = KT_NEW_ARRAY(e->arena, kt_number, (size_t)t.w[0].points * t.w[1].points * t.channels);
    t.result = KT_NEW_ARRAY(e->arena, kt_number, pixels);
    for (int64_t image = 0; image < x->dims[0]; image++) {
        t.x = xs + image * t.height * t.width * t.channels;
        for (int64_t row = 0; row < t.high; row += t.w[0].tile) {
            for (int64_t column = 0; column < t.wide; column += t.w[1].tile) {
                transform_inputs(&t, row, column);
                for (int64_t feature = 0; feature < t.features; feature++)
                    make_outputs(&t, row, column, feature);
            }
        }
        if (bytes) divide(t.result, pixels);
        kt_numbers_store(e->result->dtype, e->result->data, (size_t)(image * pixels), (size_t)pixels,
                         t.result);
    }
    return KT_OK;
}
