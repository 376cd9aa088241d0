/* Properties that hold for every graph, tried on random ones: after each pass the verifier agrees, the graph
 * prints, parses and prints the same, and the evaluator finds the same results as before; and the plan's
 * steps, run in one workspace, find them too.
 *
 * test_passes_pipeline FIRST COUNT tries other seeds. */
#include "kt_cmocka.h"

#include "passes/passes.h"
#include "passes/plan.h"
#include "passes/random_graph.h"
#include "runtime/workspace.h"

static uint64_t first_seed = 1;
static uint64_t seed_count = 120;

enum { INPUTS = 3, MOST_OUTPUTS = 4 };

typedef struct outcome {
    kt_tensor results[MOST_OUTPUTS];
    uint32_t count;
} outcome;

static void show(const kt_diag *diag) {
    for (uint32_t i = 0; i < diag->count; i++)
        print_error("%s: %s\n", diag->problems[i].where ? diag->problems[i].where : "",
                    diag->problems[i].text);
}

#define ASSERT_OK(expression)                                                                                \
    do {                                                                                                     \
        if ((expression) != KT_OK) {                                                                         \
            show(&diag);                                                                                     \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)

static void make_inputs(kt_arena *arena, uint64_t seed, kt_dtype dtype, kt_tensor inputs[INPUTS]) {
    random_graph r = {.state = seed, .arena = arena};
    inputs[0] = (kt_tensor){.dtype = KT_I32, .rank = 2, .dims = {RANDOM_BATCH, 7}};
    inputs[1] = (kt_tensor){.dtype = dtype, .rank = 2, .dims = {RANDOM_BATCH, 7}};
    inputs[2] = (kt_tensor){.dtype = dtype, .rank = 4, .dims = {RANDOM_BATCH, 5, 6, 4}};
    for (int i = 0; i < INPUTS; i++)
        inputs[i].data = random_data(&r, inputs[i].dtype, (int64_t)kt_tensor_elements(&inputs[i]));
}

/* Computes the constants, as the compiler does. */
static void prepare(kt_graph *graph, kt_arena *arena) {
    kt_diag diag = {0};
    kt_func func = kt_graph_find(graph, "prepare");
    if (!func) return;
    const kt_function *function = kt_graph_function(graph, func);
    kt_tensor *results = KT_NEW_ARRAY(arena, kt_tensor, function->results.count);
    ASSERT_OK(kt_eval(graph, func, NULL, NULL, 0, arena, results, &diag));
    for (uint32_t i = 0; i < function->results.count; i++)
        graph->constants.at[function->results.at[i].index].data = results[i].data;
}

static outcome evaluate(kt_graph *graph, kt_arena *arena, const kt_tensor *inputs) {
    kt_diag diag = {0};
    outcome out = {0};
    kt_func func = kt_graph_find(graph, "predict");
    out.count = kt_graph_function(graph, func)->results.count;
    prepare(graph, arena);
    ASSERT_OK(kt_eval(graph, func, NULL, inputs, INPUTS, arena, out.results, &diag));
    return out;
}

static double element(const kt_tensor *tensor, size_t i) {
    switch (tensor->dtype) {
    case KT_F64: return ((const double *)tensor->data)[i];
    case KT_F32: return (double)((const float *)tensor->data)[i];
    default: return (double)((const int32_t *)tensor->data)[i];
    }
}

/* exactly: the same numbers; else to a tolerance relative to the largest element. */
static bool agree(const outcome *a, const outcome *b, bool exactly) {
    for (uint32_t k = 0; k < a->count; k++) {
        const kt_tensor *x = &a->results[k], *y = &b->results[k];
        size_t count = kt_tensor_elements(x);
        double largest = 1e-3;
        if (x->dtype != y->dtype || kt_tensor_elements(y) != count || !x->data || !y->data) return false;
        for (size_t i = 0; i < count; i++)
            if (isfinite(element(x, i))) largest = fmax(largest, fabs(element(x, i)));
        double tolerance = exactly || x->dtype == KT_I32 ? 0 : largest * (x->dtype == KT_F64 ? 1e-11 : 1e-5);
        for (size_t i = 0; i < count; i++) {
            double p = element(x, i), q = element(y, i);
            if (p == q || (isnan(p) && isnan(q)) || fabs(p - q) <= tolerance) continue;
            print_error("output %u, element %zu: %.17g became %.17g\n", k, i, p, q);
            return false;
        }
    }
    return true;
}

static void assert_round_trip(const kt_graph *graph) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_text text = {.arena = arena}, again = {.arena = arena};
    kt_graph *parsed = NULL;
    kt_graph_print(graph, &(kt_print_options){false}, &text);
    ASSERT_OK(kt_graph_parse(arena, text.at, text.length, &parsed, &diag));
    kt_graph_print(parsed, &(kt_print_options){false}, &again);
    assert_string_equal(text.at, again.at);
    kt_arena_destroy(arena);
}

/* After fuse, entries hold calls, reshapes, and concats of what calls give, and a kernel at most one
 * contraction. */
