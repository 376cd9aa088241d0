/* What the passes share; see passes_impl.h. */
#include "passes/passes_impl.h"

#include "ir/element.h"

#include <string.h>

typedef struct scratched {
    kt_pass_body *body;
    kt_pass_run *run;
} scratched;

static kt_status run_scratched(void *context) {
    scratched *s = context;
    s->run->scratch = kt_arena_create();
    return s->body(s->run);
}

kt_status kt_pass_scratched(kt_pass_body *body, kt_pass_run *run) {
    scratched s = {body, run};
    kt_status status = kt_guarded(run_scratched, &s, run->diag);
    kt_arena_destroy(run->scratch);
    return status;
}

kt_status kt_pass_start(kt_pass_body *body, kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_scratched(body, &(kt_pass_run){graph, options, diag, NULL});
}

kt_status kt_pass_each(kt_pass_run *run, kt_status (*body)(kt_pass_run *run, kt_func func)) {
    for (kt_func func = 1; func < run->graph->functions.count; func++)
        if (kt_graph_function(run->graph, func)->kind != KT_FUNC_KERNEL) KT_TRY(body(run, func));
    return KT_OK;
}

bool *kt_pass_live(kt_pass_run *run, const kt_function *function) {
    const kt_graph *graph = run->graph;
    bool *live = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    for (uint32_t i = 0; i < function->results.count; i++)
        live[kt_graph_value(graph, function->results.at[i].value)->node] = true;
    for (uint32_t i = function->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        if (!live[function->nodes.at[i]]) continue;
        for (uint32_t k = 0; k < node->operand_count; k++)
            live[kt_graph_value(graph, node->operands[k])->node] = true;
    }
    return live;
}

kt_status kt_pass_drop_dead(kt_pass_run *run, kt_func func) {
    const bool *live = kt_pass_live(run, kt_graph_function(run->graph, func));
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    const kt_function old = *kt_graph_function(run->graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++)
        if (live[old.nodes.at[i]]) kt_builder_copy(&builder, old.nodes.at[i]);
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

uint32_t *kt_pass_uses(kt_pass_run *run, const kt_function *function) {
    const kt_graph *graph = run->graph;
    const bool *live = kt_pass_live(run, function);
    uint32_t *uses = KT_NEW_ARRAY(run->scratch, uint32_t, graph->values.count);
    for (uint32_t i = 0; i < function->results.count; i++) uses[function->results.at[i].value]++;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        if (!live[function->nodes.at[i]]) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) uses[node->operands[k]]++;
    }
    return uses;
}

bool kt_pass_returns_parameter(const kt_function *function, const kt_port *result) {
    if (result->role != KT_ROLE_VARIABLE) return false;
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *param = &function->params.at[i];
        if (param->role == KT_ROLE_VARIABLE && param->value == result->value)
            return param->index == result->index;
    }
    return false;
}

/* Which variables stay what they are whatever entry is called, by kt_graph.variables? Where an entry changes
 * a weight, or what an optimizer keeps, the program trains, and any weight may be loaded anew. */
static bool *find_lasting(kt_pass_run *run) {
    const kt_graph *graph = run->graph;
    bool *lasting = KT_NEW_ARRAY(run->scratch, bool, graph->variables.count), trains = false;
    for (uint32_t i = 0; i < graph->variables.count; i++) lasting[i] = true;
    for (kt_func func = 1; func < graph->functions.count; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < function->results.count; i++) {
            const kt_port *result = &function->results.at[i];
            if (result->role != KT_ROLE_VARIABLE || kt_pass_returns_parameter(function, result)) continue;
            lasting[result->index] = false;
            kt_variable_kind kind = graph->variables.at[result->index].kind;
            trains = trains || kind == KT_VARIABLE_WEIGHT || kind == KT_VARIABLE_SLOT;
        }
    }
    for (uint32_t i = 0; i < graph->variables.count; i++) lasting[i] = lasting[i] && !trains;
    return lasting;
}

/* Are the operands that stay, of all scans by a step, fixed where they come from? */
static void fix_params(kt_pass_run *run, const kt_function *step, bool *fixed) {
    const kt_graph *graph = run->graph;
    kt_func func = kt_graph_find(graph, step->name);
    bool called = false, *all = KT_NEW_ARRAY(run->scratch, bool, step->params.count);
    for (uint32_t i = 0; i < step->params.count; i++) all[i] = true;
    for (kt_func caller = 1; caller < graph->functions.count; caller++) {
        const kt_function *function = kt_graph_function(graph, caller);
        const bool *there = NULL;
        for (uint32_t k = 0; k < function->nodes.count; k++) {
            const kt_node_info *node = kt_graph_node(graph, function->nodes.at[k]);
            if (kt_node_callee(node) != func) continue;
            if (!there) there = kt_pass_fixed(run, function);
            const kt_attrs_scan *attrs = node->attrs;
            called = true;
            for (uint32_t i = 0; i < step->params.count; i++)
                all[i] = all[i] && i >= attrs->carried + attrs->sequences && there[node->operands[i]];
        }
    }
    for (uint32_t i = 0; i < step->params.count; i++) fixed[step->params.at[i].value] = called && all[i];
}

