/* Layers: options in and out, sentences for bad ones, names, shapes, weights, dtype policies. */
#include "layer_testing.h"

/* ---- options --------------------------------------------------------------------------------- */
static void round_trips(void **state) {
    (void)state;
    json_t *configs = lab_read_json("layer_configs.json");
    size_t i;
    json_t *config;
    json_array_foreach(configs, i, config) {
        lab l;
        lab_open(&l);
        kt_layer *layer = kt_layer_from_config(&l.context, config, NULL);
        assert_string_equal(lab_problem(&l), "");
        assert_non_null(layer);
        json_t *written = kt_layer_get_config(layer);
        json_object_del(config, "build_config");
        if (!json_equal(config, written)) {
            char *text = json_dumps(written, JSON_COMPACT);
            char *wanted = json_dumps(config, JSON_COMPACT);
            fail_msg("wrote\n%s\nfor\n%s", text, wanted);
        }
        json_decref(written);
        lab_close(&l);
    }
    json_decref(configs);
}

/* Does some fixture give this option another value than its default? */
static bool has_case(const json_t *configs, const kt_layer_class *class, const kt_option *option) {
    json_error_t error;
    size_t i;
    json_t *config;
    bool found = false;
    json_t *usual = option->default_json ? json_loads(option->default_json, JSON_DECODE_ANY, &error) : NULL;
    json_array_foreach(configs, i, config) {
        if (strcmp(json_string_value(json_object_get(config, "class_name")), class->name) != 0) continue;
        json_t *value = json_object_get(json_object_get(config, "config"), option->name);
        found |= value && !(usual && json_equal(value, usual));
    }
    json_decref(usual);
    return found;
}

static void fixtures_change_every_option(void **state) {
    (void)state;
    json_t *configs = lab_read_json("layer_configs.json");
    for (const kt_layer_class *const *at = kt_layer_classes; *at; at++) {
        if (strcmp((*at)->module, "keras.layers") != 0 && strcmp((*at)->module, "keras.src.ops.nn") != 0)
            continue;
        for (const kt_option *option = (*at)->options; option && option->name; option++) {
            bool one_choice = option->choices && !strchr(option->choices, ' ');
            bool only_default = option->kind == KT_OPTION_UNSUPPORTED || option->unwritten || one_choice ||
                                strcmp(option->name, "sparse") == 0 || strcmp(option->name, "ragged") == 0;
            if (!only_default && !has_case(configs, *at, option))
                fail_msg("%s of %s", option->name, (*at)->name);
        }
    }
    json_decref(configs);
}

/* Made from options, expects the problem "where: text". */
static void rejects(const char *class_name, const char *options, const char *problem) {
    lab l;
    lab_open(&l);
    assert_null(kt_layer_create(&l.context, class_name, options));
    assert_string_equal(lab_problem(&l), problem);
    lab_close(&l);
}

/* For a layer of int8 weights. */
static void rejects_quantizer(const char *quantizer, const char *problem) {
    char options[512], whole[512];
    snprintf(options, sizeof options,
             "{\"units\": 2, \"dtype\": \"int8_from_float32\", \"quantization_config\": {\"config\": "
             "{\"activation_quantizer\": %s}}}",
             quantizer);
    snprintf(whole, sizeof whole, "dense: option 'quantization_config' of Dense %s", problem);
    rejects("Dense", options, whole);
}

