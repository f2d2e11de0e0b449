"""Latent classes, mass points and compliers of the reference cases as glamm writes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from reference import FOLDER, Numbers, both, results
from reference_latent import Form, residual_variances, terms
from scipy.special import expit, softmax

import glamm
from glamm.results.result import Result

# ------------------------------------------------ compliers

COMPLIANCE = ("age10", "educ", "married", "nonwhite", "econ_hard", "female")


def labelled(frame):
    """Name the classes of those whose compliance was observed."""
    return frame.assign(group=frame["comply"].map({0: "never", 1: "complier"}))


def membership(columns):
    """Return the log odds of compliance: glamm's last class is the reference, the case's is the other."""

    def derive(p):
        return {f"r_{name}": -p[f"c[never] ~ {term}"] for name, term in {"cons": "1", **columns}.items()}

    return derive


def effects(outcome, complier="c[complier]"):
    def derive(p):
        first, effect = p[f"{outcome} ~ {complier}"], p[f"{outcome} ~ c[complier]:treat"]
        return {"beta0": p[f"{outcome} ~ 1"], "beta1": first, "beta2": first + effect, "cace": effect}

    return derive


def compliers(case, outcome, covariates, columns, *derive, way="", complier="c[complier]", family=""):
    """Return a model of an outcome in which treatment acts on compliers only."""
    return Form(
        case,
        f"""
        c ~ classes("never", "complier", known=group) + {" + ".join(columns or "1")}
        {outcome} ~ {complier.removesuffix("[T.complier]")} + c[complier]:treat {covariates}
        {family}
        """,
        prepare=labelled,
        way=way,
        derive=both(
            membership({name: name for name in columns}),
            effects(outcome, complier),
            *derive,
        ),
    )


def covariates(outcome, names):
    return lambda p: {f"b_{name}": p[f"{outcome} ~ {name}"] for name in names}


DEPRESSION = residual_variances({"sigma2": "depress2"})
COMPLIERS = [
    compliers("cace_jobs", "depress2", "", (), DEPRESSION, way="dummy"),
    compliers("cace_jobs", "depress2", "", (), DEPRESSION, way="factor", complier="c[T.complier]"),
    compliers(
        "cace_jobs_cov",
        "depress2",
        "+ depress1 + econ_hard",
        COMPLIANCE,
        DEPRESSION,
        covariates("depress2", ("depress1", "econ_hard")),
    ),
    compliers(
        "cace_jobs_binary",
        "work1",
        "+ econ_hard + female",
        COMPLIANCE,
        covariates("work1", ("econ_hard", "female")),
        family="family(work1) = binomial",
    ),
]

# ------------------------------------------------ latent classes with covariates

CHEATING_ITEMS = ("lieexam", "liepaper", "fraud", "copyexam")
# the case's second class is the smaller one, glamm's first
CHEATING = Form(
    "lca_cheating_cov",
    f"c =~ {terms(CHEATING_ITEMS)}; c ~ classes(2) + gpa",
    "binomial",
    names={f"e{i}_1": f"{item} ~ c[2]" for i, item in enumerate(CHEATING_ITEMS, 1)}
    | {f"e{i}_2": f"{item} ~ c[1]" for i, item in enumerate(CHEATING_ITEMS, 1)}
    | {"r_cons": "c[1] ~ 1", "r_gpa": "c[1] ~ gpa"},
    target=("results", "poLCA"),
)

FORMS = [*COMPLIERS, CHEATING]

# ------------------------------------------------ exploratory latent classes


@dataclass(frozen=True)
class ClassCase:
    """A latent class model of items with two or more categories.

    Attributes
    ----------
    case : str
    k : int
        Number of classes.
    way : str
        ``"binomial"`` where the items are 0/1, ``"multinomial"`` where they are categories.
    """

    case: str
    k: int
    way: str

    @property
    def id(self) -> str:
        return f"{self.case}-{self.k}-{self.way}"


CLASS_CASES = [
    *(ClassCase("values_lca", k, way) for k in (2, 3) for way in ("binomial", "multinomial")),
    *(ClassCase("carcinoma_lca", k, "binomial") for k in (2, 3, 4)),
    ClassCase("lca_election_cov", 3, "multinomial"),
]
ELECTION = "lca_election_cov"


def solution(case: ClassCase) -> dict:
    """Return what poLCA found, its classes in its own order."""
    found = results(case.case)
    return found["results"]["poLCA"] if case.case == ELECTION else found["exact"]["by_k"][str(case.k)]


def data_of(case: ClassCase) -> pd.DataFrame:
    return pd.read_csv(Path(FOLDER, results(case.case)["data"]["file"]))


def membership_by_party(case: ClassCase) -> np.ndarray:
    """Return intercept and slope of each of poLCA's classes, (k, 2), the first its reference."""
    return np.vstack(([0.0, 0.0], np.reshape(solution(case)["coeff"], (2, 2))))


