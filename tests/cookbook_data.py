"""Data for the models of the cookbooks, by the headings under which they stand."""

import numpy as np
import pandas as pd
from scipy.special import expit

PERSONS, SCHOOLS = 400, 40
RNG = np.random.RandomState(8)


def normal(*size, sd=1.0):
    return sd * RNG.normal(size=size or PERSONS)


def binary(nu):
    return (RNG.uniform(size=np.shape(nu)) < expit(nu)).astype(int)


def people():
    """Return persons in schools with covariates and answers to items of one to three abilities."""
    school = np.repeat(np.arange(SCHOOLS), PERSONS // SCHOOLS)
    data = pd.DataFrame({"person": np.arange(PERSONS), "school": school})
    data["female"], data["age"] = RNG.randint(0, 2, PERSONS), normal().round(2)
    general, verbal, spatial = (0.5 * data["female"] + normal(), normal(), normal())
    general += 0.6 * normal(SCHOOLS)[school] + 0.4 * data["age"]
    for k, loading in enumerate((1.0, 1.3, 0.8, 1.2, 0.9, 1.1), start=1):
        special = (verbal, spatial)[k > 3]
        data[f"i{k}"] = binary(0.4 * (k - 3) + 0.9 * loading * (general + special))
    for k, loading in enumerate((1.0, 1.4, 0.7), start=1):
        latent = 0.8 * loading * general + RNG.logistic(size=PERSONS)
        data[f"p{k}"] = np.digitize(latent, [-0.7 + 0.1 * k, 0.6])
    return data


def answers(wide, items):
    """Return a row an answer, sorted by person, with properties of the items."""
    long = wide.melt(["person", "school", "female", "age"], items, "item", "y").sort_values(
        ["person", "item"]
    )
    number = long["item"].str[1:].astype(int)
    return long.assign(
        steps=number % 3, negation=number % 2, testlet=np.where(number < 4, "a", "b")
    ).reset_index(drop=True)


def guessed(slip):
    """Return long data with asymptotes of 0.2 and 1 - slip."""
    persons, items = 1000, 8
    theta = RNG.normal(size=(persons, 1))
    nu = np.linspace(-2.0, 1.5, items) + 1.8 * theta
    y = RNG.uniform(size=nu.shape) < 0.2 + (0.8 - slip) * expit(nu)
    person, item = np.indices(nu.shape).reshape(2, -1)
    return pd.DataFrame({"person": person, "item": [f"i{k + 1}" for k in item], "y": y.ravel().astype(int)})


WIDE = people()
GUESSED = {
    "Three-parameter logistic model": guessed(slip=0.0),
    "Four-parameter logistic model": guessed(slip=0.15),
}
LONG = answers(WIDE, [f"i{k}" for k in range(1, 7)])
RATINGS = answers(WIDE, ["p1", "p2", "p3"])

DATA = GUESSED | {
    "Rasch model": LONG,
    "Two-parameter logistic model": WIDE,
    "Graded response model": WIDE,
    "Rating scale model": RATINGS,
    "Partial credit model": RATINGS,
    "Generalized partial credit model": WIDE,
    "Nominal response model": WIDE,
    "Linear logistic test model": LONG,
    "Latent regression": WIDE,
    "Differential item functioning": WIDE,
    "Multidimensional model": WIDE,
    "Bifactor model": WIDE,
    "Testlet model": LONG,
    "Multilevel item response model": WIDE,
}
