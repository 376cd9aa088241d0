/* The memory plan of an entry: which buffers there are, how long each lives, and where it lies.
 *
 * Requires the form that kt_pass_fuse leaves: calls to kernels, scans, and views between them. A view (reshape)
 * has the buffer of its operand; a concat has one in whose parts kernels write its operands. The steps of scans stand in the plan's list once, and loops say that they are
 * repeated. Sizes are dimension expressions; lifetimes are known at compile time. The runtime
 * assigns offsets once per binding of the symbols (runtime/workspace.h); what the plan prints and `describe`
 * tells comes from the same function. */
#ifndef KT_PASSES_PLAN_H
#define KT_PASSES_PLAN_H

#include "ir/ir.h"
#include "runtime/workspace.h"

typedef struct kt_plan_buffer {
    kt_abi_place place;
    kt_dim bytes;
    uint32_t index;       /* input, output: its position; constant: of kt_graph.constants; slice: of what buffer;
                           variable, next: of kt_graph.variables */
    uint32_t first, last; /* arena: the steps that write it first and read it last; slice: first is the loop */
    kt_value value;       /* one that it holds, for dumps */
} kt_plan_buffer;

typedef struct kt_plan_step {
    kt_func kernel;
    kt_loc loc;
    /* Buffers: the call's operands, then its results. A result may be an operand's buffer, of a kernel that
     * reads each element of the operand only to write the result's element at that place. */
    KT_VECTOR(uint32_t) args;
} kt_plan_step;

#define KT_NO_BATCH UINT32_MAX

/* A scan: steps first_step … end_step - 1 are run length times. */
typedef struct kt_plan_loop {
    uint32_t first_step, end_step;
    kt_dim length;
    bool reverse;
    bool apart; /* nothing is carried, and no loop is inside: turns may run side by side */
    /* The symbol that says how many samples all lie first that the steps write, if none of them is made of another and no
     * loop is inside; else KT_NO_BATCH. What lives within the loop then keeps its place in all of it, so that some samples
     * may be steps ahead of others. */
    uint32_t batch;
} kt_plan_loop;

typedef struct kt_plan {
    kt_func entry;
    uint32_t batch; /* the symbol that says how many samples there are, if none of them is made of another; else KT_NO_BATCH */
    KT_VECTOR(kt_plan_buffer) buffers;
    KT_VECTOR(kt_plan_step) steps;
    KT_VECTOR(kt_plan_loop) loops; /* by first_step, outer ones first */
} kt_plan;

/* Does the kernel that call runs read operand number index only where it writes its results, all of the operand's shape, so
 * that it and one of them may lie in one buffer? */
bool kt_plan_reads_in_place(const kt_graph *graph, const kt_node_info *call, uint32_t index, kt_arena *arena);

/* The concat that result number index of kernel is an operand of, so that it lies in a part of that one's buffer, and at what
 * index of the concat's axis the part begins; NULL: it has a buffer of its own. All calls of the kernel are alike in this. */
const kt_node_info *kt_plan_whole(const kt_graph *graph, kt_func kernel, uint32_t index, kt_dim *out_begin);

/* Is each sample of the outputs made of the same sample of the inputs alone? Those lie on first axes then, of a size that is
 * a symbol. */
bool kt_plan_finds_batch(const kt_graph *graph, kt_func entry, kt_arena *arena, uint32_t *out_symbol);
/* May threads take some samples each through all turns of a scan in the entry? */
bool kt_plan_finds_loop_batch(const kt_graph *graph, kt_func entry, const kt_node_info *scan, kt_arena *arena,
                              uint32_t *out_symbol);

kt_status kt_plan_entry(const kt_graph *graph, kt_func entry, kt_arena *arena, kt_plan *out_plan,
                        kt_diag *diag) KT_MUST_USE;

typedef struct kt_plan_memory {
    int64_t unshared_bytes;    /* the sum of all arena buffers */
    int64_t planned_bytes;     /* what the plan needs */
    int64_t lower_bound_bytes; /* the most that is alive at one step */
} kt_plan_memory;
/* For given symbol values (NULL: all 1). */
kt_plan_memory kt_plan_measure(const kt_graph *graph, const kt_plan *plan, const int64_t *symbols,
                               kt_arena *arena);
/* Where each buffer lies, for given symbol values (NULL: all 1); only those of the arena mean something. */
const kt_lifetime *kt_plan_place(const kt_graph *graph, const kt_plan *plan, const int64_t *symbols, kt_arena *arena);
/* What a kernel does: operations, and bytes that it reads and writes (passes/work.c). */
typedef struct kt_work {
    kt_dim operations, bytes;
} kt_work;
kt_work kt_kernel_work(const kt_graph *graph, kt_func kernel);

/* The plan for people: steps with kernels and layer paths, buffers with lifetimes, bytes before and after. */
void kt_plan_print(const kt_graph *graph, const kt_plan *plan, kt_text *out_text);

#endif
