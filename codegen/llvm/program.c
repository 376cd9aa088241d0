/* The tables of runtime/abi.h as LLVM constants, the bind functions that they refer to, and a library's C
 * entry points, which hand their arguments over to the runtime.
 *
 * Every size that a table needs is a position in the array that its entry's bind function fills in, so that
 * the runtime computes nothing but offsets in the workspace. */
#include "codegen/llvm/llvm_impl.h"

#include "runtime/runtime.h"

#include <string.h>

typedef struct emitter {
    kt_module *module;
    const kt_program_source *source;
    LLVMTypeRef i32, i64, pointer, unit;
    LLVMBuilderRef builder;
    uint64_t *variable_offsets; /* by kt_graph.variables: byte offset in what contexts keep */
    uint64_t variables_bytes;
} emitter;

/* The dimension expressions of one entry, each once, in the order of their first use. */
typedef struct value_list {
    kt_table positions;
    KT_VECTOR(kt_dim) dims;
} value_list;

static uint32_t value_position(emitter *emit, value_list *values, kt_dim dim) {
    uint32_t *found = kt_table_find(&values->positions, &dim, sizeof dim);
    if (found) return *found;
    uint32_t position = values->dims.count;
    kt_table_add(&values->positions, emit->module->arena, &dim, sizeof dim, position);
    KT_PUSH(emit->module->arena, &values->dims, dim);
    return position;
}

/* ---- constants ------------------------------------------------------------------------------- */
static LLVMValueRef number32(emitter *emit, uint32_t value) { return LLVMConstInt(emit->i32, value, false); }
static LLVMValueRef number64(emitter *emit, uint64_t value) { return LLVMConstInt(emit->i64, value, false); }

