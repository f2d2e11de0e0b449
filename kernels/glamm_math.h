/* Elementary and special functions as branch-free inline C that compilers vectorise in plain loops.
 *
 * Strict floating point is assumed (never -ffast-math: it would fold the additions of 1.5 * 2^52 away).
 * Results are within a few units in the last place; every comment says where an argument is clamped.
 */
#ifndef GLAMM_MATH_H
#define GLAMM_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "glamm_coefficients.h"

#if defined(__GNUC__)
#define GLAMM_INLINE static inline __attribute__((always_inline, unused))
#elif defined(_MSC_VER)
#define GLAMM_INLINE static __forceinline
#else
#define GLAMM_INLINE static inline
#endif

#if defined(__clang__)
#define GLAMM_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define GLAMM_LOOP _Pragma("GCC ivdep")
#else
#define GLAMM_LOOP
#endif

#define GLAMM_HALF_LOG_2PI 0.91893853320467274178
#define GLAMM_LOG_SQRT_PI 0.57236494292470008707
#define GLAMM_LOG_2 0.69314718055994530942
#define GLAMM_SQRT_HALF 0.70710678118654752440
#define GLAMM_SQRT_2_PI 0.79788456080286535588     /* sqrt(2 / pi) */
#define GLAMM_INV_SQRT_2PI 0.39894228040143267794

GLAMM_INLINE uint64_t glamm_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

GLAMM_INLINE double glamm_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

