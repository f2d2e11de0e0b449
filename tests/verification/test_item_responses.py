"""Partial credit, rating scale, nominal and guessing models against densities by hand and other programs."""

import json

import numpy as np
import pandas as pd
import pytest
from reference import FOLDER
from scipy import stats
from scipy.special import expit, logit, logsumexp

import glamm
from glamm import registry
from glamm.graph import family_spec

THETA = np.linspace(-9.0, 9.0, 721)
LOG_WEIGHT = stats.norm.logpdf(THETA) + np.log(THETA[1] - THETA[0])


def made(text):
    return registry.family(family_spec(text))


def results(name, peer="mirt"):
    return json.loads((FOLDER / f"{name}.json").read_text())["results"][peer]


def items(name):
    return pd.read_csv(FOLDER / f"{name}.csv").filter(regex="^y").to_numpy(float)


def integral(terms):
    """Return the log-likelihood of log densities of shape (theta, persons), summed over items."""
    return logsumexp(sum(terms) + LOG_WEIGHT[:, None], axis=0).sum()


def test_adjacent_probabilities():
    rng = np.random.default_rng(1)
    mu, steps = rng.normal(size=(2, 6)), rng.normal(size=(3, 1, 6))
    y = np.column_stack((np.array([0.0, 1, 2, 3, 1, 2]), np.full(6, 3.0)))
    log_odds = mu - steps  # of each category against the one below
    p = np.ones((4, *mu.shape))
    for k in range(3):
        p[k + 1] = p[k] * np.exp(log_odds[k])
    expected = np.log(np.take_along_axis(p / p.sum(axis=0), y[None, None, :, 0].astype(int), axis=0)[0])
    found = made("adjacent").log_likelihood(y, [mu, *steps])
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("asymptotes", ["lower", "upper", "both"])
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog"])
def test_asymptotes(link, asymptotes):
    rng = np.random.default_rng(2)
    nu, guess, slip = rng.normal(size=8), 0.3 * (asymptotes != "upper"), 0.1 * (asymptotes != "lower")
    trials = np.array([1.0, 1, 1, 1, 5, 5, 9, 9])
    y = np.column_stack((np.array([0.0, 1, 0, 1, 0, 5, 3, 6]), trials))
    inverse = {
        "logit": expit,
        "probit": stats.norm.cdf,
        "cloglog": lambda x: 1.0 - np.exp(-np.exp(x)),
        "loglog": lambda x: np.exp(-np.exp(-x)),
    }[link]
    p = guess + (1.0 - slip - guess) * inverse(nu)
    channels = [nu, *(np.full(8, logit(x)) for x in (guess, slip) if x > 0.0)]
    family = made(f'binomial({link}, asymptotes="{asymptotes}")')
    expected = stats.binom.logpmf(y[:, 0], trials, p)
    np.testing.assert_allclose(family.log_likelihood(y, channels), expected, rtol=1e-12)
    np.testing.assert_allclose(family.mean_value((), channels), p, rtol=1e-12)


def long(name):
    y = items(name)
    persons, count = y.shape
    return pd.DataFrame(
        {
            "person": np.repeat(np.arange(persons), count),
            "item": np.tile([f"i{k}" for k in range(1, count + 1)], persons),
            "y": y.reshape(-1),
        }
    )


SCIENCE = long("irt_science")


def test_partial_credit():
    found = glamm.fit("y ~ 1 + (1 | person); step(y) ~ item", SCIENCE, "adjacent", points=25)
    theirs = results("irt_science_pcm", "brute")["params"]
    assert found.converged, found.status
    assert found.llf == pytest.approx(results("irt_science_pcm", "brute")["loglik"], abs=1e-8)
    assert found.params["sd(1 | person)"] ** 2 == pytest.approx(theirs["psi"], abs=1e-4)
    for item in range(1, 5):
        d = [0.0, *(theirs[f"d{item}_{k}"] for k in (1, 2, 3))]
        for k in range(3):
            name = f"step(y)[{k}|{k + 1}]"
            own = found.params.get(f"{name} ~ item[T.i{item}]", 0.0)
            assert found.params[name] + own == pytest.approx(d[k] - d[k + 1], abs=1e-4)


