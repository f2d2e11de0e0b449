"""Models and data of the benchmarks: reference data where they are, simulated stand-ins of the same shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
REFERENCE = Path(os.environ.get("GLAMM_REFERENCE", ROOT.parent / "shared" / "reference"))


@dataclass(frozen=True)
class Problem:
    """A model, the rule at which programs are compared, and its data.

    `peers_formula` is the formula of programs that take counts of successes as a proportion with the
    column `trials` for weights; it is empty where the formula is the same. `girth` is the function of that
    package that fits the same model, if it has one; `mirt` says to mirt which factor each item measures,
    `lavaan` is the model in the language of that package and of semopy, `cluster` the column of its clusters.
    """

    name: str
    formula: str
    family: str
    points: int
    simulate: Callable[[], pd.DataFrame]
    file: str = ""
    factors: tuple[str, ...] = ()
    peers_formula: str = ""
    trials: str = ""
    girth: str = ""
    mirt: str = ""
    lavaan: str = ""
    cluster: str = ""

    def data(self) -> pd.DataFrame:
        path = REFERENCE / self.file
        if self.file and path.is_file():
            return pd.read_csv(path, dtype={name: str for name in self.factors})
        return self.simulate()

    @property
    def regression(self) -> bool:
        """Whether programs for regressions with random effects can fit it."""
        return "=~" not in self.formula

    def source(self) -> str:
        return self.file if self.file and (REFERENCE / self.file).is_file() else "simulated"


def _logit(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return (rng.random(eta.size) < 1 / (1 + np.exp(-eta))).astype(int)


def cbpp() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    herd, period = np.divmod(np.arange(60), 4)
    size = rng.integers(2, 30, 60)
    eta = -1.4 - 0.5 * period + 0.65 * rng.normal(size=15)[herd]
    incidence = rng.binomial(size, 1 / (1 + np.exp(-eta)))
    return pd.DataFrame(
        {"herd": herd, "incidence": incidence, "size": size, "period": (period + 1).astype(str)}
    )


def contraception() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 1934
    district = np.sort(rng.integers(0, 60, n))
    age, urban = rng.normal(0, 9, n), rng.integers(0, 2, n)
    livch = rng.integers(0, 4, n)
    eta = -1 + 0.7 * urban + 0.8 * (livch > 0) - 0.45 * age**2 / 100 + 0.48 * rng.normal(size=60)[district]
    columns = {"district": district, "y": _logit(rng, eta), "age": age, "age2": age**2 / 100}
    return pd.DataFrame({**columns, "urbanY": urban, "livch": livch.astype(str)})


def toenail() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    patient, visit = np.divmod(np.arange(294 * 7), 7)
    time = np.array([0, 1, 2, 3, 6, 9, 12])[visit]
    trt = rng.integers(0, 2, 294)[patient]
    eta = -1.6 - 0.39 * time - 0.14 * trt * time + 4 * rng.normal(size=294)[patient]
    return pd.DataFrame({"patientID": patient, "y": _logit(rng, eta), "trt": trt, "time": time})


def epilepsy() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    subject, visit = np.divmod(np.arange(236), 4)
    person = rng.normal(size=(59, 3))
    treated = rng.integers(0, 2, 59)[subject]
    lbase, lage = 0.7 * person[subject, 0], 0.2 * person[subject, 1]
    fourth = (visit == 3).astype(int)
    mu = np.exp(1.8 + 0.9 * lbase - 0.3 * treated - 0.16 * fourth + 0.5 * person[subject, 2])
    columns = {"subject": subject, "y": rng.poisson(mu), "lbase": lbase, "lage": lage}
    return pd.DataFrame({**columns, "trtP": treated, "V4": fourth})


def two_level(clusters: int, size: int, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(clusters), size)
    x = rng.normal(size=(4, group.size))
    eta = -0.5 + np.array([0.5, -0.3, 0.2, 0.1]) @ x + rng.normal(size=clusters)[group]
    columns = {f"x{k + 1}": values for k, values in enumerate(x)}
    return pd.DataFrame({"g": group, "y": _logit(rng, eta), **columns})


def three_level() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    school, rest = np.divmod(np.arange(20_000), 100)
    group = school * 10 + rest // 10
    x = rng.normal(size=20_000)
    eta = -0.3 + 0.5 * x + rng.normal(size=200)[school] + rng.normal(size=2000)[group]
    return pd.DataFrame({"school": school, "group": group, "x": x, "y": _logit(rng, eta)})


def gaussian() -> pd.DataFrame:
    frame = two_level(10_000, 10)
    rng = np.random.default_rng(7)
    slopes = rng.normal(size=10_000)[frame["g"]]
    frame["y"] = frame["y"] + 0.5 * slopes * frame["x1"] + rng.normal(size=len(frame))
    return frame


def three_factors(rows: int = 301) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    factor = rng.normal(size=(rows, 3)) + 0.7 * rng.normal(size=(rows, 1))
    return pd.DataFrame(
        {f"x{k + 1}": (1.0 - 0.1 * (k % 3)) * factor[:, k // 3] + rng.normal(size=rows) for k in range(9)}
    )


THREE_FACTORS = "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"


def two_level_factors(clusters: int = 2000, size: int = 25) -> pd.DataFrame:
    """Return six items of a factor of rows and of one of groups."""
    rng = np.random.default_rng(12)
    group = np.repeat(np.arange(clusters), size)
    rows, groups = rng.normal(size=group.size), 0.6 * rng.normal(size=clusters)[group]
    own = 0.4 * rng.normal(size=(clusters, 6))[group]
    noise = 0.8 * rng.normal(size=(group.size, 6))
    items = np.linspace(1.0, 0.7, 6) * (rows + groups)[:, None] + own + noise
    return pd.DataFrame(items, columns=[f"y{k}" for k in range(6)]).assign(g=group)


SIX = " + ".join(f"y{k}" for k in range(6))
TWO_LEVEL_FACTORS = f"w =~ {SIX}\nb | g =~ {SIX}\n" + "\n".join(f"y{k} ~ (1 | g)" for k in range(6))


def answers(persons: int, items: int, factors: np.ndarray, seed: int) -> pd.DataFrame:
    """Return 0/1 answers to items whose loadings on the persons' factors are the rows of `factors`."""
    rng = np.random.default_rng(seed)
    eta = rng.normal(size=(persons, factors.shape[1])) @ factors.T
    values = _logit(rng, (eta + np.resize([-1.0, -0.5, 0.0, 0.5, 1.0], items)).ravel())
    return pd.DataFrame(values.reshape(persons, items), columns=[f"i{j}" for j in range(items)])