GLAMM_INLINE double glamm_min(double a, double b) { return a < b ? a : b; }
GLAMM_INLINE double glamm_max(double a, double b) { return a > b ? a : b; }
GLAMM_INLINE double glamm_clip(double x, double low, double high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* NaN and +inf become -inf: what a log density is where it cannot be computed. */
GLAMM_INLINE double glamm_density(double x) { return x < INFINITY ? x : -INFINITY; }

/* Derivatives that are NaN or huge (only met where the density is -inf or about to be) become 0; there is
 * room left to multiply by small numbers. */
GLAMM_INLINE double glamm_finite(double x) { return fabs(x) < 1e300 ? x : 0.0; }

/* exp(x) = 2^n (1 + p) with p = expm1 of the reduced argument; `bits` is n << 52. */
#define GLAMM_SHIFT 6755399441055744.0                            /* 1.5 * 2^52 */
GLAMM_INLINE double glamm_exp_reduced(double x, uint64_t *bits) {
    const double t = x * 1.4426950408889634074 + GLAMM_SHIFT;
    const double n = t - GLAMM_SHIFT;
    const double r = (x - n * 0.69314718036912381649) - n * 1.9082149292705877000e-10;
    const double r2 = r * r;
    *bits = glamm_bits(t) << 52;
    return r + r2 * GLAMM_EXP(r, r2);
}

/* exp of x clamped to [-708, 709]: never 0, never infinite. */
GLAMM_INLINE double glamm_exp(double x) {
    uint64_t bits;
    const double p = glamm_exp_reduced(glamm_clip(x, -708.0, 709.0), &bits);
    return glamm_from_bits(glamm_bits(1.0 + p) + bits);
}

/* expm1 of x clamped to [-708, 709]. */
GLAMM_INLINE double glamm_expm1(double x) {
    uint64_t bits;
    const double p = glamm_exp_reduced(glamm_clip(x, -708.0, 709.0), &bits);
    const double scale = glamm_from_bits(glamm_bits(1.0) + bits);
    return scale * p + (scale - 1.0);
}

/* log of a positive normal number. */
GLAMM_INLINE double glamm_log_positive(double x) {
    const uint64_t root = 0x3fe6a09e667f3bcdULL;                  /* sqrt(1/2) */
    const uint64_t shifted = glamm_bits(x) + (0x3ff0000000000000ULL - root);
    const double k = glamm_from_bits((shifted >> 52) | 0x4330000000000000ULL) - 4503599627371519.0;
    const double f = glamm_from_bits((shifted & 0x000fffffffffffffULL) + root);
    const double s = (f - 1.0) / (f + 1.0);
    const double z = s * s, z2 = z * z;
    const double tail = s * z * GLAMM_LOG(z, z2) + k * 1.9082149292705877000e-10;
    return k * 0.69314718036912381649 + (2.0 * s + tail);
}

/* log of any number: -inf at 0 and below and for NaN, +inf at +inf. */
GLAMM_INLINE double glamm_log(double x) {
    const double tiny = x < 2.3e-308 ? 18014398509481984.0 : 1.0;  /* 2^54 */
    const double shift = x < 2.3e-308 ? 37.429947750237047 : 0.0;
    double y = glamm_log_positive(x * tiny) - shift;
    y = x < INFINITY ? y : x;
    return x > 0.0 ? y : -INFINITY;
}

/* log(1 + t) for 0 <= t <= 1. */
GLAMM_INLINE double glamm_log1p_unit(double t) {
    const double s = t / (2.0 + t);
    const double z = s * s, z2 = z * z;
    return 2.0 * s + s * z * GLAMM_LOG1P(z, z2);
}

/* log(1 + x) for x > -1. */
GLAMM_INLINE double glamm_log1p(double x) {
    const double u = 1.0 + x;
    return glamm_log(u) + (x - (u - 1.0)) / u;
}

/* Logistic distribution: p = F(x), q = 1 - F(x), `soft` = log(1 + exp(-|x|)). */
GLAMM_INLINE void glamm_logistic(double x, double *p, double *q, double *soft) {
    const double t = glamm_exp(-fabs(x));
    const double high = 1.0 / (1.0 + t), low = t * high;
    *p = x >= 0.0 ? high : low;
    *q = x >= 0.0 ? low : high;
    *soft = glamm_log1p_unit(t);
}

/* exp(x^2) erfc(x) for x >= 0. */
GLAMM_INLINE double glamm_erfcx(double x) {
    const double t = (x - 4.0) / (x + 4.0);
    const double t2 = t * t;
    return GLAMM_ERFCX(t, t2) / (1.0 + 2.0 * x);
}

/* 1 - d / (1 - exp(-d)) for d > 0, without the cancellation at 0. */
GLAMM_INLINE double glamm_decay(double d, double over_expm1) {
    const double d2 = d * d;
    const double near = -0.5 * d - d2 * (1.0 / 12 - d2 * (1.0 / 720 - d2 * (1.0 / 30240 - d2 / 1209600)));
    return d < 0.25 ? near : 1.0 - d - over_expm1;
}

/* The remainder J of Stirling's formula, lgamma(a) = (a - 1/2) log a - a + log(2 pi)/2 + J(a), a > 0,
 * and its first `order` derivatives. Arguments below 8 are shifted by 8. */
typedef struct {
    double j0, j1, j2, j3;
} glamm_stirling_t;

GLAMM_INLINE glamm_stirling_t glamm_stirling(double a, int order) {
    const int small = a < 8.0;
    const double x = small ? a + 8.0 : a;
    const double v = 1.0 / x, v2 = v * v;
    glamm_stirling_t out = {v * GLAMM_STIRLING0(v2), 0.0, 0.0, 0.0};
    const double low = small ? a : 1.0;
    const double product = (low * (low + 1.0)) * ((low + 2.0) * (low + 3.0))
                           * (((low + 4.0) * (low + 5.0)) * ((low + 6.0) * (low + 7.0)));
    const double log_a = glamm_log_positive(low), log_x = glamm_log_positive(small ? x : 1.0);
    const double shift0 = (x - 0.5) * log_x - 8.0 - glamm_log_positive(product) - (a - 0.5) * log_a;
    out.j0 += small ? shift0 : 0.0;
    if (order == 0)
        return out;
    const double i0 = 1.0 / low, i1 = 1.0 / (low + 1.0), i2 = 1.0 / (low + 2.0), i3 = 1.0 / (low + 3.0);
    const double i4 = 1.0 / (low + 4.0), i5 = 1.0 / (low + 5.0), i6 = 1.0 / (low + 6.0);
    const double i7 = 1.0 / (low + 7.0);
    const double sum1 = (i7 + i6 + i5 + i4) + (i3 + i2 + i1) + 0.5 * i0;  /* less 1/(2a), in closed form */
    out.j1 = v2 * GLAMM_STIRLING1(v2) + (small ? (log_x - log_a) - 0.5 * v - sum1 : 0.0);
    if (order == 1)
        return out;
    const double sum2 = (i7 * i7 + i6 * i6 + i5 * i5 + i4 * i4) + (i3 * i3 + i2 * i2 + i1 * i1);
    out.j2 = v * v2 * GLAMM_STIRLING2(v2)
             + (small ? v + 0.5 * v2 + sum2 + i0 * (0.5 * i0 - 1.0) : 0.0);
    if (order == 2)
        return out;
    const double sum3 = (i7 * i7 * i7 + i6 * i6 * i6 + i5 * i5 * i5 + i4 * i4 * i4)
                        + (i3 * i3 * i3 + i2 * i2 * i2 + i1 * i1 * i1);
    out.j3 = v2 * v2 * GLAMM_STIRLING3(v2)
             + (small ? -v2 - v * v2 - 2.0 * sum3 + i0 * i0 * (1.0 - i0) : 0.0);
    return out;
}

GLAMM_INLINE double glamm_lgamma(double a) {
    return (a - 0.5) * glamm_log(a) - a + GLAMM_HALF_LOG_2PI + glamm_stirling(a, 0).j0;
}

GLAMM_INLINE double glamm_digamma(double a) {
    return glamm_log(a) - 0.5 / a + glamm_stirling(a, 1).j1;
}

GLAMM_INLINE double glamm_trigamma(double a) {
    const double v = 1.0 / a;
    return v + 0.5 * v * v + glamm_stirling(a, 2).j2;
}

GLAMM_INLINE double glamm_tetragamma(double a) {
    const double v = 1.0 / a;
    return -v * v - v * v * v + glamm_stirling(a, 3).j3;
}

#endif
