"""The units of one response: how theta makes their offsets and slopes, and how adjoints return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan, ResponsePlan
from glamm.inference.adjoints import Adjoint, Backward, Coordinates, Form, Sums
from glamm.inference.forms import Latent, PredictorForm

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Units", "top_edges"]


class Units:
    """One response: how theta makes its offsets and slopes, and how adjoints return."""

    def __init__(
        self,
        plan: ResponsePlan,
        clusters: Sequence[Index | None],
        latents: Sequence[Latent],
        starts: Sequence[int],
        joined: bool = False,
    ) -> None:
        self.plan = plan
        self.n = len(plan.cluster)
        top = clusters[-1]
        assert top is not None
        self.top = top
        self.channels = len(plan.predictors) if plan.channels is None else plan.channels.shape[1]
        self.predictors = [PredictorForm(p, self.n, clusters, latents, starts) for p in plan.predictors]
        if joined:
            # residuals that covary bring in what is random in the other responses
            self.predictors[0].latent = True
        latent = np.array([p.latent for p in self.predictors], dtype=bool)
        if plan.channels is None:
            self.active = np.flatnonzero(latent)
        else:
            fed = latent[plan.channels] & (plan.channels >= 0)
            self.active = np.flatnonzero(fed.any(axis=0))
        # which units of each active channel are fed by which predictor with a latent part
        self.sources = [self._find_sources(int(channel)) for channel in self.active]
        # the channel that a predictor feeds alone and for all units: its slopes are made in place there
        self.home: dict[int, int] = {}
        for place, sources in enumerate(self.sources):
            rows, predictor = sources[0]
            if isinstance(rows, slice):
                self.home.setdefault(predictor, place)
        self.multiplies = any(p.pairs for p in self.predictors)
        self.joined = False

    @property
    def shape(self) -> tuple[object, ...]:
        """What responses must have in common to be stacked."""
        columns = self.plan.encoded.y.shape[1]
        return columns, self.channels, tuple(self.active), self.multiplies

    @property
    def values(self) -> Array:
        """Response values as the engine sees them; residuals that covary are in the offsets whole."""
        y = self.plan.encoded.y
        return np.zeros_like(y) if self.joined else y

    def _find_sources(self, channel: int) -> list[tuple[slice | Index, int]]:
        if self.plan.channels is None:
            return [(slice(None), channel)]
        column = self.plan.channels[:, channel]
        found: list[tuple[slice | Index, int]] = []
        for index, predictor in enumerate(self.predictors):
            if predictor.latent:
                rows = np.flatnonzero(column == index)
                if len(rows) == self.n:
                    found.append((slice(None), index))
                elif len(rows):
                    found.append((rows, index))
        return found

    def forms(
        self, space: Coordinates, theta: Array, factors: Sequence[Array], latents: Sequence[Form]
    ) -> tuple[Array, Array]:
        """Return the offsets (K, n) of all channels and the slopes (active, n, W) of the active ones."""
        offsets = np.empty((len(self.predictors), self.n))
        slopes: dict[int, Array] = {}
        direct = np.empty((len(self.active), self.n, space.slopes))
        for k, predictor in enumerate(self.predictors):
            predictor.offset(theta, offsets[k])
            if predictor.latent:
                slope = direct[self.home[k]] if k in self.home else np.empty((self.n, space.slopes))
                predictor.fill_loadings(factors, slope)
                predictor.add_terms(space, theta, latents, offsets[k], slope)
                slopes[k] = slope
        for place, (row, sources) in enumerate(zip(direct, self.sources, strict=True)):
            if place not in self.home.values():
                row[:] = 0.0
                for rows, k in sources:
                    row[rows] = slopes[k][rows]
        if self.plan.channels is None:
            return offsets, direct
        fed = self.plan.channels.T
        chosen = offsets[fed, np.arange(self.n)]
        chosen[fed < 0] = 0.0
        return np.ascontiguousarray(chosen), direct

    def pull(self, space: Coordinates, go: Array, gs: Array, sums: Sums, state: Backward) -> None:
        """Carry the adjoints of offsets (K, n) and slopes (active, n, W) back to `state`."""
        for k, (predictor, offset) in enumerate(zip(self.predictors, self._offset_adjoints(go), strict=True)):
            own = Adjoint(offset, False, np.empty((self.n, 0)), False)
            if predictor.latent:
                own.slope = self._slope_adjoint(k, gs)
            predictor.pull(space, own, sums, state)

    def _slope_adjoint(self, predictor: int, gs: Array) -> Array:
        parts = [
            (rows, values)
            for values, sources in zip(gs, self.sources, strict=True)
            for rows, k in sources
            if k == predictor
        ]
        if len(parts) == 1 and isinstance(parts[0][0], slice):
            return np.asarray(parts[0][1])
        slope = np.zeros(gs.shape[1:])
        for rows, values in parts:
            slope[rows] += values[rows]
        return slope

    def _offset_adjoints(self, go: Array) -> Array:
        """Return adjoints of the predictors, shape (predictors, n), from those of the channels."""
        plan = self.plan
        if plan.channels is None:
            return go
        adjoint = np.zeros((len(plan.predictors) + 1, self.n))
        rows = np.arange(self.n)
        for channel, values in zip(plan.channels.T, go, strict=True):
            # the last row collects what unused channels give
            adjoint[channel, rows] += values
        return adjoint[:-1]


def top_edges(levels: Sequence[LevelPlan]) -> list[Index]:
    """Return, for each level, the first cluster of each top-level cluster."""
    count = levels[-1].clusters
    edges = [np.arange(count + 1, dtype=np.intp)]
    top = np.arange(count, dtype=np.intp)
    for level in reversed(levels[:-1]):
        assert level.parent is not None
        top = top[level.parent]
        edges.insert(0, np.searchsorted(top, np.arange(count + 1)).astype(np.intp))
    return edges
