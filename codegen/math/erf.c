/* The error function: x plus x times a polynomial of x^2 below 1, and 1 - erfc(x) above, with erfc(x) as e to
 * a polynomial, which may be wrong by more where erfc is small beside 1. */
#include "codegen/math/coefficients.h"
#include "codegen/math/math_impl.h"

LLVMValueRef kt_emit_erf(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef size = magnitude(e, x), one = num(e, 1);
    LLVMValueRef small = mad(e, size, POLYNOMIAL(e, mul(e, size, size), erf_excess), size);
    LLVMValueRef limited = clamp(e, size, 0, e->dtype == KT_F64 ? 6 : 4);
    LLVMValueRef large = sub(e, one, kt_emit_exp_normal(e, POLYNOMIAL(e, limited, log_erfc)));
    return with_sign(e, choose(e, below(e, size, one), small, large), x);
}
