"""The compiled engine: a model's arrays in, log-likelihoods, adjoints and posterior moments out."""

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetPointer
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free

from glamm.kernels._nested cimport run_chunk
from glamm.kernels._work cimport Task

from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

cdef const char *BLOCK_NAME = b"glamm.block.v1"
MAX_CHANNELS = 64


cdef class PythonBlock:
    """A family without a compiled block function, called back with the GIL held."""

    cdef object family
    cdef Py_ssize_t channels
    cdef public object error

    def __cinit__(self, family, Py_ssize_t channels):
        self.family = family
        self.channels = channels
        self.error = None


cdef int call_python(Py_ssize_t n, Py_ssize_t m, const double *y, Py_ssize_t ny, const double *const *nu,
                     const Py_ssize_t *node_stride, double *ll, double *const *d1, double *const *d2,
                     double *const *d3, void *user) noexcept with gil:
    cdef PythonBlock self = <PythonBlock> user
    cdef Py_ssize_t k, K = self.channels
    cdef int order = 0
    if d1 != NULL:
        order = 1
    if d2 != NULL:
        order = 2
    if d3 != NULL:
        order = 3
    try:
        channels = []
        for k in range(K):
            if node_stride[k]:
                channels.append(np.asarray(<double[:n, :m]> <double *> nu[k]).T)
            else:
                channels.append(np.asarray(<double[:1, :n]> <double *> nu[k]))
        with np.errstate(all="ignore"):
            parts = self.family.block(np.asarray(<double[:n, :ny]> <double *> y), channels, order)
        view = np.asarray(<double[:n, :m]> ll)
        view.T[...] = parts[0][0]
        view[np.isnan(view)] = -INFINITY
        # where the density is zero its derivatives count for nothing, but must not be NaN
        for k in range(K if order > 0 else 0):
            np.asarray(<double[:n, :m]> d1[k]).T[...] = np.nan_to_num(parts[1][k], posinf=0.0, neginf=0.0)
        for k in range(K * (K + 1) // 2 if order > 1 else 0):
            np.asarray(<double[:n, :m]> d2[k]).T[...] = np.nan_to_num(parts[2][k], posinf=0.0, neginf=0.0)
        for k in range(K * K * (K + 1) // 2 if order > 2 else 0):
            np.asarray(<double[:n, :m]> d3[k]).T[...] = np.nan_to_num(parts[3][k], posinf=0.0, neginf=0.0)
    except BaseException as error:
        self.error = error
        return -1
    return 0


cdef const double * doubles(const double[::1] view) noexcept nogil:
    return &view[0] if view is not None and view.shape[0] else NULL


cdef const Py_ssize_t * indices(const Py_ssize_t[::1] view) noexcept nogil:
    return &view[0] if view is not None and view.shape[0] else NULL


def _flat(array):
    return None if array is None else np.ascontiguousarray(array, dtype=np.float64).reshape(-1)


def _flat_index(array):
    return None if array is None else np.ascontiguousarray(array, dtype=np.intp).reshape(-1)


def _check_groups(group, parent, weight):
    if parent is None:
        raise ValueError("the top level has no groups: its log-likelihoods are returned apart")
    if len(group) != len(parent) or np.any(np.diff(group) < 0):
        raise ValueError("groups are ascending, one number a cluster")
    inside = np.diff(group) == 0
    if np.any(np.diff(parent)[inside]) or (weight is not None and np.any(np.diff(weight)[inside])):
        raise ValueError("the clusters of a group have one parent and one weight")


cdef class Engine:
    """Nested adaptive Gauss-Hermite quadrature of one model structure.

    Parameters
    ----------
    levels : sequence of tuple
        Lowest first: ``(q, parent, weight, of_top, group)``: latent coordinates; cluster of the next level
        (None at the top); frequency weights or None; first cluster of each top-level cluster, one more
        than there are of them; groups of clusters with one parent and one weight, ascending, that are
        alternatives of each other: the group gives its parent the log of the sum of their integrals.
        The last may be left out or None: no groups. The top level has none.
    responses : sequence of tuple
        ``(y, of_cluster, weight, channels, active, quadratic, block, products)``: values (n, ny); first
        unit of each lowest cluster, one more than there are of them; weights or None; number of channels;
        channels with a latent part; whether the log density is quadratic in each of those; capsule
        ``glamm.block.v1`` or an object with a ``block`` method; pairs (P, 2) of coordinates, lowest
        level first, whose products enter the channels with a latent part. The last may be left out or
        None: no products.
    """

    cdef Level *level
    cdef Response *response
    cdef Py_ssize_t n_levels
    cdef Py_ssize_t n_responses
    cdef Py_ssize_t coordinates
    cdef readonly Py_ssize_t tops
    cdef int mixed
    cdef Py_ssize_t store
    cdef object keep          # arrays and objects whose memory the structures point to
    cdef object rule          # the same for the rule
    cdef object chunks
    cdef object units_of_top
    cdef object blocks
    cdef object pool
    cdef Py_ssize_t pool_size
    cdef readonly double tolerance
    cdef readonly int max_sweeps
    cdef readonly int last_sweeps

    def __cinit__(self, levels, responses):
        self.n_levels, self.n_responses = len(levels), len(responses)
        self.level = <Level *> calloc(self.n_levels, sizeof(Level))
        self.response = <Response *> calloc(self.n_responses, sizeof(Response))
        if self.level == NULL or self.response == NULL:
            raise MemoryError
        self.keep, self.rule, self.blocks = [], [], []
        self.pool, self.pool_size, self.mixed = None, 0, 0
        self.tolerance, self.max_sweeps = 1e-9, 200

    def __init__(self, levels, responses):
        cdef Py_ssize_t d, r, total = 0
        for d in range(self.n_levels - 1, -1, -1):
            q, parent, weight, of_top, *rest = levels[d]
            group = rest[0] if rest else None
            if group is not None:
                self.mixed = 1
                _check_groups(group, parent, weight)
            total += q
            self.level[d].q, self.level[d].path = q, total
            arrays = (_flat_index(parent), _flat(weight), _flat_index(of_top), _flat_index(group))
            self.keep.append(arrays)
            self.level[d].parent = indices(arrays[0])
            self.level[d].weight = doubles(arrays[1])
            self.level[d].of_top = indices(arrays[2])
            self.level[d].group = indices(arrays[3])
            self.tops = len(arrays[2]) - 1
        self.coordinates = total
        units = np.zeros(self.tops)
        self.store = 16384
        for r in range(self.n_responses):
            y, of_cluster, weight, channels, active, quadratic, block, *rest = responses[r]
            products = np.zeros((0, 2)) if not rest or rest[0] is None else np.asarray(rest[0])
            if products.size and not (0 <= products.min() and products.max() < total):
                raise ValueError(f"products are of coordinates from 0 to {total - 1}")
            if len(products):
                # a log density quadratic in a channel is not quadratic in the coordinates
                quadratic = np.zeros(len(active))
            if channels > MAX_CHANNELS:
                raise ValueError(f"a response has {channels} channels; at most {MAX_CHANNELS} are possible")
            y = np.ascontiguousarray(y, dtype=np.float64)
            arrays = (_flat(y), _flat_index(of_cluster), _flat(weight), _flat_index(active),
                      _flat_index(quadratic), _flat_index(products))
            self.response[r].n, self.response[r].ny = y.shape
            self.response[r].channels = channels
            self.response[r].pairs = channels * (channels + 1) // 2
            self.response[r].active = len(active)
            self.response[r].y = doubles(arrays[0])
            self.response[r].of_cluster = indices(arrays[1])
            self.response[r].weight = doubles(arrays[2])
            self.response[r].channel = indices(arrays[3])
            self.response[r].quadratic = indices(arrays[4])
            self.response[r].products = len(products)
            self.response[r].product = indices(arrays[5])
            if type(block).__name__ == "PyCapsule":
                self.response[r].block = <glamm_block_v1> PyCapsule_GetPointer(block, BLOCK_NAME)
                self.response[r].user = PyCapsule_GetContext(block)
            else:
                block = PythonBlock(block, channels)
                self.blocks.append(block)
                self.response[r].block = call_python
                self.response[r].user = <void *> block
                self.store = 65536
            self.response[r].third = channels <= 8
            self.keep.append((arrays, block))
            units += np.diff(arrays[1][levels[0][3]])
        self.units_of_top = units

    def __dealloc__(self):
        free(self.level)
        free(self.response)

    def set_rule(self, rules):
        """Set the nodes: for each level a pair of nodes (M, q) and log weights (M) plus z'z / 2."""
        cdef Py_ssize_t d, nodes = 1
        self.rule = []
        above = np.zeros((0, 1))
        for d in range(self.n_levels - 1, -1, -1):
            z, log_weight = rules[d]
            z = np.ascontiguousarray(z, dtype=np.float64)
            count = z.shape[0]
            nodes *= count
            # own coordinates run fastest over the path nodes
            path = np.vstack([np.tile(z.T, above.shape[1]), np.repeat(above, count, axis=1)])
            arrays = (_flat(path), _flat(log_weight))
            self.rule.append(arrays)
            self.level[d].nodes, self.level[d].path_nodes = count, nodes
            self.level[d].z = doubles(arrays[0])
            self.level[d].log_weight = doubles(arrays[1])
            above = path
        # chunks of about `store` node values or 2048 units, never less than one top-level cluster
        cumulative = np.cumsum(np.maximum(self.units_of_top, 0.25) * max(nodes, self.store / 2048.0))
        label = np.floor((cumulative - 1e-9) / self.store)
        edges = np.flatnonzero(np.diff(label)) + 1
        self.chunks = np.concatenate(([0], edges, [self.tops])).astype(np.intp)

    def evaluate(self, o, a, start, *, c=None, held=None, bint gradient=False, bint moments=False,
                 Py_ssize_t threads=1):
        """Evaluate all top-level clusters.

        Parameters
        ----------
        o : sequence of ndarray, shape (K, n)
            Offsets of each response.
        a : sequence of ndarray, shape (active, n, Q)
            Loadings on the coordinates of all levels, lowest level first.
        start : sequence of ndarray, shape (clusters, q)
            Where the search of the modes starts, one array a level; not used with `held`.
        c : sequence of (ndarray, shape (active, n, P), or None), optional
            Coefficients of each response's products; None where it has none.
        held : sequence of (ndarray, shape (clusters, q), ndarray, shape (clusters, p, p)), optional
            Nodes that are taken as given, a pair of centre and spread a level, instead of searching modes
            and scaling by the Hessian there; groups need it. The nodes of a cluster's path (its own
            coordinates first, then its ancestors'; p of them) are the centres along the path plus the
            spread times z. Spreads are upper triangular with a positive diagonal; the rows of the
            ancestors are taken from the parent's.
        gradient, moments : bool
        threads : int

        Returns
        -------
        dict
            ``loglik`` (tops), ``modes`` (a list like `start`), ``failed``; with `gradient` ``go``,
            ``ga`` and ``gc`` shaped like `o`, `a` and `c` (no columns where a response has no products);
            with `moments` ``mean``, ``cov`` and ``share``, lists over levels: posterior means (clusters, q)
            and covariances (clusters, q, q) given that the cluster and its ancestors are the members of
            their groups, and each cluster's posterior probability within its group, given that its
            ancestors are; ``path_mean`` (clusters, p) and ``path_cov`` (clusters, p, p) are of a cluster's
            own coordinates and then those of the clusters above it. With `held` the gradient is that of
            the sum over the nodes where they stand, and a top-level cluster of -inf leaves the others'
            results intact; a cluster that is impossible keeps the moments of its nodes.
        """
        cdef Py_ssize_t d, r, size
        cdef Task task
        keep = []
        out = {"modes": [], "go": [], "ga": [], "gc": [], "mean": [], "cov": [], "share": []}
        out["path_mean"], out["path_cov"] = [], []
        cdef double[::1] view
        cdef double[::1] loglik
        if self.mixed and held is None:
            raise ValueError("groups need nodes that are given: a mixture has no one mode to place them at")
        for d in range(self.n_levels):
            q, p = self.level[d].q, self.level[d].path
            centre = start[d] if held is None else np.asarray(held[d][0])
            mode = np.array(_flat(centre))
            view = mode
            self.level[d].mode = &view[0] if view.shape[0] else NULL
            out["modes"].append(mode.reshape(centre.shape))
            size = len(centre)
            self.level[d].held = NULL
            if held is not None:
                spread = _flat(held[d][1])
                if len(mode) != size * q or len(spread) != size * p * p:
                    raise ValueError(f"level {d} needs centres (clusters, {q}), spreads (clusters, {p}, {p})")
                keep.append(spread)
                self.level[d].held = doubles(spread)
            if moments:
                mean, cov, share = np.zeros(size * p), np.zeros(size * p * p), np.ones(size)
                view = mean
                self.level[d].mean = &view[0] if view.shape[0] else NULL
                view = cov
                self.level[d].cov = &view[0] if view.shape[0] else NULL
                view = share
                self.level[d].share = &view[0] if view.shape[0] else NULL
                mean, cov = mean.reshape(size, p), cov.reshape(size, p, p)
                out["mean"].append(mean[:, :q])
                out["cov"].append(cov[:, :q, :q])
                out["share"].append(share)
                out["path_mean"].append(mean)
                out["path_cov"].append(cov)
        for r in range(self.n_responses):
            offsets, loadings = _flat(o[r]), _flat(a[r])
            shape = (self.response[r].active, self.response[r].n, self.response[r].products)
            factors = _flat(np.zeros((*shape[:2], 0)) if c is None or c[r] is None else c[r])
            if len(factors) != np.prod(shape):
                raise ValueError(f"response {r} needs coefficients of its products, shape {shape}")
            keep.append((offsets, loadings, factors))
            self.response[r].o = doubles(offsets)
            self.response[r].a = doubles(loadings)
            self.response[r].c = doubles(factors)
            self.response[r].go = NULL
            if gradient:
                go, ga, gc = np.empty(len(offsets)), np.empty(len(loadings)), np.empty(len(factors))
                view = go
                self.response[r].go = &view[0] if view.shape[0] else NULL
                view = ga
                self.response[r].ga = &view[0] if view.shape[0] else NULL
                view = gc
                self.response[r].gc = &view[0] if view.shape[0] else NULL
                out["go"].append(go.reshape(np.shape(o[r])))
                out["ga"].append(ga.reshape(np.shape(a[r])))
                out["gc"].append(gc.reshape(shape))
        out["loglik"] = np.empty(self.tops)
        loglik = out["loglik"]
        task.levels, task.coordinates, task.responses = self.n_levels, self.coordinates, self.n_responses
        task.level, task.response = self.level, self.response
        task.gradient, task.moments, task.held, task.mixed = gradient, moments, held is not None, self.mixed
        task.tolerance, task.sweeps = self.tolerance, self.max_sweeps
        jobs = _Jobs()
        jobs.prepare(&task, self.chunks, loglik, self.store)
        # families called back in Python would only wait for each other
        if threads <= 1 or self.blocks or len(self.chunks) - 1 < 2 * threads:
            codes = [jobs.run(0, 1)]
        else:
            if self.pool_size != threads:
                self.pool, self.pool_size = ThreadPoolExecutor(threads), threads
            futures = [self.pool.submit(jobs.run, t, threads) for t in range(threads)]
            try:
                codes = [future.result() for future in futures]
            except BaseException:
                # Ctrl-C lands here while the threads write through pointers into the arrays above
                jobs.stop = 1
                wait(futures)
                raise
        worst = min(codes) if min(codes) < 0 else max(codes)
        self.last_sweeps = jobs.most
        for block in self.blocks:
            if block.error is not None:
                error, block.error = block.error, None
                raise error
        if worst == -2:
            raise MemoryError("the quadrature of one chunk of clusters needs more memory than there is")
        if worst == -1:
            raise RuntimeError("a compiled block function reported an error")
        out["failed"] = worst == 1
        return out


cdef class _Jobs:
    """Chunks dealt out to threads in a fixed order; every chunk writes its own outputs."""

    cdef Task task
    cdef Py_ssize_t[::1] chunks
    cdef double[::1] loglik
    cdef Py_ssize_t store
    cdef readonly int most
    cdef public int stop

    cdef prepare(self, const Task *task, Py_ssize_t[::1] chunks, double[::1] loglik, Py_ssize_t store):
        self.task = task[0]
        self.chunks, self.loglik, self.store = chunks, loglik, store
        self.most = self.stop = 0

    def run(self, Py_ssize_t offset, Py_ssize_t stride):
        cdef Py_ssize_t c = offset
        cdef int code, worst = 0, sweeps = 0, most = 0
        with nogil:
            while c < self.chunks.shape[0] - 1 and not self.stop:
                code = run_chunk(&self.task, self.chunks[c], self.chunks[c + 1], self.store,
                                 &self.loglik[self.chunks[c]], &sweeps)
                most = max(most, sweeps)
                if code < 0:
                    worst = code
                    break
                if code > worst:
                    worst = code
                c += stride
        self.most = max(self.most, most)
        return worst
