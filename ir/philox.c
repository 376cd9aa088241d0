#include "ir/philox.h"

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

void kt_philox(const uint32_t key[2], const uint32_t counter[4], uint64_t block, uint32_t out_words[4]) {
    uint64_t low = counter[0] | (uint64_t)counter[1] << 32, high = counter[2] | (uint64_t)counter[3] << 32;
    uint64_t at = low + block, above = high + (at < low);
    out_words[0] = (uint32_t)at;
    out_words[1] = (uint32_t)(at >> 32);
    out_words[2] = (uint32_t)above;
    out_words[3] = (uint32_t)(above >> 32);
    mix(out_words, key);
}
