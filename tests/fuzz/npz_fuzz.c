/* .npz files. */
#include "fuzz.h"

#include <stdlib.h>

static int read_arrays(const kt_io *io, uint8_t *bytes, size_t count, kt_arrays *out_arrays) {
    int code = kt_npz_read(io, bytes, count, out_arrays);
    free(bytes);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_arrays(read_arrays, data, size);
    return 0;
}
