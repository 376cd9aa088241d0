/* Private to codegen/llvm: the module under construction. */
#ifndef KT_CODEGEN_LLVM_IMPL_H
#define KT_CODEGEN_LLVM_IMPL_H

#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

struct kt_module {
    kt_arena *arena; /* disposes of the LLVM objects when it goes */
    const kt_target *target;
    kt_module_options options;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    KT_VECTOR(const kt_loops *) kernels; /* in the order of kt_graph_next(…, KT_FUNC_KERNEL, …) */
    uint32_t *symbol_slots; /* by symbol of the graph: its place in the array that generated code is handed */
    uint32_t symbol_count;
    double lower_seconds, optimise_seconds;
    LLVMDIBuilderRef debug;     /* NULL: no debug information */
    LLVMMetadataRef debug_file; /* the graph's text */
    char trouble[512]; /* the last error that LLVM told, or "" */
};
#define KT_NO_SLOT UINT32_MAX

/* dims.c: numbers the symbols (call it before any kernel is built), and computes an expression from the i64
 * array `symbols`. */
void kt_llvm_number_symbols(kt_module *module, const kt_graph *graph);
LLVMValueRef kt_llvm_dim(kt_module *module, LLVMBuilderRef builder, LLVMValueRef symbols, const kt_graph *graph, kt_dim dim);

/* module.c: an empty module for target, with its context and machine; what kt_module_build starts from, and
 * enough for kt_llvm_kernel, kt_llvm_optimise and kt_module_emit. */
kt_status kt_module_create(const kt_target *target, const kt_module_options *options, kt_arena *arena,
                           kt_module **out_module, kt_diag *diag) KT_MUST_USE;
LLVMBuilderRef kt_llvm_builder(kt_module *module); /* goes with the module */
/* Gives a function the attributes that all generated functions have: the CPU it is for, sanitizers. */
void kt_llvm_set_attributes(const kt_module *module, LLVMValueRef function);

/* debug.c: all do nothing where no debug information is wanted. begin comes before the first kernel, end after the
 * last; kernel gives the scope in which `at` sets the place of what builder builds next: node's line, or the kernel's
 * for 0. */
void kt_llvm_debug_begin(kt_module *module);
LLVMMetadataRef kt_llvm_debug_kernel(kt_module *module, LLVMValueRef function, const kt_loops *loops);
void kt_llvm_debug_at(const kt_module *module, LLVMBuilderRef builder, LLVMMetadataRef scope, const kt_loops *loops,
                      kt_node node);
void kt_llvm_debug_end(kt_module *module);

/* memory.c: before LLVM is used; fails where it has run out of memory in this process before. */
kt_status kt_llvm_enter(kt_diag *diag) KT_MUST_USE;
bool kt_llvm_is_exhausted(void); /* then nothing of LLVM's may be released */

/* kernel.c: the function of a kernel, by a walk over its loop form; internal linkage, type kt_kernel_fn. */
LLVMValueRef kt_llvm_kernel(kt_module *module, const kt_loops *loops);
/* program.c: bind functions, the tables of runtime/abi.h, and a library's C entry points. kernels: by kt_func. */
kt_status kt_llvm_program(kt_module *module, const kt_program_source *source, const LLVMValueRef *kernels, kt_diag *diag) KT_MUST_USE;
/* optimise.c: runs LLVM's passes for the options' level, sanitizers among them. */
kt_status kt_llvm_optimise(kt_module *module, kt_diag *diag) KT_MUST_USE;

#endif
