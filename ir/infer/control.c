/* Inference of what runs other functions. */
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

/* Is given of the type wanted, of which it may be a stack along a first axis of length? */
static bool fits(const kt_type *wanted, const kt_type *given, bool stacked, kt_dim length) {
    if (!stacked) return kt_type_equal(wanted, given);
    if (given->dtype != wanted->dtype || given->rank != wanted->rank + 1 || given->dims[0] != length)
        return false;
    for (int axis = 0; axis < wanted->rank; axis++)
        if (given->dims[axis + 1] != wanted->dims[axis]) return false;
    return true;
}

/* C1 the body is a step of the graph
 * C2 it takes one operand for each parameter, and `carried` and `sequences` are no more than there are
 * C3 operands have the parameters' types, sequences with a first axis of `length`
 * C4 the first `carried` results have the types of the first parameters
 * C5 stacked results have no more axes than a tensor can have
 * C6 the length is at least 0 */
kt_status kt_infer_scan(kt_infer *infer) {
    const kt_attrs_scan *attrs = infer->attrs;
    kt_graph *graph = infer->graph;
    if (attrs->body == 0 || attrs->body >= graph->functions.count ||
        kt_graph_function(graph, attrs->body)->kind != KT_FUNC_STEP)
        return kt_infer_fail(infer, 1, "function %u is no step.", attrs->body);
    const kt_function *step = kt_graph_function(graph, attrs->body);
    int64_t count = infer->operand_count;
    if (count != step->params.count || attrs->carried < 0 || attrs->sequences < 0 ||
        attrs->carried > step->results.count || attrs->carried > count ||
        attrs->sequences > count - attrs->carried)
        return kt_infer_fail(infer, 2, "%s takes %u operands, but is given %u, of which %lld are carried.",
                             step->name, step->params.count, infer->operand_count, (long long)attrs->carried);
    for (uint32_t i = 0; i < infer->operand_count; i++) {
        bool stacked = i >= attrs->carried && i < attrs->carried + attrs->sequences;
        const kt_type *wanted = kt_graph_type(graph, step->params.at[i].value);
        if (!fits(wanted, &infer->operands[i], stacked, attrs->length))
            return kt_infer_fail(infer, 3, "%s takes %s%s as parameter %u, but is given %s.", step->name,
                                 stacked ? "slices " : "", kt_infer_show(infer, wanted), i,
                                 kt_infer_show(infer, &infer->operands[i]));
    }
    for (uint32_t i = 0; i < attrs->carried; i++)
        if (!kt_type_equal(kt_graph_type(graph, step->results.at[i].value), &infer->operands[i]))
            return kt_infer_fail(infer, 4, "%s carries %s as result %u, but takes %s.", step->name,
                                 kt_infer_show(infer, kt_graph_type(graph, step->results.at[i].value)), i,
                                 kt_infer_show(infer, &infer->operands[i]));
    if (!kt_dim_at_least(graph->dims, attrs->length, 0))
        return kt_infer_fail(infer, 6, "the length may be below 0.");
    for (uint32_t i = 0; i < infer->result_count; i++) {
        kt_type type = *kt_graph_type(graph, step->results.at[i].value);
        if (i >= attrs->carried) {
            if (type.rank == KT_MAX_RANK)
                return kt_infer_fail(infer, 5, "result %u of %s has too many axes to be stacked.", i,
                                     step->name);
            for (int axis = type.rank++; axis > 0; axis--) type.dims[axis] = type.dims[axis - 1];
            type.dims[0] = attrs->length;
        }
        infer->results[i] = type;
    }
    return KT_OK;
}