static LLVMValueRef private_global(emitter *emit, const char *name, LLVMTypeRef type, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(emit->module->module, type, name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static LLVMValueRef string_global(emitter *emit, const char *text) {
    LLVMValueRef bytes = LLVMConstStringInContext2(emit->module->context, text, strlen(text), false);
    return private_global(emit, "text", LLVMTypeOf(bytes), bytes);
}

static LLVMValueRef record(emitter *emit, LLVMValueRef *fields, uint32_t count) {
    return LLVMConstStructInContext(emit->module->context, fields, count, false);
}
#define RECORD(emit, ...)                                                                                    \
    record((emit), (LLVMValueRef[]){__VA_ARGS__},                                                            \
           sizeof((LLVMValueRef[]){__VA_ARGS__}) / sizeof(LLVMValueRef))

typedef KT_VECTOR(LLVMValueRef) rows;

/* An array of rows as a private constant; the null pointer where there are none. */
static LLVMValueRef table_global(emitter *emit, const char *name, rows table) {
    if (!table.count) return LLVMConstNull(emit->pointer);
    LLVMTypeRef type = LLVMTypeOf(table.at[0]);
    return private_global(emit, name, LLVMArrayType2(type, table.count),
                          LLVMConstArray2(type, table.at, table.count));
}

/* ---- tables of an entry ---------------------------------------------------------------------- */
/* kt_abi_labels of an input, or the null pointer. */
static LLVMValueRef labels_record(emitter *emit, const kt_function *function, uint32_t input) {
    const kt_training_info *training = emit->source->training;
    bool steps = !strncmp(function->name, "train_step", 10) || !strncmp(function->name, "evaluate_step", 13);
    for (uint32_t i = 0; training && steps && i < training->label_count; i++) {
        const kt_abi_labels *labels = &training->labels[i];
        if (labels->input != input) continue;
        LLVMValueRef value = RECORD(emit, number64(emit, input), number64(emit, (uint64_t)labels->classes),
                                    number64(emit, (uint64_t)labels->ignored));
        return private_global(emit, "labels", LLVMTypeOf(value), value);
    }
    return LLVMConstNull(emit->pointer);
}

static LLVMValueRef tensor_table(emitter *emit, value_list *values, const kt_function *function,
                                 kt_role role) {
    const kt_graph *graph = emit->source->graph;
    bool in = role == KT_ROLE_INPUT;
    uint32_t count = in ? function->params.count : function->results.count;
    const kt_port *ports = in ? function->params.at : function->results.at;
    rows table = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (ports[i].role != role) continue;
        const kt_type *type = kt_graph_type(graph, ports[i].value);
        LLVMValueRef dims[KT_MAX_RANK];
        for (int axis = 0; axis < KT_MAX_RANK; axis++)
            dims[axis] =
                number32(emit, axis < type->rank ? value_position(emit, values, type->dims[axis]) : 0);
        LLVMValueRef labels = in ? labels_record(emit, function, table.count) : LLVMConstNull(emit->pointer);
        LLVMValueRef row =
            RECORD(emit, string_global(emit, ports[i].name), number32(emit, type->dtype),
                   number32(emit, type->rank), LLVMConstArray2(emit->i32, dims, KT_MAX_RANK), labels);
        KT_PUSH(emit->module->arena, &table, row);
    }
    return table_global(emit, in ? "inputs" : "outputs", table);
}

/* Which dimension of which input a symbol is read off. */
static LLVMValueRef symbol_table(emitter *emit, const kt_function *function, uint32_t *out_count) {
    const kt_graph *graph = emit->source->graph;
    kt_module *module = emit->module;
    rows table = {0};
    *out_count = module->symbol_count;
    for (uint32_t slot = 0; slot < module->symbol_count; slot++) {
        uint32_t symbol = 0, input = 0;
        while (module->symbol_slots[symbol] != slot) symbol++;
        LLVMValueRef row = NULL;
        for (uint32_t i = 0; i < function->params.count && !row; i++) {
            if (function->params.at[i].role != KT_ROLE_INPUT) continue;
            const kt_type *type = kt_graph_type(graph, function->params.at[i].value);
            for (uint32_t axis = 0; axis < type->rank && !row; axis++) {
                uint32_t index;
                if (kt_dim_is_symbol(graph->dims, type->dims[axis], &index) && index == symbol)
                    row = RECORD(emit, string_global(emit, kt_dim_symbol_name(graph->dims, symbol)),
                                 number32(emit, input), number32(emit, axis));
            }
            input++;
        }
        if (!row) return NULL;
        KT_PUSH(module->arena, &table, row);
    }
    return table_global(emit, "symbols", table);
}

static bool is_variable(const kt_plan_buffer *buffer) {
    return buffer->place == KT_PLACE_VARIABLE || buffer->place == KT_PLACE_NEXT;
}

/* Gives each variable that contexts keep its place there; the table of them. */
static LLVMValueRef variable_table(emitter *emit, uint32_t *out_count) {
    const kt_program_source *source = emit->source;
    const kt_graph *graph = source->graph;
    kt_arena *arena = emit->module->arena;
    const bool *kept = kt_variables_kept(graph, source->plans, source->plan_count, arena);
    rows table = {0};
    emit->variable_offsets = KT_NEW_ARRAY(arena, uint64_t, graph->variables.count + 1);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        const kt_type *type = &variable->type;
        if (!kept[i]) continue;
        uint32_t begin = source->variable_begins ? source->variable_begins[i] : 0;
        LLVMValueRef dims[KT_MAX_RANK];
        for (int axis = 0; axis < KT_MAX_RANK; axis++) {
            int64_t dim = 0;
            if (axis < type->rank) (void)kt_dim_is_const(graph->dims, type->dims[axis], &dim);
            dims[axis] = number64(emit, (uint64_t)dim);
        }
        emit->variable_offsets[i] = emit->variables_bytes;
        LLVMValueRef row = RECORD(
            emit, string_global(emit, variable->path),
            variable->file_path ? string_global(emit, variable->file_path) : LLVMConstNull(emit->pointer),
            number32(emit, type->dtype), number32(emit, type->rank),
            LLVMConstArray2(emit->i64, dims, KT_MAX_RANK), number32(emit, variable->kind),
            number32(emit, variable->trainable), number64(emit, emit->variables_bytes),
            number64(emit, begin ? source->constant_offsets[begin - 1] : KT_ABI_ZEROS),
            number64(emit, source->weights ? source->weights->offsets[i] : 0));
        KT_PUSH(arena, &table, row);
        uint64_t bytes = (uint64_t)kt_type_static_bytes(graph->dims, type);
        emit->variables_bytes += (bytes + 63) / 64 * 64;
    }
    *out_count = table.count;
    return table_global(emit, "variables", table);
}

