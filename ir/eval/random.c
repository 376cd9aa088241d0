/* Random bits, block by block. */
#include "ir/eval/eval_impl.h"
#include "ir/philox.h"

kt_status kt_eval_philox(kt_eval_op *e) {
    const uint32_t *key = e->operands[0].data, *begin = e->operands[1].data;
    uint32_t *out = e->result->data;
    size_t count = kt_tensor_elements(e->result);
    for (size_t block = 0; 4 * block < count; block++) {
        uint32_t words[4];
        kt_philox(key, begin, block, words);
        for (size_t i = 0; i < 4 && 4 * block + i < count; i++) out[4 * block + i] = words[i];
    }
    return KT_OK;
}
