/* Losses and their derivatives against numbers that Keras computed (make_losses.py). */
#include "frontend/losses/losses.h"
#include "layer_tensors.h"

/* ---- values and derivatives ------------------------------------------------------------------ */
/* A parameter of the tensor's type, with the symbol `batch` in front. */
static kt_value add_input(lab *l, const kt_tensor *tensor) {
    kt_type type = kt_type_of(l->graph->dims, tensor->dtype, tensor->rank, tensor->dims);
    type.dims[0] = kt_dim_symbol(l->graph->dims, "batch");
    const char *name = kt_arena_format(l->context.arena, "x%u", l->inputs);
    return kt_builder_param(&l->builder, KT_ROLE_INPUT, name, l->inputs++, &type);
}

static kt_value apply_activation(lab *l, const json_t *item, kt_value x) {
    const char *name = json_string_value(json_object_get(item, "activation"));
    kt_activation activation;
    if (!name) return x;
    assert_true(kt_activation_find(name, &activation));
    kt_activation_set(&activation, "axis", json_number_value(json_object_get(item, "axis")));
    return kt_activation_apply(&l->builder, &activation, x);
}

static void check_case(const json_t *item, const char *what) {
    lab l;
    lab_open(&l);
    kt_builder *b = &l.builder;
    kt_loss *loss = kt_loss_read(&l.context, json_object_get(item, "loss"), "compile/loss");
    assert_string_equal(lab_problem(&l), "");
    kt_tensor tensors[4];
    uint32_t count = 0;
    kt_value values[4] = {0};
    static const char *const keys[] = {"target", "output", "weights", "mask"};
    for (int i = 0; i < 4; i++) {
        const json_t *json = json_object_get(item, keys[i]);
        if (!json) continue;
        tensors[count] = lab_read_tensor(&l, json);
        values[i] = add_input(&l, &tensors[count++]);
    }
    kt_value output = apply_activation(&l, item, values[1]);
    kt_value value = kt_loss_value(loss, &l.trace, values[0], output, values[2], values[3]);
    assert_string_equal(lab_problem(&l), "");
    kt_builder_result(b, KT_ROLE_OUTPUT, "value", 0, value);
    const kt_type type = *kt_build_type(b, value);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i;
    if (type.rank) value = kt_build_reduce(b, value, KT_REDUCE_SUM, type.rank, axes);
    kt_value gradient = 0;
    kt_build_gradient(b, value, &values[1], 1, &gradient);
    kt_builder_result(b, KT_ROLE_OUTPUT, "gradient", 1, gradient);
    kt_func func = 0;
    kt_status status = kt_builder_finish(b, &func);
    if (status == KT_OK) status = kt_graph_verify(l.graph, &l.diag);
    kt_tensor results[2];
    if (status == KT_OK)
        status = kt_eval(l.graph, func, NULL, tensors, count, l.context.arena, results, &l.diag);
    if (status != KT_OK) fail_msg("%s: %s", what, lab_problem(&l));
    double tolerance = json_number_value(json_object_get(item, "tolerance"));
    kt_tensor wanted[] = {lab_read_tensor(&l, json_object_get(item, "value")),
                          lab_read_tensor(&l, json_object_get(item, "gradient"))};
    lab_check_tensor(kt_arena_format(l.context.arena, "%s, value", what), &results[0], &wanted[0], tolerance);
    lab_check_tensor(kt_arena_format(l.context.arena, "%s, gradient", what), &results[1], &wanted[1],
                     tolerance);
    lab_close(&l);
}

static const char *name_of(const json_t *loss) {
    const char *name = json_string_value(json_object_get(loss, "class_name"));
    return name ? name : json_is_string(loss) ? json_string_value(loss) : "?";
}

static void values(void **state) {
    (void)state;
    json_t *cases = lab_read_json("losses.json");
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        char what[100];
        snprintf(what, sizeof what, "%s (case %d)", name_of(json_object_get(item, "loss")), (int)i);
        check_case(item, what);
    }
    json_decref(cases);
}

