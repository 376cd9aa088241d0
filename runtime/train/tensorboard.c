/* Event files for TensorBoard, as Keras's TensorBoard callback has TensorFlow write them, of each
 * epoch and, with update_freq, of steps; the model's graph; histograms and pictures of weights, and steps a
 * second, where they are asked for.
 *
 * A file of events is a sequence of records (TFRecord):
 *
 *   u64 bytes   u32 masked CRC-32C of these 8   the event   u32 masked CRC-32C of it
 *
 * all little-endian, the CRC with Castagnoli's polynomial, masked as (crc rotated right by 15) + 0xa282ead8.
 * An event is a protobuf message of event.proto:
 *
 *   Event    1: double wall time   2: int64 step   3: string version of the file, in the first   5: Summary
 *   Summary  1: Value, a message   1: string tag   8: TensorProto   9: SummaryMetadata
 *
 * A scalar is a tensor of rank 0, whose metadata names the plugin "scalars"; a histogram one of 30 buckets
 * with three columns, "histograms"; pictures are texts, "images": width, height, and PNG files; the graph is
 * the model's JSON, "graph_keras_model". Training's lie below DIR/train, validation's below DIR/validation.
 */
#include "runtime/train/callbacks.h"
#include "runtime/train/protobuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- records
 * -----------------------------------------------------------------------------------------------
 */
static uint32_t masked_crc(const uint8_t *bytes, size_t count) {
    enum { ROTATION = 15 };
    const uint32_t polynomial = 0x82F63B78, mask = 0xA282EAD8; /* the polynomial's bits reversed */
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? polynomial : 0);
    }
    crc = ~crc;
    return ((crc >> ROTATION) | (crc << (32 - ROTATION))) + mask;
}

double kt_tensorboard_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int no_memory(const kt_program *program) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
}

static int fail(const kt_events *events, const kt_program *program) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot write %s: %s.", events->path, strerror(errno));
}

/* Writes the event, and frees it. */
static int write_record(const kt_events *events, const kt_program *program, kt_message *event) {
    enum { LENGTH = 8, CRC = 4 };
    uint8_t head[LENGTH + CRC];
    int status = 0;
    if (event->lacks_memory) {
        status = no_memory(program);
    } else {
        const uint64_t length = event->count;
        memcpy(head, &length, LENGTH);
        const uint32_t front = masked_crc(head, LENGTH), tail = masked_crc(event->at, event->count);
        memcpy(head + LENGTH, &front, CRC);
        bool written = fwrite(head, sizeof head, 1, events->file) == 1 &&
                       fwrite(event->at, event->count, 1, events->file) == 1 &&
                       fwrite(&tail, sizeof tail, 1, events->file) == 1;
        status = written ? 0 : fail(events, program);
    }
    kt_message_deinit(event);
    return status;
}

/* ---- files
 * -------------------------------------------------------------------------------------------------
 */
static int make_directory(const kt_program *program, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot make the directory %s: %s.", path, strerror(errno));
}

/* Opens a file of events below directory/side, unless it is open. */
static int begin(kt_events *events, const kt_program *program, const char *directory, const char *side) {
    enum { HOST = 256 };
    char host[HOST] = "";
    kt_message event = {0};
    if (events->file) return 0;
    int length = snprintf(events->path, sizeof events->path, "%s/%s", directory, side);
    (void)gethostname(host, sizeof host - 1);
    if (length < 0 || (size_t)length + HOST + 80 > sizeof events->path)
        return kt_cli_fail(program, KT_EXIT_FAILED, "The name of the directory %s is too long.", directory);
    int status = make_directory(program, directory);
    if (status == 0) status = make_directory(program, events->path);
    if (status) return status;
    (void)snprintf(events->path + length, sizeof events->path - (size_t)length,
                   "/events.out.tfevents.%010lld.%s.%ld.0.v2", (long long)kt_tensorboard_now(), host,
                   (long)getpid());
    events->file = fopen(events->path, "we");
    if (!events->file) return fail(events, program);
    kt_message_double(&event, 1, kt_tensorboard_now());
    kt_message_text(&event, 3, "brain.Event:2");
    return write_record(events, program, &event);
}

/* What an event tells at a step, and of which plugin it is, and the version of it that has one: a tag in
 * parts, and the tensor behind it as a TensorProto, which is freed when it is told. */
typedef struct telling {
    const char *tag[3], *plugin;
    int64_t step;
    kt_message tensor;
    const char *version;
} telling;

