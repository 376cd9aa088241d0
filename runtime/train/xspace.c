/* Profiles of steps as TensorBoard's profile plugin reads them, which Keras's TensorBoard callback has
 * TensorFlow's profiler leave, DIR/train/plugins/profile/TIME/HOST.xplane.pb: a message of xplane.proto, of
 * which this is what is written.
 *
 *   XSpace          1: XPlane                                                          4: string host
 *   XPlane          2: string name   3: XLine   4: map of XEventMetadata   5: map of XStatMetadata
 *   XLine           1: int64 id   2: string name   4: XEvent
 *   XEvent          1: int64 metadata   2: int64 begin   3: int64 duration (picoseconds)   4: XStat
 *   XStat           1: int64 metadata   4: int64 value   7: uint64 a name among the XStatMetadata
 *   XEventMetadata  1: int64 id   2: string name   4: string display name
 *   XStatMetadata   1: int64 id   2: string name
 *
 * A line is a thread. That of the caller has the steps, as "Profiled batch", and within them its parts of
 * kernels; a kernel is told as an operation, "PLACE/KERNEL:KERNEL", the place being the first layer that it
 * serves, and all that it serves are a name that its events refer to. */
#include "runtime/train/callbacks.h"

#include "runtime/profile.h"
#include "runtime/room.h"
#include "runtime/train/protobuf.h"
#include "runtime/whole_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Names of numbers that events have; those of kernels' layers follow, by kernel. */
enum stat { STEP_NUM = 1, ROOT, PART, PARTS, FLOPS, BYTES, LAYERS, STAT_END };
static const char *const stat_names[STAT_END] = {
    [STEP_NUM] = "step_num",    [ROOT] = "_r",      [PART] = "part", [PARTS] = "parts", [FLOPS] = "flops",
    [BYTES] = "bytes_accessed", [LAYERS] = "layers"};
enum { BATCH = 1, KERNELS = 2 }; /* events, kernels from there on, by number */

typedef struct space {
    kt_message message;
    const kt_batch_profile *batches;
    const kt_profile_event *events;
    int64_t event_count;
    uint32_t *numbers; /* by event: which of the program's kernels, all entries' behind each other */
    uint32_t kernels;
} space;

/* ---- the message ----------------------------------------------------------------------------- */
static uint32_t find_kernel(const kt_program *program, const kt_abi_step *step) {
    uint32_t first = 0;
    for (uint32_t i = 0; i < program->entry_count; i++) {
        const kt_abi_entry *entry = &program->entries[i];
        if (step >= entry->steps && step < entry->steps + entry->step_count)
            return first + (uint32_t)(step - entry->steps);
        first += entry->step_count;
    }
    return first; /* never */
}

static void put_stat(kt_message *message, enum stat stat, uint64_t value) {
    const size_t begin = kt_message_open(message, 4);
    kt_message_number(message, 1, stat);
    kt_message_number(message, stat == LAYERS ? 7 : 4, value);
    kt_message_close(message, begin);
}

/* An event but for its numbers; the caller closes it. */
static size_t open_event(kt_message *message, uint64_t metadata, int64_t begin, int64_t end) {
    enum { PICOSECONDS = 1000 };
    const size_t event = kt_message_open(message, 4);
    kt_message_number(message, 1, metadata);
    kt_message_number(message, 2, (uint64_t)(begin * PICOSECONDS));
    kt_message_number(message, 3, (uint64_t)((end - begin) * PICOSECONDS));
    return event;
}

static void put_batches(kt_message *message, const kt_batch_profile *batches) {
    for (size_t i = 0; i < batches->count; i++) {
        const kt_profiled_batch *batch = &batches->at[i];
        const size_t event = open_event(message, BATCH, batch->begin, batch->end);
        put_stat(message, STEP_NUM, (uint64_t)batch->number);
        put_stat(message, ROOT, 1);
        kt_message_close(message, event);
    }
}

