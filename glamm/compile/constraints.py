"""Constraints and derived parameters of a model, resolved to the parameters they are about."""

from __future__ import annotations

from glamm.grammar.ast import Binary, Call, Expr, Name, Unary
from glamm.graph import ModelGraph

__all__ = ["constrained_names"]


def names_of(expression: Expr) -> list[str]:
    """Return the names in an expression, in the order met."""
    found: list[str] = []
    stack = [expression]
    while stack:
        node = stack.pop()
        match node:
            case Name(name=name):
                found.append(name)
            case Binary(left=left, right=right):
                stack += [right, left]
            case Unary(operand=operand):
                stack.append(operand)
            case Call(args=args):
                stack += reversed(args)
    return found


def constrained_names(graph: ModelGraph) -> frozenset[str]:
    """Return the labels and names of parameters that constraints are about."""
    sides = [side for constraint in graph.constraints for side in (constraint.left, constraint.right)]
    return frozenset(name for side in sides for name in names_of(side))
