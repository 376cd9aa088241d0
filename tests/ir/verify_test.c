/* The verifier: a graph that is right passes; each rule is broken by editing the graph's arrays by hand. */
#include "ir/graph_fixture.h"

/* A graph with something of everything:
 *   variables w: f32[4], steps: i64[]; constant table: f32[4]; body "double"; kernel "kernel";
 *   entry predict(x, w, table) -> (y, w'); */
typedef struct sample {
    kt_func body, kernel, entry;
    kt_node add, call;
} sample;

static kt_func build_plain(fixture *f, kt_func_kind kind, const char *name) {
    kt_builder builder;
    kt_func func;
    kt_type type = type_of(f, "f32[4]");
    kt_builder_begin(&builder, f->graph, kind, name, &f->diag);
    kt_value x = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, 0, &type);
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, kt_build_add(&builder, x, x));
    assert_int_equal(kt_builder_finish(&builder, &func), KT_OK);
    return func;
}

static sample build_sample(fixture *f) {
    sample s;
    kt_graph *graph = f->graph;
    kt_builder builder;
    kt_type type = type_of(f, "f32[4]"), batched = type_of(f, "f32[batch,4]");
    kt_graph_add_variable(graph, &(kt_variable){.path = "w", .type = type});
    kt_graph_add_variable(graph, &(kt_variable){.path = "steps", .type = type_of(f, "i64")});
    kt_graph_add_constant(graph, &(kt_constant){.name = "table", .type = type});
    s.body = build_plain(f, KT_FUNC_BODY, "double");
    s.kernel = build_plain(f, KT_FUNC_KERNEL, "kernel");
    kt_builder_begin(&builder, graph, KT_FUNC_ENTRY, "predict", &f->diag);
    builder.loc = kt_loc_path(graph, "model/layer");
    kt_value x = kt_builder_param(&builder, KT_ROLE_INPUT, "x", 0, &batched);
    kt_value w = kt_builder_param(&builder, KT_ROLE_VARIABLE, NULL, 0, &type);
    kt_value table = kt_builder_param(&builder, KT_ROLE_CONSTANT, NULL, 0, &type);
    kt_value sum = kt_build_add(&builder, w, table), doubled, out;
    kt_build_call(&builder, s.body, &sum, 1, &doubled);
    kt_build_call(&builder, s.kernel, &doubled, 1, &out);
    kt_value wide = kt_build_broadcast_to(&builder, out, 2, batched.dims);
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "y", 0, kt_build_mul(&builder, x, wide));
    kt_builder_result(&builder, KT_ROLE_VARIABLE, NULL, 0, sum);
    assert_int_equal(kt_builder_finish(&builder, &s.entry), KT_OK);
    s.add = kt_graph_value(graph, sum)->node;
    s.call = kt_graph_value(graph, doubled)->node;
    assert_int_equal(kt_graph_verify(graph, &f->diag), KT_OK);
    assert_int_equal(f->diag.count, 0);
    return s;
}

static void assert_broken(fixture *f, const char *text) {
    uint32_t before = f->diag.count;
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_INVALID);
    for (uint32_t i = before; i < f->diag.count; i++)
        if (strstr(f->diag.problems[i].text, text)) return;
    fail_msg("no problem says \"%s\"; the first is \"%s\"", text, f->diag.problems[before].text);
}

static kt_function *function_of(fixture *f, kt_func func) { return &f->graph->functions.at[func]; }

/* Operands are shared and constant; an edited node gets its own. */
static void set_operand(fixture *f, kt_node node, uint32_t position, kt_value value) {
    kt_node_info *info = &f->graph->nodes.at[node];
    kt_value *operands = kt_arena_copy(f->arena, info->operands, info->operand_count * sizeof *operands);
    operands[position] = value;
    info->operands = operands;
}

static void set_callee(fixture *f, kt_node node, kt_func callee) {
    kt_attrs_call *attrs = KT_NEW(f->arena, kt_attrs_call);
    attrs->callee = callee;
    f->graph->nodes.at[node].attrs = attrs;
}

static void r1_function_names(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    function_of(f, s.kernel)->name = "double";
    assert_broken(f, "The name \"double\" of function 2 is empty or taken (rule R1).");
    function_of(f, s.kernel)->name = "";
    assert_broken(f, "rule R1");
    function_of(f, s.kernel)->name = NULL;
    assert_broken(f, "rule R1");
}

static void r2_roles(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_port *param = &function_of(f, s.body)->params.at[0];
    param->role = KT_ROLE_INPUT;
    assert_broken(f, "double: Parameter 0 has a role that it cannot have (rule R2).");
    param->role = KT_ROLE_PLAIN;
    param = &function_of(f, s.entry)->params.at[0];
    param->role = KT_ROLE_OUTPUT;
    assert_broken(f, "predict: Parameter 0 has a role that it cannot have (rule R2).");
    param->role = KT_ROLE_PLAIN;
    assert_broken(f, "rule R2");
    param->role = KT_ROLE_INPUT;
    function_of(f, s.entry)->results.at[0].role = KT_ROLE_INPUT;
    assert_broken(f, "predict: Result 0 has a role that it cannot have (rule R2).");
}

