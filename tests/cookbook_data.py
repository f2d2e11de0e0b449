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


def structural():
    """Return rows in schools: indicators of factors, measures of schools, repeated measures, outcomes."""
    n = PERSONS
    school = np.repeat(np.arange(SCHOOLS), n // SCHOOLS)
    data = pd.DataFrame({"id": np.arange(n), "school": school, "x": normal(), "w": normal()})
    data["group"] = np.where(RNG.uniform(size=n) < 0.5, "one", "two")
    data["ses"] = normal(SCHOOLS)[school]
    climate, top = normal(SCHOOLS)[school], normal()
    between = 0.4 * climate + 0.3 * data["ses"] + 0.5 * normal(SCHOOLS)[school]
    factor = between + 0.7 * top + 0.4 * data["x"] + 0.3 * data["w"] + 0.5 * normal()
    other, third = 0.6 * top + 0.3 * factor + 0.7 * normal(), 0.7 * top + 0.7 * normal()
    for k, loading in enumerate((1.0, 0.8, 1.2), start=1):
        data[f"a{k}"] = 0.1 * k + loading * factor + 0.6 * normal()
        data[f"b{k}"] = loading * other + 0.6 * normal()
        data[f"c{k}"] = loading * third + 0.6 * normal()
        data[f"s{k}"] = loading * climate + 0.4 * normal(SCHOOLS)[school]
    start, growth = 1.0 + 0.3 * data["x"] + 0.8 * normal(), 0.5 + 0.2 * data["x"] + 0.3 * normal()
    for k in range(4):
        data[f"t{k}"] = start + k * growth + 0.5 * normal()
    exposure = 0.5 * data["x"] + normal()
    data["m1"], data["m2"] = exposure + 0.5 * normal(), exposure + 0.5 * normal()
    data["ill"] = binary(0.3 * data["x"] + 0.8 * exposure)
    hidden = normal()
    data["treat"] = (0.3 * data["x"] + 0.8 * data["w"] + hidden + normal() > 0.0).astype(int)
    data["y"] = data["x"] + 0.5 * factor + 0.4 * other + 0.3 * factor * other + 0.8 * normal()
    data["treated"] = 1.0 + data["x"] + 0.5 * data["treat"] + 0.6 * hidden + 0.7 * normal()
    data["seen"] = (0.5 + 0.3 * data["x"] + 1.2 * data["w"] + hidden + normal() > 0.0).astype(int)
    data["outcome"] = np.where(data["seen"] == 1, 1.0 + data["x"] + 0.3 * hidden + 0.7 * normal(), np.nan)
    z = 0.3 + 0.5 * data["x"] + 0.4 * data["w"] + normal()
    data["late"] = 0.5 + data["x"] + 0.7 * z + 0.8 * normal()
    data["z"] = np.where(RNG.uniform(size=n) < 0.3, np.nan, z)
    return data


def visits():
    """Return long data with visits 0 to 4 of 120 persons who may drop out after each but the last."""
    rows = []
    for person in range(120):
        b0, b1 = 0.8 * RNG.normal(), 0.4 * RNG.normal()
        for time in range(5):
            v = 1.0 + b0 + (0.5 + b1) * time + 0.5 * RNG.normal()
            drop = np.nan if time == 4 else float(RNG.uniform() < 1.0 - np.exp(-np.exp(-2.0 + 0.8 * b0 + b1)))
            rows.append((person, time, v, drop))
            if drop == 1.0:
                break
    return pd.DataFrame(rows, columns=["id", "time", "v", "drop"])


def choices():
    """Return three alternatives in each of 4 sets of 60 persons: which is chosen, and their ranks."""
    rows = []
    for person in range(60):
        taste = -1.0 + 0.7 * RNG.normal()
        for choice in range(4):
            price, quality = RNG.normal(size=(2, 3))
            utility = taste * price + 0.8 * quality + RNG.gumbel(size=3)
            rank = 1 + np.argsort(np.argsort(-utility))
            rows += [(person, 4 * person + choice, *row) for row in zip(price, quality, rank, strict=True)]
    data = pd.DataFrame(rows, columns=["id", "set", "price", "quality", "rank"])
    return data.assign(chosen=(data["rank"] == 1).astype(int))


ROWS = structural()
STRUCTURAL = {
    "Dropout": visits(),
    "Discrete choice": choices(),
    "Rankings": choices(),
}
