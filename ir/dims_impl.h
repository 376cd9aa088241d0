/* What dims.c and dims_text.c share. */
#ifndef KT_IR_DIMS_IMPL_H
#define KT_IR_DIMS_IMPL_H

#include "ir/types.h"

/* A product that was left as it is, because multiplied out it would be too large; an atom. */
kt_dim kt_dim_unexpanded(kt_dim_pool *pool, kt_dim a, kt_dim b);
bool kt_dim_is_unexpanded(const kt_dim_pool *pool, kt_dim dim);
kt_arena *kt_dim_pool_arena(const kt_dim_pool *pool);

#endif
