/* Configurations of models: writing them back, models built in C, everything unsupported at once, and
 * mutations. */
#include "frontend/keras/keras_impl.h"
#include "frontend/operations/operations_impl.h"
#include "kt_cmocka.h"
#include "support/file.h"

typedef struct fixture {
    kt_arena *arena;
    kt_diag diag;
    kt_layer_context context;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.arena = kt_arena_create()};
    f->context = (kt_layer_context){.arena = f->arena, .diag = &f->diag};
}
static void end(fixture *f) {
    kt_diag_deinit(&f->diag);
    kt_arena_destroy(f->arena);
}

/* config.json of a model of make_models.py. */
static kt_bytes read_config(fixture *f, const char *name) {
    char *bytes;
    size_t count;
    kt_archive archive;
    const char *path = kt_arena_format(f->arena, "%s/frontend/models/%s.keras", KT_TEST_SOURCE, name);
    assert_int_equal(kt_file_read(path, 1 << 24, f->arena, &bytes, &count, &f->diag), KT_OK);
    kt_bytes file = {(const uint8_t *)bytes, count};
    assert_int_equal(kt_archive_unpack(f->arena, file, &archive, &f->diag), KT_OK);
    const kt_bytes *config = kt_archive_find(&archive, "config.json");
    assert_non_null(config);
    return *config;
}

static kt_graph *trace(fixture *f, const json_t *json) {
    kt_graph *graph = NULL;
    kt_layer *model = kt_layer_from_config(&f->context, json, NULL);
    if (!model || kt_model_trace(&f->context, model, &graph) != KT_OK) {
        assert_true(f->diag.count > 0);
        return NULL;
    }
    assert_int_equal(kt_graph_verify(graph, &f->diag), KT_OK);
    return graph;
}

static const char *print(fixture *f, const kt_graph *graph) {
    kt_text text = {.arena = f->arena};
    kt_graph_print(graph, &(kt_print_options){0}, &text);
    return kt_text_string(&text);
}

static void expect(const fixture *f, uint32_t problem, const char *where, const char *part) {
    assert_true(f->diag.count > problem);
    assert_string_equal(f->diag.problems[problem].where, where);
    const char *text = f->diag.problems[problem].text;
    if (!strstr(text, part)) fail_msg("“%s” says nothing of “%s”", text, part);
}

/* ---- right ones ------------------------------------------------------------------------------ */
static void assert_same(const json_t *a, const json_t *b, const char *key) {
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    if (x || y) assert_true(json_equal(x, y));
}

static void test_writes_back(void **state) {
    (void)state;
    static const char *const names[] = {"sequential", "built_later", "functional", "shared",
                                        "nested",     "deep",        "dicts",      "arithmetic",
                                        "functions",  "shapes",      "reductions"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fixture f;
        begin(&f);
        const json_t *json;
        assert_int_equal(kt_json_parse(f.arena, read_config(&f, names[i]), "config.json", &json, &f.diag),
                         KT_OK);
        kt_layer *model = kt_layer_from_config(&f.context, json, NULL);
        assert_non_null(model);
        json_t *written = kt_layer_get_config(model);
        const kt_graph *before = trace(&f, json), *after = trace(&f, written);
        assert_non_null(before);
        assert_non_null(after);
        assert_string_equal(print(&f, before), print(&f, after));
        const json_t *layers = json_object_get(json_object_get(json, "config"), "layers");
        const json_t *again = json_object_get(json_object_get(written, "config"), "layers");
        assert_int_equal(json_array_size(layers), json_array_size(again));
        for (size_t l = 0; l < json_array_size(layers); l++)
            assert_same(json_array_get(layers, l), json_array_get(again, l), "inbound_nodes");
        assert_same(json_object_get(json, "config"), json_object_get(written, "config"), "input_layers");
        assert_same(json_object_get(json, "config"), json_object_get(written, "config"), "output_layers");
        assert_same(json_object_get(json, "config"), json_object_get(written, "config"), "build_input_shape");
        json_decref(written);
        end(&f);
    }
}

