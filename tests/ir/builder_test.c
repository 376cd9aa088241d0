/* The builder: functions written and written anew, composites, broadcasting, locations, failure. */
#include "ir/graph_fixture.h"

#include "ir/element.h"

static kt_value add_param(fixture *f, kt_builder *builder, const char *name, const char *type) {
    kt_type parsed = type_of(f, type);
    return kt_builder_param(builder, KT_ROLE_INPUT, name, builder->function.params.count, &parsed);
}

static kt_func finish(kt_builder *builder) {
    kt_func func = 0;
    assert_int_equal(kt_builder_finish(builder, &func), KT_OK);
    return func;
}

/* entry NAME(x: f32[batch,4]) = exp(x + 1) */
static kt_func build_entry(fixture *f, const char *name) {
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, name, &f->diag);
    builder.loc = kt_loc_path(f->graph, "model/layer");
    kt_value x = add_param(f, &builder, "x", "f32[batch,4]");
    kt_value sum = kt_build_add(&builder, x, kt_build_like(&builder, x, 1));
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "y", 0, kt_build_exp(&builder, sum));
    return finish(&builder);
}

static kt_op op_at(const fixture *f, kt_func func, uint32_t position) {
    return kt_graph_node(f->graph, kt_graph_function(f->graph, func)->nodes.at[position])->op;
}

static void functions_are_written(void **state) {
    fixture *f = *state;
    kt_func func = build_entry(f, "predict");
    const kt_function *function = kt_graph_function(f->graph, func);
    assert_string_equal(function->name, "predict");
    assert_int_equal(function->nodes.count, 4);
    assert_int_equal(op_at(f, func, 0), KT_OP_constant);
    assert_int_equal(op_at(f, func, 1), KT_OP_broadcast);
    assert_int_equal(op_at(f, func, 2), KT_OP_add);
    assert_int_equal(op_at(f, func, 3), KT_OP_exp);
    kt_value result = function->results.at[0].value;
    assert_type(f, kt_graph_type(f->graph, result), "f32[batch,4]");
    assert_int_equal(kt_graph_definition(f->graph, result)->op, KT_OP_exp);
    assert_null(kt_graph_definition(f->graph, function->params.at[0].value));
    assert_int_equal(kt_graph_find(f->graph, "predict"), func);
    assert_int_equal(kt_graph_find(f->graph, "evaluate"), 0);
    assert_int_equal(kt_graph_next(f->graph, KT_FUNC_ENTRY, 0), func);
    assert_int_equal(kt_graph_next(f->graph, KT_FUNC_ENTRY, func), 0);
    assert_int_equal(kt_graph_next(f->graph, KT_FUNC_BODY, 0), 0);
}

static void the_first_problem_stops_a_builder(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    builder.loc = kt_loc_source(f->graph, "model/dense", "model.c", 12);
    kt_value x = add_param(f, &builder, "x", "f32[batch,4]"), y = add_param(f, &builder, "y", "i32[batch,4]");
    kt_value sum = kt_build_add(&builder, x, y);
    assert_int_equal(sum, 0);
    assert_int_equal(f->diag.count, 1);
    assert_string_equal(f->diag.problems[0].where, "model/dense (model.c:12)");
    assert_problem(f, "add C1: f32[batch,4] and i32[batch,4] differ in dtype");
    /* All that follows is silent. */
    kt_value again =
        kt_build_reshape(&builder, kt_build_mul(&builder, sum, x), 1, (kt_dim[]){dim_of(f, "3")});
    assert_int_equal(again, 0);
    assert_int_equal(kt_build_scalar(&builder, KT_STRING, 1), 0);
    assert_int_equal(kt_build_type(&builder, again)->rank, 0);
    kt_build_broadcast_pair(&builder, &again, &x);
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "y", 0, again);
    assert_int_equal(kt_builder_finish(&builder, NULL), KT_INVALID);
    assert_int_equal(f->diag.count, 1);
    assert_int_equal(f->graph->functions.count, 1);
}

