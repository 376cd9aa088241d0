/* Inference: for every operation cases that hold, with symbols where they matter, and each numbered
 * constraint broken once. */
#include "ir/graph_fixture.h"

#include "ir/graph_impl.h"

enum { MOST_RESULTS = 2 };

static kt_status infer(fixture *f, kt_op op, const void *attrs, kt_type *result, const char *const *operands,
                       uint32_t count) {
    kt_type types[16];
    for (uint32_t i = 0; i < count; i++) types[i] = type_of(f, operands[i]);
    kt_infer infer = {.graph = f->graph,
                      .op = op,
                      .operands = types,
                      .operand_count = count,
                      .attrs = attrs,
                      .results = result,
                      .result_count = kt_op_result_count(f->graph, op, attrs),
                      .loc = kt_loc_path(f->graph, "model/layer"),
                      .diag = &f->diag};
    return kt_infer_node(&infer);
}

static void check_good(fixture *f, kt_op op, const void *attrs, const char *expected,
                       const char *const *operands, uint32_t count) {
    kt_type result[MOST_RESULTS] = {0};
    uint32_t problems = f->diag.count;
    kt_status status = infer(f, op, attrs, result, operands, count);
    if (status != KT_OK) fail_msg("%s", f->diag.problems[problems].text);
    assert_type(f, &result[0], expected);
}

static void check_bad(fixture *f, kt_op op, const void *attrs, const char *problem,
                      const char *const *operands, uint32_t count) {
    kt_type result[MOST_RESULTS] = {0};
    uint32_t problems = f->diag.count;
    assert_int_equal(infer(f, op, attrs, result, operands, count), KT_INVALID);
    assert_int_equal(f->diag.count, problems + 1);
    assert_string_equal(f->diag.problems[problems].where, "model/layer");
    assert_problem(f, problem);
}

#define LIST(...)                                                                                            \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define GOOD(op, attrs, expected, ...) check_good(f, KT_OP_##op, attrs, expected, LIST(__VA_ARGS__))
#define BAD(op, attrs, problem, ...)   check_bad(f, KT_OP_##op, attrs, problem, LIST(__VA_ARGS__))

/* The one check at the entry is left = right. */
static void assert_check(fixture *f, const char *left, const char *right, const char *sentence) {
    assert_int_equal(f->graph->equalities.count, 1);
    const kt_equality *equality = &f->graph->equalities.at[0];
    assert_int_equal(equality->left, dim_of(f, left));
    assert_int_equal(equality->right, dim_of(f, right));
    if (!strstr(equality->sentence, sentence)) fail_msg("\"%s\" lacks \"%s\"", equality->sentence, sentence);
    f->graph->equalities.count = 0;
}

static void every_operation_has_a_row(void **state) {
    (void)state;
    for (unsigned op = 1; op < KT_OP_COUNT; op++) {
        const kt_op_info *info = kt_op_describe((kt_op)op);
        assert_int_equal(kt_op_find(info->name), op);
        assert_true(info->doc[0] != '\0');
        for (uint32_t i = 0; i < info->attr_count; i++) {
            assert_true(info->attrs[i].doc[0] != '\0');
            assert_true(info->attrs[i].offset < info->attrs_bytes);
        }
    }
    assert_int_equal(kt_op_find("nonsense"), KT_OP_NONE);
    assert_int_equal(kt_op_describe(KT_OP_conv)->attr_count, 10);
    assert_int_equal(kt_op_describe(KT_OP_select)->attr_count, 0);
    assert_true(kt_op_is(KT_OP_mul, KT_COMMUTES));
    assert_false(kt_op_is(KT_OP_sub, KT_COMMUTES));
}

static void attributes_compare_by_content(void **state) {
    fixture *f = *state;
    float one = 1, also_one = 1, two = 2;
    kt_attrs_constant a = {.type = type_of(f, "f32"), .literal = {&one, 4}};
    kt_attrs_constant b = {.type = type_of(f, "f32"), .literal = {&also_one, 4}};
    kt_attrs_constant c = {.type = type_of(f, "f32"), .literal = {&two, 4}};
    assert_true(kt_attrs_equal(KT_OP_constant, &a, &b));
    assert_false(kt_attrs_equal(KT_OP_constant, &a, &c));
    kt_attrs_reduce sum = {.kind = KT_REDUCE_SUM, .axes = INTS(0, 1)}, other = sum;
    other.axes.at[5] = 7; /* past count: means nothing */
    assert_true(kt_attrs_equal(KT_OP_reduce, &sum, &other));
    other.axes.count = 1;
    assert_false(kt_attrs_equal(KT_OP_reduce, &sum, &other));
    other = sum;
    other.kind = KT_REDUCE_MAXIMUM;
    assert_false(kt_attrs_equal(KT_OP_reduce, &sum, &other));
}

