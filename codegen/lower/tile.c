/* The micro-kernel: tiles of a matrix product in registers.
 *
 * A tile is `rows` rows by `vectors` vectors of columns, its sums in cells. For each k, the vectors of B are
 * loaded and each row's element of A is spread over the lanes and multiplied in. Rows lie at constant
 * strides, so they need no address registers. A row of few rows takes several column tiles at once: with
 * fewer than eight sums in flight the multiply-add's latency would show. A single row waits for B rather, and
 * where vectors are as wide as lines, half as many keep up with that; where besides B comes from beyond the
 * nearest cache, one panel is read at a time, since two streams are slower than one even if that has but two
 * sums. Words, of which there are fewer, do not wait as long.
 *
 * Rows are split evenly, into tiles of two heights: 32 = 6 + 6 + 5 + 5 + 5 + 5. Where their number is not
 * known, the heights are chosen when the kernel runs. The sums of a row do not depend on the tile that it
 * falls into.
 *
 * Packed B is prefetched far ahead where a line serves some rows. Up to four rows read it about as fast as it
 * comes; they want it from nearer by, and in few streams, or, where it is words, do without. Where each block
 * of B comes from memory and few tiles read it, the first of them would wait: there they share out what the
 * next block's will read.
 *
 * Where the last columns fill half a vector at most, its other half takes every second k: these columns of
 * two k are multiplied at once, and the halves are added up in the end.
 *
 * Taps of a window that moves by single steps meet the same elements of A in neighbouring rows. Where sums
 * are exact, so that their order is free, and tiles are a vector wide, so that loads of A would take as long
 * as products, each element is loaded once for all taps. */
#include "codegen/lower/lower_impl.h"

enum {
    PREFETCH_BYTES = 8192,
    MOST_PREFETCH_BYTES = 1 << 16,
    MAX_ROWS = 14,
    MAX_VECTORS = 8,
    MAX_TAPS = 8,
    SUMS_IN_FLIGHT = 8, /* of a single row half as many */
    NEAREST_CACHE_BYTES = 1 << 15,
    FEW_ROWS = 4, /* which prefetch from nearer by: */
    NEARER = 8,
    MOST_SUMS_IN_FLIGHT = 32,
    UNROLLED = 2, /* steps of the depth */
    MOST_UNROLLED = 8,
};

/* Where words are taken apart (codegen/math/dot.c), those of B take two registers a vector, and those of A
 * two. */
static bool spreads(const kt_lower *lower, const kt_tiling *tiling) {
    uint64_t whole = tiling->dtype == KT_F32 ? KT_CPU_AVX512BF16 : KT_CPU_AVX512VNNI;
    return tiling->words && !tiling->shorts && !(lower->target->cpu_features & whole);
}

void kt_tiling_init(kt_lower *lower, kt_tiling *tiling, kt_dtype dtype, int64_t panel, kt_dim columns) {
    const kt_target *target = lower->target;
    kt_choice *choice = &lower->loops->choice;
    int lanes = target->vector_bytes / (int)kt_dtype_bytes(dtype), vectors = target->tile_vectors;
    int own_panel = vectors * kt_target_lanes(target, KT_F32);
    if (lanes > 16) lanes = 16;
    while (panel > 0 && lanes > 1 && panel % lanes != 0) lanes /= 2;
    if (panel > own_panel && panel % own_panel != 0) vectors = (int)(panel * vectors / own_panel);
    if (vectors > MAX_VECTORS) vectors = MAX_VECTORS;
    while (panel > 0 && panel % (lanes * vectors) != 0) vectors--;
    int64_t known;
    if (kt_dim_is_const(lower->dims, columns, &known))
        while (panel == 0 && vectors > 1 && known <= (int64_t)lanes * (vectors - 1)) vectors--;
    vectors = (int)kt_choose(choice, KT_KNOB_vectors, vectors,
                             (kt_range){.least = 1, .most = MAX_VECTORS, .divides = panel / lanes},
                             panel ? "a panel's" : "the target's, as columns fill them");
    tiling->dtype = dtype;
    int spread = spreads(lower, tiling) ? vectors + 2 : 0;
    int fit = (target->vector_registers - 1 - vectors - spread) / vectors;
    if (fit > MAX_ROWS) fit = MAX_ROWS;
    if (fit < 1) fit = 1;
    int rows = fit > target->tile_rows && vectors >= target->tile_vectors ? target->tile_rows : fit;
    tiling->panel = panel;
    tiling->columns = columns;
    tiling->lanes = lanes;
    tiling->vectors = vectors;
    tiling->rows = (int)kt_choose(choice, KT_KNOB_rows, rows, (kt_range){.least = 1, .most = fit},
                                  rows == fit ? "sums and operands fill the registers" : "the target's");
}

