/* From a graph that has passed the passes to files: objects, libraries, programs, and the forms between. */
#ifndef KT_CODEGEN_CODEGEN_H
#define KT_CODEGEN_CODEGEN_H

#include "codegen/loops.h"
#include "codegen/target.h"
#include "ir/training_info.h"
#include "passes/plan.h"

/* ---- LLVM module (codegen/llvm/) ------------------------------------------------------------------------
 * One module for a program: a function a kernel, a bind function an entry, the tables of runtime/abi.h, and
 * for libraries the C entry points. */
typedef struct kt_module kt_module;

/* Debug information by lines of the text of the graph in kernels. */
typedef struct kt_debug {
    const char *directory, *file;
    const uint32_t *node_lines, *function_lines; /* by kt_node and kt_func */
} kt_debug;

typedef struct kt_module_options {
    const char *name;   /* prefix of exported symbols */
    bool library;       /* NAME_create … are defined; else the program table is the symbol kt_main_program */
    bool loaded;        /* the program table is the exported symbol NAME_program, for a process that has the runtime */
    int level;          /* -O */
    const kt_debug *debug; /* or NULL */
    const char *sanitize; /* NULL, "address" or "thread": instrument generated code */
    bool verify;        /* hold the plans against the kernels (codegen/in_place.h) */
} kt_module_options;

typedef struct kt_program_source {
    kt_graph *graph;
    const kt_plan *plans;        /* one an offered entry, prepare not among them */
    uint32_t plan_count;
    const uint64_t *constant_offsets; /* by kt_graph.constants: byte offset in the constants blob */
    uint64_t constants_bytes;
    const uint32_t *variable_begins; /* by kt_graph.variables: 1 + the constant that it begins with; 0: zeros */
    const char *describe;        /* JSON */
    const struct kt_weights *weights; /* in a file; NULL: there is none */
    const kt_plan *prepare;      /* with weights, behind kt_prepare_offer; NULL: the constants are linked */
    const uint64_t *prepare_offsets; /* of its inputs, in the file */
    const char *weights_name;    /* kt_abi_weights.file_name */
    const kt_training_info *training; /* NULL: the program only predicts */
} kt_program_source;

/* The module lives as long as arena. */
kt_status kt_module_build(const kt_program_source *source, const kt_target *target, const kt_module_options *options,
                          kt_arena *arena, kt_module **out_module, kt_diag *diag) KT_MUST_USE;
/* Seconds that kernels took to lower, and LLVM to optimise. */
void kt_module_times(const kt_module *module, double *out_lowering, double *out_optimising);
const kt_loops *kt_module_kernel(const kt_module *module, const char *name); /* of a kernel that is there */
void kt_module_print_loops(const kt_module *module, kt_text *out_text);
void kt_module_print_llvm(const kt_module *module, kt_text *out_text);  /* after optimisation */
typedef enum kt_machine_code { KT_CODE_ASSEMBLY, KT_CODE_OBJECT } kt_machine_code;
kt_status kt_module_emit(kt_module *module, kt_machine_code form, kt_arena *arena, const void **out_bytes,
                         size_t *out_count, kt_diag *diag) KT_MUST_USE;

/* ---- whole compilations (codegen/compile.c) -------------------------------------------------- */
typedef enum kt_emit {
    KT_EMIT_EXE, KT_EMIT_SHARED, KT_EMIT_STATIC, KT_EMIT_OBJECT, /* machine code, linked */
    KT_EMIT_HEADER, KT_EMIT_GRAPH, KT_EMIT_OPTIMIZED, KT_EMIT_PLAN, KT_EMIT_LOOPS, KT_EMIT_LLVM, KT_EMIT_ASM, /* text */
} kt_emit;

typedef struct kt_compile_options {
    kt_emit emit;
    const char *output;    /* path; "-" for the text forms: standard output */
    const char *name;      /* prefix of exported symbols; NULL: from output */
    const char *triple, *cpu, *features; /* NULL: this machine */
    bool musl;             /* one static executable with musl's libc */
    bool blas;             /* products of f32 and f64 are calls of OpenBLAS */
    int level;             /* 0 … 3 */
    const kt_symbol_binding *bindings;
    uint32_t binding_count;
    const char *dump_dir;  /* or NULL */
    const char *print_after; /* a pass, "all", or NULL: to standard error */
    bool time_passes;      /* to standard error */
    bool debug;            /* debug information; the graph that it refers to is among the dumps, or OUT.kir */
    const char *report;    /* an HTML file, or NULL */
    bool weights_file;     /* weights go into OUTPUT.weights instead of the program */
    const kt_training_info *training; /* NULL: the program only predicts */
    const kt_quantization *quantization; /* NULL: nothing is quantised */
    bool bf16;             /* products by weights round their operands to bfloat16 */
    kt_memory *memory;     /* what a step of training may need; NULL: as much as it takes */
    kt_tuning *tuning;     /* what choices are made by, and are noted in; NULL: the cost model alone */
    const char *note;      /* for the report; or NULL */
    bool verify;           /* the graph after every pass, and the plans against the kernels */
    bool loaded;           /* KT_EMIT_SHARED: without the runtime, and no header; exports NAME_program, a kt_program */
} kt_compile_options;

