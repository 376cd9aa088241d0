/* Event files for TensorBoard, as Keras's TensorBoard callback has TensorFlow write them, of each
 * epoch and, with update_freq, of steps.
 *
 * A file of events is a sequence of records (TFRecord):
 *
 *   u64 bytes   u32 masked CRC-32C of these 8   the event   u32 masked CRC-32C of it
 *
 * all little-endian, the CRC with Castagnoli's polynomial, masked as (crc rotated right by 15) + 0xa282ead8.
 * An event is a protobuf message of event.proto: of each one field is written here, so that a record can be
 * put together by hand.
 *
 *   Event    1: double wall time   2: int64 step   3: string version of the file, in the first   5: Summary
 *   Summary  1: Value, a message   1: string tag   8: TensorProto   9: SummaryMetadata
 *
 * A scalar is a tensor of rank 0, whose metadata names the plugin "scalars". Training's lie below DIR/train,
 * validation's below DIR/validation. */
#include "runtime/train/callbacks.h"

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

/* Bytes of a message; the room is the caller's to see to. */
typedef struct message {
    uint8_t *at;
    size_t count;
} message;

static void put_bytes(message *m, const void *bytes, size_t count) {
    memcpy(m->at + m->count, bytes, count);
    m->count += count;
}

static void put_little(message *m, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) m->at[m->count++] = (uint8_t)(value >> (8 * i));
}

static void put_varint(message *m, uint64_t value) {
    for (; value > 0x7F; value >>= 7) m->at[m->count++] = (uint8_t)(value | 0x80);
    m->at[m->count++] = (uint8_t)value;
}

/* A field whose bytes follow. */
static void put_field(message *m, unsigned field, const void *bytes, size_t count) {
    put_varint(m, field << 3 | 2);
    put_varint(m, count);
    if (bytes) put_bytes(m, bytes, count);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void put_time(message *m) {
    double time = now();
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    put_varint(m, 1 << 3 | 1);
    put_little(m, bits, sizeof bits);
}

static int fail(const kt_events *events, const kt_program *program) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot write %s: %s.", events->path, strerror(errno));
}

static int write_record(const kt_events *events, const kt_program *program, const message *event) {
    uint8_t head[12], tail[4];
    message front = {head, 0}, back = {tail, 0};
    put_little(&front, event->count, 8);
    put_little(&front, masked_crc(head, 8), 4);
    put_little(&back, masked_crc(event->at, event->count), 4);
    bool written = fwrite(head, sizeof head, 1, events->file) == 1 &&
                   fwrite(event->at, event->count, 1, events->file) == 1 &&
                   fwrite(tail, sizeof tail, 1, events->file) == 1;
    return written ? 0 : fail(events, program);
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
    static const char version[] = "brain.Event:2";
    char host[HOST] = "";
    uint8_t bytes[64];
    message event = {bytes, 0};
    if (events->file) return 0;
    int length = snprintf(events->path, sizeof events->path, "%s/%s", directory, side);
    (void)gethostname(host, sizeof host - 1);
    if (length < 0 || (size_t)length + HOST + 80 > sizeof events->path)
        return kt_cli_fail(program, KT_EXIT_FAILED, "The name of the directory %s is too long.", directory);
    int status = make_directory(program, directory);
    if (status == 0) status = make_directory(program, events->path);
    if (status) return status;
    (void)snprintf(events->path + length, sizeof events->path - (size_t)length,
                   "/events.out.tfevents.%010lld.%s.%ld.0.v2", (long long)now(), host, (long)getpid());
    events->file = fopen(events->path, "we");
    if (!events->file) return fail(events, program);
    put_time(&event);
    put_field(&event, 3, version, sizeof version - 1);
    return write_record(events, program, &event);
}