bool kt_tiling_take_taps(kt_lower *lower, kt_tiling *tiling, kt_dim taps) {
    int64_t count;
    if (tiling->dtype != KT_I32 || !kt_dim_is_const(lower->dims, taps, &count)) return false;
    if (count < 2 || count > MAX_TAPS) return false;
    int64_t operands = tiling->rows + count - 1 + tiling->vectors;
    if (spreads(lower, tiling)) operands *= 2;
    if ((int64_t)tiling->rows * tiling->vectors + operands > lower->target->vector_registers) return false;
    tiling->taps = (int)count;
    return true;
}

int kt_tile_width(const kt_tiling *tiling) { return tiling->lanes * tiling->vectors; }

/* ---- one tile -------------------------------------------------------------------------------- */

typedef struct tile {
    const kt_tiling *tiling;
    int rows, groups, vectors; /* groups: column tiles side by side */
    kt_reg a, b;               /* where the tile begins in both */
    bool halved;               /* the last vector takes two k at once */
    kt_reg next;         /* where its share of the next block of B begins; 0: near elements are prefetched */
    const kt_reg *masks; /* by vector; NULL: all columns are there */
    kt_cell sums;
} tile;

static kt_reg sum_number(kt_lower *lower, const tile *t, int row, int group, int vector) {
    return kt_loops_int(lower->loops, ((int64_t)row * t->groups + group) * t->vectors + vector);
}

static kt_reg as_sum(kt_lower *lower, const tile *t, kt_reg loaded) {
    return kt_loops_apply(lower->loops, KT_OP_cast, t->tiling->dtype, loaded, 0, 0);
}

static kt_reg column_offset(kt_lower *lower, const tile *t, int group) {
    if (group == 0) return kt_loops_int(lower->loops, 0);
    int64_t width = kt_tile_width(t->tiling);
    kt_dim stride = t->tiling->panel == width ? t->tiling->panel_stride : kt_dim_const(lower->dims, width);
    return kt_times_dim(lower, kt_loops_int(lower->loops, group), stride);
}

static kt_reg load_b(kt_lower *lower, const tile *t, kt_reg place, int vector) {
    kt_reg at = kt_plus(lower, place, kt_loops_int(lower->loops, (int64_t)vector * t->tiling->lanes));
    if (t->tiling->words) return kt_loops_load_words(lower->loops, t->tiling->b, at, t->tiling->lanes);
    kt_reg mask = t->masks && t->tiling->panel == 0 ? t->masks[vector] : 0;
    return as_sum(lower, t, kt_loops_load(lower->loops, t->tiling->b, at, t->tiling->lanes, mask));
}

/* Prefetches `lines` lines of B from `at` on, which counts what B's k strides count: words, or elements. */
static void prefetch_lines(kt_lower *lower, const tile *t, kt_reg at, int64_t lines) {
    kt_loops *loops = lower->loops;
    int64_t element = (int64_t)kt_dtype_bytes(loops->buffer_dtypes[t->tiling->b]),
            each = t->tiling->words ? KT_WORD_BYTES / element : 1;
    for (int64_t line = 0; line < lines; line++) {
        kt_reg place = kt_plus_int(lower, at, line * KT_LINE_BYTES / (element * each));
        kt_loops_prefetch(loops, t->tiling->b, kt_times_int(lower, place, each));
    }
}

