"""Means and covariance matrix of the slots of a configuration as functions of theta.

With latent variables ``eta = Gamma x + B eta + V u``, u standard coordinates times the level's factor F, and
responses ``y = A x + Lambda eta + Z F u + e``,

    mean = (A + Lambda (I - B)^-1 Gamma) x,    covariance = R F F' R' + Theta,    R = Z + Lambda (I - B)^-1 V.

All this is given the coordinates of higher levels, whose slopes are ``sum_z x_z R_z F`` with the same R_z for
each slope column z.

Every entry of the matrices is linear in theta, but for the exponentials of log standard deviations and of log
scales of disturbances; one sparse matrix fills them all, and its transpose takes their adjoints back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from glamm.compile.factors import fill_factor, pull_factor
from glamm.compile.plan import LevelPlan, Plan, PredictorPlan
from glamm.inference.patterns import Configuration

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Moments", "Structure"]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What theta makes of a configuration.

    Attributes
    ----------
    mean : ndarray, shape (k, C)
        Coefficients of the raw columns.
    covariance : ndarray, shape (k, k)
    entries : dict of str to ndarray
        The matrices that theta fills.
    effect : ndarray, shape (M, M)
        ``(I - B)^-1``.
    means, reach : ndarray, shape (M, C), (M, q)
        ``(I - B)^-1`` times Gamma and V.
    slope : ndarray, shape (k, q)
        R.
    factor : ndarray, shape (q, q)
    above : ndarray, shape (Z, k, H)
        Slopes of the slots in the H coordinates of higher levels, by slope column.
    slope_above, reach_above : ndarray, shape (Z, k, H), (Z, M, H)
        R_z, and ``(I - B)^-1`` times V_z.
    factor_above : ndarray, shape (H, H)
        The higher levels' factors on its diagonal.
    """

    mean: Array
    covariance: Array
    entries: dict[str, Array]
    effect: Array
    means: Array
    reach: Array
    slope: Array
    factor: Array
    above: Array
    slope_above: Array
    reach_above: Array
    factor_above: Array


