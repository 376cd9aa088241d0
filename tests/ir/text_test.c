/* The text form: printing, parsing and printing again gives the same bytes; bad text gives a sentence. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every kind of attribute, role, location and top-level item, in the form that printing gives them. */
static const char everything[] =
    "graph \"digits\"\n"
    "symbols batch, \"odd name\", height\n"
    "variable @dense/kernel : f32[64,2] file \"layers/dense/vars/0\" trainable\n"
    "variable @dense/bias : f32[2] file \"layers/dense/vars/1\" trainable = [0.1, -0]\n"
    "variable @mean/total : f32[] metric = [0]\n"
    "variable @dense/bias : f32[2] = [nan, -inf]\n"
    "variable @seed : u64[] = [18446744073709551615]\n"
    "variable @mask : bool[3] = [true, false, true]\n"
    "variable @zeros : f16[20] = all 0\n"
    "variable @bytes : u8[17] = base64\"AAECAwQFBgcICQoLDA0ODxA=\"\n"
    "variable @half : bf16[3] = [1.5, 0x7fc1, 3.3e+38]\n"
    "variable @\"a name\\n\\\"quoted\\\" \xc3\xa9\" : i8[0] = []\n"
    "constant @dense/packed : f32[1,64,8]\n"
    "constant @table : i64[2] = [-9223372036854775808, 9223372036854775807]\n"
    "check height = 2*batch \"height must be twice the batch\"\n"
    "\n"
    "body @softmax \"softmax\"(%0: f32[batch,2]) {\n"
    "  %1 = reduce(%0) kind=maximum axes=[1] : f32[batch]\n"
    "  %2 = broadcast(%1) shape=[batch,2] axes=[0] : f32[batch,2]\n"
    "  %3 = sub(%0, %2) : f32[batch,2]\n"
    "  %4 = exp(%3) : f32[batch,2]\n"
    "  return %4\n"
    "}\n"
    "\n"
    "kernel @two(%0: f32[batch,2]) {\n"
    "  %1 = neg(%0) : f32[batch,2]\n"
    "  return %1, %0\n"
    "}\n"
    "\n"
    "entry @predict(\n"
    "    input 0 \"image\" %0: f32[batch,64],\n"
    "    input 1 \"other\" %1: f32[batch,height,8,4],\n"
    "    variable @dense/kernel %2: f32[64,2],\n"
    "    variable #3 %3: f32[2],\n"
    "    constant @dense/packed %4: f32[1,64,8]\n"
    ") {\n"
    "  %5 = dot_general(%0, %2) lhs_contract=[1] rhs_contract=[0] : f32[batch,2] @ \"dense/matmul\"\n"
    "  %6 = dot_general(%0, %4) lhs_contract=[1] panel=8 columns=2 : f32[batch,2] @ \"a\\tb\" in "
    "\"model.c\":12\n"
    "  %7 = broadcast(%3) shape=[batch,2] axes=[1] : f32[batch,2] @ in \"model.c\":3\n"
    "  %8 = add(%5, %6) : f32[batch,2] @ fused[\"dense/matmul\", \"x\" in \"model.c\":4, in \"model.c\":5]\n"
    "  %9 = call(%8) callee=@softmax : f32[batch,2]\n"
    "  %10, %11 = call(%9) callee=@two : f32[batch,2], f32[batch,2]\n"
    "  %12 = constant literal=[1.5] : f32[]\n"
    "  %13 = iota axis=1 : i32[2,3]\n"
    "  %14 = size dim=2*batch + 1 : i64[]\n"
    "  %15 = cast(%10) dtype=f64 : f64[batch,2]\n"
    "  %16 = pad(%0, %12) low=[0,1] high=[batch,0] interior=[0,2] : f32[2*batch,191]\n"
    "  return output 0 \"dense\" %9,\n"
    "         output 1 \"scores\" %15,\n"
    "         variable @dense/kernel %2\n"
    "}\n";

static char *print(kt_arena *arena, const kt_graph *graph, const kt_print_options *options) {
    kt_text text = {.arena = arena};
    kt_graph_print(graph, options, &text);
    return (char *)kt_text_string(&text);
}

static kt_graph *parse(kt_arena *arena, const char *text) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    if (kt_graph_parse(arena, text, strlen(text), &graph, &diag) != KT_OK)
        fail_msg("%s: %s", diag.problems[0].where, diag.problems[0].text);
    assert_int_equal(diag.count, 0);
    return graph;
}

