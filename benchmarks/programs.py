"""Programs that fit a problem: glamm, Python's others, R's through ``Rscript``."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from problems import Problem

Fit = Callable[[], float]  # fits once, from formula to summary, and returns the log-likelihood
R_PROGRAMS = ("lme4", "glmmTMB", "GLMMadaptive", "galamm", "lavaan", "mirt")


def _with_proportion(problem: Problem, data: pd.DataFrame) -> pd.DataFrame:
    if not problem.trials:
        return data
    return data.assign(proportion=data["incidence"] / data[problem.trials])


def glamm(problem: Problem, data: pd.DataFrame, *, points: int | str | None = None) -> Fit:
    import glamm

    def fit() -> float:
        rule = problem.points if points is None else points
        found = glamm.fit(problem.formula, data, family=problem.family, points=rule)
        str(found.summary())
        return float(found.llf)

    return fit


def glamm_auto(problem: Problem, data: pd.DataFrame) -> Fit:
    return glamm(problem, data, points="auto")


def mixedlm(problem: Problem, data: pd.DataFrame) -> Fit:
    import mixedlm as library

    frame = _with_proportion(problem, data)
    formula = problem.peers_formula or problem.formula

    def fit() -> float:
        if problem.family == "gaussian":
            found = library.lmer(formula, frame, REML=False)
        else:
            family = {"binomial": library.families.Binomial, "poisson": library.families.Poisson}
            points = problem.points if formula.count("|") == 1 else 1
            weights = problem.trials or None
            found = library.glmer(formula, frame, family[problem.family](), nAGQ=points, weights=weights)
        str(found.summary())
        value = found.logLik()
        return float(getattr(value, "value", value))

    return fit


def statsmodels(problem: Problem, data: pd.DataFrame) -> Fit:
    """Gaussian models only: it has no maximum likelihood for the others."""
    import statsmodels.formula.api as library

    fixed, random = problem.formula.split(" + (")
    slopes, group = random.rstrip(")").split(" | ")

    def fit() -> float:
        model = library.mixedlm(fixed, data, groups=data[group], re_formula=f"~{slopes}")
        found = model.fit(reml=False)
        str(found.summary())
        return float(found.llf)

    return fit


def girth(problem: Problem, data: pd.DataFrame) -> Fit:
    """Item response models by EM, without standard errors."""
    import girth as library

    answers = np.ascontiguousarray(data.to_numpy(dtype=int).T)

    def fit() -> float:
        getattr(library, problem.girth)(answers)
        return float("nan")

    return fit


def semopy(problem: Problem, data: pd.DataFrame) -> Fit:
    import semopy as library

    def fit() -> float:
        model = library.Model(problem.lavaan.replace("; ", "\n"))
        model.fit(data)
        str(model.inspect())
        return float("nan")

    return fit


def can_fit(program: str, problem: Problem) -> bool:
    """Return whether a program has the problem's model."""
    if program.startswith("glamm"):
        return True
    if program in ("girth", "mirt", "lavaan"):
        return bool(getattr(problem, program))
    if program == "semopy":
        return bool(problem.lavaan) and not problem.cluster
    if program == "statsmodels" and problem.family != "gaussian":
        return False
    return problem.regression


PYTHON_PROGRAMS = {
    "glamm": glamm,
    "glamm auto": glamm_auto,
    "mixedlm": mixedlm,
    "statsmodels": statsmodels,
    "girth": girth,
    "semopy": semopy,
}


@cache
def installed() -> tuple[str, ...]:
    """Return the programs that can be run here, glamm first."""
    names = [n for n in PYTHON_PROGRAMS if importlib.util.find_spec(n.split()[0]) is not None]
    if shutil.which("Rscript"):
        for package in R_PROGRAMS:
            test = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
            if subprocess.run(["Rscript", "-e", test], capture_output=True).returncode == 0:
                names.append(package)
    return tuple(names)


def run_r(program: str, problem: Problem, data: pd.DataFrame, seconds: float, limit: float) -> dict:
    """Return the record of a program of R; its clock stands around the fit alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        _with_proportion(problem, data).to_csv(path, index=False)
        texts = {"lavaan": problem.lavaan.replace("; ", "\n"), "mirt": problem.mirt}
        formula = texts.get(program) or problem.peers_formula or problem.formula
        job = [program, str(path), formula, problem.family, str(problem.points), problem.trials]
        script = Path(__file__).with_name("programs.R")
        command = ["Rscript", str(script), *job, ",".join(problem.factors), str(seconds), problem.cluster]
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])
