# The workspace of one chunk of top-level clusters, shared by the stages of the nested quadrature.

from glamm.kernels._engine cimport Level, Response


cdef enum:
    MAX_CHANNELS = 64
    MAX_PAIRS = 2080
    MAX_THIRD = 288     # pairs times channels of eight channels


cdef struct Task:
    Py_ssize_t levels
    Py_ssize_t coordinates     # Q, latent coordinates of all levels
    Py_ssize_t responses
    const Level *level         # lowest first
    const Response *response
    int gradient               # whether go and ga are wanted
    int moments                # whether means and covariances are wanted
    int held                   # whether nodes are given, not searched
    int mixed                  # whether any level has groups
    double tolerance           # of the modes, in posterior standard deviations
    int sweeps                 # at most


cdef struct Front:
    # workspace of one level: arrays over the clusters of the chunk
    Py_ssize_t first
    Py_ssize_t count
    double *hessian      # (p, p): front of the joint Hessian, then its adjoint
    double *gradient     # (p)
    double *chol         # (q, q)
    double *spread       # (p, p): T with u_path - mode_path = T z_path
    double *regress      # (q, p - q): K with E(u | ancestors) = mode - K (ancestors - their modes)
    double *path         # (p): modes along the path
    double *old          # (q): the accepted modes
    double *tried        # (q): the move away from them that is being tried
    double *step         # (q): the Newton step from the present point
    double *weights      # (N): conditional, then joint posterior weights of the path nodes
    double *share        # (N / M): log probability of the cluster in its group at its ancestors' nodes
    double *member       # (N): posterior weights given that the cluster and its ancestors are members
    double *e1           # (p): posterior mean of z, given membership
    double *e2           # (p, p): posterior second moments of z
    double *bent         # (p, p + 1): what products add to moved and, last column, to raw; lowest level only
    double *moved        # (p, p): E[f z'], f the adjoint of the nodes along the path
    double *raw          # (p): adjoint of the modes, then right-hand side of their equations
    double *shift        # (p): the solution v along the path
    double *log_det
    double *multiplicity


cdef struct Units:
    # workspace of one response: arrays over the units of the chunk
    Py_ssize_t first
    Py_ssize_t count
    double *nu           # (K, n) at the modes
    const double *slope  # (active, n, Q) there: derivatives of the active channels in the coordinates
    Py_ssize_t leap      # from one channel's slopes to the next one's
    double *bent         # (active, n, Q): the slopes where products make them differ from the loadings
    double *ll           # (n)
    double *d1           # (K, n)
    double *d2           # (pairs, n)
    double *curve        # (pairs, n): A Fbar A'
    double *s1           # scratch of third derivatives: (K, n), (pairs, n), (pairs K, n), (n)
    double *s2
    double *s3
    double *shifted
    double *third        # (K, n)
    double *g            # (K, n): posterior expectation of d1
    double *gz           # (active, n, Q + P): and of d1 z and d1 times the products of u - mode
    double *node_ll      # (tile, N)
    double *node_nu      # (active, tile, N)
    double *node_d1      # (K, tile, N)
    Py_ssize_t tile


cdef struct Work:
    const Task *task
    Py_ssize_t first
    Py_ssize_t last
    Front *front
    Units *units
    double *value        # (tops)
    double *old_value
    double *decrement
    double *old_decrement
    int *state           # (tops): 0 searching, 1 found, 2 failed
    int *halvings
    int *clip            # (tops): curvature clipped to be positive
    double *basis        # (Q + most P, N): z and products of u - mode at the nodes of one lowest cluster
    double *delta        # (Q, N): u - mode there
    double *pulled       # (most P, N): sum over its units of d1 times the coefficients of the products
    double *spare        # (N + Q)
    double *scratch      # (max(4 Q^2, N, Q + most P)) for whoever needs it for a moment
    double *arena


cdef inline Py_ssize_t pair_index(Py_ssize_t k, Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    if k > m:
        k, m = m, k
    return k * n - k * (k - 1) // 2 + (m - k)


cdef Py_ssize_t layout(Work *w, Py_ssize_t store, double *base) noexcept nogil
cdef Py_ssize_t most_products(const Task *task) noexcept nogil
cdef void count_multiplicity(Work *w) noexcept nogil