static LLVMValueRef buffer_table(emitter *emit, value_list *values, const kt_plan *plan) {
    rows table = {0};
    for (uint32_t i = 0; i < plan->buffers.count; i++) {
        const kt_plan_buffer *buffer = &plan->buffers.at[i];
        uint64_t index = buffer->index;
        if (buffer->place == KT_PLACE_CONSTANT) index = emit->source->constant_offsets[index];
        if (is_variable(buffer)) index = emit->variable_offsets[index];
        LLVMValueRef row = RECORD(
            emit, number32(emit, buffer->place), number32(emit, value_position(emit, values, buffer->bytes)),
            number64(emit, index), number32(emit, buffer->first), number32(emit, buffer->last));
        KT_PUSH(emit->module->arena, &table, row);
    }
    return table_global(emit, "buffers", table);
}

static LLVMValueRef step_table(emitter *emit, value_list *values, const kt_plan *plan,
                               const LLVMValueRef *kernels, LLVMValueRef *out_args, uint32_t *out_arg_count) {
    const kt_graph *graph = emit->source->graph;
    rows table = {0}, args = {0};
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        const kt_plan_step *step = &plan->steps.at[i];
        const char *name = kt_graph_function(graph, step->kernel)->name;
        const kt_loops *loops = kt_module_kernel(emit->module, name);
        kt_work work = kt_kernel_work(graph, step->kernel);
        kt_text where = {.arena = emit->module->arena};
        kt_loc_print(graph, step->loc, &where);
        LLVMValueRef row = RECORD(
            emit, kernels[step->kernel], string_global(emit, name),
            string_global(emit, kt_text_string(&where)), number32(emit, args.count),
            number32(emit, step->args.count), number32(emit, value_position(emit, values, loops->units)),
            number32(emit, value_position(emit, values, loops->cost)),
            number32(emit, value_position(emit, values, work.operations)),
            number32(emit, value_position(emit, values, work.bytes)), number32(emit, loops->leading));
        KT_PUSH(emit->module->arena, &table, row);
        for (uint32_t j = 0; j < step->args.count; j++)
            KT_PUSH(emit->module->arena, &args, number32(emit, step->args.at[j]));
    }
    *out_args = table_global(emit, "args", args);
    *out_arg_count = args.count;
    return table_global(emit, "steps", table);
}

/* Does a buffer move with a loop? */
static bool moves_with(const kt_plan *plan, uint32_t buffer, uint32_t loop) {
    for (; plan->buffers.at[buffer].place == KT_PLACE_SLICE; buffer = plan->buffers.at[buffer].index)
        if (plan->buffers.at[buffer].first == loop) return true;
    return false;
}

/* What tables hold of a plan's symbol for samples. */
static LLVMValueRef batch_number(emitter *emit, uint32_t symbol) {
    return number32(emit, symbol == KT_NO_BATCH ? 0 : emit->module->symbol_slots[symbol] + 1);
}

