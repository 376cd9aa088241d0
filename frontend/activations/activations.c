/* The activations: a table of names, parameters and functions that write them in primitives.
 *
 * Formulas are those that Keras computes on TensorFlow, in forms that neither overflow nor lose digits:
 * softplus(x) = max(x, 0) + log1p(exp(-|x|)), and softmax subtracts the maximum. An activation of more than
 * one operation becomes a composite of its name. */
#include "frontend/layers/layers_impl.h"

#include <math.h>
#include <string.h>

/* Writes an activation of x; parameters in the order of the row. */
typedef kt_value activation_fn(kt_builder *builder, kt_value x, const double *parameters);

typedef struct parameter {
    const char *name;
    double value; /* Keras's default; NaN: None */
} parameter;

typedef struct row {
    const char *name;
    activation_fn *apply;
    bool composite; /* more than one operation already with the default parameters */
    parameter parameters[KT_ACTIVATION_PARAMETERS];
    const char *layer; /* the layer class that is this activation with parameters, or NULL */
} row;

/* ---- pieces ---------------------------------------------------------------------------------- */
static kt_value add_number(kt_builder *b, kt_value x, double number) {
    return kt_build_add(b, x, kt_build_like(b, x, number));
}

static kt_value scale(kt_builder *b, kt_value x, double number) {
    return kt_build_mul(b, x, kt_build_like(b, x, number));
}

static kt_value divide(kt_builder *b, kt_value x, double number) {
    return kt_build_div(b, x, kt_build_like(b, x, number));
}

static kt_value at_least(kt_builder *b, kt_value x, double number) {
    return kt_build_maximum(b, x, kt_build_like(b, x, number));
}

static kt_value at_most(kt_builder *b, kt_value x, double number) {
    return kt_build_minimum(b, x, kt_build_like(b, x, number));
}

static kt_value above(kt_builder *b, kt_value x, double number) {
    return kt_build_gt(b, x, kt_build_like(b, x, number));
}

static kt_value below(kt_builder *b, kt_value x, double number) {
    return kt_build_lt(b, x, kt_build_like(b, x, number));
}

/* The axis counted from the front as a list; false and a problem if x has none such. */
static bool find_axis(kt_builder *b, kt_value x, double number, kt_ints *out_axis) {
    int rank = kt_build_type(b, x)->rank;
    if (!(number >= -rank && number < rank)) {
        kt_build_fail(b, KT_INVALID, "the input has %d axes, so there is no axis %g.", rank, number);
        return false;
    }
    *out_axis = (kt_ints){1, {(int64_t)(number < 0 ? number + rank : number)}};
    return true;
}

/* ---- the relu family ------------------------------------------------------------------------- */
static kt_value leaky_relu(kt_builder *b, kt_value x, const double *p) {
    return kt_build_select(b, above(b, x, 0), x, scale(b, x, p[0]));
}

static kt_value relu(kt_builder *b, kt_value x, const double *p) {
    double slope = p[0];
    double max_value = p[1];
    double threshold = p[2];
    if (slope != 0 && isnan(max_value) && threshold == 0) return leaky_relu(b, x, p);
    kt_value y = threshold != 0 ? kt_build_select(b, above(b, x, threshold), x, kt_build_like(b, x, 0))
                                : at_least(b, x, 0);
    if (!isnan(max_value)) y = at_most(b, y, max_value);
    if (slope == 0) return y;
    kt_value negative = at_least(b, add_number(b, kt_build_neg(b, x), threshold), 0);
    return kt_build_sub(b, y, scale(b, negative, slope));
}

static kt_value relu6(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return at_most(b, at_least(b, x, 0), 6);
}

static kt_value hard_sigmoid(kt_builder *b, kt_value x, const double *p) {
    return divide(b, relu6(b, add_number(b, x, 3), p), 6);
}

static kt_value hard_silu(kt_builder *b, kt_value x, const double *p) {
    return kt_build_mul(b, x, hard_sigmoid(b, x, p));
}

