/* What the files of fuse share: groups of nodes, each of which becomes one kernel. */
#ifndef KT_PASSES_FUSE_IMPL_H
#define KT_PASSES_FUSE_IMPL_H

#include "passes/passes_impl.h"

/* Where in its group a node is evaluated. */
enum {
    KT_AT_RESULT = 1,   /* at the index of the group's result */
    KT_AT_VIEW = 2,     /* at another index, through a view */
    KT_AT_OPERAND = 4,  /* for the operand of the group's heavy operation */
    KT_AT_REPEATED = 8, /* with one of these two: more than once for an element, or in vain */
};

typedef struct kt_member {
    kt_node node;
    unsigned at; /* KT_AT_… bits */
} kt_member;

typedef struct kt_group {
    kt_node root;                 /* the last node: its result is the kernel's first */
    KT_VECTOR(kt_node) others;    /* roots of groups that joined: their results are the kernel's too */
    KT_VECTOR(uint32_t) copies;   /* results of the function, by number, that the kernel writes once more */
    bool joined;                  /* it did, and is no group any more */
    kt_node whole;                /* the concat that its result is written into, or 0 */
    kt_node heavy;                /* the contraction, convolution or reduction, or 0 */
    bool rows;                    /* a row kernel: any number of reductions over the same trailing axes */
    kt_type row;                  /* rows: the type of what is reduced */
    int outer;                    /* rows: how many axes stay */
    KT_VECTOR(kt_member) members; /* in reverse order of the function */
} kt_group;

typedef KT_VECTOR(uint32_t) kt_fuse_groups; /* numbers of groups */

typedef struct kt_grouping {
    kt_pass_run *run;
    const kt_graph *graph;
    const kt_function *function;
    const bool *live;     /* by node */
    const uint32_t *uses; /* by value */
    bool *anchored;       /* by node: an elementwise operation that can be the epilogue of a contraction */
    kt_node *reduced; /* by node: the reduction of rows that it works on the result of, elementwise; or 0 */
    kt_node *between; /* by node: the product of whose first operand it is a part, from another product on (fuse_between.c); or 0 */
    uint32_t *pairs;  /* by node: the last pair of products, by number, between which it was found (fuse_between.c) */
    uint32_t pair_count;
    bool *uniform;    /* by node: a scalar computed from sizes and small constants */
    kt_fuse_groups *users;      /* by value: groups that use it, of those that there are so far */
    bool *escapes;              /* by node: it is used outside of groups */
    KT_VECTOR(kt_group) groups; /* by root, in reverse order of the function */
    uint32_t *rooted;           /* by node: 1 + the group whose root it is, or 0 */
    bool *assembled;            /* by node: a concat whose parts kernels write where they belong */
} kt_grouping;

bool kt_fuse_holds(const kt_fuse_groups *groups, uint32_t group);
/* Is node left in the entry as it is: a reshape, a call? */
bool kt_fuse_stays(const kt_node_info *node);
/* Does computing it for every element of a larger shape cost little? */
bool kt_fuse_is_cheap(kt_op op);
/* Is it a contraction whose kernel can go on with its sums? */
bool kt_fuse_takes_epilogue(const kt_grouping *grouping, kt_node node);
/* Is node better computed in each of these groups, all that use it, than kept? */
bool kt_fuse_is_made_again(const kt_grouping *grouping, kt_node node, const kt_fuse_groups *into);
/* Is node a reduce over the last axes of its operand? out_outer: how many axes stay. */
bool kt_fuse_reduces_rows(const kt_grouping *grouping, kt_node node, kt_type *out_row, int *out_outer);
/* Finds products that are one kernel with others that they are made of: sets between. */
void kt_fuse_find_between(kt_grouping *grouping);
/* Sorts the other live nodes of function into groups. */
void kt_fuse_group(kt_pass_run *run, const kt_function *function, kt_grouping *out_grouping);
/* Joins elementwise groups into kernels of several results. */
void kt_fuse_join(kt_grouping *grouping);
/* Has the kernels of a step write what it gives twice, or gives on as it is, where they have it at hand. */
void kt_fuse_copy(kt_grouping *grouping, uint32_t carried);
/* Has kernels write straight into concats, where these only copy. */
void kt_fuse_assemble(kt_grouping *grouping);
/* What value is another name of, behind reshapes. */
kt_value kt_fuse_buffer(const kt_graph *graph, kt_value value);
/* Puts the calls of an entry in an order in which less is alive at once. */
void kt_fuse_order(kt_pass_run *run, kt_function *function);

#endif
