/* Recomputing: what is cheap, and read again long after it was made, as the way back reads what the way forth
 * made, is computed again there instead of being kept until then. That is so where all that it is made of is
 * small, or is kept that long anyway; so no more than before is alive at any time. Whoever reads it must be
 * elementwise, a padding or a reduction, whose kernel takes it in, so that nothing is written twice; but what
 * is padded for a convolution is padded again for the derivative by the kernel where that computes much more.
 *
 * requires  that no pass after it joins what is equal
 * keeps     results, to the bit
 * breaks    nothing */
#include "passes/passes_impl.h"

enum {
    FAR = 40,          /* nodes from its definition to a reader */
    MOST = 12,         /* nodes that are computed again for one reader */
    SMALL = 64 * 1024, /* bytes */
    MUCH = 512,        /* operations for an element that is read */
};

typedef KT_VECTOR(uint32_t) places;

typedef struct recomputing {
    kt_pass_run *run;
    kt_function function; /* as it was */
    places *readers; /* by value: where in the function it is read, in order; results are read behind the last
                        node */
    uint32_t *made;  /* by value: where */
    uint32_t *kept;  /* by value: where it is read last out of memory */
    uint32_t *again; /* by value: from where on it is computed again; 0: never */
} recomputing;

static const kt_node_info *definition(const recomputing *r, kt_value value) {
    return kt_graph_definition(r->run->graph, value);
}

static bool is_small(const recomputing *r, kt_value value) {
    int64_t bytes;
    kt_dim_pool *dims = r->run->graph->dims;
    return kt_dim_is_const(dims, kt_type_bytes(dims, kt_graph_type(r->run->graph, value)), &bytes) &&
           bytes < SMALL;
}

static bool is_cheap(const kt_node_info *node) {
    switch (node->op) {
    case KT_OP_add:
    case KT_OP_sub:
    case KT_OP_mul:
    case KT_OP_neg:
    case KT_OP_maximum:
    case KT_OP_minimum:
    case KT_OP_select:
    case KT_OP_cast: return true;
    default:
        return kt_op_is(node->op, KT_ELEMENTWISE) && node->result_count == 1 && node->operand_count == 2 &&
               node->op >= KT_OP_eq && node->op <= KT_OP_ge;
    }
}

/* Does a convolution's derivative by its kernel take so long that padding its input again, which is read and
 * written once more then, is little beside it? */
static bool outweighs_padding(const recomputing *r, const kt_node_info *reader, kt_value padded) {
    if (reader->op != KT_OP_conv_by_kernel || reader->operands[0] != padded || reader->operands[1] == padded)
        return false;
    const kt_attrs_conv_by_kernel *attrs = reader->attrs;
    const kt_type *cotangent = kt_graph_type(r->run->graph, reader->operands[1]);
    int64_t work;
    if (!kt_dim_is_const(r->run->graph->dims, cotangent->dims[cotangent->rank - 1], &work)) return false;
    work = kt_size_mul(work, 2);
    for (uint32_t i = 0; i < attrs->window.count; i++)
        work = kt_size_mul(work, attrs->window.at[i]) / attrs->strides.at[i];
    return work / attrs->groups >= MUCH;
}

/* Can a reader compute what node gives for itself? */
static bool takes_in(const recomputing *r, const kt_node_info *reader, const kt_node_info *node) {
    if (node->op == KT_OP_pad) return outweighs_padding(r, reader, node->first_result);
    return reader->op == KT_OP_reduce || reader->op == KT_OP_pad || kt_op_is(reader->op, KT_ELEMENTWISE);
}

/* Is a reader at a place to compute value again, rather than read it? */
static bool is_expanded(const recomputing *r, kt_value value, uint32_t place) {
    const kt_node_info *node = definition(r, value);
    if (!node) return false;
    if (kt_pass_repeats_elements(r->run->graph, node)) return true;
    if (is_small(r, value)) return false;
    if (r->again[value] && place >= r->again[value]) return true;
    return r->kept[value] < place && is_cheap(node);
}

/* How many nodes compute what node gives again at a place; more than most: it cannot be. */
static uint32_t cost(const recomputing *r, const kt_node_info *node, uint32_t place, uint32_t most) {
    uint32_t nodes = 1;
    for (uint32_t k = 0; k < node->operand_count && nodes <= most; k++) {
        kt_value operand = node->operands[k];
        if (is_expanded(r, operand, place))
            nodes += cost(r, definition(r, operand), place, most - nodes);
        else if (definition(r, operand) && !is_small(r, operand) && r->kept[operand] + FAR < place)
            return most + 1;
    }
    return nodes;
}

/* What is computed at a place from values in memory keeps these until then. */
static void keep(recomputing *r, const kt_node_info *node, uint32_t place) {
    for (uint32_t k = 0; k < node->operand_count; k++) {
        kt_value operand = node->operands[k];
        if (is_expanded(r, operand, place))
            keep(r, definition(r, operand), place);
        else if (r->kept[operand] < place)
            r->kept[operand] = place;
    }
}

