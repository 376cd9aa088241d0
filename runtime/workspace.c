/* Greedy by size, best fit: buffers are placed from the largest to the smallest, each in the smallest gap
 * between those placed before it that live at the same time, or behind them. */
#include "runtime/workspace.h"

#include <stdbool.h>
#include <string.h>

enum { ALIGNMENT = 64 };

static int64_t add(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX - ALIGNMENT + 1 : sum;
}

static int64_t rounded(int64_t bytes) { return add(bytes, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static bool comes_before(const kt_lifetime *a, const kt_lifetime *b) {
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->first < b->first;
}

/* placed: sorted by offset. */
static int64_t best_offset(const kt_lifetime *buffers, const uint32_t *placed, uint32_t count,
                           const kt_lifetime *buffer) {
    int64_t size = rounded(buffer->bytes), end = 0, best = -1, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const kt_lifetime *other = &buffers[placed[i]];
        if (other->last < buffer->first || buffer->last < other->first) continue;
        int64_t gap = other->offset - end;
        if (gap >= size && gap < best_gap) {
            best = end;
            best_gap = gap;
        }
        int64_t other_end = add(other->offset, rounded(other->bytes));
        if (other_end > end) end = other_end;
    }
    return best >= 0 ? best : end;
}

int64_t kt_workspace_assign(kt_lifetime *buffers, uint32_t count, uint32_t *order) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at > 0 && comes_before(&buffers[i], &buffers[order[at - 1]]); at--) order[at] = order[at - 1];
        order[at] = i;
    }
    /* order[0 .. i) becomes the placed ones by offset, while order[i ..) are those to come. */
    int64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = order[i], at = i;
        kt_lifetime *buffer = &buffers[index];
        buffer->offset = best_offset(buffers, order, i, buffer);
        int64_t end = add(buffer->offset, rounded(buffer->bytes));
        if (end > total) total = end;
        for (; at > 0 && buffers[order[at - 1]].offset > buffer->offset; at--) order[at] = order[at - 1];
        order[at] = index;
    }
    return total;
}
