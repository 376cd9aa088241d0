/* From the loop form of a kernel to an LLVM function, by one walk over its instructions.
 *
 * A register becomes an LLVM value; an unrolled loop is walked once a turn, its index a constant then, so
 * that the values of its body's registers are simply overwritten. Each element of a cell is an alloca of its
 * own, which LLVM's SROA turns into registers. A serial loop is made in the form that LLVM would rotate it
 * into: a test before it, its body, a test behind it.
 *
 * A kernel without a parallel loop is one unit of work, which the last part does. */
#include "codegen/llvm/llvm_impl.h"
#include "codegen/math/math.h"

#include <string.h>

typedef struct walker {
    kt_module *module;
    const kt_loops *loops;
    kt_emitter emitter; /* dtype and lanes change with the instruction */
    LLVMValueRef function;
    LLVMValueRef *values;  /* by register */
    LLVMValueRef *buffers; /* by argument */
    LLVMValueRef *cells;   /* by first_cell[cell] + element */
    uint32_t *first_cell;
    uint32_t *ends;          /* by position of a LOOP or IF: that of its END */
    LLVMMetadataRef results; /* alias scope of the results, or NULL */
    LLVMMetadataRef scope;   /* of debug information, or NULL */
} walker;

static LLVMTypeRef i64_type(const walker *w) { return LLVMInt64TypeInContext(w->module->context); }
static LLVMValueRef i64(const walker *w, int64_t value) {
    return LLVMConstInt(i64_type(w), (unsigned long long)value, true);
}
static LLVMValueRef i32(const walker *w, int64_t value) {
    return LLVMConstInt(LLVMInt32TypeInContext(w->module->context), (unsigned long long)value, true);
}

static const kt_emitter *emitter(walker *w, kt_dtype dtype, int lanes) {
    w->emitter.dtype = dtype;
    w->emitter.lanes = lanes;
    return &w->emitter;
}

static LLVMBasicBlockRef append_block(const walker *w, const char *name) {
    return LLVMAppendBasicBlockInContext(w->module->context, w->function, name);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static LLVMValueRef address(walker *w, const kt_code *code, bool in_bounds) {
    bool words = (code->code == KT_CODE_LOAD || code->code == KT_CODE_STORE) && code->flag;
    LLVMTypeRef element =
        kt_emit_memory_type(&w->emitter, words ? KT_I32 : w->loops->buffer_dtypes[code->buffer], 1);
    LLVMValueRef index = w->values[code->a], base = w->buffers[code->buffer];
    LLVMBuilderRef b = w->emitter.builder;
    return in_bounds ? LLVMBuildInBoundsGEP2(b, element, base, &index, 1, "")
                     : LLVMBuildGEP2(b, element, base, &index, 1, "");
}

/* Results never share memory with operands, but in a kernel that is elementwise throughout, which has no
 * cells: there the plan may put a result in an operand's place. */
static void mark_access(const walker *w, LLVMValueRef access, uint32_t buffer) {
    if (!w->results) return;
    const char *kind = w->loops->buffer_is_result[buffer] ? "alias.scope" : "noalias";
    unsigned id = LLVMGetMDKindIDInContext(w->module->context, kind, (unsigned)strlen(kind));
    LLVMSetMetadata(access, id, LLVMMetadataAsValue(w->module->context, w->results));
}

static LLVMMetadataRef alias_scope(const kt_module *module, const char *name) {
    LLVMContextRef context = module->context;
    LLVMMetadataRef label = LLVMMDStringInContext2(context, name, strlen(name));
    LLVMMetadataRef domain = LLVMMDNodeInContext2(context, &label, 1);
    LLVMMetadataRef parts[] = {LLVMMDStringInContext2(context, "results", 7), domain};
    LLVMMetadataRef scope = LLVMMDNodeInContext2(context, parts, 2);
    return LLVMMDNodeInContext2(context, &scope, 1);
}

static LLVMValueRef call_overloaded(const walker *w, const char *name, LLVMTypeRef *types,
                                    unsigned type_count, LLVMValueRef *args, unsigned arg_count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(w->module->module, id, types, type_count);
    LLVMTypeRef signature = LLVMIntrinsicGetType(w->module->context, id, types, type_count);
    return LLVMBuildCall2(w->emitter.builder, signature, function, args, arg_count, "");
}

/* Masked intrinsics want vectors, of one lane too. */
static LLVMValueRef as_vector(const walker *w, LLVMValueRef value) {
    LLVMTypeRef type = LLVMTypeOf(value);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) return value;
    return LLVMBuildInsertElement(w->emitter.builder, LLVMGetPoison(LLVMVectorType(type, 1)), value,
                                  i32(w, 0), "");
}

