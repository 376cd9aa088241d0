/* Optimizers against Keras's, step by step: updates.npz, which make.py makes.
 *
 * Before each step variables and slots are what Keras's were; after it they must be Keras's again, to 1e-5 of
 * the largest change of the tensor in that step, and to the rounding of its largest number. */
#include "frontend/optimizers/optimizers_impl.h"
#include "runtime/runtime.h"
#include "tests/frontend/layer_tensors.h"

#define FOLDER KT_TEST_SOURCE "/frontend/optimizers/"
static const double change_tolerance = 1e-5, rounding = 2.5e-7;

typedef struct fixture {
    kt_arrays arrays;
    json_t *classes;
} fixture;

static int open_fixture(void **state) {
    static fixture f;
    char error[KT_IO_ERROR];
    if (kt_arrays_read(FOLDER "updates.npz", &f.arrays, error)) fail_msg("%s", error);
    f.classes = lab_read_json("optimizers/classes.json");
    *state = &f;
    return 0;
}

static int close_fixture(void **state) {
    fixture *f = *state;
    kt_arrays_deinit(&f->arrays);
    json_decref(f->classes);
    return 0;
}

static const kt_buffer *find(const fixture *f, const char *case_name, const char *what) {
    char name[200];
    snprintf(name, sizeof name, "%s%s%s", case_name, *case_name ? "/" : "", what);
    for (size_t i = 0; i < f->arrays.count; i++)
        if (!strcmp(f->arrays.at[i].name, name)) return &f->arrays.at[i].buffer;
    return NULL;
}

static char *find_text(lab *l, const fixture *f, const char *case_name, const char *what) {
    const kt_buffer *bytes = find(f, case_name, what);
    assert_non_null(bytes);
    return kt_arena_format(l->context.arena, "%.*s", (int)bytes->dims[0], (const char *)bytes->data);
}

/* The names of the cases: those that have an optimizer. NULL past the last. */
static const char *next_case(lab *l, const fixture *f, size_t *at) {
    for (; *at < f->arrays.count; (*at)++) {
        const char *name = f->arrays.at[*at].name, *slash = strstr(name, "/optimizer");
        if (slash) {
            (*at)++;
            return kt_arena_format(l->context.arena, "%.*s", (int)(slash - name), name);
        }
    }
    return NULL;
}

static json_t *find_json(lab *l, const fixture *f, const char *case_name) {
    json_t *json = json_loads(find_text(l, f, case_name, "optimizer"), 0, NULL);
    assert_non_null(json);
    kt_arena_defer(l->context.arena, kt_json_release, json);
    return json;
}

/* ---- a case ---------------------------------------------------------------------------------- */
/* A variable of the graph, which stands at `first` in a state. */
typedef struct part {
    uint32_t variable;
    kt_tensor shape;
    size_t first, count;
} part;

typedef struct test {
    lab l;
    const fixture *f;
    const char *name;
    kt_optimizer *optimizer;
    uint32_t trained[16], trained_count;
    part parts[64];
    uint32_t count;
    size_t numbers;
    kt_tensor gradients[16];
    kt_func func;
} test;

static void add_part(test *t, uint32_t variable) {
    const kt_type type = t->l.graph->variables.at[variable].type;
    part *p = &t->parts[t->count++];
    *p = (part){.variable = variable, .first = t->numbers, .shape = {.dtype = type.dtype, .rank = type.rank}};
    for (int d = 0; d < type.rank; d++)
        assert_true(kt_dim_is_const(t->l.graph->dims, type.dims[d], &p->shape.dims[d]));
    p->count = kt_tensor_elements(&p->shape);
    t->numbers += p->count;
}

/* " 3 2" */
static int read_dims(const char *text, int64_t *out_dims) {
    int rank = 0;
    for (char *rest; *text; text = rest) out_dims[rank++] = strtol(text, &rest, 10);
    return rank;
}

/* "dense/kernel 3 2" */
static void add_variable(test *t, char *line) {
    int64_t dims[KT_MAX_RANK];
    char *space = strchr(line, ' ');
    int rank = space ? read_dims(space, dims) : 0;
    if (space) *space = 0;
    const kt_variable variable = {.path = line,
                                  .type = kt_type_of(t->l.graph->dims, KT_F32, rank, dims),
                                  .trainable = true,
                                  .kind = KT_VARIABLE_WEIGHT};
    uint32_t number = kt_graph_add_variable(t->l.graph, &variable);
    t->trained[t->trained_count++] = number;
    add_part(t, number);
}