static int tell(const kt_events *events, const kt_program *program, telling *what) {
    enum { TAG = sizeof what->tag / sizeof what->tag[0] };
    kt_message event = {.lacks_memory = what->tensor.lacks_memory};
    kt_message_double(&event, 1, kt_tensorboard_now());
    if (what->step) kt_message_number(&event, 2, (uint64_t)what->step);
    const size_t summary = kt_message_open(&event, 5), value = kt_message_open(&event, 1);
    const size_t tag = kt_message_open(&event, 1);
    for (int i = 0; i < TAG; i++) kt_message_bytes(&event, what->tag[i], strlen(what->tag[i]));
    kt_message_close(&event, tag);
    kt_message_field(&event, 8, what->tensor.at, what->tensor.count);
    const size_t metadata = kt_message_open(&event, 9), plugin = kt_message_open(&event, 1);
    kt_message_text(&event, 1, what->plugin);
    if (what->version) kt_message_text(&event, 2, what->version);
    kt_message_close(&event, plugin);
    kt_message_close(&event, metadata);
    kt_message_close(&event, value);
    kt_message_close(&event, summary);
    kt_message_deinit(&what->tensor);
    return write_record(events, program, &event);
}

/* What a tensor holds, and its sizes. */
enum { TENSOR_FLOAT = 1, TENSOR_DOUBLE = 2, TENSOR_TEXT = 7 };
static void put_head(kt_message *tensor, uint64_t dtype, int rank, const int64_t *dims) {
    kt_message_number(tensor, 1, dtype);
    const size_t shape = kt_message_open(tensor, 2);
    for (int axis = 0; axis < rank; axis++) {
        const size_t dim = kt_message_open(tensor, 2);
        kt_message_number(tensor, 1, (uint64_t)dims[axis]);
        kt_message_close(tensor, dim);
    }
    kt_message_close(tensor, shape);
}

/* "before + name + after" at a step. */
static int scalar(const kt_events *events, const kt_program *program, const char *before, const char *name,
                  const char *after, int64_t step, double value) {
    const float number = (float)value;
    telling what = {.tag = {before, name, after}, .plugin = "scalars", .step = step};
    put_head(&what.tensor, TENSOR_FLOAT, 0, NULL);
    kt_message_field(&what.tensor, 4, &number, sizeof number);
    return tell(events, program, &what);
}

/* ---- weights
 * -----------------------------------------------------------------------------------------------
 */
/* A weight's numbers as a dtype; *out_owned is what the caller frees. */
static int read_weight(kt_context *context, uint32_t index, int32_t dtype, kt_buffer *out_numbers,
                       void **out_owned) {
    const kt_program *program = kt_context_program(context);
    const kt_abi_variable *variable = &program->variables[index];
    kt_buffer stored = {
        .data = kt_context_variable(context, index), .dtype = variable->dtype, .rank = variable->rank};
    int64_t count = 1;
    for (int axis = 0; axis < variable->rank; axis++) count *= stored.dims[axis] = variable->dims[axis];
    stored.capacity = count * (int64_t)kt_abi_dtype_bytes(variable->dtype);
    *out_numbers = stored;
    *out_owned = NULL;
    if (variable->dtype == dtype) return 0;
    if (kt_buffer_convert(&stored, dtype, out_numbers)) return no_memory(program);
    *out_owned = out_numbers->data;
    return 0;
}

enum { BUCKETS = 30, COLUMNS = 3 }; /* a bucket: where it begins, where it ends, how many are in it */

static void count_numbers(const double *numbers, int64_t count, double out_rows[BUCKETS][COLUMNS]) {
    double least = count ? numbers[0] : 0, most = least;
    for (int64_t i = 1; i < count; i++) {
        least = numbers[i] < least ? numbers[i] : least;
        most = numbers[i] > most ? numbers[i] : most;
    }
    const double range = most - least;
    for (int row = 0; row < BUCKETS; row++) {
        out_rows[row][0] = range > 0 ? least + range / BUCKETS * row : most;
        out_rows[row][1] = range > 0 && row + 1 < BUCKETS ? least + range / BUCKETS * (row + 1) : most;
        out_rows[row][2] = 0;
    }
    for (int64_t i = 0; i < count; i++) {
        double place = range > 0 ? (numbers[i] - least) / (range / BUCKETS) : BUCKETS;
        if (place >= 0) out_rows[place < BUCKETS ? (int)place : BUCKETS - 1][2]++; /* NaN is in none */
    }
}

