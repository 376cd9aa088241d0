/* What the layers that prepare images share: checks, and ranges of values. */
#include "frontend/layers/images/images_impl.h"

static const char alone[] =
    "it takes a tensor of images; a dictionary of images with labels, boxes or masks is not supported.";

const char *kt_layer_refuses_dictionary(const kt_layer *layer) {
    return kt_option_find(layer->class->options, "bounding_box_format") ? alone : NULL;
}

bool kt_call_has_images(const kt_layer_call *call) {
    const kt_argument *given = call->argument_count ? &call->arguments[0] : NULL;
    if (given && given->kind == KT_ARGUMENT_LIST) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "%s", alone);
        return false;
    }
    return kt_call_has_inputs(call, 1) && kt_call_has_rank(call, 3, 4);
}

kt_status kt_check_factor(const kt_layer *layer, kt_layer_context *context, const char *option,
                          const json_t *value, bool number, bool pair) {
    bool two = json_array_size(value) == 2 && json_is_number(json_array_get(value, 0)) &&
               json_is_number(json_array_get(value, 1));
    if ((number && json_is_number(value)) || (pair && two)) return KT_OK;
    const char *expected = number && pair ? "a number or two numbers" : pair ? "two numbers" : "a number";
    return kt_layer_reject(layer, context, KT_INVALID, option, "must be %s.", expected);
}

void kt_read_value_range(const json_t *value, double out_range[2]) {
    for (size_t i = 0; i < 2; i++) out_range[i] = json_number_value(json_array_get(value, i));
}

kt_value kt_change_value_range(kt_builder *b, kt_value x, const double from[2], const double to[2],
                               kt_dtype dtype) {
    if (from[0] == to[0] && from[1] == to[1]) return x;
    x = kt_build_cast(b, x, dtype);
    x = kt_build_sub(b, x, kt_build_like(b, x, from[0]));
    x = kt_build_div(b, x, kt_build_like(b, x, from[1] - from[0]));
    x = kt_build_mul(b, x, kt_build_like(b, x, to[1] - to[0]));
    return kt_build_add(b, x, kt_build_like(b, x, to[0]));
}
