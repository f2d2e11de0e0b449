"""Finds what every name of a model stands for, before any statement is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from glamm.errors import Problem, Span
from glamm.grammar.ast import (
    Binary,
    Call,
    Constraint,
    Covariance,
    Definition,
    Expr,
    FamilyOf,
    Inline,
    Measurement,
    Model,
    Name,
    Regression,
    Target,
    Text,
)
from glamm.graph.classes import class_labels
from glamm.graph.factors import addends, names_in, used_names, walk
from glamm.graph.modifiers import split_modifier
from glamm.graph.symbols import Symbols
from glamm.graph.terms import is_special

__all__ = ["AUXILIARY", "as_column", "find_symbols", "is_bare_auxiliary", "measurements_of"]

# Auxiliary parameters that may be written without their response: `sigma ~ z`.
AUXILIARY = ("sigma", "df", "shape", "size", "phi", "threshold", "scale", "step", "guess", "slip")


def as_column(name: str) -> str:
    """Return the hint for a column that is called like an auxiliary parameter."""
    return (
        f"`{name} ~ ...` is an auxiliary parameter's regression; the column is written in backticks: `{name}`"
    )


def is_bare_auxiliary(target: Target) -> bool:
    """Return whether a left-hand side may be an auxiliary parameter without its response."""
    variable = target.variable
    return isinstance(variable, Name) and not variable.quoted and variable.name in AUXILIARY


def measurements_of(tree: Model) -> list[Measurement]:
    """Return every ``=~`` of a model in the order of the text, those inside regressions too."""
    found: list[Measurement] = []
    for statement in tree.statements:
        match statement:
            case Measurement():
                found.append(statement)
            case Regression(terms=terms):
                found += [node.measurement for node in walk(terms) if isinstance(node, Inline)]
    return found


def _specials(terms: Expr) -> list[Call]:
    return [part for part in addends(terms, ("+", "-")) if isinstance(part, Call) and is_special(part)]


class _Uses:
    """Where names stand in a model.

    Attributes
    ----------
    loaded, distributed, regressed, spread, covarying : dict
        Names on the left of ``=~``, with a distribution, on the left of ``~``, inside ``sd()`` and in
        ``~~``, with the place of the first.
    classes : dict of str to (Call, Span)
        Names with ``classes(...)``.
    used : set of str
        Names on the right of the ``~`` of something else.
    indicators : set of str
        Names on the right of ``=~``.
    families : set of str
        Names with a family.
    """

    def __init__(self, tree: Model) -> None:
        self.loaded: dict[str, Span] = {}
        self.classes: dict[str, tuple[Call, Span]] = {}
        self.distributed: dict[str, Span] = {}
        self.regressed: dict[str, Target] = {}
        self.spread: dict[str, Span] = {}
        self.used: set[str] = set()
        self.families: set[str] = set()
        self.covarying: dict[str, Span] = {}
        self.indicators: set[str] = set()
        for measurement in measurements_of(tree):
            for target in measurement.latents:
                if isinstance(target.variable, Name):
                    self.loaded.setdefault(target.variable.name, target.span)
            self.indicators |= set(used_names(measurement.indicators))
        for statement in tree.statements:
            match statement:
                case Regression():
                    self._regression(statement)
                case Covariance(left=left, right=right):
                    for side in (*addends(left), *addends(right)):
                        for name, node in names_in(split_modifier(side, [])[1]):
                            self.covarying.setdefault(name, node.span)
                case FamilyOf(responses=responses):
                    self.families |= {response.name for response in responses if isinstance(response, Name)}

    def _regression(self, statement: Regression) -> None:
        specials = _specials(statement.terms)
        own: set[str] = set()
        for target in statement.targets:
            match target.variable:
                case Name(name=name):
                    own.add(name)
                    chosen = [call for call in specials if call.function == "classes"]
                    if chosen:
                        self.classes.setdefault(name, (chosen[0], target.span))
                        continue
                    if specials:
                        self.distributed.setdefault(name, target.span)
                    self.regressed.setdefault(name, target)
                case Call(function="sd", args=(Name(name=name),)):
                    self.spread.setdefault(name, target.span)
        self.used |= set(used_names(statement.terms)) - own


def find_symbols(tree: Model, columns: Collection[str] | None, problems: list[Problem]) -> Symbols:
    """Return what the names of `tree` stand for; what cannot be decided is added to `problems`.

    Parameters
    ----------
    tree : Model
    columns : collection of str or None
        Names of the columns of the data. Without them, a name that is regressed, has no indicators and no
        distribution is taken for a response unless other statements leave no doubt.
    problems : list of Problem
    """
    uses = _Uses(tree)
    known = None if columns is None else frozenset(columns)
    classes = {name: class_labels(call, problems) for name, (call, _) in uses.classes.items()}
    latents = {name for name in (*uses.loaded, *uses.distributed) if name not in classes}
    candidates = {**uses.spread, **uses.covarying, **uses.regressed}
    latents |= {name for name in candidates if name not in classes and _is_latent(name, uses, known)}
    for name in sorted((latents | set(classes)) & (known or set())):
        _both(name, uses, name in classes, problems)
    spans = {**uses.covarying, **uses.spread}
    spans |= {name: target.span for name, target in uses.regressed.items()} | uses.distributed | uses.loaded
    undeclared = frozenset(latents) - set(uses.loaded) - set(uses.distributed)
    symbols = Symbols(frozenset(latents), classes, columns=known, undeclared=undeclared, spans=spans)
    return replace(symbols, labels=_labels(tree, symbols))


def _is_latent(name: str, uses: _Uses, columns: frozenset[str] | None) -> bool:
    """Return whether a name that no ``=~`` defines is nevertheless a latent variable."""
    elsewhere = name in uses.used
    if columns is not None:
        marked = name in uses.spread or name in uses.covarying
        return name not in columns and (elsewhere or marked)
    if name not in uses.regressed:
        # A name that has only a variance: a column has none unless `=~` makes it a response.
        return elsewhere and name not in uses.indicators
    marked = name in uses.covarying or uses.regressed[name].level is not None
    return elsewhere and marked and name not in uses.families


def _both(name: str, uses: _Uses, discrete: bool, problems: list[Problem]) -> None:
    """Report a name that the data have and the model says nobody observed."""
    what, span = "class variable", uses.classes[name][1] if discrete else None
    if span is None:
        what = "latent variable"
        span = uses.loaded.get(name, uses.distributed.get(name))
    hint = "give what is not observed a name that no column has"
    if name in uses.distributed and name not in uses.loaded:
        hint = f"the distribution of a response is its family: family({name}) = ..."
    problems.append(Problem(f"{name!r} is a column of the data and a {what} of the model", span, hint))


def _labels(tree: Model, symbols: Symbols) -> frozenset[str]:
    """Return the names ``b`` that label the coefficient in ``b*x``."""
    certain: set[str] = set()
    perhaps: Counter[str] = Counter()
    for statement in tree.statements:
        match statement:
            case Regression(terms=terms):
                inline = [node.measurement.indicators for node in walk(terms) if isinstance(node, Inline)]
                certain |= {name for part in (terms, *inline) for name in _declared(part)}
                certain |= {name for part in inline for name in _factors(part)}
                perhaps.update(_factors(terms))
            case Measurement(indicators=sides) | Covariance(right=sides):
                certain |= {*_declared(sides), *_factors(sides)}
            case Constraint(left=left, right=right):
                certain |= {name for name, _ in (*names_in(left), *names_in(right))}
            case Definition(expression=expression):
                certain |= {name for name, _ in names_in(expression)}
    twice = {name for name, count in perhaps.items() if count > 1} if symbols.columns is not None else set()
    observed = symbols.columns or frozenset()
    return frozenset(
        name
        for name in perhaps
        if name in certain | twice and name not in observed and not symbols.unobserved(name)
    )


def _declared(expr: Expr) -> Iterator[str]:
    """Yield ``b`` of each ``label(b)``."""
    for node in walk(expr):
        match node:
            case Call(function="label", args=(Name(name=name) | Text(value=name),)):
                yield name


def _factors(expr: Expr) -> Iterator[str]:
    """Yield the names that stand before a ``*``."""
    for node in walk(expr):
        match node:
            case Binary(operator="*", left=Name(name=name, quoted=False)) if name != "NA":
                yield name
            case Binary(operator="*", left=Binary(operator="*", right=Name(name=name, quoted=False))):
                yield name
