"""What runs side by side move in: theta itself, or what equalities between parameters leave free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.restricted import Reduction

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

__all__ = ["Space"]


class Space:
    """Coordinates phi (Q,) of theta (P,) and how derivatives go from one to the other.

    Parameters
    ----------
    plan : Plan
        Its equalities hold; its bounds are left out.
    """

    def __init__(self, plan: Plan) -> None:
        self.reduction: Reduction | None = None
        # where parameters are entries of theta, the map is the same everywhere
        self._same: Array | None = None
        self._origin = np.zeros(plan.n_parameters)
        if plan.constraints is not None and len(plan.constraints.equalities):
            self.reduction = Reduction.of(plan.constraints, plan.n_parameters)
            if set(plan.constraints.kinds) == {"identity"}:
                self._origin = self.reduction.expand(np.zeros(len(self.reduction.kept)))
                self._same = self.reduction.jacobian(self._origin)

    def reduce(self, theta: Array) -> Array:
        """Return the coordinates (Q, S) of columns theta (P, S), or of some near them where these hold."""
        if self.reduction is None:
            return theta
        return np.column_stack([self.reduction.reduce(column) for column in theta.T])

    def expand(self, phi: Array) -> Array:
        """Return theta (P, S) at coordinates (Q, S); NaN where a parameter leaves its range."""
        if self.reduction is None:
            return phi
        if self._same is not None:
            return np.asarray(self._same @ phi + self._origin[:, None])
        return np.column_stack([self.reduction.expand(column) for column in phi.T])

    def moves(self, theta: Array) -> Mask:
        """Return which coordinates move which entries of theta (P,), shape (P, Q)."""
        if self.reduction is None:
            return np.eye(len(theta), dtype=bool)
        return np.asarray(self.reduction.jacobian(theta) != 0.0)

    def _jacobians(self, theta: Array) -> Array:
        """Return d theta / d phi at each column, shape (S, P, Q)."""
        assert self.reduction is not None
        if self._same is not None:
            return np.broadcast_to(self._same, (theta.shape[1], *self._same.shape))
        return np.stack([self.reduction.jacobian(column) for column in theta.T])

    def pull(self, theta: Array, gradient: Array, information: Array) -> tuple[Array, Array]:
        """Return a gradient (Q, S) and an information matrix (S, Q, Q) by coordinates of those by theta."""
        if self.reduction is None:
            return gradient, information
        jacobian = self._jacobians(theta)
        back = np.swapaxes(jacobian, 1, 2)
        return np.einsum("sqp,ps->qs", back, gradient), back @ information @ jacobian

    def push(self, theta: Array, step: Array) -> Array:
        """Return how steps (Q, S) of the coordinates move theta (P, S)."""
        if self.reduction is None:
            return step
        return np.asarray(np.einsum("spq,qs->ps", self._jacobians(theta), step))