static LLVMValueRef mask_of(const walker *w, const kt_code *code) {
    if (code->mask) return as_vector(w, w->values[code->mask]);
    kt_emitter all = w->emitter;
    all.dtype = KT_BOOL;
    return as_vector(w, kt_emit_constant(&all, 1, 0));
}

static LLVMValueRef element_bytes(const walker *w, uint32_t buffer) {
    return i32(w, (int64_t)kt_dtype_bytes(w->loops->buffer_dtypes[buffer]));
}

/* Lanes first to first + count of the lanes of low and, behind them, of high. */
static LLVMValueRef pick_lanes(const walker *w, LLVMValueRef low, LLVMValueRef high, unsigned first,
                               unsigned count) {
    LLVMValueRef *lanes = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, count);
    for (unsigned i = 0; i < count; i++) lanes[i] = i32(w, first + i);
    return LLVMBuildShuffleVector(w->emitter.builder, low, high, LLVMConstVector(lanes, count), "");
}

/* A masked access that is wider than a register is made of halves: LLVM 19 would halve it itself, and take a
 * half whose mask it finds to be all false for one whose mask is all true. */
static bool is_wide(const walker *w, uint32_t buffer, LLVMTypeRef vector) {
    int lanes = kt_target_lanes(w->module->target, w->loops->buffer_dtypes[buffer]);
    return (int)LLVMGetVectorSize(vector) > lanes;
}

static LLVMValueRef lane_address(const walker *w, LLVMTypeRef vector, LLVMValueRef at, unsigned lane) {
    LLVMValueRef index = i64(w, lane);
    return LLVMBuildGEP2(w->emitter.builder, LLVMGetElementType(vector), at, &index, 1, "");
}

/* ThreadSanitizer's pass passes over accesses that are wider than 16 bytes, and masked ones; so these are
 * told to its runtime from here. at: where a vector lies, or a vector of addresses. mask: or NULL. */
static void tell_sanitizer(const walker *w, LLVMValueRef at, LLVMTypeRef type, LLVMValueRef mask,
                           bool writes) {
    const char *sanitize = w->module->options.sanitize;
    if (!sanitize || !strstr(sanitize, "thread")) return;
    LLVMBuilderRef b = w->emitter.builder;
    bool scalar = LLVMGetTypeKind(type) != LLVMVectorTypeKind;
    unsigned lanes = scalar ? 1 : LLVMGetVectorSize(type);
    uint64_t bytes = LLVMABISizeOfType(LLVMGetModuleDataLayout(w->module->module), type);
    if (!mask && bytes <= 16) return;
    LLVMTypeRef word = LLVMInt64TypeInContext(w->module->context);
    LLVMTypeRef parameters[] = {LLVMPointerTypeInContext(w->module->context, 0), word};
    LLVMTypeRef signature = LLVMFunctionType(LLVMVoidTypeInContext(w->module->context), parameters, 2, false);
    const char *name = writes ? "__tsan_write_range" : "__tsan_read_range";
    LLVMValueRef function = LLVMGetNamedFunction(w->module->module, name);
    if (!function) function = LLVMAddFunction(w->module->module, name, signature);
    if (!mask) {
        LLVMBuildCall2(b, signature, function, (LLVMValueRef[]){at, i64(w, (int64_t)bytes)}, 2, "");
        return;
    }
    bool addresses = LLVMGetTypeKind(LLVMTypeOf(at)) == LLVMVectorTypeKind;
    for (unsigned i = 0; i < lanes; i++) {
        LLVMValueRef lane =
            addresses ? LLVMBuildExtractElement(b, at, i32(w, i), "") : lane_address(w, type, at, i);
        LLVMValueRef here = LLVMBuildExtractElement(b, mask, i32(w, i), "");
        LLVMValueRef size = LLVMBuildSelect(b, here, i64(w, (int64_t)(bytes / lanes)), i64(w, 0), "");
        LLVMBuildCall2(b, signature, function, (LLVMValueRef[]){lane, size}, 2, "");
    }
}