def shares(case: ClassCase) -> np.ndarray:
    """Return the sizes of poLCA's classes."""
    if case.case != ELECTION:
        return np.asarray(solution(case)["class_proportions"])
    # the file lists sizes and probabilities of items in different orders
    intercept, slope = membership_by_party(case).T
    return softmax(intercept + np.outer(data_of(case)["party"], slope), axis=1).mean(axis=0)


def order(case: ClassCase) -> np.ndarray:
    """Return the place in poLCA's solution of glamm's classes, whose sizes ascend."""
    return np.argsort(shares(case))


def item_probabilities(case: ClassCase) -> dict[str, np.ndarray]:
    """Return probabilities of categories by item, (k, categories), classes in glamm's order."""
    if case.case == ELECTION:
        by_class = {
            item: [list(row.values()) for row in rows] for item, rows in solution(case)["probs"].items()
        }
    else:
        by_class = solution(case)["item_probs"]
    return {item: np.asarray(rows)[order(case)] for item, rows in by_class.items()}


def class_text(case: ClassCase) -> str:
    covariate = " + party" if case.case == ELECTION else ""
    return f"c =~ {terms(item_probabilities(case))}; c ~ classes({case.k}){covariate}"


@cache
def fitted_classes(case: ClassCase) -> Result:
    frame = data_of(case)
    coded = frame - 1 if case.way == "binomial" else frame
    return glamm.Model(class_text(case), coded, case.way).fit()


def estimated_probabilities(case: ClassCase, params: pd.Series) -> dict[str, np.ndarray]:
    """Return probabilities of categories by item, (k, categories), from glamm's parameters."""
    found = {}
    for item, rows in item_probabilities(case).items():
        if case.way == "binomial":
            upper = expit([params[f"{item} ~ c[{c}]"] for c in range(1, case.k + 1)])
            found[item] = np.column_stack((1 - upper, upper))
        else:
            # categories are coded from 0 in one file, from 1 in the others
            first = 0 if case.case == ELECTION else 1
            labels = range(first + 1, first + rows.shape[1])
            odds = [[0.0, *(params[f"{item}[{m}] ~ c[{c}]"] for m in labels)] for c in range(1, case.k + 1)]
            found[item] = softmax(odds, axis=1)
    return found


def posterior(case: ClassCase) -> np.ndarray:
    """Return posterior class probabilities of the rows, classes in glamm's order."""
    found = pd.read_csv(FOLDER / solution(case)["posterior_file"])
    return found[[f"p{c}" for c in order(case) + 1]].to_numpy()


def logits(case: ClassCase) -> tuple[Numbers, Numbers]:
    """Return log odds and their standard errors by glamm's names, from the Newton steps of the case."""
    found = solution(case)["own_newton"]
    place = {int(old): new for new, old in enumerate(order(case), 1)}
    # the case's first class is its reference: the largest, glamm's last
    names = [f"c[{place[c]}] ~ 1" for c in range(1, case.k)]
    names += [f"{item} ~ c[{place[c]}]" for item in item_probabilities(case) for c in range(case.k)]
    return tuple(dict(zip(names, found[key], strict=True)) for key in ("theta", "se_observed_information"))


# ------------------------------------------------ mass points