static void names_are_unique(void **state) {
    fixture *f = *state;
    build_entry(f, "predict");
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    assert_int_equal(kt_builder_finish(&builder, NULL), KT_INVALID);
    assert_problem(f, "There is already a function with the name \"predict\".");
}

static const void *literal_of(const fixture *f, kt_value value) {
    const kt_node_info *node = kt_graph_definition(f->graph, value);
    assert_int_equal(node->op, KT_OP_constant);
    return ((const kt_attrs_constant *)node->attrs)->literal.data;
}

static void constants_hold_numbers(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    for (kt_dtype dtype = 0; dtype < KT_DTYPE_COUNT; dtype++) {
        if (kt_dtype_is_float(dtype)) {
            kt_value value = kt_build_scalar(&builder, dtype, -1.5);
            assert_true(kt_element_float(dtype, literal_of(f, value), 0) == -1.5);
        } else if (kt_dtype_is_integer(dtype)) {
            kt_value value = kt_build_scalar(&builder, dtype, 100);
            assert_int_equal(kt_element_integer(dtype, literal_of(f, value), 0), 100);
        }
    }
    assert_int_equal(*(const uint8_t *)literal_of(f, kt_build_scalar(&builder, KT_BOOL, 0.5)), 1);
    float data[2] = {1, 2};
    kt_type type = type_of(f, "f32[2]");
    kt_value constant = kt_build_constant(&builder, &type, data);
    data[0] = 9; /* it was copied */
    assert_true(((const float *)literal_of(f, constant))[0] == 1);
    assert_int_equal(kt_build_scalar(&builder, KT_I32, 1e300), 0);
    assert_problem(f, "is no number of the dtype i32");
}

static void casts_to_the_same_dtype_vanish(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[3]");
    assert_int_equal(kt_build_cast(&builder, x, KT_F32), x);
    assert_type(f, kt_build_type(&builder, kt_build_cast(&builder, x, KT_I8)), "i8[3]");
}

static void assert_pair(fixture *f, const char *a, const char *b, const char *expected) {
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &builder, "x", a), y = add_param(f, &builder, "y", b);
    kt_build_broadcast_pair(&builder, &x, &y);
    assert_int_equal(builder.status, KT_OK);
    assert_type(f, kt_build_type(&builder, x), expected);
    assert_type(f, kt_build_type(&builder, y), expected);
}

static void shapes_broadcast_as_in_numpy(void **state) {
    fixture *f = *state;
    assert_pair(f, "f32[batch,4]", "f32[4]", "f32[batch,4]");
    assert_pair(f, "f32[batch,1,4]", "f32[3,1]", "f32[batch,3,4]");
    assert_pair(f, "f32", "f32[batch]", "f32[batch]");
    assert_pair(f, "f32[1]", "f32[1,1]", "f32[1,1]");
    assert_int_equal(f->graph->equalities.count, 0);
    assert_pair(f, "f32[n]", "f32[3]", "f32[3]");
    assert_pair(f, "f32[3]", "f32[n]", "f32[3]");
    assert_int_equal(f->graph->equalities.count, 1);

    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[2,3]"), y = add_param(f, &builder, "y", "f32[4]");
    assert_int_equal(kt_build_broadcast_to(&builder, x, 2, kt_build_type(&builder, x)->dims), x);
    kt_build_broadcast_pair(&builder, &x, &y);
    assert_int_equal(x, 0);
    assert_problem(f, "dimensions that are broadcast against each other must be equal, but are 3 and 4.");
}

static void a_size_below_the_least_is_refused(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    assert_false(kt_build_require_at_least(&builder, dim_of(f, "2"), 3, "the length"));
    assert_problem(f, "the length must be at least 3, but is 2.");
}

