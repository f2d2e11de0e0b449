/* Block functions of the families of a mean: any family of `glamm_elements.h` with any link. */
#ifndef GLAMM_GENERAL_H
#define GLAMM_GENERAL_H

#include "glamm_binary.h"
#include "glamm_elements.h"
#include "glamm_links.h"

typedef enum {
    GLAMM_GAUSSIAN, GLAMM_STUDENT_T, GLAMM_GAMMA, GLAMM_INVERSE_GAUSSIAN, GLAMM_POISSON,
    GLAMM_NEGATIVE_BINOMIAL, GLAMM_BINOMIAL, GLAMM_BETA, GLAMM_LOWER_ASYMPTOTE, GLAMM_BOTH_ASYMPTOTES,
    GLAMM_UPPER_ASYMPTOTE,
    /* with the link log, derivatives in nu */
    GLAMM_GAMMA_LOG, GLAMM_NEGATIVE_BINOMIAL_LOG, GLAMM_WEIBULL, GLAMM_EXPONENTIAL
} glamm_family;

/* Where the mean has to lie: anywhere, above 0, between 0 and 1; families in nu have no bounds. */
GLAMM_INLINE int glamm_bounds(const int family) {
    switch (family) {
    case GLAMM_GAMMA:
    case GLAMM_INVERSE_GAUSSIAN:
    case GLAMM_POISSON:
    case GLAMM_NEGATIVE_BINOMIAL: return 1;
    case GLAMM_BINOMIAL:
    case GLAMM_BETA:
    case GLAMM_LOWER_ASYMPTOTE:
    case GLAMM_BOTH_ASYMPTOTES:
    case GLAMM_UPPER_ASYMPTOTE: return 2;
    default: return 0;
    }
}

/* Whether the family's element takes the link's slopes and gives derivatives in the linear predictor. */
GLAMM_INLINE int glamm_takes_slopes(const int family) {
    return family == GLAMM_LOWER_ASYMPTOTE || family == GLAMM_BOTH_ASYMPTOTES
           || family == GLAMM_UPPER_ASYMPTOTE;
}

GLAMM_INLINE int glamm_channels(const int family) {
    switch (family) {
    case GLAMM_POISSON:
    case GLAMM_BINOMIAL:
    case GLAMM_EXPONENTIAL: return 1;
    case GLAMM_STUDENT_T:
    case GLAMM_BOTH_ASYMPTOTES: return 3;
    default: return 2;
    }
}

/* How many numbers of the response the family's element uses. */
GLAMM_INLINE int glamm_response_numbers(const int family) {
    switch (family) {
    case GLAMM_GAUSSIAN:
    case GLAMM_STUDENT_T: return 1;
    case GLAMM_POISSON: return 3;
    default: return 2;
    }
}

/* Numbers of the response, once a row: what the families' elements call y0, y1, y2. */
GLAMM_INLINE void glamm_response(const int family, const glamm_tile *t, const double *y, ptrdiff_t ny,
                                 double (*to)[GLAMM_BUFFER]) {
    y += t->row * ny;
    const int survival = family == GLAMM_WEIBULL || family == GLAMM_EXPONENTIAL;
    GLAMM_LOOP
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        const double v = y[i * ny];
        to[0][i] = v;
        if (family == GLAMM_GAMMA || family == GLAMM_GAMMA_LOG)
            to[1][i] = glamm_log(v);
        if (family == GLAMM_INVERSE_GAUSSIAN)
            to[1][i] = -GLAMM_HALF_LOG_2PI - 1.5 * glamm_log(v);
        if (family == GLAMM_NEGATIVE_BINOMIAL || family == GLAMM_NEGATIVE_BINOMIAL_LOG)
            to[1][i] = -glamm_lgamma(v + 1.0);
        if (family == GLAMM_POISSON) {
            const double some = glamm_max(v, 1.0), log_y = glamm_log_positive(some);
            const double saturated = -GLAMM_HALF_LOG_2PI - 0.5 * log_y - glamm_stirling(some, 0).j0;
            to[1][i] = log_y;
            to[2][i] = v > 0.0 ? saturated : 0.0;
        }
        if (family == GLAMM_BETA) {
            to[0][i] = glamm_log(v);
            to[1][i] = glamm_log1p(-v);
        }
        if (survival) {
            to[0][i] = glamm_log(v);
            to[1][i] = y[i * ny + 1];
        }
    }
}

