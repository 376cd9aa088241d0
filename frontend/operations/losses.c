/* Operation nodes of losses, and what goes with them: decoding what a loss of time was trained for, and the
 * ratio of signal to noise. */
#include "frontend/losses/losses.h"
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

/* ---- cross entropies ------------------------------------------------------------------------- */
typedef struct crossentropy {
    kt_layer layer;
    bool from_logits;
    int64_t axis;
} crossentropy;
static const kt_option binary_options[] = {KT_FIELD(crossentropy, from_logits, BOOL, "false"),
                                           KT_OPTIONS_END};
static const kt_option categorical_options[] = {KT_FIELD(crossentropy, from_logits, BOOL, "false"),
                                                KT_FIELD(crossentropy, axis, INT, "-1"), KT_OPTIONS_END};

/* target and output as floats of one dtype and shape. */
static bool take_pair(const kt_layer_call *call, kt_value *out_target, kt_value *out_output) {
    kt_builder *b = call->trace->builder;
    kt_operand target, output;
    if (!kt_operation_operand(call, 0, "target", &target) ||
        !kt_operation_operand(call, 1, "output", &output))
        return false;
    kt_dtype dtype = kt_dtype_to_float(kt_operand_promote(&target, &output));
    *out_target = kt_operand_cast(call, &target, dtype);
    *out_output = kt_operand_cast(call, &output, dtype);
    kt_type x = *kt_build_type(b, *out_target), y = *kt_build_type(b, *out_output);
    if (x.rank == y.rank) return *out_target && *out_output; /* sizes are compared by what is built */
    kt_trace_fail(call->trace, KT_INVALID, "target and output must have the same shape.");
    return false;
}

static void call_binary(kt_layer *layer, kt_layer_call *call) {
    kt_value target, output;
    if (!take_pair(call, &target, &output)) return;
    bool from_logits = ((const crossentropy *)layer)->from_logits;
    call->outputs[0] = kt_binary_crossentropy(call->trace->builder, target, output, from_logits);
}

static void call_categorical(kt_layer *layer, kt_layer_call *call) {
    const crossentropy *c = (const crossentropy *)layer;
    kt_builder *b = call->trace->builder;
    kt_value target, output;
    if (!take_pair(call, &target, &output)) return;
    int axis = kt_call_axis(call, c->axis, kt_build_type(b, output)->rank);
    if (axis >= 0) call->outputs[0] = kt_categorical_crossentropy(b, target, output, c->from_logits, axis);
}

static void call_sparse(kt_layer *layer, kt_layer_call *call) {
    const crossentropy *c = (const crossentropy *)layer;
    kt_builder *b = call->trace->builder;
    kt_value target = kt_operation_tensor(call, 0, "target");
    kt_value output = target ? kt_operation_tensor(call, 1, "output") : 0;
    if (!output) return;
    output = kt_build_cast(b, output, kt_dtype_to_float(kt_build_type(b, output)->dtype));
    int rank = kt_build_type(b, output)->rank;
    kt_type type = *kt_build_type(b, target);
    int axis = kt_call_axis(call, c->axis, rank);
    if (axis < 0) return;
    if (type.rank == rank && kt_dim_equals(b->graph->dims, type.dims[rank - 1], 1))
        target = kt_drop_axis(b, target, rank - 1);
    if (kt_build_type(b, target)->rank != rank - 1) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "target must have output's shape without the axis of classes.");
        return;
    }
    target = kt_build_cast(b, target, KT_I32);
    call->outputs[0] = kt_sparse_categorical_crossentropy(b, target, output, c->from_logits, axis);
}

// clang-format off
KT_OPERATION_WITH(binary_crossentropy, "BinaryCrossentropy", KT_OPERATION_NN,
                  "cross entropy of two classes", crossentropy, binary_options, call_binary)
KT_OPERATION_WITH(categorical_crossentropy, "CategoricalCrossentropy", KT_OPERATION_NN,
                  "cross entropy with shares of classes", crossentropy, categorical_options, call_categorical)
