/* Layers in the mode of training against numbers that Keras computed (make_layers.py): what they add to the
 * loss, what constraints make of their weights, what they drop, and how they change images. */
#include "frontend/layers/layers_impl.h"
#include "layer_tensors.h"

/* The weights of a layer and of those in it, in Keras's order. */
typedef struct weight_list {
    KT_VECTOR(kt_layer *) layers;
    KT_VECTOR(uint32_t) numbers;
} weight_list;

static void list_weights(lab *l, kt_layer *layer, bool states, weight_list *out_list) {
    for (uint32_t i = 0; i < layer->weights.count; i++) {
        if (layer->weights.at[i].state != states) continue;
        KT_PUSH(l->context.arena, &out_list->layers, layer);
        KT_PUSH(l->context.arena, &out_list->numbers, i);
    }
    for (uint32_t i = 0; i < layer->children.count; i++)
        list_weights(l, layer->children.at[i], states, out_list);
}

static void set_weights(lab *l, const weight_list *list, const json_t *values, const char *what) {
    if (list->layers.count != json_array_size(values)) fail_msg("%s: %u weights", what, list->layers.count);
    for (uint32_t i = 0; i < list->layers.count; i++) {
        kt_tensor value = lab_read_tensor(l, json_array_get(values, i));
        kt_variable *variable =
            &l->graph->variables.at[list->layers.at[i]->weights.at[list->numbers.at[i]].variable];
        kt_type type = kt_type_of(l->graph->dims, value.dtype, value.rank, value.dims);
        if (!kt_type_equal(&type, &variable->type)) fail_msg("%s: weight %u has another type", what, i);
        variable->data = value.data;
    }
}

static void check_penalties(lab *l, const json_t *item, const char *what) {
    kt_layer *layer = kt_layer_from_config(&l->context, json_object_get(item, "layer"), NULL);
    assert_string_equal(lab_problem(l), "");
    kt_tensor x = lab_read_tensor(l, json_array_get(json_object_get(item, "inputs"), 0));
    kt_type type = kt_type_of(l->graph->dims, x.dtype, x.rank, x.dims);
    kt_value input = kt_builder_param(&l->builder, KT_ROLE_INPUT, "x", 0, &type);
    kt_argument arguments[2] = {lab_tensor(input), lab_tensor(input)};
    l->trace.training = l->trace.collects_losses = true;
    kt_value outputs[4], masks[4];
    uint32_t count = (uint32_t)json_integer_value(json_object_get(item, "count"));
    kt_layer_call_with(layer, &l->trace, arguments, count, outputs, masks);
    assert_string_equal(lab_problem(l), "");
    kt_value loss = kt_layer_regularization(layer, &l->trace);
    loss = loss ? kt_build_cast(&l->builder, loss, KT_F32) : kt_build_scalar(&l->builder, KT_F32, 0);
    for (uint32_t i = 0; i < l->trace.losses.count; i++)
        loss = kt_build_add(&l->builder, loss, kt_build_cast(&l->builder, l->trace.losses.at[i], KT_F32));
    weight_list weights = {0};
    list_weights(l, layer, false, &weights);
    set_weights(l, &weights, json_object_get(item, "weights"), what);
    kt_builder_result(&l->builder, KT_ROLE_OUTPUT, "loss", 0, loss);
    kt_layer_constrain(layer, &l->trace, 0, NULL);
    for (uint32_t i = 0; i < weights.layers.count; i++)
        kt_builder_result(&l->builder, KT_ROLE_OUTPUT, kt_arena_format(l->context.arena, "w%u", i), i + 1,
                          kt_trace_stored_weight(&l->trace, weights.layers.at[i], weights.numbers.at[i]));
    l->trace.assigned.count = 0;
    kt_func func = 0;
    kt_status status = kt_builder_finish(&l->builder, &func);
    assert_string_equal(lab_problem(l), "");
    assert_int_equal(status, KT_OK);
    kt_tensor *results = KT_NEW_ARRAY(l->context.arena, kt_tensor, weights.layers.count + 1);
    assert_int_equal(kt_eval(l->graph, func, NULL, &x, 1, l->context.arena, results, &l->diag), KT_OK);
    double wanted = json_number_value(json_object_get(item, "loss")), given = lab_element(&results[0], 0);
    /* bfloat16 rounds at other places: the loss is a sum of float32 numbers of it. */
    double bound = layer->compute_dtype == KT_BF16 ? 2e-2 : 1e-5;
    if (!(fabs(given - wanted) <= bound * fabs(wanted)))
        fail_msg("%s: the loss is %.9g, not %.9g", what, given, wanted);
    for (uint32_t i = 0; i < weights.layers.count; i++) {
        kt_tensor after = lab_read_tensor(l, json_array_get(json_object_get(item, "after"), i));
        lab_check_tensor(kt_arena_format(l->context.arena, "%s: weight %u", what, i), &results[i + 1], &after,
                         after.dtype == KT_F32 ? 2e-6 : 3e-2);
    }
}

