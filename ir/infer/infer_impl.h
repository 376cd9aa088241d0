/* What the files of ir/infer share: the functions that the dispatch table names, and checks of constraints.
 *
 * A constraint that fails returns KT_INVALID with a sentence "OP C<number>: …". One that symbols leave open
 * becomes a check at the entry with the same sentence. */
#ifndef KT_IR_INFER_IMPL_H
#define KT_IR_INFER_IMPL_H

#include "ir/graph_impl.h"

typedef kt_status kt_infer_fn(kt_infer *infer);

kt_infer_fn kt_infer_unary, kt_infer_binary, kt_infer_compare;
#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#define KT_OP(name, operands, results, traits, gradient, doc) kt_infer_fn kt_infer_##name;
#include "ir/ops.def"

/* a = b. The format says what is equal to what, without the two dimensions: "the operands' dimension 0". */
kt_status kt_infer_equal(kt_infer *infer, int constraint, kt_dim a, kt_dim b, const char *format, ...)
    __attribute__((format(printf, 5, 6))) KT_MUST_USE;
/* dim >= bound. The format names dim: "the result's dimension 0". */
kt_status kt_infer_at_least(kt_infer *infer, int constraint, kt_dim dim, int64_t bound, const char *format,
                            ...) __attribute__((format(printf, 5, 6))) KT_MUST_USE;
/* A list of attributes has as many entries as there are axes that it is about. */
kt_status kt_infer_count(kt_infer *infer, int constraint, const char *list, uint32_t count,
                         uint32_t expected) KT_MUST_USE;
/* Every number of the list is at least bound, and below 2^31, so that products of two do not overflow. */
kt_status kt_infer_bounds(kt_infer *infer, int constraint, const char *list, const kt_ints *ints,
                          int64_t bound) KT_MUST_USE;
kt_status kt_infer_axis(kt_infer *infer, int constraint, int64_t axis, int rank) KT_MUST_USE;
/* Axes in range, each once; increasing: also in order. */
kt_status kt_infer_axes(kt_infer *infer, int constraint, const kt_ints *axes, int rank,
                        bool increasing) KT_MUST_USE;
/* Every dimension of a type that attributes give is at least 0. */
kt_status kt_infer_shape(kt_infer *infer, int constraint, const kt_type *type) KT_MUST_USE;

/* Text for sentences. */
const char *kt_infer_show(const kt_infer *infer, const kt_type *type);
const char *kt_infer_show_dim(const kt_infer *infer, kt_dim dim);

/* Of two dimensions that are equal: the one that says more, a number before an expression. */
kt_dim kt_infer_sharper(const kt_infer *infer, kt_dim a, kt_dim b);

/* One axis of a window that slides: how many places it has in low + size + high. */
typedef struct kt_infer_slide {
    kt_dim size, window, low, high;
    int64_t stride, dilation;
    int axis; /* for messages */
} kt_infer_slide;
kt_status kt_infer_places(kt_infer *infer, int constraint, const kt_infer_slide *slide,
                          kt_dim *out_places) KT_MUST_USE;

#endif