/* The weight's numbers at a step, as "PATH/histogram". */
static int histogram(const kt_events *events, kt_context *context, uint32_t index, int64_t step) {
    const kt_program *program = kt_context_program(context);
    kt_buffer numbers;
    void *owned;
    int status = read_weight(context, index, KT_F64, &numbers, &owned);
    if (status) return status;
    double rows[BUCKETS][COLUMNS];
    count_numbers(numbers.data, numbers.capacity / (int64_t)sizeof(double), rows);
    free(owned);
    telling what = {
        .tag = {program->variables[index].path, "/histogram", ""}, .plugin = "histograms", .step = step};
    put_head(&what.tensor, TENSOR_DOUBLE, 2, (const int64_t[]){BUCKETS, COLUMNS});
    kt_message_field(&what.tensor, 4, rows, sizeof rows);
    return tell(events, program, &what);
}

/* Pictures that are drawn, as "PATH/image". */
static int tell_pictures(const kt_events *events, const kt_program *program, const char *path, int64_t step,
                         const kt_pictures *pictures) {
    enum { DIGITS = 24 };
    const int64_t texts = 2 + pictures->count;
    char digits[DIGITS];
    uint8_t *file = malloc(kt_picture_room(pictures));
    if (!file) return no_memory(program);
    telling what = {.tag = {path, "/image", ""}, .plugin = "images", .step = step};
    put_head(&what.tensor, TENSOR_TEXT, 1, &texts);
    kt_message_field(&what.tensor, 8, digits, (size_t)sprintf(digits, "%lld", (long long)pictures->width));
    kt_message_field(&what.tensor, 8, digits, (size_t)sprintf(digits, "%lld", (long long)pictures->height));
    for (int64_t i = 0; i < pictures->count; i++)
        kt_message_field(&what.tensor, 8, file, kt_picture_write(pictures, i, file));
    free(file);
    return tell(events, program, &what);
}

/* The weight as pictures, where it shows something; none as large as no event can be. */
static int image(const kt_events *events, kt_context *context, uint32_t index, int64_t step) {
    const kt_program *program = kt_context_program(context);
    const kt_abi_variable *variable = &program->variables[index];
    kt_buffer numbers;
    kt_pictures pictures;
    void *owned;
    int status = read_weight(context, index, KT_F32, &numbers, &owned);
    if (status) return status;
    if (kt_pictures_lay_out(&numbers, &pictures) &&
        (size_t)pictures.count * kt_picture_room(&pictures) < INT32_MAX) {
        status = kt_pictures_draw(&numbers, &pictures) ? no_memory(program) : 0;
        if (status == 0) status = tell_pictures(events, program, variable->path, step, &pictures);
        free(pictures.pixels);
    }
    free(owned);
    return status;
}

/* The model's JSON, of which TensorBoard draws a graph; of no use where the model did not come from Keras. */
static int graph(const kt_events *events, const kt_program *program) {
    telling what = {.tag = {"keras", "", ""}, .plugin = "graph_keras_model", .version = "1"};
    put_head(&what.tensor, TENSOR_TEXT, 0, NULL);
    kt_message_text(&what.tensor, 8, program->training->config);
    return tell(events, program, &what);
}

int kt_tensorboard_begin(kt_tensorboard *board, const kt_program *program) {
    const kt_abi_training *training = program->training;
    for (size_t i = 0; i < training->log_count; i++)
        if (training->log_sizes[i])
            return kt_cli_fail(program, KT_EXIT_USAGE,
                               "--tensorboard takes logs of one number, and %s is a list.",
                               training->log_names[i]);
    int status = board->embeddings ? kt_projector_check(program, board->metadata) : 0;
    if (status == 0) status = begin(&board->train, program, board->directory, "train");
    if (status == 0 && !board->no_graph && training->config) status = graph(&board->train, program);
    return status || !board->embeddings ? status
                                        : kt_projector_write(program, board->directory, board->metadata);
}

int kt_tensorboard_step_begin(kt_tensorboard *board, kt_context *context) {
    board->step_begin = kt_tensorboard_now();
    return kt_batch_profile_begin(&board->batches, context, board->steps + 1);
}

