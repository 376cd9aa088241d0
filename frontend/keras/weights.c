/* Reading model.weights.h5.
 *
 * libhdf5 was not made for hostile files, so it only ever runs in a child process (weights_child.c) with
 * limits on processor time and address space. The child inherits the file's bytes and the list of wanted
 * datasets by fork, and streams one record for each over a pipe. Nothing it says is believed: shapes and
 * sizes are compared with what the variables need, and a child that crashes, stops short or does not end in
 * time is one sentence. What is stored in another element type is converted here, as Keras does when it
 * assigns. */
#include "frontend/keras/keras_impl.h"
#include "ir/element.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the child --------------------------------------------------------------------------------------------
 */
typedef struct child {
    pid_t process; /* 0: none, or ended */
    int input;     /* where its records come from */
    struct timespec deadline;
    bool late;
} child;

static void limit(int resource, rlim_t value) {
    struct rlimit both;
    if (getrlimit(resource, &both) != 0) return;
    if (both.rlim_max != RLIM_INFINITY && value > both.rlim_max) value = both.rlim_max;
    both.rlim_cur = both.rlim_max = value;
    setrlimit(resource, &both);
}

/* Bytes of address space in use. */
static size_t address_space(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm) return 0;
    if (fscanf(statm, "%zu", &pages) != 1) pages = 0;
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static _Noreturn void run_child(const kt_weights_request *request, kt_weights_child_fn *run, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, (rlim_t)request->limits.seconds);
#ifndef KT_SANITIZE /* sanitizers reserve terabytes of address space */
    size_t used = address_space();
    if (used) limit(RLIMIT_AS, used + request->limits.memory_bytes);
#else
    (void)address_space;
#endif
    run(request, output);
    _exit(0);
}

static void stop_child(void *object) {
    child *c = object;
    if (!c->process) return;
    close(c->input);
    kill(c->process, SIGKILL);
    while (waitpid(c->process, NULL, 0) < 0 && errno == EINTR) {}
    c->process = 0;
}

static kt_status start_child(child *c, const kt_weights_request *request, kt_weights_child_fn *run,
                             kt_diag *diag) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return kt_diag_add(diag, KT_IO, "model.weights.h5", "No pipe could be made: %s.", strerror(errno));
    fflush(NULL); /* so that the child has nothing to write a second time */
    c->process = fork();
    if (c->process == 0) {
        close(ends[0]);
        run_child(request, run, ends[1]);
    }
    close(ends[1]);
    if (c->process < 0) {
        c->process = 0;
        close(ends[0]);
        return kt_diag_add(diag, KT_IO, "model.weights.h5",
                           "The process that reads the weights could not be started: %s.", strerror(errno));
    }
    c->input = ends[0];
    clock_gettime(CLOCK_MONOTONIC, &c->deadline);
    c->deadline.tv_sec += request->limits.seconds;
    return KT_OK;
}

/* Exactly count bytes; false at the end of the stream or of the time. */
static bool receive(child *c, void *out, size_t count) {
    char *at = out;
    while (count) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left =
            (c->deadline.tv_sec - now.tv_sec) * 1000 + (c->deadline.tv_nsec - now.tv_nsec) / 1000000;
        if (left <= 0) {
            c->late = true;
            return false;
        }
        struct pollfd one = {.fd = c->input, .events = POLLIN};
        if (poll(&one, 1, left < 1000 ? (int)left : 1000) <= 0) continue;
        ssize_t got = read(c->input, at, count);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        count -= (size_t)got;
    }
    return true;
}

/* ---- values -----------------------------------------------------------------------------------------------
 */
static void convert(kt_dtype from, const void *source, kt_dtype to, void *target, size_t count) {
    if (from == to) {
        memcpy(target, source, count * kt_dtype_bytes(to));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (kt_dtype_is_float(from) && kt_dtype_is_float(to)) {
            kt_element_set_float(to, target, i, kt_element_float(from, source, i));
        } else if (kt_dtype_is_float(from)) {
            double number = kt_element_float(from, source, i);
            bool fits = number > -9.2e18 && number < 9.2e18; /* else, and for NaN: 0 */
            kt_element_set_integer(to, target, i, to == KT_BOOL ? number != 0 : fits ? (int64_t)number : 0);
        } else if (kt_dtype_is_float(to)) {
            int64_t number = kt_element_integer(from, source, i);
            kt_element_set_float(to, target, i, from == KT_U64 ? (double)(uint64_t)number : (double)number);
        } else {
            kt_element_set_integer(to, target, i, kt_element_integer(from, source, i));
        }
    }
}