bool kt_pass_any_size(const kt_node_info *node, kt_pass_size_test *test, const void *context) {
    const kt_op_info *op = kt_op_describe(node->op);
    for (uint32_t i = 0; i < op->attr_count; i++) {
        const void *field = (const char *)node->attrs + op->attrs[i].offset;
        if (op->attrs[i].kind == KT_ATTR_dim && test(context, *(const kt_attr_dim *)field)) return true;
        const kt_dims none = {0}, *dims = op->attrs[i].kind == KT_ATTR_dims ? field : &none;
        for (uint32_t k = 0; k < dims->count; k++)
            if (test(context, dims->at[k])) return true;
    }
    return false;
}

static bool is_symbolic(const void *dims, kt_dim dim) { return !kt_dim_is_const(dims, dim, NULL); }

bool kt_pass_is_sized(const kt_graph *graph, const kt_node_info *node) {
    for (uint32_t k = 0; k < node->result_count; k++)
        if (!kt_type_is_static(graph->dims, kt_graph_type(graph, node->first_result + k))) return false;
    bool sized = !kt_pass_any_size(node, is_symbolic, graph->dims);
    if (node->op != KT_OP_scan) return sized;
    const kt_function *step = kt_graph_function(graph, kt_node_callee(node));
    for (uint32_t i = 0; i < step->nodes.count && sized; i++)
        sized = kt_pass_is_sized(graph, kt_graph_node(graph, step->nodes.at[i]));
    return sized;
}

bool *kt_pass_fixed(kt_pass_run *run, const kt_function *function) {
    const kt_graph *graph = run->graph;
    bool *fixed = KT_NEW_ARRAY(run->scratch, bool, graph->values.count);
    const bool *lasting = find_lasting(run);
    if (function->kind == KT_FUNC_STEP) fix_params(run, function, fixed);
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *param = &function->params.at[i];
        if (param->role == KT_ROLE_VARIABLE) fixed[param->value] = lasting[param->index];
    }
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        bool all = true;
        for (uint32_t k = 0; k < node->operand_count; k++) all = all && fixed[node->operands[k]];
        all = all && kt_pass_is_sized(graph, node);
        for (uint32_t k = 0; k < node->result_count; k++) fixed[node->first_result + k] = all;
    }
    return fixed;
}

bool kt_pass_calls_blas(const kt_pass_run *run, const kt_node_info *node) {
    if (!run->options->target.blas || (node->op != KT_OP_dot_general && node->op != KT_OP_conv)) return false;
    kt_dtype dtype = kt_graph_type(run->graph, node->operands[0])->dtype;
    return dtype == KT_F32 || dtype == KT_F64;
}

bool kt_pass_is_prepare(const kt_function *function) {
    if (function->kind != KT_FUNC_ENTRY || function->results.count == 0) return false;
    for (uint32_t i = 0; i < function->results.count; i++)
        if (function->results.at[i].role != KT_ROLE_CONSTANT) return false;
    return true;
}

static bool elements_alike(const kt_attrs_constant *constant) {
    size_t size = kt_dtype_bytes(constant->type.dtype);
    const char *data = constant->literal.data;
    if (size == 0 || constant->literal.bytes < size) return false;
    return memcmp(data, data + size, constant->literal.bytes - size) == 0;
}

const kt_attrs_constant *kt_pass_splat_constant(const kt_graph *graph, kt_value value) {
    const kt_node_info *node = kt_graph_definition(graph, value);
    while (node && (node->op == KT_OP_broadcast || node->op == KT_OP_reshape || node->op == KT_OP_transpose ||
                    node->op == KT_OP_slice || node->op == KT_OP_reverse))
        node = kt_graph_definition(graph, node->operands[0]);
    return node && node->op == KT_OP_constant && elements_alike(node->attrs) ? node->attrs : NULL;
}

bool kt_pass_splat(const kt_graph *graph, kt_value value, double *out_number) {
    const kt_attrs_constant *constant = kt_pass_splat_constant(graph, value);
    if (!constant || constant->type.dtype == KT_C64) return false;
    kt_dtype dtype = constant->type.dtype;
    if (kt_dtype_is_float(dtype))
        *out_number = kt_element_float(dtype, constant->literal.data, 0);
    else
        *out_number = (double)kt_element_integer(dtype, constant->literal.data, 0);
    return true;
}

