/* Cumulative models, P(y <= k) = F((kappa_k - nu) / scale).
 *
 * Channels nu, lower threshold, upper threshold, log scale. The log density is a function P(a, w) of the
 * standardised lower threshold and the width w = b - a of the interval: derivatives in a shift both
 * ends and stay free of the 1/w that derivatives in one end have. In the lowest category, which has no
 * lower end, a is 0 and w is b. First the derivatives of P are stored, then the chain rule is applied.
 */
#ifndef GLAMM_ORDINAL_H
#define GLAMM_ORDINAL_H

#include "glamm_binary.h"

/* Derivatives of P: a, w, aa, aw, ww, aaa, aaw, aww, www. */
typedef struct {
    double ll, p[9];
} glamm_interval;

/* log(F(b) - F(a)) = log(1 - exp(-w)) - log(1 + exp(a)) - log(1 + exp(-b)) */
GLAMM_INLINE glamm_interval glamm_interval_logit(const int order, double a, double b, double w,
                                                 int has_low, int has_high) {
    glamm_interval o = {0};
    const double t_low = glamm_exp(-fabs(a)), t_high = glamm_exp(-fabs(b));
    const double ta = has_low ? t_low : 0.0, tb = has_high ? t_high : 0.0;
    const int inner = has_low && has_high;
    const double grown = glamm_expm1(w);
    const double share = grown / (1.0 + grown);
    const double wide = inner ? share : 1.0;
    const double ua = 1.0 / (1.0 + ta), ub = 1.0 / (1.0 + tb);
    const double positive = glamm_max(a, 0.0), negative = glamm_min(b, 0.0); /* 0 without that end */
    o.ll = glamm_log(wide * (ua * ub)) - positive + negative;
    if (order == 0)
        return o;
    const double up = a >= 0.0 ? ua : ta * ua, down = b >= 0.0 ? tb * ub : ub;
    const double fa = has_low ? up : 0.0;                         /* F(a) */
    const double gb = has_high ? down : 0.0;                      /* 1 - F(b) */
    const double odds = 1.0 / grown;
    const double e = inner ? odds : 0.0;
    o.p[0] = gb - fa;
    o.p[1] = e + gb;
    const double a2 = -ta * ua * ua, b2 = -tb * ub * ub, w2 = e * (1.0 + e);
    o.p[2] = a2 + b2;
    o.p[3] = b2;
    o.p[4] = b2 - w2;
    const double a3 = a2 * (1.0 - 2.0 * fa), b3 = b2 * (2.0 * gb - 1.0);
    o.p[5] = a3 + b3;
    o.p[6] = o.p[7] = b3;
    o.p[8] = b3 + w2 * (1.0 + 2.0 * e);
    return o;
}

