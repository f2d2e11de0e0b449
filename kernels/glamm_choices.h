/* Families with a channel for each category: sequential, adjacent, multinomial logit, choice from a set. */
#ifndef GLAMM_CHOICES_H
#define GLAMM_CHOICES_H

#include "glamm_binary.h"
#include "glamm_links.h"

/* ------------------------------------------------ sequential */

/* One threshold: its channel's derivatives, their part in nu's, and the mixed ones. */
GLAMM_INLINE void glamm_step_body(const int order, const int link, double step, ptrdiff_t length,
                                  const double *code, const double *nu, const double *threshold,
                                  double *ll, double *const *d1, double *const *d2, double *const *d3) {
    /* d1: nu, threshold; d2: nu nu, nu k, k k; d3: nu nu nu, and the three of (nu nu k), (nu k k), k k k */
    GLAMM_LOOP
    for (ptrdiff_t j = 0; j < length; j++) {
        const double x = threshold[j] - nu[j];
        const glamm_score s = glamm_score_at(link, order, x);
        const double stays = code[j] == step ? 1.0 : 0.0, passes = code[j] > step ? 1.0 : 0.0;
        ll[j] += stays * s.f + passes * s.g;
        if (order > 0) {
            const double v1 = stays * s.f1 + passes * s.g1;
            d1[0][j] -= v1;
            d1[1][j] = v1;
        }
        if (order > 1) {
            const double v2 = stays * s.f2 + passes * s.g2;
            d2[0][j] += v2;
            d2[1][j] = -v2;
            d2[2][j] = v2;
        }
        if (order > 2) {
            const double v3 = stays * s.f3 + passes * s.g3;
            d3[0][j] -= v3;
            d3[1][j] = d3[2][j] = v3;
            d3[3][j] = d3[4][j] = d3[5][j] = -v3;
            d3[6][j] = v3;
        }
    }
}

GLAMM_INLINE int glamm_sequential(const int link, GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    double rows[GLAMM_BUFFER], flat[3][GLAMM_BUFFER];
    const ptrdiff_t K = n > 0 ? (ptrdiff_t)y[1] + 1 : 1;
    GLAMM_EACH_TILE(t, n, m) {
        const size_t bytes = (size_t)t.length * sizeof(double);
        const double *code = glamm_spread(&t, glamm_column(&t, y, ny, 0, rows), flat[0]);
        const double *x = glamm_channel(&t, nu[0], node_stride[0], flat[1]);
        memset(ll + t.start, 0, bytes);
        for (ptrdiff_t k = 0; order > 0 && k < K; k++)
            memset(d1[k] + t.start, 0, bytes);
        for (ptrdiff_t p = 0; order > 1 && p < GLAMM_PAIRS(K); p++)
            memset(d2[p] + t.start, 0, bytes);
        for (ptrdiff_t p = 0; order > 2 && p < GLAMM_PAIRS(K) * K; p++)
            memset(d3[p] + t.start, 0, bytes);
        for (ptrdiff_t k = 1; k < K; k++) {
            const double *threshold = glamm_channel(&t, nu[k], node_stride[k], flat[2]);
            const ptrdiff_t own = k * K - k * (k - 1) / 2;      /* pair (k, k); pair (0, k) is k */
            double *e1[2] = {0}, *e2[3] = {0}, *e3[7] = {0};
            if (order > 0) {
                e1[0] = d1[0] + t.start;
                e1[1] = d1[k] + t.start;
            }
            if (order > 1) {
                e2[0] = d2[0] + t.start;
                e2[1] = d2[k] + t.start;
                e2[2] = d2[own] + t.start;
            }
            if (order > 2) {
                e3[0] = d3[0] + t.start;
                e3[1] = d3[k] + t.start;
                e3[2] = d3[k * K] + t.start;
                e3[3] = d3[k * K + k] + t.start;
                e3[4] = e3[3];
                e3[5] = d3[own * K] + t.start;
                e3[6] = d3[own * K + k] + t.start;
            }
            GLAMM_BY_ORDER(order, glamm_step_body, link, (double)(k - 1), t.length, code, x, threshold,
                           ll + t.start, e1, e2, e3)
        }
        for (ptrdiff_t j = t.start; j < t.start + t.length; j++)
            ll[j] = glamm_density(ll[j]);
    }
    (void)user;
    return 0;
}

/* ------------------------------------------------ multinomial logit and choice from a set */

/* Channels are scores of the categories. With a `reference` they stand for categories 1 .. K against
 * category 0, whose score is 0, and the columns of y are the code and K; without one they stand for the
 * alternatives 0 .. K-1, of which a unit has the first few: columns code, how many, K. */