/* What an auxiliary channel is turned into, a0 .. a4, or b0 .. b4 for the second. */
typedef enum {
    GLAMM_OF_SCALE,         /* log scale, 1 / scale */
    GLAMM_OF_SHAPE,         /* log shape, shape */
    GLAMM_OF_PROBABILITY,   /* p, 1 - p */
    GLAMM_OF_GAMMA,         /* shape, terms of the gamma density that are free of the mean */
    GLAMM_OF_BETA,          /* phi, the same for the beta density */
    GLAMM_OF_SIZE,          /* size, `glamm_rising` of the response */
    GLAMM_OF_DF             /* df, `glamm_rising` of 1/2 at df / 2 */
} glamm_kind;

GLAMM_INLINE int glamm_kind_of(const int family, const int second) {
    switch (family) {
    case GLAMM_GAMMA:
    case GLAMM_GAMMA_LOG: return GLAMM_OF_GAMMA;
    case GLAMM_NEGATIVE_BINOMIAL:
    case GLAMM_NEGATIVE_BINOMIAL_LOG: return GLAMM_OF_SIZE;
    case GLAMM_BETA: return GLAMM_OF_BETA;
    case GLAMM_LOWER_ASYMPTOTE:
    case GLAMM_BOTH_ASYMPTOTES:
    case GLAMM_UPPER_ASYMPTOTE: return GLAMM_OF_PROBABILITY;
    case GLAMM_INVERSE_GAUSSIAN:
    case GLAMM_WEIBULL: return GLAMM_OF_SHAPE;
    default: return second ? GLAMM_OF_DF : GLAMM_OF_SCALE;
    }
}

/* How many numbers that makes. */
GLAMM_INLINE int glamm_kind_numbers(const int kind) { return kind >= GLAMM_OF_GAMMA ? 5 : 2; }

/* `factor` times the size, and `y`, are what `glamm_rising` takes. */
GLAMM_INLINE void glamm_auxiliary_body(const int order, const int kind, ptrdiff_t length,
                                       const double *channel, double factor, const double *y,
                                       double (*to)[GLAMM_BUFFER]) {
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double s = channel[j];
        if (kind == GLAMM_OF_SCALE || kind == GLAMM_OF_SHAPE) {
            to[0][j] = s;
            to[1][j] = glamm_exp(kind == GLAMM_OF_SCALE ? -s : s);
        } else if (kind == GLAMM_OF_PROBABILITY) {
            double p, q, soft;
            glamm_logistic(s, &p, &q, &soft);
            to[0][j] = p;
            to[1][j] = q;
        } else {
            double c[4] = {0.0, 0.0, 0.0, 0.0};
            const double k = glamm_exp(glamm_clip(s, -230.0, 230.0));
            to[0][j] = k;
            if (kind == GLAMM_OF_SIZE) {
                glamm_rising(order, y[j], factor * k, c);
            } else {
                const glamm_stirling_t r = glamm_stirling(k, order);
                const double r1 = k * r.j1, r2 = k * k * r.j2, r3 = k * k * k * r.j3;
                const int beta = kind == GLAMM_OF_BETA;
                c[0] = 0.5 * s - GLAMM_HALF_LOG_2PI + (beta ? r.j0 : -r.j0);
                c[1] = beta ? r.j1 : 0.5 - r1;
                c[2] = beta ? r.j2 : -r1 - r2;
                c[3] = beta ? r.j3 : -r1 - 3.0 * r2 - r3;
            }
            to[1][j] = c[0];
            to[2][j] = c[1];
            to[3][j] = c[2];
            to[4][j] = c[3];
        }
    }
}

