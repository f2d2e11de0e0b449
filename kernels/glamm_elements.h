/* Log densities of families of a mean at one position, with derivatives in the mean and the log (or
 * logit) auxiliary parameters, all by closed forms that hold their digits for large parameters. */
#ifndef GLAMM_ELEMENTS_H
#define GLAMM_ELEMENTS_H

#include "glamm_math.h"

/* Channels 0, 1, 2; third derivatives of sorted triples. */
typedef struct {
    double ll, d0, d1, d2, d00, d01, d02, d11, d12, d22;
    double d000, d001, d002, d011, d012, d022, d111, d112, d122, d222;
} glamm_element;

/* What a position knows: numbers of the response, of the two auxiliary channels, and the mean. */
typedef struct {
    double y0, y1, y2, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4, mu, co, m1, m2, m3;
} glamm_known;

/* lgamma(k + h) - lgamma(k) - h log(k) and its derivatives in log k. */
GLAMM_INLINE void glamm_rising(const int order, double h, double k, double *c) {
    const glamm_stirling_t low = glamm_stirling(k, order), high = glamm_stirling(k + h, order);
    const double top = k + h, inverse = 1.0 / top, rate = k * inverse, rest = h * inverse;
    const double ratio = glamm_log1p(h / k);
    c[0] = (top - 0.5) * ratio - h + (high.j0 - low.j0);
    if (order == 0)
        return;
    const double first = k * ratio + 0.5 * rest + k * (high.j1 - low.j1);
    c[1] = first - h;
    if (order == 1)
        return;
    const double second = -h * rate - 0.5 * rest * (1.0 + rate) + k * k * (high.j2 - low.j2);
    c[2] = first + second;
    if (order == 2)
        return;
    const double third = h * rate * (1.0 + rate) + rest * (1.0 + rate + rate * rate)
                         + k * k * k * (high.j3 - low.j3);
    c[3] = first + 3.0 * second + third;
}

/* y0 = y; a0 = log sigma, a1 = 1 / sigma */
GLAMM_INLINE glamm_element glamm_gaussian_element(glamm_known v) {
    glamm_element o = {0};
    const double z = (v.y0 - v.mu) * v.a1, zt = z * v.a1, t = v.a1 * v.a1;
    o.ll = -0.5 * z * z - v.a0 - GLAMM_HALF_LOG_2PI;
    o.d0 = zt;
    o.d1 = z * z - 1.0;
    o.d00 = -t;
    o.d01 = -2.0 * zt;
    o.d11 = -2.0 * z * z;
    o.d001 = 2.0 * t;
    o.d011 = 4.0 * zt;
    o.d111 = 4.0 * z * z;
    return o;
}

/* y0 = y; a0 = log sigma, a1 = 1 / sigma; b0 = df, b1 .. b4 = `glamm_rising` of 1/2 at df / 2 */
GLAMM_INLINE glamm_element glamm_student_t_element(glamm_known v) {
    glamm_element o = {0};
    const double delta = v.y0 - v.mu, a = v.a1 * v.a1 / v.b0, q = a * delta * delta;
    const double w = 1.0 / (1.0 + q), p = q < 1e300 ? q * w : 1.0, pw = p * w, bend = pw * (1.0 - 2.0 * p);
    const double n = 0.5 * (v.b0 + 1.0), half = 0.5 * v.b0, log_q = glamm_log1p(q);
    const double l1 = 2.0 * a * delta * w, l2 = 2.0 * a * (w - p) * w;
    const double l3 = 4.0 * a * a * delta * (p - 3.0 * w) * w * w;
    const double e1 = l1 * w, ee1 = e1 * (w - p), e2 = 2.0 * a * (w - 3.0 * p) * w * w;
    o.ll = v.b1 - GLAMM_HALF_LOG_2PI - v.a0 - n * log_q;
    o.d0 = n * l1;
    o.d1 = 2.0 * n * p - 1.0;
    o.d2 = v.b2 - half * log_q + n * p;
    o.d00 = -n * l2;
    o.d01 = -2.0 * n * e1;
    o.d02 = half * l1 - n * e1;
    o.d11 = -4.0 * n * pw;
    o.d12 = 2.0 * half * p - 2.0 * n * pw;
    o.d22 = v.b3 - half * log_q + 2.0 * half * p - n * pw;
    o.d000 = n * l3;
    o.d001 = 2.0 * n * e2;
    o.d002 = n * e2 - half * l2;
    o.d011 = 4.0 * n * ee1;
    o.d012 = 2.0 * (n * ee1 - half * e1);
    o.d022 = half * (l1 - 2.0 * e1) + n * ee1;
    o.d111 = 8.0 * n * bend;
    o.d112 = 4.0 * (n * bend - half * pw);
    o.d122 = 2.0 * (half * (p - 2.0 * pw) + n * bend);
    o.d222 = v.b4 - half * log_q + 3.0 * half * (p - pw) + n * bend;
    return o;
}