/* The logs of a step. */
static int step_logs(kt_tensorboard *board, const kt_program *program, const kt_log *logs, size_t count) {
    int status = 0;
    if (!board->every || board->steps % board->every) return 0;
    if (board->times)
        status = scalar(&board->train, program, "batch_", "steps_per_second", "", board->steps,
                        1 / (kt_tensorboard_now() - board->step_begin));
    for (size_t i = 0; i < count && status == 0; i++)
        status = scalar(&board->train, program, "batch_", logs[i].name, "", board->steps, logs[i].value);
    return status;
}

int kt_tensorboard_step(kt_tensorboard *board, kt_context *context, int64_t batch, const kt_log *logs,
                        size_t count) {
    board->steps++;
    int status = step_logs(board, kt_context_program(context), logs, count);
    if (status) return status;
    return kt_batch_profile_end(&board->batches, context, board->directory, board->steps, batch);
}

/* As Keras, which with update_freq writes nothing where the last step was none of which logs are written. */
static bool is_silent(const kt_tensorboard *board, int64_t steps) {
    return board->every && steps % board->every;
}

/* The validation's logs, as an evaluation that was made after so many steps, and as the epoch's. */
static int validation(kt_tensorboard *board, const kt_program *program, int64_t epoch, int64_t iterations,
                      const kt_log *logs, size_t count) {
    int status = begin(&board->validation, program, board->directory, "validation");
    for (int turn = 0; turn < 2; turn++) {
        if (is_silent(board, turn ? board->steps : (epoch + 1) * board->tests)) continue;
        for (size_t i = 0; i < count && status == 0; i++) {
            if (strncmp(logs[i].name, "val_", 4) != 0) continue;
            status = scalar(&board->validation, program, turn ? "epoch_" : "evaluation_", logs[i].name + 4,
                            turn ? "" : "_vs_iterations", turn ? epoch : iterations, logs[i].value);
        }
    }
    return status || fflush(board->validation.file) == 0 ? status : fail(&board->validation, program);
}

/* Training's logs, its learning rates, and what else was asked for. */
static int training(kt_tensorboard *board, kt_context *context, int64_t epoch, int64_t iterations,
                    const kt_rates *rates, const kt_log *logs, size_t count) {
    static const char rate_name[] = "learning_rate";
    const kt_program *program = kt_context_program(context);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        if (strncmp(logs[i].name, "val_", 4) != 0 &&
            strncmp(logs[i].name, rate_name, sizeof rate_name - 1) != 0)
            status = scalar(&board->train, program, "epoch_", logs[i].name, "", epoch, logs[i].value);
    for (size_t i = 0; i < rates->count && status == 0; i++)
        status = scalar(&board->train, program, "epoch_", rates->at[i].log_name, "", epoch,
                        (double)*rates->at[i].value);
    if (status == 0 && board->times)
        status =
            scalar(&board->train, program, "epoch_", "steps_per_second", "", epoch,
                   (double)(iterations - board->epoch_first) / (kt_tensorboard_now() - board->epoch_begin));
    for (uint32_t i = 0; i < program->variable_count && status == 0; i++) {
        if (!board->histograms || epoch % board->histograms || program->variables[i].kind != KT_KEPT_WEIGHT)
            continue;
        status = histogram(&board->train, context, i, epoch);
        if (status == 0 && board->images) status = image(&board->train, context, i, epoch);
    }
    return status;
}

int kt_tensorboard_epoch(kt_tensorboard *board, kt_context *context, int64_t epoch, int64_t iterations,
                         const kt_rates *rates, const kt_log *logs, size_t count) {
    const kt_program *program = kt_context_program(context);
    bool validates = false;
    int status =
        is_silent(board, board->steps) ? 0 : training(board, context, epoch, iterations, rates, logs, count);
    for (size_t i = 0; i < count; i++) validates = validates || strncmp(logs[i].name, "val_", 4) == 0;
    if (status == 0 && fflush(board->train.file)) status = fail(&board->train, program);
    if (status == 0 && validates) status = validation(board, program, epoch, iterations, logs, count);
    return status || !board->embeddings || epoch % board->embeddings
               ? status
               : kt_projector_save(context, board->directory, epoch);
}

int kt_tensorboard_end(kt_tensorboard *board, kt_context *context) {
    return kt_batch_profile_write(&board->batches, context, board->directory);
}

void kt_tensorboard_deinit(kt_tensorboard *board, kt_context *context) {
    kt_batch_profile_deinit(&board->batches, context);
    if (board->train.file) (void)fclose(board->train.file);
    if (board->validation.file) (void)fclose(board->validation.file);
}
