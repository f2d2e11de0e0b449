"""Statements ``latent =~ indicators``: loadings of responses and of other latent variables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from glamm.grammar import unparse
from glamm.grammar.ast import Binary, Call, Expr, Index, Measurement, Name, Python
from glamm.graph.drafts import ClassDraft, Draft, Drafts, LatentDraft
from glamm.graph.factors import addends, quoted
from glamm.graph.model import AuxiliaryModel, Term
from glamm.graph.modifiers import split_modifier
from glamm.graph.targets import names_variable, variable_name

__all__ = ["indicators_of", "read_measurements"]


def _product(expr: Expr) -> list[Expr]:
    """Return the operands of ``a:b:c``."""
    operands: list[Expr] = []
    while isinstance(expr, Binary) and expr.operator == ":":
        operands.append(expr.right)
        expr = expr.left
    return [expr, *reversed(operands)]


def _pieces(measurement: Measurement) -> list[tuple[Expr, Expr]]:
    """Return each addend on the right of ``=~`` with the variable it names."""
    found = []
    for piece in addends(measurement.indicators):
        _, rest = split_modifier(piece, [])
        found.append((piece, _product(rest)[0]))
    return found


def indicators_of(measurements: list[Measurement]) -> list[Expr]:
    """Return the variables that ``=~`` statements have on the right; what is none is left out."""
    pieces = [piece for measurement in measurements for piece in _pieces(measurement)]
    return [variable for _, variable in pieces if names_variable(variable)]


def read_measurements(drafts: Drafts, measurements: list[Measurement], scaled: Collection[str]) -> None:
    """Add the loadings to the predictors of what is measured.

    Parameters
    ----------
    drafts : Drafts
    measurements : list of Measurement
    scaled : collection of str
        Latent variables whose variance is held, which need no loading that is.
    """
    for measurement in measurements:
        for target in measurement.latents:
            owner = drafts.variable(variable_name(target.variable))
            if isinstance(owner, LatentDraft):
                _loadings(drafts, owner, measurement, owner.name in scaled)
            elif isinstance(owner, ClassDraft):
                _profiles(drafts, owner, measurement)


def _loadings(drafts: Drafts, owner: LatentDraft, measurement: Measurement, scaled: bool) -> None:
    for position, (piece, variable) in enumerate(_pieces(measurement)):
        modifier, rest = split_modifier(piece, drafts.problems)
        measured = _measured(drafts, owner, variable)
        if measured is None:
            continue
        factors = tuple(text for factor in _product(rest)[1:] for text in _column(drafts, factor))
        # The first loading sets the scale, unless the text says something else about it.
        marker = position == 0 and not owner.indicators and modifier is None and not scaled
        term = Term(factors, piece.span, (owner.name,), modifier, owner.name, marker)
        _load(drafts, measured, term)
        if measured.name not in owner.indicators:
            owner.indicators.append(measured.name)


def _measured(drafts: Drafts, owner: Draft, variable: Expr) -> Draft | None:
    found = drafts.variable(variable_name(variable)) if names_variable(variable) else None
    if found is None:
        drafts.problem(
            f"{unparse(variable)} is no indicator: expected a response or a latent variable",
            variable.span,
            "indicators are joined by +: eta =~ i1 + i2, theta | person =~ y:item",
        )
    elif isinstance(found, ClassDraft):
        drafts.problem(
            f"the class variable {found.name!r} has no loadings",
            variable.span,
            f"regress its membership: {found.name} ~ {owner.name} + classes({len(found.labels)})",
        )
        return None
    elif found is owner:
        drafts.problem(f"{owner.name!r} is its own indicator", variable.span)
        return None
    return found


def _column(drafts: Drafts, expr: Expr) -> tuple[str, ...]:
    """Return the factor that a loading varies with, none where it is a mistake."""
    if isinstance(expr, Name) and expr.name in drafts.symbols.latents:
        drafts.problem(
            f"a loading varies with columns, and {expr.name!r} is a latent variable",
            expr.span,
            f"a product of latent variables stands in a regression: y ~ eta:{expr.name}",
        )
    elif isinstance(expr, (Name, Call, Python, Index)):
        return (drafts.expander.factor(expr),)
    else:
        drafts.problem("a loading varies with columns or functions of them", expr.span, "eta =~ y:item")
    return ()


def _load(drafts: Drafts, measured: Draft, term: Term) -> None:
    model = measured.predictors.get("mu", AuxiliaryModel("mu", span=measured.span))
    if any((old.latents, set(old.factors)) == (term.latents, set(term.factors)) for old in model.terms):
        drafts.problem(
            f"{term} stands in the predictor of {measured.name!r} twice",
            term.span,
            "a loading is a coefficient: write it once, with =~ or with ~",
        )
    measured.predictors["mu"] = replace(model, terms=(*model.terms, term))


def _profiles(drafts: Drafts, owner: ClassDraft, measurement: Measurement) -> None:
    """Give every indicator an intercept for each class."""
    for piece, variable in _pieces(measurement):
        modifier, rest = split_modifier(piece, drafts.problems)
        measured = _measured(drafts, owner, variable)
        if measured is None:
            continue
        if modifier is not None or len(_product(rest)) > 1:
            drafts.problem(
                f"{unparse(piece)}: an indicator of classes has an intercept for each class, no loading",
                piece.span,
                f"write it as a regression: {measured.name} ~ {owner.name}*x",
            )
        model = measured.predictors.get("mu", AuxiliaryModel("mu", span=measured.span))
        term = Term((quoted(owner.name),), piece.span)
        drafts.expander.names[term.factors[0]] = frozenset((owner.name,))
        if any(old.factors == term.factors and not old.latents for old in model.terms):
            drafts.problem(f"{term} stands in the predictor of {measured.name!r} twice", piece.span)
        measured.predictors["mu"] = replace(model, terms=(term, *model.terms), intercept=False)
