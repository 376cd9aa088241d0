/* How random graphs grow by a node: numbers, evaluation while growing, and operands. See grower.h. */
#include "random/grower.h"

#include "ir/element.h"
#include "ir/eval/eval_impl.h"
#include "ir/graph_impl.h"

#include <math.h>
#include <string.h>

/* ---- numbers --------------------------------------------------------------------------------- */
/* A float's rounding error, relative; how many of them disturb a result; how much of the largest element two
 * results may differ by; and how large an element may be. */
static const struct accuracy {
    double epsilon, disturbance, tolerance, largest;
} accuracies[KT_DTYPE_COUNT] = {
    [KT_F64] = {0x1p-53, 16, 1e-12, 1e9},
    [KT_F32] = {0x1p-24, 8, 1e-5, 1e6},
    [KT_F16] = {0x1p-11, 2, 1e-2, 1e3},
    [KT_BF16] = {0x1p-8, 2, 8e-2, 1e6},
};
/* What the disturbance may change, of the tolerance. */
static const double share = 0.25;

enum { MOST_ELEMENTS = 1500, MOST_ELEMENTS_LARGE = 5000 };

static double unit(grower *g) { return (double)(draw_bits(g) >> 11) * 0x1p-52 - 1; }

static int64_t size_of(const grower *g, kt_dim dim) { return kt_dim_eval(pool_of(g), dim, g->module->sizes); }

bool grower_make_tensor(const grower *g, const kt_type *type, kt_tensor *out) {
    *out = (kt_tensor){.dtype = type->dtype, .rank = type->rank};
    int64_t count = 1, most = g->large ? MOST_ELEMENTS_LARGE : MOST_ELEMENTS;
    for (int i = 0; i < type->rank; i++) {
        out->dims[i] = size_of(g, type->dims[i]);
        if (out->dims[i] < 0 || out->dims[i] > most) return false;
        count *= out->dims[i];
        if (count > most) return false;
    }
    out->data = kt_arena_alloc(g->module->arena, (size_t)count * kt_dtype_bytes(type->dtype) + 1);
    return true;
}

void grower_fill(grower *g, kt_tensor *tensor) {
    size_t count = kt_tensor_elements(tensor);
    int style = draw(g, 12);
    for (size_t i = 0; i < count; i++) {
        if (kt_dtype_is_float(tensor->dtype)) {
            static const double odd[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, 0.5};
            double x = style < 5 ? (draw(g, 49) - 24) / 8.0 : 2 * unit(g);
            if (style == 11) x = odd[draw(g, 8)];
            if (style == 10) x = 0.05 + fabs(x);
            kt_element_set_float(tensor->dtype, tensor->data, i, x);
        } else {
            int64_t x = style < 8 ? draw(g, 19) - 9 : style < 10 ? draw(g, 3) - 1 : (int64_t)draw_bits(g);
            if (tensor->dtype == KT_BOOL) x = draw(g, 2);
            kt_element_set_integer(tensor->dtype, tensor->data, i, x);
        }
    }
}

const char *random_difference(kt_arena *arena, const kt_tensor *wanted, const kt_tensor *found,
                              bool exactly) {
    if (wanted->dtype != found->dtype || wanted->rank != found->rank ||
        memcmp(wanted->dims, found->dims, (size_t)wanted->rank * sizeof *wanted->dims) != 0)
        return "another type";
    size_t count = kt_tensor_elements(wanted);
    double largest = 0;
    bool floats = kt_dtype_is_float(wanted->dtype);
    for (size_t i = 0; floats && i < count; i++) {
        double x = fabs(kt_element_float(wanted->dtype, wanted->data, i));
        if (isfinite(x)) largest = fmax(largest, x);
    }
    for (size_t i = 0; i < count; i++) {
        if (!floats) {
            int64_t x = kt_element_integer(wanted->dtype, wanted->data, i);
            int64_t y = kt_element_integer(wanted->dtype, found->data, i);
            if (x == y) continue;
            return kt_arena_format(arena, "element %zu of %zu is %lld, not %lld", i, count, (long long)y,
                                   (long long)x);
        }
        double x = kt_element_float(wanted->dtype, wanted->data, i);
        double y = kt_element_float(wanted->dtype, found->data, i);
        if (x == y || (isnan(x) && isnan(y))) continue;
        if (!exactly && fabs(x - y) <= accuracies[wanted->dtype].tolerance * largest) continue;
        return kt_arena_format(arena, "element %zu of %zu is %.17g, not %.17g (largest %g)", i, count, y, x,
                               largest);
    }
    return NULL;
}