static LLVMValueRef load_masked(const walker *w, uint32_t buffer, LLVMTypeRef vector, LLVMValueRef from,
                                LLVMValueRef mask) {
    unsigned half = LLVMGetVectorSize(vector) / 2;
    if (is_wide(w, buffer, vector)) {
        LLVMTypeRef part = LLVMVectorType(LLVMGetElementType(vector), half);
        LLVMValueRef low = load_masked(w, buffer, part, from, pick_lanes(w, mask, mask, 0, half));
        LLVMValueRef high = load_masked(w, buffer, part, lane_address(w, vector, from, half),
                                        pick_lanes(w, mask, mask, half, half));
        return pick_lanes(w, low, high, 0, 2 * half);
    }
    LLVMTypeRef types[] = {vector, LLVMTypeOf(from)};
    LLVMValueRef args[] = {from, element_bytes(w, buffer), mask, LLVMConstNull(vector)};
    tell_sanitizer(w, from, vector, mask, false);
    LLVMValueRef loaded = call_overloaded(w, "llvm.masked.load", types, 2, args, 4);
    mark_access(w, loaded, buffer);
    return loaded;
}

static void store_masked(const walker *w, uint32_t buffer, LLVMValueRef value, LLVMValueRef to,
                         LLVMValueRef mask) {
    LLVMTypeRef vector = LLVMTypeOf(value);
    unsigned half = LLVMGetVectorSize(vector) / 2;
    if (is_wide(w, buffer, vector)) {
        store_masked(w, buffer, pick_lanes(w, value, value, 0, half), to, pick_lanes(w, mask, mask, 0, half));
        store_masked(w, buffer, pick_lanes(w, value, value, half, half), lane_address(w, vector, to, half),
                     pick_lanes(w, mask, mask, half, half));
        return;
    }
    LLVMTypeRef types[] = {vector, LLVMTypeOf(to)};
    LLVMValueRef args[] = {value, to, element_bytes(w, buffer), mask};
    tell_sanitizer(w, to, vector, mask, true);
    mark_access(w, call_overloaded(w, "llvm.masked.store", types, 2, args, 4), buffer);
}

static LLVMValueRef emit_load(walker *w, const kt_code *code) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMTypeRef type = kt_emit_memory_type(&w->emitter, code->dtype, code->lanes);
    bool gathers = code->code == KT_CODE_GATHER;
    LLVMValueRef from = address(w, code, !gathers && !code->mask), loaded;
    if (!gathers && !code->mask) {
        tell_sanitizer(w, from, type, NULL, false);
        loaded = LLVMBuildLoad2(b, type, from, "");
        LLVMSetAlignment(loaded, (unsigned)kt_dtype_bytes(w->loops->buffer_dtypes[code->buffer]));
        mark_access(w, loaded, code->buffer);
        return kt_emit_unpack(&w->emitter, loaded);
    }
    LLVMTypeRef vector = code->lanes == 1 ? LLVMVectorType(type, 1) : type;
    if (gathers) {
        LLVMTypeRef types[] = {vector, LLVMTypeOf(from)};
        LLVMValueRef args[] = {from, element_bytes(w, code->buffer), mask_of(w, code), LLVMConstNull(vector)};
        tell_sanitizer(w, from, vector, args[2], false);
        loaded = call_overloaded(w, "llvm.masked.gather", types, 2, args, 4);
        mark_access(w, loaded, code->buffer);
    } else {
        loaded = load_masked(w, code->buffer, vector, from, mask_of(w, code));
    }
    if (code->lanes == 1) loaded = LLVMBuildExtractElement(b, loaded, i32(w, 0), "");
    return kt_emit_unpack(&w->emitter, loaded);
}

