/* Models that Keras wrote (make_models.py): variables, names, and what the traced graph computes. */
#include "frontend/layer.h"
#include "kt_cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"sequential", "deflated",  "built_later", "functional",
                                    "shared",     "nested",    "deep",        "dicts",
                                    "arithmetic", "functions", "shapes",      "reductions"};

static const char *model_path(kt_arena *arena, const char *name, const char *ending) {
    return kt_arena_format(arena, "%s/frontend/models/%s.%s", KT_TEST_SOURCE, name, ending);
}

static void fail_with_problems(const char *name, const kt_diag *diag) {
    for (uint32_t i = 0; i < diag->count; i++) {
        const char *where = diag->problems[i].where;
        print_error("%s: %s: %s\n", name, where ? where : "-", diag->problems[i].text);
    }
    fail_msg("%s failed", name);
}

static json_t *expectations(kt_arena *arena, const char *name) {
    json_error_t error;
    const char *file = strcmp(name, "deflated") == 0 ? "sequential" : name;
    json_t *json = json_load_file(model_path(arena, file, "json"), 0, &error);
    assert_non_null(json);
    return json;
}

static void check_variables(const kt_graph *graph, const json_t *expected) {
    assert_int_equal(graph->variables.count, json_array_size(expected));
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        const json_t *one = json_array_get(expected, i);
        const char *path = json_string_value(json_object_get(one, "path"));
        uint32_t same = 0;
        for (size_t j = 0; j < json_array_size(expected); j++)
            same +=
                strcmp(path, json_string_value(json_object_get(json_array_get(expected, j), "path"))) == 0;
        if (same == 1) {
            assert_string_equal(variable->path, path);
        } else { /* where Keras has the path twice, ours is longer */
            assert_true(strlen(variable->path) >= strlen(path));
            assert_string_equal(variable->path + strlen(variable->path) - strlen(path), path);
        }
        for (uint32_t j = 0; j < i; j++) assert_string_not_equal(graph->variables.at[j].path, variable->path);
        assert_int_equal(variable->trainable, json_is_true(json_object_get(one, "trainable")));
        const json_t *shape = json_object_get(one, "shape");
        assert_int_equal(variable->type.rank, json_array_size(shape));
        for (int axis = 0; axis < variable->type.rank; axis++)
            assert_true(kt_dim_equals(graph->dims, variable->type.dims[axis],
                                      json_integer_value(json_array_get(shape, axis))));
        assert_non_null(variable->data);
    }
}

static kt_tensor read_tensor(kt_arena *arena, const json_t *json) {
    kt_tensor tensor = {0};
    const json_t *shape = json_object_get(json, "shape"), *values = json_object_get(json, "values");
    assert_true(kt_dtype_parse_keras(json_string_value(json_object_get(json, "dtype")), &tensor.dtype));
    tensor.rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor.rank; i++) tensor.dims[i] = json_integer_value(json_array_get(shape, i));
    size_t count = kt_tensor_elements(&tensor);
    assert_int_equal(count, json_array_size(values));
    tensor.data = kt_arena_alloc(arena, kt_tensor_bytes(&tensor));
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(values, i);
        if (tensor.dtype == KT_F32)
            ((float *)tensor.data)[i] = (float)json_number_value(value);
        else if (tensor.dtype == KT_BOOL)
            ((uint8_t *)tensor.data)[i] = json_is_true(value);
        else if (tensor.dtype == KT_I32)
            ((int32_t *)tensor.data)[i] = (int32_t)json_integer_value(value);
        else
            fail_msg("dtype %s", kt_dtype_name(tensor.dtype));
    }
    return tensor;
}

static void compare(const char *model, const char *output, const kt_tensor *got, const kt_tensor *expected) {
    if (got->dtype != expected->dtype) fail_msg("%s: %s has another dtype", model, output);
    assert_int_equal(got->rank, expected->rank);
    for (int i = 0; i < got->rank; i++) {
        if (got->dims[i] != expected->dims[i]) fail_msg("%s: %s has another shape", model, output);
    }
    size_t count = kt_tensor_elements(got);
    if (got->dtype != KT_F32) {
        if (memcmp(got->data, expected->data, kt_tensor_bytes(got)) != 0)
            fail_msg("%s: %s departs", model, output);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double a = ((const float *)got->data)[i], b = ((const float *)expected->data)[i];
        if (fabs(a - b) > 1e-5 + 1e-5 * fabs(b))
            fail_msg("%s: %s[%zu] is %.9g, not %.9g", model, output, i, a, b);
    }
}

static void check_predictions(kt_graph *graph, const json_t *expected, const char *model, kt_arena *arena) {
    kt_diag diag = {0};
    kt_func predict = kt_graph_find(graph, "predict");
    const kt_function *function = kt_graph_function(graph, predict);
    const json_t *inputs = json_object_get(expected, "inputs"),
                 *outputs = json_object_get(expected, "outputs");
    kt_tensor *arguments = KT_NEW_ARRAY(arena, kt_tensor, json_array_size(inputs));
    uint32_t count = 0;
    for (uint32_t i = 0; i < function->params.count; i++) {
        if (function->params.at[i].role != KT_ROLE_INPUT) continue;
        const json_t *input = json_array_get(inputs, count);
        assert_string_equal(function->params.at[i].name, json_string_value(json_object_get(input, "name")));
        arguments[count++] = read_tensor(arena, input);
    }
    assert_int_equal(count, json_array_size(inputs));
    assert_int_equal(function->results.count, json_array_size(outputs));
    kt_tensor *results = KT_NEW_ARRAY(arena, kt_tensor, function->results.count);
    if (kt_eval(graph, predict, NULL, arguments, count, arena, results, &diag) != KT_OK)
        fail_with_problems(model, &diag);
    for (uint32_t i = 0; i < json_array_size(outputs); i++) {
        const json_t *output = json_array_get(outputs, i);
        const char *name = json_string_value(json_object_get(output, "name"));
        assert_string_equal(function->results.at[i].name, name);
        kt_tensor tensor = read_tensor(arena, output);
        compare(model, name, &results[i], &tensor);
    }
}

static void test_models(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kt_arena *arena = kt_arena_create();
        kt_diag diag = {0};
        kt_graph *graph;
        if (kt_keras_read(arena, model_path(arena, names[i], "keras"), &graph, &diag) != KT_OK)
            fail_with_problems(names[i], &diag);
        json_t *expected = expectations(arena, names[i]);
        check_variables(graph, json_object_get(expected, "variables"));
        check_predictions(graph, expected, names[i], arena);
        json_decref(expected);
        kt_arena_destroy(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