/* ---- evaluation while growing ---------------------------------------------------------------- */
static const struct {
    kt_scalar_unary *unary;
    kt_scalar_binary *binary;
    kt_status (*other)(kt_eval_op *e);
} evaluators[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc)                 [KT_OP_##name] = {.unary = kt_scalar_##name},
#define KT_BINARY(name, domain, traits, gradient, doc)        [KT_OP_##name] = {.binary = kt_scalar_##name},
#define KT_COMPARE(name, domain, doc)                         [KT_OP_##name] = {.binary = kt_scalar_##name},
#define KT_OP(name, operands, results, traits, gradient, doc) [KT_OP_##name] = {.other = kt_eval_##name},
#include "ir/ops.def"
};

/* Does the operation round: may its result depend on how it is computed? */
static bool rounds(kt_op op, const kt_type *result, const void *attrs) {
    if (!kt_dtype_is_float(result->dtype) || kt_op_is(op, KT_VIEW)) return false;
    switch (op) {
    case KT_OP_neg:
    case KT_OP_abs:
    case KT_OP_sign:
    case KT_OP_floor:
    case KT_OP_ceil:
    case KT_OP_round:
    case KT_OP_trunc:
    case KT_OP_stop_gradient:
    case KT_OP_maximum:
    case KT_OP_minimum:
    case KT_OP_select:
    case KT_OP_cast:
    case KT_OP_constant:
    case KT_OP_iota: return false;
    case KT_OP_reduce: return ((const kt_attrs_reduce *)attrs)->kind < KT_REDUCE_MAXIMUM;
    case KT_OP_reduce_window: return ((const kt_attrs_reduce_window *)attrs)->kind < KT_REDUCE_MAXIMUM;
    default: return true;
    }
}

static double largest_of(const kt_tensor *t) {
    double largest = 0;
    for (size_t i = 0; i < kt_tensor_elements(t); i++)
        largest = fmax(largest, fabs(kt_element_float(t->dtype, t->data, i)));
    return largest;
}

void grower_disturb(grower *g, kt_tensor *variants) {
    const struct accuracy *a = &accuracies[variants[0].dtype];
    double largest = largest_of(&variants[0]);
    if (!isfinite(largest)) return;
    for (int v = 1; v < RANDOM_VARIANTS; v++) {
        const kt_tensor *t = &variants[v];
        for (size_t i = 0; i < kt_tensor_elements(t); i++) {
            double x = kt_element_float(t->dtype, t->data, i);
            kt_element_set_float(t->dtype, t->data, i, x + unit(g) * a->disturbance * a->epsilon * largest);
        }
    }
}

bool grower_is_tame(const kt_tensor *variants, bool rounded) {
    const kt_tensor *clean = &variants[0];
    size_t count = kt_tensor_elements(clean), bytes = kt_tensor_bytes(clean);
    if (!kt_dtype_is_float(clean->dtype))
        return !memcmp(clean->data, variants[1].data, bytes) && !memcmp(clean->data, variants[2].data, bytes);
    bool finite = true;
    double largest = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        double x = kt_element_float(clean->dtype, clean->data, i);
        finite &= isfinite(x) != 0;
        largest = fmax(largest, fabs(x));
        for (int v = 1; v < RANDOM_VARIANTS; v++)
            worst = fmax(worst, fabs(kt_element_float(clean->dtype, variants[v].data, i) - x));
    }
    const struct accuracy *a = &accuracies[clean->dtype];
    if (!finite)
        return !rounded && !memcmp(clean->data, variants[1].data, bytes) &&
               !memcmp(clean->data, variants[2].data, bytes);
    if (largest > a->largest || (rounded && largest > 0 && largest < 1 / a->largest)) return false;
    return worst <= share * a->tolerance * largest;
}

/* Padding is zeros, or left out of the sum: that is one only where what it meets is finite. */
static bool pads_what_is_infinite(kt_op op, const kt_tensor *const *operands, uint32_t count) {
    if (op != KT_OP_conv && op != KT_OP_conv_by_kernel && op != KT_OP_winograd) return false;
    for (uint32_t i = 0; i < count; i++)
        for (size_t k = 0; k < kt_tensor_elements(operands[i]); k++)
            if (kt_dtype_is_float(operands[i]->dtype) &&
                !isfinite(kt_element_float(operands[i]->dtype, operands[i]->data, k)))
                return true;
    return false;
}