/* Optimises graph in place and writes what is asked for. Files appear whole and all together, or none
 * does; dumps, as they are made. */
kt_status kt_compile(kt_graph *graph, const kt_compile_options *options, kt_diag *diag) KT_MUST_USE;

/* The entry `prepare`; 0: there is none. Without parameters, if it makes constants of no weights. */
kt_status kt_prepare_find(const kt_graph *graph, kt_func *out_prepare, kt_diag *diag) KT_MUST_USE;
/* Runs `prepare` and lays its results out, each at a multiple of 64 bytes (codegen/constants.c). */
kt_status kt_constants_prepare(kt_graph *graph, kt_arena *arena, uint64_t *out_offsets, uint64_t *out_bytes, kt_diag *diag) KT_MUST_USE;
/* Which variables do contexts keep? Those that an entry reads or changes; where there are an optimizer's, all that
 * have a place in Keras's file. */
bool *kt_variables_kept(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count, kt_arena *arena);
/* Adds to the constants what kept variables begin with that is not in the file of weights (or NULL), and not zeros: by
 * variable, 1 + that constant or 0. */
const uint32_t *kt_variables_begin(kt_graph *graph, const bool *kept, const struct kt_weights *weights, kt_arena *arena);
/* Lays constants out without knowing them. */
void kt_constants_lay_out(const kt_graph *graph, uint64_t *out_offsets, uint64_t *out_bytes);
/* ---- weights in a file (codegen/weights.c); the format is runtime/weights.h's ---------------- */
typedef struct kt_weights {
    kt_text list;      /* of variables, as in the file */
    uint64_t list_hash;
    uint64_t *offsets; /* by variable: in the file; 0: it is not there */
    uint64_t bytes;    /* of the file */
    uint32_t count;    /* of variables in it: weights, and neither states, slots nor metrics' */
} kt_weights;
kt_weights kt_weights_lay_out(const kt_graph *graph, kt_arena *arena);
kt_status kt_weights_pack(const kt_graph *graph, kt_arena *arena, const void **out_file, size_t *out_bytes,
                          kt_diag *diag) KT_MUST_USE;
/* Turns `prepare`, which has been fused, into an entry with inputs (variables) and outputs (constants). */
void kt_prepare_offer(kt_graph *graph, kt_func prepare);
/* A program's symbols in the users' order (codegen/symbols.c); returns how many. */
uint32_t kt_program_symbols(const kt_graph *graph, kt_arena *arena, const kt_dim **out_symbols);
/* The symbol under which a program's code finds its constants. */
const char *kt_constants_symbol(kt_arena *arena, const char *program_name);
/* An ELF relocatable object with one hidden symbol over the constants, written by ourselves (codegen/elf.c). */
kt_status kt_elf_write_constants(const char *path, const char *symbol, const kt_graph *graph, const uint64_t *offsets,
                                 uint64_t bytes, const kt_target *target, kt_diag *diag) KT_MUST_USE;
/* Turns object files into what `form` says, at output, where nothing lies (codegen/link.c). directory: for
 * temporary files. The runtime's members that are needed go in; libraries and objects keep only symbols that begin
 * with `name`_ visible. debug: nothing is stripped. loaded: without the runtime. */
kt_status kt_link(kt_emit form, const kt_target *target, bool debug, bool loaded, const char *const *objects, uint32_t object_count, const char *name,
                  const char *directory, const char *output, kt_arena *arena, kt_diag *diag) KT_MUST_USE;
/* Whether programs for target can be linked on this machine; else diag says what to install. */
kt_status kt_link_check(const kt_target *target, kt_arena *arena, kt_diag *diag) KT_MUST_USE;
/* The JSON of `describe` (codegen/describe.c). */
const char *kt_describe_json(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count, const char *name,
                             const kt_target *target, uint64_t constants_bytes, kt_arena *arena);
/* The C header of a library (codegen/header.c). */
void kt_header_print(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count, const char *name, bool weights_file,
                     bool trains, bool saves, kt_text *out_text);
/* text made an identifier: what is no letter or digit becomes '_', a digit in front gets one. */
const char *kt_identifier(kt_arena *arena, const char *text);

#endif
