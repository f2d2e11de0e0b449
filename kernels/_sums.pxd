# Sums over nodes along the tree.

from glamm.kernels._work cimport Work


cdef void prior_weights(Work *w, Py_ssize_t d) noexcept nogil
cdef void sum_up(Work *w, double *loglik) noexcept nogil
cdef void weights_down(Work *w) noexcept nogil
cdef void write_moments(Work *w) noexcept nogil
