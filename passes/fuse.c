/* Fusion: every computation of the entries and steps is outlined into kernels.
 *
 * An entry then holds calls of kernels, scans by steps of such, reshapes, which are other names of buffers,
 * and concats of what kernels write straight into their parts (passes/fuse_assemble.c). Kernels whose bodies
 * are equal, whatever layers they serve, are one function; a call's location lists all nodes that went in.
 * Results are written by kernels: where one is an input, a constant, or another result under a new shape, a
 * kernel of one reshape copies it.
 *
 * What a scan carries lies in one buffer that each turn overwrites. So it starts in a buffer that a kernel
 * made for it, and a step's kernel may write it only when nobody in the step reads the old one any more;
 * where that does not hold, a copy is made, at the end of the step. What a step stacks up besides is written
 * by the kernel that makes it, or that overwrites it, if that goes element by element.
 *
 * requires  no calls of composites (inline); contractions in the form that layout leaves
 * keeps     `prepare`, which is run by the evaluator, unless it is to be compiled
 * breaks    entries hold no operations any more: run every other pass before */
#include "passes/fuse_impl.h"
#include "passes/plan.h"

#include <string.h>

/* By value of the graph; made once and grown with it, so that a kernel costs what it holds. */
typedef struct by_value {
    kt_value *at;
    uint32_t count;
} by_value;

typedef struct fusing {
    kt_pass_run run;
    kt_table kernels; /* from what a kernel computes to its function */
    kt_table names;   /* by name: how many kernels have it */
    by_value numbers; /* 1 + the number in the kernel that is outlined, parameters first; else all 0 */
    by_value copies;  /* what stands for a value in the kernel that is made */
} fusing;

enum { LONGEST_NAME = 48 };

/* "conv_add_maximum": the operations, but for those that only spread values; of these alone, all. */
static const char *kernel_name(fusing *f, const kt_node *nodes, uint32_t count) {
    const kt_graph *graph = f->run.graph;
    kt_text text = {.arena = f->run.scratch};
    for (int all = 0; all < 2 && text.length == 0; all++)
        for (uint32_t i = 0; i < count; i++) {
            kt_op op = kt_graph_node(graph, nodes[i])->op;
            const char *name = kt_op_describe(op)->name;
            if (!all && (op == KT_OP_constant || op == KT_OP_broadcast || op == KT_OP_reshape)) continue;
            if (text.length + strlen(name) < LONGEST_NAME)
                kt_text_format(&text, "%s%s", text.length ? "_" : "", name);
        }
    uint32_t *seen = kt_table_add(&f->names, f->run.scratch, text.at, text.length, 0);
    while (kt_graph_find(graph, kt_text_string(&text)) || *seen > 0) {
        kt_text next = {.arena = f->run.scratch};
        kt_text_format(&next, "%s_%u", kt_text_string(&text), ++*seen);
        if (!kt_graph_find(graph, kt_text_string(&next))) return kt_text_string(&next);
    }
    return kt_text_string(&text);
}

/* What goes into a kernel: nodes in order, and the values from outside that they use. */
typedef struct outline {
    const kt_node *nodes;
    uint32_t node_count;
    const kt_value *results;
    uint32_t result_count;
    kt_node whole; /* the concat that the first result is written into, or 0 */
    KT_VECTOR(kt_value) params;
} outline;

static void make_room(fusing *f, by_value *table) {
    uint32_t values = f->run.graph->values.count;
    if (values <= table->count) return;
    table->count = 2 * values;
    table->at = KT_NEW_ARRAY(f->run.scratch, kt_value, table->count);
}

static void add_param(fusing *f, outline *o, kt_value value) {
    if (f->numbers.at[value]) return;
    KT_PUSH(f->run.scratch, &o->params, value);
    f->numbers.at[value] = o->params.count;
}

static void find_params(fusing *f, outline *o) {
    const kt_graph *graph = f->run.graph;
    make_room(f, &f->numbers);
    for (uint32_t i = 0; i < o->node_count; i++) {
        const kt_node_info *node = kt_graph_node(graph, o->nodes[i]);
        for (uint32_t k = 0; k < node->result_count; k++) f->numbers.at[node->first_result + k] = UINT32_MAX;
    }
    for (uint32_t i = 0; i < o->node_count; i++) {
        const kt_node_info *node = kt_graph_node(graph, o->nodes[i]);
        for (uint32_t k = 0; k < node->operand_count; k++) add_param(f, o, node->operands[k]);
    }
    for (uint32_t i = 0; i < o->result_count; i++) add_param(f, o, o->results[i]);
    uint32_t count = o->params.count;
    for (uint32_t i = 0; i < o->node_count; i++) {
        const kt_node_info *node = kt_graph_node(graph, o->nodes[i]);
        for (uint32_t k = 0; k < node->result_count; k++) f->numbers.at[node->first_result + k] = ++count;
    }
}

