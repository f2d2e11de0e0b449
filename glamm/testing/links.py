"""Checks of a link."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glamm.protocols import Link
from glamm.testing._common import EXAMPLES, EXTREMES, close, inside

__all__ = ["check_link"]

_LEGENDRE = np.polynomial.legendre.leggauss(8)


def check_link(link: Link | type[Link]) -> None:
    """Check a link: monotone, its own inverse's inverse, right derivatives, calm at extremes, pickles.

    Parameters
    ----------
    link : Link or subclass of Link
        A class is called without arguments.
    """
    link = link() if isinstance(link, type) else link
    assert isinstance(link, Link), f"{link!r} is not a glamm.Link"
    what = f"link {link.name or type(link).__name__}"
    bounded = np.isfinite(link.mean.low) and np.isfinite(link.mean.high)
    reach = 12.0 if bounded else 8.0

    @EXAMPLES
    @given(st.lists(st.floats(-reach, reach), min_size=2, max_size=20))
    def properties(positions: list[float]) -> None:
        t = np.unique(np.round(positions, 3))
        mu = inside(link.mean, t)
        nu = link.link(mu)
        assert nu.shape == mu.shape, f"{what}: link() changes the shape"
        assert np.isfinite(nu).all(), f"{what}: link() is not finite inside {link.mean}"
        close(link.inverse(nu), mu, 1e-8, 0.0, f"{what}: inverse(link(mu)) is not mu")
        steps = np.sign(np.diff(nu))
        assert np.all(steps == steps[:1]) and np.all(steps != 0.0), f"{what}: not strictly monotone"
        further = inside(link.mean, t + 0.25)
        middle, half = 0.5 * (link.link(further) + nu), 0.5 * (link.link(further) - nu)
        nodes = middle + half * _LEGENDRE[0][:, None]
        rise = half * np.sum(_LEGENDRE[1][:, None] * link.derivative(nodes), axis=0)
        close(rise, further - mu, 1e-5, 0.0, f"{what}: derivative() does not integrate to inverse()")
        close(link.log_inverse(nu)[mu > 0], np.log(mu[mu > 0]), 1e-8, 1e-8, f"{what}: log_inverse()")
        if link.mean.low >= 0.0 and link.mean.high <= 1.0:
            close(link.log_complement(nu), np.log1p(-mu), 1e-8, 1e-8, f"{what}: log_complement()")
            lower, upper = np.minimum(nu, link.link(further)), np.maximum(nu, link.link(further))
            expected = np.log(np.abs(further - mu))
            close(link.log_difference(lower, upper), expected, 1e-5, 1e-8, f"{what}: log_difference()")

    properties()
    grid = np.linspace(0.3, 0.7, 6).reshape(2, 3)
    assert link.inverse(link.link(grid)).shape == (2, 3), f"{what}: inverse() changes the shape"
    ends = link.inverse(EXTREMES)
    if bounded:
        within = (ends >= link.mean.low) & (ends <= link.mean.high)
        assert within.all(), f"{what}: inverse() leaves {link.mean} at nu = {EXTREMES[~within]}"
    copy = pickle.loads(pickle.dumps(link))
    assert np.array_equal(copy.inverse(grid), link.inverse(grid)), f"{what}: a pickled copy differs"
