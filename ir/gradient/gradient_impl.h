/* What the files of ir/gradient share: the functions that the table names, and what they are given.
 *
 * A kt_vjp_NAME (vector-Jacobian product) adds nodes that pull cotangents back through one node: from the
 * derivatives of some scalar by the node's results to those by its operands. It may use operands and results of the
 * node, and need not look at operands that are not wanted. */
#ifndef KT_IR_GRADIENT_IMPL_H
#define KT_IR_GRADIENT_IMPL_H

#include "ir/ir.h"

typedef struct kt_vjp {
    kt_builder *builder;
    const kt_node_info *node;
    const kt_value *cotangents; /* by result; 0: none. One at least is not 0 */
    const bool *wanted;         /* by operand: a float that something depends on. One at least is */
    kt_value *derivatives;      /* by operand: to be filled in; 0: none */
} kt_vjp;

typedef void kt_vjp_fn(kt_vjp *v);
#define KT_DECLARE_KT_VJP(name)                                     kt_vjp_fn kt_vjp_##name;
#define KT_DECLARE_KT_FLAT(name)
#define KT_OP(name, operands, results, traits, gradient, doc) KT_DECLARE_##gradient(name)
#include "ir/ops.def"

/* Adds to the builder the derivatives by wrt of the sum of all seeds * ys; out_derivatives: 0 where there is none.
 * Values are those of the function that is being written. A seed may be 0: none. */
void kt_gradient_pull(kt_builder *builder, const kt_value *ys, const kt_value *seeds, uint32_t y_count,
                      const kt_value *wrt, uint32_t count, kt_value *out_derivatives);

/* ---- what rules are written in --------------------------------------------------------------- */
static inline kt_value kt_vjp_operand(const kt_vjp *v, uint32_t i) { return v->node->operands[i]; }
static inline kt_value kt_vjp_result(const kt_vjp *v) { return v->node->first_result; }
static inline kt_type kt_vjp_type(const kt_vjp *v, kt_value value) { return *kt_build_type(v->builder, value); }
/* number, of x's type */
kt_value kt_vjp_number(const kt_vjp *v, kt_value x, double number);
/* y where condition, else number */
kt_value kt_vjp_where(const kt_vjp *v, kt_value condition, kt_value y, double number);
/* Is x the same in all runs: a constant, or views of one? */
bool kt_vjp_is_constant(const kt_vjp *v, kt_value x);

#endif