static void assert_fused(const kt_graph *graph) {
    const kt_function *entry = kt_graph_function(graph, kt_graph_find(graph, "predict"));
    for (uint32_t i = 0; i < entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        assert_true(node->op == KT_OP_call || node->op == KT_OP_reshape || node->op == KT_OP_concat);
        for (uint32_t k = 0; k < node->operand_count && node->op == KT_OP_concat; k++)
            assert_true(kt_graph_definition(graph, node->operands[k])->op == KT_OP_call);
    }
    for (kt_func func = kt_graph_next(graph, KT_FUNC_KERNEL, 0); func;
         func = kt_graph_next(graph, KT_FUNC_KERNEL, func)) {
        const kt_function *kernel = kt_graph_function(graph, func);
        int contractions = 0;
        for (uint32_t i = 0; i < kernel->nodes.count; i++) {
            kt_op op = kt_graph_node(graph, kernel->nodes.at[i])->op;
            contractions += op == KT_OP_dot_general || op == KT_OP_conv;
        }
        assert_true(contractions <= 1);
    }
}

/* Writes a kernel's result into its buffer, or into its part of one. */
static void write_result(const kt_graph *graph, kt_func kernel, uint32_t index, const kt_tensor *result,
                         const int64_t *symbols, char *buffer) {
    kt_dim begin;
    const kt_node_info *concat = kt_plan_whole(graph, kernel, index, &begin);
    if (!concat) {
        memcpy(buffer, result->data, kt_tensor_bytes(result));
        return;
    }
    const kt_type *whole = kt_graph_type(graph, concat->first_result);
    size_t element = kt_dtype_bytes(whole->dtype), row = (size_t)result->dims[result->rank - 1] * element,
           stride = (size_t)kt_dim_eval(graph->dims, whole->dims[whole->rank - 1], symbols) * element;
    buffer += (size_t)kt_dim_eval(graph->dims, begin, symbols) * element;
    for (size_t i = 0; row > 0 && i < kt_tensor_bytes(result) / row; i++)
        memcpy(buffer + i * stride, (const char *)result->data + i * row, row);
}

/* Runs the plan's steps over buffers in one workspace, each kernel by the evaluator. */
static outcome run_plan(kt_graph *graph, kt_arena *arena, const kt_tensor *inputs) {
    kt_diag diag = {0};
    kt_plan plan;
    outcome out = {0};
    kt_func func = kt_graph_find(graph, "predict");
    const kt_function *entry = kt_graph_function(graph, func);
    ASSERT_OK(kt_plan_entry(graph, func, arena, &plan, &diag));
    int64_t symbols[1] = {RANDOM_BATCH};
    uint32_t count = plan.buffers.count;
    void **memory = KT_NEW_ARRAY(arena, void *, count);
    kt_lifetime *lives = KT_NEW_ARRAY(arena, kt_lifetime, count);
    uint32_t *order = KT_NEW_ARRAY(arena, uint32_t, count), lively = 0;
    for (uint32_t i = 0; i < count; i++)
        if (plan.buffers.at[i].place == KT_PLACE_ARENA)
            lives[lively++] =
                (kt_lifetime){.bytes = kt_dim_eval(graph->dims, plan.buffers.at[i].bytes, symbols),
                              .first = plan.buffers.at[i].first,
                              .last = plan.buffers.at[i].last};
    char *workspace = kt_arena_alloc(arena, (size_t)kt_workspace_assign(lives, lively, order) + 64);
    lively = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kt_plan_buffer *buffer = &plan.buffers.at[i];
        size_t bytes = (size_t)kt_dim_eval(graph->dims, buffer->bytes, symbols);
        switch (buffer->place) {
        case KT_PLACE_INPUT: memory[i] = inputs[buffer->index].data; break;
        case KT_PLACE_CONSTANT: memory[i] = (void *)(uintptr_t)graph->constants.at[buffer->index].data; break;
        case KT_PLACE_OUTPUT: memory[i] = kt_arena_alloc(arena, bytes + 1); break;
        case KT_PLACE_ARENA: memory[i] = workspace + lives[lively++].offset; break;
        case KT_PLACE_VARIABLE:
        case KT_PLACE_NEXT:
        case KT_PLACE_SLICE: KT_BUG("random graphs have neither variables that change nor loops");
        }
    }
    for (uint32_t s = 0; s < plan.steps.count; s++) {
        const kt_plan_step *step = &plan.steps.at[s];
        const kt_function *kernel = kt_graph_function(graph, step->kernel);
        kt_tensor *arguments = KT_NEW_ARRAY(arena, kt_tensor, kernel->params.count);
        kt_tensor *results = KT_NEW_ARRAY(arena, kt_tensor, kernel->results.count);
        for (uint32_t i = 0; i < kernel->params.count; i++) {
            const kt_type *type = kt_graph_type(graph, kernel->params.at[i].value);
            arguments[i] =
                (kt_tensor){.dtype = type->dtype, .rank = type->rank, .data = memory[step->args.at[i]]};
            for (int k = 0; k < type->rank; k++)
                arguments[i].dims[k] = kt_dim_eval(graph->dims, type->dims[k], symbols);
        }
        ASSERT_OK(
            kt_eval(graph, step->kernel, symbols, arguments, kernel->params.count, arena, results, &diag));
        for (uint32_t i = 0; i < kernel->results.count; i++)
            write_result(graph, step->kernel, i, &results[i], symbols,
                         memory[step->args.at[kernel->params.count + i]]);
    }
    out.count = entry->results.count;
    for (uint32_t i = 0; i < out.count; i++) {
        const kt_type *type = kt_graph_type(graph, entry->results.at[i].value);
        out.results[i] = (kt_tensor){.dtype = type->dtype, .rank = type->rank};
        for (int k = 0; k < type->rank; k++)
            out.results[i].dims[k] = kt_dim_eval(graph->dims, type->dims[k], symbols);
        for (uint32_t b = 0; b < count; b++)
            if (plan.buffers.at[b].place == KT_PLACE_OUTPUT && plan.buffers.at[b].index == i)
                out.results[i].data = memory[b];
    }
    return out;
}