static void emit_store(walker *w, const kt_code *code) {
    kt_dtype own = w->loops->buffer_dtypes[code->buffer];
    const kt_emitter *e = emitter(w, code->flag ? KT_I32 : own, code->lanes);
    LLVMValueRef value = kt_emit_pack(e, w->values[code->b]), stored;
    bool scatters = code->code == KT_CODE_SCATTER;
    LLVMValueRef to = address(w, code, !scatters && !code->mask);
    if (!scatters && code->mask) {
        store_masked(w, code->buffer, as_vector(w, value), to, mask_of(w, code));
        return;
    }
    if (scatters) {
        value = as_vector(w, value);
        LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(to)};
        LLVMValueRef args[] = {value, to, element_bytes(w, code->buffer), mask_of(w, code)};
        tell_sanitizer(w, to, LLVMTypeOf(value), args[3], true);
        stored = call_overloaded(w, "llvm.masked.scatter", types, 2, args, 4);
    } else {
        tell_sanitizer(w, to, LLVMTypeOf(value), NULL, true);
        stored = LLVMBuildStore(e->builder, value, to);
        LLVMSetAlignment(stored, (unsigned)kt_dtype_bytes(own));
    }
    mark_access(w, stored, code->buffer);
}

static void emit_prefetch(walker *w, const kt_code *code) {
    LLVMValueRef at = address(w, code, false);
    LLVMTypeRef type = LLVMTypeOf(at);
    /* A read, to be kept in all caches, of data. */
    LLVMValueRef args[] = {at, i32(w, 0), i32(w, 3), i32(w, 1)};
    call_overloaded(w, "llvm.prefetch", &type, 1, args, 4);
}

static LLVMValueRef element_address(const walker *w, uint32_t buffer, kt_reg at) {
    LLVMTypeRef element = kt_emit_memory_type(&w->emitter, w->loops->buffer_dtypes[buffer], 1);
    return LLVMBuildGEP2(w->emitter.builder, element, w->buffers[buffer], &w->values[at], 1, "");
}

/* A call of runtime/blas.c. */
static void emit_product(const walker *w, const kt_product_call *call) {
    enum { MATRICES = 3, SIZES = 8 };
    const kt_reg sizes[SIZES] = {call->rows,    call->columns, call->depth, call->a_row,
                                 call->a_depth, call->b_depth, call->c_row, call->before};
    LLVMValueRef args[MATRICES + SIZES] = {element_address(w, call->a, call->a_at),
                                           element_address(w, call->b, call->b_at),
                                           element_address(w, call->c, call->c_at)};
    LLVMTypeRef params[MATRICES + SIZES];
    for (int i = 0; i < SIZES; i++) args[MATRICES + i] = w->values[sizes[i]];
    for (int i = 0; i < MATRICES + SIZES; i++) params[i] = LLVMTypeOf(args[i]);
    LLVMTypeRef type =
        LLVMFunctionType(LLVMVoidTypeInContext(w->module->context), params, MATRICES + SIZES, false);
    const char *name = w->loops->buffer_dtypes[call->c] == KT_F32 ? "kt_blas_sgemm" : "kt_blas_dgemm";
    LLVMValueRef function = LLVMGetNamedFunction(w->module->module, name);
    if (!function) function = LLVMAddFunction(w->module->module, name, type);
    LLVMBuildCall2(w->emitter.builder, type, function, args, MATRICES + SIZES, "");
}

/* The alloca of an element of a cell, whose index is known by now. */
static LLVMValueRef cell_place(const walker *w, const kt_code *code) {
    int64_t element = 0;
    if (code->a) {
        LLVMValueRef index = w->values[code->a];
        if (!LLVMIsAConstantInt(index))
            KT_BUG("kernel %s: the index of cell %s is no constant", w->loops->name,
                   w->loops->cells.at[code->cell].name);
        element = LLVMConstIntGetSExtValue(index);
    }
    KT_ASSERT(element >= 0 && element < w->loops->cells.at[code->cell].count);
    return w->cells[w->first_cell[code->cell] + element];
}

