"""Products of tall, thin matrices with vectors.

A BLAS starts its threads for these and waits for them longer than the product takes; here one pass over
the matrix does it, and the sums do not depend on the number of threads.
"""

import numpy as np


def rows_times(const double[:, ::1] design, const double[::1] coefficient, double[::1] out):
    """Fill out (n) with design (n, p) times coefficient (p)."""
    cdef Py_ssize_t n = design.shape[0], p = design.shape[1], i, k
    cdef double s
    cdef const double *row
    with nogil:
        for i in range(n):
            row = &design[i, 0]
            s = 0.0
            for k in range(p):
                s += row[k] * coefficient[k]
            out[i] = s


def times_rows(const double[::1] values, const double[:, ::1] design):
    """Return values (n) times design (n, p), shape (p,)."""
    cdef Py_ssize_t n = design.shape[0], p = design.shape[1], i, k
    result = np.zeros(p)
    cdef double[::1] out = result
    cdef double v
    cdef const double *row
    if p == 0:
        return result
    with nogil:
        for i in range(n):
            row = &design[i, 0]
            v = values[i]
            for k in range(p):
                out[k] += v * row[k]
    return result


def crossed(const double[:, ::1] left, const double[::1] weight, const double[:, ::1] right):
    """Return left' diag(weight) right, shape (p, q), of left (n, p) and right (n, q)."""
    cdef Py_ssize_t n = left.shape[0], p = left.shape[1], q = right.shape[1], i, j, k
    result = np.zeros((p, q))
    cdef double[:, ::1] out = result
    cdef double v
    cdef const double *a
    cdef const double *b
    if p == 0 or q == 0:
        return result
    with nogil:
        for i in range(n):
            a = &left[i, 0]
            b = &right[i, 0]
            for j in range(p):
                v = weight[i] * a[j]
                for k in range(q):
                    out[j, k] += v * b[k]
    return result