static void a_shape_cannot_lose_axes(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[2,3]");
    assert_int_equal(kt_build_broadcast_to(&builder, x, 1, (kt_dim[]){dim_of(f, "3")}), 0);
    assert_problem(f, "f32[2,3] cannot be broadcast to 1 dimensions.");
}

static void equality_is_required_or_recorded(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    builder.loc = kt_loc_path(f->graph, "model/layer");
    kt_dim n = dim_of(f, "n"), m = dim_of(f, "m"), sum = dim_of(f, "n + m");
    assert_true(kt_build_require_equal(&builder, kt_dim_sub(f->graph->dims, sum, m), n, "the lengths"));
    assert_int_equal(f->graph->equalities.count, 0);
    assert_true(kt_build_require_equal(&builder, n, m, "the lengths"));
    assert_true(kt_build_require_equal(&builder, m, n, "the widths"));
    assert_int_equal(f->graph->equalities.count, 1);
    assert_string_equal(f->graph->equalities.at[0].sentence,
                        "model/layer: the lengths must be equal, but are n and m.");
    assert_true(kt_build_require_at_least(&builder, n, 1, "the length"));
    assert_int_equal(f->graph->equalities.count, 1);
    assert_true(kt_build_require_at_least(&builder, n, 3, "the length"));
    assert_string_equal(f->graph->equalities.at[1].sentence,
                        "model/layer: the length must be at least 3, but is n.");
    assert_false(kt_build_require_equal(&builder, n, sum, "the lengths"));
    assert_problem(f, "the lengths must be equal, but are n and ");
    assert_int_equal(builder.status, KT_INVALID);
}

static void lists_longer_than_a_tensor_fail(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_dim shape[9] = {0};
    int64_t axes[9] = {0};
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[2,3]");
    assert_int_equal(kt_build_reshape(&builder, x, 9, shape), 0);
    assert_problem(f, "reshape: 9 axes are asked for, but a tensor has at most 8.");
    builder.status = KT_OK;
    assert_int_equal(kt_build_reduce(&builder, x, KT_REDUCE_SUM, 9, axes), 0);
    assert_problem(f, "reduce: 9 axes");
    builder.status = KT_OK;
    assert_int_equal(kt_build_broadcast(&builder, x, -1, shape, axes), 0);
    assert_problem(f, "broadcast: -1 axes");
}

