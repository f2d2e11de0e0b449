"""Vectorised evaluation of two-level models with one to three random coefficients.

An override of the general engine for densities ``y nu - m K(nu)`` with the logistic or the exponential
cumulant function K; it takes the same arrays and returns the same numbers (tests compare the two).
"""

from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc

from concurrent.futures import ThreadPoolExecutor

import numpy as np

cdef extern from "glamm_lanes_isa.h" nogil:
    cdef enum:
        GLAMM_LANES
        GLAMM_LANES_MOST
    ctypedef struct glamm_lanes_task:
        Py_ssize_t nodes
        const double *z
        const double *log_weight
        const double *y
        Py_ssize_t ny
        const double *o
        const double *a
        double tolerance
        int sweeps
        double *go
        double *ga
    ctypedef int (*glamm_lanes)(const glamm_lanes_task *task, const Py_ssize_t *first,
                                const Py_ssize_t *count, Py_ssize_t rows, const double *weight, double *mode,
                                double *loglik, double *mean, double *cov, double *scratch, int *used)
    glamm_lanes glamm_lanes_choose(int cumulant, int q)

MOST_COEFFICIENTS = GLAMM_LANES_MOST
CUMULANTS = ("logistic", "exponential")


cdef class Lanes:
    """Adaptive Gauss-Hermite quadrature of few random coefficients, several clusters at a time.

    Parameters
    ----------
    y : ndarray, shape (n, ny)
        Responses and, for the logistic cumulant, sizes in the second column.
    of_cluster : ndarray of intp, shape (clusters + 1,)
    weight : ndarray, shape (clusters,), or None
    cumulant : {"logistic", "exponential"}
    constant : ndarray, shape (n,)
        What the log density adds to ``y nu - m K(nu)``.
    q : int
        Number of random coefficients, at most `MOST_COEFFICIENTS`.
    """

    cdef const double[:, ::1] y
    cdef const Py_ssize_t[::1] first
    cdef const Py_ssize_t[::1] order
    cdef const double[::1] weight
    cdef const double[:, ::1] z
    cdef Py_ssize_t q
    cdef const double[::1] log_weight
    cdef Py_ssize_t clusters
    cdef readonly Py_ssize_t largest
    cdef object constant
    cdef object pool
    cdef Py_ssize_t pool_size
    cdef glamm_lanes function
    cdef readonly double tolerance
    cdef readonly int max_sweeps
    cdef readonly int last_sweeps

    def __init__(self, y, of_cluster, weight, cumulant, constant, Py_ssize_t q):
        self.pool, self.pool_size = None, 0
        self.tolerance, self.max_sweeps = 1e-9, 200
        self.q = q
        self.y = np.ascontiguousarray(y, dtype=np.float64)
        self.first = np.ascontiguousarray(of_cluster, dtype=np.intp)
        sizes = np.diff(of_cluster)
        self.clusters = len(sizes)
        self.largest = sizes.max()
        # clusters of a size stand together, so that lanes need little padding
        self.order = np.argsort(sizes, kind="stable").astype(np.intp)
        self.weight = np.ones(self.clusters) if weight is None else np.ascontiguousarray(weight, dtype=float)
        kind = CUMULANTS.index(cumulant) + 1
        if kind == 1 and np.all(np.asarray(y)[:, 1] == 1.0):
            kind = 0
        self.function = glamm_lanes_choose(kind, q)
        totals = np.concatenate(([0.0], np.cumsum(constant)))
        self.constant = totals[of_cluster[1:]] - totals[of_cluster[:-1]]

    def fork(self):
        """Return an engine of the same data, for another rule."""
        cdef Lanes other = Lanes.__new__(Lanes)
        other.y, other.first, other.order, other.weight = self.y, self.first, self.order, self.weight
        other.clusters, other.largest, other.q = self.clusters, self.largest, self.q
        other.constant = self.constant
        other.pool, other.pool_size, other.function = self.pool, self.pool_size, self.function
        other.tolerance, other.max_sweeps = self.tolerance, self.max_sweeps
        return other

    def set_rule(self, rules):
        """Set the nodes: one pair of nodes (M, q) and log weights (M) plus z'z / 2."""
        (nodes, log_weight), = rules
        self.z = np.ascontiguousarray(nodes.T, dtype=np.float64)
        self.log_weight = np.ascontiguousarray(log_weight, dtype=np.float64)

    def evaluate(self, o, a, start, *, bint gradient=False, bint moments=False, Py_ssize_t threads=1):
        """Evaluate all clusters; arguments and result as in `Engine.evaluate`."""
        mode = np.array(start[0], dtype=np.float64).reshape(-1)
        offsets = np.ascontiguousarray(o[0], dtype=np.float64).reshape(-1)
        loadings = np.ascontiguousarray(a[0], dtype=np.float64).reshape(-1)
        loglik = np.empty(self.clusters)
        go, ga = (np.empty_like(offsets), np.empty_like(loadings)) if gradient else (None, None)
        size, q = self.clusters, self.q
        mean, cov = (np.empty(size * q), np.empty(size * q * q)) if moments else (None, None)
        arrays = (mode, offsets, loadings, loglik, go, ga, mean, cov)
        groups = (self.clusters + GLAMM_LANES - 1) // GLAMM_LANES
        if threads <= 1 or groups < 8 * threads:
            codes = [self._run(0, groups, *arrays)]
        else:
            if self.pool_size != threads:
                self.pool, self.pool_size = ThreadPoolExecutor(threads), threads
            edges = np.linspace(0, groups, 4 * threads + 1).astype(int)
            futures = [
                self.pool.submit(self._run, int(b), int(e), *arrays)
                for b, e in zip(edges[:-1], edges[1:], strict=True)
            ]
            codes = [future.result() for future in futures]
        if min(codes) < 0:
            raise MemoryError("the quadrature of one cluster needs more memory than there is")
        self.last_sweeps = max(codes)
        loglik += self.constant
        means = [mean.reshape(size, q)] if moments else []
        covariances = [cov.reshape(size, q, q)] if moments else []
        return {
            "loglik": loglik,
            "modes": [mode.reshape(size, q)],
            "failed": not np.all(np.isfinite(loglik)),
            "go": [go.reshape(1, -1)] if gradient else [],
            "ga": [ga.reshape(1, -1, q)] if gradient else [],
            "mean": means,
            "cov": covariances,
            "path_mean": means,
            "path_cov": covariances,
        }

    def _run(self, Py_ssize_t begin, Py_ssize_t end, double[::1] mode, const double[::1] o,
             const double[::1] a, double[::1] loglik, double[::1] go, double[::1] ga, double[::1] mean,
             double[::1] cov):
        """Evaluate groups [begin, end) of lanes; return the sweeps used, or -1 without memory."""
        cdef glamm_lanes_task task
        cdef Py_ssize_t group, v, x, j, rows, q = self.q, qq = self.q * self.q
        cdef Py_ssize_t first[GLAMM_LANES]
        cdef Py_ssize_t count[GLAMM_LANES]
        cdef Py_ssize_t cluster[GLAMM_LANES]
        cdef double modes[GLAMM_LANES * GLAMM_LANES_MOST]
        cdef double values[GLAMM_LANES]
        cdef double means[GLAMM_LANES * GLAMM_LANES_MOST]
        cdef double covs[GLAMM_LANES * GLAMM_LANES_MOST * GLAMM_LANES_MOST]
        cdef double weights[GLAMM_LANES]
        cdef int used = 0, most = 0, code
        cdef bint moments = mean is not None
        cdef double *scratch
        task.nodes, task.z, task.log_weight = self.z.shape[1], &self.z[0, 0], &self.log_weight[0]
        task.y, task.ny, task.o, task.a = &self.y[0, 0], self.y.shape[1], &o[0], &a[0]
        task.tolerance, task.sweeps = self.tolerance, self.max_sweeps
        task.go = &go[0] if go is not None else NULL
        task.ga = &ga[0] if ga is not None else NULL
        with nogil:
            scratch = <double *> malloc(
                (self.largest * (7 + 2 * q + task.nodes) + 2 * task.nodes) * GLAMM_LANES * sizeof(double))
            if scratch != NULL:
                for group in range(begin, end):
                    rows = 0
                    for v in range(GLAMM_LANES):
                        j = group * GLAMM_LANES + v
                        cluster[v] = self.order[j] if j < self.clusters else -1
                        first[v], count[v], weights[v] = 0, 0, 0.0
                        for x in range(q):
                            modes[v * q + x] = 0.0
                        if cluster[v] >= 0:
                            first[v] = self.first[cluster[v]]
                            count[v] = self.first[cluster[v] + 1] - first[v]
                            weights[v] = self.weight[cluster[v]]
                            for x in range(q):
                                modes[v * q + x] = mode[cluster[v] * q + x]
                        rows = max(rows, count[v])
                    code = self.function(&task, first, count, rows, weights, modes, values,
                                         means if moments else NULL, covs, scratch, &used)
                    most = max(most, used)
                    for v in range(GLAMM_LANES):
                        j = cluster[v]
                        if j < 0:
                            continue
                        loglik[j] = -INFINITY if code else values[v]
                        for x in range(q):
                            mode[j * q + x] = modes[v * q + x]
                        if moments:
                            for x in range(q):
                                mean[j * q + x] = means[v * q + x]
                            for x in range(qq):
                                cov[j * qq + x] = covs[v * qq + x]
                free(scratch)
        return most if scratch != NULL else -1
