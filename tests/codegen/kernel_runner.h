/* Runs loop forms in this process: to an object, by the system's compiler driver to a shared library, and
 * from there loaded. So tests of kernels need no runtime and no program. */
#ifndef KT_TESTS_KERNEL_RUNNER_H
#define KT_TESTS_KERNEL_RUNNER_H

#include "codegen/llvm/llvm_impl.h"

/* Can this machine run code for target? */
bool kernel_runner_runs(const kt_target *target);
/* An optimised module of the kernels; each function has external linkage and the name kernel_N. Symbols of
 * the graph are numbered as kt_llvm_number_symbols does, those in no entry after them. Fails the test on
 * failure. */
kt_module *kernel_runner_module(kt_arena *arena, const kt_target *target, int level,
                                const kt_loops *const *loops, uint32_t count);
/* The kernels' functions, in order; they live as long as arena. Where this machine cannot run target's code,
 * arena is destroyed and the test skipped. */
void kernel_runner_load(kt_arena *arena, const kt_target *target, int level, const kt_loops *const *loops,
                        uint32_t count, kt_kernel_fn **out_functions);

#endif
