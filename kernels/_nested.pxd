# The nested adaptive quadrature of one chunk of top-level clusters.

from glamm.kernels._engine cimport Level, Response


cdef struct Task:
    Py_ssize_t levels
    Py_ssize_t coordinates     # Q, latent coordinates of all levels
    Py_ssize_t responses
    const Level *level         # lowest first
    const Response *response
    int gradient               # whether go and ga are wanted
    int moments                # whether means and covariances are wanted
    double tolerance           # of the modes, in posterior standard deviations
    int sweeps                 # at most


cdef int run_chunk(const Task *task, Py_ssize_t first, Py_ssize_t last, Py_ssize_t store,
                   double *loglik, int *used_sweeps) noexcept nogil
