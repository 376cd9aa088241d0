/* Dimension expressions in polynomial normal form.
 *
 * Every expression is kept as its terms: integer factors times products of atoms, sorted by degree and then
 * by structure (symbols by name), so that the form does not depend on the order in which things were made.
 * Sums and products are multiplied out; a division takes out of itself all that is provably whole. What is
 * left of a division, a remainder, a maximum or a minimum is an atom, interned like all else, so that equal
 * handles mean equal expressions.
 *
 * Numbers saturate at the ends of int64 (never wrap): a size that is too large stays too large. Division and
 * remainder by 0 are 0. Products that would be very large multiplied out stay unexpanded; then, and only
 * then, equal polynomials may have two handles. */
#include "ir/dims_impl.h"
#include "support/table.h"

#include <string.h>

enum {
    MAX_TERMS = 256, /* a product with more terms or a higher degree stays unexpanded */
    MAX_DEGREE = 16,
    MAX_DIVISION_STEPS = 64,
};

struct term {
    kt_dim base; /* an atom, a product of atoms, or 0 for the number 1 */
    int64_t factor;
};

struct node {
    kt_dim_info info;
    const struct term *parts; /* the expression as a polynomial */
    uint32_t part_count;
    uint32_t degree;
    bool unexpanded;
};

struct kt_dim_pool {
    kt_arena *arena;
    kt_table table;
    KT_VECTOR(struct node) nodes; /* [0] unused */
    KT_VECTOR(const char *) symbols;
    KT_VECTOR(kt_dim) symbol_dims;
};

/* ---- numbers that saturate ------------------------------------------------------------------- */

static int64_t clamp(int64_t value) { return value < -INT64_MAX ? -INT64_MAX : value; }

int64_t kt_size_add(int64_t a, int64_t b) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return a < 0 ? -INT64_MAX : INT64_MAX;
    return clamp(sum);
}

int64_t kt_size_mul(int64_t a, int64_t b) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return (a < 0) != (b < 0) ? -INT64_MAX : INT64_MAX;
    return clamp(product);
}

static int64_t floor_divide(int64_t a, int64_t b) {
    if (b == 0) return 0;
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t floor_remainder(int64_t a, int64_t b) {
    if (b == 0) return 0;
    int64_t remainder = a % b;
    return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t next = a % b;
        a = b;
        b = next;
    }
    return a < 0 ? -a : a;
}

/* ---- the pool -------------------------------------------------------------------------------- */

static const struct node *get(const kt_dim_pool *pool, kt_dim dim) {
    KT_ASSERT(dim > 0 && dim < pool->nodes.count);
    return &pool->nodes.at[dim];
}

kt_dim_pool *kt_dim_pool_create(kt_arena *arena) {
    kt_dim_pool *pool = KT_NEW(arena, kt_dim_pool);
    pool->arena = arena;
    KT_PUSH(arena, &pool->nodes, (struct node){0});
    return pool;
}

/* Finds or adds an expression. New: its polynomial is the one term `dim` itself, which the caller may change.
 */
static kt_dim intern(kt_dim_pool *pool, kt_dim_kind kind, int64_t value, const kt_dim *terms, uint32_t count,
                     bool unexpanded, bool *out_new) {
    int64_t small[16];
    int64_t *key = count + 2 <= 16 ? small : KT_NEW_ARRAY(pool->arena, int64_t, count + 2);
    key[0] = (int64_t)kind * 2 + unexpanded;
    key[1] = value;
    for (uint32_t i = 0; i < count; i++) key[2 + i] = terms[i];
    uint32_t next = pool->nodes.count;
    kt_dim dim = *kt_table_add(&pool->table, pool->arena, key, (count + 2) * sizeof *key, next);
    *out_new = dim == next;
    if (dim != next) return dim;
    struct node node = {.degree = 1, .part_count = 1, .unexpanded = unexpanded};
    const kt_dim *copy = count ? kt_arena_copy(pool->arena, terms, count * sizeof *terms) : NULL;
    node.info = (kt_dim_info){.kind = kind, .value = value, .terms = copy, .term_count = count};
    struct term *part = KT_NEW(pool->arena, struct term);
    *part = (struct term){dim, 1};
    node.parts = part;
    KT_PUSH(pool->arena, &pool->nodes, node);
    return dim;
}

