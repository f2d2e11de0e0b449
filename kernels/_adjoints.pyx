"""Exact derivatives of the quadrature sums in every offset and loading.

Reverse differentiation by hand: from the nodes to the spread matrices and modes, through the factorisation
of the joint Hessian to the units' curvature, and through the equations of the modes.
"""

from libc.string cimport memcpy, memset

from glamm.kernels._engine cimport Level, Response
from glamm.kernels._gradients cimport slope_adjoint, third_units, unit_gradients
from glamm.kernels._work cimport Front, Task, Units, Work, most_products


cdef void adjoint_of_nodes(Work *w) noexcept nogil:
    """Fill raw (adjoint of the modes) and moved (E[f z']) from the units up to the top."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Response *res
    cdef Units *un
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, r, j, i, c, x, y, k, m, p, q, A, Q = task.coordinates
    cdef const double *a
    cdef const double *gz
    cdef double *Y
    cdef double *T
    cdef double *K
    cdef double *target
    cdef double s, weight
    for d in range(task.levels):
        f = &w.front[d]
        p = task.level[d].path
        memset(f.moved, 0, f.count * p * p * sizeof(double))
        memset(f.raw, 0, f.count * p * sizeof(double))
    f = &w.front[0]
    for r in range(task.responses):
        res = &task.response[r]
        un = &w.units[r]
        for j in range(f.count):
            Y = f.moved + j * Q * Q
            for i in range(res.of_cluster[f.first + j] - un.first,
                           res.of_cluster[f.first + j + 1] - un.first):
                for c in range(res.active):
                    a = un.slope + c * un.leap + i * Q
                    gz = un.gz + (c * un.count + i) * (Q + res.products)
                    s = un.g[res.channel[c] * un.count + i]
                    for x in range(Q):
                        f.raw[j * Q + x] += a[x] * s
                        for y in range(Q):
                            Y[x * Q + y] += a[x] * gz[y]
    if most_products(task) > 0:
        for j in range(f.count * Q):
            for y in range(Q):
                f.moved[j * Q + y] += f.bent[j * (Q + 1) + y]
            f.raw[j] += f.bent[j * (Q + 1) + Q]
    for d in range(task.levels):
        lev = &task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        A = p - q
        for j in range(f.count):
            Y = f.moved + j * p * p
            T = f.spread + j * p * p
            K = f.regress + j * q * A
            for x in range(q):
                s = f.path[j * p + x]
                for y in range(x, p):
                    s += T[x * p + y] * f.e1[j * p + y]
                f.raw[j * p + x] -= s
                for y in range(p):
                    s = f.path[j * p + x] * f.e1[j * p + y]
                    for k in range(x, p):
                        s += T[x * p + k] * f.e2[(j * p + k) * p + y]
                    Y[x * p + y] -= s
            if d + 1 < task.levels:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                weight = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
                target = up.moved + m * A * A
                for x in range(A):
                    # raw adjoints pass up as they are: they belong to the ancestors' own modes
                    up.raw[m * A + x] += weight * f.raw[j * p + q + x]
                    for y in range(A):
                        s = Y[(q + x) * p + q + y]
                        for k in range(q):
                            s -= K[k * A + x] * Y[k * p + q + y]
                        target[x * A + y] += weight * s


cdef void adjoint_of_fronts(Work *w) noexcept nogil:
    """Fill hessian with the adjoint of every front, from the top down."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, x, y, k, m, p, q, A
    cdef double *Y
    cdef double *T
    cdef double *K
    cdef double *L
    cdef double *B
    cdef double *S
    cdef double *scratch = w.scratch
    cdef double *lbar = scratch
    cdef double *tmp
    cdef double *kbar
    cdef double *ks
    cdef double s
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        A = p - q
        tmp = scratch + p * p
        kbar = scratch + 2 * p * p
        ks = scratch + 3 * p * p
        for j in range(f.count):
            Y = f.moved + j * p * p
            T = f.spread + j * p * p
            K = f.regress + j * q * A
            L = f.chol + j * q * q
            B = f.hessian + j * p * p
            S = NULL
            if A > 0:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                S = up.hessian + m * A * A
            # lbar = -tril(T + T M' T) with M = E[s z'] of the own coordinates
            for x in range(q):
                for y in range(q):
                    s = 0.0
                    for k in range(x, q):
                        s += T[x * p + k] * Y[y * p + k]
                    tmp[x * q + y] = s
            for x in range(q):
                for y in range(x + 1):
                    s = T[x * p + y] if x == y else 0.0
                    for k in range(y + 1):
                        s += tmp[x * q + k] * T[k * p + y]
                    lbar[x * q + y] = -s
            # tmp = symmetrised Phi(L' lbar): lower triangle with halved diagonal
            for x in range(q):
                for y in range(x + 1):
                    s = 0.0
                    for k in range(x, q):
                        s += L[k * q + x] * lbar[k * q + y]
                    tmp[x * q + y] = 0.5 * s
                    tmp[y * q + x] = 0.5 * s
            # own block: T tmp T'
            for x in range(q):
                for y in range(q):
                    s = 0.0
                    for k in range(x, q):
                        s += T[x * p + k] * tmp[k * q + y]
                    lbar[x * q + y] = s
            for x in range(q):
                for y in range(q):
                    s = 0.0
                    for k in range(y, q):
                        s += lbar[x * q + k] * T[y * p + k]
                    B[x * p + y] = s
            if A == 0:
                continue
            # kbar = -E[s (ancestors - modes)'], the ancestors moving by their own spread
            for x in range(q):
                for y in range(A):
                    s = 0.0
                    for k in range(y, A):
                        s += Y[x * p + q + k] * up.spread[(m * A + y) * A + k]
                    kbar[x * A + y] = -s
            # tmp = F11^-1 kbar; ks = K S
            for x in range(q):
                for y in range(A):
                    s = 0.0
                    for k in range(x + 1):
                        s += T[k * p + x] * kbar[k * A + y]
                    ks[x * A + y] = s
            for x in range(q):
                for y in range(A):
                    s = 0.0
                    for k in range(x, q):
                        s += T[x * p + k] * ks[k * A + y]
                    tmp[x * A + y] = s
            for x in range(q):
                for y in range(A):
                    s = 0.0
                    for k in range(A):
                        s += K[x * A + k] * S[k * A + y]
                    ks[x * A + y] = s
            for x in range(q):
                for y in range(q):
                    s = 0.0
                    for k in range(A):
                        s += ks[x * A + k] * K[y * A + k]
                        s -= 0.5 * (tmp[x * A + k] * K[y * A + k] + tmp[y * A + k] * K[x * A + k])
                    B[x * p + y] += s
                for y in range(A):
                    # half of the adjoint of F12, so that the block is a symmetric matrix
                    s = 0.5 * tmp[x * A + y] - ks[x * A + y]
                    B[x * p + q + y] = s
                    B[(q + y) * p + x] = s
            for x in range(A):
                for y in range(A):
                    B[(q + x) * p + q + y] = S[x * A + y]


