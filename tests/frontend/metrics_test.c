/* Metrics against numbers that Keras computed (make_metrics.py). */
#include "frontend/metrics/metrics.h"
#include "layer_tensors.h"

enum { BATCHES = 3 };

/* A batch of any size, and all else as the first batch has it. */
static kt_value add_input(lab *l, const char *name, const kt_tensor *tensor) {
    kt_type type = kt_type_of(l->graph->dims, tensor->dtype, tensor->rank, tensor->dims);
    type.dims[0] = kt_dim_symbol(l->graph->dims, "batch");
    return kt_builder_param(&l->builder, KT_ROLE_INPUT, name, l->inputs++, &type);
}

/* Runs a step, whose first result is returned; the variables get the others. */
static kt_tensor run(lab *l, kt_func step, const kt_tensor *arguments) {
    kt_tensor results[16];
    kt_status status =
        kt_eval(l->graph, step, NULL, arguments, l->inputs, l->context.arena, results, &l->diag);
    assert_string_equal(lab_problem(l), "");
    assert_int_equal(status, KT_OK);
    const kt_function *function = kt_graph_function(l->graph, step);
    for (uint32_t i = 1; i < function->results.count; i++)
        l->graph->variables.at[function->results.at[i].index].data = results[i].data;
    return results[0];
}

/* variant: which of weights and mask there are, and what comes out then. */
static void check_metric(const json_t *item, const json_t *variant, size_t number) {
    static const char *const names[] = {"target", "output", "weight", "mask"};
    lab l;
    lab_open(&l);
    kt_tensor tensors[BATCHES][4];
    kt_value values[4] = {0};
    uint32_t count = 0;
    for (int i = 0; i < 4; i++) {
        const json_t *batches = json_object_get(item, names[i]);
        if (i > 1 && !json_is_true(json_object_get(variant, names[i]))) continue;
        for (size_t k = 0; k < BATCHES; k++)
            tensors[k][count] = lab_read_tensor(&l, json_array_get(batches, k));
        values[i] = add_input(&l, names[i], &tensors[0][count++]);
    }
    const kt_type target = *kt_build_type(&l.builder, values[0]),
                  output = *kt_build_type(&l.builder, values[1]);
    kt_metric *metric =
        kt_metric_read(&l.trace, json_object_get(item, "metric"), &target, &output, "compile/metrics");
    assert_string_equal(lab_problem(&l), "");
    assert_string_equal(metric->name, json_string_value(json_object_get(item, "name")));
    const char *what =
        kt_arena_format(l.context.arena, "%s (case %d)", metric->object.class->name, (int)number);
    kt_metric_build(metric, &l.trace, &target, &output);
    kt_metric_update(metric, &l.trace, values[0], values[1], values[2], values[3]);
    kt_func step = lab_finish(&l, kt_metric_result(metric, &l.trace));

    const json_t *results = json_object_get(variant, "results");
    const void *begin[16];
    for (uint32_t i = 0; i < metric->variables.count; i++) {
        const kt_variable *variable = &l.graph->variables.at[metric->variables.at[i]];
        assert_int_equal(variable->kind, KT_VARIABLE_METRIC);
        begin[i] = variable->data;
    }
    bool half = metric->compute_dtype == KT_F16 || metric->compute_dtype == KT_BF16;
    for (size_t k = 0; k <= BATCHES; k++) {
        for (uint32_t i = 0; k == BATCHES && i < metric->variables.count; i++)
            l.graph->variables.at[metric->variables.at[i]].data = begin[i];
        kt_tensor given = run(&l, step, tensors[k == BATCHES ? 1 : k]);
        kt_tensor wanted = lab_read_tensor(&l, json_array_get(results, k));
        lab_check_tensor(kt_arena_format(l.context.arena, "%s after batch %d", what, (int)k), &given, &wanted,
                         half ? 2e-3 : 1e-5);
    }
    lab_close(&l);
}

static void results(void **state) {
    (void)state;
    json_t *cases = lab_read_json("metrics.json");
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        size_t k;
        json_t *variant;
        json_array_foreach(json_object_get(item, "variants"), k, variant) check_metric(item, variant, i);
    }
    json_decref(cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
