/* Training steps: forward in the mode of training, losses, gradients, the optimizer, metrics, as one
 * function. */
#include "frontend/training/training.h"

#include "frontend/metrics/metrics.h"
#include "frontend/models/models_impl.h"
#include "frontend/optimizers/optimizers.h"
#include "runtime/abi.h"

#include <string.h>

typedef KT_VECTOR(kt_metric *) metric_list;

/* What belongs to one output. */
typedef struct target {
    const char *name;                              /* the output's */
    const json_t *serialized;                      /* its loss; NULL: none */
    const json_t *metric_config, *weighted_config; /* a list, a name or an object; NULL: none */
    double weight;                                 /* of its loss in the sum; NaN: 1 */
    kt_loss *loss;
    kt_type type; /* of its labels */
    metric_list metrics, weighted;
    kt_metric *mean; /* of its loss, where there are several losses; else NULL */
} target;

typedef struct training {
    kt_layer_context *context;
    kt_layer *model;
    const kt_compile_config *config;
    kt_training_request *request;
    kt_graph *graph;
    kt_model_ends ends;
    target *targets; /* one an output */
    kt_optimizer *optimizer;
    KT_VECTOR(uint32_t) trainable; /* in graph.variables */
    KT_VECTOR(kt_abi_labels) labels;
    KT_VECTOR(kt_abi_merge) merges;
    kt_metric *mean; /* of the whole loss */
    bool known;      /* losses and metrics have been made */
} training;

static kt_status fail(const training *t, const char *place, const char *format, const char *name) {
    return kt_diag_add(t->context->diag, KT_INVALID, place, format, name);
}

/* ---- what belongs to which output ------------------------------------------------------------ */
/* Is value a serialised object rather than a dict of outputs' names? */
static bool is_object(const json_t *value) { return json_object_get(value, "class_name") != NULL; }

/* The part of a compile option that is for output i: of a list its i-th item, of a dict what has the output's
 * name; one value for all outputs where `shared`. */
static kt_status pick(const training *t, const char *place, const json_t *value, uint32_t i, bool shared,
                      const json_t **out_part) {
    *out_part = NULL;
    if (!value) return KT_OK;
    if (json_is_array(value)) {
        if (json_array_size(value) != t->ends.output_count)
            return fail(t, place, "the list must have one item for each output of %s.", t->model->name);
        *out_part = json_array_get(value, i);
    } else if (json_is_object(value) && !is_object(value)) {
        const char *key;
        json_t *item;
        json_object_foreach((json_t *)value, key, item) {
            bool found = false;
            for (uint32_t k = 0; k < t->ends.output_count; k++)
                found = found || strcmp(t->ends.output_names[k], key) == 0;
            if (!found) return fail(t, place, "the model has no output '%s'.", key);
        }
        *out_part = json_object_get(value, t->ends.output_names[i]);
    } else if (shared || t->ends.output_count == 1) {
        *out_part = value;
    } else {
        return fail(t, place, "must be a list or an object with an item for each output of %s.",
                    t->model->name);
    }
    if (json_is_null(*out_part)) *out_part = NULL;
    return KT_OK;
}

/* The metrics for output i. A plain list is the single output's; a list of lists has one an output. */
static kt_status pick_metrics(const training *t, const char *place, const json_t *value, uint32_t i,
                              const json_t **out_part) {
    bool nested = false;
    for (size_t k = 0; k < json_array_size(value); k++)
        nested = nested || json_is_array(json_array_get(value, k));
    if (json_is_array(value) && t->ends.output_count == 1 && !nested) {
        *out_part = value;
        return KT_OK;
    }
    return pick(t, place, value, i, false, out_part);
}