static kt_value hard_tanh(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    bool negative = !kt_dtype_is_unsigned_integer(kt_build_type(b, x)->dtype);
    return at_most(b, negative ? at_least(b, x, -1) : x, 1);
}

static kt_value hard_shrink(kt_builder *b, kt_value x, const double *p) {
    return kt_build_select(b, above(b, kt_build_abs(b, x), p[0]), x, kt_build_like(b, x, 0));
}

static kt_value soft_shrink(kt_builder *b, kt_value x, const double *p) {
    kt_value low = kt_build_select(b, below(b, x, -p[0]), add_number(b, x, p[0]), kt_build_like(b, x, 0));
    return kt_build_select(b, above(b, x, p[0]), add_number(b, x, -p[0]), low);
}

static kt_value threshold(kt_builder *b, kt_value x, const double *p) {
    if (isnan(p[0]) || isnan(p[1])) {
        return kt_build_fail(b, KT_INVALID,
                             "the activation 'threshold' needs a threshold and a default_value.");
    }
    return kt_build_select(b, above(b, x, p[0]), x, kt_build_like(b, x, p[1]));
}

/* ---- exponentials ---------------------------------------------------------------------------- */
static kt_value elu(kt_builder *b, kt_value x, const double *p) {
    kt_value negative = kt_build_expm1(b, x);
    if (p[0] != 1) negative = scale(b, negative, p[0]);
    return kt_build_select(b, above(b, x, 0), x, negative);
}

static kt_value celu(kt_builder *b, kt_value x, const double *p) {
    kt_value negative = kt_build_expm1(b, divide(b, at_most(b, x, 0), p[0]));
    return kt_build_add(b, at_least(b, x, 0), scale(b, negative, p[0]));
}

static kt_value selu(kt_builder *b, kt_value x, const double *p) {
    static const double alpha_scaled = 1.7580993408473768599402175208123;
    static const double scale_of_positive = 1.0507009873554804934193349852946;
    (void)p;
    kt_value negative = scale(b, kt_build_expm1(b, x), alpha_scaled);
    return kt_build_select(b, above(b, x, 0), scale(b, x, scale_of_positive), negative);
}

static kt_value softplus(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    /* Not |x| and a maximum, which have derivatives of 0 at 0: together they must have 1/2 there. */
    kt_value positive = above(b, x, 0);
    kt_value below_zero = kt_build_select(b, positive, kt_build_neg(b, x), x);
    kt_value line = kt_build_select(b, positive, x, kt_build_like(b, x, 0));
    return kt_build_add(b, line, kt_build_log1p(b, kt_build_exp(b, below_zero)));
}

static kt_value log_sigmoid(kt_builder *b, kt_value x, const double *p) {
    return kt_build_neg(b, softplus(b, kt_build_neg(b, x), p));
}

static kt_value mish(kt_builder *b, kt_value x, const double *p) {
    return kt_build_mul(b, x, kt_build_tanh(b, softplus(b, x, p)));
}

static kt_value silu(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_mul(b, x, kt_build_logistic(b, x));
}

static kt_value sigmoid(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_logistic(b, x);
}

static kt_value hyperbolic_tangent(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_tanh(b, x);
}

static kt_value tanh_shrink(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_sub(b, x, kt_build_tanh(b, x));
}

static kt_value exponential(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_exp(b, x);
}

static kt_value gelu(kt_builder *b, kt_value x, const double *p) {
    if (p[0] == 0) {
        kt_value bell = kt_build_erf(b, scale(b, x, M_SQRT1_2));
        return kt_build_mul(b, scale(b, x, 0.5), add_number(b, bell, 1));
    }
    kt_value cube = kt_build_mul(b, kt_build_mul(b, x, x), x);
    kt_value inner = scale(b, kt_build_add(b, x, scale(b, cube, 0.044715)), M_SQRT2 * M_2_SQRTPI / 2);
    return kt_build_mul(b, scale(b, x, 0.5), add_number(b, kt_build_tanh(b, inner), 1));
}