/* Every option of every class has a case in which it is not as usual. */
static bool has_case(const json_t *cases, const kt_object_class *class, const kt_option *option) {
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        const json_t *loss = json_object_get(item, "loss");
        if (strcmp(name_of(loss), class->name) != 0) continue;
        const json_t *given = json_object_get(json_object_get(loss, "config"), option->name);
        json_t *usual = json_loads(option->default_json, JSON_DECODE_ANY, NULL);
        double number = json_number_value(usual);
        bool same = json_equal(given, usual) ||
                    (json_is_number(given) && json_is_number(usual) && json_number_value(given) == number);
        json_decref(usual);
        if (given && !same) return true;
    }
    return false;
}

static void every_option_has_a_case(void **state) {
    (void)state;
    json_t *cases = lab_read_json("losses.json");
    for (const kt_loss_class *const *class = kt_loss_classes; *class; class ++)
        for (const kt_option *option = (*class)->object.options; option->name; option++) {
            /* These do not depend on the class. */
            if (kt_options_listed("name reduction dtype", option->name)) continue;
            if (!has_case(cases, &(*class)->object, option))
                fail_msg("there is no case of %s's option '%s'", (*class)->object.name, option->name);
        }
    json_decref(cases);
}

/* ---- what is refused ------------------------------------------------------------------------- */
static void refuse_to_read(const char *text, const char *problem) {
    lab l;
    lab_open(&l);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_null(kt_loss_read(&l.context, json, "compile/loss"));
    assert_string_equal(lab_problem(&l), problem);
    json_decref(json);
    lab_close(&l);
}

static void bad_configurations(void **state) {
    (void)state;
    refuse_to_read("\"mee\"", "compile/loss: there is no loss 'mee'.");
    refuse_to_read("3", "compile/loss: a loss must be a name, or an object with class_name and config.");
    refuse_to_read("{\"class_name\": \"Huber\", \"config\": {\"reduction\": \"most\"}}",
                   "compile/loss: option 'reduction' of Huber must be one of: sum_over_batch_size sum mean "
                   "mean_with_sample_weight none.");
    refuse_to_read("{\"class_name\": \"CategoricalGeneralizedCrossEntropy\", \"config\": {\"q\": 1}}",
                   "compile/loss: option 'q' of CategoricalGeneralizedCrossEntropy must be between 0 and 1.");
    refuse_to_read(
        "{\"class_name\": \"CategoricalFocalCrossentropy\", \"config\": {\"alpha\": [[1], [2]]}}",
        "compile/loss: option 'alpha' of CategoricalFocalCrossentropy must be a number or a list of "
        "numbers.");
    refuse_to_read("{\"class_name\": \"Dice\", \"config\": {\"axis\": [1, \"x\"]}}",
                   "compile/loss: option 'axis' of Dice must be an integer or a list of integers.");
    refuse_to_read(
        "{\"class_name\": \"Hinge\", \"config\": {\"dtype\": \"float7\"}}",
        "compile/loss: option 'dtype' of Hinge is 'float7', which is no dtype and no supported policy.");
}

static void refuse_to_call(const char *text, const char *target, const char *output, const char *weights,
                           const char *problem) {
    lab l;
    lab_open(&l);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    kt_loss *loss = kt_loss_read(&l.context, json, "compile/loss");
    assert_non_null(loss);
    kt_value labels = lab_input(&l, target), outputs = lab_input(&l, output);
    kt_value sample_weights = weights ? lab_input(&l, weights) : 0;
    assert_int_equal(kt_loss_value(loss, &l.trace, labels, outputs, sample_weights, 0), 0);
    assert_string_equal(lab_problem(&l), problem);
    json_decref(json);
    lab_close(&l);
}