static void test_builds_in_c(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    kt_functional *m = kt_functional_create(&f.context, "model");
    kt_symbolic x =
        kt_functional_input(m, kt_layer_create(&f.context, "InputLayer",
                                               "{\"batch_shape\": [null, null, 4], \"name\": \"my x\"}"));
    kt_layer *dense = kt_layer_create(&f.context, "Dense", "{\"units\": 4}");
    kt_symbolic y = kt_functional_call(m, dense, kt_functional_call(m, dense, x));
    kt_layer *inner = kt_sequential_create(&f.context, "inner");
    kt_sequential_add(inner, kt_layer_create(&f.context, "Dense", "{\"units\": 2, \"name\": \"dense\"}"));
    kt_functional_output(m, kt_functional_call(m, inner, y), NULL);
    kt_symbolic both[] = {x, y};
    kt_functional_output(m, kt_functional_call_list(m, kt_layer_create(&f.context, "Add", NULL), both, 2),
                         "sum");
    kt_functional_output(m, y, "sum");

    kt_graph *graph;
    assert_int_equal(kt_model_trace(&f.context, kt_functional_layer(m), &graph), KT_OK);
    assert_int_equal(kt_graph_verify(graph, &f.diag), KT_OK);
    static const char *const variables[][2] = {
        {"dense/kernel", "layers/dense/vars/0"},
        {"dense/bias", "layers/dense/vars/1"},
        {"inner/dense/kernel", "layers/sequential/layers/dense/vars/0"},
        {"inner/dense/bias", "layers/sequential/layers/dense/vars/1"}};
    assert_int_equal(graph->variables.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(graph->variables.at[i].path, variables[i][0]);
        assert_string_equal(graph->variables.at[i].file_path, variables[i][1]);
    }
    const kt_function *predict = kt_graph_function(graph, kt_graph_find(graph, "predict"));
    static const char *const outputs[] = {"inner", "sum", "sum_1"};
    for (int i = 0; i < 3; i++) assert_string_equal(predict->results.at[i].name, outputs[i]);
    assert_string_equal(predict->params.at[0].name, "my x");
    assert_string_equal(kt_dim_symbol_name(graph->dims, 1), "my_x.1");

    json_t *written = kt_layer_get_config(kt_functional_layer(m));
    kt_graph *again = trace(&f, written);
    assert_non_null(again);
    assert_int_equal(again->variables.count, 4);
    json_decref(written);
    end(&f);
}

/* ---- wrong ones ------------------------------------------------------------------------------ */
#define LAYER(module, class, name, config, nodes)                                                            \
    "{\"module\": \"" module                                                                                 \
    "\", \"class_name\": \"" class "\", \"config\": {\"name\": \"" name "\"" config                          \
                                   "}, \"registered_name\": null, \"name\": \"" name                         \
                                   "\", \"inbound_nodes\": [" nodes "]}"
#define INPUT                                                                                                \
    LAYER("keras.layers", "InputLayer", "x", ", \"batch_shape\": [null, 4], \"dtype\": \"float32\"", "")
#define TENSOR(layer, node, output)                                                                          \
    "{\"class_name\": \"__keras_tensor__\", \"config\": {\"shape\": [null, 4], \"dtype\": \"float32\", "     \
    "\"keras_history\": [\"" layer "\", " node ", " output "]}}"
#define CALL(arguments)    "{\"args\": [" arguments "], \"kwargs\": {}}"
#define DENSE(name, nodes) LAYER("keras.layers", "Dense", name, ", \"units\": 4", nodes)
#define MODEL(layers, inputs, outputs)                                                                       \
    "{\"module\": \"keras.src.models.functional\", \"class_name\": \"Functional\", \"config\": {\"name\": "  \
    "\"model\", "                                                                                            \
    "\"trainable\": true, \"layers\": [" layers "], \"input_layers\": " inputs                               \
    ", \"output_layers\": " outputs "}}"