static void elementwise(void **state) {
    fixture *f = *state;
    GOOD(neg, NULL, "i8[batch,3]", "i8[batch,3]");
    GOOD(is_nan, NULL, "bool[batch]", "f16[batch]");
    GOOD(not, NULL, "bool[2]", "bool[2]");
    BAD(neg, NULL, "neg C1: it does not work on u8.", "u8[3]");
    BAD(exp, NULL, "exp C1", "i32[3]");
    BAD(neg, NULL, "neg: it takes 1 operands, but has 2.", "f32", "f32");
    BAD(neg, NULL, "neg: operand 0 is of strings", "string[3]");

    GOOD(add, NULL, "f32[batch,3]", "f32[batch,3]", "f32[batch,3]");
    BAD(add, NULL, "add C1: f32[2] and i32[2] differ in dtype", "f32[2]", "i32[2]");
    BAD(add, NULL, "add C2: it does not work on bool.", "bool[2]", "bool[2]");
    BAD(atan2, NULL, "atan2 C2", "i32", "i32");
    BAD(add, NULL, "add C3: f32[2] and f32[] differ in rank", "f32[2]", "f32");
    BAD(add, NULL, "add C4: dimensions 1 of f32[2,3] and f32[2,4] must be equal, but are 3 and 4.",
        "f32[2,3]", "f32[2,4]");
    BAD(add, NULL, "add C4", "f32[n]", "f32[n + 1]");
    BAD(add, NULL, "add C4", "f32[n + 1]", "f32[1]");

    GOOD(lt, NULL, "bool[n]", "f32[n]", "f32[n]");
    GOOD(eq, NULL, "bool[n]", "bool[n]", "bool[n]");
    BAD(lt, NULL, "lt C1", "f32[n]", "f64[n]");
    BAD(lt, NULL, "lt C2", "bool[n]", "bool[n]");

    GOOD(select, NULL, "i32[n]", "bool[n]", "i32[n]", "i32[n]");
    BAD(select, NULL, "select C1: the condition must be bool, but is f32[n].", "f32[n]", "i32[n]", "i32[n]");
    BAD(select, NULL, "select C2", "bool[n]", "i32[n]", "f32[n]");
    BAD(select, NULL, "select C3", "bool", "i32[n]", "i32[n]");
    BAD(select, NULL, "select C4", "bool[2]", "i32[2]", "i32[3]");

    kt_attrs_cast to_f16 = {.dtype = KT_F16}, to_string = {.dtype = KT_STRING}, to_nothing = {.dtype = 99};
    GOOD(cast, &to_f16, "f16[n]", "bool[n]");
    BAD(cast, &to_string, "cast C1: f32[n] cannot be converted to string.", "f32[n]");
    BAD(cast, &to_nothing, "cast: there is no dtype 99.", "f32[n]");
}

static void open_equalities_become_checks(void **state) {
    fixture *f = *state;
    GOOD(add, NULL, "f32[n,2]", "f32[n,2]", "f32[m,2]");
    assert_check(
        f, "n", "m",
        "model/layer: add C4: dimensions 0 of f32[n,2] and f32[m,2] must be equal, but are n and m.");
    /* The result takes the sharper of the two, and each equality is there once. */
    GOOD(add, NULL, "f32[3]", "f32[n]", "f32[3]");
    GOOD(mul, NULL, "f32[3]", "f32[3]", "f32[n]");
    assert_check(f, "n", "3", "add C4");
}

static void sources(void **state) {
    fixture *f = *state;
    static const float data[6];
    kt_attrs_constant constant = {.type = type_of(f, "f32[2,3]"), .literal = {data, sizeof data}};
    check_good(f, KT_OP_constant, &constant, "f32[2,3]", NULL, 0);
    constant.literal.bytes = 20;
    check_bad(f, KT_OP_constant, &constant, "constant C3: f32[2,3] needs 24 bytes, but there are 20.", NULL,
              0);
    constant.type = type_of(f, "f32[4611686018427387904,4]");
    check_bad(f, KT_OP_constant, &constant, "constant C3", NULL, 0);
    constant.type = type_of(f, "f32[n]");
    check_bad(f, KT_OP_constant, &constant, "constant C1: the dimensions of f32[n] must be numbers", NULL, 0);
    constant.type = type_of(f, "string[2]");
    check_bad(f, KT_OP_constant, &constant, "constant C2: there are no constants of string.", NULL, 0);
    constant = (kt_attrs_constant){.type = type_of(f, "f32[0,3]")};
    check_good(f, KT_OP_constant, &constant, "f32[0,3]", NULL, 0);
    constant.type.rank = 9;
    check_bad(f, KT_OP_constant, &constant, "constant: a tensor has at most 8 dimensions, not 9.", NULL, 0);

    kt_attrs_iota iota = {.type = type_of(f, "i64[batch,3]"), .axis = 1};
    check_good(f, KT_OP_iota, &iota, "i64[batch,3]", NULL, 0);
    iota.axis = 2;
    check_bad(f, KT_OP_iota, &iota, "iota C2: there is no axis 2 in a tensor of 2 dimensions.", NULL, 0);
    iota = (kt_attrs_iota){.type = type_of(f, "bool[3]")};
    check_bad(f, KT_OP_iota, &iota, "iota C1", NULL, 0);
    iota.type = type_of(f, "i32[-1]");
    check_bad(f, KT_OP_iota, &iota, "iota C3: dimension 0 of the result must be at least 0, but is -1.", NULL,
              0);

    kt_attrs_size size = {.dim = dim_of(f, "2*batch + 1")};
    check_good(f, KT_OP_size, &size, "i64", NULL, 0);
}