GLAMM_INLINE void glamm_auxiliary(int order, int kind, ptrdiff_t length, const double *channel,
                                  const double *y, double (*to)[GLAMM_BUFFER]) {
    double half[GLAMM_BUFFER], factor = 1.0;
    if (kind == GLAMM_OF_DF) {
        for (ptrdiff_t j = 0; j < length; j++)
            half[j] = 0.5;
        y = half;
        factor = 0.5;
        kind = GLAMM_OF_SIZE;
    }
    switch (kind) {
    case GLAMM_OF_SIZE:
        GLAMM_BY_ORDER(order, glamm_auxiliary_body, GLAMM_OF_SIZE, length, channel, factor, y, to)
        break;
    case GLAMM_OF_GAMMA:
        GLAMM_BY_ORDER(order, glamm_auxiliary_body, GLAMM_OF_GAMMA, length, channel, 1.0, y, to)
        break;
    case GLAMM_OF_BETA:
        GLAMM_BY_ORDER(order, glamm_auxiliary_body, GLAMM_OF_BETA, length, channel, 1.0, y, to)
        break;
    case GLAMM_OF_SCALE: glamm_auxiliary_body(0, GLAMM_OF_SCALE, length, channel, 1.0, y, to); break;
    case GLAMM_OF_SHAPE: glamm_auxiliary_body(0, GLAMM_OF_SHAPE, length, channel, 1.0, y, to); break;
    default: glamm_auxiliary_body(0, GLAMM_OF_PROBABILITY, length, channel, 1.0, y, to);
    }
}

/* What the families share, compiled for an instruction set. */
typedef struct {
    void (*link)(const glamm_options *, ptrdiff_t, const double *, glamm_mean *);
    void (*compose)(int, int, ptrdiff_t, const glamm_mean *, double *const *);
    void (*auxiliary)(int, int, ptrdiff_t, const double *, const double *, double (*)[GLAMM_BUFFER]);
} glamm_general;

GLAMM_INLINE glamm_element glamm_element_of(const int family, const int order, glamm_known v) {
    switch (family) {
    case GLAMM_STUDENT_T: return glamm_student_t_element(v);
    case GLAMM_GAMMA: return glamm_gamma_element(0, v);
    case GLAMM_GAMMA_LOG: return glamm_gamma_element(1, v);
    case GLAMM_INVERSE_GAUSSIAN: return glamm_inverse_gaussian_element(v);
    case GLAMM_POISSON: return glamm_poisson_element(v);
    case GLAMM_NEGATIVE_BINOMIAL: return glamm_negative_binomial_element(v);
    case GLAMM_NEGATIVE_BINOMIAL_LOG: return glamm_negative_binomial_log_element(v);
    case GLAMM_BINOMIAL: return glamm_binomial_element(v);
    case GLAMM_LOWER_ASYMPTOTE:
    case GLAMM_BOTH_ASYMPTOTES: return glamm_asymptotes_element(v);
    case GLAMM_UPPER_ASYMPTOTE: return glamm_asymptotes_element(glamm_mirrored(v));
    case GLAMM_BETA: return glamm_beta_element(order, v);
    case GLAMM_WEIBULL:
    case GLAMM_EXPONENTIAL: return glamm_weibull_element(v);
    default: return glamm_gaussian_element(v);
    }
}

/* Columns of numbers of a tile's positions: response, first and second auxiliary channel, mean. */
typedef struct {
    const double *y[3], *a[5], *b[5], *mu;
    const glamm_mean *mean;
} glamm_columns;

GLAMM_INLINE void glamm_general_body(const int order, const int family, ptrdiff_t length,
                                     const glamm_columns *in, double *const *out) {
    const int K = glamm_channels(family), bounds = glamm_bounds(family);
    const int slopes = glamm_takes_slopes(family);
    double *const *d2 = out + 1 + K, *const *d3 = d2 + GLAMM_PAIRS(K);
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        glamm_known v = {0};
        v.y0 = in->y[0][j];
        v.y1 = in->y[1][j];
        v.y2 = in->y[2][j];
        v.mu = in->mu[j];
        if (bounds == 2)
            v.co = in->mean->co[j];
        if (slopes) {
            v.m1 = in->mean->first[j];
            v.m2 = in->mean->second[j];
            v.m3 = in->mean->third[j];
        }
        v.a1 = 1.0; /* the exponential's shape */
        v.b1 = 1.0; /* without a slip */
        if (K > 1) {
            v.a0 = in->a[0][j];
            v.a1 = in->a[1][j];
            v.a2 = in->a[2][j];
            v.a3 = in->a[3][j];
            v.a4 = in->a[4][j];
        }
        if (family == GLAMM_NEGATIVE_BINOMIAL_LOG)
            v.b0 = glamm_clip(in->b[0][j], -230.0, 230.0); /* as the size itself */
        if (K > 2) {
            v.b0 = in->b[0][j];
            v.b1 = in->b[1][j];
            v.b2 = in->b[2][j];
            v.b3 = in->b[3][j];
            v.b4 = in->b[4][j];
        }
        const glamm_element o = glamm_element_of(family, order, v);
        const int inside = bounds == 0 || (v.mu > 0.0 && (bounds == 1 || v.co > 0.0));
        out[0][j] = inside ? glamm_density(o.ll) : -INFINITY;
        if (order > 0) {
            out[1][j] = o.d0;
            if (K > 1)
                out[2][j] = o.d1;
            if (K > 2)
                out[3][j] = o.d2;
        }
        if (order > 1) {
            d2[0][j] = o.d00;
            if (K > 1) {
                d2[1][j] = o.d01;
                d2[K][j] = o.d11;
            }
            if (K > 2) {
                d2[2][j] = o.d02;
                d2[4][j] = o.d12;
                d2[5][j] = o.d22;
            }
        }
        if (order > 2) { /* the sorted triple (a, b, c) at pair (a, b), channel c */
            d3[0][j] = o.d000;
            if (K > 1) {
                d3[1][j] = o.d001;
                d3[K + 1][j] = o.d011;
                d3[K * K + 1][j] = o.d111;
            }
            if (K > 2) {
                d3[2][j] = o.d002;
                d3[5][j] = o.d012;
                d3[8][j] = o.d022;
                d3[11][j] = o.d112;
                d3[14][j] = o.d122;
                d3[17][j] = o.d222;
            }
        }
    }
}