static kt_status find_targets(training *t) {
    t->targets = KT_NEW_ARRAY(t->context->arena, target, t->ends.output_count);
    for (uint32_t i = 0; i < t->ends.output_count; i++) {
        target *own = &t->targets[i];
        const json_t *weight;
        own->name = t->ends.output_names[i];
        KT_TRY(pick(t, "compile/loss", t->config->loss, i, true, &own->serialized));
        KT_TRY(pick(t, "compile/loss_weights", t->config->loss_weights, i, false, &weight));
        if (weight && !json_is_number(weight))
            return fail(t, "compile/loss_weights", "the weight of output '%s' must be a number.", own->name);
        own->weight = weight ? json_number_value(weight) : 1;
        KT_TRY(pick_metrics(t, "compile/metrics", t->config->metrics, i, &own->metric_config));
        KT_TRY(pick_metrics(t, "compile/weighted_metrics", t->config->weighted_metrics, i,
                            &own->weighted_config));
    }
    return KT_OK;
}

static kt_status read_metrics(kt_trace *trace, const target *own, const kt_type *output, const char *place,
                              const json_t *config, metric_list *out_list) {
    bool list = json_is_array(config);
    size_t count = list ? json_array_size(config) : config ? 1 : 0;
    for (size_t k = 0; k < count; k++) {
        const json_t *item = list ? json_array_get(config, k) : config;
        if (json_is_null(item)) continue;
        kt_metric *metric = kt_metric_read(trace, item, &own->type, output, place);
        if (!metric) return KT_INVALID;
        KT_PUSH(trace->context->arena, out_list, metric);
    }
    return KT_OK;
}

static bool has_labels(const target *own) { return own->loss || own->metrics.count || own->weighted.count; }

/* Makes losses, metrics and what the logs are called, once the outputs' types are known. */
static kt_status make_targets(training *t, kt_model_entry *entry) {
    kt_status status = KT_OK;
    int64_t input = t->ends.input_count; /* the next for labels, as in add_labels */
    uint32_t losses = 0;
    for (uint32_t i = 0; i < t->ends.output_count; i++) losses += t->targets[i].serialized != NULL;
    if (!losses)
        return kt_diag_add(t->context->diag, KT_INVALID, "compile/loss", "it gives no output a loss.");
    for (uint32_t i = 0; i < t->ends.output_count; i++) {
        target *own = &t->targets[i];
        const kt_type output = *kt_build_type(&entry->builder, entry->outputs[i]);
        kt_abi_labels labels = {.ignored = KT_ABI_NO_CLASS};
        if (own->serialized) {
            own->loss = kt_loss_read(t->context, own->serialized, "compile/loss");
            if (!own->loss) status = KT_INVALID;
        }
        own->type = output;
        if (own->loss) own->type = kt_loss_target_type(own->loss, &entry->builder, &output);
        kt_status read =
            read_metrics(&entry->trace, own, &output, "compile/metrics", own->metric_config, &own->metrics);
        if (read == KT_OK)
            read = read_metrics(&entry->trace, own, &output, "compile/weighted_metrics", own->weighted_config,
                                &own->weighted);
        if (read != KT_OK) status = read;
        if (own->loss && losses > 1)
            own->mean =
                kt_metric_mean_create(t->context, kt_arena_format(t->context->arena, "%s_loss", own->name));
        if (!has_labels(own)) continue;
        labels.input = input++;
        if (own->loss &&
            kt_loss_has_classes(own->loss, &entry->builder, &output, &labels.classes, &labels.ignored))
            KT_PUSH(t->context->arena, &t->labels, labels);
    }
    t->mean = kt_metric_mean_create(t->context, "loss");
    t->request->info.labels = t->labels.at;
    t->request->info.label_count = t->labels.count;
    return status;
}

/* ---- a step ---------------------------------------------------------------------------------- */
typedef struct step {
    training *t;
    kt_model_entry entry;
    kt_value *labels, *sample_weights; /* by output, or 0 */
    bool weighted;
    uint32_t inputs; /* so far */
    KT_VECTOR(kt_value) logs;
    KT_VECTOR(const char *) names; /* by number, as the next two */
    KT_VECTOR(int32_t) betters, sizes;
} step;

/* No input's: a name that repeats one gets _1, as everywhere. */
static const char *port_name(const training *t, const char *what, const target *own) {
    kt_arena *arena = t->context->arena;
    const char *name = t->ends.output_count == 1 ? what : kt_arena_format(arena, "%s_%s", what, own->name);
    for (uint32_t i = 0; i < t->ends.input_count; i++) {
        if (strcmp(t->ends.input_names[i], name) != 0) continue;
        name = kt_arena_format(arena, "%s_1", name);
        i = UINT32_MAX; /* from the first again */
    }
    return name;
}

