/* What a kernel's body weighs: how much it computes for an element, and how many elements side by side that
 * leaves registers for. */
#include "codegen/lower/lower_impl.h"

/* Chains of many operations want several of them side by side, as far as registers hold what they need. */
enum { HEAVY_REGISTERS = 8 };

bool kt_lower_is_costly(kt_op op) {
    switch (op) {
    case KT_OP_exp:
    case KT_OP_expm1:
    case KT_OP_log:
    case KT_OP_log1p:
    case KT_OP_sin:
    case KT_OP_cos:
    case KT_OP_tan:
    case KT_OP_asin:
    case KT_OP_acos:
    case KT_OP_atan:
    case KT_OP_sinh:
    case KT_OP_cosh:
    case KT_OP_tanh:
    case KT_OP_asinh:
    case KT_OP_acosh:
    case KT_OP_atanh:
    case KT_OP_erf:
    case KT_OP_logistic:
    case KT_OP_pow:
    case KT_OP_atan2:
    case KT_OP_rem: return true;
    default: return false;
    }
}

int kt_lower_weight(const kt_lower *lower) {
    int weight = 1;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_op op = kt_lower_node(lower, i)->op;
        weight += kt_lower_is_costly(op) ? 16 : op == KT_OP_div || op == KT_OP_sqrt ? 4 : 1;
    }
    return weight;
}

int kt_lower_native_lanes(const kt_lower *lower) {
    size_t widest = 4;
    for (uint32_t i = 0; i < lower->loops->buffer_count; i++) {
        size_t bytes = kt_dtype_bytes(lower->loops->buffer_dtypes[i]);
        if (bytes > widest) widest = bytes;
    }
    return lower->target->vector_bytes / (int)widest;
}

/* Do its values need many registers? What is spread over lanes needs none of its own. */
static bool is_heavy(const kt_lower *lower) {
    int weight = kt_lower_weight(lower);
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++)
        weight -= kt_lower_node(lower, i)->op == KT_OP_broadcast;
    return weight > KT_HEAVY;
}

int kt_lower_lanes(const kt_lower *lower, int factor, kt_dim extent) {
    int lanes = kt_lower_native_lanes(lower);
    int64_t elements = INT64_MAX;
    kt_dim_is_const(lower->dims, extent, &elements);
    int most = lower->target->vector_registers / HEAVY_REGISTERS;
    bool heavy = is_heavy(lower);
    if (heavy && factor > most) factor = most;
    for (; factor > 1; factor /= 2) {
        int64_t wide = (int64_t)lanes * factor, idle = (wide - elements % wide) % wide;
        if (elements >= wide && (!heavy || idle <= elements / 4)) return (int)wide;
    }
    while (lanes > 1 && elements <= lanes / 2) lanes /= 2;
    return lanes;
}

uint32_t kt_lower_reduced_axes(const kt_node_info *node) {
    uint32_t reduced = 0;
    if (node->op == KT_OP_arg_reduce) return 1U << ((const kt_attrs_arg_reduce *)node->attrs)->axis;
    if (node->op != KT_OP_reduce) return 0;
    const kt_ints *axes = &((const kt_attrs_reduce *)node->attrs)->axes;
    for (uint32_t i = 0; i < axes->count; i++) reduced |= 1U << axes->at[i];
    return reduced;
}

/* The product of sizes, each symbol counted as 64, and not much more than would make a unit by itself. */
static int64_t guess_product(const kt_lower *lower, int64_t product, const kt_dim *dims, int begin, int end) {
    for (int axis = begin; axis < end; axis++) {
        int64_t size = 64;
        kt_dim_is_const(lower->dims, dims[axis], &size);
        product = kt_size_mul(product, size > 0 ? size : 1);
        if (product > KT_GRAIN) return KT_GRAIN;
    }
    return product;
}

/* How many elements a reducing node combines for one of its result. */
static int64_t node_depth(const kt_lower *lower, const kt_node_info *node) {
    int64_t depth = 1;
    if (node->op == KT_OP_reduce_window) {
        const kt_ints *window = &((const kt_attrs_reduce_window *)node->attrs)->window;
        for (uint32_t i = 0; i < window->count && depth < KT_GRAIN; i++)
            depth = kt_size_mul(depth, window->at[i]);
    } else if (node->op == KT_OP_conv) {
        const kt_type *kernel = kt_graph_type(lower->graph, node->operands[1]);
        bool packed = ((const kt_attrs_conv *)node->attrs)->panel != 0;
        depth = guess_product(lower, 1, kernel->dims, packed, kernel->rank - 1);
    } else if (node->op == KT_OP_conv_by_kernel) {
        const kt_type *g = kt_graph_type(lower->graph, node->operands[1]);
        depth = guess_product(lower, 1, g->dims, 0, g->rank - 1);
    } else if (node->op == KT_OP_dot_general) {
        const kt_ints *axes = &((const kt_attrs_dot_general *)node->attrs)->lhs_contract;
        const kt_type *x = kt_graph_type(lower->graph, node->operands[0]);
        for (uint32_t i = 0; i < axes->count; i++)
            depth = guess_product(lower, depth, x->dims, (int)axes->at[i], (int)axes->at[i] + 1);
    } else {
        uint32_t reduced = kt_lower_reduced_axes(node);
        const kt_type *x = reduced ? kt_graph_type(lower->graph, node->operands[0]) : NULL;
        for (int axis = 0; x && axis < x->rank; axis++)
            if (reduced & 1U << axis) depth = guess_product(lower, depth, x->dims, axis, axis + 1);
    }
    return depth;
}

int64_t kt_lower_depth(const kt_lower *lower) {
    int64_t depth = 1;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        int64_t own = node_depth(lower, kt_lower_node(lower, i));
        if (own > depth) depth = own;
    }
    return depth;
}
