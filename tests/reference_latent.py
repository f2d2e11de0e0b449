"""Reference cases of models with latent variables: the ways to write one in glamm, and their fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from reference import FOLDER, Numbers, results

import glamm
from glamm.results.result import Result

Derive = Callable[[Mapping[str, float]], Numbers]


@dataclass(frozen=True, eq=False)
class Form:
    """One way to write a reference case.

    Attributes
    ----------
    case : str
        Name of the file that holds the results.
    text : str
    family : str or None
        Of every response; None leaves families to the text.
    prepare : callable or None
        Takes the data of the case, returns those of the text.
    way : str
        Tells the ways to write one case apart.
    std_lv : bool
    names : mapping of str to str
        Name of the case to glamm's, for parameters that are the same.
    derive : callable or None
        Takes glamm's parameters, returns those of the case that are functions of them.
    target : tuple of str
        Where estimates and standard errors stand in the file.
    scores : mapping of str to str
        Name in the rows of `place` to the column of `Result.latent` or `Result.ranef`: means of latent
        variables given the responses, and their standard deviations (``sd_...``).
    level : str
        Of the latent variables of `scores`.
    effects : bool
        Whether `scores` are random effects without a name of their own.
    place : tuple of str
        Where the file has the scores of the first units.
    """

    case: str
    text: str
    family: str | None = None
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    way: str = ""
    std_lv: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    derive: Derive | None = None
    target: tuple[str, ...] = ("results", "brute")
    scores: Mapping[str, str] = field(default_factory=dict)
    level: str = "row"
    effects: bool = False
    place: tuple[str, ...] = ("scores_first5",)

    @property
    def id(self) -> str:
        """Name of the case and the way it is written."""
        return f"{self.case}-{self.way}" if self.way else self.case

    @property
    def gaussian(self) -> bool:
        """Whether the likelihood has a closed form."""
        return self.family is None and "family(" not in self.text

    def numbers(self, params: Mapping[str, float]) -> Numbers:
        """Return the parameters of the case."""
        same = {name: params[own] for name, own in self.names.items()}
        return same | (self.derive(params) if self.derive else {})

    def scored(self) -> list[Numbers]:
        """Return the scores of the first units in the case."""
        rows = expected(self)
        for key in self.place:
            rows = rows[key]
        return rows


def expected(form: Form) -> dict:
    """Return log-likelihood, ``params``, ``se`` and what else the program of the target gave."""
    found = results(form.case)
    for key in form.target:
        found = found[key]
    return found


def frame(form: Form) -> pd.DataFrame:
    """Return the data of a form."""
    plain = pd.read_csv(Path(FOLDER, results(form.case)["data"]["file"]))
    return form.prepare(plain) if form.prepare else plain


@cache
def fitted(form: Form) -> Result:
    """Return the fit of a form."""
    return glamm.Model(form.text, frame(form), form.family, std_lv=form.std_lv).fit()


# ------------------------------------------------ data


def long(frame: pd.DataFrame, items: Iterable[str]) -> pd.DataFrame:
    """Return one row a person and item: columns ``person``, ``item``, ``y`` and those of persons."""
    items = list(items)
    kept = [name for name in frame if name not in items]
    numbered = frame.assign(person=np.arange(1, len(frame) + 1))
    tall = numbered.melt(["person", *kept], items, "item", "y")
    return tall.assign(item=pd.Categorical(tall["item"], items))


def wide(frame: pd.DataFrame, index: list[str], columns: str, values: str, prefix: str = "") -> pd.DataFrame:
    """Return one row a unit of `index` with a column for each value of `columns`."""
    return frame.pivot(index=index, columns=columns, values=values).add_prefix(prefix).reset_index()


# ------------------------------------------------ texts and parametrisations


def terms(names: Iterable[str], before: str = "") -> str:
    """Return ``a + b + c``, each with a modifier before it."""
    return " + ".join(before + name for name in names)


def residual_variances(names: Mapping[str, str]) -> Derive:
    """Return variances of Gaussian responses from their standard deviations."""

    def derive(p: Mapping[str, float]) -> Numbers:
        return {name: p[f"sigma({response})"] ** 2 for name, response in names.items()}

    return derive
