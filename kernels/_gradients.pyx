"""What moving modes and scales add to the derivatives of each unit, and those derivatives."""

from libc.math cimport fabs, sqrt
from libc.string cimport memset

from glamm.kernels._engine cimport Response
from glamm.kernels._work cimport (
    MAX_CHANNELS,
    MAX_PAIRS,
    MAX_THIRD,
    Front,
    Task,
    Units,
    Work,
    pair_index,
)


cdef void curvature_adjoint(Work *w, Py_ssize_t r) noexcept nogil:
    """Fill curve with the adjoint of each unit's negative Hessian in its active channels."""
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t n = un.count, i, j, c, e, x, y, pair, Q = task.coordinates
    cdef const double *a
    cdef const double *b
    cdef double *B
    cdef double s
    for j in range(f.count):
        B = f.hessian + j * Q * Q
        for i in range(res.of_cluster[f.first + j] - un.first, res.of_cluster[f.first + j + 1] - un.first):
            for c in range(res.active):
                a = un.slope + c * un.leap + i * Q
                for e in range(c, res.active):
                    b = un.slope + e * un.leap + i * Q
                    s = 0.0
                    for x in range(Q):
                        for y in range(Q):
                            s += a[x] * B[x * Q + y] * b[y]
                    pair = pair_index(res.channel[c], res.channel[e], res.channels)
                    un.curve[pair * n + i] = s if c == e else 2.0 * s


cdef int third_units(Work *w, Py_ssize_t r) noexcept nogil:
    """Fill third with the adjoint that the Hessian at the modes gives the channels there.

    That is -sum over pairs of curve times d d2 / d nu_k, and where the channel has products minus the
    contraction of the Hessian's adjoint with them times d d1 / d nu_k.
    """
    cdef const Response *res = &w.task.response[r]
    cdef Units *un = &w.units[r]
    cdef Py_ssize_t n = un.count, i, c, e, k, pair, K = res.channels
    cdef int shift, code = 1
    cdef double h, factor, s
    cdef const double *nus[MAX_CHANNELS]
    cdef Py_ssize_t strides[MAX_CHANNELS]
    cdef double *d1[MAX_CHANNELS]
    cdef double *d2[MAX_PAIRS]
    cdef double *d3[MAX_THIRD]
    if n == 0:
        return 0
    memset(un.third, 0, K * n * sizeof(double))
    if res.active == 0:
        return 0
    curvature_adjoint(w, r)
    memset(strides, 0, sizeof(strides))
    for k in range(K):
        nus[k] = un.nu + k * n
        d1[k] = un.s1 + k * n
    for pair in range(res.pairs):
        d2[pair] = un.s2 + pair * n
    if res.third:
        for k in range(res.pairs * K):
            d3[k] = un.s3 + k * n
        code = res.block(n, 1, res.y + un.first * res.ny, res.ny, nus, strides, un.ll, d1, d2, d3, res.user)
        if code == 0:
            for c in range(res.active):
                for e in range(c, res.active):
                    pair = pair_index(res.channel[c], res.channel[e], K)
                    for k in range(K):
                        for i in range(n):
                            un.third[k * n + i] -= un.curve[pair * n + i] * d3[pair * K + k][i]
    if code == 1:
        # fourth-order central differences of d2, on the scale of the density's own curvature
        for k in range(K):
            nus[k] = un.shifted
            for shift in range(-2, 3):
                if shift == 0:
                    continue
                for i in range(n):
                    un.shifted[i] = un.nu[k * n + i] + shift * third_step(un, res, k, i)
                if res.block(n, 1, res.y + un.first * res.ny, res.ny, nus, strides, un.ll, d1, d2, NULL,
                             res.user) < 0:
                    return 1
                factor = (8.0 if shift * shift == 1 else 1.0) / 12.0
                if shift == -1 or shift == 2:
                    factor = -factor
                for c in range(res.active):
                    for e in range(c, res.active):
                        pair = pair_index(res.channel[c], res.channel[e], K)
                        for i in range(n):
                            h = third_step(un, res, k, i)
                            un.third[k * n + i] -= factor / h * un.curve[pair * n + i] * d2[pair][i]
            nus[k] = un.nu + k * n
    elif code < 0:
        return 1
    if res.weight != NULL:
        for k in range(K):
            for i in range(n):
                s = res.weight[un.first + i]
                un.third[k * n + i] = s * un.third[k * n + i] if s > 0.0 else 0.0
    if res.products > 0:
        bend_adjoint(w, r)
    return 0


cdef double bend(const Response *res, Py_ssize_t m, const double *B, Py_ssize_t Q) noexcept nogil:
    """Return the contraction of B, symmetric (Q, Q), with the second derivatives of product m."""
    return 2.0 * B[res.product[2 * m] * Q + res.product[2 * m + 1]]


