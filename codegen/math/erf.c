/* The error function, 1 - erfc(x).
 *
 * f32: erfc(x) is e to x times a polynomial, from 0 to where it is too small to matter; as e^t - 1 keeps the
 * digits of small results, one piece does. f64: x plus x times a polynomial of x^2 below 1, and e to a
 * polynomial above, which may be wrong by more where erfc is small beside 1. */
#include "codegen/math/coefficients.h"
#include "codegen/math/math_impl.h"

static LLVMValueRef erf_f32(const kt_emitter *e, LLVMValueRef size) {
    LLVMValueRef limited = choose(e, below(e, num(e, 4), size), num(e, 4), size);
    LLVMValueRef slope = TABLE(e, limited, log_erfc_slope_f32);
    LLVMValueRef log_erfc = negate(e, mad(e, limited, slope, limited)), low = NULL;
    if (!e->target->fma) { /* what the sum has rounded off, as its product was rounded, too */
        low = negate(e, sub(e, mul(e, limited, slope), sub(e, negate(e, log_erfc), limited)));
    }
    return negate(e, kt_emit_expm1_normal(e, log_erfc, low));
}

static LLVMValueRef erf_f64(const kt_emitter *e, LLVMValueRef size) {
    LLVMValueRef one = num(e, 1);
    LLVMValueRef small = mad(e, size, TABLE(e, mul(e, size, size), erf_excess_f64), size);
    LLVMValueRef large = sub(e, one, kt_emit_exp_normal(e, TABLE(e, clamp(e, size, 0, 6), log_erfc_f64)));
    return choose(e, below(e, size, one), small, large);
}

LLVMValueRef kt_emit_erf(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef size = magnitude(e, x);
    return with_sign(e, e->dtype == KT_F64 ? erf_f64(e, size) : erf_f32(e, size), x);
}
