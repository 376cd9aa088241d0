/* Making a failing graph smaller: fewer results, inner values as results, nodes turned into inputs, smaller
 * sizes, plainer attributes; whatever still fails is kept, until nothing more can go. */
#include "random/subject.h"

#include "ir/element.h"
#include "passes/passes_impl.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum edit_kind {
    EDIT_RESULT,
    EDIT_ROOT,
    EDIT_CUT,
    EDIT_SYMBOL,
    EDIT_SIZE,
    EDIT_ATTRIBUTE,
    EDIT_KINDS
} edit_kind;

typedef struct edit {
    edit_kind kind;
    uint32_t index; /* which result, node, symbol, parameter or node */
    uint32_t axis;  /* SIZE: of the parameter; ATTRIBUTE: which number of the node's attributes */
    int64_t value;  /* ATTRIBUTE, SYMBOL: what it becomes */
} edit;

typedef struct shrinking {
    kt_arena *arena;
    const subject *s;
    const edit *edit;
    kt_diag *diag;
    kt_graph *graph;
    kt_builder b;
    kt_value *map;
    subject_entry made;
    subject result;
    bool changed;
    KT_VECTOR(kt_variable) variables; /* those that stay */
    uint32_t *variable_index;         /* by what was a variable's index: its new one */
} shrinking;

/* The part of a tensor that is in a smaller shape. */
static kt_tensor cut_tensor(kt_arena *arena, const kt_tensor *from, const int64_t *dims) {
    kt_tensor to = *from;
    size_t bytes = kt_dtype_bytes(from->dtype), at = 0;
    int64_t position[KT_MAX_RANK] = {0};
    memcpy(to.dims, dims, sizeof to.dims);
    to.data = kt_arena_alloc(arena, kt_tensor_bytes(&to) + 1);
    for (size_t count = kt_tensor_elements(&to); at < count; at++) {
        size_t source = 0;
        for (int i = 0; i < to.rank; i++) source = source * (size_t)from->dims[i] + (size_t)position[i];
        memcpy((char *)to.data + at * bytes, (const char *)from->data + source * bytes, bytes);
        for (int i = to.rank - 1; i >= 0; i--) {
            if (++position[i] < to.dims[i]) break;
            position[i] = 0;
        }
    }
    return to;
}

static kt_value add_input(shrinking *r, const kt_type *type, const kt_tensor *data) {
    if (r->made.input_count == SUBJECT_MOST_INPUTS) return 0;
    int64_t dims[KT_MAX_RANK] = {0};
    for (int i = 0; i < type->rank; i++)
        dims[i] = kt_dim_eval(r->graph->dims, type->dims[i], r->result.sizes);
    uint32_t index = r->made.input_count++;
    for (int i = 0; i < type->rank; i++)
        if (dims[i] > data->dims[i]) return 0;
    r->made.inputs[index] = cut_tensor(r->arena, data, dims);
    return kt_builder_param(&r->b, KT_ROLE_INPUT, kt_arena_format(r->graph->arena, "x%u", index), index,
                            type);
}

/* Makes the edit's number in a copy of the attributes; NULL if there is none such or it is that already. */
static void *edited(shrinking *r, const kt_node_info *node) {
    const kt_op_info *info = kt_op_describe(node->op);
    uint32_t left = r->edit->axis;
    if (!info->attrs_bytes) return NULL;
    char *attrs = kt_arena_copy(r->graph->arena, node->attrs, info->attrs_bytes);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        void *field = attrs + info->attrs[i].offset;
        uint32_t count = info->attrs[i].kind == KT_ATTR_ints   ? ((kt_ints *)field)->count
                         : info->attrs[i].kind == KT_ATTR_dims ? ((kt_dims *)field)->count
                                                               : 0;
        if (left >= count) {
            left -= count;
            continue;
        }
        if (info->attrs[i].kind == KT_ATTR_ints) {
            if (((kt_ints *)field)->at[left] <= r->edit->value) return NULL;
            ((kt_ints *)field)->at[left] = r->edit->value;
        } else {
            int64_t now;
            kt_dim *dim = &((kt_dims *)field)->at[left];
            if (kt_dim_is_const(r->graph->dims, *dim, &now) && now <= r->edit->value) return NULL;
            *dim = kt_dim_const(r->graph->dims, r->edit->value);
        }
        return attrs;
    }
    return NULL;
}

