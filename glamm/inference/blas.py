"""One BLAS thread for the many products and factorisations of a fit.

OpenBLAS wakes its threads for matrices of a few rows already. NumPy and SciPy each bring theirs, and where
other programs run beside them a factorisation of microseconds then takes milliseconds, and a large fit six
times as long. The fits of the benchmarks gain nothing by a second thread on an idle machine.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


@cache
def _controller() -> ThreadpoolController:
    """Return what controls the libraries that are loaded."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS has one thread."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited
