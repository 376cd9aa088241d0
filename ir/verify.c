/* The verifier: everything that every pass may rely on, checked from scratch.
 *
 * Rules, cited in messages as "rule R<n>":
 *   R1  functions have names, and no two the same
 *   R2  roles: an entry takes inputs, variables and constants, and gives outputs, variables and constants;
 *       all ports of bodies and kernels are plain
 *   R3  inputs and outputs have names, each once, and count from 0 in order
 *   R4  a variable or constant port names one of the graph, once among the parameters and once among the
 *       results, and has its type: so the two ports of a donated pair are of one type
 *   R5  every value belongs to one place: one parameter, or one result of one node that is listed once
 *   R6  dominance: an operand or result is a value of the same function, defined before
 *   R7  types are what inference gives, and each operation's own constraints hold (its message cites them)
 *   R8  kernels are called from entries and steps only, and no function runs itself, not even through others
 *   R9  variables and constants have names, each once, and static types
 *   R10 equalities have two sides and a sentence; locations exist
 * All problems are reported but for those of a node whose operands are wrong already. */
#include "ir/graph_impl.h"

#include <string.h>

typedef struct verifier {
    kt_graph *graph;
    kt_diag *diag;
    kt_arena *scratch;
    kt_status status;
    /* By value. owner: the function it belongs to, 0 if none. defined: by now, in that function. */
    kt_func *owner;
    bool *defined;
    /* While verifying one function. */
    kt_func func;
    const kt_function *function;
} verifier;

__attribute__((format(printf, 3, 4))) static void problem(verifier *v, kt_loc loc, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(v->scratch, format, arguments);
    va_end(arguments);
    const char *inside = v->function && v->function->name ? v->function->name : NULL;
    v->status = kt_diag_add(v->diag, KT_INVALID, kt_loc_string(v->graph, loc), "%s%s%s", inside ? inside : "",
                            inside ? ": " : "", sentence);
}

static const char *show(const verifier *v, const kt_type *type) {
    return kt_type_string(v->graph->dims, type, v->scratch);
}

/* Does name stand in a table of names already? Then, and if there is none, false. */
static bool claim_name(verifier *v, kt_table *names, const char *name) {
    if (!name || !*name) return false;
    uint32_t before = names->count;
    kt_table_add(names, v->scratch, name, strlen(name), 1);
    return names->count > before;
}

/* ---- the graph's lists ----------------------------------------------------------------------- */

static void verify_function_names(verifier *v) {
    kt_table names = {0};
    for (kt_func func = 1; func < v->graph->functions.count; func++) {
        const char *name = kt_graph_function(v->graph, func)->name;
        if (!claim_name(v, &names, name))
            problem(v, 0, "The name \"%s\" of function %u is empty or taken (rule R1).", name ? name : "",
                    func);
    }
}

static void verify_stored(verifier *v, const char *what, kt_table *names, const char *name,
                          const kt_type *type) {
    if (!claim_name(v, names, name))
        problem(v, 0, "The name \"%s\" of a %s is empty or taken (rule R9).", name ? name : "", what);
    if (!kt_type_is_static(v->graph->dims, type))
        problem(v, 0, "The %s \"%s\" has the type %s, which is not static (rule R9).", what, name ? name : "",
                show(v, type));
}

static void verify_lists(verifier *v) {
    const kt_graph *graph = v->graph;
    kt_table variables = {0}, constants = {0};
    for (uint32_t i = 0; i < graph->variables.count; i++)
        verify_stored(v, "variable", &variables, graph->variables.at[i].path, &graph->variables.at[i].type);
    for (uint32_t i = 0; i < graph->constants.count; i++)
        verify_stored(v, "constant", &constants, graph->constants.at[i].name, &graph->constants.at[i].type);
    for (uint32_t i = 0; i < graph->equalities.count; i++) {
        const kt_equality *equality = &graph->equalities.at[i];
        if (!equality->left || !equality->right || !equality->sentence)
            problem(v, 0, "Equality %u lacks a side or its sentence (rule R10).", i);
    }
}

