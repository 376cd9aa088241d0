/* What the tests of graphs share: a graph per test, and types and dimensions written as text. */
#ifndef KT_TESTS_IR_GRAPH_FIXTURE_H
#define KT_TESTS_IR_GRAPH_FIXTURE_H

#include "kt_cmocka.h"

#include "ir/ir.h"

typedef struct fixture {
    kt_arena *arena;
    kt_graph *graph;
    kt_diag diag;
} fixture;

static inline int fixture_setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->arena = kt_arena_create();
    f->graph = kt_graph_create(f->arena, "test");
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    fixture *f = *state;
    kt_diag_deinit(&f->diag);
    kt_arena_destroy(f->arena);
    free(f);
    return 0;
}

#define FIXTURE_TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

/* "batch, 2*batch, 3" */
static inline kt_dims dims_of(fixture *f, const char *text) {
    kt_dims dims = {0};
    while (*text && *text != ']') {
        assert_true(dims.count < KT_MAX_RANK);
        assert_true(kt_dim_parse(f->graph->dims, &text, &dims.at[dims.count++]));
        while (*text == ',' || *text == ' ') text++;
    }
    return dims;
}

static inline kt_dim dim_of(fixture *f, const char *text) { return dims_of(f, text).at[0]; }

/* "f32[batch,784]" */
static inline kt_type type_of(fixture *f, const char *text) {
    char name[16];
    const char *bracket = strchr(text, '[');
    size_t length = bracket ? (size_t)(bracket - text) : strlen(text);
    assert_true(length < sizeof name);
    memcpy(name, text, length);
    name[length] = '\0';
    kt_type type = {0};
    assert_true(kt_dtype_parse(name, &type.dtype));
    if (bracket) {
        kt_dims dims = dims_of(f, bracket + 1);
        type.rank = (uint8_t)dims.count;
        memcpy(type.dims, dims.at, sizeof type.dims);
    }
    return type;
}

#define INTS(...)                                                                                            \
    ((kt_ints){.count = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .at = {__VA_ARGS__}})

/* The last problem says text. */
static inline void assert_problem(const fixture *f, const char *text) {
    assert_true(f->diag.count > 0);
    const char *problem = f->diag.problems[f->diag.count - 1].text;
    if (!strstr(problem, text)) fail_msg("expected \"%s\", got \"%s\"", text, problem);
}

static inline void assert_type(fixture *f, const kt_type *type, const char *expected) {
    kt_type wanted = type_of(f, expected);
    if (!kt_type_equal(type, &wanted))
        fail_msg("expected %s, got %s", expected, kt_type_string(f->graph->dims, type, f->arena));
}

#endif
