"""The syntax tree: frozen nodes with the span of text each was read from.

Spans take no part in equality, so two texts that say the same have equal trees. The tree keeps the
structure of the text; what a name refers to (column, latent variable, label) is decided by the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from glamm.errors import Span

_NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every node has: its place in the source."""

    span: Span = field(default=_NOWHERE, compare=False)


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A column, latent variable, label or parameter: ``x``, or quoted ``` `my col` ```."""

    name: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A number: ``1``, ``0.5``, ``1e-3``; never negative, ``-1`` is a `Unary`."""

    value: float


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A quoted string: ``"complier"``."""

    value: str


@dataclass(frozen=True, slots=True)
class Python(Node):
    """A quoted Python expression over columns: ``{x / 10}``; `code` is what stands in the braces."""

    code: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``function(args, keyword=value)``: a transform, a response, a distribution, a modifier."""

    function: str
    args: tuple[Expr, ...] = ()
    keywords: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class List(Node):
    """``[1, 2]``, an argument of a call: ``bs(t, knots=[1, 2])``."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``c[complier]``: the dummy of one class of a discrete latent."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``- 1``, ``+ x``."""

    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Binary(Node):
    """``left operator right`` with operator one of ``+ - * / : ** == < > <= >=``; ``^`` is read as ``**``.

    A sum of thousands of terms is a tree thousands of nodes deep to the left. Comparison, hash, repr, copy
    and pickle therefore walk that side in a loop, and so should whoever reads a tree: see `chain`.
    """

    operator: str
    left: Expr
    right: Expr

    def chain(self) -> tuple[Expr, tuple[tuple[str, Expr, Span], ...]]:
        """Return the leftmost operand and, from left to right, each operator, its right operand and span."""
        links = []
        node: Expr = self
        while isinstance(node, Binary):
            links.append((node.operator, node.right, node.span))
            node = node.left
        return node, tuple(reversed(links))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Binary):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        first, links = self.chain()
        opening = "".join(f"Binary({operator!r}, " for operator, _, _ in reversed(links))
        return opening + repr(first) + "".join(f", {right!r})" for _, right, _ in links)

    def __reduce__(self) -> tuple[object, ...]:
        return _binary_of_chain, self.chain()

    def _content(self) -> tuple[Expr, tuple[tuple[str, Expr], ...]]:
        first, links = self.chain()
        return first, tuple((operator, right) for operator, right, _ in links)


def _binary_of_chain(first: Expr, links: tuple[tuple[str, Expr, Span], ...]) -> Expr:
    """Return the tree of which `Binary.chain` gave the parts."""
    node = first
    for operator, right, span in links:
        node = Binary(operator, node, right, span=span)
    return node


@dataclass(frozen=True, slots=True)
class Random(Node):
    """Random effects ``(terms | group)``; `correlated` is False for ``||``."""

    terms: Expr
    group: Expr
    correlated: bool = True


@dataclass(frozen=True, slots=True)
class Inline(Node):
    """A measurement statement, of one latent variable, inside a regression: ``eta1 =~ i1 + i2``."""

    measurement: Measurement


Expr: TypeAlias = Name | Number | Text | Python | Call | List | Index | Unary | Binary | Random | Inline

# ---------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Target(Node):
    """One variable of a left-hand side and the level it lives at: ``theta | person``, ``sigma(y)``.

    `variable` is a `Name` or a `Call` (``cbind(s, f)``, ``surv(t, e)``, ``sigma(y)``); `level` is the
    name of a grouping column or None for the row.
    """

    variable: Name | Call
    level: Name | None = None


@dataclass(frozen=True, slots=True)
class Regression(Node):
    """``targets ~ terms``: a response model, structural model or auxiliary regression."""

    targets: tuple[Target, ...]
    terms: Expr


@dataclass(frozen=True, slots=True)
class Measurement(Node):
    """``latent =~ indicators``."""

    latents: tuple[Target, ...]
    indicators: Expr


@dataclass(frozen=True, slots=True)
class Covariance(Node):
    """``left ~~ right``: variances, covariances, with an optional modifier in `right`."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class FamilyOf(Node):
    """``family(y) = ordinal(probit)``, ``family(surv(time, event)) = weibull``."""

    responses: tuple[Name | Call, ...]
    family: Name | Call


@dataclass(frozen=True, slots=True)
class Constraint(Node):
    """``left operator right`` with operator one of ``== < > <= >=``."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """``name := expression``: a derived parameter."""

    name: str
    expression: Expr


Statement: TypeAlias = Regression | Measurement | Covariance | FamilyOf | Constraint | Definition


@dataclass(frozen=True, slots=True)
class Model(Node):
    """A model text: its statements in the order written."""

    statements: tuple[Statement, ...]
