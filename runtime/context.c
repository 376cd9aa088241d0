/* Contexts: binding symbols, placing the workspace, running steps.
 *
 * A binding is what follows from one tuple of symbols: the values that `bind` computes, where each buffer
 * lies in the workspace, into how many parts each step is cut, and the argument pointers of all steps. Those
 * last used are kept, as many as there are sizes of a batch to be served: a call with known symbols only puts
 * the caller's pointers in place and runs the steps. The workspace is one for the whole context, as large as
 * the largest call so far. */
#include "runtime/context_impl.h"
#include "runtime/labels.h"
#include "runtime/weights.h"

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No machine has more, and sizes below it can be added without care. */
#define MAX_WORKSPACE ((int64_t)1 << 46)
#define NO_PLAN       "There is no memory to plan the workspace of '%s'."
enum { ERROR_BYTES = 256, BINDINGS = 64, MAX_THREADS = 1024 };

struct entry_state {
    struct binding *bindings[BINDINGS]; /* the last used first */
};

struct kt_context {
    const kt_program *program;
    const uint8_t *constants;
    uint8_t *prepared; /* the constants, where they are not in the program */
    kt_pool *pool;
    char *workspace;
    int64_t workspace_bytes;
    char *variables; /* the program's, and behind them what they become; NULL: there are none */
    void (*observe)(void *observer, kt_pool *pool, const kt_step_call *call); /* NULL: nobody looks on */
    void *observer;
    bool shares_forced; /* shares.c */
    char error[KT_IO_ERROR];
    struct entry_state entries[];
};

static int fail(kt_context *context, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(kt_context *context, int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(context->error, sizeof context->error, format, arguments);
    va_end(arguments);
    return code;
}

static int usable_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}

static void reset_variable(kt_context *context, const kt_abi_variable *variable) {
    char *to = context->variables + variable->offset;
    if (variable->begin == KT_ABI_ZEROS)
        memset(to, 0, kt_abi_variable_bytes(variable));
    else
        memcpy(to, context->constants + variable->begin, kt_abi_variable_bytes(variable));
}

/* weights: as kt_context_create_from has them; empty: none. */
static kt_context *create(const kt_program *program, int threads, const char *weights, bool empty,
                          char *out_error) {
    char unused[ERROR_BYTES];
    if (!out_error) out_error = unused;
    uint64_t missing = program->cpu_features & ~kt_cpu_features();
    if (program->abi_version != KT_ABI_VERSION) {
        (void)snprintf(out_error, ERROR_BYTES,
                       "%s was compiled for version %u of the runtime's interface, and this is version %d.",
                       program->name, program->abi_version, KT_ABI_VERSION);
        return NULL;
    }
    if (missing) {
        (void)snprintf(out_error, ERROR_BYTES, "%s was compiled for %s, but this CPU does not have %s.",
                       program->name, program->target, kt_cpu_feature_name(missing));
        return NULL;
    }
    if (threads < 1) threads = usable_cores();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    kt_context *context = calloc(1, sizeof *context + program->entry_count * sizeof context->entries[0]);
    kt_pool *pool = kt_pool_create(threads);
    char *variables = NULL;
    if (program->variables_bytes) variables = aligned_alloc(64, 2 * program->variables_bytes);
    if (!context || !pool || (program->variables_bytes && !variables)) {
        (void)snprintf(out_error, ERROR_BYTES, "There is no memory for a context of %s.", program->name);
        kt_pool_destroy(pool);
        free(variables);
        free(context);
        return NULL;
    }
    context->program = program;
    context->pool = pool;
    context->variables = variables;
    context->constants = program->constants;
    if (program->weights && !empty &&
        kt_weights_load(program, weights, threads, variables, &context->prepared, out_error, ERROR_BYTES)) {
        kt_context_destroy(context);
        return NULL;
    }
    if (context->prepared) context->constants = context->prepared;
    for (uint32_t i = 0; variables && i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (!variable->file_begin)
            reset_variable(context, variable);
        else if (empty)
            memset(variables + variable->offset, 0, kt_abi_variable_bytes(variable));
    }
    return context;
}