static kt_value add_port(step *s, const char *what, uint32_t output, const kt_type *type) {
    const char *name = port_name(s->t, what, &s->t->targets[output]);
    return kt_builder_param(&s->entry.builder, KT_ROLE_INPUT, name, s->inputs++, type);
}

static void add_labels(step *s) {
    training *t = s->t;
    s->inputs = t->ends.input_count;
    s->labels = KT_NEW_ARRAY(t->context->arena, kt_value, t->ends.output_count);
    s->sample_weights = KT_NEW_ARRAY(t->context->arena, kt_value, t->ends.output_count);
    for (uint32_t i = 0; i < t->ends.output_count; i++)
        if (has_labels(&t->targets[i])) s->labels[i] = add_port(s, "labels", i, &t->targets[i].type);
}

/* Where there is a number of the loss for each sample, or one for each of its steps, so is a weight; values:
 * those numbers, or 0 without a loss, where they would be the means along the last axis. */
static void add_weights(step *s, uint32_t output, kt_value values) {
    if (!s->weighted || !has_labels(&s->t->targets[output])) return;
    kt_type type = *kt_build_type(&s->entry.builder, values ? values : s->entry.outputs[output]);
    if (!values) type.rank--;
    if (type.rank < 1) type.rank = 1;
    type.dtype = KT_F32;
    type.dims[0] = s->entry.batch;
    s->sample_weights[output] = add_port(s, "sample_weight", output, &type);
}

/* How many samples there are, as float32. */
static kt_value batch_size(step *s) {
    kt_builder *b = &s->entry.builder;
    return kt_build_cast(b, kt_build_size(b, s->entry.batch), KT_F32);
}

/* total and what the layers add to it. */
static kt_value add_layer_losses(step *s, kt_value total) {
    kt_trace *trace = &s->entry.trace;
    kt_builder *b = trace->builder;
    kt_value penalty = kt_layer_regularization(s->t->model, trace);
    if (penalty) KT_PUSH(s->t->context->arena, &trace->losses, penalty);
    for (uint32_t i = 0; i < trace->losses.count; i++) {
        kt_value loss = kt_build_cast(b, trace->losses.at[i], KT_F32);
        total = total ? kt_build_add(b, total, loss) : loss;
    }
    return total;
}

/* The sum of all losses, a float32 scalar; the outputs' own means are counted. */
static kt_value add_losses(step *s) {
    training *t = s->t;
    kt_trace *trace = &s->entry.trace;
    kt_builder *b = trace->builder;
    kt_value total = 0;
    for (uint32_t i = 0; i < t->ends.output_count; i++) {
        target *own = &t->targets[i];
        trace->path = "loss";
        kt_trace_at(trace, own->loss ? own->loss->name : own->name);
        kt_value values = own->loss ? kt_loss_values(own->loss, trace, s->labels[i], s->entry.outputs[i]) : 0;
        if (own->loss && !values) return 0;
        add_weights(s, i, values);
        if (!own->loss) continue;
        kt_value value =
            kt_loss_reduce(own->loss, trace, s->labels[i], values, s->sample_weights[i], s->entry.masks[i]);
        if (!value) return 0;
        const kt_type type = *kt_build_type(b, value);
        if (type.rank > 0) { /* reduction none: Keras takes the mean */
            int64_t axes[KT_MAX_RANK];
            for (int axis = 0; axis < type.rank; axis++) axes[axis] = axis;
            kt_value sum = kt_build_reduce(b, value, KT_REDUCE_SUM, type.rank, axes);
            kt_dim count = kt_dim_const(t->graph->dims, 1);
            for (int axis = 0; axis < type.rank; axis++)
                count = kt_dim_mul(t->graph->dims, count, type.dims[axis]);
            value = kt_build_div(b, sum, kt_build_cast(b, kt_build_size(b, count), type.dtype));
        }
        /* On TensorFlow each batch counts once, a last smaller one too: Keras asks for its size before it is
         * known. */
        if (own->mean) kt_metric_mean_add(own->mean, trace, value, 0);
        if (own->weight != 1) value = kt_build_mul(b, value, kt_build_scalar(b, KT_F32, own->weight));
        total = total ? kt_build_add(b, total, value) : value;
    }
    return add_layer_losses(s, total);
}