#define X "[[\"x\", 0, 0]]"

static void refuse(fixture *f, const char *text) {
    const json_t *json;
    begin(f);
    kt_bytes bytes = {(const uint8_t *)text, strlen(text)};
    assert_int_equal(kt_json_parse(f->arena, bytes, "config.json", &json, &f->diag), KT_OK);
    assert_null(trace(f, json));
}

static void test_lists_all_that_is_unsupported(void **state) {
    (void)state;
    fixture f;
    refuse(
        &f,
        MODEL(INPUT "," LAYER("keras.layers", "Lambda", "code", "", CALL(TENSOR("x", "0", "0"))) "," LAYER(
                  "my.module", "Mine", "own", "",
                  CALL(TENSOR("code", "0",
                              "0"))) "," LAYER("keras.layers", "GhostLayer", "ghost", "",
                                               CALL(TENSOR("own", "0",
                                                           "0"))) "," LAYER("keras.layers", "Dense", "dense",
                                                                            ", \"units\": 4, \"strange\": 1",
                                                                            CALL(TENSOR("ghost", "0", "0"))),
              X, "[[\"dense\", 0, 0]]"));
    assert_true(f.diag.count == 4);
    expect(&f, 0, "model/code", "Lambda");
    expect(&f, 1, "model/own", "Mine");
    expect(&f, 2, "model/ghost", "GhostLayer");
    expect(&f, 3, "model/dense", "'strange'");
    end(&f);
}

static void test_refuses_wrong_graphs(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("b", "0", "0"))) "," DENSE("b", CALL(TENSOR("a", "0", "0"))),
               X, "[[\"b\", 0, 0]]"),
         "model/a", "loop"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("a", "0", "0"))), X, "[[\"a\", 0, 0]]"), "model/a", "loop"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("none", "0", "0"))), X, "[[\"a\", 0, 0]]"), "model/a",
         "“none”"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("x", "1", "0"))), X, "[[\"a\", 0, 0]]"), "model/a", "call 1"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("x", "0", "7"))), X, "[[\"a\", 0, 0]]"), "model/a",
         "output 7"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("x", "-1", "0"))), X, "[[\"a\", 0, 0]]"), "model/a",
         "call -1"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("x", "0", "0"))), X, "[[\"a\", 1, 0]]"), "model", "call 1"},
        {MODEL(INPUT "," DENSE("a", CALL(TENSOR("x", "0", "0"))), "[[\"a\", 0, 0]]", "[[\"a\", 0, 0]]"),
         "model/a", "no InputLayer"},
        {MODEL(INPUT, X, "[]"), "model", "no outputs"},
        {MODEL(INPUT "," INPUT, X, X), "model/x", "two layers"},
        {MODEL(INPUT, "[[\"x\", 0, 0], [\"x\", 0, 0]]", X), "model/x", "twice"},
        {MODEL(INPUT, "7", X), "model", "input_layers"},
        {MODEL(INPUT "," DENSE("a", "[[\"x\", 0, 0, {}]]"), X, "[[\"a\", 0, 0]]"), "model/a", "Keras 3"},
        {MODEL(INPUT "," DENSE("a", CALL("")), X, "[[\"a\", 0, 0]]"), "model/a", "without arguments"},
        {MODEL(INPUT
               "," LAYER("keras.src.ops.numpy", "GetItem", "g", "", CALL(TENSOR("x", "0", "0") ", [0, 9]")),
               X, "[[\"g\", 0, 0]]"),
         "model/g", "index 9"},
        {MODEL(INPUT "," LAYER("keras.src.ops.numpy", "GetItem", "g", "",
                               CALL(TENSOR("x", "0", "0") "," TENSOR("x", "0", "0"))),
               X, "[[\"g\", 0, 0]]"),
         "model/g", "keras.ops.take"},
        {MODEL(INPUT
               "," LAYER("keras.src.ops.numpy", "Add", "g", "", CALL(TENSOR("x", "0", "0") ", \"text\"")),
               X, "[[\"g\", 0, 0]]"),
         "model/g", "“x2”"},
        {"{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": {\"name\": \"model\", "
         "\"layers\": "
         "[" DENSE("a", "") "]}}",
         "model", "not known"},
        {DENSE("a", ""), "a", "is no model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        refuse(&f, cases[i][0]);
        expect(&f, 0, cases[i][1], cases[i][2]);
        end(&f);
    }
}

