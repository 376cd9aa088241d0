/* Inference of contractions and convolutions, whose second operand may be packed into panels of columns. */
#include "ir/infer/infer_impl.h"
#include "ir/winograd.h"

/* others: what else they may be, as the sentence says it. */
static kt_status check_dtypes(kt_infer *infer, int constraint, bool may_differ, const char *others) {
    const kt_type *x = &infer->operands[0], *y = &infer->operands[1];
    if (may_differ || (x->dtype == y->dtype && kt_domain_has(KT_NUMBER, x->dtype))) return KT_OK;
    return kt_infer_fail(infer, constraint, "%s and %s must be numbers of one dtype%s.",
                         kt_infer_show(infer, x), kt_infer_show(infer, y), others);
}

/* wide is 0, or 1 where the operands are bf16. */
static kt_status check_wide(kt_infer *infer, int constraint, int64_t wide) {
    if (wide == 0 || (wide == 1 && infer->operands[0].dtype == KT_BF16)) return KT_OK;
    return kt_infer_fail(infer, constraint, "wide must be 0, or 1 for bf16, but is %lld for %s.",
                         (long long)wide, kt_infer_show(infer, &infer->operands[0]));
}

/* The second operand is [panels, depth, panel]; in words [panels, ceil(depth / word), word * panel]. */
static kt_status check_packed(kt_infer *infer, int constraint, kt_dim panels, kt_dim depth, int64_t panel,
                              bool wide) {
    const kt_type *y = &infer->operands[1];
    kt_dim_pool *pool = infer->graph->dims;
    int64_t word = kt_product_word(&infer->operands[0], y, wide);
    kt_type wanted = {.dtype = y->dtype,
                      .rank = 3,
                      .dims = {panels, kt_dim_ceildiv(pool, depth, kt_dim_const(pool, word)),
                               kt_dim_const(pool, word * panel)}};
    if (kt_type_equal(&wanted, y)) return KT_OK;
    return kt_infer_fail(infer, constraint, "the packed operand must be %s, but is %s.",
                         kt_infer_show(infer, &wanted), kt_infer_show(infer, y));
}

static kt_status check_panel(kt_infer *infer, int constraint, int64_t panel, int64_t columns) {
    if (panel == 0 && columns == 0) return KT_OK;
    if (panel >= 1 && panel <= INT32_MAX && columns >= 1 && columns <= INT32_MAX) return KT_OK;
    return kt_infer_fail(
        infer, constraint,
        "panel and columns must both be 0, or both at least 1 and below 2^31, but are %lld and %lld.",
        (long long)panel, (long long)columns);
}

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- dot_general ----------------------------------------------------------------------------- */

static kt_status check_paired(kt_infer *infer, const kt_ints *batch, const kt_ints *contract, int operand) {
    int rank = infer->operands[operand].rank;
    KT_TRY(kt_infer_axes(infer, 2, batch, rank, false));
    KT_TRY(kt_infer_axes(infer, 2, contract, rank, false));
    for (uint32_t i = 0; i < batch->count; i++)
        if (kt_ints_hold(contract, (int)batch->at[i]))
            return kt_infer_fail(infer, 2, "axis %lld of operand %d is both a batch axis and summed.",
                                 (long long)batch->at[i], operand);
    return KT_OK;
}

static kt_status check_pairs(kt_infer *infer, const kt_ints *lhs, const kt_ints *rhs) {
    const kt_type *x = &infer->operands[0], *y = &infer->operands[1];
    for (uint32_t i = 0; i < lhs->count; i++) {
        kt_dim a = x->dims[lhs->at[i]], b = y->dims[rhs->at[i]];
        if (a == b) continue;
        KT_TRY(kt_infer_equal(infer, 4, a, b, "dimension %lld of %s and dimension %lld of %s",
                              (long long)lhs->at[i], kt_infer_show(infer, x), (long long)rhs->at[i],
                              kt_infer_show(infer, y)));
    }
    return KT_OK;
}

