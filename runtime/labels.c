/* Labels that are numbers of classes. A label that is none would otherwise be taken without a word: the
 * cross entropy of a class that there is not is 0. */
#include "runtime/labels.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

enum { BLOCK = 256, SENTENCE_END = 128 };

static bool is_class(const kt_abi_labels *labels, double label) {
    if (labels->ignored != KT_ABI_NO_CLASS && label == (double)labels->ignored) return true;
    if (labels->classes > 0) return label >= 0 && label < (double)labels->classes && label == floor(label);
    return label >= INT32_MIN && label <= INT32_MAX && label == floor(label);
}

static int refuse(const kt_abi_labels *labels, const kt_label_rows *rows, int64_t element, double label,
                  char *out_error) {
    int64_t row = element / rows->row_elements;
    char wanted[SENTENCE_END], besides[SENTENCE_END] = "";
    row = rows->row_names ? rows->row_names[row] : rows->first + row;
    if (labels->classes > 0)
        (void)snprintf(wanted, sizeof wanted, "there are %lld classes, numbered from 0",
                       (long long)labels->classes);
    else
        (void)snprintf(wanted, sizeof wanted, "labels are whole numbers of 32 bits");
    if (labels->ignored != KT_ABI_NO_CLASS)
        (void)snprintf(besides, sizeof besides, "; %lld is ignored", (long long)labels->ignored);
    (void)snprintf(out_error, KT_IO_ERROR, "%s%sRow %lld, counted from 0, has the label %.10g, but %s%s.",
                   rows->path ? rows->path : "", rows->path ? ": " : "", (long long)row, label, wanted,
                   besides);
    return 1;
}

int kt_labels_check(const kt_abi_labels *labels, const kt_label_rows *rows, const void *data, int32_t dtype,
                    int64_t count, char *out_error) {
    double block[BLOCK];
    const char *from = data;
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t taken = count - at < BLOCK ? count - at : BLOCK;
        kt_elements_convert(from + (size_t)at * kt_abi_dtype_bytes(dtype), dtype, block, KT_F64,
                            (size_t)taken);
        for (int64_t i = 0; i < taken; i++)
            if (!is_class(labels, block[i])) return refuse(labels, rows, at + i, block[i], out_error);
    }
    return 0;
}