static void bad_options(void **state) {
    (void)state;
    rejects("Discretization", "{\"num_bins\": 3}",
            "discretization: option 'bin_boundaries' of Discretization is not known: pass it, or call "
            "adapt() before "
            "the model is saved.");
    rejects(
        "Discretization", "{\"bin_boundaries\": [1, 0.5]}",
        "discretization: option 'bin_boundaries' of Discretization must be a list of increasing numbers.");
    rejects(
        "CategoryEncoding", "{\"num_tokens\": 3, \"sparse\": true}",
        "category_encoding: option 'sparse' of CategoryEncoding is not supported; all tensors are dense.");
    rejects(
        "CategoryEncoding", "{\"num_tokens\": 0}",
        "category_encoding: option 'num_tokens' of CategoryEncoding must be from 1 to 2147483647, not 0.");
    rejects("Resizing",
            "{\"height\": 2, \"width\": 3, \"crop_to_aspect_ratio\": true, \"pad_to_aspect_ratio\": true}",
            "resizing: option 'pad_to_aspect_ratio' of Resizing excludes crop_to_aspect_ratio.");
    rejects("Dense", "{}", "dense: option 'units' of Dense is missing, and it has no default.");
    rejects("Dense", "{\"units\": \"x\"}", "dense: option 'units' of Dense must be an integer, not \"x\".");
    rejects("Dense", "{\"units\": 0}", "dense: option 'units' of Dense must be from 1 to 2147483647, not 0.");
    rejects("Dense", "{\"units\": 2, \"unit\": 3}", "dense: option 'unit' of Dense is not known.");
    rejects("Dense", "{\"units\": 2, \"name\": \"a/b\"}",
            "a/b: option 'name' of Dense is 'a/b', but must not hold a '/'.");
    rejects("Dense", "{\"units\": 2, \"activation\": \"rellu\"}",
            "dense: option 'activation' of Dense is 'rellu', which is none of Keras's activations.");
    rejects("Dense", "{\"units\": 2, \"activation\": {\"class_name\": \"PReLU\", \"config\": {}}}",
            "dense: option 'activation' of Dense is a layer PReLU, which is not supported as an activation.");
    rejects("Dense", "{\"units\": 2, \"use_bias\": 1}",
            "dense: option 'use_bias' of Dense must be true or false, not 1.");
    rejects(
        "Dense", "{\"units\": 2, \"kernel_initializer\": \"mine\"}",
        "dense: option 'kernel_initializer' of Dense is 'mine', which is none of Keras's own; only those are "
        "supported.");
    rejects(
        "Dense", "{\"units\": 2, \"kernel_regularizer\": 3}",
        "dense/kernel_regularizer: a regularizer must be a name, or an object with class_name and config.");
    rejects("Dense", "{\"units\": 2, \"lora_rank\": -1}",
            "dense: option 'lora_rank' of Dense must be from 0 to 2147483647, not -1.");
    rejects("Dense", "{\"units\": 2, \"lora_alpha\": \"3\"}",
            "dense: option 'lora_alpha' of Dense must be a number.");
    rejects("Embedding", "{\"input_dim\": 2, \"output_dim\": 2, \"weights\": [[1, 2], [3, 4]]}",
            "embedding: option 'weights' of Embedding is not supported; leave it at None.");
    rejects("ReversibleEmbedding", "{\"input_dim\": 2, \"output_dim\": 2, \"reverse_dtype\": \"int32\"}",
            "reversible_embedding: option 'reverse_dtype' of ReversibleEmbedding must be a dtype of floating "
            "point, not 'int32'.");
    rejects("Dense", "{\"units\": 2, \"dtype\": {\"class_name\": \"QuantizedDTypePolicy\"}}",
            "dense: option 'dtype' of Dense is a QuantizedDTypePolicy, and only plain and mixed policies are "
            "supported.");
    rejects(
        "Dense", "{\"units\": 2, \"dtype\": \"int4/128_from_float32\"}",
        "dense: option 'dtype' of Dense is 'int4/128_from_float32', and of quantized weights only int8 is "
        "supported.");
    rejects(
        "Embedding",
        "{\"input_dim\": 2, \"output_dim\": 2, \"dtype\": {\"class_name\": \"QuantizedFloat8DTypePolicy\", "
        "\"config\": {\"mode\": \"float8\", \"source_name\": \"float32\"}}}",
        "embedding: option 'dtype' of Embedding is 'float8_from_float32', and of quantized weights only int8 "
        "is "
        "supported.");
    rejects("EinsumDense",
            "{\"equation\": \"ab,bc->ac\", \"output_shape\": 2, \"dtype\": {\"class_name\": "
            "\"GPTQDTypePolicy\", \"config\": {\"mode\": \"gptq/4/128\", \"source_name\": \"float32\"}}}",
            "einsum_dense: option 'dtype' of EinsumDense is 'gptq/4/128_from_float32', and of quantized "
            "weights only "
            "int8 is supported.");
    rejects(
        "Dropout", "{\"rate\": 0.5, \"dtype\": \"int8_from_float32\"}",
        "dropout: option 'dtype' of Dropout is 'int8_from_float32', but this layer has no weights that Keras "
        "quantizes.");
    rejects("Dense", "{\"units\": 2, \"dtype\": \"int8_from_mixed_float16\"}",
            "dense: option 'dtype' of Dense is 'int8_from_mixed_float16', but Keras quantizes what is "
            "computed in "
            "float32, bfloat16 or float64.");
    rejects(
        "Dense", "{\"units\": 2, \"dtype\": \"int8_from_mine\"}",
        "dense: option 'dtype' of Dense is 'int8_from_mine', whose second part is no dtype and no supported "
        "policy.");
    rejects("EinsumDense",
            "{\"equation\": \"...a,ab->...b\", \"output_shape\": 2, \"dtype\": \"int8_from_float32\"}",
            "einsum_dense: option 'equation' of EinsumDense has an ellipsis, with which Keras's own int8 "
            "weights do "
            "not work.");
    rejects("EinsumDense",
            "{\"equation\": \"abc,bd->ad\", \"output_shape\": 2, \"dtype\": \"int8_from_float32\"}",
            "einsum_dense: option 'equation' of EinsumDense sums the input's axis 'c', which the kernel "
            "lacks; with "
            "int8 weights that is not supported.");
    rejects_quantizer("{\"class_name\": \"Mine\"}",
                      "must quantize inputs by an AbsMaxQuantizer, or not at all.");
    rejects_quantizer("{\"class_name\": \"AbsMaxQuantizer\", \"config\": {\"value_range\": [-127, 300]}}",
                      "must have a value_range of two integers from -128 to 127.");
    rejects_quantizer("{\"class_name\": \"AbsMaxQuantizer\", \"config\": {\"epsilon\": []}}",
                      "must have a number for its epsilon.");
    rejects_quantizer("{\"class_name\": \"AbsMaxQuantizer\", \"config\": {\"output_dtype\": \"uint8\"}}",
                      "quantizes inputs as another output_dtype than int8, which is not supported.");
    rejects_quantizer("{\"class_name\": \"AbsMaxQuantizer\", \"config\": {\"axis\": [0]}}",
                      "quantizes inputs along another axis than the last, which is not supported.");
    rejects("Dense", "{\"units\": 2, \"dtype\": {\"class_name\": \"QuantizedDTypePolicy\"}}",
            "dense: option 'dtype' of Dense is a QuantizedDTypePolicy, and only plain and mixed policies are "
            "supported.");
    rejects(
        "Dense",
        "{\"units\": 2, \"activation\": {\"class_name\": \"ReLU\", \"config\": {\"dtype\": \"float16\"}}}",
        "dense: option 'activation' of Dense is a layer of another dtype policy, which is not supported.");
    rejects("Dense", "[", "Dense: the options of Dense are no JSON object: ']' expected near end of file.");
    rejects("InputLayer", "{}",
            "input_layer: option 'batch_shape' of InputLayer must have at least the batch axis.");
    rejects("InputLayer", "{\"batch_shape\": [null], \"sparse\": true}",
            "input_layer: option 'sparse' of InputLayer is not supported; feed dense tensors.");
    rejects(
        "InputLayer", "{\"batch_shape\": [null, \"x\"]}",
        "input_layer: option 'batch_shape' of InputLayer must be a list of at most 8 integers or null, not "
        "[null,\"x\"].");
    rejects(
        "Conv2D", "{\"filters\": 3, \"kernel_size\": [1, 2, 3]}",
        "conv2d: option 'kernel_size' of Conv2D must be an integer or a list of 2 integers, not [1,2,3].");
    rejects("Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"padding\": \"full\"}",
            "conv2d: option 'padding' of Conv2D must be one of: valid same, not \"full\".");
    rejects("Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"groups\": 2}",
            "conv2d: option 'groups' of Conv2D must divide the number of filters.");
    rejects("Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"strides\": 2, \"dilation_rate\": 2}",
            "conv2d: option 'dilation_rate' of Conv2D must be 1 where strides are above 1; Keras has no such "
            "convolution.");
    rejects("Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"padding\": \"causal\"}",
            "conv2d: option 'padding' of Conv2D must be one of: valid same, not \"causal\".");
    rejects("SeparableConv1D", "{\"filters\": 0, \"kernel_size\": 3}",
            "separable_conv1d: option 'filters' of SeparableConv1D must be from 1 to 2147483647, not 0.");
    rejects("Conv2DTranspose",
            "{\"filters\": 3, \"kernel_size\": 3, \"strides\": 2, \"output_padding\": [1, 2]}",
            "conv2d_transpose: option 'output_padding' of Conv2DTranspose must be below the strides.");
    rejects("AveragePooling2D", "{\"pool_size\": 0}",
            "average_pooling2d: option 'pool_size' of AveragePooling2D must be from 1 to 2147483647, not 0.");
    rejects("Dropout", "{\"rate\": 1.5}", "dropout: option 'rate' of Dropout must be from 0 to 1, not 1.5.");
    rejects("Reshape", "{\"target_shape\": [-1, -1]}",
            "reshape: option 'target_shape' of Reshape must be a list of at most 7 sizes, of which one may "
            "be -1.");
    rejects("ReLU", "{\"threshold\": -1.0}", "re_lu: option 'threshold' of ReLU must not be negative.");
    rejects("Softmax", "{\"axis\": []}",
            "softmax: option 'axis' of Softmax must be an axis or a list of axes.");
    rejects(
        "ZeroPadding2D", "{\"padding\": [1, -1]}",
        "zero_padding2d: option 'padding' of ZeroPadding2D must be a number, two numbers, or two pairs of "
        "numbers, none of them negative.");
    rejects("Rescaling", "{\"scale\": [[1], [2, 3]]}",
            "rescaling: option 'scale' of Rescaling must be a number or a list of numbers.");
    rejects("BatchNormalization", "{\"epsilon\": -1}",
            "batch_normalization: option 'epsilon' of BatchNormalization must be at least 0.");
}