static void add_free(kt_type *result, int *rank, const kt_type *x, const kt_ints *batch,
                     const kt_ints *contract) {
    for (int i = 0; i < x->rank; i++) {
        if (kt_ints_hold(batch, i) || kt_ints_hold(contract, i)) continue;
        if (*rank < KT_MAX_RANK) result->dims[*rank] = x->dims[i];
        ++*rank;
    }
}

/* C6 with panel: there are no batch axes, and rhs_contract is empty
 * C7 with panel: the second operand is [ceil(columns / panel), product of the summed dimensions, panel];
 *    in words, see check_packed */
static kt_status check_packed_dot(kt_infer *infer) {
    const kt_attrs_dot_general *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_dim_pool *pool = infer->graph->dims;
    if (attrs->lhs_batch.count + attrs->rhs_batch.count + attrs->rhs_contract.count > 0)
        return kt_infer_fail(infer, 6,
                             "with a packed operand, lhs_batch, rhs_batch and rhs_contract must be empty.");
    kt_dim depth = kt_dim_const(pool, 1);
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++)
        depth = kt_dim_mul(pool, depth, x->dims[attrs->lhs_contract.at[i]]);
    kt_dim panels = kt_dim_const(pool, divide_up(attrs->columns, attrs->panel));
    return check_packed(infer, 7, panels, depth, attrs->panel, attrs->wide != 0);
}

/* C1 lhs_batch and rhs_batch, and without panel lhs_contract and rhs_contract, name as many axes
 * C2 they are axes of the operands, each named once
 * C3 the operands are numbers of one dtype; or u8 and i8, whose result is i32; or f32 and i8, whose result
 *    is f32
 * C4 paired dimensions are equal
 * C5 the result has at most KT_MAX_RANK axes
 * C6, C7 see check_packed_dot
 * C8 panel and columns are both 0, or both at least 1
 * C9 wide is 0, or 1 where the operands are bf16; the result then is f32 */
kt_status kt_infer_dot_general(kt_infer *infer) {
    const kt_attrs_dot_general *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *y = &infer->operands[1];
    KT_TRY(check_panel(infer, 8, attrs->panel, attrs->columns));
    KT_TRY(kt_infer_count(infer, 1, "rhs_batch", attrs->rhs_batch.count, attrs->lhs_batch.count));
    KT_TRY(check_paired(infer, &attrs->lhs_batch, &attrs->lhs_contract, 0));
    KT_TRY(check_paired(infer, &attrs->rhs_batch, &attrs->rhs_contract, 1));
    KT_TRY(check_dtypes(infer, 3, kt_multiplies_bytes(x, y) || kt_widens_bytes(x, y),
                        ", or u8 and i8, or f32 and i8"));
    KT_TRY(check_wide(infer, 9, attrs->wide));
    kt_type result = {.dtype = kt_product_dtype(x, y, attrs->wide != 0)};
    int rank = 0;
    for (uint32_t i = 0; i < attrs->lhs_batch.count; i++) /* as many as rhs_batch names, by C1 */
        result.dims[rank++] =
            kt_infer_sharper(infer, x->dims[attrs->lhs_batch.at[i]], y->dims[attrs->rhs_batch.at[i]]);
    add_free(&result, &rank, x, &attrs->lhs_batch, &attrs->lhs_contract);
    if (attrs->panel > 0) {
        KT_TRY(check_packed_dot(infer));
        if (rank < KT_MAX_RANK) result.dims[rank] = kt_dim_const(infer->graph->dims, attrs->columns);
        rank++;
    } else {
        KT_TRY(
            kt_infer_count(infer, 1, "rhs_contract", attrs->rhs_contract.count, attrs->lhs_contract.count));
        KT_TRY(check_pairs(infer, &attrs->lhs_batch, &attrs->rhs_batch));
        KT_TRY(check_pairs(infer, &attrs->lhs_contract, &attrs->rhs_contract));
        add_free(&result, &rank, y, &attrs->rhs_batch, &attrs->rhs_contract);
    }
    if (rank > KT_MAX_RANK)
        return kt_infer_fail(infer, 5,
                             "the product of %s and %s has %d dimensions, but at most %d are possible.",
                             kt_infer_show(infer, x), kt_infer_show(infer, y), rank, KT_MAX_RANK);
    result.rank = (uint8_t)rank;
    infer->results[0] = result;
    return KT_OK;
}

