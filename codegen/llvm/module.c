/* An LLVM module: created empty for a target, printed, made into machine code. build.c fills it.
 *
 * The machine is asked for by features alone ("x86-64" and those of kt_target): code then never uses an
 * instruction that the runtime did not check for. The CPU's name only tunes. */
#include "codegen/llvm/llvm_impl.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <string.h>

static void dispose(void *object) {
    kt_module *module = object;
    if (kt_llvm_is_exhausted()) return;
    if (module->machine) LLVMDisposeTargetMachine(module->machine);
    if (module->module) LLVMDisposeModule(module->module);
    if (module->context) LLVMContextDispose(module->context);
}

/* What LLVM finds wrong while it generates code (an error has severity 0) is kept for kt_module_emit to tell;
 * by default it would end the process. Without an allocation, which would leave LLVM's frames where it fails.
 */
static void keep_diagnostic(LLVMDiagnosticInfoRef info, void *context) {
    kt_module *module = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    (void)snprintf(module->trouble, sizeof module->trouble, "%s", text ? text : "it does not say why");
    LLVMDisposeMessage(text);
}

static kt_status create_machine(kt_module *module, kt_diag *diag) {
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess,
                                                 LLVMCodeGenLevelDefault, LLVMCodeGenLevelAggressive};
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeRISCVTargetInfo();
    LLVMInitializeRISCVTarget();
    LLVMInitializeRISCVTargetMC();
    LLVMInitializeRISCVAsmPrinter();
    LLVMInitializeWebAssemblyTargetInfo();
    LLVMInitializeWebAssemblyTarget();
    LLVMInitializeWebAssemblyTargetMC();
    LLVMInitializeWebAssemblyAsmPrinter();
    const kt_target *target = module->target;
    LLVMTargetRef backend;
    char *text = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &backend, &text)) {
        kt_status status =
            kt_diag_add(diag, KT_UNSUPPORTED, NULL, "LLVM knows no target \"%s\": %s.", target->triple, text);
        LLVMDisposeMessage(text);
        return status;
    }
    const char *base = target->arch == KT_ARCH_X86_64    ? "x86-64"
                       : target->arch == KT_ARCH_RISCV64 ? "generic-rv64"
                                                         : "generic";
    int level = module->options.level < 0 ? 0 : module->options.level > 3 ? 3 : module->options.level;
    /* A sanitizer's checks cut a kernel into thousands of blocks, among which the greedy allocator of
     * registers takes ten times as long as all the rest. Accesses are the same without it. */
    if (module->options.sanitize) level = 0;
    module->machine = LLVMCreateTargetMachine(backend, target->triple, base, target->features, levels[level],
                                              LLVMRelocPIC, LLVMCodeModelDefault);
    if (!module->machine)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL, "LLVM cannot make code for \"%s\".", target->triple);
    return KT_OK;
}

kt_status kt_module_create(const kt_target *target, const kt_module_options *options, kt_arena *arena,
                           kt_module **out_module, kt_diag *diag) {
    kt_module *module = KT_NEW(arena, kt_module);
    module->arena = arena;
    module->target = target;
    module->options = *options;
    KT_TRY(kt_llvm_enter(diag));
    kt_arena_defer(arena, dispose, module);
    module->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(module->context, keep_diagnostic, module);
    module->module =
        LLVMModuleCreateWithNameInContext(options->name ? options->name : "keratin", module->context);
    KT_TRY(create_machine(module, diag));
    LLVMSetTarget(module->module, target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(module->machine);
    LLVMSetModuleDataLayout(module->module, layout);
    LLVMDisposeTargetData(layout);
    *out_module = module;
    return KT_OK;
}

static void dispose_builder(void *builder) {
    if (!kt_llvm_is_exhausted()) LLVMDisposeBuilder(builder);
}

LLVMBuilderRef kt_llvm_builder(kt_module *module) {
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(module->context);
    kt_arena_defer(module->arena, dispose_builder, builder);
    return builder;
}

static void set_text(const kt_module *module, LLVMValueRef function, const char *key, const char *value) {
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(module->context, key, (unsigned)strlen(key), value,
                                                           (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, attribute);
}

static void set_flag(const kt_module *module, LLVMValueRef function, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(module->context, kind, 0));
}

void kt_llvm_set_attributes(const kt_module *module, LLVMValueRef function) {
    const kt_target *target = module->target;
    set_flag(module, function, "nounwind");
    set_text(module, function, "tune-cpu", target->cpu);
    set_text(module, function, "target-features", target->features);
    /* Some CPUs' tuning splits 512-bit vectors otherwise. */
    set_text(module, function, "prefer-vector-width",
             kt_arena_format(module->arena, "%d", 8 * target->vector_bytes));
    const char *sanitize = module->options.sanitize;
    if (sanitize && strstr(sanitize, "address")) set_flag(module, function, "sanitize_address");
    if (sanitize && strstr(sanitize, "thread")) set_flag(module, function, "sanitize_thread");
}

void kt_module_times(const kt_module *module, double *out_lowering, double *out_optimising) {
    *out_lowering = module->lower_seconds;
    *out_optimising = module->optimise_seconds;
}

const kt_loops *kt_module_kernel(const kt_module *module, const char *name) {
    for (uint32_t i = 0; i < module->kernels.count; i++)
        if (!strcmp(module->kernels.at[i]->name, name)) return module->kernels.at[i];
    KT_BUG("kernel %s was not built", name);
}

void kt_module_print_loops(const kt_module *module, kt_text *out_text) {
    for (uint32_t i = 0; i < module->kernels.count; i++) {
        if (i > 0) kt_text_add(out_text, "\n");
        kt_loops_print(module->kernels.at[i], out_text);
    }
}

static void dispose_message(void *text) {
    if (!kt_llvm_is_exhausted()) LLVMDisposeMessage(text);
}

static void dispose_buffer(void *buffer) {
    if (!kt_llvm_is_exhausted()) LLVMDisposeMemoryBuffer(buffer);
}

void kt_module_print_llvm(const kt_module *module, kt_text *out_text) {
    char *text = LLVMPrintModuleToString(module->module);
    if (!text) kt_out_of_memory();
    kt_arena_defer(out_text->arena, dispose_message, text);
    kt_text_add(out_text, text);
}

kt_status kt_module_emit(kt_module *module, kt_machine_code form, kt_arena *arena, const void **out_bytes,
                         size_t *out_count, kt_diag *diag) {
    char *text = NULL;
    LLVMMemoryBufferRef buffer;
    LLVMCodeGenFileType type = form == KT_CODE_OBJECT ? LLVMObjectFile : LLVMAssemblyFile;
    bool failed = LLVMTargetMachineEmitToMemoryBuffer(module->machine, module->module, type, &text, &buffer);
    if (failed) {
        kt_status status = kt_diag_add(diag, KT_UNSUPPORTED, NULL, "LLVM made no code: %s.", text);
        LLVMDisposeMessage(text);
        return status;
    }
    *out_count = LLVMGetBufferSize(buffer);
    *out_bytes = LLVMGetBufferStart(buffer);
    kt_arena_defer(arena, dispose_buffer, buffer);
    if (*module->trouble)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL, "LLVM made no code: %s.", module->trouble);
    return KT_OK;
}
