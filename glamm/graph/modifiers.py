"""What stands before a coefficient's term: ``label(b)*x``, ``start(0.5)*x``, ``1*x``, ``NA*x``."""

from __future__ import annotations

from collections.abc import Collection

from glamm.errors import Problem
from glamm.grammar.ast import Binary, Call, Expr, Name, Number, Text, Unary
from glamm.graph.families import number
from glamm.graph.model import Modifier

__all__ = ["MODIFIERS", "is_modifier", "merged", "read_modifier", "split_modifier"]

MODIFIERS = ("label", "start")


def is_modifier(expr: Expr, labels: Collection[str] | None) -> bool:
    """Return whether `expr`, left of a ``*``, says something about the coefficient of what is right of it.

    Parameters
    ----------
    expr : Expr
    labels : collection of str or None
        Names that are labels; None where every name is (in ``=~`` and ``~~``).
    """
    match expr:
        case Number() | Unary(operand=Number()):
            return True
        case Name(name=name, quoted=quoted):
            return (name == "NA" and not quoted) or labels is None or name in labels
        case Call(function=function):
            return function in MODIFIERS
        case Binary(operator="*", left=left, right=right):
            return is_modifier(left, labels) and is_modifier(right, labels)
    return False


def read_modifier(expr: Expr, problems: list[Problem]) -> Modifier:
    """Return what `expr`, of which `is_modifier` is true, says; mistakes are added to `problems`."""
    match expr:
        case Binary(left=left, right=right):
            return merged(read_modifier(left, problems), read_modifier(right, problems), expr, problems)
        case Name(name="NA", quoted=False):
            return Modifier(free=True)
        case Name(name=name):
            return Modifier(label=name)
        case Call(function="label", args=(Name(name=name) | Text(value=name),), keywords=()):
            return Modifier(label=name)
        case Call(function="start", args=(value,), keywords=()) if number(value) is not None:
            return Modifier(start=number(value))
        case Call(function=function):
            what = "one name: label(b)*x" if function == "label" else "one number: start(0.5)*x"
            problems.append(Problem(f"{function}() takes {what}", expr.span))
            return Modifier()
    return Modifier(fixed=number(expr))


def merged(one: Modifier, two: Modifier, expr: Expr, problems: list[Problem]) -> Modifier:
    """Return what two modifiers of one coefficient say together; what they contradict is a problem."""
    twice = [
        what
        for what, a, b in (
            ("values", one.fixed, two.fixed),
            ("labels", one.label or None, two.label or None),
            ("start values", one.start, two.start),
        )
        if a is not None and b is not None
    ]
    if twice:
        problems.append(Problem(f"this coefficient has two {twice[0]}", expr.span))
    both = Modifier(
        one.fixed if two.fixed is None else two.fixed,
        two.label or one.label,
        one.start if two.start is None else two.start,
        one.free or two.free,
    )
    if both.fixed is not None and (both.free or both.start is not None):
        other = "NA" if both.free else "a start value"
        problems.append(Problem(f"a number holds this coefficient, {other} asks for it free", expr.span))
    return both


def split_modifier(expr: Expr, problems: list[Problem]) -> tuple[Modifier | None, Expr]:
    """Return the modifier of ``modifier*rest`` where every name before ``*`` is a label, and the rest."""
    if isinstance(expr, Binary) and expr.operator == "*" and is_modifier(expr.left, None):
        return read_modifier(expr.left, problems), expr.right
    return None, expr
