/* Samples: where the layers of a network work on large images, each image of the batch goes through a stretch
 * of them before the next one does, so that what passes between them stays in the cache; and it takes no more
 * room than one image wants. The stretch becomes the step of a scan over the batch.
 *
 * A value is sampled if its first axis is the batch times some rows, and each sample's rows depend on the
 * same sample's rows of the inputs alone; it is shared if it depends on no input. A stretch is made of
 * segments, each a contraction, window or reduction with what follows it elementwise. For each sample more, a
 * segment leaves the bytes of its images in the cache, and reads its weights once more: a stretch is where
 * the first outweigh the second. Views and values that repeat elements are written into the step and around
 * it, as they are needed.
 *
 * requires  split, so that what depends on weights alone is a parameter
 * keeps     results bit for bit, where kernels do not sum otherwise for other sizes of the batch
 * breaks    nothing */
#include "passes/passes_impl.h"

enum {
    LARGE_BYTES = 1 << 18, /* of an image: a batch of less is soon out of a core's cache anyway */
    READ_AGAIN = 2,        /* what a byte of weights costs that comes from farther than images would */
};

typedef struct sampling {
    kt_pass_run run;
    const kt_function *entry;
    kt_dim batch;
    const bool *live; /* by node */
    kt_dim *rows;     /* by value: of a sample; 0: it is not sampled */
    bool *shared;     /* by value */
    bool *inside;     /* by value: computed by the stretch that is being cut out */
    bool *again;      /* by node: of values from outside of it, written into its step once more */
} sampling;

/* Nodes [first, end) of the entry. */
typedef struct stretch {
    uint32_t first, end;
} stretch;

/* ---- what is sampled ------------------------------------------------------------------------- */

/* A first axis by the batch; 0: the batch does not divide it. */
static kt_dim rows_of(const sampling *s, const kt_type *type) {
    kt_dim_pool *dims = s->run.graph->dims;
    if (type->rank == 0) return 0;
    kt_dim rows = kt_dim_floordiv(dims, type->dims[0], s->batch);
    bool whole = kt_dim_at_least(dims, rows, 1) && kt_dim_mul(dims, rows, s->batch) == type->dims[0];
    return whole ? rows : 0;
}

static bool keeps_first(const sampling *s, const kt_dims *low, const kt_dims *high) {
    return kt_dim_equals(s->run.graph->dims, low->at[0], 0) &&
           kt_dim_equals(s->run.graph->dims, high->at[0], 0);
}

static bool slices_no_first(const sampling *s, const kt_node_info *node) {
    const kt_attrs_slice *attrs = node->attrs;
    return kt_dim_equals(s->run.graph->dims, attrs->start.at[0], 0) && attrs->strides.at[0] == 1 &&
           attrs->limit.at[0] == kt_graph_type(s->run.graph, node->operands[0])->dims[0];
}

static bool windows_no_first(const sampling *s, const kt_attrs_reduce_window *attrs) {
    return attrs->window.at[0] == 1 && attrs->strides.at[0] == 1 && keeps_first(s, &attrs->low, &attrs->high);
}

static bool pairs_first(const kt_attrs_dot_general *attrs, bool second_sampled) {
    if (second_sampled)
        return attrs->lhs_batch.count > 0 && attrs->lhs_batch.at[0] == 0 && attrs->rhs_batch.at[0] == 0;
    return attrs->lhs_batch.count == 0 && !kt_ints_hold(&attrs->lhs_contract, 0);
}

/* Does the node, whose first operand is sampled, work on each row of its first axis by itself, or leave each
 * sample's elements together? */