/* Each operation that is refused says why, and is not among the classes. */
static void test_refuses_operations(void **state) {
    (void)state;
    static const char *const names[][2] = {
#define KT_REFUSED(module, name, reason) {KT_OPERATION_##module, name},
#include "frontend/operations/refused.def"
#undef KT_REFUSED
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fixture f;
        begin(&f);
        assert_null(kt_layer_class_find(names[i][0], names[i][1]));
        json_t *config = json_pack("{s:s, s:s, s:{s:s}}", "module", names[i][0], "class_name", names[i][1],
                                   "config", "name", "op");
        assert_null(kt_layer_from_config(&f.context, config, NULL));
        json_decref(config);
        expect(&f, 0, "op", kt_operation_refusal(names[i][0], names[i][1]));
        expect(&f, 0, "op", names[i][1]);
        end(&f);
    }
    assert_null(kt_operation_refusal(KT_OPERATION_NUMPY, "Ghost"));
}

/* A model of one operation on an input x of that shape. */
#define INPUT_OF(shape)                                                                                      \
    LAYER("keras.layers", "InputLayer", "x", ", \"batch_shape\": " shape ", \"dtype\": \"float32\"", "")
#define NODE(shape, class, options, arguments)                                                               \
    MODEL(INPUT_OF(shape) "," LAYER("keras.src.ops.nn", class, "op", options, CALL(arguments)), X,           \
          "[[\"op\", 0, 0]]")
#define IN TENSOR("x", "0", "0")

