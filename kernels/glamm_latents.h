/* Densities of standardised latent variables over the normal one: channels the variable, then the
 * parameters on their linear scales. The NumPy twins are in plugins/latents. */
#ifndef GLAMM_LATENTS_H
#define GLAMM_LATENTS_H

#include "glamm_binary.h"
#include "glamm_elements.h"
#include "glamm_taylor.h"

typedef enum { GLAMM_LATENT_STUDENT_T, GLAMM_LATENT_SKEW_NORMAL, GLAMM_LATENT_NORMAL_MIXTURE } glamm_latent;

/* Channels u, log(df - 2). */
GLAMM_INLINE glamm_taylor glamm_latent_student_t(const int order, const double *nu) {
    const glamm_taylor u = glamm_variable(0, nu[0]), v = glamm_variable(1, nu[1]), none = {0};
    const glamm_taylor df = glamm_plus(order, 2, none, 1.0, glamm_through(order, 2, glamm_exp_at(nu[1]), v),
                                       2.0);
    const glamm_taylor log_df = glamm_through(order, 2, glamm_log_at(df.f), df);
    const glamm_taylor inverse = glamm_through(order, 2, glamm_exp_at(-nu[1]),
                                               glamm_plus(order, 2, none, -1.0, v, 0.0));
    const glamm_taylor q = glamm_times(order, 2, glamm_times(order, 2, u, u), inverse);
    const glamm_taylor kernel = glamm_through(order, 2, glamm_log1p_at(q.f), q);
    double c[4] = {0.0, 0.0, 0.0, 0.0}; /* lgamma((df + 1) / 2) - lgamma(df / 2) - log(df / 2) / 2 */
    glamm_rising(order, 0.5, 0.5 * df.f, c);
    glamm_taylor ll = glamm_through(order, 2, (glamm_function){c[0], c[1], c[2], c[3]}, log_df);
    ll = glamm_plus(order, 2, ll, 0.5, log_df, -0.5 * GLAMM_LOG_2 - GLAMM_LOG_SQRT_PI);
    ll = glamm_plus(order, 2, ll, -0.5, v, 0.0);
    return glamm_plus(order, 2, ll, -0.5,
                      glamm_times(order, 2, glamm_plus(order, 2, df, 0.0, none, 1.0), kernel), 0.0);
}

/* Channels u, shape. */
GLAMM_INLINE glamm_taylor glamm_latent_skew_normal(const int order, const double *nu) {
    const glamm_taylor u = glamm_variable(0, nu[0]), shape = glamm_variable(1, nu[1]), none = {0};
    const double s = nu[1], i = 1.0 / (fabs(s) < 1e150 ? sqrt(1.0 + s * s) : fabs(s)), i3 = i * i * i;
    const glamm_function delta = {s * i, i3, -3.0 * s * i * i * i3, (12.0 * s * s - 3.0) * i * i3 * i3};
    const glamm_taylor mean = glamm_plus(order, 2, none, GLAMM_SQRT_2_PI,
                                         glamm_through(order, 2, delta, shape), 0.0);
    const glamm_taylor variance = glamm_plus(order, 2, none, -1.0, glamm_times(order, 2, mean, mean), 1.0);
    const glamm_taylor sd = glamm_through(order, 2, glamm_root_at(variance.f), variance);
    const glamm_taylor z = glamm_plus(order, 2, mean, 1.0, glamm_times(order, 2, sd, u), 0.0);
    const glamm_taylor side = glamm_times(order, 2, shape, z);
    const glamm_score b = glamm_score_probit(3, side.f);
    glamm_taylor ll = glamm_through(order, 2, (glamm_function){b.f, b.f1, b.f2, b.f3}, side);
    ll = glamm_plus(order, 2, ll, 1.0, glamm_through(order, 2, glamm_log_at(sd.f), sd),
                    GLAMM_LOG_2 - GLAMM_HALF_LOG_2PI);
    return glamm_plus(order, 2, ll, -0.5, glamm_times(order, 2, z, z), 0.0);
}

/* Channels u, logit weight, log separation, log ratio. */
#define GLAMM_NARROWEST 0.01 /* variance of a component over that of the mixture */

