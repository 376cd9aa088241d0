/* Muon (Jordan et al. 2024; Liu et al. 2025): matrices move by their momentum made orthogonal, by Newton's
 * and Schulz's iteration; all other variables by AdamW. */
#include "frontend/layers/layers_impl.h"
#include "frontend/optimizers/optimizers_impl.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

typedef struct muon {
    kt_optimizer optimizer;
    double adam_beta_1, adam_beta_2, adam_weight_decay, epsilon, muon_a, muon_b, muon_c, adam_lr_ratio,
        momentum, rms_rate;
    int64_t ns_steps;
    bool nesterov, exclude_embeddings;
    const json_t *exclude_layers; /* regular expressions; NULL: none */
} muon;

static const kt_option options[] = {
    KT_OPTIMIZER_OPTIONS("muon", "0.001", "0.004"),
    KT_FIELD(muon, adam_beta_1, FLOAT, "0.9"),
    KT_FIELD(muon, adam_beta_2, FLOAT, "0.999"),
    KT_FIELD(muon, adam_weight_decay, OPTIONAL_FLOAT, "0.004"),
    KT_FIELD(muon, epsilon, FLOAT, "1e-7"),
    KT_FIELD(muon, exclude_layers, JSON, "[]"),
    KT_FIELD(muon, exclude_embeddings, BOOL, "true"),
    KT_FIELD(muon, muon_a, FLOAT, "3.4445"),
    KT_FIELD(muon, muon_b, FLOAT, "-4.7750"),
    KT_FIELD(muon, muon_c, FLOAT, "2.0315"),
    KT_FIELD(muon, adam_lr_ratio, FLOAT, "1"),
    KT_FIELD(muon, momentum, FLOAT, "0.95"),
    KT_FIELD(muon, ns_steps, INT, "5"),
    KT_FIELD(muon, nesterov, BOOL, "true"),
    KT_FIELD(muon, rms_rate, OPTIONAL_FLOAT, "0.2"),
    KT_OPTIONS_END,
};
enum { MOMENTUM, VELOCITY };
/* One more is a longer graph; Keras's default is 5. */
static const int64_t most_steps = 100;

/* ---- which variables ------------------------------------------------------------------------- */
static kt_status check(kt_object *object, kt_layer_context *context) {
    const muon *self = (const muon *)object;
    kt_status status = kt_optimizer_check_range(object, context, "ns_steps",
                                                self->ns_steps >= 0 && self->ns_steps <= most_steps,
                                                "must be between 0 and 100.");
    if (self->exclude_layers && !json_is_array(self->exclude_layers))
        status =
            kt_object_reject(object, context, KT_INVALID, "exclude_layers", "must be a list of strings.");
    for (size_t i = 0; i < json_array_size(self->exclude_layers); i++) {
        const char *expression = json_string_value(json_array_get(self->exclude_layers, i));
        bool understood = false;
        if (expression) kt_optimizer_matches(expression, "", false, &understood);
        if (!understood)
            status = kt_object_reject(object, context, KT_UNSUPPORTED, "exclude_layers",
                                      "must hold plain regular expressions; item %zu is none.", i);
    }
    return status;
}

static bool is_embedding(const char *path) {
    static const char word[] = "embedding";
    for (; *path; path++) {
        size_t k = 0;
        while (word[k] && tolower((unsigned char)path[k]) == word[k]) k++;
        if (!word[k]) return true;
    }
    return false;
}

/* Does AdamW move variable i? */
static bool is_adams(const kt_optimizer *optimizer, const kt_trace *trace, uint32_t i) {
    const muon *self = (const muon *)optimizer;
    const kt_variable *variable = &trace->builder->graph->variables.at[optimizer->trained.at[i]];
    if (variable->type.rank != 2 || (self->exclude_embeddings && is_embedding(variable->path))) return true;
    bool found = false, understood;
    for (size_t k = 0; k < json_array_size(self->exclude_layers); k++)
        found = found || kt_optimizer_matches(json_string_value(json_array_get(self->exclude_layers, k)),
                                              variable->path, false, &understood);
    return found;
}

static void build(kt_optimizer *optimizer, kt_trace *trace) {
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        const kt_type type = kt_optimizer_type(optimizer, trace, i);
        kt_optimizer_add_slot(optimizer, trace, i, MOMENTUM, "momentum", &type, 0);
        if (is_adams(optimizer, trace, i))
            kt_optimizer_add_slot(optimizer, trace, i, VELOCITY, "velocity", &type, 0);
    }
}