static LLVMValueRef loop_table(emitter *emit, value_list *values, const kt_plan *plan,
                               LLVMValueRef *out_moves) {
    rows table = {0}, moves = {0};
    for (uint32_t number = 0; number < plan->loops.count; number++) {
        const kt_plan_loop *loop = &plan->loops.at[number];
        uint32_t first_move = moves.count, arg = 0;
        for (uint32_t i = 0; i < loop->end_step; i++) {
            const kt_plan_step *step = &plan->steps.at[i];
            for (uint32_t j = 0; j < step->args.count; j++, arg++)
                if (i >= loop->first_step && moves_with(plan, step->args.at[j], number))
                    KT_PUSH(emit->module->arena, &moves, number32(emit, arg));
        }
        LLVMValueRef row =
            RECORD(emit, number32(emit, loop->first_step), number32(emit, loop->end_step),
                   number32(emit, value_position(emit, values, loop->length)), number32(emit, loop->reverse),
                   number32(emit, first_move), number32(emit, moves.count - first_move),
                   number32(emit, loop->apart), batch_number(emit, loop->batch));
        KT_PUSH(emit->module->arena, &table, row);
    }
    *out_moves = table_global(emit, "moves", moves);
    return table_global(emit, "loops", table);
}

static LLVMValueRef check_table(emitter *emit, value_list *values, uint32_t *out_count) {
    const kt_graph *graph = emit->source->graph;
    rows table = {0};
    for (uint32_t i = 0; i < graph->equalities.count; i++) {
        const kt_equality *equality = &graph->equalities.at[i];
        LLVMValueRef row = RECORD(emit, number32(emit, value_position(emit, values, equality->left)),
                                  number32(emit, value_position(emit, values, equality->right)),
                                  string_global(emit, equality->sentence));
        KT_PUSH(emit->module->arena, &table, row);
    }
    *out_count = table.count;
    return table_global(emit, "checks", table);
}

static LLVMValueRef bind_function(emitter *emit, const char *entry, const value_list *values) {
    kt_module *module = emit->module;
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(module->context),
                                        (LLVMTypeRef[]){emit->pointer, emit->pointer}, 2, false);
    LLVMValueRef function =
        LLVMAddFunction(module->module, kt_arena_format(module->arena, "bind_%s", entry), type);
    LLVMSetLinkage(function, LLVMInternalLinkage);
    LLVMPositionBuilderAtEnd(emit->builder, LLVMAppendBasicBlockInContext(module->context, function, ""));
    for (uint32_t i = 0; i < values->dims.count; i++) {
        LLVMValueRef value = kt_llvm_dim(module, emit->builder, LLVMGetParam(function, 0),
                                         emit->source->graph, values->dims.at[i]);
        LLVMValueRef at = number64(emit, i);
        LLVMBuildStore(
            emit->builder, value,
            LLVMBuildInBoundsGEP2(emit->builder, emit->i64, LLVMGetParam(function, 1), &at, 1, ""));
    }
    LLVMBuildRetVoid(emit->builder);
    return function;
}

