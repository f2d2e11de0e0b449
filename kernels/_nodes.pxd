# The units at the quadrature nodes.

from glamm.kernels._work cimport Work


cdef int add_units(Work *w, int with_d1) noexcept nogil
cdef int expect_units(Work *w) noexcept nogil
