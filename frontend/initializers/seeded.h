/* The numbers that initializers with a seed draw in Keras on TensorFlow, as float32. */
#ifndef KT_FRONTEND_INITIALIZERS_SEEDED_H
#define KT_FRONTEND_INITIALIZERS_SEEDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In [least, most). */
void kt_seeded_uniform(int64_t seed, double least, double most, size_t count, double *out);
/* Normal numbers; cut: none that is two deviations from the mean or more. */
void kt_seeded_normal(int64_t seed, double mean, double deviation, bool cut, size_t count, double *out);

#endif