/* ---- conv ------------------------------------------------------------------------------------ */

/* What convolutions share of C1 to C3: the input's rank, and for each of its spatial axes how the window
 * moves. */
static kt_status check_slides(kt_infer *infer, const kt_ints *strides, const kt_dims *low,
                              const kt_dims *high, const kt_ints *dilation) {
    const kt_type *x = &infer->operands[0];
    if (x->rank < 3)
        return kt_infer_fail(infer, 1, "the input must be [batch, space…, channels], but is %s.",
                             kt_infer_show(infer, x));
    uint32_t spatial = x->rank - 2u;
    KT_TRY(kt_infer_count(infer, 1, "strides", strides->count, spatial));
    KT_TRY(kt_infer_count(infer, 1, "low", low->count, spatial));
    KT_TRY(kt_infer_count(infer, 1, "high", high->count, spatial));
    KT_TRY(kt_infer_count(infer, 1, "dilation", dilation->count, spatial));
    KT_TRY(kt_infer_bounds(infer, 2, "strides", strides, 1));
    KT_TRY(kt_infer_bounds(infer, 2, "dilation", dilation, 1));
    for (uint32_t i = 0; i < spatial; i++) {
        KT_TRY(kt_infer_at_least(infer, 3, low->at[i], 0, "low[%u]", i));
        KT_TRY(kt_infer_at_least(infer, 3, high->at[i], 0, "high[%u]", i));
    }
    return KT_OK;
}

static kt_status check_groups(kt_infer *infer, const char *what, kt_dim dim, int64_t groups) {
    if (kt_dim_divisor(infer->graph->dims, dim) % groups == 0) return KT_OK;
    return kt_infer_fail(infer, 6, "the %s %s do not fall into %lld groups.", kt_infer_show_dim(infer, dim),
                         what, (long long)groups);
}

static kt_status check_group_count(kt_infer *infer, int64_t groups) {
    if (groups >= 1 && groups <= INT32_MAX) return KT_OK;
    return kt_infer_fail(infer, 6, "groups must be at least 1 and below 2^31, but is %lld.",
                         (long long)groups);
}

/* C7 the kernel's last but one dimension is channels / groups
 * C9 without panel: the kernel has the input's rank, and the attribute window is empty */
static kt_status read_plain_kernel(kt_infer *infer, kt_dim channels, kt_dim *window, kt_dim *features) {
    const kt_attrs_conv *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *y = &infer->operands[1];
    kt_dim_pool *pool = infer->graph->dims;
    if (y->rank != x->rank)
        return kt_infer_fail(infer, 9, "the kernel of %s must have %d dimensions, but is %s.",
                             kt_infer_show(infer, x), x->rank, kt_infer_show(infer, y));
    KT_TRY(kt_infer_count(infer, 9, "window", attrs->window.count, 0));
    kt_dim depth = kt_dim_floordiv(pool, channels, kt_dim_const(pool, attrs->groups));
    if (y->dims[y->rank - 2] != depth)
        KT_TRY(kt_infer_equal(infer, 7, y->dims[y->rank - 2], depth,
                              "dimension %d of the kernel %s and a group's channels of %s in %lld groups",
                              y->rank - 2, kt_infer_show(infer, y), kt_infer_show(infer, x),
                              (long long)attrs->groups));
    for (int i = 0; i < x->rank - 2; i++) {
        KT_TRY(kt_infer_at_least(infer, 9, y->dims[i], 1, "dimension %d of the kernel", i));
        window[i] = y->dims[i];
    }
    *features = y->dims[y->rank - 1];
    return KT_OK;
}

/* C10 with panel: window has one entry for each spatial axis, at least 1
 * C11 with panel: the kernel is [groups * ceil(columns / groups / panel), window * channels / groups, panel]
 */
