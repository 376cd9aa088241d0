/* Losses: making them, the labels they take, and what becomes of their values: weights, masks and reduction.
 */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

#include <stdarg.h>
#include <string.h>

const kt_loss_class *const kt_loss_classes[] = {
#define KT_LOSS(name) &kt_loss_##name,
#include "frontend/losses/classes.def"
#undef KT_LOSS
    NULL};

static const char reductions[] = "sum_over_batch_size sum mean mean_with_sample_weight none";

kt_loss *kt_loss_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    kt_loss *loss = (kt_loss *)kt_object_read(
        context, "loss", (const kt_object_class *const *)kt_loss_classes, serialized, path);
    if (!loss) return NULL;
    if (!loss->reduction) loss->reduction = "none";
    if (!kt_options_listed(reductions, loss->reduction)) {
        kt_object_reject(&loss->object, context, KT_INVALID, "reduction", "must be one of: %s.", reductions);
        return NULL;
    }
    kt_dtype variable;
    const char *problem;
    loss->compute_dtype = KT_F32;
    if (!loss->dtype ||
        kt_dtype_policy_read(context->arena, loss->dtype, &loss->compute_dtype, &variable, &problem))
        return loss;
    kt_object_reject(&loss->object, context, KT_UNSUPPORTED, "dtype", "%s.", problem);
    return NULL;
}

static const kt_loss_class *class_of(const kt_loss *loss) {
    return (const kt_loss_class *)loss->object.class;
}

int64_t kt_loss_count_along(const kt_builder *builder, const kt_type *output, int64_t axis) {
    int64_t count = 0;
    if (axis < 0) axis += output->rank;
    if (axis < 0 || axis >= output->rank) return 0;
    return kt_dim_is_const(builder->graph->dims, output->dims[axis], &count) ? count : 0;
}

kt_type kt_loss_target_type(const kt_loss *loss, const kt_builder *builder, const kt_type *output) {
    kt_type type = *output;
    type.dtype = class_of(loss)->sparse ? KT_I32 : KT_F32;
    if (class_of(loss)->set_target_shape) class_of(loss)->set_target_shape(loss, builder, &type);
    return type;
}

bool kt_loss_has_classes(const kt_loss *loss, const kt_builder *builder, const kt_type *output,
                         int64_t *out_classes, int64_t *out_ignored) {
    const kt_loss_class *class = class_of(loss);
    *out_ignored = KT_NONE_INT;
    if (!class->sparse) return false;
    *out_classes = class->classes ? class->classes(loss, builder, output, out_ignored)
                                  : kt_loss_count_along(builder, output, -1);
    return true;
}

kt_value kt_loss_fail(const kt_loss *loss, kt_trace *trace, kt_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(trace->context->arena, format, arguments);
    va_end(arguments);
    const char *path = trace->path;
    trace->path = loss->object.path;
    kt_trace_fail(trace, status, "%s", text);
    trace->path = path;
    return 0;
}

int kt_loss_axis(const kt_loss *loss, kt_trace *trace, int64_t axis, kt_value x) {
    int rank = kt_build_type(trace->builder, x)->rank;
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    kt_loss_fail(loss, trace, KT_INVALID, "the output has no axis %lld, which the loss '%s' wants.",
                 (long long)axis, loss->name);
    return -1;
}

kt_value kt_loss_mean_last(kt_trace *trace, kt_value x) {
    const kt_ints axes = {1, {kt_build_type(trace->builder, x)->rank - 1}};
    return kt_mean(trace->builder, x, &axes);
}

/* ---- shapes that fit ------------------------------------------------------------------------- */
static bool ends_in_one(const kt_builder *b, const kt_type *type) {
    return type->rank > 0 && kt_dim_equals(b->graph->dims, type->dims[type->rank - 1], 1);
}