def test_rating_scale():
    """Items have locations, all share the steps; nothing in mu plays the part of an intercept."""
    found = glamm.fit("y ~ item + (1 | person)", SCIENCE, "adjacent", points=25)
    names = [*(f"y ~ item[T.i{k}]" for k in (2, 3, 4)), *(f"step(y)[{k}|{k + 1}]" for k in range(3))]
    assert found.params.index.tolist() == [*names, "sd(1 | person)"]
    y = items("irt_science").astype(int)

    def log_likelihood(b):
        scores = np.concatenate(([0.0], -np.cumsum(b[3:6])))
        terms = []
        for item, location in enumerate(np.append(0.0, b[:3])):
            nu = np.arange(4.0) * (location + b[6] * THETA[:, None]) + scores
            terms.append((nu - logsumexp(nu, axis=1, keepdims=True))[:, y[:, item]])
        return integral(terms)

    at, step = found.params.to_numpy(), 0.02 * found.bse.to_numpy()
    assert found.llf == pytest.approx(log_likelihood(at), abs=1e-9)
    for unit in np.diag(step):
        ends = [log_likelihood(at + sign * unit) for sign in (-1.0, 0.0, 1.0)]
        assert max(ends) == ends[1]
        # the parabola through them has its top within a thousandth of a standard error
        assert abs(ends[2] - ends[0]) < 0.2 * abs(ends[2] - 2.0 * ends[1] + ends[0])


@pytest.mark.parametrize("model", ["gpcm", "nominal"])
def test_published_item_models(model):
    """Generalized partial credit: a loading on mu. Nominal: a loading on each predictor."""
    theirs, y = results(f"irt_science_{model}"), items("irt_science")
    b = theirs["params"]
    terms = []
    for item in range(1, 5):
        d = [b[f"d{item}_{k}"] for k in (1, 2, 3)]
        code = np.column_stack((y[:, item - 1], np.full(len(y), 3.0)))
        if model == "gpcm":
            family = made("adjacent")
            nu = [b[f"l{item}"] * THETA[:, None], *(-np.diff(d, prepend=0.0)[:, None, None])]
        else:
            family = made("multinomial")
            nu = [b[f"s{item}_{k}"] * THETA[:, None] + d[k - 1] for k in (1, 2, 3)]
        terms.append(family.log_likelihood(code, nu))
    assert integral(terms) == pytest.approx(theirs["loglik"], abs=1e-6)


def test_published_guessing_model():
    theirs, y = results("irt_sat12_3plc"), items("irt_sat12")
    b, family = theirs["params"], made('binomial(logit, asymptotes="lower")')
    guess = np.full((1, 1), logit(b["c"]))
    terms = []
    for item in range(1, 33):
        code = np.column_stack((y[:, item - 1], np.ones(len(y))))
        terms.append(family.log_likelihood(code, [b[f"b{item}"] + b[f"l{item}"] * THETA[:, None], guess]))
    assert integral(terms) == pytest.approx(theirs["loglik"], abs=1e-6)


@pytest.mark.parametrize("asymptotes", ["upper", "both"])
def test_regression_of_the_asymptotes(asymptotes):
    """Log odds of guessing differ between items; slips are common to them."""
    rng = np.random.RandomState(5)
    x, item = 2.0 * rng.normal(size=2000), rng.randint(0, 2, 2000)
    low = np.array([0.1, 0.3])[item] if asymptotes == "both" else 0.0
    y = (rng.uniform(size=2000) < low + (0.85 - low) * expit(0.3 + 1.5 * x)).astype(float)
    data = pd.DataFrame({"y": y, "x": x, "item": np.array(["a", "b"])[item]})
    guessing = "; guess(y) ~ 0 + item" if asymptotes == "both" else ""
    found = glamm.fit(f"y ~ x{guessing}", data, f'binomial(logit, asymptotes="{asymptotes}")')
    assert found.converged, found.status

    def log_likelihood(b):
        guess = expit(b[2:4])[item] if asymptotes == "both" else 0.0
        p = guess + (1.0 - b[-1] - guess) * expit(b[0] + b[1] * x)
        return stats.bernoulli.logpmf(y, p).sum()

    at = found.params.to_numpy()
    assert found.llf == pytest.approx(log_likelihood(at), abs=1e-9)
    for unit in np.diag(1e-3 * found.bse.to_numpy()):
        slope = (log_likelihood(at + unit) - log_likelihood(at - unit)) / 2e-3
        assert abs(slope) < 1e-5
