"""Quadrature sums over conditional nodes from the lowest level up, and posterior expectations down."""

from libc.string cimport memcpy, memset

from glamm.kernels._engine cimport Level, Response
from glamm.kernels._work cimport MAX_CHANNELS, Front, Task, Units, Work, most_products

cdef extern from "glamm_nodes.h" nogil:
    ctypedef struct glamm_node_loops:
        void (*fill)(Py_ssize_t, Py_ssize_t, double, const double *, const double *, double *) noexcept nogil
        double (*expect)(Py_ssize_t, Py_ssize_t, const double *, const double *, const double *, double *,
                         double *) noexcept nogil
        double (*log_sum)(Py_ssize_t, double *) noexcept nogil
    glamm_node_loops glamm_choose_loops() noexcept

cdef glamm_node_loops loops = glamm_choose_loops()


cdef void prior_weights(Work *w, Py_ssize_t d) noexcept nogil:
    """Start the log weights of a level's path nodes: rule weights and the prior of the own coordinates."""
    cdef const Level *lev = &w.task.level[d]
    cdef Front *f = &w.front[d]
    cdef Py_ssize_t j, x, y, s, q = lev.q, p = lev.path, N = lev.path_nodes, M = lev.nodes
    cdef double *out
    cdef double *T
    cdef double u
    cdef const double *z = lev.z
    for j in range(f.count):
        out = f.weights + j * N
        T = f.spread + j * p * p
        for s in range(N):
            out[s] = lev.log_weight[s % M]
        for x in range(q):
            for s in range(N):
                u = f.path[j * p + x]
                for y in range(x, p):
                    u += T[x * p + y] * z[y * N + s]
                out[s] -= 0.5 * u * u


cdef void products_at_nodes(Work *w, const Response *res, Py_ssize_t j) noexcept nogil:
    """Fill delta and basis with u - mode, z and the products of u - mode at the nodes of lowest cluster j."""
    cdef const Level *lev = &w.task.level[0]
    cdef Py_ssize_t m, s, x, Q = w.task.coordinates, N = lev.path_nodes
    cdef const double *dx
    cdef const double *dy
    cdef double *out
    cdef double *T = w.front[0].spread + j * Q * Q
    memcpy(w.basis, lev.z, Q * N * sizeof(double))
    for x in range(Q):
        loops.fill(N, Q - x, 0.0, T + x * Q + x, lev.z + x * N, w.delta + x * N)
    for m in range(res.products):
        dx = w.delta + res.product[2 * m] * N
        dy = w.delta + res.product[2 * m + 1] * N
        out = w.basis + (Q + m) * N
        for s in range(N):
            out[s] = dx[s] * dy[s]


cdef int node_units(Work *w, Py_ssize_t r, Py_ssize_t begin, Py_ssize_t end, int with_d1) noexcept nogil:
    """Evaluate units [begin, end) of the chunk at all path nodes into the tile."""
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef const Level *lev = &task.level[0]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t Q = task.coordinates, N = lev.path_nodes, n = un.count, P = res.products
    cdef Py_ssize_t c, i, j, x, y, code, placed
    cdef const double *a
    cdef double *T
    cdef double *out
    cdef double b, centre
    cdef const double *z = w.basis if P > 0 else lev.z
    cdef const double *nus[MAX_CHANNELS]
    cdef Py_ssize_t strides[MAX_CHANNELS]
    cdef double *d1[MAX_CHANNELS]
    if end <= begin:
        return 0
    for c in range(res.channels):
        nus[c] = un.nu + c * n + begin
        strides[c] = 0
        d1[c] = un.node_d1 + c * (end - begin) * N
    for c in range(res.active):
        nus[res.channel[c]] = un.node_nu + c * (end - begin) * N
        strides[res.channel[c]] = 1
        j, placed = 0, -1
        for i in range(begin, end):
            while res.of_cluster[f.first + j + 1] - un.first <= i:
                j += 1
            # around the mode the channel is slope' (u - mode) and the products of u - mode
            if P > 0 and placed != j:
                products_at_nodes(w, res, j)
                placed = j
            a = un.slope + c * un.leap + i * Q
            T = f.spread + j * Q * Q
            out = un.node_nu + (c * (end - begin) + i - begin) * N
            centre = un.nu[res.channel[c] * n + i]
            for y in range(Q):
                b = 0.0
                for x in range(y + 1):
                    b += T[x * Q + y] * a[x]
                w.scratch[y] = b
            if P > 0:
                memcpy(w.scratch + Q, res.c + (c * res.n + un.first + i) * P, P * sizeof(double))
            loops.fill(N, Q + P, centre, w.scratch, z, out)
    code = res.block(end - begin, N, res.y + (un.first + begin) * res.ny, res.ny, nus, strides,
                     un.node_ll, d1 if with_d1 else NULL, NULL, NULL, res.user)
    return 1 if code < 0 else 0


