/* A .weights file beside a program that wants one: two float32 variables, of which `prepare` makes constants,
 * and of which the second is kept as well. Offsets and sizes that the file states are the program's to doubt.
 */
#include "fuzz.h"
#include "runtime/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIRST = 192, SECOND = 256, FILE_BYTES = 288 };

static void bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    values[0] = 8;
    values[1] = 32;
}

static void add(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)symbols, (void)part, (void)parts;
    for (int i = 0; i < 8; i++)
        ((float *)args[2])[i] = ((const float *)args[0])[i] + ((const float *)args[1])[i];
}

static const kt_abi_tensor inputs[] = {{"a", KT_F32, 1, {0}}, {"b", KT_F32, 1, {0}}};
static const kt_abi_tensor outputs[] = {{"c", KT_F32, 1, {0}}};
static const kt_abi_buffer buffers[] = {
    {KT_PLACE_INPUT, 1, 0, 0, 0}, {KT_PLACE_INPUT, 1, 1, 0, 0}, {KT_PLACE_OUTPUT, 1, 0, 0, 0}};
static const uint32_t args[] = {0, 1, 2};
static const kt_abi_step steps[] = {{add, "add", "a", 0, 3, 0, 0}};
static const kt_abi_entry prepare = {
    .name = "prepare",
    .bind = bind,
    .value_count = 2,
    .input_count = 2,
    .output_count = 1,
    .buffer_count = 3,
    .arg_count = 3,
    .step_count = 1,
    .inputs = inputs,
    .outputs = outputs,
    .buffers = buffers,
    .args = args,
    .steps = steps,
};
static const uint64_t offsets[] = {FIRST, SECOND}, results[] = {0};
static const kt_abi_weights wanted = {
    .prepare = &prepare, .list_hash = 7, .bytes = FILE_BYTES, .inputs = offsets, .outputs = results};
static const kt_abi_variable variables[] = {
    {.path = "b", .dtype = KT_F32, .rank = 1, .dims = {8}, .offset = 64, .file_begin = SECOND}};
static const kt_program program = {.abi_version = KT_ABI_VERSION,
                                   .name = "fuzz",
                                   .constants_bytes = 32,
                                   .variables_bytes = 96,
                                   .variable_count = 1,
                                   .variables = variables,
                                   .weights = &wanted};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], error[KT_IO_ERROR] = "", kept[96];
    int file = memfd_create("weights", MFD_CLOEXEC);
    if (file < 0) return 0;
    if (write(file, data, size) == (ssize_t)size) {
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        uint8_t *constants;
        int code = kt_weights_load(&program, path, 1, kept, &constants, error, sizeof error);
        if (!constants != !!code || !!code != (strlen(error) > 2)) KT_BUG("%d and “%s”", code, error);
        free(constants);
    }
    (void)close(file);
    return 0;
}
