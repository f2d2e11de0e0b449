# cython: language_level=3
"""Compiled block functions of the built-in families, handed out as capsules ``glamm.block.v1``."""

from cpython.mem cimport PyMem_Malloc, PyMem_Free
from cpython.pycapsule cimport (
    PyCapsule_GetContext,
    PyCapsule_GetPointer,
    PyCapsule_New,
    PyCapsule_SetContext,
)
from libc.stdlib cimport free, malloc

import numpy as np


cdef extern from "glamm_families.h" nogil:
    const char *GLAMM_BLOCK_V1
    ctypedef int (*glamm_block_v1)(
        Py_ssize_t n, Py_ssize_t m, const double *y, Py_ssize_t ny, const double *const *nu,
        const Py_ssize_t *node_stride, double *ll, double *const *d1, double *const *d2,
        double *const *d3, void *user) noexcept
    ctypedef struct glamm_options:
        int link
        int asymptotes
        double power
    void glamm_fill_tables()
    int glamm_runs(int isa)
    glamm_block_v1 glamm_find(const char *family, int link, int asymptotes, int isa)
    double glamm_exp(double x)
    double glamm_expm1(double x)
    double glamm_log(double x)
    double glamm_log1p(double x)
    double glamm_erfcx(double x)
    double glamm_lgamma(double x)
    double glamm_digamma(double x)
    double glamm_trigamma(double x)
    double glamm_tetragamma(double x)


LINKS = (
    "identity", "log", "logit", "probit", "cloglog", "loglog", "reciprocal", "inverse_square", "sqrt",
    "power",
)
ASYMPTOTES = ("", "lower", "both", "upper")
INSTRUCTION_SETS = tuple(name for isa, name in enumerate(("plain", "avx2")) if glamm_runs(isa))

glamm_fill_tables()


cdef void release(object capsule) noexcept:
    free(PyCapsule_GetContext(capsule))


def capsule(str family, str link, options=None, *, str instructions=""):
    """Return the compiled block function of a family, or None.

    Parameters
    ----------
    family, link : str
        Registered names.
    options : mapping, optional
        ``power`` of the link ``power``; ``asymptotes`` of the binomial, ``"lower"``, ``"both"``
        or ``"upper"``.
    instructions : str
        A member of `INSTRUCTION_SETS`; the best by default.

    Returns
    -------
    PyCapsule or None
        None where the pair is not compiled.
    """
    given = dict(options or {})
    power = given.pop("power", None)
    asymptotes = ASYMPTOTES.index(given.pop("asymptotes", ""))
    if given or link not in LINKS:
        return None
    if link == "power" and power is None:
        return None
    cdef int isa = len(INSTRUCTION_SETS) - 1
    if instructions:
        isa = INSTRUCTION_SETS.index(instructions)
    cdef bytes name = family.encode()
    cdef int code = LINKS.index(link)
    cdef int kind = asymptotes
    cdef glamm_block_v1 block = glamm_find(name, code, kind, isa)
    if block == NULL:
        return None
    cdef glamm_options *context = <glamm_options *> malloc(sizeof(glamm_options))
    if context == NULL:
        raise MemoryError
    context.link = code
    context.asymptotes = kind
    context.power = 1.0 if power is None else power
    made = PyCapsule_New(<void *> block, GLAMM_BLOCK_V1, release)
    PyCapsule_SetContext(made, context)
    return made


FUNCTIONS = (
    "exp", "expm1", "log", "log1p", "erfcx", "lgamma", "digamma", "trigamma", "tetragamma",
)


def elementary(str name, x):
    """Return a function of `FUNCTIONS` as the block functions compute it, shape (n,).

    Parameters
    ----------
    name : str
    x : array_like, shape (n,)
    """
    cdef const double[::1] values = np.ascontiguousarray(x, dtype=float)
    result = np.empty(values.shape[0])
    cdef double[::1] out = result
    cdef Py_ssize_t k
    cdef int which = FUNCTIONS.index(name)
    cdef double v
    for k in range(values.shape[0]):
        v = values[k]
        if which == 0:
            out[k] = glamm_exp(v)
        elif which == 1:
            out[k] = glamm_expm1(v)
        elif which == 2:
            out[k] = glamm_log(v)
        elif which == 3:
            out[k] = glamm_log1p(v)
        elif which == 4:
            out[k] = glamm_erfcx(v)
        elif which == 5:
            out[k] = glamm_lgamma(v)
        elif which == 6:
            out[k] = glamm_digamma(v)
        elif which == 7:
            out[k] = glamm_trigamma(v)
        else:
            out[k] = glamm_tetragamma(v)
    return result


def call_block(block, y, nu, int order=0):
    """Return what a block function computes, in the layout of `glamm.protocols.Family.block`.

    Parameters
    ----------
    block : PyCapsule
    y : array_like, shape (n, ny)
    nu : sequence of K array_like, each broadcastable to (nodes, n)
        A channel of shape (n,) or (1, n) is handed over as one that is the same at every node.
    order : {0, 1, 2, 3}

    Returns
    -------
    tuple of `order` + 1 lists of ndarrays, shape (nodes, n)

    Raises
    ------
    ValueError
        The block function has no third derivatives.
    """
    cdef glamm_block_v1 function = <glamm_block_v1> PyCapsule_GetPointer(block, GLAMM_BLOCK_V1)
    cdef void *user = PyCapsule_GetContext(block)
    cdef const double[:, ::1] response = np.ascontiguousarray(y, dtype=float)
    values = [np.atleast_2d(np.asarray(v, dtype=float)) for v in nu]
    cdef Py_ssize_t n = response.shape[0]
    cdef Py_ssize_t m = max([v.shape[0] for v in values], default=1)
    cdef Py_ssize_t count = len(values), pairs = count * (count + 1) // 2, k
    flat = [np.ascontiguousarray(np.broadcast_to(v, (v.shape[0], n)).T) for v in values]
    sizes = (1, count, pairs, pairs * count)
    filled = [[np.empty((n, m)) for _ in range(sizes[o])] for o in range(order + 1)]
    cdef Py_ssize_t total = count + sum(sizes[:order + 1])
    cdef double **pointers = <double **> PyMem_Malloc(total * sizeof(double *))
    cdef Py_ssize_t *strides = <Py_ssize_t *> PyMem_Malloc(max(count, 1) * sizeof(Py_ssize_t))
    cdef double **outputs = pointers + count
    cdef size_t address
    cdef int status
    try:
        if pointers == NULL or strides == NULL:
            raise MemoryError
        for k in range(count):
            address = flat[k].ctypes.data
            pointers[k] = <double *> address
            strides[k] = values[k].shape[0] == m and m > 1
        k = 0
        for arrays in filled:
            for array in arrays:
                address = array.ctypes.data
                outputs[k] = <double *> address
                k += 1
        status = function(
            n, m, &response[0, 0] if n else NULL, response.shape[1], <const double *const *> pointers,
            strides, outputs[0], outputs + 1 if order > 0 else NULL,
            outputs + 1 + count if order > 1 else NULL,
            outputs + 1 + count + pairs if order > 2 else NULL, user)
    finally:
        PyMem_Free(pointers)
        PyMem_Free(strides)
    if status != 0:
        raise ValueError("the block function has no third derivatives")
    return tuple([array.T for array in arrays] for arrays in filled)
