"""Expressions of parameters, as constraints and derived parameters have them: values and derivatives.

``a*b``, ``exp(a) - 1``, ``a == 2*b + 1``. A name stands for a number; what it names (a label, a parameter, a
derived parameter) is for the mapping to say that comes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, xlogy

from glamm.errors import FormulaError, Problem, nearest
from glamm.grammar.ast import Binary, Call, Expr, Name, Number, Unary

Array = NDArray[np.float64]
Affine: TypeAlias = tuple[dict[str, float], float]

__all__ = ["FUNCTIONS", "find_problems", "gradient", "linear", "value"]

T = TypeVar("T")

_OPERATORS = ("+", "-", "*", "/", "**")


@dataclass(frozen=True, slots=True)
class _Smooth:
    """A function of one number and its derivative."""

    value: Callable[[Any], Any]
    derivative: Callable[[Any], Any]


def _normal_density(x: Any) -> Any:
    return np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


_EXPIT = _Smooth(expit, lambda x: expit(x) * expit(-x))
_LOGIT = _Smooth(logit, lambda x: 1.0 / (x * (1.0 - x)))
_PNORM = _Smooth(ndtr, _normal_density)
_SMOOTH: Mapping[str, _Smooth] = {
    "exp": _Smooth(np.exp, np.exp),
    "log": _Smooth(np.log, lambda x: 1.0 / x),
    "log10": _Smooth(np.log10, lambda x: 1.0 / (x * np.log(10.0))),
    "sqrt": _Smooth(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": _Smooth(np.abs, np.sign),
    "sin": _Smooth(np.sin, np.cos),
    "cos": _Smooth(np.cos, lambda x: -np.sin(x)),
    "tanh": _Smooth(np.tanh, lambda x: 1.0 / np.cosh(x) ** 2),
    "expit": _EXPIT,
    "plogis": _EXPIT,
    "logit": _LOGIT,
    "qlogis": _LOGIT,
    "pnorm": _PNORM,
    "Phi": _PNORM,
}
_CHOICES: Mapping[str, Callable[[Sequence[Any]], Any]] = {"min": np.argmin, "max": np.argmax}

FUNCTIONS = (*_SMOOTH, *_CHOICES)
"""Functions that an expression may call: of one number, but ``min`` and ``max`` of two or more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Dual:
    """A number and its partial derivatives, shape (P,)."""

    value: Any
    partials: Array


def value(expression: Expr, lookup: Mapping[str, float]) -> float:
    """Return the value of an expression.

    Parameters
    ----------
    expression : Expr
    lookup : mapping of str to float
        Values of the names.

    Returns
    -------
    float
        NaN or infinite where a function is evaluated outside its domain.

    Raises
    ------
    FormulaError
        With every problem of `find_problems`.
    """
    return float(_evaluate(expression, lookup, ()).value)


def gradient(expression: Expr, lookup: Mapping[str, float], names: Sequence[str]) -> Array:
    """Return the partial derivatives of an expression, exact to rounding.

    Parameters
    ----------
    expression : Expr
    lookup : mapping of str to float
        Values of the names.
    names : sequence of str, length P
        What to differentiate by; a name that the expression does not use has derivative zero.

    Returns
    -------
    ndarray, shape (P,)
        Where ``abs``, ``min`` and ``max`` have a kink: 0, and the derivative of the first of equals.

    Raises
    ------
    FormulaError
        With every problem of `find_problems`.
    """
    return _evaluate(expression, lookup, names).partials


def linear(expression: Expr, resolve: Mapping[str, str | float]) -> Affine | None:
    """Return an expression as a linear combination of parameters and a constant.

    Parameters
    ----------
    expression : Expr
    resolve : mapping of str to str or float
        The parameter that each name stands for, or a number where it stands for a fixed one.

    Returns
    -------
    tuple of (dict of str to float, float) or None
        Nonzero coefficients by parameter, and the constant; None where the expression is not written as a
        linear one (products and powers are not expanded, ``a*a/a`` is not linear) or is not finite.

    Raises
    ------
    FormulaError
        With every problem of `find_problems`.
    """
    _refuse(expression, resolve)

    def leaf(node: Name | Number) -> Affine | None:
        if isinstance(node, Number):
            return {}, node.value
        meaning = resolve[node.name]
        return ({meaning: 1.0}, 0.0) if isinstance(meaning, str) else ({}, float(meaning))

    with np.errstate(all="ignore"):
        found = _fold(expression, leaf, _combine_affine, _apply_affine)
    if found is None or not np.isfinite([*found[0].values(), found[1]]).all():
        return None
    return {name: float(c) for name, c in found[0].items() if c != 0.0}, float(found[1])


def find_problems(expression: Expr, known: Collection[str]) -> list[Problem]:
    """Return what keeps an expression from being evaluated: unknown names, parts that are no numbers."""
    return list(_problems(expression, known))


def _refuse(expression: Expr, known: Collection[str]) -> None:
    found = find_problems(expression, known)
    if found:
        raise FormulaError(found)