/* ---- values ---------------------------------------------------------------------------------- */

static LLVMValueRef emit_index(const walker *w, const kt_code *code) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMValueRef x = w->values[code->a], y = w->values[code->b];
    switch (code->index_op) {
    case KT_INDEX_ADD: return LLVMBuildNSWAdd(b, x, y, "");
    case KT_INDEX_SUB: return LLVMBuildNSWSub(b, x, y, "");
    case KT_INDEX_MUL: return LLVMBuildNSWMul(b, x, y, "");
    case KT_INDEX_DIV: return LLVMBuildUDiv(b, x, y, "");
    case KT_INDEX_MOD: return LLVMBuildURem(b, x, y, "");
    case KT_INDEX_MIN: return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, x, y, ""), x, y, "");
    case KT_INDEX_MAX: return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, x, y, ""), x, y, "");
    case KT_INDEX_LT: return LLVMBuildICmp(b, LLVMIntSLT, x, y, "");
    case KT_INDEX_EQ: return LLVMBuildICmp(b, LLVMIntEQ, x, y, "");
    case KT_INDEX_AND: return LLVMBuildAnd(b, x, y, "");
    }
    KT_BUG("index operation %d", (int)code->index_op);
}

/* <0, 1, 2, …> */
static LLVMValueRef lane_numbers(const walker *w, LLVMTypeRef type, int lanes) {
    LLVMValueRef *numbers = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, lanes);
    for (int i = 0; i < lanes; i++) numbers[i] = LLVMConstInt(type, (unsigned)i, false);
    return LLVMConstVector(numbers, (unsigned)lanes);
}

/* The first count lanes. Compared as i32, which is as wide as most of what is masked: i64 lanes would be
 * compared in halves and packed. */
static LLVMValueRef emit_mask(walker *w, LLVMValueRef count, int lanes) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMTypeRef narrow = LLVMInt32TypeInContext(w->module->context);
    LLVMValueRef most = i64(w, lanes), none = i64(w, 0);
    count = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, count, most, ""), most, count, "");
    count = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, count, none, ""), none, count, "");
    const kt_emitter *e = emitter(w, KT_I32, lanes);
    LLVMValueRef limit = kt_emit_splat(e, LLVMBuildTrunc(b, count, narrow, ""));
    return LLVMBuildICmp(b, LLVMIntSLT, lane_numbers(w, narrow, lanes), limit, "");
}

static LLVMValueRef lane_constants(const walker *w, LLVMTypeRef type, const kt_code *code) {
    LLVMValueRef *lanes = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, code->lanes);
    for (int i = 0; i < code->lanes; i++) lanes[i] = LLVMConstInt(type, (uint64_t)code->numbers[i], false);
    return LLVMConstVector(lanes, (unsigned)code->lanes);
}

static LLVMValueRef emit_pick(const walker *w, const kt_code *code) {
    LLVMValueRef from = w->values[code->a];
    LLVMValueRef other = code->b ? w->values[code->b] : LLVMGetPoison(LLVMTypeOf(from));
    LLVMValueRef numbers = lane_constants(w, LLVMInt32TypeInContext(w->module->context), code);
    return LLVMBuildShuffleVector(w->emitter.builder, from, other, numbers, "");
}