GLAMM_INLINE int glamm_softmax(const int reference, GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    double rows[2][GLAMM_BUFFER], flat[3][GLAMM_BUFFER];
    double top[GLAMM_BUFFER], total[GLAMM_BUFFER], chosen[GLAMM_BUFFER];
    const ptrdiff_t K = n > 0 ? (ptrdiff_t)y[ny - 1] : 0;
    GLAMM_EACH_TILE(t, n, m) {
        const ptrdiff_t length = t.length, start = t.start;
        const double *code = glamm_spread(&t, glamm_column(&t, y, ny, 0, rows[0]), flat[0]);
        const double *size = glamm_spread(&t, glamm_column(&t, y, ny, 1, rows[1]), flat[1]);
        for (ptrdiff_t j = 0; j < length; j++) {
            top[j] = reference ? 0.0 : -INFINITY;
            chosen[j] = 0.0;
        }
        for (ptrdiff_t k = 0; k < K; k++) {
            const double *x = glamm_channel(&t, nu[k], node_stride[k], flat[2]);
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                const double v = x[j], mine = code[j] == (double)(k + reference) ? v : 0.0;
                const double has = reference || (double)k < size[j] ? v : top[j];
                top[j] = glamm_max(has, top[j]);
                chosen[j] += mine;
            }
        }
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++)
            total[j] = reference ? glamm_exp(-top[j]) : 0.0;
        for (ptrdiff_t k = 0; k < K; k++) {
            const double *x = glamm_channel(&t, nu[k], node_stride[k], flat[2]);
            double *p = order > 0 ? d1[k] + start : flat[2];    /* d1 holds the probability meanwhile */
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                const double e = glamm_exp(x[j] - top[j]), has = reference || (double)k < size[j] ? e : 0.0;
                p[j] = has;
                total[j] += has;
            }
        }
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++) {
            ll[start + j] = glamm_density((chosen[j] - top[j]) - glamm_log(total[j]));
            total[j] = 1.0 / total[j];
        }
        for (ptrdiff_t k = 0; order > 0 && k < K; k++) {
            double *p = d1[k] + start;
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++)
                p[j] *= total[j];
        }
        for (ptrdiff_t a = 0, pair = 0; order > 1 && a < K; a++) {
            for (ptrdiff_t b = a; b < K; b++, pair++) {
                const double *pa = d1[a] + start, *pb = d1[b] + start, ab = a == b ? 1.0 : 0.0;
                double *to = d2[pair] + start;
                GLAMM_LOOP
                for (ptrdiff_t j = 0; j < length; j++)
                    to[j] = pa[j] * (pb[j] - ab);
                for (ptrdiff_t c = 0; order > 2 && c < K; c++) {
                    const double *pc = d1[c] + start;
                    const double ac = a == c ? 1.0 : 0.0, bc = b == c ? 1.0 : 0.0;
                    double *third = d3[pair * K + c] + start;
                    GLAMM_LOOP
                    for (ptrdiff_t j = 0; j < length; j++)
                        third[j] = pa[j] * ((ac - pc[j]) * (pb[j] - ab) + pb[j] * (bc - pc[j]));
                }
            }
        }
        for (ptrdiff_t k = 0; order > 0 && k < K; k++) {
            double *p = d1[k] + start;
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++)
                p[j] = (code[j] == (double)(k + reference) ? 1.0 : 0.0) - p[j];
        }
    }
    (void)user;
    return 0;
}

/* ------------------------------------------------ adjacent categories */

/* Minus the third cumulants of Y and of minus the indicators I_k of Y >= k, at a tile. E I_k is in d1[k],
 * E Y I_k in d2[k], E Y^2 I_k in d3[k], which is overwritten; `mean`, `second` and `third` are moments
 * of Y. */
GLAMM_INLINE void glamm_adjacent_thirds(int K, ptrdiff_t start, ptrdiff_t length, const double *mean,
                                        const double *second, const double *third, double *const *d1,
                                        double *const *d2, double *const *d3) {
    for (int a = 0; a < K; a++)
        for (int b = a; b < K; b++)
            for (int c = b; c < K; c++) {
                const double *pa = d1[a] + start, *pb = d1[b] + start, *pc = d1[c] + start;
                const double *yb = d2[b] + start, *yc = d2[c] + start, *y2 = d3[c] + start;
                double *to = d3[glamm_pair(K, a, b) * K + c] + start;
                double *to_b = d3[glamm_pair(K, a, c) * K + b] + start;
                double *to_a = d3[glamm_pair(K, b, c) * K + a] + start;
                GLAMM_LOOP
                for (ptrdiff_t j = 0; j < length; j++) {
                    const double mu = mean[j], square = 2.0 * mu * mu - second[j];
                    const double v = a > 0   ? pc[j] * (1.0 - pa[j]) * (1.0 - 2.0 * pb[j])
                                     : b > 0 ? pc[j] * (mu * (1.0 - 2.0 * pb[j]) + yb[j])
                                                   - yc[j] * (1.0 - pb[j])
                                     : c > 0 ? y2[j] - 2.0 * mu * yc[j] + pc[j] * square
                                             : mu * (2.0 * second[j] - square) - third[j];
                    to[j] = v;
                    to_b[j] = v;
                    to_a[j] = v;
                }
            }
}