/* Keras's "adam/dense_kernel_momentum", without the scopes in front. */
static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Keras calls several of Adafactor's slots "kernel", and Nadam's product "variable": here each has a name of
 * its own. */
static bool is_named_here(const char *keras) {
    return kt_options_listed("alpha bias kernel embeddings variable", keras);
}

/* The line of Keras's layout for one variable: "adam/dense_kernel_momentum float32 3 2". */
static void check_layout(test *t, const char *line, uint32_t k) {
    const part *p = &t->parts[t->trained_count + k];
    const kt_variable *variable = &t->l.graph->variables.at[p->variable];
    char path[200], dtype[20], place[100];
    int length = 0;
    assert_int_equal(sscanf(line, "%199s %19s%n", path, dtype, &length), 2);
    assert_int_equal(variable->kind, KT_VARIABLE_SLOT);
    if (!is_named_here(last_part(path)) && strcmp(last_part(path), last_part(variable->path)) != 0)
        fail_msg("%s: variable %u is %s, not %s", t->name, k, variable->path, path);
    snprintf(place, sizeof place, "optimizer/vars/%u", k);
    assert_string_equal(variable->file_path, place);
    assert_string_equal(kt_dtype_keras_name(p->shape.dtype), dtype);
    int64_t dims[KT_MAX_RANK];
    int rank = read_dims(line + length, dims);
    if (rank != p->shape.rank || memcmp(dims, p->shape.dims, (size_t)rank * sizeof *dims) != 0)
        fail_msg("%s: %s has not the shape of %s", t->name, variable->path, line);
    for (uint32_t i = 0; i < p->variable; i++)
        assert_string_not_equal(t->l.graph->variables.at[i].path, variable->path);
}

static void build(test *t) {
    lab_open(&t->l);
    char *lines = find_text(&t->l, t->f, "", "variables");
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        add_variable(t, line);
    t->optimizer = kt_optimizer_read(&t->l.context, find_json(&t->l, t->f, t->name), "compile/optimizer");
    assert_string_equal(lab_problem(&t->l), "");
    kt_optimizer_build(t->optimizer, &t->l.trace, t->trained, t->trained_count);
    for (uint32_t i = t->trained_count; i < t->l.graph->variables.count; i++) add_part(t, i);
    char *layout = find_text(&t->l, t->f, t->name, "layout");
    uint32_t k = 0;
    rest = NULL;
    for (char *line = strtok_r(layout, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), k++) {
        if (k + t->trained_count >= t->count) fail_msg("%s: there is no %s", t->name, line);
        check_layout(t, line, k);
    }
    if (k + t->trained_count != t->count) fail_msg("%s: Keras has %u variables", t->name, k);
}

static void trace(test *t) {
    kt_value gradients[16];
    for (uint32_t i = 0; i < t->trained_count; i++) {
        const kt_type type = t->l.graph->variables.at[t->trained[i]].type;
        const char *name = kt_arena_format(t->l.context.arena, "g%u", i);
        gradients[i] = kt_builder_param(&t->l.builder, KT_ROLE_INPUT, name, i, &type);
    }
    kt_optimizer_apply(t->optimizer, &t->l.trace, gradients);
    for (uint32_t i = 0; i < t->count; i++)
        kt_builder_result(&t->l.builder, KT_ROLE_OUTPUT, kt_arena_format(t->l.context.arena, "y%u", i), i,
                          kt_trace_variable(&t->l.trace, t->parts[i].variable));
    kt_status status = kt_builder_finish(&t->l.builder, &t->func);
    if (status == KT_OK) status = kt_graph_verify(t->l.graph, &t->l.diag);
    if (status != KT_OK) fail_msg("%s: %s", t->name, lab_problem(&t->l));
}

/* ---- steps ----------------------------------------------------------------------------------- */
static void set(const kt_tensor *tensor, size_t i, double number) {
    if (kt_dtype_is_float(tensor->dtype))
        kt_element_set_float(tensor->dtype, tensor->data, i, number);
    else
        kt_element_set_integer(tensor->dtype, tensor->data, i, (int64_t)number);
}

static kt_tensor read_tensor(test *t, const part *p, const float *numbers) {
    kt_tensor tensor = p->shape;
    tensor.data = kt_arena_alloc(t->l.context.arena, kt_tensor_bytes(&tensor) + 1);
    for (size_t i = 0; i < p->count; i++) set(&tensor, i, (double)numbers[p->first + i]);
    return tensor;
}

