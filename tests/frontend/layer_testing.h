/* A place to call single layers in: an arena, a graph, a builder and a trace. */
#ifndef KT_TESTS_FRONTEND_LAYER_TESTING_H
#define KT_TESTS_FRONTEND_LAYER_TESTING_H

#include "frontend/layer.h"
#include "kt_cmocka.h"

#include <math.h>

typedef struct lab {
    kt_diag diag;
    kt_layer_context context;
    kt_graph *graph;
    kt_builder builder;
    kt_trace trace;
    uint32_t inputs;
} lab;

static inline void lab_open(lab *l) {
    *l = (lab){0};
    l->context.arena = kt_arena_create();
    l->context.diag = &l->diag;
    l->graph = kt_graph_create(l->context.arena, "test");
    kt_builder_begin(&l->builder, l->graph, KT_FUNC_ENTRY, "predict", &l->diag);
    l->trace = (kt_trace){.builder = &l->builder, .context = &l->context, .path = "model"};
}

static inline void lab_close(lab *l) {
    kt_arena_destroy(l->context.arena);
    kt_diag_deinit(&l->diag);
}

/* The first problem, as "where: text"; "" where there is none. */
static inline const char *lab_problem(const lab *l) {
    if (l->diag.count == 0) return "";
    return kt_arena_format(l->context.arena, "%s: %s", l->diag.problems[0].where, l->diag.problems[0].text);
}

/* An input of a type like "f32[batch,8]". */
static inline kt_value lab_input(lab *l, const char *text) {
    kt_type type = {0};
    const char *bracket = strchr(text, '[');
    assert_non_null(bracket);
    assert_true(
        kt_dtype_parse(kt_arena_format(l->context.arena, "%.*s", (int)(bracket - text), text), &type.dtype));
    for (const char *at = bracket + 1; *at && *at != ']'; at += *at == ',') {
        assert_true(type.rank < KT_MAX_RANK && kt_dim_parse(l->graph->dims, &at, &type.dims[type.rank]));
        type.rank++;
    }
    const char *name = kt_arena_format(l->context.arena, "x%u", l->inputs);
    return kt_builder_param(&l->builder, KT_ROLE_INPUT, name, l->inputs++, &type);
}

static inline kt_argument lab_tensor(kt_value value) {
    return (kt_argument){.kind = KT_ARGUMENT_TENSOR, .value = value};
}

/* Calls a layer on inputs, several as a list; its first output, or 0 where it failed. */
static inline kt_value lab_call(lab *l, kt_layer *layer, kt_argument *items, uint32_t count, kt_value mask) {
    kt_argument arguments[2] = {items[0], {.kind = KT_ARGUMENT_TENSOR, .name = "mask", .value = mask}};
    if (count > 1) arguments[0] = (kt_argument){.kind = KT_ARGUMENT_LIST, .items = items, .count = count};
    uint32_t outputs = kt_layer_output_count(layer);
    kt_value *values = KT_NEW_ARRAY(l->context.arena, kt_value, outputs + 1);
    kt_value *masks = KT_NEW_ARRAY(l->context.arena, kt_value, outputs + 1);
    kt_layer_call_with(layer, &l->trace, arguments, mask ? 2 : 1, values, masks);
    return values[0];
}

/* Ends the function, whose result is output, and verifies the graph. */
static inline kt_func lab_finish(lab *l, kt_value output) {
    kt_builder_result(&l->builder, KT_ROLE_OUTPUT, "y", 0, output);
    for (uint32_t i = 0; i < l->trace.assigned.count; i++) {
        if (!l->trace.assigned.at[i]) continue;
        kt_builder_result(&l->builder, KT_ROLE_VARIABLE, NULL, i, l->trace.variables.at[i]);
    }
    kt_func func = 0;
    kt_status status = kt_builder_finish(&l->builder, &func);
    if (status == KT_OK) status = kt_graph_verify(l->graph, &l->diag);
    assert_string_equal(lab_problem(l), "");
    assert_int_equal(status, KT_OK);
    return func;
}

static inline json_t *lab_read_json(const char *file) {
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, "%s/frontend/%s", KT_TEST_SOURCE, file);
    json_t *json = json_load_file(path, 0, &error);
    if (!json) fail_msg("%s:%d: %s", path, error.line, error.text);
    return json;
}

#endif
