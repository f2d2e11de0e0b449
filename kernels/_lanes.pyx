"""Vectorised evaluation of two-level models with one random coefficient.

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
    ctypedef int (*glamm_lanes)(const Py_ssize_t *first, const Py_ssize_t *count, Py_ssize_t rows,
                                Py_ssize_t nodes, const double *z, const double *log_weight,
                                const double *y, Py_ssize_t ny, const double *o, const double *a,
                                const double *weight, double tolerance, int sweeps, double *mode,
                                double *loglik, double *mean, double *variance, double *go, double *ga,
                                double *scratch, int *used)
    glamm_lanes glamm_lanes_choose(int cumulant)

CUMULANTS = ("logistic", "exponential")


cdef class Lanes:
    """Adaptive Gauss-Hermite quadrature of one random coefficient, several clusters at a time.

    Parameters
    ----------
    y : ndarray, shape (n, ny)
        Responses and, for the logistic cumulant, sizes in the second column.
    of_cluster : ndarray of intp, shape (clusters + 1,)
    weight : ndarray, shape (clusters,), or None
    cumulant : {"logistic", "exponential"}
    constant : ndarray, shape (n,)
        What the log density adds to ``y nu - m K(nu)``.
    """

    cdef const double[:, ::1] y
    cdef const Py_ssize_t[::1] first
    cdef const Py_ssize_t[::1] order
    cdef const double[::1] weight
    cdef const double[::1] z
    cdef const double[::1] log_weight
    cdef Py_ssize_t clusters
    cdef Py_ssize_t largest
    cdef object constant
    cdef object pool
    cdef Py_ssize_t pool_size
    cdef glamm_lanes function
    cdef readonly double tolerance
    cdef readonly int max_sweeps
    cdef readonly int last_sweeps

    def __init__(self, y, of_cluster, weight, cumulant, constant):
        self.pool, self.pool_size = None, 0
        self.tolerance, self.max_sweeps = 1e-9, 200
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
        self.function = glamm_lanes_choose(kind)
        totals = np.concatenate(([0.0], np.cumsum(constant)))
        self.constant = totals[of_cluster[1:]] - totals[of_cluster[:-1]]

    def fork(self):
        """Return an engine of the same data, for another rule."""
        cdef Lanes other = Lanes.__new__(Lanes)
        other.y, other.first, other.order, other.weight = self.y, self.first, self.order, self.weight
        other.clusters, other.largest, other.constant = self.clusters, self.largest, self.constant
        other.pool, other.pool_size, other.function = self.pool, self.pool_size, self.function
        other.tolerance, other.max_sweeps = self.tolerance, self.max_sweeps
        return other

    def set_rule(self, rules):
        """Set the nodes: one pair of nodes (M, 1) and log weights (M) plus z'z / 2."""
        (nodes, log_weight), = rules
        self.z = np.ascontiguousarray(nodes[:, 0], dtype=np.float64)
        self.log_weight = np.ascontiguousarray(log_weight, dtype=np.float64)

    def evaluate(self, o, a, start, *, bint gradient=False, bint moments=False, Py_ssize_t threads=1):
        """Evaluate all clusters; arguments and result as in `Engine.evaluate`."""
        mode = np.array(start[0], dtype=np.float64).reshape(-1)
        offsets = np.ascontiguousarray(o[0], dtype=np.float64).reshape(-1)
        loadings = np.ascontiguousarray(a[0], dtype=np.float64).reshape(-1)
        loglik = np.empty(self.clusters)
        go, ga = (np.empty_like(offsets), np.empty_like(loadings)) if gradient else (None, None)
        mean, cov = (np.empty(self.clusters), np.empty(self.clusters)) if moments else (None, None)
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
        return {
            "loglik": loglik,
            "modes": [mode.reshape(-1, 1)],
            "failed": not np.all(np.isfinite(loglik)),
            "go": [go.reshape(1, -1)] if gradient else [],
            "ga": [ga.reshape(1, -1, 1)] if gradient else [],
            "mean": [mean.reshape(-1, 1)] if moments else [],
            "cov": [cov.reshape(-1, 1, 1)] if moments else [],
        }

    def _run(self, Py_ssize_t begin, Py_ssize_t end, double[::1] mode, const double[::1] o,
             const double[::1] a, double[::1] loglik, double[::1] go, double[::1] ga, double[::1] mean,
             double[::1] variance):
        """Evaluate groups [begin, end) of lanes; return the sweeps used, or -1 without memory."""
        cdef Py_ssize_t group, v, j, rows, nodes = self.z.shape[0], ny = self.y.shape[1]
        cdef Py_ssize_t first[GLAMM_LANES]
        cdef Py_ssize_t count[GLAMM_LANES]
        cdef Py_ssize_t cluster[GLAMM_LANES]
        cdef double modes[GLAMM_LANES]
        cdef double values[GLAMM_LANES]
        cdef double means[GLAMM_LANES]
        cdef double variances[GLAMM_LANES]
        cdef double weights[GLAMM_LANES]
        cdef int used = 0, most = 0, code
        cdef bint moments = mean is not None
        cdef double *scratch
        cdef double *go_start = &go[0] if go is not None else NULL
        cdef double *ga_start = &ga[0] if ga is not None else NULL
        with nogil:
            scratch = <double *> malloc(
                (self.largest * (9 + nodes) + 2 * nodes) * GLAMM_LANES * sizeof(double))
            if scratch != NULL:
                for group in range(begin, end):
                    rows = 0
                    for v in range(GLAMM_LANES):
                        j = group * GLAMM_LANES + v
                        cluster[v] = self.order[j] if j < self.clusters else -1
                        first[v] = count[v] = 0
                        modes[v], weights[v] = 0.0, 0.0
                        if cluster[v] >= 0:
                            first[v] = self.first[cluster[v]]
                            count[v] = self.first[cluster[v] + 1] - first[v]
                            modes[v], weights[v] = mode[cluster[v]], self.weight[cluster[v]]
                        rows = max(rows, count[v])
                    code = self.function(
                        first, count, rows, nodes, &self.z[0], &self.log_weight[0], &self.y[0, 0], ny, &o[0],
                        &a[0], weights, self.tolerance, self.max_sweeps, modes, values,
                        means if moments else NULL, variances, go_start, ga_start, scratch, &used)
                    most = max(most, used)
                    for v in range(GLAMM_LANES):
                        j = cluster[v]
                        if j < 0:
                            continue
                        mode[j] = modes[v]
                        loglik[j] = -INFINITY if code else values[v]
                        if moments:
                            mean[j], variance[j] = means[v], variances[v]
                free(scratch)
        return most if scratch != NULL else -1