static kt_status copy_params(shrinking *r, const kt_function *function, const bool *live) {
    uint32_t fed = 0;
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        kt_type type = *kt_graph_type(r->graph, port->value);
        if (port->role == KT_ROLE_VARIABLE) {
            if (!live[port->value]) continue;
            r->map[port->value] = kt_builder_param(&r->b, port->role, NULL, r->variables.count, &type);
            r->variable_index[port->index] = r->variables.count;
            KT_PUSH(r->arena, &r->variables, r->graph->variables.at[port->index]);
            continue;
        }
        const kt_tensor *data = &r->s->entries[0].inputs[fed++];
        if (r->edit->kind == EDIT_SIZE && r->edit->index == i && r->edit->axis < type.rank) {
            int64_t size;
            if (!kt_dim_is_const(r->graph->dims, type.dims[r->edit->axis], &size) || size < 2)
                return KT_INVALID;
            type.dims[r->edit->axis] = kt_dim_const(r->graph->dims, (size + 1) / 2);
            r->changed = true;
        }
        if (live[port->value] || i == 0) r->map[port->value] = add_input(r, &type, data);
    }
    return KT_OK;
}

/* What the smaller graph gives: outputs, then next values. A program without outputs is none, so the first
 * stays where another result is wanted that is no output. */
static uint32_t choose_results(const shrinking *r, const kt_function *function, kt_port *out_ports) {
    uint32_t count = 0;
    if (r->edit->kind == EDIT_ROOT) {
        out_ports[0] =
            (kt_port){.value = kt_graph_node(r->graph, function->nodes.at[r->edit->index])->first_result,
                      .role = KT_ROLE_OUTPUT};
        return 1;
    }
    bool with_first = r->edit->kind == EDIT_RESULT && r->edit->index < function->results.count &&
                      function->results.at[r->edit->index].role != KT_ROLE_OUTPUT;
    for (uint32_t i = 0; i < function->results.count; i++)
        if (r->edit->kind != EDIT_RESULT || r->edit->index == i || (i == 0 && with_first))
            out_ports[count++] = function->results.at[i];
    return count;
}

/* By value: do the results need it? cut: this node's operands are not needed. */
static bool *find_live(shrinking *r, const kt_function *function, const kt_port *results, uint32_t count,
                       kt_node cut) {
    bool *live = KT_NEW_ARRAY(r->arena, bool, r->graph->values.count);
    for (uint32_t i = 0; i < count; i++) live[results[i].value] = true;
    for (uint32_t i = 0; i < function->params.count; i++)
        for (uint32_t k = 0; k < count; k++)
            if (function->params.at[i].role == KT_ROLE_VARIABLE && results[k].role == KT_ROLE_VARIABLE &&
                function->params.at[i].index == results[k].index)
                live[function->params.at[i].value] = true;
    for (uint32_t i = function->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(r->graph, function->nodes.at[i]);
        bool needed = false;
        for (uint32_t k = 0; k < node->result_count; k++) needed |= live[node->first_result + k];
        for (uint32_t k = 0; needed && function->nodes.at[i] != cut && k < node->operand_count; k++)
            live[node->operands[k]] = true;
    }
    return live;
}

static kt_status copy_node(shrinking *r, kt_node at, bool cut, bool edit_it, const kt_tensor *values) {
    const kt_node_info *node = kt_graph_node(r->graph, at);
    r->b.loc = 0;
    if (cut) {
        for (uint32_t k = 0; k < node->result_count; k++)
            r->map[node->first_result + k] = add_input(r, kt_graph_type(r->graph, node->first_result + k),
                                                       &values[node->first_result + k]);
        r->changed = true;
        return KT_OK;
    }
    void *attrs = edit_it ? edited(r, node) : NULL;
    if (edit_it && !attrs) return KT_INVALID;
    if (!attrs) {
        kt_pass_clone(&r->b, at, r->map);
        return r->b.status;
    }
    kt_value operands[64];
    if (node->operand_count > 64 || node->result_count > 1) return KT_INVALID;
    for (uint32_t k = 0; k < node->operand_count; k++) operands[k] = r->map[node->operands[k]];
    r->map[node->first_result] = kt_pass_build_like(&r->b, node, operands, attrs);
    r->changed = true;
    return r->b.status;
}

/* Every value of the entry, by handle: an output is added for each. */
static kt_status evaluate_all(shrinking *r, kt_func func, kt_tensor *out_values) {
    kt_function *function = kt_graph_function(r->graph, func), saved = *function;
    KT_VECTOR(kt_port) ports = {0};
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(r->graph, function->nodes.at[i]);
        for (uint32_t k = 0; k < node->result_count; k++)
            KT_PUSH(r->arena, &ports, ((kt_port){node->first_result + k, KT_ROLE_OUTPUT, ports.count, "v"}));
    }
    function->results.at = ports.at;
    function->results.count = ports.count;
    kt_tensor *results = KT_NEW_ARRAY(r->arena, kt_tensor, ports.count + 1);
    kt_status status = kt_eval(r->graph, func, r->s->sizes, r->s->entries[0].inputs,
                               r->s->entries[0].input_count, r->arena, results, r->diag);
    *kt_graph_function(r->graph, func) = saved;
    for (uint32_t i = 0; status == KT_OK && i < ports.count; i++) out_values[ports.at[i].value] = results[i];
    return status;
}

