"""Left-hand sides: which variable and which of its predictors a statement is about."""

from __future__ import annotations

from glamm.errors import nearest
from glamm.grammar import unparse
from glamm.grammar.ast import Call, Expr, Name, Regression, Target
from glamm.graph.drafts import ClassDraft, Draft, Drafts, LatentDraft, ResponseDraft
from glamm.graph.factors import factor_text, names_in
from glamm.graph.model import ROW, ResponseForm
from glamm.graph.names import is_bare_auxiliary
from glamm.graph.terms import TRANSFORMS

__all__ = ["SETS", "Targets", "add_response", "names_variable", "variable_name"]

FORMS = ("cbind", "surv")
# Forms of one row an alternative: which alternative, and which rows belong together.
SETS = ("choice", "ranking")


def variable_name(expr: Expr) -> str:
    """Return what a variable is called: its column, or the call as canonical text."""
    return expr.name if isinstance(expr, Name) else unparse(expr)


def names_variable(expr: Expr) -> bool:
    """Return whether `expr` can be a response or latent variable: a name, or a call that makes a response."""
    if not isinstance(expr, Call):
        return isinstance(expr, Name)
    return expr.function in (*FORMS, *SETS, *TRANSFORMS) or "." in expr.function


def add_response(drafts: Drafts, variable: Expr, indicator: bool = False) -> ResponseDraft:
    """Record a response; `indicator` where only ``=~`` names it."""
    name = variable_name(variable)
    form, factors = "", tuple[Expr, ...]((variable,))
    if isinstance(variable, Call) and variable.function in (*FORMS, *SETS):
        form, factors = variable.function, variable.args
        if variable.keywords:
            drafts.problem(f"{form}() takes columns only", variable.span)
        if form in SETS and len(factors) != 2:
            what = "the column of what was chosen" if form == "choice" else "the column of ranks"
            drafts.problem(
                f"{form}() takes {what} and the column that tells the sets apart",
                variable.span,
                "choice(chosen, set)" if form == "choice" else "ranking(rank, set)",
            )
    texts = tuple(factor_text(factor, drafts.problems) for factor in factors)
    if form:
        plain = [factor.name for factor in factors if isinstance(factor, Name)]
        # The set of an alternative says which rows belong together, not how it turned out.
        columns = frozenset(plain[:1] if form in SETS else plain)
        alias = plain[0] if plain else name
    else:
        columns, alias = frozenset(found for found, _ in names_in(variable)), name
    draft = ResponseDraft(
        name,
        variable.span,
        form=ResponseForm(form, texts),
        columns=columns,
        alias=alias,
        indicator=indicator,
    )
    drafts.responses[name] = draft
    return draft