/* Slots begin as Keras's, but for those that begin as their variable: the first step sets them. */
static void check_beginning(test *t, const float *state) {
    bool copies = !strcmp(t->optimizer->object.class->name, "ScheduleFreeAdamW");
    for (uint32_t k = t->trained_count; k < t->count; k++) {
        const part *p = &t->parts[k];
        const kt_variable *variable = &t->l.graph->variables.at[p->variable];
        if (copies && strstr(variable->path, "_momentum")) continue;
        kt_tensor tensor = p->shape;
        tensor.data = (void *)variable->data;
        for (size_t i = 0; i < p->count; i++)
            if ((tensor.data ? lab_element(&tensor, i) : 0) != (double)state[p->first + i])
                fail_msg("%s: %s does not begin as %g", t->name, variable->path, (double)state[p->first + i]);
    }
}

static void check_part(const test *t, size_t step, const part *p, const kt_tensor *given, const float *before,
                       const float *after) {
    double change = 0, largest = 0;
    for (size_t i = p->first; i < p->first + p->count; i++) {
        change = fmax(change, fabs((double)after[i] - (double)before[i]));
        largest = fmax(largest, fabs((double)after[i]));
    }
    for (size_t i = 0; i < p->count; i++) {
        double a = lab_element(given, i), b = (double)after[p->first + i];
        bool same = a == b || (isnan(a) && isnan(b));
        if (!same && !(fabs(a - b) <= change_tolerance * change + rounding * largest))
            fail_msg("%s, step %zu: element %zu of %s is %.9g, not %.9g; the largest change is %g", t->name,
                     step, i, t->l.graph->variables.at[p->variable].path, a, b, change);
    }
}

static void check_steps(test *t) {
    const kt_buffer *states = find(t->f, t->name, "states"), *gradients = find(t->f, t->name, "gradients");
    if (!gradients) gradients = find(t->f, "", "gradients");
    assert_int_equal(states->dims[1], t->numbers);
    const float *before = states->data;
    check_beginning(t, before);
    for (size_t step = 0; step < (size_t)gradients->dims[0]; step++, before += t->numbers) {
        const float *row = (const float *)gradients->data + step * (size_t)gradients->dims[1];
        for (uint32_t i = 0; i < t->count; i++)
            t->l.graph->variables.at[t->parts[i].variable].data = read_tensor(t, &t->parts[i], before).data;
        for (uint32_t i = 0; i < t->trained_count; i++) t->gradients[i] = read_tensor(t, &t->parts[i], row);
        kt_tensor *results = KT_NEW_ARRAY(t->l.context.arena, kt_tensor, t->count);
        if (kt_eval(t->l.graph, t->func, NULL, t->gradients, t->trained_count, t->l.context.arena, results,
                    &t->l.diag) != KT_OK)
            fail_msg("%s: %s", t->name, lab_problem(&t->l));
        for (uint32_t i = 0; i < t->count; i++)
            check_part(t, step, &t->parts[i], &results[i], before, before + t->numbers);
    }
}

static void updates(void **state) {
    lab names;
    lab_open(&names);
    size_t at = 0;
    for (const char *name; (name = next_case(&names, *state, &at));) {
        test t = {.f = *state, .name = name};
        build(&t);
        trace(&t);
        check_steps(&t);
        lab_close(&t.l);
    }
    lab_close(&names);
}

/* ---- options --------------------------------------------------------------------------------- */
/* Defaults are Keras's. */
static void defaults(void **state) {
    const fixture *f = *state;
    const char *class_name;
    json_t *wanted;
    json_object_foreach(f->classes, class_name, wanted) {
        lab l;
        lab_open(&l);
        json_t *name = json_string(class_name);
        const kt_optimizer *optimizer = kt_optimizer_read(&l.context, name, "compile/optimizer");
        assert_string_equal(lab_problem(&l), "");
        json_t *given = kt_object_config(&optimizer->object), *value;
        const char *key;
        json_object_foreach(wanted, key, value) {
            const json_t *own = json_object_get(given, key);
            bool same = json_equal(own, value);
            if (json_is_number(own) && json_is_number(value)) /* Keras tells a rate as float32 */
                same = fabs(json_number_value(own) - json_number_value(value)) <= 1e-9;
            if (!same) fail_msg("%s: the default of '%s' is not Keras's", class_name, key);
        }
        assert_int_equal(json_object_size(given), json_object_size(wanted));
        json_decref(given);
        json_decref(name);
        lab_close(&l);
    }
}