/* ---- who owns which value -------------------------------------------------------------------- */

static bool value_exists(const verifier *v, kt_value value) {
    return value > 0 && value < v->graph->values.count;
}

static void own(verifier *v, kt_value value, kt_node node, uint32_t index) {
    if (!value_exists(v, value)) {
        problem(v, 0, "There is no value %u (rule R5).", value);
        return;
    }
    const kt_value_info *info = kt_graph_value(v->graph, value);
    if (v->owner[value])
        problem(v, 0, "Value %u is defined twice (rule R5).", value);
    else if (info->node != node || info->index != index)
        problem(v, 0, "Value %u does not know where it is defined (rule R5).", value);
    v->owner[value] = v->func;
}

static void own_values(verifier *v) {
    const kt_function *function = v->function;
    for (uint32_t i = 0; i < function->params.count; i++) own(v, function->params.at[i].value, 0, i);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        kt_node handle = function->nodes.at[i];
        if (handle == 0 || handle >= v->graph->nodes.count) {
            problem(v, 0, "There is no node %u (rule R5).", handle);
            continue;
        }
        const kt_node_info *node = kt_graph_node(v->graph, handle);
        for (uint32_t j = 0; j < node->result_count; j++) own(v, node->first_result + j, handle, j);
    }
}

/* ---- ports ----------------------------------------------------------------------------------- */

static bool role_allowed(kt_func_kind kind, kt_role role, bool is_result) {
    if (kind != KT_FUNC_ENTRY) return role == KT_ROLE_PLAIN;
    return role == KT_ROLE_VARIABLE || role == KT_ROLE_CONSTANT ||
           role == (is_result ? KT_ROLE_OUTPUT : KT_ROLE_INPUT);
}

/* The variable or constant that a port stands for, by its list. */
static void verify_stored_port(verifier *v, const kt_port *port, const char *side, const char *what,
                               uint32_t count, const kt_type *type, bool *seen) {
    if (port->index >= count) {
        problem(v, 0, "A %s stands for %s %u, which does not exist (rule R4).", side, what, port->index);
        return;
    }
    if (seen[port->index]) problem(v, 0, "Two %ss stand for %s %u (rule R4).", side, what, port->index);
    seen[port->index] = true;
    const kt_type *actual = kt_graph_type(v->graph, port->value);
    if (!kt_type_equal(type, actual))
        problem(v, 0, "The %s for %s %u has the type %s instead of %s (rule R4).", side, what, port->index,
                show(v, actual), show(v, type));
}

