/* usage: fuzz_seeds OUT LAYERS.json MODEL.keras… GRAPH.kir…
 * What fuzzing starts from: OUT/config/NAME.json, a model of one layer for each layer of LAYERS.json and the
 * config of each model; OUT/archive/NAME.keras, the small models; OUT/kir and OUT/kpb, the graphs;
 * OUT/protocol, what a child may say; OUT/weights, what weights_fuzz.c wants; OUT/kir.dict, words for
 * libFuzzer. */
#include "fuzz.h"
#include "runtime/weights.h"
#include "support/file.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SMALL_ARCHIVE = 20000, SMALL_CONFIG = 12000 };

typedef struct job {
    int argc;
    char **argv;
    kt_arena *arena;
    kt_diag *diag;
} job;

static kt_status write_seed(job *j, const char *folder, const char *name, const void *bytes, size_t count) {
    const char *path = kt_arena_format(j->arena, "%s/%s", j->argv[1], folder);
    (void)mkdir(path, 0777);
    return kt_file_write(kt_arena_format(j->arena, "%s/%s", path, name), bytes, count, j->diag);
}

/* An input of as many axes as the class's name asks for. */
static json_t *input_shape(const char *class) {
    if (strstr(class, "3D")) return json_pack("[niiii]", 3, 4, 4, 2);
    if (strstr(class, "1D")) return json_pack("[nii]", 4, 2);
    if (strstr(class, "2D")) return json_pack("[niii]", 4, 5, 2);
    return json_pack("[nii]", 3, 4);
}

static kt_status write_layers(job *j) {
    json_t *layers = json_load_file(j->argv[2], 0, NULL), *layer;
    size_t index;
    kt_status status = layers ? KT_OK : kt_diag_add(j->diag, KT_IO, NULL, "%s is no JSON.", j->argv[2]);
    json_array_foreach(layers, index, layer) {
        const char *class = json_string_value(json_object_get(layer, "class_name"));
        json_t *model = json_pack("{ss ss s{ss s[{ss ss s{so ss ss}} O]}}", "module", "keras", "class_name",
                                  "Sequential", "config", "name", "sequential", "layers", "module",
                                  "keras.layers", "class_name", "InputLayer", "config", "batch_shape",
                                  input_shape(class), "dtype", "float32", "name", "x", layer);
        if (!model) KT_BUG("no model around %s", class);
        char *text = json_dumps(model, JSON_COMPACT);
        if (text && status == KT_OK)
            status = write_seed(j, "config", kt_arena_format(j->arena, "layer_%zu.json", index), text,
                                strlen(text));
        json_free_t release;
        json_get_alloc_funcs(NULL, &release);
        release(text);
        json_decref(model);
    }
    json_decref(layers);
    return status;
}

static bool ends_in(const char *text, const char *ending) {
    size_t length = strlen(text), count = strlen(ending);
    return length > count && !strcmp(text + length - count, ending);
}

static kt_status write_graph(job *j, const char *name, char *text) {
    kt_graph *graph;
    kt_diag refused = {0};
    size_t count = strlen(text);
    kt_status status = kt_graph_parse(j->arena, text, count, &graph, &refused);
    kt_diag_deinit(&refused);
    KT_TRY(write_seed(j, "kir", name, text, count));
    const char *folder = kt_arena_format(j->arena, "%s/kpb", j->argv[1]);
    (void)mkdir(folder, 0777);
    if (status != KT_OK) return KT_OK; /* some golden files tell of errors */
    return kt_graph_write_packed(graph, kt_arena_format(j->arena, "%s/%s.kpb", folder, name),
                                 KT_PACKED_INSIDE, j->diag);
}

/* Both graphs of a golden file: before, and after the passes. */
static kt_status write_graphs(job *j, const char *name, char *text) {
    char *behind = strstr(text, "// ====\n");
    if (behind) {
        *behind = 0;
        KT_TRY(write_graph(j, kt_arena_format(j->arena, "after_%s", name), behind + 8));
    }
    return write_graph(j, name, text);
}

