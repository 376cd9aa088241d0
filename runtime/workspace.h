/* Placing buffers with known lifetimes in one workspace. */
#ifndef KT_RUNTIME_WORKSPACE_H
#define KT_RUNTIME_WORKSPACE_H

#include <stdint.h>

typedef struct kt_lifetime {
    int64_t bytes;
    uint32_t first, last; /* steps, both included */
    int64_t offset;       /* out: a multiple of 64 */
} kt_lifetime;

/* Gives each buffer an offset so that no two that are alive at one step overlap; returns the workspace's size.
 * Largest first, each at the best-fitting gap: within a few percent of the lower bound on real graphs. order:
 * room for count numbers. Deterministic; O(count^2). */
int64_t kt_workspace_assign(kt_lifetime *buffers, uint32_t count, uint32_t *order);

#endif