static bool keeps_samples(const sampling *s, const kt_node_info *node) {
    const kt_value *operands = node->operands;
    bool second_shared = node->operand_count < 2 || s->shared[operands[1]];
    bool alike = true;
    for (uint32_t i = 1; i < node->operand_count; i++)
        alike = alike && s->rows[operands[i]] == s->rows[operands[0]];
    if (kt_op_is(node->op, KT_ELEMENTWISE)) return alike;
    switch (node->op) {
    case KT_OP_reshape: return true;
    case KT_OP_broadcast: {
        const kt_attrs_broadcast *attrs = node->attrs;
        return attrs->axes.at[0] == 0 &&
               attrs->shape.at[0] == kt_graph_type(s->run.graph, operands[0])->dims[0];
    }
    case KT_OP_transpose: return ((const kt_attrs_transpose *)node->attrs)->axes.at[0] == 0;
    case KT_OP_slice: return slices_no_first(s, node);
    case KT_OP_pad: {
        const kt_attrs_pad *attrs = node->attrs;
        return second_shared && attrs->interior.at[0] == 0 && keeps_first(s, &attrs->low, &attrs->high);
    }
    case KT_OP_concat: return alike && ((const kt_attrs_concat *)node->attrs)->axis != 0;
    case KT_OP_reverse: return !kt_ints_hold(&((const kt_attrs_reverse *)node->attrs)->axes, 0);
    case KT_OP_reduce: return !kt_ints_hold(&((const kt_attrs_reduce *)node->attrs)->axes, 0);
    case KT_OP_arg_reduce: return ((const kt_attrs_arg_reduce *)node->attrs)->axis != 0;
    case KT_OP_reduce_window: return windows_no_first(s, node->attrs);
    case KT_OP_dot_general: return (second_shared || alike) && pairs_first(node->attrs, !second_shared);
    case KT_OP_conv:
    case KT_OP_winograd: return second_shared;
    default: return false;
    }
}

/* Repeats elements of what is shared, along its first axis too. */
static bool repeats_shared(const sampling *s, const kt_node_info *node) {
    if (node->op != KT_OP_broadcast || !s->shared[node->operands[0]]) return false;
    return !kt_ints_hold(&((const kt_attrs_broadcast *)node->attrs)->axes, 0);
}

static void find_samples(sampling *s) {
    const kt_graph *graph = s->run.graph;
    for (uint32_t i = 0; i < s->entry->params.count; i++) {
        const kt_port *param = &s->entry->params.at[i];
        s->shared[param->value] = param->role != KT_ROLE_INPUT;
        if (param->role == KT_ROLE_INPUT && kt_graph_type(graph, param->value)->rank > 0 &&
            kt_graph_type(graph, param->value)->dims[0] == s->batch)
            s->rows[param->value] = kt_dim_const(graph->dims, 1);
    }
    for (uint32_t i = 0; i < s->entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, s->entry->nodes.at[i]);
        bool shared = node->op != KT_OP_philox;
        for (uint32_t k = 0; k < node->operand_count; k++) shared = shared && s->shared[node->operands[k]];
        kt_dim rows = node->result_count == 1 ? rows_of(s, kt_graph_type(graph, node->first_result)) : 0;
        bool sampled =
            rows && (repeats_shared(s, node) ||
                     (node->operand_count > 0 && s->rows[node->operands[0]] && keeps_samples(s, node)));
        for (uint32_t k = 0; k < node->result_count; k++) {
            s->rows[node->first_result + k] = sampled ? rows : 0;
            s->shared[node->first_result + k] = shared && !sampled;
        }
    }
}

/* ---- stretches ------------------------------------------------------------------------------- */

static bool is_heavy(kt_op op) {
    return op == KT_OP_dot_general || op == KT_OP_conv || op == KT_OP_winograd || op == KT_OP_reduce_window ||
           op == KT_OP_reduce || op == KT_OP_arg_reduce;
}

/* Bytes of a value, or of a sample of it; 0 where a symbol says how many. */
static int64_t value_bytes(const sampling *s, kt_value value) {
    kt_type type = *kt_graph_type(s->run.graph, value);
    if (s->rows[value]) type.dims[0] = s->rows[value];
    int64_t bytes = kt_type_static_bytes(s->run.graph->dims, &type);
    return bytes < 0 ? 0 : bytes;
}

/* How many bytes fewer leave or enter the cache for each sample; images: the bytes of the node's images. */
static int64_t gain(const sampling *s, const kt_node_info *node, int64_t *out_images) {
    int64_t images = value_bytes(s, node->first_result), weights = 0;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        int64_t bytes = value_bytes(s, node->operands[i]);
        int64_t *sum = s->rows[node->operands[i]] ? &images : &weights;
        *sum = kt_size_add(*sum, bytes);
    }
    *out_images = images;
    return kt_size_add(images, kt_size_mul(-READ_AGAIN, weights));
}

/* Is this node the entry's own affair, wherever it stands? */
static bool is_apart(const sampling *s, kt_node handle) {
    const kt_node_info *node = kt_graph_node(s->run.graph, handle);
    return !s->live[handle] || s->shared[node->first_result] || repeats_shared(s, node);
}

/* The end of the segment that begins at node number first: before the views that lead to the next heavy node,
 * or before a node that is not sampled. */
