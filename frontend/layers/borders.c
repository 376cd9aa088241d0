/* ZeroPadding1D–3D and Cropping1D–3D: something is put around each sample's space, or taken off it. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

enum { MAX_SPACE = 3 };

typedef struct borders {
    kt_layer layer;
    const json_t *amounts; /* 1D: a number or [before, behind]; else a number, one an axis, or pairs */
    const char *data_format;
    int space; /* how many axes lie between batch and channels */
    int64_t low[MAX_SPACE], high[MAX_SPACE];
} borders;

// clang-format off
#define DATA_FORMAT \
    KT_FIELD(borders, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first")
#define AMOUNTS(name, default_json) {name, KT_OPTION_JSON, offsetof(borders, amounts), default_json}

static const kt_option padding_options[] = {AMOUNTS("padding", "1"), DATA_FORMAT, KT_OPTIONS_END};
static const kt_option cropping_1d_options[] = {AMOUNTS("cropping", "1"), KT_OPTIONS_END};
static const kt_option cropping_2d_options[] = {AMOUNTS("cropping", "0"), DATA_FORMAT, KT_OPTIONS_END};
static const kt_option cropping_3d_options[] = {AMOUNTS("cropping", "1"), DATA_FORMAT, KT_OPTIONS_END};
// clang-format on

/* ---- options --------------------------------------------------------------------------------- */
static bool read_amount(const json_t *value, int64_t *out_amount) {
    *out_amount = json_integer_value(value);
    return json_is_integer(value) && *out_amount >= 0 && *out_amount <= INT32_MAX;
}

/* A number for both ends, or one for each. */
static bool read_pair(const json_t *value, int64_t *out_low, int64_t *out_high) {
    bool pair = json_array_size(value) == 2;
    return read_amount(pair ? json_array_get(value, 0) : value, out_low) &&
           read_amount(pair ? json_array_get(value, 1) : value, out_high);
}

static kt_status check_amounts(kt_layer *layer, kt_layer_context *context, int space) {
    borders *self = (borders *)layer;
    self->space = space;
    bool listed = space > 1 && json_is_array(self->amounts);
    bool valid = !listed || json_array_size(self->amounts) == (size_t)space;
    for (int i = 0; valid && i < space; i++) {
        const json_t *axis = listed ? json_array_get(self->amounts, (size_t)i) : self->amounts;
        valid = read_pair(axis, &self->low[i], &self->high[i]);
    }
    if (valid) return KT_OK;
    const char *option = layer->class->options[0].name;
    if (space == 1) {
        return kt_layer_reject(layer, context, KT_INVALID, option,
                               "must be a number or two numbers, none of them negative.");
    }
    const char *count = space == 2 ? "two" : "three";
    return kt_layer_reject(layer, context, KT_INVALID, option,
                           "must be a number, %s numbers, or %s pairs of numbers, none of them negative.",
                           count, count);
}

static kt_status check_1d(kt_layer *layer, kt_layer_context *context) {
    return check_amounts(layer, context, 1);
}
static kt_status check_2d(kt_layer *layer, kt_layer_context *context) {
    return check_amounts(layer, context, 2);
}
static kt_status check_3d(kt_layer *layer, kt_layer_context *context) {
    return check_amounts(layer, context, 3);
}

static json_t *write_pair(const borders *self, int i) {
    return json_pack("[I, I]", (json_int_t)self->low[i], (json_int_t)self->high[i]);
}

/* Keras writes pairs, whatever it was given. */
static void write_amounts(const kt_layer *layer, json_t *config) {
    const borders *self = (const borders *)layer;
    json_t *written = self->space == 1 ? write_pair(self, 0) : json_array();
    for (int i = 0; self->space > 1 && i < self->space; i++)
        json_array_append_new(written, write_pair(self, i));
    json_object_set_new(config, layer->class->options[0].name, written);
}

/* ---- calls ----------------------------------------------------------------------------------- */
/* The first spatial axis; 0 and a problem where the input has another rank. */
static int first_axis(const borders *self, const kt_layer_call *call) {
    int rank = self->space + 2;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return 0;
    return self->data_format && strcmp(self->data_format, "channels_first") == 0 ? 2 : 1;
}

static void call_padding(kt_layer *layer, kt_layer_call *call) {
    const borders *self = (const borders *)layer;
    kt_builder *builder = call->trace->builder;
    kt_dim_pool *dims = kt_call_dims(call);
    int first = first_axis(self, call);
    if (!first) return;
    kt_dim low[KT_MAX_RANK];
    kt_dim high[KT_MAX_RANK];
    static const int64_t interior[KT_MAX_RANK] = {0};
    for (int i = 0; i < self->space + 2; i++) low[i] = high[i] = kt_dim_const(dims, 0);
    for (int i = 0; i < self->space; i++) {
        low[first + i] = kt_dim_const(dims, self->low[i]);
        high[first + i] = kt_dim_const(dims, self->high[i]);
    }
    kt_trace_at(call->trace, "pad");
    kt_value zero = kt_build_scalar(builder, kt_call_type(call, 0)->dtype, 0);
    call->outputs[0] = kt_build_pad(builder, call->inputs[0], zero, low, high, interior);
}

static void call_cropping(kt_layer *layer, kt_layer_call *call) {
    const borders *self = (const borders *)layer;
    kt_dim_pool *dims = kt_call_dims(call);
    int first = first_axis(self, call);
    if (!first) return;
    kt_type type = *kt_call_type(call, 0);
    kt_dim start[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = kt_dim_const(dims, 0);
        strides[i] = 1;
    }
    for (int i = 0; i < self->space; i++) {
        int axis = first + i;
        int64_t size;
        int64_t removed = self->low[i] + self->high[i];
        if (kt_dim_is_const(dims, type.dims[axis], &size) && removed >= size) {
            kt_trace_fail(call->trace, KT_INVALID,
                          "of the %lld elements along axis %d all %lld would be cropped.", (long long)size,
                          axis, (long long)removed);
            return;
        }
        /* What an axis of unknown size is too short for leaves nothing. */
        start[axis] = kt_dim_min(dims, kt_dim_const(dims, self->low[i]), type.dims[axis]);
        type.dims[axis] =
            kt_dim_max(dims, kt_dim_add_const(dims, type.dims[axis], -self->high[i]), start[axis]);
    }
    kt_trace_at(call->trace, "crop");
    call->outputs[0] = kt_build_slice(call->trace->builder, call->inputs[0], start, type.dims, strides);
}

#define BORDERS(c_name, keras_name, documentation, table, checks, calls)                                     \
    const kt_layer_class kt_class_##c_name = {.name = (keras_name),                                          \
                                              .module = "keras.layers",                                      \
                                              .doc = (documentation),                                        \
                                              .bytes = sizeof(borders),                                      \
                                              .options = (table),                                            \
                                              .check = (checks),                                             \
                                              .write_config = write_amounts,                                 \
                                              .call = (calls)}

BORDERS(zero_padding_1d, "ZeroPadding1D", "zeros around sequences", padding_options, check_1d, call_padding);
BORDERS(zero_padding_2d, "ZeroPadding2D", "zeros around images", padding_options, check_2d, call_padding);
BORDERS(zero_padding_3d, "ZeroPadding3D", "zeros around volumes", padding_options, check_3d, call_padding);
BORDERS(cropping_1d, "Cropping1D", "sequences without their ends", cropping_1d_options, check_1d,
        call_cropping);
BORDERS(cropping_2d, "Cropping2D", "images without their borders", cropping_2d_options, check_2d,
        call_cropping);
BORDERS(cropping_3d, "Cropping3D", "volumes without their borders", cropping_3d_options, check_3d,
        call_cropping);
