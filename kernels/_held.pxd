# Nodes that are given.

from glamm.kernels._work cimport Work


cdef void hold_nodes(Work *w) noexcept nogil
