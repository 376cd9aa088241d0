/* What the writer and the reader of the protobuf form share. */
#ifndef KT_IR_PACKED_PACKED_IMPL_H
#define KT_IR_PACKED_PACKED_IMPL_H

#include "ir/ir.h"
#include "keratin.pb-c.h"

#include <assert.h>

#define KT_PACKED_FORMAT "keratin"
enum { KT_PACKED_VERSION = 1, KT_PACKED_ALIGNMENT = 64 /* of data in the file beside */ };

/* The schema's numbers are ours. */
static_assert((int)KERATIN__DTYPE__F32 == KT_F32 && (int)KERATIN__DTYPE__BOOL == KT_BOOL &&
                  (int)KERATIN__DTYPE__C64 == KT_C64 && KT_C64 + 1 == KT_DTYPE_COUNT,
              "Dtype");
static_assert((int)KERATIN__ROLE__PLAIN == KT_ROLE_PLAIN && (int)KERATIN__ROLE__INPUT == KT_ROLE_INPUT &&
                  (int)KERATIN__ROLE__CONSTANT == KT_ROLE_CONSTANT,
              "Role");
static_assert((int)KERATIN__KIND__ENTRY == KT_FUNC_ENTRY && (int)KERATIN__KIND__KERNEL == KT_FUNC_KERNEL &&
                  (int)KERATIN__KIND__STEP == KT_FUNC_STEP,
              "Kind");

/* FILE.data, which is beside FILE.kpb where its weights are too large for it. */
static inline const char *kt_packed_beside(kt_arena *arena, const char *path) {
    return kt_arena_format(arena, "%s.data", path);
}

#endif
