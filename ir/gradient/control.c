/* Gradients of what runs other functions.
 *
 * call  `NAME.gradient` computes what NAME computes and pulls cotangents back through it. Once both are
 * inlined, what they have in common is computed once.
 *
 * scan  goes back through the turns: a scan the other way round carries the cotangents of what was carried,
 * and totals for what stays. A turn computes again what it needs of the turn forwards, but for what was
 * carried into it and for contractions, convolutions and scans, which a scan forwards of its own stacks up.
 * Totals of products are not carried: their operands are stacked up, and one product sums over the turns,
 * too. */
#include "ir/gradient/gradient_impl.h"

#include "ir/element.h"

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

/* ---- call ------------------------------------------------------------------------------------ */

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

/* ---- scan ------------------------------------------------------------------------------------ */

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
    bool *given;           /* by forward node: its results are stacked up on the way forwards */
    kt_value base;
    value_list saved; /* values of the step that are stacked up on the way forwards */
    bool *apart;      /* by parameter of the step: its total is made behind the scan, of stacks */
    bool *stacked;    /* by value of turn, from base on: there is a stack of it */
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

/* What of turn is needed, with results of given nodes at hand. out_user: by value of turn, from base on, the
 * number of the node that alone uses it, plus 1; else 0. */
static void find_needed(reversing *r, uint32_t *out_user) {
    const kt_graph *graph = r->builder->graph;
    uint32_t forwards = r->step.nodes.count, values = graph->values.count - r->base;
    uint32_t *uses = KT_NEW_ARRAY(r->arena, uint32_t, values);
    r->needed = KT_NEW_ARRAY(r->arena, bool, values);
    for (uint32_t i = 0; i < r->step.params.count; i++)
        if (r->derivatives[i]) r->needed[r->derivatives[i] - r->base] = true;
    for (uint32_t i = r->turn.function.nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, r->turn.function.nodes.at[i]);
        bool any = false;
        for (uint32_t k = 0; k < node->result_count; k++)
            any = any || r->needed[node->first_result + k - r->base];
        if (!any || (i < forwards && r->given[i])) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            kt_value operand = node->operands[k] - r->base;
            r->needed[operand] = true;
            out_user[operand] = uses[operand]++ == 0 ? i + 1 : 0;
        }
    }
}

/* Where nothing but an elementwise operation needs what a node gives, its result is stacked up instead, as
 * long as it has the same type: the sum of a product and a bias, say. */
static void choose_given(reversing *r) {
    const kt_graph *graph = r->builder->graph;
    uint32_t forwards = r->step.nodes.count;
    uint32_t *user = KT_NEW_ARRAY(r->arena, uint32_t, graph->values.count - r->base);
    r->given = KT_NEW_ARRAY(r->arena, bool, forwards);
    for (uint32_t i = 0; i < forwards; i++)
        r->given[i] = is_worth_saving(kt_graph_node(graph, r->turn.function.nodes.at[i])->op);
    find_needed(r, user);
    for (uint32_t i = 0; i < forwards; i++) {
        const kt_node_info *node = kt_graph_node(graph, r->turn.function.nodes.at[i]);
        uint32_t next = user[node->first_result - r->base];
        if (!r->given[i] || node->result_count != 1 || next == 0 || next > forwards) continue;
        const kt_node_info *after = kt_graph_node(graph, r->turn.function.nodes.at[next - 1]);
        if (!kt_op_is(after->op, KT_ELEMENTWISE) || !kt_type_equal(kt_graph_type(graph, node->first_result),
                                                                   kt_graph_type(graph, after->first_result)))
            continue;
        r->given[i] = false;
        r->given[next - 1] = true;
    }
}

static void find_saved(reversing *r) {
    const kt_graph *graph = r->builder->graph;
    choose_given(r);
    find_needed(r, KT_NEW_ARRAY(r->arena, uint32_t, graph->values.count - r->base));
    for (uint32_t i = 0; i < r->step.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r->turn.function.nodes.at[i]);
        for (uint32_t k = 0; k < node->result_count; k++)
            if (r->given[i] && r->needed[node->first_result + k - r->base])
                KT_PUSH(r->arena, &r->saved, kt_graph_node(graph, r->step.nodes.at[i])->first_result + k);
    }
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->needed[r->map[r->step.params.at[i].value] - r->base])
            KT_PUSH(r->arena, &r->saved, r->step.params.at[i].value);
}

/* ---- totals behind the scan ------------------------------------------------------------------ */

/* Not what stays, of which a stack would repeat itself. */
static bool can_stack(const reversing *r, kt_value value) {
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (r->map[r->step.params.at[i].value] == value) return false;
    return type_of(r, value).rank < KT_MAX_RANK;
}

