/* Targets. A CPU is a name that LLVM tunes for, and a set of features among those that the runtime checks
 * before it runs a program (KT_CPU_…): code never uses an instruction that was not checked for, so a program
 * on the wrong machine says a sentence instead of dying of SIGILL. A named CPU therefore gets the features of
 * its level here, and not all that LLVM knows of it. */
#include "codegen/target.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

/* Spellings are those that clang takes; the first of an architecture is LLVM's own. */
static const struct {
    const char *spelling;
    kt_arch arch;
} spellings[] = {
    {"x86_64", KT_ARCH_X86_64}, {"amd64", KT_ARCH_X86_64},    {"aarch64", KT_ARCH_AARCH64},
    {"arm64", KT_ARCH_AARCH64}, {"riscv64", KT_ARCH_RISCV64}, {"wasm32", KT_ARCH_WASM32},
};
enum { SPELLING_COUNT = sizeof spellings / sizeof *spellings };

enum {
    LEVEL_1 = 0,
    LEVEL_2 = KT_CPU_SSE41 | KT_CPU_SSE42 | KT_CPU_POPCNT,
    LEVEL_3 = LEVEL_2 | KT_CPU_AVX | KT_CPU_AVX2 | KT_CPU_FMA | KT_CPU_F16C | KT_CPU_BMI | KT_CPU_BMI2 |
              KT_CPU_LZCNT | KT_CPU_MOVBE,
    LEVEL_4 =
        LEVEL_3 | KT_CPU_AVX512F | KT_CPU_AVX512BW | KT_CPU_AVX512DQ | KT_CPU_AVX512VL | KT_CPU_AVX512CD,
    VNNI = LEVEL_4 | KT_CPU_AVX512VNNI,
    BF16 = VNNI | KT_CPU_AVX512BF16,
};

typedef struct cpu_entry {
    const char *name;
    kt_arch arch;
    uint64_t features;
} cpu_entry;