static void reshape_and_transpose(void **state) {
    fixture *f = *state;
    kt_attrs_reshape reshape = {.shape = dims_of(f, "batch, 12")};
    GOOD(reshape, &reshape, "f32[batch,12]", "f32[batch,3,4]");
    BAD(reshape, &reshape,
        "reshape C2: the numbers of elements of f32[batch,3,5] and f32[batch,12] must be equal",
        "f32[batch,3,5]");
    GOOD(reshape, &reshape, "f32[batch,12]", "f32[n,4]");
    assert_check(f, "4*n", "12*batch", "reshape C2");
    reshape.shape = dims_of(f, "-1, -12");
    BAD(reshape, &reshape, "reshape C1: dimension 0 of the result must be at least 0", "f32[12]");
    reshape.shape.count = 9;
    BAD(reshape, &reshape, "reshape: shape has 9 entries", "f32[12]");

    kt_attrs_transpose transpose = {.axes = INTS(2, 0, 1)};
    GOOD(transpose, &transpose, "f32[4,batch,3]", "f32[batch,3,4]");
    BAD(transpose, &transpose, "transpose C1: axes has 3 entries where 2 are needed.", "f32[2,3]");
    transpose.axes = INTS(2, 0, 2);
    BAD(transpose, &transpose, "transpose C2: axis 2 is named twice.", "f32[2,3,4]");
    transpose.axes = INTS(3, 0, 1);
    BAD(transpose, &transpose, "transpose C2: there is no axis 3", "f32[2,3,4]");
}

static void broadcast(void **state) {
    fixture *f = *state;
    kt_attrs_broadcast attrs = {.shape = dims_of(f, "batch, 3, 4"), .axes = INTS(0, 2)};
    GOOD(broadcast, &attrs, "f32[batch,3,4]", "f32[batch,1]");
    GOOD(broadcast, &attrs, "f32[batch,3,4]", "f32[1,4]");
    BAD(broadcast, &attrs, "broadcast C1", "f32[4]");
    BAD(broadcast, &attrs,
        "broadcast C3: dimension 1 of f32[batch,3] and dimension 2 of f32[batch,3,4] must be equal",
        "f32[batch,3]");
    GOOD(broadcast, &attrs, "f32[batch,3,4]", "f32[n,4]");
    assert_check(f, "n", "batch", "broadcast C3");
    attrs.axes = INTS(2, 0);
    BAD(broadcast, &attrs, "broadcast C2: axis 0 must come before axis 2.", "f32[1,1]");
    attrs.axes = INTS(0, 3);
    BAD(broadcast, &attrs, "broadcast C2", "f32[1,1]");
    attrs = (kt_attrs_broadcast){.shape = dims_of(f, "-2")};
    BAD(broadcast, &attrs, "broadcast C4", "f32");
}

static void slice(void **state) {
    fixture *f = *state;
    kt_attrs_slice attrs = {
        .start = dims_of(f, "0, 1"), .limit = dims_of(f, "batch, 6"), .strides = INTS(1, 2)};
    GOOD(slice, &attrs, "f32[batch,3]", "f32[batch,7]");
    BAD(slice, &attrs, "slice C1", "f32[batch]");
    BAD(slice, &attrs, "slice C3: dimension 1 of the operand less limit[1] must be at least 0, but is -1.",
        "f32[batch,5]");
    attrs.strides = INTS(1, 0);
    BAD(slice, &attrs, "slice C2: strides[1] must be at least 1", "f32[batch,7]");
    attrs = (kt_attrs_slice){.start = dims_of(f, "3"), .limit = dims_of(f, "2"), .strides = INTS(1)};
    BAD(slice, &attrs, "slice C3: limit[0] - start[0] must be at least 0, but is -1.", "f32[7]");
    attrs.start = dims_of(f, "-1");
    BAD(slice, &attrs, "slice C3: start[0] must be at least 0, but is -1.", "f32[7]");
    /* Whether five steps exist, only the input tells. */
    attrs = (kt_attrs_slice){.start = dims_of(f, "0"), .limit = dims_of(f, "5"), .strides = INTS(1)};
    GOOD(slice, &attrs, "f32[5]", "f32[time]");
    assert_check(f, "time - 5", "max(time - 5, 0)", "slice C3");
}

static void pad(void **state) {
    fixture *f = *state;
    kt_attrs_pad attrs = {.low = dims_of(f, "0, 1"), .high = dims_of(f, "0, 2"), .interior = INTS(0, 2)};
    GOOD(pad, &attrs, "f32[batch,10]", "f32[batch,3]", "f32");
    GOOD(pad, &attrs, "f32[batch,3]", "f32[batch,0]", "f32");
    BAD(pad, &attrs, "pad C1: low has 2 entries where 1 are needed.", "f32[3]", "f32");
    BAD(pad, &attrs, "pad C2: the fill value must be a scalar of f32, but is f32[1].", "f32[batch,3]",
        "f32[1]");
    BAD(pad, &attrs, "pad C2", "f32[batch,3]", "f64");
    attrs.interior = INTS(0, -1);
    BAD(pad, &attrs, "pad C3: interior[1]", "f32[batch,3]", "f32");
    attrs.interior = INTS(0, 0);
    attrs.high = dims_of(f, "0, -1");
    BAD(pad, &attrs, "pad C3: high[1] must be at least 0, but is -1.", "f32[batch,3]", "f32");
}

static void concat_and_reverse(void **state) {
    fixture *f = *state;
    kt_attrs_concat concat = {.axis = 1};
    GOOD(concat, &concat, "f32[batch,n + 5]", "f32[batch,2]", "f32[batch,n]", "f32[batch,3]");
    check_bad(f, KT_OP_concat, &concat, "concat C1", NULL, 0);
    BAD(concat, &concat, "concat C2", "f32[2]", "f32[2]");
    BAD(concat, &concat, "concat C3: f32[2,3] and f64[2,3] (operand 1)", "f32[2,3]", "f64[2,3]");
    BAD(concat, &concat, "concat C4: dimensions 0 of f32[2,3] and f32[3,3] (operand 2)", "f32[2,3]",
        "f32[2,4]", "f32[3,3]");

    kt_attrs_reverse reverse = {.axes = INTS(1, 0)};
    GOOD(reverse, &reverse, "f32[batch,2]", "f32[batch,2]");
    BAD(reverse, &reverse, "reverse C1", "f32[2]");
    reverse.axes = INTS(0, 0);
    BAD(reverse, &reverse, "reverse C1: axis 0 is named twice.", "f32[2]");
}

