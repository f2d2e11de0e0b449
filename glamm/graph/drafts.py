"""The model graph while its statements are being read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from glamm.errors import Problem, Span
from glamm.graph.model import (
    ROW,
    AuxiliaryModel,
    CovarianceSpec,
    FamilySpec,
    GroupFactor,
    Level,
    MissingCovariate,
    RandomBlock,
    ResponseForm,
)
from glamm.graph.symbols import Symbols
from glamm.graph.terms import Expander

__all__ = ["ClassDraft", "Draft", "Drafts", "LatentDraft", "ResponseDraft"]


@dataclass(slots=True)
class Draft:
    """A variable with predictors."""

    name: str
    span: Span
    level: str = ROW
    predictors: dict[str, AuxiliaryModel] = field(default_factory=dict)


@dataclass(slots=True)
class ResponseDraft(Draft):
    """A response; `alias` is the column it may be called by, `columns` may not predict it."""

    form: ResponseForm = field(default_factory=lambda: ResponseForm("", ()))
    columns: frozenset[str] = frozenset()
    alias: str = ""
    indicator: bool = False


@dataclass(slots=True)
class LatentDraft(Draft):
    """A continuous latent variable."""

    distribution: FamilySpec = field(default_factory=lambda: FamilySpec("normal"))
    indicators: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ClassDraft(Draft):
    """A discrete latent variable."""

    labels: tuple[str, ...] = ()
    known: str = ""
    points: bool = False
    automatic: bool = False


@dataclass(slots=True)
class Drafts:
    """Everything found so far."""

    source: str
    problems: list[Problem]
    symbols: Symbols
    expander: Expander
    responses: dict[str, ResponseDraft] = field(default_factory=dict)
    latents: dict[str, LatentDraft] = field(default_factory=dict)
    classes: dict[str, ClassDraft] = field(default_factory=dict)
    families: dict[str, FamilySpec] = field(default_factory=dict)
    levels: dict[frozenset[str], Level] = field(default_factory=dict)
    blocks: list[RandomBlock] = field(default_factory=list)
    covariances: list[CovarianceSpec] = field(default_factory=list)
    missing: dict[str, MissingCovariate] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()
    """Names on the right of ``=~``."""

    def problem(self, message: str, span: Span | None, hint: str = "") -> None:
        """Add a mistake."""
        self.problems.append(Problem(message, span, hint))

    def variables(self) -> Iterator[Draft]:
        """Yield responses, latent variables and classes."""
        yield from self.responses.values()
        yield from self.latents.values()
        yield from self.classes.values()

    def variable(self, name: str) -> Draft | None:
        """Return the variable of that name; a response also by the column it is named after."""
        return self.latents.get(name) or self.classes.get(name) or self.response(name)

    def response(self, name: str) -> ResponseDraft | None:
        """Return the response of that name, or the only one that is named after that column."""
        if name in self.responses:
            return self.responses[name]
        aliased = [draft for draft in self.responses.values() if draft.alias == name]
        return aliased[0] if len(aliased) == 1 else None

    def level(self, columns: tuple[str, ...], span: Span) -> Level:
        """Return the level whose clusters `columns` tell apart."""
        name = ":".join(columns)
        # A column may be called like the level of the rows.
        level = Level(f"`{name}`" if name == ROW else name, GroupFactor(columns, span))
        return self.levels.setdefault(frozenset(columns), level)

    def level_columns(self, name: str) -> frozenset[str] | None:
        """Return the columns of a level, None for the row."""
        return next((columns for columns, level in self.levels.items() if level.name == name), None)

    def is_below(self, lower: str, upper: str) -> bool:
        """Return whether, whatever the data, the clusters of one level lie inside those of another."""
        inner, outer = self.level_columns(lower), self.level_columns(upper)
        return outer is not None and (inner is None or outer < inner)
