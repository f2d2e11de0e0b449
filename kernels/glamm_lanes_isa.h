/* The vectorised two-level kernels, for the plain instruction set and, where the compiler can, AVX2. */
#ifndef GLAMM_LANES_ISA_H
#define GLAMM_LANES_ISA_H

#include <stddef.h>

#include "glamm_math.h"

#define GLAMM_LANES 8
#define GLAMM_LANES_MOST 3

/* What all groups of lanes share. */
typedef struct {
    ptrdiff_t nodes;
    const double *z;            /* (q, nodes) */
    const double *log_weight;   /* (nodes) */
    const double *y;            /* (n, ny) */
    ptrdiff_t ny;
    const double *o;            /* (n) */
    const double *a;            /* (n, q) */
    double tolerance;
    int sweeps;
    double *go;                 /* (n) or NULL */
    double *ga;                 /* (n, q) */
} glamm_lanes_task;

typedef int (*glamm_lanes)(const glamm_lanes_task *task, const ptrdiff_t *first, const ptrdiff_t *count,
                           ptrdiff_t rows, const double *weight, double *mode, double *loglik, double *mean,
                           double *cov, double *scratch, int *used);

/* y nu - m log(1 + exp(nu)) */
#define GLAMM_LOGISTIC_POINT(nu, y, m, part, factor, d1, w, skew) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = 1.0 / (1.0 + t_), p_ = nu >= 0.0 ? q_ : t_ * q_; \
    part = m * ((nu >= 0.0 ? nu : 0.0) + glamm_log1p_unit(t_)); factor = 1.0; \
    d1 = y - m * p_; w = m * t_ * q_ * q_; skew = w * (1.0 - 2.0 * p_); } while (0)
#define GLAMM_LOGISTIC_NODE(nu, y, m, part, factor, d1) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = m / (1.0 + t_); \
    d1 = y - (nu >= 0.0 ? q_ : t_ * q_); factor = 1.0; \
    part = m * ((nu >= 0.0 ? nu : 0.0) + glamm_log1p_unit(t_)); } while (0)
/* the same where every m is 1 or 0: the logs of 1 + exp(-|nu|) are taken once for many units */
#define GLAMM_BERNOULLI_POINT(nu, y, m, part, factor, d1, w, skew) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = 1.0 / (1.0 + t_), p_ = nu >= 0.0 ? q_ : t_ * q_; \
    part = nu >= 0.0 ? m * nu : 0.0; factor = 1.0 + m * t_; \
    d1 = y - m * p_; w = m * t_ * q_ * q_; skew = w * (1.0 - 2.0 * p_); } while (0)
#define GLAMM_BERNOULLI_NODE(nu, y, m, part, factor, d1) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = m / (1.0 + t_); \
    d1 = y - (nu >= 0.0 ? q_ : t_ * q_); part = nu >= 0.0 ? m * nu : 0.0; factor = 1.0 + m * t_; } while (0)
/* y nu - m exp(nu) */
#define GLAMM_EXPONENTIAL_POINT(nu, y, m, part, factor, d1, w, skew) do { \
    w = m * glamm_exp(nu); part = skew = w; factor = 1.0; d1 = y - w; } while (0)
#define GLAMM_EXPONENTIAL_NODE(nu, y, m, part, factor, d1) do { \
    part = m * glamm_exp(nu); factor = 1.0; d1 = y - part; } while (0)

#define GLAMM_PASTE(a, b) a##b
#define GLAMM_NAMED(a, b) GLAMM_PASTE(a, b)

#define GLAMM_ISA plain
#include "glamm_lanes_all.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GLAMM_LANES_AVX2 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define GLAMM_ISA avx2
#include "glamm_lanes_all.h"
#pragma GCC pop_options
#endif

/* cumulant: 0 logistic with every size 1, 1 logistic, 2 exponential; q: 1 .. GLAMM_LANES_MOST */
static glamm_lanes glamm_lanes_choose(int cumulant, int q) {
#ifdef GLAMM_LANES_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return glamm_lanes_table_avx2[cumulant][q - 1];
    }
#endif
    return glamm_lanes_table_plain[cumulant][q - 1];
}

#endif