/* x with axes of 1 behind, so that it has a rank, if it has less. */
static kt_value append_axes(kt_builder *b, kt_value x, int rank) {
    kt_type type = *kt_build_type(b, x);
    if (type.rank >= rank) return x;
    while (type.rank < rank) type.dims[type.rank++] = kt_dim_const(b->graph->dims, 1);
    return kt_build_reshape(b, x, type.rank, type.dims);
}

void kt_loss_same_rank(kt_builder *b, kt_value *x, kt_value *y) {
    const kt_type *x_type = kt_build_type(b, *x), *y_type = kt_build_type(b, *y);
    if (x_type->rank + 1 == y_type->rank) {
        kt_loss_same_rank(b, y, x);
    } else if (x_type->rank == y_type->rank + 1 && ends_in_one(b, x_type)) {
        if (y_type->rank == 1) {
            *y = append_axes(b, *y, 2);
        } else {
            *x = kt_build_reshape(b, *x, y_type->rank, x_type->dims);
        }
    }
}

static const char *show_shape(const kt_trace *trace, kt_value x) {
    return kt_type_string(trace->builder->graph->dims, kt_build_type(trace->builder, x),
                          trace->context->arena);
}

/* Are the sizes of x those of y, of one rank, but for axes of 1 where `repeats`? x gets y's where they have
 * to be found equal by the program. */
static bool fit_sizes(const kt_loss *loss, kt_trace *trace, const char *what, kt_value *x, kt_value y,
                      bool repeats) {
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, *x);
    const kt_type wanted = *kt_build_type(b, y);
    bool fits = type.rank == wanted.rank, renamed = false;
    for (int i = 0; fits && i < type.rank; i++) {
        kt_dim one = type.dims[i], other = wanted.dims[i];
        if (one == other || (repeats && (kt_dim_equals(dims, one, 1) || kt_dim_equals(dims, other, 1))))
            continue;
        fits = !(kt_dim_is_const(dims, one, NULL) && kt_dim_is_const(dims, other, NULL)) &&
               kt_build_require_equal(b, one, other, what);
        type.dims[i] = other;
        renamed = true;
    }
    if (!fits) {
        kt_loss_fail(loss, trace, KT_INVALID, "%s of %s do not fit %s.", what, show_shape(trace, *x),
                     show_shape(trace, y));
        return false;
    }
    if (renamed) *x = kt_build_reshape(b, *x, type.rank, type.dims);
    return true;
}

kt_value kt_loss_fit_classes(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output,
                             int axis) {
    kt_builder *b = trace->builder;
    const kt_type given = *kt_build_type(b, target);
    kt_type wanted = *kt_build_type(b, output);
    if (given.rank == wanted.rank && kt_dim_equals(b->graph->dims, given.dims[axis], 1))
        target = kt_drop_axis(b, target, axis);
    for (int i = axis; i + 1 < wanted.rank; i++) wanted.dims[i] = wanted.dims[i + 1];
    wanted.rank--;
    wanted.dtype = KT_I32;
    return fit_sizes(loss, trace, "labels", &target, kt_build_fill(b, &wanted, 0), false) ? target : 0;
}

kt_value kt_loss_values(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const kt_loss_class *class = class_of(loss);
    kt_builder *b = trace->builder;
    output = kt_build_cast(b, output, loss->compute_dtype);
    if (class->sparse) return class->call(loss, trace, kt_build_cast(b, target, KT_I32), output);
    target = kt_build_cast(b, target, loss->compute_dtype);
    kt_loss_same_rank(b, &target, &output);
    if (!fit_sizes(loss, trace, "labels", &target, output, !class->same_shape)) return 0;
    kt_build_broadcast_pair(b, &target, &output);
    return class->call(loss, trace, target, output);
}

/* ---- reduction ------------------------------------------------------------------------------- */
static kt_value sum_all(kt_builder *b, kt_value x) {
    int64_t axes[KT_MAX_RANK];
    int rank = kt_build_type(b, x)->rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return rank ? kt_build_reduce(b, x, KT_REDUCE_SUM, (uint32_t)rank, axes) : x;
}