static void gather(void **state) {
    fixture *f = *state;
    kt_attrs_gather attrs = {.axis = 0};
    GOOD(gather, &attrs, "f32[batch,time,16]", "f32[1000,16]", "i32[batch,time]");
    BAD(gather, &attrs, "gather C1: the indices must be integers, but are f32[2].", "f32[3]", "f32[2]");
    BAD(gather, &attrs, "gather C5", "f32[1,2,3,4,5]", "i32[1,2,3,4,5]");
    BAD(gather, &attrs, "gather C6: dimension 0 of the first operand must be at least 1", "f32[0]", "i32[2]");
    attrs = (kt_attrs_gather){.axis = 2, .batch_dims = 1};
    GOOD(gather, &attrs, "f32[batch,5,7,9]", "f32[batch,5,6,9]", "i64[batch,7]");
    BAD(gather, &attrs, "gather C4", "f32[2,5,6]", "i64[3,7]");
    BAD(gather, &attrs, "gather C3: there is no axis 2", "f32[2,5]", "i64[2,7]");
    BAD(gather, &attrs, "gather C2: f32[2,5,6] and i64[] cannot share 1 leading axes.", "f32[2,5,6]", "i64");
    attrs.axis = 0;
    BAD(gather, &attrs, "gather C3: axis 0 is one of the 1 shared leading axes.", "f32[2,5]", "i64[2,7]");
}

static void reductions(void **state) {
    fixture *f = *state;
    kt_attrs_reduce reduce = {.kind = KT_REDUCE_SUM, .axes = INTS(1, 2)};
    GOOD(reduce, &reduce, "f32[batch,5]", "f32[batch,3,4,5]");
    BAD(reduce, &reduce, "reduce C1: there is no sum of bool.", "bool[2,3,4]");
    BAD(reduce, &reduce, "reduce C2: there is no axis 2", "f32[2,3]");
    reduce.axes = INTS(2, 1);
    BAD(reduce, &reduce, "reduce C2: axis 1 must come before axis 2.", "f32[2,3,4]");
    reduce = (kt_attrs_reduce){.kind = KT_REDUCE_MAXIMUM, .axes = INTS(0)};
    GOOD(reduce, &reduce, "bool", "bool[batch]");
    memcpy(&reduce.kind, &(unsigned){9}, sizeof reduce.kind);
    BAD(reduce, &reduce, "reduce: there is no reduction 9.", "f32[2]");

    kt_attrs_arg_reduce arg = {.kind = KT_REDUCE_MAXIMUM, .axis = 1, .dtype = KT_I64};
    GOOD(arg_reduce, &arg, "i64[batch]", "f32[batch,10]");
    BAD(arg_reduce, &arg, "arg_reduce C2", "bool[batch,10]");
    BAD(arg_reduce, &arg, "arg_reduce C3", "f32[batch]");
    BAD(arg_reduce, &arg, "arg_reduce C5", "f32[batch,0]");
    arg.dtype = KT_F32;
    BAD(arg_reduce, &arg, "arg_reduce C4: the result must be i32 or i64, not f32.", "f32[batch,10]");
    arg = (kt_attrs_arg_reduce){.kind = KT_REDUCE_SUM, .dtype = KT_I32};
    BAD(arg_reduce, &arg, "arg_reduce C1: the kind must be maximum or minimum, not sum.", "f32[2]");
}

static void reduce_window(void **state) {
    fixture *f = *state;
    kt_attrs_reduce_window good = {.kind = KT_REDUCE_MAXIMUM,
                                   .window = INTS(1, 3),
                                   .strides = INTS(1, 2),
                                   .dilation = INTS(1, 2),
                                   .low = dims_of(f, "0, 1"),
                                   .high = dims_of(f, "0, 0")};
    kt_attrs_reduce_window attrs = good;
    GOOD(reduce_window, &attrs, "f32[batch,3]", "f32[batch,8]"); /* (8 + 1 - 5) / 2 + 1 */
    BAD(reduce_window, &attrs, "reduce_window C1", "f32[8]");
    BAD(reduce_window, &attrs, "reduce_window C4", "bool[batch,8]");
    BAD(reduce_window, &attrs, "reduce_window C5: on axis 1 what the window leaves of the padded operand",
        "f32[1,3]");
    attrs.dilation = INTS(1, 1);
    GOOD(reduce_window, &attrs, "f32[2,floordiv(height, 2)]", "f32[2,height]");
    assert_check(f, "height - 2", "max(height - 2, 0)", "reduce_window C5");
    attrs.window = INTS(1, 0);
    BAD(reduce_window, &attrs, "reduce_window C2: window[1]", "f32[2,8]");
    attrs = good;
    attrs.dilation = INTS(1, 4294967296);
    BAD(reduce_window, &attrs, "reduce_window C2: dilation[1]", "f32[2,8]");
    attrs = good;
    attrs.low = dims_of(f, "0, -1");
    BAD(reduce_window, &attrs, "reduce_window C3: low[1]", "f32[2,8]");
}