static void check_draws(lab *l, const json_t *item, const char *what) {
    kt_layer *layer = kt_layer_from_config(&l->context, json_object_get(item, "layer"), NULL);
    assert_string_equal(lab_problem(l), "");
    kt_tensor inputs[2];
    kt_argument arguments[2];
    const json_t *given = json_object_get(item, "inputs");
    uint32_t count = (uint32_t)json_array_size(given);
    for (uint32_t i = 0; i < count; i++) {
        inputs[i] = lab_read_tensor(l, json_array_get(given, i));
        kt_type type = kt_type_of(l->graph->dims, inputs[i].dtype, inputs[i].rank, inputs[i].dims);
        const char *name = kt_arena_format(l->context.arena, "x%u", i);
        arguments[i] = lab_tensor(kt_builder_param(&l->builder, KT_ROLE_INPUT, name, i, &type));
    }
    kt_argument list = {.kind = KT_ARGUMENT_LIST, .items = arguments, .count = count};
    bool listed = json_is_true(json_object_get(item, "list"));
    l->trace.training = true;
    kt_value outputs[4], masks[4];
    kt_layer_call_with(layer, &l->trace, listed ? &list : arguments, listed ? 1 : count, outputs, masks);
    assert_string_equal(lab_problem(l), "");
    weight_list weights = {0}, states = {0};
    list_weights(l, layer, false, &weights);
    list_weights(l, layer, true, &states);
    set_weights(l, &weights, json_object_get(item, "weights"), what);
    set_weights(l, &states, json_object_get(item, "states"), what);
    kt_builder_result(&l->builder, KT_ROLE_OUTPUT, "y", 0, outputs[0]);
    l->trace.training = false;
    l->trace.collects_losses = true; /* as evaluation does */
    kt_layer_call_with(layer, &l->trace, listed ? &list : arguments, listed ? 1 : count, outputs, masks);
    assert_string_equal(lab_problem(l), "");
    for (uint32_t i = 0; i < states.layers.count; i++)
        kt_builder_result(&l->builder, KT_ROLE_OUTPUT, kt_arena_format(l->context.arena, "s%u", i), i + 1,
                          kt_trace_stored_weight(&l->trace, states.layers.at[i], states.numbers.at[i]));
    kt_func func = 0;
    kt_status status = kt_builder_finish(&l->builder, &func);
    assert_string_equal(lab_problem(l), "");
    assert_int_equal(status, KT_OK);
    kt_tensor *results = KT_NEW_ARRAY(l->context.arena, kt_tensor, states.layers.count + 1);
    assert_int_equal(kt_eval(l->graph, func, NULL, inputs, count, l->context.arena, results, &l->diag),
                     KT_OK);
    kt_tensor wanted = lab_read_tensor(l, json_object_get(item, "output"));
    /* What is computed from a whole image is as exact as its largest number, and places in it are float32. */
    double tolerance = fmax(2e-6, lab_tolerance(wanted.dtype));
    lab_check_tensor(what, &results[0], &wanted, tolerance * fmax(1, lab_largest(&wanted)));
    for (uint32_t i = 0; i < states.layers.count; i++) {
        wanted = lab_read_tensor(l, json_array_get(json_object_get(item, "after"), i));
        lab_check_tensor(what, &results[i + 1], &wanted, 0);
    }
}