static void assert_stable(const char *text) {
    kt_arena *arena = kt_arena_create();
    assert_string_equal(print(arena, parse(arena, text), NULL), text);
    kt_arena_destroy(arena);
}

static void test_round_trip(void **state) {
    (void)state;
    assert_stable(everything);
    assert_stable("graph\n");
}

static void test_free_form(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    const char *loose = "// named values, comments, any line breaks\n"
                        "graph\"g\"entry @f(input 0 %x:f32[ n ],%y : f32[n]){%sum=add(%x,%y):f32[n] // here\n"
                        "return output 0 %sum}";
    const char *tidy = "graph \"g\"\nsymbols n\n\nentry @f(\n    input 0 %0: f32[n],\n    %1: f32[n]\n) {\n"
                       "  %2 = add(%0, %1) : f32[n]\n  return output 0 %2\n}\n";
    assert_string_equal(print(arena, parse(arena, loose), NULL), tidy);
    kt_arena_destroy(arena);
}

/* A function may be rewritten to call one with a higher number: it is printed behind it all the same. */
static void test_callees_first(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, "graph\nentry @f(%0: f32[2]) { return output 0 %0 }\n"
                                   "kernel @k(%0: f32[2]) { %1 = neg(%0) : f32[2] return %1 }");
    kt_diag diag = {0};
    kt_builder builder;
    kt_value result;
    kt_func func = kt_graph_find(graph, "f");
    kt_builder_begin_rewrite(&builder, graph, func, &diag);
    kt_value old = kt_graph_function(graph, func)->params.at[0].value;
    kt_value param = kt_builder_lookup(&builder, old);
    kt_build_call(&builder, kt_graph_find(graph, "k"), &param, 1, &result);
    kt_builder_replace(&builder, old, result);
    kt_builder_copy_results(&builder);
    assert_int_equal(kt_builder_finish(&builder, NULL), KT_OK);
    char *text = print(arena, graph, NULL);
    assert_true(strstr(text, "kernel @k") < strstr(text, "entry @f"));
    assert_stable(text);
    kt_arena_destroy(arena);
}

static void test_every_float(void **state) {
    (void)state;
    static const uint32_t bits[] = {0,          0x80000000, 1,          0x807fffff, 0x3f800001, 0x7f7fffff,
                                    0x3dcccccd, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc00001,
                                    0x7fa00000, 0x00800000, 0x4b000001, 0x2edbe6ff};
    kt_arena *arena = kt_arena_create();
    for (uint32_t i = 0; i < 3; i++) {
        kt_graph *graph = kt_graph_create(arena, "floats");
        uint64_t wide[16];
        for (int j = 0; j < 16; j++) wide[j] = 0x9e3779b97f4a7c15u * (uint64_t)(j + 1);
        int64_t dims[] = {16};
        kt_dtype dtype = i == 0 ? KT_F32 : i == 1 ? KT_F64 : KT_F16;
        const void *data = i == 0 ? (const void *)bits : wide;
        kt_variable variable = {.path = "v", .type = kt_type_of(graph->dims, dtype, 1, dims), .data = data};
        kt_graph_add_variable(graph, &variable);
        char *text = print(arena, graph, NULL);
        assert_null(strstr(text, "base64"));
        kt_graph *again = parse(arena, text);
        assert_memory_equal(again->variables.at[0].data, data, 16 * kt_dtype_bytes(dtype));
    }
    kt_arena_destroy(arena);
}

static void test_base64(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    for (int64_t count = 17; count < 10000; count = count * 3 + 1) {
        kt_graph *graph = kt_graph_create(arena, "bytes");
        uint8_t *data = kt_arena_alloc(arena, (size_t)count);
        for (int64_t i = 0; i < count; i++) data[i] = (uint8_t)(i * i + i / 7);
        kt_variable variable = {.path = "v", .type = kt_type_of(graph->dims, KT_U8, 1, &count), .data = data};
        kt_graph_add_variable(graph, &variable);
        kt_graph *again = parse(arena, print(arena, graph, NULL));
        assert_memory_equal(again->variables.at[0].data, data, (size_t)count);
    }
    kt_arena_destroy(arena);
}