kt_context *kt_context_create(const kt_program *program, int threads, char *out_error) {
    return create(program, threads, NULL, false, out_error);
}

kt_context *kt_context_create_from(const kt_program *program, int threads, const char *weights,
                                   char *out_error) {
    return create(program, threads, weights, false, out_error);
}

kt_context *kt_context_create_empty(const kt_program *program, int threads, char *out_error) {
    return create(program, threads, NULL, true, out_error);
}

static void free_binding(struct binding *binding) {
    if (binding) kt_shares_free(binding);
    free(binding);
}

void kt_context_destroy(kt_context *context) {
    if (!context) return;
    for (uint32_t i = 0; i < context->program->entry_count; i++) {
        for (int j = 0; j < BINDINGS; j++) free_binding(context->entries[i].bindings[j]);
    }
    kt_pool_destroy(context->pool);
    free(context->workspace);
    free(context->prepared);
    free(context->variables);
    free(context);
}

void kt_context_reset_metrics(kt_context *context) {
    const kt_program *program = context->program;
    for (uint32_t i = 0; i < program->variable_count; i++)
        if (program->variables[i].kind == KT_KEPT_METRIC) reset_variable(context, &program->variables[i]);
}

const kt_program *kt_context_program(const kt_context *context) { return context->program; }

static const kt_abi_variable *find_variable(const kt_program *program, const char *path) {
    for (uint32_t i = 0; i < program->variable_count; i++)
        if (strcmp(program->variables[i].path, path) == 0) return &program->variables[i];
    return NULL;
}

int kt_context_variable_buffer(kt_context *context, const char *path, kt_buffer *buffer, int write) {
    const kt_abi_variable *variable = find_variable(context->program, path);
    if (!variable)
        return fail(context, KT_ERROR_ARGUMENT, "%s has no variable '%s' that can be read or written.",
                    context->program->name, path);
    size_t bytes = kt_abi_variable_bytes(variable);
    char *kept = context->variables + variable->offset;
    if (write) {
        bool same = buffer->data && buffer->dtype == variable->dtype && buffer->rank == variable->rank;
        for (int axis = 0; same && axis < variable->rank; axis++)
            same = buffer->dims[axis] == variable->dims[axis];
        if (!same)
            return fail(context, KT_ERROR_ARGUMENT,
                        "The buffer has not the dtype and the shape of the variable '%s'.", path);
        memcpy(kept, buffer->data, bytes);
        return 0;
    }
    buffer->dtype = variable->dtype;
    buffer->rank = variable->rank;
    memcpy(buffer->dims, variable->dims, sizeof buffer->dims);
    if (!buffer->data) return 0;
    if (buffer->capacity < (int64_t)bytes)
        return fail(context, KT_ERROR_CAPACITY, "The variable '%s' takes %zu bytes, but its buffer has %lld.",
                    path, bytes, (long long)buffer->capacity);
    memcpy(buffer->data, kept, bytes);
    return 0;
}

void *kt_context_variable(kt_context *context, uint32_t index) {
    return context->variables + context->program->variables[index].offset;
}

const char *kt_context_error(const kt_context *context) { return context->error; }

int kt_context_set_error(kt_context *context, int code, const char *sentence) {
    return fail(context, code, "%s", sentence);
}
void kt_context_observe(kt_context *context, void (*run)(void *, kt_pool *, const kt_step_call *),
                        void *observer) {
    context->observe = run;
    context->observer = observer;
}
void kt_context_force_shares(kt_context *context) { context->shares_forced = true; }
int kt_context_threads(const kt_context *context) { return kt_pool_threads(context->pool); }

/* ---- bindings -------------------------------------------------------------------------------- */

/* How many numbers a binding holds, of so many shares of loops. */
static size_t count_numbers(const kt_abi_entry *entry, size_t shares) {
    return (1 + shares) * entry->symbol_count + (1 + (size_t)(shares > 0)) * entry->value_count +
           entry->buffer_count + entry->step_count + 4 * (size_t)entry->loop_count;
}

