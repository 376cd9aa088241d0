/* Dimension expressions as LLVM IR: what kernels and bind functions compute from the symbols' values. */
#include "codegen/llvm/llvm_impl.h"

void kt_llvm_number_symbols(kt_module *module, const kt_graph *graph) {
    const kt_dim *symbols;
    module->symbol_count = kt_program_symbols(graph, module->arena, &symbols);
    uint32_t known = kt_dim_symbol_count(graph->dims);
    module->symbol_slots = KT_NEW_ARRAY(module->arena, uint32_t, known + 1);
    for (uint32_t i = 0; i < known; i++) module->symbol_slots[i] = KT_NO_SLOT;
    for (uint32_t i = 0; i < module->symbol_count; i++) {
        uint32_t index;
        if (kt_dim_is_symbol(graph->dims, symbols[i], &index)) module->symbol_slots[index] = i;
    }
}

static LLVMValueRef integer(const kt_module *module, int64_t value) {
    return LLVMConstInt(LLVMInt64TypeInContext(module->context), (unsigned long long)value, true);
}

/* Floor division and its remainder for a divisor that is not 0: C's quotient, moved down where the signs of
 * remainder and divisor differ. */
static LLVMValueRef divide(const kt_module *module, LLVMBuilderRef builder, LLVMValueRef a, LLVMValueRef b,
                           bool want_mod) {
    LLVMValueRef zero = integer(module, 0);
    LLVMValueRef quotient = LLVMBuildSDiv(builder, a, b, "");
    LLVMValueRef remainder = LLVMBuildSRem(builder, a, b, "");
    LLVMValueRef differs =
        LLVMBuildICmp(builder, LLVMIntSLT, LLVMBuildXor(builder, remainder, b, ""), zero, "");
    LLVMValueRef inexact = LLVMBuildICmp(builder, LLVMIntNE, remainder, zero, "");
    LLVMValueRef down = LLVMBuildAnd(builder, differs, inexact, "");
    if (want_mod)
        return LLVMBuildSelect(builder, down, LLVMBuildAdd(builder, remainder, b, ""), remainder, "");
    return LLVMBuildSelect(builder, down, LLVMBuildSub(builder, quotient, integer(module, 1), ""), quotient,
                           "");
}

LLVMValueRef kt_llvm_dim(kt_module *module, LLVMBuilderRef builder, LLVMValueRef symbols,
                         const kt_graph *graph, kt_dim dim) {
    kt_dim_info info = kt_dim_describe(graph->dims, dim);
    LLVMTypeRef i64 = LLVMInt64TypeInContext(module->context);
    if (info.kind == KT_DIM_CONST) return integer(module, info.value);
    if (info.kind == KT_DIM_SYMBOL) {
        uint32_t slot = module->symbol_slots[info.value];
        if (slot == KT_NO_SLOT)
            KT_BUG("symbol %s is in no input", kt_dim_symbol_name(graph->dims, (uint32_t)info.value));
        LLVMValueRef at = integer(module, slot);
        LLVMValueRef load =
            LLVMBuildLoad2(builder, i64, LLVMBuildInBoundsGEP2(builder, i64, symbols, &at, 1, ""), "");
        unsigned invariant = LLVMGetMDKindIDInContext(module->context, "invariant.load", 14);
        LLVMSetMetadata(load, invariant,
                        LLVMMetadataAsValue(module->context, LLVMMDNodeInContext2(module->context, NULL, 0)));
        return load;
    }
    LLVMValueRef value = kt_llvm_dim(module, builder, symbols, graph, info.terms[0]);
    for (uint32_t i = 1; i < info.term_count; i++) {
        LLVMValueRef term = kt_llvm_dim(module, builder, symbols, graph, info.terms[i]);
        switch (info.kind) {
        case KT_DIM_SUM: value = LLVMBuildAdd(builder, value, term, ""); break;
        case KT_DIM_PRODUCT: value = LLVMBuildMul(builder, value, term, ""); break;
        case KT_DIM_FLOORDIV: value = divide(module, builder, value, term, false); break;
        case KT_DIM_MOD: value = divide(module, builder, value, term, true); break;
        case KT_DIM_MAX:
            value = LLVMBuildSelect(builder, LLVMBuildICmp(builder, LLVMIntSGT, value, term, ""), value, term,
                                    "");
            break;
        case KT_DIM_MIN:
            value = LLVMBuildSelect(builder, LLVMBuildICmp(builder, LLVMIntSLT, value, term, ""), value, term,
                                    "");
            break;
        case KT_DIM_CONST:
        case KT_DIM_SYMBOL: KT_BUG("a leaf has no terms");
        }
    }
    return value;
}