/* Every kt_build function that only fills in attributes, in a chain whose types tell that it did. */
static void every_operation_is_built(void **state) {
    fixture *f = *state;
    kt_builder b;
    kt_builder_begin(&b, f->graph, KT_FUNC_BODY, "body", &f->diag);
    kt_value x = add_param(f, &b, "x", "f32[batch,8,8,3]"), ids = add_param(f, &b, "ids", "i32[batch]");
    kt_value zero = kt_build_scalar(&b, KT_F32, 0);
    kt_dims low = dims_of(f, "0, 1, 1, 0"), start = dims_of(f, "0, 0, 2, 0"),
            limit = dims_of(f, "batch, 10, 10, 3");
    kt_value y = kt_build_pad(&b, x, zero, low.at, low.at, (int64_t[]){0, 0, 0, 0});
    assert_type(f, kt_build_type(&b, y), "f32[batch,10,10,3]");
    y = kt_build_slice(&b, y, start.at, limit.at, (int64_t[]){1, 1, 2, 1});
    assert_type(f, kt_build_type(&b, y), "f32[batch,10,4,3]");
    y = kt_build_transpose(&b, y, (int64_t[]){0, 3, 1, 2});
    assert_type(f, kt_build_type(&b, y), "f32[batch,3,10,4]");
    y = kt_build_reverse(&b, y, 1, (int64_t[]){3});
    y = kt_build_concat(&b, (kt_value[]){y, y, y}, 3, 1);
    assert_type(f, kt_build_type(&b, y), "f32[batch,9,10,4]");
    y = kt_build_reduce(&b, y, KT_REDUCE_MAXIMUM, 2, (int64_t[]){2, 3});
    assert_type(f, kt_build_type(&b, y), "f32[batch,9]");
    kt_type table_type = type_of(f, "i64[9,5]");
    kt_value table = kt_build_iota(&b, &table_type, 1);
    kt_value best = kt_build_arg_reduce(&b, y, KT_REDUCE_MAXIMUM, 1, KT_I32);
    assert_type(f, kt_build_type(&b, kt_build_gather(&b, table, best, 0, 0)), "i64[batch,5]");
    kt_value chosen = kt_build_select(&b, kt_build_lt(&b, best, ids), best, ids);
    assert_type(f, kt_build_type(&b, chosen), "i32[batch]");
    kt_attrs_dot_general dot = {.lhs_contract = INTS(0), .rhs_contract = INTS(0)};
    assert_type(f, kt_build_type(&b, kt_build_dot_general(&b, y, y, &dot)), "f32[9,9]");
    kt_attrs_reduce_window window = {.window = INTS(1, 3),
                                     .strides = INTS(1, 3),
                                     .dilation = INTS(1, 1),
                                     .low = dims_of(f, "0, 0"),
                                     .high = dims_of(f, "0, 0")};
    assert_type(f, kt_build_type(&b, kt_build_reduce_window(&b, y, &window)), "f32[batch,3]");
    kt_attrs_conv conv = {.strides = INTS(1, 1),
                          .low = dims_of(f, "0, 0"),
                          .high = dims_of(f, "0, 0"),
                          .dilation = INTS(1, 1),
                          .input_dilation = INTS(1, 1),
                          .groups = 1};
    kt_type kernel = type_of(f, "f32[3,3,3,16]");
    kt_value features = kt_build_conv(&b, x, kt_build_fill(&b, &kernel, 1), &conv);
    assert_type(f, kt_build_type(&b, features), "f32[batch,6,6,16]");
    kt_dims flat = dims_of(f, "batch, 576");
    assert_type(f, kt_build_type(&b, kt_build_reshape(&b, features, 2, flat.at)), "f32[batch,576]");
    assert_type(f, kt_build_type(&b, kt_build_size(&b, flat.at[0])), "i64");
    finish(&b);
    assert_int_equal(f->graph->equalities.count, 0);
}

static void functions_are_written_anew(void **state) {
    fixture *f = *state;
    kt_func func = build_entry(f, "predict");
    const kt_function old = *kt_graph_function(f->graph, func);
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, f->graph, func, &f->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(f->graph, old.nodes.at[i]);
        if (node.op == KT_OP_exp) {
            assert_int_equal(kt_builder_lookup(&builder, node.first_result), 0);
            kt_value x = kt_builder_lookup(&builder, node.operands[0]);
            kt_builder_replace(&builder, node.first_result, kt_build_tanh(&builder, x));
        } else {
            kt_builder_copy(&builder, old.nodes.at[i]);
        }
    }
    kt_builder_copy_results(&builder);
    assert_int_equal(finish(&builder), func);
    const kt_function *new = kt_graph_function(f->graph, func);
    assert_int_equal(new->nodes.count, 4);
    assert_int_equal(op_at(f, func, 3), KT_OP_tanh);
    assert_string_equal(new->params.at[0].name, "x");
    assert_string_equal(new->results.at[0].name, "y");
    assert_int_equal(new->results.at[0].role, KT_ROLE_OUTPUT);
    const kt_node_info *before = kt_graph_node(f->graph, old.nodes.at[0]);
    const kt_node_info *after = kt_graph_node(f->graph, new->nodes.at[0]);
    assert_ptr_equal(before->attrs, after->attrs);
    assert_int_equal(before->loc, after->loc);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
}

/* (x - 1, x + 1) as the composite NAME, called from builder. */
static void build_pair(kt_builder *builder, const char *name, kt_value x, double number,
                       kt_value *out_results) {
    kt_builder body;
    kt_value p;
    kt_builder_begin_composite(&body, builder, name, &x, 1, &p);
    assert_int_equal(body.loc, builder->loc);
    kt_value one = kt_build_like(&body, p, number);
    kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, kt_build_sub(&body, p, one));
    kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, kt_build_add(&body, p, one));
    kt_build_composite(builder, &body, &x, 1, out_results);
}

