/* The reference evaluator: operations on hand-computed values, against independent formulas, and its errors.
 * Graphs are written in the text form, and results are compared in it. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kt_graph *parse(kt_arena *arena, const char *text) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    if (kt_graph_parse(arena, text, strlen(text), &graph, &diag) != KT_OK)
        fail_msg("%s: %s\n%s", diag.problems[0].where, diag.problems[0].text, text);
    return graph;
}

/* A tensor of at most 16 elements: "f32[2] = [1, 2]". */
static const char *show(kt_arena *arena, const kt_tensor *tensor) {
    kt_graph *graph = kt_graph_create(arena, "");
    kt_variable variable = {.path = "v",
                            .type = kt_type_of(graph->dims, tensor->dtype, tensor->rank, tensor->dims),
                            .data = tensor->data};
    kt_graph_add_variable(graph, &variable);
    kt_text text = {.arena = arena};
    kt_graph_print(graph, NULL, &text);
    char *line = strstr(text.at, " : ") + 3;
    *strchr(line, '\n') = 0;
    return line;
}

/* Evaluates nodes that define %r out of constants alone. */
static const char *evaluate(kt_arena *arena, const char *nodes) {
    kt_graph *graph =
        parse(arena, kt_arena_format(arena, "graph entry @f() { %s return output 0 %%r }", nodes));
    kt_diag diag = {0};
    kt_tensor result;
    if (kt_eval(graph, 1, NULL, NULL, 0, arena, &result, &diag) != KT_OK)
        fail_msg("%s", diag.problems[0].text);
    return show(arena, &result);
}

typedef struct expectation {
    const char *nodes, *result;
} expectation;

static void check_all(const expectation *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        kt_arena *arena = kt_arena_create();
        const char *result = evaluate(arena, cases[i].nodes);
        if (strcmp(result, cases[i].result) != 0)
            fail_msg("%s\n gives %s\n not   %s", cases[i].nodes, result, cases[i].result);
        kt_arena_destroy(arena);
    }
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof(cases)[0])

/* %x and %y of a type, then one operation. */
#define ONE(op, type, x, result_type)                                                                        \
    "%x = constant literal=[" x "] : " type " %r = " op "(%x) : " result_type
#define TWO(op, type, x, y, result_type)                                                                     \
    "%x = constant literal=[" x "] : " type " %y = constant literal=[" y "] : " type " %r = " op             \
    "(%x, %y) : " result_type

// clang-format off
static const expectation integers[] = {
    {TWO("add", "i8[2]", "127, -128", "1, -1", "i8[2]"), "i8[2] = [-128, 127]"},
    {TWO("add", "u8[1]", "255", "1", "u8[1]"), "u8[1] = [0]"},
    {TWO("sub", "u32[1]", "0", "1", "u32[1]"), "u32[1] = [4294967295]"},
    {TWO("mul", "i64[2]", "4611686018427387904, -3", "2, 7", "i64[2]"), "i64[2] = [-9223372036854775808, -21]"},
    {TWO("div", "i32[4]", "7, -7, 5, -2147483648", "2, 2, 0, -1", "i32[4]"), "i32[4] = [3, -3, 0, -2147483648]"},
    {TWO("div", "i64[1]", "-9223372036854775808", "-1", "i64[1]"), "i64[1] = [-9223372036854775808]"},
    {TWO("div", "u64[2]", "18446744073709551615, 1", "2, 0", "u64[2]"), "u64[2] = [9223372036854775807, 0]"},
    {TWO("rem", "i32[4]", "7, -7, 5, -2147483648", "3, 3, 0, -1", "i32[4]"), "i32[4] = [1, -1, 0, 0]"},
    {TWO("rem", "u64[1]", "18446744073709551615", "10", "u64[1]"), "u64[1] = [5]"},
    {TWO("pow", "i32[6]", "2, -3, 1, -1, 5, 0", "10, 3, -4, -3, -1, 0", "i32[6]"), "i32[6] = [1024, -27, 1, -1, 0, 1]"},
    {TWO("pow", "i8[1]", "2", "7", "i8[1]"), "i8[1] = [-128]"},
    {TWO("maximum", "u64[1]", "18446744073709551615", "1", "u64[1]"), "u64[1] = [18446744073709551615]"},
    {TWO("minimum", "i16[2]", "-5, 3", "4, 3", "i16[2]"), "i16[2] = [-5, 3]"},
    {TWO("and", "i32[2]", "12, -1", "10, 5", "i32[2]"), "i32[2] = [8, 5]"},
    {TWO("or", "bool[2]", "true, false", "false, false", "bool[2]"), "bool[2] = [true, false]"},
    {TWO("xor", "bool[2]", "true, true", "false, true", "bool[2]"), "bool[2] = [true, false]"},
    {TWO("shift_left", "i8[4]", "1, 1, 1, 3", "7, 8, -1, 1", "i8[4]"), "i8[4] = [-128, 0, 0, 6]"},
    {TWO("shift_right", "i32[4]", "-8, -8, 8, 8", "1, 40, 32, -1", "i32[4]"), "i32[4] = [-4, -1, 0, 0]"},
    {TWO("shift_right", "u8[3]", "200, 200, 200", "1, 7, 8", "u8[3]"), "u8[3] = [100, 1, 0]"},
    {ONE("neg", "i8[2]", "-128, 5", "i8[2]"), "i8[2] = [-128, -5]"},
    {ONE("abs", "i64[2]", "-9223372036854775808, -3", "i64[2]"), "i64[2] = [-9223372036854775808, 3]"},
    {ONE("abs", "u64[1]", "18446744073709551615", "u64[1]"), "u64[1] = [18446744073709551615]"},
    {ONE("sign", "i32[3]", "-7, 0, 9", "i32[3]"), "i32[3] = [-1, 0, 1]"},
    {ONE("not", "bool[2]", "true, false", "bool[2]"), "bool[2] = [false, true]"},
    {ONE("not", "u8[1]", "5", "u8[1]"), "u8[1] = [250]"},
    {TWO("lt", "u64[1]", "1", "18446744073709551615", "bool[1]"), "bool[1] = [true]"},
    {TWO("ge", "i64[2]", "1, -1", "-1, 1", "bool[2]"), "bool[2] = [true, false]"},
    {TWO("eq", "bool[2]", "true, true", "true, false", "bool[2]"), "bool[2] = [true, false]"},
};

