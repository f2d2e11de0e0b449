/* Functions of K channels with their derivatives up to `order`, carried through arithmetic exactly.
 *
 * `order` and K are constants where this is inlined. d2 is stored at pairs, d3 for sorted triples
 * a <= b <= c at pair (a, b) times K plus c, as `glamm_compose` takes them.
 */
#ifndef GLAMM_TAYLOR_H
#define GLAMM_TAYLOR_H

#include "glamm_links.h"

typedef struct {
    double f, d1[GLAMM_MAX_CHANNELS], d2[GLAMM_PAIRS(GLAMM_MAX_CHANNELS)];
    double d3[GLAMM_PAIRS(GLAMM_MAX_CHANNELS) * GLAMM_MAX_CHANNELS];
} glamm_taylor;

/* A function of one variable: its value and three derivatives at a point. */
typedef struct {
    double f, f1, f2, f3;
} glamm_function;

#define GLAMM_EACH_PAIR(K, a, b) \
    for (int a = 0; a < (K); a++) \
        for (int b = a; b < (K); b++)

GLAMM_INLINE glamm_taylor glamm_variable(int k, double x) {
    glamm_taylor to = {0};
    to.f = x;
    to.d1[k] = 1.0;
    return to;
}

/* x + times y + constant */
GLAMM_INLINE glamm_taylor glamm_plus(int order, int K, glamm_taylor x, double times, glamm_taylor y,
                                     double constant) {
    glamm_taylor to = x;
    to.f += times * y.f + constant;
    for (int a = 0; order > 0 && a < K; a++)
        to.d1[a] += times * y.d1[a];
    for (int p = 0; order > 1 && p < GLAMM_PAIRS(K); p++)
        to.d2[p] += times * y.d2[p];
    for (int p = 0; order > 2 && p < GLAMM_PAIRS(K) * K; p++)
        to.d3[p] += times * y.d3[p];
    return to;
}

GLAMM_INLINE glamm_taylor glamm_times(int order, int K, glamm_taylor x, glamm_taylor y) {
    glamm_taylor to = {0};
    to.f = x.f * y.f;
    for (int a = 0; order > 0 && a < K; a++)
        to.d1[a] = x.d1[a] * y.f + x.f * y.d1[a];
    GLAMM_EACH_PAIR(order > 1 ? K : 0, a, b) {
        const int ab = glamm_pair(K, a, b);
        to.d2[ab] = x.d2[ab] * y.f + x.f * y.d2[ab] + x.d1[a] * y.d1[b] + x.d1[b] * y.d1[a];
        for (int c = b; order > 2 && c < K; c++) {
            const int ac = glamm_pair(K, a, c), bc = glamm_pair(K, b, c), abc = ab * K + c;
            to.d3[abc] = x.d3[abc] * y.f + x.f * y.d3[abc] + x.d2[ab] * y.d1[c] + x.d2[ac] * y.d1[b]
                         + x.d2[bc] * y.d1[a] + x.d1[a] * y.d2[bc] + x.d1[b] * y.d2[ac]
                         + x.d1[c] * y.d2[ab];
        }
    }
    return to;
}

GLAMM_INLINE glamm_taylor glamm_through(int order, int K, glamm_function g, glamm_taylor x) {
    glamm_taylor to = {0};
    to.f = g.f;
    for (int a = 0; order > 0 && a < K; a++)
        to.d1[a] = g.f1 * x.d1[a];
    GLAMM_EACH_PAIR(order > 1 ? K : 0, a, b) {
        const int ab = glamm_pair(K, a, b);
        to.d2[ab] = g.f2 * x.d1[a] * x.d1[b] + g.f1 * x.d2[ab];
        for (int c = b; order > 2 && c < K; c++) {
            const int ac = glamm_pair(K, a, c), bc = glamm_pair(K, b, c), abc = ab * K + c;
            to.d3[abc] = g.f3 * x.d1[a] * x.d1[b] * x.d1[c] + g.f1 * x.d3[abc]
                         + g.f2 * (x.d2[ab] * x.d1[c] + x.d2[ac] * x.d1[b] + x.d2[bc] * x.d1[a]);
        }
    }
    return to;
}

GLAMM_INLINE glamm_function glamm_exp_at(double x) {
    const double e = glamm_exp(x);
    return (glamm_function){e, e, e, e};
}

GLAMM_INLINE glamm_function glamm_log_at(double x) {
    const double i = 1.0 / x;
    return (glamm_function){glamm_log(x), i, -i * i, 2.0 * i * i * i};
}

GLAMM_INLINE glamm_function glamm_log1p_at(double x) {
    const double i = 1.0 / (1.0 + x);
    return (glamm_function){glamm_log1p(x), i, -i * i, 2.0 * i * i * i};
}

/* The square root. */
GLAMM_INLINE glamm_function glamm_root_at(double x) {
    const double root = sqrt(x), i = 1.0 / x;
    return (glamm_function){root, 0.5 * root * i, -0.25 * root * i * i, 0.375 * root * i * i * i};
}

/* The logistic function, and log(1 + exp(x)) whose derivative it is. */
GLAMM_INLINE glamm_function glamm_expit_at(double x) {
    double p, q, soft;
    glamm_logistic(x, &p, &q, &soft);
    const double pq = p * q;
    return (glamm_function){p, pq, pq * (q - p), pq * (1.0 - 6.0 * pq)};
}

GLAMM_INLINE glamm_function glamm_softplus_at(double x) {
    double p, q, soft;
    glamm_logistic(x, &p, &q, &soft);
    return (glamm_function){glamm_max(x, 0.0) + soft, p, p * q, p * q * (q - p)};
}

#endif
