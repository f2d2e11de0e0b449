"""Constraints on labels and derived parameters."""

from __future__ import annotations

from collections.abc import Iterator

from glamm.errors import Span, nearest
from glamm.grammar.ast import Constraint, Definition, Expr, Name, Statement
from glamm.graph.drafts import Drafts
from glamm.graph.factors import names_in
from glamm.graph.model import ConstraintSpec, DefinitionSpec, Modifier
from glamm.graph.order import find_cycle

__all__ = ["read_constraints"]


def read_constraints(
    drafts: Drafts, statements: tuple[Statement, ...]
) -> tuple[tuple[ConstraintSpec, ...], tuple[DefinitionSpec, ...]]:
    """Return the constraints and the definitions of a model, checked against its labels."""
    labels = _labels(drafts)
    definitions: dict[str, DefinitionSpec] = {}
    constraints: list[ConstraintSpec] = []
    for statement in statements:
        if isinstance(statement, Definition):
            name = statement.name
            if name in definitions:
                drafts.problem(f"{name!r} is defined twice", statement.span)
            elif name in labels:
                drafts.problem(
                    f"{name!r} is a label already",
                    statement.span,
                    "== constrains a label, := makes a new name",
                )
            definitions.setdefault(name, DefinitionSpec(name, statement.expression, statement.span))
    for statement in statements:
        match statement:
            case Constraint(operator=operator, left=left, right=right):
                constraints.append(ConstraintSpec(operator, left, right, statement.span))
                for side in (left, right):
                    for name, node in names_in(side):
                        if name in definitions:
                            drafts.problem(
                                f"{name!r} is a derived parameter; a constraint holds labels and parameters",
                                node.span,
                                "write what it is derived from",
                            )
                    _check_labels(drafts, side, labels | set(definitions))
            case Definition(expression=expression):
                _check_labels(drafts, expression, labels | set(definitions))
    uses = {
        name: [used for used, _ in names_in(spec.expression) if used in definitions]
        for name, spec in definitions.items()
    }
    cycle = find_cycle(uses)
    if cycle:
        drafts.problem(
            f"derived parameters go round in a circle: {' -> '.join(cycle)}", definitions[cycle[0]].span
        )
    return tuple(constraints), tuple(definitions.values())


def _check_labels(drafts: Drafts, expr: Expr, known: set[str]) -> None:
    for name, node in names_in(expr):
        # In backticks stands a parameter's own name; which there are depends on the data.
        if name in known or (isinstance(node, Name) and node.quoted):
            continue
        drafts.problem(
            f"{name!r} is no label of the model",
            node.span,
            nearest(name, known) or f"write label({name})*x, or a parameter's own name in backticks: `y ~ x`",
        )


def _labels(drafts: Drafts) -> set[str]:
    """Return the labels of a model; one that parameters of different kinds bear is reported."""
    kinds: dict[str, str] = {}
    for modifier, kind, span in _modifiers(drafts):
        label = modifier.label
        if label and kinds.setdefault(label, kind) != kind:
            drafts.problem(
                f"the label {label!r} names {kind} here and {kinds[label]} elsewhere",
                span,
                f"use two labels, and a constraint if they are to be equal: {label}1 == {label}2",
            )
    return set(kinds)


def _modifiers(drafts: Drafts) -> Iterator[tuple[Modifier, str, Span]]:
    """Yield each modifier with the kind of its parameter and its place."""
    models = [model for draft in drafts.variables() for model in draft.predictors.values()]
    for model in models:
        if model.modifier is not None:
            yield model.modifier, "a coefficient", model.span
        for term in model.terms:
            if term.modifier is not None:
                yield term.modifier, "a coefficient", term.span
    for spec in drafts.covariances:
        if spec.modifier is not None:
            response = spec.left in drafts.responses
            what = "variance" if spec.left == spec.right else "covariance"
            # variances and covariances of latent variables are entries of one matrix
            kind = f"a residual {what}" if response else "a variance or covariance of latent variables"
            yield spec.modifier, kind, spec.span