/* What is read of B in a while, as the tile now reads at offset b. */
static void prefetch_b(kt_lower *lower, const tile *t, kt_reg b) {
    kt_loops *loops = lower->loops;
    const kt_tiling *tiling = t->tiling;
    if (!tiling->prefetch || (tiling->words && t->rows <= FEW_ROWS)) return;
    int64_t width = kt_tile_width(tiling),
            bytes = tiling->words ? KT_WORD_BYTES : (int64_t)kt_dtype_bytes(loops->buffer_dtypes[tiling->b]);
    if (t->next && t->rows > FEW_ROWS) {
        int64_t share = kt_divide_up(width * t->rows, tiling->served);
        kt_reg k = kt_loops_index(loops, KT_INDEX_DIV, b, kt_loops_int(loops, width));
        prefetch_lines(lower, t, kt_plus(lower, t->next, kt_times_int(lower, k, share)),
                       kt_divide_up(share * bytes, KT_LINE_BYTES));
        return;
    }
    int64_t ahead = kt_choose(&loops->choice, KT_KNOB_ahead, PREFETCH_BYTES,
                              (kt_range){.most = MOST_PREFETCH_BYTES, .step = KT_LINE_BYTES}, "as measured");
    if (t->rows <= FEW_ROWS) ahead = ahead / NEARER / KT_LINE_BYTES * KT_LINE_BYTES;
    if (ahead > 0)
        prefetch_lines(lower, t, kt_plus_int(lower, kt_plus(lower, t->b, b), ahead / bytes),
                       kt_divide_up(width * bytes, KT_LINE_BYTES));
}

static kt_reg load_a(kt_lower *lower, const tile *t, kt_reg place, int row) {
    kt_reg at =
        kt_plus(lower, place, kt_times_dim(lower, kt_loops_int(lower->loops, row), t->tiling->row_stride));
    kt_reg element = t->tiling->words ? kt_loops_load_words(lower->loops, t->tiling->a, at, 1)
                                      : as_sum(lower, t, kt_loops_load(lower->loops, t->tiling->a, at, 1, 0));
    return kt_loops_splat(lower->loops, element, t->tiling->lanes);
}

static void multiply_vector(kt_lower *lower, const tile *t, kt_reg a, kt_reg b, kt_reg number) {
    kt_reg sum = kt_loops_get(lower->loops, t->sums, number);
    sum = t->tiling->words ? kt_loops_dot(lower->loops, a, b, sum, t->tiling->shorts)
                           : kt_multiply_add(lower, a, b, sum);
    kt_loops_set(lower->loops, t->sums, number, sum);
}

static void multiply(kt_lower *lower, const tile *t, kt_reg a, const kt_reg *b, int row, int group) {
    for (int vector = 0; vector < t->vectors; vector++)
        multiply_vector(lower, t, a, b[vector], sum_number(lower, t, row, group, vector));
}

static void load_columns(kt_lower *lower, const tile *t, kt_reg b, kt_reg *rhs) {
    kt_reg place = kt_plus(lower, t->b, b);
    for (int vector = 0; vector < t->vectors; vector++) rhs[vector] = load_b(lower, t, place, vector);
    prefetch_b(lower, t, b);
}

