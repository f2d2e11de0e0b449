"""Nanoseconds that the compiled block functions take per row and node.

Run ``python benchmarks/families.py [instruction set]``. Each figure is the 20% quantile of 40 timings of
blocks of 1024 rows with one node (mode sweeps: second derivatives) and with 7 nodes (quadrature sweeps: first
derivatives); auxiliary channels are the same at every node, as in most models.
"""

from __future__ import annotations

import ctypes
import sys
import time

import numpy as np

from glamm.kernels import _families

PAIRS = (
    ("gaussian", "identity", 2),
    ("gaussian", "log", 2),
    ("binomial", "logit", 1),
    ("binomial", "probit", 1),
    ("binomial", "cloglog", 1),
    ("poisson", "log", 1),
    ("negative_binomial", "log", 2),
    ("gamma", "log", 2),
    ("inverse_gaussian", "log", 2),
    ("beta", "logit", 2),
    ("student_t", "identity", 3),
    ("ordinal", "logit", 4),
    ("ordinal", "probit", 4),
    ("ordinal", "cloglog", 4),
    ("ordinal", "loglog", 4),
    ("sequential", "logit", 4),
    ("multinomial", "logit", 3),
    ("weibull", "log", 2),
    ("exponential", "log", 1),
)
ROWS = 1024
Pointers = ctypes.POINTER(ctypes.c_void_p)


def response(family: str, rng: np.random.Generator) -> np.ndarray:
    """Return a response of `ROWS` units as the family encodes it."""
    if family in ("ordinal", "sequential", "multinomial"):
        return np.column_stack((rng.integers(0, 4, ROWS), np.full(ROWS, 3))).astype(float)
    if family == "binomial":
        return np.column_stack((rng.integers(0, 2, ROWS), np.ones(ROWS))).astype(float)
    if family in ("poisson", "negative_binomial"):
        return rng.poisson(3.0, (ROWS, 1)).astype(float)
    if family == "beta":
        return rng.beta(2.0, 2.0, (ROWS, 1))
    if family in ("weibull", "exponential"):
        return np.column_stack((rng.gamma(2.0, 1.0, ROWS), rng.integers(0, 2, ROWS))).astype(float)
    return rng.gamma(2.0, 1.0, (ROWS, 1))


def channels(family: str, y: np.ndarray, count: int, m: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the channels, the first with `m` nodes."""
    first = rng.normal(size=ROWS * m)
    if family == "multinomial":
        return [first, *(rng.normal(size=ROWS * m) for _ in range(count - 1))]
    if family == "ordinal":
        lower = np.where(y[:, 0] > 0, y[:, 0] - 2.0, 0.0)
        upper = np.where(y[:, 0] < 3, y[:, 0] - 1.0, 0.0)
        return [first, lower, upper, np.zeros(ROWS)]
    return [first, *(np.full(ROWS, 0.3 * k) for k in range(1, count))]


def pointers(arrays: list[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    """Return the addresses of arrays as C wants them."""
    return (ctypes.c_void_p * max(len(arrays), 1))(*(a.ctypes.data for a in arrays))


def measure(capsule: object, y: np.ndarray, nu: list[np.ndarray], m: int, order: int) -> float:
    """Return nanoseconds per row and node."""
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = api.PyCapsule_GetContext.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetContext.argtypes = [ctypes.py_object]
    size, void = ctypes.c_ssize_t, ctypes.c_void_p
    block = ctypes.CFUNCTYPE(ctypes.c_int, size, size, void, size, *(7 * [void]))(
        api.PyCapsule_GetPointer(capsule, b"glamm.block.v1")
    )
    count = len(nu)
    sizes = (1, count, count * (count + 1) // 2)
    outputs = [[np.empty(ROWS * m) for _ in range(s)] for s in sizes[: order + 1]]
    lists = [pointers(arrays) for arrays in outputs[1:]] + [None, None, None]
    strides = (ctypes.c_ssize_t * count)(*(int(v.size == ROWS * m and m > 1) for v in nu))
    filled = (outputs[0][0].ctypes.data, *lists[:2], None)
    response_part = (ROWS, m, y.ctypes.data, y.shape[1])
    arguments = (*response_part, pointers(nu), strides, *filled, api.PyCapsule_GetContext(capsule))
    repeats = max(1, 200 // m)
    times = []
    for _ in range(40):
        begin = time.perf_counter()
        for _ in range(repeats):
            block(*arguments)
        times.append((time.perf_counter() - begin) / (repeats * ROWS * m))
    return 1e9 * float(np.quantile(times, 0.2))


def main(instructions: str) -> None:
    """Print the table."""
    rng = np.random.default_rng(1)
    print(f"{instructions}: ns per row and node")
    print(f"{'':28}{'1 node, d2':>12}{'7 nodes, d1':>12}{'7 nodes, ll':>12}")
    for family, link, count in PAIRS:
        capsule = _families.capsule(family, link, instructions=instructions)
        y = np.ascontiguousarray(response(family, rng))
        figures = []
        for m, order in ((1, 2), (7, 1), (7, 0)):
            figures.append(measure(capsule, y, channels(family, y, count, m, rng), m, order))
        print(f"{family + ' ' + link:28}" + "".join(f"{x:12.2f}" for x in figures))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else _families.INSTRUCTION_SETS[-1])