static uint32_t segment_end(const sampling *s, uint32_t first) {
    const kt_graph *graph = s->run.graph;
    uint32_t end = first;
    bool heavy = false;
    for (uint32_t i = first; i < s->entry->nodes.count; i++) {
        kt_node handle = s->entry->nodes.at[i];
        const kt_node_info *node = kt_graph_node(graph, handle);
        if (is_apart(s, handle)) continue;
        if (!s->rows[node->first_result] || (heavy && is_heavy(node->op))) return end;
        heavy = heavy || is_heavy(node->op);
        if (!heavy || !kt_op_is(node->op, KT_VIEW)) end = i + 1;
    }
    return end;
}

/* What the segments of a stretch add up to. */
typedef struct gains {
    int64_t sum, images; /* images: the most of a node */
    uint32_t heavy;      /* nodes */
} gains;

static void add_gains(const sampling *s, stretch segment, gains *g) {
    for (uint32_t i = segment.first; i < segment.end; i++) {
        kt_node handle = s->entry->nodes.at[i];
        const kt_node_info *node = kt_graph_node(s->run.graph, handle);
        if (is_apart(s, handle) || !is_heavy(node->op)) continue;
        int64_t images;
        g->sum = kt_size_add(g->sum, gain(s, node, &images));
        if (images > g->images) g->images = images;
        g->heavy++;
    }
}

/* The next stretch from node number first on that gains by being cut out; false: there is none. */
static bool find_stretch(const sampling *s, uint32_t first, stretch *out_stretch) {
    gains all = {0}, best = {0};
    *out_stretch = (stretch){first, first};
    for (uint32_t at = first; at < s->entry->nodes.count;) {
        uint32_t end = segment_end(s, at);
        add_gains(s, (stretch){at, end}, &all);
        if (end == at || all.sum <= 0) {
            if (best.heavy > 1 && best.images >= LARGE_BYTES) return true;
            at = end == at ? at + 1 : end;
            *out_stretch = (stretch){at, at};
            all = best = (gains){0};
            continue;
        }
        if (all.sum > best.sum) {
            best = all;
            out_stretch->end = end;
        }
        at = end;
    }
    return best.heavy > 1 && best.images >= LARGE_BYTES;
}

/* ---- cutting out ----------------------------------------------------------------------------- */

typedef KT_VECTOR(kt_value) values;

/* What the step takes of value, which is of outside: sequences, what stays, or operands of what it repeats.
 */
static void import(sampling *s, kt_value value, bool *seen, values *sequences, values *still) {
    const kt_graph *graph = s->run.graph;
    if (seen[value] || s->inside[value]) return;
    seen[value] = true;
    const kt_node_info *node = kt_graph_definition(graph, value);
    if (node && kt_pass_repeats_elements(graph, node)) {
        s->again[kt_graph_value(graph, value)->node] = true;
        for (uint32_t i = 0; i < node->operand_count; i++)
            import(s, node->operands[i], seen, sequences, still);
    } else {
        KT_PUSH(s->run.scratch, s->rows[value] ? sequences : still, value);
    }
}

static kt_type sample_type(const sampling *s, kt_value value) {
    kt_type type = *kt_graph_type(s->run.graph, value);
    if (s->rows[value]) type.dims[0] = s->rows[value];
    return type;
}

/* Writes the node for one sample. */
static void clone_for_sample(const sampling *s, kt_builder *step, kt_node handle, kt_value *map) {
    const kt_node_info node = *kt_graph_node(s->run.graph, handle);
    kt_value *operands = KT_NEW_ARRAY(s->run.scratch, kt_value, node.operand_count);
    for (uint32_t i = 0; i < node.operand_count; i++) operands[i] = map[node.operands[i]];
    kt_dim rows = s->rows[node.first_result];
    kt_attrs_broadcast broadcast;
    kt_attrs_reshape reshape;
    kt_attrs_slice slice;
    const void *attrs = node.attrs;
    if (rows && node.op == KT_OP_broadcast) {
        broadcast = *(const kt_attrs_broadcast *)attrs;
        broadcast.shape.at[0] = rows;
        attrs = &broadcast;
    } else if (rows && node.op == KT_OP_reshape) {
        reshape = *(const kt_attrs_reshape *)attrs;
        reshape.shape.at[0] = rows;
        attrs = &reshape;
    } else if (rows && node.op == KT_OP_slice) {
        slice = *(const kt_attrs_slice *)attrs;
        slice.limit.at[0] = rows;
        attrs = &slice;
    }
    step->loc = node.loc;
    map[node.first_result] = kt_pass_build_like(step, &node, operands, attrs);
}

