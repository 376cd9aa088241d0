/* From object files to a program, a shared library, a static library or one relocatable object, by the C
 * compiler driver and binutils of the machine, or by cross tools for another one, which have their triple in
 * front. The runtime's members that are needed go in; libraries and objects keep only the symbols that begin
 * with their name visible, so that two models can live in one program. */
#include "codegen/codegen.h"
#include "support/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef KT_SANITIZE
#define LINKER "clang-19"
#else
#define LINKER "cc"
#endif

/* How programs for an architecture are linked on machines of another one. */
static const struct {
    const char *triple;   /* in front of the tools' names; and where its runtime lies, below lib/ */
    const char *packages; /* that hold the tools, on Debian */
} cross_tools[] = {
    [KT_ARCH_X86_64] = {"x86_64-linux-gnu", "gcc-x86-64-linux-gnu and libc6-dev-amd64-cross"},
    [KT_ARCH_AARCH64] = {"aarch64-linux-gnu", "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"},
    [KT_ARCH_RISCV64] = {NULL, NULL},
    [KT_ARCH_WASM32] = {NULL, NULL},
};

/* Drives the linker for musl, whose runtime lies in lib/musl/. */
#define MUSL_LINKER "musl-gcc"

typedef struct command {
    kt_arena *arena;
    KT_VECTOR(const char *) words;
    const kt_target *target;
    bool debug; /* keep what debuggers read */
} command;

static void add(command *line, const char *word) { KT_PUSH(line->arena, &line->words, word); }

/* A tool for the target. */
static void add_tool(command *line, const char *tool) {
    const kt_target *target = line->target;
    add(line, target->at_home
                  ? tool
                  : kt_arena_format(line->arena, "%s-%s", cross_tools[target->arch].triple, tool));
}

/* The C compiler drives the linker. */
static void add_linker(command *line) {
    if (line->target->musl)
        add(line, MUSL_LINKER);
    else
        add_tool(line, line->target->at_home ? LINKER : "gcc");
}

static kt_status execute(command *line, kt_diag *diag) {
    add(line, NULL);
    return kt_command_run(line->words.at, diag);
}

static bool is_in_path(kt_arena *arena, const char *tool) {
    const char *path = getenv("PATH");
    for (size_t length; path && *path; path += length + (path[length] == ':')) {
        length = strcspn(path, ":");
        if (!access(kt_arena_format(arena, "%.*s/%s", (int)length, path, tool), X_OK)) return true;
    }
    return false;
}

/* libkeratin_rt.a lies in lib/ beside the bin/ of the running compiler; those for other machines in folders
 * there. */
static kt_status find_runtime(kt_arena *arena, const kt_target *target, const char **out_path,
                              kt_diag *diag) {
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
    const char *folder = target->musl      ? "musl/"
                         : target->at_home ? ""
                                           : kt_arena_format(arena, "%s/", cross_tools[target->arch].triple);
    *out_path = kt_arena_format(arena, "%s/lib/%slibkeratin_rt.a", path, folder);
    if (!access(*out_path, R_OK)) return KT_OK;
    if (target->musl)
        return kt_diag_add(diag, KT_IO, NULL,
                           "The runtime library %s is missing; install musl-tools, and build Keratin again.",
                           *out_path);
    if (target->at_home)
        return kt_diag_add(diag, KT_IO, NULL, "The runtime library %s is missing; install Keratin whole.",
                           *out_path);
    return kt_diag_add(diag, KT_IO, NULL,
                       "The runtime library %s is missing; install %s, and build Keratin again.", *out_path,
                       cross_tools[target->arch].packages);
}

kt_status kt_link_check(const kt_target *target, kt_arena *arena, kt_diag *diag) {
    const char *runtime, *triple = cross_tools[target->arch].triple;
    if (!triple)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "Programs and libraries for %s cannot be linked; --emit=asm and --emit=llvm work.",
                           target->triple);
    if (!target->at_home && !is_in_path(arena, kt_arena_format(arena, "%s-gcc", triple)))
        return kt_diag_add(
            diag, KT_IO, NULL,
            "Linking for %s wants %s-gcc, which is not installed; install %s, or say --emit=asm "
            "or --emit=llvm.",
            target->triple, triple, cross_tools[target->arch].packages);
    if (target->musl && !target->at_home)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL, "--libc=musl links for this machine only, not for %s.",
                           target->triple);
    if (target->musl && target->blas)
        return kt_diag_add(
            diag, KT_UNSUPPORTED, NULL,
            "--libc=musl and --contractions=openblas exclude each other: OpenBLAS wants glibc.");
    if (target->musl && !is_in_path(arena, MUSL_LINKER))
        return kt_diag_add(diag, KT_IO, NULL,
                           "--libc=musl wants %s, which is not installed; install musl-tools.", MUSL_LINKER);
    if (target->trains && (target->musl || !target->at_home))
        return kt_diag_add(
            diag, KT_UNSUPPORTED, NULL,
            "Programs that train are linked for this machine and glibc only: their HDF5 wants both.");
    if (target->blas && !target->at_home)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "--contractions=openblas links for this machine only, not for %s.",
                           target->triple);
    if (target->blas && access(KT_OPENBLAS, R_OK) != 0)
        return kt_diag_add(diag, KT_IO, NULL,
                           "--contractions=openblas wants %s, which is not there; install libopenblas-dev.",
                           KT_OPENBLAS);
    return find_runtime(arena, target, &runtime, diag);
}