/* As Keras warns of what has no gradient: it is forgotten, or cut off, more often than meant. */
static void warn_of_kept(training *t, const kt_value *gradients) {
    kt_text text = {.arena = t->context->arena};
    for (uint32_t i = 0; i < t->trainable.count; i++)
        if (!gradients[i])
            kt_text_format(&text, "%s%s", text.length ? ", " : "",
                           t->graph->variables.at[t->trainable.at[i]].path);
    if (text.length)
        t->request->warning = kt_arena_format(
            t->context->arena, "The loss does not depend on %s: not trained.", kt_text_string(&text));
}

/* What the step is given of a variable, which layers may have assigned since. */
static kt_value given(const kt_trace *trace, uint32_t variable) {
    const kt_function *function = &trace->builder->function;
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *param = &function->params.at[i];
        if (param->role == KT_ROLE_VARIABLE && param->index == variable) return param->value;
    }
    return 0;
}

static void descend(step *s, kt_value loss) {
    training *t = s->t;
    kt_trace *trace = &s->entry.trace;
    uint32_t count = t->trainable.count;
    kt_value *values = KT_NEW_ARRAY(t->context->arena, kt_value, count);
    kt_value *gradients = KT_NEW_ARRAY(t->context->arena, kt_value, count);
    for (uint32_t i = 0; i < count; i++) {
        (void)kt_trace_variable(trace, t->trainable.at[i]); /* what nothing has read so far is given, too */
        values[i] = given(trace, t->trainable.at[i]);
    }
    kt_value scale = kt_optimizer_loss_scale(t->optimizer, trace);
    if (scale) loss = kt_build_mul(trace->builder, loss, scale);
    kt_build_reached_gradient(trace->builder, loss, values, count, gradients);
    bool *moved = KT_NEW_ARRAY(t->context->arena, bool, t->graph->variables.count);
    for (uint32_t i = 0; i < count; i++) moved[t->trainable.at[i]] = gradients[i] != 0;
    if (trace->builder->status == KT_OK) warn_of_kept(t, gradients);
    trace->path = "optimizer";
    kt_trace_at(trace, "apply");
    kt_optimizer_apply(t->optimizer, trace, gradients);
    kt_layer_constrain(t->model, trace, kt_optimizer_moves(t->optimizer), moved);
}

static void add_log(step *s, kt_metric *metric, const char *name, int better) {
    kt_arena *arena = s->t->context->arena;
    kt_builder *b = &s->entry.builder;
    kt_value result = kt_metric_result(metric, &s->entry.trace);
    int64_t numbers = 1;
    KT_PUSH(arena, &s->logs, result);
    const kt_type type = result && b->status == KT_OK ? *kt_build_type(b, result) : (kt_type){0};
    if (type.rank > 1 || (type.rank && !kt_dim_is_const(b->graph->dims, type.dims[0], &numbers))) {
        fail(s->t, "compile/metrics", "the metric '%s' gives what is neither a number nor a list of them.",
             name);
        s->entry.trace.failed = true;
        return;
    }
    for (int64_t i = 0; i < numbers; i++) {
        KT_PUSH(arena, &s->names, name);
        KT_PUSH(arena, &s->betters, better);
        KT_PUSH(arena, &s->sizes, type.rank ? (i ? -1 : (int32_t)numbers) : 0);
    }
}

/* What Keras calls the metrics in logs, in the order in which update_all comes to them. */
static void name_metrics(const training *t, kt_metric_log *logs) {
    uint32_t count = 0;
    for (int weighted = 0; weighted < 2; weighted++) {
        for (uint32_t i = 0; i < t->ends.output_count; i++) {
            const target *own = &t->targets[i];
            const metric_list *list = weighted ? &own->weighted : &own->metrics;
            const char *output = t->ends.output_count > 1 ? own->name : NULL;
            for (uint32_t k = 0; k < list->count; k++)
                logs[count++] = (kt_metric_log){list->at[k], output, weighted, NULL};
        }
    }
    kt_metric_log_names(t->context->arena, logs, count);
}