static void bad_shapes(void **state) {
    (void)state;
    refuse_to_call(
        "{\"class_name\": \"CategoricalFocalCrossentropy\", \"config\": {\"alpha\": [1, 2]}}", "f32[batch,3]",
        "f32[batch,3]", NULL,
        "compile/loss: option 'alpha' has 2 numbers, but must have one for each class, or for all.");
    refuse_to_call("\"mse\"", "f32[batch,4]", "f32[batch,3]", NULL,
                   "compile/loss: labels of f32[batch,4] do not fit f32[batch,3].");
    refuse_to_call("\"mse\"", "f32[batch]", "f32[batch,3]", NULL,
                   "compile/loss: labels of f32[batch] do not fit f32[batch,3].");
    refuse_to_call("\"bce\"", "f32[batch,1]", "f32[batch,3]", NULL,
                   "compile/loss: labels of f32[batch,1] do not fit f32[batch,3].");
    refuse_to_call("\"sparse_categorical_crossentropy\"", "i32[batch,3]", "f32[batch,3]", NULL,
                   "compile/loss: labels of i32[batch,3] do not fit i32[batch].");
    refuse_to_call("\"mse\"", "f32[batch,3]", "f32[batch,3]", "f32[batch,2]",
                   "compile/loss: sample weights of f32[batch,2] do not fit f32[batch].");
    refuse_to_call("{\"class_name\": \"CosineSimilarity\", \"config\": {\"axis\": 2}}", "f32[batch,3]",
                   "f32[batch,3]", NULL,
                   "compile/loss: the output has no axis 2, which the loss 'cosine_similarity' wants.");
    refuse_to_call("{\"class_name\": \"Tversky\", \"config\": {\"axis\": [1, -1]}}", "f32[batch,3]",
                   "f32[batch,3]", NULL, "compile/loss: the loss 'tversky' has axis 1 twice.");
    refuse_to_call("\"circle\"", "i32[batch]", "f32[batch,3,4]", NULL,
                   "compile/loss: the loss 'circle' takes embeddings [batch, features].");
    refuse_to_call(
        "\"ctc\"", "i32[batch]", "f32[batch,3,4]", NULL,
        "compile/loss: the loss 'ctc' takes labels [batch, labels] and logits [batch, time, classes].");
}

/* ---- what labels are ------------------------------------------------------------------------- */
static void expect_labels(const char *text, const char *output, const char *labels) {
    lab l;
    lab_open(&l);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    kt_loss *loss = kt_loss_read(&l.context, json, "compile/loss");
    assert_non_null(loss);
    const kt_type type = *kt_build_type(&l.builder, lab_input(&l, output));
    kt_type target = kt_loss_target_type(loss, &l.builder, &type);
    assert_string_equal(kt_type_string(l.graph->dims, &target, l.context.arena), labels);
    json_decref(json);
    lab_close(&l);
}

static void target_types(void **state) {
    (void)state;
    expect_labels("\"mse\"", "f32[batch,3]", "f32[batch,3]");
    expect_labels("\"categorical_crossentropy\"", "f16[batch,5,3]", "f32[batch,5,3]");
    expect_labels("\"sparse_categorical_crossentropy\"", "f32[batch,5,3]", "i32[batch,5]");
    expect_labels("{\"class_name\": \"SparseCategoricalCrossentropy\", \"config\": {\"axis\": 1}}",
                  "f32[batch,5,3]", "i32[batch,3]");
    expect_labels("\"CategoricalGeneralizedCrossEntropy\"", "f32[batch,3]", "i32[batch]");
    expect_labels("\"circle\"", "f32[batch,3]", "i32[batch]");
    expect_labels("\"ctc\"", "f32[batch,time,3]", "i32[batch,labels]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(every_option_has_a_case),
        cmocka_unit_test(bad_configurations),
        cmocka_unit_test(bad_shapes),
        cmocka_unit_test(target_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
