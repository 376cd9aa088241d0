/* Operations that are refused, and why: a model that holds one is told in a sentence of its own. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

#define CODE    "holds Python functions, which are never executed; write it with Keras's layers and operations."
#define RANDOM  "draws random numbers for each prediction, which is not supported yet."
#define LINEAR  "is linear algebra that needs a factorization, which is not supported yet."
#define FOURIER "is a Fourier transform, which is not supported yet."
#define SORTS   "sorts by data, which is not supported yet."
#define COMPLEX "deals in complex numbers, which are not supported yet."
#define SIZE    "gives a tensor whose size depends on the data, which is not supported yet."

static const struct {
    const char *module, *name, *reason;
} refused[] = {
#define KT_REFUSED(module, name, reason) {KT_OPERATION_##module, name, reason},
#include "frontend/operations/refused.def"
#undef KT_REFUSED
};

const char *kt_operation_refusal(const char *module, const char *name) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(refused[i].name, name) == 0 && strcmp(refused[i].module, module) == 0)
            return refused[i].reason;
    return NULL;
}
