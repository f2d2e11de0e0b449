/* The vectorised two-level kernels, for the plain instruction set and, where the compiler can, AVX2. */
#ifndef GLAMM_LANES_ISA_H
#define GLAMM_LANES_ISA_H

#include <stddef.h>

#include "glamm_math.h"

#define GLAMM_LANES 8

typedef int (*glamm_lanes)(const ptrdiff_t *first, const ptrdiff_t *count, ptrdiff_t rows, ptrdiff_t nodes,
                           const double *z, const double *log_weight, const double *y, ptrdiff_t ny,
                           const double *o, const double *a, const double *weight, double tolerance,
                           int sweeps, double *mode, double *loglik, double *mean, double *variance,
                           double *go, double *ga, double *scratch, int *used);

/* y nu - m log(1 + exp(nu)) */
#define GLAMM_LOGISTIC_POINT(nu, y, m, d1, w, skew) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = 1.0 / (1.0 + t_), p_ = nu >= 0.0 ? q_ : t_ * q_; \
    d1 = y - m * p_; w = m * t_ * q_ * q_; skew = w * (1.0 - 2.0 * p_); } while (0)
/* the same where every m is 1 or 0: the logs of 1 + exp(-|nu|) are taken once for many units */
#define GLAMM_BERNOULLI_NODE(nu, y, m, part, factor, d1) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = m / (1.0 + t_); \
    d1 = y - (nu >= 0.0 ? q_ : t_ * q_); part = nu >= 0.0 ? m * nu : 0.0; factor = 1.0 + m * t_; } while (0)
#define GLAMM_LOGISTIC_NODE(nu, y, m, part, factor, d1) do { \
    const double t_ = glamm_exp(-fabs(nu)), q_ = m / (1.0 + t_); \
    d1 = y - (nu >= 0.0 ? q_ : t_ * q_); factor = 1.0; \
    part = m * ((nu >= 0.0 ? nu : 0.0) + glamm_log1p_unit(t_)); } while (0)
/* y nu - m exp(nu) */
#define GLAMM_EXPONENTIAL_POINT(nu, y, m, d1, w, skew) do { \
    w = m * glamm_exp(nu); d1 = y - w; skew = w; } while (0)
#define GLAMM_EXPONENTIAL_NODE(nu, y, m, part, factor, d1) do { \
    part = m * glamm_exp(nu); factor = 1.0; d1 = y - part; } while (0)

#define GLAMM_LANES_NAME glamm_lanes_bernoulli_plain
#define GLAMM_POINT GLAMM_LOGISTIC_POINT
#define GLAMM_NODE GLAMM_BERNOULLI_NODE
#include "glamm_lanes.h"
#define GLAMM_LANES_NAME glamm_lanes_logistic_plain
#define GLAMM_POINT GLAMM_LOGISTIC_POINT
#define GLAMM_NODE GLAMM_LOGISTIC_NODE
#include "glamm_lanes.h"
#define GLAMM_LANES_NAME glamm_lanes_exponential_plain
#define GLAMM_POINT GLAMM_EXPONENTIAL_POINT
#define GLAMM_NODE GLAMM_EXPONENTIAL_NODE
#include "glamm_lanes.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GLAMM_LANES_AVX2 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define GLAMM_LANES_NAME glamm_lanes_bernoulli_avx2
#define GLAMM_POINT GLAMM_LOGISTIC_POINT
#define GLAMM_NODE GLAMM_BERNOULLI_NODE
#include "glamm_lanes.h"
#define GLAMM_LANES_NAME glamm_lanes_logistic_avx2
#define GLAMM_POINT GLAMM_LOGISTIC_POINT
#define GLAMM_NODE GLAMM_LOGISTIC_NODE
#include "glamm_lanes.h"
#define GLAMM_LANES_NAME glamm_lanes_exponential_avx2
#define GLAMM_POINT GLAMM_EXPONENTIAL_POINT
#define GLAMM_NODE GLAMM_EXPONENTIAL_NODE
#include "glamm_lanes.h"
#pragma GCC pop_options
#endif

/* cumulant: 0 logistic with every size 1, 1 logistic, 2 exponential */
static glamm_lanes glamm_lanes_choose(int cumulant) {
#ifdef GLAMM_LANES_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return cumulant == 0 ? glamm_lanes_bernoulli_avx2
             : cumulant == 1 ? glamm_lanes_logistic_avx2 : glamm_lanes_exponential_avx2;
    }
#endif
    return cumulant == 0 ? glamm_lanes_bernoulli_plain
         : cumulant == 1 ? glamm_lanes_logistic_plain : glamm_lanes_exponential_plain;
}

#endif