static void composites_are_shared(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_value r[8];
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[batch]"), y = add_param(f, &builder, "y", "f32[time]");
    builder.loc = kt_loc_path(f->graph, "model/first");
    build_pair(&builder, "pair", x, 1, &r[0]);
    builder.loc = kt_loc_path(f->graph, "model/second");
    build_pair(&builder, "pair", r[1], 1, &r[2]); /* same types: same body, though another layer */
    assert_int_equal(f->graph->functions.count, 2);
    build_pair(&builder, "pair", y, 1, &r[4]); /* other types */
    build_pair(&builder, "pair", x, 2, &r[6]); /* another number */
    assert_int_equal(f->graph->functions.count, 4);
    assert_string_equal(kt_graph_function(f->graph, 1)->name, "pair");
    assert_string_equal(kt_graph_function(f->graph, 2)->name, "pair.1");
    assert_string_equal(kt_graph_function(f->graph, 3)->name, "pair.2");
    assert_string_equal(kt_graph_function(f->graph, 3)->composite, "pair");
    assert_int_equal(r[1], r[0] + 1);
    const kt_node_info *call = kt_graph_definition(f->graph, r[3]);
    assert_int_equal(call->op, KT_OP_call);
    assert_int_equal(call->result_count, 2);
    assert_int_equal(call->loc, kt_loc_path(f->graph, "model/second"));
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "out", 0, r[3]);
    kt_func entry = finish(&builder);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);

    /* Calls are copied with all their results. */
    const kt_function old = *kt_graph_function(f->graph, entry);
    kt_builder_begin_rewrite(&builder, f->graph, entry, &f->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) kt_builder_copy(&builder, old.nodes.at[i]);
    assert_int_equal(kt_builder_lookup(&builder, r[3]), kt_builder_lookup(&builder, r[2]) + 1);
    kt_builder_copy_results(&builder);
    finish(&builder);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
}

static void a_rewritten_body_is_not_mistaken(void **state) {
    fixture *f = *state;
    kt_builder builder, rewrite;
    kt_value r[4];
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[batch]");
    build_pair(&builder, "pair", x, 1, &r[0]);
    kt_value callee_param = kt_graph_function(f->graph, 1)->params.at[0].value;
    kt_builder_begin_rewrite(&rewrite, f->graph, 1, &f->diag);
    for (int i = 0; i < 2; i++)
        kt_builder_result(&rewrite, KT_ROLE_PLAIN, NULL, 0, kt_builder_lookup(&rewrite, callee_param));
    finish(&rewrite);
    build_pair(&builder, "pair", x, 1, &r[2]);
    assert_int_equal(f->graph->functions.count, 3);
}

static void a_broken_body_breaks_its_caller(void **state) {
    fixture *f = *state;
    kt_builder builder, body;
    kt_value p, result = 7;
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    kt_value x = add_param(f, &builder, "x", "i32[batch]");
    kt_builder_begin_composite(&body, &builder, "softplus", &x, 1, &p);
    kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, kt_build_log1p(&body, kt_build_exp(&body, p)));
    kt_build_composite(&builder, &body, &x, 1, &result);
    assert_int_equal(builder.status, KT_INVALID);
    assert_problem(f, "exp C1: it does not work on i32.");
    assert_int_equal(f->diag.count, 1);
}

static void unreachable_functions_go(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_value r[2];
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "unused", &f->diag);
    finish(&builder);
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    kt_value x = add_param(f, &builder, "x", "f32[batch]");
    build_pair(&builder, "pair", x, 1, r);
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "y", 0, r[0]);
    assert_int_equal(finish(&builder), 3);
    kt_graph_drop_unreachable(f->graph);
    assert_int_equal(f->graph->functions.count, 3);
    assert_int_equal(kt_graph_find(f->graph, "pair"), 1);
    assert_int_equal(kt_graph_find(f->graph, "predict"), 2);
    assert_int_equal(((const kt_attrs_call *)kt_graph_definition(f->graph, r[0])->attrs)->callee, 1);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
}