static double decay(const kt_optimizer *optimizer, const kt_trace *trace, uint32_t i) {
    return is_adams(optimizer, trace, i) ? ((const muon *)optimizer)->adam_weight_decay
                                         : optimizer->weight_decay;
}

/* ---- updates --------------------------------------------------------------------------------- */
static kt_value contract(kt_trace *trace, kt_value x, int x_axis, kt_value y, int y_axis) {
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {x_axis}}, .rhs_contract = {1, {y_axis}}};
    return kt_build_dot_general(trace->builder, x, y, &attrs);
}

/* x with all singular values near 1. A tall matrix is treated as its transpose: products are taken the other
 * way round. */
static kt_value orthogonal(const muon *self, kt_trace *trace, kt_value x) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, x);
    int64_t rows, columns;
    bool known = kt_dim_is_const(b->graph->dims, type.dims[0], &rows) &&
                 kt_dim_is_const(b->graph->dims, type.dims[1], &columns);
    KT_ASSERT(known);
    bool tall = known && rows > columns;
    kt_value norm = kt_build_sqrt(b, kt_optimizer_sum(trace, kt_optimizer_square(trace, x)));
    x = kt_optimizer_divide(trace, x, kt_optimizer_add_number(trace, norm, 1e-7));
    for (int64_t step = 0; step < self->ns_steps; step++) {
        kt_value square = contract(trace, x, !tall, x, !tall);
        kt_value more = contract(trace, kt_optimizer_scale_by(trace, square, self->muon_c), 1, square, 0);
        kt_value sum = kt_build_add(b, kt_optimizer_scale_by(trace, square, self->muon_b), more);
        kt_value product = tall ? contract(trace, x, 1, sum, 1) : contract(trace, sum, 1, x, 0);
        x = kt_build_add(b, kt_optimizer_scale_by(trace, x, self->muon_a), product);
    }
    return x;
}

static kt_value update_matrix(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                              kt_value gradient) {
    const muon *self = (const muon *)optimizer;
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, variable);
    kt_value old = kt_optimizer_slot(optimizer, trace, i, MOMENTUM);
    kt_value lost = kt_optimizer_scale_by(trace, old, self->momentum - 1);
    kt_value momentum = kt_build_add(b, old, kt_build_add(b, gradient, lost));
    kt_optimizer_set_slot(optimizer, trace, i, MOMENTUM, momentum);
    kt_value direction = momentum;
    if (self->nesterov)
        direction = kt_build_add(b, gradient, kt_optimizer_scale_by(trace, momentum, self->momentum));
    kt_value change = kt_optimizer_scale(trace, orthogonal(self, trace, direction),
                                         kt_optimizer_rate(optimizer, trace, type.dtype));
    int64_t rows = 1, columns = 1;
    if (!isnan(self->rms_rate) && kt_dim_is_const(b->graph->dims, type.dims[0], &rows) &&
        kt_dim_is_const(b->graph->dims, type.dims[1], &columns))
        change =
            kt_optimizer_scale_by(trace, change, sqrt(fmax((double)rows, (double)columns)) * self->rms_rate);
    return kt_build_sub(b, variable, change);
}

static kt_value update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                       kt_value gradient) {
    if (!is_adams(optimizer, trace, i)) return update_matrix(optimizer, trace, i, variable, gradient);
    const muon *self = (const muon *)optimizer;
    kt_dtype dtype = kt_build_type(trace->builder, variable)->dtype;
    kt_value rate = kt_build_mul(trace->builder, kt_optimizer_rate(optimizer, trace, dtype),
                                 kt_build_scalar(trace->builder, dtype, self->adam_lr_ratio));
    const kt_adam_numbers numbers = {self->adam_beta_1, self->adam_beta_2, self->epsilon};
    return kt_optimizer_adam_update(optimizer, trace, i, &numbers, rate, variable, gradient);
}

const kt_optimizer_class kt_optimizer_muon = {{.name = "Muon",
                                               .aliases = "muon",
                                               .doc = "matrices by orthogonal momentum, all else by AdamW",
                                               .bytes = sizeof(muon),
                                               .options = options,
                                               .check = check},
                                              .build = build,
                                              .update = update,
                                              .decay = decay};