KT_OPERATION_WITH(sparse_categorical_crossentropy, "SparseCategoricalCrossentropy", KT_OPERATION_NN,
                  "cross entropy with numbers of classes", crossentropy, categorical_options, call_sparse)
// clang-format on

/* ---- connectionist temporal classification --------------------------------------------------- */
typedef struct temporal {
    kt_layer layer;
    int64_t mask_index, beam_width, top_paths;
    const char *strategy;
    bool merge_repeated;
} temporal;
static const kt_option loss_options[] = {KT_FIELD(temporal, mask_index, INT, "0"), KT_OPTIONS_END};
static const kt_option decode_options[] = {
    KT_FIELD(temporal, strategy, CHOICE, "\"greedy\"", .choices = "greedy beam_search"),
    KT_FIELD(temporal, beam_width, INT, "100", .inert = true), /* as the next, of beam_search */
    KT_FIELD(temporal, top_paths, INT, "1", .inert = true),
    KT_FIELD(temporal, merge_repeated, BOOL, "true"),
    KT_FIELD(temporal, mask_index, OPTIONAL_INT, "0"),
    KT_OPTIONS_END,
};

static kt_value take_integers(const kt_layer_call *call, uint32_t position, const char *name) {
    kt_value x = kt_operation_tensor(call, position, name);
    return x ? kt_build_cast(call->trace->builder, x, KT_I32) : 0;
}

/* Logits, in float32 at least. */
static kt_value take_logits(const kt_layer_call *call, uint32_t position, const char *name) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, position, name);
    return x ? kt_build_cast(b, x, kt_dtype_promote(kt_build_type(b, x)->dtype, KT_F32)) : 0;
}

static void call_ctc_loss(kt_layer *layer, kt_layer_call *call) {
    kt_value target = take_integers(call, 0, "target");
    kt_value output = target ? take_logits(call, 1, "output") : 0;
    kt_value target_length = output ? take_integers(call, 2, "target_length") : 0;
    kt_value output_length = target_length ? take_integers(call, 3, "output_length") : 0;
    if (!output_length) return;
    int64_t blank = ((const temporal *)layer)->mask_index;
    call->outputs[0] = kt_ctc_loss(call->trace, target, output, target_length, output_length, blank);
}

/* Which elements repeat the one before. */
static kt_value find_repeated(kt_builder *b, kt_value x) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim zero = kt_dim_const(dims, 0), one = kt_dim_const(dims, 1), size = kt_build_type(b, x)->dims[1];
    kt_value later = kt_slice_axis(b, x, 1, one, size);
    kt_value earlier = kt_slice_axis(b, x, 1, zero, kt_dim_add_const(dims, size, -1));
    const kt_dim before[] = {zero, one}, behind[] = {zero, zero};
    return kt_build_pad(b, kt_build_eq(b, later, earlier), kt_build_scalar(b, KT_BOOL, 0), before, behind,
                        (const int64_t[]){0, 0});
}

/* The elements of x [batch, n] that are kept, moved to the front of their row; -1 behind them. */
static kt_value move_to_front(kt_builder *b, kt_value x, kt_value kept) {
    kt_attrs_cumulative count = {.kind = KT_REDUCE_SUM, .axis = 1, .exclusive = 1};
    kt_value place = kt_build_cumulative(b, kt_build_cast(b, kept, KT_I32), &count);
    place = kt_build_select(b, kept, place, kt_build_like(b, place, -1)); /* which is dropped */
    kt_attrs_scatter put = {.kind = KT_REDUCE_MAXIMUM, .axis = 1, .batch_dims = 1};
    return kt_build_scatter(b, kt_build_like(b, x, -1), place, x, &put);
}

