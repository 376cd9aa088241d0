/* Random graphs from a seed, over every operation of ops.def, every dtype, static and symbolic shapes,
 * composites, variables that are updated, several results, and derivatives.
 *
 * Each node is evaluated while the graph grows, three times: with its operands as they are ("clean"), and
 * twice with operands disturbed by a few roundings. A node whose result the disturbance changes by more than
 * a fraction of the tolerance, or an integer or bool that it changes at all, is not added, and neither is one
 * that leaves the range where arithmetic behaves: so what a graph computes does not depend on the order of
 * its roundings, and two ways to run it must agree to a tolerance that only knows the dtype.
 *
 * Some entries are large: many nodes, over extents that fill no tile or vector evenly. Entangled values,
 * which results are computed from in several ways at once and that fusion leaves in memory, are grown on
 * purpose: by chance they are too rare for what the plan may do wrong to show.
 *
 * Every row of ops.def needs a grow_NAME in generator.c, a unary one the range of its operands: a missing one
 * fails to build. */
#ifndef KT_TESTS_RANDOM_GENERATOR_H
#define KT_TESTS_RANDOM_GENERATOR_H

#include "ir/ir.h"

enum { RANDOM_SYMBOLS = 2, RANDOM_VARIANTS = 3, RANDOM_MOST_VALUES = 192, RANDOM_MOST_PORTS = 8 };

/* What the entries of one graph share. */
typedef struct random_module {
    kt_arena *arena;
    kt_graph *graph;
    kt_diag *diag;
    uint32_t symbol_count; /* 0 … RANDOM_SYMBOLS: those that its shapes use */
    kt_dim symbols[RANDOM_SYMBOLS];
    int64_t sizes[RANDOM_SYMBOLS]; /* the values for which the graph is evaluated */
    uint64_t grown[KT_OP_COUNT];   /* how many nodes of each operation there are */
    uint64_t dtypes[KT_DTYPE_COUNT];
    /* How many gradients, how many of them compared with differences, and next values of variables. */
    uint64_t derived, differences, updated;
    const char *wrong; /* a gradient that is not what differences say; or NULL */
} random_module;

/* An entry with what goes in and what must come out. */
typedef struct random_entry {
    uint64_t seed;
    const char *name;
    uint32_t input_count, output_count;
    kt_tensor inputs[RANDOM_MOST_PORTS], outputs[RANDOM_MOST_PORTS];
    /* What its variables are once it has run, which the entry `after` puts out, given the first input. */
    uint32_t next_count;
    const char *after; /* NULL: none is updated */
    const char *paths[RANDOM_MOST_PORTS];
    kt_tensor nexts[RANDOM_MOST_PORTS];
} random_entry;

/* An empty graph; how many symbols, and their sizes, come from the seed. */
void random_module_init(random_module *out_module, kt_arena *arena, uint64_t seed, kt_diag *diag);
/* Adds an entry; a bug if the builder refuses what it is given. */
void random_module_grow(random_module *module, uint64_t seed, const char *name, random_entry *out_entry);

/* Adds an entry that puts out the variables that another one, whose first parameter is an input, updates. */
void random_add_after(kt_graph *graph, kt_func entry, const char *name, kt_diag *diag);

/* NULL if both hold the same numbers: exactly, or to the tolerance of the dtype, times the largest element.
 */
const char *random_difference(kt_arena *arena, const kt_tensor *wanted, const kt_tensor *found, bool exactly);

#endif
