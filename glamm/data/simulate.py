"""Simulated data sets with known parameters: ``python -m glamm.data.simulate FOLDER`` writes them.

Every function takes a seed and returns a data frame. The parameters are those of `TRUTH`, on the scales
on which a fit reports them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["SIMULATED", "TRUTH", "counts", "ratings", "schools", "survival", "write"]

TRUTH: Mapping[str, Mapping[str, float]] = {
    "schools": {
        "score ~ 1": 50.0,
        "score ~ ses": 3.0,
        "score ~ small": 2.0,
        "sd(1 | school)": 4.0,
        "sd(1 | school:class)": 3.0,
        "sigma(score)": 8.0,
        "passed ~ 1": 0.4,
        "passed ~ ses": 0.7,
        "passed ~ small": 0.5,
        "passed sd(1 | school)": 0.8,
        "passed sd(1 | school:class)": 0.6,
    },
    "counts": {
        "y ~ 1": 1.5,
        "y ~ treat": -0.4,
        "y ~ visit": -0.1,
        "sd(1 | id)": 0.6,
        "sd(visit | id)": 0.15,
        "cor(1, visit | id)": -0.3,
    },
    "ratings": {
        "rating ~ length": 0.8,
        "rating ~ trained": -0.5,
        "threshold(rating)[1|2]": -1.5,
        "threshold(rating)[2|3]": 0.0,
        "threshold(rating)[3|4]": 1.2,
        "threshold(rating)[4|5]": 2.5,
        "sd(1 | judge)": 0.9,
    },
    "survival": {
        "surv(time, event) ~ 1": 2.0,
        "surv(time, event) ~ treat": 0.5,
        "surv(time, event) ~ age": -0.3,
        "shape": 1.5,
        "sd(1 | hospital)": 0.4,
    },
}


def _generator(seed: int) -> np.random.RandomState:
    # RandomState, not Generator: NumPy promises that its stream never changes between versions.
    return np.random.RandomState(seed)


def schools(seed: int = 1) -> pd.DataFrame:
    """Return 600 pupils in 60 classes of 20 schools: a test score and whether it was passed."""
    rng, truth = _generator(seed), TRUTH["schools"]
    school = np.repeat(np.arange(1, 21), 30)
    klass = np.tile(np.repeat([1, 2, 3], 10), 20)
    place = np.repeat(np.arange(60), 10)
    ses = np.round(rng.normal(size=600), 2)
    small = rng.binomial(1, 0.5, size=60)[place]
    nu = {}
    for response, prefix in (("score", ""), ("passed", "passed ")):
        effects = rng.normal(size=20)[school - 1] * truth[f"{prefix}sd(1 | school)"]
        effects = effects + rng.normal(size=60)[place] * truth[f"{prefix}sd(1 | school:class)"]
        slope, gain = truth[f"{response} ~ ses"], truth[f"{response} ~ small"]
        nu[response] = truth[f"{response} ~ 1"] + slope * ses + gain * small + effects
    score = np.round(nu["score"] + truth["sigma(score)"] * rng.normal(size=600), 1)
    passed = (rng.uniform(size=600) < 1 / (1 + np.exp(-nu["passed"]))).astype(int)
    columns = {"school": school, "class": klass, "ses": ses, "small": small}
    return pd.DataFrame({**columns, "score": score, "passed": passed})


def counts(seed: int = 2) -> pd.DataFrame:
    """Return counts at five visits of 80 persons, half of them treated."""
    rng, truth = _generator(seed), TRUTH["counts"]
    person = np.repeat(np.arange(80), 5)
    visit = np.tile(np.arange(5), 80)
    treat = (person % 2).astype(int)
    sds = np.array([truth["sd(1 | id)"], truth["sd(visit | id)"]])
    cor = truth["cor(1, visit | id)"]
    factor = sds[:, None] * np.array([[1.0, 0.0], [cor, np.sqrt(1 - cor**2)]])
    effects = rng.normal(size=(80, 2)) @ factor.T
    nu = truth["y ~ 1"] + truth["y ~ treat"] * treat + truth["y ~ visit"] * visit
    nu = nu + effects[person, 0] + effects[person, 1] * visit
    return pd.DataFrame({"id": person + 1, "visit": visit, "treat": treat, "y": rng.poisson(np.exp(nu))})


def ratings(seed: int = 3) -> pd.DataFrame:
    """Return ratings from 1 to 5 that 30 judges gave to 15 essays each."""
    rng, truth = _generator(seed), TRUTH["ratings"]
    judge = np.repeat(np.arange(30), 15)
    trained = (judge < 15).astype(int)
    length = np.round(rng.normal(size=450), 2)
    nu = truth["rating ~ length"] * length + truth["rating ~ trained"] * trained
    nu = nu + truth["sd(1 | judge)"] * rng.normal(size=30)[judge]
    uniform = rng.uniform(size=450)
    cuts = np.array([truth[f"threshold(rating)[{k}|{k + 1}]"] for k in range(1, 5)])
    rating = 1 + (np.log(uniform / (1 - uniform)) + nu > cuts[:, None]).sum(axis=0)
    return pd.DataFrame({"judge": judge + 1, "trained": trained, "length": length, "rating": rating})


def survival(seed: int = 4) -> pd.DataFrame:
    """Return times to an event of 400 patients in 25 hospitals, censored at the end of the study."""
    rng, truth = _generator(seed), TRUTH["survival"]
    hospital = np.repeat(np.arange(25), 16)
    treat = np.tile([0, 1], 200)
    age = np.round(rng.normal(size=400), 2)
    name = "surv(time, event)"
    nu = truth[f"{name} ~ 1"] + truth[f"{name} ~ treat"] * treat + truth[f"{name} ~ age"] * age
    nu = nu + truth["sd(1 | hospital)"] * rng.normal(size=25)[hospital]
    latent = np.exp(nu) * (-np.log(rng.uniform(size=400))) ** (1 / truth["shape"])
    end = rng.uniform(5.0, 25.0, size=400)
    event = (latent <= end).astype(int)
    time = np.maximum(np.round(np.minimum(latent, end), 3), 0.001)
    columns = {"hospital": hospital + 1, "treat": treat, "age": age, "time": time, "event": event}
    return pd.DataFrame(columns)


SIMULATED: Mapping[str, Callable[[], pd.DataFrame]] = {
    "schools": schools,
    "counts": counts,
    "ratings": ratings,
    "survival": survival,
}


def write(folder: Path) -> None:
    """Write every simulated data set to `folder` as CSV."""
    for name, make in SIMULATED.items():
        make().to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
