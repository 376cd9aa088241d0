/* Learning rate schedules against numbers that Keras computed (make_schedules.py). */
#include "frontend/schedules/schedules.h"
#include "ir/element.h"
#include "layer_testing.h"

static const char *name_of(const json_t *schedule) {
    return json_string_value(json_object_get(schedule, "class_name"));
}

/* ---- values ---------------------------------------------------------------------------------- */
static void check_case(const json_t *item, const char *what) {
    lab l;
    lab_open(&l);
    kt_schedule *schedule = kt_schedule_read(&l.context, json_object_get(item, "schedule"), "compile/rate");
    assert_string_equal(lab_problem(&l), "");
    kt_value value = kt_schedule_value(schedule, &l.trace, lab_input(&l, "i64[]"));
    assert_string_equal(lab_problem(&l), "");
    kt_builder_result(&l.builder, KT_ROLE_OUTPUT, "value", 0, value);
    kt_func func = 0;
    kt_status status = kt_builder_finish(&l.builder, &func);
    if (status == KT_OK) status = kt_graph_verify(l.graph, &l.diag);
    const json_t *steps = json_object_get(item, "steps"), *values = json_object_get(item, "values");
    assert_true(json_array_size(steps) > 20 && json_array_size(steps) == json_array_size(values));
    for (size_t i = 0; status == KT_OK && i < json_array_size(steps); i++) {
        int64_t step = json_integer_value(json_array_get(steps, i));
        double wanted = json_number_value(json_array_get(values, i));
        const kt_tensor input = {.dtype = KT_I64, .data = &step};
        kt_tensor result;
        status = kt_eval(l.graph, func, NULL, &input, 1, l.context.arena, &result, &l.diag);
        if (status != KT_OK) break;
        assert_int_equal(result.dtype, KT_F32);
        assert_int_equal(result.rank, 0);
        double given = kt_element_float(KT_F32, result.data, 0);
        if (!(fabs(given - wanted) <= 1e-6 * fmax(1e-1, fabs(wanted))))
            fail_msg("%s: after %lld steps the rate is %.9g, not %.9g", what, (long long)step, given, wanted);
    }
    if (status != KT_OK) fail_msg("%s: %s", what, lab_problem(&l));
    lab_close(&l);
}

static void values(void **state) {
    (void)state;
    json_t *cases = lab_read_json("schedules.json");
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        char what[100];
        snprintf(what, sizeof what, "%s (case %d)", name_of(json_object_get(item, "schedule")), (int)i);
        check_case(item, what);
    }
    json_decref(cases);
}

/* Every option of every class has a case in which it is not as usual. */
static bool has_case(const json_t *cases, const kt_object_class *class, const kt_option *option) {
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        const json_t *schedule = json_object_get(item, "schedule");
        if (strcmp(name_of(schedule), class->name) != 0) continue;
        const json_t *given = json_object_get(json_object_get(schedule, "config"), option->name);
        if (given && !option->default_json) return true;
        json_t *usual = option->default_json ? json_loads(option->default_json, JSON_DECODE_ANY, NULL) : NULL;
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
    json_t *cases = lab_read_json("schedules.json");
    for (const kt_schedule_class *const *class = kt_schedule_classes; *class; class ++)
        for (const kt_option *option = (*class)->object.options; option->name; option++)
            if (strcmp(option->name, "name") != 0 && !has_case(cases, &(*class)->object, option))
                fail_msg("there is no case of %s's option '%s'", (*class)->object.name, option->name);
    json_decref(cases);
}

/* What was read is written as Keras wrote it. */
static void configurations(void **state) {
    (void)state;
    json_t *cases = lab_read_json("schedules.json");
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        lab l;
        lab_open(&l);
        const json_t *serialized = json_object_get(item, "schedule");
        kt_schedule *schedule = kt_schedule_read(&l.context, serialized, "compile/rate");
        json_t *written = kt_object_config((const kt_object *)schedule),
               *config = json_object_get(serialized, "config"), *value;
        assert_int_equal(json_object_size(written), json_object_size(config));
        const char *key;
        json_object_foreach(config, key, value) {
            const json_t *ours = json_object_get(written, key);
            if (json_is_number(value))
                assert_true(json_number_value(ours) == json_number_value(value));
            else
                assert_true(json_equal(ours, value));
        }
        json_decref(written);
        lab_close(&l);
    }
    json_decref(cases);
}

/* ---- what is refused ------------------------------------------------------------------------- */
static void refuse(const char *text, const char *problem) {
    lab l;
    lab_open(&l);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_null(kt_schedule_read(&l.context, json, "compile/rate"));
    assert_string_equal(lab_problem(&l), problem);
    json_decref(json);
    lab_close(&l);
}

static void bad_configurations(void **state) {
    (void)state;
    refuse("{\"class_name\": \"Warmup\", \"config\": {}}",
           "compile/rate: there is no learning rate schedule 'Warmup'.");
    refuse("true",
           "compile/rate: a learning rate schedule must be a name, or an object with class_name and config.");
    refuse("{\"class_name\": \"CosineDecay\", \"config\": {\"decay_steps\": 10}}",
           "compile/rate: option 'initial_learning_rate' of CosineDecay is missing, and it has no default.");
    refuse(
        "{\"class_name\": \"CosineDecay\", \"config\": {\"initial_learning_rate\": 0, \"decay_steps\": 10}}",
        "compile/rate: option 'initial_learning_rate' of CosineDecay is an integer, with which Keras "
        "computes the "
        "schedule in integers; write it with a decimal point.");
    refuse("{\"class_name\": \"PolynomialDecay\", \"config\": {\"initial_learning_rate\": 0.1, "
           "\"decay_steps\": 0}}",
           "compile/rate: option 'decay_steps' of PolynomialDecay must be above 0.");
    refuse("{\"class_name\": \"CosineDecayRestarts\", \"config\": {\"initial_learning_rate\": 0.1, "
           "\"first_decay_steps\": -1}}",
           "compile/rate: option 'first_decay_steps' of CosineDecayRestarts must be above 0.");
    refuse("{\"class_name\": \"PiecewiseConstantDecay\", \"config\": {\"boundaries\": [1, 2], \"values\": "
           "[1, 2]}}",
           "compile/rate: option 'values' of PiecewiseConstantDecay must be one more than the boundaries.");
    refuse(
        "{\"class_name\": \"PiecewiseConstantDecay\", \"config\": {\"boundaries\": [], \"values\": [1]}}",
        "compile/rate: option 'boundaries' of PiecewiseConstantDecay must be a list of at least one number.");
    refuse(
        "{\"class_name\": \"PiecewiseConstantDecay\", \"config\": {\"boundaries\": [1e300], \"values\": [1, "
        "\"x\"]}}",
        "compile/rate: option 'boundaries' of PiecewiseConstantDecay must be a list of at least one number.");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(every_option_has_a_case),
        cmocka_unit_test(configurations),
        cmocka_unit_test(bad_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