/* `family` is a constant where this is inlined; the link is one of the options. */
GLAMM_INLINE int glamm_general_block(const int family, const glamm_general *with, GLAMM_PARAMETERS) {
    const glamm_options *options = (const glamm_options *)user;
    const int order = glamm_order(d1, d2, d3), K = glamm_channels(family);
    const int in_nu = family >= GLAMM_GAMMA_LOG;
    const int slopes = glamm_takes_slopes(family);
    double rows[3][GLAMM_BUFFER], flat[3][GLAMM_BUFFER], channel[GLAMM_BUFFER];
    double parts[2][5][GLAMM_BUFFER], spread[2][6][GLAMM_BUFFER];
    double *out[GLAMM_MAX_OUTPUTS] = {0};
    glamm_counts counts;
    glamm_mean mean;
    glamm_columns in = {{0}, {0}, {0}, 0, 0};
    GLAMM_EACH_TILE(t, n, m) {
        const double *x = glamm_channel(&t, nu[0], node_stride[0], channel);
        if (family == GLAMM_BINOMIAL || slopes) {
            glamm_count(&t, y, ny, &counts);
            glamm_count_rest(&t, &counts);
            in.y[0] = counts.s;
            in.y[1] = counts.f;
            in.y[2] = counts.c;
        } else {
            glamm_response(family, &t, y, ny, rows);
            for (int c = 0; c < 3; c++)
                in.y[c] = c < glamm_response_numbers(family) ? glamm_spread(&t, rows[c], flat[c]) : in.y[0];
        }
        for (int k = 1; k < K; k++) {
            const int by_row = glamm_by_row(&t, node_stride[k]), kind = glamm_kind_of(family, k == 2);
            const double *aux = nu[k] + (node_stride[k] ? t.start : t.row);
            const double *beside = by_row ? rows[0] : in.y[0];
            const ptrdiff_t count = by_row ? t.rows : t.length;
            double(*part)[GLAMM_BUFFER] = parts[k - 1];
            with->auxiliary(order, kind, count, aux, beside, part);
            const double **to = k == 1 ? in.a : in.b;
            for (int c = 0; c < 5; c++)
                to[c] = c >= glamm_kind_numbers(kind) ? to[0]
                        : by_row ? glamm_spread(&t, part[c], spread[k - 1][c])
                                 : part[c];
            if (family == GLAMM_NEGATIVE_BINOMIAL_LOG)
                in.b[0] = by_row ? glamm_spread(&t, aux, spread[0][5]) : aux;
        }
        if (in_nu || (options->link == GLAMM_IDENTITY && glamm_bounds(family) < 2)) {
            in.mu = x;
            in.mean = 0;
        } else {
            with->link(options, t.length, x, &mean);
            in.mu = mean.mu;
            in.mean = &mean;
        }
        glamm_outputs(&t, K, order, ll, d1, d2, d3, out);
        GLAMM_BY_ORDER(order, glamm_general_body, family, t.length, &in, out)
        with->compose(order, K, t.length, slopes ? 0 : in.mean, out);
    }
    return 0;
}

#endif
