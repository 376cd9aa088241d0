/* Weights from a file, for programs that were compiled with --weights=file: mapped, checked, and prepared, or
 * copied where a program trains and keeps them.
 *
 * `prepare` is an entry like any other, whose inputs are the variables in the file and whose outputs are the
 * constants; a context of its own runs it once, so that packing takes all threads. */
#include "runtime/weights.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct loading {
    const kt_program *program;
    const char *path;
    char *error;
    unsigned error_bytes;
    const uint8_t *file; /* mapped */
    size_t bytes;
};

static int fail(const struct loading *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(const struct loading *load, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(load->error, load->error_bytes, format, arguments);
    va_end(arguments);
    return 1;
}

/* The file that holds address: the executable or the shared library that the program was linked into. */
static int find_own_file(const void *address, char path[PATH_MAX]) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return 1;
    char *line = NULL;
    size_t room = 0;
    int found = 0;
    while (!found && getline(&line, &room, maps) > 0) {
        uintptr_t first = 0, last = 0;
        int name = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &first, &last, &name) < 2 || !name)
            continue;
        if ((uintptr_t)address < first || (uintptr_t)address >= last || line[name] != '/') continue;
        size_t length = strcspn(line + name, "\n");
        if (length >= PATH_MAX) continue;
        memcpy(path, line + name, length);
        path[length] = 0;
        found = 1;
    }
    free(line);
    (void)fclose(maps);
    return !found;
}

/* FILE.weights, where FILE is what holds the program; or, if the program has a name for it (it was linked
 * into something else), that name in FILE's directory. */
static int find_beside(const struct loading *load, char path[PATH_MAX]) {
    static const char ending[] = ".weights";
    const char *name = load->program->weights->file_name;
    if (find_own_file(load->program, path))
        return fail(load, "Cannot tell in which file %s is.", load->program->name);
    size_t length = strlen(path);
    if (name) {
        while (length && path[length - 1] != '/') length--;
    } else {
        name = ending;
    }
    if (length + strlen(name) >= PATH_MAX) return fail(load, "The path of the weights is too long.");
    memcpy(path + length, name, strlen(name) + 1);
    return 0;
}

static int map_file(struct loading *load) {
    int file = open(load->path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status)) {
        int code = fail(load, "Cannot read the weights in %s: %s.", load->path, strerror(errno));
        if (file >= 0) (void)close(file);
        return code;
    }
    if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(kt_weights_header)) {
        (void)close(file);
        return fail(load, "%s is no .weights file.", load->path);
    }
    load->bytes = (size_t)status.st_size;
    void *mapped = mmap(NULL, load->bytes, PROT_READ, MAP_PRIVATE, file, 0);
    int error = errno;
    (void)close(file);
    if (mapped == MAP_FAILED)
        return fail(load, "Cannot map the weights in %s: %s.", load->path, strerror(error));
    load->file = mapped;
    return 0;
}

static int check_file(const struct loading *load) {
    const kt_abi_weights *expected = load->program->weights;
    kt_weights_header header;
    memcpy(&header, load->file, sizeof header);
    if (memcmp(header.magic, KT_WEIGHTS_MAGIC, sizeof header.magic) != 0)
        return fail(load, "%s is no .weights file.", load->path);
    if (header.version != KT_WEIGHTS_VERSION)
        return fail(load, "%s has version %" PRIu32 " of the format, and this program reads %d.", load->path,
                    header.version, KT_WEIGHTS_VERSION);
    if (header.list_hash != expected->list_hash || header.bytes != expected->bytes)
        return fail(load, "%s holds the weights of another model: its variables are not those of %s.",
                    load->path, load->program->name);
    if (load->bytes != expected->bytes)
        return fail(load, "%s is damaged: it has %zu bytes instead of %" PRIu64 ".", load->path, load->bytes,
                    expected->bytes);
    return 0;
}

static int run_prepare(const struct loading *load, int threads, uint8_t *constants) {
    const kt_program *program = load->program;
    const kt_abi_entry *prepare = program->weights->prepare;
    kt_program alone = *program;
    alone.weights = NULL;
    alone.entries = prepare;
    alone.entry_count = 1;
    const void **pointers =
        calloc((size_t)prepare->input_count + prepare->output_count + 1, sizeof *pointers);
    kt_context *context = pointers ? kt_context_create(&alone, threads, NULL) : NULL;
    int code = 1;
    if (context) {
        void **outputs = (void **)(pointers + prepare->input_count);
        for (uint32_t i = 0; i < prepare->input_count; i++)
            pointers[i] = load->file + program->weights->inputs[i];
        for (uint32_t i = 0; i < prepare->output_count; i++)
            outputs[i] = constants + program->weights->outputs[i];
        code = kt_context_call(context, 0, NULL, pointers, outputs);
        if (code) code = fail(load, "%s", kt_context_error(context));
    } else {
        code = fail(load, "There is no memory to prepare the weights of %s.", program->name);
    }
    kt_context_destroy(context);
    free(pointers);
    return code;
}

/* Makes the constants. */
static int prepare(const struct loading *load, int threads, uint8_t **out_constants) {
    const kt_program *program = load->program;
    if (!program->weights->prepare) return 0;
    const uint64_t lines = program->constants_bytes / KT_WEIGHTS_ALIGNMENT + 1;
    uint8_t *constants = aligned_alloc(KT_WEIGHTS_ALIGNMENT, lines * KT_WEIGHTS_ALIGNMENT);
    if (!constants) return fail(load, "There is no memory for the weights of %s.", program->name);
    if (run_prepare(load, threads, constants)) {
        free(constants);
        return 1;
    }
    *out_constants = constants;
    return 0;
}

bool kt_weights_recognise(const char *path) {
    kt_weights_header header;
    FILE *file = fopen(path, "rbe");
    if (!file) return false;
    bool same = fread(header.magic, sizeof header.magic, 1, file) == 1 &&
                memcmp(header.magic, KT_WEIGHTS_MAGIC, sizeof header.magic) == 0;
    (void)fclose(file);
    return same;
}

int kt_weights_load(const kt_program *program, const char *path, int threads, char *variables,
                    uint8_t **out_constants, char *out_error, unsigned error_bytes) {
    char beside[PATH_MAX];
    struct loading load = {.program = program, .path = path, .error = out_error, .error_bytes = error_bytes};
    *out_constants = NULL;
    if (!path) {
        if (find_beside(&load, beside)) return 1;
        load.path = beside;
    }
    if (map_file(&load) || !load.file) return 1;
    int code = check_file(&load);
    for (uint32_t i = 0; i < program->variable_count && code == 0; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (!variable->file_begin) continue;
        memcpy(variables + variable->offset, load.file + variable->file_begin,
               kt_abi_variable_bytes(variable));
    }
    if (code == 0) code = prepare(&load, threads, out_constants);
    (void)munmap((void *)load.file, load.bytes);
    return code;
}
