"""A published ranking with a random taste for one alternative: log-likelihoods of another program."""

import json

import numpy as np
import pandas as pd
import pytest
from reference import FOLDER
from scipy import stats
from scipy.special import logsumexp

from glamm import registry
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan
from glamm.graph import family_spec
from glamm.inference import Objective
from glamm.protocols import Column

RANKING = registry.family(family_spec("ranking"))
COEFFICIENTS = (
    "own",
    *(f"platform{k}" for k in ("GameBoy", "GameCube", "PlayStation", "PSPortable", "Xbox")),
    "hoursPC",
)


def game():
    data = pd.read_csv(FOLDER / "game_rank.csv")
    for name in COEFFICIENTS[1:-1]:
        data[name] = (data["platform"] == name.removeprefix("platform")).astype(float)
    case = json.loads((FOLDER / "game_rank_re.json").read_text())
    encoded = RANKING.encode("ranking", [Column(k, data[k].to_numpy(float)) for k in ("ch", "chid")])
    design = np.stack([data[c].to_numpy(float) for c in COEFFICIENTS], axis=1).reshape(-1, 6, 7)
    return encoded, design, data["PC"].to_numpy(float).reshape(-1, 6), case["exact"]


def coefficients(part):
    return np.array([part["params"][name] for name in COEFFICIENTS])


def test_published_ranking_without_random_effects():
    encoded, design, _, exact = game()
    part = exact["without_random_effects"]
    nu = list((design @ coefficients(part)).T)
    assert RANKING.log_likelihood(encoded.y, nu).sum() == pytest.approx(part["loglik"], abs=1e-8)


def test_published_ranking_by_brute_force():
    encoded, design, pc, exact = game()
    z = np.linspace(-9.0, 9.0, 721)
    nu = (design @ coefficients(exact)) + exact["params"]["sd_PC"] * z[:, None, None] * pc
    ll = RANKING.log_likelihood(encoded.y, list(np.moveaxis(nu, -1, 0)))
    log_weight = stats.norm.logpdf(z) + np.log(z[1] - z[0])
    total = logsumexp(ll + log_weight[:, None], axis=0).sum()
    assert total == pytest.approx(exact["loglik"], abs=1e-9)


@pytest.mark.parametrize("points", [1, 7, 25])
def test_published_ranking_through_the_engine(points):
    """The maximum another program found at each number of points, and a gradient of zero there."""
    encoded, design, pc, exact = game()
    (part,) = (p for p in exact["own_by_points"] if p["points"] == points)
    sets = encoded.y.shape[0]
    predictors = tuple(
        PredictorPlan(
            np.ascontiguousarray(design[:, k]),
            np.arange(7),
            0.0,
            (LoadingPlan(0, np.ascontiguousarray(pc[:, k, None]), np.zeros(1, np.intp)),),
        )
        for k in range(6)
    )
    response = ResponsePlan(RANKING, encoded, np.arange(sets), None, predictors, RANKING.channels(encoded))
    plan = Plan((LevelPlan(sets, None, None, np.array([[7]])),), (response,), 8, np.zeros(8))
    theta = np.append(coefficients(part), part["params"]["sd_PC"])
    value, gradient = Objective(plan, points).value_and_gradient(theta)
    assert value == pytest.approx(part["loglik"], abs=1e-7)
    np.testing.assert_allclose(gradient, 0.0, atol=2e-6)
