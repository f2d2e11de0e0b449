/* The three loops over quadrature nodes of the general engine, compiled for each instruction set.
 *
 * Sums run in eight strands that are added in a fixed order, so results do not depend on the machine's
 * vector length, only on whether multiply and add are fused.
 */
#ifndef GLAMM_NODES_H
#define GLAMM_NODES_H

#include <stddef.h>

#include "glamm_math.h"

#define GLAMM_STRANDS 8

/* out[s] = centre + sum over x of b[x] z[x * n + s] */
GLAMM_INLINE void glamm_fill_body(ptrdiff_t n, ptrdiff_t q, double centre, const double *restrict b,
                                  const double *restrict z, double *restrict out) {
    ptrdiff_t s, x = 1;
    if (q == 0) {
        for (s = 0; s < n; s++) out[s] = centre;
        return;
    }
    if (q >= 3) {
        const double *z1 = z + n, *z2 = z + 2 * n;
        GLAMM_LOOP
        for (s = 0; s < n; s++) out[s] = centre + b[0] * z[s] + b[1] * z1[s] + b[2] * z2[s];
        x = 3;
    } else if (q == 2) {
        const double *z1 = z + n;
        GLAMM_LOOP
        for (s = 0; s < n; s++) out[s] = centre + b[0] * z[s] + b[1] * z1[s];
        x = 2;
    } else {
        GLAMM_LOOP
        for (s = 0; s < n; s++) out[s] = centre + b[0] * z[s];
    }
    for (; x < q; x++) {
        const double *zx = z + x * n;
        GLAMM_LOOP
        for (s = 0; s < n; s++) out[s] += b[x] * zx[s];
    }
}

GLAMM_INLINE double glamm_strands(const double *acc) {
    return ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

/* g = sum of w d, gz[x] = sum of w d z[x]; t holds n numbers of scratch */
GLAMM_INLINE double glamm_expect_body(ptrdiff_t n, ptrdiff_t q, const double *restrict w,
                                      const double *restrict d, const double *restrict z,
                                      double *restrict t, double *restrict gz) {
    double acc[GLAMM_STRANDS] = {0.0}, total;
    ptrdiff_t s, v, x;
    const ptrdiff_t whole = n - n % GLAMM_STRANDS;
    GLAMM_LOOP
    for (s = 0; s < n; s++) t[s] = w[s] * d[s];
    for (s = 0; s < whole; s += GLAMM_STRANDS)
        for (v = 0; v < GLAMM_STRANDS; v++) acc[v] += t[s + v];
    for (v = 0; s + v < n; v++) acc[v] += t[s + v];
    total = glamm_strands(acc);
    for (x = 0; x < q; x++) {
        const double *zx = z + x * n;
        for (v = 0; v < GLAMM_STRANDS; v++) acc[v] = 0.0;
        for (s = 0; s < whole; s += GLAMM_STRANDS)
            for (v = 0; v < GLAMM_STRANDS; v++) acc[v] += t[s + v] * zx[s + v];
        for (v = 0; s + v < n; v++) acc[v] += t[s + v] * zx[s + v];
        gz[x] = glamm_strands(acc);
    }
    return total;
}

/* the log of the sum of exp(row), which becomes the normalised weights; -inf if every entry is */
GLAMM_INLINE double glamm_log_sum_body(ptrdiff_t n, double *restrict row) {
    double largest = -INFINITY, acc[GLAMM_STRANDS] = {0.0}, total;
    ptrdiff_t s, v;
    const ptrdiff_t whole = n - n % GLAMM_STRANDS;
    for (s = 0; s < n; s++) largest = row[s] > largest ? row[s] : largest;
    if (!(fabs(largest) < INFINITY)) {
        for (s = 0; s < n; s++) row[s] = 0.0;
        return -INFINITY;
    }
    GLAMM_LOOP
    for (s = 0; s < n; s++) {
        const double x = row[s] - largest;
        row[s] = x > -700.0 ? glamm_exp(x) : 0.0;
    }
    for (s = 0; s < whole; s += GLAMM_STRANDS)
        for (v = 0; v < GLAMM_STRANDS; v++) acc[v] += row[s + v];
    for (v = 0; s + v < n; v++) acc[v] += row[s + v];
    total = glamm_strands(acc);
    largest += log(total);
    total = 1.0 / total;
    for (s = 0; s < n; s++) row[s] *= total;
    return largest;
}

typedef struct {
    void (*fill)(ptrdiff_t, ptrdiff_t, double, const double *, const double *, double *);
    double (*expect)(ptrdiff_t, ptrdiff_t, const double *, const double *, const double *, double *, double *);
    double (*log_sum)(ptrdiff_t, double *);
} glamm_node_loops;

#define GLAMM_NODE_LOOPS(isa, target) \
    static target void glamm_fill_##isa(ptrdiff_t n, ptrdiff_t q, double centre, const double *b, \
                                        const double *z, double *out) { \
        glamm_fill_body(n, q, centre, b, z, out); } \
    static target double glamm_expect_##isa(ptrdiff_t n, ptrdiff_t q, const double *w, const double *d, \
                                            const double *z, double *t, double *gz) { \
        return glamm_expect_body(n, q, w, d, z, t, gz); } \
    static target double glamm_log_sum_##isa(ptrdiff_t n, double *row) { return glamm_log_sum_body(n, row); } \
    static const glamm_node_loops glamm_loops_##isa = { \
        glamm_fill_##isa, glamm_expect_##isa, glamm_log_sum_##isa};

GLAMM_NODE_LOOPS(plain, )
#if defined(__x86_64__) && defined(__GNUC__)
GLAMM_NODE_LOOPS(avx2, __attribute__((target("avx2,fma"))))
#endif

static glamm_node_loops glamm_choose_loops(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return glamm_loops_avx2;
#endif
    return glamm_loops_plain;
}

#endif
