/* Private to codegen/llvm: the module under construction. */
#ifndef KT_CODEGEN_LLVM_IMPL_H
#define KT_CODEGEN_LLVM_IMPL_H

#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

struct kt_module {
    kt_arena *arena; /* disposes of the LLVM objects when it goes */
    const kt_target *target;
    kt_module_options options;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    KT_VECTOR(const kt_loops *) kernels; /* in the order of kt_graph_next(…, KT_FUNC_KERNEL, …) */
};

/* kernel.c: the function of a kernel, by a walk over its loop form; internal linkage, type kt_kernel_fn. */
LLVMValueRef kt_llvm_kernel(kt_module *module, const kt_loops *loops);
/* program.c: bind functions, the tables of runtime/abi.h, and a library's C entry points. kernels: by kt_func. */
kt_status kt_llvm_program(kt_module *module, const kt_program_source *source, const LLVMValueRef *kernels, kt_diag *diag) KT_MUST_USE;
/* optimise.c: runs LLVM's passes for the options' level, sanitizers among them. */
kt_status kt_llvm_optimise(kt_module *module, kt_diag *diag) KT_MUST_USE;

#endif
