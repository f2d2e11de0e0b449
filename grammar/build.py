"""What the parser does at each rule of ``formula.lark``: it builds a node of the syntax tree."""

from __future__ import annotations

import ast as python
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from glamm.errors import FormulaError, Problem, Span
from glamm.grammar.ast import (
    Binary,
    Call,
    Constraint,
    Covariance,
    Definition,
    Expr,
    FamilyOf,
    Index,
    Inline,
    List,
    Measurement,
    Name,
    Number,
    Python,
    Random,
    Regression,
    Target,
    Text,
    Unary,
)
from glamm.grammar.complain import LINE_END
from glamm.grammar.depth import check_depth
from glamm.grammar.tokens import shortened
from glamm.grammar.unparse import unparse

__all__ = ["TreeBuilder"]


@dataclass(frozen=True, slots=True)
class _Side:
    """A left-hand side as read: a sum and perhaps a level."""

    total: Expr
    level: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class _Keyword:
    name: str
    value: Expr
    span: Span


# What a rule has: lark's tokens, which are their own text, and what the methods of other rules returned.
_Children: TypeAlias = Sequence[Any]

_ESCAPE = re.compile(r"""\\([\\"'nrt])""")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def _over(children: _Children) -> Span:
    """Return the span from the first child to the last."""
    first, last = children[0], children[-1]
    start = first.span.start if hasattr(first, "span") else first.start_pos
    return Span(start, last.span.end if hasattr(last, "span") else last.end_pos)


def _refuse(span: Span, message: str, hint: str = "") -> FormulaError:
    return FormulaError(Problem(message, span, hint))


def _shown(node: Expr) -> str:
    """Return a node as a message quotes it."""
    check_depth(node)
    return shortened(unparse(node))


def _plain(token: Any) -> str:
    """Return a token's text without its quotes."""
    text = str(token)
    if token.type == "QUOTED":
        return text[1:-1]
    if token.type == "STRING":
        return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text[1:-1])
    return text


def _targets(side: _Side) -> tuple[Target, ...]:
    """Return the variables of a left-hand side; each lives at the level that stands behind the last."""
    level = side.level
    if level is not None and not isinstance(level, Name):
        message = f"expected the name of one grouping column as level, not `{_shown(level)}`"
        raise _refuse(level.span, message, "a variable lives at one level: `theta | person`")
    found = []
    waiting = [side.total]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Binary) and node.operator == "+":
            waiting += [node.right, node.left]
        elif isinstance(node, (Name, Call)):
            found.append(node)
        else:
            message = f"expected variables joined by `+` on the left-hand side, not `{_shown(node)}`"
            raise _refuse(node.span, message, _target_hint(node))
    if len(found) == 1:
        return (Target(found[0], level, span=side.span),)
    return tuple(Target(variable, level, span=variable.span) for variable in found)


def _target_hint(node: Expr) -> str:
    if isinstance(node, Unary):
        return LINE_END
    if isinstance(node, Random):
        return "random effects stand on the right-hand side: `y ~ x + (1 | g)`"
    if isinstance(node, Python):
        return "compute the column before, or use a function: `log(y) ~ x`"
    if isinstance(node, Binary) and node.operator in ("-", "/"):
        return f"compute the column before, or write `I({_shown(node)})`"
    return ""


