/* What the files of ir/ that write graphs share. */
#ifndef KT_IR_GRAPH_IMPL_H
#define KT_IR_GRAPH_IMPL_H

#include "ir/ir.h"

/* The one place that decides whether two dimensions may be equal. */
typedef enum kt_agreement {
    KT_AGREE_ALWAYS,    /* provably equal */
    KT_AGREE_SOMETIMES, /* for some values of the symbols, as far as can be told */
    KT_AGREE_NEVER,
} kt_agreement;
kt_agreement kt_dim_compare(kt_dim_pool *pool, kt_dim a, kt_dim b);

/* Records a check at the entry, unless the graph has the equality already. */
void kt_graph_add_equality(kt_graph *graph, kt_dim a, kt_dim b, const char *sentence);

/* How many results an operation has, which for a call depends on the callee (0 if there is no such function).
 */
uint32_t kt_op_result_count(const kt_graph *graph, kt_op op, const void *attrs);

/* Appends a function under the next number. */
kt_func kt_graph_add_function(kt_graph *graph, const kt_function *function);

/* As kt_build_node, for attributes that live in the graph's arena already. */
kt_value kt_build_node_shared(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count,
                              const void *attrs);

/* The location as a string in the graph's arena; NULL if it is unknown. */
const char *kt_loc_string(const kt_graph *graph, kt_loc loc);

#endif