/* y0 = y, y1 = log y; a0 = shape, a1 .. a4 = log(shape)/2 - log(2 pi)/2 - J(shape) and its derivatives.
 * With the log link the mean's channel is nu itself: `logarithmic`. */
GLAMM_INLINE glamm_element glamm_gamma_element(const int logarithmic, glamm_known v) {
    glamm_element o = {0};
    const double ratio = logarithmic ? glamm_exp(v.y1 - v.mu) : v.y0 / v.mu;
    const double log_ratio = v.y1 - (logarithmic ? v.mu : glamm_log(v.mu)), a = v.a0;
    const double part = a * (log_ratio - (ratio - 1.0)), i = 1.0 / v.mu;
    o.ll = part + v.a1 - v.y1;
    o.d0 = logarithmic ? a * (ratio - 1.0) : a * (ratio - 1.0) * i;
    o.d00 = logarithmic ? -a * ratio : a * (1.0 - 2.0 * ratio) * i * i;
    o.d000 = logarithmic ? a * ratio : a * (6.0 * ratio - 2.0) * i * i * i;
    o.d1 = part + v.a2;
    o.d11 = part + v.a3;
    o.d111 = part + v.a4;
    o.d01 = o.d011 = o.d0;
    o.d001 = o.d00;
    return o;
}

/* y0 = y, y1 = -(log(2 pi) + 3 log y) / 2; a0 = log shape, a1 = shape */
GLAMM_INLINE glamm_element glamm_inverse_gaussian_element(glamm_known v) {
    glamm_element o = {0};
    const double u = 1.0 / v.mu, z = v.y0 * u - 1.0, u2 = u * u;
    const double part = -0.5 * v.a1 * z * z / v.y0;
    o.ll = v.y1 + 0.5 * v.a0 + part;
    o.d0 = v.a1 * u2 * z;
    o.d1 = 0.5 + part;
    o.d00 = v.a1 * u2 * u * (2.0 - 3.0 * v.y0 * u);
    o.d11 = o.d111 = part;
    o.d000 = v.a1 * u2 * u2 * (12.0 * v.y0 * u - 6.0);
    o.d01 = o.d011 = o.d0;
    o.d001 = o.d00;
    return o;
}

/* y0 = y, y1 = log y (0 at 0), y2 = y log y - y - log y! */
GLAMM_INLINE glamm_element glamm_poisson_element(glamm_known v) {
    glamm_element o = {0};
    const double i = 1.0 / v.mu, r = v.y0 * i;
    const double deviance = v.y0 * (v.y1 - glamm_log(v.mu)) - (v.y0 - v.mu);
    o.ll = v.y2 - (v.y0 > 0.0 ? deviance : v.mu);
    o.d0 = r - 1.0;
    o.d00 = -r * i;
    o.d000 = 2.0 * r * i * i;
    return o;
}

/* y0 = y, y1 = -log y!; a0 = size, a1 .. a4 = `glamm_rising` of y at size */
GLAMM_INLINE glamm_element glamm_negative_binomial_element(glamm_known v) {
    glamm_element o = {0};
    const double k = v.a0, y = v.y0, i = 1.0 / (k + v.mu), p = v.mu * i, q = k * i, all = y + k;
    const double soft = glamm_log1p(v.mu / k), j = 1.0 / v.mu, pq = p * q, bend = all * pq * (q - p);
    o.ll = v.a1 + v.y1 + y * glamm_log(v.mu) - all * soft;
    o.d0 = y * j - all * i;
    o.d1 = v.a2 - k * soft + all * p;
    o.d00 = all * i * i - y * j * j;
    o.d01 = q * (y - v.mu) * i;
    o.d11 = v.a3 - k * soft + 2.0 * k * p - all * pq;
    o.d000 = 2.0 * (y * j * j * j - all * i * i * i);
    o.d001 = q * i * (1.0 - 2.0 * all * i);
    o.d011 = q * (y - v.mu) * i * (1.0 - 2.0 * q);
    o.d111 = v.a4 - k * soft + 3.0 * k * (p - pq) + bend;
    return o;
}