/* One k of several taps: each element of A is loaded once for all of them. */
static void step_taps(kt_lower *lower, const tile *t, kt_reg a, kt_reg b) {
    kt_reg lhs[MAX_ROWS + MAX_TAPS] = {0}, rhs[MAX_VECTORS];
    int taps = t->tiling->taps;
    for (int row = 0; row < t->rows + taps - 1; row++)
        lhs[row] = load_a(lower, t, kt_plus(lower, t->a, a), row);
    for (int group = 0; group < t->groups; group++) {
        for (int tap = 0; tap < taps; tap++) {
            kt_reg place = kt_plus(lower, b, column_offset(lower, t, group));
            kt_reg shift = kt_times_dim(lower, kt_loops_int(lower->loops, tap), t->tiling->tap_stride);
            load_columns(lower, t, kt_plus(lower, place, shift), rhs);
            for (int row = 0; row < t->rows; row++) multiply(lower, t, lhs[row + tap], rhs, row, group);
        }
    }
}

/* One k, at offsets a and b. Elements of A are loaded where they are first used: the code generator keeps to
 * about this order, and if all of them waited, they would push sums out of their registers. */
static void step(kt_lower *lower, const tile *t, kt_reg a, kt_reg b) {
    kt_reg lhs[MAX_ROWS], rhs[MAX_VECTORS];
    kt_reg row_place = kt_plus(lower, t->a, a);
    for (int group = 0; group < t->groups; group++) {
        load_columns(lower, t, kt_plus(lower, b, column_offset(lower, t, group)), rhs);
        for (int row = 0; row < t->rows; row++) {
            if (group == 0) lhs[row] = load_a(lower, t, row_place, row);
            multiply(lower, t, lhs[row], rhs, row, group);
        }
    }
}

/* Do the vectors of `unroll` k fit into registers besides the sums? */
static bool fits_together(const kt_lower *lower, const tile *t, int unroll) {
    return t->groups == 1 && !t->tiling->words && !t->tiling->taps &&
           (t->rows + unroll) * t->vectors + unroll <= lower->target->vector_registers;
}

/* Two k at once where the last vector is halved. */
static void step_halved(kt_lower *lower, const tile *t, const kt_reg *a, const kt_reg *b) {
    kt_loops *loops = lower->loops;
    kt_reg lhs[2], rhs[2][MAX_VECTORS];
    int half = t->tiling->lanes / 2, last = t->vectors - 1;
    for (int i = 0; i < 2; i++) load_columns(lower, t, b[i], rhs[i]);
    kt_reg both = kt_loops_runs(loops, rhs[0][last], rhs[1][last], half, false);
    for (int row = 0; row < t->rows; row++) {
        for (int i = 0; i < 2; i++) lhs[i] = load_a(lower, t, kt_plus(lower, t->a, a[i]), row);
        for (int i = 0; i < 2; i++)
            for (int vector = 0; vector < last; vector++)
                multiply_vector(lower, t, lhs[i], rhs[i][vector], sum_number(lower, t, row, 0, vector));
        multiply_vector(lower, t, kt_loops_runs(loops, lhs[0], lhs[1], half, false), both,
                        sum_number(lower, t, row, 0, last));
    }
}

/* `unroll` k at once, row by row: rows that are apart by much the same places of a cache push each other out,
 * so what lies side by side in one is better read together. */
static void step_together(kt_lower *lower, const tile *t, int unroll, const kt_reg *a, const kt_reg *b) {
    kt_reg rhs[MOST_UNROLLED][MAX_VECTORS];
    for (int i = 0; i < unroll; i++) load_columns(lower, t, b[i], rhs[i]);
    for (int row = 0; row < t->rows; row++)
        for (int i = 0; i < unroll; i++)
            multiply(lower, t, load_a(lower, t, kt_plus(lower, t->a, a[i]), row), rhs[i], row, 0);
}

