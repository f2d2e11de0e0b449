/* Rankings of sets of alternatives: the exploded logit, with ties by their exact marginal probability.
 *
 * The alternatives of a unit are ranked from the best, each drawn from those that remain with probability
 * proportional to exp(nu). Worked off from the worst to the best: `rest` is the log of the sum of exp(nu)
 * over the alternatives met so far and p their shares. A group of tied alternatives has the probability
 * that all its members come before the rest, in whatever order.
 */
#ifndef GLAMM_RANKING_H
#define GLAMM_RANKING_H

#include "glamm_links.h"

#define GLAMM_TIED 5                    /* most alternatives that may share a rank */
#define GLAMM_VARIABLES (GLAMM_TIED + 1)
#define GLAMM_ALTERNATIVES 64

/* A function of the scores of a tied group's members and of `rest`, with its derivatives: d2 at pairs,
 * d3[pair * count + c] of sorted triples only. */
typedef struct {
    double f, d1[GLAMM_VARIABLES], d2[GLAMM_PAIRS(GLAMM_VARIABLES)];
    double d3[GLAMM_PAIRS(GLAMM_VARIABLES) * GLAMM_VARIABLES];
} glamm_jet;

/* to += sign * log sum_k exp(x[own[k]] + terms[k]); a term may be NULL for 0. N variables. */
static void glamm_add_log_sum(int order, int N, int count, const int *own, const double *x,
                              const glamm_jet *const *terms, double sign, glamm_jet *to) {
    double q[GLAMM_VARIABLES], e[GLAMM_VARIABLES][GLAMM_VARIABLES], mean[GLAMM_VARIABLES] = {0};
    double top = -INFINITY, total = 0.0;
    for (int k = 0; k < count; k++) {
        q[k] = x[own[k]] + (terms[k] ? terms[k]->f : 0.0);
        top = glamm_max(top, q[k]);
    }
    for (int k = 0; k < count; k++)
        total += q[k] = glamm_exp(q[k] - top);
    to->f += sign * (top + glamm_log_positive(total));
    for (int k = 0; order > 0 && k < count; k++) {
        q[k] /= total;
        for (int a = 0; a < N; a++) {
            e[k][a] = (a == own[k] ? 1.0 : 0.0) + (terms[k] ? terms[k]->d1[a] : 0.0);
            mean[a] += q[k] * e[k][a];
        }
    }
    for (int a = 0; order > 0 && a < N; a++) {
        to->d1[a] += sign * mean[a];
        for (int k = 0; k < count; k++)
            e[k][a] -= mean[a];
    }
    for (int a = 0; order > 1 && a < N; a++)
        for (int b = a; b < N; b++) {
            const int ab = glamm_pair(N, a, b);
            for (int k = 0; k < count; k++) {
                const double *ek = e[k], *h = terms[k] ? terms[k]->d2 : 0;
                to->d2[ab] += sign * q[k] * (ek[a] * ek[b] + (h ? h[ab] : 0.0));
                for (int c = b; order > 2 && c < N; c++) {
                    double v = ek[a] * ek[b] * ek[c];
                    if (h)
                        v += ek[a] * h[glamm_pair(N, b, c)] + ek[b] * h[glamm_pair(N, a, c)] + ek[c] * h[ab]
                             + terms[k]->d3[ab * N + c];
                    to->d3[ab * N + c] += sign * q[k] * v;
                }
            }
        }
}

/* log P(the g alternatives of scores x come before the rest, of score x[g]); `work` has 2^g jets.
 * For a subset A of them, P(A) is the sum over its first member k of P(A without k) times exp(x_k) over the
 * sum of what remains. */
static const glamm_jet *glamm_before(int order, int g, const double *x, glamm_jet *work) {
    const int N = g + 1;
    memset(&work[0], 0, sizeof(glamm_jet));
    for (int set = 1; set < 1 << g; set++) {
        int own[GLAMM_VARIABLES], count = 0;
        const glamm_jet *after[GLAMM_VARIABLES] = {0}, *nothing[GLAMM_VARIABLES] = {0};
        for (int k = 0; k < g; k++)
            if (set >> k & 1) {
                after[count] = &work[set & ~(1 << k)];
                own[count++] = k;
            }
        memset(&work[set], 0, sizeof(glamm_jet));
        glamm_add_log_sum(order, N, count, own, x, after, 1.0, &work[set]);
        own[count] = g;
        glamm_add_log_sum(order, N, count + 1, own, x, nothing, -1.0, &work[set]);
    }
    return &work[(1 << g) - 1];
}

