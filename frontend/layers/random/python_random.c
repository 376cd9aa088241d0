/* What Python's random draws once it is given a seed: the Mersenne Twister, MT19937 (Matsumoto and Nishimura,
 * "Mersenne twister: a 623-dimensionally equidistributed uniform pseudo-random number generator", 1998),
 * whose state is mixed from the 32-bit words of the seed's amount. */
#include "frontend/layers/random/random_impl.h"

enum { WORDS = KT_PYTHON_WORDS, AHEAD = 397 };

/* Word i, i > 0, from the one before it, by a factor. */
static uint32_t spread(const uint32_t *words, uint32_t i, uint32_t factor) {
    return (words[i - 1] ^ (words[i - 1] >> 30)) * factor;
}

/* The word behind i; the last is also the one before the first. */
static uint32_t step(uint32_t *words, uint32_t i) {
    if (i + 1 < WORDS) return i + 1;
    words[0] = words[WORDS - 1];
    return 1;
}

void kt_python_seed(kt_python_random *random, int64_t seed) {
    uint64_t amount = seed < 0 ? 0 - (uint64_t)seed : (uint64_t)seed;
    const uint32_t key[2] = {(uint32_t)amount, (uint32_t)(amount >> 32)};
    uint32_t *words = random->words, length = key[1] ? 2 : 1, i = 1;
    words[0] = 19650218;
    for (uint32_t k = 1; k < WORDS; k++) words[k] = spread(words, k, 1812433253) + k;
    for (uint32_t k = 0; k < WORDS; k++, i = step(words, i))
        words[i] = (words[i] ^ spread(words, i, 1664525)) + key[k % length] + k % length;
    for (uint32_t k = 1; k < WORDS; k++, i = step(words, i))
        words[i] = (words[i] ^ spread(words, i, 1566083941)) - i;
    words[0] = UINT32_C(1) << 31;
    random->next = WORDS;
}

static void twist(uint32_t *words) {
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t pair = (words[i] & 0x80000000) | (words[(i + 1) % WORDS] & 0x7FFFFFFF);
        words[i] = words[(i + AHEAD) % WORDS] ^ (pair >> 1) ^ (pair & 1 ? 0x9908B0DF : 0);
    }
}

static uint32_t draw(kt_python_random *random) {
    if (random->next == WORDS) {
        twist(random->words);
        random->next = 0;
    }
    uint32_t word = random->words[random->next++];
    word ^= word >> 11;
    word ^= (word << 7) & 0x9D2C5680;
    word ^= (word << 15) & 0xEFC60000;
    return word ^ (word >> 18);
}

uint32_t kt_python_below(kt_python_random *random, uint32_t count) {
    int bits = 1;
    while (bits < 32 && count >> bits) bits++;
    uint32_t drawn;
    do drawn = draw(random) >> (32 - bits);
    while (drawn >= count);
    return drawn;
}