static const expectation floats[] = {
    {TWO("maximum", "f32[4]", "1, nan, 3, -inf", "2, 1, nan, -5", "f32[4]"), "f32[4] = [2, nan, nan, -5]"},
    {TWO("minimum", "f32[4]", "1, nan, 3, -inf", "2, 1, nan, -5", "f32[4]"), "f32[4] = [1, nan, nan, -inf]"},
    {TWO("div", "f32[3]", "1, -1, 1", "0, 0, 3", "f32[3]"), "f32[3] = [inf, -inf, 0.33333334]"},
    {TWO("rem", "f32[3]", "5.5, -5.5, 1", "2, 2, inf", "f32[3]"), "f32[3] = [1.5, -1.5, 1]"},
    {TWO("pow", "f64[3]", "2, 4, 0", "0.5, -0.5, 0", "f64[3]"), "f64[3] = [1.4142135623730951, 0.5, 1]"},
    {TWO("atan2", "f64[2]", "1, 0", "1, -1", "f64[2]"), "f64[2] = [0.7853981633974483, 3.141592653589793]"},
    {TWO("add", "f32[2]", "16777216, 0.1", "1, 0.2", "f32[2]"), "f32[2] = [16777216, 0.3]"},
    {TWO("add", "f16[2]", "2048, 65504", "1, 16", "f16[2]"), "f16[2] = [2048, inf]"},
    {TWO("add", "f16[2]", "2048, 65504", "3, 15", "f16[2]"), "f16[2] = [2052, 65504]"},
    {TWO("mul", "f16[1]", "6e-08", "0.5", "f16[1]"), "f16[1] = [0]"},
    {TWO("add", "bf16[2]", "256, 1", "1, 0.0039", "bf16[2]"), "bf16[2] = [256, 1]"},
    {TWO("ne", "f32[2]", "nan, 1", "nan, 1", "bool[2]"), "bool[2] = [true, false]"},
    {TWO("eq", "f32[2]", "nan, 0", "nan, -0", "bool[2]"), "bool[2] = [false, true]"},
    {TWO("le", "f32[3]", "1, 2, nan", "1, 1, 1", "bool[3]"), "bool[3] = [true, false, false]"},
    {TWO("gt", "f32[3]", "1, 2, nan", "1, 1, 1", "bool[3]"), "bool[3] = [false, true, false]"},
    {ONE("sign", "f32[5]", "-2, -0, 0, 3, nan", "f32[5]"), "f32[5] = [-1, -0, 0, 1, nan]"},
    {ONE("round", "f32[5]", "0.5, 1.5, 2.5, -0.5, -1.7", "f32[5]"), "f32[5] = [0, 2, 2, -0, -2]"},
    {ONE("trunc", "f32[2]", "1.7, -1.7", "f32[2]"), "f32[2] = [1, -1]"},
    {ONE("floor", "f32[2]", "1.7, -1.2", "f32[2]"), "f32[2] = [1, -2]"},
    {ONE("ceil", "f32[2]", "1.2, -1.7", "f32[2]"), "f32[2] = [2, -1]"},
    {ONE("rsqrt", "f32[2]", "4, 0", "f32[2]"), "f32[2] = [0.5, inf]"},
    {ONE("is_nan", "f32[3]", "nan, inf, 1", "bool[3]"), "bool[3] = [true, false, false]"},
    {ONE("is_finite", "f32[3]", "nan, inf, 1", "bool[3]"), "bool[3] = [false, false, true]"},
    {ONE("neg", "f32[2]", "0, nan", "f32[2]"), "f32[2] = [-0, -nan]"},
};

#define CAST(from, x, to) "%x = constant literal=[" x "] : " from " %r = cast(%x) dtype=" to
static const expectation casts[] = {
    {CAST("f32[6]", "1.9, -1.9, 200, -200, nan, inf", "i8 : i8[6]"), "i8[6] = [1, -1, 127, -128, 0, 127]"},
    {CAST("f32[4]", "-1, 255.9, 256, 1e30", "u8 : u8[4]"), "u8[4] = [0, 255, 255, 255]"},
    {CAST("f64[3]", "1e19, -1e19, 9007199254740993", "i64 : i64[3]"), "i64[3] = [9223372036854775807, -9223372036854775808, 9007199254740992]"},
    {CAST("f64[2]", "1e19, 1e20", "u64 : u64[2]"), "u64[2] = [10000000000000000000, 18446744073709551615]"},
    {CAST("f64[2]", "2147483647.5, -2147483648.5", "i32 : i32[2]"), "i32[2] = [2147483647, -2147483648]"},
    {CAST("i32[2]", "300, -1", "u8 : u8[2]"), "u8[2] = [44, 255]"},
    {CAST("i8[1]", "-1", "u64 : u64[1]"), "u64[1] = [18446744073709551615]"},
    {CAST("f32[4]", "0, -0, nan, 0.5", "bool : bool[4]"), "bool[4] = [false, false, true, true]"},
    {CAST("i64[2]", "256, 0", "bool : bool[2]"), "bool[2] = [true, false]"},
    {CAST("bool[2]", "true, false", "f32 : f32[2]"), "f32[2] = [1, 0]"},
    {CAST("u64[1]", "18446744073709551615", "f64 : f64[1]"), "f64[1] = [1.8446744073709552e+19]"},
    {CAST("i64[1]", "9007199791611905", "f32 : f32[1]"), "f32[1] = [9.0072e+15]"},
    {CAST("f64[3]", "65519.99, 65520, 1.00048828125", "f16 : f16[3]"), "f16[3] = [65504, inf, 1]"},
    {CAST("f32[2]", "1.00390625, 3.4e+38", "bf16 : bf16[2]"), "bf16[2] = [1, inf]"},
    {CAST("f16[2]", "6e-08, -65504", "f32 : f32[2]"), "f32[2] = [5.9604645e-08, -65504]"},
};

