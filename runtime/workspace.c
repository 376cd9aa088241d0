/* Greedy, best fit: buffers are placed one by one, each in the smallest gap between those placed before it
 * that live at the same time, or behind them. The largest come first; while the result is far above the lower
 * bound, those that ended on top are placed before all others in a new turn ("squeaky wheels": Joslin and
 * Clements, 1999). If that does not suffice, turns begin anew with those first that live at the fullest
 * steps. The best turn counts. */
#include "runtime/workspace.h"

#include <stdbool.h>
#include <string.h>

enum { ALIGNMENT = 64, MOST_TURNS = 32, NEAR = 50 /* of the bound */, ALIKE = 16 /* of a size */ };

static int64_t add(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX - ALIGNMENT + 1 : sum;
}

static int64_t rounded(int64_t bytes) { return add(bytes, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static bool live_together(const kt_lifetime *a, const kt_lifetime *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Puts the bytes alive at each buffer's fullest step into `rank`; returns the greatest. More is alive at no
 * step than at one where some buffer begins: those are looked at, their sums kept in `offset` meanwhile. */
static int64_t rank_by_fullest_step(kt_lifetime *buffers, uint32_t count) {
    int64_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t alive = 0;
        for (uint32_t j = 0; j < count; j++)
            if (buffers[j].first <= buffers[i].first && buffers[i].first <= buffers[j].last)
                alive = add(alive, rounded(buffers[j].bytes));
        buffers[i].offset = alive;
        if (alive > most) most = alive;
    }
    for (uint32_t i = 0; i < count; i++) {
        buffers[i].rank = 0;
        for (uint32_t j = 0; j < count; j++)
            if (buffers[i].first <= buffers[j].first && buffers[j].first <= buffers[i].last &&
                buffers[j].offset > buffers[i].rank)
                buffers[i].rank = buffers[j].offset;
    }
    return most;
}

static bool comes_before(const kt_lifetime *a, const kt_lifetime *b) {
    if (a->rank != b->rank) return a->rank > b->rank;
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->first < b->first;
}

/* placed: sorted by offset. */
static int64_t best_offset(const kt_lifetime *buffers, const uint32_t *placed, uint32_t count,
                           const kt_lifetime *buffer) {
    int64_t size = buffer->room, end = 0, best = -1, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const kt_lifetime *other = &buffers[placed[i]];
        if (!live_together(other, buffer)) continue;
        int64_t gap = other->offset - end;
        if (gap >= size && gap < best_gap) {
            best = end;
            best_gap = gap;
        }
        int64_t other_end = add(other->offset, other->room);
        if (other_end > end) end = other_end;
    }
    return best >= 0 ? best : end;
}

static int64_t place(kt_lifetime *buffers, uint32_t count, uint32_t *order) {
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
        int64_t end = add(buffer->offset, buffer->room);
        if (end > total) total = end;
        for (; at > 0 && buffers[order[at - 1]].offset > buffer->offset; at--) order[at] = order[at - 1];
        order[at] = index;
    }
    return total;
}

/* Turns that begin from the ranks that there are, while the best total is far above the bound. */
static void improve(kt_lifetime *buffers, uint32_t count, uint32_t *order, int64_t bound, int64_t *best) {
    for (int turn = MOST_TURNS; turn > 0 && *best - bound > bound / NEAR; turn--) {
        int64_t total = place(buffers, count, order);
        for (uint32_t i = 0; i < count && total < *best; i++) buffers[i].best = buffers[i].offset;
        if (total < *best) *best = total;
        for (uint32_t i = 0; i < count; i++)
            if (add(buffers[i].offset, buffers[i].room) == total) buffers[i].rank = INT64_MAX - turn;
    }
}

/* Gives each buffer the room of the largest that is hardly larger, so that one can take the other's place. */
static void share_sizes(kt_lifetime *buffers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int64_t size = rounded(buffers[i].bytes), most = add(size, size / ALIKE);
        for (uint32_t j = 0; j < count; j++) {
            int64_t other = rounded(buffers[j].bytes);
            if (other <= most && other > buffers[i].room) buffers[i].room = other;
        }
    }
}

int64_t kt_workspace_assign(kt_lifetime *buffers, uint32_t count, uint32_t *order) {
    int64_t bound = rank_by_fullest_step(buffers, count), best = INT64_MAX;
    if (count == 0) return 0;
    for (uint32_t i = 0; i < count; i++) {
        buffers[i].room = rounded(buffers[i].bytes);
        buffers[i].rank = 0;
    }
    improve(buffers, count, order, bound, &best);
    for (int attempt = 0; attempt < 2 && best - bound > bound / NEAR; attempt++) {
        (void)rank_by_fullest_step(buffers, count);
        if (attempt) share_sizes(buffers, count);
        improve(buffers, count, order, bound, &best);
    }
    for (uint32_t i = 0; i < count; i++) buffers[i].offset = buffers[i].best;
    return best;
}