/* Score of category k: k nu - step_1 - .. - step_k. Its derivatives are the category Y and minus the
 * indicators I_k of Y >= k, so that derivatives of the log probability are cumulants of these. */
GLAMM_INLINE int glamm_adjacent(GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3);
    double rows[GLAMM_BUFFER], flat[3][GLAMM_BUFFER], score[GLAMM_BUFFER], top[GLAMM_BUFFER];
    double total[GLAMM_BUFFER], chosen[GLAMM_BUFFER], tail[4][GLAMM_BUFFER];
    const int K = n > 0 ? (int)y[1] + 1 : 1;
    GLAMM_EACH_TILE(t, n, m) {
        const ptrdiff_t length = t.length, start = t.start;
        const double *code = glamm_spread(&t, glamm_column(&t, y, ny, 0, rows), flat[0]);
        const double *x = glamm_channel(&t, nu[0], node_stride[0], flat[1]);
        for (ptrdiff_t j = 0; j < length; j++)
            score[j] = top[j] = chosen[j] = tail[0][j] = tail[1][j] = tail[2][j] = tail[3][j] = 0.0;
        for (int k = 1; k < K; k++) {
            const double *step = glamm_channel(&t, nu[k], node_stride[k], flat[2]);
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                score[j] += x[j] - step[j];
                top[j] = glamm_max(score[j], top[j]);
                chosen[j] = code[j] == (double)k ? score[j] : chosen[j];
            }
        }
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++) {
            total[j] = glamm_exp(-top[j]);
            score[j] = 0.0;
        }
        for (int k = 1; k < K; k++) {
            const double *step = glamm_channel(&t, nu[k], node_stride[k], flat[2]);
            double *p = order > 0 ? d1[k] + start : flat[2];
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                score[j] += x[j] - step[j];
                p[j] = glamm_exp(score[j] - top[j]);
                total[j] += p[j];
            }
        }
        GLAMM_LOOP
        for (ptrdiff_t j = 0; j < length; j++) {
            ll[start + j] = glamm_density((chosen[j] - top[j]) - glamm_log(total[j]));
            total[j] = 1.0 / total[j];
        }
        /* E I_k in d1[k], E Y I_k in d2[k], E Y^2 I_k in d3[k], until the last use of each */
        for (int k = K - 1; order > 0 && k > 0; k--) {
            double *first = d1[k] + start, *second = order > 1 ? d2[k] + start : flat[2];
            double *third = order > 2 ? d3[k] + start : flat[2];
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++) {
                const double p = first[j] * total[j], yp = (double)k * p, y2p = (double)k * yp;
                tail[0][j] += p;
                tail[1][j] += yp;
                tail[2][j] += y2p;
                tail[3][j] += (double)k * y2p;
                third[j] = tail[2][j];
                second[j] = tail[1][j];
                first[j] = tail[0][j];
            }
        }
        const double *mean = tail[1];
        if (order > 2)
            glamm_adjacent_thirds(K, start, length, mean, tail[2], tail[3], d1, d2, d3);
        for (int a = 0, pair = 0; order > 1 && a < K; a++)
            for (int b = a; b < K; b++, pair++) {
                const double *pa = d1[a] + start, *pb = d1[b] + start;
                double *to = d2[pair] + start;
                GLAMM_LOOP
                for (ptrdiff_t j = 0; j < length; j++)
                    to[j] = a > 0   ? pb[j] * (pa[j] - 1.0)
                            : b > 0 ? to[j] - mean[j] * pb[j]
                                    : mean[j] * mean[j] - tail[2][j];
            }
        for (int k = 0; order > 0 && k < K; k++) {
            double *to = d1[k] + start;
            GLAMM_LOOP
            for (ptrdiff_t j = 0; j < length; j++)
                to[j] = k > 0 ? to[j] - (code[j] >= (double)k ? 1.0 : 0.0) : code[j] - mean[j];
        }
    }
    (void)user;
    return 0;
}

#endif