static const char *shape_string(kt_arena *arena, int rank, const int64_t *dims) {
    kt_text text = {.arena = arena};
    kt_text_add(&text, "(");
    for (int i = 0; i < rank; i++) kt_text_format(&text, i ? ", %lld" : "%lld", (long long)dims[i]);
    kt_text_add(&text, rank == 1 ? ",)" : ")");
    return kt_text_string(&text);
}

static bool is_number(kt_dtype dtype) {
    return kt_dtype_is_float(dtype) || kt_dtype_is_integer(dtype) || dtype == KT_BOOL;
}

/* Does the record fit what was asked for? */
static bool is_believable(const kt_weights_record *record, const kt_weights_item *item) {
    if (record->dtype < 0 || record->dtype >= KT_DTYPE_COUNT || !is_number((kt_dtype)record->dtype))
        return false;
    if (record->rank != item->rank) return false;
    uint64_t bytes = kt_dtype_bytes((kt_dtype)record->dtype);
    for (int i = 0; i < item->rank; i++) {
        if (record->dims[i] != item->dims[i]) return false;
        bytes *= (uint64_t)item->dims[i];
    }
    return record->bytes == bytes;
}

/* The layer's path of a variable "functional/dense/kernel", for problems. */
static const char *layer_path(kt_arena *arena, const char *variable_path) {
    const char *slash = strrchr(variable_path, '/');
    return slash ? kt_arena_format(arena, "%.*s", (int)(slash - variable_path), variable_path)
                 : variable_path;
}

static kt_status report(kt_arena *arena, const kt_variable *variable, const kt_weights_item *item,
                        const kt_weights_record *record, kt_diag *diag) {
    const char *where = layer_path(arena, variable->path), *place = variable->file_path;
    switch (record->finding) {
    case KT_WEIGHTS_MISSING:
        return kt_diag_add(
            diag, KT_INVALID, where,
            "The value of %s is not in model.weights.h5: there is no dataset %s. The weights do not "
            "belong to this config.json.",
            variable->path, place);
    case KT_WEIGHTS_WRONG_TYPE:
        return kt_diag_add(diag, KT_INVALID, where, "Dataset %s of model.weights.h5 does not hold numbers.",
                           place);
    case KT_WEIGHTS_WRONG_SHAPE: {
        int rank = record->rank < 0 ? 0 : record->rank < KT_MAX_RANK ? record->rank : KT_MAX_RANK;
        return kt_diag_add(
            diag, KT_INVALID, where,
            "Dataset %s of model.weights.h5 has the shape %s, but %s needs %s. The weights do not "
            "belong to this config.json.",
            place, shape_string(arena, rank, record->dims), variable->path,
            shape_string(arena, item->rank, item->dims));
    }
    default:
        return kt_diag_add(
            diag, KT_INVALID, where,
            "Dataset %s of model.weights.h5 is damaged; save the model again or copy the file anew.", place);
    }
}

static kt_status cut_short(const child *c, const kt_weights_limits *limits, kt_diag *diag) {
    if (c->late)
        return kt_diag_add(
            diag, KT_INVALID, "model.weights.h5",
            "The weights could not be read within %d seconds; the file is damaged, or this machine "
            "is too slow for it.",
            limits->seconds);
    return kt_diag_add(
        diag, KT_INVALID, "model.weights.h5",
        "The process that reads the weights stopped half-way; the file is damaged, or there is not "
        "enough memory.");
}

