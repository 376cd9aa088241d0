/* What nest.c plans and elementwise.c emits: a nest of loops that writes all results of one shape. */
#ifndef KT_CODEGEN_LOWER_NEST_IMPL_H
#define KT_CODEGEN_LOWER_NEST_IMPL_H

#include "codegen/lower/lower_impl.h"

/* A result, or a part of one that is a concat of like parts. */
typedef struct kt_stored {
    uint32_t result; /* its number */
    kt_value value;
    kt_concat_part part; /* of the result, or that the result is */
} kt_stored;

typedef struct kt_nest {
    const kt_stored *stores;
    uint32_t count;
    int rank;
    kt_dim dims[KT_MAX_RANK];
    unsigned merged;
    int row_axes; /* axes before the inner loops */
    int lanes;    /* of a turn of the inner loop, */
    int vector;   /* and of what it makes and stores at a time */
    bool rowwise;
    bool is_short; /* the last run is a vector at most */
    /* Of rows that are run together: their columns' number and first axis, and after how many vectors lanes
     * stand in the same columns again. 0: they are not. */
    int64_t columns;
    int columns_begin, cycle;
    kt_rows swept; /* one by one, if not rowwise */
    kt_dim rows, chunks, units, rows_per_unit;
    int64_t chunk;
} kt_nest;

/* For stores of one shape. */
kt_nest kt_nest_plan(kt_lower *lower, const kt_stored *stores, uint32_t count);

#endif
