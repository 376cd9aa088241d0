/* What the files of optimizers share. */
#ifndef KT_FRONTEND_OPTIMIZERS_IMPL_H
#define KT_FRONTEND_OPTIMIZERS_IMPL_H

#include "frontend/optimizers/optimizers.h"

typedef struct kt_optimizer_class {
    kt_object_class object;
    const char *const *slots; /* names of the slots of each variable, "momentum"; ends with NULL */
    bool (*slotless)(const kt_optimizer *optimizer); /* does it do without them? NULL: never */
    /* The new value of variable i; slots are read and assigned through kt_optimizer_slot and kt_optimizer_set_slot. */
    kt_value (*update)(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable, kt_value gradient);
} kt_optimizer_class;

#define KT_OPTIMIZER(name) extern const kt_optimizer_class kt_optimizer_##name;
#include "frontend/optimizers/classes.def"
#undef KT_OPTIMIZER

struct kt_optimizer {
    kt_object object;
    const char *name;
    const json_t *learning_rate; /* a number, or a schedule */
    double weight_decay, clipnorm, clipvalue, global_clipnorm, ema_momentum, loss_scale_factor;
    bool use_ema;
    int64_t ema_overwrite_frequency, gradient_accumulation_steps;
    /* once built */
    uint32_t iteration, rate;            /* variables of the graph */
    KT_VECTOR(uint32_t) trained;         /* variables */
    KT_VECTOR(uint32_t) slots;           /* slots of the first, of the second, … */
    kt_value step;                       /* of the step being written: the iteration from 1 on, float32 */
    kt_value learning_rate_now;          /* float32 */
};

/* The options that all optimizers have. */
#define KT_OPTIMIZER_OPTIONS(default_name, default_rate)                                                     \
    {"name", KT_OPTION_STRING, offsetof(kt_optimizer, name), "\"" default_name "\""},                        \
        {"learning_rate", KT_OPTION_JSON, offsetof(kt_optimizer, learning_rate), default_rate},              \
        {"weight_decay", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, weight_decay), "null"},            \
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

kt_value kt_optimizer_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot);
void kt_optimizer_set_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot, kt_value value);
/* scalar * x, scalar a float32 scalar: in x's dtype and shape. */
kt_value kt_optimizer_scale(kt_trace *trace, kt_value x, kt_value scalar);
kt_value kt_optimizer_scale_by(kt_trace *trace, kt_value x, double number);

#endif