static void put_line(space *s, kt_profile_threads *threads, int number) {
    enum { NAME = 32 };
    kt_message *message = &s->message;
    char name[NAME];
    const size_t line = kt_message_open(message, 3);
    (void)snprintf(name, sizeof name, "%s %d", number ? "worker" : "caller", number);
    kt_message_number(message, 1, (uint64_t)number + 1);
    kt_message_text(message, 2, name);
    if (number == 0) put_batches(message, s->batches);
    for (int64_t i = 0; i < s->event_count; i++) {
        const kt_profile_event *event = &s->events[i];
        if (kt_profile_thread(threads, event->thread) != number) continue;
        const size_t begin = open_event(message, KERNELS + s->numbers[i], event->begin, event->end);
        put_stat(message, PART, event->part);
        put_stat(message, PARTS, event->parts);
        put_stat(message, FLOPS, (uint64_t)event->operations);
        put_stat(message, BYTES, (uint64_t)event->bytes);
        put_stat(message, LAYERS, STAT_END + s->numbers[i]);
        kt_message_close(message, begin);
    }
    kt_message_close(message, line);
}

/* An entry of a map of metadata. */
static void put_metadata(kt_message *message, unsigned map, uint64_t id, const char *name,
                         const char *shown) {
    const size_t entry = kt_message_open(message, map);
    kt_message_number(message, 1, id);
    const size_t metadata = kt_message_open(message, 2);
    kt_message_number(message, 1, id);
    kt_message_text(message, 2, name);
    if (shown) kt_message_text(message, 4, shown);
    kt_message_close(message, metadata);
    kt_message_close(message, entry);
}

/* The name of an operation: without spaces, and each its own. */
static void print_operation(const kt_abi_step *step, char *out, size_t room) {
    const int length = (int)strcspn(step->locations, ",");
    (void)snprintf(out, room, "%.*s%s%s:%s", length, step->locations, length ? "/" : "", step->name,
                   step->name);
    for (char *at = strchr(out, ' '); at; at = strchr(at, ' ')) *at = '_';
}

/* All names, each once. */
static void put_names(space *s, bool *named) {
    enum { EVENTS = 4, STATS = 5, NAME = 1024 };
    char name[NAME];
    kt_message *message = &s->message;
    put_metadata(message, EVENTS, BATCH, "Profiled batch", NULL);
    for (int stat = STEP_NUM; stat < STAT_END; stat++)
        put_metadata(message, STATS, (uint64_t)stat, stat_names[stat], NULL);
    for (int64_t i = 0; i < s->event_count; i++) {
        const uint32_t number = s->numbers[i];
        const kt_abi_step *step = s->events[i].step;
        if (named[number]) continue;
        named[number] = true;
        print_operation(step, name, sizeof name);
        put_metadata(message, EVENTS, KERNELS + number, name, step->name);
        put_metadata(message, STATS, STAT_END + number, step->locations, NULL);
    }
}

/* False: there is no memory. */
static bool put_space(space *s, const char *host) {
    kt_profile_threads threads = {0};
    bool *named = calloc(s->kernels + 1, sizeof *named);
    if (!named) return false;
    (void)kt_profile_thread(&threads, pthread_self());
    for (int64_t i = 0; i < s->event_count; i++) (void)kt_profile_thread(&threads, s->events[i].thread);
    const size_t plane = kt_message_open(&s->message, 1);
    kt_message_text(&s->message, 2, "/host:CPU");
    for (int number = 0; number < threads.count; number++) put_line(s, &threads, number);
    put_names(s, named);
    kt_message_close(&s->message, plane);
    kt_message_text(&s->message, 4, host);
    free(named);
    return !s->message.lacks_memory;
}

/* ---- the file -------------------------------------------------------------------------------- */
static int no_memory(const kt_program *program) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory for a profile of steps.");
}

static int write_message(const kt_program *program, const char *path, const kt_message *message) {
    char error[KT_IO_ERROR];
    const kt_subject subject = {.path = path, .error = error};
    kt_whole_file whole;
    if (kt_whole_file_begin(&subject, &whole)) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    (void)fwrite(message->at, message->count, 1, whole.file);
    return kt_whole_file_end(&subject, &whole) ? kt_cli_fail(program, KT_EXIT_FAILED, "%s", error) : 0;
}