static void forget_numbers(fusing *f, const outline *o) {
    for (uint32_t i = 0; i < o->params.count; i++) f->numbers.at[o->params.at[i]] = 0;
    for (uint32_t i = 0; i < o->node_count; i++) {
        const kt_node_info *node = kt_graph_node(f->run.graph, o->nodes[i]);
        for (uint32_t k = 0; k < node->result_count; k++) f->numbers.at[node->first_result + k] = 0;
    }
}

/* Adds which part of its concat the first result is: the axis, how long that is, and where the part begins.
 */
static void add_part(fusing *f, const outline *o, kt_text *key) {
    const kt_graph *graph = f->run.graph;
    const kt_node_info *whole = kt_graph_node(graph, o->whole);
    int axis = (int)((const kt_attrs_concat *)whole->attrs)->axis;
    uint32_t part = 0;
    while (whole->operands[part] != o->results[0]) part++;
    const kt_dim place[] = {kt_graph_type(graph, whole->first_result)->dims[axis],
                            kt_graph_part_begin(graph, whole, part)};
    kt_text_add_bytes(key, &axis, sizeof axis);
    kt_text_add_bytes(key, place, sizeof place);
}

static void kernel_key(fusing *f, const outline *o, kt_text *key) {
    const kt_graph *graph = f->run.graph;
    for (uint32_t i = 0; i < o->params.count; i++) {
        const kt_type *type = kt_graph_type(graph, o->params.at[i]);
        kt_text_add_bytes(key, &type->dtype, sizeof type->dtype);
        kt_text_add_bytes(key, &type->rank, sizeof type->rank);
        kt_text_add_bytes(key, type->dims, type->rank * sizeof type->dims[0]);
    }
    for (uint32_t i = 0; i < o->node_count; i++) {
        const kt_node_info *node = kt_graph_node(graph, o->nodes[i]);
        kt_value *operands = KT_NEW_ARRAY(f->run.scratch, kt_value, node->operand_count);
        for (uint32_t k = 0; k < node->operand_count; k++) operands[k] = f->numbers.at[node->operands[k]];
        kt_pass_key(key, node, operands, true);
    }
    for (uint32_t i = 0; i < o->result_count; i++)
        kt_text_add_bytes(key, &f->numbers.at[o->results[i]], sizeof(kt_value));
    if (o->whole) add_part(f, o, key);
}

/* The kernel that computes what is outlined: one that is there already, or a new one. */
static kt_status make_kernel(fusing *f, outline *o, kt_func *out_kernel) {
    kt_graph *graph = f->run.graph;
    kt_text key = {.arena = f->run.scratch};
    find_params(f, o);
    kernel_key(f, o, &key);
    forget_numbers(f, o);
    const uint32_t *known = kt_table_find(&f->kernels, key.at, key.length);
    if (known) {
        *out_kernel = *known;
        return KT_OK;
    }
    kt_builder builder;
    kt_builder_begin(&builder, graph, KT_FUNC_KERNEL, kernel_name(f, o->nodes, o->node_count), f->run.diag);
    make_room(f, &f->copies);
    kt_value *map = f->copies.at;
    for (uint32_t i = 0; i < o->params.count; i++) {
        const kt_type type = *kt_graph_type(graph, o->params.at[i]);
        map[o->params.at[i]] = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &type);
    }
    for (uint32_t i = 0; i < o->node_count; i++) kt_pass_clone(&builder, o->nodes[i], map);
    for (uint32_t i = 0; i < o->result_count; i++)
        kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, i, map[o->results[i]]);
    KT_TRY(kt_builder_finish(&builder, out_kernel));
    kt_table_add(&f->kernels, f->run.scratch, key.at, key.length, *out_kernel);
    return KT_OK;
}