/* names: of the list's metrics; returns those behind them. */
static const kt_metric_log *update_metrics(step *s, const metric_list *list, uint32_t output,
                                           kt_value sample_weight, const kt_metric_log *names) {
    kt_trace *trace = &s->entry.trace;
    trace->path = "metrics";
    for (uint32_t k = 0; k < list->count; k++) {
        kt_metric *metric = list->at[k];
        kt_trace_at(trace, metric->name);
        kt_metric_update(metric, trace, s->labels[output], s->entry.outputs[output], sample_weight,
                         s->entry.masks[output]);
        add_log(s, metric, names[k].name, kt_metric_better(metric));
    }
    return names + list->count;
}

static void update_all(step *s) {
    training *t = s->t;
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->ends.output_count; i++)
        count += t->targets[i].metrics.count + t->targets[i].weighted.count;
    kt_metric_log *logs = KT_NEW_ARRAY(t->context->arena, kt_metric_log, count + 1);
    name_metrics(t, logs);
    const kt_metric_log *at = logs;
    for (uint32_t i = 0; i < t->ends.output_count; i++)
        at = update_metrics(s, &t->targets[i].metrics, i, 0, at);
    for (uint32_t i = 0; i < t->ends.output_count; i++)
        at = update_metrics(s, &t->targets[i].weighted, i, s->sample_weights[i], at);
}

/* All logs in one tensor, the loss first. */
static void give_logs(step *s) {
    training *t = s->t;
    kt_builder *b = &s->entry.builder;
    const kt_dim one = kt_dim_const(t->graph->dims, 1);
    if (s->entry.trace.failed) return;
    for (uint32_t i = 0; i < s->logs.count; i++) {
        if (!s->logs.at[i] || b->status != KT_OK) return;
        const kt_type type = *kt_build_type(b, s->logs.at[i]);
        s->logs.at[i] =
            kt_build_reshape(b, kt_build_cast(b, s->logs.at[i], KT_F32), 1, type.rank ? type.dims : &one);
    }
    kt_value logs = s->logs.count > 1 ? kt_build_concat(b, s->logs.at, s->logs.count, 0) : s->logs.at[0];
    kt_builder_result(b, KT_ROLE_OUTPUT, "logs", 0, logs);
    t->request->info.log_names = s->names.at;
    t->request->info.log_betters = s->betters.at;
    t->request->info.log_sizes = s->sizes.at;
    t->request->info.log_count = s->names.count;
}

/* Has a model the policy mixed_float16, for which Keras scales the loss? Functional models do not say in
 * which policy they were made, but their layers do. */
static bool is_mixed_float16(const kt_layer *model) {
    bool found = model->compute_dtype == KT_F16 && model->variable_dtype == KT_F32;
    if (model->dtype) return found;
    for (uint32_t i = 0; !found && i < model->children.count; i++)
        found = is_mixed_float16(model->children.at[i]);
    return found;
}

static kt_status build_state(step *s, bool train) {
    training *t = s->t;
    kt_trace *trace = &s->entry.trace;
    if (!t->known) {
        KT_TRY(make_targets(t, &s->entry));
        for (uint32_t i = 0; i < t->ends.output_count; i++) {
            target *own = &t->targets[i];
            const kt_type output = *kt_build_type(&s->entry.builder, s->entry.outputs[i]);
            for (uint32_t k = 0; k < own->metrics.count; k++)
                kt_metric_build(own->metrics.at[k], trace, &own->type, &output);
            for (uint32_t k = 0; k < own->weighted.count; k++)
                kt_metric_build(own->weighted.at[k], trace, &own->type, &output);
        }
        t->known = true;
    }
    if (!train || t->optimizer) return KT_OK;
    const json_t *optimizer = t->config->optimizer;
    if (is_mixed_float16(t->model)) optimizer = kt_optimizer_scaled(t->context, optimizer);
    t->optimizer = kt_optimizer_read(t->context, optimizer, "compile/optimizer");
    if (!t->optimizer) return KT_INVALID;
    for (uint32_t i = 0; i < t->graph->variables.count; i++) {
        const kt_variable *variable = &t->graph->variables.at[i];
        if (variable->kind == KT_VARIABLE_WEIGHT && variable->trainable)
            KT_PUSH(t->context->arena, &t->trainable, i);
    }
    kt_optimizer_build(t->optimizer, trace, t->trainable.at, t->trainable.count);
    kt_optimizer_copies copies = {0};
    kt_optimizer_list_copies(t->optimizer, t->context->arena, "optimizer", &copies);
    t->request->info.optimizer = kt_optimizer_name(t->optimizer);
    t->request->info.copies = copies.at;
    t->request->info.copies_count = copies.count;
    return KT_OK;
}

