/* A step runs through a wrapper: kernels get their arguments as a pointer that the pool only hands on, so
 * here it leads to the kernel, its arguments and the profile. Parts write their events at places of their
 * own, for which room is made before the step starts; so threads share nothing but a counter. Events stop at
 * a limit, totals do not. */
#include "runtime/profile.h"
#include "runtime/room.h"
#include "runtime/tensor_io/tensor_io_impl.h"
#include "runtime/whole_file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_EVENTS = 1 << 20 };

struct total {
    const kt_abi_entry *entry;
    const kt_abi_step *step;
    int64_t calls, nanoseconds;
    double operations, bytes;
};

struct kt_profile {
    const kt_program *program;
    int64_t start;
    uint32_t *first_total; /* by entry */
    struct total *totals;  /* by entry and step */
    uint32_t total_count;
    bool keeps_events;
    kt_profile_event *events;
    _Atomic int64_t event_count;
    int64_t capacity;
};

/* What a part finds where its arguments would be. */
struct wrapped {
    kt_profile *profile;
    const kt_step_call *call;
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void run_part(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const struct wrapped *wrapped = (const void *)args;
    kt_profile *profile = wrapped->profile;
    int64_t begin = now();
    const kt_step_call *call = wrapped->call;
    call->step->kernel(call->args, symbols, part, parts);
    int64_t end = now(), place = atomic_fetch_add(&profile->event_count, 1);
    profile->events[place] = (kt_profile_event){
        .step = call->step,
        .part = (uint32_t)part,
        .parts = (uint32_t)parts,
        .thread = pthread_self(),
        .begin = begin - profile->start,
        .end = end - profile->start,
        .operations = call->values[call->step->operations],
        .bytes = call->values[call->step->bytes],
    };
}

/* Room for so many more events; false: they are not kept. */
static bool make_room(kt_profile *profile, int64_t parts) {
    int64_t needed = profile->event_count + parts;
    if (!profile->keeps_events || needed > MOST_EVENTS) return profile->keeps_events = false;
    if (needed <= profile->capacity) return true;
    int64_t capacity = KT_ROOM(2 * needed, needed);
    kt_profile_event *events = realloc(profile->events, (size_t)capacity * sizeof *events);
    if (!events) return profile->keeps_events = false;
    profile->events = events;
    profile->capacity = capacity;
    return true;
}

static void run_step(void *observer, kt_pool *pool, const kt_step_call *call) {
    kt_profile *profile = observer;
    struct total *total = &profile->totals[profile->first_total[call->entry] + call->step_index];
    struct wrapped wrapped = {profile, call};
    bool kept = make_room(profile, call->parts);
    int64_t begin = now();
    if (kept)
        kt_pool_run(pool, run_part, (void *const *)&wrapped, call->symbols, call->parts);
    else
        kt_pool_run(pool, call->step->kernel, call->args, call->symbols, call->parts);
    total->nanoseconds += now() - begin;
    total->calls++;
    total->operations += (double)call->values[call->step->operations];
    total->bytes += (double)call->values[call->step->bytes];
}

kt_profile *kt_profile_create(kt_context *context, const kt_program *program, int events) {
    kt_profile *profile = calloc(1, sizeof *profile);
    if (!profile) return NULL;
    for (uint32_t i = 0; i < program->entry_count; i++)
        profile->total_count += program->entries[i].step_count;
    profile->first_total = calloc(program->entry_count + 1, sizeof *profile->first_total);
    profile->totals = calloc((size_t)profile->total_count + 1, sizeof *profile->totals);
    if (!profile->first_total || !profile->totals) {
        kt_profile_destroy(profile);
        return NULL;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < program->entry_count; i++) {
        profile->first_total[i] = at;
        for (uint32_t step = 0; step < program->entries[i].step_count; step++)
            profile->totals[at++] =
                (struct total){.entry = &program->entries[i], .step = &program->entries[i].steps[step]};
    }
    profile->program = program;
    profile->keeps_events = events != 0;
    profile->start = now();
    kt_context_observe(context, run_step, profile);
    return profile;
}

void kt_profile_destroy(kt_profile *profile) {
    if (!profile) return;
    free(profile->first_total);
    free(profile->totals);
    free(profile->events);
    free(profile);
}

int64_t kt_profile_now(const kt_profile *profile) { return now() - profile->start; }

const kt_profile_event *kt_profile_events(const kt_profile *profile, int64_t *out_count, bool *out_all) {
    *out_count = profile->event_count;
    *out_all = profile->keeps_events;
    return profile->events;
}

int kt_profile_thread(kt_profile_threads *threads, pthread_t thread) {
    for (int i = 0; i < threads->count; i++)
        if (pthread_equal(threads->seen[i], thread)) return i;
    if (threads->count == KT_PROFILE_THREADS) return KT_PROFILE_THREADS - 1;
    threads->seen[threads->count] = thread;
    return threads->count++;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int slower(const void *a, const void *b) {
    int64_t x = ((const struct total *)a)->nanoseconds, y = ((const struct total *)b)->nanoseconds;
    return (x < y) - (x > y);
}

static void print_row(FILE *out, const struct total *total, int64_t all, const char *kernel,
                      const char *layers) {
    double nanoseconds = total->nanoseconds > 0 ? (double)total->nanoseconds : 1;
    (void)fprintf(out, "%12.3f %6.1f %8lld %12.3f %10.3f %10.3f  %-28s %s\n", nanoseconds * 1e-6,
                  100 * nanoseconds / (double)(all > 0 ? all : 1), (long long)total->calls,
                  nanoseconds * 1e-3 / (double)(total->calls > 0 ? total->calls : 1),
                  total->operations / nanoseconds, total->bytes / nanoseconds, kernel, layers);
}

void kt_profile_print(const kt_profile *profile, FILE *out) {
    struct total *sorted = calloc((size_t)profile->total_count + 1, sizeof *sorted), sum = {0};
    if (!sorted) return;
    memcpy(sorted, profile->totals, profile->total_count * sizeof *sorted);
    qsort(sorted, profile->total_count, sizeof *sorted, slower);
    for (uint32_t i = 0; i < profile->total_count; i++) {
        sum.calls += sorted[i].calls;
        sum.nanoseconds += sorted[i].nanoseconds;
        sum.operations += sorted[i].operations;
        sum.bytes += sorted[i].bytes;
    }
    (void)fprintf(out, "%12s %6s %8s %12s %10s %10s  %-28s %s\n", "time ms", "%", "calls", "us a call",
                  "GFLOP/s", "GB/s", "kernel", "layers");
    for (uint32_t i = 0; i < profile->total_count; i++) {
        if (!sorted[i].calls) continue;
        print_row(out, &sorted[i], sum.nanoseconds, sorted[i].step->name, sorted[i].step->locations);
    }
    print_row(out, &sum, sum.nanoseconds, "total", "");
    (void)fflush(out);
    free(sorted);
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void print_trace(const kt_profile *profile, FILE *out) {
    kt_profile_threads threads = {0};
    (void)fprintf(out,
                  "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n{\"name\": \"process_name\", \"ph\": "
                  "\"M\", \"pid\": 1, \"args\": {\"name\": ");
    kt_json_write_text(out, profile->program->name);
    (void)fputs("}}", out);
    for (int64_t i = 0; i < profile->event_count; i++) {
        const kt_profile_event *event = &profile->events[i];
        int thread = kt_profile_thread(&threads, event->thread);
        (void)fputs(",\n{\"name\": ", out);
        kt_json_write_text(out, event->step->name);
        (void)fprintf(
            out,
            ", \"cat\": \"kernel\", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f, "
            "\"args\": {\"part\": %u, \"parts\": %u, \"operations\": %lld, \"bytes\": %lld, \"layers\": ",
            thread, (double)event->begin * 1e-3, (double)(event->end - event->begin) * 1e-3, event->part,
            event->parts, (long long)event->operations, (long long)event->bytes);
        kt_json_write_text(out, event->step->locations);
        (void)fputs("}}", out);
    }
    for (int i = 0; i < threads.count; i++)
        (void)fprintf(out,
                      ",\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": %d, \"args\": "
                      "{\"name\": \"%s %d\"}}",
                      i, i ? "worker" : "caller", i);
    (void)fputs("\n]}\n", out);
}

int kt_profile_write(const kt_profile *profile, const char *path, char *out_error) {
    const kt_subject subject = {path, out_error};
    kt_whole_file whole;
    if (kt_whole_file_begin(&subject, &whole)) return 1;
    print_trace(profile, whole.file);
    return kt_whole_file_end(&subject, &whole) ? 1 : 0;
}