#define MATRIX "%x = constant literal=[1, 2, 3, 4, 5, 6] : i32[2,3] "
static const expectation shapes[] = {
    {"%r = iota axis=1 : f32[2,3]", "f32[2,3] = [0, 1, 2, 0, 1, 2]"},
    {"%r = iota axis=0 : u8[2,3]", "u8[2,3] = [0, 0, 0, 1, 1, 1]"},
    {"%r = size dim=42 : i64[]", "i64[] = [42]"},
    {MATRIX "%r = reshape(%x) shape=[3,2] : i32[3,2]", "i32[3,2] = [1, 2, 3, 4, 5, 6]"},
    {MATRIX "%r = transpose(%x) axes=[1,0] : i32[3,2]", "i32[3,2] = [1, 4, 2, 5, 3, 6]"},
    {"%x = iota axis=0 : i8[8] %y = reshape(%x) shape=[2,2,2] : i8[2,2,2] %r = transpose(%y) axes=[2,0,1] : i8[2,2,2]",
     "i8[2,2,2] = [0, 2, 4, 6, 1, 3, 5, 7]"},
    {"%x = constant literal=[1, 2] : i32[2,1] %r = broadcast(%x) shape=[2,2,3] axes=[1,2] : i32[2,2,3]",
     "i32[2,2,3] = [1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]"},
    {"%x = constant literal=[7] : i32[] %r = broadcast(%x) shape=[3] : i32[3]", "i32[3] = [7, 7, 7]"},
    {MATRIX "%r = slice(%x) start=[0,1] limit=[2,3] strides=[1,1] : i32[2,2]", "i32[2,2] = [2, 3, 5, 6]"},
    {MATRIX "%r = slice(%x) start=[1,0] limit=[2,3] strides=[1,2] : i32[1,2]", "i32[1,2] = [4, 6]"},
    {MATRIX "%r = slice(%x) start=[1,3] limit=[2,3] strides=[1,1] : i32[1,0]", "i32[1,0] = []"},
    {MATRIX "%z = constant literal=[0] : i32[] %r = pad(%x, %z) low=[1,0] high=[0,1] interior=[0,0] : i32[3,4]",
     "i32[3,4] = [0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0]"},
    {MATRIX "%z = constant literal=[9] : i32[] %r = pad(%x, %z) low=[0,0] high=[0,0] interior=[1,1] : i32[3,5]",
     "i32[3,5] = [1, 9, 2, 9, 3, 9, 9, 9, 9, 9, 4, 9, 5, 9, 6]"},
    {MATRIX "%y = constant literal=[8, 9] : i32[2,1] %r = concat(%x, %y) axis=1 : i32[2,4]",
     "i32[2,4] = [1, 2, 3, 8, 4, 5, 6, 9]"},
    {MATRIX "%r = concat(%x, %x) axis=0 : i32[4,3]", "i32[4,3] = [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]"},
    {MATRIX "%r = reverse(%x) axes=[0,1] : i32[2,3]", "i32[2,3] = [6, 5, 4, 3, 2, 1]"},
    {MATRIX "%r = reverse(%x) axes=[1] : i32[2,3]", "i32[2,3] = [3, 2, 1, 6, 5, 4]"},
    {MATRIX "%i = constant literal=[2, -1, 99] : i32[3] %r = gather(%x, %i) axis=1 : i32[2,3]",
     "i32[2,3] = [3, 1, 3, 6, 4, 6]"},
    {MATRIX "%i = constant literal=[1, 0, 1, 1] : u8[2,2] %r = gather(%x, %i) : i32[2,2,3]",
     "i32[2,2,3] = [4, 5, 6, 1, 2, 3, 4, 5, 6, 4, 5, 6]"},
    {MATRIX "%i = constant literal=[18446744073709551615] : u64[1] %r = gather(%x, %i) : i32[1,3]", "i32[1,3] = [4, 5, 6]"},
    {MATRIX "%i = constant literal=[2, 0, 1, 1] : i64[2,2] %r = gather(%x, %i) axis=1 batch_dims=1 : i32[2,2]",
     "i32[2,2] = [3, 1, 5, 5]"},
    {"%c = constant literal=[true, false] : bool[2] %x = constant literal=[1, 2] : f16[2] %y = constant literal=[3, 4] : f16[2] "
     "%r = select(%c, %x, %y) : f16[2]", "f16[2] = [1, 4]"},
};

