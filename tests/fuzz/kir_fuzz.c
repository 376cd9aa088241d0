/* Graphs as text: what parses prints, and what was printed parses and prints the same; what also verifies
 * does so again. */
#include "fuzz.h"

#include <string.h>

static kt_status read_graph(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    kt_graph *graph, *again;
    kt_text text = {.arena = arena}, second = {.arena = arena};
    KT_TRY(kt_graph_parse(arena, (const char *)input.at, input.count, &graph, diag));
    kt_graph_print(graph, NULL, &text);
    kt_diag none = {0};
    if (kt_graph_parse(arena, kt_text_string(&text), text.length, &again, &none) != KT_OK)
        KT_BUG("what was printed does not parse: %s", none.count ? none.problems[0].text : "");
    kt_graph_print(again, NULL, &second);
    if (strcmp(kt_text_string(&text), kt_text_string(&second)) != 0) KT_BUG("it prints otherwise");
    kt_status status = kt_graph_verify(graph, diag);
    if (kt_graph_verify(again, &none) != status) KT_BUG("it verifies otherwise");
    kt_diag_deinit(&none);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_graph, data, size);
    return 0;
}
