/* Targets. A CPU is a name that LLVM tunes for, and a set of features among those that the runtime checks
 * before it runs a program (KT_CPU_…): code never uses an instruction that was not checked for, so a program
 * on the wrong machine says a sentence instead of dying of SIGILL. A named CPU therefore gets the features of
 * its level here, and not all that LLVM knows of it. */
#include "codegen/target.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

typedef enum arch { ARCH_NONE, ARCH_X86_64, ARCH_AARCH64 } arch;

enum {
    LEVEL_1 = 0,
    LEVEL_2 = KT_CPU_SSE41 | KT_CPU_SSE42 | KT_CPU_POPCNT,
    LEVEL_3 = LEVEL_2 | KT_CPU_AVX | KT_CPU_AVX2 | KT_CPU_FMA | KT_CPU_F16C | KT_CPU_BMI | KT_CPU_BMI2 |
              KT_CPU_LZCNT | KT_CPU_MOVBE,
    LEVEL_4 =
        LEVEL_3 | KT_CPU_AVX512F | KT_CPU_AVX512BW | KT_CPU_AVX512DQ | KT_CPU_AVX512VL | KT_CPU_AVX512CD,
};

typedef struct cpu_entry {
    const char *name;
    arch arch;
    uint64_t features;
} cpu_entry;

static const cpu_entry cpus[] = {
    {"x86-64", ARCH_X86_64, LEVEL_1},         {"x86-64-v2", ARCH_X86_64, LEVEL_2},
    {"x86-64-v3", ARCH_X86_64, LEVEL_3},      {"x86-64-v4", ARCH_X86_64, LEVEL_4},
    {"nehalem", ARCH_X86_64, LEVEL_2},        {"westmere", ARCH_X86_64, LEVEL_2},
    {"goldmont", ARCH_X86_64, LEVEL_2},       {"haswell", ARCH_X86_64, LEVEL_3},
    {"broadwell", ARCH_X86_64, LEVEL_3},      {"skylake", ARCH_X86_64, LEVEL_3},
    {"alderlake", ARCH_X86_64, LEVEL_3},      {"skylake-avx512", ARCH_X86_64, LEVEL_4},
    {"cascadelake", ARCH_X86_64, LEVEL_4},    {"icelake-server", ARCH_X86_64, LEVEL_4},
    {"sapphirerapids", ARCH_X86_64, LEVEL_4}, {"znver1", ARCH_X86_64, LEVEL_3},
    {"znver2", ARCH_X86_64, LEVEL_3},         {"znver3", ARCH_X86_64, LEVEL_3},
    {"znver4", ARCH_X86_64, LEVEL_4},         {"generic", ARCH_AARCH64, 0},
    {"cortex-a53", ARCH_AARCH64, 0},          {"cortex-a55", ARCH_AARCH64, 0},
    {"cortex-a57", ARCH_AARCH64, 0},          {"cortex-a72", ARCH_AARCH64, 0},
    {"cortex-a76", ARCH_AARCH64, 0},          {"cortex-a78", ARCH_AARCH64, 0},
    {"neoverse-n1", ARCH_AARCH64, 0},         {"neoverse-n2", ARCH_AARCH64, 0},
    {"neoverse-v1", ARCH_AARCH64, 0},         {"apple-m1", ARCH_AARCH64, 0},
};

const kt_target_entry kt_targets[] = {
    {"native", "this machine's CPU (the default)"},
    {"x86-64", "any x86-64 CPU: SSE2"},
    {"x86-64-v2", "x86-64 with SSE4.2 (2009); also nehalem, westmere, goldmont"},
    {"x86-64-v3",
     "x86-64 with AVX2 and FMA (2013); also haswell, broadwell, skylake, alderlake, znver1 to znver3"},
    {"x86-64-v4",
     "x86-64 with AVX-512 (2017); also skylake-avx512, cascadelake, icelake-server, sapphirerapids, znver4"},
    {"generic",
     "any 64-bit ARM CPU: NEON (--target aarch64-linux-gnu); also cortex-a53, -a55, -a57, -a72, -a76, "
     "-a78, neoverse-n1, -n2, -v1, apple-m1"},
    {NULL, NULL},
};