/* Is there a case of the class (or, where it is NULL, of any) in which an option is not as usual? */
static bool has_case(lab *l, const fixture *f, const char *class_name, const kt_option *option) {
    size_t at = 0;
    json_t *usual = json_loads(option->default_json, JSON_DECODE_ANY, NULL);
    bool found = false;
    for (const char *name; !found && (name = next_case(l, f, &at));) {
        const json_t *json = find_json(l, f, name);
        if (class_name && strcmp(json_string_value(json_object_get(json, "class_name")), class_name) != 0)
            continue;
        const json_t *given = json_object_get(json_object_get(json, "config"), option->name);
        bool numbers = json_is_number(given) && json_is_number(usual);
        found = given && !json_equal(given, usual) &&
                !(numbers && json_number_value(given) == json_number_value(usual));
    }
    json_decref(usual);
    return found;
}

static void every_option_has_a_case(void **state) {
    lab l;
    lab_open(&l);
    for (const kt_object_class *const *class = kt_optimizer_classes; *class; class ++)
        for (const kt_option *option = (*class)->options; option->name; option++) {
            bool own = option->offset >= sizeof(kt_optimizer);
            if (!strcmp(option->name, "name") || !option->default_json || option->unwritten) continue;
            if (!has_case(&l, *state, own ? (*class)->name : NULL, option))
                fail_msg("there is no case of %s's option '%s'", (*class)->name, option->name);
        }
    lab_close(&l);
}

static void refuse(const char *text, const char *problem) {
    lab l;
    lab_open(&l);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_null(kt_optimizer_read(&l.context, json, "compile/optimizer"));
    assert_string_equal(lab_problem(&l), problem);
    json_decref(json);
    lab_close(&l);
}

#define OF(class, config) "{\"class_name\": \"" class "\", \"config\": {" config "}}"
static void bad_configurations(void **state) {
    (void)state;
    refuse("\"adan\"", "compile/optimizer: there is no optimizer 'adan'.");
    refuse(OF("SGD", "\"speed\": 1"), "compile/optimizer: option 'speed' of SGD is not known.");
    refuse(OF("SGD", "\"momentum\": 1.5"),
           "compile/optimizer: option 'momentum' of SGD must be between 0 and 1.");
    refuse(OF("Lion", "\"beta_1\": 0.0"),
           "compile/optimizer: option 'beta_1' of Lion must be above 0, and at most 1.");
    refuse(OF("AdamW", "\"weight_decay\": null"),
           "compile/optimizer: option 'weight_decay' of AdamW must be a number.");
    refuse(OF("Ftrl", "\"learning_rate_power\": 0.5"),
           "compile/optimizer: option 'learning_rate_power' of Ftrl must not be above 0.");
    refuse(OF("Ftrl", "\"l1_regularization_strength\": -0.5"),
           "compile/optimizer: option 'l1_regularization_strength' of Ftrl must not be negative.");
    refuse(OF("Adam", "\"clipnorm\": 1.0, \"clipvalue\": 1.0"),
           "compile/optimizer: option 'clipnorm' of Adam cannot be set together with clipvalue or "
           "global_clipnorm: only one of the three can.");
    refuse(
        OF("Adam", "\"gradient_accumulation_steps\": 1"),
        "compile/optimizer: option 'gradient_accumulation_steps' of Adam must be an integer of at least 2, "
        "or null.");
    refuse(OF("Adam", "\"use_ema\": true, \"ema_momentum\": 1.5"),
           "compile/optimizer: option 'ema_momentum' of Adam must be between 0 and 1.");
    refuse(OF("Adam", "\"use_ema\": true, \"ema_overwrite_frequency\": -1"),
           "compile/optimizer: option 'ema_overwrite_frequency' of Adam must be an integer of at least 1, or "
           "null.");
}

