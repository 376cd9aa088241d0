/* A whole .keras archive. Mutations mostly take it apart, change one member with knowledge of what it is, and
 * put it together again with right sizes and checksums; now and then they change the archive's own bytes. */
#include "frontend/layer.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const kt_hdf5_limits limits = {.seconds = 5, .memory_bytes = (size_t)1 << 28};

static kt_status read_archive(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    kt_archive archive;
    KT_TRY(kt_archive_unpack(arena, input, &archive, diag));
    const kt_bytes *config = kt_archive_find(&archive, "config.json");
    const kt_bytes *weights = kt_archive_find(&archive, "model.weights.h5");
    const json_t *json;
    kt_graph *graph;
    if (!config || !weights) return kt_diag_add(diag, KT_INVALID, NULL, "A member is missing.");
    KT_TRY(kt_json_parse(arena, *config, "config.json", &json, diag));
    kt_layer_context context = {.arena = arena, .diag = diag};
    kt_layer *model = kt_layer_from_config(&context, json, NULL);
    if (!model) return KT_INVALID;
    KT_TRY(kt_model_trace(&context, model, &graph));
    KT_TRY(kt_weights_read_with(graph, *weights, kt_hdf5_child, &limits, diag));
    return kt_graph_verify(graph, diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_archive, data, size);
    return 0;
}

/* ---- a zip archive of stored members --------------------------------------------------------- */
typedef struct output {
    uint8_t *at;
    size_t count, room;
    bool full;
} output;

static void put(output *out, const void *bytes, size_t count) {
    if (out->full || count > out->room - out->count) {
        out->full = true;
        return;
    }
    memcpy(out->at + out->count, bytes, count);
    out->count += count;
}

static void put_number(output *out, uint32_t number, int bytes) {
    for (int i = 0; i < bytes; i++) put(out, &(uint8_t){(uint8_t)(number >> 8 * i)}, 1);
}

/* Version, flags, method, time, date, checksum, sizes, length of the name, length of what follows it. */
static void put_fields(output *out, const kt_member *member) {
    put_number(out, 20, 2);
    for (int i = 0; i < 4; i++) put_number(out, 0, 2);
    put_number(out, (uint32_t)crc32(0, member->bytes.at, (uInt)member->bytes.count), 4);
    put_number(out, (uint32_t)member->bytes.count, 4);
    put_number(out, (uint32_t)member->bytes.count, 4);
    put_number(out, (uint32_t)strlen(member->name), 2);
    put_number(out, 0, 2);
}

static size_t pack(const kt_archive *archive, uint8_t *data, size_t room) {
    output out = {.at = data, .room = room};
    uint32_t offsets[16], count = archive->members.count < 16 ? archive->members.count : 16;
    for (uint32_t i = 0; i < count; i++) {
        const kt_member *member = &archive->members.at[i];
        offsets[i] = (uint32_t)out.count;
        put(&out, "PK\3\4", 4);
        put_fields(&out, member);
        put(&out, member->name, strlen(member->name));
        put(&out, member->bytes.at, member->bytes.count);
    }
    uint32_t directory = (uint32_t)out.count;
    for (uint32_t i = 0; i < count; i++) {
        put(&out, "PK\1\2\24\0", 6);
        put_fields(&out, &archive->members.at[i]);
        for (int j = 0; j < 5; j++) put_number(&out, 0, 2);
        put_number(&out, offsets[i], 4);
        put(&out, archive->members.at[i].name, strlen(archive->members.at[i].name));
    }
    uint32_t length = (uint32_t)out.count - directory;
    put(&out, "PK\5\6\0\0\0\0", 8);
    put_number(&out, count, 2);
    put_number(&out, count, 2);
    put_number(&out, length, 4);
    put_number(&out, directory, 4);
    put_number(&out, 0, 2);
    return out.full ? 0 : out.count;
}

/* ---- mutation -------------------------------------------------------------------------------- */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

typedef struct mutation {
    kt_arena *arena;
    uint8_t *data;
    size_t size, room, result;
    unsigned seed;
    kt_diag *diag;
} mutation;

static kt_status mutate(void *context) {
    mutation *m = context;
    kt_archive archive;
    uint8_t *copy = kt_arena_copy(m->arena, m->data, m->size);
    KT_TRY(kt_archive_unpack(m->arena, (kt_bytes){copy, m->size}, &archive, m->diag));
    if (!archive.members.count) return KT_INVALID;
    kt_member *member = &archive.members.at[m->seed % archive.members.count];
    size_t room = 2 * member->bytes.count + 256, count = 0;
    uint8_t *bytes = kt_arena_alloc(m->arena, room);
    memcpy(bytes, member->bytes.at, member->bytes.count);
    if (strstr(member->name, ".json"))
        count = fuzz_json_mutate(bytes, member->bytes.count, room, m->seed / 16, NULL, 0);
    if (!count) count = LLVMFuzzerMutate(bytes, member->bytes.count, room);
    member->bytes = (kt_bytes){bytes, count};
    m->result = pack(&archive, m->data, m->room);
    return KT_OK;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    kt_diag diag = {0};
    mutation m = {.data = data, .size = size, .room = room, .seed = seed / 8, .diag = &diag};
    uint8_t *saved = malloc(size + 1);
    if (seed % 8 && saved) {
        memcpy(saved, data, size);
        m.arena = kt_arena_create();
        if (kt_guarded(mutate, &m, &diag) != KT_OK || !m.result) {
            memcpy(data, saved, size);
            m.result = 0;
        }
        kt_arena_destroy(m.arena);
        kt_diag_deinit(&diag);
    }
    free(saved);
    return m.result ? m.result : LLVMFuzzerMutate(data, size, room);
}