static void accumulation(void **state) {
    fixture *f = *state;
    kt_attrs_cumulative cumulative = {.kind = KT_REDUCE_SUM, .axis = 1};
    GOOD(cumulative, &cumulative, "f32[batch,8]", "f32[batch,8]");
    BAD(cumulative, &cumulative, "cumulative C1: the operand must be numbers, but is bool[batch,8]",
        "bool[batch,8]");
    BAD(cumulative, &cumulative, "cumulative C2", "f32[8]");
    cumulative.reverse = 2;
    BAD(cumulative, &cumulative, "cumulative C3", "f32[2,8]");

    kt_attrs_scatter scatter = {.kind = KT_REDUCE_SUM, .axis = 1, .batch_dims = 1};
    GOOD(scatter, &scatter, "f32[batch,8,3]", "f32[batch,8,3]", "i32[batch,5,2]", "f32[batch,5,2,3]");
    BAD(scatter, &scatter, "scatter C1", "bool[2,8]", "i32[2,5]", "bool[2,5]");
    BAD(scatter, &scatter, "scatter C1", "f32[2,8]", "i32[2,5]", "f64[2,5]");
    BAD(scatter, &scatter, "scatter C2", "f32[2,8]", "f32[2,5]", "f32[2,5]");
    BAD(scatter, &scatter, "scatter C3", "f32[2,8]", "i32", "f32[2,5]");
    BAD(scatter, &scatter, "scatter C5: dimensions 0 of f32[2,8] and i32[3,5]", "f32[2,8]", "i32[3,5]",
        "f32[2,5]");
    BAD(scatter, &scatter, "scatter C6: the updates must have 2 axes", "f32[2,8]", "i32[2,5]", "f32[2]");
    BAD(scatter, &scatter, "scatter C6: dimensions 1 of f32[2,5] and f32[2,6]", "f32[2,8]", "i32[2,5]",
        "f32[2,6]");
    scatter.axis = 2;
    BAD(scatter, &scatter, "scatter C4: there is no axis 2", "f32[2,8]", "i32[2,5]", "f32[2,5]");
    scatter.axis = 0;
    BAD(scatter, &scatter, "scatter C4: axis 0 is one of the 1 shared", "f32[2,8]", "i32[2,5]", "f32[2,5]");
}

static void dot_general(void **state) {
    fixture *f = *state;
    kt_attrs_dot_general dense = {.lhs_contract = INTS(1), .rhs_contract = INTS(0)};
    GOOD(dot_general, &dense, "f32[batch,10]", "f32[batch,784]", "f32[784,10]");
    BAD(dot_general, &dense, "dot_general C3", "f32[batch,784]", "f64[784,10]");
    BAD(dot_general, &dense, "dot_general C3", "bool[batch,784]", "bool[784,10]");
    BAD(dot_general, &dense, "dot_general C4: dimension 1 of f32[batch,784] and dimension 0 of f32[700,10]",
        "f32[batch,784]", "f32[700,10]");
    BAD(dot_general, &dense, "dot_general C2: there is no axis 1", "f32[784]", "f32[784,10]");
    BAD(dot_general, &dense, "dot_general C5", "f32[1,784,1,1,1]", "f32[784,1,1,1,1,1]");
    kt_attrs_dot_general attention = {
        .lhs_batch = INTS(0, 2), .rhs_batch = INTS(0, 2), .lhs_contract = INTS(3), .rhs_contract = INTS(3)};
    GOOD(dot_general, &attention, "f32[batch,8,time,other]", "f32[batch,time,8,64]", "f32[batch,other,8,64]");
    attention.rhs_batch = INTS(0);
    BAD(dot_general, &attention, "dot_general C1: rhs_batch has 1 entries where 2 are needed.",
        "f32[2,3,4,5]", "f32[2,3,4,5]");
    attention.rhs_batch = INTS(0, 3);
    BAD(dot_general, &attention, "dot_general C2: axis 3 of operand 1 is both a batch axis and summed.",
        "f32[2,3,4,5]", "f32[2,3,4,5]");
    dense.rhs_contract = INTS(0, 1);
    BAD(dot_general, &dense, "dot_general C1: rhs_contract has 2 entries", "f32[2,3]", "f32[3,3]");
}

static void packed_dot_general(void **state) {
    fixture *f = *state;
    kt_attrs_dot_general attrs = {.lhs_contract = INTS(1, 2), .panel = 16, .columns = 40};
    GOOD(dot_general, &attrs, "f32[batch,40]", "f32[batch,3,4]", "f32[3,12,16]");
    BAD(dot_general, &attrs, "dot_general C7: the packed operand must be f32[3,12,16], but is f32[4,12,16].",
        "f32[batch,3,4]", "f32[4,12,16]");
    attrs.rhs_contract = INTS(1);
    BAD(dot_general, &attrs, "dot_general C6", "f32[batch,3,4]", "f32[3,12,16]");
    attrs.columns = 0;
    BAD(dot_general, &attrs, "dot_general C8", "f32[batch,3,4]", "f32[3,12,16]");
}

