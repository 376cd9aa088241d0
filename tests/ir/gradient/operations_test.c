/* Gradients of operations: every entry of operations.kir, weighted and summed to a scalar, is differentiated
 * once and twice, and what comes out is held to central differences along random directions. Then all of it
 * is compiled, and held to the evaluator. Every operation that has a gradient must be in one of the entries.
 */
#include "kt_cmocka.h"

#include "random/subject.h"

#include "ir/element.h"
#include "support/file.h"

#include <math.h>

enum { DIRECTIONS = 3, BATCH = 2, TIME = 5, MOST_CASES = 200 };

static const int64_t sizes[RANDOM_SYMBOLS] = {BATCH, TIME};

typedef struct cases {
    kt_arena *arena;
    kt_graph *graph;
    kt_diag diag;
    uint64_t state;
} cases;

static double unit(cases *c) {
    uint64_t z = c->state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void check(cases *c, kt_status status) {
    if (status != KT_OK) fail_msg("%s: %s", c->diag.problems[0].where, c->diag.problems[0].text);
}

/* The sum of all elements of x, each with a weight of its own. */
static kt_value weighted_sum(kt_builder *b, kt_value x, int which) {
    const kt_type type = *kt_build_type(b, x);
    kt_type flat = {.dtype = type.dtype, .rank = 1, .dims = {kt_type_elements(b->graph->dims, &type)}};
    int64_t axes[KT_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    kt_value weights = kt_build_iota(b, &flat, 0);
    weights = kt_build_cos(b, kt_build_add(b, weights, kt_build_like(b, weights, which + 1)));
    weights = kt_build_reshape(b, weights, type.rank, type.dims);
    return kt_build_cast(b, kt_build_reduce(b, kt_build_mul(b, x, weights), KT_REDUCE_SUM, type.rank, axes),
                         KT_F64);
}

/* What a program reads the symbols off: nothing depends on it. */
static kt_value add_symbols(kt_builder *b, uint32_t index) {
    kt_type type = {.dtype = KT_F64, .rank = 2};
    type.dims[0] = kt_dim_symbol(b->graph->dims, "batch");
    type.dims[1] = kt_dim_symbol(b->graph->dims, "time");
    return kt_builder_param(b, KT_ROLE_INPUT, "symbols", index, &type);
}

/* An entry that gives the weighted sum of what func gives (but for its first `skipped` outputs), and the
 * sum's derivatives by all inputs; the first time it has the input `symbols` too. */
static kt_func differentiate(cases *c, kt_func func, uint32_t skipped, const char *name) {
    kt_graph *graph = c->graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_builder b;
    kt_func made = 0;
    kt_value *map = KT_NEW_ARRAY(c->arena, kt_value, graph->values.count), loss = 0;
    kt_value wrt[RANDOM_MOST_PORTS], gradients[RANDOM_MOST_PORTS];
    kt_builder_begin(&b, graph, KT_FUNC_ENTRY, name, &c->diag);
    for (uint32_t i = 0; i < old.params.count; i++) {
        const kt_port *param = &old.params.at[i];
        const kt_type type = *kt_graph_type(graph, param->value);
        wrt[i] = map[param->value] = kt_builder_param(&b, param->role, param->name, param->index, &type);
    }
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(graph, old.nodes.at[i]);
        kt_value *operands = KT_NEW_ARRAY(c->arena, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++) operands[k] = map[node.operands[k]];
        kt_build_nodes(&b, node.op, operands, node.operand_count, node.attrs, &map[node.first_result]);
    }
    for (uint32_t i = skipped; i < old.results.count; i++) {
        kt_value part = weighted_sum(&b, map[old.results.at[i].value], (int)i);
        loss = loss ? kt_build_add(&b, loss, part) : part;
    }
    uint32_t count = old.params.count;
    if (skipped == 0) wrt[count++] = add_symbols(&b, old.params.count);
    kt_build_gradient(&b, loss, wrt, count, gradients);
    kt_builder_result(&b, KT_ROLE_OUTPUT, "loss", 0, loss);
    for (uint32_t i = 0; i < count; i++)
        kt_builder_result(&b, KT_ROLE_OUTPUT, kt_arena_format(c->arena, "g%u", i), i + 1, gradients[i]);
    if (kt_builder_finish(&b, &made) != KT_OK) fail_msg("%s: %s", name, c->diag.problems[0].text);
    return made;
}

static void fill_inputs(cases *c, const kt_function *function, kt_tensor *inputs) {
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *param = &function->params.at[i];
        const kt_type *type = kt_graph_type(c->graph, param->value);
        bool wide = strncmp(param->name, "wide", 4) == 0, above = strncmp(param->name, "above", 5) == 0;
        double low = wide ? -2 : above ? 1.2 : 0.25, high = wide ? 2 : above ? 3 : 0.85;
        inputs[i] = (kt_tensor){.dtype = type->dtype, .rank = type->rank};
        for (int k = 0; k < type->rank; k++)
            inputs[i].dims[k] = kt_dim_eval(c->graph->dims, type->dims[k], sizes);
        inputs[i].data = kt_arena_alloc(c->arena, kt_tensor_bytes(&inputs[i]) + 1);
        for (size_t k = 0; k < kt_tensor_elements(&inputs[i]); k++)
            kt_element_set_float(type->dtype, inputs[i].data, k, low + (high - low) * unit(c));
    }
}