static void r3_names_of_ports(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_function *entry = function_of(f, s.entry);
    entry->params.at[0].name = NULL;
    assert_broken(f, "The name \"\" of parameter 0 is empty or taken (rule R3).");
    entry->params.at[0].name = "x";
    entry->params.at[0].index = 5;
    assert_broken(f, "The parameter \"x\" counts as 5, but is 0 among its like (rule R3).");
    entry->params.at[0].index = 0;
    kt_port again = entry->results.at[0];
    again.index = 1;
    KT_PUSH(f->arena, &entry->results, again);
    assert_broken(f, "The name \"y\" of result 2 is empty or taken (rule R3).");
    kt_port *last = &entry->results.at[2];
    last->name = "z";
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
    last->index = 0;
    assert_broken(f, "The result \"z\" counts as 0, but is 1 among its like (rule R3).");
    last->index = 2;
    assert_broken(f, "The result \"z\" counts as 2, but is 1 among its like (rule R3).");
    entry->results.at[0].index = 1;
    last->index = 0;
    assert_broken(f, "The result \"y\" counts as 1, but is 0 among its like (rule R3).");
}

static void r4_variables_and_constants(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_function *entry = function_of(f, s.entry);
    entry->params.at[1].index = 9;
    assert_broken(f, "A parameter stands for variable 9, which does not exist (rule R4).");
    entry->params.at[1].index = 1;
    assert_broken(f, "The parameter for variable 1 has the type f32[4] instead of i64[] (rule R4).");
    entry->params.at[1].index = 0;
    entry->results.at[1].value = entry->results.at[0].value; /* the donated pair differs in type */
    assert_broken(f, "The result for variable 0 has the type f32[batch,4] instead of f32[4] (rule R4).");
    entry->results.at[1].value = f->graph->nodes.at[s.add].first_result;
    KT_PUSH(f->arena, &entry->results, entry->results.at[1]);
    assert_broken(f, "Two results stand for variable 0 (rule R4).");
    entry->results.count--;
    entry->params.at[2].index = 1;
    assert_broken(f, "A parameter stands for constant 1, which does not exist (rule R4).");
    entry->params.at[2].index = 0;
    f->graph->constants.at[0].type = type_of(f, "f32[5]");
    assert_broken(f, "The parameter for constant 0 has the type f32[4] instead of f32[5] (rule R4).");
}

static void r5_values_have_one_place(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_function *entry = function_of(f, s.entry);
    KT_PUSH(f->arena, &entry->nodes, s.add);
    assert_broken(f, "is defined twice (rule R5).");
    entry->nodes.count--;
    f->graph->values.at[f->graph->nodes.at[s.add].first_result].index = 3;
    assert_broken(f, "does not know where it is defined (rule R5).");
    f->graph->values.at[f->graph->nodes.at[s.add].first_result].index = 0;
    KT_PUSH(f->arena, &entry->nodes, 1000);
    assert_broken(f, "There is no node 1000 (rule R5).");
    entry->nodes.count--;
    entry->params.at[0].value = 1000;
    assert_broken(f, "There is no value 1000 (rule R5).");
}

static void r6_dominance(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_function *entry = function_of(f, s.entry);
    kt_value w = entry->params.at[1].value, later = f->graph->nodes.at[s.call].first_result;
    set_operand(f, s.add, 0, later);
    assert_broken(f, "before it is defined (rule R6).");
    set_operand(f, s.add, 0, function_of(f, s.body)->params.at[0].value);
    assert_broken(f, "which belongs to the function double (rule R6).");
    set_operand(f, s.add, 0, 1000);
    assert_broken(f, "add uses value 1000, which does not exist (rule R6).");
    set_operand(f, s.add, 0, 0);
    assert_broken(f, "add uses value 0, which does not exist (rule R6).");
    set_operand(f, s.add, 0, w);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);

    kt_node last = entry->nodes.at[entry->nodes.count - 1];
    entry->nodes.count--;
    assert_broken(f, "which belongs to no function (rule R6).");
    KT_PUSH(f->arena, &entry->nodes, last);
    entry->results.at[0].value = function_of(f, s.body)->params.at[0].value;
    assert_broken(f, "predict: a result uses value");
}

static void r7_types(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_value sum = f->graph->nodes.at[s.add].first_result;
    kt_type type = f->graph->values.at[sum].type;
    f->graph->values.at[sum].type = type_of(f, "f32[5]");
    assert_broken(f, "Result 0 of add has the type f32[5], but inference gives f32[4] (rule R7).");
    assert_broken(f, "call C4: double takes f32[4] as parameter 0, but is given f32[5].");
    f->graph->values.at[sum].type = type;
    f->graph->nodes.at[s.add].op = KT_OP_NONE;
    assert_broken(f, "has no operation (rule R7).");
    f->graph->nodes.at[s.add].op = KT_OP_and;
    assert_broken(f, "and C2: it does not work on f32.");
    f->graph->nodes.at[s.add].op = KT_OP_add;
    f->graph->nodes.at[s.call].attrs = NULL;
    assert_broken(f, "(call) lacks its attributes (rule R7).");
    set_callee(f, s.call, 1000);
    assert_broken(f, "call has 1 results instead of 0 (rule R7).");
    set_callee(f, s.call, s.entry);
    assert_broken(f, "rule R7");
}