static kt_status entry_row(emitter *emit, const kt_plan *plan, const LLVMValueRef *kernels, kt_diag *diag,
                           LLVMValueRef *out_row) {
    const kt_function *function = kt_graph_function(emit->source->graph, plan->entry);
    value_list values = {0};
    uint32_t input_count = 0, output_count = 0, symbol_count, arg_count, check_count;
    for (uint32_t i = 0; i < function->params.count; i++)
        input_count += function->params.at[i].role == KT_ROLE_INPUT;
    for (uint32_t i = 0; i < function->results.count; i++)
        output_count += function->results.at[i].role == KT_ROLE_OUTPUT;
    bool prepares = plan == emit->source->prepare; /* of static tensors alone */
    LLVMValueRef symbols = LLVMConstNull(emit->pointer);
    symbol_count = 0;
    if (!prepares) symbols = symbol_table(emit, function, &symbol_count);
    if (!symbols)
        return kt_diag_add(
            diag, KT_UNSUPPORTED, function->name,
            "A symbolic dimension of the program is no dimension of an input of this entry; fix it with "
            "--batch or --shape.");
    LLVMValueRef inputs = tensor_table(emit, &values, function, KT_ROLE_INPUT);
    LLVMValueRef outputs = tensor_table(emit, &values, function, KT_ROLE_OUTPUT);
    LLVMValueRef buffers = buffer_table(emit, &values, plan);
    LLVMValueRef args, steps = step_table(emit, &values, plan, kernels, &args, &arg_count);
    LLVMValueRef checks = LLVMConstNull(emit->pointer);
    check_count = 0;
    if (!prepares) checks = check_table(emit, &values, &check_count);
    LLVMValueRef moves, loops = loop_table(emit, &values, plan, &moves);
    LLVMValueRef bind = bind_function(emit, function->name, &values);
    *out_row = RECORD(emit, string_global(emit, function->name), bind, number32(emit, values.dims.count),
                      number32(emit, symbol_count), number32(emit, input_count), number32(emit, output_count),
                      number32(emit, plan->buffers.count), number32(emit, arg_count),
                      number32(emit, plan->steps.count), number32(emit, check_count),
                      number32(emit, plan->loops.count), batch_number(emit, plan->batch), symbols, inputs,
                      outputs, buffers, args, steps, checks, loops, moves);
    return KT_OK;
}

/* ---- a library's C entry points -------------------------------------------------------------- */
static LLVMValueRef runtime_function(emitter *emit, const char *name, LLVMTypeRef type) {
    LLVMValueRef function = LLVMGetNamedFunction(emit->module->module, name);
    return function ? function : LLVMAddFunction(emit->module->module, name, type);
}

static LLVMValueRef exported_function(emitter *emit, const char *suffix, LLVMTypeRef type) {
    kt_module *module = emit->module;
    const char *name = kt_arena_format(module->arena, "%s_%s", module->options.name, suffix);
    LLVMValueRef function = LLVMAddFunction(module->module, name, type);
    LLVMPositionBuilderAtEnd(emit->builder, LLVMAppendBasicBlockInContext(module->context, function, ""));
    return function;
}

/* NAME_suffix(arguments…) = runtime(arguments…). */
static void forwarder(emitter *emit, const char *suffix, const char *runtime, LLVMTypeRef type) {
    LLVMValueRef function = exported_function(emit, suffix, type), arguments[8];
    LLVMGetParams(function, arguments);
    LLVMValueRef result = LLVMBuildCall2(emit->builder, type, runtime_function(emit, runtime, type),
                                         arguments, LLVMCountParams(function), "");
    if (LLVMGetReturnType(type) == LLVMVoidTypeInContext(emit->module->context))
        LLVMBuildRetVoid(emit->builder);
    else
        LLVMBuildRet(emit->builder, result);
}

/* An array on the stack that holds arguments first … first + count - 1 of the function. */
static LLVMValueRef argument_array(emitter *emit, LLVMValueRef function, LLVMTypeRef type, uint32_t first,
                                   uint32_t count) {
    if (!count) return LLVMConstNull(emit->pointer);
    LLVMValueRef array = LLVMBuildAlloca(emit->builder, LLVMArrayType2(type, count), "");
    for (uint32_t i = 0; i < count; i++) {
        LLVMValueRef at = number64(emit, i);
        LLVMBuildStore(emit->builder, LLVMGetParam(function, first + i),
                       LLVMBuildInBoundsGEP2(emit->builder, type, array, &at, 1, ""));
    }
    return array;
}