cdef int add_units(Work *w, int with_d1) noexcept nogil:
    """Add the log densities of all units to the log weights of their lowest clusters."""
    cdef const Response *res
    cdef const Level *lev = &w.task.level[0]
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t r, begin, end, i, j, s, N = lev.path_nodes
    cdef double *out
    cdef const double *ll
    cdef double weight
    for r in range(w.task.responses):
        res = &w.task.response[r]
        un = &w.units[r]
        begin = 0
        while begin < un.count:
            end = min(begin + un.tile, un.count)
            if node_units(w, r, begin, end, with_d1 and un.tile >= un.count):
                return 1
            j = 0
            for i in range(begin, end):
                while res.of_cluster[f.first + j + 1] - un.first <= i:
                    j += 1
                weight = 1.0 if res.weight == NULL else res.weight[un.first + i]
                out = f.weights + j * N
                ll = un.node_ll + (i - begin) * N
                if weight == 1.0:
                    for s in range(N):
                        out[s] += ll[s]
                elif weight > 0.0:
                    for s in range(N):
                        out[s] += weight * ll[s]
            begin = end
    return 0


cdef void sum_up(Work *w, double *loglik) noexcept nogil:
    """Log-sum-exp from the lowest level to the top; log weights become conditional weights."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, s, m, M, N, A
    cdef double *target
    cdef double weight, value
    for d in range(task.levels):
        lev = &task.level[d]
        f = &w.front[d]
        M, N = lev.nodes, lev.path_nodes
        A = N // M
        for j in range(f.count):
            target = NULL
            if d + 1 < task.levels:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                target = up.weights + m * A
            weight = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
            for s in range(A):
                value = loops.log_sum(M, f.weights + j * N + s * M) - f.log_det[j]
                if target == NULL:
                    loglik[j] = value
                elif weight > 0.0:
                    target[s] += weight * value


cdef void weights_down(Work *w) noexcept nogil:
    """Make conditional weights joint posterior weights, and take the moments of the nodes."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, s, x, y, m, M, N, A, p
    cdef double *row
    cdef double factor, total
    cdef const double *zx
    cdef const double *zy
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        M, N, p = lev.nodes, lev.path_nodes, lev.path
        A = N // M
        for j in range(f.count):
            row = f.weights + j * N
            if d + 1 < task.levels:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                for s in range(A):
                    factor = up.weights[m * A + s]
                    for x in range(M):
                        row[s * M + x] *= factor
            for x in range(p):
                zx = lev.z + x * N
                total = 0.0
                for s in range(N):
                    total += row[s] * zx[s]
                f.e1[j * p + x] = total
                for y in range(x + 1):
                    zy = lev.z + y * N
                    total = 0.0
                    for s in range(N):
                        total += row[s] * zx[s] * zy[s]
                    f.e2[(j * p + x) * p + y] = total
                    f.e2[(j * p + y) * p + x] = total


cdef void pull_products(Work *w, const Response *res, Py_ssize_t j) noexcept nogil:
    """Add to the adjoint of the nodes of lowest cluster j what its units pull through their products.

    A unit's slopes at u are those at the mode and its products' second derivatives times u - mode.
    """
    cdef const Level *lev = &w.task.level[0]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t m, s, x, y, k, side, Q = w.task.coordinates, N = lev.path_nodes
    cdef const double *delta
    cdef const double *pulled
    cdef double *moment = w.spare + N
    cdef double *out
    for m in range(res.products):
        pulled = w.pulled + m * N
        for side in range(2):
            x, y = res.product[2 * m + side], res.product[2 * m + 1 - side]
            delta = w.delta + y * N
            for s in range(N):
                w.spare[s] = pulled[s] * delta[s]
            out = f.bent + (j * Q + x) * (Q + 1)
            out[Q] += loops.expect(N, Q, f.weights + j * N, w.spare, lev.z, w.scratch, moment)
            for k in range(Q):
                out[k] += moment[k]