bool grower_evaluate(grower *g, kt_op op, const kt_tensor *const *operands, uint32_t count, const void *attrs,
                     const kt_type *type, kt_tensor *out_variants) {
    int64_t values[RANDOM_SYMBOLS];
    bool all_known[RANDOM_SYMBOLS] = {true, true};
    if (pads_what_is_infinite(op, operands, count)) return false;
    memcpy(values, g->module->sizes, sizeof values);
    const kt_eval_symbols symbols = {pool_of(g), values, all_known, kt_dim_symbol_count(pool_of(g))};
    for (int v = 0; v < RANDOM_VARIANTS; v++) {
        kt_tensor *arguments = KT_NEW_ARRAY(g->module->arena, kt_tensor, count + 1);
        for (uint32_t i = 0; i < count; i++) arguments[i] = operands[i][v];
        if (!grower_make_tensor(g, type, &out_variants[v])) return false;
        kt_diag diag = {0};
        kt_eval_op e = {.graph = g->module->graph,
                        .symbols = &symbols,
                        .op = op,
                        .attrs = attrs,
                        .operands = arguments,
                        .operand_count = count,
                        .result = &out_variants[v],
                        .arena = g->module->arena,
                        .diag = &diag};
        kt_status status = evaluators[op].unary    ? kt_eval_unary(&e, evaluators[op].unary)
                           : evaluators[op].binary ? kt_eval_binary(&e, evaluators[op].binary)
                                                   : evaluators[op].other(&e);
        kt_diag_deinit(&diag);
        if (status != KT_OK) return false;
    }
    if (rounds(op, type, attrs)) grower_disturb(g, out_variants);
    return true;
}

int grower_keep(grower *g, kt_value value, const kt_tensor *variants) {
    if (g->count == RANDOM_MOST_VALUES) return -1;
    g->values[g->count].value = value;
    memcpy(g->values[g->count].variants, variants, sizeof g->values[g->count].variants);
    return g->count++;
}

int grower_add(grower *g, kt_op op, const int *operands, uint32_t count, const void *attrs) {
    kt_graph *graph = g->module->graph;
    kt_type types[8], result;
    kt_value values[8];
    kt_diag diag = {0};
    if (count > 8 || g->count == RANDOM_MOST_VALUES) return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (operands[i] < 0) return -1;
        types[i] = *type_of(g, operands[i]);
        values[i] = g->values[operands[i]].value;
    }
    uint32_t equalities = graph->equalities.count;
    kt_infer infer = {.graph = graph,
                      .op = op,
                      .operands = types,
                      .operand_count = count,
                      .attrs = attrs,
                      .results = &result,
                      .result_count = 1,
                      .diag = &diag};
    bool valid = kt_infer_node(&infer) == KT_OK && graph->equalities.count == equalities;
    graph->equalities.count = equalities;
    kt_diag_deinit(&diag);
    kt_tensor variants[RANDOM_VARIANTS];
    if (!valid || result.rank > 6) return -1;
    const kt_tensor *given[8];
    for (uint32_t i = 0; i < count; i++) given[i] = g->values[operands[i]].variants;
    if (!grower_evaluate(g, op, given, count, attrs, &result, variants) ||
        !grower_is_tame(variants, rounds(op, &result, attrs)))
        return -1;
    kt_value value = kt_build_node(g->builder, op, values, count, attrs);
    if (g->builder->status != KT_OK) KT_BUG("the builder refuses what inference allows");
    g->module->grown[op]++;
    g->module->dtypes[result.dtype]++;
    return grower_keep(g, value, variants);
}

/* ---- operands -------------------------------------------------------------------------------- */
int grower_pick(grower *g, kt_domain domain) {
    for (int tries = 0; tries < 24; tries++) {
        int near = g->count < 5 ? g->count : 5;
        int i = chance(g, 2) ? g->count - 1 - draw(g, near) : draw(g, g->count);
        if (kt_domain_has(domain, type_of(g, i)->dtype)) return i;
    }
    return -1;
}

kt_dim grower_some_dim(grower *g) { return g->dims[draw(g, g->dims_count)]; }

kt_dtype grower_some_dtype(grower *g) {
    return chance(g, 6) ? (kt_dtype)draw(g, KT_STRING) : g->favourites[draw(g, 3)];
}

int grower_constant_of(grower *g, const kt_type *type) {
    kt_tensor tensor;
    if (kt_type_static_elements(pool_of(g), type) < 0 || !grower_make_tensor(g, type, &tensor)) return -1;
    grower_fill(g, &tensor);
    const kt_attrs_constant attrs = {.type = *type, .literal = {tensor.data, kt_tensor_bytes(&tensor)}};
    return grower_add(g, KT_OP_constant, NULL, 0, &attrs);
}

