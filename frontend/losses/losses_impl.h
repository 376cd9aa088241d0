/* What the files of losses share. */
#ifndef KT_FRONTEND_LOSSES_IMPL_H
#define KT_FRONTEND_LOSSES_IMPL_H

#include "frontend/losses/losses.h"

#define KT_LOSS(name) extern const kt_loss_class kt_loss_##name;
#include "frontend/losses/classes.def"
#undef KT_LOSS

/* The options that all losses have. */
#define KT_LOSS_OPTIONS(default_name)                                                                        \
    {"name", KT_OPTION_STRING, offsetof(kt_loss, name), "\"" default_name "\""},                             \
        {"reduction", KT_OPTION_STRING, offsetof(kt_loss, reduction), "\"sum_over_batch_size\""},            \
        {"dtype", KT_OPTION_JSON, offsetof(kt_loss, dtype), "null"}

/* A row: table holds the options of its struct; behind it what else the class has. */
#define KT_LOSS_CLASS(c_name, keras_name, other_names, documentation, type, table, ...)                      \
    const kt_loss_class kt_loss_##c_name = {.object = {.name = (keras_name),                                 \
                                                       .aliases = (other_names),                             \
                                                       .doc = (documentation),                               \
                                                       .bytes = sizeof(type),                                \
                                                       .options = (table)},                                  \
                                            __VA_ARGS__};

/* Records a problem at the loss's path; 0. */
kt_value kt_loss_fail(const kt_loss *loss, kt_trace *trace, kt_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* axis counted from the front, or -1 and a problem where x has none such. */
int kt_loss_axis(const kt_loss *loss, kt_trace *trace, int64_t axis, kt_value x);
/* target, classes' numbers, in output's shape without axis: an axis of 1 in its place is dropped. 0 and a problem
 * where it does not fit. */
kt_value kt_loss_fit_classes(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output, int axis);
/* How long an axis is; 0: there is none such, or that is not known. */
int64_t kt_loss_count_along(const kt_builder *builder, const kt_type *output, int64_t axis);
/* The mean over the last axis. */
kt_value kt_loss_mean_last(kt_trace *trace, kt_value x);
/* x kept away from 0 and 1 by Keras's epsilon. */
kt_value kt_keep_inside(kt_builder *builder, kt_value x);
/* Shares of a sum along an axis, kept away from 0 and 1. */
kt_value kt_clipped_shares(kt_builder *builder, kt_value x, int axis);
/* Of x along an axis, which vanishes, what target, the number of a class, says; 0 where there is no such class. */
kt_value kt_pick_class(kt_builder *builder, kt_value x, kt_value target, int axis);
/* x * y + (1 - x) * z */
kt_value kt_mix(kt_builder *builder, kt_value x, kt_value y, kt_value z);

#endif
