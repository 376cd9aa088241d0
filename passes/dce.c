/* Dead code: nodes that no result needs, and functions that no entry reaches.
 *
 * requires  nothing
 * keeps     the order of what stays; parameters, used or not
 * breaks    nothing */
#include "passes/passes_impl.h"

static kt_status run_dce(kt_pass_run *run) {
    KT_TRY(kt_pass_each(run, kt_pass_drop_dead));
    kt_graph_drop_unreachable(run->graph);
    return KT_OK;
}

kt_status kt_pass_dce(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_dce, graph, options, diag);
}