class Targets:
    """Records the variables of all statements, then answers whose predictor a left-hand side is.

    Parameters
    ----------
    drafts : Drafts
        Filled with the variables.
    regressions : list of Regression
    measured : list of Target
        Left-hand sides of ``=~``.
    indicators : list of Expr
        The variables that ``=~`` names on its right.
    """

    def __init__(
        self,
        drafts: Drafts,
        regressions: list[Regression],
        measured: list[Target],
        indicators: list[Expr],
    ) -> None:
        self.drafts = drafts
        symbols = drafts.symbols
        named = [target for statement in regressions for target in statement.targets]
        bare = [t for t in named if is_bare_auxiliary(t) and not symbols.unobserved(unparse(t.variable))]
        alone = len(bare) == len(named) and not indicators
        self.bare = set() if alone else {id(target) for target in bare}
        self._unobserved(measured)
        calls: list[Target] = []
        for target in named:
            if id(target) in self.bare:
                continue
            match target.variable:
                case Call(function=function) if function not in (*FORMS, *SETS) and "." not in function:
                    calls.append(target)
                case _:
                    self._variable(target)
        for target in calls:
            call = target.variable
            assert isinstance(call, Call)
            if self._owner(call) is None and call.function in TRANSFORMS:
                self._variable(target)
        for expr in indicators:
            if drafts.variable(variable_name(expr)) is None and not symbols.unobserved(variable_name(expr)):
                add_response(drafts, expr, indicator=True)
        drafts.measured = frozenset(variable_name(expr) for expr in indicators)
        self._named_elsewhere()
        self._check_columns()

    # ------------------------------------------------ variables

    def _unobserved(self, measured: list[Target]) -> None:
        for target in measured:
            if isinstance(target.variable, Name):
                self._level(self._latent(target.variable.name, target), target)
            else:
                self.drafts.problem(
                    f"{unparse(target.variable)} cannot be measured: expected the name of a latent variable",
                    target.span,
                )

    def _latent(self, name: str, target: Target) -> Draft:
        drafts = self.drafts
        if name in drafts.symbols.classes:
            labels = drafts.symbols.classes[name]
            return drafts.classes.setdefault(name, ClassDraft(name, target.span, labels=labels))
        return drafts.latents.setdefault(name, LatentDraft(name, target.span))

    def _named_elsewhere(self) -> None:
        """Record latent variables that only a variance or a standard deviation names."""
        symbols = self.drafts.symbols
        for name in sorted(symbols.latents - set(self.drafts.latents), key=lambda n: symbols.spans[n].start):
            self.drafts.latents[name] = LatentDraft(name, symbols.spans[name])

    def _check_columns(self) -> None:
        """Report responses that are no columns where they may be latent variables misspelt.

        In a model without latent variables the data say so.
        """
        symbols = self.drafts.symbols
        if not symbols.latents and not symbols.classes:
            return
        for draft in self.drafts.responses.values():
            if not draft.form.call and draft.name in draft.columns and symbols.is_unknown(draft.name):
                self.drafts.problem(f"no column {draft.name!r}", draft.span, symbols.nearest(draft.name))

    def _variable(self, target: Target) -> None:
        drafts = self.drafts
        name = variable_name(target.variable)
        if drafts.symbols.unobserved(name):
            self._level(self._latent(name, target), target)
            return
        if name in drafts.responses:
            first = drafts.responses[name].span
            line = drafts.source.count("\n", 0, first.start) + 1
            drafts.problem(
                f"the response {name!r} has two regressions, the first in line {line}",
                target.span,
                "put all its terms into one statement",
            )
            return
        draft = add_response(drafts, target.variable)
        draft.span = target.span
        self._level(draft, target)

    def _level(self, draft: Draft, target: Target) -> None:
        if target.level is None:
            return
        level = self.drafts.level((target.level.name,), target.level.span)
        if draft.level not in (ROW, level.name):
            self.drafts.problem(
                f"{draft.name!r} lives at the level {draft.level!r} and at the level {level.name!r}",
                target.level.span,
                "a variable lives at one level",
            )
            return
        draft.level = level.name

    def _owner(self, call: Call) -> Draft | None:
        """Return the variable inside ``sigma(y)``."""
        if len(call.args) != 1 or call.keywords:
            return None
        return self.drafts.variable(variable_name(call.args[0]))

    # ------------------------------------------------ predictors

    def member(self, target: Target) -> tuple[Draft, str] | None:
        """Return the variable and predictor that a left-hand side names."""
        variable = target.variable
        drafts = self.drafts
        if id(target) in self.bare:
            assert isinstance(variable, Name)
            if len(drafts.responses) == 1:
                return next(iter(drafts.responses.values())), variable.name
            first = next(iter(drafts.responses), "y")
            drafts.problem(
                f"{variable.name!r} of which response? The model has {len(drafts.responses)}",
                target.span,
                f"write {variable.name}({first}) ~ ...",
            )
            return None
        name = variable_name(variable)
        if isinstance(variable, Name) or name in drafts.responses:
            draft = drafts.variable(name)
            assert draft is not None
            return draft, "mu"
        owner = self._owner(variable)
        if owner is None:
            self._nobodys(variable, target)
        elif isinstance(owner, ClassDraft) or (isinstance(owner, LatentDraft) and variable.function != "sd"):
            what = "a class variable" if isinstance(owner, ClassDraft) else "a latent variable"
            can = f"regress {owner.name} ~ ..."
            drafts.problem(
                f"{owner.name!r} is {what} and has no parameter {variable.function!r}",
                target.span,
                can if isinstance(owner, ClassDraft) else f"{can} or sd({owner.name}) ~ ...",
            )
        elif target.level is not None:
            drafts.problem(
                f"the level of {owner.name!r} stands in its own regression",
                target.level.span,
                f"write {owner.name} | {target.level.name} ~ ...",
            )
        else:
            return owner, variable.function
        return None

    def _nobodys(self, variable: Call, target: Target) -> None:
        """Report a call on the left-hand side that belongs to no variable."""
        name = unparse(variable)
        if len(variable.args) == 1:
            text = variable_name(variable.args[0])
            message = (
                f"{name} ~ ... regresses the parameter {variable.function!r} of a response {text!r}, "
                "but no statement models it"
            )
            hint = nearest(text, [*self.drafts.responses, *self.drafts.latents])
        else:
            message = f"{name} is neither a response nor a parameter of one"
            hint = "a response is a column, a transform of it like log(y), cbind(...) or surv(...)"
        self.drafts.problem(message, target.span, hint)
