/* Element types and tensor types. */
#include "ir/types.h"

#include <string.h>

enum { FLOAT = 1, SIGNED = 2, UNSIGNED = 4 };

static const struct {
    const char *name, *keras_name;
    uint8_t bytes, domain;
} dtypes[KT_DTYPE_COUNT] = {
    [KT_F32] = {"f32", "float32", 4, FLOAT},   [KT_F64] = {"f64", "float64", 8, FLOAT},
    [KT_F16] = {"f16", "float16", 2, FLOAT},   [KT_BF16] = {"bf16", "bfloat16", 2, FLOAT},
    [KT_I8] = {"i8", "int8", 1, SIGNED},       [KT_I16] = {"i16", "int16", 2, SIGNED},
    [KT_I32] = {"i32", "int32", 4, SIGNED},    [KT_I64] = {"i64", "int64", 8, SIGNED},
    [KT_U8] = {"u8", "uint8", 1, UNSIGNED},    [KT_U16] = {"u16", "uint16", 2, UNSIGNED},
    [KT_U32] = {"u32", "uint32", 4, UNSIGNED}, [KT_U64] = {"u64", "uint64", 8, UNSIGNED},
    [KT_BOOL] = {"bool", "bool", 1, 0},        [KT_STRING] = {"string", "string", 0, 0},
    [KT_C64] = {"c64", "complex64", 8, 0},
};

const char *kt_dtype_name(kt_dtype dtype) {
    KT_ASSERT(dtype < KT_DTYPE_COUNT);
    return dtypes[dtype].name;
}

const char *kt_dtype_keras_name(kt_dtype dtype) {
    KT_ASSERT(dtype < KT_DTYPE_COUNT);
    return dtypes[dtype].keras_name;
}

bool kt_dtype_parse(const char *name, kt_dtype *out_dtype) {
    for (int i = 0; i < KT_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, name) != 0) continue;
        *out_dtype = (kt_dtype)i;
        return true;
    }
    return false;
}

bool kt_dtype_parse_keras(const char *name, kt_dtype *out_dtype) {
    for (int i = 0; i < KT_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].keras_name, name) != 0) continue;
        *out_dtype = (kt_dtype)i;
        return true;
    }
    return false;
}

size_t kt_dtype_bytes(kt_dtype dtype) {
    KT_ASSERT(dtype < KT_DTYPE_COUNT);
    return dtypes[dtype].bytes;
}

static bool is_in(kt_dtype dtype, int domain) {
    KT_ASSERT(dtype < KT_DTYPE_COUNT);
    return (dtypes[dtype].domain & domain) != 0;
}

bool kt_dtype_is_float(kt_dtype dtype) { return is_in(dtype, FLOAT); }
bool kt_dtype_is_signed_integer(kt_dtype dtype) { return is_in(dtype, SIGNED); }
bool kt_dtype_is_unsigned_integer(kt_dtype dtype) { return is_in(dtype, UNSIGNED); }
bool kt_dtype_is_integer(kt_dtype dtype) { return is_in(dtype, SIGNED | UNSIGNED); }

bool kt_type_equal(const kt_type *a, const kt_type *b) {
    return a->dtype == b->dtype && kt_type_same_shape(a, b);
}

bool kt_type_same_shape(const kt_type *a, const kt_type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i]) return false;
    }
    return true;
}

kt_dim kt_type_elements(kt_dim_pool *pool, const kt_type *type) {
    kt_dim elements = kt_dim_const(pool, 1);
    for (int i = 0; i < type->rank; i++) elements = kt_dim_mul(pool, elements, type->dims[i]);
    return elements;
}

kt_dim kt_type_bytes(kt_dim_pool *pool, const kt_type *type) {
    return kt_dim_mul_const(pool, kt_type_elements(pool, type), (int64_t)kt_dtype_bytes(type->dtype));
}

bool kt_type_is_static(const kt_dim_pool *pool, const kt_type *type) {
    for (int i = 0; i < type->rank; i++) {
        if (!kt_dim_is_const(pool, type->dims[i], NULL)) return false;
    }
    return true;
}

int64_t kt_type_static_elements(const kt_dim_pool *pool, const kt_type *type) {
    int64_t elements = 1;
    for (int i = 0; i < type->rank; i++) {
        int64_t dim = 0;
        if (!kt_dim_is_const(pool, type->dims[i], &dim)) return -1;
        elements = kt_size_mul(elements, dim);
    }
    return elements;
}

int64_t kt_type_static_bytes(const kt_dim_pool *pool, const kt_type *type) {
    int64_t elements = kt_type_static_elements(pool, type);
    return elements < 0 ? -1 : kt_size_mul(elements, (int64_t)kt_dtype_bytes(type->dtype));
}

void kt_type_print(const kt_dim_pool *pool, const kt_type *type, kt_text *out_text) {
    kt_text_format(out_text, "%s[", kt_dtype_name(type->dtype));
    for (int i = 0; i < type->rank; i++) {
        if (i) kt_text_add(out_text, ",");
        kt_dim_print(pool, type->dims[i], out_text);
    }
    kt_text_add(out_text, "]");
}

const char *kt_type_string(const kt_dim_pool *pool, const kt_type *type, kt_arena *arena) {
    kt_text text = {.arena = arena};
    kt_type_print(pool, type, &text);
    return kt_text_string(&text);
}

kt_type kt_type_scalar(kt_dtype dtype) { return (kt_type){.dtype = dtype}; }

kt_type kt_type_of(kt_dim_pool *pool, kt_dtype dtype, int rank, const int64_t *dims) {
    KT_ASSERT(rank >= 0 && rank <= KT_MAX_RANK);
    kt_type type = {.dtype = dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) type.dims[i] = kt_dim_const(pool, dims[i]);
    return type;
}