static void run(cases *c, kt_func func, const kt_tensor *inputs, uint32_t count, kt_tensor *out_results) {
    check(c, kt_eval(c->graph, func, sizes, inputs, count, c->arena, out_results, &c->diag));
}

/* inputs + step * direction, with the direction drawn from state. */
static void moved_inputs(cases *c, const kt_tensor *inputs, uint32_t count, double step,
                         kt_tensor *out_moved) {
    for (uint32_t i = 0; i < count; i++) {
        out_moved[i] = inputs[i];
        out_moved[i].data = kt_arena_alloc(c->arena, kt_tensor_bytes(&inputs[i]) + 1);
        for (size_t k = 0; k < kt_tensor_elements(&inputs[i]); k++)
            kt_element_set_float(inputs[i].dtype, out_moved[i].data, k,
                                 kt_element_float(inputs[i].dtype, inputs[i].data, k) +
                                     step * (2 * unit(c) - 1));
    }
}

static double loss_at(cases *c, kt_func func, const kt_tensor *inputs, uint32_t count) {
    kt_tensor results[RANDOM_MOST_PORTS];
    run(c, func, inputs, count, results);
    return kt_element_float(results[0].dtype, results[0].data, 0);
}

/* The gradients that func gives against the differences of the loss that it gives. */
static void compare_with_differences(cases *c, kt_func func, const kt_tensor *inputs) {
    const kt_function *function = kt_graph_function(c->graph, func);
    uint32_t count = function->params.count;
    kt_tensor results[RANDOM_MOST_PORTS], moved[RANDOM_MOST_PORTS];
    run(c, func, inputs, count, results);
    bool single = count > 0 && inputs[0].dtype == KT_F32;
    double step = single ? 0x1p-4 : 1e-5, tolerance = single ? 1e-5 : 1e-6;
    for (int turn = 0; turn < DIRECTIONS; turn++) {
        uint64_t direction = c->state;
        double along = 0, scale = 1;
        for (uint32_t i = 0; i < count; i++)
            for (size_t k = 0; k < kt_tensor_elements(&inputs[i]); k++) {
                double part = kt_element_float(inputs[i].dtype, results[i + 1].data, k) * (2 * unit(c) - 1);
                along += part;
                scale += fabs(part);
            }
        c->state = direction;
        moved_inputs(c, inputs, count, step, moved);
        double ahead = loss_at(c, func, moved, count);
        c->state = direction;
        moved_inputs(c, inputs, count, -step, moved);
        double difference = (ahead - loss_at(c, func, moved, count)) / (2 * step);
        if (!(fabs(difference - along) <= tolerance * scale))
            fail_msg("%s: along a direction %.12g, by differences %.12g", function->name, along, difference);
    }
}