static void entry_point(emitter *emit, const kt_plan *plan, uint32_t index) {
    const kt_function *entry = kt_graph_function(emit->source->graph, plan->entry);
    KT_VECTOR(LLVMTypeRef) types = {0};
    kt_arena *arena = emit->module->arena;
    KT_PUSH(arena, &types, emit->pointer);
    for (uint32_t i = 0; i < emit->module->symbol_count; i++) KT_PUSH(arena, &types, emit->i64);
    uint32_t inputs = 0, outputs = 0;
    for (uint32_t i = 0; i < entry->params.count; i++) inputs += entry->params.at[i].role == KT_ROLE_INPUT;
    for (uint32_t i = 0; i < entry->results.count; i++)
        outputs += entry->results.at[i].role == KT_ROLE_OUTPUT;
    for (uint32_t i = 0; i < inputs + outputs; i++) KT_PUSH(arena, &types, emit->pointer);
    LLVMValueRef function =
        exported_function(emit, entry->name, LLVMFunctionType(emit->i32, types.at, types.count, false));
    uint32_t symbols = emit->module->symbol_count;
    LLVMTypeRef type = LLVMFunctionType(
        emit->i32, (LLVMTypeRef[]){emit->pointer, emit->i32, emit->pointer, emit->pointer, emit->pointer}, 5,
        false);
    LLVMValueRef arguments[] = {
        LLVMGetParam(function, 0),
        number32(emit, index),
        argument_array(emit, function, emit->i64, 1, symbols),
        argument_array(emit, function, emit->pointer, 1 + symbols, inputs),
        argument_array(emit, function, emit->pointer, 1 + symbols + inputs, outputs),
    };
    LLVMBuildRet(emit->builder,
                 LLVMBuildCall2(emit->builder, type, runtime_function(emit, "kt_context_call", type),
                                arguments, 5, ""));
}

static void library_functions(emitter *emit, LLVMValueRef program) {
    LLVMTypeRef i32 = emit->i32, pointer = emit->pointer, none = LLVMVoidTypeInContext(emit->module->context);
    LLVMTypeRef create = LLVMFunctionType(pointer, (LLVMTypeRef[]){pointer, i32, pointer}, 3, false);
    LLVMValueRef function = exported_function(emit, "create", LLVMFunctionType(pointer, &i32, 1, false));
    LLVMValueRef arguments[] = {program, LLVMGetParam(function, 0), LLVMConstNull(pointer)};
    LLVMBuildRet(emit->builder,
                 LLVMBuildCall2(emit->builder, create, runtime_function(emit, "kt_context_create", create),
                                arguments, 3, ""));
    if (emit->source->weights) {
        LLVMTypeRef from =
            LLVMFunctionType(pointer, (LLVMTypeRef[]){pointer, i32, pointer, pointer}, 4, false);
        function = exported_function(emit, "create_from",
                                     LLVMFunctionType(pointer, (LLVMTypeRef[]){i32, pointer}, 2, false));
        LLVMValueRef given[] = {program, LLVMGetParam(function, 0), LLVMGetParam(function, 1),
                                LLVMConstNull(pointer)};
        LLVMBuildRet(emit->builder,
                     LLVMBuildCall2(emit->builder, from,
                                    runtime_function(emit, "kt_context_create_from", from), given, 4, ""));
    }
    forwarder(emit, "destroy", "kt_context_destroy", LLVMFunctionType(none, &pointer, 1, false));
    forwarder(emit, "error", "kt_context_error", LLVMFunctionType(pointer, &pointer, 1, false));
    forwarder(emit, "call", "kt_context_call_buffers",
              LLVMFunctionType(i32, (LLVMTypeRef[]){pointer, pointer, pointer, pointer}, 4, false));
    forwarder(emit, "output_shape", "kt_context_output_shape",
              LLVMFunctionType(i32, (LLVMTypeRef[]){pointer, pointer, i32, pointer, pointer}, 5, false));
    if (emit->source->training) {
        forwarder(emit, "variable", "kt_context_variable_buffer",
                  LLVMFunctionType(i32, (LLVMTypeRef[]){pointer, pointer, pointer, i32}, 4, false));
        forwarder(emit, "reset_metrics", "kt_context_reset_metrics",
                  LLVMFunctionType(none, &pointer, 1, false));
    }
    if (emit->module->target->trains) {
        LLVMTypeRef file = LLVMFunctionType(i32, (LLVMTypeRef[]){pointer, pointer}, 2, false);
        forwarder(emit, "save", "kt_context_save", file);
        forwarder(emit, "load", "kt_context_load", file);
    }
    exported_function(emit, "describe", LLVMFunctionType(pointer, NULL, 0, false));
    LLVMBuildRet(emit->builder, string_global(emit, emit->source->describe));
    for (uint32_t i = 0; i < emit->source->plan_count; i++) entry_point(emit, &emit->source->plans[i], i);
}

