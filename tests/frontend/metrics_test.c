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

static void every_metric_has_a_case(void **state) {
    (void)state;
    json_t *cases = lab_read_json("metrics.json");
    for (const kt_metric_class *const *at = kt_metric_classes; *at; at++) {
        bool found = false;
        size_t i;
        json_t *item;
        json_array_foreach(cases, i, item) {
            const char *name =
                json_string_value(json_object_get(json_object_get(item, "metric"), "class_name"));
            found |= name && strcmp(name, (*at)->object.name) == 0;
        }
        if (!found) fail_msg("there is no case of %s", (*at)->object.name);
    }
    json_decref(cases);
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------------------
 */
static kt_metric *read_metric(lab *l, const json_t *serialized, const char *output) {
    kt_type type = *kt_build_type(&l->builder, lab_input(l, output));
    return kt_metric_read(&l->trace, serialized, &type, &type, "compile/metrics");
}

/* The names that Keras knows, and of which class they are. */
static void names(void **state) {
    (void)state;
    json_t *all = lab_read_json("metric_names.json");
    const char *name;
    json_t *class;
    json_object_foreach(json_object_get(all, "classes"), name, class) {
        lab l;
        lab_open(&l);
        json_t *serialized = json_string(name);
        kt_metric *metric = read_metric(&l, serialized, "f32[batch,3]");
        assert_string_equal(lab_problem(&l), "");
        assert_non_null(metric);
        assert_string_equal(metric->object.class->name, json_string_value(class));
        assert_string_equal(metric->name, name);
        json_decref(serialized);
        lab_close(&l);
    }
    json_decref(all);
}

static void better_numbers(void **state) {
    (void)state;
    json_t *all = lab_read_json("metric_names.json");
    for (const kt_metric_class *const *class = kt_metric_classes; *class; class ++) {
        const kt_metric metric = {.object.class = &(*class)->object};
        const json_t *better = json_object_get(json_object_get(all, "better"), (*class)->object.name);
        if (!json_is_integer(better) || json_integer_value(better) != kt_metric_better(&metric))
            fail_msg("%s is better where it is %d", (*class)->object.name, kt_metric_better(&metric));
    }
    json_decref(all);
}

static void list_logs(lab *l, const json_t *outputs, const json_t *lists, bool weighted, kt_metric_log *logs,
                      uint32_t *count) {
    for (size_t i = 0; i < json_array_size(lists); i++) {
        const char *output =
            json_array_size(outputs) > 1 ? json_string_value(json_array_get(outputs, i)) : NULL;
        const json_t *list = json_array_get(lists, i);
        for (size_t k = 0; k < json_array_size(list); k++) {
            assert_true(*count < 16);
            logs[(*count)++] =
                (kt_metric_log){read_metric(l, json_array_get(list, k), "f32[batch,3]"), output, weighted};
        }
    }
}

static void names_in_logs(void **state) {
    (void)state;
    json_t *all = lab_read_json("metric_names.json");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(all, "logs"), i, item) {
        lab l;
        lab_open(&l);
        kt_metric_log logs[16];
        uint32_t count = 0;
        const json_t *outputs = json_object_get(item, "outputs");
        list_logs(&l, outputs, json_object_get(item, "metrics"), false, logs, &count);
        list_logs(&l, outputs, json_object_get(item, "weighted"), true, logs, &count);
        kt_metric_log_names(l.context.arena, logs, count);
        const json_t *wanted = json_object_get(item, "names");
        assert_int_equal(count, json_array_size(wanted));
        for (uint32_t k = 0; k < count; k++)
            assert_string_equal(logs[k].name, json_string_value(json_array_get(wanted, k)));
        lab_close(&l);
    }
    json_decref(all);
}

/* ---- wrong options --------------------------------------------------------------------------- */
static void problems(void **state) {
    (void)state;
    static const struct {
        const char *metric, *problem;
    } cases[] = {
        {"\"nothing\"", "there is no metric 'nothing'."},
        {"{\"class_name\": \"MeanMetricWrapper\", \"config\": {\"fn\": 3}}", "must name a function"},
        {"{\"class_name\": \"Precision\", \"config\": {\"thresholds\": [0.5, 2]}}", "a number from 0 to 1"},
        {"{\"class_name\": \"Precision\", \"config\": {\"top_k\": 0}}", "must be at least 1"},
        {"{\"class_name\": \"Mean\", \"config\": {\"dtype\": \"float7\"}}", "no dtype"},
        {"{\"class_name\": \"AUC\", \"config\": {\"num_thresholds\": 1}}", "must be from 2"},
        {"{\"class_name\": \"AUC\", \"config\": {\"num_labels\": 3}}", "goes with multi_label"},
        {"{\"class_name\": \"PrecisionAtRecall\", \"config\": {\"recall\": 2}}", "must be from 0 to 1"},
        {"{\"class_name\": \"IoU\", \"config\": {\"num_classes\": 2, \"target_class_ids\": [2]}}", "below 2"},
        {"{\"class_name\": \"MeanIoU\", \"config\": {\"num_classes\": 0}}", "must be from 1"},
        {"{\"class_name\": \"F1Score\", \"config\": {\"average\": \"other\"}}", "micro macro weighted"},
        {"{\"class_name\": \"FBetaScore\", \"config\": {\"beta\": 0}}", "must be above 0"},
        {"{\"class_name\": \"R2Score\", \"config\": {\"num_regressors\": -1}}", "must be at least 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        json_error_t error;
        json_t *serialized = json_loads(cases[i].metric, JSON_DECODE_ANY, &error);
        assert_non_null(serialized);
        assert_null(read_metric(&l, serialized, "f32[batch,3]"));
        if (!strstr(lab_problem(&l), cases[i].problem)) fail_msg("%s: %s", cases[i].metric, lab_problem(&l));
        lab_close(&l);
        json_decref(serialized);
    }
}

/* Weights of steps, for a metric that takes the largest along another axis than the last. */
static void weights_that_do_not_fit(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    json_t *serialized = json_pack("{s:s, s:{s:i, s:i}}", "class_name", "OneHotMeanIoU", "config",
                                   "num_classes", 4, "axis", 1);
    kt_metric *metric = read_metric(&l, serialized, "f32[batch,4,3,5]");
    kt_value x = lab_input(&l, "f32[batch,4,3,5]"), weight = lab_input(&l, "f32[batch,4,3]");
    const kt_type type = *kt_build_type(&l.builder, x);
    kt_metric_build(metric, &l.trace, &type, &type);
    kt_metric_update(metric, &l.trace, x, x, weight, 0);
    assert_int_equal(kt_metric_result(metric, &l.trace), 0);
    if (!strstr(lab_problem(&l), "must be equal, but are 4 and 3")) fail_msg("%s", lab_problem(&l));
    lab_close(&l);
    json_decref(serialized);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results),
        cmocka_unit_test(every_metric_has_a_case),
        cmocka_unit_test(names),
        cmocka_unit_test(names_in_logs),
        cmocka_unit_test(problems),
        cmocka_unit_test(better_numbers),
        cmocka_unit_test(weights_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