static void verify_ports(verifier *v, const kt_port *ports, uint32_t count, bool is_result) {
    const kt_graph *graph = v->graph;
    const char *side = is_result ? "result" : "parameter";
    bool *variables = KT_NEW_ARRAY(v->scratch, bool, graph->variables.count);
    bool *constants = KT_NEW_ARRAY(v->scratch, bool, graph->constants.count);
    kt_table names = {0};
    uint32_t position = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kt_port *port = &ports[i];
        if (!value_exists(v, port->value)) continue; /* reported elsewhere */
        if (!role_allowed(v->function->kind, port->role, is_result)) {
            problem(v, 0, "%s %u has a role that it cannot have (rule R2).",
                    is_result ? "Result" : "Parameter", i);
            continue;
        }
        switch (port->role) {
        case KT_ROLE_PLAIN: break;
        case KT_ROLE_INPUT:
        case KT_ROLE_OUTPUT:
            if (!claim_name(v, &names, port->name))
                problem(v, 0, "The name \"%s\" of %s %u is empty or taken (rule R3).",
                        port->name ? port->name : "", side, i);
            if (port->index != position++)
                problem(v, 0, "The %s \"%s\" counts as %u, but is %u among its like (rule R3).", side,
                        port->name ? port->name : "", port->index, position - 1);
            break;
        case KT_ROLE_VARIABLE:
            verify_stored_port(v, port, side, "variable", graph->variables.count,
                               port->index < graph->variables.count ? &graph->variables.at[port->index].type
                                                                    : NULL,
                               variables);
            break;
        case KT_ROLE_CONSTANT:
            verify_stored_port(v, port, side, "constant", graph->constants.count,
                               port->index < graph->constants.count ? &graph->constants.at[port->index].type
                                                                    : NULL,
                               constants);
            break;
        }
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* May value be used here? */
static bool verify_use(verifier *v, kt_loc loc, kt_value value, const char *user) {
    if (!value_exists(v, value)) {
        problem(v, loc, "%s uses value %u, which does not exist (rule R6).", user, value);
        return false;
    }
    if (v->owner[value] != v->func) {
        kt_func owner = v->owner[value];
        const char *name = owner ? kt_graph_function(v->graph, owner)->name : NULL;
        problem(v, loc, "%s uses value %u, which belongs to %s%s (rule R6).", user, value,
                owner ? "the function " : "no function", name ? name : "");
        return false;
    }
    if (!v->defined[value]) problem(v, loc, "%s uses value %u before it is defined (rule R6).", user, value);
    return v->defined[value];
}

static void verify_types(verifier *v, const kt_node_info *node) {
    kt_type *operands = KT_NEW_ARRAY(v->scratch, kt_type, node->operand_count);
    kt_type *results = KT_NEW_ARRAY(v->scratch, kt_type, node->result_count);
    for (uint32_t i = 0; i < node->operand_count; i++)
        operands[i] = *kt_graph_type(v->graph, node->operands[i]);
    kt_infer infer = {.graph = v->graph,
                      .op = node->op,
                      .operands = operands,
                      .operand_count = node->operand_count,
                      .attrs = node->attrs,
                      .results = results,
                      .result_count = node->result_count,
                      .loc = node->loc,
                      .diag = v->diag};
    kt_status status = kt_infer_node(&infer);
    if (status != KT_OK) {
        v->status = status;
        return;
    }
    for (uint32_t i = 0; i < node->result_count; i++) {
        const kt_type *type = kt_graph_type(v->graph, node->first_result + i);
        if (!kt_type_equal(type, &results[i]))
            problem(v, node->loc, "Result %u of %s has the type %s, but inference gives %s (rule R7).", i,
                    kt_op_describe(node->op)->name, show(v, type), show(v, &results[i]));
    }
}

static void verify_node(verifier *v, kt_node handle) {
    kt_node_info node = *kt_graph_node(v->graph, handle);
    if (node.loc >= v->graph->locations.count) {
        problem(v, 0, "Node %u has a location that does not exist (rule R10).", handle);
        node.loc = 0;
    }
    if (node.op <= KT_OP_NONE || node.op >= KT_OP_COUNT) {
        problem(v, node.loc, "Node %u has no operation (rule R7).", handle);
        return;
    }
    const kt_op_info *info = kt_op_describe(node.op);
    if (info->attr_count > 0 && !node.attrs) {
        problem(v, node.loc, "Node %u (%s) lacks its attributes (rule R7).", handle, info->name);
        return;
    }
    uint32_t expected = kt_op_result_count(v->graph, node.op, node.attrs);
    bool usable = true;
    for (uint32_t i = 0; i < node.operand_count; i++)
        usable &= verify_use(v, node.loc, node.operands[i], info->name);
    if (node.result_count != expected)
        problem(v, node.loc, "%s has %u results instead of %u (rule R7).", info->name, node.result_count,
                expected);
    else if (usable)
        verify_types(v, &node);
    for (uint32_t i = 0; i < node.result_count; i++)
        if (value_exists(v, node.first_result + i)) v->defined[node.first_result + i] = true;
}

static void verify_body(verifier *v) {
    const kt_function *function = v->function;
    verify_ports(v, function->params.at, function->params.count, false);
    verify_ports(v, function->results.at, function->results.count, true);
    for (uint32_t i = 0; i < function->params.count; i++)
        if (value_exists(v, function->params.at[i].value)) v->defined[function->params.at[i].value] = true;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        kt_node node = function->nodes.at[i];
        if (node > 0 && node < v->graph->nodes.count) verify_node(v, node);
    }
    for (uint32_t i = 0; i < function->results.count; i++)
        verify_use(v, 0, function->results.at[i].value, "a result");
}

