/* The polynomials of codegen/math, lowest coefficient first. Made by fit.py: do not edit. */
#ifndef KT_CODEGEN_MATH_COEFFICIENTS_H
#define KT_CODEGEN_MATH_COEFFICIENTS_H

// clang-format off
/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2 */
static const double exp_tail_f32[] = {
    0x1.0000000b9226ap-1,
    0x1.5554dcf0d8fdcp-3,
    0x1.5554e90218711p-5,
    0x1.120b739cc92a8p-7,
    0x1.6d4328b3180cbp-10,
};
/* the same */
static const double exp_tail_f64[] = {
    0x1.0000000000000p-1,
    0x1.5555555555557p-3,
    0x1.5555555555557p-5,
    0x1.11111111100dbp-7,
    0x1.6c16c16c15a68p-10,
    0x1.a01a01abe824dp-13,
    0x1.a01a01a9e9aaep-16,
    0x1.71de02312a642p-19,
    0x1.27e4d4192b23bp-22,
    0x1.af4dea43cc39ep-26,
    0x1.1f7f27da618f1p-29,
};
/* (2^r - 1) / r, |r| <= 1 / 2, weighted by r / 2^r */
static const double exp2_tail_f32[] = {
    0x1.62e4250b3087dp-1,
    0x1.ebf9b60fe14fcp-3,
    0x1.c6baa99e3330ap-5,
    0x1.3cec152bcd9dap-7,
    0x1.5a850266eacfap-10,
};
/* (2^(r/8) - 1) / r, |r| <= 1 / 2, weighted likewise */
static const double exp2_eighth_tail_f32[] = {
    0x1.62e431dab6f2ap-4,
    0x1.ec0c49c46d28ep-9,
    0x1.c690ba3f2ec8ep-14,
};
/* (2^r - 1) / r, 0 <= r <= 1, weighted likewise */
static const double exp2_whole_tail_f32[] = {
    0x1.62e4bc455f095p-1,
    0x1.ebdb2f0810f63p-3,
    0x1.c91e04e767cdep-5,
    0x1.2775753b916a4p-7,
    0x1.e978855930bd7p-10,
};
/* (log(1 + f) - f + f^2 / 2) / f^3, sqrt(1/2) <= 1 + f <= sqrt(2) */
static const double log_tail_f32[] = {
    0x1.555553e541d66p-2,
    -0x1.fffff14d2c894p-3,
    0x1.999d4f2952f6cp-3,
    -0x1.555ed778370f5p-3,
    0x1.23d6b50e563e8p-3,
    -0x1.fc5b4c7f7d517p-4,
    0x1.dda7ce6942586p-4,
    -0x1.d9f4d56fb9378p-4,
    0x1.24da9a75bccb1p-4,
};
/* (log((1 + s) / (1 - s)) - 2 s) / s^3 in z = s^2, for the same range */
static const double log_odd_f64[] = {
    0x1.5555555555555p-1,
    0x1.9999999999a39p-2,
    0x1.2492492476ac6p-2,
    0x1.c71c72018d701p-3,
    0x1.745cf8f0676c5p-3,
    0x1.3b1c39558416fp-3,
    0x1.0fbe321091854p-3,
    0x1.0c077296f3d64p-3,
};
/* (sin(x) - x) / x^3 in z = x^2, |x| <= pi / 4 */
static const double sin_tail_f64[] = {
    -0x1.5555555555555p-3,
    0x1.1111111111110p-7,
    -0x1.a01a01a019937p-13,
    0x1.71de3a5460861p-19,
    -0x1.ae645412a8375p-26,
    0x1.61217ef3102afp-33,
    -0x1.ab17c4f676d6cp-41,
};
/* (cos(x) - 1 + x^2 / 2) / x^4 in z = x^2, |x| <= pi / 4 */
static const double cos_tail_f64[] = {
    0x1.5555555555555p-5,
    -0x1.6c16c16c16c16p-10,
    0x1.a01a01a019d0ap-16,
    -0x1.27e4fb7712ceep-22,
    0x1.1eed8deb89df1p-29,
    -0x1.9394b9f5eb64ep-37,
    0x1.ab784cf87d9dfp-45,
};
/* (asin(x) - x) / x^3 in z = x^2, |x| <= 1 / 2 */
static const double asin_tail_f64[] = {
    0x1.5555555555555p-3,
    0x1.333333333332cp-4,
    0x1.6db6db6db7d4dp-5,
    0x1.f1c71c70e3fdfp-6,
    0x1.6e8ba31ec95dep-6,
    0x1.1c4ebd3164d16p-6,
    0x1.c99b09d5006c8p-7,
    0x1.7a7022326ee2fp-7,
    0x1.40e9b7def4b4cp-7,
    0x1.0a6d9427a44bep-7,
    0x1.210154d0d4308p-7,
    0x1.38dfb6707e15ap-12,
    0x1.747690a71d908p-6,
    -0x1.8d551fbb02b8ep-6,
    0x1.f9761ba184924p-6,
};
/* (atan(x) - x) / x^3 in z = x^2, |x| <= sqrt(2) - 1 */
static const double atan_tail_f64[] = {
    -0x1.5555555555555p-2,
    0x1.9999999999997p-3,
    -0x1.24924924920c6p-3,
    0x1.c71c71c6df0a4p-4,
    -0x1.745d1735ad23bp-4,
    0x1.3b13aeb32e645p-4,
    -0x1.1110cfa9cba5bp-4,
    0x1.e1d8fe92a620bp-5,
    -0x1.aebddec611b04p-5,
    0x1.82a16a14c90f5p-5,
    -0x1.504dadb6a97dbp-5,
    0x1.f63c677ecc42fp-6,
    -0x1.c8a75e82cdb69p-7,
};
/* (sinh(x) - x) / x^3 in z = x^2, |x| <= 1 */
static const double sinh_tail_f64[] = {
    0x1.5555555555555p-3,
    0x1.1111111111111p-7,
    0x1.a01a01a01a001p-13,
    0x1.71de3a556f96fp-19,
    0x1.ae6456792a2b6p-26,
    0x1.612467ccea4c8p-33,
    0x1.ae777c0e26b5cp-41,
    0x1.99f08c174be43p-49,
};
/* (tanh(x) - x) / x^3 in z = x^2, |x| <= 0.55 */
static const double tanh_tail_f32[] = {
    -0x1.5555547808febp-2,
    0x1.110fef896470cp-3,
    -0x1.b9a19a935661ep-5,
    0x1.5d302127a9bf2p-6,
    -0x1.b191f21352346p-8,
};
/* erf(x) / x - 1 in z = x^2, |x| <= 1 */
static const double erf_excess_f64[] = {
    0x1.06eba8214db69p-3,
    -0x1.812746b0379e6p-2,
    0x1.ce2f21a042b32p-4,
    -0x1.b82ce31284e9cp-6,
    0x1.565bcd0dbc1adp-8,
    -0x1.c02db3db06d60p-11,
    0x1.f9a321dd3898cp-14,
    -0x1.f4d1e3a67dc3ep-17,
    0x1.b9df2954a9147p-20,
    -0x1.5f1f0634fb062p-23,
    0x1.f7b72e5bcd4ffp-27,
    -0x1.38a4b8db8a7c5p-30,
    0x1.0613987edce0dp-34,
};
/* -log(erfc(x)) / x - 1, 0 <= x <= 4, weighted by x erfc(x) / erf(x) */
static const double log_erfc_slope_f32[] = {
    0x1.06eba89f06761p-3,
    0x1.45f2fbc79d62dp-1,
    0x1.a4f9a7fefa630p-4,
    -0x1.39c1e441e0894p-6,
    -0x1.5c42ad58a41e3p-13,
    0x1.b69307c1f39e9p-10,
    -0x1.4d96b50b97c08p-11,
    0x1.f19c6dfdeebb0p-14,
    -0x1.3a74fa5cdc305p-17,
};
/* log(erfc(x)), 1 <= x <= 6, weighted by erfc(x) */
static const double log_erfc_f64[] = {
    0x1.e11dee716b56ep-26,
    -0x1.20dd7af7e6355p+0,
    -0x1.45f2bf7d01acdp-1,
    -0x1.a4fd4e3fa9850p-4,
    0x1.39c05f7e83aa6p-6,
    0x1.5ca3a88f6703dp-13,
    -0x1.ab09a503a2f54p-10,
    0x1.095d2371228e3p-11,
    0x1.f1529d682efffp-15,
    -0x1.1b5ff8c909f6ap-13,
    0x1.45e1d3601da83p-14,
    -0x1.f561ed2ea9293p-16,
    0x1.25f244dafeb8dp-17,
    -0x1.10f3b1f4abbdap-19,
    0x1.94edb7b0bb460p-22,
    -0x1.dc81094c633c0p-25,
    0x1.b40fe411d2728p-28,
    -0x1.2b92bbd016037p-31,
    0x1.22d3a72e63ed6p-35,
    -0x1.63af68151fc91p-40,
    0x1.9bf8384d09b9cp-46,
};
// clang-format on

#endif