/* Loop number level and those inside it. */
static void walk(kt_lower *lower, const tile *t, int level, kt_reg a, kt_reg b) {
    kt_loops *loops = lower->loops;
    if (level == t->tiling->loop_count) {
        if (t->tiling->taps)
            step_taps(lower, t, a, b);
        else
            step(lower, t, a, b);
        return;
    }
    const kt_tile_loop *loop = &t->tiling->loops[level];
    bool innermost = level == t->tiling->loop_count - 1;
    int unroll = 1;
    if (innermost)
        unroll = t->halved ? 2
                           : (int)kt_choose(&loops->choice, KT_KNOB_unroll, UNROLLED,
                                            (kt_range){.least = 1, .most = MOST_UNROLLED},
                                            "hides the loop's own cost");
    bool together = innermost && (t->halved || fits_together(lower, t, unroll));
    kt_reg extent = loop->turns ? loop->turns : kt_loops_dim(loops, loop->extent),
           turns = kt_loops_int(loops, unroll);
    kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, extent, turns);
    kt_reg whole = kt_loops_index(loops, KT_INDEX_SUB, extent, rest);
    int64_t known;
    if (!kt_loops_is_int(loops, whole, &known) || known > 0) {
        kt_reg k = kt_lower_begin(lower, kt_loops_int(loops, 0), whole, unroll, "k");
        kt_reg a_at[MOST_UNROLLED], b_at[MOST_UNROLLED];
        for (int i = 0; i < unroll; i++) {
            kt_reg at = kt_plus(lower, k, kt_loops_int(loops, i));
            a_at[i] = kt_plus(lower, a, kt_times_dim(lower, at, loop->a_stride));
            b_at[i] = kt_plus(lower, b, kt_times_dim(lower, at, loop->b_stride));
            if (!together) walk(lower, t, level + 1, a_at[i], b_at[i]);
        }
        if (together && t->halved)
            step_halved(lower, t, a_at, b_at);
        else if (together)
            step_together(lower, t, unroll, a_at, b_at);
        kt_lower_end(lower);
    }
    bool constant = kt_loops_is_int(loops, rest, &known);
    if (unroll == 1 || (constant && known == 0)) return;
    if (unroll > 2 && !(constant && known == 1)) {
        kt_reg k = kt_lower_begin(lower, whole, extent, 1, "k");
        walk(lower, t, level + 1, kt_plus(lower, a, kt_times_dim(lower, k, loop->a_stride)),
             kt_plus(lower, b, kt_times_dim(lower, k, loop->b_stride)));
        kt_lower_end(lower);
        return;
    }
    if (!constant) kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, 0), rest));
    walk(lower, t, level + 1, kt_plus(lower, a, kt_times_dim(lower, whole, loop->a_stride)),
         kt_plus(lower, b, kt_times_dim(lower, whole, loop->b_stride)));
    if (!constant) kt_lower_end(lower);
}

static kt_reg add_halves(kt_lower *lower, kt_reg sum, int half) {
    kt_reg behind = kt_loops_runs(lower->loops, sum, sum, half, true);
    return kt_loops_apply(lower->loops, KT_OP_add, kt_loops_dtype(lower->loops, sum), sum, behind, 0);
}

