/* Gradients of what runs other functions.
 *
 * call  `NAME.gradient` computes what NAME computes and pulls cotangents back through it. Once both are
 * inlined, what they have in common is computed once. scan  goes back through the turns: a scan the other way
 * round carries the cotangents of what was carried, and totals for what stays. A turn computes again what it
 * needs of the turn forwards, but for what was carried into it and for contractions, convolutions and scans,
 * which a scan forwards of its own stacks up. */
#include "ir/gradient/gradient_impl.h"

typedef KT_VECTOR(kt_value) value_list;

/* Adds the nodes of a function to the builder; map: by value, of the function the one in the builder. */
static void clone_nodes(kt_builder *builder, const kt_function *function, kt_value *map) {
    kt_arena *arena = builder->graph->arena;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(builder->graph, function->nodes.at[i]);
        kt_value *operands = KT_NEW_ARRAY(arena, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++) operands[k] = map[node.operands[k]];
        builder->loc = node.loc;
        kt_build_nodes(builder, node.op, operands, node.operand_count, node.attrs, &map[node.first_result]);
    }
}

/* ---- call -----------------------------------------------------------------------------------------------
 */

void kt_vjp_call(kt_vjp *v) {
    kt_builder *b = v->builder;
    kt_graph *graph = b->graph;
    const kt_node_info node = *v->node;
    const kt_function callee = *kt_graph_function(graph, kt_node_callee(&node));
    if (callee.kind != KT_FUNC_BODY) {
        kt_build_fail(b, KT_UNSUPPORTED, "There is no gradient of the kernel \"%s\".", callee.name);
        return;
    }
    value_list operands = {0}, ys = {0}, wrt = {0};
    for (uint32_t i = 0; i < node.operand_count; i++) KT_PUSH(graph->arena, &operands, node.operands[i]);
    for (uint32_t i = 0; i < node.result_count; i++)
        if (v->cotangents[i]) KT_PUSH(graph->arena, &operands, v->cotangents[i]);
    kt_value *params = KT_NEW_ARRAY(graph->arena, kt_value, operands.count);
    kt_value *map = KT_NEW_ARRAY(graph->arena, kt_value, graph->values.count);
    kt_builder body;
    kt_builder_begin_composite(&body, b, kt_arena_format(graph->arena, "%s.gradient", callee.composite),
                               operands.at, operands.count, params);
    for (uint32_t i = 0; i < node.operand_count; i++) map[callee.params.at[i].value] = params[i];
    clone_nodes(&body, &callee, map);
    for (uint32_t i = 0; i < node.result_count; i++)
        if (v->cotangents[i]) KT_PUSH(graph->arena, &ys, map[callee.results.at[i].value]);
    for (uint32_t i = 0; i < node.operand_count; i++)
        if (v->wanted[i]) KT_PUSH(graph->arena, &wrt, params[i]);
    kt_value *derivatives = KT_NEW_ARRAY(graph->arena, kt_value, wrt.count);
    kt_value *results = KT_NEW_ARRAY(graph->arena, kt_value, wrt.count);
    kt_gradient_pull(&body, ys.at, params + node.operand_count, ys.count, wrt.at, wrt.count, derivatives);
    for (uint32_t i = 0; i < wrt.count; i++)
        if (derivatives[i]) kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, derivatives[i]);
    if (body.status == KT_OK && body.function.results.count == 0) return;
    kt_build_composite(b, &body, operands.at, operands.count, results);
    for (uint32_t i = 0, k = 0, given = 0; i < node.operand_count; i++)
        if (v->wanted[i] && derivatives[k++]) v->derivatives[i] = results[given++];
}

/* ---- scan -----------------------------------------------------------------------------------------------
 */

typedef struct reversing {
    kt_vjp *v;
    kt_builder *builder;
    kt_arena *arena;
    const kt_attrs_scan *attrs;
    kt_function step;
    uint32_t carried, sliced; /* sliced: carried and sequences */
    bool *active;             /* by parameter of the step: does a cotangent go to it? */
    /* A turn backwards, written with all that it may need as parameters; it is never put into the graph. */
    kt_builder turn;
    kt_value *map;         /* by value of the step: the one in turn */
    kt_value *cotangents;  /* by result of the step: the parameter of turn; 0: none */
    kt_value *derivatives; /* by parameter of the step; 0: none */
    bool *needed;          /* by value of turn, from base on */
    kt_value base;
    value_list saved; /* values of the step that are stacked up on the way forwards */
} reversing;