/* The best class of each step, without repetitions and blanks; and the sum of their logits, negative. */
static void call_ctc_decode(kt_layer *layer, kt_layer_call *call) {
    const temporal *t = (const temporal *)layer;
    kt_builder *b = call->trace->builder;
    if (strcmp(t->strategy, "greedy") != 0) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "the strategy beam_search is not supported; use greedy.");
        return;
    }
    kt_value x = take_logits(call, 0, "inputs");
    kt_value lengths = x ? take_integers(call, 1, "sequence_lengths") : 0;
    if (!lengths) return;
    const kt_type type = *kt_build_type(b, x);
    int64_t blank = t->mask_index, classes;
    if (type.rank != 3 || kt_build_type(b, lengths)->rank != 1 ||
        !kt_dim_is_const(b->graph->dims, type.dims[2], &classes)) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "it takes logits [batch, time, classes], with a known number of classes, and lengths "
                      "[batch].");
        return;
    }
    if (blank == KT_NONE_INT) blank = classes - 1;
    if (blank < 0 || blank > INT32_MAX) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'mask_index' must be the number of a class.");
        return;
    }
    kt_value best = kt_build_arg_reduce(b, x, KT_REDUCE_MAXIMUM, 2, KT_I32);
    kt_value scores = kt_reduce_axis(b, x, KT_REDUCE_MAXIMUM, 2);
    kt_type places = {.dtype = KT_I32, .rank = 2, .dims = {type.dims[0], type.dims[1]}};
    kt_value blanks = kt_build_fill(b, &places, (double)blank);
    kt_value counts = kt_build_lt(b, kt_build_iota(b, &places, 1),
                                  kt_build_broadcast(b, lengths, 2, places.dims, (int64_t[]){0}));
    best = kt_build_select(b, counts, best, blanks);
    scores = kt_build_select(b, counts, scores, kt_build_like(b, scores, 0));
    if (t->merge_repeated) best = kt_build_select(b, find_repeated(b, best), blanks, best);
    kt_value labels = move_to_front(b, best, kt_build_ne(b, best, blanks));
    call->outputs[0] = kt_add_axis(b, labels, 0);
    call->outputs[1] = kt_build_neg(b, kt_add_axis(b, kt_reduce_axis(b, scores, KT_REDUCE_SUM, 1), 1));
}

static uint32_t count_decoded(const kt_layer *layer) {
    (void)layer;
    return 2;
}
// clang-format off
KT_OPERATION_WITH(ctc_loss, "CTCLoss", KT_OPERATION_NN, "the loss of connectionist temporal classification",
                  temporal, loss_options, call_ctc_loss)
KT_OPERATION_OUTPUTS(ctc_decode, "CTCDecode", KT_OPERATION_NN, "the labels that steps spell, the best of each step",
                     temporal, decode_options, call_ctc_decode, count_decoded)
// clang-format on

/* ---- PSNR ------------------------------------------------------------------------------------ */
typedef struct ratio {
    kt_layer layer;
    double max_val;
} ratio;
static const kt_option ratio_options[] = {KT_FIELD(ratio, max_val, FLOAT, NULL), KT_OPTIONS_END};

static void call_psnr(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &y)) return;
    kt_dtype dtype = kt_dtype_to_float(kt_operand_promote(&x, &y));
    kt_value distance = kt_build_sub(b, kt_operand_cast(call, &x, dtype), kt_operand_cast(call, &y, dtype));
    if (!distance) return;
    kt_ints all;
    if (!kt_operation_axes(call, NULL, kt_build_type(b, distance)->rank, &all)) return;
    kt_value error = kt_build_log(b, kt_mean(b, kt_build_mul(b, distance, distance), &all));
    kt_value decibels = kt_build_mul(b, error, kt_build_like(b, error, -10 / log(10)));
    call->outputs[0] = kt_add_number(b, decibels, 20 * log10(((const ratio *)layer)->max_val));
}
KT_OPERATION_WITH(psnr, "PSNR", KT_OPERATION_NN, "the ratio of the largest signal to noise, in decibels",
                  ratio, ratio_options, call_psnr)