static const expectation reductions[] = {
    {MATRIX "%r = reduce(%x) kind=sum axes=[0] : i32[3]", "i32[3] = [5, 7, 9]"},
    {MATRIX "%r = reduce(%x) kind=product axes=[1] : i32[2]", "i32[2] = [6, 120]"},
    {MATRIX "%r = reduce(%x) kind=maximum axes=[0,1] : i32[]", "i32[] = [6]"},
    {MATRIX "%r = reduce(%x) kind=sum : i32[2,3]", "i32[2,3] = [1, 2, 3, 4, 5, 6]"},
    {"%x = constant literal=[200, 100] : u8[2] %r = reduce(%x) kind=sum axes=[0] : u8[]", "u8[] = [44]"},
    {"%x = constant literal=[1, nan, 3] : f32[3] %r = reduce(%x) kind=maximum axes=[0] : f32[]", "f32[] = [nan]"},
    {"%x = constant literal=[16777216, 1, 1] : f32[3] %r = reduce(%x) kind=sum axes=[0] : f32[]", "f32[] = [16777218]"},
    {"%x = constant literal=[true, false] : bool[1,2] %r = reduce(%x) kind=maximum axes=[1] : bool[1]", "bool[1] = [true]"},
    {"%x = constant literal=[true, false] : bool[1,2] %r = reduce(%x) kind=minimum axes=[1] : bool[1]", "bool[1] = [false]"},
    {"%x = constant literal=[] : f32[0,2] %r = reduce(%x) kind=maximum axes=[0] : f32[2]", "f32[2] = [-inf, -inf]"},
    {"%x = constant literal=[] : i8[0] %r = reduce(%x) kind=minimum axes=[0] : i8[]", "i8[] = [127]"},
    {"%x = constant literal=[] : i8[0] %r = reduce(%x) kind=maximum axes=[0] : i8[]", "i8[] = [-128]"},
    {"%x = constant literal=[] : u64[0] %r = reduce(%x) kind=minimum axes=[0] : u64[]", "u64[] = [18446744073709551615]"},
    {"%x = constant literal=[3, 5, 5, 9, 2, 9] : f32[2,3] %r = arg_reduce(%x) kind=maximum axis=1 dtype=i32 : i32[2]", "i32[2] = [1, 0]"},
    {"%x = constant literal=[3, 5, 5, 9, 2, 9] : f32[2,3] %r = arg_reduce(%x) kind=minimum axis=0 dtype=i64 : i64[3]", "i64[3] = [0, 1, 0]"},
    {"%x = constant literal=[3, nan, 5, nan] : f32[4] %r = arg_reduce(%x) kind=minimum dtype=i32 : i32[]", "i32[] = [1]"},
    {"%x = constant literal=[1, 18446744073709551615] : u64[2] %r = arg_reduce(%x) kind=maximum dtype=i32 : i32[]", "i32[] = [1]"},
    {"%x = constant literal=[1, 2, 3, 4] : f32[4] "
     "%r = reduce_window(%x) kind=sum window=[2] strides=[1] dilation=[1] low=[1] high=[1] : f32[5]", "f32[5] = [1, 3, 5, 7, 4]"},
    {"%x = constant literal=[-1, -2, -3, -4] : f32[4] "
     "%r = reduce_window(%x) kind=maximum window=[3] strides=[2] dilation=[1] low=[1] high=[1] : f32[2]", "f32[2] = [-1, -2]"},
    {"%x = constant literal=[1, 2, 3, 4, 5] : i32[5] "
     "%r = reduce_window(%x) kind=product window=[2] strides=[1] dilation=[3] low=[0] high=[0] : i32[2]", "i32[2] = [4, 10]"},
    {"%x = constant literal=[1, 2] : f32[2] "
     "%r = reduce_window(%x) kind=minimum window=[1] strides=[1] dilation=[1] low=[1] high=[0] : f32[3]", "f32[3] = [inf, 1, 2]"},
    {MATRIX "%r = cumulative(%x) kind=sum axis=1 : i32[2,3]", "i32[2,3] = [1, 3, 6, 4, 9, 15]"},
    {MATRIX "%r = cumulative(%x) kind=product reverse=1 : i32[2,3]", "i32[2,3] = [4, 10, 18, 4, 5, 6]"},
    {MATRIX "%r = cumulative(%x) kind=sum axis=1 exclusive=1 : i32[2,3]", "i32[2,3] = [0, 1, 3, 0, 4, 9]"},
    {MATRIX "%r = cumulative(%x) kind=product axis=1 reverse=1 exclusive=1 : i32[2,3]", "i32[2,3] = [6, 3, 1, 30, 6, 1]"},
    {"%x = constant literal=[2, -1, nan, 3] : f32[4] %r = cumulative(%x) kind=minimum : f32[4]", "f32[4] = [2, -1, nan, nan]"},
    {"%x = constant literal=[2, 1, 3, 2] : i8[4] %r = cumulative(%x) kind=maximum : i8[4]", "i8[4] = [2, 2, 3, 3]"},
    {"%x = constant literal=[] : f32[0,2] %r = cumulative(%x) kind=sum : f32[0,2]", "f32[0,2] = []"},
    {MATRIX "%i = constant literal=[1, -1, 1, 2] : i32[4] %u = constant literal=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] : i32[4,3] "
     "%r = scatter(%x, %i, %u) kind=sum : i32[2,3]", "i32[2,3] = [1, 2, 3, 12, 15, 18]"},
    {MATRIX "%i = constant literal=[2, 2] : u8[2] %u = constant literal=[9, 1, 2, 3] : i32[2,2] "
     "%r = scatter(%x, %i, %u) kind=maximum axis=1 : i32[2,3]", "i32[2,3] = [1, 2, 9, 4, 5, 6]"},
    {MATRIX "%i = constant literal=[2, 0, 1, 1] : i64[2,2] %u = constant literal=[9, 10, 2, 3] : i32[2,2] "
     "%r = scatter(%x, %i, %u) kind=product axis=1 batch_dims=1 : i32[2,3]", "i32[2,3] = [10, 2, 27, 4, 30, 6]"},
    {MATRIX "%i = constant literal=[1] : i64[] %u = constant literal=[9, -5, 2] : i32[3] "
     "%r = scatter(%x, %i, %u) kind=minimum : i32[2,3]", "i32[2,3] = [1, 2, 3, 4, -5, 2]"},
};

static const expectation contractions[] = {
    {MATRIX "%y = constant literal=[1, 0, 0, 1, 1, 1] : i32[3,2] "
     "%r = dot_general(%x, %y) lhs_contract=[1] rhs_contract=[0] : i32[2,2]", "i32[2,2] = [4, 5, 10, 11]"},
    {MATRIX "%r = dot_general(%x, %x) lhs_batch=[0] rhs_batch=[0] lhs_contract=[1] rhs_contract=[1] : i32[2]", "i32[2] = [14, 77]"},
    {MATRIX "%r = dot_general(%x, %x) lhs_batch=[1] rhs_batch=[1] : i32[3,2,2]",
     "i32[3,2,2] = [1, 4, 4, 16, 4, 10, 10, 25, 9, 18, 18, 36]"},
    {"%x = constant literal=[100, 100] : i8[2] %r = dot_general(%x, %x) lhs_contract=[0] rhs_contract=[0] : i8[]", "i8[] = [32]"},
    {"%x = constant literal=[16777216, 1, 1] : f32[3] %y = constant literal=[1, 1, 1] : f32[3] "
     "%r = dot_general(%x, %y) lhs_contract=[0] rhs_contract=[0] : f32[]", "f32[] = [16777218]"},
    {"%x = constant literal=[] : f32[2,0] %y = constant literal=[] : f32[0,2] "
     "%r = dot_general(%x, %y) lhs_contract=[1] rhs_contract=[0] : f32[2,2]", "f32[2,2] = [0, 0, 0, 0]"},
    /* [[1 2] [3 4] [5 6]] in panels of 2 rows of depth 2, columns 3: packed [2, 2, 2] */
    {"%x = constant literal=[1, 10] : f32[1,2] %y = constant literal=[1, 3, 2, 4, 5, 0, 6, 0] : f32[2,2,2] "
     "%r = dot_general(%x, %y) lhs_contract=[1] panel=2 columns=3 : f32[1,3]", "f32[1,3] = [21, 43, 65]"},
    {"%x = constant literal=[1, 2, 3, 4] : f32[1,4,1] %k = constant literal=[1, 10] : f32[2,1,1] "
     "%r = conv(%x, %k) strides=[1] low=[0] high=[1] dilation=[1] input_dilation=[1] groups=1 : f32[1,4,1]",
     "f32[1,4,1] = [21, 32, 43, 4]"},
    {"%x = constant literal=[1, 2, 3] : f32[1,3,1] %k = constant literal=[1, 10, 100] : f32[3,1,1] "
     "%r = conv(%x, %k) strides=[1] low=[1] high=[1] dilation=[1] input_dilation=[2] groups=1 : f32[1,5,1]",
     "f32[1,5,1] = [10, 201, 20, 302, 30]"},
};
// clang-format on