static kt_status run_edit(void *context) {
    shrinking *r = context;
    const subject_entry *old = &r->s->entries[0];
    KT_TRY(kt_graph_parse(r->arena, r->s->text, strlen(r->s->text), &r->graph, r->diag));
    kt_graph *graph = r->graph;
    kt_func func = kt_graph_find(graph, old->name);
    const kt_function function = *kt_graph_function(graph, func);
    kt_tensor *values = KT_NEW_ARRAY(r->arena, kt_tensor, graph->values.count);
    KT_TRY(evaluate_all(r, func, values));
    memcpy(r->result.sizes, r->s->sizes, sizeof r->result.sizes);
    kt_node cut = 0;
    switch (r->edit->kind) {
    case EDIT_RESULT:
        if (r->edit->index >= function.results.count) return KT_INVALID;
        break;
    case EDIT_SYMBOL:
        if (r->edit->index >= kt_dim_symbol_count(graph->dims) ||
            r->s->sizes[r->edit->index] <= r->edit->value)
            return KT_INVALID;
        r->result.sizes[r->edit->index] = r->edit->value;
        r->changed = true;
        break;
    case EDIT_ROOT:
        if (r->edit->index >= function.nodes.count) return KT_INVALID;
        r->changed = function.results.count > 1 ||
                     kt_graph_node(graph, function.nodes.at[r->edit->index])->first_result !=
                         function.results.at[0].value;
        break;
    case EDIT_CUT:
        if (r->edit->index >= function.nodes.count) return KT_INVALID;
        cut = function.nodes.at[r->edit->index];
        break;
    default: break;
    }
    r->map = KT_NEW_ARRAY(r->arena, kt_value, graph->values.count);
    r->variable_index = KT_NEW_ARRAY(r->arena, uint32_t, graph->variables.count + 1);
    kt_port results[2 * RANDOM_MOST_PORTS];
    uint32_t result_count = choose_results(r, &function, results);
    r->changed = r->changed || result_count < function.results.count;
    bool *live = find_live(r, &function, results, result_count, cut);
    r->made = (subject_entry){.name = "smaller"};
    kt_builder_begin(&r->b, graph, KT_FUNC_ENTRY, "smaller", r->diag);
    KT_TRY(copy_params(r, &function, live));
    for (uint32_t i = 0; i < function.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function.nodes.at[i]);
        bool needed = false, here = r->edit->index == i;
        for (uint32_t k = 0; k < node->result_count; k++) needed |= live[node->first_result + k];
        if (!needed && here && (r->edit->kind == EDIT_CUT || r->edit->kind == EDIT_ATTRIBUTE))
            return KT_INVALID;
        if (needed)
            KT_TRY(copy_node(r, function.nodes.at[i], function.nodes.at[i] == cut,
                             r->edit->kind == EDIT_ATTRIBUTE && here, values));
    }
    if (!r->changed) return KT_INVALID;
    for (uint32_t i = 0; i < result_count; i++) {
        bool next = results[i].role == KT_ROLE_VARIABLE;
        uint32_t index = next ? r->variable_index[results[i].index] : r->made.output_count++;
        if (next) r->made.paths[r->made.next_count++] = r->variables.at[index].path;
        kt_builder_result(&r->b, results[i].role, next ? NULL : kt_arena_format(graph->arena, "y%u", i),
                          index, r->map[results[i].value]);
    }
    for (uint32_t i = 1; i < graph->functions.count; i++) {
        graph->functions.at[i].kind = KT_FUNC_BODY; /* no entry any more; what is called stays */
        graph->functions.at[i].name = kt_arena_format(graph->arena, "f%u", i);
    }
    if (r->variables.count)
        memcpy(graph->variables.at, r->variables.at, r->variables.count * sizeof *r->variables.at);
    graph->variables.count = r->variables.count;
    KT_TRY(kt_builder_finish(&r->b, &func));
    if (graph->equalities.count) return KT_INVALID;
    if (r->made.next_count) random_add_after(graph, func, r->made.after = "after", r->diag);
    kt_graph_drop_unreachable(graph);
    KT_TRY(kt_graph_verify(graph, r->diag));
    func = kt_graph_find(graph, "smaller");
    kt_tensor given[2 * RANDOM_MOST_PORTS];
    KT_TRY(
        kt_eval(graph, func, r->result.sizes, r->made.inputs, r->made.input_count, r->arena, given, r->diag));
    memcpy(r->made.outputs, given, r->made.output_count * sizeof *given);
    memcpy(r->made.nexts, given + r->made.output_count, r->made.next_count * sizeof *given);
    kt_text text = {.arena = r->arena};
    kt_graph_print(graph, NULL, &text);
    r->result.text = kt_text_string(&text);
    r->result.count = 1;
    r->result.entries = kt_arena_copy(r->arena, &r->made, sizeof r->made);
    return KT_OK;
}