/* The interval is reflected to lie mostly below 0 and measured by erfcx; see Cody (1969) for erfcx. */
GLAMM_INLINE glamm_interval glamm_interval_probit(const int order, double a, double b, double w,
                                                  int has_low, int has_high) {
    glamm_interval o = {0};
    const int inner = has_low && has_high;
    const int mirror = has_high ? (has_low && a + b > 0.0) : 1;
    const double low = mirror ? (has_high ? -b : -1e6) : (has_low ? a : -1e6);
    const double high = mirror ? -a : b;
    const double scaled_low = glamm_erfcx(fabs(low) * GLAMM_SQRT_HALF);
    const double scaled_high = glamm_erfcx(fabs(high) * GLAMM_SQRT_HALF);
    const int deep = high <= 0.0;
    const double e_low = glamm_exp(deep ? -0.5 * (low - high) * (low + high) : -0.5 * low * low);
    const double e_high = deep ? 1.0 : glamm_exp(-0.5 * high * high);
    const double q = deep ? 0.5 * (scaled_high - e_low * scaled_low)
                          : 1.0 - 0.5 * (e_high * scaled_high + e_low * scaled_low);
    /* a narrow interval: the density at its middle and two more terms in w */
    const double c = a + 0.5 * w, c2 = c * c, w2 = w * w;
    const int narrow = inner && w * glamm_max(1.0, fabs(c)) < 1e-2;
    const double k = c2 - 1.0, k4 = 2.0 - c2 * (4.0 + c2);
    const double near = glamm_log_positive(narrow ? w : 1.0) - 0.5 * c2 - GLAMM_HALF_LOG_2PI
                        + w2 * (k / 24 + w2 * k4 / 2880);
    const double far = (deep ? -0.5 * high * high : 0.0) + glamm_log(narrow ? 1.0 : q);
    o.ll = narrow ? near : far;
    if (order == 0)
        return o;
    const double v = GLAMM_INV_SQRT_2PI / q;
    const double fb = has_high ? (mirror ? e_low : e_high) * v : 0.0;
    const double fa = has_low ? (mirror ? e_high : e_low) * v : 0.0;
    const double inv = 1.0 / (narrow ? w : 1.0);
    const double k1 = -c * (8.0 + 4.0 * c2), k2 = -8.0 - 12.0 * c2, k3 = -24.0 * c;
    const double pc = -c * (1.0 - w2 / 12) + w2 * w2 * k1 / 2880;
    const double far_a = fb - fa;
    o.p[0] = narrow ? pc : far_a;
    o.p[1] = narrow ? inv + w * (k / 12 + w2 * k4 / 720) + 0.5 * pc : fb;
    const double sa = -a - far_a, sb = -b - far_a;
    const double pcc = w2 / 12 - 1.0 + w2 * w2 * k2 / 2880, pcw = w * (c / 6 + w2 * k1 / 720);
    const double far_aa = fb * sb - fa * sa, far_aw = fb * sb, far_ww = -fb * (b + fb);
    o.p[2] = narrow ? pcc : far_aa;
    o.p[3] = narrow ? pcw + 0.5 * pcc : far_aw;
    o.p[4] = narrow ? -inv * inv + k / 12 + w2 * k4 / 240 + pcw + 0.25 * pcc : far_ww;
    const double pccc = w2 * w2 * k3 / 2880, pccw = w * (1.0 / 6 + w2 * k2 / 720);
    const double pcww = c / 6 + w2 * k1 / 240, pwww = 2.0 * inv * inv * inv + w * k4 / 120;
    o.p[5] = narrow ? pccc : -fb * (sb * b + 1.0) + fa * (sa * a + 1.0) - 2.0 * far_a * far_aa;
    o.p[6] = narrow ? pccw + 0.5 * pccc : fb * (sb * sb - 1.0 - far_aa);
    o.p[7] = narrow ? pcww + pccw + 0.25 * pccc : -far_aw * (b + fb) - fb * (1.0 + far_aw);
    o.p[8] = narrow ? pwww + 1.5 * pcww + 0.75 * pccw + 0.125 * pccc
                    : -far_ww * (b + 2.0 * fb) - fb;
    return o;
}

/* log(exp(-u) - exp(-v)), u = exp(a), v = exp(b): -u + log(1 - exp(-d)), d = v - u. */
GLAMM_INLINE glamm_interval glamm_interval_cloglog(const int order, double a, double b, double w,
                                                   int has_low, int has_high) {
    glamm_interval o = {0};
    const double u = has_low ? glamm_exp(a) : 0.0;
    const double v = has_high ? glamm_exp(b) : 0.0;
    const double part = has_low ? -glamm_expm1(-w) : 1.0;         /* d / v */
    const double d = glamm_clip(v * part, 0.0, 700.0);
    const double grown = glamm_expm1(d);
    const double from_log = b + glamm_log(part) - 0.5 * d;
    const double far = glamm_log(grown / (1.0 + grown));
    o.ll = has_high ? (d < 1e-8 ? from_log : far) - u : -u;
    if (order == 0)
        return o;
    const double e = d < 700.0 && has_high ? 1.0 / grown : 0.0;
    /* d e = d / expm1(d), v e the same scaled, and h = 1 - d (1 + e) */
    const double de = d < 1e-290 ? 1.0 : d * e;
    const double ratio = 1.0 / part;
    const double ve = has_high && d < 700.0 ? de * ratio : 0.0;
    const double vd = has_high ? ratio : 0.0;
    const double dde = has_high && d < 700.0 ? de : 0.0;
    const double h = glamm_decay(d, dde);
    o.p[0] = dde - u;
    o.p[1] = ve;
    const double curve = dde * h, slope = ve * h;
    /* v (1 + e) = (1 - h) v / d */
    const double one = 1.0 - (1.0 - h) * vd;
    o.p[2] = curve - u;
    o.p[3] = slope;
    o.p[4] = ve * one;
    /* along a: d' = d, (de)' = de h, h' = -d - de h; along w at fixed a: d' = v */
    const double ha = -d - curve;
    o.p[5] = curve * h + dde * ha - u;
    o.p[6] = slope * h + ve * ha;
    const double hw = ha * vd;
    o.p[7] = ve * one * h + ve * hw;
    /* one' along w: -(v (1 + e))' with (ve)' = ve one */
    const double v_safe = glamm_min(v, 1e150);
    o.p[8] = ve * one * one - ve * (v_safe + ve * one);
    return o;
}

