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

/* In all of these `lo` and `hi` are 1 where the interval has a lower and an upper end, else 0; then that
 * end is 0, and the width w is 1 unless there are both. Masks by multiplication, not by branches. */

/* log(F(b) - F(a)) = log(1 - exp(-w)) - log(1 + exp(a)) - log(1 + exp(-b)) */
GLAMM_INLINE glamm_interval glamm_interval_logit(const int order, double a, double b, double w, double lo,
                                                 double hi) {
    glamm_interval o = {0};
    const double ta = lo * glamm_exp(-fabs(a)), tb = hi * glamm_exp(-fabs(b)), inner = lo * hi;
    const double grown = glamm_expm1(w);
    const double ua = 1.0 / (1.0 + ta), ub = 1.0 / (1.0 + tb);
    const double wide = inner * (grown / (1.0 + grown)) + (1.0 - inner);
    o.ll = glamm_log(wide * (ua * ub)) - glamm_max(a, 0.0) + glamm_min(b, 0.0);
    if (order == 0)
        return o;
    const double fa = lo * (a >= 0.0 ? ua : ta * ua);             /* F(a) */
    const double gb = hi * (b >= 0.0 ? tb * ub : ub);             /* 1 - F(b) */
    const double e = inner / grown;
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

/* The interval is mirrored to lie mostly below 0 and measured by erfcx. Ends that are not there lie far
 * out. A narrow one is the density at its middle c times w, and two more terms of the series in w. */
GLAMM_INLINE glamm_interval glamm_interval_probit(const int order, double a, double b, double w, double lo,
                                                  double hi) {
    glamm_interval o = {0};
    const double inner = lo * hi;
    const double from = a - (1.0 - lo) * 1e6, to = b + (1.0 - hi) * 1e6;
    const int mirror = inner * (a + b) + (1.0 - inner) * (1.0 - 2.0 * hi) > 0.0;
    const double low = mirror ? -to : from, high = mirror ? -from : to;
    const double scaled_low = glamm_erfcx(fabs(low) * GLAMM_SQRT_HALF);
    const double scaled_high = glamm_erfcx(fabs(high) * GLAMM_SQRT_HALF);
    /* densities at the ends over exp(base), base = -high^2 / 2 below 0 and 0 above */
    const double base = high <= 0.0 ? -0.5 * high * high : 0.0;
    const double e_low = glamm_exp(-0.5 * low * low - base), e_high = glamm_exp(-0.5 * high * high - base);
    const double below = 0.5 * (e_low * scaled_low), beside = 0.5 * (e_high * scaled_high);
    const double q = high <= 0.0 ? beside - below : 1.0 - (beside + below);
    const double c = a + 0.5 * w, c2 = c * c;
    const int narrow = w * glamm_max(1.0, fabs(c)) < 1e-2;
    const double wn = narrow ? w : 1.0, w2 = wn * wn, inv = 1.0 / wn;
    const double k = c2 - 1.0, k4 = 2.0 - c2 * (4.0 + c2);
    const double near = w2 * (k / 24 + w2 * k4 / 2880) - 0.5 * c2 - GLAMM_HALF_LOG_2PI;
    o.ll = glamm_log(narrow ? wn : q) + (narrow ? near : base);
    if (order == 0)
        return o;
    const double v = GLAMM_INV_SQRT_2PI / q;
    const double fb = hi * v * (mirror ? e_low : e_high), fa = lo * v * (mirror ? e_high : e_low);
    const double k1 = -c * (8.0 + 4.0 * c2), k2 = -8.0 - 12.0 * c2, k3 = -24.0 * c;
    const double pc = -c * (1.0 - w2 / 12) + w2 * w2 * k1 / 2880;
    const double far_a = fb - fa;
    const double near_w = inv + wn * (k / 12 + w2 * k4 / 720) + 0.5 * pc;
    o.p[0] = narrow ? pc : far_a;
    o.p[1] = narrow ? near_w : fb;
    if (order == 1)
        return o;
    const double sa = -a - far_a, sb = -b - far_a;
    const double pcc = w2 / 12 - 1.0 + w2 * w2 * k2 / 2880, pcw = wn * (c / 6 + w2 * k1 / 720);
    const double far_aa = fb * sb - fa * sa, far_aw = fb * sb, far_ww = -fb * (b + fb);
    const double near_ww = k / 12 - inv * inv + w2 * k4 / 240 + pcw + 0.25 * pcc;
    o.p[2] = narrow ? pcc : far_aa;
    o.p[3] = narrow ? pcw + 0.5 * pcc : far_aw;
    o.p[4] = narrow ? near_ww : far_ww;
    if (order == 2)
        return o;
    const double pccc = w2 * w2 * k3 / 2880, pccw = wn * (1.0 / 6 + w2 * k2 / 720);
    const double pcww = c / 6 + w2 * k1 / 240, pwww = 2.0 * inv * inv * inv + wn * k4 / 120;
    const double far_aaa = fa * (sa * a + 1.0) - fb * (sb * b + 1.0) - 2.0 * far_a * far_aa;
    const double far_aaw = fb * (sb * sb - 1.0 - far_aa);
    const double far_aww = -far_aw * (b + fb) - fb * (1.0 + far_aw);
    const double far_www = -far_ww * (b + 2.0 * fb) - fb;
    const double near_aww = pcww + pccw + 0.25 * pccc;
    const double near_www = pwww + 1.5 * pcww + 0.75 * pccw + 0.125 * pccc;
    o.p[5] = narrow ? pccc : far_aaa;
    o.p[6] = narrow ? pccw + 0.5 * pccc : far_aaw;
    o.p[7] = narrow ? near_aww : far_aww;
    o.p[8] = narrow ? near_www : far_www;
    return o;
}

/* log(exp(-u) - exp(-v)), u = exp(a), v = exp(b): -u + log(1 - exp(-d)), d = v - u = v (1 - exp(-w)). */
GLAMM_INLINE glamm_interval glamm_interval_cloglog(const int order, double a, double b, double w, double lo,
                                                   double hi) {
    glamm_interval o = {0};
    const double u = lo * glamm_exp(a), v = hi * glamm_exp(b);
    const double part = (1.0 - lo) - lo * glamm_expm1(-w);        /* d / v */
    const double d = glamm_min(v * part, 700.0);
    const double grown = glamm_expm1(d);
    /* log(1 - exp(-d)), where d is tiny by its logarithm */
    const int tiny = d < 1e-8;
    const double measure = tiny ? part : grown / (1.0 + grown);
    o.ll = hi * (glamm_log(measure) + (tiny ? b - 0.5 * d : 0.0)) - u;
    if (order == 0)
        return o;
    const double quotient = d / grown;
    const double small = d < 1e-290 ? 1.0 : quotient;             /* d / expm1(d) */
    const double r = hi * (d < 700.0 ? small : 0.0), scale = hi / part, ve = r * scale;
    o.p[0] = r - u;
    o.p[1] = ve;
    if (order == 1)
        return o;
    /* h = 1 - d / (1 - exp(-d)): r' = r h along log d, and v / d is constant along a */
    const double h = glamm_decay(d, r), curve = r * h;
    const double one = 1.0 - (1.0 - h) * scale;                   /* derivative of log(ve) along w */
    o.p[2] = curve - u;
    o.p[3] = ve * h;
    o.p[4] = ve * one;
    if (order == 2)
        return o;
    const double h1 = -d - curve;                                 /* h' along log d */
    o.p[5] = curve * h + r * h1 - u;
    o.p[6] = ve * (h * h + h1);
    o.p[7] = ve * (one * h + h1 * scale);
    o.p[8] = ve * (one * one - glamm_min(v, 1e150) - ve * one);
    return o;
}

/* The mirror image: F(b) - F(a) of loglog is that of cloglog from -b to -a. In the lowest category, the
 * highest of the mirror image, derivatives along w are those along a. */
GLAMM_INLINE glamm_interval glamm_interval_loglog(const int order, double a, double b, double w, double lo,
                                                  double hi) {
    glamm_interval o = glamm_interval_cloglog(order, -b, -a, w, hi, lo);
    const double inner = lo * hi;
    const double p1 = inner * o.p[1], p3 = inner * o.p[3], p4 = inner * o.p[4];
    const double p6 = inner * o.p[6], p7 = inner * o.p[7], p8 = inner * o.p[8];
    const double a1 = hi * o.p[0], a2 = hi * o.p[2], a3 = hi * o.p[5];
    o.p[0] = -o.p[0];
    o.p[1] = p1 - a1;
    o.p[3] = a2 - p3;
    o.p[4] = p4 - 2.0 * p3 + a2;
    o.p[5] = -o.p[5];
    o.p[6] = p6 - a3;
    o.p[7] = 2.0 * p6 - p7 - a3;
    o.p[8] = p8 - 3.0 * p7 + 3.0 * p6 - a3;
    return o;
}

GLAMM_INLINE glamm_interval glamm_interval_at(const int link, const int order, double a, double b, double w,
                                              double lo, double hi) {
    switch (link) {
    case GLAMM_PROBIT: return glamm_interval_probit(order, a, b, w, lo, hi);
    case GLAMM_CLOGLOG: return glamm_interval_cloglog(order, a, b, w, lo, hi);
    case GLAMM_LOGLOG: return glamm_interval_loglog(order, a, b, w, lo, hi);
    default: return glamm_interval_logit(order, a, b, w, lo, hi);
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
        const double t = inverse[j], x = nu[j], lowest = code[j], highest = last[j];
        const double lo = lowest > 0.0 ? 1.0 : 0.0, hi = lowest < highest ? 1.0 : 0.0, inner = lo * hi;
        const double a = lo * ((lower[j] - x) * t), b = hi * ((upper[j] - x) * t);
        const double width = inner * ((upper[j] - lower[j]) * t), w = width + (1.0 - inner);
        const double good = w > 0.0 ? 1.0 : 0.0;
        const glamm_interval o = glamm_interval_at(link, order, a, b, w, lo, hi);
        ll[j] = w > 0.0 ? glamm_density(o.ll) : -INFINITY;
        if (order > 0) {
            work->along[0][0][j] = -t;
            work->along[0][1][j] = 0.0;
            work->along[1][0][j] = lo * t;
            work->along[1][1][j] = -lo * t;
            work->along[2][0][j] = 0.0;
            work->along[2][1][j] = hi * t;
            work->along[3][0][j] = a;
            work->along[3][1][j] = width + (1.0 - lo) * b;
            work->p[0][j] = glamm_finite(good * o.p[0]);
            work->p[1][j] = glamm_finite(good * o.p[1]);
        }
        if (order > 1) {
            work->p[2][j] = glamm_finite(good * o.p[2]);
            work->p[3][j] = glamm_finite(good * o.p[3]);
            work->p[4][j] = glamm_finite(good * o.p[4]);
        }
        if (order > 2) {
            work->p[5][j] = glamm_finite(good * o.p[5]);
            work->p[6][j] = glamm_finite(good * o.p[6]);
            work->p[7][j] = glamm_finite(good * o.p[7]);
            work->p[8][j] = glamm_finite(good * o.p[8]);
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
            to[j] = glamm_finite(sign * (x1[j] * p[0][j] + x2[j] * p[1][j]));
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
                to[j] = glamm_finite(sign * both + linear * (x1[j] * p[0][j] + x2[j] * p[1][j]));
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
                    const double along = b1[j] * (third * t11 + second * p[2][j])
                                         + b2[j] * (third * t12 + second * p[3][j]) + first * p[0][j];
                    const double across = b1[j] * (third * t12 + second * p[3][j])
                                          + b2[j] * (third * t22 + second * p[4][j]) + first * p[1][j];
                    d3[j] = glamm_finite(a1[j] * along + a2[j] * across);
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
