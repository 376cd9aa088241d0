/* What generated code is handed, and the tables that describe a compiled program to the runtime.
 *
 * This is the one header that compiler and runtime share. The compiler writes a kt_program into every object
 * it makes; the runtime (contexts, threads, workspace, files) reads it. Nothing here is executed by a table
 * walker: every size, offset and trip count that depends on a symbol is computed by one generated function,
 * `bind`, into an array of int64 values, and the tables below refer to positions in that array. */
#ifndef KT_RUNTIME_ABI_H
#define KT_RUNTIME_ABI_H

#include <stdint.h>

#define KT_ABI_VERSION 10
#define KT_MAX_RANK    8

/* The order is part of the contract with users of compiled libraries. */
#ifndef KT_BUFFER_DEFINED
#define KT_BUFFER_DEFINED
enum { KT_F32, KT_F64, KT_F16, KT_BF16, KT_I8, KT_I16, KT_I32, KT_I64, KT_U8, KT_U16, KT_U32, KT_U64, KT_BOOL, KT_STRING, KT_C64 };
/* A dense row-major tensor in memory. capacity in bytes; dims are filled in by the call. */
typedef struct {
    void *data;
    int64_t capacity;
    int32_t dtype, rank;
    int64_t dims[8];
} kt_buffer;
#endif
#define KT_DTYPE_COUNT 15

/* A kernel computes part `part` of `parts` of one step. args: the step's buffers, operands first, then
 * results; symbols: the entry's symbol values. Units of work [part*units/parts, (part+1)*units/parts) belong
 * to a part, and no result depends on parts: so results are bit-identical for any number of threads. */
typedef void kt_kernel_fn(void *const *args, const int64_t *symbols, int64_t part, int64_t parts);

/* Evaluates every dimension expression of an entry: values[0 .. value_count). */
typedef void kt_bind_fn(const int64_t *symbols, int64_t *values);

typedef struct kt_abi_step {
    kt_kernel_fn *kernel;
    const char *name;      /* kernel name, and the layer paths it serves, for profiles */
    const char *locations;
    uint32_t first_arg;    /* into kt_abi_entry.args */
    uint32_t arg_count;
    uint32_t units;        /* value index: how many units of work there are (at least 1) */
    uint32_t cost;         /* value index: estimated computing, in nanoseconds of one core */
    uint32_t operations;   /* value index: arithmetic operations, and bytes read and written, for profiles */
    uint32_t bytes;
    uint32_t leading;      /* 1: units go along the leading axes of operands and results, so that a part mostly
                            * reads what the same part of the step before has written */
} kt_abi_step;

typedef enum kt_abi_place {
    KT_PLACE_INPUT,    /* index: the entry's input */
    KT_PLACE_OUTPUT,   /* index: the entry's output */
    KT_PLACE_CONSTANT, /* index: byte offset into the program's constants */
    KT_PLACE_ARENA,    /* at an offset of the workspace */
    KT_PLACE_VARIABLE, /* index: byte offset into the context's variables */
    KT_PLACE_NEXT,     /* the same, of what the variable becomes when the call ends */
    KT_PLACE_SLICE,    /* index: a buffer, of which this is the slice, `bytes` long, that a loop stands at */
} kt_abi_place;

typedef struct kt_abi_buffer {
    uint32_t place;       /* kt_abi_place */
    uint32_t bytes;       /* value index */
    uint64_t index;       /* see kt_abi_place */
    uint32_t first, last; /* arena: the steps that write it first and read it last; slices: first is the loop */
} kt_abi_buffer;

/* Steps that are repeated. Loops stand in the order of their first steps, outer ones first. */
typedef struct kt_abi_loop {
    uint32_t first_step, end_step;
    uint32_t length;                 /* value index: how often */
    uint32_t reverse;                /* slices are taken from the last to the first */
    uint32_t first_move, move_count; /* into kt_abi_entry.moves */
    uint32_t apart;                  /* 1: no turn reads what another writes, and no loop is inside */
    uint32_t batch; /* 1 + the symbol that says how many samples there are on the first axes of all that steps write, if none of
                     * them is made of another and no loop is inside; else 0 */
} kt_abi_loop;

/* What an input of training's steps may hold that is numbers of classes. */
#define KT_ABI_NO_CLASS INT64_MIN
typedef struct kt_abi_labels {
    int64_t input;   /* which of the steps' it is */
    int64_t classes; /* labels are 0 to one below; 0: whole numbers, whatever they are */
    int64_t ignored; /* one that may be there besides; KT_ABI_NO_CLASS: none */
} kt_abi_labels;

typedef struct kt_abi_tensor {
    const char *name;
    int32_t dtype, rank;
    uint32_t dims[KT_MAX_RANK];  /* value indices */
    const kt_abi_labels *labels; /* NULL: it may hold any numbers */
} kt_abi_tensor;

/* Where the value of a symbol is read off the inputs: dimension `axis` of input `input`. */
typedef struct kt_abi_symbol {
    const char *name;
    uint32_t input, axis;
} kt_abi_symbol;

/* Two dimensions that must be equal, for reasons that only the inputs can tell. */
typedef struct kt_abi_check {
    uint32_t left, right; /* value indices */
    const char *sentence; /* names both sides */
} kt_abi_check;