static void r7_callees_keep_their_signature(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_function *body = function_of(f, s.body);
    KT_PUSH(f->arena, &body->results, body->results.at[0]);
    assert_broken(f, "call has 1 results instead of 2 (rule R7).");
}

static void r8_calls(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_builder builder;
    kt_func caller;
    kt_value y;
    kt_type type = type_of(f, "f32[4]");
    kt_builder_begin(&builder, f->graph, KT_FUNC_BODY, "caller", &f->diag);
    kt_value x = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, 0, &type);
    kt_build_call(&builder, s.body, &x, 1, &y);
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, y);
    assert_int_equal(kt_builder_finish(&builder, &caller), KT_OK);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
    kt_node call = kt_graph_value(f->graph, y)->node;
    set_callee(f, call, s.kernel);
    assert_broken(f,
                  "caller: The kernel kernel is called, but only entries and steps call kernels (rule R8).");
    set_callee(f, call, caller);
    assert_broken(f, "The function caller runs itself (rule R8).");
    set_callee(f, s.call, caller); /* the entry only leads to the cycle */
    assert_broken(f, "The function caller runs itself (rule R8).");
}

static void r9_variables_and_constants(void **state) {
    fixture *f = *state;
    build_sample(f);
    f->graph->variables.at[1].path = "w";
    assert_broken(f, "The name \"w\" of a variable is empty or taken (rule R9).");
    f->graph->variables.at[1].path = "steps";
    f->graph->variables.at[1].type = type_of(f, "i64[n]");
    assert_broken(f, "The variable \"steps\" has the type i64[n], which is not static (rule R9).");
    f->graph->variables.at[1].type = type_of(f, "i64");
    f->graph->constants.at[0].name = "";
    assert_broken(f, "The name \"\" of a constant is empty or taken (rule R9).");
}

static void r10_equalities_and_locations(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    kt_equality equality = {.left = dim_of(f, "n"), .right = dim_of(f, "m"), .sentence = "n is m."};
    KT_PUSH(f->arena, &f->graph->equalities, equality);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
    f->graph->equalities.at[0].sentence = NULL;
    assert_broken(f, "Equality 0 lacks a side or its sentence (rule R10).");
    f->graph->equalities.count = 0;
    f->graph->nodes.at[s.add].loc = 1000;
    assert_broken(f, "has a location that does not exist (rule R10).");
}

static void problems_name_the_place(void **state) {
    fixture *f = *state;
    sample s = build_sample(f);
    set_operand(f, s.add, 0, 1000);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_INVALID);
    assert_int_equal(f->diag.count, 1);
    assert_string_equal(f->diag.problems[0].where, "model/layer");
}

static void verifying_adds_no_checks(void **state) {
    fixture *f = *state;
    kt_builder builder;
    kt_type n = type_of(f, "f32[n]"), m = type_of(f, "f32[m]");
    kt_builder_begin(&builder, f->graph, KT_FUNC_ENTRY, "predict", &f->diag);
    kt_value x = kt_builder_param(&builder, KT_ROLE_INPUT, "x", 0, &n);
    kt_value y = kt_builder_param(&builder, KT_ROLE_INPUT, "y", 1, &m);
    kt_builder_result(&builder, KT_ROLE_OUTPUT, "z", 0, kt_build_add(&builder, x, y));
    assert_int_equal(kt_builder_finish(&builder, NULL), KT_OK);
    assert_int_equal(f->graph->equalities.count, 1);
    assert_int_equal(kt_graph_verify(f->graph, &f->diag), KT_OK);
    assert_int_equal(f->graph->equalities.count, 1);
}

static void memory_may_end_anywhere(void **state) {
    fixture *f = *state;
    build_sample(f);
    kt_status status = KT_OUT_OF_MEMORY;
    for (uint64_t i = 1; status != KT_OK; i++) {
        assert_true(i < 10000);
        kt_arena_fail_after(i);
        status = kt_graph_verify(f->graph, &f->diag);
        kt_arena_fail_after(0);
        assert_true(status == KT_OK || status == KT_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(r1_function_names),
        FIXTURE_TEST(r2_roles),
        FIXTURE_TEST(r3_names_of_ports),
        FIXTURE_TEST(r4_variables_and_constants),
        FIXTURE_TEST(r5_values_have_one_place),
        FIXTURE_TEST(r6_dominance),
        FIXTURE_TEST(r7_types),
        FIXTURE_TEST(r7_callees_keep_their_signature),
        FIXTURE_TEST(r8_calls),
        FIXTURE_TEST(r9_variables_and_constants),
        FIXTURE_TEST(r10_equalities_and_locations),
        FIXTURE_TEST(problems_name_the_place),
        FIXTURE_TEST(verifying_adds_no_checks),
        FIXTURE_TEST(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