static kt_dim atom(kt_dim_pool *pool, kt_dim_kind kind, kt_dim a, kt_dim b) {
    bool is_new = false;
    return intern(pool, kind, 0, (kt_dim[]){a, b}, 2, false, &is_new);
}

kt_dim kt_dim_const(kt_dim_pool *pool, int64_t value) {
    bool is_new = false;
    value = clamp(value);
    kt_dim dim = intern(pool, KT_DIM_CONST, value, NULL, 0, false, &is_new);
    if (is_new) {
        struct node *node = &pool->nodes.at[dim];
        struct term *part = KT_NEW(pool->arena, struct term);
        *part = (struct term){0, value};
        node->parts = part;
        node->part_count = value != 0;
        node->degree = 0;
    }
    return dim;
}

kt_dim kt_dim_symbol(kt_dim_pool *pool, const char *name) {
    for (uint32_t i = 0; i < pool->symbols.count; i++) {
        if (strcmp(pool->symbols.at[i], name) == 0) return pool->symbol_dims.at[i];
    }
    bool is_new = false;
    kt_dim dim = intern(pool, KT_DIM_SYMBOL, pool->symbols.count, NULL, 0, false, &is_new);
    KT_PUSH(pool->arena, &pool->symbols, kt_arena_string(pool->arena, name));
    KT_PUSH(pool->arena, &pool->symbol_dims, dim);
    return dim;
}

uint32_t kt_dim_symbol_count(const kt_dim_pool *pool) { return pool->symbols.count; }
const char *kt_dim_symbol_name(const kt_dim_pool *pool, uint32_t index) {
    KT_ASSERT(index < pool->symbols.count);
    return pool->symbols.at[index];
}

kt_dim_info kt_dim_describe(const kt_dim_pool *pool, kt_dim dim) { return get(pool, dim)->info; }
bool kt_dim_is_unexpanded(const kt_dim_pool *pool, kt_dim dim) { return get(pool, dim)->unexpanded; }
kt_arena *kt_dim_pool_arena(const kt_dim_pool *pool) { return pool->arena; }

bool kt_dim_is_symbol(const kt_dim_pool *pool, kt_dim dim, uint32_t *out_index) {
    const kt_dim_info *info = &get(pool, dim)->info;
    if (info->kind != KT_DIM_SYMBOL) return false;
    if (out_index) *out_index = (uint32_t)info->value;
    return true;
}

bool kt_dim_is_const(const kt_dim_pool *pool, kt_dim dim, int64_t *out_value) {
    const kt_dim_info *info = &get(pool, dim)->info;
    if (info->kind != KT_DIM_CONST) return false;
    if (out_value) *out_value = info->value;
    return true;
}

bool kt_dim_equals(const kt_dim_pool *pool, kt_dim dim, int64_t value) {
    int64_t found = 0;
    return kt_dim_is_const(pool, dim, &found) && found == value;
}

/* ---- polynomials ----------------------------------------------------------------------------- */

/* The order of terms: higher degree first, then by structure. 0, the number 1, comes last. */
static int compare(const kt_dim_pool *pool, kt_dim a, kt_dim b) {
    if (a == b) return 0;
    if (a == 0 || b == 0) return a == 0 ? 1 : -1;
    const struct node *x = get(pool, a), *y = get(pool, b);
    if (x->degree != y->degree) return x->degree > y->degree ? -1 : 1;
    const kt_dim_info *p = &x->info, *q = &y->info;
    if (p->kind != q->kind) return p->kind < q->kind ? -1 : 1;
    if (x->unexpanded != y->unexpanded) return x->unexpanded ? 1 : -1;
    if (p->kind == KT_DIM_SYMBOL) return strcmp(pool->symbols.at[p->value], pool->symbols.at[q->value]);
    if (p->kind == KT_DIM_CONST) return p->value < q->value ? -1 : 1;
    for (uint32_t i = 0; i < p->term_count && i < q->term_count; i++) {
        int order = compare(pool, p->terms[i], q->terms[i]);
        if (order) return order;
    }
    return p->term_count < q->term_count ? -1 : 1;
}