/* Passes after which results are the same numbers: they reorder no sum and combine no constants. */
static bool is_exact(const char *pass) {
    return strcmp(pass, "simplify") != 0 && strcmp(pass, "fold_scale") != 0 && strcmp(pass, "layout") != 0;
}

static void try_graph(uint64_t seed, int level) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    const kt_pass_options options = {.level = level, .target.panel_columns = 4, .verify = true};
    kt_tensor inputs[INPUTS];
    kt_graph *graph = make_random_graph(arena, seed, &diag);
    if (!graph) show(&diag);
    assert_non_null(graph);
    kt_func predict = kt_graph_find(graph, "predict");
    make_inputs(arena, seed,
                kt_graph_type(graph, kt_graph_function(graph, predict)->params.at[1].value)->dtype, inputs);
    const outcome original = evaluate(graph, arena, inputs);
    outcome before = original;
    for (const kt_pass *pass = kt_passes; pass->name; pass++) {
        if (!kt_pass_runs_at(pass, level)) continue;
        ASSERT_OK(pass->run(graph, &options, &diag));
        ASSERT_OK(kt_graph_verify(graph, &diag));
        assert_round_trip(graph);
        const outcome after = evaluate(graph, arena, inputs);
        if (!agree(&original, &after, false) || (is_exact(pass->name) && !agree(&before, &after, true)))
            fail_msg("after %s, -O%d", pass->name, level);
        before = after;
    }
    assert_fused(graph);
    const outcome planned = run_plan(graph, arena, inputs);
    if (!agree(&before, &planned, true)) fail_msg("by the plan, -O%d", level);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
}

static const char *some_pass(random_graph *r) {
    int count = 0;
    while (kt_passes[count].name) count++;
    for (;;) {
        const kt_pass *pass = &kt_passes[random_below(r, count)];
        if (kt_pass_runs_at(pass, 2)) return pass->name;
    }
}

/* Any passes of the pipeline in any order, as `keratin opt` may be asked: nothing breaks, results stay. */
static void try_any_order(uint64_t seed) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    const kt_pass_options options = {.level = 2, .target.panel_columns = 4, .verify = true};
    random_graph r = {.state = seed ^ 0x5DEECE66DU};
    kt_tensor inputs[INPUTS];
    kt_graph *graph = make_random_graph(arena, seed, &diag);
    assert_non_null(graph);
    kt_func predict = kt_graph_find(graph, "predict");
    const kt_port *row = &kt_graph_function(graph, predict)->params.at[1];
    make_inputs(arena, seed, kt_graph_type(graph, row->value)->dtype, inputs);
    const outcome original = evaluate(graph, arena, inputs);
    kt_text order = {.arena = arena};
    for (int i = 0; i < 8; i++) kt_text_format(&order, "%s%s", i ? "," : "", some_pass(&r));
    ASSERT_OK(kt_passes_run_named(graph, kt_text_string(&order), &options, &diag));
    assert_round_trip(graph);
    const outcome after = evaluate(graph, arena, inputs);
    if (!agree(&original, &after, false)) fail_msg("after %s", kt_text_string(&order));
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
}

static uint64_t seed_at_work;

static void try_seeds(void **state) {
    (void)state;
    for (uint64_t i = 0; i < seed_count; i++) {
        seed_at_work = first_seed + i;
        try_graph(seed_at_work, seed_at_work % 5 ? 2 : 0);
        try_any_order(seed_at_work);
    }
}

static int name_seed(void **state) {
    (void)state;
    if (seed_at_work != first_seed + seed_count - 1)
        print_error("seed %llu\n", (unsigned long long)seed_at_work);
    return 0;
}

int main(int count, char **arguments) {
    if (count > 1) first_seed = strtoull(arguments[1], NULL, 10);
    if (count > 2) seed_count = strtoull(arguments[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(try_seeds, name_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
