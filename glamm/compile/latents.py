"""Standard coordinates of a level while a model is put together: their names, covariances and parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glamm.compile.parameters import LatentFactor, ParameterRow
from glamm.compile.plan import CovarianceBlock, LevelPlan
from glamm.graph import CovarianceSpec, Modifier

Index = NDArray[np.intp]
Array = NDArray[np.float64]

__all__ = ["Coordinate", "CovarianceStructure", "LevelDraft", "entered_as_covariances"]

FREE = Modifier()

Number = Callable[[str], int]
"""Returns the position in theta of a new parameter, or of the one with that label."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A random effect with the predictor it belongs to, or the disturbance of a named latent variable."""

    name: str
    response: str
    predictor: str
    label: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class CovarianceStructure:
    """Named latent variables of a level that covary: all their variances and covariances.

    Attributes
    ----------
    members : tuple of str
    entries : mapping of (str, str) to Modifier
        Both orders of every pair that covaries, and every variance.
    names : mapping of frozenset of str to str
        How the model writes each pair.
    """

    members: tuple[str, ...]
    entries: Mapping[tuple[str, str], Modifier]
    names: Mapping[frozenset[str], str]

    @classmethod
    def components(
        cls, members: Collection[str], specs: Collection[CovarianceSpec]
    ) -> list[CovarianceStructure]:
        """Return the parts of a level's latent variables that covary with each other."""
        left = list(members)
        entries: dict[tuple[str, str], Modifier] = {}
        names: dict[frozenset[str], str] = {}
        for spec in specs:
            modifier = spec.modifier or FREE
            both = {spec.left, spec.right}
            if not both <= set(members) or (len(both) == 2 and modifier.fixed == 0.0):
                continue
            entries[spec.left, spec.right] = entries[spec.right, spec.left] = modifier
            names[frozenset(both)] = f"{spec.left} ~~ {spec.right}"
        found = []
        while left:
            part = [left.pop(0)]
            for member in part:
                part += [other for other in left if (member, other) in entries]
                left = [other for other in left if other not in part]
            ordered = tuple(member for member in members if member in part)
            inside = {pair: m for pair, m in entries.items() if set(pair) <= set(ordered)}
            for member in ordered:
                inside.setdefault((member, member), FREE)
            found.append(cls(ordered, inside, names))
        return found

    def variance(self, member: str) -> Modifier:
        """Return the modifier of a variance."""
        return self.entries[member, member]

    def pairs(self) -> list[tuple[int, int]]:
        """Return the positions ``i > j`` of the members that covary."""
        size = len(self.members)
        return [
            (i, j)
            for i in range(size)
            for j in range(i)
            if (self.members[i], self.members[j]) in self.entries
        ]

    def kind(self, constrained: Collection[str]) -> str:
        """Return how its parameters enter theta: "cholesky", "correlation" or "covariance".

        `constrained` are labels and names of parameters that constraints are about.
        """
        size = len(self.members)
        all_pairs = len(self.pairs()) == size * (size - 1) // 2
        written = [self.entries[self.members[i], self.members[j]] for i, j in self.pairs()]
        variances = [self.variance(member) for member in self.members]
        named = set(self.names.values()) | {f"{m} ~~ {m}" for m in self.members}
        if named & set(constrained) or any(m.label in constrained for m in (*written, *variances) if m.label):
            return "covariance"
        if size == 1:
            return "cholesky"
        if not all_pairs or any(m.label or m.fixed is not None for m in written):
            return "covariance"
        if all(m.fixed is None and not m.label for m in variances):
            return "cholesky"
        return "correlation" if all(m.fixed is not None for m in variances) else "covariance"

    def name(self, first: str, second: str) -> str:
        """Return what a variance or covariance is called."""
        return self.names.get(frozenset((first, second)), f"{first} ~~ {second}")