/* The alternatives of a unit from the worst to the best, in groups that share a rank. */
typedef struct {
    int groups, end[GLAMM_ALTERNATIVES], channel[GLAMM_ALTERNATIVES];
} glamm_ranks;

/* `y`: how many alternatives, then for each its rank 1, 2 .. from the best. Those not ranked, 0, come last:
 * they are met first. */
static void glamm_sort_ranks(const double *y, glamm_ranks *to) {
    const int alternatives = (int)y[0];
    int worst = 0, met = 0;
    for (int k = 0; k < alternatives; k++)
        worst = y[1 + k] > worst ? (int)y[1 + k] : worst;
    to->groups = 0;
    for (int stage = worst + 1; stage > 0; stage--) {
        const double rank = stage > worst ? 0.0 : (double)stage;
        const int before = met;
        for (int k = 0; k < alternatives; k++)
            if (y[1 + k] == rank)
                to->channel[met++] = k;
        if (met > before)
            to->end[to->groups++] = met;
    }
}

/* Where the derivatives of a unit at a node go: position `at` of the outputs of K channels. */
typedef struct {
    int K;
    ptrdiff_t at;
    double *const *d1, *const *d2, *const *d3;
} glamm_target;

GLAMM_INLINE void glamm_add_second(const glamm_target *to, int a, int b, double v) {
    to->d2[a < b ? glamm_pair(to->K, a, b) : glamm_pair(to->K, b, a)][to->at] += v;
}

/* Each third derivative has up to three places. */
GLAMM_INLINE void glamm_add_third(const glamm_target *to, int a, int b, int c, double v) {
    const int i = a < b ? (a < c ? a : c) : (b < c ? b : c), k = a > b ? (a > c ? a : c) : (b > c ? b : c);
    const int j = a + b + c - i - k, K = to->K;
    to->d3[glamm_pair(K, i, j) * K + k][to->at] += v;
    if (j != k)
        to->d3[glamm_pair(K, i, k) * K + j][to->at] += v;
    if (i != j)
        to->d3[glamm_pair(K, j, k) * K + i][to->at] += v;
}

/* Add the second and third derivatives of minus the log of the sum of exp over `met` alternatives of those
 * shares, times `weight`. */
GLAMM_INLINE void glamm_add_sum(const int order, double weight, int met, const int *channel,
                                const double *share, const glamm_target *to) {
    for (int a = 0; order > 1 && a < met; a++)
        for (int b = a; b < met; b++) {
            const double same = a == b ? 1.0 : 0.0, bend = share[a] * (share[b] - same);
            glamm_add_second(to, channel[a], channel[b], weight * bend);
            for (int c = b; order > 2 && c < met; c++) {
                const double ac = a == c ? 1.0 : 0.0, bc = b == c ? 1.0 : 0.0;
                const double v = share[a]
                                 * ((ac - share[c]) * (share[b] - same) + share[b] * (bc - share[c]));
                glamm_add_third(to, channel[a], channel[b], channel[c], weight * v);
            }
        }
}

GLAMM_INLINE double glamm_jet_second(const glamm_jet *f, int N, int a, int b) {
    return f->d2[a < b ? glamm_pair(N, a, b) : glamm_pair(N, b, a)];
}

GLAMM_INLINE double glamm_jet_third(const glamm_jet *f, int N, int a, int b, int c) {
    const int low = a < b ? (a < c ? a : c) : (b < c ? b : c);
    const int high = a > b ? (a > c ? a : c) : (b > c ? b : c);
    return f->d3[glamm_pair(N, low, a + b + c - low - high) * N + high];
}

/* Add a function of `tied` scores and of the rest, its last variable, to second and third derivatives. The
 * first `met` alternatives are the rest, of those shares; the tied ones follow. */
static void glamm_add_tied(int order, int tied, const glamm_jet *f, int met, const int *channel,
                           const double *share, const glamm_target *to) {
    const int N = tied + 1, all = met + tied;
    glamm_add_sum(order, -f->d1[tied], met, channel, share, to);
    for (int a = 0; a < all; a++)
        for (int b = a; b < all; b++) {
            const int va = a < met ? tied : a - met, vb = b < met ? tied : b - met;
            const double ma = a < met ? share[a] : 1.0, mb = b < met ? share[b] : 1.0;
            glamm_add_second(to, channel[a], channel[b], glamm_jet_second(f, N, va, vb) * ma * mb);
            for (int c = b; order > 2 && c < all; c++) {
                const int vc = c < met ? tied : c - met;
                const double mc = c < met ? share[c] : 1.0;
                double v = glamm_jet_third(f, N, va, vb, vc) * ma * mb * mc;
                /* the rest moves with pairs of its scores */
                if (b < met)
                    v += glamm_jet_second(f, N, vc, tied) * mc * share[a] * ((a == b) - share[b]);
                if (c < met)
                    v += glamm_jet_second(f, N, tied, tied)
                         * (mb * share[a] * ((a == c) - share[c]) + ma * share[b] * ((b == c) - share[c]));
                glamm_add_third(to, channel[a], channel[b], channel[c], v);
            }
        }
}

