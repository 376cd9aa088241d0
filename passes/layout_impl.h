/* What the files of the pass layout share. */
#ifndef KT_PASSES_LAYOUT_IMPL_H
#define KT_PASSES_LAYOUT_IMPL_H

#include "passes/passes_impl.h"

typedef struct kt_layouting {
    kt_graph *graph;
    kt_builder *builder;
    kt_arena *scratch;
    const bool *fixed; /* by old value */
    int64_t own_panel, vector; /* columns of the target's panels, and of its vectors */
    int64_t panel;             /* of those for the node at hand */
    kt_choice choice;          /* for the node at hand */
    int level;     /* -O */
    int64_t word;  /* elements of the node at hand that are multiplied together; 1: each by itself */
    bool unpacked; /* the node at hand becomes calls that take matrices as they are */
} kt_layouting;

static inline kt_dim kt_layout_number(kt_layouting *l, int64_t value) {
    return kt_dim_const(l->graph->dims, value);
}

/* The fixed bytes that floats are made of, old behind a cast and views of it, in the same shape; 0: they are made of
 * something else (layout_bytes.c). */
kt_value kt_layout_bytes(kt_layouting *l, kt_value old);
/* x with the zeros that attrs asks for; attrs then asks for none. */
kt_value kt_layout_pad_input(kt_layouting *l, kt_value x, kt_attrs_conv *attrs);
/* The product of count dimensions. */
kt_dim kt_layout_product(kt_layouting *l, const kt_dim *dims, uint32_t count);
/* The convolution with its kernel packed, unless it is so already or its groups fit into vectors. */
kt_value kt_layout_conv(kt_layouting *l, kt_value x, kt_value kernel, kt_attrs_conv attrs);
/* A convolution whose input has gaps without them; 0: it has none, sizes are not known, or too many axes would be
 * needed. */
kt_value kt_layout_transposed(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel);
/* A convolution to few features that makes several places' at once; 0 where that is not worth it. */
kt_value kt_layout_neighbours(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel);
/* The tile by which the convolution is to be computed by minimal filtering, given its types, if that takes less than
 * share of its products; 0: it is not. */
int kt_layout_tile(kt_layouting *l, const kt_attrs_conv *attrs, const kt_type *x, const kt_type *kernel,
                   const kt_type *result, double share);
/* The convolution as a winograd node with that tile; attrs counts for its padding. */
kt_value kt_layout_filter(kt_layouting *l, kt_value x, kt_value kernel, const kt_attrs_conv *attrs,
                          const kt_type *result, int tile);
/* A convolution by fixed weights with a larger window, or over more axes, as one of an image by 3 x 3, as a winograd
 * node; 0 where that is not worth it. */
kt_value kt_layout_blocks(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel);
/* The convolution as a winograd node; 0 where that is not worth it. */
kt_value kt_layout_winograd(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel);

/* The tile by which a convolution is cheapest by minimal filtering; 0: none costs less than that share of its
 * products. out_most: the largest that can be; 0: none. */
int kt_winograd_choose(const kt_dim_pool *dims, const kt_attrs_conv *attrs, const kt_type *x, const kt_type *kernel,
                       const kt_type *result, double share, int *out_most);

#endif
