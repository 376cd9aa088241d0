/* Gradient descent, with momentum (Sutskever et al. 2013). */
#include "frontend/optimizers/optimizers_impl.h"

typedef struct sgd {
    kt_optimizer optimizer;
    double momentum;
    bool nesterov;
} sgd;

static const kt_option options[] = {
    KT_OPTIMIZER_OPTIONS("SGD", "0.01"),
    KT_FIELD(sgd, momentum, FLOAT, "0.0"),
    KT_FIELD(sgd, nesterov, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_value update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                       kt_value gradient) {
    const sgd *self = (const sgd *)optimizer;
    kt_builder *b = trace->builder;
    kt_value step = kt_optimizer_scale(trace, gradient, optimizer->learning_rate_now);
    if (self->momentum == 0) return kt_build_sub(b, variable, step);
    kt_value old = kt_optimizer_slot(optimizer, trace, i, 0);
    kt_value momentum = kt_build_sub(b, kt_optimizer_scale_by(trace, old, self->momentum), step);
    kt_optimizer_set_slot(optimizer, trace, i, 0, momentum);
    if (!self->nesterov) return kt_build_add(b, variable, momentum);
    kt_value ahead = kt_build_sub(b, kt_optimizer_scale_by(trace, momentum, self->momentum), step);
    return kt_build_add(b, variable, ahead);
}

static bool slotless(const kt_optimizer *optimizer) { return ((const sgd *)optimizer)->momentum == 0; }

static const char *const slots[] = {"momentum", NULL};
const kt_optimizer_class kt_optimizer_sgd = {{.name = "SGD",
                                              .aliases = "sgd",
                                              .doc = "gradient descent, with momentum",
                                              .bytes = sizeof(sgd),
                                              .options = options},
                                             .slots = slots,
                                             .slotless = slotless,
                                             .update = update};
