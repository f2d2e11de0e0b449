/* Any link with any family of a mean: the mean's derivatives in the linear predictor, the chain rule. */
#ifndef GLAMM_LINKS_H
#define GLAMM_LINKS_H

#include "glamm_tile.h"

/* The mean, its complement 1 - mean and the mean's first three derivatives, for the positions of a tile. */
typedef struct {
    double mu[GLAMM_BUFFER], co[GLAMM_BUFFER];
    double first[GLAMM_BUFFER], second[GLAMM_BUFFER], third[GLAMM_BUFFER];
} glamm_mean;

/* Derivatives are wanted from the link's F in the middle, so arguments are clamped where F is 0 or 1. */
GLAMM_INLINE void glamm_link_body(const int link, double power, ptrdiff_t length, const double *nu,
                                  glamm_mean *to) {
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double x = nu[j];
        double mu = x, co, m1 = 1.0, m2 = 0.0, m3 = 0.0;
        if (link == GLAMM_LOG_LINK) {
            mu = m1 = m2 = m3 = glamm_exp(x);
        } else if (link == GLAMM_RECIPROCAL) {
            mu = 1.0 / x;
            m1 = -mu * mu;
            m2 = -2.0 * mu * m1;
            m3 = -3.0 * mu * m2;
        } else if (link == GLAMM_SQRT) {
            mu = x * x;
            m1 = 2.0 * x;
            m2 = 2.0;
        } else if (link == GLAMM_INVERSE_SQUARE || link == GLAMM_POWER) {
            const double p = link == GLAMM_POWER ? 1.0 / power : -0.5, inverse = 1.0 / x;
            const double value = glamm_exp(p * glamm_log(x));
            mu = x > 0.0 ? value : NAN;
            m1 = p * mu * inverse;
            m2 = (p - 1.0) * m1 * inverse;
            m3 = (p - 2.0) * m2 * inverse;
        }
        co = 1.0 - mu;
        if (link == GLAMM_LOGIT) {
            const double t = glamm_exp(-fabs(x)), high = 1.0 / (1.0 + t), low = t * high;
            mu = x >= 0.0 ? high : low;
            co = x >= 0.0 ? low : high;
            m1 = mu * co;
            m2 = m1 * (co - mu);
            m3 = m1 * (1.0 - 6.0 * m1);
        } else if (link == GLAMM_PROBIT) {
            const double a = glamm_min(fabs(x), 37.0), z = x < 0.0 ? -a : a;
            const double e = glamm_exp(-0.5 * a * a);
            const double low = 0.5 * e * glamm_erfcx(a * GLAMM_SQRT_HALF), high = 1.0 - low;
            mu = x < 0.0 ? low : high;
            co = x < 0.0 ? high : low;
            m1 = GLAMM_INV_SQRT_2PI * e;
            m2 = -z * m1;
            m3 = (z * z - 1.0) * m1;
        } else if (link == GLAMM_CLOGLOG || link == GLAMM_LOGLOG) {
            const double e = glamm_exp(glamm_min(link == GLAMM_CLOGLOG ? x : -x, 6.5));
            const double high = -glamm_expm1(-e), low = glamm_exp(-e);
            const double sign = link == GLAMM_CLOGLOG ? 1.0 : -1.0;
            mu = link == GLAMM_CLOGLOG ? high : low;
            co = link == GLAMM_CLOGLOG ? low : high;
            m1 = e * low;
            m2 = sign * m1 * (1.0 - e);
            m3 = m1 * (1.0 - 3.0 * e + e * e);
        }
        to->mu[j] = mu;
        to->co[j] = co;
        to->first[j] = m1;
        to->second[j] = m2;
        to->third[j] = m3;
    }
}

GLAMM_INLINE void glamm_apply_link(const glamm_options *options, ptrdiff_t length, const double *nu,
                                   glamm_mean *to) {
#define GLAMM_CASE(name) \
    case name: glamm_link_body(name, options->power, length, nu, to); break;
    switch (options->link) {
        GLAMM_CASE(GLAMM_LOG_LINK)
        GLAMM_CASE(GLAMM_LOGIT)
        GLAMM_CASE(GLAMM_PROBIT)
        GLAMM_CASE(GLAMM_CLOGLOG)
        GLAMM_CASE(GLAMM_LOGLOG)
        GLAMM_CASE(GLAMM_RECIPROCAL)
        GLAMM_CASE(GLAMM_INVERSE_SQUARE)
        GLAMM_CASE(GLAMM_SQRT)
        GLAMM_CASE(GLAMM_POWER)
        GLAMM_CASE(GLAMM_IDENTITY)
    }
#undef GLAMM_CASE
}

/* Position of pair (a, b), a <= b, among the pairs of K channels. */
GLAMM_INLINE int glamm_pair(int K, int a, int b) { return a * K - a * (a - 1) / 2 + b - a; }

/* Turn derivatives in the mean and the other channels into derivatives in the channels, in place.
 *
 * `out` holds ll, d1, d2 and d3, of d3 only the sorted triples a <= b <= c at pair (a, b), channel c; the
 * others are filled. Without `mean` the derivatives are in the linear predictor already. What is not
 * finite becomes 0. */
GLAMM_INLINE void glamm_compose(int order, int K, ptrdiff_t length, const glamm_mean *mean,
                                double *const *out) {
    const int pairs = GLAMM_PAIRS(K);
    double *const *d1 = out + 1, *const *d2 = d1 + K, *const *d3 = d2 + pairs;
    for (int a = 0; order > 2 && a < K; a++)
        for (int b = a; b < K; b++)
            for (int c = b; c < K; c++) {
                double *to = d3[glamm_pair(K, a, b) * K + c];
                double *to_b = d3[glamm_pair(K, a, c) * K + b], *to_a = d3[glamm_pair(K, b, c) * K + a];
                const int zeros = mean ? (a == 0) + (b == 0) + (c == 0) : 0;
                GLAMM_LOOP
                for (ptrdiff_t j = 0; j < length; j++) {
                    double v = to[j];
                    if (zeros == 3)
                        v = v * (mean->first[j] * mean->first[j] * mean->first[j])
                            + 3.0 * d2[0][j] * mean->first[j] * mean->second[j] + d1[0][j] * mean->third[j];
                    else if (zeros == 2)
                        v = v * (mean->first[j] * mean->first[j]) + d2[c][j] * mean->second[j];
                    else if (zeros == 1)
                        v *= mean->first[j];
                    v = glamm_finite(v);
                    to[j] = v;
                    to_b[j] = v;
                    to_a[j] = v;
                }
            }
    for (int p = 0; order > 1 && p < pairs; p++) {
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++) {
            double v = d2[p][j];
            if (mean && p == 0)
                v = v * mean->first[j] * mean->first[j] + d1[0][j] * mean->second[j];
            else if (mean && p < K)
                v *= mean->first[j];
            d2[p][j] = glamm_finite(v);
        }
    }
    for (int k = 0; order > 0 && k < K; k++) {
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++)
            d1[k][j] = glamm_finite(mean && k == 0 ? d1[k][j] * mean->first[j] : d1[k][j]);
    }
}

#endif
