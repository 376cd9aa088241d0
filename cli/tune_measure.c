/* Two compiled programs, step by step, on the same inputs.
 *
 * Measuring happens in a child, so that code that faults or never ends is only a candidate less. The child
 * calls both programs in turn, some calls at a time of which the first only warms caches; a step's time in a
 * turn is the least of its calls, and in all the median of turns: so neither another process nor a change of
 * the clock's rate decides. Times come back through shared memory. */
#include "cli/tune.h"

#include "ir/element.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LEAST_TURNS = 5,
    MOST_TURNS = 41,
    MOST_CALLS = 50,
    MOST_POINTS = 8,
    BATCHES = 2,
    PATIENCE = 60,
    MOST_OTHERS = 10
};
static const int64_t batches[BATCHES] = {1, 32};
static const double turn_seconds = 2e-3;

static void unload(void *library) { dlclose(library); }

kt_status cli_tuned_load(const char *path, kt_arena *arena, const kt_program **out_program, kt_diag *diag) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return kt_diag_add(diag, KT_IO, NULL, "A candidate of --tune cannot be loaded: %s.", dlerror());
    kt_arena_defer(arena, unload, library);
    *out_program = dlsym(library, "tuned_program");
    return *out_program ? KT_OK : kt_diag_add(diag, KT_IO, NULL, "A candidate of --tune has no program.");
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- points ---------------------------------------------------------------------------------- */
static const kt_abi_entry *find_entry(const kt_program *program, const char *name) {
    for (uint32_t i = 0; i < program->entry_count; i++)
        if (!strcmp(program->entries[i].name, name)) return &program->entries[i];
    return NULL;
}

static bool is_batch(const kt_abi_symbol *symbol) { return symbol->axis == 0; }

/* What is worth measuring, where both programs have it. */
static void find_points(const kt_program *program, cli_tuned_times *times) {
    static const char *const entries[] = {"predict", "train_step"};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        const kt_abi_entry *entry = find_entry(program, entries[i]);
        bool batched = false;
        for (uint32_t k = 0; entry && k < entry->symbol_count; k++) {
            batched = batched || is_batch(&entry->symbols[k]);
            times->measures_others = times->measures_others || !is_batch(&entry->symbols[k]);
        }
        for (int k = 0; entry && k < (batched ? BATCHES : 1); k++)
            times->points[times->count++] = (cli_tuned_point){entries[i], batches[k]};
    }
}

/* ---- one program at one point ---------------------------------------------------------------- */
typedef struct runner {
    kt_context *context;
    const kt_abi_entry *entry;
    uint32_t index;
    int64_t *symbols;
    void **tensors;
    double *call;  /* by step: seconds in the call at hand */
    double *least; /* of the calls of the turn */
    double *turns; /* by step: of MOST_TURNS turns */
} runner;

static void observe(void *observer, kt_pool *pool, const kt_step_call *call) {
    const runner *r = observer;
    double begin = now();
    kt_pool_run(pool, call->step->kernel, call->args, call->symbols, call->parts);
    r->call[call->step_index] += now() - begin;
}

static void stop(void) { _exit(1); } /* the child */

static void *take(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (!memory) stop();
    return memory;
}

static runner begin(const kt_program *program, const cli_tuned_point *point, int threads) {
    runner r = {.context = kt_context_create(program, threads, NULL),
                .entry = find_entry(program, point->entry)};
    if (!r.context || !r.entry) stop();
    r.index = (uint32_t)(r.entry - program->entries);
    r.symbols = take(r.entry->symbol_count, sizeof *r.symbols);
    for (uint32_t i = 0; i < r.entry->symbol_count; i++)
        r.symbols[i] = is_batch(&r.entry->symbols[i]) ? point->batch : CLI_TUNED_OTHERS;
    r.tensors = kt_made_up_create(r.entry, r.symbols);
    r.call = take(r.entry->step_count, sizeof *r.call);
    r.least = take(r.entry->step_count, sizeof *r.least);
    r.turns = take((size_t)r.entry->step_count * MOST_TURNS, sizeof *r.turns);
    if (!r.tensors) stop();
    return r;
}

static void end(runner *r) {
    kt_context_destroy(r->context);
    kt_made_up_destroy(r->entry, r->tensors);
    free(r->symbols);
    free(r->call);
    free(r->least);
    free(r->turns);
}

static double call(const runner *r) {
    double start = now();
    if (kt_context_call(r->context, r->index, r->symbols, (const void *const *)r->tensors,
                        r->tensors + r->entry->input_count))
        stop();
    return now() - start;
}

