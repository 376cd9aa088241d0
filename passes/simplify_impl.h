/* What the files of simplify share: the shape of a rule, and what rules ask. */
#ifndef KT_PASSES_SIMPLIFY_IMPL_H
#define KT_PASSES_SIMPLIFY_IMPL_H

#include "passes/passes_impl.h"

typedef struct kt_simplify {
    kt_graph *graph;
    kt_builder *builder;
    kt_type type; /* of the node's result */
    /* By new value, from base on: is it used by elementwise operations and transposes only? See
     * simplify_move.c. */
    kt_value base;
    KT_VECTOR(bool) moves;
} kt_simplify;

/* node: its operands are values of the new function. Returns what stands for the result, or 0 where the rule
 * does not apply. */
typedef kt_value kt_rule_fn(kt_simplify *s, const kt_node_info *node);

typedef struct kt_rule {
    const char *name;
    kt_op op; /* KT_OP_NONE: any elementwise operation */
    kt_rule_fn *apply;
} kt_rule;

/* The tables, one a file; each ends with a NULL name. */
extern const kt_rule kt_rules_arithmetic[], kt_rules_shape[], kt_rules_move[];

/* The definition of operand i if it is an op, else NULL. */
const kt_node_info *kt_simplify_operand(const kt_simplify *s, const kt_node_info *node, uint32_t i, kt_op op);
/* Are all elements of value this number? */
bool kt_simplify_is(const kt_simplify *s, kt_value value, double number);
bool kt_simplify_moves(const kt_simplify *s, kt_value value);
/* The scalar that value repeats, built anew under another shape; 0 if it does not repeat one. */
kt_value kt_simplify_respread(kt_simplify *s, kt_value value, int rank, const kt_dim *shape);

#endif