bool kt_pass_is_small_constant(const kt_graph *graph, const kt_node_info *node) {
    if (node->op != KT_OP_constant) return false;
    const kt_attrs_constant *constant = node->attrs;
    return kt_type_static_elements(graph->dims, &constant->type) <= KT_SMALL_CONSTANT ||
           elements_alike(constant);
}

bool kt_pass_repeats_elements(const kt_graph *graph, const kt_node_info *node) {
    return node->op == KT_OP_broadcast || node->op == KT_OP_iota || node->op == KT_OP_size ||
           kt_pass_is_small_constant(graph, node);
}

kt_value kt_pass_build_like(kt_builder *builder, const kt_node_info *node, const kt_value *operands,
                            const void *attrs) {
    return kt_build_node(builder, node->op, operands, node->operand_count, attrs);
}

void kt_pass_clone(kt_builder *builder, kt_node node, kt_value *map) {
    const kt_node_info info = *kt_graph_node(builder->graph, node);
    kt_value *operands = KT_NEW_ARRAY(builder->graph->arena, kt_value, info.operand_count);
    for (uint32_t i = 0; i < info.operand_count; i++) operands[i] = map[info.operands[i]];
    builder->loc = info.loc;
    kt_value *results = KT_NEW_ARRAY(builder->graph->arena, kt_value, info.result_count);
    kt_build_nodes(builder, info.op, operands, info.operand_count, info.attrs, results);
    for (uint32_t i = 0; i < info.result_count; i++) map[info.first_result + i] = results[i];
}

static void key_type(kt_text *key, const kt_type *type) {
    kt_text_add_bytes(key, &type->dtype, sizeof type->dtype);
    kt_text_add_bytes(key, &type->rank, sizeof type->rank);
    kt_text_add_bytes(key, type->dims, type->rank * sizeof type->dims[0]);
}

static void key_attr(kt_text *key, const kt_attr_info *attr, const void *field, bool contents) {
    switch (attr->kind) {
    case KT_ATTR_int: kt_text_add_bytes(key, field, sizeof(kt_attr_int)); break;
    case KT_ATTR_dim: kt_text_add_bytes(key, field, sizeof(kt_attr_dim)); break;
    case KT_ATTR_dtype: kt_text_add_bytes(key, field, sizeof(kt_attr_dtype)); break;
    case KT_ATTR_reduction: kt_text_add_bytes(key, field, sizeof(kt_attr_reduction)); break;
    case KT_ATTR_func: kt_text_add_bytes(key, field, sizeof(kt_attr_func)); break;
    case KT_ATTR_type: key_type(key, field); break;
    case KT_ATTR_ints: {
        const kt_ints *ints = field;
        kt_text_add_bytes(key, &ints->count, sizeof ints->count);
        kt_text_add_bytes(key, ints->at, ints->count * sizeof ints->at[0]);
        break;
    }
    case KT_ATTR_dims: {
        const kt_dims *dims = field;
        kt_text_add_bytes(key, &dims->count, sizeof dims->count);
        kt_text_add_bytes(key, dims->at, dims->count * sizeof dims->at[0]);
        break;
    }
    case KT_ATTR_literal: {
        const kt_literal *literal = field;
        kt_text_add_bytes(key, &literal->bytes, sizeof literal->bytes);
        if (contents)
            kt_text_add_bytes(key, literal->data, literal->bytes);
        else
            kt_text_add_bytes(key, &literal->data, sizeof(const void *));
        break;
    }
    }
}

void kt_pass_key(kt_text *key, const kt_node_info *node, const kt_value *operands, bool contents) {
    const kt_op_info *op = kt_op_describe(node->op);
    kt_text_add_bytes(key, &node->op, sizeof node->op);
    kt_text_add_bytes(key, &node->operand_count, sizeof node->operand_count);
    kt_text_add_bytes(key, operands, node->operand_count * sizeof operands[0]);
    for (uint32_t i = 0; i < op->attr_count; i++)
        key_attr(key, &op->attrs[i], (const char *)node->attrs + op->attrs[i].offset, contents);
}

void kt_pass_key_of_equals(kt_text *key, const kt_node_info *node, const kt_value *operands) {
    bool turned = kt_op_is(node->op, KT_COMMUTES) && operands[0] > operands[1];
    kt_pass_key(key, node, turned ? (const kt_value[]){operands[1], operands[0]} : operands, true);
}

uint32_t kt_pass_proper_axes(const kt_graph *graph, const kt_type *type, int *out_axes) {
    uint32_t count = 0;
    for (int i = 0; i < type->rank; i++)
        if (!kt_dim_equals(graph->dims, type->dims[i], 1)) out_axes[count++] = i;
    return count;
}
