/* Random graphs, in groups of one library each: the evaluator on the graph as it is, on the optimised graph,
 * and compiled code at -O0 and -O2, with symbols and with symbols bound, must agree, where it updates
 * variables also within the least memory, to the bit; and the text form holds all.
 *
 * usage: test_random_random [FIRST [COUNT]]. Each seed gives one entry; a failure names its seed, and prints
 * the smallest graph found that still fails. */
#include "kt_cmocka.h"

#include "random/subject.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 16 };

#ifdef KT_SANITIZE
static uint64_t first_seed = 1, seed_count = 150;
#else
static uint64_t first_seed = 1, seed_count = 1000;
#endif
static uint64_t grown[KT_OP_COUNT], dtypes[KT_DTYPE_COUNT], derived, differences, updated, squeezed;
static uint32_t failures;

static const struct {
    const char *name;
    subject_way way;
} ways[] = {
    {"-O2", {2, .compiled = true}},
    {"-O0", {0, .compiled = true}},
    {"-O2, bound", {2, .bind = true, .compiled = true}},
    {"-O2, evaluated only", {2}},
    {"-O0, evaluated only", {0}},
    {"-O2, limited", {2, .compiled = true, .limited = true}},
};
/* Which ways the n-th group is run in; so that most time goes where code is made. */
static bool is_due(uint64_t group, size_t way) {
    static const uint64_t every[] = {1, 3, 4, 0, 3, 1};
    switch (way) {
    case 3: return false;
    case 4: return group % 3 != 0;
    default: return group % every[way] == 0;
    }
}

typedef struct group {
    kt_arena *arena;
    kt_diag *diag;
    uint64_t first, count;
    subject result;
} group;

static kt_status grow_group(void *context) {
    group *g = context;
    random_module module;
    random_module_init(&module, g->arena, g->first / GROUP, g->diag);
    subject_entry *entries = KT_NEW_ARRAY(g->arena, subject_entry, g->count);
    for (uint64_t i = 0; i < g->count; i++) {
        random_entry made;
        random_module_grow(&module, g->first + i, kt_arena_format(g->arena, "seed_%" PRIu64, g->first + i),
                           &made);
        entries[i] = (subject_entry){.name = made.name,
                                     .input_count = made.input_count,
                                     .output_count = made.output_count,
                                     .after = made.after,
                                     .next_count = made.next_count};
        memcpy(entries[i].inputs, made.inputs, sizeof made.inputs);
        memcpy(entries[i].outputs, made.outputs, sizeof made.outputs);
        memcpy(entries[i].nexts, made.nexts, sizeof made.nexts);
        memcpy(entries[i].paths, made.paths, sizeof made.paths);
    }
    KT_TRY(kt_graph_verify(module.graph, g->diag));
    kt_text text = {.arena = g->arena};
    kt_graph_print(module.graph, NULL, &text);
    g->result = (subject){.text = kt_text_string(&text), .entries = entries, .count = (uint32_t)g->count};
    memcpy(g->result.sizes, module.sizes, sizeof module.sizes);
    for (kt_op op = 0; op < KT_OP_COUNT; op++) grown[op] += module.grown[op];
    for (int d = 0; d < KT_DTYPE_COUNT; d++) dtypes[d] += module.dtypes[d];
    derived += module.derived;
    differences += module.differences;
    if (module.wrong) {
        print_error("%s\n", module.wrong);
        failures++;
    }
    updated += module.updated;
    return KT_OK;
}

static void report(const group *g, uint32_t entry, const char *way_name, subject_way way, const char *wrong) {
    print_error("seed %" PRIu64 ", %s: %s\n", g->first + entry, way_name, wrong);
    failures++;
    if (failures > 3) return;
    kt_arena *arena = kt_arena_create();
    subject smaller;
    subject_shrink(arena, &g->result, entry, way, wrong, &smaller);
    print_error("smallest failing graph, to be seen again with test_random_random %" PRIu64 " 1:\n",
                g->first + entry);
    subject_print(&smaller);
    subject_finding finding;
    wrong = subject_check_apart(&smaller, way, &finding);
    print_error("which: %s\n", wrong ? wrong : "passes, this time");
    kt_arena_destroy(arena);
}

static void try_group(uint64_t first, uint64_t count) {
    kt_diag diag = {0};
    group g = {.arena = kt_arena_create(), .diag = &diag, .first = first, .count = count};
    if (kt_guarded(grow_group, &g, &diag) != KT_OK)
        fail_msg("seeds from %llu: %s", (unsigned long long)first, diag.count ? diag.problems[0].text : "");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        subject_finding finding;
        if (!is_due(first / GROUP, i)) continue;
        const char *wrong = subject_check_apart(&g.result, ways[i].way, &finding);
        squeezed += finding.squeezed;
        if (wrong) report(&g, finding.entry, ways[i].name, ways[i].way, kt_arena_string(g.arena, wrong));
    }
    kt_diag_deinit(&diag);
    kt_arena_destroy(g.arena);
}

static void all_ways_agree(void **state) {
    (void)state;
    uint64_t last = first_seed + seed_count;
    for (uint64_t seed = first_seed; seed < last;) {
        uint64_t end = (seed / GROUP + 1) * GROUP;
        if (end > last) end = last;
        try_group(seed, end - seed);
        seed = end;
    }
    assert_int_equal(failures, 0);
}

/* Every operation and every dtype is there often enough to mean something. */
static void nothing_is_left_out(void **state) {
    (void)state;
    if (seed_count < 1000) skip(); /* of fewer graphs, chance leaves some out */
    for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++)
        if (grown[op] * 200 < seed_count)
            fail_msg("%s: %llu times only", kt_op_describe(op)->name, (unsigned long long)grown[op]);
    for (int dtype = 0; dtype < KT_STRING; dtype++)
        if (dtypes[dtype] * 50 < seed_count)
            fail_msg("%s: %llu times only", kt_dtype_name((kt_dtype)dtype),
                     (unsigned long long)dtypes[dtype]);
    if (derived * 10 < seed_count) fail_msg("%llu derivatives only", (unsigned long long)derived);
    if (differences * 50 < seed_count) fail_msg("%llu differences only", (unsigned long long)differences);
    if (squeezed * 200 < seed_count) fail_msg("%llu within a limit only", (unsigned long long)squeezed);
    if (updated * 10 < seed_count) fail_msg("%llu updates only", (unsigned long long)updated);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) seed_count = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_ways_agree),
                                       cmocka_unit_test(nothing_is_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