static kt_type type_of(const reversing *r, kt_value value) {
    return *kt_graph_type(r->builder->graph, value);
}

static kt_value add_param(kt_builder *builder, const kt_type *type) {
    return kt_builder_param(builder, KT_ROLE_PLAIN, NULL, builder->function.params.count, type);
}

/* Which parameters something depends on: those that the scan's operands say, and what is carried on from
 * them. */
static void find_active(reversing *r) {
    const kt_graph *graph = r->builder->graph;
    bool *depends = KT_NEW_ARRAY(r->arena, bool, graph->values.count), changed = true;
    for (uint32_t i = 0; i < r->step.params.count; i++) r->active[i] = r->v->wanted[i];
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < r->step.params.count; i++)
            depends[r->step.params.at[i].value] = r->active[i];
        for (uint32_t i = 0; i < r->step.nodes.count; i++) {
            const kt_node_info *node = kt_graph_node(graph, r->step.nodes.at[i]);
            for (uint32_t k = 0; k < node->operand_count && !kt_op_describe(node->op)->flat; k++)
                for (uint32_t j = 0; j < node->result_count && depends[node->operands[k]]; j++)
                    if (kt_dtype_is_float(kt_graph_type(graph, node->first_result + j)->dtype))
                        depends[node->first_result + j] = true;
        }
        for (uint32_t i = 0; i < r->carried; i++)
            if (!r->active[i] && depends[r->step.results.at[i].value]) r->active[i] = changed = true;
    }
}

static void write_turn(reversing *r) {
    kt_graph *graph = r->builder->graph;
    value_list ys = {0}, seeds = {0}, wrt = {0};
    kt_builder_begin(&r->turn, graph, KT_FUNC_STEP, "turn", r->builder->diag);
    r->base = graph->values.count;
    for (uint32_t i = 0; i < r->step.params.count; i++) {
        const kt_type type = type_of(r, r->step.params.at[i].value);
        r->map[r->step.params.at[i].value] = add_param(&r->turn, &type);
        if (r->active[i]) KT_PUSH(r->arena, &wrt, r->map[r->step.params.at[i].value]);
    }
    for (uint32_t i = 0; i < r->step.results.count; i++) {
        const kt_type type = type_of(r, r->step.results.at[i].value);
        if (i < r->carried ? r->active[i] : r->v->cotangents[i] != 0)
            r->cotangents[i] = add_param(&r->turn, &type);
    }
    clone_nodes(&r->turn, &r->step, r->map);
    for (uint32_t i = 0; i < r->step.results.count; i++) {
        KT_PUSH(r->arena, &ys, r->map[r->step.results.at[i].value]);
        KT_PUSH(r->arena, &seeds, r->cotangents[i]);
    }
    kt_value *found = KT_NEW_ARRAY(r->arena, kt_value, wrt.count);
    kt_gradient_pull(&r->turn, ys.at, seeds.at, ys.count, wrt.at, wrt.count, found);
    for (uint32_t i = 0, k = 0; i < r->step.params.count; i++)
        if (r->active[i]) r->derivatives[i] = found[k++];
}

static bool is_worth_saving(kt_op op) {
    return op == KT_OP_dot_general || op == KT_OP_conv || op == KT_OP_conv_by_kernel || op == KT_OP_scan;
}

/* What of turn is needed, with what is saved given. */
static void find_needed(reversing *r) {
    const kt_graph *graph = r->builder->graph;
    uint32_t forwards = r->step.nodes.count;
    r->needed = KT_NEW_ARRAY(r->arena, bool, graph->values.count - r->base);
    for (uint32_t i = 0; i < r->step.params.count; i++)
        if (r->derivatives[i]) r->needed[r->derivatives[i] - r->base] = true;
    for (uint32_t i = r->turn.function.nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, r->turn.function.nodes.at[i]);
        bool any = false;
        for (uint32_t k = 0; k < node->result_count; k++) {
            bool needed = r->needed[node->first_result + k - r->base];
            if (needed && i < forwards && is_worth_saving(node->op))
                KT_PUSH(r->arena, &r->saved, kt_graph_node(graph, r->step.nodes.at[i])->first_result + k);
            any = any || needed;
        }
        if (!any || (i < forwards && is_worth_saving(node->op))) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) r->needed[node->operands[k] - r->base] = true;
    }
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->needed[r->map[r->step.params.at[i].value] - r->base])
            KT_PUSH(r->arena, &r->saved, r->step.params.at[i].value);
}

