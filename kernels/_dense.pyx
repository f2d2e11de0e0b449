"""Small dense linear algebra on row-major blocks of a few rows."""

from libc.math cimport sqrt


cdef int cholesky(const double *a, Py_ssize_t lda, Py_ssize_t q, double *l) noexcept nogil:
    """Fill the lower factor l (q, q) of a = l l'; return 1 where a is not positive definite."""
    cdef Py_ssize_t i, j, k
    cdef double s
    for i in range(q):
        for j in range(i + 1):
            s = a[i * lda + j]
            for k in range(j):
                s -= l[i * q + k] * l[j * q + k]
            if i == j:
                if not s > 0.0:
                    return 1
                l[i * q + i] = sqrt(s)
            else:
                l[i * q + j] = s / l[j * q + j]
        for j in range(i + 1, q):
            l[i * q + j] = 0.0
    return 0


cdef void inverse_transpose(const double *l, Py_ssize_t q, double *t, Py_ssize_t ldt) noexcept nogil:
    """Fill t (q, q) of leading dimension ldt, upper triangular, with the inverse of l'."""
    cdef Py_ssize_t i, j, k
    cdef double s
    for j in range(q):
        # column j of the inverse of l is row j of its transpose
        for i in range(j):
            t[j * ldt + i] = 0.0
        t[j * ldt + j] = 1.0 / l[j * q + j]
        for i in range(j + 1, q):
            s = 0.0
            for k in range(j, i):
                s -= l[i * q + k] * t[j * ldt + k]
            t[j * ldt + i] = s / l[i * q + i]
