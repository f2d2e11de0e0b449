"""Classes of people who choose: a mixed logit with mass points, against its likelihood written out."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit

import glamm


def choices(people=150, trips=4, alternatives=3):
    """Return the choices of two kinds of people in as many trips each."""
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(people), trips * alternatives)
    trip = np.repeat(np.arange(people * trips), alternatives)
    x = rng.normal(size=len(trip))
    slope = np.where(rng.random(people) < 0.4, 1.8, -0.7)[person]
    utility = (slope * x + rng.gumbel(size=len(trip))).reshape(-1, alternatives)
    chosen = (utility == utility.max(axis=1, keepdims=True)).ravel()
    return pd.DataFrame({"person": person, "trip": trip, "x": x, "chosen": chosen})


DATA = choices()


def loglik(values):
    """Return the log-likelihood at two slopes and the log odds of the first."""
    parts = []
    for slope in values[:2]:
        worth = np.exp(slope * DATA["x"])
        share = worth / worth.groupby(DATA["trip"]).transform("sum")
        parts.append(share[DATA["chosen"]].groupby(DATA["person"]).prod())
    return float(np.log(expit(values[2]) * parts[0] + expit(-values[2]) * parts[1]).sum())


@pytest.mark.parametrize(
    "text",
    [
        "choice(chosen, trip) ~ 0 + c:x; c | person ~ classes(2)",
        "choice(chosen, trip) ~ npml(0 + x | person, k=2)",
    ],
)
def test_two_kinds_of_people(text):
    fit = glamm.fit(text, DATA)
    assert fit.llf == pytest.approx(loglik(fit.params.to_numpy()), rel=1e-12)
    best = minimize(lambda v: -loglik(v), [1.5, -0.5, 0.0], method="BFGS", options={"gtol": 1e-6})
    assert fit.llf == pytest.approx(-best.fun, rel=1e-9)
    order = np.argsort(fit.params.to_numpy()[:2])
    np.testing.assert_allclose(fit.params.to_numpy()[:2][order], np.sort(best.x[:2]), atol=1e-4)