static const char *free_name(const reversing *r, const char *what) {
    const kt_graph *graph = r->builder->graph;
    const char *stem = kt_arena_format(r->arena, "%s.%s", r->step.name, what), *name = stem;
    for (uint32_t i = 1; kt_graph_find(graph, name); i++) name = kt_arena_format(r->arena, "%s.%u", stem, i);
    return name;
}

static bool finish_step(reversing *r, kt_builder *step, kt_func *out_step) {
    kt_status status = kt_builder_finish(step, out_step);
    if (status != KT_OK && r->builder->status == KT_OK) r->builder->status = status;
    return status == KT_OK;
}

/* The scan forwards, whose results are stacks of what is saved. */
static bool stack_saved(reversing *r, kt_value *out_stacks) {
    kt_graph *graph = r->builder->graph;
    kt_builder step;
    kt_attrs_scan attrs = *r->attrs;
    kt_value *map = KT_NEW_ARRAY(r->arena, kt_value, graph->values.count);
    kt_builder_begin(&step, graph, KT_FUNC_STEP, free_name(r, "saved"), r->builder->diag);
    for (uint32_t i = 0; i < r->step.params.count; i++) {
        const kt_type type = type_of(r, r->step.params.at[i].value);
        map[r->step.params.at[i].value] = add_param(&step, &type);
    }
    clone_nodes(&step, &r->step, map);
    for (uint32_t i = 0; i < r->carried; i++)
        kt_builder_result(&step, KT_ROLE_PLAIN, NULL, i, map[r->step.results.at[i].value]);
    for (uint32_t i = 0; i < r->saved.count; i++)
        kt_builder_result(&step, KT_ROLE_PLAIN, NULL, r->carried + i, map[r->saved.at[i]]);
    kt_value *results = KT_NEW_ARRAY(r->arena, kt_value, r->carried + r->saved.count);
    if (!finish_step(r, &step, &attrs.body)) return false;
    kt_build_scan(r->builder, &attrs, r->v->node->operands, r->v->node->operand_count, results);
    for (uint32_t i = 0; i < r->saved.count; i++) out_stacks[i] = results[r->carried + i];
    return r->builder->status == KT_OK;
}

/* What a turn has as parameters and the scan as operands, in the scan's order, while both are written. */
typedef struct way_back {
    reversing *r;
    kt_builder step;
    kt_value *map; /* by value of turn, from base on: the one in step */
    value_list operands;
} way_back;

static kt_value pass_along(way_back *w, kt_value operand, const kt_type *type) {
    KT_PUSH(w->r->arena, &w->operands, operand);
    return add_param(&w->step, type);
}

static bool is_needed(const reversing *r, kt_value step_value) {
    return r->needed[r->map[step_value] - r->base];
}

/* Parameters for what is carried: cotangents, and totals of those that stay. out_totals: by parameter of the
 * step. */
static void carry_back(way_back *w, kt_value *out_totals) {
    reversing *r = w->r;
    for (uint32_t i = 0; i < r->carried; i++) {
        if (!r->active[i]) continue;
        const kt_type type = type_of(r, r->step.params.at[i].value);
        kt_value end = r->v->cotangents[i];
        w->map[r->cotangents[i] - r->base] =
            pass_along(w, end ? end : kt_build_fill(r->builder, &type, 0), &type);
    }
    for (uint32_t i = r->sliced; i < r->step.params.count; i++) {
        if (!r->derivatives[i]) continue;
        const kt_type type = type_of(r, r->step.params.at[i].value);
        out_totals[i] = pass_along(w, kt_build_fill(r->builder, &type, 0), &type);
    }
}

/* Parameters for slices: what was saved, sequences, and cotangents of stacks. */
static void slice_back(way_back *w, const kt_value *stacks) {
    reversing *r = w->r;
    for (uint32_t i = 0; i < r->saved.count; i++) {
        const kt_type type = type_of(r, r->saved.at[i]);
        w->map[r->map[r->saved.at[i]] - r->base] = pass_along(w, stacks[i], &type);
    }
    for (uint32_t i = r->carried; i < r->sliced; i++) {
        kt_value param = r->step.params.at[i].value;
        const kt_type type = type_of(r, param);
        if (is_needed(r, param))
            w->map[r->map[param] - r->base] = pass_along(w, r->v->node->operands[i], &type);
    }
    for (uint32_t i = r->carried; i < r->step.results.count; i++) {
        const kt_type type = type_of(r, r->step.results.at[i].value);
        if (r->cotangents[i]) w->map[r->cotangents[i] - r->base] = pass_along(w, r->v->cotangents[i], &type);
    }
}

