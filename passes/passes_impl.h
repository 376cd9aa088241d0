/* What the passes share: scratch memory, questions about functions, and copies across functions.
 *
 * Nodes and types never change once they are in a graph, and its arena keeps all that was ever there: so a
 * pointer to a kt_node_info or kt_type stays good while a pass adds nodes, though the graph's arrays move. */
#ifndef KT_PASSES_PASSES_IMPL_H
#define KT_PASSES_PASSES_IMPL_H

#include "passes/passes.h"

/* One run of a pass. scratch is freed when the run ends, however it ends. */
typedef struct kt_pass_run {
    kt_graph *graph;
    const kt_pass_options *options;
    kt_diag *diag;
    kt_arena *scratch;
} kt_pass_run;

typedef kt_status kt_pass_body(kt_pass_run *run);

/* Runs body under a guard with a scratch arena of its own. A body that needs more than a kt_pass_run puts one
 * at the beginning of its own struct. */
kt_status kt_pass_scratched(kt_pass_body *body, kt_pass_run *run);
kt_status kt_pass_start(kt_pass_body *body, kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
/* Runs body for every entry, composite and step; not for kernels, which are finished. */
kt_status kt_pass_each(kt_pass_run *run, kt_status (*body)(kt_pass_run *run, kt_func func));

/* By node of the graph: does a result of func depend on it? */
bool *kt_pass_live(kt_pass_run *run, const kt_function *function);
/* Writes func anew without what is not live. */
kt_status kt_pass_drop_dead(kt_pass_run *run, kt_func func);
/* By value of the graph: how often the live nodes and the results of func use it. */
uint32_t *kt_pass_uses(kt_pass_run *run, const kt_function *function);
/* Does the result of an entry hand a variable on as it is? */
bool kt_pass_returns_parameter(const kt_function *function, const kt_port *result);
/* Does the test hold for a size or a position among the node's attributes? */
typedef bool kt_pass_size_test(const void *context, kt_dim dim);
bool kt_pass_any_size(const kt_node_info *node, kt_pass_size_test *test, const void *context);
/* Do no symbols say what the node, and the step that it calls, computes: no size of a result, no size or position among
 * attributes? */
bool kt_pass_is_sized(const kt_graph *graph, const kt_node_info *node);
/* By value of the graph: is it computed from variables and constants alone, whatever symbols are? A variable
 * that the function changes is not fixed. Of a step's parameters, those are that stay and are fixed in the
 * function around. */
bool *kt_pass_fixed(kt_pass_run *run, const kt_function *function);

/* Is node a product or convolution that a kernel makes by calls of a BLAS? */
bool kt_pass_calls_blas(const kt_pass_run *run, const kt_node_info *node);

/* Is func the entry that computes the constants? */
bool kt_pass_is_prepare(const kt_function *function);

/* The constant whose elements are all alike and that value repeats, through views or at once; or NULL. */
const kt_attrs_constant *kt_pass_splat_constant(const kt_graph *graph, kt_value value);
/* The number that all elements of value have for that reason. */
bool kt_pass_splat(const kt_graph *graph, kt_value value, double *out_number);
/* May value's definition be written again wherever it is used, at no cost in memory: up to 16 elements, or
 * all alike. */
enum { KT_SMALL_CONSTANT = 16 };
bool kt_pass_is_small_constant(const kt_graph *graph, const kt_node_info *node);

/* Is it better to compute the node where its value is used than to keep what it gives: all it does is repeat
 * elements, or next to nothing? */
bool kt_pass_repeats_elements(const kt_graph *graph, const kt_node_info *node);

/* Adds a copy of node to the builder, at its location: the operands are map[old operand], and map receives
 * the results. */
void kt_pass_clone(kt_builder *builder, kt_node node, kt_value *map);
/* As kt_pass_clone, with the operands and attributes given; returns the first result. */
kt_value kt_pass_build_like(kt_builder *builder, const kt_node_info *node, const kt_value *operands,
                            const void *attrs);

/* Appends what distinguishes a node from others, field by field: operation, operands, attributes. Literals go
 * in by content if contents is set, else by address. */
void kt_pass_key(kt_text *key, const kt_node_info *node, const kt_value *operands, bool contents);
/* As kt_pass_key by contents, but the same for nodes that give equal results: operands of commuting operations go
 * in by order of their values. */
void kt_pass_key_of_equals(kt_text *key, const kt_node_info *node, const kt_value *operands);

/* The dimensions of a type that are not 1, and where they are. */
uint32_t kt_pass_proper_axes(const kt_graph *graph, const kt_type *type, int *out_axes);

#endif