static kt_status read_packed_kernel(kt_infer *infer, kt_dim channels, kt_dim *window, kt_dim *features) {
    const kt_attrs_conv *attrs = infer->attrs;
    int spatial = infer->operands[0].rank - 2;
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(kt_infer_count(infer, 10, "window", attrs->window.count, (uint32_t)spatial));
    KT_TRY(kt_infer_bounds(infer, 10, "window", &attrs->window, 1));
    kt_dim depth = kt_dim_floordiv(pool, channels, kt_dim_const(pool, attrs->groups));
    for (int i = 0; i < spatial; i++) {
        window[i] = kt_dim_const(pool, attrs->window.at[i]);
        depth = kt_dim_mul(pool, depth, window[i]);
    }
    *features = kt_dim_const(pool, attrs->columns);
    KT_TRY(check_groups(infer, "features", *features, attrs->groups));
    int64_t panels = attrs->groups * divide_up(attrs->columns / attrs->groups, attrs->panel);
    return check_packed(infer, 11, kt_dim_const(pool, panels), depth, attrs->panel, attrs->wide != 0);
}

/* C1 the input has at least 3 axes; strides, low, high, dilation and input_dilation have one entry for each
 *    spatial axis
 * C2 strides, dilation and input_dilation are at least 1
 * C3 low and high are at least 0
 * C4 the operands are numbers of one dtype, or u8 and i8, whose result is i32
 * C5 panel and columns are both 0, or both at least 1
 * C6 groups is at least 1 and divides channels and features
 * C7, C9 see read_plain_kernel; C10, C11 see read_packed_kernel
 * C8 the window fits into the padded input
 * C12 wide is 0, or 1 where the operands are bf16; the result then is f32 */
kt_status kt_infer_conv(kt_infer *infer) {
    const kt_attrs_conv *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(check_slides(infer, &attrs->strides, &attrs->low, &attrs->high, &attrs->dilation));
    uint32_t spatial = x->rank - 2u;
    KT_TRY(kt_infer_count(infer, 1, "input_dilation", attrs->input_dilation.count, spatial));
    KT_TRY(kt_infer_bounds(infer, 2, "input_dilation", &attrs->input_dilation, 1));
    KT_TRY(check_dtypes(infer, 4, kt_multiplies_bytes(x, &infer->operands[1]), ", or u8 and i8"));
    KT_TRY(check_wide(infer, 12, attrs->wide));
    KT_TRY(check_panel(infer, 5, attrs->panel, attrs->columns));
    KT_TRY(check_group_count(infer, attrs->groups));

    kt_dim channels = x->dims[x->rank - 1], window[KT_MAX_RANK] = {0}, features = 0;
    KT_TRY(check_groups(infer, "channels", channels, attrs->groups));
    KT_TRY((attrs->panel > 0 ? read_packed_kernel : read_plain_kernel)(infer, channels, window, &features));
    KT_TRY(check_groups(infer, "features", features, attrs->groups));

    kt_type result = {.dtype = kt_product_dtype(x, &infer->operands[1], attrs->wide != 0), .rank = x->rank};
    result.dims[0] = x->dims[0];
    result.dims[x->rank - 1] = features;
    for (uint32_t i = 0; i < spatial; i++) {
        kt_dim gaps = kt_dim_mul_const(pool, kt_dim_add_const(pool, x->dims[i + 1], -1),
                                       attrs->input_dilation.at[i] - 1);
        kt_infer_slide slide = {.size = kt_dim_add(pool, x->dims[i + 1], gaps),
                                .window = window[i],
                                .low = attrs->low.at[i],
                                .high = attrs->high.at[i],
                                .stride = attrs->strides.at[i],
                                .dilation = attrs->dilation.at[i],
                                .axis = (int)i + 1};
        KT_TRY(kt_infer_places(infer, 8, &slide, &result.dims[i + 1]));
    }
    infer->results[0] = result;
    return KT_OK;
}

/* ---- conv_by_kernel -------------------------------------------------------------------------- */