/* Does the pad put zeros around what it moves? So it does behind a slice. */
static bool pads_zeros(const kt_graph *graph, const kt_node_info *pad) {
    const kt_node_info *fill = kt_graph_definition(graph, pad->operands[1]);
    if (!fill || fill->op != KT_OP_constant) return false;
    const kt_attrs_constant *constant = fill->attrs;
    return kt_element_float(constant->type.dtype, constant->literal.data, 0) == 0;
}

/* Can the sum of value, of turn, over all turns be made of stacks? Products get their operands stacked; other
 * sums must find theirs. */
static bool sums_apart(const reversing *r, kt_value value) {
    const kt_node_info *node = kt_graph_definition(r->builder->graph, value);
    if (!node) return false;
    const kt_value *x = node->operands;
    switch (node->op) {
    case KT_OP_dot_general: return can_stack(r, x[0]) && can_stack(r, x[1]);
    case KT_OP_reduce:
        return ((const kt_attrs_reduce *)node->attrs)->kind == KT_REDUCE_SUM && can_stack(r, x[0]) &&
               r->stacked[x[0] - r->base];
    case KT_OP_add: return sums_apart(r, x[0]) && sums_apart(r, x[1]);
    case KT_OP_pad: return pads_zeros(r->builder->graph, node) && sums_apart(r, x[0]);
    case KT_OP_transpose:
    case KT_OP_reshape: return sums_apart(r, x[0]);
    default: return false;
    }
}

static void mark_stacked(reversing *r, kt_value value) {
    const kt_node_info *node = kt_graph_definition(r->builder->graph, value);
    bool product = node->op == KT_OP_dot_general;
    for (uint32_t k = 0; k < node->operand_count; k++) {
        r->stacked[node->operands[k] - r->base] |= product;
        if (!product && node->op != KT_OP_reduce) mark_stacked(r, node->operands[k]);
    }
}

/* Which totals are made behind the scan. */
static void find_apart(reversing *r) {
    r->apart = KT_NEW_ARRAY(r->arena, bool, r->step.params.count);
    r->stacked = KT_NEW_ARRAY(r->arena, bool, r->builder->graph->values.count - r->base);
    for (uint32_t i = 0; i < r->saved.count; i++) r->stacked[r->map[r->saved.at[i]] - r->base] = true;
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->derivatives[i]) r->stacked[r->derivatives[i] - r->base] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = r->sliced; i < r->step.params.count; i++) {
            if (r->apart[i] || !r->derivatives[i] || !sums_apart(r, r->derivatives[i])) continue;
            mark_stacked(r, r->derivatives[i]);
            r->apart[i] = changed = true;
        }
    }
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
    const kt_value *stacks;  /* by r->saved */
    value_list given;        /* values of turn that the step gives, in the order of its last results */
    const kt_value *results; /* of the scan: the stacks of given */
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
        if (!r->derivatives[i] || r->apart[i]) continue;
        const kt_type type = type_of(r, r->step.params.at[i].value);
        out_totals[i] = pass_along(w, kt_build_fill(r->builder, &type, 0), &type);
    }
}