static kt_status trace_step(training *t, const char *name, bool train, bool weighted) {
    step *s = KT_NEW(t->context->arena, step);
    s->t = t;
    s->weighted = weighted;
    KT_TRY(kt_model_begin_entry(t->context, t->model, &t->ends, t->graph, name, train, true, &s->entry));
    KT_TRY(build_state(s, train));
    add_labels(s);
    kt_value loss = add_losses(s);
    if (!loss) return KT_INVALID;
    kt_metric_mean_add(t->mean, &s->entry.trace, loss, batch_size(s));
    if (train) descend(s, loss);
    s->entry.trace.path = "metrics";
    add_log(s, t->mean, t->mean->name, -1);
    for (uint32_t i = 0; i < t->ends.output_count; i++)
        if (t->targets[i].mean) add_log(s, t->targets[i].mean, t->targets[i].mean->name, -1);
    update_all(s);
    give_logs(s);
    return kt_model_finish_entry(&s->entry);
}

/* Lists what weights of the layer and the layers in it are saved with, each once. */
static void list_merges(training *t, const kt_layer *layer) {
    for (uint32_t i = 0; i < layer->weights.count && layer->graph == t->graph; i++) {
        const kt_weight *factor = &layer->weights.at[i];
        if (!factor->factor) continue;
        const kt_variable *variables = t->graph->variables.at;
        const kt_abi_merge merge = {.path = variables[layer->weights.at[factor->adapted].variable].path,
                                    .a = variables[factor->variable].path,
                                    .b = variables[layer->weights.at[++i].variable].path,
                                    .scale = factor->scale};
        bool listed = false;
        for (uint32_t k = 0; k < t->merges.count; k++) listed |= t->merges.at[k].a == merge.a;
        if (!listed) KT_PUSH(t->context->arena, &t->merges, merge);
    }
    for (uint32_t i = 0; i < layer->children.count; i++) list_merges(t, layer->children.at[i]);
}

static kt_status trace_all(void *object) {
    training *t = object;
    t->context->trains = t->request->train;
    KT_TRY(kt_model_find_ends(t->context, t->model, &t->ends));
    KT_TRY(find_targets(t));
    t->graph = kt_graph_create(t->context->arena, t->model->name);
    KT_TRY(kt_model_trace_predict(t->context, t->model, &t->ends, t->graph));
    if (t->request->train) {
        KT_TRY(trace_step(t, "train_step", true, false));
        KT_TRY(trace_step(t, "train_step_weighted", true, true));
    }
    KT_TRY(trace_step(t, "evaluate_step", false, false));
    KT_TRY(trace_step(t, "evaluate_step_weighted", false, true));
    if (t->request->train) list_merges(t, t->model);
    t->request->info.merges = t->merges.at;
    t->request->info.merges_count = t->merges.count;
    t->request->info.train = t->request->train;
    return KT_OK;
}

kt_status kt_model_trace_training(kt_layer_context *context, kt_layer *model, const kt_compile_config *config,
                                  kt_training_request *request, kt_graph **out_graph) {
    training t = {.context = context, .model = model, .config = config, .request = request};
    KT_TRY(kt_guarded(trace_all, &t, context->diag));
    *out_graph = t.graph;
    return KT_OK;
}
