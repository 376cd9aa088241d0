/* Results over operands: kernels that may and must not, and plans that say otherwise. */
#include "codegen/in_place.h"

#include "kernel_suite.h"
#include "kt_cmocka.h"
#include "passes/passes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t symbols[] = {3, 2};

static kt_loops *lower(suite *s, uint32_t kernel) {
    kt_loops *loops = KT_NEW(s->arena, kt_loops);
    kt_target *target = KT_NEW(s->arena, kt_target);
    assert_int_equal(kt_target_describe(NULL, "haswell", NULL, s->arena, target, &s->diag), KT_OK);
    assert_int_equal(kt_lower_kernel(s->graph, s->kernels.at[kernel], target, s->arena, loops, &s->diag),
                     KT_OK);
    return loops;
}

static const char *fault(suite *s, const kt_loops *loops, uint32_t operand) {
    return kt_in_place_fault(loops, operand, loops->buffer_count - 1, symbols, s->arena);
}

static void drop(suite *s) { kt_arena_destroy(s->arena); }

/* What is read where it is written may be written over; what moves may not. */
static void lowered_kernels(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "add");
    kt_value x = PARAM(&s, KT_F32, N, 5), y = PARAM(&s, KT_F32, N, 5);
    end(&s, kt_build_add(&s.b, x, y));
    begin(&s, "turn_and_add");
    x = PARAM(&s, KT_F32, 16, 16);
    y = PARAM(&s, KT_F32, 16, 16);
    end(&s, kt_build_add(&s.b, kt_build_transpose(&s.b, x, SIZES(1, 0)), y));
    begin(&s, "unfit");
    x = PARAM(&s, KT_F32, 17, 13);
    y = PARAM(&s, KT_F32, 13, 17);
    end(&s, kt_build_sub(&s.b, y, kt_build_transpose(&s.b, x, SIZES(1, 0))));
    begin(&s, "spread");
    x = PARAM(&s, KT_F32, 4);
    end(&s, kt_build_add(&s.b, BROADCAST(&s, x, SIZES(1), 4, 4), PARAM(&s, KT_F32, 4, 4)));
    begin(&s, "turn");
    end(&s, kt_build_transpose(&s.b, PARAM(&s, KT_F32, 19, 13), SIZES(1, 0)));

    kt_loops *add = lower(&s, 0), *turn = lower(&s, 1), *unfit = lower(&s, 2), *spread = lower(&s, 3);
    assert_null(fault(&s, add, 0));
    assert_null(fault(&s, add, 1));
    assert_non_null(fault(&s, turn, 0));
    assert_null(fault(&s, turn, 1));
    assert_non_null(fault(&s, unfit, 0));
    assert_null(fault(&s, unfit, 1));
    assert_string_equal(fault(&s, spread, 0), "their elements are not alike");
    assert_null(fault(&s, spread, 1));
    assert_non_null(fault(&s, lower(&s, 4), 0)); /* squares that overlap besides */
    drop(&s);
}

enum { MOST = 20 };

/* A loop form to be written: of one operand and one result. */
static kt_loops *by_hand(suite *s) {
    kt_target *target = KT_NEW(s->arena, kt_target);
    assert_int_equal(kt_target_describe(NULL, "haswell", NULL, s->arena, target, &s->diag), KT_OK);
    begin(s, "by_hand");
    end(s, kt_build_neg(&s->b, PARAM(s, KT_I64, MOST)));
    kt_loops *loops = KT_NEW(s->arena, kt_loops);
    kt_loops_init(loops, s->arena, s->graph, kt_graph_function(s->graph, s->kernels.at[s->kernels.count - 1]),
                  target);
    return loops;
}

static kt_reg turn(kt_loops *l, kt_loop_kind kind, int64_t end, int64_t step) {
    return kt_loops_begin(l, kind, kt_loops_int(l, 0), kt_loops_int(l, end), kt_loops_int(l, step), NULL);
}

static kt_reg plus(kt_loops *l, kt_reg a, int64_t b) {
    return kt_loops_index(l, KT_INDEX_ADD, a, kt_loops_int(l, b));
}

/* Blocks of 8, the last one pushed back to end where the result does, and its reads either masked off where
 * the block before was, or not. */
static const char *overlapping(suite *s, bool masked) {
    kt_loops *l = by_hand(s);
    kt_reg block = turn(l, KT_LOOP_SERIAL, 3, 1);
    kt_reg full = kt_loops_index(l, KT_INDEX_MUL, block, kt_loops_int(l, 8));
    kt_reg begin = kt_loops_index(l, KT_INDEX_MIN, full, kt_loops_int(l, MOST - 8));
    kt_reg skipped = kt_loops_splat(l, kt_loops_index(l, KT_INDEX_SUB, full, begin), 8);
    kt_reg lanes = kt_loops_ramp(l, kt_loops_int(l, 0), 8);
    kt_reg before = kt_loops_index(l, KT_INDEX_LT, lanes, skipped);
    kt_reg mask = masked ? kt_loops_apply(l, KT_OP_not, KT_BOOL, before, 0, 0) : 0;
    kt_loops_store(l, 1, begin, kt_loops_load(l, 0, begin, 8, mask), mask);
    kt_loops_end(l);
    return fault(s, l, 0);
}

