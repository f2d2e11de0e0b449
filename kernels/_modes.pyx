"""Joint posterior modes of all latent variables below each top-level cluster.

Newton's method on the block-arrow Hessian by a multifrontal Cholesky factorisation along the tree of
clusters, each top-level cluster with a step length of its own.
"""

from libc.math cimport INFINITY, fabs, isfinite, log, sqrt
from libc.string cimport memcpy, memset

from glamm.kernels._dense cimport cholesky, inverse_transpose
from glamm.kernels._engine cimport Level, Response
from glamm.kernels._units cimport assemble, differentiate_units, predict_units
from glamm.kernels._work cimport Front, Task, Units, Work, pair_index

cdef double STEP_CAP = 5.0
cdef double STALLED = 1e-12


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
                for i in range(res.of_cluster[f.first + j] - un.first,
                               res.of_cluster[f.first + j + 1] - un.first):
                    a = un.slope + c * un.leap + i * Q
                    s = 0.0
                    for x in range(Q):
                        s += a[x] * f.shift[j * Q + x]
                    curvature = fabs(un.d2[pair * un.count + i])
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
            predict_units(w, r)
            if differentiate_units(w, r):
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