GLAMM_INLINE glamm_taylor glamm_latent_normal_mixture(const int order, const double *nu) {
    const int K = 4;
    const glamm_taylor u = glamm_variable(0, nu[0]), odds = glamm_variable(1, nu[1]), none = {0};
    const glamm_taylor away = glamm_variable(2, nu[2]), wider = glamm_variable(3, nu[3]);
    const glamm_taylor no_odds = glamm_plus(order, K, none, -1.0, odds, 0.0);
    const glamm_taylor narrower = glamm_plus(order, K, none, -1.0, wider, 0.0);
    const glamm_taylor first = glamm_through(order, K, glamm_expit_at(nu[1]), odds);
    const glamm_taylor second = glamm_through(order, K, glamm_expit_at(-nu[1]), no_odds);
    const glamm_taylor separation = glamm_through(order, K, glamm_exp_at(nu[2]), away);
    const glamm_taylor ratio = glamm_through(order, K, glamm_exp_at(nu[3]), wider);
    const glamm_taylor mean = glamm_times(order, K, second, separation);
    const glamm_taylor square = glamm_times(order, K, ratio, ratio);
    const glamm_taylor apart = glamm_times(order, K, first, glamm_times(order, K, separation, separation));
    const glamm_taylor spread = glamm_plus(order, K, square, 1.0, apart, 0.0);
    const glamm_taylor of_second = glamm_times(order, K, second, spread);
    const glamm_taylor variance = glamm_plus(order, K, first, 1.0, of_second, 0.0);
    const glamm_taylor log_variance = glamm_through(order, K, glamm_log_at(variance.f), variance);
    const glamm_taylor sd = glamm_through(order, K, glamm_root_at(variance.f), variance);
    const glamm_taylor z = glamm_plus(order, K, mean, 1.0, glamm_times(order, K, sd, u), 0.0);
    const glamm_taylor inverse = glamm_through(order, K, glamm_exp_at(-nu[3]), narrower);
    const glamm_taylor far = glamm_times(order, K, glamm_plus(order, K, z, -1.0, separation, 0.0), inverse);
    const glamm_taylor lower = glamm_plus(order, K, none, -0.5, glamm_times(order, K, z, z), 0.0);
    glamm_taylor gap = glamm_plus(order, K, narrower, -1.0, odds, 0.0); /* log odds of the second, given z */
    gap = glamm_plus(order, K, gap, -0.5, glamm_times(order, K, far, far), 0.0);
    gap = glamm_plus(order, K, gap, -1.0, lower, 0.0);
    glamm_taylor ll = glamm_plus(order, K, lower, -1.0,
                                 glamm_through(order, K, glamm_softplus_at(-nu[1]), no_odds),
                                 -GLAMM_HALF_LOG_2PI);
    ll = glamm_plus(order, K, ll, 1.0, glamm_through(order, K, glamm_softplus_at(gap.f), gap), 0.0);
    ll = glamm_plus(order, K, ll, 0.5, log_variance, 0.0);
    const double low = glamm_min(1.0, ratio.f);
    if (!(low * low >= GLAMM_NARROWEST * variance.f))
        ll.f = -INFINITY; /* a spike that quadrature would count as it hits it or not */
    return ll;
}

GLAMM_INLINE void glamm_latent_body(const int order, const int kind, const int K, ptrdiff_t length,
                                    const double *const *nu, double *const *out) {
    double *const *d2 = out + 1 + K, *const *d3 = d2 + GLAMM_PAIRS(K);
    for (ptrdiff_t j = 0; j < length; j++) {
        double at[GLAMM_MAX_CHANNELS];
        for (int k = 0; k < K; k++)
            at[k] = nu[k][j];
        glamm_taylor ll = kind == GLAMM_LATENT_STUDENT_T      ? glamm_latent_student_t(order, at)
                          : kind == GLAMM_LATENT_SKEW_NORMAL ? glamm_latent_skew_normal(order, at)
                                                             : glamm_latent_normal_mixture(order, at);
        out[0][j] = glamm_density(ll.f + (0.5 * at[0] * at[0] + GLAMM_HALF_LOG_2PI));
        ll.d1[0] += at[0];
        ll.d2[0] += 1.0;
        for (int a = 0; order > 0 && a < K; a++)
            out[1 + a][j] = ll.d1[a];
        for (int p = 0; order > 1 && p < GLAMM_PAIRS(K); p++)
            d2[p][j] = ll.d2[p];
        for (int p = 0; order > 2 && p < GLAMM_PAIRS(K) * K; p++)
            d3[p][j] = ll.d3[p];
    }
}

/* `kind` is a constant where this is inlined. */
GLAMM_INLINE int glamm_latent_block(const int kind,
                                    void (*compose)(int, int, ptrdiff_t, const glamm_mean *, double *const *),
                                    GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3), K = kind == GLAMM_LATENT_NORMAL_MIXTURE ? 4 : 2;
    double flat[GLAMM_MAX_CHANNELS][GLAMM_BUFFER], *out[GLAMM_MAX_OUTPUTS] = {0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *x[GLAMM_MAX_CHANNELS];
        for (int k = 0; k < K; k++)
            x[k] = glamm_channel(&t, nu[k], node_stride[k], flat[k]);
        glamm_outputs(&t, K, order, ll, d1, d2, d3, out);
        GLAMM_BY_ORDER(order, glamm_latent_body, kind, K, t.length, x, out)
        compose(order, K, t.length, 0, out);
    }
    (void)y;
    (void)ny;
    (void)user;
    return 0;
}

#endif