cdef int expect_units(Work *w) noexcept nogil:
    """Take posterior expectations of d1, d1 z and d1 times the products of every unit."""
    cdef const Response *res
    cdef const Level *lev = &w.task.level[0]
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t r, begin, end, i, j, N = lev.path_nodes, Q = w.task.coordinates, P, placed
    if most_products(w.task) > 0:
        memset(f.bent, 0, f.count * Q * (Q + 1) * sizeof(double))
    for r in range(w.task.responses):
        res = &w.task.response[r]
        un = &w.units[r]
        P = res.products
        begin = 0
        while begin < un.count:
            end = min(begin + un.tile, un.count)
            if un.tile < un.count and node_units(w, r, begin, end, 1):
                return 1
            j, placed = 0, -1
            for i in range(begin, end):
                while res.of_cluster[f.first + j + 1] - un.first <= i:
                    j += 1
                if P > 0 and placed != j:
                    if placed >= 0:
                        pull_products(w, res, placed)
                    products_at_nodes(w, res, j)
                    memset(w.pulled, 0, P * N * sizeof(double))
                    placed = j
                expect_unit(w, res, un, i, begin, end, j)
            if placed >= 0:
                pull_products(w, res, placed)
            begin = end
    return 0


cdef void expect_unit(Work *w, const Response *res, Units *un, Py_ssize_t i, Py_ssize_t begin, Py_ssize_t end,
                      Py_ssize_t j) noexcept nogil:
    """Take the expectations of unit i of lowest cluster j; the tile holds units [begin, end)."""
    cdef const Level *lev = &w.task.level[0]
    cdef Py_ssize_t N = lev.path_nodes, Q = w.task.coordinates, P = res.products, k, c = 0, m, s, x
    cdef const double *z = w.basis if P > 0 else lev.z
    cdef const double *row = w.front[0].weights + j * N
    cdef const double *d1
    cdef const double *factor
    cdef double *gz
    cdef double *pulled
    cdef double weight = 1.0 if res.weight == NULL else res.weight[un.first + i]
    for k in range(res.channels):
        d1 = un.node_d1 + (k * (end - begin) + i - begin) * N
        if c < res.active and res.channel[c] == k:
            gz = un.gz + (c * un.count + i) * (Q + P)
            un.g[k * un.count + i] = weight * loops.expect(N, Q + P, row, d1, z, w.scratch, gz)
            for x in range(Q + P):
                gz[x] *= weight
            factor = res.c + (c * res.n + un.first + i) * P
            for m in range(P):
                pulled = w.pulled + m * N
                for s in range(N):
                    pulled[s] += weight * factor[m] * d1[s]
            c += 1
        else:
            un.g[k * un.count + i] = weight * loops.expect(N, 0, row, d1, NULL, w.scratch, NULL)


cdef void write_moments(Work *w) noexcept nogil:
    """Write posterior means and covariances of the standard coordinates of every cluster and those above it."""
    cdef const Level *lev
    cdef Front *f
    cdef Py_ssize_t d, j, x, y, k, m, p
    cdef double *T
    cdef double s, t, c
    for d in range(w.task.levels):
        lev = &w.task.level[d]
        f = &w.front[d]
        p = lev.path
        for j in range(f.count):
            T = f.spread + j * p * p
            for x in range(p):
                s = f.path[j * p + x]
                for k in range(x, p):
                    s += T[x * p + k] * f.e1[j * p + k]
                lev.mean[(f.first + j) * p + x] = s
                for y in range(p):
                    s = 0.0
                    for k in range(x, p):
                        t = 0.0
                        for m in range(y, p):
                            c = f.e2[(j * p + k) * p + m] - f.e1[j * p + k] * f.e1[j * p + m]
                            t += c * T[y * p + m]
                        s += T[x * p + k] * t
                    lev.cov[((f.first + j) * p + x) * p + y] = s
