/* Log probabilities of a distribution function F of a link and their derivatives; the binomial family.
 *
 * For each link: f = log F(x), g = log(1 - F(x)) and their first three derivatives, each computed in a
 * form that neither cancels nor overflows for any x.
 */
#ifndef GLAMM_BINARY_H
#define GLAMM_BINARY_H

#include "glamm_tile.h"

typedef struct {
    double f, f1, f2, f3, g, g1, g2, g3;
} glamm_score;

GLAMM_INLINE glamm_score glamm_score_logit(const int order, double x) {
    glamm_score s = {0};
    double p, q, soft;
    glamm_logistic(x, &p, &q, &soft);
    s.f = glamm_min(x, 0.0) - soft;
    s.g = -glamm_max(x, 0.0) - soft;
    s.f1 = q;
    s.g1 = -p;
    s.f2 = s.g2 = -p * q;
    s.f3 = s.g3 = p * q * (p - q);
    (void)order;
    return s;
}

/* Derivatives of log Phi at x <= 0, ratio = phi(x) / Phi(x). */
GLAMM_INLINE void glamm_mills(double x, double ratio, double *s1, double *s2, double *s3) {
    /* far in the lower tail x + ratio cancels: its asymptotic series in z = 1/x^2 */
    const double far = x < -40.0 ? x : -40.0;
    const double z = 1.0 / (far * far);
    const double tail = z * (2.0 - z * (10.0 - z * (74.0 - z * 706.0)));
    const double u = x < -40.0 ? (tail - 1.0) / far : x + ratio;
    const double rest = x < -40.0 ? tail - u * u : 1.0 - ratio * u;
    *s1 = ratio;
    *s2 = -ratio * u;
    *s3 = ratio * (u * u - rest);
}

GLAMM_INLINE glamm_score glamm_score_probit(const int order, double x) {
    glamm_score s = {0};
    const double a = fabs(x);
    const double scaled = glamm_erfcx(a * GLAMM_SQRT_HALF);      /* Phi(-a) = exp(-a^2/2) scaled / 2 */
    const double e = glamm_exp(-0.5 * a * a);
    const double low = 0.5 * e * scaled;
    const double log_low = glamm_log_positive(0.5 * scaled) - 0.5 * a * a;
    const double log_high = glamm_log_positive(1.0 - low);
    s.f = x < 0.0 ? log_low : log_high;
    s.g = x < 0.0 ? log_high : log_low;
    if (order == 0)
        return s;
    const double ratio_low = GLAMM_SQRT_2_PI / scaled;           /* phi(a) / Phi(-a) */
    const double ratio_high = GLAMM_INV_SQRT_2PI * e / (1.0 - low);
    double l1, l2, l3, h1, h2, h3;
    glamm_mills(-a, ratio_low, &l1, &l2, &l3);
    h1 = ratio_high;
    h2 = -ratio_high * (a + ratio_high);
    h3 = -h2 * (a + ratio_high) - ratio_high * (1.0 + h2);
    s.f1 = x < 0.0 ? l1 : h1;
    s.g1 = -(x < 0.0 ? h1 : l1);
    s.f2 = x < 0.0 ? l2 : h2;
    s.g2 = x < 0.0 ? h2 : l2;
    s.f3 = x < 0.0 ? l3 : h3;
    s.g3 = -(x < 0.0 ? h3 : l3);
    return s;
}

/* F(x) = 1 - exp(-exp(x)) */
GLAMM_INLINE glamm_score glamm_score_cloglog(const int order, double x) {
    glamm_score s = {0};
    const double e = glamm_exp(glamm_min(x, 680.0));              /* times a count it stays finite */
    const double c = glamm_min(e, 700.0);
    const double grown = glamm_expm1(c);                          /* F = grown / (1 + grown) */
    s.g = s.g1 = s.g2 = s.g3 = -e;
    s.f = x < -36.0 ? x : glamm_log_positive(glamm_max(grown / (1.0 + grown), 1e-300));
    if (order == 0)
        return s;
    const double r = c / grown, h = glamm_decay(c, r);
    s.f1 = r;
    s.f2 = r * h;
    s.f3 = s.f2 * h - r * (c + s.f2);
    return s;
}

/* F(x) = exp(-exp(-x)), the mirror image of cloglog. */
GLAMM_INLINE glamm_score glamm_score_loglog(const int order, double x) {
    const glamm_score c = glamm_score_cloglog(order, -x);
    const glamm_score s = {c.g, -c.g1, c.g2, -c.g3, c.f, -c.f1, c.f2, -c.f3};
    return s;
}

GLAMM_INLINE glamm_score glamm_score_at(const int link, const int order, double x) {
    switch (link) {
    case GLAMM_PROBIT: return glamm_score_probit(order, x);
    case GLAMM_CLOGLOG: return glamm_score_cloglog(order, x);
    case GLAMM_LOGLOG: return glamm_score_loglog(order, x);
    default: return glamm_score_logit(order, x);
    }
}