/* ---- rational and sparse --------------------------------------------------------------------- */
static kt_value linear(kt_builder *b, kt_value x, const double *p) {
    (void)b;
    (void)p;
    return x;
}

static kt_value softsign(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return kt_build_div(b, x, add_number(b, kt_build_abs(b, x), 1));
}

static kt_value squareplus(kt_builder *b, kt_value x, const double *p) {
    kt_value root = kt_build_sqrt(b, add_number(b, kt_build_mul(b, x, x), p[0]));
    return scale(b, kt_build_add(b, x, root), 0.5);
}

/* 0 up to x = -1, middle up to x = 1 and of NaN, then right. */
static kt_value in_three_parts(kt_builder *b, kt_value x, kt_value middle, kt_value right) {
    kt_value y = kt_build_select(b, kt_build_ge(b, x, kt_build_like(b, x, 1)), right, middle);
    return kt_build_select(b, kt_build_le(b, x, kt_build_like(b, x, -1)), kt_build_like(b, x, 0), y);
}

static kt_value sparse_plus(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    kt_value next = add_number(b, x, 1);
    return in_three_parts(b, x, scale(b, kt_build_mul(b, next, next), 0.25), x);
}

static kt_value sparse_sigmoid(kt_builder *b, kt_value x, const double *p) {
    (void)p;
    return in_three_parts(b, x, scale(b, add_number(b, x, 1), 0.5), kt_build_like(b, x, 1));
}

/* ---- along an axis --------------------------------------------------------------------------- */
static kt_value shift_by_maximum(kt_builder *b, kt_value x, const kt_ints *axis) {
    return kt_build_sub(b, x, kt_reduce_spread(b, x, KT_REDUCE_MAXIMUM, axis));
}

static kt_value softmax(kt_builder *b, kt_value x, const double *p) {
    kt_ints axis;
    if (!find_axis(b, x, p[0], &axis)) return 0;
    kt_value e = kt_build_exp(b, shift_by_maximum(b, x, &axis));
    kt_value sum = kt_build_reduce(b, e, KT_REDUCE_SUM, axis.count, axis.at);
    return kt_build_mul(b, e, kt_spread(b, kt_build_div(b, kt_build_like(b, sum, 1), sum), e, &axis));
}

static kt_value log_softmax(kt_builder *b, kt_value x, const double *p) {
    kt_ints axis;
    if (!find_axis(b, x, p[0], &axis)) return 0;
    kt_value shifted = shift_by_maximum(b, x, &axis);
    kt_value sum = kt_reduce_spread(b, kt_build_exp(b, shifted), KT_REDUCE_SUM, &axis);
    return kt_build_sub(b, shifted, kt_build_log(b, sum));
}

static kt_value glu(kt_builder *b, kt_value x, const double *p) {
    kt_ints axis;
    if (!find_axis(b, x, p[0], &axis)) return 0;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    int64_t split = axis.at[0];
    kt_dim size = type.dims[split];
    if (kt_dim_divisor(dims, size) % 2 != 0) {
        return kt_build_fail(b, KT_INVALID, "the activation 'glu' halves axis %d, whose size must be even.",
                             (int)split);
    }
    kt_dim start[KT_MAX_RANK];
    kt_dim limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = kt_dim_const(dims, 0);
        limit[i] = type.dims[i];
        strides[i] = 1;
    }
    limit[split] = kt_dim_floordiv(dims, size, kt_dim_const(dims, 2));
    kt_value left = kt_build_slice(b, x, start, limit, strides);
    start[split] = limit[split];
    limit[split] = size;
    return kt_build_mul(b, left, kt_build_logistic(b, kt_build_slice(b, x, start, limit, strides)));
}

