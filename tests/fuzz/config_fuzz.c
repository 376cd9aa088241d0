/* config.json of a .keras archive: layers are made, traced and verified. Mutations keep the text JSON. */
#include "frontend/layer.h"
#include "fuzz.h"

static kt_status read_config(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    const json_t *json;
    kt_graph *graph;
    KT_TRY(kt_json_parse(arena, input, "config.json", &json, diag));
    kt_layer_context context = {.arena = arena, .diag = diag};
    kt_layer *model = kt_layer_from_config(&context, json, NULL);
    if (!model) return KT_INVALID;
    KT_TRY(kt_model_trace(&context, model, &graph));
    return kt_graph_verify(graph, diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_config, data, size);
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t room, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    size_t changed = seed % 8 ? fuzz_json_mutate(data, size, room, seed / 8, NULL, 0) : 0;
    return changed ? changed : LLVMFuzzerMutate(data, size, room);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t room, unsigned seed) {
    if (a_size > room) return 0;
    __builtin_memcpy(out, a, a_size);
    return fuzz_json_mutate(out, a_size, room, seed, b, b_size);
}
