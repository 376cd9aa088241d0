/* Inference of calls. */
#include "ir/infer/infer_impl.h"

/* C1 the callee is a function of the graph
 * C2 it is no entry
 * C3 there is one operand for each parameter
 * C4 operands have the parameters' types */
kt_status kt_infer_call(kt_infer *infer) {
    const kt_attrs_call *attrs = infer->attrs;
    kt_graph *graph = infer->graph;
    if (attrs->callee == 0 || attrs->callee >= graph->functions.count)
        return kt_infer_fail(infer, 1, "there is no function %u.", attrs->callee);
    const kt_function *callee = kt_graph_function(graph, attrs->callee);
    if (callee->kind == KT_FUNC_ENTRY)
        return kt_infer_fail(infer, 2, "%s is an entry, which only programs call.", callee->name);
    if (infer->operand_count != callee->params.count)
        return kt_infer_fail(infer, 3, "%s takes %u operands, but is given %u.", callee->name,
                             callee->params.count, infer->operand_count);
    for (uint32_t i = 0; i < infer->operand_count; i++) {
        const kt_type *wanted = kt_graph_type(graph, callee->params.at[i].value);
        if (!kt_type_equal(wanted, &infer->operands[i]))
            return kt_infer_fail(infer, 4, "%s takes %s as parameter %u, but is given %s.", callee->name,
                                 kt_infer_show(infer, wanted), i, kt_infer_show(infer, &infer->operands[i]));
    }
    for (uint32_t i = 0; i < infer->result_count; i++)
        infer->results[i] = *kt_graph_type(graph, callee->results.at[i].value);
    return KT_OK;
}
