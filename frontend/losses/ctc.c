/* The loss of connectionist temporal classification, as one scan over time, in logarithms.
 *
 * Carried are, for each sample, the scores of all ways so far to have spelled the first u labels: `blanks`
 * [labels
 * + 1] of those that ended in a blank or have spelled none, `spelled` [labels] of those that ended in label
 * u. A step adds the logarithms of its probabilities, p of a blank and q of the labels:
 *
 *   blanks'[u]  = p + logaddexp(blanks[u], spelled[u - 1])
 *   spelled'[u] = q[u] + logaddexp(spelled[u], blanks[u], spelled[u - 1] unless label u repeats label u - 1)
 *
 * Behind a sample's last step both stay as they are. What is impossible has a score of -1e5, as Keras has it
 * on JAX, so that nothing becomes infinite. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

static const double impossible = -1e5;

static kt_value add_scores(kt_builder *b, kt_value x, kt_value y) {
    kt_value distance = kt_build_abs(b, kt_build_sub(b, x, y));
    kt_value tail = kt_build_log1p(b, kt_build_exp(b, kt_build_neg(b, distance)));
    return kt_build_add(b, kt_build_maximum(b, x, y), tail);
}

/* x [batch, n] with a column before it. */
static kt_value put_before(kt_builder *b, kt_value x, double number) {
    kt_type column = *kt_build_type(b, x);
    column.dims[1] = kt_dim_const(b->graph->dims, 1);
    const kt_value parts[] = {kt_build_fill(b, &column, number), x};
    return kt_build_concat(b, parts, 2, 1);
}

/* x [batch, n] without its last column. */
static kt_value drop_last(kt_builder *b, kt_value x) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim end = kt_dim_add_const(dims, kt_build_type(b, x)->dims[1], -1);
    return kt_slice_axis(b, x, 1, kt_dim_const(dims, 0), end);
}

/* [batch] as columns of x. */
static kt_value along_batch(kt_builder *b, kt_value vector, kt_value x) {
    return kt_along_axis(b, vector, x, 0);
}

/* What a step reads: sequences are its slices. */
enum { BLANKS, SPELLED, P, Q, COUNTS, REPEATS, VALUES };

static kt_status write_step(kt_trace *trace, const kt_type types[VALUES], kt_func *out_step) {
    kt_builder step, *b = &step;
    kt_graph *graph = trace->builder->graph;
    kt_value v[VALUES];
    kt_builder_begin(b, graph, KT_FUNC_STEP, kt_trace_step_name(trace), trace->context->diag);
    b->loc = trace->builder->loc;
    for (uint32_t i = 0; i < VALUES; i++) v[i] = kt_builder_param(b, KT_ROLE_PLAIN, NULL, i, &types[i]);
    kt_value before = put_before(b, v[SPELLED], impossible);
    kt_value blanks = add_scores(b, v[BLANKS], before);
    blanks = kt_build_add(b, blanks, along_batch(b, v[P], blanks));
    kt_value next = drop_last(b, before);
    next = kt_build_select(b, v[REPEATS], kt_build_add(b, next, kt_build_like(b, next, impossible)), next);
    kt_value spelled = add_scores(b, v[SPELLED], add_scores(b, drop_last(b, v[BLANKS]), next));
    spelled = kt_build_add(b, spelled, v[Q]);
    blanks = kt_build_select(b, along_batch(b, v[COUNTS], blanks), blanks, v[BLANKS]);
    spelled = kt_build_select(b, along_batch(b, v[COUNTS], spelled), spelled, v[SPELLED]);
    kt_builder_result(b, KT_ROLE_PLAIN, NULL, 0, blanks);
    kt_builder_result(b, KT_ROLE_PLAIN, NULL, 1, spelled);
    return kt_builder_finish(b, out_step);
}

/* The operands with the dimensions of output and target; false and a problem where they have others. */
static bool fit(kt_trace *trace, const kt_type *output, kt_value *target, kt_value *target_length,
                kt_value *output_length, int64_t blank) {
    kt_builder *b = trace->builder;
    int64_t classes;
    bool known = kt_dim_is_const(b->graph->dims, output->dims[2], &classes);
    if (output->rank != 3 || kt_build_type(b, *target)->rank != 2 ||
        kt_build_type(b, *target_length)->rank != 1 || kt_build_type(b, *output_length)->rank != 1) {
        kt_trace_fail(
            trace, KT_INVALID,
            "it takes labels [batch, labels], logits [batch, time, classes] and the lengths of both, "
            "[batch].");
        return false;
    }
    if (!known || blank < 0 || blank >= classes) {
        kt_trace_fail(trace, KT_INVALID, "there is no class %lld to stand for the blank.", (long long)blank);
        return false;
    }
    kt_value *all[] = {target, target_length, output_length};
    for (int i = 0; i < 3; i++) {
        kt_type type = *kt_build_type(b, *all[i]);
        if (!kt_build_require_equal(b, type.dims[0], output->dims[0],
                                    "the batch of labels, logits or lengths"))
            return false;
        if (type.dims[0] == output->dims[0]) continue;
        type.dims[0] = output->dims[0];
        *all[i] = kt_build_reshape(b, *all[i], type.rank, type.dims);
    }
    return true;
}