static void wide_products(void **state) {
    fixture *f = *state;
    kt_attrs_dot_general attrs = {.lhs_contract = INTS(1), .rhs_contract = INTS(0), .wide = 1};
    GOOD(dot_general, &attrs, "f32[batch,5]", "bf16[batch,3]", "bf16[3,5]");
    BAD(dot_general, &attrs, "dot_general C9: wide must be 0, or 1 for bf16, but is 1 for f32[batch,3].",
        "f32[batch,3]", "f32[3,5]");
    attrs = (kt_attrs_dot_general){.lhs_contract = INTS(1), .panel = 16, .columns = 40, .wide = 1};
    GOOD(dot_general, &attrs, "f32[batch,40]", "bf16[batch,3]", "bf16[3,2,32]");
    BAD(dot_general, &attrs, "dot_general C7: the packed operand must be bf16[3,2,32]", "bf16[batch,3]",
        "bf16[3,3,16]");
    attrs.wide = 2;
    BAD(dot_general, &attrs, "dot_general C9", "bf16[batch,3]", "bf16[3,2,32]");
    kt_attrs_conv conv = {
        .strides = INTS(1), .low = dims_of(f, "0"), .high = dims_of(f, "0"), .dilation = INTS(1)};
    conv.input_dilation = INTS(1);
    conv.groups = conv.wide = 1;
    GOOD(conv, &conv, "f32[batch,6,5]", "bf16[batch,8,4]", "bf16[3,4,5]");
    BAD(conv, &conv, "conv C12", "f16[batch,8,4]", "f16[3,4,5]");
}

static void winograd(void **state) {
    fixture *f = *state;
    kt_attrs_winograd attrs = {.tile = 4, .space = dims_of(f, "9, 8"), .columns = 20};
    BAD(winograd, &attrs, "winograd C4", "f32[1,14,10,3]", "f32[2,36,3,16]");
    attrs.low = dims_of(f, "0, 1");
    GOOD(winograd, &attrs, "f32[batch,9,8,20]", "f32[batch,9,8,3]", "f32[2,36,3,16]");
    GOOD(winograd, &attrs, "f32[batch,9,8,20]", "f32[batch,14,9,3]", "f32[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C4: what whole tiles take behind dimension 2 of f32[1,14,10,3]",
        "f32[1,14,10,3]", "f32[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C4: dimension 1 of f32[1,0,9,3]", "f32[1,0,9,3]", "f32[2,36,3,16]");
    attrs.low.at[1] = kt_dim_const(f->graph->dims, -1);
    BAD(winograd, &attrs, "winograd C4: low[1]", "f32[1,14,9,3]", "f32[2,36,3,16]");
    attrs.low = dims_of(f, "0, 0");
    GOOD(winograd, &attrs, "f32[batch,9,8,20]", "f32[batch,14,10,3]", "f32[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C1", "f16[batch,14,10,3]", "f16[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C1", "f32[14,10,3]", "f32[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C4: what whole tiles take behind dimension 1 of f32[1,15,10,3]",
        "f32[1,15,10,3]", "f32[2,36,3,16]");
    BAD(winograd, &attrs, "winograd C5", "f32[1,14,10,3]", "f32[2,36,4,16]");
    BAD(winograd, &attrs, "winograd C5", "f32[1,14,10,3]", "f32[2,36,3,0]");
    BAD(winograd, &attrs, "winograd C6", "f32[1,14,10,1025]", "f32[2,36,1025,16]");
    attrs.line = 2;
    GOOD(winograd, &attrs, "f32[batch,9,8,20]", "f32[batch,9,10,3]", "f32[2,6,3,16]");
    BAD(winograd, &attrs, "winograd C4", "f32[1,10,10,3]", "f32[2,6,3,16]");
    BAD(winograd, &attrs, "winograd C5", "f32[1,9,10,3]", "f32[2,36,3,16]");
    attrs.line = 1;
    GOOD(winograd, &attrs, "f32[batch,9,8,20]", "f32[batch,14,8,3]", "f32[2,6,3,16]");
    BAD(winograd, &attrs, "winograd C2", "u8[1,14,8,4]", "i16[2,6,2,32]");
    attrs.line = 3;
    BAD(winograd, &attrs, "winograd C2", "f32[1,9,10,3]", "f32[2,6,3,16]");
    attrs.line = 0;
    GOOD(winograd, &attrs, "i32[batch,9,8,20]", "u8[batch,14,10,112]", "i16[2,36,56,32]");
    BAD(winograd, &attrs, "winograd C1", "u8[1,14,10,4]", "i8[2,36,2,32]");
    BAD(winograd, &attrs, "winograd C5", "u8[1,14,10,5]", "i16[2,36,2,32]");
    BAD(winograd, &attrs, "winograd C5", "u8[1,14,10,4]", "i16[2,36,2,31]");
    BAD(winograd, &attrs, "winograd C6", "u8[1,14,10,114]", "i16[2,36,57,32]");
    attrs.tile = 2;
    BAD(winograd, &attrs, "winograd C2", "u8[1,12,10,4]", "i16[2,16,2,32]");
    attrs.tile = 3;
    BAD(winograd, &attrs, "winograd C2", "f32[1,14,10,3]", "f32[2,36,3,16]");
    attrs = (kt_attrs_winograd){
        .tile = 2, .space = dims_of(f, "height, 8"), .low = dims_of(f, "0, 0"), .columns = 20};
    GOOD(winograd, &attrs, "f32[1,height,8,20]", "f32[1,2 * floordiv(height + 1, 2) + 2,10,3]",
         "f32[2,16,3,16]");
    attrs.space = dims_of(f, "0, 8");
    BAD(winograd, &attrs, "winograd C3", "f32[1,2,10,3]", "f32[2,16,3,16]");
    attrs.columns = 0;
    BAD(winograd, &attrs, "winograd C3", "f32[1,2,10,3]", "f32[2,16,3,16]");
}

static kt_attrs_conv plain_conv(fixture *f) {
    return (kt_attrs_conv){.strides = INTS(2, 1),
                           .low = dims_of(f, "1, 0"),
                           .high = dims_of(f, "1, 0"),
                           .dilation = INTS(1, 2),
                           .input_dilation = INTS(1, 1),
                           .groups = 1};
}

