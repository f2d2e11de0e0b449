# The units at the modes.

from glamm.kernels._work cimport Work


cdef void predict_units(Work *w, Py_ssize_t r) noexcept nogil
cdef int differentiate_units(Work *w, Py_ssize_t r) noexcept nogil
cdef void assemble(Work *w, Py_ssize_t top) noexcept nogil
