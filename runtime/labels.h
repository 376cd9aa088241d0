/* Labels that are numbers of classes: are they some that there are? */
#ifndef KT_RUNTIME_LABELS_H
#define KT_RUNTIME_LABELS_H

#include "runtime/runtime.h"

/* Checks count elements of a dtype of numbers, row_elements of which are a row; row_names: by row, what it is called, or NULL: they are
 * counted from first on. 0, or 1 with a sentence in out_error (room for KT_IO_ERROR), which path, if there is one, begins. */
typedef struct kt_label_rows {
    const char *path;
    int64_t row_elements, first;
    const int64_t *row_names;
} kt_label_rows;
int kt_labels_check(const kt_abi_labels *labels, const kt_label_rows *rows, const void *data, int32_t dtype, int64_t count,
                    char *out_error);

#endif