/* One unit at one node: `x` are the scores from the worst to the best. Returns the log density. */
GLAMM_INLINE double glamm_ranking_at(const int order, const glamm_ranks *ranks, const double *x,
                                     glamm_jet *work, const glamm_target *to) {
    double value = 0.0, rest = -INFINITY, share[GLAMM_ALTERNATIVES], slope[GLAMM_ALTERNATIVES];
    const int *channel = ranks->channel;
    for (int g = 0, met = 0; g < ranks->groups; g++) {
        const int first = met, tied = ranks->end[g] - first;
        if (first > 0 && tied > 1) {
            double score[GLAMM_VARIABLES];
            for (int k = 0; k < tied; k++)
                score[k] = x[first + k];
            score[tied] = rest;
            const glamm_jet *f = glamm_before(order, tied, score, work);
            value += f->f;
            for (int c = 0; order > 0 && c < first; c++)
                slope[c] += f->d1[tied] * share[c];
            if (order > 1)
                glamm_add_tied(order, tied, f, first, channel, share, to);
            for (int k = 0; order > 0 && k < tied; k++)
                slope[first + k] = f->d1[k];
        }
        for (; met < ranks->end[g]; met++) {
            double p, q, soft;
            const double gap = x[met] - rest;
            glamm_logistic(gap, &p, &q, &soft);
            rest = glamm_max(x[met], rest) + soft;
            value += first > 0 && tied == 1 ? glamm_min(gap, 0.0) - soft : 0.0;
            for (int c = 0; order > 0 && c < met; c++)
                share[c] *= q;
            share[met] = p;
            if (order > 0 && first == 0)
                slope[met] = 0.0;
        }
        if (order > 0 && first > 0 && tied == 1) {
            slope[first] = 1.0;
            for (int c = 0; c < met; c++)
                slope[c] -= share[c];
            glamm_add_sum(order, 1.0, met, channel, share, to);
        }
        for (int c = 0; order > 0 && g == ranks->groups - 1 && c < met; c++)
            to->d1[channel[c]][to->at] = slope[c];
    }
    return glamm_density(value);
}

/* Columns of y: how many alternatives, then for each its rank 1, 2 .. from the best; 0 is not ranked. */
GLAMM_INLINE int glamm_ranking(GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3), K = (int)ny - 1;
    glamm_jet work[1 << GLAMM_TIED];
    glamm_ranks ranks;
    double x[GLAMM_ALTERNATIVES];
    glamm_target to = {K, 0, d1, d2, d3};
    for (int k = 0; order > 0 && k < K; k++)
        memset(d1[k], 0, (size_t)(n * m) * sizeof(double));
    for (int p = 0; order > 1 && p < GLAMM_PAIRS(K); p++)
        memset(d2[p], 0, (size_t)(n * m) * sizeof(double));
    for (int p = 0; order > 2 && p < GLAMM_PAIRS(K) * K; p++)
        memset(d3[p], 0, (size_t)(n * m) * sizeof(double));
    for (ptrdiff_t i = 0; i < n; i++) {
        glamm_sort_ranks(y + i * ny, &ranks);
        const int alternatives = (int)y[i * ny];
        for (ptrdiff_t r = 0; r < m; r++) {
            to.at = i * m + r;
            for (int k = 0; k < alternatives; k++)
                x[k] = nu[ranks.channel[k]][node_stride[ranks.channel[k]] ? to.at : i];
            switch (order) {
            case 0: ll[to.at] = glamm_ranking_at(0, &ranks, x, work, &to); break;
            case 1: ll[to.at] = glamm_ranking_at(1, &ranks, x, work, &to); break;
            case 2: ll[to.at] = glamm_ranking_at(2, &ranks, x, work, &to); break;
            default: ll[to.at] = glamm_ranking_at(3, &ranks, x, work, &to);
            }
        }
    }
    (void)user;
    return 0;
}

#endif