/* The mirror image: F(b) - F(a) of loglog is that of cloglog from -b to -a. */
GLAMM_INLINE glamm_interval glamm_interval_loglog(const int order, double a, double b, double w,
                                                  int has_low, int has_high) {
    /* the lowest category becomes the highest and has w = 0, a = -b there */
    const double base = has_high ? -b : 0.0, width = has_high ? (has_low ? w : 0.0) : -a;
    const glamm_interval c = glamm_interval_cloglog(order, base, -a, width, has_high, has_low);
    glamm_interval o = c;
    const double *p = c.p;
    const int inner = has_low && has_high;
    o.p[0] = -p[0];
    o.p[2] = p[2];
    o.p[5] = -p[5];
    o.p[1] = inner ? p[1] - p[0] : has_high ? -p[0] : 0.0;
    o.p[3] = inner ? p[2] - p[3] : has_high ? p[2] : 0.0;
    o.p[4] = inner ? p[4] - 2.0 * p[3] + p[2] : has_high ? p[2] : 0.0;
    o.p[6] = inner ? p[6] - p[5] : has_high ? -p[5] : 0.0;
    o.p[7] = inner ? 2.0 * p[6] - p[7] - p[5] : has_high ? -p[5] : 0.0;
    o.p[8] = inner ? p[8] - 3.0 * p[7] + 3.0 * p[6] - p[5] : has_high ? -p[5] : 0.0;
    return o;
}

GLAMM_INLINE glamm_interval glamm_interval_at(const int link, const int order, double a, double b,
                                              double w, int has_low, int has_high) {
    switch (link) {
    case GLAMM_PROBIT: return glamm_interval_probit(order, a, b, w, has_low, has_high);
    case GLAMM_CLOGLOG: return glamm_interval_cloglog(order, a, b, w, has_low, has_high);
    case GLAMM_LOGLOG: return glamm_interval_loglog(order, a, b, w, has_low, has_high);
    default: return glamm_interval_logit(order, a, b, w, has_low, has_high);
    }
}

typedef struct {
    double p[9][GLAMM_BUFFER];      /* derivatives of P */
    double along[4][2][GLAMM_BUFFER]; /* derivatives of (a, w) in each channel, of the scale negated */
} glamm_ordinal_work;

GLAMM_INLINE void glamm_ordinal_body(const int order, const int link, ptrdiff_t length,
                                     const double *code, const double *last, const double *nu,
                                     const double *lower, const double *upper, const double *inverse,
                                     double *ll, glamm_ordinal_work *work) {
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double t = inverse[j], x = nu[j], from = lower[j], to = upper[j];
        const int has_low = code[j] > 0.0, has_high = code[j] < last[j];
        const double low = (from - x) * t, high = (to - x) * t, between = (to - from) * t;
        const double a = has_low ? low : 0.0, b = has_high ? high : 0.0;
        const double width = has_high ? between : 0.0;
        const double w = has_low ? width : b;
        const int good = !(has_low && has_high && !(w > 0.0));
        const glamm_interval o = glamm_interval_at(link, order, a, b, w, has_low, has_high);
        ll[j] = good ? glamm_density(o.ll) : -INFINITY;
        if (order > 0) {
            const double t_low = has_low ? t : 0.0;
            work->along[0][0][j] = -t;
            work->along[0][1][j] = 0.0;
            work->along[1][0][j] = t_low;
            work->along[1][1][j] = -t_low;
            work->along[2][0][j] = 0.0;
            work->along[2][1][j] = has_high ? t : 0.0;
            work->along[3][0][j] = a;
            work->along[3][1][j] = w;
            work->p[0][j] = good ? glamm_finite(o.p[0]) : 0.0;
            work->p[1][j] = good ? glamm_finite(o.p[1]) : 0.0;
        }
        if (order > 1) {
            work->p[2][j] = good ? glamm_finite(o.p[2]) : 0.0;
            work->p[3][j] = good ? glamm_finite(o.p[3]) : 0.0;
            work->p[4][j] = good ? glamm_finite(o.p[4]) : 0.0;
        }
        if (order > 2) {
            work->p[5][j] = good ? glamm_finite(o.p[5]) : 0.0;
            work->p[6][j] = good ? glamm_finite(o.p[6]) : 0.0;
            work->p[7][j] = good ? glamm_finite(o.p[7]) : 0.0;
            work->p[8][j] = good ? glamm_finite(o.p[8]) : 0.0;
        }
    }
}

/* The chain rule. `along` is linear in the scale's inverse, so that each further derivative in the log
 * scale repeats a term: with G, T2, T3 the first to third differentials of P and r = (a, w),
 *   (x, y, s) = -2 T2(x, y) - T3(x, y, r),   (x, s, s) = G(x) + 3 T2(x, r) + T3(x, r, r),
 *   (s, s, s) = -G(r) - 3 T2(r, r) - T3(r, r, r). */
