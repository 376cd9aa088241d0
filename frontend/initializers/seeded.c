/* Draws by TensorFlow's stateless generators from the pair [seed, 0], as frontend/layers/random/random.c has
 * them in graphs. Of normal numbers that are cut off, TensorFlow makes four at a time, each four from 256
 * blocks of its own, and goes through normal numbers until it has four that do. */
#include "frontend/initializers/seeded.h"
#include "ir/philox.h"

#include <math.h>

enum { WORDS = 4, RESERVED = 256 };

typedef struct generator {
    uint32_t key[2], counter[4];
} generator;

static generator begin(int64_t seed) {
    static const uint32_t scramble[2] = {0x3EC8F720, 0x02461E29};
    const int64_t most = INT32_MAX - 1;
    const uint32_t pair[4] = {(uint32_t)((seed % most + most) % most)};
    uint32_t words[WORDS];
    kt_philox(scramble, pair, 0, words);
    return (generator){{words[0], words[1]}, {0, 0, words[2], words[3]}};
}

/* [0, 1) */
static float as_uniform(uint32_t word) { return (float)(word & 0x7FFFFF) * 0x1p-23F; }

/* After Box and Muller (1958). */
static void as_normal(const uint32_t words[2], float out[2]) {
    float radius = sqrtf(-2 * logf(fmaxf(as_uniform(words[0]), 1e-7F)));
    float angle = (float)(2 * 3.14159265358979323846 * (double)as_uniform(words[1]));
    out[0] = sinf(angle) * radius;
    out[1] = cosf(angle) * radius;
}

/* Normal numbers of a block. */
static void draw_block(const generator *g, uint64_t block, float out[WORDS]) {
    uint32_t words[WORDS];
    kt_philox(g->key, g->counter, block, words);
    as_normal(words, out);
    as_normal(words + 2, out + 2);
}

/* The four of a group that is cut off. */
static void draw_group(const generator *g, uint64_t group, float out[WORDS]) {
    float drawn[WORDS];
    int found = 0;
    for (uint64_t block = group * RESERVED; found < WORDS; block++) {
        draw_block(g, block, drawn);
        for (int i = 0; i < WORDS && found < WORDS; i++)
            if (fabsf(drawn[i]) < 2) out[found++] = drawn[i];
    }
}

void kt_seeded_uniform(int64_t seed, double least, double most, size_t count, double *out) {
    const generator g = begin(seed);
    const float low = (float)least, width = (float)most - low;
    uint32_t words[WORDS];
    for (size_t i = 0; i < count; i++) {
        if (i % WORDS == 0) kt_philox(g.key, g.counter, i / WORDS, words);
        float scaled = as_uniform(words[i % WORDS]) * width;
        out[i] = (double)(scaled + low);
    }
}

void kt_seeded_normal(int64_t seed, double mean, double deviation, bool cut, size_t count, double *out) {
    const generator g = begin(seed);
    float drawn[WORDS];
    for (size_t i = 0; i < count; i++) {
        if (i % WORDS == 0) (cut ? draw_group : draw_block)(&g, i / WORDS, drawn);
        float scaled = drawn[i % WORDS] * (float)deviation;
        out[i] = (double)(scaled + (float)mean);
    }
}