static LLVMValueRef emit_value(walker *w, const kt_code *code) {
    const kt_emitter *e = emitter(w, code->dtype, code->lanes);
    LLVMBuilderRef b = e->builder;
    LLVMValueRef x = code->a ? w->values[code->a] : NULL;
    switch (code->code) {
    case KT_CODE_CONST: return kt_emit_constant(e, code->integer, code->number);
    case KT_CODE_LANES: return lane_constants(w, kt_emit_type(e, code->dtype, 1), code);
    case KT_CODE_APPLY: {
        /* A select's condition is bool; all else is told by the first operand. */
        kt_reg typed = code->op == KT_OP_select ? code->b : code->a;
        e = emitter(w, kt_loops_dtype(w->loops, typed), code->lanes);
        return kt_emit_apply(e, code->op, code->dtype, x, code->b ? w->values[code->b] : NULL,
                             code->c ? w->values[code->c] : NULL);
    }
    case KT_CODE_FMA: return kt_emit_fma(e, x, w->values[code->b], w->values[code->c]);
    case KT_CODE_EXP: return kt_emit_exp_up_to_0(e, x);
    case KT_CODE_DOT:
        return (code->flag ? kt_emit_dot_i16 : kt_emit_dot)(e, x, w->values[code->b], w->values[code->c]);
    case KT_CODE_INDEX: return emit_index(w, code);
    case KT_CODE_SPLAT: return kt_emit_splat(e, x);
    case KT_CODE_RAMP:
        return LLVMBuildNSWAdd(b, kt_emit_splat(e, x), lane_numbers(w, i64_type(w), code->lanes), "");
    case KT_CODE_MASK: return emit_mask(w, x, code->lanes);
    case KT_CODE_PICK: return emit_pick(w, code);
    case KT_CODE_FOLD:
        e = emitter(w, code->dtype, kt_loops_lanes(w->loops, code->a));
        return kt_emit_fold(e, code->reduction, x);
    case KT_CODE_LOAD:
    case KT_CODE_GATHER: return emit_load(w, code);
    case KT_CODE_GET:
        return LLVMBuildLoad2(b, kt_emit_type(e, code->dtype, code->lanes), cell_place(w, code), "");
    default: KT_BUG("instruction %d has no value", (int)code->code);
    }
}

/* ---- control --------------------------------------------------------------------------------- */

static void emit_range(walker *w, uint32_t begin, uint32_t end);

static void emit_unrolled(walker *w, const kt_code *code, uint32_t begin, uint32_t end) {
    int64_t first, last, step;
    bool known = kt_loops_is_int(w->loops, code->a, &first) && kt_loops_is_int(w->loops, code->b, &last) &&
                 kt_loops_is_int(w->loops, code->c, &step);
    KT_ASSERT(known && step > 0);
    for (int64_t i = first; i < last; i += step) {
        w->values[code->result] = i64(w, i);
        emit_range(w, begin, end);
    }
}

/* part * units / parts, or of the next part. */
static LLVMValueRef part_bound(const walker *w, LLVMValueRef units, int next) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMValueRef part = LLVMBuildAdd(b, LLVMGetParam(w->function, 2), i64(w, next), "");
    return LLVMBuildUDiv(b, LLVMBuildMul(b, part, units, ""), LLVMGetParam(w->function, 3), "");
}

static void emit_loop(walker *w, const kt_code *code, uint32_t begin, uint32_t end) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMValueRef first = w->values[code->a], last = w->values[code->b], step = w->values[code->c];
    if (code->loop == KT_LOOP_PARALLEL) {
        LLVMValueRef units = last;
        first = part_bound(w, units, 0);
        last = part_bound(w, units, 1);
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b), body = append_block(w, "loop");
    LLVMBasicBlockRef after = append_block(w, "end");
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, first, last, ""), body, after);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef index = LLVMBuildPhi(b, i64_type(w), "");
    w->values[code->result] = index;
    emit_range(w, begin, end);
    kt_llvm_debug_at(w->module, b, w->scope, w->loops, code->node);
    LLVMValueRef next = LLVMBuildNSWAdd(b, index, step, "");
    LLVMValueRef incoming[] = {first, next};
    LLVMBasicBlockRef from[] = {before, LLVMGetInsertBlock(b)};
    LLVMAddIncoming(index, incoming, from, 2);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, last, ""), body, after);
    /* Blocks stand in the order of the code. */
    LLVMMoveBasicBlockAfter(after, LLVMGetInsertBlock(b));
    LLVMPositionBuilderAtEnd(b, after);
}