def _problems(node: Expr, known: Collection[str]) -> Iterator[Problem]:
    match node:
        case Number():
            return
        case Name(name=name):
            if name not in known:
                message = f"{name!r} is neither a label nor a parameter of the model"
                yield Problem(message, node.span, nearest(name, known))
        case Unary(operand=operand):
            yield from _problems(operand, known)
        case Binary():
            first, links = node.chain()
            yield from _problems(first, known)
            for operator, right, span in links:
                if operator not in _OPERATORS:
                    expected = "expected + - * / or ^"
                    yield Problem(f"{operator!r} is no arithmetic of parameters; {expected}", span)
                yield from _problems(right, known)
        case Call(function=function, args=args, keywords=keywords):
            if function not in FUNCTIONS:
                message = (
                    f"unknown function {function!r} of parameters; expected one of {', '.join(FUNCTIONS)}"
                )
                yield Problem(message, node.span, nearest(function, FUNCTIONS))
            elif keywords or (len(args) != 1 if function in _SMOOTH else len(args) < 2):
                wanted = "one number" if function in _SMOOTH else "two or more numbers"
                yield Problem(f"{function}() takes {wanted} and nothing else", node.span)
            for argument in (*args, *(argument for _, argument in keywords)):
                yield from _problems(argument, known)
        case _:
            yield Problem("this is no number; expected an expression of labels and parameters", node.span)


def _fold(
    node: Expr,
    leaf: Callable[[Name | Number], T],
    combine: Callable[[str, T, T], T],
    apply: Callable[[str, list[T]], T],
) -> T:
    """Return what an expression without problems comes to, from its leaves up."""
    match node:
        case Name() | Number():
            return leaf(node)
        case Unary(operator=operator, operand=operand):
            inner = _fold(operand, leaf, combine, apply)
            return combine("*", leaf(Number(-1.0)), inner) if operator == "-" else inner
        case Binary():
            first, links = node.chain()
            so_far = _fold(first, leaf, combine, apply)
            for operator, right, _ in links:
                so_far = combine(operator, so_far, _fold(right, leaf, combine, apply))
            return so_far
        case Call(function=function, args=args):
            return apply(function, [_fold(argument, leaf, combine, apply) for argument in args])
    raise TypeError(f"{type(node).__name__} is no number")


def _evaluate(expression: Expr, lookup: Mapping[str, float], names: Sequence[str]) -> _Dual:
    _refuse(expression, lookup)
    seeds = dict(zip(names, np.eye(len(names)), strict=True))
    constant = np.zeros(len(names))

    def leaf(node: Name | Number) -> _Dual:
        if isinstance(node, Number):
            return _Dual(np.float64(node.value), constant)
        return _Dual(np.float64(lookup[node.name]), seeds.get(node.name, constant))

    with np.errstate(all="ignore"):
        return _fold(expression, leaf, _combine_dual, _apply_dual)


def _scaled(factor: Any, partials: Array) -> Array:
    """Return the product, with zero for what does not depend on a name even where the factor is infinite."""
    return np.where(partials == 0.0, 0.0, factor * partials)


def _combine_dual(operator: str, left: _Dual, right: _Dual) -> _Dual:
    a, b = left.value, right.value
    if operator == "+":
        return _Dual(a + b, left.partials + right.partials)
    if operator == "-":
        return _Dual(a - b, left.partials - right.partials)
    if operator == "*":
        return _Dual(a * b, _scaled(b, left.partials) + _scaled(a, right.partials))
    if operator == "/":
        return _Dual(a / b, _scaled(1.0 / b, left.partials) + _scaled(-a / (b * b), right.partials))
    by_base = b * a ** (b - 1.0) if b != 0.0 else b
    return _Dual(a**b, _scaled(by_base, left.partials) + _scaled(xlogy(a**b, a), right.partials))


def _apply_dual(function: str, args: list[_Dual]) -> _Dual:
    if function in _CHOICES:
        return args[int(_CHOICES[function]([argument.value for argument in args]))]
    (inner,) = args
    smooth = _SMOOTH[function]
    return _Dual(smooth.value(inner.value), _scaled(smooth.derivative(inner.value), inner.partials))


def _combine_affine(operator: str, left: Affine | None, right: Affine | None) -> Affine | None:
    if left is None or right is None:
        return None
    (a, constant_a), (b, constant_b) = left, right
    if operator in ("+", "-"):
        return _sum(left, right, 1.0 if operator == "+" else -1.0)
    if operator == "*" and not a:
        return _multiple(right, constant_a)
    if operator == "*" and not b:
        return _multiple(left, constant_b)
    if operator == "/" and not b:
        return _multiple(left, np.float64(1.0) / constant_b)
    if operator == "**" and not b:
        if not a:
            return {}, float(np.float64(constant_a) ** constant_b)
        return left if constant_b == 1.0 else None
    return None


def _sum(left: Affine, right: Affine, sign: float) -> Affine:
    coefficients = dict(left[0])
    for name, coefficient in right[0].items():
        coefficients[name] = coefficients.get(name, 0.0) + sign * coefficient
    return {name: c for name, c in coefficients.items() if c != 0.0}, left[1] + sign * right[1]


def _multiple(number: Affine, factor: float) -> Affine:
    return {name: factor * c for name, c in number[0].items()}, factor * number[1]


def _apply_affine(function: str, args: list[Affine | None]) -> Affine | None:
    none = np.zeros(0)
    constants = [_Dual(np.float64(argument[1]), none) for argument in args if argument and not argument[0]]
    if len(constants) < len(args):
        return None
    return {}, float(_apply_dual(function, constants).value)