/* In the order of their bits. */
static const struct {
    const char *name;
    uint64_t feature;
} features_of_x86[] = {
    {"avx", KT_CPU_AVX},           {"avx2", KT_CPU_AVX2},         {"fma", KT_CPU_FMA},
    {"f16c", KT_CPU_F16C},         {"avx512f", KT_CPU_AVX512F},   {"avx512bw", KT_CPU_AVX512BW},
    {"avx512dq", KT_CPU_AVX512DQ}, {"avx512vl", KT_CPU_AVX512VL}, {"sse4.1", KT_CPU_SSE41},
    {"sse4.2", KT_CPU_SSE42},      {"popcnt", KT_CPU_POPCNT},     {"bmi", KT_CPU_BMI},
    {"bmi2", KT_CPU_BMI2},         {"lzcnt", KT_CPU_LZCNT},       {"movbe", KT_CPU_MOVBE},
    {"avx512cd", KT_CPU_AVX512CD},
};
enum { FEATURE_COUNT = sizeof features_of_x86 / sizeof *features_of_x86 };

static arch arch_of(const char *triple) {
    if (strncmp(triple, "x86_64-", 7) == 0) return ARCH_X86_64;
    if (strncmp(triple, "aarch64-", 8) == 0) return ARCH_AARCH64;
    return ARCH_NONE;
}

static uint64_t feature_named(const char *name, size_t length) {
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (strlen(features_of_x86[i].name) == length && strncmp(features_of_x86[i].name, name, length) == 0)
            return features_of_x86[i].feature;
    return 0;
}

/* Text that LLVM owns, moved to an arena. */
static void dispose_message(void *message) { LLVMDisposeMessage(message); }

static const char *take_message(kt_arena *arena, char *message) {
    kt_arena_defer(arena, dispose_message, message);
    return message;
}

/* Applies "+avx2,-fma,…". strict: an unknown name, or one without a sign, is an error; else it is passed
 * over. */
static kt_status apply_features(const char *list, bool strict, uint64_t *features, kt_diag *diag) {
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        uint64_t feature = length > 1 ? feature_named(at + 1, length - 1) : 0;
        bool sign = *at == '+' || *at == '-';
        if (strict && (!sign || !feature))
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "CPU feature \"%.*s\" is not known; give a comma-separated list like "
                               "+avx2,-fma of avx, avx2, fma, f16c, avx512f, avx512bw, avx512dq, avx512vl, "
                               "avx512cd, sse4.1, sse4.2, popcnt, bmi, bmi2, lzcnt, movbe.",
                               (int)length, at);
        if (*at == '+')
            *features |= feature;
        else
            *features &= ~feature;
        at += length;
        if (*at == ',') at++;
    }
    return KT_OK;
}

/* What LLVM would imply or drop by itself, so that features and the string that LLVM gets agree: a feature
 * needs those before it. */
static uint64_t close_features(uint64_t features) {
    if (!(features & KT_CPU_SSE41)) features &= ~(uint64_t)KT_CPU_SSE42;
    if (!(features & KT_CPU_SSE42)) features &= ~(uint64_t)KT_CPU_AVX;
    if (!(features & KT_CPU_AVX)) features &= ~(uint64_t)(KT_CPU_AVX2 | KT_CPU_FMA | KT_CPU_F16C);
    uint64_t wide = KT_CPU_AVX512F | KT_CPU_AVX512BW | KT_CPU_AVX512DQ | KT_CPU_AVX512VL | KT_CPU_AVX512CD;
    uint64_t needed = KT_CPU_AVX2 | KT_CPU_FMA | KT_CPU_F16C;
    if ((features & needed) != needed || (features & wide) != wide) features &= ~wide;
    return features;
}