static struct binding *allocate_binding(const kt_abi_entry *entry, int threads) {
    size_t shares = threads > 1 && kt_shares_symbol(entry) >= 0 ? (size_t)threads : 0;
    size_t lanes = threads > 1 && (shares || kt_lanes_possible(entry)) ? (size_t)threads : 0;
    size_t numbers = count_numbers(entry, shares);
    size_t pointers = (1 + lanes) * entry->arg_count + entry->input_count + entry->output_count;
    struct binding *binding =
        calloc(1, sizeof *binding + numbers * sizeof(int64_t) + pointers * sizeof(void *));
    if (!binding) return NULL;
    binding->symbols = (int64_t *)(binding + 1);
    binding->values = binding->symbols + entry->symbol_count;
    binding->offsets = binding->values + entry->value_count;
    binding->parts = binding->offsets + entry->buffer_count;
    binding->turns = binding->parts + entry->step_count;
    binding->lanes = binding->turns + entry->loop_count;
    binding->lane_bytes = binding->lanes + entry->loop_count;
    binding->loop_shares = binding->lane_bytes + entry->loop_count;
    binding->share_symbols = binding->loop_shares + entry->loop_count;
    binding->share_values = binding->share_symbols + shares * entry->symbol_count;
    binding->args = (void **)(binding->share_values + (shares > 0) * (size_t)entry->value_count);
    binding->inputs = (const void **)(binding->args + entry->arg_count);
    binding->outputs = (void **)(binding->inputs + entry->input_count);
    binding->lane_args = binding->outputs + entry->output_count;
    return binding;
}

int kt_binding_make(kt_context *context, const kt_abi_entry *entry, const int64_t *symbols, int threads,
                    struct binding **out_binding) {
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        if (symbols[i] >= 1) continue;
        return fail(context, KT_ERROR_ARGUMENT, "The dimension '%s' is %lld, but must be at least 1.",
                    entry->symbols[i].name, (long long)symbols[i]);
    }
    struct binding *binding = allocate_binding(entry, threads);
    if (!binding)
        return fail(context, KT_ERROR_MEMORY, "There is no memory to bind the dimensions of '%s'.",
                    entry->name);
    if (entry->symbol_count) memcpy(binding->symbols, symbols, entry->symbol_count * sizeof *symbols);
    entry->bind(binding->symbols, binding->values);
    int code = 0;
    for (uint32_t i = 0; i < entry->check_count && code == 0; i++) {
        const kt_abi_check *check = &entry->checks[i];
        long long left = binding->values[check->left], right = binding->values[check->right];
        if (left == right) continue;
        code = fail(context, KT_ERROR_ARGUMENT, "%s (%lld is not %lld)", check->sentence, left, right);
    }
    for (uint32_t i = 0; i < entry->buffer_count && code == 0; i++) {
        if (binding->values[entry->buffers[i].bytes] >= 0) continue;
        code = fail(context, KT_ERROR_ARGUMENT,
                    "The dimensions do not fit '%s': a tensor would have a size below 0.", entry->name);
    }
    if (code == 0) kt_share_out(entry, binding, context->pool, threads, context->shares_forced);
    if (code == 0 && !kt_lanes_place(entry, binding)) code = KT_ERROR_MEMORY;
    if (code == 0 && threads > 1)
        code = kt_shares_make(context, entry, binding, threads, context->shares_forced);
    if (code == KT_ERROR_MEMORY) code = fail(context, code, NO_PLAN, entry->name);
    if (code) {
        free_binding(binding);
        return code;
    }
    *out_binding = binding;
    return 0;
}

struct binding *kt_binding_copy(const kt_abi_entry *entry, const struct binding *share) {
    struct binding *copy = allocate_binding(entry, 1);
    if (!copy) return NULL;
    memcpy(copy->symbols, share->symbols, count_numbers(entry, 0) * sizeof(int64_t));
    copy->workspace_bytes = share->workspace_bytes;
    copy->nanoseconds = share->nanoseconds;
    return copy;
}

static bool has_symbols(const struct binding *binding, const int64_t *symbols, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (binding->symbols[i] != symbols[i]) return false;
    }
    return true;
}

