"""Statements whose models the engine does not have yet: each is named in one problem."""

from __future__ import annotations

from collections.abc import Iterable

from glamm.errors import Problem
from glamm.grammar.ast import (
    Binary,
    Call,
    Constraint,
    Covariance,
    Definition,
    Expr,
    Index,
    Inline,
    Measurement,
    Model,
    Name,
    Number,
    Random,
    Regression,
    Statement,
)
from glamm.graph.terms import walk

__all__ = ["latent_names", "refusal"]

_STATEMENTS = {
    Measurement: "measurement models (=~) are",
    Covariance: "covariance statements (~~) are",
    Constraint: "constraints on parameters are",
    Definition: "derived parameters (:=) are",
}
_CALLS = {
    "classes": "latent classes are",
    "mi": "missing-covariate models, mi(), are",
    "npml": "non-parametric latent distributions, npml(), are",
    "student_t": "latent distributions other than the normal are",
}
_TARGETS = {
    "choice": "choice models are",
    "ranking": "ranking models are",
}
_MODIFIERS = ("label", "start")
_FIXED = "fixed coefficients (number * term) are"


def latent_names(tree: Model) -> frozenset[str]:
    """Return the latent variables that measurement statements of the model define."""
    measurements: list[Measurement] = []
    for statement in tree.statements:
        match statement:
            case Measurement():
                measurements.append(statement)
            case Regression(terms=terms):
                measurements += [node.measurement for node in walk(terms) if isinstance(node, Inline)]
    targets = [target for measurement in measurements for target in measurement.latents]
    return frozenset(target.variable.name for target in targets if isinstance(target.variable, Name))


def refusal(statement: Statement, latents: Iterable[str], source: str) -> Problem | None:
    """Return the problem of a statement that needs a later kind of model, or None."""
    what = _STATEMENTS.get(type(statement))
    if what is None and isinstance(statement, Regression):
        what = _of_regression(statement, frozenset(latents))
    if what is None:
        return None
    text = " ".join(statement.span.slice(source).split())
    text = text if len(text) <= 60 else text[:57] + "..."
    hint = "a known coefficient can be written offset(2 * x)" if what == _FIXED else ""
    return Problem(f"`{text}`: {what} not supported yet", statement.span, hint)


def _of_regression(statement: Regression, latents: frozenset[str]) -> str | None:
    parts = [what for node in walk(statement.terms) if (what := _of_expression(node)) is not None]
    if parts:
        return parts[0]
    for target in statement.targets:
        match target.variable:
            case Call(function=function) if function in _TARGETS:
                return _TARGETS[function]
            case Call(args=(Name(name=name),)) if name in latents:
                return "regressions of a latent variable's parameters are"
            case Name(name=name) if name in latents:
                return "regressions of a latent variable are"
        if target.level is not None:
            return "variables that live at a group level are"
    for node in walk(statement.terms):
        if isinstance(node, Name) and node.name in latents:
            return "latent variables in a regression are"
    return None


def _of_expression(node: Expr) -> str | None:
    match node:
        case Inline():
            return _STATEMENTS[Measurement]
        case Index():
            return "latent classes are"
        case Call(function=function, args=args) if any(isinstance(arg, Random) for arg in args):
            return _CALLS.get(function, f"random effects with the latent distribution {function!r} are")
        case Call(function=function) if function in _CALLS:
            return _CALLS[function]
        case Call(function=function) if function in _MODIFIERS:
            return f"modifiers, {function}(), are"
        case Binary(operator="*", left=Number()):
            return _FIXED
        case Binary(operator="*", left=Name(name="NA")):
            return "modifiers, NA*, are"
    return None
