"""Term algebra: a right-hand side expands to terms, with R's rules.

``a*b = a + b + a:b``, ``a/b = a + a:b``, ``(a + b)**2 = a + b + a:b``, ``- x`` removes, ``0`` and ``- 1``
remove the intercept. A latent variable multiplies like a column, but ``eta:eta`` is its square.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from glamm.errors import Problem, nearest
from glamm.grammar import unparse
from glamm.grammar.ast import (
    Binary,
    Call,
    Expr,
    Index,
    Inline,
    Name,
    Number,
    Python,
    Random,
    Text,
    Unary,
)
from glamm.graph.factors import factor_text, names_in, quoted
from glamm.graph.families import number
from glamm.graph.model import Modifier, Term
from glamm.graph.modifiers import MODIFIERS, is_modifier, merged, read_modifier
from glamm.graph.symbols import Symbols

__all__ = ["TRANSFORMS", "Expander", "Expansion", "is_special"]

MOST_TERMS = 2000
MOST_LATENTS = 2
TRANSFORMS = ("I", "C", "log", "log2", "log10", "log1p", "exp", "exp2", "exp10", "expm1", "sqrt", "abs")

# The column of a name in quotes.
QUOTING = "Q"


def is_special(call: Call) -> bool:
    """Return whether `call` says what a latent variable is: ``classes(3)``, ``npml(4)``, ``student_t(df=5)``.

    A function of columns has a column among its arguments; a distribution has options only.
    """
    if call.function == "classes":
        return True
    if call.function in (*TRANSFORMS, *MODIFIERS, QUOTING) or "." in call.function:
        return False
    options = (*call.args, *(value for _, value in call.keywords))
    return all(
        isinstance(option, Text) or option == Name("auto") or number(option) is not None for option in options
    )


@dataclass(frozen=True, slots=True)
class Expansion:
    """A right-hand side taken apart.

    Attributes
    ----------
    terms : tuple of Term
        Without duplicates and without the intercept: those of columns first, then those with latent
        variables, each with those of fewer factors first.
    intercept : bool or None
        None where the text is silent.
    offsets : tuple of str
    randoms : tuple of Random or Call
        Random effects; a call where they name their distribution: ``npml(1 | g, k=4)``.
    specials : tuple of Call
        What the left-hand side is: ``classes(3)``, ``student_t(df=5)``.
    modifier : Modifier or None
        Of the intercept.
    """

    terms: tuple[Term, ...] = ()
    intercept: bool | None = None
    offsets: tuple[str, ...] = ()
    randoms: tuple[Random | Call, ...] = ()
    specials: tuple[Call, ...] = ()
    modifier: Modifier | None = None


_Key = tuple[tuple[str, ...], frozenset[str]]
_Terms = dict[_Key, Term]


def _key(term: Term) -> _Key:
    return tuple(sorted(term.latents)), frozenset(term.factors)


_ONE = _key(Term(()))


@dataclass(slots=True)
class _Sum:
    """What has been added up so far; `intercept` is the last word on it."""

    terms: _Terms = field(default_factory=dict)
    intercept: bool | None = None
    offsets: list[str] = field(default_factory=list)
    randoms: list[Random | Call] = field(default_factory=list)
    specials: list[Call] = field(default_factory=list)
    modifier: Modifier | None = None

    def plain(self) -> bool:
        return not self.offsets and not self.randoms and not self.specials


class Expander:
    """Expands right-hand sides and collects their problems.

    Parameters
    ----------
    problems : list of Problem
        Mistakes are appended here, so that all of them are reported together.
    symbols : Symbols
        What is no column.

    Attributes
    ----------
    names : dict of str to frozenset of str
        Names of columns in each factor that was met.
    """

    def __init__(self, problems: list[Problem], symbols: Symbols | None = None) -> None:
        self.problems = problems
        self.symbols = symbols or Symbols()
        self.names: dict[str, frozenset[str]] = {}

    def expand(self, expr: Expr) -> Expansion:
        """Return the terms of `expr`."""
        total = self._sum(expr)
        for term in total.terms.values():
            if len(term.latents) > MOST_LATENTS:
                message = f"{term} is a product of more than {MOST_LATENTS} latent variables"
                self.problems.append(Problem(message, term.span))
        ordered = sorted(
            total.terms.values(),
            key=lambda term: (bool(term.latents), len(term.latents) + len(term.factors)),
        )
        return Expansion(
            tuple(ordered),
            total.intercept,
            tuple(total.offsets),
            tuple(total.randoms),
            tuple(total.specials),
            total.modifier,
        )

    def factor(self, expr: Expr) -> str:
        """Return `expr`, a column or a function of columns, as a formulaic factor."""
        if isinstance(expr, Index):
            text = self._dummy(expr)
            self.names[text] = frozenset((expr.name,))
            return text
        text = factor_text(expr, self.problems)
        names = frozenset(name for name, _ in names_in(expr))
        self.names[text] = names
        if not isinstance(expr, Name):
            for name in sorted(names & self.symbols.latents):
                self._problem(
                    f"the latent variable {name!r} cannot stand inside {unparse(expr)}: nobody observed it",
                    expr,
                    f"a latent variable enters as it is, {name}, or as a product: {name}:{name}",
                )
        return text

    def _problem(self, message: str, expr: Expr, hint: str = "") -> None:
        self.problems.append(Problem(message, expr.span, hint))

    def _dummy(self, expr: Index) -> str:
        labels = self.symbols.classes.get(expr.name)
        if labels is None:
            self._problem(
                f"{expr.name}[{expr.label}] is a class of {expr.name!r}, which is no class variable",
                expr,
                nearest(expr.name, self.symbols.classes) or f"declare it: {expr.name} ~ classes(2)",
            )
        elif expr.label not in labels:
            self._problem(
                f"{expr.name!r} has no class {expr.label!r}",
                expr,
                nearest(expr.label, labels) or f"its classes are {', '.join(labels)}",
            )
        return f"`{expr.name}[{expr.label}]`"

    # ------------------------------------------------ sums

    def _sum(self, expr: Expr) -> _Sum:
        pieces: list[tuple[Expr, str]] = []
        while isinstance(expr, Binary) and expr.operator in ("+", "-"):
            pieces.append((expr.right, expr.operator))
            expr = expr.left
        pieces.append((expr, "+"))
        total = _Sum()
        for piece, operator in reversed(pieces):
            while isinstance(piece, Unary):
                operator = "+" if operator == piece.operator else "-"
                piece = piece.operand
            nested = isinstance(piece, Binary) and piece.operator in ("+", "-")
            part = self._sum(piece) if nested else self._piece(piece)
            if operator == "+":
                self._add(total, part, piece)
            else:
                self._remove(total, part, piece)
        return total

    def _add(self, total: _Sum, part: _Sum, piece: Expr) -> None:
        total.offsets += part.offsets
        total.randoms += part.randoms
        total.specials += part.specials
        for key, term in part.terms.items():
            before = total.terms.setdefault(key, term)
            if before is not term and term.modifier is not None:
                modifier = self._both(before.modifier, term.modifier, piece)
                total.terms[key] = replace(before, modifier=modifier)
        if part.intercept is not None:
            total.intercept = part.intercept
            if part.modifier is not None:
                total.modifier = self._both(total.modifier, part.modifier, piece)

    def _both(self, one: Modifier | None, two: Modifier, expr: Expr) -> Modifier:
        return two if one is None else merged(one, two, expr, self.problems)

    def _remove(self, total: _Sum, part: _Sum, piece: Expr) -> None:
        if not part.plain():
            self._problem("offsets and random effects can be added, not removed", piece)
        if part.modifier is not None or any(term.modifier is not None for term in part.terms.values()):
            self._problem("what is removed has no coefficient", piece, "a negative one is written -1*x")
        for key in part.terms:
            total.terms.pop(key, None)
        if part.intercept is not None:
            total.intercept = not part.intercept

    def _piece(self, expr: Expr) -> _Sum:
        match expr:
            case Number(value=value):
                if value not in (0, 1):
                    self._problem(
                        f"{value:g} is not a term: a number in a sum is 1 (the intercept) or 0 (none)", expr
                    )
                return _Sum(intercept=bool(value))
            case Random():
                return _Sum(randoms=[expr])
            case Inline(measurement=measurement):
                return self._one(latents=(unparse(measurement.latents[0].variable),), expr=expr)
            case Call():
                return self._call(expr)
            case Name(name=name) if name in self.symbols.latents:
                return self._one(latents=(name,), expr=expr)
            case Name() | Python() | Index():
                return self._one(factors=(self.factor(expr),), expr=expr)
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
        return _Sum()

    def _one(self, *, expr: Expr, factors: tuple[str, ...] = (), latents: tuple[str, ...] = ()) -> _Sum:
        term = Term(factors, expr.span, latents)
        return _Sum({_key(term): term})

    def _call(self, expr: Call) -> _Sum:
        if expr.args and isinstance(expr.args[0], Random):
            return _Sum(randoms=[expr])
        if is_special(expr):
            return _Sum(specials=[expr])
        if expr.function in MODIFIERS:
            self._problem(f"{expr.function}() stands before a term", expr, f"{unparse(expr)}*x")
            return _Sum()
        if expr.function not in ("offset", "mi"):
            return self._one(factors=(self.factor(expr),), expr=expr)
        if len(expr.args) != 1 or expr.keywords:
            what, example = ("expression", "log(n)") if expr.function == "offset" else ("covariate", "x")
            self._problem(f"{expr.function}() takes one {what}", expr, f"{expr.function}({example})")
            return _Sum()
        if expr.function == "offset":
            return self._offset(expr.args[0])
        name = unparse(expr)
        covariate = expr.args[0].name if isinstance(expr.args[0], Name) else unparse(expr.args[0])
        if covariate in self.symbols.categorical:
            self.names[quoted(name)] = frozenset((name,))
            return self._one(factors=(quoted(name),), expr=expr)
        return self._one(latents=(name,), expr=expr)

    def _offset(self, inside: Expr) -> _Sum:
        if isinstance(inside, Name) and self.symbols.unobserved(inside.name):
            self._problem(
                f"offset({inside.name}): nobody observed {inside.name!r}",
                inside,
                f"a coefficient of 1 is written 1*{inside.name}",
            )
        return _Sum(offsets=[self.factor(inside)])

    # ------------------------------------------------ products

    def _operand(self, expr: Expr) -> _Sum:
        part = self._sum(expr)
        if not part.plain():
            self._problem("offsets and random effects can be added, not multiplied", expr)
        return part

    def _product(self, expr: Binary) -> _Sum:
        if expr.operator == "*" and is_modifier(expr.left, self.symbols.labels):
            return self._modified(expr)
        if expr.operator == "*" and isinstance(expr.left, Name) and self.symbols.is_unknown(expr.left.name):
            name = expr.left.name
            self._problem(
                f"no column {name!r}; a label that is used once is written label({name})*...",
                expr.left,
                self.symbols.nearest(name) or f"write label({name})*{unparse(expr.right)}",
            )
        left = self._operand(expr.left)
        if expr.operator in ("**", "^"):
            return self._power(expr, left)
        right = self._operand(expr.right)
        if False in (left.intercept, right.intercept):
            self._problem("0 cannot be a factor of a product", expr)
        if any(term.modifier is not None for part in (left, right) for term in part.terms.values()):
            self._problem(
                "a modifier belongs to one term, not to a product that makes several",
                expr,
                "write the terms one by one: label(a)*x + label(b)*x:z",
            )
        a, b = dict(left.terms), dict(right.terms)
        one = True if left.intercept else None
        match expr.operator:
            case "*":
                both = self._crossed(a, b, expr)
                return _Sum(
                    {**a, **{k: t for k, t in (b | both).items() if k not in a}},
                    True if right.intercept else one,
                )
            case "/":
                factors = tuple(dict.fromkeys(f for t in a.values() for f in t.factors))
                latents = tuple(dict.fromkeys(name for t in a.values() for name in t.latents))
                whole = Term(factors, expr.span, latents)
                nested = self._crossed({_key(whole): whole}, b, expr)
                return _Sum({**a, **{k: t for k, t in nested.items() if k not in a}}, one)
        if left.intercept:
            a[_ONE] = Term((), expr.span)
        if right.intercept:
            b[_ONE] = Term((), expr.span)
        crossed = self._crossed(a, b, expr)
        return _Sum(crossed, True if crossed.pop(_ONE, None) else None)

    def _modified(self, expr: Binary) -> _Sum:
        """Return the terms right of a modifier, each with it."""
        modifier = read_modifier(expr.left, self.problems)
        part = self._operand(expr.right)
        for key, term in part.terms.items():
            part.terms[key] = replace(
                term, modifier=self._both(term.modifier, modifier, expr), span=expr.span
            )
        if part.intercept is False:
            self._problem("0 is no intercept that could have a value or a label", expr)
        if part.intercept is not None:
            part.modifier = self._both(part.modifier, modifier, expr)
        return part

    def _crossed(self, a: _Terms, b: _Terms, expr: Expr, squares: bool = True) -> _Terms:
        """Return the products of two sums; without `squares`, ``eta:eta`` is ``eta``."""
        if len(a) * len(b) > MOST_TERMS**2 // 4:
            self._problem(f"this expands to more than {MOST_TERMS} terms", expr)
            return {}
        crossed: _Terms = {}
        for left in a.values():
            for right in b.values():
                factors = tuple(dict.fromkeys(left.factors + right.factors))
                latents = left.latents + right.latents
                term = Term(factors, expr.span, latents if squares else tuple(dict.fromkeys(latents)))
                crossed.setdefault(_key(term), term)
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
            crossed = self._crossed(terms, base.terms, expr, squares=False)
            terms |= {k: t for k, t in crossed.items() if k not in terms}
        return _Sum(terms, base.intercept)