/* The score of one trial with the outcome `yes`, 0 or 1: f .. f3 only. */
GLAMM_INLINE glamm_score glamm_score_of(const int link, const int order, double x, double yes) {
    glamm_score s = {0};
    if (link == GLAMM_LOGIT) {
        const double t = glamm_exp(-fabs(x)), z = yes > 0.0 ? x : -x;
        const double high = 1.0 / (1.0 + t), p = x >= 0.0 ? high : t * high;
        s.f = glamm_min(z, 0.0) - glamm_log1p_unit(t);
        s.f1 = yes - p;
        s.f2 = -t * high * high;
        s.f3 = s.f2 * (1.0 - 2.0 * p);
    } else if (link == GLAMM_PROBIT) {
        const double a = fabs(x), z = yes > 0.0 ? x : -x, sign = yes > 0.0 ? 1.0 : -1.0;
        const double scaled = glamm_erfcx(a * GLAMM_SQRT_HALF), half = 0.5 * a * a;
        const double e = glamm_exp(-half), high = 1.0 - 0.5 * e * scaled;
        s.f = glamm_log_positive(z < 0.0 ? 0.5 * scaled : high) - (z < 0.0 ? half : 0.0);
        const double top = z < 0.0 ? GLAMM_SQRT_2_PI : GLAMM_INV_SQRT_2PI * e;
        double f1, f2, f3;
        glamm_mills(z, top / (z < 0.0 ? scaled : high), &f1, &f2, &f3);
        s.f1 = sign * f1;
        s.f2 = f2;
        s.f3 = sign * f3;
    } else {
        const glamm_score b = glamm_score_at(link, order, x);
        s.f = yes > 0.0 ? b.f : b.g;
        s.f1 = yes > 0.0 ? b.f1 : b.g1;
        s.f2 = yes > 0.0 ? b.f2 : b.g2;
        s.f3 = yes > 0.0 ? b.f3 : b.g3;
    }
    return s;
}

/* log of the binomial coefficient. */
static double glamm_log_choose(double trials, double successes) {
    const double failures = trials - successes;
    if (successes == 0.0 || failures == 0.0)
        return 0.0;
    if (trials < GLAMM_TABLE && trials == floor(trials) && successes == floor(successes))
        return glamm_log_factorial[(int)trials] - glamm_log_factorial[(int)successes]
               - glamm_log_factorial[(int)failures];
    return lgamma(trials + 1.0) - lgamma(successes + 1.0) - lgamma(failures + 1.0);
}

/* Successes, failures and log binomial coefficients of the positions of a tile; f and c are left out
 * where all trials are single. */
typedef struct {
    double rows[3][GLAMM_BUFFER], flat[3][GLAMM_BUFFER];
    const double *s, *f, *c;
} glamm_counts;

GLAMM_INLINE int glamm_count(const glamm_tile *t, const double *y, ptrdiff_t ny, glamm_counts *to) {
    const double *counts = y + t->row * ny;
    double most = 1.0, least = 1.0;
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        const double s = counts[i * ny], trials = counts[i * ny + 1];
        to->rows[0][i] = s;
        to->rows[1][i] = trials - s;
        most = trials > most ? trials : most;
        least = trials < least ? trials : least;
    }
    to->s = glamm_spread(t, to->rows[0], to->flat[0]);
    return most == 1.0 && least == 1.0;
}

GLAMM_INLINE void glamm_count_rest(const glamm_tile *t, glamm_counts *to) {
    for (ptrdiff_t i = 0; i < t->rows; i++)
        to->rows[2][i] = glamm_log_choose(to->rows[0][i] + to->rows[1][i], to->rows[0][i]);
    to->f = glamm_spread(t, to->rows[1], to->flat[1]);
    to->c = glamm_spread(t, to->rows[2], to->flat[2]);
}

GLAMM_INLINE void glamm_single_body(const int order, const int link, ptrdiff_t length, const double *y,
                                    const double *nu, double *const *out) {
    double *ll = out[0], *d1 = order > 0 ? out[1] : 0, *d2 = order > 1 ? out[2] : 0;
    double *d3 = order > 2 ? out[3] : 0;
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const glamm_score p = glamm_score_of(link, order, nu[j], y[j]);
        ll[j] = glamm_density(p.f);
        if (order > 0)
            d1[j] = p.f1;
        if (order > 1)
            d2[j] = p.f2;
        if (order > 2)
            d3[j] = p.f3;
    }
}

GLAMM_INLINE void glamm_binomial_body(const int order, const int link, ptrdiff_t length,
                                      const glamm_counts *y, const double *nu, double *const *out) {
    const double *s = y->s, *f = y->f, *c = y->c;
    double *ll = out[0], *d1 = order > 0 ? out[1] : 0, *d2 = order > 1 ? out[2] : 0;
    double *d3 = order > 2 ? out[3] : 0;
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const glamm_score p = glamm_score_at(link, order, nu[j]);
        ll[j] = glamm_density(s[j] * p.f + f[j] * p.g + c[j]);
        if (order > 0)
            d1[j] = s[j] * p.f1 + f[j] * p.g1;
        if (order > 1)
            d2[j] = s[j] * p.f2 + f[j] * p.g2;
        if (order > 2)
            d3[j] = s[j] * p.f3 + f[j] * p.g3;
    }
}

/* Binomial with a link that has an F of its own; `link` is a constant where this is inlined. */
GLAMM_INLINE int glamm_binomial(const int link, GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    glamm_counts counts;
    double buffer[GLAMM_BUFFER], *out[4] = {0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *x = glamm_channel(&t, nu[0], node_stride[0], buffer);
        glamm_outputs(&t, 1, order, ll, d1, d2, d3, out);
        if (glamm_count(&t, y, ny, &counts)) {
            GLAMM_BY_ORDER(order, glamm_single_body, link, t.length, counts.s, x, out)
        } else {
            glamm_count_rest(&t, &counts);
            GLAMM_BY_ORDER(order, glamm_binomial_body, link, t.length, &counts, x, out)
        }
    }
    (void)user;
    return 0;
}

#endif