static void conv(void **state) {
    fixture *f = *state;
    kt_attrs_conv attrs = plain_conv(f);
    GOOD(conv, &attrs, "f32[batch,14,24,32]", "f32[batch,28,28,3]", "f32[3,3,3,32]");
    GOOD(conv, &attrs, "f32[1,floordiv(height - 1, 2) + 1,24,32]", "f32[1,height,28,3]", "f32[3,3,3,32]");
    assert_int_equal(f->graph->equalities.count, 0); /* the padding makes room for any height */
    BAD(conv, &attrs, "conv C1: the input must be [batch, space…, channels], but is f32[2,3].", "f32[2,3]",
        "f32[2,3]");
    BAD(conv, &attrs, "conv C1: strides", "f32[1,28,3]", "f32[3,3,32]");
    BAD(conv, &attrs, "conv C4", "f32[1,28,28,3]", "f64[3,3,3,32]");
    BAD(conv, &attrs, "conv C7: dimension 2 of the kernel f32[3,3,4,32] and a group's channels",
        "f32[1,28,28,3]", "f32[3,3,4,32]");
    BAD(conv, &attrs, "conv C8: on axis 2", "f32[1,28,4,3]", "f32[3,3,3,32]");
    BAD(conv, &attrs, "conv C9: the kernel of f32[1,28,28,3] must have 4 dimensions", "f32[1,28,28,3]",
        "f32[3,3,32]");
    BAD(conv, &attrs, "conv C9: dimension 0 of the kernel", "f32[1,28,28,3]", "f32[0,3,3,32]");
    attrs.window = INTS(3, 3);
    BAD(conv, &attrs, "conv C9: window", "f32[1,28,28,3]", "f32[3,3,3,32]");
    attrs = plain_conv(f);
    attrs.strides = INTS(0, 1);
    BAD(conv, &attrs, "conv C2", "f32[1,28,28,3]", "f32[3,3,3,32]");
    attrs = plain_conv(f);
    attrs.low = dims_of(f, "0, -1");
    BAD(conv, &attrs, "conv C3", "f32[1,28,28,3]", "f32[3,3,3,32]");
    attrs = plain_conv(f);
    attrs.columns = 32;
    BAD(conv, &attrs, "conv C5", "f32[1,28,28,3]", "f32[3,3,3,32]");

    attrs = plain_conv(f);
    attrs.groups = 4;
    GOOD(conv, &attrs, "f32[1,14,24,8]", "f32[1,28,28,4]", "f32[3,3,1,8]");
    BAD(conv, &attrs, "conv C6: the 3 channels do not fall into 4 groups.", "f32[1,28,28,3]", "f32[3,3,1,8]");
    BAD(conv, &attrs, "conv C6: the 6 features do not fall into 4 groups.", "f32[1,28,28,4]", "f32[3,3,1,6]");
    attrs.groups = 0;
    BAD(conv, &attrs, "conv C6: groups must be at least 1", "f32[1,28,28,4]", "f32[3,3,1,8]");

    /* Transposed: 4 elements two apart are 7. */
    attrs = plain_conv(f);
    attrs.strides = attrs.dilation = INTS(1, 1);
    attrs.input_dilation = INTS(2, 2);
    GOOD(conv, &attrs, "f32[1,7,5,8]", "f32[1,4,4,3]", "f32[3,3,3,8]");
}

static void conv_by_kernel(void **state) {
    fixture *f = *state;
    kt_attrs_conv_by_kernel attrs = {.strides = INTS(2, 1),
                                     .low = dims_of(f, "1, 0"),
                                     .high = dims_of(f, "0, 0"),
                                     .dilation = INTS(1, 2),
                                     .groups = 1,
                                     .window = INTS(3, 3)};
    GOOD(conv_by_kernel, &attrs, "f32[3,3,3,32]", "f32[batch,28,28,3]", "f32[batch,14,24,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C1", "f32[2,3]", "f32[2,3]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C4", "f32[batch,28,28,3]", "f64[batch,14,24,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C5", "f32[batch,28,4,3]", "f32[batch,14,24,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C7: the cotangent of", "f32[batch,28,28,3]",
        "f32[batch,14,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C7: dimension 0", "f32[3,28,28,3]", "f32[2,14,24,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C7: dimension 2", "f32[batch,28,28,3]",
        "f32[batch,14,26,32]");
    attrs.groups = 3;
    GOOD(conv_by_kernel, &attrs, "f32[3,3,1,9]", "f32[batch,28,28,3]", "f32[batch,14,24,9]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C6: the 32 features", "f32[batch,28,28,3]",
        "f32[batch,14,24,32]");
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C6: the 4 channels", "f32[batch,28,28,4]",
        "f32[batch,14,24,9]");
    attrs.groups = 0;
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C6: groups must", "f32[batch,28,28,3]", "f32[batch,14,24,9]");
    attrs.groups = 1;
    attrs.window.at[1] = 0;
    BAD(conv_by_kernel, &attrs, "conv_by_kernel C2", "f32[batch,28,28,3]", "f32[batch,14,24,32]");
}

