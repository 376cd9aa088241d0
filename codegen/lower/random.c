/* philox at a position: the block that an element falls into is computed for each of its elements, four times
 * as often as needed, so that lanes need nothing of one another and the bits can be used where they are made.
 *
 * All arithmetic is in u64, whose products of 32-bit numbers are whole. */
#include "codegen/lower/lower_impl.h"

enum { ROUNDS = 10 };

static kt_reg number(kt_loops *loops, int64_t value) { return kt_loops_integer(loops, KT_U64, 1, value); }

static kt_reg apply(kt_loops *loops, kt_op op, kt_reg a, kt_reg b) {
    return kt_loops_apply(loops, op, KT_U64, a, b, 0);
}

static kt_reg low_word(kt_loops *loops, kt_reg x) {
    return apply(loops, KT_OP_and, x, number(loops, 0xFFFFFFFF));
}
static kt_reg high_word(kt_loops *loops, kt_reg x) {
    return apply(loops, KT_OP_shift_right, x, number(loops, 32));
}

static void mix(kt_loops *loops, kt_reg words[4], const kt_reg key[2]) {
    kt_reg k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        kt_reg a = apply(loops, KT_OP_mul, words[0], number(loops, 0xD2511F53));
        kt_reg b = apply(loops, KT_OP_mul, words[2], number(loops, 0xCD9E8D57));
        words[0] = apply(loops, KT_OP_xor, apply(loops, KT_OP_xor, high_word(loops, b), words[1]), k0);
        words[2] = apply(loops, KT_OP_xor, apply(loops, KT_OP_xor, high_word(loops, a), words[3]), k1);
        words[1] = low_word(loops, b);
        words[3] = low_word(loops, a);
        k0 = low_word(loops, apply(loops, KT_OP_add, k0, number(loops, 0x9E3779B9)));
        k1 = low_word(loops, apply(loops, KT_OP_add, k1, number(loops, 0xBB67AE85)));
    }
}

/* Element number i of a short vector, as u64. */
static kt_reg word_of(kt_lower *lower, kt_value vector, int64_t i) {
    const kt_type *type = kt_graph_type(lower->graph, vector);
    kt_position at = kt_position_origin(lower, 1, type->dims, 1);
    at.at[0].at = kt_loops_int(lower->loops, i);
    return kt_loops_apply(lower->loops, KT_OP_cast, KT_U64, kt_lower_value(lower, vector, &at), 0, 0);
}

/* Words low and low + 1 of the counter as one number. */
static kt_reg half_of(kt_lower *lower, kt_value counter, int64_t low) {
    kt_loops *loops = lower->loops;
    kt_reg above = apply(loops, KT_OP_shift_left, word_of(lower, counter, low + 1), number(loops, 32));
    return apply(loops, KT_OP_or, above, word_of(lower, counter, low));
}

kt_reg kt_lower_philox(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    kt_loops *loops = lower->loops;
    kt_reg key[2] = {word_of(lower, node->operands[0], 0), word_of(lower, node->operands[0], 1)};
    kt_reg low = half_of(lower, node->operands[1], 0), high = half_of(lower, node->operands[1], 2);
    kt_reg element = kt_axis_lanes(lower, kt_position_linear(lower, at), at->lanes);
    element = kt_loops_apply(loops, KT_OP_cast, KT_U64, element, 0, 0);
    kt_reg block = apply(loops, KT_OP_add, low, apply(loops, KT_OP_shift_right, element, number(loops, 2)));
    kt_reg carried = kt_loops_apply(loops, KT_OP_lt, KT_BOOL, block, low, 0);
    high = apply(loops, KT_OP_add, high, kt_loops_apply(loops, KT_OP_cast, KT_U64, carried, 0, 0));
    kt_reg words[4] = {low_word(loops, block), high_word(loops, block), low_word(loops, high),
                       high_word(loops, high)};
    mix(loops, words, key);
    kt_reg which = apply(loops, KT_OP_and, element, number(loops, 3)), result = words[3];
    for (int i = 2; i >= 0; i--) {
        kt_reg here = kt_loops_apply(loops, KT_OP_eq, KT_BOOL, which, number(loops, i), 0);
        result = kt_loops_apply(loops, KT_OP_select, KT_U64, here, words[i], result);
    }
    return kt_loops_apply(loops, KT_OP_cast, KT_U32, result, 0, 0);
}
