"""The units at the modes: their channels and what they give to the joint Hessian of their cluster."""

from libc.math cimport fabs
from libc.string cimport memcpy, memset

from glamm.kernels._engine cimport Level, Response
from glamm.kernels._work cimport MAX_CHANNELS, MAX_PAIRS, Front, Task, Units, Work, pair_index


cdef void predict_units(Work *w, Py_ssize_t r) noexcept nogil:
    """Fill the channels of the units of response r at the modes, and their slopes in the coordinates."""
    cdef const Response *res = &w.task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t n = un.count, P = res.products, Q = w.task.coordinates, i, k, c, x, y, m, j
    cdef double *nu
    cdef double *path
    cdef double *slope
    cdef const double *a
    cdef double s
    for k in range(res.channels):
        memcpy(un.nu + k * n, res.o + k * res.n + un.first, n * sizeof(double))
    for c in range(res.active):
        nu = un.nu + res.channel[c] * n
        for j in range(f.count):
            path = f.path + j * Q
            for i in range(res.of_cluster[f.first + j] - un.first,
                           res.of_cluster[f.first + j + 1] - un.first):
                a = res.a + (c * res.n + un.first + i) * Q
                s = 0.0
                for x in range(Q):
                    s += a[x] * path[x]
                if P > 0:
                    slope = un.bent + (c * n + i) * Q
                    memcpy(slope, a, Q * sizeof(double))
                    a = res.c + (c * res.n + un.first + i) * P
                    for m in range(P):
                        x, y = res.product[2 * m], res.product[2 * m + 1]
                        s += a[m] * path[x] * path[y]
                        slope[x] += a[m] * path[y]
                        slope[y] += a[m] * path[x]
                nu[i] += s


cdef int differentiate_units(Work *w, Py_ssize_t r) noexcept nogil:
    """Fill log density, first and second derivatives of the units of response r at the modes."""
    cdef const Response *res = &w.task.response[r]
    cdef Units *un = &w.units[r]
    cdef Py_ssize_t n = un.count, i, k, code
    cdef double s
    cdef const double *nus[MAX_CHANNELS]
    cdef Py_ssize_t strides[MAX_CHANNELS]
    cdef double *d1[MAX_CHANNELS]
    cdef double *d2[MAX_PAIRS]
    if n == 0:
        return 0
    memset(strides, 0, sizeof(strides))
    for k in range(res.channels):
        nus[k] = un.nu + k * n
        d1[k] = un.d1 + k * n
    for k in range(res.pairs):
        d2[k] = un.d2 + k * n
    code = res.block(n, 1, res.y + un.first * res.ny, res.ny, nus, strides, un.ll, d1, d2, NULL, res.user)
    if code < 0:
        return 1
    if res.weight != NULL:
        for i in range(n):
            s = res.weight[un.first + i]
            un.ll[i] = un.ll[i] * s if s > 0.0 else 0.0
            for k in range(res.channels):
                d1[k][i] *= s
            for k in range(res.pairs):
                d2[k][i] *= s
    return 0


cdef void clip_curvature(const Response *res, const Units *un, Py_ssize_t i, double *h) noexcept nogil:
    """Replace the unit's negative Hessian in its active channels by one that is not negative."""
    cdef Py_ssize_t c, e, A = res.active
    cdef double s
    if A == 1:
        h[0] = h[0] if h[0] > 0.0 else 0.0
        return
    # diagonal dominance is enough for non-negative curvature
    for c in range(A):
        s = 0.0
        for e in range(A):
            if e != c:
                s += fabs(h[c * A + e])
        if h[c * A + c] < s:
            h[c * A + c] = s


cdef void bend_front(const Response *res, const Units *un, Py_ssize_t c, Py_ssize_t i, double scale,
                     Py_ssize_t Q, double *H) noexcept nogil:
    """Add scale times the second derivatives of the unit's active channel c to H, shape (Q, Q)."""
    cdef Py_ssize_t m, x, y, P = res.products
    cdef const double *factor = res.c + (c * res.n + un.first + i) * P
    for m in range(P):
        x, y = res.product[2 * m], res.product[2 * m + 1]
        H[x * Q + y] += scale * factor[m]
        H[y * Q + x] += scale * factor[m]


cdef void assemble(Work *w, Py_ssize_t top) noexcept nogil:
    """Sum value, gradient and Hessian front of the lowest clusters of a top-level cluster."""
    cdef const Task *task = w.task
    cdef const Level *lev = &task.level[0]
    cdef const Response *res
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t r, j, i, c, e, x, y, Q = task.coordinates, A, n, first_pair
    cdef double *H
    cdef double *g
    cdef const double *a
    cdef const double *b
    cdef double s, value, curvature
    cdef double h[MAX_CHANNELS * MAX_CHANNELS]
    cdef int clip = w.clip[top - w.first]
    for j in range(lev.of_top[top] - f.first, lev.of_top[top + 1] - f.first):
        H = f.hessian + j * Q * Q
        g = f.gradient + j * Q
        memset(H, 0, Q * Q * sizeof(double))
        memset(g, 0, Q * sizeof(double))
        value = 0.0
        for r in range(task.responses):
            res = &task.response[r]
            un = &w.units[r]
            A = res.active
            n = un.count
            first_pair = pair_index(res.channel[0], res.channel[0], res.channels) if A == 1 else 0
            for i in range(res.of_cluster[f.first + j] - un.first,
                           res.of_cluster[f.first + j + 1] - un.first):
                value += un.ll[i]
                if A == 1 and not clip and res.products == 0:
                    a = un.slope + i * Q
                    s = un.d1[res.channel[0] * n + i]
                    curvature = -un.d2[first_pair * n + i]
                    for x in range(Q):
                        g[x] += s * a[x]
                        for y in range(Q):
                            H[x * Q + y] += curvature * a[x] * a[y]
                    continue
                for c in range(A):
                    for e in range(A):
                        h[c * A + e] = -un.d2[
                            pair_index(res.channel[c], res.channel[e], res.channels) * n + i]
                if clip:
                    clip_curvature(res, un, i, h)
                for c in range(A):
                    a = un.slope + c * un.leap + i * Q
                    s = un.d1[res.channel[c] * n + i]
                    for x in range(Q):
                        g[x] += s * a[x]
                    for e in range(A):
                        b = un.slope + e * un.leap + i * Q
                        for x in range(Q):
                            s = h[c * A + e] * a[x]
                            for y in range(Q):
                                H[x * Q + y] += s * b[y]
                    if not clip:
                        bend_front(res, un, c, i, -un.d1[res.channel[c] * n + i], Q, H)
        f.log_det[j] = value
