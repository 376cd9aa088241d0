/* Keratin from C: models that are built, trained and asked in the process at hand.
 *
 *   kt_model *model = kt_model_create("digits");
 *   int x = kt_model_input(model, "image", KT_F32, 1, (int64_t[]){64});
 *   x = kt_model_layer(model, "Dense", "{\"units\": 32, \"activation\": \"relu\"}", &x, 1);
 *   x = kt_model_layer(model, "Dense", "{\"units\": 10, \"activation\": \"softmax\"}", &x, 1);
 *   kt_model_output(model, x);
 *   if (kt_model_compile(model, "adam", "sparse_categorical_crossentropy", "accuracy") ||
 *       kt_model_fit(model, &data, NULL, NULL))
 *       puts(kt_model_error(model));
 *   kt_model_destroy(model);
 *
 * Compiling makes native code of the model and its training step, as `keratin compile --train` does, and loads it; the
 * linker `cc` has to be there. Layers, optimizers, losses and metrics are Keras's, by their names and options, and what
 * is fitted, evaluated and saved is the same, bit for bit, as by a program that was compiled from the same model.
 *
 * Functions that return int give 0, or 1 and a whole sentence in kt_model_error, which stays until the next failure; where
 * they give numbers of things, 0 is the failure. One thread at a time may use a model; several models may be used at once.
 * Link with -lkeratin. */
#ifndef KERATIN_KERATIN_H
#define KERATIN_KERATIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef KT_BUFFER_DEFINED
#define KT_BUFFER_DEFINED
enum { KT_F32, KT_F64, KT_F16, KT_BF16, KT_I8, KT_I16, KT_I32, KT_I64, KT_U8, KT_U16, KT_U32, KT_U64, KT_BOOL, KT_STRING, KT_C64 };
/* A dense row-major array in memory. capacity in bytes; where an array is only read, it does not matter. */
typedef struct {
    void *data;
    int64_t capacity;
    int32_t dtype, rank;
    int64_t dims[8];
} kt_buffer;
#endif

typedef struct kt_model kt_model;

/* ---- building -------------------------------------------------------------------------------- */
/* An empty model, a Functional of Keras; NULL: there is no memory. */
kt_model *kt_model_create(const char *name);
/* A .keras archive: with its weights, and unless kt_model_compile is told otherwise, what it was compiled with and the
 * optimizer's state. It is read when it is compiled. NULL: there is no memory. */
kt_model *kt_model_open(const char *path);
void kt_model_destroy(kt_model *model); /* NULL is allowed */
/* What failed last; "" if nothing did. */
const char *kt_model_error(const kt_model *model);

/* An input of shape [batch, dims[0], …], dtype KT_…; -1 in dims is open. A number for it, or 0. */
int kt_model_input(kt_model *model, const char *name, int32_t dtype, int rank, const int64_t *dims);
/* A layer ("Dense") with the options of its Keras class as a JSON object (NULL: none), called on the tensors with
 * these numbers. "name" is the class's in snake case, numbered, unless the options say another. The number of its
 * (first) output, or 0. An input that is 0 gives 0, so that only the end needs to be checked. */
int kt_model_layer(kt_model *model, const char *class_name, const char *options, const int *inputs, int input_count);
/* Makes a tensor the model's next output. */
int kt_model_output(kt_model *model, int tensor);

/* ---- compiling ------------------------------------------------------------------------------- */
/* Before compiling: how many threads are used [0: all cores], and what the initial weights follow from [0]. */
void kt_model_set_threads(kt_model *model, int threads);
void kt_model_set_seed(kt_model *model, uint64_t seed);
/* Each is a name of Keras's or JSON as Keras serialises it: "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\":
 * 0.01}}"; metrics also several names with commas between, or NULL: none. Of an opened model NULL is its own. Weights of
 * a model that was created are drawn by its layers' initializers, from seeds of their own as in Keras on TensorFlow. Once
 * a model. */
int kt_model_compile(kt_model *model, const char *optimizer, const char *loss, const char *metrics);

/* ---- training: all of it wants a compiled model ---------------------------------------------- */
/* Samples: arrays whose first dimension counts them; numeric dtypes are converted to the model's. The arrays are only
 * read, and must last as long as the call. */