@dataclass(slots=True, eq=False)
class LevelDraft:
    """Coordinates of a level.

    Attributes
    ----------
    coordinates : list of Coordinate
    groups : list of list of int
        Positions of random effects that covary with each other.
    structures : list of CovarianceStructure
        Of named latent variables, whose coordinates bear their names.
    """

    coordinates: list[Coordinate] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    structures: list[CovarianceStructure] = field(default_factory=list)

    def place(self, name: str) -> int:
        """Return the coordinate of a named latent variable."""
        return next(i for i, c in enumerate(self.coordinates) if c.named and c.name == name)

    def labelled(self) -> dict[str, str]:
        """Return the name of a variance or covariance that bears each label."""
        found: dict[str, str] = {}
        for structure in self.structures:
            for (first, second), modifier in structure.entries.items():
                if modifier.label and modifier.fixed is None:
                    found.setdefault(modifier.label, structure.name(first, second))
        return found

    def factor(
        self, level: str, number: Number, constrained: Collection[str], given: dict[int, float]
    ) -> LatentFactor:
        """Return the Cholesky factor of the level.

        Parameters
        ----------
        level : str
        number : callable
            Numbers its parameters.
        constrained : collection of str
            Labels and names that constraints are about.
        given : dict of int to float
            Filled with the starting values that the text gives.
        """
        q = len(self.coordinates)
        index = np.full((q, q), -1, dtype=np.intp)
        held = np.zeros((q, q))
        blocks = []
        for group in self.groups:
            for i, row in enumerate(group):
                for column in group[: i + 1]:
                    index[row, column] = number("")
        for structure in self.structures:
            places = [self.place(member) for member in structure.members]
            match structure.kind(constrained):
                case "cholesky":
                    for i, row in enumerate(places):
                        for column in places[:i]:
                            index[row, column] = number("")
                        own = structure.variance(structure.members[i])
                        if own.fixed is None:
                            index[row, row] = number(f"sd {own.label}" if own.label else "")
                            if own.start is not None and len(places) == 1:
                                given[int(index[row, row])] = float(np.sqrt(own.start))
                        else:
                            held[row, row] = np.sqrt(own.fixed)
                case kind:
                    blocks.append(_block(structure, places, kind == "correlation", number, given))
        plan = LevelPlan(0, None, None, index, held if held.any() else None, tuple(blocks))
        return LatentFactor(level, tuple(c.name for c in self.coordinates), plan)

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
            rows += [_sd_row(level, self.coordinates[i], (position, i)) for i in group]
            rows += [
                _cor_row(level, self.coordinates[i], self.coordinates[j], (position, i, j))
                for k, j in enumerate(group)
                for i in group[:k]
            ]
        for structure in self.structures:
            rows += self._structure_rows(structure, level, position)
        return rows

    def _structure_rows(
        self, structure: CovarianceStructure, level: str, position: int
    ) -> list[ParameterRow]:
        rows = []
        for member in structure.members:
            if structure.variance(member).fixed is None:
                place = (position, self.place(member))
                name = structure.name(member, member)
                rows.append(
                    ParameterRow(name, "variance", member, "", "", (member, member), level, "log", place)
                )
        for i, j in structure.pairs():
            first, second = structure.members[j], structure.members[i]
            if structure.entries[first, second].fixed is None:
                places = (position, self.place(first), self.place(second))
                name = structure.name(first, second)
                pair = tuple(name.split(" ~~ "))
                rows.append(ParameterRow(name, "covariance", "", "", "", pair, level, "identity", places))
        return rows


def entered_as_covariances(drafts: Sequence[LevelDraft], constrained: Collection[str]) -> frozenset[str]:
    """Return `constrained` and the labels that a structure enters as covariances: then all others do too."""
    structures = [structure for draft in drafts for structure in draft.structures]
    found: frozenset[str] = frozenset(constrained)
    while True:
        labels = {
            modifier.label
            for structure in structures
            if structure.kind(found) == "covariance"
            for modifier in structure.entries.values()
            if modifier.label and modifier.fixed is None
        }
        if labels <= found:
            return found
        found |= labels


def _block(
    structure: CovarianceStructure,
    places: list[int],
    correlation: bool,
    number: Number,
    given: dict[int, float],
) -> CovarianceBlock:
    size = len(places)
    index = np.full((size, size), -1, dtype=np.intp)
    held = np.zeros((size, size))
    for i, row in enumerate(structure.members):
        for j, column in enumerate(structure.members[: i + 1]):
            modifier = structure.entries.get((row, column))
            if modifier is None:
                continue
            if modifier.fixed is not None:
                held[i, j] = held[j, i] = modifier.fixed
            else:
                label = f"covariance {modifier.label}" if modifier.label else ""
                index[i, j] = index[j, i] = number(label)
                if modifier.start is not None and not correlation:
                    given[int(index[i, j])] = modifier.start
    order = np.argsort(places)
    places_in_order = np.asarray(places, dtype=np.intp)[order]
    across = np.ix_(order, order)
    return CovarianceBlock(places_in_order, index[across], held[across], correlation)


def _sd_row(level: str, effect: Coordinate, place: tuple[int, int]) -> ParameterRow:
    return ParameterRow(
        f"sd({effect.name} | {level})",
        "sd",
        effect.response,
        effect.predictor,
        effect.label,
        (effect.name,),
        level,
        "log",
        place,
    )


def _cor_row(level: str, first: Coordinate, second: Coordinate, place: tuple[int, int, int]) -> ParameterRow:
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
