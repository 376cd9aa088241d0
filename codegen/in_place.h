/* The memory plan held against the loop form: may a kernel do what the plan has it do, write a result over an operand?
 * So it may where each element is read before it is written, and in the unit of the parallel loop that writes it. */
#ifndef KT_CODEGEN_IN_PLACE_H
#define KT_CODEGEN_IN_PLACE_H

#include "codegen/loops.h"
#include "passes/plan.h"

/* Why this result of the kernel, a buffer of loops, must not lie in this operand's memory, with the symbols at these
 * values. NULL: it may, as far as was looked: very large kernels are run for a while only. Else a clause in arena. */
const char *kt_in_place_fault(const kt_loops *loops, uint32_t operand, uint32_t result, const int64_t *symbols,
                              kt_arena *arena);

/* A bug if a step of the plan writes over an operand and must not, at some sizes of the symbols. loops: by kt_func.
 * Fails for want of memory only. */
kt_status kt_in_place_check(const kt_graph *graph, const kt_plan *plan, const kt_loops *const *loops,
                            kt_diag *diag) KT_MUST_USE;

#endif