static void emit_tile(kt_lower *lower, tile t, kt_reg row, kt_reg column) {
    kt_loops *loops = lower->loops;
    const kt_tiling *tiling = t.tiling;
    int count = t.rows * t.groups * t.vectors;
    t.sums = kt_zero_sums(lower, tiling->dtype, tiling->lanes, count);
    walk(lower, &t, 0, kt_loops_int(loops, 0), kt_loops_int(loops, 0));
    for (int group = 0; group < t.groups; group++) {
        for (int vector = 0; vector < t.vectors; vector++) {
            int64_t offset = (int64_t)group * kt_tile_width(tiling) + (int64_t)vector * tiling->lanes;
            kt_reg at = kt_plus(lower, column, kt_loops_int(loops, offset));
            for (int i = 0; i < t.rows; i++) {
                kt_reg sum = kt_loops_get(loops, t.sums, sum_number(lower, &t, i, group, vector));
                if (t.halved && vector == t.vectors - 1) sum = add_halves(lower, sum, tiling->lanes / 2);
                tiling->store(lower, tiling, kt_plus(lower, row, kt_loops_int(loops, i)), at, sum,
                              t.masks ? t.masks[vector] : 0);
            }
        }
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

typedef struct block {
    const kt_tiling *tiling;
    kt_reg a, b, rows, first, last; /* rows of the block; column tiles */
} block;

/* Where column tile number tile_number begins in B. */
static kt_reg tile_place(kt_lower *lower, const block *k, kt_reg tile_number) {
    const kt_tiling *tiling = k->tiling;
    kt_loops *loops = lower->loops;
    int64_t width = kt_tile_width(tiling);
    if (tiling->panel == 0)
        return kt_plus(lower, k->b,
                       kt_loops_index(loops, KT_INDEX_MUL, tile_number, kt_loops_int(loops, width)));
    kt_reg parts = kt_loops_int(loops, tiling->panel / width);
    kt_reg panel = kt_loops_index(loops, KT_INDEX_DIV, tile_number, parts);
    kt_reg part = kt_loops_index(loops, KT_INDEX_MOD, tile_number, parts);
    kt_reg place = kt_plus(lower, k->b, kt_times_dim(lower, panel, tiling->panel_stride));
    return kt_plus(lower, place, kt_loops_index(loops, KT_INDEX_MUL, part, kt_loops_int(loops, width)));
}

/* Column tiles [first, last), groups at a time. */
static void full_tiles(kt_lower *lower, const block *k, int rows, int groups, kt_reg row, kt_reg first,
                       kt_reg last) {
    kt_loops *loops = lower->loops;
    int64_t from, to;
    if (kt_loops_is_int(loops, first, &from) && kt_loops_is_int(loops, last, &to) && from >= to) return;
    kt_reg number = kt_lower_begin(lower, first, last, groups, "columns");
    tile t = {.tiling = k->tiling, .rows = rows, .groups = groups, .vectors = k->tiling->vectors};
    t.a = kt_plus(lower, k->a, kt_times_dim(lower, row, k->tiling->row_stride));
    t.b = tile_place(lower, k, number);
    if (k->tiling->next > 0) {
        int64_t share = k->tiling->next / k->tiling->served;
        t.next = kt_plus_int(lower, kt_plus(lower, t.b, kt_times_int(lower, row, share)), k->tiling->next);
    }
    kt_reg width = kt_loops_int(loops, kt_tile_width(k->tiling));
    emit_tile(lower, t, row, kt_loops_index(loops, KT_INDEX_MUL, number, width));
    kt_lower_end(lower);
}

/* Do so many columns leave half of their last vector to a second k? In the highest tiles, two k want three
 * elements of A, and one vector more of B. */
static bool is_halved(const kt_lower *lower, const kt_tiling *tiling, int64_t columns) {
    const kt_tile_loop *k = &tiling->loops[tiling->loop_count - 1];
    int vectors = (int)kt_divide_up(columns, tiling->lanes);
    int64_t extent;
    return tiling->panel > 0 && !tiling->words && !tiling->taps && tiling->lanes > 1 &&
           (columns - 1) % tiling->lanes < tiling->lanes / 2 && !k->turns &&
           kt_dim_is_const(lower->dims, k->extent, &extent) && extent % 2 == 0 &&
           (tiling->rows + 2) * vectors + 2 <= lower->target->vector_registers;
}

/* The last column tile, number full, of which only some columns are there. */
static void tail_tile(kt_lower *lower, const block *k, int rows, kt_reg row, kt_reg full, kt_reg tail) {
    kt_loops *loops = lower->loops;
    const kt_tiling *tiling = k->tiling;
    kt_reg masks[MAX_VECTORS] = {0};
    tile t = {.tiling = tiling, .rows = rows, .groups = 1, .vectors = tiling->vectors, .masks = masks};
    int64_t known;
    if (kt_loops_is_int(loops, tail, &known)) {
        t.vectors = (int)kt_divide_up(known, tiling->lanes);
        t.halved = is_halved(lower, tiling, known);
    }
    for (int vector = 0; vector < t.vectors; vector++) {
        kt_reg before = kt_loops_int(loops, (int64_t)vector * tiling->lanes);
        kt_reg mask = kt_loops_mask(loops, kt_loops_index(loops, KT_INDEX_SUB, tail, before), tiling->lanes);
        bool whole = kt_loops_is_int(loops, tail, &known) && known >= (int64_t)(vector + 1) * tiling->lanes;
        masks[vector] = whole ? 0 : mask;
    }
    t.a = kt_plus(lower, k->a, kt_times_dim(lower, row, tiling->row_stride));
    t.b = tile_place(lower, k, full);
    kt_reg width = kt_loops_int(loops, kt_tile_width(tiling));
    emit_tile(lower, t, row, kt_loops_index(loops, KT_INDEX_MUL, full, width));
}

/* Does B not fit into the nearest cache? */
static bool is_streamed(const kt_lower *lower, const kt_tiling *tiling) {
    int64_t columns, panel;
    return tiling->panel > 0 && kt_dim_is_const(lower->dims, tiling->columns, &columns) &&
           kt_dim_is_const(lower->dims, tiling->panel_stride, &panel) &&
           kt_size_mul(kt_divide_up(columns, tiling->panel), panel) >
               NEAREST_CACHE_BYTES / (int64_t)kt_dtype_bytes(tiling->dtype);
}

static int groups_for(kt_lower *lower, const kt_tiling *tiling, int rows) {
    int groups = 1, vectors = tiling->vectors, sums = SUMS_IN_FLIGHT;
    int64_t in_panel = tiling->panel / kt_tile_width(tiling);
    if (in_panel > 1 && !tiling->whole_panels) return 1;
    if (rows * vectors < MOST_SUMS_IN_FLIGHT / 2)
        sums = (int)kt_choose(&lower->loops->choice, KT_KNOB_sums, SUMS_IN_FLIGHT,
                              (kt_range){.least = 1, .most = MOST_SUMS_IN_FLIGHT},
                              "hide the multiply-add's latency");
    bool lines = tiling->lanes * (int)kt_dtype_bytes(tiling->dtype) >= KT_LINE_BYTES;
    bool waits = rows == 1 && lines && !tiling->words;
    if (waits) sums = (sums + 1) / 2;
    bool one_panel = in_panel > 1 || (waits && is_streamed(lower, tiling));
    while (rows * groups * vectors < sums) {
        int operands = rows == 1 ? 1 : rows;
        if (one_panel && in_panel % ((int64_t)groups * 2) != 0) break;
        if (rows * groups * 2 * vectors + vectors + operands > lower->target->vector_registers) break;
        groups *= 2;
    }
    return groups;
}

/* A row of tiles. */
static void column_tiles(kt_lower *lower, const block *k, int rows, kt_reg row) {
    kt_loops *loops = lower->loops;
    kt_dim width = kt_dim_const(lower->dims, kt_tile_width(k->tiling));
    kt_reg full = kt_loops_dim(loops, kt_dim_floordiv(lower->dims, k->tiling->columns, width));
    kt_reg tail = kt_loops_dim(loops, kt_dim_mod(lower->dims, k->tiling->columns, width));
    kt_reg last = kt_loops_index(loops, KT_INDEX_MIN, k->last, full);
    int groups = groups_for(lower, k->tiling, rows);
    kt_reg count = kt_loops_index(loops, KT_INDEX_SUB, last, k->first);
    kt_reg zero = kt_loops_int(loops, 0);
    count = kt_loops_index(loops, KT_INDEX_MAX, count, zero);
    kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, count, kt_loops_int(loops, groups));
    kt_reg middle = kt_plus(lower, k->first, kt_loops_index(loops, KT_INDEX_SUB, count, rest));
    full_tiles(lower, k, rows, groups, row, k->first, middle);
    if (groups > 1) full_tiles(lower, k, rows, 1, row, middle, last);
    int64_t known;
    if (kt_loops_is_int(loops, tail, &known) && known == 0) return;
    kt_reg partial = kt_loops_index(loops, KT_INDEX_LT, full, k->last);
    kt_reg some = kt_loops_index(loops, KT_INDEX_LT, zero, tail);
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_AND, partial, some));
    tail_tile(lower, k, rows, row, full, tail);
    kt_lower_end(lower);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static kt_reg equals(kt_lower *lower, kt_reg a, int64_t b) {
    return kt_loops_index(lower->loops, KT_INDEX_EQ, a, kt_loops_int(lower->loops, b));
}

