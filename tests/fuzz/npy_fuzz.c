/* .npy files. */
#include "fuzz.h"

static int read_array(const kt_io *io, uint8_t *bytes, size_t count, kt_arrays *out_arrays) {
    kt_buffer buffer = {0};
    int code = kt_npy_decode(io, bytes, count, &buffer); /* takes bytes */
    return code ? code : kt_io_push(io, out_arrays, NULL, 0, &buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_arrays(read_array, data, size);
    return 0;
}