/* C1 the input has at least 3 axes; strides, low, high, dilation and window have one entry for each
 *    spatial axis
 * C2 strides, dilation and window are at least 1
 * C3 low and high are at least 0
 * C4 the operands are numbers of one dtype
 * C5 the window fits into the padded input
 * C6 groups is at least 1 and divides channels and features
 * C7 the cotangent is [batch, places of the window…, features] */
kt_status kt_infer_conv_by_kernel(kt_infer *infer) {
    const kt_attrs_conv_by_kernel *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *g = &infer->operands[1];
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(check_slides(infer, &attrs->strides, &attrs->low, &attrs->high, &attrs->dilation));
    uint32_t spatial = x->rank - 2u;
    KT_TRY(kt_infer_count(infer, 1, "window", attrs->window.count, spatial));
    KT_TRY(kt_infer_bounds(infer, 2, "window", &attrs->window, 1));
    KT_TRY(check_dtypes(infer, 4, false, ""));
    if (g->rank != x->rank)
        return kt_infer_fail(infer, 7, "the cotangent of %s must have %d dimensions, but is %s.",
                             kt_infer_show(infer, x), x->rank, kt_infer_show(infer, g));
    KT_TRY(check_group_count(infer, attrs->groups));
    KT_TRY(check_groups(infer, "channels", x->dims[spatial + 1], attrs->groups));
    KT_TRY(check_groups(infer, "features", g->dims[spatial + 1], attrs->groups));
    KT_TRY(kt_infer_equal(infer, 7, g->dims[0], x->dims[0], "dimension 0 of the cotangent and of the input"));
    kt_type result = {.dtype = x->dtype, .rank = x->rank};
    for (uint32_t i = 0; i < spatial; i++) {
        result.dims[i] = kt_dim_const(pool, attrs->window.at[i]);
        kt_infer_slide slide = {.size = x->dims[i + 1],
                                .window = result.dims[i],
                                .low = attrs->low.at[i],
                                .high = attrs->high.at[i],
                                .stride = attrs->strides.at[i],
                                .dilation = attrs->dilation.at[i],
                                .axis = (int)i + 1};
        kt_dim places = 0;
        KT_TRY(kt_infer_places(infer, 5, &slide, &places));
        KT_TRY(kt_infer_equal(infer, 7, g->dims[i + 1], places,
                              "dimension %u of the cotangent and the window's places", i + 1));
    }
    result.dims[spatial] = kt_dim_floordiv(pool, x->dims[spatial + 1], kt_dim_const(pool, attrs->groups));
    result.dims[spatial + 1] = g->dims[spatial + 1];
    infer->results[0] = result;
    return KT_OK;
}

/* ---- winograd -------------------------------------------------------------------------------- */

/* C1 both operands have 4 axes, and are f32 or f64 both; or u8 and i16, whose result is i32
 * C2 tile is 2 or 4, and line 0 to 2; of bytes 4 and 0
 * C3 columns is at least 1; space has 2 entries, at least 1
 * C4 low has 2 entries, at least 0; the input's height and width are at least 1, and with low before them at
 * most space's, up to whole tiles, and what the window takes beyond
 * C5 the kernel is [ceil(columns / panel), points, channels, panel], where points is (tile + 2)^2, or with
 * line tile + 2; of bytes with pairs of channels side by side,
 * [ceil(columns / panel), points, channels / 2, 2 * panel]
 * C6 there are at most 1024 channels, so that a tile fits into a kernel's scratch memory; of bytes 112 */
