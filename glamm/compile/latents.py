"""Latent variables of a level while the blocks of a model are added: their names and covariances."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glamm.compile.parameters import LatentFactor, ParameterRow

__all__ = ["Latent", "LatentDraft"]


@dataclass(frozen=True, slots=True)
class Latent:
    """A latent variable: its name, and the linear predictor it belongs to."""

    name: str
    response: str
    predictor: str
    label: str


@dataclass(slots=True, eq=False)
class LatentDraft:
    """Latent variables of a level.

    Attributes
    ----------
    latents : list of Latent
    groups : list of list of int
        Positions of those that covary with each other.
    """

    latents: list[Latent] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)

    def factor(self, level: str, first: int) -> LatentFactor:
        """Return the Cholesky factor of the level whose free entries start at position `first` of theta."""
        q = len(self.latents)
        index = np.full((q, q), -1, dtype=np.intp)
        place = first
        for group in self.groups:
            for i, row in enumerate(group):
                for column in group[: i + 1]:
                    index[row, column] = place
                    place += 1
        return LatentFactor(level, tuple(latent.name for latent in self.latents), index)

    def rows(self, level: str, position: int) -> list[ParameterRow]:
        """Return the reported parameters: of each group its standard deviations, then its correlations.

        Parameters
        ----------
        level : str
        position : int
            Of the level in the plan.
        """
        rows = []
        for group in self.groups:
            rows += [_sd_row(level, self.latents[i], (position, i)) for i in group]
            rows += [
                _cor_row(level, self.latents[i], self.latents[j], (position, i, j))
                for k, j in enumerate(group)
                for i in group[:k]
            ]
        return rows


def _sd_row(level: str, latent: Latent, place: tuple[int, int]) -> ParameterRow:
    return ParameterRow(
        f"sd({latent.name} | {level})",
        "sd",
        latent.response,
        latent.predictor,
        latent.label,
        (latent.name,),
        level,
        "log",
        place,
    )


def _cor_row(level: str, first: Latent, second: Latent, place: tuple[int, int, int]) -> ParameterRow:
    same = first.response == second.response
    return ParameterRow(
        f"cor({first.name}, {second.name} | {level})",
        "cor",
        first.response if same else "",
        first.predictor if same and first.predictor == second.predictor else "",
        first.label if same and first.label == second.label else "",
        (first.name, second.name),
        level,
        "atanh",
        place,
    )
