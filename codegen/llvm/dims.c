/* Dimension expressions as LLVM IR: what kernels and bind functions compute from the symbols' values.
 *
 * A program numbers its symbols in the order in which the inputs of its entries first name them. That order
 * is the users' (`describe` and the typed entry points follow it), and it does not depend on how the graph
 * came about, so a graph that was printed and parsed makes the same code. */
#include "codegen/llvm/llvm_impl.h"

static void number_dim(const kt_module *module, const kt_dim_pool *dims, kt_dim dim, uint32_t *count) {
    kt_dim_info info = kt_dim_describe(dims, dim);
    if (info.kind == KT_DIM_SYMBOL) {
        if (module->symbol_slots[info.value] == KT_NO_SLOT) module->symbol_slots[info.value] = (*count)++;
        return;
    }
    for (uint32_t i = 0; i < info.term_count; i++) number_dim(module, dims, info.terms[i], count);
}

void kt_llvm_number_symbols(kt_module *module, const kt_graph *graph) {
    uint32_t symbols = kt_dim_symbol_count(graph->dims);
    module->symbol_slots = KT_NEW_ARRAY(module->arena, uint32_t, symbols + 1);
    for (uint32_t i = 0; i < symbols; i++) module->symbol_slots[i] = KT_NO_SLOT;
    module->symbol_count = 0;
    for (kt_func func = kt_graph_next(graph, KT_FUNC_ENTRY, 0); func;
         func = kt_graph_next(graph, KT_FUNC_ENTRY, func)) {
        const kt_function *entry = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < entry->params.count; i++) {
            if (entry->params.at[i].role != KT_ROLE_INPUT) continue;
            const kt_type *type = kt_graph_type(graph, entry->params.at[i].value);
            for (int axis = 0; axis < type->rank; axis++)
                number_dim(module, graph->dims, type->dims[axis], &module->symbol_count);
        }
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