static void test_refuses_wrong_operations(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {NODE("[null, 4]", "Conv", "", IN ", [[1]]"), "at least 3 axes"},
        {NODE("[null, 6, 7, 3]", "Conv", "", IN ", [[[1]]]"), "the kernel as many"},
        {NODE("[null, 6, 7, 3]", "Conv", "", IN ", [[[[1], [2]]]]"), "do not fall into groups"},
        {NODE("[null, 6, 7, 3]", "Conv", "", IN), "“kernel”"},
        {NODE("[null, 6, 7, 3]", "Conv", ", \"strides\": [1, 2, 3]", IN ", [[[[1]]]]"), "'strides'"},
        {NODE("[null, 6, 7, 3]", "Conv", ", \"dilation_rate\": 0", IN ", [[[[1]]]]"), "'dilation_rate'"},
        {NODE("[null, null, 7, 3]", "DepthwiseConv", "", IN ", " IN), "must be known"},
        {NODE("[null, 6, 7, 1]", "SeparableConv", "", IN ", [[[[1]]]], [[1]]"), "kernel as many"},
        {NODE("[null, 6, 7, 1]", "ConvTranspose", ", \"output_padding\": 2", IN ", [[[[1]]]]"),
         "below the strides"},
        {NODE("[null, 6, 7, 1]", "MaxPool", ", \"pool_size\": -1", IN), "'pool_size'"},
        {NODE("[null, null, 7, 1]", "AdaptiveMaxPool", ", \"output_size\": 2", IN), "must be known"},
        {NODE("[null, 6, 7, 1]", "AveragePool", ", \"pool_size\": 2", "[[[[1]]]], " IN), "must be of floats"},
        {NODE("[null, 6, 7, 1]", "Conv", ", \"strides\": null, \"padding\": \"same\"", IN ", [[[[1]]]]"),
         "'strides'"},
        {NODE("[null, 6, 7, 1]", "AdaptiveMaxPool", ", \"output_size\": null", IN), "'output_size'"},
        {NODE("[null, 4]", "Normalize", ", \"order\": 0", IN), "'order'"},
        {NODE("[null, 4, 5]", "Normalize", ", \"order\": 3, \"axis\": null", IN), "not supported"},
        {NODE("[null, 4]", "BatchNorm", ", \"axis\": [1]", IN ", [1], [1]"), "'axis'"},
        {NODE("[null, 4]", "LayerNorm", ", \"epsilon\": -1", IN), "'epsilon'"},
        {NODE("[null, 4]", "DotProductAttention", "", IN ", " IN ", " IN), "4 axes"},
        {NODE("[null, 4, 3, 2]", "DotProductAttention", ", \"attn_logits_soft_cap\": 3", IN ", " IN ", " IN),
         "'attn_logits_soft_cap'"},
        {NODE("[null, 4, 3, 2]", "DotProductAttention", "", IN ", [[[[1, 2], [1, 2]]]], " IN), "a multiple"},
        {NODE("[null, 2, 4]", "Unfold", ", \"kernel_size\": 2", IN), "must have 4 axes"},
        {NODE("[null, 2, 4, 4]", "Unfold", ", \"kernel_size\": 5", IN), "does not fit"},
        {NODE("[null, 2, 4, 4]", "Unfold", ", \"kernel_size\": null", IN), "'kernel_size'"},
        {NODE("[null, 7, 4]", "Fold", ", \"kernel_size\": 2, \"output_size\": 3", IN), "a multiple"},
        {NODE("[null, 4, 4, 6]", "DepthToSpace", ", \"block_size\": 2", IN), "number of channels of 6"},
        {NODE("[null, 4, 5, 6]", "SpaceToDepth", ", \"block_size\": 2", IN), "width of 5"},
        {NODE("[null, 4]", "SpaceToDepth", ", \"block_size\": 2", IN), "must have 4 axes"},
        {NODE("[null, 4]", "BinaryCrossentropy", "", "[1, 0], " IN), "the same shape"},
        {NODE("[null, 4]", "SparseCategoricalCrossentropy", "", IN ", " IN), "without the axis"},
        {NODE("[null, 4, 3]", "CTCLoss", ", \"mask_index\": 3", "[[1]], " IN ", [1], [1]"), "class 3"},
        {NODE("[null, 4, 3]", "CTCLoss", "", IN ", " IN ", [1], [1]"), "labels [batch, labels]"},
        {NODE("[null, 4, 3]", "CTCDecode", ", \"strategy\": \"beam_search\"", IN ", [1]"), "beam_search"},
        {NODE("[null, 4, 3]", "CTCDecode", ", \"mask_index\": -1", IN ", [1]"), "'mask_index'"},
        {NODE("[null, 4]", "CTCDecode", "", IN ", [1]"), "logits [batch, time, classes]"},
        {NODE("[null, 4]", "PSNR", "", IN ", " IN), "'max_val'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        refuse(&f, cases[i][0]);
        /* What the builder found wrong has the node's kind behind the path. */
        assert_true(f.diag.count > 0);
        assert_memory_equal(f.diag.problems[0].where, "model/op", strlen("model/op"));
        if (!strstr(f.diag.problems[0].text, cases[i][1]))
            fail_msg("%s, without %s", f.diag.problems[0].text, cases[i][1]);
        end(&f);
    }
}

/* Models in models, each called twice: 2^24 calls of the innermost. */
static void test_refuses_endless_nesting(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    kt_layer *inner = kt_layer_create(&f.context, "Activation", "{\"activation\": \"linear\"}");
    for (int depth = 0; depth < 24; depth++) {
        kt_functional *model = kt_functional_create(&f.context, kt_arena_format(f.arena, "m%d", depth));
        kt_symbolic x =
            kt_functional_input(model, kt_layer_create(&f.context, "InputLayer", "{\"shape\": [4]}"));
        kt_functional_output(model, kt_functional_call(model, inner, kt_functional_call(model, inner, x)),
                             NULL);
        inner = kt_functional_layer(model);
    }
    kt_graph *graph;
    assert_int_not_equal(kt_model_trace(&f.context, inner, &graph), KT_OK);
    assert_int_equal(f.diag.count, 1);
    assert_non_null(strstr(f.diag.problems[0].text, "call more than"));
    end(&f);
}

