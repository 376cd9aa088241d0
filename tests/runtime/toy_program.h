/* A compiled program written by hand: predict(x: f32[batch,4], y: f32[rows,4]) → sum: f32[batch,2], total:
 * f64[batch] with kernels that are C functions. batch and rows must be equal. Step 1 writes t = 2x + y into
 * the workspace, step 2 a copy of it, step 3 the outputs: sum[i] = {t0 + t1, t2 + t3} + constants, total[i] =
 * their sum. */
#ifndef KT_TESTS_TOY_PROGRAM_H
#define KT_TESTS_TOY_PROGRAM_H

#include "runtime/runtime.h"

#include <string.h>

enum {
    TOY_BATCH,
    TOY_ROWS,
    TOY_4,
    TOY_2,
    TOY_X_BYTES,
    TOY_T_BYTES,
    TOY_SUM_BYTES,
    TOY_TOTAL_BYTES,
    TOY_COST,
    TOY_VALUES
};

static void toy_bind(const int64_t *symbols, int64_t *values) {
    values[TOY_BATCH] = symbols[0];
    values[TOY_ROWS] = symbols[1];
    values[TOY_4] = 4;
    values[TOY_2] = 2;
    values[TOY_X_BYTES] = values[TOY_T_BYTES] = 16 * symbols[0];
    values[TOY_SUM_BYTES] = 8 * symbols[0];
    values[TOY_TOTAL_BYTES] = 8 * symbols[0];
    values[TOY_COST] = 10000 * symbols[0];
}

static void toy_scale(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const float *x = args[0], *y = args[1];
    float *t = args[2];
    int64_t units = symbols[0];
    for (int64_t i = part * units / parts * 4; i < (part + 1) * units / parts * 4; i++)
        t[i] = 2 * x[i] + y[i];
}

static void toy_copy(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    int64_t first = part * symbols[0] / parts, last = (part + 1) * symbols[0] / parts;
    memcpy((float *)args[1] + 4 * first, (const float *)args[0] + 4 * first, (size_t)(last - first) * 16);
}

static void toy_sum(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const float *t = args[0], *constant = args[1];
    float *sum = args[2];
    double *total = args[3];
    int64_t units = symbols[0];
    for (int64_t i = part * units / parts; i < (part + 1) * units / parts; i++) {
        sum[2 * i] = t[4 * i] + t[4 * i + 1] + constant[0];
        sum[2 * i + 1] = t[4 * i + 2] + t[4 * i + 3] + constant[1];
        total[i] = (double)sum[2 * i] + sum[2 * i + 1];
    }
}

static const kt_abi_symbol toy_symbols[] = {{"batch", 0, 0}, {"rows", 1, 0}};
static const kt_abi_tensor toy_inputs[] = {{"x", KT_F32, 2, {TOY_BATCH, TOY_4}},
                                           {"y", KT_F32, 2, {TOY_ROWS, TOY_4}}};
static const kt_abi_tensor toy_outputs[] = {{"sum", KT_F32, 2, {TOY_BATCH, TOY_2}},
                                            {"total", KT_F64, 1, {TOY_BATCH}}};
static const kt_abi_buffer toy_buffers[] = {
    {KT_PLACE_INPUT, TOY_X_BYTES, 0, 0, 0},      {KT_PLACE_INPUT, TOY_X_BYTES, 1, 0, 0},
    {KT_PLACE_ARENA, TOY_T_BYTES, 0, 0, 1},      {KT_PLACE_ARENA, TOY_T_BYTES, 0, 1, 2},
    {KT_PLACE_CONSTANT, TOY_2, 64, 0, 0},        {KT_PLACE_OUTPUT, TOY_SUM_BYTES, 0, 2, 2},
    {KT_PLACE_OUTPUT, TOY_TOTAL_BYTES, 1, 2, 2},
};
static const uint32_t toy_args[] = {0, 1, 2, 2, 3, 3, 4, 5, 6};
static const kt_abi_step toy_steps[] = {
    {toy_scale, "scale", "x", 0, 3, TOY_BATCH, TOY_COST, TOY_SUM_BYTES, TOY_X_BYTES},
    {toy_copy, "copy", "x", 3, 2, TOY_BATCH, TOY_COST, TOY_4, TOY_X_BYTES},
    {toy_sum, "sum", "x \"y\"", 5, 4, TOY_BATCH, TOY_COST, TOY_2, TOY_T_BYTES},
};
static const kt_abi_check toy_checks[] = {{TOY_BATCH, TOY_ROWS, "x and y must have as many rows."}};
static const kt_abi_entry toy_entry = {
    .name = "predict",
    .bind = toy_bind,
    .value_count = TOY_VALUES,
    .symbol_count = 2,
    .input_count = 2,
    .output_count = 2,
    .buffer_count = 7,
    .arg_count = 9,
    .step_count = 3,
    .check_count = 1,
    .symbols = toy_symbols,
    .inputs = toy_inputs,
    .outputs = toy_outputs,
    .buffers = toy_buffers,
    .args = toy_args,
    .steps = toy_steps,
    .checks = toy_checks,
};
static const _Alignas(64) float toy_constants[32] = {[16] = 100, [17] = 200};
static const kt_program toy_program = {
    .abi_version = KT_ABI_VERSION,
    .entry_count = 1,
    .name = "toy",
    .version = "0",
    .target = "any",
    .describe = "{\"name\": \"toy\"}",
    .constants = (const uint8_t *)toy_constants,
    .constants_bytes = sizeof toy_constants,
    .entries = &toy_entry,
};

/* The same with one symbol for both inputs. */
static inline void toy_common_bind(const int64_t *symbols, int64_t *values) {
    toy_bind((const int64_t[]){symbols[0], symbols[0]}, values);
}
static const kt_abi_tensor toy_common_inputs[] = {{"x", KT_F32, 2, {TOY_BATCH, TOY_4}},
                                                  {"y", KT_F32, 2, {TOY_BATCH, TOY_4}}};
static inline kt_abi_entry toy_common_entry(void) {
    kt_abi_entry entry = toy_entry;
    entry.bind = toy_common_bind;
    entry.inputs = toy_common_inputs;
    entry.symbol_count = 1;
    entry.check_count = 0;
    return entry;
}

/* A kernel for programs of another kind: twice eight numbers. */
static inline void toy_double(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)symbols, (void)part, (void)parts;
    for (int i = 0; i < 8; i++) ((float *)args[1])[i] = 2 * ((const float *)args[0])[i];
}

#endif
