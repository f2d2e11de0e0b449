"""Families as the model text writes them: ``ordinal(probit)``, ``student_t(identity, df=4)``."""

from __future__ import annotations

from dataclasses import replace

from glamm.errors import FormulaError, Problem, Span
from glamm.grammar import parse
from glamm.grammar.ast import Call, Expr, FamilyOf, Name, Number, Text, Unary
from glamm.graph.model import FamilySpec

__all__ = ["family_spec", "number", "read_distribution", "read_family"]

_PREFIX = "family(y) = "
_HINT = "a family is a name with a link and options: binomial(probit), student_t(df=4)"


def family_spec(text: str | FamilySpec) -> FamilySpec:
    """Return the family that `text` names.

    Raises
    ------
    FormulaError
        The text is not a name with an optional link and options.
    """
    if isinstance(text, FamilySpec):
        return text
    if not isinstance(text, str):
        raise FormulaError(Problem(f"the family is {text!r}; expected its name as a string", None, _HINT))
    source = " ".join(text.split())
    if not source:
        raise FormulaError(Problem("the family is empty", None, _HINT))
    try:
        statements = parse(_PREFIX + source).statements
    except FormulaError as error:
        shift = len(_PREFIX)
        problems = [_shifted(problem, shift, len(source)) for problem in error.problems]
        raise FormulaError(problems, source) from None
    problems = []
    if len(statements) != 1 or not isinstance(statements[0], FamilyOf):
        raise FormulaError(Problem(f"{text!r} is not a family", None, _HINT))
    spec = read_family(statements[0].family, problems)
    if problems:
        raise FormulaError([_shifted(p, len(_PREFIX), len(source)) for p in problems], source)
    # Its place in this text means nothing in the model's text.
    return replace(spec, span=None)


def _shifted(problem: Problem, shift: int, length: int) -> Problem:
    span = problem.span
    if span is not None:
        start = min(max(span.start - shift, 0), length)
        span = Span(start, min(max(span.end - shift, start), length))
    return Problem(problem.message, span, problem.hint)


def read_family(expr: Name | Call, problems: list[Problem]) -> FamilySpec:
    """Return the family that `expr` writes; mistakes are added to `problems`."""
    if isinstance(expr, Name):
        return FamilySpec(expr.name, span=expr.span)
    link: str | None = None
    link_args: tuple[float, ...] = ()
    if len(expr.args) > 1:
        problems.append(
            Problem(
                f"the family {expr.function!r} has one link; its options are written name=value",
                expr.args[1].span,
            )
        )
    if expr.args:
        link, link_args = _read_link(expr.args[0], problems)
    options: dict[str, float | str] = {}
    for key, value in expr.keywords:
        if key in options or (key == "link" and link is not None):
            problems.append(Problem(f"the option {key!r} is given twice", value.span))
        elif key == "link":
            link, link_args = _read_link(value, problems)
        else:
            options[key] = _read_option(key, value, problems)
    return FamilySpec(expr.function, link, link_args, tuple(options.items()), expr.span)


def read_distribution(call: Call, problems: list[Problem]) -> FamilySpec:
    """Return the distribution of a latent variable that `call` names; its arguments are options."""
    for arg in call.args:
        problems.append(Problem(f"the options of {call.function!r} are written name=value", arg.span))
    options: list[tuple[str, float | str]] = []
    for key, expr in call.keywords:
        value = number(expr)
        if value is None:
            problems.append(Problem(f"the option {key!r} of {call.function!r} takes a number", expr.span))
        else:
            options.append((key, value))
    return FamilySpec(call.function, options=tuple(options), span=call.span)


def _read_link(expr: Expr, problems: list[Problem]) -> tuple[str | None, tuple[float, ...]]:
    match expr:
        case Name(name=name):
            return name, ()
        case Text(value=value):
            return value, ()
        case Call(function=function, args=args, keywords=()):
            numbers = [number(arg) for arg in args]
            if None not in numbers:
                return function, tuple(x for x in numbers if x is not None)
    problems.append(Problem("a link is a name, or a name with numbers: logit, power(2)", expr.span))
    return None, ()


def number(expr: Expr) -> float | None:
    """Return the value of a number with or without a sign, None of anything else."""
    match expr:
        case Number(value=value):
            return value
        case Unary(operator=operator, operand=Number(value=value)):
            return -value if operator == "-" else value
    return None


def _read_option(key: str, expr: Expr, problems: list[Problem]) -> float | str:
    value = number(expr)
    if value is not None:
        return value
    match expr:
        case Name(name=name):
            return name
        case Text(value=text):
            return text
    problems.append(Problem(f"the option {key!r} takes a number or a name", expr.span))
    return ""
