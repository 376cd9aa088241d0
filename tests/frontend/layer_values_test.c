/* Activations and layers against numbers that Keras computed (make_layers.py). */
#include "layer_tensors.h"

static void check_tensor(const char *what, const kt_tensor *given, const kt_tensor *wanted) {
    lab_check_tensor(what, given, wanted, lab_tolerance(wanted->dtype));
}

/* ---- activations ----------------------------------------------------------------------------- */
static void activations(void **state) {
    (void)state;
    json_t *cases = lab_read_json("activations.json");
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        lab l;
        lab_open(&l);
        const char *name = json_string_value(json_object_get(item, "name"));
        kt_tensor x = lab_read_tensor(&l, json_object_get(item, "input"));
        kt_tensor wanted = lab_read_tensor(&l, json_object_get(item, "output"));
        kt_activation activation;
        if (!kt_activation_find(name, &activation)) fail_msg("there is no activation %s", name);
        const char *parameter;
        json_t *value;
        json_object_foreach(json_object_get(item, "parameters"), parameter, value) {
            assert_true(kt_activation_set(&activation, parameter, json_number_value(value)));
        }
        kt_type type = kt_type_of(l.graph->dims, x.dtype, x.rank, x.dims);
        kt_value input = kt_builder_param(&l.builder, KT_ROLE_INPUT, "x", 0, &type);
        kt_func func = lab_finish(&l, kt_activation_apply(&l.builder, &activation, input));
        kt_tensor y;
        assert_int_equal(kt_eval(l.graph, func, NULL, &x, 1, l.context.arena, &y, &l.diag), KT_OK);
        check_tensor(kt_arena_format(l.context.arena, "%s (case %d)", name, (int)i), &y, &wanted);
        lab_close(&l);
    }
    json_decref(cases);
}

static void every_activation_has_a_case(void **state) {
    (void)state;
    json_t *cases = lab_read_json("activations.json");
    for (uint32_t n = 0; kt_activation_name(n); n++) {
        bool found = false;
        size_t i;
        json_t *item;
        json_array_foreach(cases, i, item) {
            found |= strcmp(json_string_value(json_object_get(item, "name")), kt_activation_name(n)) == 0;
        }
        if (!found) fail_msg("there is no case of %s", kt_activation_name(n));
    }
    json_decref(cases);
}

/* ---- layers ---------------------------------------------------------------------------------- */
/* An input whose None dimensions are symbols of their own; None in front is `batch`. */
static kt_value add_input(lab *l, const json_t *spec, const kt_tensor *tensor) {
    kt_type type = {.dtype = tensor->dtype, .rank = (uint8_t)tensor->rank};
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *size = json_array_get(spec, (size_t)i);
        const char *symbol = i ? kt_arena_format(l->context.arena, "x%u.%d", l->inputs, i) : "batch";
        type.dims[i] = json_is_integer(size) ? kt_dim_const(l->graph->dims, json_integer_value(size))
                                             : kt_dim_symbol(l->graph->dims, symbol);
    }
    const char *name = kt_arena_format(l->context.arena, "x%u", l->inputs);
    return kt_builder_param(&l->builder, KT_ROLE_INPUT, name, l->inputs++, &type);
}

static void check_call(lab *l, const json_t *item, const char *what) {
    kt_layer *layer = kt_layer_from_config(&l->context, json_object_get(item, "layer"), NULL);
    assert_string_equal(lab_problem(l), "");
    const json_t *inputs = json_object_get(item, "inputs");
    kt_tensor tensors[5];
    kt_argument items[4];
    uint32_t count = (uint32_t)json_array_size(inputs);
    for (uint32_t i = 0; i < count; i++) {
        tensors[i] = lab_read_tensor(l, json_array_get(inputs, i));
        items[i] = lab_tensor(add_input(l, json_array_get(json_object_get(item, "spec"), i), &tensors[i]));
    }
    const json_t *mask_json = json_object_get(item, "mask");
    kt_value mask = 0;
    uint32_t arguments = count;
    if (mask_json) {
        tensors[arguments++] = lab_read_tensor(l, mask_json);
        const kt_tensor *tensor = &tensors[count];
        kt_type type = kt_type_of(l->graph->dims, tensor->dtype, tensor->rank, tensor->dims);
        if (tensor->dims[0] == tensors[0].dims[0]) type.dims[0] = kt_dim_symbol(l->graph->dims, "batch");
        mask = kt_builder_param(&l->builder, KT_ROLE_INPUT, "mask", count, &type);
    }
    l->trace.training = json_is_true(json_object_get(item, "training"));
    kt_value output = lab_call(l, layer, items, count, mask);
    assert_string_equal(lab_problem(l), "");
    const json_t *weights = json_object_get(item, "weights");
    if (layer->weights.count != json_array_size(weights))
        fail_msg("%s: %u weights", what, layer->weights.count);
    for (uint32_t i = 0; i < layer->weights.count; i++) {
        kt_tensor weight = lab_read_tensor(l, json_array_get(weights, i));
        kt_variable *variable = &l->graph->variables.at[layer->weights.at[i].variable];
        kt_type type = kt_type_of(l->graph->dims, weight.dtype, weight.rank, weight.dims);
        if (!kt_type_equal(&type, &variable->type)) fail_msg("%s: weight %u has another type", what, i);
        variable->data = weight.data;
    }
    kt_func func = lab_finish(l, output);
    kt_tensor results[8];
    kt_status status = kt_eval(l->graph, func, NULL, tensors, arguments, l->context.arena, results, &l->diag);
    assert_string_equal(lab_problem(l), "");
    assert_int_equal(status, KT_OK);
    kt_tensor wanted = lab_read_tensor(l, json_object_get(item, "output"));
    check_tensor(what, &results[0], &wanted);
    const kt_function *function = kt_graph_function(l->graph, func);
    const json_t *after = json_object_get(item, "after");
    for (uint32_t i = 1; i < function->results.count; i++) {
        wanted = lab_read_tensor(l, json_array_get(after, function->results.at[i].index));
        check_tensor(what, &results[i], &wanted);
    }
}

static void check_calls(const char *file) {
    json_t *cases = lab_read_json(file);
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        lab l;
        lab_open(&l);
        const char *class = json_string_value(json_object_get(json_object_get(item, "layer"), "class_name"));
        check_call(&l, item, kt_arena_format(l.context.arena, "%s (case %d)", class, (int)i));
        lab_close(&l);
    }
    json_decref(cases);
}

static void layers(void **state) {
    (void)state;
    check_calls("layer_calls.json");
}

/* In training: numbers as TensorFlow draws them, from a state that counts on. */
static void draws(void **state) {
    (void)state;
    check_calls("layer_draws.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),
        cmocka_unit_test(every_activation_has_a_case),
        cmocka_unit_test(layers),
        cmocka_unit_test(draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