typedef struct {
    const kt_buffer *inputs; /* of the model, in order */
    int input_count;
    const kt_buffer *labels; /* one for each output that has a loss or metrics; [n] and [n, 1] are the same */
    int label_count;
    /* One array for each of the labels; count 0: none. [n], or where the loss has a number for each step, as that of an
     * output [n, time, classes] has, [n, time]: then [n] and [n, 1] are for all steps of a sample. One without data and
     * dimensions weighs each sample 1. */
    const kt_buffer *sample_weights;
    int sample_weight_count;
    /* Arrays whose data is NULL are not in memory: their samples are asked for, a batch at a time, as dtype and dims say:
     * count of them, those with the numbers rows, or where that is NULL those from first on. array: which array, counted
     * through inputs, labels and sample_weights. Not 0 means that it cannot, and ends what was going on. */
    int (*read)(void *read_data, int array, const int64_t *rows, int64_t first, int64_t count, void *out);
    void *read_data;
} kt_data;

/* Zeros are the defaults, those of Keras's fit. */
typedef struct {
    int64_t epochs, batch_size;  /* 0: 1, 32 */
    const kt_data *validation;   /* NULL: none */
    double validation_split;     /* the share of the last samples that validate; 0: none */
    int no_shuffle;
    uint64_t seed;               /* of the order of samples */
    int verbose;                 /* print a line an epoch, or a bar, to standard output */
    const char *class_weight;    /* "0=1,1=5"; NULL: none. The next as fit --help of a trainer says; NULL: no */
    const char *early_stopping;  /* "monitor=val_loss,patience=3" */
    const char *reduce_lr;       /* "monitor=val_loss,factor=0.1,patience=10" */
    int terminate_on_nan;        /* 1: training ends where the loss is no number; 2: and fails */
    const char *csv_log;         /* a file */
    const char *checkpoint;      /* a directory, for the state of the run after each epoch */
    int resume;                  /* go on from what is there */
} kt_fit_settings;

/* Called while a model is fitted; any may be NULL, data is handed back. logs: of the step, in the order of kt_model_log_name;
 * of an epoch as in the history. What is called may predict, save, load and use kt_model_variable, but not fit or evaluate
 * the model. epoch_end and batch_end: not 0 ends training. */
typedef struct {
    void *data;
    void (*train_begin)(kt_model *model, void *data);
    void (*train_end)(kt_model *model, void *data);
    void (*epoch_begin)(kt_model *model, int64_t epoch, void *data);
    int (*epoch_end)(kt_model *model, int64_t epoch, const char *const *names, const double *logs, int count, void *data);
    void (*batch_begin)(kt_model *model, int64_t batch, void *data);
    int (*batch_end)(kt_model *model, int64_t batch, const float *logs, int count, void *data);
} kt_fit_callbacks;

/* The logs of all epochs of the last fit, Keras's History: values[epoch * name_count + log]. */
typedef struct {
    const char *const *names; /* "accuracy", "loss", "val_accuracy", "val_loss" */
    int name_count;
    int64_t epochs;
    const double *values;
} kt_fit_history;

/* Trains on all samples, epochs times. settings, callbacks: or NULL. */
int kt_model_fit(kt_model *model, const kt_data *data, const kt_fit_settings *settings, const kt_fit_callbacks *callbacks);
/* It lasts until the next fit; without epochs before the first. */
kt_fit_history kt_model_history(const kt_model *model);
/* The loss and the metrics of samples: out_logs has room for kt_model_log_count numbers. batch_size 0: 32. */
int kt_model_evaluate(kt_model *model, const kt_data *data, int64_t batch_size, float *out_logs);
int kt_model_log_count(const kt_model *model);
/* "loss", "accuracy". A metric that is a vector has as many logs, of one name. */
const char *kt_model_log_name(const kt_model *model, int log);
/* out_outputs: room for output_count, which must be the model's; their data is from malloc, the caller's to free.
 * batch_size 0: 32. */
int kt_model_predict(kt_model *model, const kt_buffer *inputs, int input_count, int64_t batch_size, kt_buffer *out_outputs,
                     int output_count);

/* ---- what it knows --------------------------------------------------------------------------- */
/* Writes .keras or .weights.h5, by path's ending, for Keras, the optimizer's state included; the file appears whole or not
 * at all. */
int kt_model_save(kt_model *model, const char *path);
/* Reads the variables of such a file of the same model; if that fails, none has changed. */
int kt_model_load(kt_model *model, const char *path);
/* A variable by Keras's path ("dense/kernel", "optimizer/learning_rate"): read into buffer, whose dtype and dims are filled
 * in (data NULL: these alone), or written from it, which must have the variable's. */
int kt_model_variable(kt_model *model, const char *path, kt_buffer *buffer, int write);

#ifdef __cplusplus
}
#endif
#endif