@dataclass(frozen=True)
class MassPoints:
    """A regression with a random intercept on mass points.

    Attributes
    ----------
    case : str
    k : int
    """

    case: str
    k: int

    @property
    def id(self) -> str:
        return f"{self.case}-{self.k}"

    @property
    def points(self) -> str:
        """Name of the mass points."""
        return f"npml(1 | {GROUP[self.case]}, k={self.k})"


GROUP = {"fabric_npml": "roll", "irlsuicide_npml": "ID", "rainfall_npml": "city"}
REGRESSION = {
    "fabric_npml": ("y", "x", "poisson"),
    "irlsuicide_npml": ("death", "sex * age + offset(logpop)", "poisson"),
    "rainfall_npml": ("cbind(Cases, Total - Cases)", "x + x2 + x3", "binomial"),
}
# numbers of points at which all of them differ
DISTINCT = [
    *(MassPoints("irlsuicide_npml", k) for k in (2, 3, 4, 5)),
    MassPoints("fabric_npml", 2),
    MassPoints("rainfall_npml", 3),
]
# its reference stops 5e-7 short of the maximum
SHORT = MassPoints("rainfall_npml", 2)
# more points than the maximum over all distributions has
COINCIDENT = [MassPoints("fabric_npml", 3), MassPoints("fabric_npml", 4), MassPoints("rainfall_npml", 4)]


def mixture(case: MassPoints) -> dict:
    return results(case.case)["exact"]["by_k"][str(case.k)]


def mass_data(case: str) -> pd.DataFrame:
    frame = pd.read_csv(FOLDER / results(case)["data"]["file"], dtype={"age": str, "ID": str})
    return frame if GROUP[case] in frame else frame.rename(columns={"row": GROUP[case]})


@cache
def fitted_points(case: MassPoints) -> Result:
    response, predictors, family = REGRESSION[case.case]
    return glamm.Model(f"{response} ~ {predictors} + {case.points}", mass_data(case.case), family).fit()


def fitted_automatically(case: str) -> Result:
    response, predictors, family = REGRESSION[case]
    text = f'{response} ~ {predictors} + npml(1 | {GROUP[case]}, k="auto")'
    return glamm.Model(text, mass_data(case), family).fit()


def fitted_as_classes(case: MassPoints) -> Result:
    """Return the same model with a latent class variable in place of the mass points."""
    response, predictors, family = REGRESSION[case.case]
    text = f"{response} ~ 0 + c + {predictors}; c | {GROUP[case.case]} ~ classes({case.k})"
    return glamm.Model(text, mass_data(case.case), family).fit()


def expected_points(case: MassPoints) -> tuple[Numbers, Numbers]:
    """Return coefficients, locations and masses, and their standard errors."""
    found = mixture(case)
    places = range(1, case.k + 1)

    def flat(coefficients: str, points: str, masses: str) -> Numbers:
        return (
            found[coefficients]
            | {f"point {c}": x for c, x in zip(places, found[points], strict=True)}
            | {f"mass {c}": x for c, x in zip(places, found[masses], strict=True)}
        )

    return flat("params", "mass_points", "masses"), flat("se", "mass_points_se", "masses_se")


def points_of(case: MassPoints, params) -> Numbers:
    """Return coefficients, locations and masses from glamm's parameters."""
    response = REGRESSION[case.case][0]
    found = {}
    for name in mixture(case)["params"]:
        term = ":".join(f"age[T.{t[3:]}]" if t.startswith("age") else t for t in name.split(":"))
        found[name] = params[f"{response} ~ {term}"]
    masses = softmax([*(params[f"{case.points}[{c}] ~ 1"] for c in range(1, case.k)), 0.0])
    for c in range(1, case.k + 1):
        found[f"point {c}"] = params[f"{response} ~ {case.points}[{c}]"]
        found[f"mass {c}"] = masses[c - 1]
    return found


def posterior_of_points(case: MassPoints) -> pd.DataFrame:
    """Return posterior probabilities of the mass points, one row a cluster."""
    found = pd.read_csv(FOLDER / mixture(case)["posterior_file"], dtype={"cluster": str})
    return found.set_index("cluster")[[f"p{c}" for c in range(1, case.k + 1)]]