typedef void check_fn(lab *l, const json_t *item, const char *what);
static void check_cases(const char *file, check_fn *check) {
    json_t *cases = lab_read_json(file);
    size_t i;
    json_t *item;
    json_array_foreach(cases, i, item) {
        lab l;
        lab_open(&l);
        const char *class = json_string_value(json_object_get(json_object_get(item, "layer"), "class_name"));
        check(&l, item, kt_arena_format(l.context.arena, "%s (case %d)", class, (int)i));
        lab_close(&l);
    }
    json_decref(cases);
}

static void penalties(void **state) {
    (void)state;
    check_cases("layer_penalties.json", check_penalties);
}

/* Masks are as TensorFlow draws them. */
static void dropouts(void **state) {
    (void)state;
    check_cases("layer_dropouts.json", check_draws);
}

static void augmentations(void **state) {
    (void)state;
    check_cases("layer_augmentations.json", check_draws);
    check_cases("layer_colors.json", check_draws);
    check_cases("layer_mixes.json", check_draws);
    check_cases("layer_policies.json", check_draws);
}

/* What cannot be: each is one sentence. */
static void refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"units\": 2, \"kernel_regularizer\": {\"class_name\": \"L2\", \"config\": {\"l2\": -1.0}}}",
         "dense/kernel_regularizer: option 'l2' of L2 must not be negative, but is -1."},
        {"{\"units\": 2, \"kernel_regularizer\": \"l3\"}",
         "dense/kernel_regularizer: there is no regularizer 'l3'."},
        {"{\"units\": 2, \"bias_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": \"a\"}}}",
         "dense/bias_constraint: option 'axis' of MaxNorm must be an axis or a list of axes."},
        {"{\"units\": 2, \"bias_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": 1}}}",
         "dense/constraint: the axes of its MaxNorm must be axes of the weight, which has 1, each once."},
        {"{\"units\": 2, \"bias_regularizer\": \"orthogonal_regularizer\"}",
         "dense/regularizer: OrthogonalRegularizer takes matrices, not tensors of 1 axes."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        kt_layer *layer = kt_layer_create(&l.context, "Dense", cases[i][0]);
        if (layer) {
            layer->path = "dense";
            kt_argument x = lab_tensor(lab_input(&l, "f32[batch,3]"));
            assert_int_not_equal(lab_call(&l, layer, &x, 1, 0), 0);
            (void)kt_layer_regularization(layer, &l.trace);
            kt_layer_constrain(layer, &l.trace, 0, NULL);
        }
        assert_string_equal(lab_problem(&l), cases[i][1]);
        lab_close(&l);
    }
}