/* The same with the log link, in nu: p = logistic(nu - log size); a0 = size, b0 = log size. */
GLAMM_INLINE glamm_element glamm_negative_binomial_log_element(glamm_known v) {
    glamm_element o = {0};
    double p, q, soft;
    const double x = v.mu - v.b0, k = v.a0, y = v.y0, all = y + k;
    glamm_logistic(x, &p, &q, &soft);
    soft += glamm_max(x, 0.0);
    const double pq = p * q, bend = all * pq * (q - p);
    o.ll = v.a1 + v.y1 + y * v.mu - all * soft;
    o.d0 = y - all * p;
    o.d1 = v.a2 - k * soft + all * p;
    o.d00 = -all * pq;
    o.d01 = all * pq - k * p;
    o.d11 = v.a3 - k * soft + 2.0 * k * p - all * pq;
    o.d000 = -bend;
    o.d001 = bend - k * pq;
    o.d011 = k * (2.0 * pq - p) - bend;
    o.d111 = v.a4 - k * soft + 3.0 * k * (p - pq) + bend;
    return o;
}

/* y0 = successes, y1 = failures, y2 = log binomial coefficient */
GLAMM_INLINE glamm_element glamm_binomial_element(glamm_known v) {
    glamm_element o = {0};
    const double i = 1.0 / v.mu, j = 1.0 / v.co;
    const double yes = v.y0 > 0.0 ? v.y0 * glamm_log(v.mu) : 0.0;
    const double no = v.y1 > 0.0 ? v.y1 * glamm_log(v.co) : 0.0;
    o.ll = v.y2 + yes + no;
    o.d0 = v.y0 * i - v.y1 * j;
    o.d00 = -v.y0 * i * i - v.y1 * j * j;
    o.d000 = 2.0 * (v.y0 * i * i * i - v.y1 * j * j * j);
    return o;
}

/* The same with P = guess + (1 - slip - guess) mu; a0 = guess, a1 = 1 - guess, b0 and b1 of the slip.
 * The derivatives are in nu: m1 .. m3 are those of mu. */
GLAMM_INLINE glamm_element glamm_asymptotes_element(glamm_known v) {
    glamm_element o = {0};
    const double g = v.a0, h = v.a1, s = v.b0, u = v.b1, span = u * h - s * g;   /* 1 - s - g */
    const double p = g * v.co + u * v.mu, q = h * v.co + s * v.mu, i = 1.0 / p, j = 1.0 / q;
    const double l1 = v.y0 * i - v.y1 * j, l2 = -v.y0 * i * i - v.y1 * j * j;
    const double l3 = 2.0 * (v.y0 * i * i * i - v.y1 * j * j * j);
    const double g1 = g * h, g2 = g1 * (h - g), g3 = g1 * (1.0 - 6.0 * g1);
    const double s1 = s * u, s2 = s1 * (u - s), s3 = s1 * (1.0 - 6.0 * s1);
    const double p0 = span * v.m1, p1 = g1 * v.co, p2 = -s1 * v.mu;
    const double p00 = span * v.m2, p01 = -g1 * v.m1, p02 = -s1 * v.m1, p11 = g2 * v.co, p22 = -s2 * v.mu;
    const double yes = v.y0 > 0.0 ? v.y0 * glamm_log(p) : 0.0;
    const double no = v.y1 > 0.0 ? v.y1 * glamm_log(q) : 0.0;
    o.ll = v.y2 + yes + no;
    o.d0 = l1 * p0;
    o.d1 = l1 * p1;
    o.d2 = l1 * p2;
    o.d00 = l2 * p0 * p0 + l1 * p00;
    o.d01 = l2 * p0 * p1 + l1 * p01;
    o.d02 = l2 * p0 * p2 + l1 * p02;
    o.d11 = l2 * p1 * p1 + l1 * p11;
    o.d12 = l2 * p1 * p2;
    o.d22 = l2 * p2 * p2 + l1 * p22;
    o.d000 = l3 * p0 * p0 * p0 + 3.0 * l2 * p0 * p00 + l1 * span * v.m3;
    o.d001 = l3 * p0 * p0 * p1 + l2 * (p00 * p1 + 2.0 * p0 * p01) - l1 * g1 * v.m2;
    o.d002 = l3 * p0 * p0 * p2 + l2 * (p00 * p2 + 2.0 * p0 * p02) - l1 * s1 * v.m2;
    o.d011 = l3 * p0 * p1 * p1 + l2 * (p11 * p0 + 2.0 * p1 * p01) - l1 * g2 * v.m1;
    o.d012 = l3 * p0 * p1 * p2 + l2 * (p01 * p2 + p02 * p1);
    o.d022 = l3 * p0 * p2 * p2 + l2 * (p22 * p0 + 2.0 * p2 * p02) - l1 * s2 * v.m1;
    o.d111 = l3 * p1 * p1 * p1 + 3.0 * l2 * p1 * p11 + l1 * g3 * v.co;
    o.d112 = l3 * p1 * p1 * p2 + l2 * p11 * p2;
    o.d122 = l3 * p1 * p2 * p2 + l2 * p22 * p1;
    o.d222 = l3 * p2 * p2 * p2 + 3.0 * l2 * p2 * p22 - l1 * s3 * v.mu;
    return o;
}

