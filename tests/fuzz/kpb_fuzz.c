/* Graphs in protobuf: what is read prints as text, and that text parses and prints the same. */
#include "fuzz.h"

#include <string.h>

static kt_status read_graph(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    kt_graph *graph, *again;
    kt_text text = {.arena = arena}, second = {.arena = arena};
    KT_TRY(kt_graph_read_packed(arena, input.at, input.count, NULL, &graph, diag));
    KT_TRY(kt_graph_verify(graph, diag));
    kt_graph_print(graph, NULL, &text);
    kt_diag none = {0};
    if (kt_graph_parse(arena, kt_text_string(&text), text.length, &again, &none) != KT_OK)
        KT_BUG("what was printed does not parse: %s", none.count ? none.problems[0].text : "");
    kt_graph_print(again, NULL, &second);
    if (strcmp(kt_text_string(&text), kt_text_string(&second)) != 0) KT_BUG("it prints otherwise");
    return KT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_graph, data, size);
    return 0;
}
