# Structures shared by the parts of the nested quadrature engine.

cdef extern from "glamm_block.h" nogil:
    ctypedef int (*glamm_block_v1)(Py_ssize_t n, Py_ssize_t m, const double *y, Py_ssize_t ny,
                                   const double *const *nu, const Py_ssize_t *node_stride, double *ll,
                                   double *const *d1, double *const *d2, double *const *d3, void *user)


cdef struct Level:
    Py_ssize_t q            # latent coordinates of the level
    Py_ssize_t path         # coordinates of the level and all above it
    Py_ssize_t nodes        # nodes of the level, M
    Py_ssize_t path_nodes   # nodes of the level and all above it, N
    const Py_ssize_t *parent
    const Py_ssize_t *of_top   # first cluster of each top-level cluster
    const double *weight       # or NULL
    const Py_ssize_t *group    # (clusters): clusters of a group are alternatives of each other; or NULL
    const double *z            # (path, N): coordinates of every path node
    const double *log_weight   # (M)
    double *mode               # (clusters, q): where Newton's method starts, and what it finds
    const double *held         # (clusters, path, path): spreads of nodes that are given, or NULL
    double *mean               # (clusters, path) or NULL
    double *cov                # (clusters, path, path) or NULL
    double *share              # (clusters): posterior probability in the cluster's group, or NULL


cdef struct Response:
    Py_ssize_t n
    Py_ssize_t channels     # K
    Py_ssize_t pairs        # K (K + 1) / 2
    Py_ssize_t active       # channels with a latent part
    Py_ssize_t ny
    const Py_ssize_t *channel  # (active): their channel
    const Py_ssize_t *quadratic  # (active): 1 where the log density is quadratic in it
    const Py_ssize_t *of_cluster  # first unit of each lowest-level cluster
    const double *y
    const double *weight       # or NULL
    const double *o            # (K, n)
    const double *a            # (active, n, Q)
    Py_ssize_t products        # P
    const Py_ssize_t *product  # (P, 2): the coordinates multiplied
    const double *c            # (active, n, P)
    double *go                 # (K, n) or NULL
    double *ga                 # (active, n, Q)
    double *gc                 # (active, n, P)
    glamm_block_v1 block
    void *user
    int third                  # whether the block computes third derivatives