static void bad_wrappings(void **state) {
    (void)state;
    refuse(OF("LossScaleOptimizer", "\"initial_scale\": 2.0"),
           "compile/optimizer: option 'inner_optimizer' of LossScaleOptimizer is missing, and it has no "
           "default.");
    refuse(OF("LossScaleOptimizer", "\"inner_optimizer\": \"adan\""),
           "compile/optimizer/inner_optimizer: there is no optimizer 'adan'.");
    refuse(OF("LossScaleOptimizer", "\"inner_optimizer\": \"sgd\", \"clipnorm\": 1.0"),
           "compile/optimizer: option 'clipnorm' of LossScaleOptimizer is not supported; leave it at None.");
    refuse(OF("LossScaleOptimizer", "\"inner_optimizer\": \"sgd\", \"use_ema\": true"),
           "compile/optimizer: option 'use_ema' of LossScaleOptimizer belongs to the inner optimizer.");
    refuse(OF("LossScaleOptimizer",
              "\"inner_optimizer\": " OF("LossScaleOptimizer", "\"inner_optimizer\": \"sgd\"")),
           "compile/optimizer: option 'inner_optimizer' of LossScaleOptimizer is a LossScaleOptimizer, too; "
           "one is "
           "enough.");
    refuse(OF("SGD", "\"learning_rate\": \"fast\""),
           "compile/optimizer/learning_rate: there is no learning rate schedule 'fast'.");
    refuse(OF("SGD", "\"learning_rate\": null"), "compile/optimizer/learning_rate: a learning rate schedule "
                                                 "must be a name, or an object with class_name and "
                                                 "config.");
    refuse(OF("Muon", "\"ns_steps\": -1"),
           "compile/optimizer: option 'ns_steps' of Muon must be between 0 and 100.");
    refuse(OF("Muon", "\"exclude_layers\": \"dense\""),
           "compile/optimizer: option 'exclude_layers' of Muon must be a list of strings.");
    refuse(OF("Muon", "\"exclude_layers\": [\"dense\", \"\\\\d\"]"),
           "compile/optimizer: option 'exclude_layers' of Muon must hold plain regular expressions; item 1 "
           "is none.");
    refuse(OF("Muon", "\"exclude_layers\": [\"(\"]"), "compile/optimizer: option 'exclude_layers' of Muon "
                                                      "must hold plain regular expressions; item 0 is none.");
}

#define MULTI(map)  OF("MultiOptimizer", "\"optimizer_map\": " map)
#define MAP(config) OF("OptimizerMap", config)
static void bad_maps(void **state) {
    (void)state;
    refuse(MULTI("\"adam\""),
           "compile/optimizer: option 'optimizer_map' of MultiOptimizer must be an OptimizerMap; "
           "a function of a variable cannot be read.");
    refuse(MULTI(MAP("\"default_optimizer\": \"adan\"")),
           "compile/optimizer/optimizer_map/default_optimizer: there is no optimizer 'adan'.");
    refuse(MULTI(MAP("\"default_optimizer\": \"sgd\", \"optimizer_map\": {\"dense/\\\\d\": \"sgd\"}")),
           "compile/optimizer: option 'optimizer_map' of MultiOptimizer must have paths or plain regular "
           "expressions "
           "for keys; 'dense/\\d' is none.");
    refuse(MULTI(MAP("\"default_optimizer\": " OF("LossScaleOptimizer", "\"inner_optimizer\": \"sgd\""))),
           "compile/optimizer: option 'optimizer_map' of MultiOptimizer cannot hold a LossScaleOptimizer.");
}

/* Two keys for one variable: Keras, too, finds that out when it builds the optimizer. */
static void ambiguous_map(void **state) {
    test t = {.f = *state};
    lab_open(&t.l);
    char line[] = "dense/kernel 3 2";
    add_variable(&t, line);
    json_t *json = json_loads(MULTI(MAP("\"default_optimizer\": \"sgd\", \"optimizer_map\": "
                                        "{\"dense/.*\": \"sgd\", \".*/kernel\": \"adam\"}")),
                              0, NULL);
    kt_optimizer *optimizer = kt_optimizer_read(&t.l.context, json, "compile/optimizer");
    assert_string_equal(lab_problem(&t.l), "");
    kt_optimizer_build(optimizer, &t.l.trace, t.trained, t.trained_count);
    assert_non_null(
        strstr(lab_problem(&t.l), "has two keys that match dense/kernel: 'dense/.*' and '.*/kernel'."));
    json_decref(json);
    lab_close(&t.l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates),
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option_has_a_case),
        cmocka_unit_test(bad_configurations),
        cmocka_unit_test(bad_wrappings),
        cmocka_unit_test(bad_maps),
        cmocka_unit_test(ambiguous_map),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