static const char *step_name(const sampling *s) {
    const char *stem = kt_arena_format(s->run.graph->arena, "%s.samples", s->entry->name), *name = stem;
    for (uint32_t i = 1; kt_graph_find(s->run.graph, name); i++)
        name = kt_arena_format(s->run.graph->arena, "%s.%u", stem, i);
    return name;
}

static bool is_cut_out(const sampling *s, kt_node handle) {
    return !is_apart(s, handle) && s->inside[kt_graph_node(s->run.graph, handle)->first_result];
}

/* Is it written anew around the scan where its value is wanted there? */
static bool is_made_anew(const kt_node_info *node) {
    return node->op == KT_OP_reshape || node->op == KT_OP_broadcast;
}

/* By value of the stretch: is it wanted outside? Of what is made anew there, the operand is. */
static bool *find_wanted(const sampling *s, stretch cut) {
    const kt_graph *graph = s->run.graph;
    const kt_function *entry = s->entry;
    bool *wanted = KT_NEW_ARRAY(s->run.scratch, bool, graph->values.count);
    for (uint32_t i = 0; i < entry->results.count; i++) wanted[entry->results.at[i].value] = true;
    for (uint32_t i = cut.end; i < entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        for (uint32_t k = 0; s->live[entry->nodes.at[i]] && k < node->operand_count; k++)
            wanted[node->operands[k]] = true;
    }
    for (uint32_t i = cut.end; i-- > cut.first;) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        if (is_made_anew(node) && is_cut_out(s, entry->nodes.at[i]) && wanted[node->first_result])
            wanted[node->operands[0]] = true;
    }
    return wanted;
}

/* The step that computes the stretch; results: what of it is wanted outside. */
static kt_status write_step(sampling *s, stretch cut, const values *sequences, const values *still,
                            const values *results, kt_func *out_step) {
    kt_graph *graph = s->run.graph;
    kt_value *map = KT_NEW_ARRAY(s->run.scratch, kt_value, graph->values.count);
    kt_builder step;
    kt_builder_begin(&step, graph, KT_FUNC_STEP, step_name(s), s->run.diag);
    for (uint32_t i = 0; i < sequences->count + still->count; i++) {
        kt_value value = i < sequences->count ? sequences->at[i] : still->at[i - sequences->count];
        const kt_type type = sample_type(s, value);
        map[value] = kt_builder_param(&step, KT_ROLE_PLAIN, NULL, i, &type);
    }
    for (uint32_t i = 0; i < cut.end; i++) {
        kt_node handle = s->entry->nodes.at[i];
        if (s->again[handle] || (i >= cut.first && is_cut_out(s, handle)))
            clone_for_sample(s, &step, handle, map);
    }
    for (uint32_t i = 0; i < results->count; i++)
        kt_builder_result(&step, KT_ROLE_PLAIN, NULL, i, map[results->at[i]]);
    return kt_builder_finish(&step, out_step);
}