/* The nodes of turn that are needed and not given. */
static void write_back(way_back *w) {
    const kt_graph *graph = w->r->builder->graph;
    kt_value base = w->r->base;
    for (uint32_t i = 0; i < w->r->turn.function.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(graph, w->r->turn.function.nodes.at[i]);
        bool any = false;
        for (uint32_t k = 0; k < node.result_count; k++)
            any =
                any || (w->r->needed[node.first_result + k - base] && !w->map[node.first_result + k - base]);
        if (!any) continue;
        kt_value *operands = KT_NEW_ARRAY(w->r->arena, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++) operands[k] = w->map[node.operands[k] - base];
        w->step.loc = node.loc;
        kt_build_nodes(&w->step, node.op, operands, node.operand_count, node.attrs,
                       &w->map[node.first_result - base]);
    }
}

static void add_result(way_back *w, kt_value value) {
    kt_builder_result(&w->step, KT_ROLE_PLAIN, NULL, w->step.function.results.count, value);
}

/* The value of turn in the step, or 0s of a type. */
static kt_value derivative_in_step(way_back *w, uint32_t param) {
    const kt_type type = type_of(w->r, w->r->step.params.at[param].value);
    kt_value derivative = w->r->derivatives[param];
    return derivative ? w->map[derivative - w->r->base] : kt_build_fill(&w->step, &type, 0);
}

static void go_back(reversing *r, const kt_value *stacks) {
    way_back w = {.r = r};
    kt_attrs_scan attrs = {.length = r->attrs->length, .reverse = !r->attrs->reverse};
    kt_value *totals = KT_NEW_ARRAY(r->arena, kt_value, r->step.params.count);
    kt_builder_begin(&w.step, r->builder->graph, KT_FUNC_STEP, free_name(r, "gradient"), r->builder->diag);
    w.step.loc = r->builder->loc;
    w.map = KT_NEW_ARRAY(r->arena, kt_value, r->builder->graph->values.count - r->base);
    carry_back(&w, totals);
    attrs.carried = w.operands.count;
    slice_back(&w, stacks);
    attrs.sequences = w.operands.count - attrs.carried;
    for (uint32_t i = r->sliced; i < r->step.params.count; i++) {
        kt_value param = r->step.params.at[i].value;
        const kt_type type = type_of(r, param);
        if (is_needed(r, param))
            w.map[r->map[param] - r->base] = pass_along(&w, r->v->node->operands[i], &type);
    }
    write_back(&w);
    w.step.loc = r->builder->loc;
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->active[i]) add_result(&w, derivative_in_step(&w, i));
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (totals[i]) add_result(&w, kt_build_add(&w.step, totals[i], derivative_in_step(&w, i)));
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->derivatives[i]) add_result(&w, derivative_in_step(&w, i));
    kt_value *results = KT_NEW_ARRAY(r->arena, kt_value, w.step.function.results.count);
    if (!finish_step(r, &w.step, &attrs.body)) return;
    kt_build_scan(r->builder, &attrs, w.operands.at, w.operands.count, results);
    uint32_t given = 0;
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->active[i]) r->v->derivatives[i] = results[given++];
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (totals[i]) r->v->derivatives[i] = results[given++];
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->derivatives[i]) r->v->derivatives[i] = results[given++];
}

void kt_vjp_scan(kt_vjp *v) {
    kt_builder *b = v->builder;
    kt_arena *arena = b->graph->arena;
    const kt_attrs_scan *attrs = v->node->attrs;
    reversing r = {.v = v,
                   .builder = b,
                   .arena = arena,
                   .attrs = attrs,
                   .step = *kt_graph_function(b->graph, attrs->body),
                   .carried = (uint32_t)attrs->carried,
                   .sliced = (uint32_t)(attrs->carried + attrs->sequences)};
    r.active = KT_NEW_ARRAY(arena, bool, r.step.params.count);
    r.map = KT_NEW_ARRAY(arena, kt_value, b->graph->values.count);
    r.cotangents = KT_NEW_ARRAY(arena, kt_value, r.step.results.count);
    r.derivatives = KT_NEW_ARRAY(arena, kt_value, r.step.params.count);
    find_active(&r);
    write_turn(&r);
    if (r.turn.status != KT_OK) b->status = r.turn.status;
    if (b->status != KT_OK) return;
    find_needed(&r);
    kt_value *stacks = KT_NEW_ARRAY(arena, kt_value, r.saved.count);
    if (r.saved.count == 0 || stack_saved(&r, stacks)) go_back(&r, stacks);
}
