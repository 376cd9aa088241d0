/* What the files of optimizers share. */
#ifndef KT_FRONTEND_OPTIMIZERS_IMPL_H
#define KT_FRONTEND_OPTIMIZERS_IMPL_H

#include "frontend/optimizers/optimizers.h"
#include "frontend/schedules/schedules.h"

/* What a class does in place of the usual frame, because it wraps other optimizers: as the functions of
 * optimizers.h. */
typedef struct kt_optimizer_frame {
    void (*build)(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count);
    void (*apply)(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients);
    void (*list_copies)(const kt_optimizer *optimizer, kt_arena *arena, const char *place, kt_optimizer_copies *out_copies);
    kt_value (*loss_scale)(kt_optimizer *optimizer, kt_trace *trace); /* NULL: by the option */
} kt_optimizer_frame;

typedef struct kt_optimizer_class {
    kt_object_class object;
    /* Adds slots by kt_optimizer_add_slot, in the order of Keras's files; NULL: there are none. */
    void (*build)(kt_optimizer *optimizer, kt_trace *trace);
    /* What a step does once, before it updates variables; may be NULL. */
    void (*begin)(kt_optimizer *optimizer, kt_trace *trace);
    /* The new value of variable i; slots are read and assigned through kt_optimizer_slot and kt_optimizer_set_slot. */
    kt_value (*update)(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable, kt_value gradient);
    /* The share of variable i that a step takes away, times the learning rate; NaN: nothing. NULL: the option. */
    double (*decay)(const kt_optimizer *optimizer, const kt_trace *trace, uint32_t i);
    const kt_optimizer_frame *frame; /* NULL: the usual one */
} kt_optimizer_class;

#define KT_OPTIMIZER(name) extern const kt_optimizer_class kt_optimizer_##name;
#include "frontend/optimizers/classes.def"
#undef KT_OPTIMIZER

enum { KT_OPTIMIZER_SLOTS = 3 }; /* of a variable, at most */

struct kt_optimizer {
    kt_object object;
    const char *name;
    const json_t *learning_rate; /* a number, or a schedule */
    double weight_decay, clipnorm, clipvalue, global_clipnorm, ema_momentum, loss_scale_factor;
    bool use_ema;
    int64_t ema_overwrite_frequency, gradient_accumulation_steps;
    bool wrapped;          /* in a LossScaleOptimizer */
    kt_schedule *schedule; /* NULL: the learning rate is a number */
    const char *folder;    /* what its variables' names begin with, "adam/"; NULL: nothing */
    /* once built: variables of the graph */
    uint32_t iteration, rate; /* no rate where there is a schedule */
    uint32_t first, count; /* numbers in Keras's file: of iteration, and how many there are by now */
    KT_VECTOR(uint32_t) trained;
    KT_VECTOR(uint32_t) slots;        /* KT_OPTIMIZER_SLOTS of the first variable, of the second, … */
    KT_VECTOR(uint32_t) averages;     /* with use_ema */
    KT_VECTOR(uint32_t) accumulators; /* with gradient_accumulation_steps */
    /* of the step that is being written */
    kt_value updates;           /* how many there were before, int64 */
    kt_value learning_rate_now; /* float32 */
    kt_value only_if;           /* what is assigned stays as it was where this bool is false; 0: never */
};

/* The options that all optimizers have. */
#define KT_OPTIMIZER_OPTIONS(default_name, default_rate, default_decay)                                      \
    {"name", KT_OPTION_STRING, offsetof(kt_optimizer, name), "\"" default_name "\""},                        \
        {"learning_rate", KT_OPTION_JSON, offsetof(kt_optimizer, learning_rate), default_rate},              \
        {"weight_decay", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, weight_decay), default_decay},     \
        {"clipnorm", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, clipnorm), "null"},                    \
        {"clipvalue", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, clipvalue), "null"},                  \
        {"global_clipnorm", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, global_clipnorm), "null"},      \
        {"use_ema", KT_OPTION_BOOL, offsetof(kt_optimizer, use_ema), "false"},                               \
        {"ema_momentum", KT_OPTION_FLOAT, offsetof(kt_optimizer, ema_momentum), "0.99"},                     \
        {"ema_overwrite_frequency", KT_OPTION_OPTIONAL_INT, offsetof(kt_optimizer, ema_overwrite_frequency), \
         "null"},                                                                                            \
        {"loss_scale_factor", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, loss_scale_factor), "null"},  \
        {"gradient_accumulation_steps", KT_OPTION_OPTIONAL_INT,                                              \
         offsetof(kt_optimizer, gradient_accumulation_steps), "null"}

