"""Regressions without random effects against likelihoods that are written here with SciPy alone.

A fit is right if its log-likelihood is that of the independent function at its estimates, if a Newton
step of that function from there is negligible, and if its standard errors are those of the function's
curvature, found by central differences a hundredth of a standard error apart.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, log_softmax

import glamm

N = 120
STEP = 0.01


def frame():
    rng = np.random.RandomState(11)
    x, z = rng.uniform(-1.0, 1.0, N), rng.binomial(1, 0.5, N).astype(float)
    nu = 0.4 + 0.5 * x - 0.4 * z
    mu, p = np.exp(nu), expit(nu)
    time, end = mu * rng.weibull(1.6, N), rng.uniform(0.5, 5.0, N)
    latent = nu + rng.logistic(size=N)
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "w": rng.randint(1, 4, N),
            "e": rng.uniform(0.5, 2.0, N),
            "normal": nu + np.exp(-0.5 + 0.3 * z) * rng.normal(size=N),
            "tailed": nu + 0.5 * rng.standard_t(3, N),
            "positive": rng.gamma(3.0, mu / 3.0),
            "wald": rng.wald(mu, 4.0),
            "count": rng.poisson(mu),
            "spread": rng.negative_binomial(2.0, 2.0 / (2.0 + mu)),
            "binary": rng.binomial(1, p),
            "hits": rng.binomial(9, p),
            "misses": 0,
            "guessed": rng.binomial(1, 0.2 + 0.7 * expit(0.5 + 1.5 * x)),
            "part": rng.beta(6.0 * p, 6.0 * (1.0 - p)),
            "grade": np.digitize(latent, [-1.0, 0.5, 2.0]) + 1,
            "time": np.minimum(time, end),
            "event": (time <= end).astype(int),
        }
    ).assign(misses=lambda d: 9 - d["hits"])


DATA = frame()
X, Z, ONES = DATA["x"].to_numpy(), DATA["z"].to_numpy(), np.ones(N)
DESIGN = np.column_stack([ONES, X, Z])
COLUMN = {name: DATA[name].to_numpy() for name in DATA}
GRADE = COLUMN["grade"] - 1
INVERSE = {
    "identity": lambda nu: nu,
    "log": np.exp,
    "reciprocal": lambda nu: 1.0 / nu,
    "inverse_square": lambda nu: nu**-0.5,
    "sqrt": np.square,
    "power(2)": np.sqrt,
    "logit": expit,
    "probit": stats.norm.cdf,
    "cloglog": lambda nu: -np.expm1(-np.exp(nu)),
    "loglog": lambda nu: np.exp(-np.exp(-nu)),
}
CDF = {name: INVERSE[name] for name in ("logit", "probit", "cloglog", "loglog")}


def mean(link):
    return lambda b: INVERSE[link](DESIGN @ b[:3])


def gaussian(link):
    return lambda b: stats.norm.logpdf(COLUMN["normal"], mean(link)(b), b[3])


def positive_gaussian(link):
    return lambda b: stats.norm.logpdf(COLUMN["wald"], mean(link)(b), b[3])


def gamma(link):
    return lambda b: stats.gamma.logpdf(COLUMN["positive"], b[3], scale=mean(link)(b) / b[3])


def wald(link):
    # scipy's mu is the ratio of mean and shape, its scale the shape
    return lambda b: stats.invgauss.logpdf(COLUMN["wald"], mean(link)(b) / b[3], scale=b[3])


def poisson(link):
    return lambda b: stats.poisson.logpmf(COLUMN["count"], mean(link)(b))


def negative_binomial(size):
    def logpmf(b):
        k = size(b)
        return stats.nbinom.logpmf(COLUMN["spread"], k, k / (k + mean("log")(b)))

    return logpmf


def binary(link):
    return lambda b: stats.bernoulli.logpmf(COLUMN["binary"], mean(link)(b))


def hits(link):
    return lambda b: stats.binom.logpmf(COLUMN["hits"], 9, mean(link)(b))


def guessed(b):
    # intercept and slope, then the asymptotes
    p = b[2] + (1.0 - b[2]) * expit(b[0] + b[1] * X)
    return stats.bernoulli.logpmf(COLUMN["guessed"], p)


def beta(link):
    def logpdf(b):
        mu = mean(link)(b)
        return stats.beta.logpdf(COLUMN["part"], mu * b[3], (1.0 - mu) * b[3])

    return logpdf


def cumulative(link, thresholds, nu, scale=lambda b: 1.0):
    def logpmf(b):
        cuts = np.broadcast_to(thresholds(b), (N, 3))
        below = CDF[link]((cuts - nu(b)[:, None]) / np.reshape(scale(b), (-1, 1)))
        steps = np.diff(np.column_stack([np.zeros(N), below, ONES]), axis=1)
        return np.log(steps[np.arange(N), GRADE])

    return logpmf


def sequential(link):
    # the binary decisions "stops here" of those who reached each step
    def logpmf(b):
        stops = CDF[link](b[2:5] - (DESIGN[:, 1:] @ b[:2])[:, None])
        decisions = stats.bernoulli.logpmf(GRADE[:, None] == np.arange(3), stops)
        return np.where(GRADE[:, None] >= np.arange(3), decisions, 0.0).sum(axis=1)

    return logpmf


def multinomial(b):
    nu = np.column_stack([np.zeros(N), DESIGN @ np.reshape(b, (3, 3)).T])
    return log_softmax(nu, axis=1)[np.arange(N), GRADE]


def weibull(shape):
    def log_likelihood(b):
        time, event = COLUMN["time"], COLUMN["event"] == 1
        law = stats.weibull_min(shape(b), scale=mean("log")(b))
        return np.where(event, law.logpdf(time), law.logsf(time))

    return log_likelihood


LOCATION = "~ x + z"
ORDINAL = ("grade", lambda b: b[2:5], lambda b: DESIGN[:, 1:] @ b[:2])
CASES = {
    **{f"gaussian({k})": (f"normal {LOCATION}", gaussian(k)) for k in ("identity", "log")},
    **{f"gaussian({k})": (f"wald {LOCATION}", positive_gaussian(k)) for k in ("reciprocal", "power(2)")},
    "student_t": (
        f"tailed {LOCATION}",
        lambda b: stats.t.logpdf(COLUMN["tailed"], b[4], mean("identity")(b), b[3]),
    ),
    "student_t(identity, df=4)": (
        f"tailed {LOCATION}",
        lambda b: stats.t.logpdf(COLUMN["tailed"], 4.0, mean("identity")(b), b[3]),
    ),
    **{f"gamma({k})": (f"positive {LOCATION}", gamma(k)) for k in ("log", "reciprocal", "identity")},
    **{f"inverse_gaussian({k})": (f"wald {LOCATION}", wald(k)) for k in ("log", "inverse_square")},
    **{f"poisson({k})": (f"count {LOCATION}", poisson(k)) for k in ("log", "sqrt", "identity")},
    "negative_binomial": (f"spread {LOCATION}", negative_binomial(lambda b: b[3])),
    **{f"binomial({k})": (f"binary {LOCATION}", binary(k)) for k in CDF},
    **{f"binomial({k}) counts": (f"cbind(hits, misses) {LOCATION}", hits(k)) for k in CDF},
    "binomial(logit, asymptotes='lower')": ("guessed ~ x", guessed),
    **{f"beta({k})": (f"part {LOCATION}", beta(k)) for k in ("logit", "probit", "cloglog")},
    **{f"ordinal({k})": (f"grade {LOCATION}", cumulative(k, *ORDINAL[1:])) for k in CDF},
    **{f"sequential({k})": (f"grade {LOCATION}", sequential(k)) for k in ("logit", "probit", "cloglog")},
    "multinomial": (f"grade {LOCATION}", multinomial),
    "weibull": (f"surv(time, event) {LOCATION}", weibull(lambda b: b[3])),
    "exponential": (f"surv(time, event) {LOCATION}", weibull(lambda b: 1.0)),
    # regressions of auxiliary parameters, on the link scale
    "gaussian, sigma": (
        f"normal {LOCATION}; sigma ~ z",
        lambda b: stats.norm.logpdf(COLUMN["normal"], DESIGN @ b[:3], np.exp(b[3] + b[4] * Z)),
    ),
    "negative_binomial, size": (
        f"spread {LOCATION}; size(spread) ~ z",
        negative_binomial(lambda b: np.exp(b[3] + b[4] * Z)),
    ),
    "weibull, shape": (
        f"surv(time, event) {LOCATION}; shape ~ x",
        weibull(lambda b: np.exp(b[3] + b[4] * X)),
    ),
    "ordinal(probit), scale": (
        f"grade {LOCATION}; scale(grade) ~ x",
        cumulative("probit", *ORDINAL[1:], lambda b: np.exp(b[5] * X)),
    ),
    "ordinal, threshold": (
        "grade ~ x; threshold(grade) ~ z",
        cumulative(
            "logit", lambda b: b[[1, 3, 5]] + np.outer(Z, b[[2, 4, 6]]), lambda b: b[0] * X
        ),
    ),
}  # fmt: skip
FITTED = {}


def fit(name, formula, **options):
    key = (name, formula, *options)
    if key not in FITTED:
        family = name.split(" ")[0] if name.endswith("counts") else name
        family = family if "(" in family and family.endswith(")") else family.split(",")[0]
        FITTED[key] = glamm.fit(formula, DATA, family, **options)
    return FITTED[key]


def curvature(function, at, unit):
    """Return gradient and Hessian of `function` in steps of `unit`, by central differences."""
    steps = np.diag(unit * STEP)
    plus, minus = (np.array([function(at + sign * s) for s in steps]) for sign in (1, -1))
    here, size = function(at), len(at)
    hessian = np.diag(plus + minus - 2.0 * here)
    for i in range(size):
        for j in range(i):
            corners = [s * t * function(at + s * steps[i] + t * steps[j]) for s in (1, -1) for t in (1, -1)]
            hessian[i, j] = hessian[j, i] = sum(corners) / 4.0
    doubled = [function(at + 2 * s) - function(at - 2 * s) for s in steps]
    gradient = (8.0 * (plus - minus) - np.array(doubled)) / 12.0
    return gradient / STEP, hessian / STEP**2


def check(found, log_likelihood):
    at, unit = found.params.to_numpy(), found.bse.to_numpy()
    assert found.converged, found.status
    assert found.llf == pytest.approx(log_likelihood(at), rel=1e-10)
    gradient, hessian = curvature(log_likelihood, at, unit)
    assert np.linalg.eigvalsh(hessian).max() < 0.0
    covariance = np.linalg.inv(-hessian)
    assert np.abs(covariance @ gradient).max() < 1e-4
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), 1.0, rtol=2e-3)
    off = found.cov_params().to_numpy() / np.outer(unit, unit)
    np.testing.assert_allclose(covariance, off, atol=5e-3)


@pytest.mark.parametrize("name", CASES)
def test_maximum_of_an_independent_likelihood(name):
    formula, terms = CASES[name]
    check(fit(name, formula), lambda b: float(np.sum(terms(b))))


@pytest.mark.parametrize("name", ["gamma(log)", "binomial(cloglog)", "ordinal(logit)", "weibull"])
def test_frequency_weights_multiply_the_terms(name):
    formula, terms = CASES[name]
    found = fit(name, formula, weights="w")
    check(found, lambda b: float(COLUMN["w"] @ terms(b)))
    assert found.nobs == COLUMN["w"].sum()


@pytest.mark.parametrize("name", ["poisson(log)", "binomial(probit)", "gaussian(identity)", "ordinal(logit)"])
def test_an_offset_is_a_coefficient_of_one(name):
    formula, _ = CASES[name]
    with_offset = glamm.fit(f"{formula} + offset(2 * x)", DATA, name)
    plain = fit(name, formula)
    position = with_offset.params.index.get_loc(f"{formula.split()[0]} ~ x")
    expected = plain.params.to_numpy() - 2.0 * (np.arange(len(plain.params)) == position)
    np.testing.assert_allclose(with_offset.params, expected, atol=1e-5)
    assert with_offset.llf == pytest.approx(plain.llf, rel=1e-10)