static void test_integers(void **state) {
    (void)state;
    CHECK_ALL(integers);
}
static void test_floats(void **state) {
    (void)state;
    CHECK_ALL(floats);
}
static void test_casts(void **state) {
    (void)state;
    CHECK_ALL(casts);
}
static void test_shapes(void **state) {
    (void)state;
    CHECK_ALL(shapes);
}
static void test_reductions(void **state) {
    (void)state;
    CHECK_ALL(reductions);
}
static void test_contractions(void **state) {
    (void)state;
    CHECK_ALL(contractions);
}

/* ---- functions of one float, against long double --------------------------------------------- */

static long double rsqrt_of(long double x) { return 1 / sqrtl(x); }
static long double logistic_of(long double x) { return 1 / (1 + expl(-x)); }

static const struct {
    kt_op op;
    long double (*formula)(long double x);
} functions[] = {
    {KT_OP_sqrt, sqrtl},   {KT_OP_rsqrt, rsqrt_of}, {KT_OP_exp, expl},   {KT_OP_expm1, expm1l},
    {KT_OP_log, logl},     {KT_OP_log1p, log1pl},   {KT_OP_sin, sinl},   {KT_OP_cos, cosl},
    {KT_OP_tan, tanl},     {KT_OP_asin, asinl},     {KT_OP_acos, acosl}, {KT_OP_atan, atanl},
    {KT_OP_sinh, sinhl},   {KT_OP_cosh, coshl},     {KT_OP_tanh, tanhl}, {KT_OP_asinh, asinhl},
    {KT_OP_acosh, acoshl}, {KT_OP_atanh, atanhl},   {KT_OP_erf, erfl},   {KT_OP_logistic, logistic_of},
};

static void test_functions(void **state) {
    (void)state;
    enum { COUNT = 801, MIDDLE = COUNT / 2 };
    kt_arena *arena = kt_arena_create();
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        const char *name = kt_op_describe(functions[i].op)->name;
        kt_graph *graph =
            parse(arena, kt_arena_format(arena,
                                         "graph entry @f(input 0 %%x: f64[n], input 1 %%z: f32[n]) {"
                                         "%%y = %s(%%x) : f64[n] %%w = %s(%%z) : f32[n]"
                                         "return output 0 %%y, output 1 %%w }",
                                         name, name));
        double x[COUNT];
        float z[COUNT];
        for (int j = 0; j < COUNT; j++) z[j] = (float)(x[j] = (j - MIDDLE) * 0.03125);
        kt_tensor arguments[] = {{KT_F64, 1, {COUNT}, x}, {KT_F32, 1, {COUNT}, z}}, results[2];
        kt_diag diag = {0};
        assert_int_equal(kt_eval(graph, 1, NULL, arguments, 2, arena, results, &diag), KT_OK);
        for (int j = 0; j < COUNT; j++) {
            long double wanted = functions[i].formula(x[j]);
            double got = ((double *)results[0].data)[j], narrow = ((float *)results[1].data)[j];
            if (isnan(wanted)) {
                assert_true(isnan(got) && isnan(narrow));
            } else if (isinf(wanted)) {
                assert_true(got == (double)wanted && narrow == (double)wanted);
            } else {
                double slack = 1e-15 * fabs((double)wanted) * (functions[i].op == KT_OP_tan ? 10 : 1);
                if (fabsl(got - wanted) > slack)
                    fail_msg("%s(%g) = %.17g, not %.17Lg", name, x[j], got, wanted);
                if (fabsl(narrow - wanted) > 6e-8L * fabsl(wanted) + 1e-45L)
                    fail_msg("%s(%g) = %.9g, not %.9Lg", name, x[j], narrow, wanted);
            }
        }
    }
    kt_arena_destroy(arena);
}

/* ---- conv and reduce_window, against formulas over a padded copy ----------------------------- */

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* A two-dimensional case; sides are squares, so that one number says both. */
typedef struct square_case {
    int batch, side, channels, window, features, groups, stride, low, high, dilation, between;
} square_case;

enum { AREA = 40 }; /* largest side of a padded copy */

static int padded_side(const square_case *c) { return c->low + (c->side - 1) * c->between + 1 + c->high; }
static int places(const square_case *c) {
    return (padded_side(c) - (c->window - 1) * c->dilation - 1) / c->stride + 1;
}

/* One channel of one image, spread and padded with fill. */
static void pad_channel(const square_case *c, const float *image, int channel, float fill,
                        float padded[AREA][AREA]) {
    for (int y = 0; y < AREA; y++)
        for (int x = 0; x < AREA; x++) padded[y][x] = fill;
    for (int y = 0; y < c->side; y++)
        for (int x = 0; x < c->side; x++)
            padded[c->low + y * c->between][c->low + x * c->between] =
                image[(y * c->side + x) * c->channels + channel];
}

static void convolve(const square_case *c, const float *x, const float *kernel, float *out) {
    int depth = c->channels / c->groups, width = c->features / c->groups, side = places(c);
    for (int b = 0; b < c->batch; b++)
        for (int channel = 0; channel < c->channels; channel++) {
            float padded[AREA][AREA];
            pad_channel(c, x + b * c->side * c->side * c->channels, channel, 0, padded);
            for (int i = 0; i < side * side * width * c->window * c->window; i++) {
                int kx = i % c->window, ky = i / c->window % c->window, at = i / c->window / c->window;
                int f = at % width + channel / depth * width, ox = at / width % side, oy = at / width / side;
                float value = padded[oy * c->stride + ky * c->dilation][ox * c->stride + kx * c->dilation];
                out[((b * side + oy) * side + ox) * c->features + f] +=
                    value * kernel[((ky * c->window + kx) * depth + channel % depth) * c->features + f];
            }
        }
}