static void loops_by_hand(void **state) {
    (void)state;
    suite s = begin_suite();
    /* Shifted by one: right in one unit in this order, wrong in the other, and wrong where units share it
     * out. */
    kt_loops *l = by_hand(&s);
    kt_reg i = turn(l, KT_LOOP_SERIAL, MOST - 1, 1);
    kt_loops_store(l, 1, i, kt_loops_load(l, 0, plus(l, i, 1), 1, 0), 0);
    kt_loops_end(l);
    assert_null(fault(&s, l, 0));
    l = by_hand(&s);
    i = turn(l, KT_LOOP_SERIAL, MOST - 1, 1);
    kt_loops_store(l, 1, plus(l, i, 1), kt_loops_load(l, 0, i, 1, 0), 0);
    kt_loops_end(l);
    assert_string_equal(fault(&s, l, 0), "element 1 is read after it is written");
    l = by_hand(&s);
    i = turn(l, KT_LOOP_PARALLEL, MOST - 1, 1);
    kt_loops_store(l, 1, i, kt_loops_load(l, 0, plus(l, i, 1), 1, 0), 0);
    kt_loops_end(l);
    assert_string_equal(fault(&s, l, 0), "element 1 is written by one unit and read by another");

    assert_string_equal(overlapping(&s, false), "element 12 is read after it is written");
    assert_null(overlapping(&s, true));

    l = by_hand(&s);
    i = turn(l, KT_LOOP_SERIAL, MOST, 1);
    kt_loops_store(l, 1, i, kt_loops_load(l, 0, kt_loops_load(l, 0, i, 1, 0), 1, 0), 0);
    kt_loops_end(l);
    assert_string_equal(fault(&s, l, 0), "data decide what is accessed");
    l = by_hand(&s);
    i = turn(l, KT_LOOP_SERIAL, MOST + 1, 1);
    kt_loops_store(l, 1, i, kt_loops_load(l, 0, i, 1, 0), 0);
    kt_loops_end(l);
    assert_string_equal(fault(&s, l, 0), "element 20 of 20 is accessed");

    l = by_hand(&s);
    kt_cell held = kt_loops_cell(l, "held", KT_I64, 1, 1);
    i = turn(l, KT_LOOP_SERIAL, MOST, 1);
    kt_loops_set(l, held, 0, kt_loops_load(l, 0, i, 1, 0));
    kt_loops_store(l, 1, i, kt_loops_get(l, held, 0), 0);
    kt_loops_end(l);
    assert_non_null(fault(&s, l, 0)); /* LLVM is told that they lie apart */
    drop(&s);
}

/* Does the check end the process, as a bug does? */
static bool is_bug(const kt_graph *graph, const kt_plan *plan, const kt_loops *const *loops, kt_diag *diag) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0) _exit(2);
        (void)signal(SIGABRT, SIG_DFL);
        _exit(kt_in_place_check(graph, plan, loops, diag) == KT_OK ? 0 : 1);
    }
    int state = 0;
    assert_int_equal(waitpid(child, &state, 0), child);
    return WIFSIGNALED(state) && WTERMSIG(state) == SIGABRT;
}

static void plans(void **state) {
    (void)state;
    static const char text[] = "graph \"plans\"\nsymbols batch\n\n"
                               "entry @predict(input 0 \"x\" %0: f32[batch,6,6]) {\n"
                               "  %1 = exp(%0) : f32[batch,6,6]\n"
                               "  %2 = tanh(%1) : f32[batch,6,6]\n"
                               "  %3 = transpose(%2) axes=[0,2,1] : f32[batch,6,6]\n"
                               "  return output 0 \"y\" %3\n"
                               "}\n";
    suite s = begin_suite();
    kt_graph *graph;
    kt_plan plan;
    kt_target target;
    assert_int_equal(kt_target_describe(NULL, "haswell", NULL, s.arena, &target, &s.diag), KT_OK);
    assert_int_equal(kt_graph_parse(s.arena, text, strlen(text), &graph, &s.diag), KT_OK);
    const kt_pass_options options = {.level = 0};
    assert_int_equal(kt_passes_run_named(graph, "inline,fuse", &options, &s.diag), KT_OK);
    assert_int_equal(kt_plan_entry(graph, kt_graph_find(graph, "predict"), s.arena, &plan, &s.diag), KT_OK);
    const kt_loops **loops = KT_NEW_ARRAY(s.arena, const kt_loops *, graph->functions.count);
    for (kt_func func = kt_graph_next(graph, KT_FUNC_KERNEL, 0); func;
         func = kt_graph_next(graph, KT_FUNC_KERNEL, func)) {
        kt_loops *made = KT_NEW(s.arena, kt_loops);
        assert_int_equal(kt_lower_kernel(graph, func, &target, s.arena, made, &s.diag), KT_OK);
        loops[func] = made;
    }
    assert_int_equal(plan.steps.count, 3);
    assert_int_equal(plan.steps.at[1].args.at[0], plan.steps.at[1].args.at[1]);
    assert_int_equal(kt_in_place_check(graph, &plan, loops, &s.diag), KT_OK);
    assert_false(is_bug(graph, &plan, loops, &s.diag));
    plan.steps.at[2].args.at[0] = plan.steps.at[2].args.at[1];
    assert_true(is_bug(graph, &plan, loops, &s.diag));
    drop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lowered_kernels), cmocka_unit_test(loops_by_hand),
                                       cmocka_unit_test(plans)};
    return cmocka_run_group_tests_name("in_place", tests, NULL, NULL);
}
