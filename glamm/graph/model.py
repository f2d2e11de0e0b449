"""The model graph: what a model text means, without data.

Frozen values that print and compare. Structure only: how many columns a term makes, how many clusters a
level has and what categories a response takes are decided when the graph meets data.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from glamm.errors import Span

__all__ = [
    "AuxiliaryModel",
    "FamilySpec",
    "GroupFactor",
    "Level",
    "ModelGraph",
    "RandomBlock",
    "Response",
    "ResponseForm",
    "Term",
]


@dataclass(frozen=True, slots=True)
class Term:
    """A product of factors, each a formulaic expression: ``("x", "bs(t, df=4)")``; ``()`` is 1."""

    factors: tuple[str, ...]
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        return ":".join(self.factors) if self.factors else "1"


@dataclass(frozen=True, slots=True)
class GroupFactor:
    """What tells the clusters of a level apart: the columns whose combination names a cluster."""

    columns: tuple[str, ...]
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        return ":".join(self.columns)


@dataclass(frozen=True, slots=True)
class Level:
    """A level of clusters, ``name`` as the model writes it (``"school"``, ``"school:class"``)."""

    name: str
    group: GroupFactor


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """A family by name with its link and options, as written: ``ordinal(probit)``."""

    name: str
    link: str | None = None
    link_args: tuple[float, ...] = ()
    options: tuple[tuple[str, float | str], ...] = ()
    span: Span | None = field(default=None, compare=False)

    def __str__(self) -> str:
        inside = [] if self.link is None else [self.link]
        if self.link_args:
            inside[-1] += "(" + ", ".join(f"{a:g}" for a in self.link_args) + ")"
        inside += [
            f"{key}={value}" if isinstance(value, str) else f"{key}={value:g}" for key, value in self.options
        ]
        return self.name + (f"({', '.join(inside)})" if inside else "")


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """The left-hand side of a response model.

    Attributes
    ----------
    call : str
        ``"cbind"``, ``"surv"``, or empty for a plain column.
    factors : tuple of str
        Expressions of its columns (formulaic factors, like those of a `Term`).
    """

    call: str
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuxiliaryModel:
    """The regression of one named predictor of a response: ``mu``, ``sigma``, ``threshold``.

    Attributes
    ----------
    parameter : str
        ``"mu"`` or the auxiliary parameter's name.
    terms : tuple of Term
        Fixed-effect terms without the intercept.
    intercept : bool or None
        True or False where the text says so (``1 +``, ``0 +``, ``- 1``), None where it is silent.
    offsets : tuple of str
        Expressions inside ``offset()``.
    """

    parameter: str
    terms: tuple[Term, ...] = ()
    intercept: bool | None = None
    offsets: tuple[str, ...] = ()
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        intercept = {True: ["1"], False: ["0"], None: []}[self.intercept]
        parts = intercept + [str(term) for term in self.terms] + [f"offset({o})" for o in self.offsets]
        return " + ".join(parts) if parts else "1"


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its name in the model, its columns, family and the regressions of its predictors."""

    name: str
    form: ResponseForm
    family: FamilySpec
    predictors: tuple[AuxiliaryModel, ...]
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class RandomBlock:
    """Random effects of one parenthesis: they covary with each other and with nothing else.

    Attributes
    ----------
    name : str
        As the model writes it: ``"1 + x | school"``.
    level : str
        Name of its level.
    members : tuple of (response name, predictor name)
        Linear predictors the effects enter. Several where one statement has several responses: the
        effects of all of them covary.
    terms : tuple of Term
        Without the intercept.
    intercept : bool
    correlated : bool
        False for ``||``.
    """

    name: str
    level: str
    members: tuple[tuple[str, str], ...]
    terms: tuple[Term, ...]
    intercept: bool
    correlated: bool
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class ModelGraph:
    """Responses, levels and latent variables of a model, and how they hang together.

    Attributes
    ----------
    source : str
        The model text; every span refers to it.
    responses : tuple of Response
    levels : tuple of Level
        Distinct levels in the order they are first written; the data decide how they nest.
    blocks : tuple of RandomBlock
    """

    source: str
    responses: tuple[Response, ...]
    levels: tuple[Level, ...]
    blocks: tuple[RandomBlock, ...]

    def __str__(self) -> str:
        lines = []
        if self.levels:
            line = f"levels: {self.levels[0].name}"
            for above, level in zip(self.levels, self.levels[1:], strict=False):
                nested = set(above.group.columns) < set(level.group.columns)
                line += f" > {level.name}" if nested else f", {level.name}"
            lines.append(line)
        for response in self.responses:
            lines.append(f"{response.name}: {response.family}")
            for model in response.predictors:
                written = response.name if model.parameter == "mu" else f"{model.parameter}({response.name})"
                lines.append(f"  {written} ~ {model}")
            for block in self.blocks:
                own = [parameter for name, parameter in block.members if name == response.name]
                inside = "" if own == ["mu"] else f" in {', '.join(own)}"
                lines += [f"  ({block.name}){inside}"] if own else []
        return "\n".join(lines)
