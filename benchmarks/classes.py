"""Time whole fits of models with discrete latent variables, random starts and standard errors included.

    python benchmarks/classes.py                   # all of them
    python benchmarks/classes.py --only "LCA 10"

Each line has the seconds it takes to meet the model with the data, those of the fit with its standard errors,
the log-likelihood, and how many of the starts that were continued found it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import glamm


@dataclass(frozen=True)
class ClassProblem:
    """A model with classes, and data simulated from one of its kind."""

    name: str
    formula: str
    family: str
    starts: int | None
    simulate: Callable[[], pd.DataFrame]


def items(persons: int, count: int, classes: int, slope: float = 0.0, seed: int = 1) -> pd.DataFrame:
    """Return 0/1 items of persons in classes whose log odds depend on a covariate with `slope`."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(persons)
    odds = np.log(np.arange(1, classes + 1)) + slope * np.outer(x, np.arange(classes))
    # the largest of log odds with Gumbel noise is a draw
    member = np.argmax(odds + rng.gumbel(size=odds.shape), axis=1)
    probability = rng.uniform(0.1, 0.9, (classes, count))[member]
    values = (rng.random((persons, count)) < probability).astype(int)
    return pd.DataFrame(values, columns=[f"i{k}" for k in range(count)]).assign(x=x)


def counts(clusters: int, size: int, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), size)
    x = rng.standard_normal(len(g))
    location = rng.choice([-1.0, 0.0, 0.8, 1.6], clusters, p=[0.2, 0.4, 0.3, 0.1])[g]
    return pd.DataFrame({"y": rng.poisson(np.exp(location + 0.3 * x)), "x": x, "g": g})


def growth(persons: int, times: int, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    c = (rng.random(persons) < 0.35).astype(int)
    level = np.where(c == 1, 2.0, 0.0) + 0.5 * rng.standard_normal(persons)
    slope = np.where(c == 1, -0.5, 0.4) + 0.2 * rng.standard_normal(persons)
    person, time_ = np.divmod(np.arange(persons * times), times)
    y = level[person] + slope[person] * time_ + 0.7 * rng.standard_normal(len(person))
    return pd.DataFrame({"y": y, "time": time_, "id": person})


TWENTY = "c =~ " + " + ".join(f"i{k}" for k in range(20))
PROBLEMS = (
    ClassProblem(
        "LCA 10,000 x 20, 4 classes, 50 starts",
        f"{TWENTY}; c ~ classes(4)",
        "binomial",
        50,
        lambda: items(10_000, 20, 4),
    ),
    ClassProblem(
        "LCA 2,000 x 20 with a covariate, 3 classes",
        f"{TWENTY}; c ~ classes(3) + x",
        "binomial",
        None,
        lambda: items(2_000, 20, 3, slope=0.5),
    ),
    ClassProblem(
        "NPML Poisson 2,000 x 5, 4 points",
        "y ~ x + npml(1 | g, k=4)",
        "poisson",
        None,
        lambda: counts(2_000, 5),
    ),
    ClassProblem(
        "growth mixture 1,000 x 5, 2 classes",
        "y ~ 0 + c + c:time + (1 + time | id); c | id ~ classes(2)",
        "gaussian",
        None,
        lambda: growth(1_000, 5),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="PROBLEM", help="name or its beginning")
    chosen = parser.parse_args().only
    warnings.simplefilter("ignore")
    for problem in PROBLEMS:
        if chosen and not any(problem.name.startswith(word) for word in chosen):
            continue
        data = problem.simulate()
        begin = time.perf_counter()
        model = glamm.Model(problem.formula, data, problem.family)
        met = time.perf_counter()
        fit = model.fit(starts=problem.starts, progress=False)
        fit.bse  # noqa: B018 - standard errors are part of a fit
        end = time.perf_counter()
        first = fit.solutions.iloc[0]
        print(
            f"{problem.name:45s} {met - begin:7.2f} s {end - met:7.2f} s {fit.llf:16.6f} "
            f"{first['found']} of {fit.solutions['found'].sum()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