static void packed_conv(void **state) {
    fixture *f = *state;
    kt_attrs_conv attrs = plain_conv(f);
    attrs.window = INTS(3, 3);
    attrs.panel = 16;
    attrs.columns = 40;
    GOOD(conv, &attrs, "f32[batch,14,24,40]", "f32[batch,28,28,3]", "f32[3,27,16]");
    BAD(conv, &attrs, "conv C11: the packed operand must be f32[3,27,16], but is f32[3,9,16].",
        "f32[batch,28,28,3]", "f32[3,9,16]");
    attrs.groups = 2;
    GOOD(conv, &attrs, "f32[batch,14,24,40]", "f32[batch,28,28,4]", "f32[4,18,16]");
    attrs.columns = 41;
    BAD(conv, &attrs, "conv C6", "f32[batch,28,28,4]", "f32[4,18,16]");
    attrs.window = INTS(3, 0);
    BAD(conv, &attrs, "conv C10", "f32[batch,28,28,4]", "f32[4,18,16]");
    attrs.window = INTS(3);
    BAD(conv, &attrs, "conv C10", "f32[batch,28,28,4]", "f32[4,18,16]");
}

static kt_func add_function(fixture *f, kt_func_kind kind, const char *name) {
    kt_builder builder;
    kt_func func;
    kt_type type = type_of(f, "f32[batch]");
    kt_builder_begin(&builder, f->graph, kind, name, &f->diag);
    kt_value x = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, 0, &type);
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, kt_build_is_nan(&builder, x));
    assert_int_equal(kt_builder_finish(&builder, &func), KT_OK);
    return func;
}

static void call(void **state) {
    fixture *f = *state;
    kt_attrs_call body = {.callee = add_function(f, KT_FUNC_BODY, "body")};
    kt_attrs_call entry = {.callee = add_function(f, KT_FUNC_ENTRY, "entry")};
    GOOD(call, &body, "bool[batch]", "f32[batch]");
    BAD(call, &entry, "call C2: entry is an entry", "f32[batch]");
    BAD(call, &body, "call C3: body takes 1 operands, but is given 2.", "f32[batch]", "f32[batch]");
    BAD(call, &body, "call C4: body takes f32[batch] as parameter 0, but is given f32[2].", "f32[2]");

    kt_attrs_call nothing = {.callee = 77};
    kt_infer infer = {.graph = f->graph, .op = KT_OP_call, .attrs = &nothing, .diag = &f->diag};
    assert_int_equal(kt_infer_node(&infer), KT_INVALID);
    assert_problem(f, "call C1: there is no function 77.");
}

/* Carries an f32[batch], takes slices of like type and something that stays, and gives a bool[batch] a turn.
 */
static kt_func add_step(fixture *f) {
    kt_builder builder;
    kt_func func;
    kt_value params[3];
    kt_type type = type_of(f, "f32[batch]");
    kt_builder_begin(&builder, f->graph, KT_FUNC_STEP, "step", &f->diag);
    for (uint32_t i = 0; i < 3; i++) params[i] = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &type);
    kt_value sum = kt_build_add(&builder, params[0], params[1]);
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, kt_build_mul(&builder, sum, params[2]));
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 1, kt_build_is_nan(&builder, sum));
    assert_int_equal(kt_builder_finish(&builder, &func), KT_OK);
    return func;
}

static void scan(void **state) {
    fixture *f = *state;
    kt_attrs_scan attrs = {.body = add_step(f), .carried = 1, .sequences = 1, .length = dim_of(f, "time")};
    const char *const carry = "f32[batch]", *const slices = "f32[time,batch]";
    GOOD(scan, &attrs, "f32[batch]", carry, slices, carry);
    BAD(scan, &attrs, "scan C2: step takes 3 operands, but is given 2", carry, slices);
    BAD(scan, &attrs, "scan C3: step takes f32[batch] as parameter 0, but is given f32[2].", "f32[2]", slices,
        carry);
    BAD(scan, &attrs, "scan C3: step takes slices f32[batch] as parameter 1", carry, "f32[batch,time]",
        carry);
    BAD(scan, &attrs, "scan C3: step takes f32[batch] as parameter 2", carry, slices, slices);
    attrs.length = dim_of(f, "time - 1");
    BAD(scan, &attrs, "scan C3", carry, slices, carry);
    attrs.length = dim_of(f, "time");
    attrs.carried = 2;
    BAD(scan, &attrs, "scan C4: step carries bool[batch] as result 1", carry, carry, slices);
    attrs.carried = 3;
    BAD(scan, &attrs, "scan C2", carry, slices, carry);
    attrs.carried = 1;
    attrs.length = dim_of(f, "time - 2");
    BAD(scan, &attrs, "scan C6: the length may be below 0.", carry, "f32[time - 2,batch]", carry);
    attrs.body = add_function(f, KT_FUNC_BODY, "body");
    BAD(scan, &attrs, "scan C1", carry, slices, carry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_operation_has_a_row),
        FIXTURE_TEST(attributes_compare_by_content),
        FIXTURE_TEST(elementwise),
        FIXTURE_TEST(open_equalities_become_checks),
        FIXTURE_TEST(sources),
        FIXTURE_TEST(reshape_and_transpose),
        FIXTURE_TEST(broadcast),
        FIXTURE_TEST(slice),
        FIXTURE_TEST(pad),
        FIXTURE_TEST(concat_and_reverse),
        FIXTURE_TEST(gather),
        FIXTURE_TEST(reductions),
        FIXTURE_TEST(reduce_window),
        FIXTURE_TEST(accumulation),
        FIXTURE_TEST(dot_general),
        FIXTURE_TEST(packed_dot_general),
        FIXTURE_TEST(wide_products),
        FIXTURE_TEST(conv),
        FIXTURE_TEST(winograd),
        FIXTURE_TEST(conv_by_kernel),
        FIXTURE_TEST(packed_conv),
        FIXTURE_TEST(call),
        FIXTURE_TEST(scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