kt_status kt_infer_winograd(kt_infer *infer) {
    const kt_attrs_winograd *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *y = &infer->operands[1];
    kt_dim_pool *pool = infer->graph->dims;
    bool bytes = x->dtype == KT_U8 && y->dtype == KT_I16;
    bool floats = x->dtype == y->dtype && (x->dtype == KT_F32 || x->dtype == KT_F64);
    int64_t pair = bytes ? KT_WINOGRAD_PAIR : 1, most = bytes ? KT_WINOGRAD_MOST_BYTES : 1024;
    if (x->rank != 4 || y->rank != 4 || !(bytes || floats))
        return kt_infer_fail(infer, 1,
                             "%s and %s must be f32 or f64 both, or u8 and i16, with 4 dimensions each.",
                             kt_infer_show(infer, x), kt_infer_show(infer, y));
    if (attrs->tile != 4 && bytes)
        return kt_infer_fail(infer, 2, "tile must be 4 for bytes, but is %lld.", (long long)attrs->tile);
    if (attrs->tile != 2 && attrs->tile != 4)
        return kt_infer_fail(infer, 2, "tile must be 2 or 4, but is %lld.", (long long)attrs->tile);
    if (attrs->line < 0 || attrs->line > (bytes ? 0 : 2))
        return kt_infer_fail(infer, 2, "line must be 0%s, but is %lld.", bytes ? " for bytes" : ", 1 or 2",
                             (long long)attrs->line);
    if (attrs->columns < 1 || attrs->columns > INT32_MAX)
        return kt_infer_fail(infer, 3, "columns must be at least 1 and below 2^31, but is %lld.",
                             (long long)attrs->columns);
    KT_TRY(kt_infer_count(infer, 3, "space", attrs->space.count, 2));
    KT_TRY(kt_infer_count(infer, 4, "low", attrs->low.count, 2));
    kt_type result = {.dtype = bytes ? KT_I32 : x->dtype, .rank = 4, .dims = {x->dims[0]}};
    int64_t points = 1;
    for (int i = 0; i < 2; i++) {
        kt_dim size = attrs->space.at[i];
        KT_TRY(kt_infer_at_least(infer, 3, size, 1, "space[%d]", i));
        const kt_winograd w = kt_winograd_make((int)attrs->tile, (int)attrs->line, i, bytes);
        kt_dim tile = kt_dim_const(pool, w.tile);
        kt_dim padded =
            kt_dim_add_const(pool, kt_dim_mul(pool, kt_dim_ceildiv(pool, size, tile), tile), w.window - 1);
        points *= w.points;
        kt_dim behind = kt_dim_sub(pool, kt_dim_sub(pool, padded, attrs->low.at[i]), x->dims[i + 1]);
        KT_TRY(kt_infer_at_least(infer, 4, attrs->low.at[i], 0, "low[%d]", i));
        KT_TRY(kt_infer_at_least(infer, 4, x->dims[i + 1], 1, "dimension %d of %s", i + 1,
                                 kt_infer_show(infer, x)));
        KT_TRY(kt_infer_at_least(infer, 4, behind, 0, "what whole tiles take behind dimension %d of %s",
                                 i + 1, kt_infer_show(infer, x)));
        result.dims[i + 1] = size;
    }
    int64_t panel, channels;
    if (!kt_dim_is_const(pool, y->dims[3], &panel) || panel < pair || panel % pair != 0)
        return kt_infer_fail(infer, 5, "the kernel %s has no panels.", kt_infer_show(infer, y));
    if (!kt_dim_is_const(pool, y->dims[2], &channels) || channels < 1 || channels > most / pair)
        return kt_infer_fail(infer, 6, "the kernel %s must have 1 to %lld channels.", kt_infer_show(infer, y),
                             (long long)most);
    kt_type wanted = {.dtype = y->dtype, .rank = 4};
    wanted.dims[0] = kt_dim_const(pool, divide_up(attrs->columns, panel / pair));
    wanted.dims[1] = kt_dim_const(pool, points);
    wanted.dims[2] = kt_dim_floordiv(pool, x->dims[3], kt_dim_const(pool, pair));
    wanted.dims[3] = y->dims[3];
    bool paired = kt_dim_divisor(pool, x->dims[3]) % pair == 0;
    if (!paired || !kt_type_equal(&wanted, y))
        return kt_infer_fail(infer, 5, "the kernel must be %s, but is %s.", kt_infer_show(infer, &wanted),
                             kt_infer_show(infer, y));
    result.dims[3] = kt_dim_const(pool, attrs->columns);
    infer->results[0] = result;
    return KT_OK;
}
