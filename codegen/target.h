/* What the code is for: triple, CPU, and what follows from them for the shape of kernels. */
#ifndef KT_CODEGEN_TARGET_H
#define KT_CODEGEN_TARGET_H

#include "passes/passes.h"

typedef enum kt_arch { KT_ARCH_X86_64, KT_ARCH_AARCH64, KT_ARCH_RISCV64, KT_ARCH_WASM32 } kt_arch;

typedef struct kt_target {
    kt_arch arch;
    bool at_home;         /* this machine's architecture: what is linked runs here, on a CPU that has the features */
    const char *triple, *cpu, *features; /* as LLVM names them */
    int vector_bytes;     /* 16, 32 or 64: the registers that kernels use */
    int vector_registers; /* 16 or 32 */
    bool fma;
    bool masks;           /* masked loads and stores cost nothing extra (AVX-512) */
    uint64_t cpu_features; /* KT_CPU_… that the code needs */
    bool musl; /* programs are static executables with musl's libc; set by the user of this struct */
    bool blas; /* products and convolutions of f32 and f64 are calls of OpenBLAS; set by the user of this struct */
    bool trains; /* what is linked can save and load models (runtime/checkpoint/); set by the user of this struct */
    kt_tuning *tuning; /* what kernels are chosen by, and are noted in; set by the user of this struct, or NULL */
    /* Contractions: rows of a tile at most, vectors across it, for f32. */
    int tile_rows, tile_vectors;
} kt_target;

/* NULLs mean this machine: its triple, "native", no extra features. Strings go to arena. */
kt_status kt_target_describe(const char *triple, const char *cpu, const char *features, kt_arena *arena,
                             kt_target *out_target, kt_diag *diag) KT_MUST_USE;
int kt_target_lanes(const kt_target *target, kt_dtype dtype); /* elements of a vector register */
/* What records of a tuning file are for: the target, -O, and how many threads the program will have. */
const char *kt_target_machine(const kt_target *target, int level, int threads, kt_arena *arena);
kt_pass_target kt_target_for_passes(const kt_target *target);

typedef struct kt_target_entry { const char *triple, *cpu, *doc; } kt_target_entry;
extern const kt_target_entry kt_targets[]; /* for `keratin targets`, by triple; ends with a NULL triple */

#endif