/* All of an optimizer's variables as copies at a place, and what it wraps below that. */
void kt_optimizer_copy(const kt_optimizer *optimizer, kt_arena *arena, const char *place, kt_optimizer_copies *out_copies);

/* ---- patterns.c ------------------------------------------------------------------------------ */
/* Is there a part of text (whole: is it all of the text) that a regular expression matches? false, too, where it is none
 * that Python and POSIX read alike. */
bool kt_optimizer_matches(const char *expression, const char *text, bool whole, bool *out_understood);

/* ---- slots ----------------------------------------------------------------------------------- */
/* The iteration, and the learning rate where it is a number: what an optimizer has even if it trains nothing. */
void kt_optimizer_add_counters(kt_optimizer *optimizer, kt_trace *trace);
/* A variable "optimizer/NAME" of its own, whose elements begin as a number; its number in the graph. */
uint32_t kt_optimizer_add_variable(kt_optimizer *optimizer, kt_trace *trace, const char *name, const kt_type *type,
                                   double begin);
/* The same, for what Keras keeps as a plain attribute: in a LossScaleOptimizer such variables are in no file. */
uint32_t kt_optimizer_add_loose(kt_optimizer *optimizer, kt_trace *trace, const char *name, const kt_type *type,
                                double begin);
/* Slot number `slot` of variable i, "optimizer/dense_kernel_NAME": of a type, whose elements begin as a number. */
void kt_optimizer_add_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot, const char *name,
                           const kt_type *type, double begin);
/* Slots that are as their variables, and begin as zeros: of the first variable as many as there are names (one behind
 * the other, ending with NULL), of the second, …; the first is slot number `slot`. */
void kt_optimizer_add_slots(kt_optimizer *optimizer, kt_trace *trace, uint32_t slot, const char *const *names);
kt_type kt_optimizer_type(const kt_optimizer *optimizer, const kt_trace *trace, uint32_t i); /* of variable i */
kt_value kt_optimizer_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot);
void kt_optimizer_set_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot, kt_value value);
/* Gives a variable of the graph a new value, on condition (only_if). */
void kt_optimizer_assign(kt_optimizer *optimizer, kt_trace *trace, uint32_t variable, kt_value value);

/* ---- arithmetic: scalars are made in the variable's dtype, as Keras does --------------------- */
/* The learning rate; the number of this update, from 1 on, and `ahead` more. */
kt_value kt_optimizer_rate(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype);
kt_value kt_optimizer_step(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype, int ahead);
/* 1 - beta ** step */
kt_value kt_optimizer_correction(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype, double beta);
/* 1 - number, which is rounded to the dtype first. */
kt_value kt_optimizer_rest(kt_trace *trace, kt_dtype dtype, double number);
/* x and a scalar: in x's shape. */
kt_value kt_optimizer_spread(kt_trace *trace, kt_value scalar, kt_value x);
kt_value kt_optimizer_scale(kt_trace *trace, kt_value x, kt_value scalar);  /* x * scalar */
kt_value kt_optimizer_divide(kt_trace *trace, kt_value x, kt_value scalar); /* x / scalar */
kt_value kt_optimizer_scale_by(kt_trace *trace, kt_value x, double number);
kt_value kt_optimizer_add_number(kt_trace *trace, kt_value x, double number);
kt_value kt_optimizer_square(kt_trace *trace, kt_value x);
/* old + (x - old) * (1 - beta), and beta * old + (1 - beta) * x: the same, but for rounding. */
kt_value kt_optimizer_move(kt_trace *trace, kt_value old, kt_value x, double beta);
kt_value kt_optimizer_mix(kt_trace *trace, kt_value old, kt_value x, double beta);
kt_value kt_optimizer_sum(kt_trace *trace, kt_value x);    /* of all elements, a scalar */
kt_value kt_optimizer_choose(kt_trace *trace, kt_value condition, kt_value x, kt_value y); /* by a scalar bool */

typedef struct kt_adam_numbers {
    double beta_1, beta_2, epsilon;
    bool amsgrad;
} kt_adam_numbers;
/* Adam's new value of a variable, at a learning rate. Its slots are momentum and velocity, and with amsgrad the
 * velocity's largest value. */
kt_value kt_optimizer_adam_update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, const kt_adam_numbers *numbers,
                                  kt_value rate, kt_value variable, kt_value gradient);

/* Where a number is not right: option NAME of CLASS and the sentence's end, "must be between 0 and 1.", say. */
kt_status kt_optimizer_check_range(const kt_object *object, kt_layer_context *context, const char *option, bool right,
                                   const char *sentence);

#endif