def one_factor(persons: int, items: int) -> pd.DataFrame:
    return answers(persons, items, np.resize([0.8, 1.2, 1.6], items)[:, None], 8)


def graded() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    theta = rng.normal(size=2000)
    latent = 1.3 * theta[:, None] + rng.logistic(size=(2000, 20))
    codes = np.digitize(latent, [-1.5, -0.3, 0.8])
    return pd.DataFrame({f"i{j}": pd.Categorical(codes[:, j], ordered=True) for j in range(20)})


def two_factors() -> pd.DataFrame:
    """Return items by turns of one factor and of another that correlates 0.6 with it."""
    mixing = np.array([[1.2, 0.0], [0.72, 0.96]])
    return answers(2000, 20, np.resize(mixing, (20, 2)), 10)


def bifactor() -> pd.DataFrame:
    """Return items of a general factor and, by turns, of five specific ones."""
    specific = 0.9 * np.resize(np.eye(5), (25, 5))
    return answers(2000, 25, np.column_stack([np.full(25, 1.2), specific]), 11)


def measured(factor: str, items: range) -> str:
    return (
        f"{factor} =~ NA*i{items[0]} + "
        + " + ".join(f"i{j}" for j in items[1:])
        + f"\n{factor} ~~ 1*{factor}"
    )


def bifactor_text() -> str:
    names = ["g", *(f"s{k}" for k in range(5))]
    lines = [measured("g", range(25)), *(measured(f"s{k}", range(k, 25, 5)) for k in range(5))]
    pairs = [f"{a} ~~ 0*{b}" for k, a in enumerate(names) for b in names[:k]]
    return "\n".join(lines + pairs)


FOUR = "x1 + x2 + x3 + x4"
PROBLEMS = (
    Problem(
        "cbpp",
        "cbind(incidence, size - incidence) ~ period + (1 | herd)",
        "binomial",
        9,
        cbpp,
        "cbpp.csv",
        ("period",),
        "proportion ~ period + (1 | herd)",
        "size",
    ),
    Problem(
        "contraception",
        "y ~ age + age2 + urbanY + livch + (1 | district)",
        "binomial",
        7,
        contraception,
        "contraception.csv",
        ("livch",),
    ),
    Problem("toenail", "y ~ trt * time + (1 | patientID)", "binomial", 21, toenail, "toenail.csv"),
    Problem("epilepsy", "y ~ lbase * trtP + lage + V4 + (1 | subject)", "poisson", 9, epilepsy, "epil.csv"),
    Problem("logit 10,000 x 10", f"y ~ {FOUR} + (1 | g)", "binomial", 7, lambda: two_level(10_000, 10)),
    Problem(
        "three-level logit 200 x 10 x 10",
        "y ~ x + (1 | school) + (1 | group)",
        "binomial",
        7,
        three_level,
    ),
    Problem("Gaussian 10,000 x 10", f"y ~ {FOUR} + (1 + x1 | g)", "gaussian", 1, gaussian),
    Problem(
        "factors 301 x 9", THREE_FACTORS, "gaussian", 1, three_factors, "fa_hs.csv", lavaan=THREE_FACTORS
    ),
    Problem(
        "factors 1,000,000 x 9",
        THREE_FACTORS,
        "gaussian",
        1,
        lambda: three_factors(1_000_000),
        lavaan=THREE_FACTORS,
    ),
    Problem(
        "two-level factors 2,000 x 25 x 6",
        TWO_LEVEL_FACTORS,
        "gaussian",
        1,
        two_level_factors,
        lavaan=f"level: 1\nw =~ {SIX}\nlevel: 2\nb =~ {SIX}",
        cluster="g",
    ),
    Problem(
        "2PL 10,000 x 100",
        measured("f", range(100)),
        "binomial",
        15,
        lambda: one_factor(10_000, 100),
        girth="twopl_mml",
        mirt="1",
    ),
    Problem(
        "graded response 2,000 x 20",
        measured("f", range(20)),
        "ordinal",
        15,
        graded,
        girth="grm_mml",
        mirt="1",
    ),
    Problem(
        "two-factor 2PL 2,000 x 20",
        f"{measured('a', range(0, 20, 2))}\n{measured('b', range(1, 20, 2))}",
        "binomial",
        9,
        two_factors,
        mirt="a = 1,3,5,7,9,11,13,15,17,19\nb = 2,4,6,8,10,12,14,16,18,20\nCOV = a*b",
    ),
    Problem(
        "bifactor 2PL 2,000 x 25",
        bifactor_text(),
        "binomial",
        9,
        bifactor,
        mirt="bfactor " + " ".join(str(1 + k % 5) for k in range(25)),
    ),
    Problem("logit 100,000 x 10", f"y ~ {FOUR} + (1 | g)", "binomial", 7, lambda: two_level(100_000, 10)),
)
