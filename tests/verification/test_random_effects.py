"""Log-likelihoods of fits with random effects against sums over a fine lattice.

The densities are SciPy's. The trapezoidal rule over nine standard deviations has no error to speak of where
the density of a cluster is not narrower than some steps.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, log_softmax, logsumexp

import glamm

CLUSTERS, SIZE = 15, 6
Z = np.linspace(-9.0, 9.0, 721)
LOG_WEIGHT = stats.norm.logpdf(Z) + np.log(Z[1] - Z[0])


def frame():
    rng = np.random.RandomState(23)
    n = CLUSTERS * SIZE
    g = np.repeat(np.arange(CLUSTERS), SIZE)
    x = rng.uniform(-1.0, 1.0, n)
    nu = 0.5 + 0.6 * x + 0.7 * rng.normal(size=CLUSTERS)[g]
    time, end = np.exp(nu) * rng.weibull(1.5, n), rng.uniform(1.0, 6.0, n)
    return pd.DataFrame(
        {
            "g": g,
            "x": x,
            "half": np.tile([0, 0, 0, 1, 1, 1], CLUSTERS),
            "spread": rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(nu))),
            "wald": rng.wald(np.exp(nu), 4.0),
            "part": rng.beta(6.0 * expit(nu), 6.0 * expit(-nu)),
            "tailed": nu + 0.5 * rng.standard_t(4, n),
            "normal": nu + np.exp(0.5 * rng.normal(size=CLUSTERS)[g] - 0.5) * rng.normal(size=n),
            "grade": np.digitize(nu + rng.logistic(size=n), [-0.5, 1.5]),
            "time": np.minimum(time, end),
            "event": (time <= end).astype(int),
        }
    )


DATA = frame()
X = DATA["x"].to_numpy()
COLUMN = {name: DATA[name].to_numpy() for name in DATA}
GRADE = COLUMN["grade"]


def sequential(nu, b):
    stops = expit(b["threshold(grade)[0|1]"] - nu), expit(b["threshold(grade)[1|2]"] - nu)
    p = [stops[0], (1 - stops[0]) * stops[1], (1 - stops[0]) * (1 - stops[1])]
    return np.log(np.choose(GRADE, p))


def ordinal(nu, b):
    below = expit(b["threshold(grade)[0|1]"] - nu), expit(b["threshold(grade)[1|2]"] - nu)
    return np.log(np.choose(GRADE, [below[0], below[1] - below[0], 1 - below[1]]))


def weibull(nu, b):
    law = stats.weibull_min(b["shape(surv(time, event))"], scale=np.exp(nu))
    return np.where(COLUMN["event"] == 1, law.logpdf(COLUMN["time"]), law.logsf(COLUMN["time"]))


def negative_binomial(nu, b):
    size = b["size(spread)"]
    return stats.nbinom.logpmf(COLUMN["spread"], size, size / (size + np.exp(nu)))


def inverse_gaussian(nu, b):
    shape = b["shape(wald)"]
    return stats.invgauss.logpdf(COLUMN["wald"], np.exp(nu) / shape, scale=shape)


def beta(nu, b):
    phi = b["phi(part)"]
    return stats.beta.logpdf(COLUMN["part"], phi * expit(nu), phi * expit(-nu))


def student_t(nu, b):
    return stats.t.logpdf(COLUMN["tailed"], 4.0, nu, b["sigma(tailed)"])


CASES = {
    "negative_binomial": ("spread", negative_binomial),
    "inverse_gaussian": ("wald", inverse_gaussian),
    "beta": ("part", beta),
    "student_t(identity, df=4)": ("tailed", student_t),
    "ordinal": ("grade", ordinal),
    "sequential": ("grade", sequential),
    "weibull": ("surv(time, event)", weibull),
}


def clusters(terms):
    """Return the sums of the terms of each cluster, shape (.., clusters)."""
    return np.add.reduceat(terms, np.arange(0, len(X), SIZE), axis=-1)


@pytest.mark.parametrize("family", CASES)
def test_random_intercept(family):
    response, density = CASES[family]
    fit = glamm.fit(f"{response} ~ x + (1 | g)", DATA, family)
    b = fit.params
    fixed = b.get(f"{response} ~ 1", 0.0) + b[f"{response} ~ x"] * X
    terms = density(fixed + b["sd(1 | g)"] * Z[:, None], b)
    exact = logsumexp(clusters(terms) + LOG_WEIGHT[:, None], axis=0).sum()
    assert fit.converged
    assert fit.llf == pytest.approx(exact, abs=1e-5)
    # moments of the posterior of each cluster
    posterior = np.exp(clusters(terms) + LOG_WEIGHT[:, None])
    posterior /= posterior.sum(axis=0)
    mean = Z @ posterior
    sd = np.sqrt(Z**2 @ posterior - mean**2)
    scaled = b["sd(1 | g)"] * np.column_stack([mean, sd])
    np.testing.assert_allclose(fit.ranef()["g"], scaled, atol=1e-3)


def test_intercepts_of_three_levels():
    fit = glamm.fit("grade ~ x + (1 | g/half)", DATA, "ordinal", points=15)
    b = fit.params
    z, log_weight = Z[::6], LOG_WEIGHT[::6] + np.log(6.0)
    outer, inner = b["sd(1 | g)"] * z[:, None, None], b["sd(1 | g:half)"] * z[:, None]
    terms = ordinal(b["grade ~ x"] * X + outer + inner, b)
    halves = np.add.reduceat(terms, np.arange(0, len(X), SIZE // 2), axis=-1)
    within = logsumexp(halves + log_weight[:, None], axis=1)
    whole = within[:, 0::2] + within[:, 1::2]
    exact = logsumexp(whole + log_weight[:, None], axis=0).sum()
    assert fit.llf == pytest.approx(exact, abs=1e-5)


def test_random_location_and_scale():
    fit = glamm.fit("normal ~ x + (1 | g); sigma(normal) ~ 1 + (1 | g)", DATA, points=61)
    b = fit.params
    z, log_weight = Z[::3], LOG_WEIGHT[::3] + np.log(3.0)
    mean = b["normal ~ 1"] + b["normal ~ x"] * X + b["sd(1 | g)"] * z[:, None, None]
    spread = np.exp(b["sigma(normal) ~ 1"] + b["sd(sigma(normal): 1 | g)"] * z[:, None])
    joint = clusters(stats.norm.logpdf(COLUMN["normal"], mean, spread))
    exact = logsumexp(joint + log_weight[:, None, None] + log_weight[:, None], axis=(0, 1)).sum()
    assert b["sd(sigma(normal): 1 | g)"] > 0.1
    # six rows say little about a cluster's spread: its posterior is skewed and the rule converges slowly
    assert fit.llf == pytest.approx(exact, abs=1e-4)


def test_random_intercepts_of_categories():
    fit = glamm.fit("grade ~ x + (1 | g)", DATA, "multinomial", points=15)
    b = fit.params
    z, log_weight = Z[::6], LOG_WEIGHT[::6] + np.log(6.0)
    root = np.linalg.cholesky(fit.VarCorr()["g"].to_numpy() + 1e-14 * np.eye(2))
    u = np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1) @ root.T
    nu = [b[f"grade[{k}] ~ 1"] + b[f"grade[{k}] ~ x"] * X + u[..., k - 1, None] for k in (1, 2)]
    log_p = log_softmax(np.stack([np.zeros_like(nu[0]), *nu]), axis=0)
    joint = clusters(np.choose(GRADE, log_p))
    exact = logsumexp(joint + log_weight[:, None, None] + log_weight[:, None], axis=(0, 1)).sum()
    assert fit.llf == pytest.approx(exact, abs=1e-5)