typedef struct kt_abi_entry {
    const char *name; /* "predict" */
    kt_bind_fn *bind;
    uint32_t value_count;
    uint32_t symbol_count, input_count, output_count, buffer_count, arg_count, step_count, check_count,
        loop_count;
    uint32_t batch; /* 1 + the symbol that says how many samples there are on the first axes of all inputs and outputs, if none
                     * of them is made of another; else 0 */
    const kt_abi_symbol *symbols;
    const kt_abi_tensor *inputs, *outputs;
    const kt_abi_buffer *buffers;
    const uint32_t *args; /* buffer indices */
    const kt_abi_step *steps;
    const kt_abi_check *checks;
    const kt_abi_loop *loops;
    const uint32_t *moves; /* the args that a loop points anew in each turn */
} kt_abi_entry;

/* CPU features a program may need; a context refuses to be created without them. */
enum {
    KT_CPU_AVX = 1, KT_CPU_AVX2 = 2, KT_CPU_FMA = 4, KT_CPU_F16C = 8, KT_CPU_AVX512F = 16, KT_CPU_AVX512BW = 32,
    KT_CPU_AVX512DQ = 64, KT_CPU_AVX512VL = 128, KT_CPU_SSE41 = 256, KT_CPU_SSE42 = 512, KT_CPU_POPCNT = 1024,
    KT_CPU_BMI = 2048, KT_CPU_BMI2 = 4096, KT_CPU_LZCNT = 8192, KT_CPU_MOVBE = 16384, KT_CPU_AVX512CD = 32768,
    KT_CPU_NEON = 65536, KT_CPU_AVX512VNNI = 131072, KT_CPU_AVX512BF16 = 262144,
};

/* Of a program whose weights lie in a file (runtime/weights.h). `prepare` is no entry that users call: its inputs are
 * variables in the file, its outputs the constants. */
typedef struct kt_abi_weights {
    const kt_abi_entry *prepare; /* NULL: the constants are not made of weights, and in the program */
    const char *file_name;       /* beside what the program is linked into; NULL: that file's name and ".weights" */
    uint64_t list_hash;          /* of the variables in the file */
    uint64_t bytes;              /* of the file */
    const uint64_t *inputs;      /* byte offsets in the file, by input of prepare */
    const uint64_t *outputs;     /* byte offsets in the constants, by output of prepare */
} kt_abi_weights;

/* A variable that contexts keep from call to call. */
enum { KT_KEPT_WEIGHT, KT_KEPT_STATE, KT_KEPT_SLOT, KT_KEPT_METRIC }; /* as kt_variable_kind */
#define KT_ABI_ZEROS UINT64_MAX
typedef struct kt_abi_variable {
    const char *path;      /* Keras's variable.path */
    const char *file_path; /* its place in Keras's weight file; NULL: none */
    int32_t dtype, rank;
    int64_t dims[KT_MAX_RANK];
    uint32_t kind;         /* KT_KEPT_… */
    uint32_t trainable;
    uint64_t offset;       /* into what contexts keep, bytes */
    uint64_t begin;        /* what it begins with, in the constants; KT_ABI_ZEROS: zeros */
    uint64_t file_begin;   /* the same in the .weights file, which goes before; 0: it is not there */
} kt_abi_variable;

/* Variables that Keras's file holds twice: those of an optimizer within another, which comes before those within it.
 * optimizer/vars/FIRST, … are PLACE/vars/0, … too. */
typedef struct kt_abi_copies {
    const char *place; /* "optimizer/inner_optimizer" */
    const char *name;  /* the optimizer's */
    uint32_t first, count;
} kt_abi_copies;

/* A variable to which Keras's file adds scale * a · b, along a's last axis and b's first: a kernel with LoRA's factors, which
 * are not in the file, and are zeros once it has been read. */
typedef struct kt_abi_merge {
    const char *path, *a, *b; /* of variables */
    double scale;
} kt_abi_merge;

/* Of a program that evaluates or trains. The output "logs" of its steps holds the loss, then the metrics. */
typedef struct kt_program kt_program;
struct kt_context;
/* Reads a .keras or .weights.h5 into the context's variables; 0, or 1 with a sentence. */
typedef int kt_load_fn(struct kt_context *context, const char *path, char *out_error);
typedef int kt_verb_fn(const kt_program *program, int argc, char **argv); /* returns the exit status */
typedef struct kt_abi_training {
    const char *const *log_names;
    const int32_t *log_betters; /* 1 where higher is better, -1 where lower is, 0: unknown */
    const int32_t *log_sizes;   /* 0: a log of one number; else a number of a vector: of the first how many, of others -1 */
    uint64_t log_count;         /* of numbers; those of a vector share its name */
    const char *config;   /* the archive's config.json and metadata.json, for checkpoints; NULL: there are none */
    const char *metadata;
    const char *optimizer; /* its name, with which Keras's paths of its variables begin; NULL: there is none */
    const kt_abi_copies *copies;
    uint64_t copies_count;
    const kt_abi_merge *merges;
    uint64_t merges_count;
    kt_verb_fn *evaluate, *fit; /* NULL: the program cannot */
    kt_load_fn *load;
} kt_abi_training;

struct kt_program {
    uint32_t abi_version;
    uint32_t entry_count;
    const char *name;
    const char *version;  /* of the compiler */
    const char *target;   /* triple and CPU, for people */
    const char *describe; /* the JSON text of `describe` */
    uint64_t cpu_features;
    const uint8_t *constants; /* 64-byte aligned; NULL where they are prepared */
    uint64_t constants_bytes;
    uint64_t variables_bytes; /* what a context keeps from call to call */
    uint32_t variable_count;
    const kt_abi_variable *variables;
    const kt_abi_entry *entries;
    const kt_abi_weights *weights; /* NULL: they are in the program */
    const kt_abi_training *training; /* NULL: it only predicts */
};

#endif
