/* Placing buffers with known lifetimes in one workspace. */
#ifndef KT_RUNTIME_WORKSPACE_H
#define KT_RUNTIME_WORKSPACE_H

#include <stdint.h>

typedef struct kt_lifetime {
    int64_t bytes;
    uint32_t first, last; /* steps, both included */
    int64_t offset;       /* out: a multiple of 64 */
    /* For the work: the offset of the best turn so far; what is more comes first; bytes to keep free. */
    int64_t best, rank, room;
} kt_lifetime;

/* Gives each buffer an offset so that no two that are alive at one step overlap; returns the workspace's size.
 * Greedy, in several turns: within a few percent of the lower bound on real graphs. order: room for count numbers.
 * Deterministic; O(count^2) a turn. */
int64_t kt_workspace_assign(kt_lifetime *buffers, uint32_t count, uint32_t *order);

#endif
