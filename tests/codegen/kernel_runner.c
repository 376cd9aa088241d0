#include "kernel_runner.h"

#include "kt_cmocka.h"

#include <dlfcn.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool kernel_runner_runs(const kt_target *target) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_target host;
    assert_int_equal(kt_target_describe(NULL, NULL, NULL, arena, &host, &diag), KT_OK);
    bool runs = strncmp(host.triple, target->triple, 6) == 0 && !(target->cpu_features & ~host.cpu_features);
    kt_arena_destroy(arena);
    return runs;
}

static void check(kt_status status, kt_diag *diag) {
    if (status != KT_OK) fail_msg("%s", diag->count ? diag->problems[0].text : "failed without a word");
}

kt_module *kernel_runner_module(kt_arena *arena, const kt_target *target, int level,
                                const kt_loops *const *loops, uint32_t count) {
    kt_diag diag = {0};
    kt_module *module;
    kt_module_options options = {.name = "test", .level = level};
#ifdef KT_SANITIZE
    options.sanitize = KT_SANITIZE;
#endif
    check(kt_module_create(target, &options, arena, &module, &diag), &diag);
    if (count > 0) kt_llvm_number_symbols(module, loops[0]->graph);
    for (uint32_t i = 0; count > 0 && i < kt_dim_symbol_count(loops[0]->graph->dims); i++)
        if (module->symbol_slots[i] == KT_NO_SLOT) module->symbol_slots[i] = module->symbol_count++;
    for (uint32_t i = 0; i < count; i++) {
        LLVMValueRef function = kt_llvm_kernel(module, loops[i]);
        const char *name = kt_arena_format(arena, "kernel_%u", i);
        LLVMSetLinkage(function, LLVMExternalLinkage);
        LLVMSetValueName2(function, name, strlen(name));
    }
    check(kt_llvm_optimise(module, &diag), &diag);
    return module;
}

static void unload(void *library) { dlclose(library); }

static void write_file(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot write %s", path);
    if (!file) return; /* the analyzer does not know that fail_msg never returns */
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void link_library(const char *object, const char *library) {
    const char *arguments[] = {"cc", "-shared", "-o", library, object, "-lm", NULL};
    pid_t child;
    int status;
    assert_int_equal(posix_spawnp(&child, "cc", NULL, NULL, (char *const *)arguments, environ), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

void kernel_runner_load(kt_arena *arena, const kt_target *target, int level, const kt_loops *const *loops,
                        uint32_t count, kt_kernel_fn **out_functions) {
    if (!kernel_runner_runs(target)) {
        print_message("SKIPPED: this machine cannot run code for %s\n", target->cpu);
        kt_arena_destroy(arena);
        skip();
    }
    kt_diag diag = {0};
    const void *bytes;
    size_t size;
    kt_module *module = kernel_runner_module(arena, target, level, loops, count);
    check(kt_module_emit(module, KT_CODE_OBJECT, arena, &bytes, &size, &diag), &diag);
    char folder[] = "/tmp/keratin_kernels_XXXXXX";
    assert_non_null(mkdtemp(folder));
    const char *object = kt_arena_format(arena, "%s/kernels.o", folder);
    const char *library = kt_arena_format(arena, "%s/kernels.so", folder);
    write_file(object, bytes, size);
    link_library(object, library);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail_msg("%s", dlerror());
    unlink(object);
    unlink(library);
    rmdir(folder);
    kt_arena_defer(arena, unload, handle);
    for (uint32_t i = 0; i < count; i++) {
        out_functions[i] = (kt_kernel_fn *)dlsym(handle, kt_arena_format(arena, "kernel_%u", i));
        assert_non_null(out_functions[i]);
    }
}
