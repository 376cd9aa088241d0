/* StackedRNNCells: cells on top of one another as one cell, whose states are those of all, in order. */
#include "frontend/layers/recurrent/recurrent_impl.h"

#include <string.h>

typedef struct stacked {
    kt_layer layer; /* its children are the cells, from the lowest on */
} stacked;

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const json_t *cells = json_object_get(config, "cells");
    const char *path = layer->path ? layer->path : layer->name;
    kt_status status = KT_OK;
    layer->child_group = "cells";
    if (json_array_size(cells) == 0)
        return kt_layer_reject(layer, context, KT_INVALID, "cells", "must be a list of cells.");
    for (size_t i = 0; i < json_array_size(cells); i++) {
        kt_layer *cell = kt_layer_from_config(context, json_array_get(cells, i), path);
        if (cell) KT_PUSH(context->arena, &layer->children, cell);
        if (!cell || !kt_cell_check(layer, context, cell)) status = KT_UNSUPPORTED;
    }
    return status;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_t *cells = json_array();
    for (uint32_t i = 0; i < layer->children.count; i++)
        json_array_append_new(cells, kt_layer_get_config(layer->children.at[i]));
    json_object_set_new(config, "cells", cells);
}

static uint32_t state_count(const kt_layer *layer) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < layer->children.count; i++)
        count += kt_cell_find(layer->children.at[i])->state_count(layer->children.at[i]);
    return count;
}

/* Keras takes the first state of the last cell. */
static uint32_t output_state(const kt_layer *layer) {
    const kt_layer *last = layer->children.at[layer->children.count - 1];
    const kt_cell_kind *kind = kt_cell_find(last);
    return state_count(layer) - kind->state_count(last) + kind->output_state(last);
}

static void state_types(const kt_layer *layer, kt_dim_pool *dims, const kt_type *input, kt_type *out_types) {
    kt_type type = *input;
    for (uint32_t i = 0; i < layer->children.count; i++) {
        const kt_layer *cell = layer->children.at[i];
        const kt_cell_kind *kind = kt_cell_find(cell);
        kind->state_types(cell, dims, &type, out_types);
        type = out_types[kind->output_state(cell)];
        out_types += kind->state_count(cell);
    }
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_type *input) {
    const char *outer = trace->path;
    kt_type type = *input, states[KT_MAX_STATES];
    kt_status status = KT_OK;
    for (uint32_t i = 0; i < layer->children.count && status == KT_OK; i++) {
        kt_layer *cell = layer->children.at[i];
        const kt_cell_kind *kind = kt_cell_find(cell);
        trace->path = cell->path;
        if (!cell->built) status = kind->build(cell, trace, &type);
        kt_layer_renew(cell, trace);
        kind->state_types(cell, trace->builder->graph->dims, &type, states);
        type = states[kind->output_state(cell)];
    }
    trace->path = outer;
    return status;
}

static void draw(kt_layer *layer, kt_trace *trace, const kt_type *input) {
    const char *outer = trace->path;
    kt_type type = *input, states[KT_MAX_STATES];
    for (uint32_t i = 0; i < layer->children.count; i++) {
        kt_layer *cell = layer->children.at[i];
        const kt_cell_kind *kind = kt_cell_find(cell);
        trace->path = cell->path;
        kt_layer_renew(cell, trace);
        kind->draw(cell, trace, &type);
        kind->state_types(cell, trace->builder->graph->dims, &type, states);
        type = states[kind->output_state(cell)];
    }
    trace->path = outer;
}

static kt_value project(kt_layer *layer, kt_trace *trace, kt_value x) {
    return kt_cell_find(layer->children.at[0])->project(layer->children.at[0], trace, x);
}

static kt_value step(kt_layer *layer, kt_trace *trace, kt_value x, kt_value *states) {
    const char *outer = trace->path;
    for (uint32_t i = 0; i < layer->children.count; i++) {
        kt_layer *cell = layer->children.at[i];
        const kt_cell_kind *kind = kt_cell_find(cell);
        trace->path = cell->path;
        kt_layer_renew(cell, trace);
        if (i > 0) x = kind->project(cell, trace, kt_build_cast(trace->builder, x, cell->compute_dtype));
        x = kind->step(cell, trace, x, states);
        states += kind->state_count(cell);
    }
    trace->path = outer;
    return x;
}

const kt_cell_kind kt_stacked_cells = {
    &kt_class_stacked_rnn_cells, state_count, output_state, state_types, build, draw, project, step};

const kt_layer_class kt_class_stacked_rnn_cells = {
    .name = "StackedRNNCells",
    .module = "keras.layers",
    .doc = "cells on top of one another, as one",
    .bytes = sizeof(stacked),
    .read_config = read_config,
    .write_config = write_config,
    .build = kt_cell_build_alone,
    .call = kt_cell_call_alone,
    .output_count = kt_cell_outputs_alone,
};
