"""Sums over conditional nodes from the lowest level up, and posterior weights and moments down."""

from libc.math cimport INFINITY, exp, log

from glamm.kernels._engine cimport Level
from glamm.kernels._loops cimport glamm_choose_loops, glamm_node_loops
from glamm.kernels._work cimport Front, Task, Work

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


cdef void mix_groups(Work *w, Py_ssize_t d) noexcept nogil:
    """Add the log of each group's sum to its parent; share becomes the members' log probabilities."""
    cdef const Level *lev = &w.task.level[d]
    cdef Front *f = &w.front[d]
    cdef Front *up = &w.front[d + 1]
    cdef Py_ssize_t j = 0, last, k, s, A = lev.path_nodes // lev.nodes
    cdef double *target
    cdef double weight, largest, total
    while j < f.count:
        last = j + 1
        while last < f.count and lev.group[f.first + last] == lev.group[f.first + j]:
            last += 1
        target = up.weights + (lev.parent[f.first + j] - up.first) * A
        weight = 1.0 if lev.weight == NULL else lev.weight[f.first + j]
        for s in range(A):
            largest = -INFINITY
            for k in range(j, last):
                largest = max(largest, f.share[k * A + s])
            total = largest
            if largest > -INFINITY:
                total = 0.0
                for k in range(j, last):
                    total += exp(f.share[k * A + s] - largest)
                total = largest + log(total)
                for k in range(j, last):
                    f.share[k * A + s] -= total
            if weight > 0.0:
                target[s] += weight * total
        j = last


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
                elif lev.group != NULL:
                    f.share[j * A + s] = value
                elif weight > 0.0:
                    target[s] += weight * value
        if lev.group != NULL:
            mix_groups(w, d)


cdef void member_weights(Work *w, Py_ssize_t d, Py_ssize_t j) noexcept nogil:
    """Fill the posterior weights of a cluster's path nodes given that it and its ancestors are members.

    Logs are kept until the end: a cluster that is hardly ever a member has moments all the same. Also
    writes the cluster's posterior probability in its group.
    """
    cdef const Level *lev = &w.task.level[d]
    cdef Front *f = &w.front[d]
    cdef Py_ssize_t s, x, M = lev.nodes, N = lev.path_nodes, A = lev.path_nodes // lev.nodes
    cdef const double *row = f.weights + j * N
    cdef const double *above
    cdef double *out = f.member + j * N
    cdef double *given = w.scratch
    cdef double total = 0.0
    if d + 1 == w.task.levels:
        given[0] = 1.0
    else:
        above = w.front[d + 1].member + (lev.parent[f.first + j] - w.front[d + 1].first) * A
        for s in range(A):
            given[s] = above[s]
        if lev.group != NULL:
            for s in range(A):
                total += above[s] * exp(f.share[j * A + s])
                given[s] = log(above[s]) + f.share[j * A + s]
            loops.log_sum(A, given)
            lev.share[f.first + j] = total
    for s in range(A):
        for x in range(M):
            out[s * M + x] = given[s] * row[s * M + x]


cdef void node_moments(const Level *lev, const double *row, double *e1, double *e2) noexcept nogil:
    """Fill first and second moments of z under the weights of a row of path nodes.

    Where no node has weight, the cluster being impossible, they are those of the standard normal.
    """
    cdef Py_ssize_t s, x, y, N = lev.path_nodes, p = lev.path
    cdef const double *zx
    cdef const double *zy
    cdef double total, mass = 0.0
    for s in range(N):
        mass += row[s]
    for x in range(p):
        zx = lev.z + x * N
        total = 0.0
        for s in range(N):
            total += row[s] * zx[s]
        e1[x] = total
        for y in range(x + 1):
            zy = lev.z + y * N
            total = 0.0
            for s in range(N):
                total += row[s] * zx[s] * zy[s]
            if mass == 0.0 and x == y:
                total = 1.0
            e2[x * p + y] = total
            e2[y * p + x] = total


cdef void weights_down(Work *w) noexcept nogil:
    """Make conditional weights joint posterior weights, and take the moments of the nodes."""
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, s, x, m, M, N, A, p
    cdef double *row
    cdef double factor
    cdef int wanted = task.moments or not task.held, apart = task.moments and task.mixed
    for d in range(task.levels - 1, -1, -1):
        lev = &task.level[d]
        f = &w.front[d]
        M, N, p = lev.nodes, lev.path_nodes, lev.path
        A = N // M
        for j in range(f.count):
            row = f.weights + j * N
            if apart:
                member_weights(w, d, j)
            if d + 1 < task.levels:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                for s in range(A):
                    factor = up.weights[m * A + s]
                    if lev.group != NULL:
                        factor *= exp(f.share[j * A + s])
                    for x in range(M):
                        row[s * M + x] *= factor
            if wanted:
                node_moments(lev, f.member + j * N, f.e1 + j * p, f.e2 + j * p * p)


cdef void write_moments(Work *w) noexcept nogil:
    """Write posterior means and covariances of the coordinates of the paths."""
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