/* The binding of symbols, which then is the first one. */
static int find_binding(kt_context *context, uint32_t index, const int64_t *symbols,
                        struct binding **out_binding) {
    const kt_abi_entry *entry = &context->program->entries[index];
    struct binding **bindings = context->entries[index].bindings;
    int at = 0;
    while (at < BINDINGS && bindings[at] && !has_symbols(bindings[at], symbols, entry->symbol_count)) at++;
    struct binding *found = at < BINDINGS ? bindings[at] : NULL;
    if (!found) {
        int code = kt_binding_make(context, entry, symbols, kt_pool_threads(context->pool), &found);
        if (code) return code;
        if (at == BINDINGS) free_binding(bindings[--at]);
    }
    for (; at > 0; at--) bindings[at] = bindings[at - 1];
    bindings[0] = found;
    *out_binding = found;
    return 0;
}

static char *variable_place(const kt_context *context, const kt_abi_buffer *buffer) {
    uint64_t half = buffer->place == KT_PLACE_NEXT ? context->program->variables_bytes : 0;
    return context->variables + half + buffer->index;
}

static int64_t whole_lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

/* What the binding needs of the workspace: as a whole, when steps are observed, or for its shares. */
static int64_t needed_workspace(const struct binding *binding) {
    int64_t shares = 0, own = binding->workspace_bytes > 0 ? binding->workspace_bytes : 64;
    for (int64_t i = 0; i < binding->share_count; i++) {
        int64_t bytes = binding->shares[i]->workspace_bytes;
        shares =
            bytes < MAX_WORKSPACE && shares < MAX_WORKSPACE ? shares + whole_lines(bytes) : MAX_WORKSPACE;
    }
    return own > shares ? own : shares;
}

/* Points the arguments that do not change from call to call. */
static void point_arguments(kt_context *context, const kt_abi_entry *entry, struct binding *binding,
                            char *workspace) {
    binding->base = workspace;
    for (uint32_t i = 0; i < entry->arg_count; i++) {
        const kt_abi_buffer *buffer = &entry->buffers[entry->args[i]];
        if (buffer->place == KT_PLACE_CONSTANT)
            binding->args[i] = (void *)(context->constants + buffer->index);
        if (buffer->place == KT_PLACE_ARENA) binding->args[i] = workspace + binding->offsets[entry->args[i]];
        if (buffer->place == KT_PLACE_VARIABLE || buffer->place == KT_PLACE_NEXT)
            binding->args[i] = variable_place(context, buffer);
    }
    for (int64_t i = 0; i < binding->share_count; i++) {
        point_arguments(context, entry, binding->shares[i], workspace);
        workspace += whole_lines(binding->shares[i]->workspace_bytes);
    }
}

/* A new workspace for the binding; without its shares if there is no memory for theirs. */
static void make_workspace(kt_context *context, struct binding *binding, int64_t *out_bytes) {
    *out_bytes = needed_workspace(binding);
    context->workspace = *out_bytes < MAX_WORKSPACE ? aligned_alloc(64, (size_t)*out_bytes) : NULL;
    if (context->workspace || !binding->shares) return;
    kt_shares_free(binding);
    make_workspace(context, binding, out_bytes);
}

