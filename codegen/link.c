/* From object files to a program, a shared library, a static library or one relocatable object, by the C
 * compiler driver and binutils of the machine. The runtime's members that are needed go in; libraries and
 * objects keep only the symbols that begin with their name visible, so that two models can live in one
 * program. */
#include "codegen/codegen.h"
#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef KT_SANITIZE
#define LINKER "clang-19"
#else
#define LINKER "cc"
#endif

typedef struct command {
    kt_arena *arena;
    KT_VECTOR(const char *) words;
    bool debug; /* keep what debuggers read */
} command;

static void add(command *line, const char *word) { KT_PUSH(line->arena, &line->words, word); }

static kt_status execute(command *line, kt_diag *diag) {
    add(line, NULL);
    return kt_command_run(line->words.at, diag);
}

/* libkeratin_rt.a lies in lib/ beside the bin/ of the running compiler. */
static kt_status find_runtime(kt_arena *arena, const char **out_path, kt_diag *diag) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        return kt_diag_add(diag, KT_IO, NULL, "Cannot tell where the compiler is installed: %s.",
                           strerror(errno));
    path[length] = 0;
    for (int levels = 0; levels < 2; levels++) {
        char *slash = strrchr(path, '/');
        if (slash) *slash = 0;
    }
    *out_path = kt_arena_format(arena, "%s/lib/libkeratin_rt.a", path);
    if (access(*out_path, R_OK))
        return kt_diag_add(diag, KT_IO, NULL, "The runtime library %s is missing; install Keratin whole.",
                           *out_path);
    return KT_OK;
}

static void add_objects(command *line, const char *const *objects, uint32_t count, const char *runtime) {
    for (uint32_t i = 0; i < count; i++) add(line, objects[i]);
    add(line, runtime);
}

static void add_common(command *line) {
    add(line, "-lm");
    add(line, "-pthread");
    add(line, "-Wl,--gc-sections,--as-needed,--build-id=none");
#ifdef KT_SANITIZE
    add(line, "-fsanitize=" KT_SANITIZE);
#else
    if (!line->debug) add(line, "-s");
#endif
}

static kt_status link_executable(command *line, const char *const *objects, uint32_t count,
                                 const char *runtime, const char *output, kt_diag *diag) {
    add(line, LINKER);
    add(line, "-o");
    add(line, output);
    add_objects(line, objects, count, runtime);
    add_common(line);
    return execute(line, diag);
}

static kt_status link_shared(command *line, const char *const *objects, uint32_t count, const char *runtime,
                             const char *name, const char *directory, const char *output, kt_diag *diag) {
    const char *script = kt_arena_format(line->arena, "%s/exports", directory);
    const char *text = kt_arena_format(line->arena, "{ global: %s_*; local: *; };\n", name);
    KT_TRY(kt_file_write(script, text, strlen(text), diag));
    add(line, LINKER);
    add(line, "-shared");
    add(line, "-o");
    add(line, output);
    add_objects(line, objects, count, runtime);
    add(line, kt_arena_format(line->arena, "-Wl,--version-script=%s", script));
    add_common(line);
    return execute(line, diag);
}

static kt_status link_object(command *line, const char *const *objects, uint32_t count, const char *runtime,
                             const char *name, const char *directory, const char *output, kt_diag *diag) {
    const char *joined = kt_arena_format(line->arena, "%s/joined.o", directory);
    add(line, "ld");
    add(line, "-r");
    /* Groups would be shared with another model's object, whose symbols are local as well. */
    add(line, "--force-group-allocation");
    add(line, "-o");
    add(line, joined);
    add_objects(line, objects, count, runtime);
    KT_TRY(execute(line, diag));
    command localise = {.arena = line->arena};
    add(&localise, "objcopy");
    add(&localise, "--wildcard");
    add(&localise, kt_arena_format(line->arena, "--keep-global-symbol=%s_*", name));
    if (!line->debug) add(&localise, "--strip-unneeded");
    add(&localise, joined);
    add(&localise, output);
    return execute(&localise, diag);
}

static kt_status link_archive(command *line, const char *const *objects, uint32_t count, const char *runtime,
                              const char *name, const char *directory, const char *output, kt_diag *diag) {
    const char *member = kt_arena_format(line->arena, "%s/%s.o", directory, name);
    KT_TRY(link_object(line, objects, count, runtime, name, directory, member, diag));
    command archive = {.arena = line->arena};
    add(&archive, "ar");
    add(&archive, "rcsD");
    add(&archive, output);
    add(&archive, member);
    return execute(&archive, diag);
}

kt_status kt_link(kt_emit form, bool debug, const char *const *objects, uint32_t object_count,
                  const char *name, const char *directory, const char *output, kt_arena *arena,
                  kt_diag *diag) {
    if (kt_file_is_special(output))
        return kt_diag_add(diag, KT_INVALID, NULL, "Cannot write %s: it is no regular file.", output);
    const char *runtime = NULL;
    command line = {.arena = arena, .debug = debug};
    KT_TRY(find_runtime(arena, &runtime, diag));
    const char *beside = kt_arena_format(arena, "%s.%ld.tmp", output, (long)getpid());
    /* Said here, since the linker says it in words of its own. */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return kt_diag_add(diag, KT_IO, NULL, "Cannot write %s: %s.", output, strerror(errno));
    close(fd);
    unlink(beside);
    kt_status status;
    switch (form) {
    case KT_EMIT_EXE: status = link_executable(&line, objects, object_count, runtime, beside, diag); break;
    case KT_EMIT_SHARED:
        status = link_shared(&line, objects, object_count, runtime, name, directory, beside, diag);
        break;
    case KT_EMIT_OBJECT:
        status = link_object(&line, objects, object_count, runtime, name, directory, beside, diag);
        break;
    case KT_EMIT_STATIC:
        status = link_archive(&line, objects, object_count, runtime, name, directory, beside, diag);
        break;
    default: KT_BUG("form %d is not linked", form);
    }
    if (status == KT_OK && rename(beside, output))
        status = kt_diag_add(diag, KT_IO, NULL, "Cannot write %s: %s.", output, strerror(errno));
    if (status != KT_OK) unlink(beside);
    return status;
}