/* "before + name + after" at a step. */
static int scalar(const kt_events *events, const kt_program *program, const char *before, const char *name,
                  const char *after, int64_t step, double value) {
    enum { FRAME = 96 }; /* all but the tag */
    static const uint8_t tensor[] = {1 << 3, 1,          2 << 3 | 2,
                                     0,      4 << 3 | 2, 4}; /* float32, [], 4 bytes follow */
    static const uint8_t metadata[] = {0x0A, 9, 0x0A, 7, 's', 'c', 'a', 'l', 'a', 'r', 's'};
    size_t tag = strlen(before) + strlen(name) + strlen(after), room = tag + FRAME;
    uint8_t *bytes = calloc(2, room);
    if (!bytes) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    message inner = {bytes, 0}, event = {bytes + room, 0};
    const float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_field(&inner, 1, NULL, tag);
    put_bytes(&inner, before, strlen(before));
    put_bytes(&inner, name, strlen(name));
    put_bytes(&inner, after, strlen(after));
    put_field(&inner, 8, NULL, sizeof tensor + sizeof bits);
    put_bytes(&inner, tensor, sizeof tensor);
    put_little(&inner, bits, sizeof bits);
    put_field(&inner, 9, metadata, sizeof metadata);
    uint8_t length[16];
    message varint = {length, 0}; /* of what is in the summary */
    put_varint(&varint, inner.count);
    put_time(&event);
    if (step) {
        put_varint(&event, 2 << 3);
        put_varint(&event, (uint64_t)step);
    }
    put_field(&event, 5, NULL, 1 + varint.count + inner.count);
    put_field(&event, 1, inner.at, inner.count);
    int status = write_record(events, program, &event);
    free(bytes);
    return status;
}

int kt_tensorboard_begin(kt_tensorboard *board, const kt_program *program) {
    const kt_abi_training *training = program->training;
    for (size_t i = 0; i < training->log_count; i++)
        if (training->log_sizes[i])
            return kt_cli_fail(program, KT_EXIT_USAGE,
                               "--tensorboard takes logs of one number, and %s is a list.",
                               training->log_names[i]);
    return begin(&board->train, program, board->directory, "train");
}

int kt_tensorboard_step(kt_tensorboard *board, const kt_program *program, const kt_log *logs, size_t count) {
    int status = 0;
    board->steps++;
    if (!board->every || board->steps % board->every) return 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = scalar(&board->train, program, "batch_", logs[i].name, "", board->steps, logs[i].value);
    return status;
}

/* The validation's logs, as an evaluation that was made after so many steps, and as the epoch's. */
static int validation(kt_tensorboard *board, const kt_program *program, int64_t epoch, int64_t iterations,
                      const kt_log *logs, size_t count) {
    int status = begin(&board->validation, program, board->directory, "validation");
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < count && status == 0; i++) {
            if (strncmp(logs[i].name, "val_", 4) != 0) continue;
            status = scalar(&board->validation, program, turn ? "epoch_" : "evaluation_", logs[i].name + 4,
                            turn ? "" : "_vs_iterations", turn ? epoch : iterations, logs[i].value);
        }
    }
    return status || fflush(board->validation.file) == 0 ? status : fail(&board->validation, program);
}

int kt_tensorboard_epoch(kt_tensorboard *board, const kt_program *program, int64_t epoch, int64_t iterations,
                         const kt_rates *rates, const kt_log *logs, size_t count) {
    static const char rate_name[] = "learning_rate";
    bool validates = false;
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        bool validated = strncmp(logs[i].name, "val_", 4) == 0;
        validates = validates || validated;
        if (!validated && strncmp(logs[i].name, rate_name, sizeof rate_name - 1) != 0)
            status = scalar(&board->train, program, "epoch_", logs[i].name, "", epoch, logs[i].value);
    }
    for (size_t i = 0; i < rates->count && status == 0; i++)
        status = scalar(&board->train, program, "epoch_", rates->at[i].log_name, "", epoch,
                        (double)*rates->at[i].value);
    if (status == 0 && fflush(board->train.file)) status = fail(&board->train, program);
    return status || !validates ? status : validation(board, program, epoch, iterations, logs, count);
}

void kt_tensorboard_end(kt_tensorboard *board) {
    if (board->train.file) (void)fclose(board->train.file);
    if (board->validation.file) (void)fclose(board->validation.file);
}
