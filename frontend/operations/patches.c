/* Operation nodes that bring images to patches and back, and space to depth. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

/* ---- Unfold and Fold, of [batch, channels, height, width] ------------------------------------ */
typedef struct patches {
    kt_layer layer;
    const json_t *output_size, *kernel_size, *dilation, *padding, *stride;
} patches;
// clang-format off
#define PATCHES \
    KT_FIELD(patches, kernel_size, JSON, NULL), KT_FIELD(patches, dilation, JSON, "1"), \
    KT_FIELD(patches, padding, JSON, "0"), KT_FIELD(patches, stride, JSON, "1"), KT_OPTIONS_END
static const kt_option unfold_options[] = {PATCHES};
static const kt_option fold_options[] = {KT_FIELD(patches, output_size, JSON, NULL), PATCHES};
// clang-format on

/* Along one axis. */
typedef struct sliding {
    int64_t window, dilation, padding, stride;
    kt_dim size, places; /* of the image; of the window */
} sliding;

static bool read_sliding(const patches *p, const kt_layer_call *call, sliding out[2]) {
    kt_ints window, dilation, padding, stride;
    if (!kt_operation_spread(call, "kernel_size", p->kernel_size, 2, 1, &window) ||
        !kt_operation_spread(call, "dilation", p->dilation, 2, 1, &dilation) ||
        !kt_operation_spread(call, "padding", p->padding, 2, 0, &padding) ||
        !kt_operation_spread(call, "stride", p->stride, 2, 1, &stride))
        return false;
    for (int i = 0; i < 2; i++)
        out[i] = (sliding){window.at[i], dilation.at[i], padding.at[i], stride.at[i], 0, 0};
    return true;
}

/* How many places the window has; false and a problem where it does not fit into the image. */
static bool count_places(const kt_layer_call *call, sliding *s, kt_dim size) {
    kt_dim_pool *dims = kt_call_dims(call);
    s->size = size;
    kt_dim room = kt_dim_add_const(dims, size, 2 * s->padding - s->dilation * (s->window - 1) - 1);
    s->places = kt_dim_add_const(dims, kt_dim_floordiv(dims, room, kt_dim_const(dims, s->stride)), 1);
    int64_t known;
    if (!kt_dim_is_const(dims, s->places, &known) || known >= 1) return true;
    kt_trace_fail(call->trace, KT_INVALID, "the window does not fit into the image.");
    return false;
}

/* Where in the image element k of the window lies in place i: [window, places]; outside in the padding. */
static kt_value find_positions(kt_builder *b, const sliding *s) {
    kt_type type = {.dtype = KT_I64, .rank = 2, .dims = {kt_dim_const(b->graph->dims, s->window), s->places}};
    kt_value element = kt_build_iota(b, &type, 0), place = kt_build_iota(b, &type, 1);
    element = kt_build_mul(b, element, kt_build_like(b, element, (double)s->dilation));
    place = kt_build_mul(b, place, kt_build_like(b, place, (double)s->stride));
    return kt_add_number(b, kt_build_add(b, element, place), (double)-s->padding);
}

static bool has_rank(const kt_layer_call *call, kt_value x, int rank) {
    if (!x) return false;
    int given = kt_build_type(call->trace->builder, x)->rank;
    if (given == rank) return true;
    kt_trace_fail(call->trace, KT_INVALID, "its input must have %d axes, but has %d.", rank, given);
    return false;
}

