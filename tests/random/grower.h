/* A function that grows node by node, each evaluated as generator.h says: what grower.c offers to the
 * operations' own growers in generator.c. Where a value is an int, it is a number in grower.values, or -1: it
 * cannot be had, and neither can what is made of it. All choices are drawn from the state. */
#ifndef KT_TESTS_RANDOM_GROWER_H
#define KT_TESTS_RANDOM_GROWER_H

#include "random/generator.h"

typedef struct known {
    kt_value value;
    kt_tensor variants[RANDOM_VARIANTS];
} known;

/* A function that is being written: the entry, or a composite in it. */
typedef struct grower {
    random_module *module;
    uint64_t *state;
    kt_builder *builder;
    bool body;
    bool large, smooth; /* smooth: mostly of f64, and its derivatives are compared with differences */
    kt_dtype favourites[3];
    int dims_count;
    kt_dim dims[5]; /* what shapes are made of */
    known values[RANDOM_MOST_VALUES];
    int count;
    /* Those of values that are variables which may be updated, by number. */
    int variables[RANDOM_MOST_PORTS];
    int variable_count;
    uint64_t stopped; /* how many stop_gradient there were before */
} grower;

static inline uint64_t draw_bits(grower *g) {
    uint64_t z = *g->state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static inline int draw(grower *g, int below) { return below > 0 ? (int)(draw_bits(g) % (uint64_t)below) : 0; }
static inline bool chance(grower *g, int in) { return draw(g, in) == 0; }

static inline kt_dim_pool *pool_of(const grower *g) { return g->module->graph->dims; }
static inline const kt_type *type_of(const grower *g, int i) {
    return kt_graph_type(g->module->graph, g->values[i].value);
}
static inline kt_dim number(const grower *g, int64_t value) { return kt_dim_const(pool_of(g), value); }
static inline bool is_number(const grower *g, kt_dim dim, int64_t *out) {
    return kt_dim_is_const(pool_of(g), dim, out);
}

/* ---- numbers --------------------------------------------------------------------------------- */
/* Memory for a tensor, with the symbols at their sizes; false if it would be large. */
bool grower_make_tensor(const grower *g, const kt_type *type, kt_tensor *out);
/* Fills in numbers of one of several kinds. */
void grower_fill(grower *g, kt_tensor *tensor);

/* ---- evaluation while growing ---------------------------------------------------------------- */
/* The three results of an operation whose operands' variants are given; false if it has none. */
bool grower_evaluate(grower *g, kt_op op, const kt_tensor *const *operands, uint32_t count, const void *attrs,
                     const kt_type *type, kt_tensor *out_variants);
/* Moves the variants but the first by what rounding may do. */
void grower_disturb(grower *g, kt_tensor *variants);
/* May a value with these variants be part of a graph? rounded: by the operation that makes it. */
bool grower_is_tame(const kt_tensor *variants, bool rounded);
int grower_keep(grower *g, kt_value value, const kt_tensor *variants);
/* Adds a node if it is valid without a check at the entry, small, and tame. */
int grower_add(grower *g, kt_op op, const int *operands, uint32_t count, const void *attrs);

/* ---- operands -------------------------------------------------------------------------------- */
/* A value of a dtype in domain, mostly a late one. */
int grower_pick(grower *g, kt_domain domain);
kt_dim grower_some_dim(grower *g);
kt_dtype grower_some_dtype(grower *g);
int grower_constant_of(grower *g, const kt_type *type);
/* A variable; in a composite, which has none, a constant. */
int grower_variable_of(grower *g, const kt_type *type);
/* A value of exactly this type. */
int grower_value_like(grower *g, kt_type type);
/* An elementwise operation without attributes; y -1: of x alone. */
int grower_apply(grower *g, kt_op op, int x, int y);
/* x, brought smoothly into low … high. */
int grower_into_range(grower *g, int x, double low, double high);

/* ---- derivatives (deriver.c) ----------------------------------------------------------------- */
/* Adds the derivatives of some float that is there by a few parameters, as values; those that are tame.
 * Returns how many. */
int grower_derive(grower *g);

#endif