static kt_tensor numbers(kt_arena *arena, int rank, const int64_t *dims, uint64_t *seed) {
    kt_tensor tensor = {.dtype = KT_F32, .rank = rank};
    memcpy(tensor.dims, dims, (size_t)rank * sizeof *dims);
    tensor.data = kt_arena_alloc(arena, kt_tensor_bytes(&tensor));
    for (size_t i = 0; i < kt_tensor_elements(&tensor); i++)
        ((float *)tensor.data)[i] = (float)(next_random(seed) % 19) - 9; /* whole numbers: sums are exact */
    return tensor;
}

/* The kernel in the packed form of ops.def. */
static kt_tensor pack(kt_arena *arena, const square_case *c, const kt_tensor *kernel, int panel) {
    int width = c->features / c->groups, panels = (width + panel - 1) / panel;
    int depth = c->window * c->window * c->channels / c->groups;
    kt_tensor packed = {.dtype = KT_F32, .rank = 3, .dims = {c->groups * panels, depth, panel}};
    float *to = packed.data = kt_arena_alloc(arena, kt_tensor_bytes(&packed));
    for (int f = 0; f < c->features; f++)
        for (int k = 0; k < depth; k++) {
            int group = f / width, in_group = f % width;
            to[((group * panels + in_group / panel) * depth + k) * panel + in_group % panel] =
                ((float *)kernel->data)[k * c->features + f];
        }
    return packed;
}

static const char *attributes_of(kt_arena *arena, const square_case *c) {
    return kt_arena_format(arena, "strides=[%d,%d] low=[%d,%d] high=[%d,%d] dilation=[%d,%d]", c->stride,
                           c->stride, c->low, c->low, c->high, c->high, c->dilation, c->dilation);
}

static void run(kt_arena *arena, const char *text, const kt_tensor *arguments, uint32_t count,
                kt_tensor *out_result) {
    kt_diag diag = {0};
    if (kt_eval(parse(arena, text), 1, NULL, arguments, count, arena, out_result, &diag) != KT_OK)
        fail_msg("%s\n%s", diag.problems[0].text, text);
}

static void check_conv(const square_case *c, uint64_t *seed) {
    kt_arena *arena = kt_arena_create();
    kt_tensor arguments[] = {
        numbers(arena, 4, (int64_t[]){c->batch, c->side, c->side, c->channels}, seed),
        numbers(arena, 4, (int64_t[]){c->window, c->window, c->channels / c->groups, c->features}, seed),
    };
    const kt_tensor *x = &arguments[0], *kernel = &arguments[1];
    int side = places(c), panel = 3;
    kt_tensor packed[] = {*x, pack(arena, c, kernel, panel)}, plain_result, packed_result;
    const char *attributes = kt_arena_format(arena, "%s input_dilation=[%d,%d] groups=%d",
                                             attributes_of(arena, c), c->between, c->between, c->groups);
    const char *types = kt_arena_format(arena, "f32[%d,%d,%d,%d]", c->batch, side, side, c->features);
    run(arena,
        kt_arena_format(arena,
                        "graph entry @f(input 0 %%x: f32[%d,%d,%d,%d], input 1 %%k: f32[%d,%d,%d,%d]) {"
                        "%%y = conv(%%x, %%k) %s : %s return output 0 %%y }",
                        c->batch, c->side, c->side, c->channels, c->window, c->window,
                        c->channels / c->groups, c->features, attributes, types),
        arguments, 2, &plain_result);
    run(arena,
        kt_arena_format(
            arena,
            "graph entry @f(input 0 %%x: f32[%d,%d,%d,%d], input 1 %%k: f32[%d,%d,%d]) {"
            "%%y = conv(%%x, %%k) %s window=[%d,%d] panel=%d columns=%d : %s return output 0 %%y }",
            c->batch, c->side, c->side, c->channels, (int)packed[1].dims[0], (int)packed[1].dims[1], panel,
            attributes, c->window, c->window, panel, c->features, types),
        packed, 2, &packed_result);
    float *wanted = kt_arena_alloc(arena, kt_tensor_bytes(&plain_result));
    convolve(c, x->data, kernel->data, wanted);
    assert_memory_equal(plain_result.data, wanted, kt_tensor_bytes(&plain_result));
    assert_memory_equal(packed_result.data, wanted, kt_tensor_bytes(&plain_result));
    kt_arena_destroy(arena);
}

static void check_window(const square_case *c, kt_reduction kind, uint64_t *seed) {
    kt_arena *arena = kt_arena_create();
    kt_tensor x = numbers(arena, 4, (int64_t[]){c->batch, c->side, c->side, c->channels}, seed), result;
    int side = places(c);
    run(arena,
        kt_arena_format(
            arena,
            "graph entry @f(input 0 %%x: f32[%d,%d,%d,%d]) { %%y = reduce_window(%%x) kind=%s "
            "window=[1,%d,%d,1] "
            "strides=[1,%d,%d,1] dilation=[1,%d,%d,1] low=[0,%d,%d,0] high=[0,%d,%d,0] : f32[%d,%d,%d,%d] "
            "return output 0 %%y }",
            c->batch, c->side, c->side, c->channels, kt_reduction_name(kind), c->window, c->window, c->stride,
            c->stride, c->dilation, c->dilation, c->low, c->low, c->high, c->high, c->batch, side, side,
            c->channels),
        &x, 1, &result);
    float neutral = kind == KT_REDUCE_SUM ? 0 : kind == KT_REDUCE_MAXIMUM ? -INFINITY : INFINITY;
    for (int i = 0; i < c->batch * c->channels * side * side; i++) {
        int ox = i % side, oy = i / side % side, channel = i / side / side % c->channels,
            b = i / side / side / c->channels;
        float padded[AREA][AREA], total = neutral;
        pad_channel(c, (float *)x.data + b * c->side * c->side * c->channels, channel, neutral, padded);
        for (int ky = 0; ky < c->window; ky++)
            for (int kx = 0; kx < c->window; kx++) {
                float value = padded[oy * c->stride + ky * c->dilation][ox * c->stride + kx * c->dilation];
                if (kind == KT_REDUCE_SUM)
                    total += value;
                else if (kind == KT_REDUCE_MAXIMUM ? value > total : value < total)
                    total = value;
            }
        assert_true(((float *)result.data)[((b * side + oy) * side + ox) * c->channels + channel] == total);
    }
    kt_arena_destroy(arena);
}