/* Can the edit be made? What it leaves may crash whoever evaluates it: that is seen in a process of its own.
 */
static bool can_edit(shrinking *r) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(kt_guarded(run_edit, r, r->diag) != KT_OK);
    int state = 1;
    while (child > 0 && waitpid(child, &state, 0) < 0) {}
    return child > 0 && state == 0;
}

/* What kind of fault a sentence tells of: its beginning. */
static size_t kind_of(const char *wrong) { return strcspn(wrong, ",:"); }

/* s with the edit, if that can be done and the result still fails, like wrong. */
static bool try_edit(kt_arena *arena, subject *s, edit e, subject_way way, const char *wrong) {
    kt_diag diag = {0};
    subject_finding finding;
    shrinking r = {.arena = arena, .s = s, .edit = &e, .diag = &diag};
    bool made = can_edit(&r) && kt_guarded(run_edit, &r, &diag) == KT_OK;
    const char *found = made ? subject_check_apart(&r.result, way, &finding) : NULL;
    bool smaller = found && kind_of(found) == kind_of(wrong) && !strncmp(found, wrong, kind_of(wrong));
    if (smaller) *s = r.result;
    kt_diag_deinit(&diag);
    return smaller;
}

static uint32_t count_nodes(kt_arena *arena, const subject *s) {
    kt_diag diag = {0};
    kt_graph *graph;
    uint32_t count = 0;
    if (kt_graph_parse(arena, s->text, strlen(s->text), &graph, &diag) == KT_OK)
        count = kt_graph_function(graph, kt_graph_find(graph, s->entries[0].name))->nodes.count;
    kt_diag_deinit(&diag);
    return count;
}

void subject_shrink(kt_arena *arena, const subject *s, uint32_t entry, subject_way way, const char *wrong,
                    subject *out_smaller) {
    /* What each kind of edit counts through. */
    enum { NODES = 0 }; /* as many as there are */
    static const struct {
        uint32_t indices, axes;
        int64_t values[2];
    } ranges[EDIT_KINDS] = {
        [EDIT_RESULT] = {2 * RANDOM_MOST_PORTS, 1, {0, 0}},
        [EDIT_ROOT] = {NODES, 1, {0, 0}},
        [EDIT_CUT] = {NODES, 1, {0, 0}},
        [EDIT_SYMBOL] = {RANDOM_SYMBOLS, 1, {1, 2}},
        [EDIT_SIZE] = {SUBJECT_MOST_INPUTS, 6, {0, 0}},
        [EDIT_ATTRIBUTE] = {NODES, 24, {0, 1}},
    };
    *out_smaller = *s;
    out_smaller->entries = &s->entries[entry];
    out_smaller->count = 1;
    for (bool again = true; again;) {
        again = false;
        uint32_t nodes = count_nodes(arena, out_smaller);
        for (edit_kind kind = 0; kind < EDIT_KINDS; kind++)
            for (uint32_t i = 0; i < (ranges[kind].indices ? ranges[kind].indices : nodes); i++)
                for (uint32_t axis = 0; axis < ranges[kind].axes; axis++)
                    for (int v = 0; v < 1 + (ranges[kind].values[1] != ranges[kind].values[0]); v++)
                        again |= try_edit(arena, out_smaller, (edit){kind, i, axis, ranges[kind].values[v]},
                                          way, wrong);
    }
}

void subject_print(const subject *s) {
    fprintf(stderr, "%s", s->text);
    for (uint32_t i = 0; i < s->entries[0].input_count; i++) {
        const kt_tensor *t = &s->entries[0].inputs[i];
        fprintf(stderr, "// x%u =", i);
        for (size_t k = 0; k < kt_tensor_elements(t) && k < 64; k++) {
            if (kt_dtype_is_float(t->dtype))
                fprintf(stderr, " %.9g", kt_element_float(t->dtype, t->data, k));
            else
                fprintf(stderr, " %lld", (long long)kt_element_integer(t->dtype, t->data, k));
        }
        fprintf(stderr, "\n");
    }
}
