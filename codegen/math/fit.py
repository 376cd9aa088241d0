#!/usr/bin/env python3
"""Writes coefficients.h: the polynomials of codegen/math.

Needs mpmath. Each polynomial is a weighted least-squares fit in 60 digits over Chebyshev points of its
interval, which is within a small factor of the best one, rounded to doubles (and by the compiler to floats).
Usage: fit.py > coefficients.h
"""
import sys

import mpmath as mp

mp.mp.dps = 60


def fit(function, degree, low, high, weight=lambda x: mp.mpf(1)):
    """Coefficients, lowest first, and the largest weighted error."""
    low, high = mp.mpf(low), mp.mpf(high)
    count = 6 * (degree + 1)
    points = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    rows = mp.matrix(count, degree + 1)
    right = mp.matrix(count, 1)
    for i, x in enumerate(points):
        w = weight(x)
        for j in range(degree + 1):
            rows[i, j] = w * x**j
        right[i] = w * function(x)
    solution = list(mp.lu_solve(rows, right))
    rounded = [mp.mpf(float(c)) for c in solution]
    error = max(abs(weight(x) * (mp.polyval(rounded[::-1], x) - function(x))) for x in points)
    return [float(c) for c in solution], error


def series_at_zero(function, order):
    """function, with its limit where it is 0/0."""
    return lambda x: function(x) if abs(x) > mp.mpf(10) ** -20 else mp.mpf(order)


def of_root(function):
    """A function of z = x^2."""
    return lambda z: function(mp.sqrt(z))


half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")
half = mp.mpf("0.5")
root = mp.sqrt(2)
exp_tail = series_at_zero(lambda r: (mp.exp(r) - 1 - r) / r**2, 0.5)
exp2_tail = series_at_zero(lambda r: (mp.mpf(2) ** r - 1) / r, mp.log(2))
log_tail = series_at_zero(lambda f: (mp.log(1 + f) - f + f**2 / 2) / f**3, mp.mpf(1) / 3)
log_odd = series_at_zero(of_root(lambda s: (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3), mp.mpf(2) / 3)
sin_tail = series_at_zero(of_root(lambda x: (mp.sin(x) - x) / x**3), mp.mpf(-1) / 6)
cos_tail = series_at_zero(of_root(lambda x: (mp.cos(x) - 1 + x**2 / 2) / x**4), mp.mpf(1) / 24)
asin_tail = series_at_zero(of_root(lambda x: (mp.asin(x) - x) / x**3), mp.mpf(1) / 6)
atan_tail = series_at_zero(of_root(lambda x: (mp.atan(x) - x) / x**3), mp.mpf(-1) / 3)
sinh_tail = series_at_zero(of_root(lambda x: (mp.sinh(x) - x) / x**3), mp.mpf(1) / 6)
tanh_tail = series_at_zero(of_root(lambda x: (mp.tanh(x) - x) / x**3), mp.mpf(-1) / 3)
erf_excess = series_at_zero(of_root(lambda x: mp.erf(x) / x - 1), 2 / mp.sqrt(mp.pi) - 1)
quarter_pi = (mp.pi / 4) ** 2 * mp.mpf("1.0001")
log_reach = ((root - 1) / (root + 1)) ** 2 * mp.mpf("1.0001")
atan_reach = (root - 1) ** 2 * mp.mpf("1.0001")


def exp2_weight(r):
    return r / mp.mpf(2) ** r


def log_erfc(x):
    return mp.log(mp.erfc(x))


def log_erfc_slope(x):
    return -log_erfc(x) / x - 1


def erfc_weight(x):
    return x * mp.erfc(x) / mp.erf(x)


TABLES = [
    ("exp_tail_f32", "(e^r - 1 - r) / r^2, |r| <= ln(2) / 2", exp_tail, 4, -half_ln2, half_ln2, None),
    ("exp_tail_f64", "the same", exp_tail, 10, -half_ln2, half_ln2, None),
    ("exp2_tail_f32", "(2^r - 1) / r, |r| <= 1 / 2, weighted by r / 2^r", exp2_tail, 4, -half, half, exp2_weight),
    ("exp2_eighth_tail_f32", "(2^(r/8) - 1) / r, |r| <= 1 / 2, weighted likewise", lambda r: exp2_tail(r / 8) / 8, 2, -half, half, lambda r: 8 * exp2_weight(r / 8)),
    ("exp2_whole_tail_f32", "(2^r - 1) / r, 0 <= r <= 1, weighted likewise", exp2_tail, 4, 0, 1, exp2_weight),
    ("log_tail_f32", "(log(1 + f) - f + f^2 / 2) / f^3, sqrt(1/2) <= 1 + f <= sqrt(2)", log_tail, 8, 1 / root - 1, root - 1, None),
    ("log_odd_f64", "(log((1 + s) / (1 - s)) - 2 s) / s^3 in z = s^2, for the same range", log_odd, 7, 0, log_reach, None),
    ("sin_tail_f64", "(sin(x) - x) / x^3 in z = x^2, |x| <= pi / 4", sin_tail, 6, 0, quarter_pi, None),
    ("cos_tail_f64", "(cos(x) - 1 + x^2 / 2) / x^4 in z = x^2, |x| <= pi / 4", cos_tail, 6, 0, quarter_pi, None),
    ("asin_tail_f64", "(asin(x) - x) / x^3 in z = x^2, |x| <= 1 / 2", asin_tail, 14, 0, mp.mpf(1) / 4, None),
    ("atan_tail_f64", "(atan(x) - x) / x^3 in z = x^2, |x| <= sqrt(2) - 1", atan_tail, 12, 0, atan_reach, None),
    ("sinh_tail_f64", "(sinh(x) - x) / x^3 in z = x^2, |x| <= 1", sinh_tail, 7, 0, 1, None),
    ("tanh_tail_f32", "(tanh(x) - x) / x^3 in z = x^2, |x| <= 0.55", tanh_tail, 4, 0, mp.mpf("0.3025"), None),
    ("erf_excess_f64", "erf(x) / x - 1 in z = x^2, |x| <= 1", erf_excess, 12, 0, 1, None),
    ("log_erfc_slope_f32", "-log(erfc(x)) / x - 1, 0 <= x <= 4, weighted by x erfc(x) / erf(x)", log_erfc_slope, 8, 0, 4, erfc_weight),
    ("log_erfc_f64", "log(erfc(x)), 1 <= x <= 6, weighted by erfc(x)", log_erfc, 20, 1, 6, mp.erfc),
]

print("/* The polynomials of codegen/math, lowest coefficient first. Made by fit.py: do not edit. */")
print("#ifndef KT_CODEGEN_MATH_COEFFICIENTS_H")
print("#define KT_CODEGEN_MATH_COEFFICIENTS_H")
print()
print("// clang-format off")
for name, meaning, function, degree, low, high, weight in TABLES:
    coefficients, error = fit(function, degree, low, high, weight or (lambda x: mp.mpf(1)))
    print(f"/* {meaning} */")
    print(f"static const double {name}[] = {{")
    for c in coefficients:
        print(f"    {c.hex()},")
    print("};")
    print(f"{name}: {mp.nstr(error, 3)}", file=sys.stderr)
print("// clang-format on")
print()
print("#endif")
