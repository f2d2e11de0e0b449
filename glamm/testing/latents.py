"""Checks of a latent distribution."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from glamm.protocols import Array, LatentDistribution, LatentRatio
from glamm.protocols.latents import natural
from glamm.testing._common import EXAMPLES, EXTREMES, close
from glamm.testing.families import Case, check_block, check_extremes

__all__ = ["check_latent_distribution"]


def check_latent_distribution(distribution: LatentDistribution) -> None:
    """Check a latent distribution: total 1, mean 0 and variance 1 at any parameters, derivatives, simulation.

    Parameters
    ----------
    distribution : LatentDistribution
    """
    assert isinstance(distribution, LatentDistribution), f"{distribution!r} is no LatentDistribution"
    what = f"latent distribution {distribution.name or type(distribution).__name__}"
    ratio = LatentRatio(distribution)
    encoded = ratio.units(1)
    starts = np.array(ratio.start(encoded, np.ones(1)))
    fixed = np.array([p.fixed is not None for p in ratio.predictors(encoded)[1:]], bool)
    case = Case(ratio, encoded, starts, what)
    size = starts.size - 1

    @EXAMPLES
    @given(st.lists(st.floats(-1.0, 1.0), min_size=size, max_size=size), st.floats(-3.0, 3.0))
    def properties(shifts: list[float], position: float) -> None:
        moved = np.where(fixed, 0.0, np.array(shifts))
        _check_moments(distribution, starts[1:] + moved, what)
        shifted = np.concatenate((starts[:1], starts[1:] + moved))
        check_block(replace(case, start=shifted), np.array([position, 0.3]), 0.0, 3)

    properties()
    u, mass = _check_moments(distribution, starts[1:], what)
    parameters = [float(p) for p in natural(distribution.parameters, list(starts[1:]))]
    ends = distribution.log_density(EXTREMES, *map(np.asarray, parameters))
    assert not np.isnan(ends).any() and np.all(ends < 0.0), f"{what}: bad log density far out: {ends}"
    check_extremes(case)
    draws = distribution.simulate(np.random.default_rng(1), 4000, *parameters)
    assert draws.shape == (4000,), f"{what}: simulate() returns shape {draws.shape}"
    p_value = stats.kstest(draws, lambda x: np.interp(x, u, np.cumsum(mass))).pvalue
    assert p_value > 1e-4, f"{what}: simulate() does not follow the density (p = {p_value:.1g})"
    copy = pickle.loads(pickle.dumps(distribution))
    at = u[::500], *map(np.asarray, parameters)
    assert np.array_equal(copy.log_density(*at), distribution.log_density(*at)), (
        f"{what}: a pickled copy differs"
    )


def _check_moments(distribution: LatentDistribution, linear: Array, what: str) -> tuple[Array, Array]:
    """Check total, mean and variance at parameters on their linear scale; return points and their mass."""
    t = np.linspace(-40.0, 40.0, 16001)
    u, jacobian = np.sinh(t), np.cosh(t) * (t[1] - t[0])
    parameters = natural(distribution.parameters, list(linear))
    mass = np.exp(distribution.log_density(u, *parameters)) * jacobian
    at = f"at {', '.join(f'{p:.3g}' for p in parameters)}" if parameters else "everywhere"
    close(mass.sum(), np.ones(()), 1e-7, 0.0, f"{what}: the density does not integrate to 1 {at}")
    close((u * mass).sum(), np.zeros(()), 0.0, 1e-6, f"{what}: the mean is not 0 {at}")
    close((u**2 * mass).sum(), np.ones(()), 1e-6, 0.0, f"{what}: the variance is not 1 {at}")
    return u, mass
