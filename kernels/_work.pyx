"""The workspace of one chunk of top-level clusters."""

from glamm.kernels._engine cimport Level, Response


cdef double * take(double **cursor, Py_ssize_t size) noexcept nogil:
    cdef double *start = cursor[0]
    cursor[0] = start + size
    return start


cdef Py_ssize_t most_products(const Task *task) noexcept nogil:
    """Return the largest number of products of any response."""
    cdef Py_ssize_t r, most = 0
    for r in range(task.responses):
        most = max(most, task.response[r].products)
    return most


cdef Py_ssize_t layout(Work *w, Py_ssize_t store, double *base) noexcept nogil:
    """Point every workspace array into the arena at base; return the size needed."""
    cdef double *cursor = base
    cdef const Task *task = w.task
    cdef const Level *lev
    cdef const Response *res
    cdef Front *f
    cdef Units *un
    cdef Py_ssize_t d, r, c, p, q, n, Q = task.coordinates, N0 = task.level[0].path_nodes
    cdef Py_ssize_t tops = w.last - w.first, t0 = w.first, t1 = w.last, tile, most = most_products(task)
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
        f.share = take(&cursor, c * (lev.path_nodes // lev.nodes) if lev.group != NULL else 0)
        f.member = f.weights
        if task.mixed and task.moments:
            f.member = take(&cursor, c * lev.path_nodes)
        f.e1 = take(&cursor, c * p)
        f.e2 = take(&cursor, c * p * p)
        f.bent = take(&cursor, c * p * (p + 1) if d == 0 and most > 0 else 0)
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
        un.bent = take(&cursor, res.active * n * Q if res.products > 0 else 0)
        if res.products > 0:
            un.slope, un.leap = un.bent, n * Q
        else:
            un.slope, un.leap = res.a + un.first * Q, res.n * Q
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
        un.gz = take(&cursor, res.active * n * (Q + res.products))
        un.node_ll = take(&cursor, tile * N0)
        un.node_nu = take(&cursor, res.active * tile * N0)
        un.node_d1 = take(&cursor, res.channels * tile * N0)
    if most > 0:
        w.basis = take(&cursor, (Q + most) * N0)
        w.delta = take(&cursor, Q * N0)
        w.pulled = take(&cursor, most * N0)
        w.spare = take(&cursor, N0 + Q)
    return cursor - base


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