static void test_windows(void **state) {
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 60; i++) {
        int groups = (int[]){1, 2, 4}[next_random(&seed) % 3];
        square_case c = {
            .batch = 1 + (int)(next_random(&seed) % 2),
            .side = 4 + (int)(next_random(&seed) % 4),
            .channels = groups * (1 + (int)(next_random(&seed) % 2)),
            .window = 1 + (int)(next_random(&seed) % 3),
            .features = groups * (1 + (int)(next_random(&seed) % 4)),
            .groups = groups,
            .stride = 1 + (int)(next_random(&seed) % 3),
            .low = (int)(next_random(&seed) % 3),
            .high = (int)(next_random(&seed) % 3),
            .dilation = 1 + (int)(next_random(&seed) % 2),
            .between = 1 + (int)(next_random(&seed) % 3),
        };
        if (places(&c) < 1) continue;
        check_conv(&c, &seed);
        c.between = 1;
        if (places(&c) >= 1)
            check_window(&c, (kt_reduction[]){KT_REDUCE_SUM, KT_REDUCE_MAXIMUM, KT_REDUCE_MINIMUM}[i % 3],
                         &seed);
    }
}

/* ---- walking, symbols, errors ---------------------------------------------------------------- */

static const char dense[] =
    "graph\n"
    "variable @kernel : f32[2,2] = [1, 2, 3, 4]\n"
    "variable @lost : f32[2]\n"
    "body @twice(%x: f32[batch,2]) { %y = add(%x, %x) : f32[batch,2] return %y, %x }\n"
    "entry @predict(input 0 \"x\" %x: f32[batch,2], variable @kernel %k: f32[2,2]) {\n"
    "  %y = dot_general(%x, %k) lhs_contract=[1] rhs_contract=[0] : f32[batch,2]\n"
    "  %a, %b = call(%y) callee=@twice : f32[batch,2], f32[batch,2]\n"
    "  %n = size dim=batch : i64[]\n"
    "  return output 0 %a, output 1 %b, output 2 %n\n"
    "}\n"
    "entry @sum(input 0 %x: f32[a], input 1 %y: f32[2*a]) {\n"
    "  %r = slice(%y) start=[0] limit=[a] strides=[1] : f32[a]\n"
    "  return output 0 %r, output 1 %x\n"
    "}\n"
    "entry @forgotten(variable @lost %x: f32[2]) { return output 0 %x }\n"
    "step @sum_up(%c: f32[a], %s: f32[a], %k: f32[a]) {\n"
    "  %t = add(%c, %s) : f32[a] %n = mul(%t, %k) : f32[a] return %n, %c\n"
    "}\n"
    "entry @loops(input 0 %c: f32[a], input 1 %s: f32[3,a], input 2 %k: f32[a]) {\n"
    "  %f, %fs = scan(%c, %s, %k) body=@sum_up carried=1 sequences=1 length=3 reverse=0 : f32[a], f32[3,a]\n"
    "  %b, %bs = scan(%c, %s, %k) body=@sum_up carried=1 sequences=1 length=3 reverse=1 : f32[a], f32[3,a]\n"
    "  return output 0 %f, output 1 %fs, output 2 %b, output 3 %bs\n"
    "}\n"
    "entry @nothing() { %n = size dim=batch : i64[] return output 0 %n }\n"
    "entry @huge(input 0 %x: f32[a]) {\n"
    "  %r = broadcast(%x) shape=[1000000000000,a] axes=[1] : f32[1000000000000,a]\n"
    "  return output 0 %r\n"
    "}\n"
    "entry @empty_axis(input 0 %x: f32[a - 1,2], input 1 %i: i32[a]) {\n"
    "  %r = gather(%x, %i) : f32[a,2]\n"
    "  return output 0 %r\n"
    "}\n";

static void test_loops(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, dense);
    kt_tensor arguments[] = {{KT_F32, 1, {2}, (float[]){1, 2}},
                             {KT_F32, 2, {3, 2}, (float[]){1, 0, 2, 1, 3, 5}},
                             {KT_F32, 1, {2}, (float[]){2, 1}}};
    kt_tensor results[4];
    kt_diag diag = {0};
    assert_int_equal(kt_eval(graph, kt_graph_find(graph, "loops"), NULL, arguments, 3, arena, results, &diag),
                     KT_OK);
    assert_string_equal(show(arena, &results[0]), "f32[2] = [30, 8]");
    assert_string_equal(show(arena, &results[1]), "f32[3,2] = [1, 2, 4, 2, 12, 3]");
    assert_string_equal(show(arena, &results[2]), "f32[2] = [42, 8]");
    assert_string_equal(show(arena, &results[3]), "f32[3,2] = [20, 8, 8, 7, 1, 2]");
    kt_arena_destroy(arena);
}

static void test_walk(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, dense);
    float x[] = {1, 1, 2, 0, 0, 1};
    kt_tensor argument = {KT_F32, 2, {3, 2}, x}, results[3];
    kt_diag diag = {0};
    assert_int_equal(
        kt_eval(graph, kt_graph_find(graph, "predict"), NULL, &argument, 1, arena, results, &diag), KT_OK);
    assert_string_equal(show(arena, &results[0]), "f32[3,2] = [8, 12, 4, 8, 6, 8]");
    assert_string_equal(show(arena, &results[1]), "f32[3,2] = [4, 6, 2, 4, 3, 4]");
    assert_string_equal(show(arena, &results[2]), "i64[] = [3]");

    const kt_function *predict = kt_graph_function(graph, kt_graph_find(graph, "predict"));
    kt_tensor operands[] = {argument, {KT_F32, 2, {2, 2}, (float[]){0, 1, 1, 0}}};
    assert_int_equal(kt_eval_node(graph, predict->nodes.at[0], operands, arena, results, &diag), KT_INVALID);
    kt_diag_deinit(&diag); /* its symbol has no value there */

    kt_graph *fixed =
        parse(arena, "graph entry @f(input 0 %x: i32[2]) { %y = neg(%x) : i32[2] return output 0 %y }");
    kt_tensor operand = {KT_I32, 1, {2}, (int32_t[]){5, -6}};
    diag = (kt_diag){0};
    assert_int_equal(
        kt_eval_node(fixed, kt_graph_function(fixed, 1)->nodes.at[0], &operand, arena, results, &diag),
        KT_OK);
    assert_string_equal(show(arena, &results[0]), "i32[2] = [-5, 6]");
    kt_arena_destroy(arena);
}