static void all_problems_of_a_layer(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    assert_null(kt_layer_create(&l.context, "Dense", "{\"use_bias\": 3, \"activation\": \"x\", \"y\": 1}"));
    assert_int_equal(l.diag.count, 4);
    lab_close(&l);
}

static void unknown_classes(void **state) {
    (void)state;
    static const struct {
        const char *serialized, *problem;
    } cases[] = {
        {"{\"module\": \"keras.layers\", \"class_name\": \"TFSMLayer\", \"config\": {\"name\": \"a\"}}",
         "model/a: keras.layers.TFSMLayer is not supported."},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Lambda\", \"config\": {\"name\": \"a\"}}",
         "model/a: a Lambda holds Python code, which is never executed; write it with Keras's layers and "
         "operations."},
        {"{\"module\": \"mine\", \"class_name\": \"Dense\", \"config\": {\"name\": \"a\"}}",
         "model/a: 'Dense' is no class of Keras, and its Python code is never executed; write it with "
         "Keras's "
         "layers and operations."},
        {"{\"module\": \"keras.layers\", \"class_name\": \"RNN\", \"config\": {\"name\": \"walk\", \"cell\": "
         "{\"module\": null, \"class_name\": \"MinimalCell\", \"config\": {\"name\": \"minimal\", \"units\": "
         "3}, "
         "\"registered_name\": \"mine>MinimalCell\"}}}",
         "model/walk/minimal: 'MinimalCell' is no class of Keras, and its Python code is never executed; "
         "write it with Keras's layers and operations."},
        {"{\"module\": \"keras.layers\", \"class_name\": \"RNN\", \"config\": {\"name\": \"walk\", \"cell\": "
         "{\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": {}}}}",
         "model/walk: ReLU is no cell that can be run over time."},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Dense\"}",
         "model/Dense: this is no serialised layer: config is missing."},
        {"[]", "model: this is no serialised layer: class_name is missing."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        json_error_t error;
        json_t *serialized = json_loads(cases[i].serialized, 0, &error);
        assert_null(kt_layer_from_config(&l.context, serialized, "model"));
        assert_string_equal(lab_problem(&l), cases[i].problem);
        assert_int_equal(l.diag.count, 1);
        json_decref(serialized);
        lab_close(&l);
    }
}

