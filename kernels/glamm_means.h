/* Overrides for the families of a mean with their usual links: channels nu and log auxiliary parameter. */
#ifndef GLAMM_MEANS_H
#define GLAMM_MEANS_H

#include "glamm_tile.h"

/* ------------------------------------------------ Gaussian, identity link */

GLAMM_INLINE void glamm_gaussian_body(const int order, ptrdiff_t length, const double *y,
                                      const double *nu, const double *s, const double *inverse,
                                      double *const *out) {
    double *ll = out[0], *d_n = 0, *d_s = 0, *d_nn = 0, *d_ns = 0, *d_ss = 0;
    if (order > 0)
        d_n = out[1], d_s = out[2];
    if (order > 1)
        d_nn = out[3], d_ns = out[4], d_ss = out[5];
    double *const *d3 = out + 6;
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double t = inverse[j] * inverse[j], z = (y[j] - nu[j]) * inverse[j];
        const double zt = z * inverse[j], z2 = z * z;
        ll[j] = glamm_density(-0.5 * z2 - s[j] - GLAMM_HALF_LOG_2PI);
        if (order > 0) {
            d_n[j] = glamm_finite(zt);
            d_s[j] = glamm_finite(z2 - 1.0);
        }
        if (order > 1) {
            d_nn[j] = -glamm_finite(t);
            d_ns[j] = -2.0 * glamm_finite(zt);
            d_ss[j] = -2.0 * glamm_finite(z2);
        }
        if (order > 2) { /* pairs (n n), (n s), (s s), each in n and s */
            d3[0][j] = 0.0;
            d3[1][j] = d3[2][j] = 2.0 * glamm_finite(t);
            d3[3][j] = d3[4][j] = 4.0 * glamm_finite(zt);
            d3[5][j] = 4.0 * glamm_finite(z2);
        }
    }
}

GLAMM_INLINE int glamm_gaussian(GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    double rows[2][GLAMM_BUFFER], flat[4][GLAMM_BUFFER], *out[GLAMM_MAX_OUTPUTS] = {0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *value = glamm_spread(&t, glamm_column(&t, y, ny, 0, rows[0]), flat[0]);
        const double *x = glamm_channel(&t, nu[0], node_stride[0], flat[1]);
        const double *s = glamm_channel(&t, nu[1], node_stride[1], flat[2]);
        const int by_row = glamm_by_row(&t, node_stride[1]);
        const double *scale = nu[1] + (node_stride[1] ? t.start : t.row), *inverse = rows[1];
        const ptrdiff_t count = by_row ? t.rows : t.length;
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < count; j++)
            rows[1][j] = glamm_exp(glamm_min(-scale[j], 350.0)); /* its square is finite */
        if (by_row)
            inverse = glamm_spread(&t, rows[1], flat[3]);
        glamm_outputs(&t, 2, order, ll, d1, d2, d3, out);
        GLAMM_BY_ORDER(order, glamm_gaussian_body, t.length, value, x, s, inverse, out)
    }
    (void)user;
    return 0;
}

/* ------------------------------------------------ Poisson, log link */

GLAMM_INLINE void glamm_poisson_body(const int order, ptrdiff_t length, const double *y,
                                     const double *log_y, const double *constant, const double *nu,
                                     double *const *out) {
    double *ll = out[0], *d1 = order > 0 ? out[1] : 0, *d2 = order > 1 ? out[2] : 0;
    double *d3 = order > 2 ? out[3] : 0;
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double mu = glamm_exp(nu[j]);
        if (log_y) { /* deviance form: y nu - mu cancels where both are large */
            const double d = nu[j] - log_y[j];
            const double deviance = y[j] > 0.0 ? y[j] * (glamm_expm1(d) - d) : mu;
            ll[j] = glamm_density(constant[j] - deviance);
        } else {
            ll[j] = glamm_density(y[j] * nu[j] - mu - constant[j]);
        }
        if (order > 0)
            d1[j] = y[j] - mu;
        if (order > 1)
            d2[j] = -mu;
        if (order > 2)
            d3[j] = -mu;
    }
}

GLAMM_INLINE int glamm_poisson(GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    double rows[3][GLAMM_BUFFER], flat[4][GLAMM_BUFFER], *out[4] = {0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *counts = glamm_column(&t, y, ny, 0, rows[0]);
        const double *value = glamm_spread(&t, counts, flat[0]);
        const double *x = glamm_channel(&t, nu[0], node_stride[0], flat[1]);
        double most = 0.0;
        for (ptrdiff_t i = 0; i < t.rows; i++)
            most = glamm_max(most, counts[i]);
        glamm_outputs(&t, 1, order, ll, d1, d2, d3, out);
        if (most < GLAMM_TABLE) {
            for (ptrdiff_t i = 0; i < t.rows; i++)
                rows[1][i] = glamm_log_factorial[(int)counts[i]];
            const double *constant = glamm_spread(&t, rows[1], flat[2]);
            GLAMM_BY_ORDER(order, glamm_poisson_body, t.length, value, 0, constant, x, out)
        } else {
            GLAMM_LOOP
            for (ptrdiff_t i = 0; i < t.rows; i++) {
                const double some = glamm_max(counts[i], 1.0);
                rows[1][i] = glamm_log_positive(some);
                /* y log y - y - lgamma(y + 1) */
                const double saturated = -GLAMM_HALF_LOG_2PI - 0.5 * rows[1][i] - glamm_stirling(some, 0).j0;
                rows[2][i] = counts[i] > 0.0 ? saturated : 0.0;
            }
            const double *log_y = glamm_spread(&t, rows[1], flat[2]);
            const double *constant = glamm_spread(&t, rows[2], flat[3]);
            GLAMM_BY_ORDER(order, glamm_poisson_body, t.length, value, log_y, constant, x, out)
        }
    }
    (void)user;
    return 0;
}

#endif