/* Makes the workspace large enough, and points arguments into it. */
static int place_binding(kt_context *context, const kt_abi_entry *entry, struct binding *binding) {
    int64_t bytes = needed_workspace(binding);
    if (bytes > context->workspace_bytes) {
        free(context->workspace);
        context->workspace_bytes = 0;
        make_workspace(context, binding, &bytes);
        /* The new block may lie where the old one did, or there may be none: all bindings must look again. */
        for (uint32_t i = 0; i < context->program->entry_count; i++) {
            for (int j = 0; j < BINDINGS; j++) {
                if (context->entries[i].bindings[j]) context->entries[i].bindings[j]->base = NULL;
            }
        }
        if (!context->workspace)
            return fail(context, KT_ERROR_MEMORY, "There is no memory for the workspace of '%s', %lld bytes.",
                        entry->name, (long long)bytes);
        context->workspace_bytes = bytes;
    }
    point_arguments(context, entry, binding, context->workspace);
    return 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int missing_pointer(kt_context *context, const kt_abi_entry *entry, const void *const *inputs,
                           void *const *outputs) {
    for (uint32_t i = 0; i < entry->input_count; i++) {
        if (!inputs[i])
            return fail(context, KT_ERROR_ARGUMENT, "The input '%s' is missing.", entry->inputs[i].name);
    }
    for (uint32_t i = 0; i < entry->output_count; i++) {
        if (!outputs[i])
            return fail(context, KT_ERROR_ARGUMENT, "The output '%s' is missing.", entry->outputs[i].name);
    }
    return 0;
}

char *kt_buffer_place(const struct call *call, uint32_t index) {
    const kt_abi_buffer *buffer = &call->entry->buffers[index];
    switch ((kt_abi_place)buffer->place) {
    case KT_PLACE_INPUT: return (char *)call->inputs[buffer->index];
    case KT_PLACE_OUTPUT: return call->outputs[buffer->index];
    case KT_PLACE_CONSTANT: return (char *)(call->context->constants + buffer->index);
    case KT_PLACE_ARENA: return call->workspace + call->binding->offsets[index];
    case KT_PLACE_VARIABLE:
    case KT_PLACE_NEXT: return variable_place(call->context, buffer);
    case KT_PLACE_SLICE: break;
    }
    return kt_buffer_place(call, (uint32_t)buffer->index) +
           call->binding->turns[buffer->first] * call->binding->values[buffer->bytes];
}

static void run_step(const struct call *call, uint32_t index) {
    const struct binding *binding = call->binding;
    const kt_abi_step *step = &call->entry->steps[index];
    kt_context *context = call->context;
    void *const *args = binding->args + step->first_arg;
    if (context->observe) {
        context->observe(context->observer, context->pool,
                         &(kt_step_call){call->index, index, step, args, binding->symbols, binding->values,
                                         binding->parts[index]});
    } else if (binding->parts[index] == 1) {
        step->kernel(args, binding->symbols, 0, 1);
    } else {
        kt_pool_run(context->pool, step->kernel, args, binding->symbols, binding->parts[index]);
    }
}

/* Runs steps [begin, end). next_loop: the first loop that has not been passed. */
static void run_steps(const struct call *call, uint32_t begin, uint32_t end, uint32_t *next_loop) {
    const kt_abi_entry *entry = call->entry;
    for (uint32_t i = begin; i < end;) {
        uint32_t number = *next_loop;
        if (number == entry->loop_count || entry->loops[number].first_step != i) {
            run_step(call, i++);
            continue;
        }
        const kt_abi_loop *loop = &entry->loops[number];
        int64_t length = call->binding->values[loop->length];
        int64_t done = call->context->observe             ? 0
                       : kt_shares_run_loop(call, number) ? length
                                                          : kt_lanes_run(call, number);
        for (int64_t turn = done; turn < length; turn++) {
            call->binding->turns[number] = loop->reverse ? length - 1 - turn : turn;
            for (uint32_t k = 0; k < loop->move_count; k++) {
                uint32_t arg = entry->moves[loop->first_move + k];
                call->binding->args[arg] = kt_buffer_place(call, entry->args[arg]);
            }
            *next_loop = number + 1;
            run_steps(call, i, loop->end_step, next_loop);
        }
        while (*next_loop < entry->loop_count && entry->loops[*next_loop].first_step < loop->end_step)
            ++*next_loop;
        i = loop->end_step;
    }
}

void kt_call_run(const struct call *call) {
    const kt_abi_entry *entry = call->entry;
    for (uint32_t i = 0; i < entry->arg_count; i++) {
        const kt_abi_buffer *buffer = &entry->buffers[entry->args[i]];
        if (buffer->place == KT_PLACE_INPUT) call->binding->args[i] = (void *)call->inputs[buffer->index];
        if (buffer->place == KT_PLACE_OUTPUT) call->binding->args[i] = call->outputs[buffer->index];
    }
    uint32_t loop = 0;
    run_steps(call, 0, entry->step_count, &loop);
}

/* Variables become what the call made of them. */
static void keep_variables(const struct call *call) {
    const kt_context *context = call->context;
    for (uint32_t i = 0; i < call->entry->buffer_count; i++) {
        const kt_abi_buffer *buffer = &call->entry->buffers[i];
        if (buffer->place != KT_PLACE_NEXT) continue;
        memcpy(context->variables + buffer->index, variable_place(context, buffer),
               (size_t)call->binding->values[buffer->bytes]);
    }
}

/* Before anything is computed of them. */
static int wrong_labels(kt_context *context, const kt_abi_entry *entry, const int64_t *values,
                        const void *const *inputs) {
    char sentence[KT_IO_ERROR];
    for (uint32_t i = 0; i < entry->input_count; i++) {
        const kt_abi_tensor *input = &entry->inputs[i];
        if (!input->labels) continue;
        kt_label_rows rows = {.path = input->name, .row_elements = 1};
        for (int axis = 1; axis < input->rank; axis++) rows.row_elements *= values[input->dims[axis]];
        int64_t count = rows.row_elements * (input->rank ? values[input->dims[0]] : 1);
        if (kt_labels_check(input->labels, &rows, inputs[i], input->dtype, count, sentence))
            return kt_context_set_error(context, KT_ERROR_ARGUMENT, sentence);
    }
    return 0;
}

int kt_context_call(kt_context *context, uint32_t index, const int64_t *symbols, const void *const *inputs,
                    void *const *outputs) {
    if (index >= context->program->entry_count)
        return fail(context, KT_ERROR_ARGUMENT, "There is no entry %u.", index);
    const kt_abi_entry *entry = &context->program->entries[index];
    int code = missing_pointer(context, entry, inputs, outputs);
    if (code) return code;
    struct binding *binding = context->entries[index].bindings[0];
    if (!binding || !has_symbols(binding, symbols, entry->symbol_count)) {
        code = find_binding(context, index, symbols, &binding);
        if (code) return code;
    }
    if (context->program->training) {
        code = wrong_labels(context, entry, binding->values, inputs);
        if (code) return code;
    }
    if (!binding->base) {
        code = place_binding(context, entry, binding);
        if (code) return code;
    }
    struct call call = {context, context->pool, context->workspace, entry, index, binding, inputs, outputs};
    if (binding->shares && !context->observe)
        kt_shares_run(&call);
    else
        kt_call_run(&call);
    if (context->variables) keep_variables(&call);
    return 0;
}

static int find_entry(kt_context *context, const char *name, uint32_t *out_index) {
    for (uint32_t i = 0; i < context->program->entry_count; i++) {
        if (strcmp(context->program->entries[i].name, name) != 0) continue;
        *out_index = i;
        return 0;
    }
    return fail(context, KT_ERROR_ARGUMENT, "%s has no entry '%s'.", context->program->name, name);
}

static void fill_shape(const kt_abi_tensor *tensor, const int64_t *values, kt_buffer *buffer) {
    buffer->dtype = tensor->dtype;
    buffer->rank = tensor->rank;
    for (int axis = 0; axis < tensor->rank; axis++) buffer->dims[axis] = values[tensor->dims[axis]];
}

static int check_kinds(kt_context *context, const kt_abi_entry *entry, const kt_buffer *in) {
    for (uint32_t i = 0; i < entry->input_count; i++) {
        const kt_abi_tensor *input = &entry->inputs[i];
        if (in[i].dtype != input->dtype) {
            return fail(context, KT_ERROR_ARGUMENT, "The input '%s' has a dtype other than %s.", input->name,
                        kt_abi_dtype_name(input->dtype));
        }
        if (in[i].rank != input->rank) {
            return fail(context, KT_ERROR_ARGUMENT, "The input '%s' has rank %d, but must have rank %d.",
                        input->name, in[i].rank, input->rank);
        }
    }
    return 0;
}

static int check_dims(kt_context *context, const kt_abi_entry *entry, const kt_buffer *in,
                      const int64_t *values) {
    for (uint32_t i = 0; i < entry->input_count; i++) {
        const kt_abi_tensor *input = &entry->inputs[i];
        for (int axis = 0; axis < input->rank; axis++) {
            int64_t expected = values[input->dims[axis]];
            if (in[i].dims[axis] == expected) continue;
            return fail(context, KT_ERROR_ARGUMENT,
                        "Dimension %d of the input '%s' is %lld, but must be %lld.", axis, input->name,
                        (long long)in[i].dims[axis], (long long)expected);
        }
    }
    return 0;
}

/* The size of a shape that the entry itself computed. */
static int64_t shape_bytes(const kt_buffer *buffer) {
    int64_t bytes = (int64_t)kt_abi_dtype_bytes(buffer->dtype);
    for (int axis = 0; axis < buffer->rank; axis++) {
        if (__builtin_mul_overflow(bytes, buffer->dims[axis], &bytes)) return INT64_MAX;
    }
    return bytes;
}

int kt_context_call_buffers(kt_context *context, const char *name, const kt_buffer *in, kt_buffer *out) {
    uint32_t index = 0;
    int code = find_entry(context, name, &index);
    if (code) return code;
    const kt_abi_entry *entry = &context->program->entries[index];
    code = check_kinds(context, entry, in);
    if (code) return code;
    size_t pointers = (size_t)entry->input_count + entry->output_count;
    int64_t *symbols = calloc(entry->symbol_count + 1, sizeof *symbols);
    const void **inputs = calloc(pointers + 1, sizeof *inputs);
    if (!symbols || !inputs) {
        code = fail(context, KT_ERROR_MEMORY, "There is no memory to call '%s'.", name);
        goto done;
    }
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        symbols[i] = in[entry->symbols[i].input].dims[entry->symbols[i].axis];
    }
    struct binding *binding = NULL;
    code = find_binding(context, index, symbols, &binding);
    if (code == 0) code = check_dims(context, entry, in, binding->values);
    if (code) goto done;
    void **outputs = (void **)(inputs + entry->input_count);
    bool shapes_only = false;
    for (uint32_t i = 0; i < entry->input_count; i++) inputs[i] = in[i].data;
    for (uint32_t i = 0; i < entry->output_count; i++) {
        fill_shape(&entry->outputs[i], binding->values, &out[i]);
        outputs[i] = out[i].data;
        shapes_only |= !out[i].data;
    }
    if (shapes_only) goto done;
    for (uint32_t i = 0; i < entry->output_count; i++) {
        int64_t bytes = shape_bytes(&out[i]);
        if (bytes <= out[i].capacity) continue;
        code = fail(context, KT_ERROR_CAPACITY, "The output '%s' takes %lld bytes, but its buffer has %lld.",
                    entry->outputs[i].name, (long long)bytes, (long long)out[i].capacity);
        goto done;
    }
    code = kt_context_call(context, index, symbols, inputs, outputs);
done:
    free(symbols);
    free(inputs);
    return code;
}

int kt_context_output_shape(kt_context *context, const char *name, int index, const int64_t *symbols,
                            int64_t dims[8]) {
    uint32_t at = 0;
    struct binding *binding = NULL;
    if (find_entry(context, name, &at)) return -1;
    const kt_abi_entry *entry = &context->program->entries[at];
    if (index < 0 || (uint32_t)index >= entry->output_count) {
        (void)fail(context, KT_ERROR_ARGUMENT, "'%s' has no output %d.", name, index);
        return -1;
    }
    if (find_binding(context, at, symbols, &binding)) return -1;
    kt_buffer shape = {0};
    fill_shape(&entry->outputs[index], binding->values, &shape);
    memcpy(dims, shape.dims, sizeof shape.dims);
    return shape.rank;
}

int64_t kt_context_workspace_bytes(kt_context *context, uint32_t index, const int64_t *symbols) {
    struct binding *binding = NULL;
    if (index >= context->program->entry_count) return -1;
    return find_binding(context, index, symbols, &binding) ? -1 : needed_workspace(binding);
}
