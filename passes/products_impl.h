/* What the passes share that give products by weights narrower operands: which products, and how they are
 * built. */
#ifndef KT_PASSES_PRODUCTS_IMPL_H
#define KT_PASSES_PRODUCTS_IMPL_H

#include "passes/passes_impl.h"

/* The function at work, and how it is read. */
typedef struct kt_narrowing {
    kt_pass_run run;
    kt_builder *builder;
    const bool *fixed;    /* by old value */
    const uint32_t *uses; /* by old value */
    int64_t word;         /* elements of the depth that are multiplied together */
} kt_narrowing;

/* A contraction or convolution of f32 or bf16, not grouped, by weights. */
typedef struct kt_weighted {
    const kt_node_info *node;
    kt_value x, w;
    kt_ints depth, own;         /* axes of w: those that are summed, and others */
    int64_t summed;             /* how many elements are */
    int64_t filled_x, filled_w; /* the axes that are filled up to words; -1: none */
    int64_t filling;
} kt_weighted;

/* False: node is no such product, has too few channels, or its depth cannot be filled up to words. */
bool kt_narrow_describe(const kt_narrowing *n, const kt_node_info *node, kt_weighted *out_product);

/* The old value, made narrower by convert: before the reshapes, transposes and largest of windows that lead to it, which
 * do the same to what is narrower, so that the operation before them ends with it if nobody else reads what it gives. */
typedef kt_value kt_narrow_fn(kt_narrowing *n, kt_value old, const void *context);
kt_value kt_narrow_value(kt_narrowing *n, kt_value old, kt_narrow_fn *convert, const void *context);

/* value with so many more of fill behind it along axis, and around it what a convolution wants, where conv is not NULL. */
kt_value kt_narrow_fill(kt_narrowing *n, kt_value value, int64_t axis, int64_t filling, const kt_attrs_conv *conv,
                        double fill);

#endif
