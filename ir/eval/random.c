/* Random bits by Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): ten
 * rounds of two multiplications on a counter, so that any element can be computed by itself. */
#include "ir/eval/eval_impl.h"

enum { ROUNDS = 10 };

static void mix(uint32_t counter[4], const uint32_t key[2]) {
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
        uint64_t a = (uint64_t)0xD2511F53U * counter[0], b = (uint64_t)0xCD9E8D57U * counter[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ counter[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ counter[3] ^ k1, (uint32_t)a};
        for (int i = 0; i < 4; i++) counter[i] = next[i];
    }
}

kt_status kt_eval_philox(kt_eval_op *e) {
    const uint32_t *key = e->operands[0].data, *begin = e->operands[1].data;
    uint64_t low = begin[0] | (uint64_t)begin[1] << 32, high = begin[2] | (uint64_t)begin[3] << 32;
    uint32_t *out = e->result->data;
    size_t count = kt_tensor_elements(e->result);
    for (size_t block = 0; 4 * block < count; block++) {
        uint64_t at = low + block, above = high + (at < low);
        uint32_t words[4] = {(uint32_t)at, (uint32_t)(at >> 32), (uint32_t)above, (uint32_t)(above >> 32)};
        mix(words, key);
        for (size_t i = 0; i < 4 && 4 * block + i < count; i++) out[4 * block + i] = words[i];
    }
    return KT_OK;
}