/* How many elements x has, in its dtype. */
static kt_value count_all(kt_builder *b, kt_value x) {
    const kt_type type = *kt_build_type(b, x);
    return kt_build_cast(b, kt_build_size(b, kt_type_elements(b->graph->dims, &type)), type.dtype);
}

/* weights of the values' rank, and shapes that can be broadcast; false and a problem where they do not fit.
 */
static bool fit_weights(const kt_loss *loss, kt_trace *trace, const char *what, kt_value *values,
                        kt_value *weights) {
    kt_builder *b = trace->builder;
    kt_loss_same_rank(b, values, weights);
    int rank = kt_build_type(b, *values)->rank;
    if (rank == 0) return true;
    *weights = append_axes(b, *weights, rank);
    return fit_sizes(loss, trace, what, weights, *values, true);
}

static kt_value multiply(kt_builder *b, kt_value x, kt_value y) {
    kt_build_broadcast_pair(b, &x, &y);
    return kt_build_mul(b, x, y);
}

/* mask as weights, which where a mean is taken are so large that it is one of what counts. */
static kt_value weigh_mask(kt_builder *b, const kt_loss *loss, kt_value mask) {
    kt_value weights = kt_build_cast(b, mask, loss->compute_dtype);
    if (!kt_options_listed("mean sum_over_batch_size", loss->reduction)) return weights;
    kt_value share = kt_divide_no_nan(b, count_all(b, weights), sum_all(b, weights));
    return multiply(b, weights, share);
}

static kt_value reduce(kt_builder *b, const kt_loss *loss, kt_value values, kt_value weights) {
    if (strcmp(loss->reduction, "none") == 0 || kt_build_type(b, values)->rank == 0) return values;
    kt_value sum = sum_all(b, values);
    if (strcmp(loss->reduction, "sum") == 0) return sum;
    bool weighted = strcmp(loss->reduction, "mean_with_sample_weight") == 0 && weights;
    return kt_divide_no_nan(b, sum, weighted ? sum_all(b, weights) : count_all(b, values));
}

/* The mask of output and the one that the values have of themselves. */
static bool join_masks(const kt_loss *loss, kt_trace *trace, kt_value *mask, kt_value own) {
    kt_builder *b = trace->builder;
    if (*mask && own) {
        if (!fit_weights(loss, trace, "the mask", &own, mask)) return false;
        kt_build_broadcast_pair(b, mask, &own);
        *mask = kt_build_and(b, *mask, own);
    } else if (own) {
        *mask = own;
    }
    return true;
}

kt_value kt_loss_reduce(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value values,
                        kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    kt_value own = class_of(loss)->mask ? class_of(loss)->mask(loss, trace, target, values) : 0;
    if (!join_masks(loss, trace, &mask, own)) return 0;
    kt_value weights = sample_weight ? kt_build_cast(b, sample_weight, loss->compute_dtype) : 0;
    if (mask) {
        kt_value counts = weigh_mask(b, loss, mask);
        if (weights) counts = append_axes(b, counts, kt_build_type(b, weights)->rank);
        if (weights && !fit_weights(loss, trace, "sample weights", &counts, &weights)) return 0;
        weights = weights ? multiply(b, weights, counts) : counts;
    }
    if (weights) {
        if (!fit_weights(loss, trace, mask ? "the mask" : "sample weights", &values, &weights)) return 0;
        values = multiply(b, values, weights);
    }
    return kt_build_cast(b, reduce(b, loss, values, weights), KT_F32);
}

kt_value kt_loss_value(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output,
                       kt_value sample_weight, kt_value mask) {
    kt_value values = kt_loss_values(loss, trace, target, output);
    return values ? kt_loss_reduce(loss, trace, target, values, sample_weight, mask) : 0;
}
