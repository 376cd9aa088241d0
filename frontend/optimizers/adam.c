/* Adam (Kingma and Ba 2014), and AMSGrad (Reddi et al. 2018). */
#include "frontend/optimizers/optimizers_impl.h"

typedef struct adam {
    kt_optimizer optimizer;
    double beta_1, beta_2, epsilon;
    bool amsgrad;
} adam;

static const kt_option options[] = {
    KT_OPTIMIZER_OPTIONS("adam", "0.001"),  KT_FIELD(adam, beta_1, FLOAT, "0.9"),
    KT_FIELD(adam, beta_2, FLOAT, "0.999"), KT_FIELD(adam, epsilon, FLOAT, "1e-7"),
    KT_FIELD(adam, amsgrad, BOOL, "false"), KT_OPTIONS_END,
};

static kt_status check(kt_object *object, kt_layer_context *context) {
    if (!((const adam *)object)->amsgrad) return KT_OK;
    return kt_object_reject(object, context, KT_UNSUPPORTED, "amsgrad", "is not supported yet.");
}

/* old + (x - old) * (1 - beta) */
static kt_value move(kt_trace *trace, kt_value old, kt_value x, double beta) {
    kt_builder *b = trace->builder;
    return kt_build_add(b, old, kt_optimizer_scale_by(trace, kt_build_sub(b, x, old), 1 - beta));
}

/* 1 - beta ** step, a float32 scalar */
static kt_value correction(kt_trace *trace, double beta, kt_value step) {
    kt_builder *b = trace->builder;
    kt_value power = kt_build_pow(b, kt_build_scalar(b, KT_F32, beta), step);
    return kt_build_sub(b, kt_build_scalar(b, KT_F32, 1), power);
}

static kt_value update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                       kt_value gradient) {
    const adam *self = (const adam *)optimizer;
    kt_builder *b = trace->builder;
    kt_value root = kt_build_sqrt(b, correction(trace, self->beta_2, optimizer->step));
    kt_value rate = kt_build_div(b, kt_build_mul(b, optimizer->learning_rate_now, root),
                                 correction(trace, self->beta_1, optimizer->step));
    kt_value first = move(trace, kt_optimizer_slot(optimizer, trace, i, 0), gradient, self->beta_1);
    kt_value second = move(trace, kt_optimizer_slot(optimizer, trace, i, 1),
                           kt_build_mul(b, gradient, gradient), self->beta_2);
    kt_optimizer_set_slot(optimizer, trace, i, 0, first);
    kt_optimizer_set_slot(optimizer, trace, i, 1, second);
    kt_value below = kt_build_add(b, kt_build_sqrt(b, second), kt_build_like(b, second, self->epsilon));
    return kt_build_sub(b, variable, kt_build_div(b, kt_optimizer_scale(trace, first, rate), below));
}

static const char *const slots[] = {"momentum", "velocity", NULL};
const kt_optimizer_class kt_optimizer_adam = {{.name = "Adam",
                                               .aliases = "adam",
                                               .doc = "adaptive moments",
                                               .bytes = sizeof(adam),
                                               .options = options,
                                               .check = check},
                                              .slots = slots,
                                              .update = update};
