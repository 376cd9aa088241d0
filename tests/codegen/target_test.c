/* Targets: what CPUs and feature lists come to, and the sentences for what is not known. */
#include "codegen/target.h"

#include "kt_cmocka.h"

static kt_target describe(kt_arena *arena, const char *triple, const char *cpu, const char *features) {
    kt_diag diag = {0};
    kt_target target;
    assert_int_equal(kt_target_describe(triple, cpu, features, arena, &target, &diag), KT_OK);
    assert_int_equal(diag.count, 0);
    return target;
}

static void levels_shape_kernels(void **state) {
    (void)state;
    static const char x86[] = "x86_64-linux-gnu", arm[] = "aarch64-linux-gnu";
    kt_arena *arena = kt_arena_create();
    kt_target target = describe(arena, x86, "x86-64", NULL);
    assert_int_equal(target.vector_bytes, 16);
    assert_false(target.fma);
    assert_string_equal(target.features, "");
    target = describe(arena, x86, "znver3", NULL);
    assert_int_equal(target.vector_bytes, 32);
    assert_int_equal(kt_target_lanes(&target, KT_F32), 8);
    assert_int_equal(kt_target_lanes(&target, KT_BF16), 8);
    assert_int_equal(kt_target_for_passes(&target).panel_columns, 16);
    assert_true(target.fma && !target.masks);
    target = describe(arena, x86, "skylake-avx512", NULL);
    assert_int_equal(target.vector_bytes, 64);
    assert_int_equal(target.tile_rows, 12);
    target = describe(arena, arm, NULL, NULL);
    assert_string_equal(target.cpu, "generic");
    assert_int_equal(target.vector_registers, 32);
    assert_int_equal(target.cpu_features, KT_CPU_NEON);
    /* Tiles, their operands and one more fit into the registers. */
    for (const kt_target_entry *entry = kt_targets; entry->triple; entry++) {
        target = describe(arena, entry->triple, entry->cpu, NULL);
        int needed = target.tile_rows * target.tile_vectors + target.tile_vectors + 1;
        assert_true(needed <= target.vector_registers);
    }
    kt_arena_destroy(arena);
}

static void features_change_levels(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_target target = describe(arena, "x86_64-linux-gnu", "x86-64-v3", "-fma");
    assert_false(target.fma);
    assert_int_equal(target.cpu_features & KT_CPU_FMA, 0);
    target = describe(arena, "x86_64-linux-gnu", "x86-64-v4", "-avx2");
    assert_int_equal(target.vector_bytes, 16);
    target = describe(arena, "x86_64-linux-gnu", "x86-64", "+sse4.1,+popcnt");
    assert_string_equal(target.features, "+sse4.1,+popcnt");
    kt_arena_destroy(arena);
}

/* As clang spells them; LLVM gets one spelling. */
static void triples_have_several_spellings(void **state) {
    (void)state;
    static const struct {
        const char *given, *triple;
        kt_arch arch;
    } cases[] = {
        {"x86_64-linux-gnu", "x86_64-unknown-linux-gnu", KT_ARCH_X86_64},
        {"amd64-pc-linux-gnu", "x86_64-pc-linux-gnu", KT_ARCH_X86_64},
        {"aarch64-linux-gnu", "aarch64-unknown-linux-gnu", KT_ARCH_AARCH64},
        {"arm64-linux", "aarch64-unknown-linux", KT_ARCH_AARCH64},
        {"riscv64-linux-gnu", "riscv64-unknown-linux-gnu", KT_ARCH_RISCV64},
        {"wasm32-wasi", "wasm32-unknown-wasi", KT_ARCH_WASM32},
    };
    kt_arena *arena = kt_arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kt_target target = describe(arena, cases[i].given, NULL, NULL);
        assert_string_equal(target.triple, cases[i].triple);
        assert_int_equal(target.arch, cases[i].arch);
    }
    kt_arena_destroy(arena);
}

static void refuses_in_sentences(void **state) {
    (void)state;
    static const struct {
        const char *triple, *cpu, *features, *sentence;
    } cases[] = {
        {"sparc64-linux-gnu", NULL, NULL,
         "Target \"sparc64-linux-gnu\" is not known; `keratin targets` lists those that are."},
        {"aarch64_be-linux-gnu", NULL, NULL,
         "Target \"aarch64_be-linux-gnu\" is not known; `keratin targets` lists those that are."},
        {"x86_64-linux-gnux32", NULL, NULL,
         "Target \"x86_64-linux-gnux32\" is not known; `keratin targets` lists those that are."},
        {"arm64-apple-macosx", NULL, NULL,
         "Target \"arm64-apple-macosx\" is not known; `keratin targets` lists those that are."},
        {"", NULL, NULL, "Target \"\" is not known; `keratin targets` lists those that are."},
        {"riscv64-linux-gnu", "native", NULL,
         "CPU \"native\" is this machine's, which is no riscv64-linux-gnu; name one that `keratin targets` "
         "lists "
         "for it."},
        {"x86_64-linux-gnu", "pentium", NULL,
         "CPU \"pentium\" is not known for x86_64-linux-gnu; `keratin targets` lists those that are."},
        {"aarch64-linux-gnu", "x86-64", NULL,
         "CPU \"x86-64\" is not known for aarch64-linux-gnu; `keratin targets` lists those that are."},
        {"aarch64-linux-gnu", NULL, "+sve",
         "Features can be chosen for x86-64 only; `keratin targets` lists CPUs."},
        {"x86_64-linux-gnu", "x86-64", "+mmx2",
         "CPU feature \"+mmx2\" is not known (`keratin targets` lists CPUs); give a comma-separated list "
         "like "
         "+avx2,-fma of avx, avx2, fma, f16c, avx512f, avx512bw, avx512dq, avx512vl, avx512cd, avx512vnni, "
         "avx512bf16, sse4.1, "
         "sse4.2, popcnt, bmi, bmi2, lzcnt, movbe."},
    };
    kt_arena *arena = kt_arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kt_diag diag = {0};
        kt_target target;
        kt_status status =
            kt_target_describe(cases[i].triple, cases[i].cpu, cases[i].features, arena, &target, &diag);
        assert_int_not_equal(status, KT_OK);
        assert_int_equal(diag.count, 1);
        assert_string_equal(diag.problems[0].text, cases[i].sentence);
        kt_diag_deinit(&diag);
    }
    kt_arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_shape_kernels),
        cmocka_unit_test(features_change_levels),
        cmocka_unit_test(triples_have_several_spellings),
        cmocka_unit_test(refuses_in_sentences),
    };
    return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