/* The scan in place of the stretch: operands and results get an axis for the samples and lose it again. */
static kt_status cut_out(sampling *s, kt_builder *builder, stretch cut) {
    kt_graph *graph = s->run.graph;
    uint32_t count = graph->values.count;
    s->inside = KT_NEW_ARRAY(s->run.scratch, bool, count);
    s->again = KT_NEW_ARRAY(s->run.scratch, bool, graph->nodes.count);
    bool *seen = KT_NEW_ARRAY(s->run.scratch, bool, count);
    values sequences = {0}, still = {0}, results = {0}, operands = {0};
    for (uint32_t i = cut.first; i < cut.end; i++) {
        kt_node handle = s->entry->nodes.at[i];
        const kt_node_info node = *kt_graph_node(graph, handle);
        if (is_apart(s, handle)) {
            kt_builder_copy(builder, handle);
            continue;
        }
        for (uint32_t k = 0; k < node.operand_count; k++)
            import(s, node.operands[k], seen, &sequences, &still);
        s->inside[node.first_result] = true;
    }
    const bool *wanted = find_wanted(s, cut);
    for (kt_value value = 1; value < count; value++) {
        const kt_node_info *node = kt_graph_definition(graph, value);
        if (s->inside[value] && wanted[value] && !is_made_anew(node))
            KT_PUSH(s->run.scratch, &results, value);
    }
    kt_attrs_scan attrs = {.sequences = sequences.count, .length = s->batch};
    KT_TRY(write_step(s, cut, &sequences, &still, &results, &attrs.body));
    for (uint32_t i = cut.end; i-- > cut.first;)
        if (is_cut_out(s, s->entry->nodes.at[i]))
            builder->loc = kt_graph_node(graph, s->entry->nodes.at[i])->loc;
    for (uint32_t i = 0; i < sequences.count; i++) {
        const kt_type type = sample_type(s, sequences.at[i]);
        kt_dim shape[KT_MAX_RANK + 1] = {s->batch};
        for (int axis = 0; axis < type.rank; axis++) shape[axis + 1] = type.dims[axis];
        kt_value operand = kt_builder_lookup(builder, sequences.at[i]);
        KT_PUSH(s->run.scratch, &operands, kt_build_reshape(builder, operand, type.rank + 1, shape));
    }
    for (uint32_t i = 0; i < still.count; i++)
        KT_PUSH(s->run.scratch, &operands, kt_builder_lookup(builder, still.at[i]));
    kt_value *stacks = KT_NEW_ARRAY(s->run.scratch, kt_value, results.count);
    kt_build_scan(builder, &attrs, operands.at, operands.count, stacks);
    for (uint32_t i = 0; i < results.count; i++) {
        const kt_type type = *kt_graph_type(graph, results.at[i]);
        kt_builder_replace(builder, results.at[i],
                           kt_build_reshape(builder, stacks[i], type.rank, type.dims));
    }
    for (uint32_t i = cut.first; i < cut.end; i++) {
        kt_node handle = s->entry->nodes.at[i];
        const kt_node_info *node = kt_graph_node(graph, handle);
        if (is_cut_out(s, handle) && is_made_anew(node) && wanted[node->first_result])
            kt_builder_copy(builder, handle);
    }
    return builder->status;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* The first axis of the first input that is an image or the like; 0: there is none, or it is 1. */
static kt_dim find_batch(const kt_graph *graph, const kt_function *entry) {
    for (uint32_t i = 0; i < entry->params.count; i++) {
        const kt_port *param = &entry->params.at[i];
        const kt_type *type = kt_graph_type(graph, param->value);
        if (param->role != KT_ROLE_INPUT || type->rank < 3) continue;
        return kt_dim_equals(graph->dims, type->dims[0], 1) || !kt_dim_at_least(graph->dims, type->dims[0], 1)
                   ? 0
                   : type->dims[0];
    }
    return 0;
}

/* Does the entry give outputs alone, of ranks that leave room for one axis more? */
static bool is_candidate(const kt_graph *graph, const kt_function *entry) {
    if (entry->kind != KT_FUNC_ENTRY || kt_pass_is_prepare(entry)) return false;
    for (uint32_t i = 0; i < entry->results.count; i++)
        if (entry->results.at[i].role != KT_ROLE_OUTPUT) return false;
    for (uint32_t i = 0; i < entry->params.count; i++)
        if (kt_graph_type(graph, entry->params.at[i].value)->rank == KT_MAX_RANK) return false;
    for (uint32_t i = 0; i < entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        if (node->result_count == 0 || kt_graph_type(graph, node->first_result)->rank == KT_MAX_RANK)
            return false;
    }
    return true;
}

static kt_status sample_entry(sampling *s, kt_func func) {
    kt_graph *graph = s->run.graph;
    const kt_function old = *kt_graph_function(graph, func);
    s->entry = &old;
    s->batch = is_candidate(graph, &old) ? find_batch(graph, &old) : 0;
    if (!s->batch) return KT_OK;
    s->live = kt_pass_live(&s->run, &old);
    s->rows = KT_NEW_ARRAY(s->run.scratch, kt_dim, graph->values.count);
    s->shared = KT_NEW_ARRAY(s->run.scratch, bool, graph->values.count);
    find_samples(s);
    stretch cut;
    if (!find_stretch(s, 0, &cut)) return KT_OK;
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, s->run.diag);
    bool more = true;
    for (uint32_t i = 0; i < old.nodes.count;) {
        if (!more || i < cut.first) {
            kt_builder_copy(&builder, old.nodes.at[i++]);
            continue;
        }
        KT_TRY(cut_out(s, &builder, cut));
        i = cut.end;
        more = find_stretch(s, i, &cut);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_samples(kt_pass_run *run) {
    uint32_t count = run->graph->functions.count;
    for (kt_func func = 1; func < count; func++) KT_TRY(sample_entry((sampling *)run, func));
    return KT_OK;
}

kt_status kt_pass_samples(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    sampling s = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_samples, &s.run);
}
