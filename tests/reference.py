"""Reference cases: data and results of established programs, found beside the project.

The folder is that of the environment variable ``GLAMM_REFERENCE``, else ``../shared/reference`` seen from
the project. Where it is absent the tests that need it are skipped; with ``CI`` set that is an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glamm.results.result import Result

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("GLAMM_REFERENCE", ROOT.parent / "shared" / "reference"))

if not FOLDER.is_dir():
    message = f"the reference cases are not at {FOLDER}"
    if os.environ.get("CI"):
        raise FileNotFoundError(message)
    pytest.skip(message, allow_module_level=True)

Numbers = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A reference case as glamm writes it.

    Attributes
    ----------
    name : str
        Of the file that holds the results.
    formula : str
    family : str
    response : str
        Name of the response in glamm's parameter names.
    factors : mapping of str to levels
        Columns that are categorical, reference level first; an empty tuple leaves the order to the data.
    weights : mapping or None
    rename : mapping of str to str
        Reference name to glamm's, where the rule of `glamm_name` does not give it.
    derive : callable or None
        Takes glamm's parameters, returns those of the case that are not glamm's own.
    target : sequence
        Where the estimates and standard errors stand in the file.
    eb : mapping of str to str
        Level to the suffix of the file of empirical Bayes means and standard deviations.
    laplace : tuple of str
        Programs whose one-point log-likelihood is the same approximation as glamm's.
    """

    name: str
    formula: str
    family: str
    response: str
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Mapping[str, str] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    derive: Callable[[Mapping[str, float]], Numbers] | None = None
    target: tuple[str | int, ...] = ("exact",)
    errors: str = "se"
    eb: Mapping[str, str] = field(default_factory=dict)
    laplace: tuple[str, ...] = ("glmmTMB::glmmTMB",)