static void assert_loc(const fixture *f, kt_loc loc, const char *expected) {
    kt_text text = {.arena = f->arena};
    kt_loc_print(f->graph, loc, &text);
    assert_string_equal(kt_text_string(&text), expected);
}

static void locations_are_interned(void **state) {
    fixture *f = *state;
    kt_graph *graph = f->graph;
    kt_loc a = kt_loc_path(graph, "model/a"), b = kt_loc_path(graph, "model/b");
    assert_int_not_equal(a, b);
    assert_int_equal(kt_loc_path(graph, "model/a"), a);
    kt_loc source = kt_loc_source(graph, "model/a", "a.c", 3);
    assert_int_not_equal(source, a);
    assert_int_not_equal(source, kt_loc_source(graph, "model/a", "a.c", 4));
    assert_int_equal(source, kt_loc_source(graph, "model/a", "a.c", 3));
    kt_loc ab = kt_loc_fuse(graph, (kt_loc[]){a, 0, b, a}, 4);
    assert_int_equal(kt_loc_fuse(graph, (kt_loc[]){a, b}, 2), ab);
    assert_int_not_equal(kt_loc_fuse(graph, (kt_loc[]){b, a}, 2), ab);
    assert_int_equal(kt_loc_fuse(graph, (kt_loc[]){a, a}, 2), a);
    assert_int_equal(kt_loc_fuse(graph, (kt_loc[]){0}, 1), 0);
    kt_loc all = kt_loc_fuse(graph, (kt_loc[]){ab, source, b}, 3);
    assert_int_equal(graph->locations.at[all].part_count, 3); /* flat, each once */
    assert_loc(f, a, "model/a");
    assert_loc(f, 0, "unknown");
    assert_loc(f, all, "model/a, model/b, model/a (a.c:3)");
    assert_loc(f, kt_loc_source(graph, NULL, "b.c", 7), "b.c:7");
}

static kt_status build_until_memory_ends(void *context) {
    build_entry(context, "predict");
    return KT_OK;
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    kt_status status = KT_OUT_OF_MEMORY;
    for (uint64_t i = 1; status != KT_OK; i++) {
        assert_true(i < 10000);
        void *own = NULL;
        fixture_setup(&own);
        fixture *f = own;
        kt_arena_fail_after(i);
        status = kt_guarded(build_until_memory_ends, f, &f->diag);
        kt_arena_fail_after(0);
        assert_true(status == KT_OK || status == KT_OUT_OF_MEMORY);
        fixture_teardown(&own);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(functions_are_written),
        FIXTURE_TEST(the_first_problem_stops_a_builder),
        FIXTURE_TEST(names_are_unique),
        FIXTURE_TEST(constants_hold_numbers),
        FIXTURE_TEST(casts_to_the_same_dtype_vanish),
        FIXTURE_TEST(shapes_broadcast_as_in_numpy),
        FIXTURE_TEST(a_size_below_the_least_is_refused),
        FIXTURE_TEST(a_shape_cannot_lose_axes),
        FIXTURE_TEST(equality_is_required_or_recorded),
        FIXTURE_TEST(lists_longer_than_a_tensor_fail),
        FIXTURE_TEST(every_operation_is_built),
        FIXTURE_TEST(functions_are_written_anew),
        FIXTURE_TEST(composites_are_shared),
        FIXTURE_TEST(a_rewritten_body_is_not_mistaken),
        FIXTURE_TEST(a_broken_body_breaks_its_caller),
        FIXTURE_TEST(unreachable_functions_go),
        FIXTURE_TEST(locations_are_interned),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