static void sorting_what_there_is_not(void **state) {
    (void)state;
    static const char *const cases[][4] = {
        {"numpy", "Sort", "\"axis\": [0, 1]", "it sorts along one axis."},
        {"numpy", "Argsort", "\"axis\": []", "it sorts along one axis."},
        {"math", "TopK", "\"k\": 0", "the option 'k' must be at least 1, and an int32."},
        {"math", "TopK", "\"k\": 5",
         "the axis that the k largest are taken of must be at least 5, but is 4."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        json_t *serialized = json_loads(
            kt_arena_format(l.context.arena,
                            "{\"module\": \"keras.src.ops.%s\", \"class_name\": \"%s\", \"config\": "
                            "{\"name\": \"it\", %s}}",
                            cases[i][0], cases[i][1], cases[i][2]),
            0, NULL);
        kt_layer *layer = kt_layer_from_config(&l.context, serialized, "model");
        assert_non_null(layer);
        kt_argument x = lab_tensor(lab_input(&l, "f32[batch,4]"));
        assert_int_equal(lab_call(&l, layer, &x, 1, 0), 0);
        assert_non_null(strstr(lab_problem(&l), cases[i][3]));
        json_decref(serialized);
        lab_close(&l);
    }
}

/* How many there are is known when the program runs. */
static void the_largest_of_as_many_as_there_are(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    json_t *serialized =
        json_loads("{\"module\": \"keras.src.ops.math\", \"class_name\": \"TopK\", \"config\": "
                   "{\"name\": \"it\", \"k\": 5}}",
                   0, NULL);
    kt_layer *layer = kt_layer_from_config(&l.context, serialized, "model");
    kt_argument x = lab_tensor(lab_input(&l, "f32[batch,n]"));
    assert_int_not_equal(lab_call(&l, layer, &x, 1, 0), 0);
    assert_int_equal(l.graph->equalities.count, 1);
    const kt_equality *check = &l.graph->equalities.at[0];
    assert_non_null(
        strstr(check->sentence, "the axis that the k largest are taken of must be at least 5, but is n."));
    const int64_t few[] = {1, 4}, enough[] = {1, 5};
    assert_int_equal(kt_dim_eval(l.graph->dims, check->left, few), 4);
    assert_int_equal(kt_dim_eval(l.graph->dims, check->left, enough), 5);
    assert_int_equal(kt_dim_eval(l.graph->dims, check->right, few), 5);
    json_decref(serialized);
    lab_close(&l);
}

/* ---- names, dtypes --------------------------------------------------------------------------- */
static void names(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"Dense", "dense"},
                                           {"Conv2D", "conv2d"},
                                           {"Conv1DTranspose", "conv1d_transpose"},
                                           {"ReLU", "re_lu"},
                                           {"InputLayer", "input_layer"},
                                           {"LSTMCell", "lstm_cell"},
                                           {"GlobalMaxPooling2D", "global_max_pooling2d"},
                                           {"MaxPooling2D", "max_pooling2d"}};
    lab l;
    lab_open(&l);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_string_equal(kt_layer_snake_case(l.context.arena, pairs[i][0]), pairs[i][1]);
    }
    assert_string_equal(kt_layer_create(&l.context, "Add", NULL)->name, "add");
    assert_string_equal(kt_layer_create(&l.context, "Add", "{\"name\": \"sum\"}")->name, "sum");
    assert_string_equal(kt_layer_create(&l.context, "Add", NULL)->name, "add_1");
    lab_close(&l);
}

static void promotion(void **state) {
    (void)state;
    assert_int_equal(kt_dtype_promote(KT_F16, KT_BF16), KT_F32);
    assert_int_equal(kt_dtype_promote(KT_I64, KT_F16), KT_F16);
    assert_int_equal(kt_dtype_promote(KT_F32, KT_F64), KT_F64);
    assert_int_equal(kt_dtype_promote(KT_U8, KT_I8), KT_I16);
    assert_int_equal(kt_dtype_promote(KT_U8, KT_I32), KT_I32);
    assert_int_equal(kt_dtype_promote(KT_BOOL, KT_U16), KT_U16);
    assert_int_equal(kt_dtype_promote(KT_U32, KT_I32), KT_I64);
}

