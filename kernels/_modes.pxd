# The search of the posterior modes.

from glamm.kernels._work cimport Work


cdef void fill_paths(Work *w) noexcept nogil
cdef int find_modes(Work *w, int *used) noexcept nogil