/* Adds a call in place of a group. copies: by result of the function; those that the call gives are set. */
static kt_status call_group(fusing *f, const kt_function *function, const kt_group *group,
                            kt_builder *builder, kt_value *copies) {
    kt_graph *graph = f->run.graph;
    uint32_t count = group->members.count;
    kt_node *nodes = KT_NEW_ARRAY(f->run.scratch, kt_node, count);
    kt_loc *locs = KT_NEW_ARRAY(f->run.scratch, kt_loc, count);
    uint32_t loc_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = group->members.at[count - 1 - i].node;
        const kt_node_info *node = kt_graph_node(graph, nodes[i]);
        /* Constants, spread or not, are shared by layers: they say nothing about this one. */
        bool shared = node->op == KT_OP_constant || node->op == KT_OP_broadcast;
        if (!shared || count == 1) locs[loc_count++] = node->loc;
    }
    uint32_t own = group->others.count + 1, result_count = own + group->copies.count;
    kt_value *results = KT_NEW_ARRAY(f->run.scratch, kt_value, result_count);
    kt_value *called = KT_NEW_ARRAY(f->run.scratch, kt_value, result_count);
    results[0] = kt_graph_node(graph, group->root)->first_result;
    for (uint32_t i = 1; i < own; i++)
        results[i] = kt_graph_node(graph, group->others.at[i - 1])->first_result;
    for (uint32_t i = own; i < result_count; i++)
        results[i] = function->results.at[group->copies.at[i - own]].value;
    outline o = {.nodes = nodes,
                 .node_count = count,
                 .results = results,
                 .result_count = result_count,
                 .whole = group->whole};
    kt_func kernel = 0;
    KT_TRY(make_kernel(f, &o, &kernel));
    kt_value *operands = KT_NEW_ARRAY(f->run.scratch, kt_value, o.params.count);
    for (uint32_t i = 0; i < o.params.count; i++) operands[i] = kt_builder_lookup(builder, o.params.at[i]);
    builder->loc = loc_count ? kt_loc_fuse(graph, locs, loc_count) : kt_graph_node(graph, group->root)->loc;
    kt_build_call(builder, kernel, operands, o.params.count, called);
    for (uint32_t i = 0; i < own; i++) kt_builder_replace(builder, results[i], called[i]);
    for (uint32_t i = own; i < result_count; i++) copies[group->copies.at[i - own]] = called[i];
    return KT_OK;
}

kt_value kt_fuse_buffer(const kt_graph *graph, kt_value value) {
    const kt_node_info *node = kt_graph_definition(graph, value);
    while (node && node->op == KT_OP_reshape) {
        value = node->operands[0];
        node = kt_graph_definition(graph, value);
    }
    return value;
}

/* A call of a kernel that copies value. */
static kt_status copy_value(fusing *f, kt_builder *builder, kt_value value, kt_value *out_copy) {
    kt_graph *graph = f->run.graph;
    const kt_type type = *kt_graph_type(graph, value);
    kt_builder body;
    kt_builder_begin(&body, graph, KT_FUNC_KERNEL, "",
                     f->run.diag); /* never finished: a node to be outlined */
    kt_value param = kt_builder_param(&body, KT_ROLE_PLAIN, NULL, 0, &type);
    kt_value result = kt_build_reshape(&body, param, type.rank, type.dims);
    if (!result) return body.status;
    kt_node node = kt_graph_value(graph, result)->node;
    outline o = {.nodes = &node, .node_count = 1, .results = &result, .result_count = 1};
    kt_func kernel = 0;
    KT_TRY(make_kernel(f, &o, &kernel));
    const kt_node_info *definition = kt_graph_definition(graph, value);
    builder->loc = definition ? definition->loc : 0;
    kt_build_call(builder, kernel, &value, 1, out_copy);
    return KT_OK;
}

static bool is_taken(const kt_builder *builder, const kt_graph *graph, kt_value buffer) {
    for (uint32_t i = 0; i < builder->function.results.count; i++)
        if (kt_fuse_buffer(graph, builder->function.results.at[i].value) == buffer) return true;
    return false;
}

/* Is value what a kernel writes, or a scan stacks: a buffer of its own? */
static bool is_written(const kt_graph *graph, kt_value value) {
    const kt_node_info *node = kt_graph_definition(graph, value);
    if (!node || node->op != KT_OP_scan) return node != NULL;
    return kt_graph_value(graph, value)->index >= ((const kt_attrs_scan *)node->attrs)->carried;
}

static bool is_kernel_result(const kt_graph *graph, kt_value value) {
    const kt_node_info *node = kt_graph_definition(graph, value);
    return node && node->op == KT_OP_call;
}

/* A scan as it is, but for copies of what it carries. uses: by old value. */
static kt_status copy_scan(fusing *f, kt_builder *builder, kt_node handle, const uint32_t *uses) {
    kt_graph *graph = f->run.graph;
    const kt_node_info node = *kt_graph_node(graph, handle);
    const kt_attrs_scan *attrs = node.attrs;
    kt_value *operands = KT_NEW_ARRAY(f->run.scratch, kt_value, node.operand_count);
    kt_value *results = KT_NEW_ARRAY(f->run.scratch, kt_value, node.result_count);
    for (uint32_t i = 0; i < node.operand_count; i++) {
        operands[i] = kt_builder_lookup(builder, node.operands[i]);
        bool own = uses[node.operands[i]] == 1 && is_kernel_result(graph, operands[i]);
        if (i < attrs->carried && !own) KT_TRY(copy_value(f, builder, operands[i], &operands[i]));
    }
    builder->loc = node.loc;
    kt_build_scan(builder, attrs, operands, node.operand_count, results);
    for (uint32_t i = 0; i < node.result_count; i++)
        kt_builder_replace(builder, node.first_result + i, results[i]);
    return builder->status;
}

