/* What a program that evaluates or trains knows besides its graph: a front end finds it, the code generator
 * writes it into the program's tables (runtime/abi.h has their forms). */
#ifndef KERATIN_IR_TRAINING_INFO_H
#define KERATIN_IR_TRAINING_INFO_H

#include <stdbool.h>
#include <stdint.h>

typedef struct kt_training_info {
    const char *const *log_names;
    const int32_t *log_betters; /* 1 where higher is better, -1 where lower is, 0: unknown */
    const int32_t *log_sizes;   /* as in kt_abi_training */
    uint32_t log_count;
    const struct kt_abi_labels *labels; /* of the steps' inputs that are numbers of classes */
    uint32_t label_count;
    const char *config, *metadata;      /* JSON, or NULL */
    const char *optimizer;              /* its name */
    const struct kt_abi_copies *copies; /* what a saved file holds twice */
    uint32_t copies_count;
    const struct kt_abi_merge *merges; /* what it holds with products of others */
    uint32_t merges_count;
    bool train; /* has the entry train_step */
} kt_training_info;

#endif