static void decide(recomputing *r, const kt_node_info *node) {
    const kt_value value = node->first_result;
    const places *readers = &r->readers[value];
    uint32_t first = readers->count; /* of those that compute it again, all behind it do */
    if ((!is_cheap(node) && node->op != KT_OP_pad) || is_small(r, value)) return;
    while (first > 0) {
        uint32_t place = readers->at[first - 1];
        if (place < r->made[value] + FAR || place >= r->function.nodes.count) break;
        const kt_node_info *reader = kt_graph_node(r->run->graph, r->function.nodes.at[place]);
        if (!takes_in(r, reader, node) || cost(r, node, place, MOST) > MOST) break;
        first--;
    }
    if (first == readers->count || first == 0) return;
    for (uint32_t i = first; i < readers->count; i++) keep(r, node, readers->at[i]);
    r->again[value] = readers->at[first];
    r->kept[value] = readers->at[first - 1];
}

static void find_readers(recomputing *r) {
    const kt_graph *graph = r->run->graph;
    kt_arena *arena = r->run->scratch;
    const bool *live = kt_pass_live(r->run, &r->function);
    for (uint32_t i = 0; i < r->function.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r->function.nodes.at[i]);
        for (uint32_t k = 0; k < node->result_count; k++) r->made[node->first_result + k] = i;
        for (uint32_t k = 0; k < node->operand_count && live[r->function.nodes.at[i]]; k++)
            KT_PUSH(arena, &r->readers[node->operands[k]], i);
    }
    for (uint32_t i = 0; i < r->function.results.count; i++)
        KT_PUSH(arena, &r->readers[r->function.results.at[i].value], r->function.nodes.count);
    for (kt_value value = 1; value < graph->values.count; value++)
        if (r->readers[value].count) r->kept[value] = r->readers[value].at[r->readers[value].count - 1];
}

static kt_value compute(recomputing *r, kt_builder *builder, kt_value value, uint32_t place) {
    const kt_node_info *node = definition(r, value);
    kt_value operands[3];
    KT_ASSERT(node->operand_count <= 3);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        bool expanded = is_expanded(r, node->operands[k], place);
        operands[k] = expanded ? compute(r, builder, node->operands[k], place)
                               : kt_builder_lookup(builder, node->operands[k]);
    }
    builder->loc = node->loc;
    return kt_pass_build_like(builder, node, operands, node->attrs);
}

/* Copies a reader that computes operands again. */
static void copy_reader(recomputing *r, kt_builder *builder, const kt_node_info *node, uint32_t place) {
    kt_value *operands = KT_NEW_ARRAY(r->run->scratch, kt_value, node->operand_count + 1);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        kt_value value = node->operands[k];
        bool again = r->again[value] && place >= r->again[value];
        operands[k] = again ? compute(r, builder, value, place) : kt_builder_lookup(builder, value);
    }
    builder->loc = node->loc;
    kt_builder_replace(builder, node->first_result, kt_pass_build_like(builder, node, operands, node->attrs));
}

/* For people: what is computed again, how large it is, and what of. */
static void tell(const recomputing *r) {
    const kt_graph *graph = r->run->graph;
    kt_text *text = &r->run->options->memory->told;
    bool any = false;
    for (kt_value value = 1; value < graph->values.count; value++) {
        if (!r->again[value]) continue;
        const kt_node_info *node = definition(r, value);
        const places *readers = &r->readers[value];
        uint32_t count = 0;
        while (count < readers->count && readers->at[readers->count - 1 - count] >= r->again[value]) count++;
        if (!any) kt_text_format(text, "computed again in kernels of %s:\n", r->function.name);
        any = true;
        kt_text_format(text, "  %s, ", kt_op_describe(node->op)->name);
        kt_dim_print(graph->dims, kt_type_bytes(graph->dims, kt_graph_type(graph, value)), text);
        kt_text_format(text, " bytes, for %u readers, by %u operations an element  // ", count,
                       cost(r, node, r->again[value], MOST));
        kt_loc_print(graph, node->loc, text);
        kt_text_add(text, "\n");
    }
}

static kt_status recompute(kt_pass_run *run, kt_func func) {
    kt_graph *graph = run->graph;
    const uint32_t values = graph->values.count;
    recomputing r = {.run = run,
                     .function = *kt_graph_function(graph, func),
                     .readers = KT_NEW_ARRAY(run->scratch, places, values),
                     .made = KT_NEW_ARRAY(run->scratch, uint32_t, values),
                     .kept = KT_NEW_ARRAY(run->scratch, uint32_t, values),
                     .again = KT_NEW_ARRAY(run->scratch, uint32_t, values)};
    if (r.function.kind != KT_FUNC_ENTRY) return KT_OK;
    find_readers(&r);
    for (uint32_t i = 0; i < r.function.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r.function.nodes.at[i]);
        if (node->result_count == 1) decide(&r, node);
    }
    if (run->options->memory) tell(&r);
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, run->diag);
    for (uint32_t i = 0; i < r.function.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r.function.nodes.at[i]);
        bool again = false;
        for (uint32_t k = 0; k < node->operand_count; k++)
            again = again || (r.again[node->operands[k]] && i >= r.again[node->operands[k]]);
        if (again)
            copy_reader(&r, &builder, node, i);
        else
            kt_builder_copy(&builder, r.function.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_recompute(kt_pass_run *run) { return kt_pass_each(run, recompute); }

kt_status kt_pass_recompute(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_recompute, graph, options, diag);
}
