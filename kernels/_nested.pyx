"""Nested adaptive Gauss-Hermite quadrature over chunks of top-level clusters.

For every top-level cluster: the mode of the joint posterior of all its latent variables by Newton's
method on the block-arrow Hessian (a multifrontal Cholesky factorisation along the tree), the quadrature
sum over conditional nodes ``u = mode + L^-T z`` from the lowest level up, and the exact derivatives of
that sum in every offset and loading, including the way modes and scales move. See docs/engine.md for the
formulas; the names below are the ones used there.

Arrays are row-major. The *path* of a cluster is its own coordinates followed by those of its ancestors;
path nodes are numbered with the lowest level fastest.
"""

from libc.math cimport INFINITY, fabs, isfinite, log, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from glamm.kernels._dense cimport cholesky, inverse_transpose
from glamm.kernels._engine cimport Level, Response

cdef enum:
    MAX_CHANNELS = 64
    MAX_PAIRS = 2080
    MAX_THIRD = 288     # pairs times channels of eight channels

cdef extern from "glamm_nodes.h" nogil:
    ctypedef struct glamm_node_loops:
        void (*fill)(Py_ssize_t, Py_ssize_t, double, const double *, const double *, double *) noexcept nogil
        double (*expect)(Py_ssize_t, Py_ssize_t, const double *, const double *, const double *, double *,
                         double *) noexcept nogil
        double (*log_sum)(Py_ssize_t, double *) noexcept nogil
    glamm_node_loops glamm_choose_loops() noexcept

cdef glamm_node_loops loops = glamm_choose_loops()
cdef double STEP_CAP = 5.0
cdef double STALLED = 1e-12


cdef struct Front:
    # workspace of one level: arrays over the clusters of the chunk
    Py_ssize_t first
    Py_ssize_t count
    double *hessian      # (p, p): front of the joint Hessian, then its adjoint
    double *gradient     # (p)
    double *chol         # (q, q)
    double *spread       # (p, p): T with u_path - mode_path = T z_path
    double *regress      # (q, p - q): K with E(u | ancestors) = mode - K (ancestors - their modes)
    double *path         # (p): modes along the path
    double *old          # (q): the accepted modes
    double *tried        # (q): the move away from them that is being tried
    double *step         # (q): the Newton step from the present point
    double *weights      # (N): conditional, then joint posterior weights of the path nodes
    double *e1           # (p): posterior mean of z
    double *e2           # (p, p): posterior second moments of z
    double *moved        # (p, p): E[f z'], f the adjoint of the nodes along the path
    double *raw          # (p): adjoint of the modes, then right-hand side of their equations
    double *shift        # (p): the solution v along the path
    double *log_det
    double *multiplicity


cdef struct Units:
    # workspace of one response: arrays over the units of the chunk
    Py_ssize_t first
    Py_ssize_t count
    double *nu           # (K, n) at the modes
    double *ll           # (n)
    double *d1           # (K, n)
    double *d2           # (pairs, n)
    double *curve        # (pairs, n): A Fbar A'
    double *s1           # scratch of third derivatives: (K, n), (pairs, n), (pairs K, n), (n)
    double *s2
    double *s3
    double *shifted
    double *third        # (K, n)
    double *g            # (K, n): posterior expectation of d1
    double *gz           # (active, n, Q): and of d1 z
    double *node_ll      # (tile, N)
    double *node_nu      # (active, tile, N)
    double *node_d1      # (K, tile, N)
    Py_ssize_t tile


cdef struct Work:
    const Task *task
    Py_ssize_t first
    Py_ssize_t last
    Front *front
    Units *units
    double *value        # (tops)
    double *old_value
    double *decrement
    double *old_decrement
    int *state           # (tops): 0 searching, 1 found, 2 failed
    int *halvings
    int *clip            # (tops): curvature clipped to be positive
    double *scratch      # (max(4 Q^2, N)) for whoever needs it for a moment
    double *arena


