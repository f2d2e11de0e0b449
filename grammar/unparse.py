"""From the syntax tree back to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

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
    Model,
    Name,
    Node,
    Number,
    Python,
    Random,
    Regression,
    Target,
    Text,
    Unary,
)
from glamm.grammar.tokens import is_name

__all__ = ["unparse"]

# How strongly an expression holds together; where its place asks for more, it is put in parentheses.
_TEST, _SUM, _PRODUCT, _INTERACTION, _SIGNED, _POWER, _ATOM = range(7)
_BINDING = {
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
    ":": _INTERACTION,
    "**": _POWER,
}
_SPACED = (_TEST, _SUM)

_LABEL = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}


def unparse(node: Node) -> str:
    """Return the canonical text of a model, a statement or an expression.

    Statements stand on lines of their own. There are single spaces around ``+ - ~ =~ ~~ := =``, ``| ||``
    and comparisons and after commas, none around ``* / : **`` nor around the ``=`` of a keyword.
    Parentheses stand only where the tree needs them, strings in double quotes, names in backticks where
    they were written so or could not be read otherwise. A measurement inside a regression is in
    parentheses unless it comes last.

    Parameters
    ----------
    node : Node
        Any node of the syntax tree.

    Returns
    -------
    str
        Text with ``parse(unparse(model)) == model`` for every model that `parse` returned.

    Examples
    --------
    >>> from glamm.grammar import parse, unparse
    >>> unparse(parse("y~x+(1+x|school)  # intercepts and slopes"))
    'y ~ x + (1 + x | school)'
    """
    writer = _STATEMENTS.get(type(node))
    return writer(node) if writer is not None else _expression(node, _TEST)


def _expression(node: Node, place: int) -> str:
    """Return the text of an expression, in parentheses where `place` asks for more than it holds."""
    if isinstance(node, Binary):
        return _chain(node, place)
    if isinstance(node, Unary):
        return _enclose(node.operator + _expression(node.operand, _SIGNED), place > _SIGNED)
    return _ATOMS[type(node)](node)


def _enclose(text: str, needed: bool) -> str:
    return f"({text})" if needed else text


def _chain(node: Binary, place: int) -> str:
    """Return the text of a left-leaning chain of operators without recursion along it."""
    first, links = node.chain()
    bindings = [_BINDING.get(operator, _TEST) for operator, _, _ in links]
    # What is left of each operator sits in the place that the operator gives it; the whole sits in `place`.
    places = [*(_left_place(binding) for binding in bindings[1:]), place]
    enclosed = [binding < outer for binding, outer in zip(bindings, places, strict=True)]
    pieces = ["(" * sum(enclosed), _expression(first, _left_place(bindings[0]))]
    for (operator, right, _), binding, close in zip(links, bindings, enclosed, strict=True):
        pieces.append(f" {operator} " if binding in _SPACED else operator)
        pieces.append(_expression(right, _right_place(binding)))
        pieces.append(")" * close)
    return "".join(pieces)


def _left_place(binding: int) -> int:
    """Return how strongly a left operand must hold: comparisons and powers do not chain to the left."""
    return {_TEST: _SUM, _POWER: _ATOM}.get(binding, binding)


def _right_place(binding: int) -> int:
    return _SIGNED if binding == _POWER else binding + 1


def _name(name: str, quoted: bool = False) -> str:
    return name if is_name(name) and not quoted else f"`{name}`"


def _number(node: Number) -> str:
    return str(int(node.value)) if node.value.is_integer() and node.value < 1e15 else repr(node.value)


def _text(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in value) + '"'


def _index(node: Index) -> str:
    name = _name(node.name)
    if _LABEL.fullmatch(node.label):
        return f"{name}[{node.label}]"
    label = _name(node.label)
    return f"{name}[{_text(node.label) if label != node.label else label}]"


def _call(node: Call) -> str:
    args = [_argument(arg) for arg in node.args]
    args.extend(f"{keyword}={_expression(value, _TEST)}" for keyword, value in node.keywords)
    return f"{node.function}({', '.join(args)})"


def _argument(node: Expr) -> str:
    return _effects(node) if isinstance(node, Random) else _expression(node, _TEST)


def _effects(node: Random) -> str:
    bar = "|" if node.correlated else "||"
    return f"{_expression(node.terms, _SUM)} {bar} {_expression(node.group, _SUM)}"


def _list(node: List) -> str:
    return f"[{', '.join(_expression(item, _TEST) for item in node.items)}]"


def _targets(targets: Iterable[Target]) -> str:
    """Return a left-hand side; its variables share one level."""
    targets = tuple(targets)
    text = " + ".join(_expression(target.variable, _SUM) for target in targets)
    level = targets[0].level
    return text if level is None else f"{text} | {_expression(level, _ATOM)}"


def _regression(node: Regression) -> str:
    return f"{_targets(node.targets)} ~ {_right(node.terms)}"


def _right(terms: Expr) -> str:
    """Return the right-hand side of a regression: a measurement that ends it needs no parentheses."""
    if isinstance(terms, Inline):
        return _measurement(terms.measurement)
    if isinstance(terms, Binary) and terms.operator == "+" and isinstance(terms.right, Inline):
        return f"{_expression(terms.left, _SUM)} + {_measurement(terms.right.measurement)}"
    return _expression(terms, _SUM)


def _measurement(node: Measurement) -> str:
    return f"{_targets(node.latents)} =~ {_expression(node.indicators, _SUM)}"


def _family(node: FamilyOf) -> str:
    responses = ", ".join(_expression(response, _TEST) for response in node.responses)
    return f"family({responses}) = {_expression(node.family, _SUM)}"


def _sides(left: Expr, relation: str, right: Expr) -> str:
    return f"{_expression(left, _SUM)} {relation} {_expression(right, _SUM)}"


_STATEMENTS: dict[type[Node], Callable[..., str]] = {
    Model: lambda node: "\n".join(unparse(statement) for statement in node.statements),
    Regression: _regression,
    Measurement: _measurement,
    Covariance: lambda node: _sides(node.left, "~~", node.right),
    FamilyOf: _family,
    Constraint: lambda node: _sides(node.left, node.operator, node.right),
    Definition: lambda node: f"{_name(node.name)} := {_expression(node.expression, _SUM)}",
    Target: lambda node: _targets((node,)),
}
_ATOMS: dict[type[Node], Callable[..., str]] = {
    Name: lambda node: _name(node.name, node.quoted),
    Number: _number,
    Text: lambda node: _text(node.value),
    Python: lambda node: f"{{{node.code}}}",
    Call: _call,
    List: _list,
    Index: _index,
    Random: lambda node: f"({_effects(node)})",
    Inline: lambda node: f"({_measurement(node.measurement)})",
}
