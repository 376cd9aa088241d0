/* The runtime: what a compiled program or library links. C11, libc, libm and pthreads; no globals; errors are
 * returned.
 *
 * A context holds what one caller needs to run a program: its threads, its workspace, the bindings of the
 * symbols it has seen last, its last error. Any number of contexts may run at once, each used by one thread at
 * a time. */
#ifndef KT_RUNTIME_RUNTIME_H
#define KT_RUNTIME_RUNTIME_H

#include "runtime/abi.h"

#include <stddef.h>

/* Error codes of kt_context_call and of NAME_predict: 0 is success. */
enum {
    KT_ERROR_ARGUMENT = 1, /* wrong entry, symbol below 1, missing pointer, shapes that do not fit */
    KT_ERROR_MEMORY = 2,
    KT_ERROR_CAPACITY = 3, /* an output buffer is too small */
    KT_ERROR_FILE = 4,     /* a file that cannot be read or written, or holds something else */
};

typedef struct kt_context kt_context;

/* threads: 0 for all cores this process may use. NULL: out of memory or a CPU without the features the program
 * needs, or weights that cannot be read; then out_error (room for 256, may be NULL) holds a sentence. The program must outlive the context. */
kt_context *kt_context_create(const kt_program *program, int threads, char *out_error);
/* With the weights in a file, for a program that was compiled so; NULL: the one beside the program. */
kt_context *kt_context_create_from(const kt_program *program, int threads, const char *weights, char *out_error);
/* With zeros for the weights in a file, for a program that trains and has others loaded next. */
kt_context *kt_context_create_empty(const kt_program *program, int threads, char *out_error);
void kt_context_destroy(kt_context *context); /* NULL is allowed */
const char *kt_context_error(const kt_context *context); /* "" if there was none */
/* Makes sentence the last error; is code. */
int kt_context_set_error(kt_context *context, int code, const char *sentence);
int kt_context_threads(const kt_context *context);

/* Runs an entry (its position in the program) on dense buffers: symbols in the order of describe, inputs,
 * outputs. The hot path: no allocation once a binding of the symbols has been seen, no copy of inputs and
 * outputs. Pointers need the alignment of their element type only. */
int kt_context_call(kt_context *context, uint32_t entry, const int64_t *symbols, const void *const *inputs, void *const *outputs);
/* The generic call, by name; symbols are read off the inputs' dims, which are checked; dtypes must be the
 * entry's; out: dims, rank and dtype are filled in, data may be NULL to ask for the shape only. */
int kt_context_call_buffers(kt_context *context, const char *entry, const kt_buffer *in, kt_buffer *out);
/* Rank of output index, its dims for these symbols in dims; -1: no such entry or output. */
int kt_context_output_shape(kt_context *context, const char *entry, int index, const int64_t *symbols, int64_t dims[8]);
/* What the workspace takes for these symbols, bytes. */
int64_t kt_context_workspace_bytes(kt_context *context, uint32_t entry, const int64_t *symbols);

const kt_program *kt_context_program(const kt_context *context);
/* The value of a variable of the program's list, dense; it may be written between calls. */
void *kt_context_variable(kt_context *context, uint32_t index);
/* Reads a variable by its path into buffer, or writes buffer's elements into it (write): buffer->dtype and dims are filled
 * in when it is read, and must be the variable's when it is written. data NULL: only the shape is asked for. */
int kt_context_variable_buffer(kt_context *context, const char *path, kt_buffer *buffer, int write);
/* Sets the metrics back, as before an epoch. */
void kt_context_reset_metrics(kt_context *context);

/* One step that is to be run. */
typedef struct kt_step_call {
    uint32_t entry, step_index;
    const kt_abi_step *step;
    void *const *args;
    const int64_t *symbols, *values; /* of the entry */
    int64_t parts;
} kt_step_call;
typedef struct kt_pool kt_pool;
/* From now on run is called for each step, and has to run it (kt_pool_run); NULL: no longer. */
void kt_context_observe(kt_context *context, void (*run)(void *observer, kt_pool *pool, const kt_step_call *call),
                        void *observer);

/* From now on batches of new sizes are shared out by samples wherever that is possible, whether it pays or not: for tests. */
void kt_context_force_shares(kt_context *context);

/* The features among KT_CPU_… that this CPU and its operating system have; a name for the first missing one. */
uint64_t kt_cpu_features(void);
const char *kt_cpu_feature_name(uint64_t feature);