static void known_rows(kt_lower *lower, const block *k, int64_t rows) {
    kt_loops *loops = lower->loops;
    if (rows == 0) return;
    int64_t most = k->tiling->rows, tiles = kt_divide_up(rows, most), height = kt_divide_up(rows, tiles);
    int64_t higher = rows - tiles * (height - 1), boundary = higher * height;
    kt_reg row = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, boundary), height, "rows");
    column_tiles(lower, k, (int)height, row);
    kt_lower_end(lower);
    if (boundary == rows) return;
    row = kt_lower_begin(lower, kt_loops_int(loops, boundary), kt_loops_int(loops, rows), height - 1, "rows");
    column_tiles(lower, k, (int)height - 1, row);
    kt_lower_end(lower);
}

static kt_reg divide_up(kt_lower *lower, kt_reg a, kt_reg b) {
    kt_reg sum =
        kt_plus(lower, a, kt_loops_index(lower->loops, KT_INDEX_SUB, b, kt_loops_int(lower->loops, 1)));
    return kt_loops_index(lower->loops, KT_INDEX_DIV, sum, b);
}

/* As known_rows does: first the higher tiles, then those of a row less. */
static void unknown_rows(kt_lower *lower, const block *k) {
    kt_loops *loops = lower->loops;
    kt_reg zero = kt_loops_int(loops, 0), one = kt_loops_int(loops, 1);
    kt_reg tiles = divide_up(lower, k->rows, kt_loops_int(loops, k->tiling->rows));
    kt_reg height = divide_up(lower, k->rows, tiles);
    kt_reg least = kt_loops_index(loops, KT_INDEX_MUL, tiles, kt_minus(lower, height, one));
    kt_reg boundary = kt_loops_index(loops, KT_INDEX_MUL, kt_minus(lower, k->rows, least), height);
    kt_reg rest = kt_minus(lower, k->rows, boundary);
    kt_reg parts = kt_loops_index(loops, KT_INDEX_MIN, kt_plus(lower, rest, one), kt_loops_int(loops, 2));
    kt_reg part = kt_lower_begin(lower, zero, parts, 1, "heights");
    kt_reg begin = kt_loops_index(loops, KT_INDEX_MUL, part, boundary), own = kt_minus(lower, height, part);
    kt_reg end = kt_plus(lower, boundary, kt_loops_index(loops, KT_INDEX_MUL, part, rest));
    for (int rows = k->tiling->rows; rows >= 1; rows--) {
        kt_lower_if(lower, equals(lower, own, rows));
        kt_reg row = kt_lower_begin(lower, begin, end, rows, "rows");
        column_tiles(lower, k, rows, row);
        kt_lower_end(lower);
        kt_lower_end(lower);
    }
    kt_lower_end(lower);
}

void kt_tile_block(kt_lower *lower, const kt_tiling *tiling, kt_reg a_base, kt_reg b_base, kt_reg rows,
                   kt_reg first, kt_reg last) {
    block k = {.tiling = tiling, .a = a_base, .b = b_base, .rows = rows, .first = first, .last = last};
    int64_t known;
    if (kt_loops_is_int(lower->loops, rows, &known))
        known_rows(lower, &k, known);
    else
        unknown_rows(lower, &k);
}
