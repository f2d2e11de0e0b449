"""Nodes that are given: where each cluster's stand, without a search of modes."""

from libc.math cimport log
from libc.string cimport memcpy

from glamm.kernels._engine cimport Level
from glamm.kernels._modes cimport fill_paths
from glamm.kernels._units cimport predict_units
from glamm.kernels._work cimport Front, Work


cdef void hold_nodes(Work *w) noexcept nogil:
    """Fill paths, spreads and log determinants from the nodes given, and the units' channels at the centres.

    A cluster gives the rows of its own coordinates; those of its ancestors are its parent's.
    """
    cdef const Level *lev
    cdef Front *f
    cdef Front *up
    cdef Py_ssize_t d, j, r, x, m, p, q, A
    cdef double *T
    fill_paths(w)
    for d in range(w.task.levels - 1, -1, -1):
        lev = &w.task.level[d]
        f = &w.front[d]
        p, q = lev.path, lev.q
        A = p - q
        for j in range(f.count):
            T = f.spread + j * p * p
            memcpy(T, lev.held + (f.first + j) * p * p, p * p * sizeof(double))
            f.log_det[j] = 0.0
            for x in range(q):
                f.log_det[j] -= log(T[x * p + x])
            if A > 0:
                up = &w.front[d + 1]
                m = lev.parent[f.first + j] - up.first
                for x in range(A):
                    memcpy(T + (q + x) * p + q, up.spread + (m * A + x) * A, A * sizeof(double))
    for r in range(w.task.responses):
        predict_units(w, r)
