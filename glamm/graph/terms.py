"""Term algebra: a right-hand side expands to terms, with R's rules.

``a*b = a + b + a:b``, ``a/b = a + a:b``, ``(a + b)**2 = a + b + a:b``, ``- x`` removes, ``0`` and ``- 1``
remove the intercept. Factors become formulaic expressions, so ``^`` inside a call is Python's ``**``.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

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
from glamm.graph.model import Term

__all__ = ["Expander", "Expansion", "factor_text", "names_in", "walk"]

MOST_TERMS = 2000

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
    """Yield the parts of a sum of terms, groups included, left to right; calls are not looked into."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, Call):
            stack += reversed(_children(node))


def _is_constant(name: Name) -> bool:
    """Return whether a name inside a call is Python's (``True``, ``np.pi``), not a column's."""
    return not name.quoted and (name.name in _CONSTANTS or name.name.partition(".")[0] in _MODULES)


def names_in(expr: Expr) -> Iterator[tuple[str, Expr]]:
    """Yield each column name in `expr` with its node; ``lag(x)`` looks at another row and is skipped."""
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
            case Call(function="lag"):
                continue
        stack += reversed(_children(node))


def factor_text(expr: Expr, problems: list[Problem]) -> str:
    """Return `expr` as a formulaic expression; what has no meaning there is added to `problems`."""
    return _text(expr, 0, True, problems)


def _text(expr: Expr, outer: int, top: bool, problems: list[Problem]) -> str:
    match expr:
        case Name(name=name):
            if not top and _is_constant(expr):
                return name
            return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"
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


@dataclass(frozen=True, slots=True)
class Expansion:
    """A right-hand side taken apart.

    Attributes
    ----------
    terms : tuple of Term
        Without duplicates and without the intercept, those of fewer factors first.
    intercept : bool or None
        None where the text is silent.
    offsets : tuple of str
    randoms : tuple of Random
    """

    terms: tuple[Term, ...] = ()
    intercept: bool | None = None
    offsets: tuple[str, ...] = ()
    randoms: tuple[Random, ...] = ()


_Terms = dict[frozenset[str], Term]


@dataclass(slots=True)
class _Sum:
    """What has been added up so far; `intercept` is the last word on it."""

    terms: _Terms
    intercept: bool | None
    offsets: list[str]
    randoms: list[Random]

    def plain(self) -> bool:
        return not self.offsets and not self.randoms