static int scalar_of(grower *g, kt_dtype dtype, double x) {
    const kt_type type = kt_type_scalar(dtype);
    void *data = kt_arena_alloc(g->module->arena, 8);
    if (kt_dtype_is_float(dtype))
        kt_element_set_float(dtype, data, 0, x);
    else
        kt_element_set_integer(dtype, data, 0, (int64_t)x);
    const kt_attrs_constant attrs = {.type = type, .literal = {data, kt_dtype_bytes(dtype)}};
    return grower_add(g, KT_OP_constant, NULL, 0, &attrs);
}

int grower_variable_of(grower *g, const kt_type *type) {
    kt_graph *graph = g->module->graph;
    kt_tensor variants[RANDOM_VARIANTS];
    if (g->body || chance(g, 5)) return grower_constant_of(g, type);
    if (kt_type_static_elements(pool_of(g), type) < 0 || !grower_make_tensor(g, type, &variants[0]))
        return -1;
    grower_fill(g, &variants[0]);
    variants[1] = variants[2] = variants[0];
    const kt_variable made = {.path = kt_arena_format(graph->arena, "v%u", graph->variables.count),
                              .file_path = kt_arena_format(graph->arena, "vars/%u", graph->variables.count),
                              .type = *type,
                              .trainable = true,
                              .data = variants[0].data};
    uint32_t index = kt_graph_add_variable(graph, &made);
    int kept = grower_keep(g, kt_builder_param(g->builder, KT_ROLE_VARIABLE, NULL, index, type), variants);
    if (kept >= 0 && g->variable_count < RANDOM_MOST_PORTS) g->variables[g->variable_count++] = kept;
    return kept;
}

static int broadcast_to(grower *g, int x, const kt_type *type, const int64_t *axes) {
    kt_attrs_broadcast attrs = {.shape = {.count = type->rank}, .axes = {.count = type_of(g, x)->rank}};
    for (int i = 0; i < type->rank; i++) attrs.shape.at[i] = type->dims[i];
    for (uint32_t i = 0; axes && i < attrs.axes.count; i++) attrs.axes.at[i] = axes[i];
    return grower_add(g, KT_OP_broadcast, &x, 1, &attrs);
}

int grower_value_like(grower *g, kt_type type) {
    int first = draw(g, g->count), many = chance(g, 4) ? 0 : g->count;
    for (int k = 0; k < many; k++) {
        int i = (first + k) % g->count;
        if (kt_type_equal(type_of(g, i), &type)) return i;
    }
    int64_t axis = draw(g, type.rank);
    kt_type vector = {.dtype = type.dtype, .rank = 1, .dims = {type.dims[axis]}};
    switch (draw(g, 4)) {
    case 0:
        if (type.rank && is_number(g, vector.dims[0], NULL)) {
            int v = grower_variable_of(g, &vector);
            return v < 0 ? -1 : broadcast_to(g, v, &type, &axis);
        }
        break;
    case 1: {
        int v = grower_variable_of(g, &type);
        if (v >= 0) return v;
        break;
    }
    default:
        for (int i = g->count - 1; i >= 0; i--) {
            kt_type other = *type_of(g, i);
            other.dtype = type.dtype;
            const kt_attrs_cast attrs = {.dtype = type.dtype};
            if (chance(g, 2) && kt_type_equal(&other, &type)) return grower_add(g, KT_OP_cast, &i, 1, &attrs);
        }
    }
    int c = scalar_of(g, type.dtype, draw(g, 9) - 4);
    return c < 0 || type.rank == 0 ? c : broadcast_to(g, c, &type, NULL);
}

int grower_apply(grower *g, kt_op op, int x, int y) {
    const int operands[] = {x, y};
    return grower_add(g, op, operands, y < 0 ? 1 : 2, NULL);
}

int grower_into_range(grower *g, int x, double low, double high) {
    kt_type type = *type_of(g, x);
    int y = grower_apply(g, KT_OP_logistic, x, -1), scale = scalar_of(g, type.dtype, high - low),
        shift = scalar_of(g, type.dtype, low);
    if (y < 0 || scale < 0 || shift < 0) return -1;
    if (type.rank) {
        scale = broadcast_to(g, scale, &type, NULL);
        shift = broadcast_to(g, shift, &type, NULL);
    }
    if (scale < 0 || shift < 0) return -1;
    y = grower_apply(g, KT_OP_mul, y, scale);
    return y < 0 ? -1 : grower_apply(g, KT_OP_add, y, shift);
}
