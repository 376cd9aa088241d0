/* LLVM's passes over a module. Kernels come with their loops tiled, unrolled and vectorised, so a short list
 * does what default<O2> would in a quarter of its time; what is left for LLVM is registers for cells, common
 * addresses, and moving what does not change out of loops. */
#include "codegen/llvm/llvm_impl.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Support.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <string.h>

/* By level. Without sroa cells would live in memory, and early-cse makes debugging output readable, so -O0
 * has both too. */
static const char *const pipelines[] = {
    "function(sroa,early-cse)",
    "function(sroa,early-cse<memssa>,simplifycfg)",
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse)",
    ("function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),gvn,"
     "instcombine<no-verify-fixpoint>,simplifycfg)"),
};

static kt_status run(kt_module *module, const char *passes, kt_diag *diag) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(module->module, passes, module->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return KT_OK;
    char *text = LLVMGetErrorMessage(error);
    kt_status status = kt_diag_add(diag, KT_UNSUPPORTED, NULL, "LLVM's passes failed: %s.", text);
    LLVMDisposeErrorMessage(text);
    return status;
}

/* Kernels call AddressSanitizer's checks, which in line are most of their code: they are made in three
 * quarters of the time, and run for a moment only. */
static void call_checks(void) {
    static const char *const options[] = {"", "-asan-instrumentation-with-call-threshold=0"};
    LLVMParseCommandLineOptions(2, options, "");
}

kt_status kt_llvm_optimise(kt_module *module, kt_diag *diag) {
#ifndef NDEBUG
    char *text = NULL;
    if (LLVMVerifyModule(module->module, LLVMReturnStatusAction, &text))
        KT_BUG("generated code is not valid: %s", text);
    LLVMDisposeMessage(text);
#endif
    int level = module->options.level < 0 ? 0 : module->options.level > 3 ? 3 : module->options.level;
    KT_TRY(run(module, pipelines[level], diag));
    const char *sanitize = module->options.sanitize;
    if (sanitize && strstr(sanitize, "address")) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        (void)pthread_once(&once, call_checks);
        KT_TRY(run(module, "asan", diag));
    }
    if (sanitize && strstr(sanitize, "thread")) KT_TRY(run(module, "tsan-module,function(tsan)", diag));
    return KT_OK;
}