/* The atoms of a term's base; room for the base itself where it is one. */
static uint32_t atoms_of(const kt_dim_pool *pool, const kt_dim *base, const kt_dim **out_atoms) {
    *out_atoms = base;
    if (*base == 0) return 0;
    const struct node *node = get(pool, *base);
    if (node->info.kind != KT_DIM_PRODUCT || node->unexpanded) return 1;
    *out_atoms = node->info.terms;
    return node->info.term_count;
}

/* Of products that stay unexpanded it may be beyond all numbers. */
static uint32_t add_degrees(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

static kt_dim base_of_atoms(kt_dim_pool *pool, const kt_dim *atoms, uint32_t count) {
    if (count == 0) return 0;
    if (count == 1) return atoms[0];
    bool is_new = false;
    kt_dim dim = intern(pool, KT_DIM_PRODUCT, 0, atoms, count, false, &is_new);
    if (is_new) {
        uint32_t degree = 0;
        for (uint32_t i = 0; i < count; i++) degree = add_degrees(degree, get(pool, atoms[i])->degree);
        pool->nodes.at[dim].degree = degree;
    }
    return dim;
}

static kt_dim multiply_bases(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    if (a == 0 || b == 0) return a ? a : b;
    const kt_dim *x = NULL, *y = NULL;
    uint32_t i = 0, j = 0, count = 0;
    uint32_t x_count = atoms_of(pool, &a, &x), y_count = atoms_of(pool, &b, &y);
    kt_dim *merged = KT_NEW_ARRAY(pool->arena, kt_dim, x_count + y_count);
    while (i < x_count || j < y_count) {
        bool from_x = j == y_count || (i < x_count && compare(pool, x[i], y[j]) <= 0);
        merged[count++] = from_x ? x[i++] : y[j++];
    }
    return base_of_atoms(pool, merged, count);
}

/* base / divisor, if the divisor's atoms are all among the base's. */
static bool divide_bases(kt_dim_pool *pool, kt_dim base, kt_dim divisor, kt_dim *out_quotient) {
    const kt_dim *x = NULL, *y = NULL;
    uint32_t j = 0, count = 0;
    uint32_t x_count = atoms_of(pool, &base, &x), y_count = atoms_of(pool, &divisor, &y);
    if (y_count > x_count) return false;
    kt_dim *rest = KT_NEW_ARRAY(pool->arena, kt_dim, x_count);
    for (uint32_t i = 0; i < x_count; i++) {
        if (j < y_count && x[i] == y[j]) {
            j++;
        } else {
            rest[count++] = x[i];
        }
    }
    if (j < y_count) return false;
    *out_quotient = base_of_atoms(pool, rest, count);
    return true;
}

static kt_dim dim_of_term(kt_dim_pool *pool, struct term term) {
    if (term.base == 0) return kt_dim_const(pool, term.factor);
    if (term.factor == 1) return term.base;
    const kt_dim *atoms = NULL;
    uint32_t count = atoms_of(pool, &term.base, &atoms);
    kt_dim *parts = KT_NEW_ARRAY(pool->arena, kt_dim, count + 1);
    parts[0] = kt_dim_const(pool, term.factor);
    memcpy(parts + 1, atoms, count * sizeof *parts);
    bool is_new = false;
    kt_dim dim = intern(pool, KT_DIM_PRODUCT, 0, parts, count + 1, false, &is_new);
    if (is_new) {
        struct node *node = &pool->nodes.at[dim];
        node->parts = kt_arena_copy(pool->arena, &term, sizeof term);
        node->degree = get(pool, term.base)->degree;
    }
    return dim;
}

/* The expression of terms that are sorted, distinct and without zeros. */
static kt_dim dim_of_terms(kt_dim_pool *pool, const struct term *terms, uint32_t count) {
    if (count == 0) return kt_dim_const(pool, 0);
    if (count == 1) return dim_of_term(pool, terms[0]);
    kt_dim *parts = KT_NEW_ARRAY(pool->arena, kt_dim, count);
    for (uint32_t i = 0; i < count; i++) parts[i] = dim_of_term(pool, terms[i]);
    bool is_new = false;
    kt_dim dim = intern(pool, KT_DIM_SUM, 0, parts, count, false, &is_new);
    if (is_new) {
        const struct term *copy = kt_arena_copy(pool->arena, terms, count * sizeof *terms);
        struct node *node = &pool->nodes.at[dim];
        node->parts = copy;
        node->part_count = count;
        node->degree = pool->nodes.at[parts[0]].degree;
    }
    return dim;
}

/* a + scale * b */
static kt_dim add_scaled(kt_dim_pool *pool, kt_dim a, kt_dim b, int64_t scale) {
    const struct node *first = get(pool, a), *second = get(pool, b);
    const struct term *x = first->parts, *y = second->parts;
    uint32_t x_count = first->part_count, y_count = second->part_count, i = 0, j = 0, count = 0;
    struct term *sum = KT_NEW_ARRAY(pool->arena, struct term, x_count + y_count);
    while (i < x_count || j < y_count) {
        int order = j == y_count ? -1 : i == x_count ? 1 : compare(pool, x[i].base, y[j].base);
        struct term term = order <= 0 ? x[i++] : (struct term){y[j].base, 0};
        if (order >= 0) term.factor = kt_size_add(term.factor, kt_size_mul(scale, y[j++].factor));
        if (term.factor != 0) sum[count++] = term;
    }
    return dim_of_terms(pool, sum, count);
}

kt_dim kt_dim_add(kt_dim_pool *pool, kt_dim a, kt_dim b) { return add_scaled(pool, a, b, 1); }
kt_dim kt_dim_sub(kt_dim_pool *pool, kt_dim a, kt_dim b) { return add_scaled(pool, a, b, -1); }
kt_dim kt_dim_add_const(kt_dim_pool *pool, kt_dim a, int64_t b) {
    return add_scaled(pool, a, kt_dim_const(pool, b), 1);
}
kt_dim kt_dim_mul_const(kt_dim_pool *pool, kt_dim a, int64_t b) {
    return add_scaled(pool, kt_dim_const(pool, 0), a, clamp(b));
}

/* a times one term. Multiplying by one base keeps the order of terms. */
static kt_dim multiply_term(kt_dim_pool *pool, kt_dim a, struct term by) {
    const struct term *parts = get(pool, a)->parts;
    uint32_t count = get(pool, a)->part_count;
    struct term *product = KT_NEW_ARRAY(pool->arena, struct term, count);
    for (uint32_t i = 0; i < count; i++) {
        product[i].base = multiply_bases(pool, parts[i].base, by.base);
        product[i].factor = kt_size_mul(parts[i].factor, by.factor);
    }
    return dim_of_terms(pool, product, count);
}

kt_dim kt_dim_unexpanded(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    bool is_new = false;
    bool swap = compare(pool, a, b) > 0;
    kt_dim dim = intern(pool, KT_DIM_PRODUCT, 0, (kt_dim[]){swap ? b : a, swap ? a : b}, 2, true, &is_new);
    /* A degree that keeps further products of it unexpanded too. */
    if (is_new) {
        uint32_t degree = add_degrees(get(pool, a)->degree, get(pool, b)->degree);
        pool->nodes.at[dim].degree = add_degrees(degree, MAX_DEGREE);
    }
    return dim;
}

kt_dim kt_dim_mul(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    int64_t number = 0;
    if (kt_dim_is_const(pool, a, &number)) return kt_dim_mul_const(pool, b, number);
    if (kt_dim_is_const(pool, b, &number)) return kt_dim_mul_const(pool, a, number);
    const struct node *x = get(pool, a), *y = get(pool, b);
    if ((uint64_t)x->part_count * y->part_count > MAX_TERMS ||
        add_degrees(x->degree, y->degree) > MAX_DEGREE) {
        return kt_dim_unexpanded(pool, a, b);
    }
    const struct term *parts = y->parts;
    uint32_t count = y->part_count;
    kt_dim product = kt_dim_const(pool, 0);
    for (uint32_t i = 0; i < count; i++) {
        product = kt_dim_add(pool, product, multiply_term(pool, a, parts[i]));
    }
    return product;
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Both ends included; INT64_MAX and -INT64_MAX also stand for no bound. */
struct interval {
    int64_t low, high;
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static bool is_unbounded(int64_t value) { return value == INT64_MAX || value == -INT64_MAX; }
static int64_t divide_bound(int64_t a, int64_t b) { return is_unbounded(a) ? a : floor_divide(a, b); }

static struct interval bound_product(struct interval a, struct interval b) {
    int64_t corners[4] = {kt_size_mul(a.low, b.low), kt_size_mul(a.low, b.high), kt_size_mul(a.high, b.low),
                          kt_size_mul(a.high, b.high)};
    struct interval product = {corners[0], corners[0]};
    for (int i = 1; i < 4; i++) {
        product.low = least(product.low, corners[i]);
        product.high = most(product.high, corners[i]);
    }
    return product;
}

static struct interval bounds(const kt_dim_pool *pool, kt_dim dim) {
    const struct interval unbounded = {-INT64_MAX, INT64_MAX};
    const kt_dim_info *info = &get(pool, dim)->info;
    if (info->kind == KT_DIM_CONST) return (struct interval){info->value, info->value};
    if (info->kind == KT_DIM_SYMBOL) return (struct interval){1, INT64_MAX};
    struct interval a = bounds(pool, info->terms[0]);
    for (uint32_t i = 1; i < info->term_count; i++) {
        struct interval b = bounds(pool, info->terms[i]);
        switch (info->kind) {
        case KT_DIM_SUM:
            if (is_unbounded(a.low) || is_unbounded(b.low)) b.low = a.low = -INT64_MAX;
            if (is_unbounded(a.high) || is_unbounded(b.high)) b.high = a.high = INT64_MAX;
            a = (struct interval){kt_size_add(a.low, b.low), kt_size_add(a.high, b.high)};
            break;
        case KT_DIM_PRODUCT: a = bound_product(a, b); break;
        case KT_DIM_MAX: a = (struct interval){most(a.low, b.low), most(a.high, b.high)}; break;
        case KT_DIM_MIN: a = (struct interval){least(a.low, b.low), least(a.high, b.high)}; break;
        case KT_DIM_FLOORDIV:
            if (b.low < 1) return unbounded;
            a = (struct interval){least(divide_bound(a.low, b.low), divide_bound(a.low, b.high)),
                                  most(divide_bound(a.high, b.low), divide_bound(a.high, b.high))};
            break;
        case KT_DIM_MOD:
            if (b.low < 1) return unbounded;
            if (a.low < 0) a = (struct interval){0, INT64_MAX};
            a = (struct interval){a.high < b.low ? a.low : 0,
                                  least(a.high, is_unbounded(b.high) ? b.high : b.high - 1)};
            break;
        case KT_DIM_CONST:
        case KT_DIM_SYMBOL: KT_BUG("a dimension of kind %d has no terms", (int)info->kind);
        }
    }
    return a;
}

bool kt_dim_at_least(const kt_dim_pool *pool, kt_dim dim, int64_t bound) {
    int64_t value = 0;
    if (kt_dim_is_const(pool, dim, &value)) return value >= bound;
    int64_t low = bounds(pool, dim).low;
    return !is_unbounded(low) && low >= bound;
}

int64_t kt_dim_divisor(const kt_dim_pool *pool, kt_dim dim) {
    const kt_dim_info *info = &get(pool, dim)->info;
    int64_t divisor = 0;
    switch (info->kind) {
    case KT_DIM_CONST: return gcd(info->value, 0);
    case KT_DIM_SYMBOL:
    case KT_DIM_FLOORDIV: return 1;
    case KT_DIM_PRODUCT:
        divisor = 1;
        for (uint32_t i = 0; i < info->term_count; i++) {
            int64_t with = 0;
            bool overflow = __builtin_mul_overflow(divisor, kt_dim_divisor(pool, info->terms[i]), &with);
            if (!overflow) divisor = with;
        }
        return divisor;
    case KT_DIM_SUM:
    case KT_DIM_MOD:
    case KT_DIM_MAX:
    case KT_DIM_MIN:
        for (uint32_t i = 0; i < info->term_count; i++) {
            divisor = gcd(divisor, kt_dim_divisor(pool, info->terms[i]));
        }
        return divisor;
    }
    return 1;
}

/* ---- division -------------------------------------------------------------------------------- */

/* Polynomial division by the leading term; true if nothing is left. */
static bool divide_exactly(kt_dim_pool *pool, kt_dim a, kt_dim b, kt_dim *out_quotient) {
    struct term lead = get(pool, b)->parts[0];
    kt_dim quotient = kt_dim_const(pool, 0);
    for (int step = 0; step < MAX_DIVISION_STEPS; step++) {
        if (get(pool, a)->part_count == 0) {
            *out_quotient = quotient;
            return true;
        }
        struct term next = get(pool, a)->parts[0];
        if (next.factor % lead.factor != 0) return false;
        next.factor /= lead.factor;
        if (!divide_bases(pool, next.base, lead.base, &next.base)) return false;
        quotient = kt_dim_add(pool, quotient, dim_of_term(pool, next));
        a = kt_dim_sub(pool, a, multiply_term(pool, b, next));
    }
    return false;
}

/* Splits a into whole * b + rest, where rest holds what does not provably divide. Requires b ≥ 1. */
static kt_dim split_whole(kt_dim_pool *pool, kt_dim a, kt_dim b, kt_dim *out_rest) {
    const struct node *divisor = get(pool, b);
    kt_dim whole = kt_dim_const(pool, 0);
    *out_rest = a;
    if (divisor->part_count != 1) {
        if (divide_exactly(pool, a, b, &whole)) *out_rest = kt_dim_const(pool, 0);
        return whole;
    }
    struct term by = divisor->parts[0];
    const struct term *parts = get(pool, a)->parts;
    uint32_t count = get(pool, a)->part_count;
    for (uint32_t i = 0; i < count; i++) {
        struct term quotient = {0, floor_divide(parts[i].factor, by.factor)};
        if (quotient.factor == 0 || !divide_bases(pool, parts[i].base, by.base, &quotient.base)) continue;
        whole = kt_dim_add(pool, whole, dim_of_term(pool, quotient));
        struct term taken = {parts[i].base, kt_size_mul(quotient.factor, by.factor)};
        *out_rest = kt_dim_sub(pool, *out_rest, dim_of_term(pool, taken));
    }
    return whole;
}

/* For a numeric divisor: the factor common to it and to all terms of a but the number. */
static int64_t common_factor(const kt_dim_pool *pool, kt_dim a, int64_t divisor) {
    const struct node *node = get(pool, a);
    for (uint32_t i = 0; i < node->part_count; i++) {
        if (node->parts[i].base) divisor = gcd(divisor, node->parts[i].factor);
    }
    return divisor;
}

/* a without its number, which is given apart. */
static kt_dim split_number(kt_dim_pool *pool, kt_dim a, int64_t *out_number) {
    const struct node *node = get(pool, a);
    *out_number = 0;
    if (node->part_count == 0 || node->parts[node->part_count - 1].base != 0) return a;
    *out_number = node->parts[node->part_count - 1].factor;
    return kt_dim_sub(pool, a, kt_dim_const(pool, *out_number));
}

/* Divides both by their common factor; the number of a is rounded down, out_rest is what that loses. */
static kt_dim reduce_fraction(kt_dim_pool *pool, kt_dim a, int64_t divisor, int64_t *out_common,
                              int64_t *out_rest) {
    int64_t number = 0;
    *out_common = common_factor(pool, a, divisor);
    a = split_number(pool, a, &number);
    bool exact = divide_exactly(pool, a, kt_dim_const(pool, *out_common), &a);
    KT_ASSERT(exact || get(pool, a)->part_count > MAX_DIVISION_STEPS);
    if (!exact) {
        *out_common = 1;
        *out_rest = 0;
        return kt_dim_add_const(pool, a, number);
    }
    *out_rest = floor_remainder(number, *out_common);
    return kt_dim_add_const(pool, a, floor_divide(number, *out_common));
}

kt_dim kt_dim_floordiv(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    int64_t x = 0, y = 0, common = 1, rest = 0;
    bool by_number = kt_dim_is_const(pool, b, &y);
    if (by_number && y == 0) return b;
    if (by_number && y < 0) {
        return kt_dim_floordiv(pool, kt_dim_mul_const(pool, a, -1), kt_dim_const(pool, -y));
    }
    if (kt_dim_is_const(pool, a, &x) && (by_number || x == 0)) return kt_dim_const(pool, floor_divide(x, y));
    if (!kt_dim_at_least(pool, b, 1)) return atom(pool, KT_DIM_FLOORDIV, a, b);
    kt_dim whole = split_whole(pool, a, b, &a);
    if (by_number) {
        a = reduce_fraction(pool, a, y, &common, &rest);
        y /= common;
        int64_t number = 0, inner = 0;
        kt_dim_info info = kt_dim_describe(pool, split_number(pool, a, &number));
        /* (floor(x / m) + c) / n = (x + c * m) / (m * n) */
        if (info.kind == KT_DIM_FLOORDIV && kt_dim_is_const(pool, info.terms[1], &inner) && inner > 0 &&
            !is_unbounded(kt_size_mul(inner, y)) && !is_unbounded(kt_size_mul(inner, number))) {
            a = kt_dim_add_const(pool, info.terms[0], kt_size_mul(inner, number));
            kt_dim quotient = kt_dim_floordiv(pool, a, kt_dim_const(pool, kt_size_mul(inner, y)));
            return kt_dim_add(pool, whole, quotient);
        }
        b = kt_dim_const(pool, y);
        struct interval range = bounds(pool, a);
        int64_t low = floor_divide(range.low, y);
        if (!is_unbounded(range.low) && !is_unbounded(range.high) && low == floor_divide(range.high, y)) {
            return kt_dim_add_const(pool, whole, low);
        }
    } else if (kt_dim_equals(pool, a, 0) ||
               (kt_dim_at_least(pool, a, 0) && kt_dim_at_least(pool, kt_dim_sub(pool, b, a), 1))) {
        return whole;
    }
    return kt_dim_add(pool, whole, atom(pool, KT_DIM_FLOORDIV, a, b));
}

kt_dim kt_dim_ceildiv(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    if (kt_dim_at_least(pool, b, 1)) {
        return kt_dim_floordiv(pool, kt_dim_add(pool, a, kt_dim_add_const(pool, b, -1)), b);
    }
    return kt_dim_mul_const(pool, kt_dim_floordiv(pool, kt_dim_mul_const(pool, a, -1), b), -1);
}

kt_dim kt_dim_mod(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    int64_t x = 0, y = 0, common = 1, rest = 0;
    bool by_number = kt_dim_is_const(pool, b, &y);
    if (by_number && y == 0) return b;
    if (by_number && y < 0) {
        kt_dim opposite = kt_dim_mod(pool, kt_dim_mul_const(pool, a, -1), kt_dim_const(pool, -y));
        return kt_dim_mul_const(pool, opposite, -1);
    }
    if (kt_dim_is_const(pool, a, &x) && (by_number || x == 0))
        return kt_dim_const(pool, floor_remainder(x, y));
    if (!kt_dim_at_least(pool, b, 1)) return atom(pool, KT_DIM_MOD, a, b);
    (void)split_whole(pool, a, b, &a);
    if (by_number) {
        a = reduce_fraction(pool, a, y, &common, &rest);
        b = kt_dim_const(pool, y / common);
    }
    bool fits = kt_dim_at_least(pool, a, 0) && kt_dim_at_least(pool, kt_dim_sub(pool, b, a), 1);
    if (by_number && kt_dim_is_const(pool, a, &x)) {
        a = kt_dim_const(pool, floor_remainder(x, y / common));
        fits = true;
    }
    kt_dim remainder = fits ? a : atom(pool, KT_DIM_MOD, a, b);
    return kt_dim_add_const(pool, kt_dim_mul_const(pool, remainder, common), rest);
}

/* The larger of the two if it is provable which, else 0. */
static kt_dim larger(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    kt_dim difference = kt_dim_sub(pool, a, b);
    if (kt_dim_at_least(pool, difference, 0)) return a;
    return kt_dim_at_least(pool, kt_dim_mul_const(pool, difference, -1), 0) ? b : 0;
}

static kt_dim ordered_atom(kt_dim_pool *pool, kt_dim_kind kind, kt_dim a, kt_dim b) {
    return compare(pool, a, b) <= 0 ? atom(pool, kind, a, b) : atom(pool, kind, b, a);
}

kt_dim kt_dim_max(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    kt_dim found = larger(pool, a, b);
    return found ? found : ordered_atom(pool, KT_DIM_MAX, a, b);
}

kt_dim kt_dim_min(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    kt_dim found = larger(pool, a, b);
    if (found) return found == a ? b : a;
    return ordered_atom(pool, KT_DIM_MIN, a, b);
}

/* ---- values ---------------------------------------------------------------------------------- */

int64_t kt_dim_eval(const kt_dim_pool *pool, kt_dim dim, const int64_t *symbols) {
    const kt_dim_info *info = &get(pool, dim)->info;
    if (info->kind == KT_DIM_CONST) return info->value;
    if (info->kind == KT_DIM_SYMBOL) return clamp(symbols[info->value]);
    int64_t value = kt_dim_eval(pool, info->terms[0], symbols);
    for (uint32_t i = 1; i < info->term_count; i++) {
        int64_t next = kt_dim_eval(pool, info->terms[i], symbols);
        switch (info->kind) {
        case KT_DIM_SUM: value = kt_size_add(value, next); break;
        case KT_DIM_PRODUCT: value = kt_size_mul(value, next); break;
        case KT_DIM_FLOORDIV: value = floor_divide(value, next); break;
        case KT_DIM_MOD: value = floor_remainder(value, next); break;
        case KT_DIM_MAX: value = most(value, next); break;
        case KT_DIM_MIN: value = least(value, next); break;
        case KT_DIM_CONST:
        case KT_DIM_SYMBOL: KT_BUG("a dimension of kind %d has no terms", (int)info->kind);
        }
    }
    return value;
}

kt_dim kt_dim_substitute(kt_dim_pool *pool, kt_dim dim, const kt_dim *replacement) {
    kt_dim_info info = kt_dim_describe(pool, dim);
    if (info.kind == KT_DIM_CONST) return dim;
    if (info.kind == KT_DIM_SYMBOL) return replacement[info.value] ? replacement[info.value] : dim;
    kt_dim result = kt_dim_substitute(pool, info.terms[0], replacement);
    for (uint32_t i = 1; i < info.term_count; i++) {
        kt_dim next = kt_dim_substitute(pool, info.terms[i], replacement);
        switch (info.kind) {
        case KT_DIM_SUM: result = kt_dim_add(pool, result, next); break;
        case KT_DIM_PRODUCT: result = kt_dim_mul(pool, result, next); break;
        case KT_DIM_FLOORDIV: result = kt_dim_floordiv(pool, result, next); break;
        case KT_DIM_MOD: result = kt_dim_mod(pool, result, next); break;
        case KT_DIM_MAX: result = kt_dim_max(pool, result, next); break;
        case KT_DIM_MIN: result = kt_dim_min(pool, result, next); break;
        case KT_DIM_CONST:
        case KT_DIM_SYMBOL: KT_BUG("a dimension of kind %d has no terms", (int)info.kind);
        }
    }
    return result;
}