/* The image padded, and picked from along each axis. */
static void call_unfold(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "x");
    sliding s[2];
    if (!has_rank(call, x, 4) || !read_sliding((const patches *)layer, call, s)) return;
    const kt_type type = *kt_build_type(b, x);
    kt_dim zero = kt_dim_const(dims, 0), around[4] = {zero, zero};
    for (int i = 0; i < 2; i++) {
        if (!count_places(call, &s[i], type.dims[i + 2])) return;
        around[i + 2] = kt_dim_const(dims, s[i].padding);
        s[i].padding = 0; /* which the image has from here on */
    }
    x = kt_build_pad(b, x, kt_build_scalar(b, type.dtype, 0), around, around, (const int64_t[4]){0});
    x = kt_build_gather(b, x, find_positions(b, &s[0]), 2, 0);
    x = kt_build_gather(b, x, find_positions(b, &s[1]), 4, 0);
    x = kt_build_transpose(b, x, (const int64_t[]){0, 1, 2, 4, 3, 5});
    const kt_dim shape[] = {type.dims[0], kt_dim_mul_const(dims, type.dims[1], s[0].window * s[1].window),
                            kt_dim_mul(dims, s[0].places, s[1].places)};
    call->outputs[0] = kt_build_reshape(b, x, 3, shape);
}

/* Patches are added up where they lie, axis by axis; what lies in the padding is dropped. */
static void call_fold(kt_layer *layer, kt_layer_call *call) {
    const patches *p = (const patches *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "x");
    sliding s[2];
    kt_ints size;
    if (!has_rank(call, x, 3) || !read_sliding(p, call, s) ||
        !kt_operation_spread(call, "output_size", p->output_size, 2, 1, &size))
        return;
    for (int i = 0; i < 2; i++)
        if (!count_places(call, &s[i], kt_dim_const(dims, size.at[i]))) return;
    kt_type type = *kt_build_type(b, x);
    int64_t all, elements = s[0].window * s[1].window;
    if (!kt_dim_is_const(dims, type.dims[1], &all) || all % elements != 0) {
        kt_trace_fail(
            call->trace, KT_INVALID,
            "the size of its input's axis 1 must be known, and a multiple of the window's %lld elements.",
            (long long)elements);
        return;
    }
    const kt_dim split[] = {type.dims[0],
                            kt_dim_const(dims, all / elements),
                            kt_dim_const(dims, s[0].window),
                            kt_dim_const(dims, s[1].window),
                            s[0].places,
                            s[1].places};
    x = kt_build_transpose(b, kt_build_reshape(b, x, 6, split), (const int64_t[]){0, 1, 2, 4, 3, 5});
    type = (kt_type){
        .dtype = type.dtype, .rank = 5, .dims = {split[0], split[1], s[0].size, split[3], split[5]}};
    kt_attrs_scatter add = {.kind = KT_REDUCE_SUM, .axis = 2};
    x = kt_build_scatter(b, kt_build_fill(b, &type, 0), find_positions(b, &s[0]), x, &add);
    type = (kt_type){.dtype = type.dtype, .rank = 4, .dims = {split[0], split[1], s[0].size, s[1].size}};
    add.axis = 3;
    call->outputs[0] = kt_build_scatter(b, kt_build_fill(b, &type, 0), find_positions(b, &s[1]), x, &add);
}
KT_OPERATION_WITH(unfold, "Unfold", KT_OPERATION_NN, "images taken apart into overlapping patches", patches,
                  unfold_options, call_unfold)
KT_OPERATION_WITH(fold, "Fold", KT_OPERATION_NN, "patches added up to images", patches, fold_options,
                  call_fold)

/* ---- DepthToSpace and SpaceToDepth ----------------------------------------------------------- */
typedef struct blocks {
    kt_layer layer;
    int64_t block_size;
    const char *data_format;
} blocks;
static const kt_option block_options[] = {KT_FIELD(blocks, block_size, INT, NULL), KT_DATA_FORMAT(blocks),
                                          KT_OPTIONS_END};

/* Where the axes of an image lie. */
typedef struct layout {
    int height, width, channels;
} layout;