/* May the kernel that makes a step's result write it over the parameter of the same number? */
static bool may_overwrite(fusing *f, const kt_function *step, kt_value result, kt_value param) {
    const kt_graph *graph = f->run.graph;
    bool written = false;
    for (uint32_t i = 0; i < step->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, step->nodes.at[i]);
        if (node->op == KT_OP_reshape) continue;
        bool writes = node->op == KT_OP_call && result - node->first_result < node->result_count;
        written = written || writes;
        for (uint32_t k = 0; k < node->operand_count && written; k++)
            if (kt_fuse_buffer(graph, node->operands[k]) == param &&
                !(writes && kt_plan_reads_in_place(graph, node, k, f->run.scratch)))
                return false;
    }
    return written;
}

/* How many values a step carries; 0: func is no step. */
static uint32_t count_carried(const kt_graph *graph, kt_func func) {
    uint32_t carried = 0;
    for (kt_func caller = 1; caller < graph->functions.count; caller++) {
        const kt_function *function = kt_graph_function(graph, caller);
        for (uint32_t i = 0; i < function->nodes.count; i++) {
            const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
            if (kt_node_callee(node) == func)
                carried = (uint32_t)((const kt_attrs_scan *)node->attrs)->carried;
        }
    }
    return carried;
}

/* Makes copies of those results of a step that it carries and that may not be written where they are made. */
static kt_status copy_carried(fusing *f, kt_builder *step, uint32_t carried) {
    const kt_graph *graph = f->run.graph;
    for (uint32_t i = 0; i < carried; i++) {
        kt_port *result = &step->function.results.at[i];
        if (may_overwrite(f, &step->function, kt_fuse_buffer(graph, result->value),
                          step->function.params.at[i].value))
            continue;
        KT_TRY(copy_value(f, step, result->value, &result->value));
    }
    return KT_OK;
}

static kt_status fuse_entry(fusing *f, kt_func func) {
    kt_graph *graph = f->run.graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_grouping grouping;
    kt_fuse_group(&f->run, &old, &grouping);
    uint32_t carried = old.kind == KT_FUNC_STEP ? count_carried(graph, func) : 0;
    if (f->run.options->level > 0) kt_fuse_join(&grouping);
    if (f->run.options->level > 0 && old.kind == KT_FUNC_STEP) kt_fuse_copy(&grouping, carried);
    if (f->run.options->level > 0) kt_fuse_assemble(&grouping);
    kt_value *copies = KT_NEW_ARRAY(f->run.scratch, kt_value, old.results.count);
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, f->run.diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        kt_node node = old.nodes.at[i];
        if (grouping.rooted[node])
            KT_TRY(call_group(f, &old, &grouping.groups.at[grouping.rooted[node] - 1], &builder, copies));
        else if (grouping.live[node] && kt_graph_node(graph, node)->op == KT_OP_scan)
            KT_TRY(copy_scan(f, &builder, node, grouping.uses));
        else if (grouping.live[node] &&
                 (grouping.assembled[node] || kt_fuse_stays(kt_graph_node(graph, node))))
            kt_builder_copy(&builder, node);
    }
    for (uint32_t i = 0; i < old.results.count; i++) {
        const kt_port *result = &old.results.at[i];
        if (kt_pass_returns_parameter(&old, result)) continue; /* there is nothing to write */
        kt_value value = copies[i] ? copies[i] : kt_builder_lookup(&builder, result->value);
        kt_value buffer = kt_fuse_buffer(graph, value);
        if (!is_written(graph, buffer) || is_taken(&builder, graph, buffer))
            KT_TRY(copy_value(f, &builder, value, &value));
        kt_builder_result(&builder, result->role, result->name, result->index, value);
    }
    if (old.kind == KT_FUNC_STEP && builder.status == KT_OK) KT_TRY(copy_carried(f, &builder, carried));
    if (old.kind == KT_FUNC_ENTRY && f->run.options->level > 0 && builder.status == KT_OK)
        kt_fuse_order(&f->run, &builder.function);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_fuse(kt_pass_run *run) {
    kt_graph *graph = run->graph;
    uint32_t count = graph->functions.count;
    for (kt_func func = 1; func < count; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        if (function->kind == KT_FUNC_STEP ||
            (function->kind == KT_FUNC_ENTRY && (run->options->prepares || !kt_pass_is_prepare(function))))
            KT_TRY(fuse_entry((fusing *)run, func));
    }
    return KT_OK;
}

kt_status kt_pass_fuse(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    fusing f = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_fuse, &f.run);
}