kt_value kt_ctc_loss(kt_trace *trace, kt_value target, kt_value output, kt_value target_length,
                     kt_value output_length, int64_t blank) {
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    const kt_type type = *kt_build_type(b, output);
    if (!fit(trace, &type, &target, &target_length, &output_length, blank)) return 0;
    kt_activation log_softmax;
    if (!kt_activation_find("log_softmax", &log_softmax)) KT_BUG("there is no activation log_softmax");
    kt_value logarithms =
        kt_build_transpose(b, kt_activation_apply(b, &log_softmax, output), (int64_t[]){0, 2, 1});
    kt_value operands[VALUES];
    kt_type types[VALUES];

    kt_value p = kt_slice_axis(b, logarithms, 1, kt_dim_const(dims, blank), kt_dim_const(dims, blank + 1));
    operands[P] = kt_build_transpose(b, kt_drop_axis(b, p, 1), (int64_t[]){1, 0});
    operands[Q] = kt_build_transpose(b, kt_build_gather(b, logarithms, target, 1, 1), (int64_t[]){2, 0, 1});
    kt_type time = {.dtype = KT_I32, .rank = 2, .dims = {type.dims[1], type.dims[0]}};
    kt_value ends = kt_build_broadcast(b, output_length, 2, time.dims, (int64_t[]){1});
    operands[COUNTS] = kt_build_lt(b, kt_build_iota(b, &time, 0), ends);
    kt_type labels = {
        .dtype = type.dtype, .rank = 2, .dims = {type.dims[0], kt_build_type(b, target)->dims[1]}};
    kt_value repeats = kt_build_eq(b, put_before(b, drop_last(b, target), 0), target);
    kt_type places = labels;
    places.dtype = KT_I32;
    kt_value place = kt_build_iota(b, &places, 1);
    operands[REPEATS] = kt_build_and(b, repeats, kt_build_gt(b, place, kt_build_like(b, place, 0)));
    operands[SPELLED] = kt_build_fill(b, &labels, impossible);
    operands[BLANKS] = put_before(b, operands[SPELLED], 0); /* in the beginning, nothing is spelled */
    if (b->status != KT_OK) return 0;

    for (int i = 0; i < VALUES; i++) types[i] = *kt_build_type(b, operands[i]);
    for (int i = P; i <= COUNTS; i++) { /* slices of the sequences */
        types[i].rank--;
        for (int axis = 0; axis < types[i].rank; axis++) types[i].dims[axis] = types[i].dims[axis + 1];
    }
    kt_attrs_scan attrs = {.carried = 2, .sequences = 3, .length = type.dims[1]};
    kt_value results[2];
    b->status = write_step(trace, types, &attrs.body);
    if (b->status != KT_OK) return 0;
    kt_build_scan(b, &attrs, operands, VALUES, results);
    /* After the last label, and perhaps a blank; without labels there is none. */
    kt_value ended = add_scores(b, results[0], put_before(b, results[1], impossible));
    kt_value score = kt_build_gather(b, ended, kt_add_axis(b, target_length, 1), 1, 1);
    return kt_build_neg(b, kt_drop_axis(b, score, 1));
}

/* ---- the loss of compile --------------------------------------------------------------------- */
typedef struct temporal {
    kt_loss loss;
} temporal;
static const kt_option options[] = {KT_LOSS_OPTIONS("ctc"), KT_OPTIONS_END};

/* Class 0 is the blank, and fills labels up; all steps count. */
static kt_value call(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, output);
    if (type.rank != 3 || kt_build_type(b, target)->rank != 2)
        return kt_loss_fail(loss, trace, KT_INVALID,
                            "the loss '%s' takes labels [batch, labels] and logits [batch, time, classes].",
                            loss->name);
    kt_value counts = kt_build_ne(b, target, kt_build_like(b, target, 0));
    kt_value target_length = kt_reduce_axis(b, kt_build_cast(b, counts, KT_I32), KT_REDUCE_SUM, 1);
    kt_value time = kt_build_cast(b, kt_build_size(b, type.dims[1]), KT_I32);
    kt_value output_length = kt_build_broadcast_to(b, time, 1, type.dims);
    return kt_ctc_loss(trace, target, output, target_length, output_length, 0);
}

static void set_labels(const kt_loss *loss, const kt_builder *builder, kt_type *type) {
    (void)loss;
    if (type->rank < 2) return; /* `call` says so */
    type->rank = 2;
    type->dims[1] = kt_dim_symbol(builder->graph->dims, "labels");
}

KT_LOSS_CLASS(ctc, "CTC", "ctc", "of labels whose places in time are not known", temporal, options,
              .call = call, .set_target_shape = set_labels, .sparse = true)