/* Failures as successes: an upper asymptote becomes a lower one, a slip a guess. */
GLAMM_INLINE glamm_known glamm_mirrored(glamm_known v) {
    glamm_known w = v;
    w.y0 = v.y1;
    w.y1 = v.y0;
    w.mu = v.co;
    w.co = v.mu;
    w.m1 = -v.m1;
    w.m2 = -v.m2;
    w.m3 = -v.m3;
    return w;
}

/* y0 = log y, y1 = log(1 - y); a0 = phi, a1 = log(phi)/2 - log(2 pi)/2 + J(phi), a2 .. a4 = J' .. J''' */
GLAMM_INLINE glamm_element glamm_beta_element(const int order, glamm_known v) {
    glamm_element o = {0};
    const double f = v.a0, mu = v.mu, co = v.co, a = mu * f, b = co * f;
    const glamm_stirling_t ja = glamm_stirling(a, order), jb = glamm_stirling(b, order);
    const double log_mu = glamm_log(mu), log_co = glamm_log(co), x = v.y0 - log_mu, z = v.y1 - log_co;
    const double i = 1.0 / a, j = 1.0 / b;
    o.ll = v.a1 + 0.5 * (log_mu + log_co) - (ja.j0 + jb.j0) + (a * x + b * z) - (v.y0 + v.y1);
    const double gap = x - z + 0.5 * (i - j) + (jb.j1 - ja.j1);
    const double first = f * (mu * x + co * z) + 0.5 + f * (v.a2 - mu * ja.j1 - co * jb.j1);
    o.d0 = f * gap;
    o.d1 = first;
    const double ta = i + 0.5 * i * i + ja.j2, tb = j + 0.5 * j * j + jb.j2;
    const double second = f * f * (v.a3 - mu * mu * ja.j2 - co * co * jb.j2) - 0.5;
    o.d00 = -f * f * (ta + tb);
    o.d01 = f * (gap + 0.5 * (j - i) + (b * jb.j2 - a * ja.j2));
    o.d11 = first + second;
    const double ua = -i * i * (1.0 + i) + ja.j3, ub = -j * j * (1.0 + j) + jb.j3;
    const double f3 = f * f * f;
    o.d000 = f3 * (ub - ua);
    o.d001 = 2.0 * o.d00 - f3 * (mu * ua + co * ub);
    o.d011 = o.d01 + f * f * 2.0 * (co * tb - mu * ta) + f3 * (co * co * ub - mu * mu * ua);
    o.d111 = first + 3.0 * second + 1.0 + f3 * (v.a4 - mu * mu * mu * ja.j3 - co * co * co * jb.j3);
    return o;
}

/* y0 = log time, y1 = event; a0 = log shape, a1 = shape; hazard of exp(shape (log time - nu)). */
GLAMM_INLINE glamm_element glamm_weibull_element(glamm_known v) {
    glamm_element o = {0};
    const double a = v.a1, x = a * (v.y0 - v.mu), e = glamm_exp(x), h = v.y1 - e;
    o.ll = v.y1 * (v.a0 + x - v.y0) - e;
    o.d0 = -a * h;
    o.d1 = v.y1 + x * h;
    o.d00 = -a * a * e;
    o.d01 = a * (x * e - h);
    o.d11 = x * (h - x * e);
    o.d000 = a * a * a * e;
    o.d001 = -a * a * e * (2.0 + x);
    o.d011 = a * (x * e * (3.0 + x) - h);
    o.d111 = x * (h - x * e * (3.0 + x));
    return o;
}

#endif