/* Takes the records in. Wrong datasets are all reported; a broken stream ends it. */
static kt_status receive_all(child *c, kt_graph *graph, const kt_weights_request *request, kt_diag *diag) {
    kt_status status = KT_OK;
    for (uint32_t i = 0; i < request->count; i++) {
        const kt_weights_item *item = &request->items[i];
        kt_variable *variable = &graph->variables.at[item->variable];
        kt_weights_record record;
        if (!receive(c, &record, sizeof record)) return cut_short(c, &request->limits, diag);
        if (record.finding == KT_WEIGHTS_NOT_HDF5)
            return kt_diag_add(diag, KT_INVALID, "model.weights.h5",
                               "The file is not an HDF5 file, or it is damaged.");
        if (record.finding != KT_WEIGHTS_FOUND) {
            status = report(graph->arena, variable, item, &record, diag);
            continue;
        }
        if (!is_believable(&record, item)) return cut_short(c, &request->limits, diag);
        void *stored = kt_arena_alloc(graph->arena, record.bytes + 1);
        if (!receive(c, stored, record.bytes)) return cut_short(c, &request->limits, diag);
        if (record.dtype != variable->type.dtype) {
            size_t size = kt_dtype_bytes(variable->type.dtype), had = kt_dtype_bytes((kt_dtype)record.dtype);
            void *converted = kt_arena_alloc(graph->arena, record.bytes / had * size + 1);
            convert((kt_dtype)record.dtype, stored, variable->type.dtype, converted, record.bytes / had);
            stored = converted;
        }
        variable->data = stored;
    }
    return status;
}

/* No file can hold what has no size in bytes; all that comes after multiplies dimensions without a care. */
static kt_status check_size(kt_graph *graph, const kt_variable *variable, const kt_weights_item *item,
                            kt_diag *diag) {
    int64_t bytes = sizeof(double); /* of an element as it may be stored */
    for (int d = 0; d < item->rank; d++) {
        if (__builtin_mul_overflow(bytes, item->dims[d], &bytes) || bytes > PTRDIFF_MAX / 2)
            return kt_diag_add(diag, KT_INVALID, layer_path(graph->arena, variable->path),
                               "%s would have the shape %s, which is more than any memory holds.",
                               variable->path, shape_string(graph->arena, item->rank, item->dims));
    }
    return KT_OK;
}

kt_status kt_weights_read_with(kt_graph *graph, kt_bytes file, kt_weights_child_fn *run,
                               const kt_weights_limits *limits, kt_diag *diag) {
    kt_weights_item *items = KT_NEW_ARRAY(graph->arena, kt_weights_item, graph->variables.count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        kt_variable *variable = &graph->variables.at[i];
        bool in_file = variable->file_path && variable->kind == KT_VARIABLE_WEIGHT;
        if (!in_file && variable->data) continue;
        if (!in_file) {
            size_t bytes = (size_t)kt_type_static_elements(graph->dims, &variable->type);
            variable->data = kt_arena_alloc(graph->arena, bytes * kt_dtype_bytes(variable->type.dtype) + 1);
            continue;
        }
        kt_weights_item *item = &items[count++];
        item->file_path = variable->file_path;
        item->variable = i;
        item->rank = variable->type.rank;
        for (int d = 0; d < item->rank; d++)
            if (!kt_dim_is_const(graph->dims, variable->type.dims[d], &item->dims[d]))
                KT_BUG("variable %s has no fixed shape", variable->path);
        KT_TRY(check_size(graph, variable, item, diag));
    }
    kt_weights_request request = {.file = file, .items = items, .count = count, .limits = *limits};
    child *c = KT_NEW(graph->arena, child);
    kt_arena_defer(graph->arena, stop_child, c); /* where memory runs out on the way */
    KT_TRY(start_child(c, &request, run, diag));
    kt_status status = receive_all(c, graph, &request, diag);
    stop_child(c);
    return status;
}

kt_status kt_weights_read(kt_graph *graph, kt_bytes file, kt_diag *diag) {
    /* libhdf5 needs one dataset at a time, and its own tables. */
    const kt_weights_limits limits = {.seconds = 60 + (int)(file.count >> 24),
                                      .memory_bytes = 2 * file.count + ((size_t)1 << 30)};
    return graph->variables.count ? kt_weights_read_with(graph, file, kt_weights_child, &limits, diag)
                                  : KT_OK;
}
