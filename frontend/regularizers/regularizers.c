/* Keras's regularizers, computed in the dtype of what they punish:
 *
 *   L1, L2, L1L2           l1 sum |x| + l2 sum x²
 *   OrthogonalRegularizer  factor times the mean of |cosine| over all pairs of rows (columns) of a matrix */
#include "frontend/regularizers/regularizers.h"
#include "frontend/layers/layers_impl.h"

#include <math.h>
#include <string.h>

typedef struct norms {
    kt_object object;
    double l1, l2; /* NaN: None */
} norms;

typedef struct orthogonal {
    kt_object object;
    double factor;
    const char *mode;
} orthogonal;

static const kt_option l1_options[] = {KT_FIELD(norms, l1, OPTIONAL_FLOAT, "0.01"), KT_OPTIONS_END};
static const kt_option l2_options[] = {KT_FIELD(norms, l2, OPTIONAL_FLOAT, "0.01"), KT_OPTIONS_END};
static const kt_option both_options[] = {
    KT_FIELD(norms, l1, OPTIONAL_FLOAT, "0.0"),
    KT_FIELD(norms, l2, OPTIONAL_FLOAT, "0.0"),
    KT_OPTIONS_END,
};
static const kt_option orthogonal_options[] = {
    KT_FIELD(orthogonal, factor, FLOAT, "0.01"),
    KT_FIELD(orthogonal, mode, CHOICE, "\"rows\"", .choices = "rows columns"),
    KT_OPTIONS_END,
};

static kt_status check_factor(const kt_object *object, kt_layer_context *context, const char *option,
                              double factor) {
    if (factor >= 0) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, option, "must not be negative, but is %g.", factor);
}

/* None stands for Keras's default. */
static kt_status check_norms(kt_object *object, kt_layer_context *context, double none) {
    norms *self = (norms *)object;
    if (isnan(self->l1)) self->l1 = none;
    if (isnan(self->l2)) self->l2 = none;
    kt_status status = check_factor(object, context, "l1", self->l1);
    KT_COLLECT(status, check_factor(object, context, "l2", self->l2));
    return status;
}

static kt_status check_single(kt_object *object, kt_layer_context *context) {
    return check_norms(object, context, 0.01);
}

static kt_status check_both(kt_object *object, kt_layer_context *context) {
    return check_norms(object, context, 0);
}

static kt_status check_orthogonal(kt_object *object, kt_layer_context *context) {
    return check_factor(object, context, "factor", ((const orthogonal *)object)->factor);
}

static kt_value sum(kt_builder *b, kt_value x) {
    int64_t axes[KT_MAX_RANK];
    int rank = kt_build_type(b, x)->rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return rank ? kt_build_reduce(b, x, KT_REDUCE_SUM, (uint32_t)rank, axes) : x;
}

static kt_value scaled_sum(kt_builder *b, double factor, kt_value x) {
    kt_value total = sum(b, x);
    return kt_build_mul(b, kt_build_like(b, total, factor), total);
}

static kt_value apply_norms(const kt_object *object, kt_builder *b, kt_value x) {
    const norms *self = (const norms *)object;
    kt_value l1 = self->l1 > 0 ? scaled_sum(b, self->l1, kt_build_abs(b, x)) : 0;
    kt_value l2 = self->l2 > 0 ? scaled_sum(b, self->l2, kt_build_mul(b, x, x)) : 0;
    if (l1 && l2) return kt_build_add(b, l1, l2);
    return l1 ? l1 : l2 ? l2 : kt_build_scalar(b, kt_build_type(b, x)->dtype, 0);
}

static kt_value apply_orthogonal(const kt_object *object, kt_builder *b, kt_value x) {
    const orthogonal *self = (const orthogonal *)object;
    const kt_type type = *kt_build_type(b, x);
    if (type.rank != 2)
        return kt_build_fail(b, KT_INVALID, "OrthogonalRegularizer takes matrices, not tensors of %d axes.",
                             type.rank);
    const int kept = strcmp(self->mode, "rows") == 0 ? 0 : 1;
    const kt_ints along = {.count = 1, .at = {1 - kept}};
    x = kt_unit_norm(b, x, &along, 1e-7);
    kt_attrs_dot_general attrs = {.lhs_contract = along, .rhs_contract = along};
    kt_value product = kt_build_dot_general(b, x, x, &attrs);
    const kt_type square = {.dtype = KT_I32, .rank = 2, .dims = {type.dims[kept], type.dims[kept]}};
    kt_value itself = kt_build_eq(b, kt_build_iota(b, &square, 0), kt_build_iota(b, &square, 1));
    product = kt_build_select(b, itself, kt_build_like(b, product, 0), kt_build_abs(b, product));
    kt_value total = kt_build_cast(b, sum(b, product), kt_dtype_promote(type.dtype, KT_F32));
    kt_value n = kt_build_cast(b, kt_build_size(b, type.dims[kept]), kt_build_type(b, total)->dtype);
    /* Each pair is there twice: factor / 2 * total / (n (n - 1) / 2). */
    kt_value pairs = kt_build_mul(b, n, kt_build_sub(b, n, kt_build_like(b, n, 1)));
    return kt_build_div(b, kt_build_mul(b, total, kt_build_like(b, total, self->factor)), pairs);
}

static const kt_regularizer_class l1 = {
    {"L1", "l1", "the sum of absolute values", sizeof(norms), l1_options, check_single}, apply_norms};
static const kt_regularizer_class l2 = {
    {"L2", "l2", "the sum of squares", sizeof(norms), l2_options, check_single}, apply_norms};
static const kt_regularizer_class l1l2 = {
    {"L1L2", "l1l2", "sums of absolute values and of squares", sizeof(norms), both_options, check_both},
    apply_norms};
static const kt_regularizer_class orthogonal_regularizer = {
    {"OrthogonalRegularizer", "orthogonal_regularizer", "how far rows or columns are from right angles",
     sizeof(orthogonal), orthogonal_options, check_orthogonal},
    apply_orthogonal};

const kt_object_class *const kt_regularizer_classes[] = {&l1.object, &l2.object, &l1l2.object,
                                                         &orthogonal_regularizer.object, NULL};

const kt_object *kt_regularizer_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    return kt_object_read(context, "regularizer", kt_regularizer_classes, serialized, path);
}

kt_value kt_regularizer_apply(const kt_object *regularizer, kt_builder *builder, kt_value x) {
    return ((const kt_regularizer_class *)regularizer->class)->apply(regularizer, builder, x);
}