GLAMM_INLINE void glamm_ordinal_chain(int order, ptrdiff_t length, const glamm_ordinal_work *work,
                                      double *const *out) {
    const double(*p)[GLAMM_BUFFER] = work->p;
    for (int k = 0; k < 4; k++) {
        const double *x1 = work->along[k][0], *x2 = work->along[k][1];
        const double sign = k == 3 ? -1.0 : 1.0;
        double *to = out[1 + k];
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++)
            to[j] = sign * (x1[j] * p[0][j] + x2[j] * p[1][j]);
    }
    if (order < 2)
        return;
    int pair = 0;
    for (int k = 0; k < 4; k++) {
        for (int l = k; l < 4; l++, pair++) {
            const double *x1 = work->along[k][0], *x2 = work->along[k][1];
            const double *y1 = work->along[l][0], *y2 = work->along[l][1];
            const double linear = l < 3 ? 0.0 : k < 3 ? -1.0 : 1.0, sign = l < 3 || k == 3 ? 1.0 : -1.0;
            double *to = out[5 + pair];
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                const double both = x1[j] * (y1[j] * p[2][j] + y2[j] * p[3][j])
                                    + x2[j] * (y1[j] * p[3][j] + y2[j] * p[4][j]);
                to[j] = sign * both + linear * (x1[j] * p[0][j] + x2[j] * p[1][j]);
            }
            for (int c = 0; order > 2 && c < 4; c++) {
                const int scales = (k == 3) + (l == 3) + (c == 3);
                /* the channels in ascending order: the last is the scale if there is one */
                const int lo = k < c ? k : c, hi = l > c ? l : c, mid = k + l + c - lo - hi;
                const double *a1 = work->along[lo][0], *a2 = work->along[lo][1];
                const double *b1 = work->along[mid][0], *b2 = work->along[mid][1];
                const double *c1 = work->along[hi][0], *c2 = work->along[hi][1];
                const double third = scales % 2 ? -1.0 : 1.0;
                const double second = scales == 0 ? 0.0 : scales == 1 ? -2.0 : scales == 2 ? 3.0 : -3.0;
                const double first = scales < 2 ? 0.0 : scales == 2 ? 1.0 : -1.0;
                double *d3 = out[15 + pair * 4 + c];
                GLAMM_LOOP
                for (ptrdiff_t j = 0; j < length; j++) {
                    const double t11 = c1[j] * p[5][j] + c2[j] * p[6][j];
                    const double t12 = c1[j] * p[6][j] + c2[j] * p[7][j];
                    const double t22 = c1[j] * p[7][j] + c2[j] * p[8][j];
                    d3[j] = a1[j] * (b1[j] * (third * t11 + second * p[2][j])
                                     + b2[j] * (third * t12 + second * p[3][j]) + first * p[0][j])
                            + a2[j] * (b1[j] * (third * t12 + second * p[3][j])
                                       + b2[j] * (third * t22 + second * p[4][j]) + first * p[1][j]);
                }
            }
        }
    }
}

typedef void (*glamm_ordinal_chain_t)(int, ptrdiff_t, const glamm_ordinal_work *, double *const *);

GLAMM_INLINE int glamm_ordinal(const int link, glamm_ordinal_chain_t chain, GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    glamm_ordinal_work work;
    double rows[3][GLAMM_BUFFER], flat[6][GLAMM_BUFFER], *out[GLAMM_MAX_OUTPUTS] = {0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *code = glamm_spread(&t, glamm_column(&t, y, ny, 0, rows[0]), flat[0]);
        const double *last = glamm_spread(&t, glamm_column(&t, y, ny, 1, rows[1]), flat[1]);
        const double *x = glamm_channel(&t, nu[0], node_stride[0], flat[2]);
        const double *lower = glamm_channel(&t, nu[1], node_stride[1], flat[3]);
        const double *upper = glamm_channel(&t, nu[2], node_stride[2], flat[4]);
        const int by_row = glamm_by_row(&t, node_stride[3]);
        const double *scale = nu[3] + (node_stride[3] ? t.start : t.row), *inverse = rows[2];
        const ptrdiff_t count = by_row ? t.rows : t.length;
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < count; j++)
            rows[2][j] = glamm_exp(-scale[j]);
        if (by_row)
            inverse = glamm_spread(&t, rows[2], flat[5]);
        glamm_outputs(&t, 4, order, ll, d1, d2, d3, out);
        GLAMM_BY_ORDER(order, glamm_ordinal_body, link, t.length, code, last, x, lower, upper, inverse,
                       out[0], &work)
        if (order > 0)
            chain(order, t.length, &work, out);
    }
    (void)user;
    return 0;
}

#endif
