# Exact derivatives of the quadrature sums.

from glamm.kernels._work cimport Work


cdef int differentiate(Work *w) noexcept nogil