static void assert_eval_error(const char *function, const int64_t *symbols, const kt_tensor *arguments,
                              uint32_t count, const char *part) {
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, dense);
    kt_diag diag = {0};
    kt_tensor results[3];
    kt_status status =
        kt_eval(graph, kt_graph_find(graph, function), symbols, arguments, count, arena, results, &diag);
    assert_int_not_equal(status, KT_OK);
    assert_int_equal(diag.count, 1);
    if (!strstr(diag.problems[0].text, part)) fail_msg("\"%s\" lacks \"%s\"", diag.problems[0].text, part);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
}

static void test_errors(void **state) {
    (void)state;
    float data[6] = {0};
    int32_t indices[1] = {0};
    kt_tensor matrix = {KT_F32, 2, {3, 2}, data}, wrong = {KT_F32, 2, {2, 3}, data},
              other = {KT_F64, 2, {1, 2}, data};
    kt_tensor pair[] = {{KT_F32, 1, {2}, data}, {KT_F32, 1, {3}, data}};
    kt_tensor vanishing[] = {{KT_F32, 2, {0, 2}, data}, {KT_I32, 1, {1}, indices}};
    kt_tensor negative = {KT_F32, 1, {-1}, data};
    assert_eval_error("predict", NULL, NULL, 0, "takes 1 arguments, not 0");
    assert_eval_error("predict", NULL, &wrong, 1, "x is f32[2,3], where f32[2,2] belongs (f32[batch,2])");
    assert_eval_error("predict", NULL, &other, 1, "x is f64[1,2]");
    assert_eval_error("predict", (int64_t[]){4, 3}, &matrix, 1, "where f32[4,2] belongs");
    assert_eval_error("sum", NULL, pair, 2, "where f32[4] belongs (f32[2*a])");
    assert_eval_error("sum", NULL, (kt_tensor[]){negative, pair[1]}, 2, "would be -1");
    assert_eval_error("forgotten", NULL, NULL, 0, "variable \"lost\" is not known");
    assert_eval_error("nothing", NULL, NULL, 0, "\"batch\" is not known");
    assert_eval_error("huge", NULL, pair, 1, "bytes");
    assert_eval_error("empty_axis", NULL, vanishing, 2, "must be at least 1");
}

/* The known answers that come with the paper's own implementation (Random123, kat_vectors, philox4x32 of 10
 * rounds); and a counter whose lower half runs over. */
static void test_random(void **state) {
    (void)state;
    static const expectation cases[] = {
        {"%k = constant literal=[0, 0] : u32[2] %c = constant literal=[0, 0, 0, 0] : u32[4]"
         "%r = philox(%k, %c) shape=[4] : u32[4]",
         "u32[4] = [1713891541, 3781805453, 3159862348, 2600524760]"},
        {"%k = constant literal=[4294967295, 4294967295] : u32[2]"
         "%c = constant literal=[4294967295, 4294967295, 4294967295, 4294967295] : u32[4]"
         "%r = philox(%k, %c) shape=[2,2] : u32[2,2]",
         "u32[2,2] = [1083123565, 1103641358, 2718681030, 1834242557]"},
        {"%k = constant literal=[2752067618, 698298832] : u32[2]"
         "%c = constant literal=[608135816, 2242054355, 320440878, 57701188] : u32[4]"
         "%r = philox(%k, %c) shape=[4] : u32[4]",
         "u32[4] = [3513581065, 2499661035, 1342301216, 605187745]"},
        {"%k = constant literal=[1, 2] : u32[2] %c = constant literal=[4294967295, 4294967295, 5, 0] : u32[4]"
         "%w = philox(%k, %c) shape=[7] : u32[7] %r = slice(%w) start=[4] limit=[7] strides=[1] : u32[3]",
         "u32[3] = [2861331093, 2169717889, 412741104]"},
    };
    CHECK_ALL(cases);
}

static void test_equalities(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, "graph\ncheck a = b \"The inputs differ in length.\"\n"
                                   "entry @f(input 0 %x: f32[a], input 1 %y: f32[b]) { return output 0 %x }");
    float data[3] = {1, 2, 3};
    kt_tensor arguments[] = {{KT_F32, 1, {2}, data}, {KT_F32, 1, {3}, data}}, result;
    kt_diag diag = {0};
    assert_int_equal(kt_eval(graph, 1, NULL, arguments, 2, arena, &result, &diag), KT_INVALID);
    assert_string_equal(diag.problems[0].text, "The inputs differ in length. (2 and 3)");
    kt_diag_deinit(&diag);
    arguments[1].dims[0] = 2;
    assert_int_equal(kt_eval(graph, 1, NULL, arguments, 2, arena, &result, &diag), KT_OK);
    kt_arena_destroy(arena);
}

static void test_out_of_memory(void **state) {
    (void)state;
    float data[6] = {0};
    kt_tensor argument = {KT_F32, 2, {3, 2}, data}, results[3];
    for (uint64_t countdown = 1;; countdown++) {
        kt_arena *arena = kt_arena_create();
        kt_graph *graph = parse(arena, dense);
        kt_diag diag = {0};
        kt_arena_fail_after(countdown);
        kt_status status =
            kt_eval(graph, kt_graph_find(graph, "predict"), NULL, &argument, 1, arena, results, &diag);
        kt_arena_fail_after(0);
        kt_diag_deinit(&diag);
        kt_arena_destroy(arena);
        if (status == KT_OK) break;
        assert_int_equal(status, KT_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),      cmocka_unit_test(test_floats),
        cmocka_unit_test(test_casts),         cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_reductions),    cmocka_unit_test(test_contractions),
        cmocka_unit_test(test_functions),     cmocka_unit_test(test_windows),
        cmocka_unit_test(test_walk),          cmocka_unit_test(test_loops),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_equalities),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
