# The loops over quadrature nodes, for the best instruction set.

cdef extern from "glamm_nodes.h" nogil:
    ctypedef struct glamm_node_loops:
        void (*fill)(Py_ssize_t, Py_ssize_t, double, const double *, const double *, double *) noexcept nogil
        double (*expect)(Py_ssize_t, Py_ssize_t, const double *, const double *, const double *, double *,
                         double *) noexcept nogil
        double (*log_sum)(Py_ssize_t, double *) noexcept nogil
    glamm_node_loops glamm_choose_loops() noexcept
