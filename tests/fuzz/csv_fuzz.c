/* CSV. The reader is given text: no NUL is in it. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static int read_lines(const kt_io *io, uint8_t *bytes, size_t count, kt_arrays *out_arrays) {
    int code = kt_csv_read(io, (const char *)bytes, count, out_arrays);
    free(bytes);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size || memchr(data, 0, size)) return -1;
    fuzz_arrays(read_lines, data, size);
    return 0;
}