cdef void bend_adjoint(Work *w, Py_ssize_t r) noexcept nogil:
    """Add to third what the first derivatives in the Hessian give, products times d1."""
    cdef const Response *res = &w.task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t i, j, c, k, m, Q = w.task.coordinates, P = res.products, n = un.count, K = res.channels
    cdef const double *factor
    cdef double s
    for j in range(f.count):
        for i in range(res.of_cluster[f.first + j] - un.first, res.of_cluster[f.first + j + 1] - un.first):
            for c in range(res.active):
                factor = res.c + (c * res.n + un.first + i) * P
                s = 0.0
                for m in range(P):
                    s += factor[m] * bend(res, m, f.hessian + j * Q * Q, Q)
                for k in range(K):
                    un.third[k * n + i] -= s * un.d2[pair_index(k, res.channel[c], K) * n + i]


cdef void slope_adjoint(const Response *res, const Units *un, Py_ssize_t c, Py_ssize_t i, const double *B,
                        Py_ssize_t Q, double *out) noexcept nogil:
    """Add to out, shape (Q,), what the Hessian at the modes gives the slopes of active channel c."""
    cdef Py_ssize_t e, x, y
    cdef const double *a
    cdef double s, curvature
    for e in range(res.active):
        a = un.slope + e * un.leap + i * Q
        curvature = -2.0 * un.d2[pair_index(res.channel[c], res.channel[e], res.channels) * un.count + i]
        for x in range(Q):
            s = 0.0
            for y in range(Q):
                s += B[x * Q + y] * a[y]
            out[x] += curvature * s


cdef double third_step(const Units *un, const Response *res, Py_ssize_t k, Py_ssize_t i) noexcept nogil:
    cdef double curvature = fabs(un.d2[pair_index(k, k, res.channels) * un.count + i])
    return 1e-3 / sqrt(curvature) if curvature > 1.0 else 1e-3


cdef void add_shift(Work *w, Py_ssize_t r, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Add to third how the offsets of unit i of lowest cluster j move the modes."""
    cdef const Response *res = &w.task.response[r]
    cdef Units *un = &w.units[r]
    cdef Py_ssize_t c, k, x, n = un.count, Q = w.task.coordinates, K = res.channels
    cdef const double *a
    cdef const double *shift = w.front[0].shift + j * Q
    cdef double shifted
    for c in range(res.active):
        a = un.slope + c * un.leap + i * Q
        shifted = 0.0
        for x in range(Q):
            shifted += a[x] * shift[x]
        for k in range(K):
            un.third[k * n + i] += shifted * un.d2[pair_index(k, res.channel[c], K) * n + i]


cdef void unit_gradients(Work *w, Py_ssize_t r) noexcept nogil:
    """Write the derivatives of the log-likelihood in every offset, loading and coefficient of a product.

    Nodes that are given do not move: only what stands at them counts.
    """
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t n = un.count, Q = task.coordinates, K = res.channels, P = res.products
    cdef Py_ssize_t i, j, c, k, m, x, y
    cdef const double *gz
    cdef const double *path
    cdef double *T
    cdef double *B
    cdef double *ga
    cdef double *scratch = w.scratch
    cdef double s, t, times
    cdef int moving = not task.held
    if not moving:
        memset(un.third, 0, K * n * sizeof(double))
    for j in range(f.count):
        T = f.spread + j * Q * Q
        B = f.hessian + j * Q * Q
        path = f.path + j * Q
        times = f.multiplicity[j]
        for i in range(res.of_cluster[f.first + j] - un.first, res.of_cluster[f.first + j + 1] - un.first):
            if moving:
                add_shift(w, r, i, j)
            for k in range(K):
                res.go[k * res.n + un.first + i] = times * (un.g[k * n + i] + un.third[k * n + i])
            for c in range(res.active):
                k = res.channel[c]
                ga = res.ga + (c * res.n + un.first + i) * Q
                gz = un.gz + (c * n + i) * (Q + P)
                for x in range(Q):
                    s = (un.g[k * n + i] + un.third[k * n + i]) * path[x]
                    if moving:
                        s += un.d1[k * n + i] * f.shift[j * Q + x]
                    for y in range(x, Q):
                        s += T[x * Q + y] * gz[y]
                    scratch[x] = s
                if moving:
                    slope_adjoint(res, un, c, i, B, Q, scratch)
                for x in range(Q):
                    ga[x] = times * scratch[x]
                s = un.g[k * n + i] + un.third[k * n + i]
                for m in range(P):
                    x, y = res.product[2 * m], res.product[2 * m + 1]
                    t = scratch[x] * path[y] + scratch[y] * path[x] - s * path[x] * path[y] + gz[Q + m]
                    if moving:
                        t -= un.d1[k * n + i] * bend(res, m, B, Q)
                    res.gc[(c * res.n + un.first + i) * P + m] = times * t
