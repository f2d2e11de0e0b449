"""Values and derivatives of a compiled family, as arrays."""

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetPointer
from libc.stdlib cimport free, malloc

import numpy as np

from glamm.kernels._engine cimport glamm_block_v1

cdef const char *BLOCK_NAME = "glamm.block.v1"


def evaluate(capsule, const double[:, ::1] y, const double[:, ::1] nu):
    """Return the log density of each unit and its first and second derivatives in the channels.

    Parameters
    ----------
    capsule : PyCapsule
        ``glamm.block.v1``.
    y : ndarray, shape (n, ny)
    nu : ndarray, shape (K, n)
        Channels.

    Returns
    -------
    tuple of ndarray
        Shapes (n,), (K, n) and (K (K + 1) / 2, n).
    """
    cdef glamm_block_v1 block = <glamm_block_v1> PyCapsule_GetPointer(capsule, BLOCK_NAME)
    cdef void *user = PyCapsule_GetContext(capsule)
    cdef Py_ssize_t channels = nu.shape[0], n = nu.shape[1]
    cdef Py_ssize_t pairs = channels * (channels + 1) // 2, k
    value = np.zeros(n)
    first = np.zeros((channels, n))
    second = np.zeros((pairs, n))
    if n == 0:
        return value, first, second
    cdef double[::1] ll = value
    cdef double[:, ::1] d1 = first
    cdef double[:, ::1] d2 = second
    cdef double **at = <double **> malloc((2 * channels + pairs) * sizeof(double *))
    cdef Py_ssize_t *stride = <Py_ssize_t *> malloc(channels * sizeof(Py_ssize_t))
    if at == NULL or stride == NULL:
        free(at)
        free(stride)
        raise MemoryError
    for k in range(channels):
        at[k] = <double *> &nu[k, 0]
        at[channels + k] = &d1[k, 0]
        stride[k] = 1
    for k in range(pairs):
        at[2 * channels + k] = &d2[k, 0]
    with nogil:
        block(n, 1, &y[0, 0], y.shape[1], <const double *const *> at, stride, &ll[0],
              <double *const *> (at + channels), <double *const *> (at + 2 * channels), NULL, user)
    free(at)
    free(stride)
    return value, first, second