class TreeBuilder:
    """A method for each rule, called with what the parts of the rule gave."""

    # ------------------------------------------------------------ statements

    def regression(self, parts: _Children) -> Regression:
        """Return ``side ~ right``."""
        side, _, terms = parts
        targets = _targets(side)
        for target in targets:
            variable = target.variable
            if isinstance(variable, Call) and variable.function == "family":
                hint = f"write `{_shown(variable)} = {_shown(terms)}`"
                raise _refuse(_over(parts[1:2]), "a family is given with `=`, not with `~`", hint)
        return Regression(targets, terms, span=_over(parts))

    def measurement(self, parts: _Children) -> Measurement:
        """Return ``side =~ indicators``."""
        return Measurement(_targets(parts[0]), parts[2], span=_over(parts))

    def covariance(self, parts: _Children) -> Covariance:
        """Return ``left ~~ right``."""
        return Covariance(parts[0], parts[2], span=_over(parts))

    def constraint(self, parts: _Children) -> Constraint:
        """Return ``left == right``."""
        return Constraint(str(parts[1]), parts[0], parts[2], span=_over(parts))

    def definition(self, parts: _Children) -> Definition:
        """Return ``name := expression``."""
        name, _, expression = parts
        if not isinstance(name, Name):
            message = f"expected a new name before `:=`, not `{_shown(name)}`"
            raise _refuse(name.span, message, "a derived parameter is written `indirect := a*b`")
        return Definition(name.name, expression, span=_over(parts))

    def family(self, parts: _Children) -> FamilyOf:
        """Return ``family(responses) = family``."""
        left, equals, right = parts
        if not (isinstance(left, Call) and left.function == "family"):
            raise _refuse(_over([equals]), "`=` only gives a response its family", _equals_hint(left, right))
        responses = tuple(arg for arg in left.args if isinstance(arg, (Name, Call)))
        if not responses or left.keywords or len(responses) < len(left.args):
            raise _refuse(
                left.span, "expected the names of responses in `family(...)`", "as in `family(y) = ...`"
            )
        if not isinstance(right, (Name, Call)):
            message = f"expected a family after `=`, not `{_shown(right)}`"
            raise _refuse(right.span, message, "a family is written `poisson` or `ordinal(probit)`")
        return FamilyOf(responses, right, span=_over(parts))

    def side(self, parts: _Children) -> _Side:
        """Return a left-hand side."""
        return _Side(parts[0], parts[2] if len(parts) > 1 else None, _over(parts))

    # ------------------------------------------------------------ expressions

    def inline(self, parts: _Children) -> Expr:
        """Return a sum that ends in a measurement, which belongs to the last variable before ``=~``."""
        side, _, indicators = parts
        last = side.total
        before = None
        if isinstance(last, Binary) and last.operator == "+":
            before, last = last.left, last.right
        if not isinstance(last, Name):
            raise _refuse(
                last.span,
                f"expected the name of a latent variable before `=~`, not `{_shown(last)}`",
                "put the measurement in parentheses: `1*(eta =~ i1 + i2)`",
            )
        span = Span(last.span.start, indicators.span.end)
        (target,) = _targets(_Side(last, side.level, Span(last.span.start, side.span.end)))
        node = Inline(Measurement((target,), indicators, span=span), span=span)
        return node if before is None else Binary("+", before, node, span=_over((before, node)))

    def random(self, parts: _Children) -> Random:
        """Return ``terms | group``."""
        terms, bar, group = parts
        waiting = [group]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Binary) and node.operator in ("/", ":"):
                waiting += [node.left, node.right]
            elif not isinstance(node, Name):
                raise _refuse(
                    node.span,
                    f"expected grouping columns after `{bar}`, not `{_shown(node)}`",
                    "nested groups are written `(1 | school/class)`, combined ones `(1 | school:class)`",
                )
        return Random(terms, group, bar == "|", span=_over(parts))

    def binary(self, parts: _Children) -> Binary:
        """Return ``left operator right``."""
        return Binary(str(parts[1]), parts[0], parts[2], span=_over(parts))

    test = binary

    def power(self, parts: _Children) -> Binary:
        """Return ``left ** right``, also where it is spelt ``^``."""
        return Binary("**", parts[0], parts[2], span=_over(parts))

    def unary(self, parts: _Children) -> Unary:
        """Return ``- operand``."""
        return Unary(str(parts[0]), parts[1], span=_over(parts))

    def parenthesised(self, parts: _Children) -> Expr:
        """Return the node in the parentheses, which then belong to it."""
        inner: Expr = parts[1]
        return replace(inner, span=_over(parts))

    def name(self, parts: _Children) -> Name:
        """Return a name."""
        return Name(str(parts[0]), span=_over(parts))

    def quoted(self, parts: _Children) -> Name:
        """Return a name in backticks."""
        return Name(_plain(parts[0]), quoted=True, span=_over(parts))

    def number(self, parts: _Children) -> Number:
        """Return a number."""
        return Number(float(parts[0]), span=_over(parts))

    def text(self, parts: _Children) -> Text:
        """Return a string."""
        return Text(_plain(parts[0]), span=_over(parts))

    def python(self, parts: _Children) -> Python:
        """Return Python code, which must be an expression."""
        code = str(parts[0])[1:-1]
        hint = "`{x**2 + 1}` computes with columns"
        try:
            read = python.parse(f"(\n{code}\n)", mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError, Warning) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
            message = f"expected a Python expression in the braces: {reason}"
            raise _refuse(_over(parts), message, hint) from None
        if isinstance(read.body, python.Tuple):
            raise _refuse(_over(parts), "expected one Python expression in the braces", hint)
        return Python(code, span=_over(parts))

    def index(self, parts: _Children) -> Index:
        """Return ``name[label]``."""
        return Index(_plain(parts[0]), _plain(parts[2]), span=_over(parts))

    def list(self, parts: _Children) -> List:
        """Return ``[items]``."""
        return List(tuple(parts[1:-1:2]), span=_over(parts))

    def keyword(self, parts: _Children) -> _Keyword:
        """Return ``name=value``."""
        return _Keyword(str(parts[0]), parts[2], _over(parts))

    def call(self, parts: _Children) -> Call:
        """Return ``function(args, name=value)``."""
        function, opening = parts[:2]
        args: list[Expr] = []
        keywords: dict[str, Expr] = {}
        for part in parts[2:-1:2]:
            if not isinstance(part, _Keyword):
                if keywords:
                    message = f"the argument `{_shown(part)}` stands after a named one"
                    raise _refuse(part.span, message, "put arguments without a name first")
                args.append(part)
            elif part.name in keywords:
                raise _refuse(part.span, f"the argument `{shortened(part.name)}` is given twice")
            else:
                keywords[part.name] = part.value
        apart = function.end_pos != opening.start_pos
        if apart and any(isinstance(arg, Random) for arg in args):
            span = Span(opening.start_pos, parts[-1].end_pos)
            message = f"expected an operator between `{shortened(function)}` and the random effects"
            raise _refuse(span, message, f"did you mean `{shortened(function)} + {_shown(args[0])}`?")
        return Call(str(function), tuple(args), tuple(keywords.items()), span=_over(parts))


def _equals_hint(left: Expr, right: Expr) -> str:
    """Return the statement that was likely meant by ``left = right``."""
    numbers = isinstance(right, (Number, Unary)) or isinstance(left, Number)
    return f"did you mean `{_shown(left)} {'==' if numbers else '~'} {_shown(right)}`?"