static void emit_if(walker *w, LLVMValueRef condition, uint32_t begin, uint32_t end) {
    LLVMBuilderRef b = w->emitter.builder;
    LLVMBasicBlockRef then = append_block(w, "then"), after = append_block(w, "end");
    LLVMBuildCondBr(b, condition, then, after);
    LLVMPositionBuilderAtEnd(b, then);
    emit_range(w, begin, end);
    LLVMBuildBr(b, after);
    LLVMMoveBasicBlockAfter(after, LLVMGetInsertBlock(b));
    LLVMPositionBuilderAtEnd(b, after);
}

static void emit_range(walker *w, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++) {
        const kt_code *code = &w->loops->code.at[i];
        kt_llvm_debug_at(w->module, w->emitter.builder, w->scope, w->loops, code->node);
        switch (code->code) {
        case KT_CODE_LOOP:
            if (code->loop == KT_LOOP_UNROLL)
                emit_unrolled(w, code, i + 1, w->ends[i]);
            else
                emit_loop(w, code, i + 1, w->ends[i]);
            i = w->ends[i];
            break;
        case KT_CODE_IF:
            emit_if(w, w->values[code->a], i + 1, w->ends[i]);
            i = w->ends[i];
            break;
        case KT_CODE_STORE:
        case KT_CODE_SCATTER: emit_store(w, code); break;
        case KT_CODE_PREFETCH: emit_prefetch(w, code); break;
        case KT_CODE_PRODUCT: emit_product(w, code->product); break;
        case KT_CODE_SET: LLVMBuildStore(w->emitter.builder, w->values[code->b], cell_place(w, code)); break;
        default: w->values[code->result] = emit_value(w, code);
        }
    }
}

/* ---- the function ---------------------------------------------------------------------------- */

static void match_ends(walker *w) {
    KT_VECTOR(uint32_t) open = {0};
    const kt_loops *loops = w->loops;
    w->ends = KT_NEW_ARRAY(w->module->arena, uint32_t, loops->code.count);
    for (uint32_t i = 0; i < loops->code.count; i++) {
        kt_code_op op = loops->code.at[i].code;
        if (op == KT_CODE_LOOP || op == KT_CODE_IF) KT_PUSH(w->module->arena, &open, i);
        if (op != KT_CODE_END) continue;
        KT_ASSERT(open.count > 0);
        w->ends[open.at[--open.count]] = i;
    }
    KT_ASSERT(open.count == 0);
}

static void make_cells(walker *w) {
    const kt_loops *loops = w->loops;
    uint32_t total = 0;
    w->first_cell = KT_NEW_ARRAY(w->module->arena, uint32_t, loops->cells.count);
    for (kt_cell i = 1; i < loops->cells.count; i++) {
        w->first_cell[i] = total;
        total += loops->cells.at[i].count;
    }
    w->cells = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, total);
    for (kt_cell i = 1; i < loops->cells.count; i++) {
        const kt_cell_info *cell = &loops->cells.at[i];
        LLVMTypeRef type = kt_emit_type(&w->emitter, cell->dtype, cell->lanes);
        for (uint32_t j = 0; j < cell->count; j++)
            w->cells[w->first_cell[i] + j] = LLVMBuildAlloca(w->emitter.builder, type, cell->name);
    }
}

/* A stack that is too small for it must be found out, not jumped over: so its pages are touched in order. */
static void make_scratch(walker *w) {
    const kt_loops *loops = w->loops;
    LLVMTypeRef element = kt_emit_memory_type(&w->emitter, loops->buffer_dtypes[loops->buffer_count], 1);
    LLVMTypeRef type = LLVMArrayType2(element, (uint64_t)loops->scratch_elements);
    LLVMValueRef scratch = LLVMBuildAlloca(w->emitter.builder, type, "scratch");
    LLVMSetAlignment(scratch, 64);
    LLVMAttributeRef probe =
        LLVMCreateStringAttribute(w->module->context, "probe-stack", 11, "inline-asm", 10);
    LLVMAddAttributeAtIndex(w->function, LLVMAttributeFunctionIndex, probe);
    w->buffers[loops->buffer_count] = scratch;
    /* Used at once, so that the stack is made where the function begins: LLVM 19 would else make it later on,
     * in a loop that probes it with a register (r11) that may hold something by then. */
    LLVMSetVolatile(LLVMBuildStore(w->emitter.builder, LLVMConstNull(element), scratch), true);
}