/* ---- the program ----------------------------------------------------------------------------- */
static LLVMValueRef constants_symbol(emitter *emit) {
    if (!emit->source->constants_bytes || emit->source->prepare) return LLVMConstNull(emit->pointer);
    LLVMValueRef global = LLVMAddGlobal(emit->module->module, LLVMInt8TypeInContext(emit->module->context),
                                        kt_constants_symbol(emit->module->arena, emit->module->options.name));
    LLVMSetGlobalConstant(global, true);
    LLVMSetVisibility(global, LLVMHiddenVisibility);
    return global;
}

static LLVMValueRef offsets_table(emitter *emit, const char *name, const uint64_t *offsets, uint32_t count) {
    rows table = {0};
    for (uint32_t i = 0; i < count; i++) KT_PUSH(emit->module->arena, &table, number64(emit, offsets[i]));
    return table_global(emit, name, table);
}

/* kt_abi_weights, or the null pointer. */
static kt_status weights_table(emitter *emit, const LLVMValueRef *kernels, kt_diag *diag,
                               LLVMValueRef *out_table) {
    const kt_program_source *source = emit->source;
    LLVMValueRef none = LLVMConstNull(emit->pointer), prepare = none, inputs = none, outputs = none;
    *out_table = none;
    if (!source->weights) return KT_OK;
    if (source->prepare) {
        const kt_function *function = kt_graph_function(source->graph, source->prepare->entry);
        rows entry = {0};
        LLVMValueRef row = NULL;
        KT_TRY(entry_row(emit, source->prepare, kernels, diag, &row));
        KT_PUSH(emit->module->arena, &entry, row);
        prepare = table_global(emit, "prepare", entry);
        inputs = offsets_table(emit, "variables", source->prepare_offsets, function->params.count);
        outputs = offsets_table(emit, "constants", source->constant_offsets, function->results.count);
    }
    rows table = {0};
    KT_PUSH(emit->module->arena, &table,
            RECORD(emit, prepare, source->weights_name ? string_global(emit, source->weights_name) : none,
                   number64(emit, source->weights->list_hash), number64(emit, source->weights->bytes), inputs,
                   outputs));
    *out_table = table_global(emit, "weights", table);
    return KT_OK;
}

