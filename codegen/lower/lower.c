/* From a kernel function to its loop form. A kernel has at most one operation that is worth tiles, or two
 * products with rows between (chained.c), or a depthwise convolution and products of places (separable.c), or
 * one that goes through its result in an order of its own; everything else, and every kernel that tiles
 * cannot do, goes element by element. */
#include "codegen/lower/lower_impl.h"

#include "passes/plan.h"

int64_t kt_unit_share(int64_t all, int64_t most) {
    enum { FEW = 8 };
    for (int64_t share = most; 2 * share >= most && share > 0; share--)
        if (all % share == 0 && (all / share % 2 == 0 || all / share > FEW || all == share)) return share;
    int64_t units = kt_divide_up(all, most);
    if (units > 1 && units < FEW) units += units % 2;
    return units > 0 ? kt_divide_up(all, units) : most;
}

/* The operation of that kind behind node number i; NULL: there is none. */
static const kt_node_info *next_of(const kt_lower *lower, uint32_t i, kt_op op) {
    while (++i < lower->kernel->nodes.count) {
        const kt_node_info *node = kt_lower_node(lower, i);
        if (node->op == op) return node;
    }
    return NULL;
}

static bool lower_by_root(kt_lower *lower) {
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        if (node->op == KT_OP_dot_general || node->op == KT_OP_conv || node->op == KT_OP_conv_by_kernel ||
            node->op == KT_OP_winograd)
            lower->loops->node = lower->kernel->nodes.at[i];
        bool product = node->op == KT_OP_dot_general, convolution = node->op == KT_OP_conv;
        const kt_node_info *last = product || convolution ? next_of(lower, i, KT_OP_dot_general) : NULL;
        if (last) {
            /* Refused, and slow then, are none that fuse_between.c finds, but some kernels of a graph that is
             * read. */
            const kt_node_info *depthwise = convolution ? node : next_of(lower, i, KT_OP_conv);
            return depthwise ? kt_lower_separable_root(lower, product ? node : NULL, depthwise, last)
                             : kt_lower_chained_root(lower, node, last);
        }
        if (node->op == KT_OP_dot_general) return kt_lower_dot_root(lower, node);
        if (node->op == KT_OP_conv) return kt_lower_conv_root(lower, node);
        if (node->op == KT_OP_conv_by_kernel) return kt_lower_conv_by_kernel_root(lower, node);
        if (node->op == KT_OP_winograd) return kt_lower_winograd_root(lower, node);
        if (node->op == KT_OP_cumulative) return kt_lower_cumulative_root(lower, node);
        if (node->op == KT_OP_scatter) return kt_lower_scatter_root(lower, node);
    }
    return false;
}

/* The kernel's text without names, on one line. */
static const char *kernel_key(const kt_graph *graph, const kt_function *kernel, const kt_target *target,
                              kt_arena *arena) {
    if (!target->tuning) return "";
    kt_text text = {.arena = arena};
    kt_function_print(graph, kernel, &(kt_print_options){.elide = true, .anonymous = true}, &text);
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        bool space = text.at[i] == '\n' || text.at[i] == ' ';
        if (!space || (length && text.at[length - 1] != ' ')) text.at[length++] = space ? ' ' : text.at[i];
    }
    text.at[length] = 0;
    return kt_text_string(&text);
}

static uint64_t hash_code(const kt_loops *loops) {
    kt_text text = {.arena = loops->arena};
    kt_loops_print(loops, &text);
    return kt_hash_bytes(text.at, text.length, 0);
}

/* Which parts of concats the kernel's results are; their buffers are those of the whole. */
static const kt_concat_part *find_parts(kt_graph *graph, kt_func kernel, kt_arena *arena, kt_loops *loops) {
    const kt_function *function = kt_graph_function(graph, kernel);
    kt_concat_part *parts = KT_NEW_ARRAY(arena, kt_concat_part, function->results.count);
    for (uint32_t i = 0; i < function->results.count; i++) {
        parts[i].concat = kt_plan_whole(graph, kernel, i, &parts[i].begin);
        if (parts[i].concat)
            loops->buffer_elements[function->params.count + i] =
                kt_type_elements(graph->dims, kt_graph_type(graph, parts[i].concat->first_result));
    }
    return parts;
}

kt_status kt_lower_kernel(kt_graph *graph, kt_func kernel, const kt_target *target, kt_arena *arena,
                          kt_loops *out_loops, kt_diag *diag) {
    (void)diag;
    const kt_function *function = kt_graph_function(graph, kernel);
    KT_ASSERT(function->kind == KT_FUNC_KERNEL);
    kt_loops_init(out_loops, arena, graph, function, target);
    kt_choice *choice = &out_loops->choice;
    kt_choice_begin(choice, target->tuning, function->name, kernel_key(graph, function, target, arena));
    kt_lower lower = {.graph = graph,
                      .dims = graph->dims,
                      .kernel = function,
                      .parts = find_parts(graph, kernel, arena, out_loops),
                      .target = target,
                      .arena = arena,
                      .loops = out_loops,
                      .block = 1};
    if (function->nodes.count) out_loops->node = function->nodes.at[function->nodes.count - 1];
    if (!lower_by_root(&lower)) {
        choice->form = NULL;
        if (!kt_lower_transposed(&lower)) kt_lower_elementwise(&lower);
    }
    if (target->tuning && target->tuning->compares) choice->code = hash_code(out_loops);
    kt_tuning_note(target->tuning, choice);
    kt_dim one = kt_dim_const(graph->dims, 1);
    out_loops->cost = kt_dim_max(graph->dims, one, out_loops->cost);
    return KT_OK;
}