static kt_status write_model(job *j, char *path) {
    char *bytes;
    size_t count;
    kt_archive archive;
    KT_TRY(kt_file_read(path, (size_t)1 << 30, j->arena, &bytes, &count, j->diag));
    if (ends_in(path, ".kir")) return write_graphs(j, basename(path), bytes);
    KT_TRY(kt_archive_unpack(j->arena, (kt_bytes){(uint8_t *)bytes, count}, &archive, j->diag));
    const kt_bytes *config = kt_archive_find(&archive, "config.json");
    const char *name = basename(path);
    if (config && config->count < SMALL_CONFIG)
        KT_TRY(
            write_seed(j, "config", kt_arena_format(j->arena, "%s.json", name), config->at, config->count));
    return count < SMALL_ARCHIVE ? write_seed(j, "archive", name, bytes, count) : KT_OK;
}

/* The words of graphs in text form, from the table of operations. */
static kt_status write_words(job *j) {
    kt_text text = {.arena = j->arena};
    for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++) {
        const kt_op_info *info = kt_op_describe(op);
        kt_text_format(&text, "\"%s(\"\n", info->name);
        for (uint32_t i = 0; i < info->attr_count; i++)
            kt_text_format(&text, "\"%s=\"\n", info->attrs[i].name);
    }
    return kt_file_write(kt_arena_format(j->arena, "%s/kir.dict", j->argv[1]), kt_text_string(&text),
                         text.length, j->diag);
}

/* What a child says that finds all that protocol_fuzz.c asks for, and one that finds nothing. */
static kt_status write_records(job *j) {
    static const kt_dtype dtypes[] = {KT_F32, KT_F32, KT_I32, KT_U8};
    static const uint64_t bytes[] = {4, 8, 24, 0};
    kt_text found = {.arena = j->arena}, missing = {.arena = j->arena};
    for (int i = 0; i < 4; i++) {
        const kt_hdf5_record lost = {.finding = KT_HDF5_MISSING + (uint32_t)i};
        const kt_hdf5_record record = {.finding = KT_HDF5_FOUND,
                                       .dtype = dtypes[i],
                                       .rank = i,
                                       .dims = {i > 0 ? 2 : 0, i > 1 ? 3 : 0},
                                       .bytes = bytes[i]};
        kt_text_add_bytes(&found, &record, sizeof record);
        kt_text_add_bytes(&found, "abcdefghijklmnopqrstuvwxyz", bytes[i]);
        kt_text_add_bytes(&missing, &lost, sizeof lost);
    }
    KT_TRY(write_seed(j, "protocol", "missing", missing.at, missing.length));
    return write_seed(j, "protocol", "found", found.at, found.length);
}

/* The file that weights_fuzz.c wants, whole and one that is cut off. */
static kt_status write_weights(job *j) {
    uint8_t file[288] = {0};
    const kt_weights_header header = {.magic = KT_WEIGHTS_MAGIC,
                                      .version = KT_WEIGHTS_VERSION,
                                      .variable_count = 2,
                                      .list_bytes = 48,
                                      .list_hash = 7,
                                      .bytes = sizeof file};
    memcpy(file, &header, sizeof header);
    KT_TRY(write_seed(j, "weights", "whole", file, sizeof file));
    return write_seed(j, "weights", "cut_off", file, 200);
}

static kt_status write_seeds(void *context) {
    job *j = context;
    j->arena = kt_arena_create();
    (void)mkdir(j->argv[1], 0777);
    KT_TRY(write_words(j));
    KT_TRY(write_records(j));
    KT_TRY(write_weights(j));
    KT_TRY(write_layers(j));
    for (int i = 3; i < j->argc; i++) KT_TRY(write_model(j, j->argv[i]));
    return KT_OK;
}

int main(int argc, char **argv) {
    kt_diag diag = {0};
    job j = {.argc = argc, .argv = argv, .diag = &diag};
    if (argc < 3) return 2;
    kt_status status = kt_guarded(write_seeds, &j, &diag);
    for (uint32_t i = 0; i < diag.count; i++) fprintf(stderr, "%s\n", diag.problems[i].text);
    kt_arena_destroy(j.arena);
    kt_diag_deinit(&diag);
    return status != KT_OK;
}