class Structure:
    """The matrices of a configuration.

    Parameters
    ----------
    plan : Plan
    of : Configuration
    """

    def __init__(self, plan: Plan, of: Configuration) -> None:
        self.level, *self._higher = plan.levels
        self._size = plan.n_parameters
        higher = np.cumsum([0, *(len(level.factor) for level in self._higher)]).tolist()
        self._blocks = [slice(a, b) for a, b in pairwise(higher)]
        k, m, q, c = len(of.slots), len(plan.latents), len(self.level.factor), of.columns
        shapes = {
            "loading": (k, m),
            "path": (m, m),
            "random": (k, q),
            "latent random": (m, q),
            "log scale": (m,),
            "mean": (k, c),
            "latent mean": (m, c),
            "log sd": (k,),
        }
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
        self._places = {
            name: (slice(int(a), int(b)), shape)
            for (name, shape), a, b in zip(shapes.items(), ends[:-1], ends[1:], strict=True)
        }
        self._constant = np.zeros(int(ends[-1]))
        self._cells: list[tuple[int, int, float]] = []
        for i, (r, unit) in enumerate(of.slots):
            mu, sigma = plan.responses[r].predictors
            self._add_latent_part("loading", "random", i, mu, unit)
            self._add_row("log sd", (i,), sigma, unit)
        own_level = [latent.coordinate if latent.level == 0 else -1 for latent in plan.latents]
        self._coordinate = np.array(own_level, dtype=np.intp)
        for number, latent in enumerate(plan.latents):
            row = of.cluster if latent.level == 0 else 0
            self._add_latent_part("path", "latent random", number, latent.predictor, row)
            if latent.scale is not None:
                self._add_row("log scale", (number,), latent.scale, row)
        for i, column, factor, coefficient in of.fixed:
            self._add("mean", (i, column), coefficient, factor, 1.0)
        for number, column, factor, coefficient in of.latent:
            self._add("latent mean", (number, column), coefficient, factor, 1.0)
        rows, columns, values = zip(*self._cells, strict=True) if self._cells else ((), (), ())
        self.matrix = csr_array((values, (rows, columns)), shape=(len(self._constant), self._size))
        self._back = csr_array(self.matrix.T)
        place = {r: i for i, (r, _) in enumerate(of.slots)}
        self._residual = [
            (place[x.first], place[x.second], x)
            for x in plan.residual_covariances
            if x.first in place and x.second in place
        ]
        self._disturbed = np.flatnonzero(self._coordinate >= 0)
        disturbed = [m for m, x in enumerate(plan.latents) if x.level > 0 and x.coordinate >= 0]
        self._disturbed_above = np.array(disturbed, dtype=np.intp)
        at = [self._blocks[x.level - 1].start + x.coordinate for x in (plan.latents[m] for m in disturbed)]
        self._coordinate_above = np.array(at, dtype=np.intp)
        self._random_above = np.zeros((len(of.slope_columns), k, higher[-1]))
        self._latent_above = np.zeros((len(of.slope_columns), m, higher[-1]))
        for target, slopes in ((self._random_above, of.slopes), (self._latent_above, of.latent_slopes)):
            for i, z, level, effect, size in slopes:
                target[z, i, self._blocks[level - 1].start + effect] += size

    # ------------------------------------------------ which entry is what

    def _add(self, name: str, at: tuple[int, ...], coefficient: int, factor: float, held: float) -> None:
        """Let an entry gain ``factor * theta[coefficient]``, or ``factor * held`` at position -1."""
        where, shape = self._places[name]
        flat = where.start + int(np.ravel_multi_index(at, shape))
        if coefficient < 0:
            self._constant[flat] += factor * held
        elif factor != 0.0:
            self._cells.append((flat, coefficient, factor))

    def _add_row(self, name: str, at: tuple[int, ...], plan: PredictorPlan, row: int) -> None:
        for factor, coefficient in zip(plan.design[row], plan.coefficient.tolist(), strict=True):
            self._add(name, at, coefficient, float(factor), 0.0)
        offset = plan.offset[row] if np.ndim(plan.offset) else plan.offset  # type: ignore[index]
        self._add(name, at, -1, 1.0, float(offset))

    def _add_latent_part(self, named: str, random: str, i: int, plan: PredictorPlan, row: int) -> None:
        for term in plan.terms:
            for factor, coefficient, held in zip(
                term.design[row], term.coefficient.tolist(), term.held.tolist(), strict=True
            ):
                self._add(named, (i, term.latents[0]), coefficient, float(factor), held)
        for loading in (loading for loading in plan.loadings if loading.level == 0):
            for factor, latent in zip(loading.design[row], loading.latent.tolist(), strict=True):
                self._add(random, (i, latent), -1, float(factor), 1.0)

    # ------------------------------------------------ forth and back

    def moments(self, theta: Array) -> Moments:
        """Return mean and covariance matrix at `theta`."""
        flat = self._constant + self.matrix @ theta
        x = {name: flat[where].reshape(shape) for name, (where, shape) in self._places.items()}
        factor = fill_factor(self.level, theta)
        effect = np.linalg.inv(np.eye(len(x["path"])) - x["path"])
        latent = x["latent random"].copy()
        latent[self._disturbed, self._coordinate[self._disturbed]] += np.exp(x["log scale"][self._disturbed])
        means, reach = effect @ x["latent mean"], effect @ latent
        slope = x["random"] + x["loading"] @ reach
        half = slope @ factor
        covariance = half @ half.T
        covariance.flat[:: len(covariance) + 1] += np.exp(2.0 * x["log sd"])
        for i, j, c in self._residual:
            value = c.held if c.index < 0 else theta[c.index]
            covariance[i, j] += value
            covariance[j, i] += value
        mean = x["mean"] + x["loading"] @ means
        own, turned = self._latent_above.copy(), np.zeros((self._latent_above.shape[2],) * 2)
        scale = np.exp(x["log scale"][self._disturbed_above])
        own[0, self._disturbed_above, self._coordinate_above] += scale
        for block, level in zip(self._blocks, self._higher, strict=True):
            turned[block, block] = fill_factor(level, theta)
        reach_above = effect @ own
        slope_above = self._random_above + x["loading"] @ reach_above
        above = slope_above @ turned
        return Moments(
            mean,
            covariance,
            x,
            effect,
            means,
            reach,
            slope,
            factor,
            above,
            slope_above,
            reach_above,
            turned,
        )

    def pull(
        self, theta: Array, at: Moments, mean: Array, covariance: Array, above: Array | None = None
    ) -> Array:
        """Return the adjoint of theta.

        Parameters
        ----------
        theta : ndarray, shape (P,)
        at : Moments
        mean, covariance, above : ndarray, shape (k, C), (k, k), (Z, k, H)
            Adjoints; that of the covariance matrix is symmetric.
        """
        x, factor = at.entries, at.factor
        cross = covariance @ at.slope
        slope = 2.0 * cross @ (factor @ factor.T)
        own = np.zeros((1, self._size))
        if len(factor):
            pull_factor(self.level, theta, (2.0 * at.slope.T @ cross @ factor)[None], own)
        loading = slope @ at.reach.T + mean @ at.means.T
        latent = at.effect.T @ (x["loading"].T @ slope)
        latent_mean = at.effect.T @ (x["loading"].T @ mean)
        path = latent @ at.reach.T + latent_mean @ at.means.T
        scale = np.zeros(len(at.effect))
        d = self._disturbed
        scale[d] = latent[d, self._coordinate[d]] * np.exp(x["log scale"][d])
        if above is not None:
            onward = above @ at.factor_above.T
            turned = np.einsum("zka,zkb->ab", at.slope_above, above)
            for block, level in zip(self._blocks, self._higher, strict=True):
                pull_factor(level, theta, turned[None, block, block], own)
            loading = loading + np.einsum("zka,zma->km", onward, at.reach_above)
            higher = at.effect.T @ (x["loading"].T @ onward)
            path = path + np.einsum("zna,zma->nm", higher, at.reach_above)
            d = self._disturbed_above
            scale[d] = higher[0, d, self._coordinate_above] * np.exp(x["log scale"][d])
        parts = {
            "loading": loading,
            "path": path,
            "random": slope,
            "latent random": latent,
            "log scale": scale,
            "mean": mean,
            "latent mean": latent_mean,
            "log sd": 2.0 * np.diagonal(covariance) * np.exp(2.0 * x["log sd"]),
        }
        found = own[0] + self._back @ np.concatenate([parts[name].ravel() for name in self._places])
        for i, j, c in self._residual:
            if c.index >= 0:
                found[c.index] += 2.0 * covariance[i, j]
        return np.asarray(found)

    def slopes(self, theta: Array, at: Moments) -> tuple[Array, Array]:
        """Return the derivatives of the mean (P, k, C) and of the covariance (P, k, k) in theta."""
        size = self._size
        dense = self.matrix.toarray().T
        d = {name: dense[:, where].reshape(size, *shape) for name, (where, shape) in self._places.items()}
        x, own = at.entries, self._disturbed
        latent = d["latent random"].copy()
        latent[:, own, self._coordinate[own]] += np.exp(x["log scale"][own]) * d["log scale"][:, own]
        means = at.effect @ (d["latent mean"] + d["path"] @ at.means)
        reach = at.effect @ (latent + d["path"] @ at.reach)
        mean = d["mean"] + d["loading"] @ at.means + x["loading"] @ means
        slope = d["random"] + d["loading"] @ at.reach + x["loading"] @ reach
        one_side = slope @ (at.factor @ at.factor.T) @ at.slope.T
        one_side = (
            one_side
            + at.slope @ _factor_slopes(self.level, theta, at.factor, size) @ (at.slope @ at.factor).T
        )
        covariance = one_side + np.swapaxes(one_side, 1, 2)
        k = len(at.covariance)
        covariance[:, np.arange(k), np.arange(k)] += 2.0 * np.exp(2.0 * x["log sd"]) * d["log sd"]
        for i, j, c in self._residual:
            if c.index >= 0:
                covariance[c.index, i, j] += 1.0
                covariance[c.index, j, i] += 1.0
        return mean, covariance


def _factor_slopes(level: LevelPlan, theta: Array, factor: Array, size: int) -> Array:
    """Return the derivative of a level's factor in theta, shape (P, q, q)."""
    q = len(factor)
    found = np.zeros((q * q, size))
    if q:
        pull_factor(level, theta, np.eye(q * q).reshape(q * q, q, q), found)
    return np.asarray(found.T.reshape(size, q, q))