/* libkeratin_train.a, beside the runtime, which it needs and which needs it; and the libraries below it, in
 * keratin/ there. */
static void add_training(command *line, const char *runtime) {
    const char *slash = strrchr(runtime, '/');
    int folder = slash ? (int)(slash + 1 - runtime) : 0;
    add(line, kt_arena_format(line->arena, "%.*slibkeratin_train.a", folder, runtime));
    add(line, runtime);
    static const char *const below[] = {"hdf5_serial", "sz", "aec", "z"};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++)
        add(line, kt_arena_format(line->arena, "%.*skeratin/lib%s.a", folder, runtime, below[i]));
}

/* See runtime/checkpoint/streams.c. prefix: of an option that is the linker's. */
static void add_wraps(command *line, const char *prefix) {
    if (!line->target->trains) return;
    add(line, kt_arena_format(line->arena, "%s--wrap=stdout", prefix));
    add(line, kt_arena_format(line->arena, "%s--wrap=stderr", prefix));
    add(line, "-u"); /* libhdf5 comes behind the archive that holds it */
    add(line, "__wrap_stderr");
}

static void add_objects(command *line, const char *const *objects, uint32_t count, const char *runtime) {
    for (uint32_t i = 0; i < count; i++) add(line, objects[i]);
    if (runtime) add(line, runtime);
    if (runtime && line->target->trains) add_training(line, runtime);
    if (line->target->blas) add(line, KT_OPENBLAS);
}

static void add_common(command *line) {
    add(line, "-lm");
    add(line, "-pthread");
    add(line, "-Wl,--gc-sections,--as-needed,--build-id=none");
#ifdef KT_SANITIZE
    if (line->target->at_home && !line->target->musl) {
        add(line, "-fsanitize=" KT_SANITIZE);
#ifdef KT_LLD
        add(line, "-fuse-ld=lld");
#endif
        return;
    }
#endif
    if (!line->debug) add(line, "-s");
}

static kt_status link_executable(command *line, const char *const *objects, uint32_t count,
                                 const char *runtime, const char *output, kt_diag *diag) {
    add_linker(line);
    if (line->target->musl) add(line, "-static");
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
    add_linker(line);
    add(line, "-shared");
    add_wraps(line, "-Wl,");
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
    add_tool(line, "ld");
    add(line, "-r");
    /* Groups would be shared with another model's object, whose symbols are local as well. */
    add(line, "--force-group-allocation");
    add_wraps(line, "");
    add(line, "-o");
    add(line, joined);
    add_objects(line, objects, count, runtime);
    KT_TRY(execute(line, diag));
    command localise = {.arena = line->arena, .target = line->target};
    add_tool(&localise, "objcopy");
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
    command archive = {.arena = line->arena, .target = line->target};
    add_tool(&archive, "ar");
    add(&archive, "rcsD");
    add(&archive, output);
    add(&archive, member);
    return execute(&archive, diag);
}

kt_status kt_link(kt_emit form, const kt_target *target, bool debug, bool loaded, const char *const *objects,
                  uint32_t object_count, const char *name, const char *directory, const char *output,
                  kt_arena *arena, kt_diag *diag) {
    const char *runtime = NULL;
    command line = {.arena = arena, .target = target, .debug = debug};
    if (!loaded) {
        KT_TRY(find_runtime(arena, target, &runtime, diag));
        KT_ASSERT(runtime);
    }
    switch (form) {
    case KT_EMIT_EXE: return link_executable(&line, objects, object_count, runtime, output, diag);
    case KT_EMIT_SHARED:
        return link_shared(&line, objects, object_count, runtime, name, directory, output, diag);
    case KT_EMIT_OBJECT:
        return link_object(&line, objects, object_count, runtime, name, directory, output, diag);
    case KT_EMIT_STATIC:
        return link_archive(&line, objects, object_count, runtime, name, directory, output, diag);
    default: KT_BUG("form %d is not linked", form);
    }
}