/* ---- mutations ------------------------------------------------------------------------------- */
/* Whatever comes: a graph that the verifier accepts, or problems. */
static void try_text(const char *text, size_t count) {
    fixture f;
    begin(&f);
    const json_t *json;
    kt_bytes bytes = {(const uint8_t *)text, count};
    if (kt_json_parse(f.arena, bytes, "config.json", &json, &f.diag) == KT_OK) trace(&f, json);
    end(&f);
}

static void test_survives_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"sequential", "shared", "nested", "dicts", "shapes"};
    static const char characters[] = "0123456789\"{}[],:-. aeE";
    uint32_t seed = 1;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        fixture f;
        begin(&f);
        kt_bytes config = read_config(&f, names[n]);
        char *text = kt_arena_copy(f.arena, config.at, config.count + 1);
        for (int round = 0; round < 120; round++) {
            size_t places[3];
            for (int i = 0; i < 3; i++) {
                seed = seed * 1664525 + 1013904223;
                places[i] = (seed >> 8) % config.count;
                if (i && round % 2) continue;
                text[places[i]] = characters[(seed >> 4) % (sizeof characters - 1)];
            }
            try_text(text, config.count);
            for (int i = 0; i < 3; i++) text[places[i]] = (char)config.at[places[i]];
        }
        end(&f);
    }
}

/* Puts something else in the place of the wanted-th value in json, or drops it; false past the last. */
static bool replace(json_t *json, uint32_t *wanted, const char *with) {
    size_t i;
    const char *key;
    json_t *item;
    void *next;
    json_object_foreach_safe(json, next, key, item) {
        if ((*wanted)-- == 0) {
            if (with)
                json_object_set_new(json, key, json_loads(with, JSON_DECODE_ANY, NULL));
            else
                json_object_del(json, key);
            return true;
        }
        if (replace(item, wanted, with)) return true;
    }
    json_array_foreach(json, i, item) {
        if ((*wanted)-- == 0) {
            if (with)
                json_array_set_new(json, i, json_loads(with, JSON_DECODE_ANY, NULL));
            else
                json_array_remove(json, i);
            return true;
        }
        if (replace(item, wanted, with)) return true;
    }
    return false;
}

static void test_survives_other_values(void **state) {
    (void)state;
    static const char *const names[] = {"shared", "nested", "dicts", "deep", "arithmetic", "shapes"};
    static const char *const values[] = {
        NULL, "null", "-1", "1e30", "\"x\"", "[]", "{}", "9223372036854775807", "true"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        fixture f;
        begin(&f);
        kt_bytes config = read_config(&f, names[n]);
        bool more = true;
        for (uint32_t place = 0; more; place += 1 + place / 40) {
            json_t *json = json_loadb((const char *)config.at, config.count, 0, NULL);
            uint32_t wanted = place;
            more = replace(json, &wanted, values[place % (sizeof values / sizeof *values)]);
            fixture g;
            begin(&g);
            trace(&g, json);
            end(&g);
            json_decref(json);
        }
        end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_back),
        cmocka_unit_test(test_builds_in_c),
        cmocka_unit_test(test_lists_all_that_is_unsupported),
        cmocka_unit_test(test_refuses_wrong_graphs),
        cmocka_unit_test(test_refuses_operations),
        cmocka_unit_test(test_refuses_wrong_operations),
        cmocka_unit_test(test_refuses_endless_nesting),
        cmocka_unit_test(test_survives_bytes),
        cmocka_unit_test(test_survives_other_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
