"""A random slope of the calendar year, whose zero lies two thousand standard deviations away."""

import numpy as np
import pandas as pd
import pytest

import glamm

RNG = np.random.default_rng(14)
ID = np.repeat(np.arange(40), 8)
YEAR = np.tile(np.arange(2001, 2009), 40)
EFFECTS = RNG.normal(size=(40, 2)) * [1.0, 0.25]
ETA = 0.1 * (YEAR - 2005) + EFFECTS[ID, 0] + EFFECTS[ID, 1] * (YEAR - 2005)
DATA = pd.DataFrame({"id": ID, "year": YEAR, "t": YEAR - 2005, "y": 5.0 + ETA + RNG.normal(size=len(ID))})
DATA["b"] = (RNG.random(len(ID)) < 1.0 / (1.0 + np.exp(-ETA))).astype(int)
DATA["n"] = RNG.poisson(np.exp(0.5 * ETA))


@pytest.mark.parametrize(
    ("response", "family"), [("y", "gaussian"), ("b", "binomial"), ("n", "poisson")], ids=str
)
def test_the_origin_of_a_slope_does_not_matter(response, family):
    far = glamm.fit(f"{response} ~ year + (1 + year | id)", DATA, family)
    near = glamm.fit(f"{response} ~ t + (1 + t | id)", DATA, family)
    assert far.converged and near.converged
    assert not far.missing_errors
    # the rule of several dimensions is not the same in turned coordinates
    assert far.llf == pytest.approx(near.llf, abs=2e-5)
    for name in ("year", "t"):
        table = far if name == "year" else near
        assert np.isfinite(table.bse).all()
    np.testing.assert_allclose(far.params["sd(year | id)"], near.params["sd(t | id)"], rtol=1e-4)
    np.testing.assert_allclose(far.bse["sd(year | id)"], near.bse["sd(t | id)"], rtol=1e-3)
    np.testing.assert_allclose(
        [far.params[f"{response} ~ year"], far.bse[f"{response} ~ year"]],
        [near.params[f"{response} ~ t"], near.bse[f"{response} ~ t"]],
        rtol=1e-3,
    )
    # the covariance matrix of the effects moves with the origin
    sd, slope, cor = (far.params[n] for n in ("sd(1 | id)", "sd(year | id)", "cor(1, year | id)"))
    variance = sd**2 + 2.0 * 2005.0 * cor * sd * slope + (2005.0 * slope) ** 2
    assert np.sqrt(variance) == pytest.approx(near.params["sd(1 | id)"], rel=1e-3)
    scores = far.ranef()["id"]
    moved = scores["(Intercept)"] + 2005.0 * scores["year"]
    np.testing.assert_allclose(moved, near.ranef()["id"]["(Intercept)"], atol=1e-3)


def test_a_singular_matrix_of_a_far_slope_is_at_its_boundary():
    """Effects that are one variable: the smallest eigenvalue is zero whatever the origin."""
    data = DATA.assign(y=ETA - EFFECTS[ID, 1] * (YEAR - 2005) + RNG.normal(size=len(ID)))
    data["y"] += 0.3 * EFFECTS[ID, 0] * data["t"]
    far = glamm.fit("y ~ year + (1 + year | id)", data)
    near = glamm.fit("y ~ t + (1 + t | id)", data)
    assert far.converged and near.converged
    assert far.llf == pytest.approx(near.llf, abs=1e-7)
