"""Standard deviations and correlations of the random effects, as lme4's ``VarCorr`` shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.results.estimates import Estimates, effect_label
from glamm.results.layout import TableBlock, fixed, number

Array = NDArray[np.float64]

__all__ = ["LevelVariance", "VarCorr"]


@dataclass(frozen=True, slots=True, eq=False)
class LevelVariance:
    """Random effects of one level.

    Attributes
    ----------
    level : str
    effects : tuple of str
    sd : ndarray, shape (q,)
    sd_error : ndarray, shape (q,)
        Standard errors of `sd`; NaN where there is none.
    correlation : ndarray, shape (q, q)
        NaN for pairs that the model keeps uncorrelated.
    """

    level: str
    effects: tuple[str, ...]
    sd: Array
    sd_error: Array
    correlation: Array

    @property
    def covariance(self) -> pd.DataFrame:
        """Covariance matrix of the effects, with their names."""
        values = np.nan_to_num(self.correlation, nan=0.0) * np.outer(self.sd, self.sd)
        np.fill_diagonal(values, self.sd**2)
        return pd.DataFrame(values, index=list(self.effects), columns=list(self.effects))


class VarCorr(Mapping[str, pd.DataFrame]):
    """Covariance matrices of the random effects by level; prints lme4's table.

    Parameters
    ----------
    levels : sequence of LevelVariance
        Lowest level first.
    residual : mapping of str to (sd, standard error)
        Natural-scale residual standard deviations to show below, by name.
    """

    def __init__(self, levels: Sequence[LevelVariance], residual: Mapping[str, tuple[float, float]]) -> None:
        self.levels = tuple(levels)
        self.residual = dict(residual)

    def __getitem__(self, level: str) -> pd.DataFrame:
        for found in self.levels:
            if found.level == level:
                return found.covariance
        raise KeyError(level)

    def __iter__(self) -> Iterator[str]:
        return (found.level for found in self.levels)

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def frame(self) -> pd.DataFrame:
        """One row an sd or correlation: ``grp, var1, var2, vcov, sdcor``, lme4's data frame."""
        rows: list[tuple[str, str, str | None, float, float]] = []
        for found in self.levels:
            for effect, sd in zip(found.effects, found.sd, strict=True):
                rows.append((found.level, effect, None, float(sd) ** 2, float(sd)))
            for i in range(len(found.effects)):
                for j in range(i):
                    cor = float(found.correlation[i, j])
                    if not np.isnan(cor):
                        vcov = cor * float(found.sd[i] * found.sd[j])
                        rows.append((found.level, found.effects[j], found.effects[i], vcov, cor))
        for name, (sd, _) in self.residual.items():
            rows.append(("Residual", name, None, sd**2, sd))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    def table(self) -> TableBlock:
        """Return the printed table."""
        widest = max((len(found.effects) for found in self.levels), default=1) - 1
        widest = max(widest, 0)
        header = ("Groups", "Name", "Variance", "Std.Dev.", "Std.Err.", *(["Corr"] + [""] * widest)[:widest])
        body = []
        for found in self.levels:
            for i, effect in enumerate(found.effects):
                correlations = [fixed(float(found.correlation[i, j])) for j in range(i)]
                correlations += [""] * (widest - i)
                sd = float(found.sd[i])
                body.append(
                    (
                        found.level if i == 0 else "",
                        effect,
                        number(sd**2),
                        number(sd),
                        number(float(found.sd_error[i])),
                        *correlations,
                    )
                )
        for k, (name, (sd, error)) in enumerate(self.residual.items()):
            label = name if len(self.residual) > 1 else ""
            cells = ("Residual" if k == 0 else "", label, number(sd**2), number(sd), number(error))
            body.append((*cells, *[""] * widest))
        return TableBlock("Random effects", header, tuple(body), labels=2)

    def __str__(self) -> str:
        return self.table().text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.table().html()


def var_corr(
    estimates: Estimates, levels: Sequence[str], residual: Mapping[str, tuple[float, float]]
) -> VarCorr:
    """Return the random effects among the reported parameters.

    Parameters
    ----------
    estimates : Estimates
    levels : sequence of str
        Names of the levels, lowest first.
    residual : mapping of str to (sd, standard error)
    """
    errors = estimates.standard_errors()
    found = []
    for level in levels:
        sds = [i for i, row in enumerate(estimates.rows) if row.kind == "sd" and row.level == level]
        if not sds:
            continue
        position = {estimates.rows[i].terms[0]: k for k, i in enumerate(sds)}
        correlation = np.full((len(sds), len(sds)), np.nan)
        np.fill_diagonal(correlation, 1.0)
        for i, row in enumerate(estimates.rows):
            if row.kind == "cor" and row.level == level:
                a, b = (position[term] for term in row.terms)
                correlation[a, b] = correlation[b, a] = estimates.values[i]
        found.append(
            LevelVariance(
                level,
                tuple(effect_label(estimates.rows[i].terms[0]) for i in sds),
                estimates.values[sds],
                errors[sds],
                correlation,
            )
        )
    return VarCorr(found, residual)