static const cpu_entry cpus[] = {
    {"x86-64", KT_ARCH_X86_64, LEVEL_1},
    {"x86-64-v2", KT_ARCH_X86_64, LEVEL_2},
    {"x86-64-v3", KT_ARCH_X86_64, LEVEL_3},
    {"x86-64-v4", KT_ARCH_X86_64, LEVEL_4},
    {"nehalem", KT_ARCH_X86_64, LEVEL_2},
    {"westmere", KT_ARCH_X86_64, LEVEL_2},
    {"goldmont", KT_ARCH_X86_64, LEVEL_2},
    {"haswell", KT_ARCH_X86_64, LEVEL_3},
    {"broadwell", KT_ARCH_X86_64, LEVEL_3},
    {"skylake", KT_ARCH_X86_64, LEVEL_3},
    {"alderlake", KT_ARCH_X86_64, LEVEL_3},
    {"skylake-avx512", KT_ARCH_X86_64, LEVEL_4},
    {"cascadelake", KT_ARCH_X86_64, VNNI},
    {"icelake-server", KT_ARCH_X86_64, VNNI},
    {"sapphirerapids", KT_ARCH_X86_64, BF16},
    {"znver1", KT_ARCH_X86_64, LEVEL_3},
    {"znver2", KT_ARCH_X86_64, LEVEL_3},
    {"znver3", KT_ARCH_X86_64, LEVEL_3},
    {"znver4", KT_ARCH_X86_64, BF16},
    {"generic", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a53", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a55", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a57", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a72", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a76", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"cortex-a78", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"neoverse-n1", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"neoverse-n2", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"neoverse-v1", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"apple-m1", KT_ARCH_AARCH64, KT_CPU_NEON},
    {"generic-rv64", KT_ARCH_RISCV64, 0},
    {"generic", KT_ARCH_WASM32, 0},
};

const kt_target_entry kt_targets[] = {
    {"x86_64-linux-gnu", "native", "this machine's CPU (the default)"},
    {"x86_64-linux-gnu", "x86-64", "any x86-64 CPU: SSE2"},
    {"x86_64-linux-gnu", "x86-64-v2", "x86-64 with SSE4.2 (2009); also nehalem, westmere, goldmont"},
    {"x86_64-linux-gnu", "x86-64-v3",
     "x86-64 with AVX2 and FMA (2013); also haswell, broadwell, skylake, alderlake, znver1 to znver3"},
    {"x86_64-linux-gnu", "x86-64-v4",
     "x86-64 with AVX-512 (2017); also skylake-avx512, cascadelake, icelake-server, sapphirerapids, znver4"},
    {"aarch64-linux-gnu", "generic",
     "any 64-bit ARM CPU: NEON; also cortex-a53, -a55, -a57, -a72, -a76, -a78, neoverse-n1, -n2, -v1, "
     "apple-m1"},
    {"riscv64-linux-gnu", "generic-rv64", "RV64GC, without vectors; only as --emit=llvm and asm"},
    {"wasm32-unknown-unknown", "generic", "WebAssembly with 128-bit SIMD; only as --emit=llvm and asm"},
    {NULL},
};

/* In the order of their bits. */
static const struct {
    const char *name;
    uint64_t feature;
} features_of_x86[] = {
    {"avx", KT_CPU_AVX},
    {"avx2", KT_CPU_AVX2},
    {"fma", KT_CPU_FMA},
    {"f16c", KT_CPU_F16C},
    {"avx512f", KT_CPU_AVX512F},
    {"avx512bw", KT_CPU_AVX512BW},
    {"avx512dq", KT_CPU_AVX512DQ},
    {"avx512vl", KT_CPU_AVX512VL},
    {"sse4.1", KT_CPU_SSE41},
    {"sse4.2", KT_CPU_SSE42},
    {"popcnt", KT_CPU_POPCNT},
    {"bmi", KT_CPU_BMI},
    {"bmi2", KT_CPU_BMI2},
    {"lzcnt", KT_CPU_LZCNT},
    {"movbe", KT_CPU_MOVBE},
    {"avx512cd", KT_CPU_AVX512CD},
    {"avx512vnni", KT_CPU_AVX512VNNI},
    {"avx512bf16", KT_CPU_AVX512BF16},
};
enum { FEATURE_COUNT = sizeof features_of_x86 / sizeof *features_of_x86 };

/* Is it the part of a triple that ends at "-" or at its end? */
static bool is_part(const char *part, const char *name) {
    size_t length = strlen(name);
    return strncmp(part, name, length) == 0 && (part[length] == '-' || !part[length]);
}

static const char *next_part(const char *part) {
    part += strcspn(part, "-");
    return *part ? part + 1 : part;
}

/* Text that LLVM owns, moved to an arena. */
static void dispose_message(void *message) { LLVMDisposeMessage(message); }

static const char *take_message(kt_arena *arena, char *message) {
    if (!message) kt_out_of_memory();
    kt_arena_defer(arena, dispose_message, message);
    return message;
}

/* The triple as LLVM spells it, and its architecture; NULL: no code can be made for it. ARCH-VENDOR-OS-LIBC,
 * where LLVM has put "unknown" for what was left out. */
static const char *normalise(const char *given, kt_arena *arena, kt_arch *out_arch) {
    const char *triple = take_message(arena, LLVMNormalizeTargetTriple(given));
    const char *vendor = next_part(triple), *os = next_part(vendor), *libc = next_part(os);
    int i = 0;
    while (i < SPELLING_COUNT && !is_part(triple, spellings[i].spelling)) i++;
    if (i == SPELLING_COUNT) return NULL;
    *out_arch = spellings[i].arch;
    bool linux_gnu = is_part(os, "linux") && (!*libc || is_part(libc, "gnu"));
    if (*out_arch != KT_ARCH_WASM32 && !linux_gnu) return NULL;
    while (i > 0 && spellings[i - 1].arch == *out_arch) i--;
    return kt_arena_format(arena, "%s-%s", spellings[i].spelling, vendor);
}

static uint64_t feature_named(const char *name, size_t length) {
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (strlen(features_of_x86[i].name) == length && strncmp(features_of_x86[i].name, name, length) == 0)
            return features_of_x86[i].feature;
    return 0;
}

/* Applies "+avx2,-fma,…". strict: an unknown name, or one without a sign, is an error; else it is passed
 * over. */
static kt_status apply_features(const char *list, bool strict, uint64_t *features, kt_diag *diag) {
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        uint64_t feature = length > 1 ? feature_named(at + 1, length - 1) : 0;
        bool sign = *at == '+' || *at == '-';
        if (strict && (!sign || !feature))
            return kt_diag_add(
                diag, KT_INVALID, NULL,
                "CPU feature \"%.*s\" is not known (`keratin targets` lists CPUs); give a "
                "comma-separated list like +avx2,-fma of avx, avx2, fma, f16c, avx512f, "
                "avx512bw, avx512dq, avx512vl, "
                "avx512cd, avx512vnni, avx512bf16, sse4.1, sse4.2, popcnt, bmi, bmi2, lzcnt, movbe.",
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
    if ((features & needed) != needed || (features & wide) != wide)
        features &= ~(wide | KT_CPU_AVX512VNNI | KT_CPU_AVX512BF16);
    return features;
}

static const char *feature_string(uint64_t features, kt_arena *arena) {
    kt_text text = {.arena = arena};
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (features & features_of_x86[i].feature)
            kt_text_format(&text, "%s+%s", text.length ? "," : "", features_of_x86[i].name);
    return kt_text_string(&text);
}

static const cpu_entry *find_cpu(const char *name, kt_arch arch) {
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++)
        if (cpus[i].arch == arch && strcmp(cpus[i].name, name) == 0) return &cpus[i];
    return NULL;
}

/* What shapes kernels, by architecture; x86-64 goes by its features instead. */
static const struct {
    const char *cpu, *features; /* the default CPU, and what LLVM gets */
    int vector_registers, tile_rows;
    bool fma;
} architectures[] = {
    [KT_ARCH_X86_64] = {"x86-64", NULL, 0, 0, false},
    [KT_ARCH_AARCH64] = {"generic", "+neon", 32, 8, true},
    [KT_ARCH_RISCV64] = {"generic-rv64", "+m,+a,+f,+d,+c", 32, 4, true},
    [KT_ARCH_WASM32] = {"generic", "+simd128", 16, 4, false},
};

static void describe_registers(kt_target *target) {
    uint64_t features = target->cpu_features;
    target->vector_bytes = 16;
    target->vector_registers = architectures[target->arch].vector_registers;
    target->tile_rows = architectures[target->arch].tile_rows;
    target->tile_vectors = 2;
    target->fma = architectures[target->arch].fma;
    if (target->arch != KT_ARCH_X86_64) return;
    target->fma = (features & KT_CPU_FMA) != 0;
    target->masks = (features & KT_CPU_AVX512F) != 0;
    target->vector_bytes = target->masks ? 64 : features & KT_CPU_AVX2 ? 32 : 16;
    target->vector_registers = target->masks ? 32 : 16;
    /* Without fused multiply-adds, products need registers of their own. 13 or 14 rows of 32 registers would
     * fit, but LLVM then spills: half the speed. */
    target->tile_rows = target->masks ? 12 : target->fma ? 6 : 4;
}

kt_status kt_target_describe(const char *triple, const char *cpu, const char *features, kt_arena *arena,
                             kt_target *out_target, kt_diag *diag) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeAArch64TargetInfo();
    const char *host = take_message(arena, LLVMGetDefaultTargetTriple());
    kt_arch host_arch = KT_ARCH_X86_64;
    normalise(host, arena, &host_arch);
    if (!triple) triple = host;
    kt_target target = {0};
    target.triple = normalise(triple, arena, &target.arch);
    if (!target.triple)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "Target \"%s\" is not known; `keratin targets` lists those that are.", triple);
    target.at_home = target.arch == host_arch;
    if (!cpu) cpu = target.at_home ? "native" : architectures[target.arch].cpu;
    if (strcmp(cpu, "native") == 0) {
        if (!target.at_home)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "CPU \"native\" is this machine's, which is no %s; name one that `keratin "
                               "targets` lists for it.",
                               triple);
        target.cpu = take_message(arena, LLVMGetHostCPUName());
        const char *host_features = take_message(arena, LLVMGetHostCPUFeatures());
        if (target.arch == KT_ARCH_X86_64)
            KT_TRY(apply_features(host_features, false, &target.cpu_features, diag));
        else
            target.cpu_features = KT_CPU_NEON;
    } else {
        const cpu_entry *entry = find_cpu(cpu, target.arch);
        if (!entry)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "CPU \"%s\" is not known for %s; `keratin targets` lists those that are.", cpu,
                               triple);
        target.cpu = entry->name;
        target.cpu_features = entry->features;
    }
    if (features && *features) {
        if (target.arch != KT_ARCH_X86_64)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "Features can be chosen for x86-64 only; `keratin targets` lists CPUs.");
        KT_TRY(apply_features(features, true, &target.cpu_features, diag));
    }
    if (target.arch == KT_ARCH_X86_64) target.cpu_features = close_features(target.cpu_features);
    target.features = target.arch == KT_ARCH_X86_64 ? feature_string(target.cpu_features, arena)
                                                    : architectures[target.arch].features;
    describe_registers(&target);
    *out_target = target;
    return KT_OK;
}

int kt_target_lanes(const kt_target *target, kt_dtype dtype) {
    size_t bytes = kt_dtype_bytes(dtype);
    /* f16 and bf16 are computed in f32. */
    if (dtype == KT_F16 || dtype == KT_BF16) bytes = 4;
    return target->vector_bytes / (int)(bytes ? bytes : 1);
}

const char *kt_target_machine(const kt_target *target, int level, int threads, kt_arena *arena) {
    return kt_arena_format(arena, "%s %s %s -O%d %d %s", target->triple, target->cpu,
                           *target->features ? target->features : "-", level, threads,
                           threads == 1 ? "thread" : "threads");
}

kt_pass_target kt_target_for_passes(const kt_target *target) {
    int lanes = kt_target_lanes(target, KT_F32);
    return (kt_pass_target){
        .panel_columns = target->tile_vectors * lanes, .vector_columns = lanes, .blas = target->blas};
}
