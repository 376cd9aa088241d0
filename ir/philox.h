/* Random bits by Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): ten
 * rounds of two multiplications on a counter, so that any element can be computed by itself. */
#ifndef KT_IR_PHILOX_H
#define KT_IR_PHILOX_H

#include <stdint.h>

/* The four words of block number `block` of a generator that begins at counter, whose words have the lowest first. */
void kt_philox(const uint32_t key[2], const uint32_t counter[4], uint64_t block, uint32_t out_words[4]);

#endif