/* ---- calls ----------------------------------------------------------------------------------- */

static kt_func callee_of(const verifier *v, kt_node handle) {
    if (handle == 0 || handle >= v->graph->nodes.count) return 0;
    const kt_node_info *node = kt_graph_node(v->graph, handle);
    if (node->op <= KT_OP_NONE || node->op >= KT_OP_COUNT) return 0;
    kt_func callee = kt_node_callee(node);
    return callee < v->graph->functions.count ? callee : 0;
}

static void verify_kernel_calls(verifier *v) {
    for (uint32_t i = 0; i < v->function->nodes.count; i++) {
        kt_func callee = callee_of(v, v->function->nodes.at[i]);
        if (callee == 0 || v->function->kind == KT_FUNC_ENTRY || v->function->kind == KT_FUNC_STEP) continue;
        const kt_function *kernel = kt_graph_function(v->graph, callee);
        if (kernel->kind == KT_FUNC_KERNEL)
            problem(v, kt_graph_node(v->graph, v->function->nodes.at[i])->loc,
                    "The kernel %s is called, but only entries and steps call kernels (rule R8).",
                    kernel->name);
    }
}

/* The first function that func calls and that is not finished; 0 if there is none. */
static kt_func unfinished_callee(const verifier *v, kt_func func, const bool *finished) {
    const kt_function *function = kt_graph_function(v->graph, func);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        kt_func callee = callee_of(v, function->nodes.at[i]);
        if (callee && !finished[callee]) return callee;
    }
    return 0;
}

/* Finishes, round by round, functions all of whose callees are finished; whoever stays runs into a cycle. */
static void verify_recursion(verifier *v) {
    uint32_t count = v->graph->functions.count;
    bool *finished = KT_NEW_ARRAY(v->scratch, bool, count);
    kt_func stuck = 0;
    for (bool progress = true; progress;) {
        progress = false;
        stuck = 0;
        for (kt_func func = 1; func < count; func++) {
            if (finished[func]) continue;
            if (unfinished_callee(v, func, finished)) {
                stuck = func;
                continue;
            }
            finished[func] = progress = true;
        }
    }
    if (stuck == 0) return;
    for (uint32_t i = 0; i < count; i++)
        stuck = unfinished_callee(v, stuck, finished); /* now it is on the cycle */
    problem(v, 0, "The function %s runs itself (rule R8).", kt_graph_function(v->graph, stuck)->name);
}

/* ---- all ------------------------------------------------------------------------------------- */

static kt_status verify(void *context) {
    verifier *v = context;
    uint32_t values = v->graph->values.count, functions = v->graph->functions.count;
    v->owner = KT_NEW_ARRAY(v->scratch, kt_func, values);
    v->defined = KT_NEW_ARRAY(v->scratch, bool, values);
    verify_function_names(v);
    verify_lists(v);
    for (v->func = 1; v->func < functions; v->func++) {
        v->function = kt_graph_function(v->graph, v->func);
        own_values(v);
    }
    for (v->func = 1; v->func < functions; v->func++) {
        v->function = kt_graph_function(v->graph, v->func);
        verify_body(v);
        verify_kernel_calls(v);
    }
    v->function = NULL;
    verify_recursion(v);
    return v->status;
}

static kt_status verify_in_scratch(void *context) {
    verifier *v = context;
    v->scratch = kt_arena_create();
    kt_status status = kt_guarded(verify, v, v->diag);
    kt_arena_destroy(v->scratch);
    return status;
}

kt_status kt_graph_verify(kt_graph *graph, kt_diag *diag) {
    verifier v = {.graph = graph, .diag = diag};
    return kt_guarded(verify_in_scratch, &v, diag);
}
