# The search of the posterior modes.

from glamm.kernels._work cimport Work


cdef int find_modes(Work *w, int *used) noexcept nogil
