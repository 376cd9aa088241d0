/* What the files of losses share. */
#ifndef KT_FRONTEND_LOSSES_IMPL_H
#define KT_FRONTEND_LOSSES_IMPL_H

#include "frontend/losses/losses.h"

#define KT_LOSS(name) extern const kt_loss_class kt_loss_##name;
#include "frontend/losses/classes.def"
#undef KT_LOSS

/* The options that all losses have. */
#define KT_LOSS_OPTIONS(type, default_name)                                                                  \
    {"name", KT_OPTION_STRING, offsetof(type, loss.name), "\"" default_name "\""},                           \
        {"reduction", KT_OPTION_STRING, offsetof(type, loss.reduction), "\"sum_over_batch_size\""},          \
        {"dtype", KT_OPTION_JSON, offsetof(type, loss.dtype), "null"}

/* The mean over the last axis. */
kt_value kt_loss_mean_last(kt_trace *trace, kt_value x);
/* What softmax (along axis) or sigmoid made output of, if it did; else 0. */
kt_value kt_loss_logits(const kt_trace *trace, kt_value output, const char *composite);

#endif
