"""Expressions of columns: the names in them, and their text as formulaic factors.

``^`` inside a call is Python's ``**``.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Collection, Iterator

from glamm.errors import Problem
from glamm.grammar.ast import (
    Binary,
    Call,
    Expr,
    Index,
    Inline,
    List,
    Name,
    Number,
    Python,
    Random,
    Text,
    Unary,
)

__all__ = ["addends", "factor_text", "names_in", "quoted", "used_names", "walk"]

_PRECEDENCE = {"==": 1, "<": 1, ">": 1, "<=": 1, ">=": 1, "+": 2, "-": 2, "*": 3, "/": 3, "**": 5, "^": 5}
_CONSTANTS = frozenset({"True", "False", "None"})
_MODULES = frozenset({"np", "contr"})
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def _children(expr: Expr) -> list[Expr]:
    match expr:
        case Call(args=args, keywords=keywords):
            return [*args, *(value for _, value in keywords)]
        case List(items=items):
            return list(items)
        case Unary(operand=operand):
            return [operand]
        case Binary(left=left, right=right):
            return [left, right]
        case Random(terms=terms, group=group):
            return [terms, group]
    return []


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield the parts of a sum of terms, groups included, left to right.

    Of calls only those with random effects are looked into: ``npml(1 + x | g)``.
    """
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        inside = _children(node)
        stack += [part for part in reversed(inside) if not isinstance(node, Call) or isinstance(part, Random)]


def addends(expr: Expr, operators: Collection[str] = ("+",)) -> Iterator[Expr]:
    """Yield the parts of a sum, not looking into products."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Binary) and node.operator in operators:
            stack += [node.right, node.left]
        else:
            yield node


def _is_constant(name: Name) -> bool:
    """Return whether a name inside a call is Python's (``True``, ``np.pi``), not a column's."""
    return not name.quoted and (name.name in _CONSTANTS or name.name.partition(".")[0] in _MODULES)


def names_in(expr: Expr) -> Iterator[tuple[str, Expr]]:
    """Yield each column name in `expr` with its node.

    ``lag(x)`` looks at another row and ``label(b)`` names a coefficient: both are skipped.
    """
    stack = [expr]
    while stack:
        node = stack.pop()
        match node:
            case Name(name=name):
                if node is expr or not _is_constant(node):
                    yield name, node
            case Python(code=code):
                for name in _IDENTIFIER.findall(code):
                    yield name, node
            case Index(name=name):
                yield name, node
            case Inline(measurement=measurement):
                for target in measurement.latents:
                    stack.append(target.variable)
            case Call(function="lag" | "label"):
                continue
        stack += reversed(_children(node))


def used_names(terms: Expr) -> Iterator[str]:
    """Yield the names that a right-hand side multiplies by coefficients: no groups, no ``mi(x)``."""
    stack = [terms]
    while stack:
        node = stack.pop()
        match node:
            case Name() | Index() | Python() | Inline():
                yield from (name for name, _ in names_in(node))
            case Random(terms=inner):
                stack.append(inner)
            case Call(function="mi" | "lag" | "label"):
                continue
            case _:
                stack += reversed(_children(node))


def quoted(name: str) -> str:
    """Return the formulaic factor of the column `name`."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"


def factor_text(expr: Expr, problems: list[Problem]) -> str:
    """Return `expr` as a formulaic expression; what has no meaning there is added to `problems`."""
    return _text(expr, 0, True, problems)


def _text(expr: Expr, outer: int, top: bool, problems: list[Problem]) -> str:
    match expr:
        case Name(name=name):
            if not top and _is_constant(expr):
                return name
            return quoted(name)
        case Number(value=value):
            return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
        case Text(value=value):
            return json.dumps(value, ensure_ascii=False)
        case Python(code=code):
            return "{" + code + "}" if top else f"({code.strip()})"
        case List(items=items):
            return "[" + ", ".join(_text(item, 0, False, problems) for item in items) + "]"
        case Call(function=function, args=args, keywords=keywords):
            inside = [_text(arg, 0, False, problems) for arg in args]
            inside += [f"{key}={_text(value, 0, False, problems)}" for key, value in keywords]
            return f"{function}({', '.join(inside)})"
        case Unary(operator=operator, operand=operand):
            inner = f"{operator}{_text(operand, 4, False, problems)}"
            return f"({inner})" if outer > 4 else inner
        case Binary(operator=operator, left=left, right=right) if operator in _PRECEDENCE:
            own = _PRECEDENCE[operator]
            power = own == 5
            a = _text(left, own + power, False, problems)
            b = _text(right, own + (not power), False, problems)
            symbol = "**" if power else f" {operator} "
            return f"({a}{symbol}{b})" if own < outer else f"{a}{symbol}{b}"
    what = {
        Binary: "':'",
        Random: "random effects",
        Index: "a class dummy",
        Inline: "a measurement statement",
    }
    problems.append(Problem(f"{what.get(type(expr), 'this')} cannot stand inside a function call", expr.span))
    return "0"