static void test_anonymous(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph =
        parse(arena, "graph\n"
                     "body @a \"gelu\"(%0: f32[2]) { %1 = erf(%0) : f32[2] @ \"here\" return %1 }\n"
                     "body @b \"gelu\"(%x: f32[2]) { %y = erf(%x) : f32[2] @ \"there\" return %y }\n"
                     "body @c \"gelu\"(%x: f32[2]) { %y = exp(%x) : f32[2] return %y }\n");
    kt_print_options anonymous = {.anonymous = true};
    kt_text texts[3];
    for (uint32_t i = 0; i < 3; i++) {
        texts[i] = (kt_text){.arena = arena};
        kt_function_print(graph, kt_graph_function(graph, i + 1), &anonymous, &texts[i]);
    }
    assert_string_equal(kt_text_string(&texts[0]), kt_text_string(&texts[1]));
    assert_string_not_equal(kt_text_string(&texts[0]), kt_text_string(&texts[2]));
    assert_string_equal(kt_text_string(&texts[0]),
                        "body \"gelu\"(%0: f32[2]) {\n  %1 = erf(%0) : f32[2]\n  return %1\n}\n");
    kt_arena_destroy(arena);
}

static void assert_error(const char *text, const char *where, const char *part) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    assert_int_not_equal(kt_graph_parse(arena, text, strlen(text), &graph, &diag), KT_OK);
    assert_int_equal(diag.count, 1);
    assert_non_null(diag.problems[0].where);
    assert_string_equal(diag.problems[0].where, where);
    if (!strstr(diag.problems[0].text, part)) fail_msg("\"%s\" lacks \"%s\"", diag.problems[0].text, part);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
}

#define IN_ENTRY(nodes) "graph\nentry @f(%x: f32[2], %c: bool[]) {\n" nodes "\nreturn output 0 %x }\n"

static void test_errors(void **state) {
    (void)state;
    assert_error("", "line 1", "starts with");
    assert_error("graph\nnonsense", "line 2", "Expected symbols");
    assert_error("graph \"x", "line 1", "closing quote");
    assert_error("graph \"\\q\"", "line 1", "escape");
    assert_error("graph \"\\ud800\"", "line 1", "escape");
    assert_error("graph\nsymbols 3", "line 2", "symbol");
    assert_error("graph\nvariable @v : f99", "line 2", "element type");
    assert_error("graph\nvariable @v : f32[n]", "line 2", "numbers");
    assert_error("graph\nvariable @v : f32[1,1,1,1,1,1,1,1,1]", "line 2", "more than 8");
    assert_error("graph\nvariable @v : f32[2] = [1]", "line 2", "1 elements where the type has 2");
    assert_error("graph\nvariable @v : f32[2] = [1, 2, 3]", "line 2", "more elements");
    assert_error("graph\nvariable @v : i8[] = [128]", "line 2", "number of type i8");
    assert_error("graph\nvariable @v : u8[] = [-1]", "line 2", "number of type u8");
    assert_error("graph\nvariable @v : bool[] = [1]", "line 2", "number of type bool");
    assert_error("graph\nvariable @v : f32[1000000] = all 0", "line 2", "base64");
    assert_error("graph\nvariable @v : f32[9000000000,9000000000] = all 0", "line 2", "too large");
    assert_error("graph\nvariable @v : u8[2] = base64\"AAA\"", "line 2", "does not hold");
    assert_error("graph\nvariable @v : u8[3] = base64\"A*AA\"", "line 2", "wrong character");
    assert_error("graph\nvariable @v : u8[3] = hash\"00\"", "line 2", "left out");
    assert_error("graph\nentry @f(variable @w %x: f32[]) { return }", "line 2", "No variable called \"w\"");
    assert_error("graph\nentry @f(constant #0 %x: f32[]) { return }", "line 2", "no constant #0");
    assert_error("graph\nentry @f() { return output 0 %x }", "line 2", "%x is not defined");
    assert_error("graph\nentry @f(%x: f32[], %x: f32[]) { return }", "line 2", "defined twice");
    assert_error("graph\nentry @f() { return }\nentry @f() { return }", "line 3", "Two functions");
    assert_error("graph\nentry @f(robot %x: f32[]) { return }", "line 2", "no role");
    assert_error(IN_ENTRY("%y = frobnicate(%x) : f32[2]"), "line 3", "no operation \"frobnicate\"");
    assert_error(IN_ENTRY("%y = neg(%x, %x) : f32[2]"), "line 3", "takes 1 operands");
    assert_error(IN_ENTRY("%y = neg(%x) : f32[3]"), "line 3", "written as f32[3], but neg gives f32[2]");
    assert_error(IN_ENTRY("%y = neg(%x)"), "line 3", "1 names and 0 types");
    assert_error(IN_ENTRY("%y = neg(%c) : bool[]"), "line 3", "neg C");
    assert_error(IN_ENTRY("%y = iota axis=0 axis=1 : i32[2]"), "line 3", "twice");
    assert_error(IN_ENTRY("%y = iota speed=0 : i32[2]"), "line 3", "no attribute \"speed\"");
    assert_error(IN_ENTRY("%y = reduce(%x) kind=average axes=[0] : f32[]"), "line 3", "sum, product");
    assert_error(IN_ENTRY("%y = reduce(%x) axes=[0] : f32[]"), "line 3", "needs kind=");
    assert_error(IN_ENTRY("%y = call(%x) callee=@f : f32[]"), "line 3", "No function called \"f\"");
    assert_error(IN_ENTRY("%y = neg(%x) : f32[2] @ 3"), "line 3", "location");
    assert_error(IN_ENTRY("%y = iota axis=99999999999999999999 : i32[2]"), "line 3", "too large");
}