/* Buffers, cells, constants and dimensions: what stands before the code. */
static void emit_entry(walker *w) {
    const kt_loops *loops = w->loops;
    LLVMBuilderRef b = w->emitter.builder;
    LLVMTypeRef pointer = LLVMPointerTypeInContext(w->module->context, 0);
    w->buffers = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, loops->buffer_count + 1);
    w->values = KT_NEW_ARRAY(w->module->arena, LLVMValueRef, loops->registers.count);
    make_cells(w);
    if (loops->scratch_elements) make_scratch(w);
    for (uint32_t i = 0; i < loops->buffer_count; i++) {
        LLVMValueRef at = i64(w, i);
        LLVMValueRef place = LLVMBuildInBoundsGEP2(b, pointer, LLVMGetParam(w->function, 0), &at, 1, "");
        w->buffers[i] = LLVMBuildLoad2(b, pointer, place, "");
    }
    for (kt_reg i = 1; i < loops->registers.count; i++) {
        const kt_code *code = &loops->registers.at[i];
        if (code->code == KT_CODE_CONST || code->code == KT_CODE_LANES) w->values[i] = emit_value(w, code);
        if (code->code == KT_CODE_DIM)
            w->values[i] = kt_llvm_dim(w->module, b, LLVMGetParam(w->function, 1), loops->graph, code->dim);
    }
}

static bool has_parallel_loop(const kt_loops *loops) {
    for (uint32_t i = 0; i < loops->code.count; i++)
        if (loops->code.at[i].code == KT_CODE_LOOP && loops->code.at[i].loop == KT_LOOP_PARALLEL) return true;
    return false;
}

static LLVMValueRef add_function(kt_module *module, const char *name) {
    LLVMTypeRef pointer = LLVMPointerTypeInContext(module->context, 0);
    LLVMTypeRef integer = LLVMInt64TypeInContext(module->context);
    LLVMTypeRef params[] = {pointer, pointer, integer, integer};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(module->context), params, 4, false);
    LLVMValueRef function = LLVMAddFunction(module->module, name, type);
    LLVMSetLinkage(function, LLVMInternalLinkage);
    kt_llvm_set_attributes(module, function);
    return function;
}

LLVMValueRef kt_llvm_kernel(kt_module *module, const kt_loops *loops) {
    walker w = {.module = module, .loops = loops};
    w.function = add_function(module, kt_arena_format(module->arena, "kernel.%s", loops->name));
    w.emitter = (kt_emitter){.context = module->context,
                             .module = module->module,
                             .builder = kt_llvm_builder(module),
                             .target = module->target};
    if (loops->cells.count > 1) w.results = alias_scope(module, loops->name);
    match_ends(&w);
    LLVMBuilderRef b = w.emitter.builder;
    LLVMPositionBuilderAtEnd(b, append_block(&w, "entry"));
    w.scope = kt_llvm_debug_kernel(module, w.function, loops);
    kt_llvm_debug_at(module, b, w.scope, loops, 0);
    emit_entry(&w);
    LLVMBasicBlockRef work = append_block(&w, "work"), done = append_block(&w, "done");
    if (has_parallel_loop(loops)) {
        LLVMBuildBr(b, work);
    } else {
        LLVMValueRef next = LLVMBuildAdd(b, LLVMGetParam(w.function, 2), i64(&w, 1), "");
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntEQ, next, LLVMGetParam(w.function, 3), ""), work, done);
    }
    LLVMPositionBuilderAtEnd(b, work);
    emit_range(&w, 0, loops->code.count);
    kt_llvm_debug_at(module, b, w.scope, loops, 0);
    LLVMBuildBr(b, done);
    LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(b));
    LLVMPositionBuilderAtEnd(b, done);
    LLVMBuildRetVoid(b);
    return w.function;
}