class Expander:
    """Expands right-hand sides and collects their problems.

    Parameters
    ----------
    problems : list of Problem
        Mistakes are appended here, so that all of them are reported together.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def expand(self, expr: Expr) -> Expansion:
        """Return the terms of `expr`."""
        total = self._sum(expr)
        ordered = sorted(total.terms.values(), key=lambda term: len(term.factors))
        return Expansion(tuple(ordered), total.intercept, tuple(total.offsets), tuple(total.randoms))

    def _problem(self, message: str, expr: Expr, hint: str = "") -> None:
        self.problems.append(Problem(message, expr.span, hint))

    def _sum(self, expr: Expr) -> _Sum:
        pieces: list[tuple[Expr, str]] = []
        while isinstance(expr, Binary) and expr.operator in ("+", "-"):
            pieces.append((expr.right, expr.operator))
            expr = expr.left
        pieces.append((expr, "+"))
        total = _Sum({}, None, [], [])
        for piece, operator in reversed(pieces):
            while isinstance(piece, Unary):
                operator = "+" if operator == piece.operator else "-"
                piece = piece.operand
            nested = isinstance(piece, Binary) and piece.operator in ("+", "-")
            part = self._sum(piece) if nested else self._piece(piece)
            if operator == "+":
                total.offsets += part.offsets
                total.randoms += part.randoms
                for key, term in part.terms.items():
                    total.terms.setdefault(key, term)
                total.intercept = total.intercept if part.intercept is None else part.intercept
                continue
            if not part.plain():
                self._problem("offsets and random effects can be added, not removed", piece)
            for key in part.terms:
                total.terms.pop(key, None)
            total.intercept = total.intercept if part.intercept is None else not part.intercept
        return total

    def _piece(self, expr: Expr) -> _Sum:
        match expr:
            case Number(value=value):
                if value not in (0, 1):
                    self._problem(
                        f"{value:g} is not a term: a number in a sum is 1 (the intercept) or 0 (none)", expr
                    )
                return _Sum({}, bool(value), [], [])
            case Random():
                return _Sum({}, None, [], [expr])
            case Call(function="offset", args=args, keywords=keywords):
                if len(args) != 1 or keywords:
                    self._problem("offset() takes one expression", expr, "offset(log(n))")
                    return _Sum({}, None, [], [])
                return _Sum({}, None, [factor_text(args[0], self.problems)], [])
            case Name() | Call() | Python():
                factor = factor_text(expr, self.problems)
                return _Sum({frozenset((factor,)): Term((factor,), expr.span)}, None, [], [])
            case Binary(operator=operator) if operator in ("*", "/", ":", "**", "^"):
                return self._product(expr)
            case Text(value=value):
                self._problem(f'"{value}" is a string, not a column', expr, f"a column is written `{value}`")
            case Binary(operator=operator):
                self._problem(
                    f"{operator!r} has no meaning between terms", expr, "put the comparison inside I(...)"
                )
            case _:
                self._problem("this cannot stand in a sum of terms", expr)
        return _Sum({}, None, [], [])

    def _operand(self, expr: Expr) -> _Sum:
        part = self._sum(expr)
        if not part.plain():
            self._problem("offsets and random effects can be added, not multiplied", expr)
        return part

    def _product(self, expr: Binary) -> _Sum:
        left = self._operand(expr.left)
        if expr.operator in ("**", "^"):
            return self._power(expr, left)
        right = self._operand(expr.right)
        if False in (left.intercept, right.intercept):
            self._problem("0 cannot be a factor of a product", expr)
        a, b = dict(left.terms), dict(right.terms)
        one = True if left.intercept else None
        match expr.operator:
            case "*":
                both = self._crossed(a, b, expr)
                return _Sum(
                    {**a, **{k: t for k, t in (b | both).items() if k not in a}},
                    True if right.intercept else one,
                    [],
                    [],
                )
            case "/":
                whole = Term(tuple(dict.fromkeys(f for t in a.values() for f in t.factors)), expr.span)
                nested = self._crossed({frozenset(whole.factors): whole}, b, expr)
                return _Sum({**a, **{k: t for k, t in nested.items() if k not in a}}, one, [], [])
        if left.intercept:
            a[frozenset()] = Term((), expr.span)
        if right.intercept:
            b[frozenset()] = Term((), expr.span)
        crossed = self._crossed(a, b, expr)
        return _Sum(crossed, True if crossed.pop(frozenset(), None) else None, [], [])

    def _crossed(self, a: _Terms, b: _Terms, expr: Expr) -> _Terms:
        if len(a) * len(b) > MOST_TERMS**2 // 4:
            self._problem(f"this expands to more than {MOST_TERMS} terms", expr)
            return {}
        crossed: _Terms = {}
        for left in a.values():
            for right in b.values():
                factors = tuple(dict.fromkeys(left.factors + right.factors))
                crossed.setdefault(frozenset(factors), Term(factors, expr.span))
        if len(crossed) > MOST_TERMS:
            self._problem(f"this expands to more than {MOST_TERMS} terms", expr)
            return {}
        return crossed

    def _power(self, expr: Binary, base: _Sum) -> _Sum:
        exponent = expr.right
        if not isinstance(exponent, Number) or not float(exponent.value).is_integer() or exponent.value < 1:
            self._problem(
                "the exponent of a sum of terms is a whole number from 1 on",
                exponent,
                "a power of a column is written I(x**2)",
            )
            return base
        terms = dict(base.terms)
        for _ in range(min(int(exponent.value), len(base.terms)) - 1):
            crossed = self._crossed(terms, base.terms, expr)
            terms |= {k: t for k, t in crossed.items() if k not in terms}
        return _Sum(terms, base.intercept, [], [])
