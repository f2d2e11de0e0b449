# Small dense linear algebra on row-major blocks of a few rows, for use inside kernels.

cdef int cholesky(const double *a, Py_ssize_t lda, Py_ssize_t q, double *l) noexcept nogil
cdef void inverse_transpose(const double *l, Py_ssize_t q, double *t, Py_ssize_t ldt) noexcept nogil
