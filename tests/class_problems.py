"""Models with discrete latent variables and data for them, small enough to sum over all classes by hand."""

import numpy as np
import pandas as pd
from scipy.special import log_expit, logsumexp
from scipy.stats import norm

import glamm

ITEMS = tuple("abde")


def item_frame(persons=200, seed=1, probability=((0.2, 0.3, 0.25, 0.1), (0.8, 0.7, 0.9, 0.75)), size=0.4):
    """Return 0/1 items of persons in two classes, the first of them with probability `size`."""
    rng = np.random.default_rng(seed)
    c = (rng.random(persons) >= size).astype(int)
    values = (rng.random((persons, len(ITEMS))) < np.asarray(probability)[c]).astype(int)
    return pd.DataFrame(values, columns=list(ITEMS)).assign(x=rng.standard_normal(persons), true=c)


def latent_class(persons=200, classes=2, covariate=False, seed=1):
    text = f"c =~ {' + '.join(ITEMS)}; c ~ classes({classes})" + (" + x" if covariate else "")
    return glamm.Model(text, item_frame(persons, seed), "binomial")


def multilevel_frame(schools=25, pupils=8, seed=5):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(schools), pupils)
    g = (rng.random(schools) < 0.4).astype(int)
    c = (rng.random(len(school)) < np.where(g == 1, 0.8, 0.2)[school]).astype(int)
    values = (rng.random((len(school), len(ITEMS))) < np.where(c == 1, 0.8, 0.2)[:, None]).astype(int)
    frame = pd.DataFrame(values, columns=list(ITEMS))
    return frame.assign(school=school, pupil=np.arange(len(school)))


def multilevel(frame):
    """Return classes of schools that pupils' classes depend on."""
    text = f"c =~ {' + '.join(ITEMS)}; c | pupil ~ classes(2) + g; g | school ~ classes(2)"
    return glamm.Model(text, frame, "binomial")


def multilevel_loglik(frame, p):
    """Return the log-likelihood of `multilevel` at named parameters, summed over all classes."""
    y = frame[list(ITEMS)].to_numpy()
    inside = np.stack(
        [
            sum(
                np.where(y[:, k], log_expit(p[f"{item} ~ c[{c}]"]), log_expit(-p[f"{item} ~ c[{c}]"]))
                for k, item in enumerate(ITEMS)
            )
            for c in (1, 2)
        ],
        axis=1,
    )
    terms = []
    for sign, of_class in ((1.0, 0.0), (-1.0, p["c[1] ~ g[T.2]"])):
        odds = p["c[1] ~ 1"] + of_class
        pupil = logsumexp(inside + log_expit([odds, -odds]), axis=1)
        school = np.bincount(frame["school"], weights=pupil)
        terms.append(log_expit(sign * p["g[1] ~ 1"]) + school)
    return logsumexp(terms, axis=0).sum()


def nested_frame(schools=20, pupils=6, times=3, seed=5):
    rng = np.random.default_rng(seed)
    pupil = np.repeat(np.arange(schools * pupils), times)
    school = pupil // pupils
    c = (rng.random(schools * pupils) < 0.6).astype(int)
    y = 0.8 * rng.standard_normal(schools)[school] + 2.5 * c[pupil] + 0.9 * rng.standard_normal(len(pupil))
    return pd.DataFrame({"y": y, "school": school, "pupil": pupil})


def nested(frame):
    """Return classes of pupils below a random intercept of schools."""
    return glamm.Model("y ~ 0 + c + (1 | school); c | pupil ~ classes(2)", frame)


def nested_loglik(frame, theta):
    """Return the log-likelihood of `nested` on a fine grid of the random intercept."""
    first, second, log_sigma, odds, sd = theta
    u = np.linspace(-8.0, 8.0, 4001)
    total = 0.0
    for _, of_school in frame.groupby("school"):
        inside = np.zeros_like(u)
        for _, of_pupil in of_school.groupby("pupil"):
            y = of_pupil["y"].to_numpy()[:, None]
            by_class = [
                log_expit(s * odds) + norm.logpdf(y, mean + sd * u, np.exp(log_sigma)).sum(axis=0)
                for s, mean in ((1.0, first), (-1.0, second))
            ]
            inside += logsumexp(by_class, axis=0)
        total += logsumexp(inside + norm.logpdf(u)) + np.log(u[1] - u[0])
    return total


def shifted(theta, seed=0, by=0.4):
    return theta + by * np.random.default_rng(seed).standard_normal(len(theta))


def differences(function, theta, step=1e-5):
    """Return central differences of a function of theta, one row a parameter."""
    return np.array(
        [(function(theta + e) - function(theta - e)) / (2 * step) for e in step * np.eye(len(theta))]
    )