cdef Py_ssize_t pair_index(Py_ssize_t k, Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    if k > m:
        k, m = m, k
    return k * n - k * (k - 1) // 2 + (m - k)


cdef double * take(double **cursor, Py_ssize_t size) noexcept nogil:
    cdef double *start = cursor[0]
    cursor[0] = start + size
    return start


cdef Py_ssize_t layout(Work *w, Py_ssize_t store, double *base) noexcept nogil:
    """Point every workspace array into the arena at base; return the size needed."""
    cdef double *cursor = base
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Response *res
    cdef Front *f
    cdef Units *un
    cdef Py_ssize_t d, r, c, p, q, n, Q = task.coordinates, N0 = task.level[0].path_nodes
    cdef Py_ssize_t tops = w.last - w.first, t0 = w.first, t1 = w.last, tile
    w.value = take(&cursor, tops)
    w.old_value = take(&cursor, tops)
    w.decrement = take(&cursor, tops)
    w.old_decrement = take(&cursor, tops)
    for d in range(task.levels):
        lev = &task.level[d]
        f = &w.front[d]
        f.first = lev.of_top[t0]
        f.count = lev.of_top[t1] - f.first
        c, p, q = f.count, lev.path, lev.q
        f.hessian = take(&cursor, c * p * p)
        f.gradient = take(&cursor, c * p)
        f.chol = take(&cursor, c * q * q)
        f.spread = take(&cursor, c * p * p)
        f.regress = take(&cursor, c * q * (p - q))
        f.path = take(&cursor, c * p)
        f.old = take(&cursor, c * q)
        f.tried = take(&cursor, c * q)
        f.step = take(&cursor, c * q)
        f.weights = take(&cursor, c * lev.path_nodes)
        f.e1 = take(&cursor, c * p)
        f.e2 = take(&cursor, c * p * p)
        f.moved = take(&cursor, c * p * p)
        f.raw = take(&cursor, c * p)
        f.shift = take(&cursor, c * p)
        f.log_det = take(&cursor, c)
        f.multiplicity = take(&cursor, c)
    for r in range(task.responses):
        res = &task.response[r]
        un = &w.units[r]
        lev = &task.level[0]
        un.first = res.of_cluster[lev.of_top[t0]]
        un.count = res.of_cluster[lev.of_top[t1]] - un.first
        n = un.count
        tile = n
        if n * N0 > store:
            tile = store // N0
            if tile < 1:
                tile = 1
        un.tile = tile
        un.nu = take(&cursor, res.channels * n)
        un.ll = take(&cursor, n)
        un.d1 = take(&cursor, res.channels * n)
        un.d2 = take(&cursor, res.pairs * n)
        un.curve = take(&cursor, res.pairs * n)
        un.s1 = take(&cursor, res.channels * n)
        un.s2 = take(&cursor, res.pairs * n)
        un.s3 = take(&cursor, res.pairs * res.channels * n if res.third else 0)
        un.shifted = take(&cursor, n)
        un.third = take(&cursor, res.channels * n)
        un.g = take(&cursor, res.channels * n)
        un.gz = take(&cursor, res.active * n * Q)
        un.node_ll = take(&cursor, tile * N0)
        un.node_nu = take(&cursor, res.active * tile * N0)
        un.node_d1 = take(&cursor, res.channels * tile * N0)
    return cursor - base


# ------------------------------------------------------------------ modes


cdef void fill_paths(Work *w) noexcept nogil:
    """Copy the modes of every cluster and its ancestors side by side."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, p, q
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        for j in range(f.count):
            memcpy(f.path + j * p, lev.mode + (f.first + j) * q, q * sizeof(double))
            if d < task.levels - 1:
                up = &w.front[d + 1]
                memcpy(f.path + j * p + q, up.path + (lev.parent[f.first + j] - up.first) * (p - q),
                       (p - q) * sizeof(double))


cdef int mode_units(Work *w, Py_ssize_t r) noexcept nogil:
    """Evaluate the units of response r at the modes: log density, first and second derivatives."""
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t n = un.count, i, k, c, x, j, Q = task.coordinates, code
    cdef double *nu
    cdef double *path
    cdef const double *a
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
        memcpy(un.nu + k * n, res.o + k * res.n + un.first, n * sizeof(double))
    for k in range(res.pairs):
        d2[k] = un.d2 + k * n
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
                nu[i] += s
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
                if A == 1 and not clip:
                    a = res.a + (un.first + i) * Q
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
                    a = res.a + (c * res.n + un.first + i) * Q
                    s = un.d1[res.channel[c] * n + i]
                    for x in range(Q):
                        g[x] += s * a[x]
                    for e in range(A):
                        b = res.a + (e * res.n + un.first + i) * Q
                        for x in range(Q):
                            s = h[c * A + e] * a[x]
                            for y in range(Q):
                                H[x * Q + y] += s * b[y]
        f.log_det[j] = value


cdef int factor_top(Work *w, Py_ssize_t top) noexcept nogil:
    """Factor the joint Hessian of a top-level cluster from its leaves up and solve for a Newton step.

    Fills chol, regress, spread, log_det, step, the cluster's value and squared Newton decrement; returns
    1 where the Hessian is not positive definite.
    """
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Level *above
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, x, y, k, q, p, A, m, lo, hi
    cdef double s, weight, value, total = 0.0, decrement = 0.0, log_det
    cdef double *H
    cdef double *g
    cdef double *L
    cdef double *T
    cdef double *K
    cdef double *step
    cdef double *target
    assemble(w, top)
    for d in range(task.levels):
        lev = &task.level[d]
        f = &w.front[d]
        q, p = lev.q, lev.path
        A = p - q
        lo, hi = lev.of_top[top] - f.first, lev.of_top[top + 1] - f.first
        if d + 1 < task.levels:
            above = &task.level[d + 1]
            up = &w.front[d + 1]
            for j in range(above.of_top[top] - up.first, above.of_top[top + 1] - up.first):
                memset(up.hessian + j * A * A, 0, A * A * sizeof(double))
                memset(up.gradient + j * A, 0, A * sizeof(double))
                up.log_det[j] = 0.0
        for j in range(lo, hi):
            H = f.hessian + j * p * p
            g = f.gradient + j * p
            L = f.chol + j * q * q
            T = f.spread + j * p * p
            K = f.regress + j * q * A
            step = f.step + j * q
            value = f.log_det[j]   # holds the value until the determinant is known
            for x in range(q):
                s = f.path[j * p + x]
                H[x * p + x] += 1.0
                g[x] -= s
                value -= 0.5 * s * s
            if cholesky(H, p, q, L):
                return 1
            # the leading block of T is the inverse transpose of L
            inverse_transpose(L, q, T, p)
            log_det = 0.0
            for x in range(q):
                log_det += log(L[x * q + x])
            # solve: step holds L^-1 g for now; K = (L L')^-1 F12 by way of T
            for x in range(q):
                s = 0.0
                for k in range(x + 1):
                    s += T[k * p + x] * g[k]
                step[x] = s
            for y in range(A):
                for x in range(q):
                    s = 0.0
                    for k in range(x + 1):
                        s += T[k * p + x] * H[k * p + q + y]
                    K[x * A + y] = s
            weight = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
            s = 0.0
            for x in range(q):
                s += step[x] * step[x]
            # decrements of lower levels are counted as often as their clusters
            decrement += s * f.multiplicity[j]
            if A > 0 or d + 1 < task.levels:
                m = lev.parent[f.first + j] - up.first
                target = up.hessian + m * A * A
                for x in range(A):
                    for y in range(A):
                        s = H[(q + x) * p + q + y]
                        for k in range(q):
                            s -= K[k * A + x] * K[k * A + y]
                        target[x * A + y] += weight * s
                target = up.gradient + m * A
                for x in range(A):
                    s = g[q + x]
                    for k in range(q):
                        s -= K[k * A + x] * step[k]
                    target[x] += weight * s
                up.log_det[m] += weight * value
            else:
                total += value
            # finish: K and step in the scale of the coordinates
            for y in range(A):
                for x in range(q):
                    s = 0.0
                    for k in range(x, q):
                        s += T[x * p + k] * K[k * A + y]
                    K[x * A + y] = s
            for x in range(q):
                s = 0.0
                for k in range(x, q):
                    s += T[x * p + k] * step[k]
                step[x] = s
            f.log_det[j] = log_det
    # steps along the paths, and the rest of the spread matrices, from the top down
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        q, p = lev.q, lev.path
        A = p - q
        for j in range(lev.of_top[top] - f.first, lev.of_top[top + 1] - f.first):
            step = f.step + j * q
            # shift holds the step along the path while modes are searched
            if d + 1 < task.levels:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                memcpy(f.shift + j * p + q, up.shift + m * A, A * sizeof(double))
                K = f.regress + j * q * A
                T = f.spread + j * p * p
                for x in range(q):
                    for y in range(A):
                        step[x] -= K[x * A + y] * up.shift[m * A + y]
                        s = 0.0
                        for k in range(A):
                            s -= K[x * A + k] * up.spread[(m * A + k) * A + y]
                        T[x * p + q + y] = s
                for x in range(A):
                    for y in range(q):
                        T[(q + x) * p + y] = 0.0
                    memcpy(T + (q + x) * p + q, up.spread + (m * A + x) * A, A * sizeof(double))
            memcpy(f.shift + j * p, step, q * sizeof(double))
    w.value[top - w.first] = total
    w.decrement[top - w.first] = decrement
    return 0


cdef double step_scale(Work *w, Py_ssize_t top) noexcept nogil:
    """Return the factor that keeps the move of every linear predictor below STEP_CAP.

    The cap is in units of the predictor or, where that is more, of the standard deviation that the unit's
    curvature gives it; a quadratic log density needs none.
    """
    cdef const Task *task = w.task
    cdef const Level *lev = &task.level[0]
    cdef const Response *res
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t r, j, i, c, x, pair, Q = task.coordinates
    cdef const double *a
    cdef double s, curvature, largest = STEP_CAP
    for j in range(lev.of_top[top] - f.first, lev.of_top[top + 1] - f.first):
        for r in range(task.responses):
            res = &task.response[r]
            un = &w.units[r]
            for c in range(res.active):
                if res.quadratic[c]:
                    continue
                pair = pair_index(res.channel[c], res.channel[c], res.channels)
                for i in range(res.of_cluster[f.first + j], res.of_cluster[f.first + j + 1]):
                    a = res.a + (c * res.n + i) * Q
                    s = 0.0
                    for x in range(Q):
                        s += a[x] * f.shift[j * Q + x]
                    curvature = fabs(un.d2[pair * un.count + i - un.first])
                    s = fabs(s) * (sqrt(curvature) if curvature < 1.0 else 1.0)
                    if s > largest:
                        largest = s
    return STEP_CAP / largest


cdef void move(Work *w, Py_ssize_t top, double scale) noexcept nogil:
    """Accept the present modes of a top-level cluster and try scale times the Newton step from them."""
    cdef const Level *lev
    cdef Front *f
    cdef Py_ssize_t d, x
    for d in range(w.task.levels):
        lev = &w.task.level[d]
        f = &w.front[d]
        for x in range((lev.of_top[top] - f.first) * lev.q, (lev.of_top[top + 1] - f.first) * lev.q):
            f.old[x] = lev.mode[f.first * lev.q + x]
            f.tried[x] = scale * f.step[x]
            lev.mode[f.first * lev.q + x] = f.old[x] + f.tried[x]


cdef void halve(Work *w, Py_ssize_t top) noexcept nogil:
    """Try half of the last move instead."""
    cdef const Level *lev
    cdef Front *f
    cdef Py_ssize_t d, x
    for d in range(w.task.levels):
        lev = &w.task.level[d]
        f = &w.front[d]
        for x in range((lev.of_top[top] - f.first) * lev.q, (lev.of_top[top + 1] - f.first) * lev.q):
            f.tried[x] *= 0.5
            lev.mode[f.first * lev.q + x] = f.old[x] + f.tried[x]


cdef void restart(Work *w, Py_ssize_t top) noexcept nogil:
    """Set the modes of a top-level cluster to zero."""
    cdef const Level *lev
    cdef Py_ssize_t d
    for d in range(w.task.levels):
        lev = &w.task.level[d]
        memset(lev.mode + lev.of_top[top] * lev.q, 0,
               (lev.of_top[top + 1] - lev.of_top[top]) * lev.q * sizeof(double))


cdef int update_mode(Work *w, Py_ssize_t top, int sweep) noexcept nogil:
    """Judge the present modes of one top-level cluster and move them; return 1 while searching."""
    cdef Py_ssize_t t = top - w.first
    cdef double tolerance = w.task.tolerance, value, scale
    cdef int singular
    singular = factor_top(w, top)
    if singular and not w.clip[t]:
        w.clip[t] = 1
        singular = factor_top(w, top)
    value = w.value[t]
    if singular or not isfinite(value):
        if sweep == 0:
            restart(w, top)
            w.old_value[t] = -INFINITY
            w.state[t] = -1    # one more chance, from zero
            return 1
        if w.state[t] == -1 or w.halvings[t] > 40:
            w.state[t] = 2
            return 0
        w.halvings[t] += 1
        halve(w, top)
        return 1
    if w.state[t] == -1:
        w.state[t] = 0
    if value < w.old_value[t] - 1e-9 * (1.0 + fabs(value)):
        w.halvings[t] += 1
        if w.halvings[t] > 40:
            w.state[t] = 2
            return 0
        halve(w, top)
        return 1
    # a small decrement that no longer falls is as small as rounding lets it be
    if w.decrement[t] < tolerance * tolerance or (
            w.decrement[t] < STALLED and w.decrement[t] > 0.25 * w.old_decrement[t]):
        if not w.clip[t]:
            w.state[t] = 1
            return 0
        # found with clipped curvature: the quadrature needs the true one
        w.clip[t] = 0
        w.state[t] = 2 if factor_top(w, top) else 1
        return 0
    if w.clip[t]:
        w.clip[t] = 0          # try the true curvature again at the next point
    w.old_value[t] = value
    w.old_decrement[t] = w.decrement[t]
    w.halvings[t] = 0
    scale = 1.0
    if w.decrement[t] > 1.0:
        scale = step_scale(w, top)
    move(w, top, scale)
    return 1


cdef int find_modes(Work *w, int *used) noexcept nogil:
    """Find the modes of all clusters of the chunk; return a negative number for a broken family."""
    cdef const Task *task = w.task
    cdef Py_ssize_t r, top, searching
    cdef int sweep
    for top in range(w.last - w.first):
        w.state[top] = 0
        w.halvings[top] = 0
        w.clip[top] = 0
        w.old_value[top] = -INFINITY
        w.old_decrement[top] = INFINITY
    for sweep in range(task.sweeps):
        used[0] += 1
        fill_paths(w)
        for r in range(task.responses):
            if mode_units(w, r):
                return -1
        searching = 0
        for top in range(w.first, w.last):
            if w.state[top - w.first] <= 0:
                searching += update_mode(w, top, sweep)
        if searching == 0:
            return 0
    for top in range(w.last - w.first):
        if w.state[top] <= 0:
            w.state[top] = 2
    return 0


# ------------------------------------------------------------------ nodes


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


cdef int node_units(Work *w, Py_ssize_t r, Py_ssize_t begin, Py_ssize_t end, int with_d1) noexcept nogil:
    """Evaluate units [begin, end) of the chunk at all path nodes into the tile."""
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef const Level *lev = &task.level[0]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t Q = task.coordinates, N = lev.path_nodes, n = un.count, c, i, j, x, y, code
    cdef const double *a
    cdef double *T
    cdef double *out
    cdef double b, centre
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
        j = 0
        for i in range(begin, end):
            while res.of_cluster[f.first + j + 1] - un.first <= i:
                j += 1
            a = res.a + (c * res.n + un.first + i) * Q
            T = f.spread + j * Q * Q
            out = un.node_nu + (c * (end - begin) + i - begin) * N
            centre = un.nu[res.channel[c] * n + i]
            for y in range(Q):
                b = 0.0
                for x in range(y + 1):
                    b += T[x * Q + y] * a[x]
                w.scratch[y] = b
            loops.fill(N, Q, centre, w.scratch, lev.z, out)
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


cdef int expect_units(Work *w) noexcept nogil:
    """Take posterior expectations of d1 and d1 z of every unit."""
    cdef const Response *res
    cdef const Level *lev = &w.task.level[0]
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t r, begin, end, i, j, k, c, x, N = lev.path_nodes, Q = w.task.coordinates
    cdef const double *d1
    cdef const double *row
    cdef double *gz
    cdef double *t = w.scratch
    cdef double weight
    for r in range(w.task.responses):
        res = &w.task.response[r]
        un = &w.units[r]
        begin = 0
        while begin < un.count:
            end = min(begin + un.tile, un.count)
            if un.tile < un.count and node_units(w, r, begin, end, 1):
                return 1
            j = 0
            for i in range(begin, end):
                while res.of_cluster[f.first + j + 1] - un.first <= i:
                    j += 1
                weight = 1.0 if res.weight == NULL else res.weight[un.first + i]
                row = f.weights + j * N
                c = 0
                for k in range(res.channels):
                    d1 = un.node_d1 + (k * (end - begin) + i - begin) * N
                    if c < res.active and res.channel[c] == k:
                        gz = un.gz + (c * un.count + i) * Q
                        un.g[k * un.count + i] = weight * loops.expect(N, Q, row, d1, lev.z, t, gz)
                        for x in range(Q):
                            gz[x] *= weight
                        c += 1
                    else:
                        un.g[k * un.count + i] = weight * loops.expect(N, 0, row, d1, NULL, t, NULL)
            begin = end
    return 0


# ------------------------------------------------------------------ derivatives


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
                    a = res.a + (c * res.n + un.first + i) * Q
                    gz = un.gz + (c * un.count + i) * Q
                    s = un.g[res.channel[c] * un.count + i]
                    for x in range(Q):
                        f.raw[j * Q + x] += a[x] * s
                        for y in range(Q):
                            Y[x * Q + y] += a[x] * gz[y]
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
                a = res.a + (c * res.n + un.first + i) * Q
                for e in range(c, res.active):
                    b = res.a + (e * res.n + un.first + i) * Q
                    s = 0.0
                    for x in range(Q):
                        for y in range(Q):
                            s += a[x] * B[x * Q + y] * b[y]
                    pair = pair_index(res.channel[c], res.channel[e], res.channels)
                    un.curve[pair * n + i] = s if c == e else 2.0 * s


cdef int third_units(Work *w, Py_ssize_t r) noexcept nogil:
    """Fill third[k] = -sum over pairs of curve times d d2 / d nu_k at the modes."""
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
    return 0


cdef double third_step(const Units *un, const Response *res, Py_ssize_t k, Py_ssize_t i) noexcept nogil:
    cdef double curvature = fabs(un.d2[pair_index(k, k, res.channels) * un.count + i])
    return 1e-3 / sqrt(curvature) if curvature > 1.0 else 1e-3


cdef void solve_shift(Work *w) noexcept nogil:
    """Add the curvature's part to the adjoint of the modes and solve H v = adjoint along the tree."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Response *res
    cdef Units *un
    cdef Front *f = &w.front[0]
    cdef Front *up
    cdef Py_ssize_t d, r, j, i, c, x, y, k, m, p, q, A, Q = task.coordinates
    cdef const double *a
    cdef double *T
    cdef double *K
    cdef double *solved
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
        for j in range(f.count):
            for i in range(res.of_cluster[f.first + j] - un.first,
                           res.of_cluster[f.first + j + 1] - un.first):
                for c in range(res.active):
                    a = res.a + (c * res.n + un.first + i) * Q
                    s = un.third[res.channel[c] * un.count + i]
                    for x in range(Q):
                        f.raw[j * Q + x] += a[x] * s
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


cdef void unit_gradients(Work *w, Py_ssize_t r) noexcept nogil:
    """Write the derivatives of the log-likelihood in every offset and loading."""
    cdef const Task *task = w.task
    cdef const Response *res = &task.response[r]
    cdef Units *un = &w.units[r]
    cdef Front *f = &w.front[0]
    cdef Py_ssize_t n = un.count, i, j, c, e, k, x, y, Q = task.coordinates, K = res.channels
    cdef const double *a
    cdef const double *gz
    cdef double *T
    cdef double *B
    cdef double *ga
    cdef double *scratch = w.scratch
    cdef double s, shifted, curvature, times
    for j in range(f.count):
        T = f.spread + j * Q * Q
        B = f.hessian + j * Q * Q
        times = f.multiplicity[j]
        for i in range(res.of_cluster[f.first + j] - un.first, res.of_cluster[f.first + j + 1] - un.first):
            # third becomes e: how the unit's offsets move the modes and the scales
            for c in range(res.active):
                a = res.a + (c * res.n + un.first + i) * Q
                shifted = 0.0
                for x in range(Q):
                    shifted += a[x] * f.shift[j * Q + x]
                for k in range(K):
                    un.third[k * n + i] += shifted * un.d2[pair_index(k, res.channel[c], K) * n + i]
            for k in range(K):
                res.go[k * res.n + un.first + i] = times * (un.g[k * n + i] + un.third[k * n + i])
            for c in range(res.active):
                k = res.channel[c]
                ga = res.ga + (c * res.n + un.first + i) * Q
                gz = un.gz + (c * n + i) * Q
                for x in range(Q):
                    s = (un.g[k * n + i] + un.third[k * n + i]) * f.path[j * Q + x]
                    s += un.d1[k * n + i] * f.shift[j * Q + x]
                    for y in range(x, Q):
                        s += T[x * Q + y] * gz[y]
                    scratch[x] = s
                for e in range(res.active):
                    a = res.a + (e * res.n + un.first + i) * Q
                    curvature = -2.0 * un.d2[pair_index(k, res.channel[e], K) * n + i]
                    for x in range(Q):
                        s = 0.0
                        for y in range(Q):
                            s += B[x * Q + y] * a[y]
                        scratch[x] += curvature * s
                for x in range(Q):
                    ga[x] = times * scratch[x]


# ------------------------------------------------------------------ driver


cdef void write_moments(Work *w) noexcept nogil:
    """Write posterior means and covariances of the standardised latent variables."""
    cdef const Level *lev
    cdef Front *f
    cdef Py_ssize_t d, j, x, y, k, m, p, q
    cdef double *T
    cdef double s, t, c
    for d in range(w.task.levels):
        lev = &w.task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        for j in range(f.count):
            T = f.spread + j * p * p
            for x in range(q):
                s = f.path[j * p + x]
                for k in range(x, p):
                    s += T[x * p + k] * f.e1[j * p + k]
                lev.mean[(f.first + j) * q + x] = s
                for y in range(q):
                    s = 0.0
                    for k in range(x, p):
                        t = 0.0
                        for m in range(y, p):
                            c = f.e2[(j * p + k) * p + m] - f.e1[j * p + k] * f.e1[j * p + m]
                            t += c * T[y * p + m]
                        s += T[x * p + k] * t
                    lev.cov[((f.first + j) * q + x) * q + y] = s


cdef void count_multiplicity(Work *w) noexcept nogil:
    """Fill how often each cluster stands in the data: the product of the weights on its path."""
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j
    cdef double s
    for d in range(w.task.levels - 1, -1, -1):
        lev = &w.task.level[d]
        f = &w.front[d]
        for j in range(f.count):
            s = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
            if d + 1 < w.task.levels:
                up = &w.front[d + 1]
                s *= up.multiplicity[lev.parent[f.first + j] - up.first]
            f.multiplicity[j] = s


cdef int evaluate(Work *w, double *loglik, int *used) noexcept nogil:
    cdef Py_ssize_t d, r, top
    cdef int failed = 0
    count_multiplicity(w)
    if find_modes(w, used) < 0:
        return -1
    for top in range(w.last - w.first):
        if w.state[top] != 1:
            loglik[top] = -INFINITY
            failed = 1
    if failed:
        return 1
    for d in range(w.task.levels):
        prior_weights(w, d)
    if add_units(w, w.task.gradient):
        return -1
    sum_up(w, loglik)
    for top in range(w.last - w.first):
        if not isfinite(loglik[top]):
            loglik[top] = -INFINITY
            failed = 1
    if failed:
        return 1
    if not (w.task.gradient or w.task.moments):
        return 0
    weights_down(w)
    if w.task.moments:
        write_moments(w)
    if not w.task.gradient:
        return 0
    if expect_units(w):
        return -1
    adjoint_of_nodes(w)
    adjoint_of_fronts(w)
    for r in range(w.task.responses):
        if third_units(w, r):
            return -1
    solve_shift(w)
    for r in range(w.task.responses):
        unit_gradients(w, r)
    return 0


cdef int run_chunk(const Task *task, Py_ssize_t first, Py_ssize_t last, Py_ssize_t store,
                   double *loglik, int *used_sweeps) noexcept nogil:
    """Evaluate top-level clusters [first, last).

    Fills loglik (one number a cluster), the modes of the levels and what the task asks for. `store` bounds
    the number of node values held at once. Returns 0; 1 where a cluster's log-likelihood cannot be
    computed (it is -inf then); -1 where a family broke; -2 where memory ran out.
    """
    cdef Work w
    cdef Py_ssize_t tops = last - first, size, spare, Q = task.coordinates
    cdef int code = -2
    w.task = task
    w.first, w.last = first, last
    w.front = <Front *> malloc(task.levels * sizeof(Front))
    w.units = <Units *> malloc(task.responses * sizeof(Units))
    w.state = <int *> malloc(3 * tops * sizeof(int))
    w.arena = NULL
    used_sweeps[0] = 0
    if w.front != NULL and w.units != NULL and w.state != NULL:
        w.halvings = w.state + tops
        w.clip = w.state + 2 * tops
        size = layout(&w, store, NULL)
        spare = max(4 * Q * Q, task.level[0].path_nodes)
        w.arena = <double *> malloc((size + spare + 1) * sizeof(double))
        if w.arena != NULL:
            layout(&w, store, w.arena)
            w.scratch = w.arena + size
            code = evaluate(&w, loglik, used_sweeps)
    free(w.arena)
    free(w.state)
    free(w.units)
    free(w.front)
    return code