/* Keras's sparsemax without sorting. Position i of the sorted axis is known by comparing all pairs: its rank
 * r is the number of elements that come before it or are it (larger ones, and equal ones of a smaller index),
 * its cumulative sum c their sum. i is in the support where x - (c - 1) / r > 0, and the threshold is (sum of
 * c over the support - 1) / (size of the support). That sum is of all cumulative sums, where the paper
 * (Martins and Astudillo 2016) takes the last: Keras 3.15 computes it so on every backend, and models were
 * trained with it. Time and memory grow with the square of the axis. */
static kt_value sparsemax(kt_builder *b, kt_value x, const double *p) {
    kt_ints axis;
    if (!find_axis(b, x, p[0], &axis)) return 0;
    kt_type type = *kt_build_type(b, x);
    if (type.rank == KT_MAX_RANK) {
        return kt_build_fail(b, KT_UNSUPPORTED, "the activation 'sparsemax' takes at most %d axes.",
                             KT_MAX_RANK - 1);
    }
    /* [..., i, ...] becomes [..., i, ..., j]: j runs over the axis once more. */
    kt_type pairs = type;
    int last = pairs.rank++;
    pairs.dims[last] = type.dims[axis.at[0]];
    int64_t as_i[KT_MAX_RANK];
    int64_t to_end[KT_MAX_RANK];
    int64_t back[KT_MAX_RANK];
    int count = 0;
    for (int i = 0; i < type.rank; i++) {
        as_i[i] = i;
        if (i != axis.at[0]) to_end[count++] = i;
    }
    for (int i = 0; i < count; i++) back[i] = to_end[i];
    to_end[count] = axis.at[0];
    back[count] = last;
    kt_value xi = kt_build_broadcast(b, x, pairs.rank, pairs.dims, as_i);
    kt_value xj = kt_build_broadcast(b, kt_build_transpose(b, x, to_end), pairs.rank, pairs.dims, back);
    kt_type numbers = pairs;
    numbers.dtype = KT_I64;
    kt_value i = kt_build_iota(b, &numbers, (int)axis.at[0]);
    kt_value j = kt_build_iota(b, &numbers, last);
    kt_value tied = kt_build_and(b, kt_build_eq(b, xj, xi), kt_build_le(b, j, i));
    kt_value before = kt_build_or(b, kt_build_gt(b, xj, xi), tied);
    int64_t over_j[] = {last};
    kt_value zeros = kt_build_like(b, xj, 0);
    kt_value sum = kt_build_reduce(b, kt_build_select(b, before, xj, zeros), KT_REDUCE_SUM, 1, over_j);
    kt_value rank = kt_build_reduce(b, kt_build_cast(b, before, type.dtype), KT_REDUCE_SUM, 1, over_j);
    kt_value margin = kt_build_sub(b, x, kt_build_div(b, add_number(b, sum, -1), rank));
    kt_value support = above(b, margin, 0);
    kt_value kept = kt_build_select(b, support, sum, kt_build_like(b, sum, 0));
    kt_value total = kt_reduce_spread(b, kept, KT_REDUCE_SUM, &axis);
    kt_value size = kt_reduce_spread(b, kt_build_cast(b, support, type.dtype), KT_REDUCE_SUM, &axis);
    kt_value tau = kt_build_div(b, add_number(b, total, -1), size);
    return at_least(b, kt_build_sub(b, x, tau), 0);
}

