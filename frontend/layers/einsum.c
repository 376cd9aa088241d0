/* Einstein sums as one dot_general: a letter of both operands is a batch axis if the result has it, else it
 * is contracted; a letter of one operand alone that the result lacks is summed away before. */
#include "frontend/layers/einsum_impl.h"

#include <ctype.h>
#include <string.h>

/* ---- equations ------------------------------------------------------------------------------- */
static bool read_letters(const char **at, char *out_letters) {
    size_t count = 0;
    for (; isalpha((unsigned char)**at); ++*at) {
        if (count == KT_MAX_RANK || memchr(out_letters, **at, count)) return false;
        out_letters[count++] = **at;
    }
    out_letters[count] = '\0';
    return count > 0;
}

static bool skip(const char **at, const char *text) {
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0) return false;
    *at += length;
    return true;
}

bool kt_einsum_read(const char *equation, kt_einsum *out_einsum) {
    kt_einsum *e = out_einsum;
    const char *at = equation;
    *e = (kt_einsum){.elided_before = skip(&at, "...")};
    if (!read_letters(&at, e->x)) return false;
    e->elided_behind = !e->elided_before && skip(&at, "...");
    if (!skip(&at, ",") || !read_letters(&at, e->y) || !skip(&at, "->")) return false;
    if (e->elided_before && !skip(&at, "...")) return false;
    if (!read_letters(&at, e->result)) return false;
    if (e->elided_behind && !skip(&at, "...")) return false;
    for (const char *letter = e->result; *letter; letter++) {
        if (!strchr(e->x, *letter) && !strchr(e->y, *letter)) return false;
    }
    return *at == '\0';
}

/* ---- graphs ---------------------------------------------------------------------------------- */
/* An operand without the axes that neither the other operand nor the result has. letters is changed with it.
 */
static kt_value sum_away(kt_builder *builder, kt_value x, char *letters, const char *other,
                         const char *result) {
    kt_ints axes = {0};
    size_t kept = 0;
    for (size_t i = 0; letters[i]; i++) {
        if (strchr(other, letters[i]) || strchr(result, letters[i]))
            letters[kept++] = letters[i];
        else
            axes.at[axes.count++] = (int64_t)i;
    }
    letters[kept] = '\0';
    return axes.count ? kt_build_reduce(builder, x, KT_REDUCE_SUM, axes.count, axes.at) : x;
}

static void add_pair(kt_ints *lhs, kt_ints *rhs, const char *x, const char *y, char letter) {
    lhs->at[lhs->count++] = strchr(x, letter) - x;
    rhs->at[rhs->count++] = strchr(y, letter) - y;
}

/* Does the result name the axes that y alone has before those that x alone has? */
static bool is_turned(const kt_einsum *e) {
    const char *letter = e->result;
    while (*letter && strchr(e->x, *letter) && strchr(e->y, *letter)) letter++;
    return *letter && !strchr(e->x, *letter);
}

kt_value kt_einsum_build(kt_builder *builder, const kt_einsum *einsum, kt_value x, kt_value y) {
    kt_einsum e = *einsum;
    if (is_turned(&e)) { /* then the contraction's axes come in the result's order */
        kt_einsum turned = e;
        memcpy(turned.x, e.y, sizeof turned.x);
        memcpy(turned.y, e.x, sizeof turned.y);
        kt_value first = y;
        e = turned;
        y = x;
        x = first;
    }
    x = sum_away(builder, x, e.x, e.y, e.result);
    y = sum_away(builder, y, e.y, e.x, e.result);
    kt_attrs_dot_general attrs = {0};
    char order[2 * KT_MAX_RANK + 1]; /* letters of the contraction's axes */
    size_t count = 0;
    for (const char *letter = e.result; *letter; letter++) {
        if (!strchr(e.x, *letter) || !strchr(e.y, *letter)) continue;
        add_pair(&attrs.lhs_batch, &attrs.rhs_batch, e.x, e.y, *letter);
        order[count++] = *letter;
    }
    for (const char *letter = e.x; *letter; letter++) {
        if (!strchr(e.y, *letter))
            order[count++] = *letter;
        else if (!strchr(e.result, *letter))
            add_pair(&attrs.lhs_contract, &attrs.rhs_contract, e.x, e.y, *letter);
    }
    for (const char *letter = e.y; *letter; letter++) {
        if (!strchr(e.x, *letter)) order[count++] = *letter;
    }
    order[count] = '\0';
    kt_value sum = kt_build_dot_general(builder, x, y, &attrs);
    int64_t axes[KT_MAX_RANK];
    bool moved = false;
    for (size_t i = 0; i < count && i < KT_MAX_RANK; i++) {
        axes[i] = strchr(order, e.result[i]) - order;
        moved |= axes[i] != (int64_t)i;
    }
    return moved ? kt_build_transpose(builder, sum, axes) : sum;
}