static void untrained(void **state) {
    (void)state;
    static const char *const cases[][4] = {
        {"Dense", "{\"units\": 2, \"dtype\": \"int8_from_float32\"}", "f32[batch,3]",
         "training a layer with int8 weights is not supported yet."},
        {"RandomCrop", "{\"height\": 2, \"width\": 0}", "f32[batch,4,4,3]",
         "the option 'width' must be from 1 to 2147483647, not 0."},
        {"RandomHue", "{\"factor\": 0.5}", "f32[batch,4,4,2]", "its images must have 3 channels, not 2."},
        {"RandomColorJitter", "{\"saturation_factor\": 0.5, \"data_format\": \"channels_first\"}",
         "f32[batch,3,4,4]", "its images must have 3 channels, not 4."},
        {"RandomGrayscale", "{}", "f32[batch,4,4,channels]", "its images need a known number of channels."},
        {"RandomPosterization", "{\"factor\": [4, 1e30]}", "f32[batch,4,4,3]",
         "the option 'factor' must be from 1 to 8."},
        {"RandomPosterization", "{\"factor\": 0.5}", "f32[batch,4,4,3]",
         "the option 'factor' must be from 1 to 8."},
        {"RandomGaussianBlur", "{\"kernel_size\": [3, 4]}", "f32[batch,4,4,3]",
         "the option 'kernel_size' must be odd numbers up to 1023."},
        {"RandomErasing", "{\"fill_value\": [1, 2, 3]}", "f32[batch,4,4,1]",
         "the option 'fill_value' must be a number, or three where the last axis has 3 elements."},
        {"Equalization", "{\"value_range\": [5, 5]}", "f32[batch,4,4,3]",
         "the ends of the option 'value_range' must differ."},
        {"Equalization", "{\"bins\": 0}", "f32[batch,4,4,3]", "the option 'bins' must be from 1 to 65536."},
        {"Equalization", "{\"bins\": 65536}", "f32[batch,1,1,257]",
         "its images need a known number of channels, at most 256 with 65536 bins."},
        {"Equalization", "{}", "f32[batch,1,1,channels]",
         "its images need a known number of channels, at most 65536 with 256 bins."},
        {"RandomElasticTransform", "{\"scale\": [-0.5, 0.5]}", "f32[batch,64,80,3]",
         "the option 'scale' must be at least 0 for images as large as these."},
        {"RandomElasticTransform", "{\"scale\": [-3, -2]}", "f32[batch,64,80,3]",
         "the option 'scale' must be at least 0 for images as large as these."},
        {"RandomElasticTransform", "{}", "f32[batch,height,4,3]",
         "its images need a known height and width."},
        {"RandomElasticTransform", "{\"fill_mode\": \"mirror\"}", "f32[batch,4,4,3]",
         "the option 'fill_mode' must not be 'mirror' in training, where Keras does not take it either."},
        {"MixUp", "{\"alpha\": -0.5}", "f32[batch,4,4,3]", "the option 'alpha' must not be negative."},
        {"CutMix", "{\"factor\": [-0.5, 0.5]}", "f32[batch,4,4,3]",
         "the option 'factor' must be from 0 to 1."},
        {"RandomElasticTransform", "{\"scale\": [0.5, 100]}", "f32[batch,64,80,3]",
         "the option 'scale' blurs over 1939 pixels, more than 1023."},
        {"RandAugment", "{\"factor\": [0.5, 1e30]}", "f32[batch,4,4,3]",
         "the option 'factor' must be from 0 to 1."},
        {"AugMix", "{\"factor\": [-1, 0.5]}", "f32[batch,4,4,3]", "the option 'factor' must be from 0 to 1."},
        {"RandAugment", "{\"num_ops\": 0}", "f32[batch,4,4,3]", "the option 'num_ops' must be from 1 to 64."},
        {"RandAugment", "{}", "f32[batch,4,4,2]", "its images must have 1 or 3 channels, not 2."},
        {"AugMix", "{\"num_chains\": 0}", "f32[batch,4,4,3]",
         "the option 'num_chains' must be from 1 to 32."},
        {"AugMix", "{\"chain_depth\": 33}", "f32[batch,4,4,3]",
         "the option 'chain_depth' must be from 0 to 32."},
        {"AugMix", "{\"alpha\": -1.0}", "f32[batch,4,4,3]", "the option 'alpha' must not be negative."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        kt_layer *layer = kt_layer_create(&l.context, cases[i][0], cases[i][1]);
        layer->path = "it";
        l.trace.training = true;
        kt_argument x = lab_tensor(lab_input(&l, cases[i][2]));
        assert_int_equal(lab_call(&l, layer, &x, 1, 0), 0);
        assert_string_equal(lab_problem(&l), kt_arena_format(l.context.arena, "it: %s", cases[i][3]));
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(penalties), cmocka_unit_test(dropouts),  cmocka_unit_test(augmentations),
        cmocka_unit_test(refused),   cmocka_unit_test(untrained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
