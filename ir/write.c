/* A graph into a file: in protobuf where the file's name ends in .kpb, else as text. */
#include "ir/ir.h"
#include "support/file.h"

#include <string.h>

kt_status kt_graph_write(const kt_graph *graph, const char *path, kt_arena *scratch, kt_diag *diag) {
    size_t length = strlen(path);
    if (length > 4 && !strcmp(path + length - 4, ".kpb"))
        return kt_graph_write_packed(graph, path, KT_PACKED_INSIDE, diag);
    kt_text text = {.arena = scratch};
    kt_graph_print(graph, NULL, &text);
    return kt_file_write(path, kt_text_string(&text), text.length, diag);
}
