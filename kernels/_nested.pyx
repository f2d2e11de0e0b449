"""Nested adaptive Gauss-Hermite quadrature over chunks of top-level clusters.

For every top-level cluster: the mode of the joint posterior of all its latent variables by Newton's
method on the block-arrow Hessian (a multifrontal Cholesky factorisation along the tree), the quadrature
sum over conditional nodes ``u = mode + L^-T z`` from the lowest level up, and the exact derivatives of
that sum in every offset, loading and coefficient of a product, including the way modes and scales move;
or the same with nodes that are given and do not move. See docs/engine.md for the
formulas; the names below are the ones used there.

Arrays are row-major. The *path* of a cluster is its own coordinates followed by those of its ancestors;
path nodes are numbered with the lowest level fastest.
"""

from libc.math cimport INFINITY, isfinite
from libc.stdlib cimport free, malloc

from glamm.kernels._adjoints cimport differentiate
from glamm.kernels._held cimport hold_nodes
from glamm.kernels._modes cimport find_modes
from glamm.kernels._nodes cimport add_units, expect_units
from glamm.kernels._sums cimport prior_weights, sum_up, weights_down, write_moments
from glamm.kernels._work cimport Front, Task, Units, Work, count_multiplicity, layout, most_products


cdef int evaluate(Work *w, double *loglik, int *used) noexcept nogil:
    cdef Py_ssize_t d, top
    cdef int failed = 0
    count_multiplicity(w)
    if w.task.held:
        hold_nodes(w)
    elif find_modes(w, used) < 0:
        return -1
    else:
        for top in range(w.last - w.first):
            if w.state[top] != 1:
                loglik[top] = -INFINITY
                failed = 1
        if failed:
            return 1
    for d in range(w.task.levels):
        prior_weights(w, d)
    if add_units(w, w.task.gradient):
        return -1
    sum_up(w, loglik)
    for top in range(w.last - w.first):
        if not isfinite(loglik[top]):
            loglik[top] = -INFINITY
            failed = 1
    # at given nodes a cluster may be impossible and the others still be wanted
    if failed and not w.task.held:
        return 1
    if not (w.task.gradient or w.task.moments):
        return failed
    weights_down(w)
    if w.task.moments:
        write_moments(w)
    if w.task.gradient and (expect_units(w) or differentiate(w)):
        return -1
    return failed


cdef int run_chunk(const Task *task, Py_ssize_t first, Py_ssize_t last, Py_ssize_t store,
                   double *loglik, int *used_sweeps) noexcept nogil:
    """Evaluate top-level clusters [first, last).

    Fills loglik (one number a cluster), the modes of the levels and what the task asks for. `store` bounds
    the number of node values held at once. Returns 0; 1 where a cluster's log-likelihood cannot be
    computed (it is -inf then); -1 where a family broke; -2 where memory ran out.
    """
    cdef Work w
    cdef Py_ssize_t tops = last - first, size, spare, Q = task.coordinates
    cdef int code = -2
    w.task = task
    w.first, w.last = first, last
    w.front = <Front *> malloc(task.levels * sizeof(Front))
    w.units = <Units *> malloc(task.responses * sizeof(Units))
    w.state = <int *> malloc(3 * tops * sizeof(int))
    w.arena = NULL
    used_sweeps[0] = 0
    if w.front != NULL and w.units != NULL and w.state != NULL:
        w.halvings = w.state + tops
        w.clip = w.state + 2 * tops
        size = layout(&w, store, NULL)
        spare = max(4 * Q * Q, task.level[0].path_nodes, Q + most_products(task))
        w.arena = <double *> malloc((size + spare + 1) * sizeof(double))
        if w.arena != NULL:
            layout(&w, store, w.arena)
            w.scratch = w.arena + size
            code = evaluate(&w, loglik, used_sweeps)
    free(w.arena)
    free(w.state)
    free(w.units)
    free(w.front)
    return code