/* ---- threads.c: a pool that spins briefly, then sleeps --------------------------------------- */
/* Up to threads - 1 workers, which start with the first job of several parts. NULL: no memory. */
kt_pool *kt_pool_create(int threads);
void kt_pool_destroy(kt_pool *pool);
int kt_pool_threads(const kt_pool *pool);
/* Runs kernel on parts 0 … parts-1, one of them on the calling thread; returns when all are done. */
void kt_pool_run(kt_pool *pool, kt_kernel_fn *kernel, void *const *args, const int64_t *symbols, int64_t parts);
/* Nanoseconds to hand a part out and wait for it, KT_HANDED_BYTES going over to its thread. Measured at the first call. The pool has several
 * threads. */
#define KT_HANDED_BYTES 4096
double kt_pool_handing(kt_pool *pool);

/* Made-up inputs of an entry, and room for its outputs behind them, for these symbols: floats in [0, 1); integers are 0 and 1, which are
 * good as indices, too. NULL: there is no memory. */
void **kt_made_up_create(const kt_abi_entry *entry, const int64_t *symbols);
void kt_made_up_destroy(const kt_abi_entry *entry, void **tensors); /* NULL is allowed */

/* ---- tensor_io/: tensors in files ---------------------------------------------------------------------------- *
 * Readers never trust the file: sizes are checked before memory is taken. Each returns 0, or 1 with a sentence
 * in out_error (room for KT_IO_ERROR), naming the file. */
#define KT_IO_ERROR 512
typedef struct kt_array {
    char *name;       /* of the member of an .npz; else NULL */
    kt_buffer buffer; /* data from malloc */
} kt_array;
typedef struct kt_arrays {
    kt_array *at;
    size_t count;
    int flat; /* from CSV: each row is a flattened sample */
} kt_arrays;
void kt_arrays_deinit(kt_arrays *arrays);
/* .npy, .npz, .csv, .jsonl by the file's first bytes; "-" is standard input. CSV: one f64 array [rows, columns]. */
int kt_arrays_read(const char *path, kt_arrays *out_arrays, char *out_error);
/* By path's ending: .npy, .csv, .json one array, .npz and .json any number; "-" is CSV on standard output. A file appears whole
 * (written beside, renamed) or not at all. */
int kt_arrays_write(const char *path, const kt_array *arrays, size_t count, char *out_error);
/* A new buffer of another dtype: as NumPy's astype, saturating where C would be undefined. */
int kt_buffer_convert(const kt_buffer *from, int32_t dtype, kt_buffer *out_buffer);
/* The same of count elements, into room that is there; both dtypes numbers. */
void kt_elements_convert(const void *from, int32_t from_dtype, void *to, int32_t to_dtype, size_t count);
/* A large .npy that stays in its file. *out_stream is NULL, and shape as it was, where the file is no such array, or
 * has less than least_bytes, and kt_arrays_read is to be asked. shape: dtype, dims and capacity; it has at least one dimension. */
typedef struct kt_stream kt_stream;
int kt_stream_open(const char *path, int64_t least_bytes, kt_stream **out_stream, kt_buffer *out_shape, char *out_error);
/* The same of rows that a function gives: those of rows, or from first on if that is NULL, as shape says, into out. It returns
 * not 0 if it cannot. array: handed to it. NULL: no memory. shape is at least one-dimensional, its capacity known. */
typedef int kt_read_rows_fn(void *object, int array, const int64_t *rows, int64_t first, int64_t count, void *out);
kt_stream *kt_stream_from(kt_read_rows_fn *read, void *object, int array, const kt_buffer *shape);
void kt_stream_close(kt_stream *stream); /* NULL is allowed */
int32_t kt_stream_dtype(const kt_stream *stream); /* as it is stored */
int kt_stream_is_file(const kt_stream *stream);     /* else rows come from a function */
/* count rows, which must be there, of the first dimension, in dtype: those of rows, or from first on if that is NULL. One
 * thread at a time. */
int kt_stream_read(kt_stream *stream, const int64_t *rows, int64_t first, int64_t count, int32_t dtype, void *out,
                   char *out_error);
size_t kt_abi_dtype_bytes(int32_t dtype);
size_t kt_abi_variable_bytes(const kt_abi_variable *variable);
const char *kt_abi_dtype_name(int32_t dtype); /* "float32" */

/* ---- main.c: the verbs of a compiled program ------------------------------------------------- */
int kt_program_main(const kt_program *program, int argc, char **argv);
/* Defined by generated code in an executable; main() is in runtime/main.c. */
extern const kt_program kt_main_program;

#endif
