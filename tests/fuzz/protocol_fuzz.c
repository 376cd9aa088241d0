/* What the child that reads weights says, if it has been taken over: the input is sent instead of records. */
#include "fuzz.h"

#include <unistd.h>

static const kt_hdf5_limits limits = {.seconds = 5, .memory_bytes = (size_t)1 << 28};

static void say_it(const kt_hdf5_request *request, int output) {
    size_t done = 0;
    while (done < request->file.count) {
        ssize_t count = write(output, request->file.at + done, request->file.count - done);
        if (count <= 0) break;
        done += (size_t)count;
    }
}

static kt_status read_stream(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    static const kt_dtype dtypes[] = {KT_F32, KT_F16, KT_I64, KT_BOOL};
    kt_graph *graph = kt_graph_create(arena, "fuzz");
    for (int i = 0; i < 4; i++) {
        kt_variable variable = {.path = kt_arena_format(arena, "dense/%d", i),
                                .file_path = kt_arena_format(arena, "layers/dense/vars/%d", i),
                                .type = kt_type_of(graph->dims, dtypes[i], i, (int64_t[]){2, 3, 0})};
        kt_graph_add_variable(graph, &variable);
    }
    return kt_weights_read_with(graph, input, say_it, &limits, diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_stream, data, size);
    return 0;
}