@cache
def index() -> dict[str, str]:
    """Return the kind of every case."""
    lines = (FOLDER / "INDEX.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[1]: row[0] for row in cells[2:]}


@cache
def results(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def data(case: Case) -> pd.DataFrame:
    file = results(case.name)["data"]["file"]
    frame = pd.read_csv(FOLDER / file, dtype={name: str for name in case.factors})
    for name, levels in case.factors.items():
        if levels:
            frame[name] = pd.Categorical(frame[name], categories=levels)
    return frame


def target(case: Case) -> tuple[Numbers, Numbers]:
    """Return estimates and standard errors by the names of the case."""
    at = results(case.name)
    for key in case.target:
        at = at[key]
    return at["params"], at.get(case.errors, {})


def robust_errors(case: Case) -> Numbers:
    """Return sandwich standard errors by the names of the case, without a factor for few clusters.

    Empty where the case has none.
    """
    at = results(case.name)
    for key in case.target:
        at = at[key]
    return at.get("se_robust_cluster", at.get("se_robust", {}))


def exact_loglik(case: Case) -> float:
    found = results(case.name)
    for place in ("exact", "brute", "ordinal_clmm2", "ordinal_clm"):
        holder = found if place == "exact" else found["results"]
        if place in holder:
            return holder[place]["loglik"]
    raise KeyError(case.name)


def laplace_logliks(case: Case) -> dict[str, float]:
    """Return the one-point log-likelihoods of the case that are the same approximation as glamm's."""
    found = {}
    own = results(case.name).get("exact", {}).get("own_by_points", [])
    for row in own:
        if row.get("points") == 1 and "loglik" in row:
            found["exact.own_by_points"] = row["loglik"]
    listed = results(case.name)["results"]
    for row in listed if isinstance(listed, list) else listed.values():
        integration = row.get("integration")
        one = isinstance(integration, dict) and integration.get("points") == 1
        if one and row["peer"] in case.laplace and "loglik" in row:
            found[row["peer"]] = row["loglik"]
    return found


def glamm_name(case: Case, name: str, categories: tuple[str, ...] = ()) -> str:
    """Return glamm's name of a parameter that the case calls `name`."""
    if name in case.rename:
        return case.rename[name]
    if name == "(Intercept)":
        return f"{case.response} ~ 1"
    if name.startswith("cut"):
        cut, _, rest = name.removeprefix("cut").partition(".")
        k = int(cut)
        term = f" ~ {_term(case, rest)}" if rest else ""
        return f"threshold({case.response})[{categories[k - 1]}|{categories[k]}]{term}"
    if name.startswith("scale."):
        return f"scale({case.response}) ~ {_term(case, name.removeprefix('scale.'))}"
    return f"{case.response} ~ {_term(case, name)}"


def _term(case: Case, name: str) -> str:
    parts = []
    for factor in name.split(":"):
        column = next((c for c in case.factors if factor.startswith(c) and factor != c), None)
        parts.append(factor if column is None else f"{column}[T.{factor.removeprefix(column)}]")
    return ":".join(parts)


def in_terms_of_case(case: Case, params: pd.Series, covariance: pd.DataFrame) -> tuple[Numbers, Numbers]:
    """Return glamm's estimates and standard errors by the names of the case, by the delta method."""
    wanted, _ = target(case)

    def numbers(at: Mapping[str, float]) -> Numbers:
        derived = case.derive(at) if case.derive else {}
        categories = case.factors.get(case.response, ())
        return {n: derived[n] if n in derived else at[glamm_name(case, n, categories)] for n in wanted}

    return delta_method(numbers, params, covariance)


def delta_method(
    function: Callable[[Mapping[str, float]], Numbers], params: pd.Series, covariance: pd.DataFrame
) -> tuple[Numbers, Numbers]:
    """Return what a function makes of glamm's parameters, and its standard errors."""
    values = params.to_dict()
    estimate = function(values)
    # a parameter whose covariance is missing (on its boundary) has no standard error to compare
    free = [name for name in covariance.columns if np.isfinite(covariance.loc[name, name])]
    jacobian = np.zeros((len(estimate), len(free)))
    for j, name in enumerate(free):
        step = 1e-5 * max(1.0, abs(values[name]))
        up, down = (function({**values, name: values[name] + sign * step}) for sign in (1, -1))
        jacobian[:, j] = [(up[n] - down[n]) / (2 * step) for n in estimate]
    spread = jacobian @ covariance.loc[free, free].to_numpy() @ jacobian.T
    return estimate, dict(zip(estimate, np.sqrt(np.diag(spread)), strict=True))


def few_clusters(found: Result) -> float:
    """Return Stata's factor ``J / (J - 1)`` of the robust covariance, which the cases leave out."""
    weight = found._source.lowered.plan.levels[-1].weight
    count = found.facts.levels[-1].clusters if weight is None else weight.sum()
    return count / (count - 1)


def clusters(case: Case, suffix: str) -> pd.DataFrame:
    """Return the case's file of clusters: empirical Bayes moments, log-likelihoods."""
    return pd.read_csv(FOLDER / f"{case.name}_eb{suffix}.csv", dtype={"cluster": str}).set_index("cluster")


def empirical_bayes(case: Case, suffix: str) -> pd.DataFrame:
    """Return means and ``sd_`` columns by cluster, named as glamm's `ranef` names them."""
    frame = clusters(case, suffix)
    plain = frame.rename(columns={"eb": "eb_(Intercept)", "sd": "sd_(Intercept)"})
    columns = {}
    for column in plain.columns:
        kind, _, effect = column.partition("_")
        if column in ("n", "loglik", "parent") or kind in ("mode", "cov"):
            continue
        if kind not in ("eb", "sd"):
            kind, effect = "eb", column
        columns[effect if kind == "eb" else f"sd_{effect}"] = plain[column]
    return pd.DataFrame(columns)


# ------------------------------------------------ parametrisations of other programs


def cholesky(
    group: str, slope: str, *, sd: str = "sd({} | {})", cor: str = "cor(1, {} | {})"
) -> Callable[[Mapping[str, float]], Numbers]:
    """Return the entries of the lower Cholesky factor of an intercept and a slope."""

    def derive(p: Mapping[str, float]) -> Numbers:
        s1, s2 = p[sd.format("1", group)], p[sd.format(slope, group)]
        r = p[cor.format(slope, group)]
        return {"chol_11": s1, "chol_21": r * s2, "chol_22": s2 * np.sqrt(1 - r * r)}

    return derive


def both(
    *parts: Callable[[Mapping[str, float]], Numbers],
) -> Callable[[Mapping[str, float]], Numbers]:
    """Return the union of what several functions derive."""

    def derive(p: Mapping[str, float]) -> Numbers:
        return {name: value for part in parts for name, value in part(p).items()}

    return derive