/* ---- the table ------------------------------------------------------------------------------- */
// clang-format off
static const row rows[] = {
    /* name              function            composite  parameters                              layer */
    {"celu",             celu,               true,  {{"alpha", 1}},                             NULL},
    {"elu",              elu,                true,  {{"alpha", 1}},                             "ELU"},
    {"exponential",      exponential,        false, {{NULL}},                                   NULL},
    {"gelu",             gelu,               true,  {{"approximate", 0}},                       NULL},
    {"glu",              glu,                true,  {{"axis", -1}},                             NULL},
    {"hard_shrink",      hard_shrink,        true,  {{"threshold", 0.5}},                       NULL},
    {"hard_sigmoid",     hard_sigmoid,       true,  {{NULL}},                                   NULL},
    {"hard_silu",        hard_silu,          true,  {{NULL}},                                   NULL},
    {"hard_tanh",        hard_tanh,          true,  {{NULL}},                                   NULL},
    {"leaky_relu",       leaky_relu,         true,  {{"negative_slope", 0.2}},                  "LeakyReLU"},
    {"linear",           linear,             false, {{NULL}},                                   NULL},
    {"log_sigmoid",      log_sigmoid,        true,  {{NULL}},                                   NULL},
    {"log_softmax",      log_softmax,        true,  {{"axis", -1}},                             NULL},
    {"mish",             mish,               true,  {{NULL}},                                   NULL},
    {"relu",             relu,               false, {{"negative_slope", 0}, {"max_value", NAN},
                                                     {"threshold", 0}},                         "ReLU"},
    {"relu6",            relu6,              true,  {{NULL}},                                   NULL},
    {"selu",             selu,               true,  {{NULL}},                                   NULL},
    {"sigmoid",          sigmoid,            false, {{NULL}},                                   NULL},
    {"silu",             silu,               true,  {{NULL}},                                   NULL},
    {"soft_shrink",      soft_shrink,        true,  {{"threshold", 0.5}},                       NULL},
    {"softmax",          softmax,            true,  {{"axis", -1}},                             "Softmax"},
    {"softplus",         softplus,           true,  {{NULL}},                                   NULL},
    {"softsign",         softsign,           true,  {{NULL}},                                   NULL},
    {"sparse_plus",      sparse_plus,        true,  {{NULL}},                                   NULL},
    {"sparse_sigmoid",   sparse_sigmoid,     true,  {{NULL}},                                   NULL},
    {"sparsemax",        sparsemax,          true,  {{"axis", -1}},                             NULL},
    {"squareplus",       squareplus,         true,  {{"b", 4}},                                 NULL},
    {"tanh",             hyperbolic_tangent, false, {{NULL}},                                   NULL},
    {"tanh_shrink",      tanh_shrink,        true,  {{NULL}},                                   NULL},
    {"threshold",        threshold,          true,  {{"threshold", NAN}, {"default_value", NAN}}, NULL},
};
// clang-format on
enum { ROWS = sizeof rows / sizeof *rows };

static const struct {
    const char *name, *stands_for;
} aliases[] = {{"hard_swish", "hard_silu"}, {"swish", "silu"}};
enum { ALIASES = sizeof aliases / sizeof *aliases };

const char *kt_activation_name(uint32_t n) {
    if (n < ROWS) return rows[n].name;
    return n < ROWS + ALIASES ? aliases[n - ROWS].name : NULL;
}

static const row *find_row(const char *name) {
    for (int i = 0; i < ALIASES; i++) {
        if (strcmp(aliases[i].name, name) == 0) name = aliases[i].stands_for;
    }
    for (int i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    }
    return NULL;
}

static void start(const row *from, kt_activation *out_activation) {
    *out_activation = (kt_activation){.name = from->name};
    for (int i = 0; i < KT_ACTIVATION_PARAMETERS; i++)
        out_activation->parameters[i] = from->parameters[i].value;
}

bool kt_activation_find(const char *name, kt_activation *out_activation) {
    const row *found = find_row(name);
    if (found) start(found, out_activation);
    return found != NULL;
}

bool kt_activation_set(kt_activation *activation, const char *parameter, double value) {
    const row *found = find_row(activation->name);
    for (int i = 0; i < KT_ACTIVATION_PARAMETERS && found->parameters[i].name; i++) {
        if (strcmp(found->parameters[i].name, parameter) != 0) continue;
        activation->parameters[i] = value;
        return true;
    }
    return false;
}