/* kt_abi_training, or the null pointer. The verbs are the runtime's; only what a program can do is linked. */
static LLVMValueRef training_table(emitter *emit) {
    const kt_training_info *training = emit->source->training;
    LLVMValueRef none = LLVMConstNull(emit->pointer);
    if (!training) return none;
    LLVMTypeRef verb =
        LLVMFunctionType(emit->i32, (LLVMTypeRef[]){emit->pointer, emit->i32, emit->pointer}, 3, false);
    LLVMTypeRef file =
        LLVMFunctionType(emit->i32, (LLVMTypeRef[]){emit->pointer, emit->pointer, emit->pointer}, 3, false);
    rows names = {0}, betters = {0}, sizes = {0}, copies = {0}, merges = {0}, table = {0};
    bool program = !emit->module->options.library && !emit->module->options.loaded;
    for (uint32_t i = 0; i < training->log_count; i++) {
        KT_PUSH(emit->module->arena, &names, string_global(emit, training->log_names[i]));
        KT_PUSH(emit->module->arena, &betters, number32(emit, (uint32_t)training->log_betters[i]));
        KT_PUSH(emit->module->arena, &sizes, number32(emit, (uint32_t)training->log_sizes[i]));
    }
    for (uint32_t i = 0; i < training->copies_count; i++) {
        const kt_abi_copies *own = &training->copies[i];
        KT_PUSH(emit->module->arena, &copies,
                RECORD(emit, string_global(emit, own->place), string_global(emit, own->name),
                       number32(emit, own->first), number32(emit, own->count)));
    }
    for (uint32_t i = 0; i < training->merges_count; i++) {
        const kt_abi_merge *own = &training->merges[i];
        KT_PUSH(emit->module->arena, &merges,
                RECORD(emit, string_global(emit, own->path), string_global(emit, own->a),
                       string_global(emit, own->b),
                       LLVMConstReal(LLVMDoubleTypeInContext(emit->module->context), own->scale)));
    }
    KT_PUSH(emit->module->arena, &table,
            RECORD(emit, table_global(emit, "logs", names), table_global(emit, "betters", betters),
                   table_global(emit, "sizes", sizes), number64(emit, names.count),
                   training->config ? string_global(emit, training->config) : none,
                   training->metadata ? string_global(emit, training->metadata) : none,
                   training->optimizer ? string_global(emit, training->optimizer) : none,
                   table_global(emit, "copies", copies), number64(emit, copies.count),
                   table_global(emit, "merges", merges), number64(emit, merges.count),
                   program ? runtime_function(emit, "kt_verb_evaluate", verb) : none,
                   program && training->train ? runtime_function(emit, "kt_verb_fit", verb) : none,
                   program && training->train ? runtime_function(emit, "kt_training_load", file) : none));
    return table_global(emit, "training", table);
}

kt_status kt_llvm_program(kt_module *module, const kt_program_source *source, const LLVMValueRef *kernels,
                          kt_diag *diag) {
    emitter emit = {.module = module, .source = source};
    emit.i32 = LLVMInt32TypeInContext(module->context);
    emit.i64 = LLVMInt64TypeInContext(module->context);
    emit.pointer = LLVMPointerTypeInContext(module->context, 0);
    emit.builder = kt_llvm_builder(module);
    rows entries = {0};
    uint32_t variable_count;
    LLVMValueRef variables = variable_table(&emit, &variable_count);
    for (uint32_t i = 0; i < source->plan_count; i++) {
        LLVMValueRef row = NULL;
        KT_TRY(entry_row(&emit, &source->plans[i], kernels, diag, &row));
        KT_PUSH(module->arena, &entries, row);
    }
    const kt_target *target = module->target;
    LLVMValueRef weights = NULL;
    KT_TRY(weights_table(&emit, kernels, diag, &weights));
    LLVMValueRef program =
        RECORD(&emit, number32(&emit, KT_ABI_VERSION), number32(&emit, entries.count),
               string_global(&emit, module->options.name), string_global(&emit, KT_VERSION),
               string_global(&emit, kt_arena_format(module->arena, "%s %s", target->triple, target->cpu)),
               string_global(&emit, source->describe), number64(&emit, target->cpu_features),
               constants_symbol(&emit), number64(&emit, source->constants_bytes),
               number64(&emit, emit.variables_bytes), number32(&emit, variable_count), variables,
               table_global(&emit, "entries", entries), weights, training_table(&emit));
    const char *name = module->options.library ? "program"
                       : module->options.loaded
                           ? kt_arena_format(module->arena, "%s_program", module->options.name)
                           : "kt_main_program";
    LLVMValueRef global = LLVMAddGlobal(module->module, LLVMTypeOf(program), name);
    LLVMSetInitializer(global, program);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, module->options.library ? LLVMInternalLinkage : LLVMExternalLinkage);
    if (module->options.library) library_functions(&emit, global);
    return KT_OK;
}
