# The derivatives of every unit.

from glamm.kernels._engine cimport Response
from glamm.kernels._work cimport Units, Work


cdef int third_units(Work *w, Py_ssize_t r) noexcept nogil
cdef void slope_adjoint(const Response *res, const Units *un, Py_ssize_t c, Py_ssize_t i, const double *B,
                        Py_ssize_t Q, double *out) noexcept nogil
cdef void unit_gradients(Work *w, Py_ssize_t r) noexcept nogil