/* ---- coverage -------------------------------------------------------------------------------- */

static void mark_operations(const kt_graph *graph, bool *seen) {
    for (kt_func func = 1; func < graph->functions.count; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < function->nodes.count; i++)
            seen[kt_graph_node(graph, function->nodes.at[i])->op] = true;
    }
}

static void check_coverage(const kt_graph *graph) {
    bool seen[KT_OP_COUNT] = {false};
    mark_operations(graph, seen);
    seen[KT_OP_winograd] = true; /* layout makes it, where nothing is differentiated any more */
    for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++)
        if (!kt_op_describe(op)->flat && !seen[op]) fail_msg("no case for %s", kt_op_describe(op)->name);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void compile_all(cases *c, subject_entry *entries, uint32_t count) {
    kt_text text = {.arena = c->arena};
    subject_finding finding;
    kt_graph_print(c->graph, NULL, &text);
    subject s = {.text = kt_text_string(&text), .sizes = {BATCH, TIME}, .entries = entries, .count = count};
    const char *problem = subject_check(c->arena, &s, (subject_way){.level = 2, .compiled = true}, &finding);
    if (problem) fail_msg("%s: %s", entries[finding.entry].name, problem);
}

static void test_operations(void **state) {
    (void)state;
    cases c = {.arena = kt_arena_create(), .state = 7};
    char *text = NULL;
    size_t length = 0;
    check(&c, kt_file_read(KT_TEST_SOURCE "/ir/gradient/operations.kir", 1 << 20, c.arena, &text, &length,
                           &c.diag));
    check(&c, kt_graph_parse(c.arena, text, length, &c.graph, &c.diag));
    check_coverage(c.graph);
    subject_entry *entries = KT_NEW_ARRAY(c.arena, subject_entry, 2 * MOST_CASES);
    uint32_t count = 0, functions = c.graph->functions.count;
    for (kt_func func = 1; func < functions; func++) {
        const char *name = kt_graph_function(c.graph, func)->name;
        if (kt_graph_function(c.graph, func)->kind != KT_FUNC_ENTRY) continue;
        assert_true(count + 2 <= 2 * MOST_CASES);
        kt_func first = differentiate(&c, func, 0, kt_arena_format(c.arena, "%s_first", name));
        kt_func second = differentiate(&c, first, 1, kt_arena_format(c.arena, "%s_second", name));
        const kt_function function = *kt_graph_function(c.graph, first);
        kt_tensor inputs[RANDOM_MOST_PORTS];
        fill_inputs(&c, &function, inputs);
        for (int order = 1; order <= 2; order++) {
            kt_func made = order == 1 ? first : second;
            subject_entry *entry = &entries[count++];
            compare_with_differences(&c, made, inputs);
            *entry = (subject_entry){.name = kt_graph_function(c.graph, made)->name,
                                     .input_count = function.params.count,
                                     .output_count = function.params.count + 1};
            memcpy(entry->inputs, inputs, function.params.count * sizeof *inputs);
            run(&c, made, inputs, function.params.count, entry->outputs);
        }
    }
    for (kt_func func = 1; func < functions; func++) /* from here on only derivatives are entries */
        if (kt_graph_function(c.graph, func)->kind == KT_FUNC_ENTRY)
            kt_graph_function(c.graph, func)->kind = KT_FUNC_BODY;
    kt_graph_drop_unreachable(c.graph);
    check(&c, kt_graph_verify(c.graph, &c.diag));
    compile_all(&c, entries, count);
    kt_diag_deinit(&c.diag);
    kt_arena_destroy(c.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