static void take_turn(runner *r, int number, int calls) {
    uint32_t steps = r->entry->step_count;
    kt_context_observe(r->context, observe, r);
    for (int i = 0; i <= calls; i++) {
        memset(r->call, 0, steps * sizeof *r->call);
        (void)call(r);
        for (uint32_t step = 0; step < steps; step++)
            if (i <= 1 || r->call[step] < r->least[step]) r->least[step] = r->call[step];
    }
    for (uint32_t step = 0; step < steps; step++) r->turns[step * MOST_TURNS + number] = r->least[step];
}

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the child ------------------------------------------------------------------------------- */
/* How far outputs may depart, as a share of the largest. */
static double tolerance(kt_dtype dtype) { return dtype == KT_BF16 ? 5e-2 : dtype == KT_F16 ? 1e-2 : 1e-3; }

/* Do tensors of so many numbers agree? A few integers need not: an index falls otherwise where two are nearly
 * alike. */
static bool tensors_agree(kt_dtype dtype, const void *x, const void *y, size_t count) {
    double largest = 0, worst = 0;
    size_t other = 0;
    for (size_t k = 0; k < count; k++) {
        if (!kt_dtype_is_float(dtype)) {
            other += kt_element_integer(dtype, x, k) != kt_element_integer(dtype, y, k);
            continue;
        }
        double a = kt_element_float(dtype, x, k), b = kt_element_float(dtype, y, k);
        if (isnan(a) != isnan(b)) return false;
        largest = fmax(largest, fabs(a));
        if (a != b) worst = fmax(worst, fabs(a - b));
    }
    return worst <= tolerance(dtype) * largest && other <= 1 + count / MOST_OTHERS;
}

static bool agree(const runner *a, const runner *b) {
    int64_t *values = take(a->entry->value_count, sizeof *values);
    bool same = true;
    a->entry->bind(a->symbols, values);
    for (uint32_t i = 0; i < a->entry->output_count; i++) {
        const kt_abi_tensor *tensor = &a->entry->outputs[i];
        const void *x = a->tensors[a->entry->input_count + i], *y = b->tensors[b->entry->input_count + i];
        size_t count = tensor->dtype != KT_STRING;
        for (int axis = 0; axis < tensor->rank; axis++) count *= (size_t)values[tensor->dims[axis]];
        bool complex = tensor->dtype == KT_C64; /* two floats each */
        same = same && tensors_agree(complex ? KT_F32 : tensor->dtype, x, y, complex ? 2 * count : count);
    }
    free(values);
    return same;
}

static void measure_point(const kt_program *const programs[2], const cli_tuned_point *point, int threads,
                          double seconds, double *const out_seconds[2]) {
    runner runners[2] = {begin(programs[0], point, threads), begin(programs[1], point, threads)};
    (void)call(&runners[0]);
    (void)call(&runners[1]);
    if (!agree(&runners[0], &runners[1])) stop();
    double once = fmin(call(&runners[0]), call(&runners[0])), start = now();
    int calls = (int)fmin(turn_seconds / once + 1, MOST_CALLS), turns = 0;
    while (turns < MOST_TURNS && (turns < LEAST_TURNS || now() - start < 2 * seconds)) {
        for (int i = 0; i < 2; i++) take_turn(&runners[(turns + i) % 2], turns, calls);
        turns++;
    }
    for (int i = 0; i < 2; i++) {
        for (uint32_t step = 0; step < runners[i].entry->step_count; step++) {
            double *taken = runners[i].turns + (size_t)step * MOST_TURNS;
            qsort(taken, (size_t)turns, sizeof *taken, compare_numbers);
            out_seconds[i][step] = taken[turns / 2];
        }
        end(&runners[i]);
    }
}

static _Noreturn void run_child(const kt_program *const programs[2], int threads, double seconds,
                                const cli_tuned_times *times) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)(4 * seconds * times->count) + PATIENCE);
    for (uint32_t i = 0; i < times->count; i++) {
        double *const out[2] = {times->seconds[0][i], times->seconds[1][i]};
        measure_point(programs, &times->points[i], threads, seconds, out);
    }
    _exit(0);
}

typedef struct shared {
    void *memory;
    size_t bytes;
} shared;

static void unmap(void *object) {
    const shared *s = object;
    munmap(s->memory, s->bytes);
}

bool cli_tuned_measure(const kt_program *const programs[2], int threads, double seconds, kt_arena *arena,
                       cli_tuned_times *out_times) {
    cli_tuned_times times = {0};
    size_t count = 0;
    find_points(programs[0], &times);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < times.count; k++)
            count += find_entry(programs[i], times.points[k].entry)->step_count;
    shared *room = KT_NEW(arena, shared);
    room->bytes = (count + 1) * sizeof(double);
    room->memory = mmap(NULL, room->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (room->memory == MAP_FAILED) kt_out_of_memory();
    kt_arena_defer(arena, unmap, room);
    double *next = room->memory;
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < times.count; k++) {
            times.seconds[i][k] = next;
            next += find_entry(programs[i], times.points[k].entry)->step_count;
        }
    pid_t child = fork();
    if (child == 0) run_child(programs, threads, seconds, &times);
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    *out_times = times;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