static const char *feature_string(uint64_t features, kt_arena *arena) {
    kt_text text = {.arena = arena};
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (features & features_of_x86[i].feature)
            kt_text_format(&text, "%s+%s", text.length ? "," : "", features_of_x86[i].name);
    return kt_text_string(&text);
}

static const cpu_entry *find_cpu(const char *name, arch arch) {
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++)
        if (cpus[i].arch == arch && strcmp(cpus[i].name, name) == 0) return &cpus[i];
    return NULL;
}

static void describe_registers(kt_target *target, arch arch) {
    uint64_t features = target->cpu_features;
    target->fma = arch == ARCH_AARCH64 || (features & KT_CPU_FMA);
    target->masks = (features & KT_CPU_AVX512F) != 0;
    target->vector_bytes = features & KT_CPU_AVX512F ? 64 : features & KT_CPU_AVX2 ? 32 : 16;
    target->vector_registers = arch == ARCH_AARCH64 || (features & KT_CPU_AVX512F) ? 32 : 16;
    target->tile_vectors = 2;
    if (arch == ARCH_AARCH64)
        target->tile_rows = 8;
    else if (target->masks)
        target->tile_rows = 14;
    else if (target->fma)
        target->tile_rows = 6;
    else
        target->tile_rows = 4; /* products need registers of their own */
}

kt_status kt_target_describe(const char *triple, const char *cpu, const char *features, kt_arena *arena,
                             kt_target *out_target, kt_diag *diag) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeAArch64TargetInfo();
    const char *host = take_message(arena, LLVMGetDefaultTargetTriple());
    if (!triple) triple = host;
    arch arch = arch_of(triple);
    if (arch == ARCH_NONE || !strstr(triple, "linux"))
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "Target \"%s\" is not known; give x86_64-linux-gnu or aarch64-linux-gnu.", triple);
    bool at_home = arch == arch_of(host);
    if (!cpu) cpu = at_home ? "native" : arch == ARCH_AARCH64 ? "generic" : "x86-64";

    kt_target target = {.triple = kt_arena_string(arena, triple)};
    if (strcmp(cpu, "native") == 0) {
        if (!at_home)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "CPU \"native\" is this machine's, which is no %s; name a CPU of the target.",
                               triple);
        target.cpu = take_message(arena, LLVMGetHostCPUName());
        const char *host_features = take_message(arena, LLVMGetHostCPUFeatures());
        if (arch == ARCH_X86_64) KT_TRY(apply_features(host_features, false, &target.cpu_features, diag));
    } else {
        const cpu_entry *entry = find_cpu(cpu, arch);
        if (!entry)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "CPU \"%s\" is not known for %s; `keratin targets` lists those that are.", cpu,
                               triple);
        target.cpu = entry->name;
        target.cpu_features = entry->features;
    }
    if (features && *features) {
        if (arch != ARCH_X86_64)
            return kt_diag_add(diag, KT_INVALID, NULL, "Features can be chosen for x86-64 only.");
        KT_TRY(apply_features(features, true, &target.cpu_features, diag));
    }
    target.cpu_features = close_features(target.cpu_features);
    target.features = arch == ARCH_X86_64 ? feature_string(target.cpu_features, arena) : "+neon";
    describe_registers(&target, arch);
    *out_target = target;
    return KT_OK;
}

int kt_target_lanes(const kt_target *target, kt_dtype dtype) {
    size_t bytes = kt_dtype_bytes(dtype);
    /* f16 and bf16 are computed in f32. */
    if (dtype == KT_F16 || dtype == KT_BF16) bytes = 4;
    return target->vector_bytes / (int)(bytes ? bytes : 1);
}

kt_pass_target kt_target_for_passes(const kt_target *target) {
    return (kt_pass_target){.panel_columns = target->tile_vectors * kt_target_lanes(target, KT_F32)};
}
