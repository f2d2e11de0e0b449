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
 * For a subset A of them: P(A) = sum over its first member k of exp(x_k) / (the sum of what remains) P(A - k). */
static const glamm_jet *glamm_before(int order, int g, const double *x, glamm_jet *work) {
    const int N = g + 1;
    work[0] = (glamm_jet){0};
    for (int set = 1; set < 1 << g; set++) {
        int own[GLAMM_VARIABLES], count = 0;
        const glamm_jet *after[GLAMM_VARIABLES] = {0}, *nothing[GLAMM_VARIABLES] = {0};
        for (int k = 0; k < g; k++)
            if (set >> k & 1) {
                after[count] = &work[set & ~(1 << k)];
                own[count++] = k;
            }
        work[set] = (glamm_jet){0};
        glamm_add_log_sum(order, N, count, own, x, after, 1.0, &work[set]);
        own[count] = g;
        glamm_add_log_sum(order, N, count + 1, own, x, nothing, -1.0, &work[set]);
    }
    return &work[(1 << g) - 1];
}

/* The alternatives met so far: their channels in ascending order, the variable of each in the stage's
 * function, its slope there (its share of the rest, or 1). */
typedef struct {
    int count, channel[GLAMM_ALTERNATIVES], variable[GLAMM_ALTERNATIVES];
    double slope[GLAMM_ALTERNATIVES];
} glamm_met;

/* Second derivative of `rest` in two of its scores. */
GLAMM_INLINE double glamm_bend(const glamm_met *s, int a, int b) {
    return s->slope[a] * ((a == b ? 1.0 : 0.0) - s->slope[b]);
}

GLAMM_INLINE double glamm_jet_second(const glamm_jet *f, int N, int a, int b) {
    return f->d2[a < b ? glamm_pair(N, a, b) : glamm_pair(N, b, a)];
}

GLAMM_INLINE double glamm_jet_third(const glamm_jet *f, int N, int a, int b, int c) {
    const int low = a < b ? (a < c ? a : c) : (b < c ? b : c);
    const int high = a > b ? (a > c ? a : c) : (b > c ? b : c);
    return f->d3[glamm_pair(N, low, a + b + c - low - high) * N + high];
}

/* Add a stage's function of the tied scores and of `rest`, its last variable, to the derivatives at
 * position `at`, of K channels. */
static void glamm_add_stage(int order, int K, int N, const glamm_jet *f, const glamm_met *s, ptrdiff_t at,
                            double *const *d1, double *const *d2, double *const *d3) {
    const int r = N - 1;
    for (int a = 0; a < s->count; a++) {
        const int ka = s->channel[a], va = s->variable[a];
        const double ma = s->slope[a];
        d1[ka][at] += f->d1[va] * ma;
        for (int b = a; order > 1 && b < s->count; b++) {
            const int kb = s->channel[b], vb = s->variable[b], pair = glamm_pair(K, ka, kb);
            const double mb = s->slope[b], both = va == r && vb == r ? glamm_bend(s, a, b) : 0.0;
            d2[pair][at] += glamm_jet_second(f, N, va, vb) * ma * mb + f->d1[r] * both;
            for (int c = b; order > 2 && c < s->count; c++) {
                const int kc = s->channel[c], vc = s->variable[c], ac = glamm_pair(K, ka, kc);
                const double mc = s->slope[c], ab = a == b ? 1.0 : 0.0, bc = b == c ? 1.0 : 0.0;
                double v = glamm_jet_third(f, N, va, vb, vc) * ma * mb * mc;
                if (both != 0.0)
                    v += glamm_jet_second(f, N, vc, r) * mc * both;
                if (va == r && vc == r)
                    v += glamm_jet_second(f, N, vb, r) * mb * glamm_bend(s, a, c);
                if (vb == r && vc == r)
                    v += glamm_jet_second(f, N, va, r) * ma * glamm_bend(s, b, c);
                if (va == r && vb == r && vc == r) /* the third cumulant of their indicators, a <= b <= c */
                    v += f->d1[r] * ma * (ab * bc - ab * mc - bc * mb - (a == c ? 1.0 : 0.0) * mb
                                          + 2.0 * mb * mc);
                const int bc_pair = glamm_pair(K, kb, kc);
                d3[pair * K + kc][at] += v;
                if (ac * K + kb != pair * K + kc)
                    d3[ac * K + kb][at] += v;
                if (bc_pair * K + ka != ac * K + kb && bc_pair * K + ka != pair * K + kc)
                    d3[bc_pair * K + ka][at] += v;
            }
        }
    }
}