/* ---- calls ----------------------------------------------------------------------------------- */
/* The type of the output for inputs separated by spaces, or the first problem. */
static const char *output_of(lab *l, const char *class_name, const char *options, const char *inputs) {
    lab_open(l);
    kt_layer *layer = kt_layer_create(&l->context, class_name, options);
    assert_string_equal(lab_problem(l), "");
    kt_argument items[4];
    uint32_t count = 0;
    char *text = kt_arena_string(l->context.arena, inputs);
    for (char *at = strtok(text, " "); at; at = strtok(NULL, " "))
        items[count++] = lab_tensor(lab_input(l, at));
    kt_value output = lab_call(l, layer, items, count, 0);
    if (!output) return lab_problem(l);
    lab_finish(l, output);
    return kt_type_string(l->graph->dims, kt_graph_type(l->graph, output), l->context.arena);
}

static void gives(const char *class_name, const char *options, const char *inputs, const char *expected) {
    lab l;
    assert_string_equal(output_of(&l, class_name, options, inputs), expected);
    lab_close(&l);
}

static void shapes(void **state) {
    (void)state;
    gives("Dense", "{\"units\": 3}", "f32[batch,time,4]", "f32[batch,time,3]");
    gives("Dense", "{\"units\": 3, \"dtype\": \"mixed_float16\"}", "f32[batch,4]", "f16[batch,3]");
    gives("Conv2D", "{\"filters\": 3, \"kernel_size\": 3, \"strides\": 2, \"padding\": \"same\"}",
          "f32[batch,height,width,4]", "f32[batch,floordiv(height + 1, 2),floordiv(width + 1, 2),3]");
    gives("Conv2D", "{\"filters\": 3, \"kernel_size\": 2, \"data_format\": \"channels_first\"}",
          "f32[batch,4,9,8]", "f32[batch,3,8,7]");
    gives("DepthwiseConv2D",
          "{\"kernel_size\": 2, \"depth_multiplier\": 3, \"data_format\": \"channels_first\", \"padding\": "
          "\"same\"}",
          "f32[batch,4,9,8]", "f32[batch,12,9,8]");
    gives("Conv1D", "{\"filters\": 3, \"kernel_size\": 5, \"padding\": \"causal\"}", "f32[batch,time,4]",
          "f32[batch,time,3]");
    gives("Conv3D", "{\"filters\": 3, \"kernel_size\": [1, 2, 3]}", "f32[batch,5,6,7,4]",
          "f32[batch,5,5,5,3]");
    gives("Conv1DTranspose", "{\"filters\": 3, \"kernel_size\": 5, \"strides\": 2}", "f32[batch,time,4]",
          "f32[batch,2*time + 3,3]");
    gives("Conv2DTranspose", "{\"filters\": 3, \"kernel_size\": 3, \"strides\": 2, \"padding\": \"same\"}",
          "f32[batch,height,8,4]", "f32[batch,2*height,16,3]");
    gives("Conv3DTranspose",
          "{\"filters\": 3, \"kernel_size\": 3, \"strides\": 3, \"padding\": \"same\", "
          "\"output_padding\": [0, 1, 2], \"data_format\": \"channels_first\"}",
          "f32[batch,4,2,3,4]", "f32[batch,3,4,8,12]");
    gives("Flatten", NULL, "f32[batch,3,width,2]", "f32[batch,6*width]");
    gives("Reshape", "{\"target_shape\": [-1, 4]}", "f32[batch,time,8]", "f32[batch,2*time,4]");
    gives("Concatenate", NULL, "f32[batch,time] f32[batch,3]", "f32[batch,time + 3]");
    gives("Add", NULL, "f32[batch,1] i32[batch,time,3]", "f32[batch,time,3]");
    gives("Add", NULL, "u8[batch] i8[batch]", "i16[batch]");
    gives("ReversibleEmbedding", "{\"input_dim\": 9, \"output_dim\": 2}", "i64[batch,time]",
          "f32[batch,time,2]");
    gives("Embedding", "{\"input_dim\": 9, \"output_dim\": 2}", "i64[batch,time]", "f32[batch,time,2]");
    gives("Flatten", NULL, "i32[batch,3,2]", "i32[batch,6]");
    gives("Flatten", "{\"dtype\": \"float16\"}", "f64[batch,3,2]", "f16[batch,6]");
}

static void bad_inputs(void **state) {
    (void)state;
    gives("Dense", "{\"units\": 3}", "f32[batch]",
          "model/dense: the input must have 2 to 8 axes, but is f32[batch].");
    gives("Dense", "{\"units\": 3}", "f32[batch,time]",
          "model/dense: the size of axis 1 must be known to make the weights, but the input is "
          "f32[batch,time].");
    gives("Dense", "{\"units\": 3}", "f32[batch,2] f32[batch,2]",
          "model/dense: this layer takes 1 input, not 2.");
    gives("Conv2D", "{\"filters\": 2, \"kernel_size\": 1, \"groups\": 2}", "f32[batch,5,5,3]",
          "model/conv2d: the input's 3 channels do not fall into 2 groups.");
    gives("MaxPooling2D", NULL, "f32[batch,5,5]",
          "model/max_pooling2d: the input must have 4 axes, but is "
          "f32[batch,5,5].");
    gives("BatchNormalization", "{\"axis\": 3}", "f32[batch,5]",
          "model/batch_normalization: the input has 2 axes, so there is no axis 3.");
    gives("LayerNormalization", "{\"axis\": [1, -1]}", "f32[batch,5]",
          "model/layer_normalization: axis 1 is named twice.");
    gives("Activation", "{\"activation\": \"glu\"}", "f32[batch,5]",
          "model/activation/glu: the activation 'glu' halves axis 1, whose size must be even.");
}

