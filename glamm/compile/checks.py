"""Whether data can tell the parameters of a model apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.errors import Problem, Span

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["all_alone", "collinear", "dependencies"]

# Rows with which full rank is shown first: a matrix has it as soon as some of its rows have it.
_SAMPLE = 4096
# Relative size of a column's part that no other column explains, below which it counts as explained.
_TOLERANCE = 1e-10


def dependencies(matrix: Array) -> list[tuple[int, tuple[int, ...]]]:
    """Return the columns that are linear combinations of columns before them.

    Parameters
    ----------
    matrix : ndarray, shape (n, p)

    Returns
    -------
    list of (column, columns it depends on)
        The second is empty for a column of zeros.
    """
    n, p = matrix.shape
    if p == 0 or n == 0:
        return []
    step = max(1, n // max(_SAMPLE, 10 * p))
    if _clearly_full(matrix[::step]) or (step > 1 and _clearly_full(matrix)):
        return []
    norms = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(norms > 0.0, norms, 1.0)
    return _search(np.asarray(np.linalg.qr(scaled, mode="r"), dtype=float))


def _clearly_full(matrix: Array) -> bool:
    if matrix.shape[0] < matrix.shape[1]:
        return False
    norms = np.linalg.norm(matrix, axis=0)
    if not norms.all():
        return False
    gram = matrix.T @ matrix / np.outer(norms, norms)
    return bool(np.linalg.eigvalsh(gram)[0] > 1e-7)


def _search(triangle: Array) -> list[tuple[int, tuple[int, ...]]]:
    """Return the dependent columns of a small matrix whose columns have length 1 or 0."""
    kept: list[int] = []
    basis = np.empty((triangle.shape[0], 0))
    found = []
    for j, column in enumerate(triangle.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > _TOLERANCE:
            kept.append(j)
            basis = np.column_stack([basis, rest / size])
            continue
        share = np.linalg.lstsq(triangle[:, kept], column, rcond=None)[0] if kept else np.empty(0)
        found.append((j, tuple(k for k, c in zip(kept, share, strict=True) if abs(c) > 1e-6)))
    return found


def collinear(matrix: Array, names: Sequence[str], what: str, span: Span | None) -> list[Problem]:
    """Return a problem for each column of a design that other columns determine.

    Parameters
    ----------
    matrix : ndarray, shape (n, p)
    names : sequence of p str
    what : str
        What the design belongs to, for the message.
    span : Span or None
    """
    problems = []
    for column, others in dependencies(matrix):
        name = "the intercept" if names[column] == "1" else repr(names[column])
        if not others:
            message = f"{name} in {what} is 0 in every row"
        else:
            listed = ", ".join("the intercept" if names[k] == "1" else repr(names[k]) for k in others)
            message = f"{name} in {what} is determined by {listed}"
        problems.append(Problem(f"collinear columns: {message}", span, "leave one of them out"))
    return problems


def all_alone(cluster: Index, clusters: int) -> bool:
    """Return whether no two units share a cluster.

    Parameters
    ----------
    cluster : ndarray of intp, shape (n,)
    clusters : int
    """
    if clusters < len(cluster):
        return False
    return int(np.bincount(cluster, minlength=clusters).max()) <= 1