/* The image and its layout; 0 and a problem where it has other axes. */
static kt_value take_image(const blocks *s, const kt_layer_call *call, layout *out) {
    kt_value x = kt_operation_tensor(call, 0, "x");
    bool first = strcmp(s->data_format, "channels_first") == 0;
    *out = first ? (layout){2, 3, 1} : (layout){1, 2, 3};
    if (!has_rank(call, x, 4)) return 0;
    if (s->block_size >= 1 && s->block_size <= INT16_MAX) return x;
    kt_trace_fail(call->trace, KT_INVALID, "the option 'block_size' must be from 1 to %d.", INT16_MAX);
    return 0;
}

/* size / by; 0 and a problem where that leaves a rest. A symbolic size is checked when the model runs. */
static kt_dim divide(const kt_layer_call *call, kt_dim size, int64_t by, const char *what) {
    kt_dim_pool *dims = kt_call_dims(call);
    int64_t known;
    if (!kt_dim_is_const(dims, size, &known) || known % by == 0)
        return kt_dim_floordiv(dims, size, kt_dim_const(dims, by));
    kt_trace_fail(call->trace, KT_INVALID, "its input's %s of %lld is no multiple of %lld.", what,
                  (long long)known, (long long)by);
    return 0;
}

/* Channels fall into block × block × the rest; the blocks go behind height and width. */
static void call_depth_to_space(kt_layer *layer, kt_layer_call *call) {
    const blocks *s = (const blocks *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    layout at;
    kt_value x = take_image(s, call, &at);
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    bool first = at.channels == 1;
    kt_dim block = kt_dim_const(dims, s->block_size), n = type.dims[0];
    kt_dim rest = divide(call, type.dims[at.channels], s->block_size * s->block_size, "number of channels");
    if (!rest) return;
    kt_dim height = type.dims[at.height], width = type.dims[at.width];
    const kt_dim last_split[] = {n, height, width, block, block, rest};
    const kt_dim first_split[] = {n, rest, block, block, height, width};
    x = kt_build_reshape(b, x, 6, first ? first_split : last_split);
    x = kt_build_transpose(b, x,
                           first ? (const int64_t[]){0, 1, 4, 2, 5, 3} : (const int64_t[]){0, 1, 3, 2, 4, 5});
    type.dims[at.height] = kt_dim_mul(dims, height, block);
    type.dims[at.width] = kt_dim_mul(dims, width, block);
    type.dims[at.channels] = rest;
    call->outputs[0] = kt_build_reshape(b, x, 4, type.dims);
}

static void call_space_to_depth(kt_layer *layer, kt_layer_call *call) {
    const blocks *s = (const blocks *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    layout at;
    kt_value x = take_image(s, call, &at);
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    bool first = at.channels == 1;
    kt_dim block = kt_dim_const(dims, s->block_size), n = type.dims[0], channels = type.dims[at.channels];
    kt_dim height = divide(call, type.dims[at.height], s->block_size, "height");
    kt_dim width = height ? divide(call, type.dims[at.width], s->block_size, "width") : 0;
    if (!width) return;
    const kt_dim last_split[] = {n, height, block, width, block, channels};
    const kt_dim first_split[] = {n, channels, height, block, width, block};
    x = kt_build_reshape(b, x, 6, first ? first_split : last_split);
    x = kt_build_transpose(b, x,
                           first ? (const int64_t[]){0, 1, 3, 5, 2, 4} : (const int64_t[]){0, 1, 3, 2, 4, 5});
    type.dims[at.height] = height;
    type.dims[at.width] = width;
    type.dims[at.channels] = kt_dim_mul_const(dims, channels, s->block_size * s->block_size);
    call->outputs[0] = kt_build_reshape(b, x, 4, type.dims);
}
KT_OPERATION_WITH(depth_to_space, "DepthToSpace", KT_OPERATION_NN, "channels moved into blocks of pixels",
                  blocks, block_options, call_depth_to_space)
KT_OPERATION_WITH(space_to_depth, "SpaceToDepth", KT_OPERATION_NN, "blocks of pixels moved into channels",
                  blocks, block_options, call_space_to_depth)