/* Cells outside of RNN: `states` is their types, and brackets around those of a cell in a stack. */
static void lone_cell_rejects(const char *class_name, const char *options, const char *states,
                              const char *expected) {
    lab l;
    lab_open(&l);
    kt_argument items[3][3], list[3], arguments[2] = {lab_tensor(lab_input(&l, "f32[batch,5]"))};
    uint32_t count = 0;
    char *groups, *text = kt_arena_string(l.context.arena, states);
    for (char *group = strtok_r(text, ";", &groups); group; group = strtok_r(NULL, ";", &groups)) {
        char *types;
        list[count] = (kt_argument){.kind = KT_ARGUMENT_LIST, .items = items[count]};
        for (char *at = strtok_r(group, " ", &types); at; at = strtok_r(NULL, " ", &types))
            items[count][list[count].count++] = lab_tensor(lab_input(&l, at));
        count++;
    }
    arguments[1] =
        count == 1 ? list[0] : (kt_argument){.kind = KT_ARGUMENT_LIST, .items = list, .count = count};
    kt_layer *cell = kt_layer_create(&l.context, class_name, options);
    kt_value values[8], masks[8];
    kt_layer_call_with(cell, &l.trace, arguments, 1 + (count > 0), values, masks);
    assert_string_equal(lab_problem(&l), expected);
    lab_close(&l);
}

static void states_of_lone_cells(void **state) {
    (void)state;
    static const char lstm[] = "model/lstm_cell: a cell takes its input and its states, of which it has 2.";
    lone_cell_rejects("LSTMCell", "{\"units\": 4}", "", lstm);
    lone_cell_rejects("LSTMCell", "{\"units\": 4}", "f32[batch,4]", lstm);
    lone_cell_rejects("LSTMCell", "{\"units\": 4}", "f32[batch,4] f32[batch,4] f32[batch,4]", lstm);
    lone_cell_rejects("LSTMCell", "{\"units\": 4}", "f32[batch,4];f32[batch,4]", lstm);
    lone_cell_rejects("LSTMCell", "{\"units\": 4}", "f32[batch,4] f32[batch,3]",
                      "model/lstm_cell: the state 1 must be f32[batch,4], but is f32[batch,3].");
    lone_cell_rejects("GRUCell", "{\"units\": 4}", "f32[4]",
                      "model/gru_cell: the state 0 must be f32[batch,4], but is f32[4].");
    static const char cells[] = "{\"cells\": [{\"module\": \"keras.layers\", \"class_name\": \"LSTMCell\", "
                                "\"config\": {\"units\": 4}}, {\"module\": \"keras.layers\", \"class_name\": "
                                "\"GRUCell\", \"config\": {\"units\": 3}}]}";
    static const char stack[] =
        "model/stacked_rnn_cells: it takes its input and a list of the states of each cell, 3 in all.";
    lone_cell_rejects("StackedRNNCells", cells, "f32[batch,4] f32[batch,4] f32[batch,3]", stack);
    lone_cell_rejects("StackedRNNCells", cells, "f32[batch,4];f32[batch,3]", stack);
    lone_cell_rejects("StackedRNNCells", cells, "f32[batch,4] f32[batch,4];f32[batch,4]",
                      "model/stacked_rnn_cells: the state 2 must be f32[batch,3], but is f32[batch,4].");
    lone_cell_rejects("StackedRNNCells", cells, "f32[batch,4] f32[batch,4];f32[batch,3]", "");
}

/* One layer's problem does not hide those of the next. */
static void problems_are_contained(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    kt_argument wrong = lab_tensor(lab_input(&l, "f32[batch,5]"));
    kt_layer *glu = kt_layer_create(&l.context, "Activation", "{\"activation\": \"glu\"}");
    kt_layer *add = kt_layer_create(&l.context, "Add", NULL);
    kt_layer *pool = kt_layer_create(&l.context, "MaxPooling2D", NULL);
    kt_argument failed = lab_tensor(lab_call(&l, glu, &wrong, 1, 0));
    assert_int_equal(failed.value, 0);
    assert_int_equal(lab_call(&l, add, &failed, 1, 0), 0);
    assert_int_equal(l.diag.count, 1);
    assert_int_equal(lab_call(&l, pool, &wrong, 1, 0), 0);
    assert_int_equal(l.diag.count, 2);
    assert_true(l.trace.failed);
    lab_close(&l);
}