/* Parameters for slices: what was saved, sequences, and cotangents of stacks. */
static void slice_back(way_back *w) {
    reversing *r = w->r;
    for (uint32_t i = 0; i < r->saved.count; i++) {
        const kt_type type = type_of(r, r->saved.at[i]);
        w->map[r->map[r->saved.at[i]] - r->base] = pass_along(w, w->stacks[i], &type);
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

/* Gives value, of turn, from the step, unless that gives it already. */
static void give(way_back *w, kt_value value) {
    for (uint32_t i = 0; i < w->given.count; i++)
        if (w->given.at[i] == value) return;
    KT_PUSH(w->r->arena, &w->given, value);
    add_result(w, w->map[value - w->r->base]);
}

/* The stack of value, of turn, that there is without the step's giving it; or 0. */
static kt_value find_stack(const way_back *w, kt_value value) {
    const reversing *r = w->r;
    for (uint32_t i = 0; i < r->saved.count; i++)
        if (r->map[r->saved.at[i]] == value) return w->stacks[i];
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->map[r->step.params.at[i].value] == value) return r->v->node->operands[i];
    for (uint32_t i = r->carried; i < r->step.results.count; i++)
        if (r->cotangents[i] == value) return r->v->cotangents[i];
    return 0;
}

/* Gives what the sum of value over the turns is made of. */
static void give_terms(way_back *w, kt_value value) {
    const kt_node_info *node = kt_graph_definition(w->r->builder->graph, value);
    bool last = node->op == KT_OP_dot_general || node->op == KT_OP_reduce;
    for (uint32_t k = 0; k < node->operand_count; k++) {
        if (!last)
            give_terms(w, node->operands[k]);
        else if (!find_stack(w, node->operands[k]))
            give(w, node->operands[k]);
    }
}

static kt_value stack_of(const way_back *w, kt_value value) {
    kt_value stack = find_stack(w, value);
    for (uint32_t i = 0; i < w->given.count && !stack; i++)
        if (w->given.at[i] == value) stack = w->results[i];
    KT_ASSERT(stack);
    return stack;
}

/* The axes of a stack that are `axes` of what is stacked; with the turns before them if those are summed. */
static kt_ints of_stack(const kt_ints *axes, bool summed) {
    kt_ints moved = {.count = axes->count + summed};
    for (uint32_t i = 0; i < axes->count; i++) moved.at[i + summed] = axes->at[i] + 1;
    return moved;
}

/* The sum of value, of turn, over all turns. */
static kt_value sum_stacks(way_back *w, kt_value value) {
    kt_builder *b = w->r->builder;
    const kt_node_info node = *kt_graph_definition(b->graph, value);
    kt_value operands[2] = {0};
    if (node.op == KT_OP_dot_general) {
        kt_attrs_dot_general attrs = *(const kt_attrs_dot_general *)node.attrs;
        attrs.lhs_batch = of_stack(&attrs.lhs_batch, false);
        attrs.rhs_batch = of_stack(&attrs.rhs_batch, false);
        attrs.lhs_contract = of_stack(&attrs.lhs_contract, true);
        attrs.rhs_contract = of_stack(&attrs.rhs_contract, true);
        for (uint32_t k = 0; k < 2; k++) operands[k] = stack_of(w, node.operands[k]);
        b->loc = node.loc;
        return kt_build_node(b, node.op, operands, 2, &attrs);
    }
    if (node.op == KT_OP_reduce) {
        kt_attrs_reduce attrs = *(const kt_attrs_reduce *)node.attrs;
        attrs.axes = of_stack(&attrs.axes, true);
        operands[0] = stack_of(w, node.operands[0]);
        b->loc = node.loc;
        return kt_build_node(b, node.op, operands, 1, &attrs);
    }
    bool pads = node.op == KT_OP_pad;
    for (uint32_t k = 0; k < node.operand_count - pads; k++) operands[k] = sum_stacks(w, node.operands[k]);
    b->loc = node.loc;
    if (pads) operands[1] = kt_build_scalar(b, kt_build_type(b, operands[0])->dtype, 0);
    return kt_build_node(b, node.op, operands, node.operand_count, node.attrs);
}

static void go_back(reversing *r, const kt_value *stacks) {
    way_back w = {.r = r, .stacks = stacks};
    kt_attrs_scan attrs = {.length = r->attrs->length, .reverse = !r->attrs->reverse};
    kt_value *totals = KT_NEW_ARRAY(r->arena, kt_value, r->step.params.count);
    kt_loc loc = r->builder->loc;
    kt_builder_begin(&w.step, r->builder->graph, KT_FUNC_STEP, free_name(r, "gradient"), r->builder->diag);
    w.map = KT_NEW_ARRAY(r->arena, kt_value, r->builder->graph->values.count - r->base);
    carry_back(&w, totals);
    attrs.carried = w.operands.count;
    slice_back(&w);
    attrs.sequences = w.operands.count - attrs.carried;
    for (uint32_t i = r->sliced; i < r->step.params.count; i++) {
        kt_value param = r->step.params.at[i].value;
        const kt_type type = type_of(r, param);
        if (is_needed(r, param))
            w.map[r->map[param] - r->base] = pass_along(&w, r->v->node->operands[i], &type);
    }
    w.step.loc = loc;
    write_back(&w);
    w.step.loc = loc;
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->active[i]) add_result(&w, derivative_in_step(&w, i));
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (totals[i]) add_result(&w, kt_build_add(&w.step, totals[i], derivative_in_step(&w, i)));
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->derivatives[i]) give(&w, r->derivatives[i]);
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (r->apart[i]) give_terms(&w, r->derivatives[i]);
    kt_value *results = KT_NEW_ARRAY(r->arena, kt_value, w.step.function.results.count);
    if (!finish_step(r, &w.step, &attrs.body)) return;
    kt_build_scan(r->builder, &attrs, w.operands.at, w.operands.count, results);
    if (r->builder->status != KT_OK) return;
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->carried; i++)
        if (r->active[i]) r->v->derivatives[i] = results[count++];
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (totals[i]) r->v->derivatives[i] = results[count++];
    w.results = results + count;
    for (uint32_t i = r->carried; i < r->sliced; i++)
        if (r->derivatives[i]) r->v->derivatives[i] = stack_of(&w, r->derivatives[i]);
    for (uint32_t i = r->sliced; i < r->step.params.count; i++)
        if (r->apart[i]) r->v->derivatives[i] = sum_stacks(&w, r->derivatives[i]);
    r->builder->loc = loc;
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
    find_saved(&r);
    find_apart(&r);
    kt_value *stacks = KT_NEW_ARRAY(arena, kt_value, r.saved.count);
    if (r.saved.count == 0 || stack_saved(&r, stacks)) go_back(&r, stacks);
}
