"""The model graph: what a model text means, without data.

Frozen values that print and compare. How many columns a term makes, how many clusters a level has and what
categories a response takes is decided when the graph meets data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from glamm.errors import Span
from glamm.grammar import unparse
from glamm.grammar.ast import Expr

__all__ = [
    "ROW",
    "AuxiliaryModel",
    "ClassVariable",
    "ConstraintSpec",
    "CovarianceSpec",
    "DefinitionSpec",
    "FamilySpec",
    "GroupFactor",
    "LatentVariable",
    "Level",
    "MissingCovariate",
    "ModelGraph",
    "Modifier",
    "RandomBlock",
    "Response",
    "ResponseForm",
    "Term",
]

ROW = "row"
"""Name of the level whose clusters are the rows of the data."""


@dataclass(frozen=True, slots=True)
class Modifier:
    """What the text says about a coefficient: ``1*x``, ``label(b)*x``, ``start(0.5)*x``, ``NA*x``.

    Attributes
    ----------
    fixed : float or None
        The value it is held at.
    label : str
        Coefficients of one label are equal; empty for none.
    start : float or None
        Where its search starts.
    free : bool
        ``NA*``: estimated even where it would be held by default.
    """

    fixed: float | None = None
    label: str = ""
    start: float | None = None
    free: bool = False

    def __str__(self) -> str:
        parts = ["NA*"] if self.free else []
        parts += [] if self.fixed is None else [f"{self.fixed:g}*"]
        parts += [f"label({self.label})*"] if self.label else []
        parts += [] if self.start is None else [f"start({self.start:g})*"]
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Term:
    """A product of columns and latent variables with one coefficient a column: ``x``, ``eta:x``; ``()`` is 1.

    Attributes
    ----------
    factors : tuple of str
        Formulaic expressions of columns: ``("x", "bs(t, df=4)")``. The dummy of one class is the column
        ```` `c[complier]` ````, a class variable the column ``c``, mass points the column
        ```` `npml(1 | g, k=4)` ````: columns of the data extended by classes.
    latents : tuple of str
        Continuous latent variables, at most two, the same one twice for its square; ``"mi(x)"`` for a
        covariate with missing values.
    modifier : Modifier or None
    measures : str
        Name of the latent variable whose ``=~`` made the term, empty for a term of a regression. Its
        columns are dummies of all levels (one loading a level), and its parameters are called
        ``eta =~ y``, ``eta =~ y:item[a]``.
    marker : bool
        Whether the coefficient of its first column is held at 1 to fix the scale of the latent variable.
    """

    factors: tuple[str, ...]
    span: Span = field(default=Span(0, 0), compare=False)
    latents: tuple[str, ...] = ()
    modifier: Modifier | None = None
    measures: str = ""
    marker: bool = False

    def __str__(self) -> str:
        return ":".join(self.latents + self.factors) if self.factors or self.latents else "1"


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
        ``"cbind"``, ``"surv"``, ``"choice"``, ``"ranking"``, or empty for a plain column.
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
        Terms without the intercept, those of columns before those of latent variables.
    intercept : bool or None
        True or False where the text says so (``1 +``, ``0 +``, ``- 1``), None where it is silent.
    offsets : tuple of str
        Expressions inside ``offset()``.
    modifier : Modifier or None
        Of the intercept: ``label(a)*1``, ``2*1``.
    """

    parameter: str
    terms: tuple[Term, ...] = ()
    intercept: bool | None = None
    offsets: tuple[str, ...] = ()
    span: Span = field(default=Span(0, 0), compare=False)
    modifier: Modifier | None = None

    @property
    def fixed_terms(self) -> tuple[Term, ...]:
        """Terms of columns only."""
        return tuple(term for term in self.terms if not term.latents)

    @property
    def latent_terms(self) -> tuple[Term, ...]:
        """Terms with a latent variable."""
        return tuple(term for term in self.terms if term.latents)

    def __str__(self) -> str:
        intercept = {True: [_modified(self.modifier, "1")], False: ["0"], None: []}[self.intercept]
        parts = intercept + [_modified(term.modifier, str(term)) for term in self.terms]
        parts += [f"offset({o})" for o in self.offsets]
        return " + ".join(parts) if parts else "1"


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its name in the model, its columns, family and the regressions of its predictors.

    `level` is where it lives: `ROW`, or the name of a level whose clusters have one value each.
    `indicator` says that it is measured by ``=~`` and has no regression of its own in the text.
    """

    name: str
    form: ResponseForm
    family: FamilySpec
    predictors: tuple[AuxiliaryModel, ...]
    span: Span = field(default=Span(0, 0), compare=False)
    level: str = ROW
    indicator: bool = False


@dataclass(frozen=True, slots=True)
class LatentVariable:
    """A continuous latent variable that has a name.

    Attributes
    ----------
    name : str
    level : str
        Name of its level, `ROW` for the row.
    predictors : tuple of AuxiliaryModel
        ``"mu"`` always: its structural regression (no intercept unless ``1`` is written), with terms of
        latent variables of its own or higher levels; ``"sd"`` where ``sd(eta) ~ ...`` is written: the log of
        its disturbance's standard deviation.
    distribution : FamilySpec
        Of its disturbance: ``normal``, ``student_t(df=5)``; ``none`` for a latent variable without a
        disturbance (one that lives on mass points).
    indicators : tuple of str
        Responses and latent variables that ``=~`` says measure it.
    endogenous : bool
        Whether the text regresses it on something other than its intercept, or it is an indicator.
    predicts : bool
        Whether a regression (``~``) of a response or latent variable has it on its right-hand side.
    """

    name: str
    level: str
    predictors: tuple[AuxiliaryModel, ...]
    distribution: FamilySpec
    indicators: tuple[str, ...] = ()
    endogenous: bool = False
    predicts: bool = False
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class CovarianceSpec:
    """A variance (`left` is `right`) or covariance of disturbances, or of residuals of Gaussian responses.

    Every variance of a latent variable with a disturbance stands in the graph, and every covariance that
    is not 0: written ones and, with `written` False, lavaan's defaults.
    """

    left: str
    right: str
    modifier: Modifier | None = None
    written: bool = True
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class ClassVariable:
    """A discrete latent variable: a column that nobody observed.

    Attributes
    ----------
    name : str
        ``"c"``; of mass points the text that makes them: ``"npml(1 | g, k=4)"``.
    level : str
    labels : tuple of str
        Names of the classes, ``("1", "2", "3")`` where the text gives their number; empty where the data
        do: the categories of x in ``mi(x)``, as many mass points as there are (`automatic`).
    known : str
        Column with the labels of units whose membership is observed; empty for none.
    membership : AuxiliaryModel
        Regression of the log odds of each class against the last.
    points : bool
        Whether the classes are mass points of random effects or of a latent variable, ordered by
        location and reported as such.
    automatic : bool
        ``k="auto"``: points are added until none improves the likelihood.
    """

    name: str
    level: str
    labels: tuple[str, ...]
    known: str
    membership: AuxiliaryModel
    points: bool = False
    automatic: bool = False
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class MissingCovariate:
    """``mi(x)``: the covariate is the response where it is observed, a latent variable elsewhere."""

    name: str
    response: str


@dataclass(frozen=True, slots=True)
class ConstraintSpec:
    """``left operator right`` with operator one of ``== < > <= >=``, over labels and parameter names."""

    operator: str
    left: Expr
    right: Expr
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class DefinitionSpec:
    """``name := expression`` over labels, parameter names and other definitions."""

    name: str
    expression: Expr
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
    distribution : FamilySpec or None
        Of the effects where it is not the normal: ``student_t(1 | g, df=5)``. Mass points are no
        block but a `ClassVariable`.

    The response name of a member may be a latent variable's.
    """

    name: str
    level: str
    members: tuple[tuple[str, str], ...]
    terms: tuple[Term, ...]
    intercept: bool
    correlated: bool
    span: Span = field(default=Span(0, 0), compare=False)
    distribution: FamilySpec | None = None


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
        `ROW`, a level with no columns, is among them where latent variables or classes live at rows.
    blocks : tuple of RandomBlock
    latents : tuple of LatentVariable
        In an order in which each comes after those it is regressed on.
    covariances : tuple of CovarianceSpec
    classes : tuple of ClassVariable
        In an order in which each comes after those its membership depends on.
    missing : tuple of MissingCovariate
    constraints : tuple of ConstraintSpec
    definitions : tuple of DefinitionSpec
    """

    source: str
    responses: tuple[Response, ...]
    levels: tuple[Level, ...]
    blocks: tuple[RandomBlock, ...]
    latents: tuple[LatentVariable, ...] = ()
    covariances: tuple[CovarianceSpec, ...] = ()
    classes: tuple[ClassVariable, ...] = ()
    missing: tuple[MissingCovariate, ...] = ()
    constraints: tuple[ConstraintSpec, ...] = ()
    definitions: tuple[DefinitionSpec, ...] = ()

    def __str__(self) -> str:
        lines = []
        if self.levels:
            line = f"levels: {self.levels[0].name}"
            for above, level in zip(self.levels, self.levels[1:], strict=False):
                nested = set(above.group.columns) < set(level.group.columns)
                line += f" > {level.name}" if nested else f", {level.name}"
            lines.append(line)
        for response in self.responses:
            lines.append(_at_level(response.name, response.level) + f": {response.family}")
            lines += self._regressions(response.name, response.predictors)
        for latent in self.latents:
            lines.append(_at_level(latent.name, latent.level) + f": {latent.distribution}")
            lines += self._loadings(latent.name)
            lines += self._regressions(latent.name, latent.predictors)
        for variable in self.classes:
            what = "mass points" if variable.points else "classes"
            number = str(len(variable.labels)) if variable.labels else "any number of"
            lines.append(_at_level(variable.name, variable.level) + f": {number} {what}")
            lines += self._regressions(variable.name, (variable.membership,))
        for spec in self.covariances:
            lines.append(f"{spec.left} ~~ {_modified(spec.modifier, spec.right)}")
        for constraint in self.constraints:
            lines.append(f"{unparse(constraint.left)} {constraint.operator} {unparse(constraint.right)}")
        for definition in self.definitions:
            lines.append(f"{definition.name} := {unparse(definition.expression)}")
        return "\n".join(lines)

    def _loadings(self, name: str) -> list[str]:
        measured: list[Response | LatentVariable] = [*self.responses, *self.latents]
        found = [
            _modified(term.modifier, ":".join((owner.name, *term.factors)))
            for owner in measured
            for term in owner.predictors[0].terms
            if term.measures == name
        ]
        return [f"  {name} =~ {' + '.join(found)}"] if found else []

    def _regressions(self, name: str, predictors: tuple[AuxiliaryModel, ...]) -> list[str]:
        lines = []
        for model in predictors:
            written = name if model.parameter == "mu" else f"{model.parameter}({name})"
            regressors = tuple(term for term in model.terms if not term.measures)
            lines.append(f"  {written} ~ {replace(model, terms=regressors)}")
        for block in self.blocks:
            own = [parameter for owner, parameter in block.members if owner == name]
            inside = "" if own == ["mu"] else f" in {', '.join(own)}"
            what = f"({block.name})" if block.distribution is None else f"({block.name}) {block.distribution}"
            lines += [f"  {what}{inside}"] if own else []
        return lines


def _at_level(name: str, level: str) -> str:
    return name if level == ROW else f"{name} | {level}"


def _modified(modifier: Modifier | None, text: str) -> str:
    return text if modifier is None else f"{modifier}{text}"