static void weights_and_sharing(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    kt_layer *dense = kt_layer_create(&l.context, "Dense", "{\"units\": 4, \"dtype\": \"mixed_float16\"}");
    kt_argument x = lab_tensor(lab_input(&l, "f32[batch,4]"));
    x.value = lab_call(&l, dense, &x, 1, 0);
    x.value = lab_call(&l, dense, &x, 1, 0);
    lab_finish(&l, x.value);
    assert_int_equal(l.graph->variables.count, 2);
    assert_string_equal(l.graph->variables.at[0].path, "model/dense/kernel");
    assert_string_equal(l.graph->variables.at[1].path, "model/dense/bias");
    assert_int_equal(l.graph->variables.at[0].type.dtype, KT_F32);
    lab_close(&l);
}

static void integer_policies_hold_no_weights(void **state) {
    (void)state;
    static const char *const policies[] = {"int8", "bool", "uint64"};
    for (int i = 0; i < 3; i++) {
        lab l;
        lab_open(&l);
        const char *options =
            kt_arena_format(l.context.arena, "{\"units\": 2, \"dtype\": \"%s\"}", policies[i]);
        kt_layer *dense = kt_layer_create(&l.context, "Dense", options);
        kt_argument x = lab_tensor(lab_input(&l, "f32[batch,4]"));
        if (dense) lab_call(&l, dense, &x, 1, 0);
        assert_non_null(strstr(lab_problem(&l), dense ? "its kernel cannot be trained as" : "dtype"));
        lab_close(&l);
    }
}

static void training_mode(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    kt_layer *dropout = kt_layer_create(&l.context, "Dropout", "{\"rate\": 0.5}");
    kt_argument arguments[2] = {lab_tensor(lab_input(&l, "f32[batch,4]")),
                                {.kind = KT_ARGUMENT_LITERAL, .name = "training", .literal = json_false()}};
    kt_value y;
    kt_value mask;
    l.trace.training = true;
    kt_layer_call_with(dropout, &l.trace, arguments, 2, &y, &mask);
    assert_int_equal(y, arguments[0].value);
    kt_layer_call_with(dropout, &l.trace, arguments, 1, &y, &mask);
    assert_int_not_equal(y, arguments[0].value);
    assert_int_equal(dropout->weights.count,
                     1); /* the state of its seed generator, which only training needs */
    assert_string_equal(lab_problem(&l), "");
    lab_close(&l);
}

static void masks_are_handed_on(void **state) {
    (void)state;
    lab l;
    lab_open(&l);
    kt_argument x = lab_tensor(lab_input(&l, "f32[batch,4]"));
    x.mask = lab_input(&l, "bool[batch]");
    kt_value y;
    kt_value mask;
    kt_layer_call_with(kt_layer_create(&l.context, "ReLU", NULL), &l.trace, &x, 1, &y, &mask);
    assert_int_equal(mask, x.mask);
    kt_layer_call_with(kt_layer_create(&l.context, "Flatten", NULL), &l.trace, &x, 1, &y, &mask);
    assert_int_equal(mask, 0);
    lab_close(&l);
}

/* A mask is of the steps of samples. */
static void masks_of_other_ranks_are_refused(void **state) {
    (void)state;
    static const char *const layers[][2] = {
        {"GlobalAveragePooling1D", NULL}, {"LSTM", "{\"units\": 2}"}, {"BatchNormalization", NULL}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        lab l;
        lab_open(&l);
        kt_argument x = lab_tensor(lab_input(&l, "f32[batch,3,4]"));
        x.mask = lab_input(&l, "bool[batch,3,4]");
        kt_value y, mask;
        kt_layer_call_with(kt_layer_create(&l.context, layers[i][0], layers[i][1]), &l.trace, &x, 1, &y,
                           &mask);
        assert_non_null(strstr(lab_problem(&l), "the mask must have 2 axes, but is bool[batch,3,4]."));
        lab_close(&l);
    }
}

/* The type of a merged mask of two inputs f32[batch,4], of which the second may have none; "" for none. */
static const char *merged_mask(lab *l, const char *class_name, const char *options, bool both) {
    lab_open(l);
    kt_argument items[2] = {lab_tensor(lab_input(l, "f32[batch,4]")),
                            lab_tensor(lab_input(l, "f32[batch,4]"))};
    items[0].mask = lab_input(l, "bool[batch]");
    if (both) items[1].mask = lab_input(l, "bool[batch]");
    kt_argument list = {.kind = KT_ARGUMENT_LIST, .items = items, .count = 2};
    kt_value y;
    kt_value mask;
    kt_layer_call_with(kt_layer_create(&l->context, class_name, options), &l->trace, &list, 1, &y, &mask);
    assert_string_equal(lab_problem(l), "");
    return mask ? kt_type_string(l->graph->dims, kt_graph_type(l->graph, mask), l->context.arena) : "";
}

static void masks_are_merged(void **state) {
    (void)state;
    lab l;
    assert_string_equal(merged_mask(&l, "Add", NULL, true), "bool[batch]");
    lab_close(&l);
    assert_string_equal(merged_mask(&l, "Multiply", NULL, false), "");
    lab_close(&l);
    assert_string_equal(merged_mask(&l, "Concatenate", NULL, false), "bool[batch]");
    lab_close(&l);
    assert_string_equal(merged_mask(&l, "Concatenate", "{\"axis\": 0}", true), "bool[2*batch]");
    lab_close(&l);
}