/* Columns of y: how many alternatives, then for each its rank 1, 2 .. from the best; 0 is not ranked. */
GLAMM_INLINE int glamm_ranking(GLAMM_PARAMETERS) {
    const int order = glamm_order(d1, d2, d3), K = (int)ny - 1;
    glamm_jet work[1 << GLAMM_TIED], single;
    glamm_met met;
    double share[GLAMM_ALTERNATIVES], score[GLAMM_VARIABLES];
    for (ptrdiff_t i = 0; i < n; i++) {
        const double *code = y + i * ny + 1;
        const int alternatives = (int)y[i * ny];
        int worst = 0;
        for (int k = 0; k < alternatives; k++)
            worst = code[k] > worst ? (int)code[k] : worst;
        for (ptrdiff_t r = 0; r < m; r++) {
            const ptrdiff_t at = i * m + r;
            double value = 0.0, rest = -INFINITY;
            for (int k = 0; order > 0 && k < K; k++)
                d1[k][at] = 0.0;
            for (int p = 0; order > 1 && p < GLAMM_PAIRS(K); p++)
                d2[p][at] = 0.0;
            for (int p = 0; order > 2 && p < GLAMM_PAIRS(K) * K; p++)
                d3[p][at] = 0.0;
            /* not ranked comes last: it is met first and has no stage of its own */
            for (int stage = worst + 1; stage > 0; stage--) {
                const double rank = stage > worst ? 0.0 : (double)stage;
                const int counts = stage <= worst && rest > -INFINITY;
                int tied = 0, member[GLAMM_ALTERNATIVES];
                for (int k = 0; k < alternatives; k++)
                    if (code[k] == rank)
                        member[tied++] = k;
                if (counts) {
                    const glamm_jet *f = &single;
                    for (int g = 0; g < tied; g++)
                        score[g] = nu[member[g]][node_stride[member[g]] ? at : i];
                    score[tied] = rest;
                    if (tied == 1) {
                        double p, q, soft;
                        const double x = score[0] - rest;
                        glamm_logistic(x, &p, &q, &soft);
                        const double bend = p * q, twist = bend * (p - q);
                        single = (glamm_jet){glamm_min(x, 0.0) - soft, {q, -q}, {-bend, bend, -bend},
                                             {twist, -twist, 0.0, twist, 0.0, -twist}};
                    } else {
                        f = glamm_before(order, tied, score, work);
                    }
                    value += f->f;
                    if (order > 0) {
                        met.count = 0;
                        for (int k = 0, g = 0; k < alternatives; k++) {
                            const int mine = code[k] == rank;
                            if (!mine && code[k] < rank && code[k] != 0.0)
                                continue;
                            met.channel[met.count] = k;
                            met.variable[met.count] = mine ? g++ : tied;
                            met.slope[met.count++] = mine ? 1.0 : share[k];
                        }
                        glamm_add_stage(order, K, tied + 1, f, &met, at, d1, d2, d3);
                    }
                }
                for (int g = 0; g < tied; g++) {
                    const int k = member[g];
                    const double x = nu[k][node_stride[k] ? at : i], gap = x - rest;
                    double p, q, soft;
                    glamm_logistic(gap, &p, &q, &soft);
                    rest = glamm_max(x, rest) + soft;
                    for (int c = 0; order > 0 && c < alternatives; c++)
                        share[c] = code[c] > rank || code[c] == 0.0 || code[c] == rank ? share[c] * q : 0.0;
                    share[k] = p;
                }
            }
            ll[at] = glamm_density(value);
        }
    }
    (void)user;
    return 0;
}

#endif