/* ---- reading --------------------------------------------------------------------------------- */
static bool read_name(kt_arena *arena, const char *name, kt_activation *out_activation,
                      const char **out_problem) {
    if (kt_activation_find(name, out_activation)) return true;
    *out_problem = kt_arena_format(arena, "is '%s', which is none of Keras's activations", name);
    return false;
}

/* A layer as activation: its options are the activation's parameters. */
static bool read_layer(kt_arena *arena, const row *from, const json_t *config, kt_activation *out_activation,
                       const char **out_problem) {
    start(from, out_activation);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value) {
        if (kt_options_listed("name trainable dtype", key)) continue;
        double number = json_is_null(value) ? NAN : json_number_value(value);
        bool readable = json_is_number(value) || json_is_null(value);
        if (readable && kt_activation_set(out_activation, key, number)) continue;
        *out_problem =
            kt_arena_format(arena, "is a %s whose option '%s' is not supported here", from->layer, key);
        return false;
    }
    return true;
}

bool kt_activation_read(kt_arena *arena, const json_t *serialized, kt_activation *out_activation,
                        const char **out_problem) {
    *out_activation = (kt_activation){0};
    if (!serialized || json_is_null(serialized)) return true;
    if (json_is_string(serialized)) {
        return read_name(arena, json_string_value(serialized), out_activation, out_problem);
    }
    const char *class_name = json_string_value(json_object_get(serialized, "class_name"));
    const json_t *config = json_object_get(serialized, "config");
    *out_problem = "must be a name or a serialised activation";
    if (!class_name) return false;
    bool read = false;
    if (strcmp(class_name, "function") == 0 && json_is_string(config)) {
        read = read_name(arena, json_string_value(config), out_activation, out_problem);
    } else if (strcmp(class_name, "Activation") == 0) {
        read = kt_activation_read(arena, json_object_get(config, "activation"), out_activation, out_problem);
    } else {
        *out_problem =
            kt_arena_format(arena, "is a layer %s, which is not supported as an activation", class_name);
        for (int i = 0; i < ROWS; i++) {
            if (!rows[i].layer || strcmp(rows[i].layer, class_name) != 0) continue;
            read = read_layer(arena, &rows[i], config, out_activation, out_problem);
        }
    }
    out_activation->config = serialized;
    return read;
}

/* ---- applying -------------------------------------------------------------------------------- */
static bool has_defaults(const row *from, const kt_activation *activation) {
    for (int i = 0; i < KT_ACTIVATION_PARAMETERS; i++) {
        double value = activation->parameters[i];
        double usual = from->parameters[i].value;
        if (value != usual && !(isnan(value) && isnan(usual))) return false;
    }
    return true;
}

/* x in the dtype that the activation computes in: as it is for floats; few know integers, and none knows
 * bools. */
static kt_value take(kt_builder *b, const row *found, const kt_activation *activation, kt_value x) {
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    bool plain = has_defaults(found, activation);
    if (kt_dtype_is_float(dtype) || found->apply == linear) return x;
    if (found->apply != hard_tanh && !(found->apply == relu && plain)) return kt_build_cast(b, x, KT_F32);
    return dtype == KT_BOOL ? kt_build_cast(b, x, KT_I32) : x;
}

kt_value kt_activation_apply(kt_builder *builder, const kt_activation *activation, kt_value x) {
    const row *found = activation->name ? find_row(activation->name) : NULL;
    if (!found || !x) return x;
    x = take(builder, found, activation, x);
    if (!found->composite && has_defaults(found, activation))
        return found->apply(builder, x, activation->parameters);
    kt_builder body;
    kt_value inner;
    kt_value result;
    kt_builder_begin_composite(&body, builder, found->name, &x, 1, &inner);
    kt_value y = found->apply(&body, inner, activation->parameters);
    kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, y);
    kt_build_composite(builder, &body, &x, 1, &result);
    return result;
}