static void test_deep_calls(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_text text = {.arena = arena};
    kt_text_add(&text, "graph\nbody @f0(%x: f32[]) { return %x }\n");
    for (int i = 1; i < 80; i++)
        kt_text_format(&text, "body @f%d(%%x: f32[]) { %%y = call(%%x) callee=@f%d : f32[] return %%y }\n", i,
                       i - 1);
    assert_error(kt_text_string(&text), "line 67", "deeper than 64");
    kt_arena_destroy(arena);
}

static void test_elided(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    char *text = print(arena, parse(arena, everything), &(kt_print_options){.elide = true});
    assert_non_null(strstr(text, "u8[17] = hash\""));
    assert_non_null(strstr(text, "= all 0"));
    assert_error(text, "line 10", "left out");
    kt_arena_destroy(arena);
}

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Changes, drops, doubles or moves a few pieces. */
static size_t mutate(char *text, size_t length, uint64_t *seed) {
    static const char likely[] = "%@[](){}=,:\"#0123456789-+*./ \nx";
    for (uint32_t round = 1 + next_random(seed) % 3; round > 0; round--) {
        size_t at = next_random(seed) % length, count = 1 + next_random(seed) % 12;
        if (at + count > length) count = length - at;
        switch (next_random(seed) % 5) {
        case 0: text[at] = (char)next_random(seed); break;
        case 1: text[at] = likely[next_random(seed) % (sizeof likely - 1)]; break;
        case 2: memmove(text + at, text + at + count, length - at - count), length -= count; break;
        case 3: memmove(text + at, text + next_random(seed) % (length - count), count); break;
        default:
            if (next_random(seed) % 8 == 0) length = at;
        }
        if (length < 20) break;
    }
    text[length] = 0;
    return length;
}

static void test_mutations(void **state) {
    (void)state;
    uint64_t seed = 1;
    int good = 0;
    for (int i = 0; i < 3000; i++) {
        char text[sizeof everything];
        memcpy(text, everything, sizeof everything);
        size_t length = mutate(text, sizeof everything - 1, &seed);
        kt_arena *arena = kt_arena_create();
        kt_diag diag = {0};
        kt_graph *graph = NULL;
        if (kt_graph_parse(arena, text, length, &graph, &diag) == KT_OK) {
            char *once = print(arena, graph, NULL);
            assert_string_equal(print(arena, parse(arena, once), NULL), once);
            good++;
        } else {
            assert_int_equal(diag.count, 1);
            assert_int_equal(strncmp(diag.problems[0].where, "line ", 5), 0);
        }
        kt_diag_deinit(&diag);
        kt_arena_destroy(arena);
    }
    assert_in_range(good, 30, 1500); /* mutations that change nothing that matters, and not only those */
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (uint64_t countdown = 1;; countdown += 1 + countdown / 16) {
        kt_arena *arena = kt_arena_create();
        kt_diag diag = {0};
        kt_graph *graph = NULL;
        kt_arena_fail_after(countdown);
        kt_status status = kt_graph_parse(arena, everything, sizeof everything - 1, &graph, &diag);
        kt_arena_fail_after(0);
        kt_diag_deinit(&diag);
        kt_arena_destroy(arena);
        if (status == KT_OK) break;
        assert_int_equal(status, KT_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_free_form),
        cmocka_unit_test(test_callees_first), cmocka_unit_test(test_every_float),
        cmocka_unit_test(test_base64),        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_deep_calls),
        cmocka_unit_test(test_elided),        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