cdef void solve_shift(Work *w) noexcept nogil:
    """Add the curvature's part to the adjoint of the modes and solve H v = adjoint along the tree."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Response *res
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Front *up
    cdef Py_ssize_t d, r, j, i, c, x, y, k, m, p, q, A, P, Q = task.coordinates
    cdef const double *a
    cdef double *T
    cdef double *K
    cdef double *solved
    cdef double *bar = w.scratch
    cdef double s, weight
    # raw of a higher level already holds what its units and its own prior give; the curvature's part and
    # the elimination of lower levels are added on the way up, so the units' part must not pass up twice
    for d in range(task.levels):
        f = &w.front[d]
        p, q = task.level[d].path, task.level[d].q
        for j in range(f.count):
            for x in range(q, p):
                f.raw[j * p + x] = 0.0
    f = &w.front[0]
    for r in range(task.responses):
        res = &task.response[r]
        un = &w.units[r]
        P = res.products
        for j in range(f.count):
            for i in range(res.of_cluster[f.first + j] - un.first,
                           res.of_cluster[f.first + j + 1] - un.first):
                for c in range(res.active):
                    a = un.slope + c * un.leap + i * Q
                    s = un.third[res.channel[c] * un.count + i]
                    for x in range(Q):
                        f.raw[j * Q + x] += a[x] * s
                    if P > 0:
                        # the slopes move with the modes
                        memset(bar, 0, Q * sizeof(double))
                        slope_adjoint(res, un, c, i, f.hessian + j * Q * Q, Q, bar)
                        a = res.c + (c * res.n + un.first + i) * P
                        for k in range(P):
                            x, y = res.product[2 * k], res.product[2 * k + 1]
                            f.raw[j * Q + x] += a[k] * bar[y]
                            f.raw[j * Q + y] += a[k] * bar[x]
    for d in range(task.levels):
        lev = &task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        A = p - q
        for j in range(f.count):
            K = f.regress + j * q * A
            T = f.spread + j * p * p
            solved = f.step + j * q
            if A > 0:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                weight = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
                for x in range(A):
                    s = f.raw[j * p + q + x]
                    for k in range(q):
                        s -= K[k * A + x] * f.raw[j * p + k]
                    up.raw[m * A + x] += weight * s
            # F11^-1 raw = T T' raw
            for x in range(q):
                s = 0.0
                for k in range(x + 1):
                    s += T[k * p + x] * f.raw[j * p + k]
                f.old[j * q + x] = s
            for x in range(q):
                s = 0.0
                for k in range(x, q):
                    s += T[x * p + k] * f.old[j * q + k]
                solved[x] = s
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        A = p - q
        for j in range(f.count):
            solved = f.step + j * q
            if A > 0:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                K = f.regress + j * q * A
                for x in range(q):
                    for y in range(A):
                        solved[x] -= K[x * A + y] * up.shift[m * A + y]
                memcpy(f.shift + j * p + q, up.shift + m * A, A * sizeof(double))
            memcpy(f.shift + j * p, solved, q * sizeof(double))


cdef int differentiate(Work *w) noexcept nogil:
    """Fill go, ga and gc of every response; return 1 where a family broke."""
    cdef Py_ssize_t r
    if not w.task.held:
        adjoint_of_nodes(w)
        adjoint_of_fronts(w)
        for r in range(w.task.responses):
            if third_units(w, r):
                return 1
        solve_shift(w)
    for r in range(w.task.responses):
        unit_gradients(w, r)
    return 0