/* ---- hostile input --------------------------------------------------------------------------- */
static const char *const odd_values[] = {
    "null",
    "true",
    "-1",
    "0",
    "1",
    "3",
    "7.5",
    "-1e300",
    "9223372036854775807",
    "-9223372036854775808",
    "\"\"",
    "\"x\"",
    "[]",
    "[1]",
    "[0, 0]",
    "[-1, -1]",
    "[[1]]",
    "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
    "{}",
    "{\"class_name\": \"x\"}",
    "{\"class_name\": \"__numpy__\"}",
    "{\"class_name\": \"ReLU\", \"config\": 3}",
};

/* A layer of a configuration of which nobody knows whether it is right: it must be made, or rejected with a
 * sentence; a call gives a value or a sentence. */
static void make_and_call(json_t *config, const char *const *types) {
    for (; *types; types++) {
        lab l;
        lab_open(&l);
        kt_layer *layer = kt_layer_from_config(&l.context, config, NULL);
        if (layer) {
            assert_int_equal(l.diag.count, 0);
            json_decref(kt_layer_get_config(layer));
            kt_argument x = lab_tensor(lab_input(&l, *types));
            kt_value y = lab_call(&l, layer, &x, 1, 0);
            if (y) assert_false(l.trace.failed);
        }
        bool failed = !layer || l.trace.failed;
        if (failed != (l.diag.count > 0)) {
            char *text = json_dumps(config, JSON_COMPACT);
            fail_msg("%s on %s: %u problems", text, *types, l.diag.count);
        }
        lab_close(&l);
    }
}

static void odd_options(void **state) {
    (void)state;
    static const char *const types[] = {"f32[batch,6,5,4]", "i32[batch]", NULL};
    json_t *configs = lab_read_json("layer_configs.json");
    size_t i;
    json_t *config;
    json_array_foreach(configs, i, config) {
        json_t *options = json_deep_copy(json_object_get(config, "config"));
        const char *key;
        json_t *value;
        json_object_foreach(options, key, value) {
            for (size_t k = 0; k < sizeof odd_values / sizeof *odd_values; k++) {
                json_error_t error;
                json_object_set_new(json_object_get(config, "config"), key,
                                    json_loads(odd_values[k], JSON_DECODE_ANY, &error));
                make_and_call(config, types);
            }
            json_object_set(json_object_get(config, "config"), key, value);
        }
        json_decref(options);
    }
    json_decref(configs);
}

typedef struct attempt {
    lab *lab;
    const json_t *config;
} attempt;

static kt_status make_one(void *context) {
    const attempt *a = context;
    return kt_layer_from_config(&a->lab->context, a->config, NULL) ? KT_OK : KT_INVALID;
}

/* The n-th allocation fails, for every n: nothing is lost. */
static void out_of_memory(void **state) {
    (void)state;
    json_t *configs = lab_read_json("layer_configs.json");
    size_t i;
    json_t *config;
    json_array_foreach(configs, i, config) {
        kt_status status = KT_OUT_OF_MEMORY;
        for (uint64_t n = 1; status == KT_OUT_OF_MEMORY; n++) {
            lab l;
            lab_open(&l);
            kt_arena_fail_after(n);
            status = kt_guarded(make_one, &(attempt){&l, config}, &l.diag);
            kt_arena_fail_after(0);
            lab_close(&l);
        }
        assert_int_equal(status, KT_OK);
    }
    json_decref(configs);
}

/* Inputs that cannot be quantized: one sentence, whatever comes behind the product. */
static void integers_into_bytes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"Dense", "{\"units\": 2, \"dtype\": \"int8_from_float32\"}"},
        {"EinsumDense", "{\"equation\": \"ab,bc->ac\", \"output_shape\": 2, \"bias_axes\": \"c\", \"dtype\": "
                        "\"int8_from_float32\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab l;
        lab_open(&l);
        kt_layer *layer = kt_layer_create(&l.context, cases[i][0], cases[i][1]);
        layer->path = "it";
        kt_argument x = lab_tensor(lab_input(&l, "i32[batch,3]"));
        assert_int_equal(lab_call(&l, layer, &x, 1, 0), 0);
        assert_int_equal(l.diag.count, 1);
        assert_string_equal(lab_problem(&l), "it: int8 weights take inputs of floating point, not i32.");
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(fixtures_change_every_option),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(integers_into_bytes),
        cmocka_unit_test(all_problems_of_a_layer),
        cmocka_unit_test(unknown_classes),
        cmocka_unit_test(sorting_what_there_is_not),
        cmocka_unit_test(the_largest_of_as_many_as_there_are),
        cmocka_unit_test(names),
        cmocka_unit_test(promotion),
        cmocka_unit_test(shapes),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(states_of_lone_cells),
        cmocka_unit_test(problems_are_contained),
        cmocka_unit_test(weights_and_sharing),
        cmocka_unit_test(training_mode),
        cmocka_unit_test(integer_policies_hold_no_weights),
        cmocka_unit_test(masks_are_handed_on),
        cmocka_unit_test(masks_of_other_ranks_are_refused),
        cmocka_unit_test(masks_are_merged),
        cmocka_unit_test(odd_options),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
