# The nested adaptive quadrature of one chunk of top-level clusters.

from glamm.kernels._work cimport Task


cdef int run_chunk(const Task *task, Py_ssize_t first, Py_ssize_t last, Py_ssize_t store,
                   double *loglik, int *used_sweeps) noexcept nogil
