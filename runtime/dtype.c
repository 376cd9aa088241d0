/* The dtypes of the runtime's interface, apart from files, so that libraries need not link those. */
#include "runtime/runtime.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[KT_DTYPE_COUNT] = {
    [KT_F32] = {"float32", 4},   [KT_F64] = {"float64", 8},   [KT_F16] = {"float16", 2},
    [KT_BF16] = {"bfloat16", 2}, [KT_I8] = {"int8", 1},       [KT_I16] = {"int16", 2},
    [KT_I32] = {"int32", 4},     [KT_I64] = {"int64", 8},     [KT_U8] = {"uint8", 1},
    [KT_U16] = {"uint16", 2},    [KT_U32] = {"uint32", 4},    [KT_U64] = {"uint64", 8},
    [KT_BOOL] = {"bool", 1},     [KT_STRING] = {"string", 0}, [KT_C64] = {"complex64", 8},
};

size_t kt_abi_dtype_bytes(int32_t dtype) {
    return dtype >= 0 && dtype < KT_DTYPE_COUNT ? dtypes[dtype].bytes : 0;
}
size_t kt_abi_variable_bytes(const kt_abi_variable *variable) {
    size_t bytes = kt_abi_dtype_bytes(variable->dtype);
    for (int axis = 0; axis < variable->rank; axis++) bytes *= (size_t)variable->dims[axis];
    return bytes;
}
const char *kt_abi_dtype_name(int32_t dtype) {
    return dtype >= 0 && dtype < KT_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}
