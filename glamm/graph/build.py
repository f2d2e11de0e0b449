"""From the syntax tree to the model graph; every mistake found is reported in one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glamm.errors import FormulaError, Problem, Span, nearest
from glamm.grammar import unparse
from glamm.grammar.ast import Binary, Call, Expr, FamilyOf, Model, Name, Random, Regression, Target
from glamm.graph.families import read_family
from glamm.graph.later import latent_names, refusal
from glamm.graph.model import (
    AuxiliaryModel,
    FamilySpec,
    GroupFactor,
    Level,
    ModelGraph,
    RandomBlock,
    Response,
    ResponseForm,
    Term,
)
from glamm.graph.terms import Expander, Expansion, factor_text, names_in

__all__ = ["build"]

FORMS = ("cbind", "surv")
TRANSFORMS = ("I", "C", "log", "log2", "log10", "log1p", "exp", "exp2", "exp10", "expm1", "sqrt", "abs")
# Auxiliary parameters that may be written without their response: `sigma ~ z`.
AUXILIARY = ("sigma", "df", "shape", "size", "phi", "threshold", "scale", "step", "guess", "slip")
# One predictor for each category: a random effect in all of them is one of the response itself.
CATEGORICAL = ("threshold", "step")


@dataclass(slots=True)
class _Draft:
    """A response while its statements are being read."""

    name: str
    form: ResponseForm
    columns: frozenset[str]
    span: Span
    alias: str
    predictors: dict[str, AuxiliaryModel] = field(default_factory=dict)
    refused: bool = False


Members = list[tuple[str, str]]


def build(
    tree: Model, source: str, families: FamilySpec | Mapping[str, FamilySpec] | None = None
) -> ModelGraph:
    """Return the graph of a model.

    Parameters
    ----------
    tree : Model
        What `glamm.grammar.parse` returned for `source`.
    source : str
        The model text.
    families : FamilySpec, mapping of response name to FamilySpec, or None
        Families that the text does not give; one for all responses, or some by name.

    Raises
    ------
    FormulaError
        The text does not describe a model, with every reason.
    """
    try:
        return _Builder(tree, source).build(families)
    except RecursionError:
        raise FormulaError("the model is nested too deeply to be read", source) from None


class _Builder:
    def __init__(self, tree: Model, source: str) -> None:
        self.tree = tree
        self.source = source
        self.problems: list[Problem] = []
        self.drafts: dict[str, _Draft] = {}
        self.levels: dict[frozenset[str], Level] = {}
        self.blocks: list[RandomBlock] = []
        self.latents = latent_names(tree)

    def build(self, families: FamilySpec | Mapping[str, FamilySpec] | None) -> ModelGraph:
        refused = set()
        for position, statement in enumerate(self.tree.statements):
            problem = refusal(statement, self.latents, self.source)
            if problem is not None:
                self.problems.append(problem)
                refused.add(position)
        regressions = [
            (statement, position in refused)
            for position, statement in enumerate(self.tree.statements)
            if isinstance(statement, Regression)
        ]
        self._find_responses(regressions)
        for statement, later in regressions:
            if not later:
                self._regression(statement)
        self._same_effect_twice()
        specs = self._families(families)
        if not self.drafts and not self.problems:
            self.problems.append(Problem("the model has no response", None, "write one: y ~ x"))
        if self.problems:
            self.problems.sort(key=lambda p: -1 if p.span is None else p.span.start)
            raise FormulaError(self.problems, self.source)
        responses = tuple(
            Response(
                draft.name,
                draft.form,
                specs[draft.name],
                (draft.predictors.pop("mu"), *draft.predictors.values()),
                draft.span,
            )
            for draft in self.drafts.values()
        )
        return ModelGraph(self.source, responses, tuple(self.levels.values()), tuple(self.blocks))

    def _problem(self, message: str, span: Span | None, hint: str = "") -> None:
        self.problems.append(Problem(message, span, hint))

    # ------------------------------------------------ left-hand sides

    def _find_responses(self, regressions: list[tuple[Regression, bool]]) -> None:
        """Record every response before any auxiliary regression looks for its own."""
        named = [target for statement, _ in regressions for target in statement.targets]
        bare = [t for t in named if _bare_auxiliary(t)]
        self.bare = {id(t) for t in bare} if len(bare) < len(named) else set()
        calls: list[tuple[Target, bool]] = []
        for statement, later in regressions:
            for target in statement.targets:
                if id(target) in self.bare:
                    continue
                match target.variable:
                    case Call(function=function) if function not in FORMS and "." not in function:
                        calls.append((target, later))
                    case _ if _latent(target) in self.latents:
                        continue
                    case _:
                        self._add_response(target, later)
        for target, later in calls:
            call = target.variable
            assert isinstance(call, Call)
            if self._owner(call) is None and call.function in (*TRANSFORMS, "choice", "ranking"):
                self._add_response(target, later)

    def _add_response(self, target: Target, later: bool) -> None:
        variable = target.variable
        before = len(self.problems)
        if isinstance(variable, Call) and variable.function in FORMS:
            name = unparse(variable)
            factors = tuple(factor_text(arg, self.problems) for arg in variable.args)
            form = ResponseForm(variable.function, factors)
            plain = [arg.name for arg in variable.args if isinstance(arg, Name)]
            columns, alias = frozenset(plain), plain[0] if plain else name
            if variable.keywords:
                self._problem(f"{variable.function}() takes columns only", variable.span)
        else:
            name = _name(variable)
            form = ResponseForm("", (factor_text(variable, self.problems),))
            columns, alias = frozenset(found for found, _ in names_in(variable)), name
        if later:
            del self.problems[before:]
        if name in self.drafts:
            if not later:
                first = self.drafts[name].span
                line = self.source.count("\n", 0, first.start) + 1
                self._problem(
                    f"the response {name!r} has two regressions, the first in line {line}",
                    target.span,
                    "put all its terms into one statement",
                )
            return
        self.drafts[name] = _Draft(name, form, columns, target.span, alias, refused=later)

    def _owner(self, call: Call) -> _Draft | None:
        """Return the response inside ``sigma(y)``."""
        if len(call.args) != 1 or call.keywords:
            return None
        return self._response(_name(call.args[0]))

    def _response(self, name: str) -> _Draft | None:
        if name in self.drafts:
            return self.drafts[name]
        aliased = [draft for draft in self.drafts.values() if draft.alias == name]
        return aliased[0] if len(aliased) == 1 else None

    def _member(self, target: Target) -> tuple[_Draft, str] | None:
        """Return the response and predictor that a left-hand side names."""
        variable = target.variable
        if id(target) in self.bare:
            assert isinstance(variable, Name)
            if len(self.drafts) == 1:
                return next(iter(self.drafts.values())), variable.name
            first = next(iter(self.drafts), "y")
            self._problem(
                f"{variable.name!r} of which response? The model has {len(self.drafts)}",
                target.span,
                f"write {variable.name}({first}) ~ ...",
            )
            return None
        if isinstance(variable, Name):
            return self.drafts[variable.name], "mu"
        name = unparse(variable)
        if name in self.drafts:
            return self.drafts[name], "mu"
        owner = self._owner(variable)
        if owner is not None:
            return owner, variable.function
        if len(variable.args) == 1:
            text = _name(variable.args[0])
            message = (
                f"{name} ~ ... regresses the parameter {variable.function!r} of a response {text!r}, "
                "but no statement models it"
            )
            hint = nearest(text, self.drafts)
        else:
            message = f"{name} is neither a response nor a parameter of one"
            hint = "a response is a column, a transform of it like log(y), cbind(...) or surv(...)"
        self._problem(message, target.span, hint)
        return None

    # ------------------------------------------------ right-hand sides

    def _regression(self, statement: Regression) -> None:
        expansion = Expander(self.problems).expand(statement.terms)
        members: Members = []
        for target in statement.targets:
            member = self._member(target)
            if member is None:
                continue
            draft, parameter = member
            if parameter in draft.predictors:
                if parameter != "mu":
                    self._problem(f"{parameter}({draft.name}) has two regressions", target.span)
                continue
            draft.predictors[parameter] = AuxiliaryModel(
                parameter, expansion.terms, expansion.intercept, expansion.offsets, statement.span
            )
            members.append((draft.name, parameter))
            self._check_member(draft, parameter, statement, expansion)
        if members:
            for random in expansion.randoms:
                self._random(random, tuple(members))

    def _check_member(
        self, draft: _Draft, parameter: str, statement: Regression, expansion: Expansion
    ) -> None:
        empty = expansion.intercept is False and not (
            expansion.terms or expansion.offsets or expansion.randoms
        )
        written = draft.name if parameter == "mu" else f"{parameter}({draft.name})"
        if empty and (parameter == "mu" or parameter in CATEGORICAL):
            self._problem(
                f"nothing is left on the right-hand side of {written}", statement.span, f"write {written} ~ 1"
            )
        if parameter in CATEGORICAL and expansion.randoms:
            self._problem(
                f"a random effect in {written} would shift all its categories alike",
                expansion.randoms[0].span,
                f"put it into the regression of the response: {draft.name} ~ ...",
            )
        if parameter in CATEGORICAL and expansion.intercept is False and not empty:
            self._problem(f"{written} needs its intercepts: they are the cut points", statement.span)
        for name, node in names_in(statement.terms):
            if name in draft.columns:
                self._problem(f"the response {draft.name!r} stands in its own predictor", node.span)

    def _random(self, random: Random, members: tuple[tuple[str, str], ...]) -> None:
        before = len(self.problems)
        inner = Expander(self.problems).expand(random.terms)
        if inner.randoms or inner.offsets:
            self._problem("random effects hold terms only, no offset and no other random effect", random.span)
        intercept = inner.intercept is not False
        if not intercept and not inner.terms:
            self._problem("there is no effect in these parentheses", random.span, "write (1 | group)")
        groups = self._groups(random.group)
        if len(self.problems) > before:
            return
        written = " + ".join([str(int(intercept)), *(str(term) for term in inner.terms)])
        if intercept or inner.terms:
            for columns in groups:
                level = self._level(columns, random.group.span)
                bar = "|" if random.correlated else "||"
                name = f"{written} {bar} {level.name}"
                self.blocks.append(
                    RandomBlock(
                        name, level.name, members, inner.terms, intercept, random.correlated, random.span
                    )
                )

    def _groups(self, expr: Expr) -> list[tuple[str, ...]]:
        """Return the columns of each level that a group names: ``a/b`` is ``a`` and ``a:b``."""
        match expr:
            case Name(name=name):
                return [(name,)]
            case Binary(operator=(":" | "/") as operator, left=left, right=right):
                above, below = self._groups(left), self._groups(right)
                if not above or not below:
                    return []
                joined = [above[-1] + columns for columns in below]
                if operator == ":":
                    joined = [a + b for a in above for b in below]
                joined = [tuple(dict.fromkeys(columns)) for columns in joined]
                return above + joined if operator == "/" else joined
        self._problem(
            "a group is a column, a:b (their combinations) or a/b (b nested in a)",
            expr.span,
            "several groups take a parenthesis each: (1 | a) + (1 | b)",
        )
        return []

    def _level(self, columns: tuple[str, ...], span: Span) -> Level:
        level = Level(":".join(columns), GroupFactor(columns, span))
        return self.levels.setdefault(frozenset(columns), level)

    def _same_effect_twice(self) -> None:
        seen: set[tuple[str, tuple[str, str], frozenset[str]]] = set()
        for block in self.blocks:
            effects = ([Term(())] if block.intercept else []) + list(block.terms)
            for effect in effects:
                keys = {(block.level, member, frozenset(effect.factors)) for member in block.members}
                if seen & keys:
                    self._problem(
                        f"the random effect ({effect} | {block.level}) stands in the model twice", block.span
                    )
                seen |= keys

    # ------------------------------------------------ families

    def _families(self, given: FamilySpec | Mapping[str, FamilySpec] | None) -> dict[str, FamilySpec]:
        specs: dict[str, FamilySpec] = {}
        for statement in self.tree.statements:
            if not isinstance(statement, FamilyOf):
                continue
            spec = read_family(statement.family, self.problems)
            for response in statement.responses:
                name = _name(response)
                draft = self._response(name)
                if draft is None:
                    if name not in self.latents:
                        self._problem(
                            f"family({name}): the model has no response {name!r}",
                            response.span,
                            nearest(name, self.drafts) or self._listed(),
                        )
                elif draft.name in specs:
                    self._problem(f"the response {draft.name!r} has two families", statement.span)
                else:
                    specs[draft.name] = spec
        if isinstance(given, FamilySpec):
            given = dict.fromkeys(self.drafts, given)
        for key, spec in (given or {}).items():
            draft = self._response(key)
            if draft is None:
                self._problem(
                    f"a family is given for {key!r}, but the model has no such response",
                    None,
                    nearest(key, self.drafts) or self._listed(),
                )
            elif specs.setdefault(draft.name, spec) != spec:
                self._problem(
                    f"the text gives {draft.name!r} the family {specs[draft.name]}, the argument says {spec}",
                    specs[draft.name].span,
                    "give it in one place",
                )
        return {name: specs.get(name, FamilySpec("gaussian")) for name in self.drafts}

    def _listed(self) -> str:
        return f"the responses are {', '.join(self.drafts)}" if self.drafts else ""


def _name(expr: Expr) -> str:
    """Return what a response is called: its column, or the call as canonical text."""
    return expr.name if isinstance(expr, Name) else unparse(expr)


def _latent(target: Target) -> str:
    return target.variable.name if isinstance(target.variable, Name) else ""


def _bare_auxiliary(target: Target) -> bool:
    variable = target.variable
    return isinstance(variable, Name) and not variable.quoted and variable.name in AUXILIARY
