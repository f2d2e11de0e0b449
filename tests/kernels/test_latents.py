"""The compiled densities of latent variables over the normal one, against their NumPy twins."""

import numpy as np
import pytest

from glamm import registry
from glamm.kernels._families import call_block
from glamm.protocols import LatentRatio

CASES = {
    "student_t": (np.log(3.0),),
    "skew_normal": (-2.0,),
    "normal_mixture": (0.4, 0.7, -0.3),
}


def channels(name, m, n, rng, by_node):
    """The variable at every node; the parameters too, or once a unit."""
    around = [np.array(value) + 0.3 * rng.normal(size=(m if by_node else 1, n)) for value in CASES[name]]
    return [1.5 * rng.normal(size=(m, n)), *around]


@pytest.mark.parametrize("by_node", [True, False])
@pytest.mark.parametrize(("n", "m"), [(150, 1), (40, 7), (2, 300)])
@pytest.mark.parametrize("name", CASES)
def test_twins(name, n, m, by_node):
    ratio = LatentRatio(registry.latent(name))
    y = ratio.units(n).y
    nu = channels(name, m, n, np.random.default_rng(1), by_node)
    for order in range(4):
        slow, fast = ratio.block(y, nu, order), call_block(ratio.kernel(), y, nu, order)
        assert len(slow) == len(fast) == order + 1
        for mine, theirs in zip(fast, slow, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                # the twin loses a few digits of slopes of log Phi in its lower tail
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_far_out(name):
    """Nothing is ever NaN, and a log ratio is a finite number or minus infinity."""
    ratio = LatentRatio(registry.latent(name))
    extremes = np.array([[-1e300, -800.0, -300.0, -40.0, -1e-9, 0.0, 1e-9, 40.0, 300.0, 800.0, 1e300]])
    y = ratio.units(extremes.size).y
    for k in range(1 + len(CASES[name])):
        nu = [np.full(extremes.shape, value) for value in (0.3, *CASES[name])]
        nu[k] = extremes
        got = call_block(ratio.kernel(), y, nu, 3)
        assert not np.isnan(got[0][0]).any() and not np.isposinf(got[0][0]).any()
        for arrays in got[1:]:
            assert np.isfinite(arrays).all()


def test_nearly_normal():
    """With many degrees of freedom, without skewness, or with one component the ratio is one."""
    u = np.linspace(-3.0, 3.0, 13)
    for name, parameters in (
        ("student_t", (40.0,)),
        ("skew_normal", (0.0,)),
        ("normal_mixture", (0.0, -700.0, 0.0)),
    ):
        ratio = LatentRatio(registry.latent(name))
        nu = [u, *(np.full(u.size, p) for p in parameters)]
        ll, d1 = call_block(ratio.kernel(), ratio.units(u.size).y, nu, 1)
        np.testing.assert_allclose(ll[0], 0.0, atol=1e-14)
        np.testing.assert_allclose(d1[0], 0.0, atol=1e-14)