/* In a directory that is called after the time, as each profile has one. */
static int write_space(const kt_program *program, const char *directory, space *s) {
    enum { HOST = 256, TIME = 32 };
    char path[KT_CALLBACK_PATH], host[HOST] = "", when[TIME] = "";
    struct tm parts;
    const time_t now = time(NULL);
    (void)gethostname(host, sizeof host - 1);
    if (localtime_r(&now, &parts)) (void)strftime(when, sizeof when, "%Y_%m_%d_%H_%M_%S", &parts);
    int length =
        snprintf(path, sizeof path, "%s/train/plugins/profile/%s/%s.xplane.pb", directory, when, host);
    if (length < 0 || (size_t)length >= sizeof path)
        return kt_cli_fail(program, KT_EXIT_FAILED, "The name of the directory %s is too long.", directory);
    int status = kt_make_directories(program, path);
    if (status) return status;
    return put_space(s, host) ? write_message(program, path, &s->message) : no_memory(program);
}

/* ---- steps ----------------------------------------------------------------------------------- */
int kt_batch_profile_parse(kt_batch_profile *batches, const kt_program *program, const char *text) {
    char *end;
    batches->first = batches->last = strtoll(text, &end, 10);
    if (end != text && *end == ',') {
        text = end + 1;
        batches->last = strtoll(text, &end, 10);
    }
    if (end != text && !*end && batches->first >= 0 && batches->last >= batches->first) return 0;
    return kt_cli_fail(program, KT_EXIT_USAGE,
                       "--tensorboard-profile-batch takes the number of a step, or FIRST,LAST.");
}

int kt_batch_profile_begin(kt_batch_profile *batches, kt_context *context, int64_t step) {
    const bool wanted = batches->first && step >= batches->first && step <= batches->last;
    if (wanted && !batches->profile) {
        batches->profile = kt_profile_create(context, kt_context_program(context), true);
        if (!batches->profile) return no_memory(kt_context_program(context));
    }
    if (batches->profile) batches->begin = kt_profile_now(batches->profile);
    return 0;
}

static int keep_batch(kt_batch_profile *batches, int64_t number) {
    if (batches->count == batches->room) {
        const size_t room = KT_ROOM(2 * batches->count + 16, batches->count + 1);
        kt_profiled_batch *at = realloc(batches->at, room * sizeof *at);
        if (!at) return 1;
        batches->at = at;
        batches->room = room;
    }
    batches->at[batches->count++] =
        (kt_profiled_batch){number, batches->begin, kt_profile_now(batches->profile)};
    return 0;
}

int kt_batch_profile_end(kt_batch_profile *batches, kt_context *context, const char *directory, int64_t step,
                         int64_t batch) {
    if (!batches->profile) return 0;
    if (keep_batch(batches, batch)) return no_memory(kt_context_program(context));
    return step < batches->last ? 0 : kt_batch_profile_write(batches, context, directory);
}

int kt_batch_profile_write(kt_batch_profile *batches, kt_context *context, const char *directory) {
    const kt_program *program = kt_context_program(context);
    if (!batches->profile) return 0;
    space s = {.batches = batches};
    bool all;
    s.events = kt_profile_events(batches->profile, &s.event_count, &all);
    for (uint32_t i = 0; i < program->entry_count; i++) s.kernels += program->entries[i].step_count;
    s.numbers = malloc((size_t)s.event_count * sizeof *s.numbers + 1);
    for (int64_t i = 0; i < s.event_count && s.numbers; i++)
        s.numbers[i] = find_kernel(program, s.events[i].step);
    int status = s.numbers ? write_space(program, directory, &s) : no_memory(program);
    if (status == 0 && !all)
        (void)fprintf(stderr,
                      "%s: warning: The profile holds the first %lld parts of kernels, and not all.\n",
                      program->name, (long long)s.event_count);
    free(s.numbers);
    kt_message_deinit(&s.message);
    kt_batch_profile_deinit(batches, context);
    return status;
}

void kt_batch_profile_deinit(kt_batch_profile *batches, kt_context *context) {
    if (batches->profile) kt_context_observe(context, NULL, NULL);
    kt_profile_destroy(batches->profile);
    free(batches->at);
    batches->profile = NULL;
    batches->at = NULL;
    batches->count = batches->room = 0;
}
