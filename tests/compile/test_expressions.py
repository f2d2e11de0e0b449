"""Expressions of parameters: values, exact derivatives, recognition of linear ones."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from glamm.compile.expressions import FUNCTIONS, find_problems, gradient, linear, value
from glamm.errors import FormulaError, Problem, Span
from glamm.grammar import ast
from glamm.grammar.parse import parse

AT = {"a": 0.3, "b": 1.7, "c": -0.8, "y ~ x": 2.5}


def read(text):
    (statement,) = parse(f"derived := {text}").statements
    return statement.expression


def constraint(text):
    """Return left minus right of a constraint."""
    (statement,) = parse(text).statements
    assert isinstance(statement, ast.Constraint)
    return ast.Binary("-", statement.left, statement.right)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*b + c", 0.3 * 1.7 - 0.8),
        ("-a^2", -0.09),
        ("2 - b - c", 2 - 1.7 + 0.8),
        ("a / b / 2", 0.3 / 1.7 / 2),
        ("2**3**2", 512.0),
        ("`y ~ x` * a", 0.75),
        ("+a - -b", 2.0),
        ("exp(a) + log(b)", math.exp(0.3) + math.log(1.7)),
        ("log10(b) * sqrt(b)", math.log10(1.7) * math.sqrt(1.7)),
        ("abs(c) + sin(a) + cos(a) + tanh(c)", 0.8 + math.sin(0.3) + math.cos(0.3) + math.tanh(-0.8)),
        ("expit(c)", 1 / (1 + math.exp(0.8))),
        ("plogis(c)", 1 / (1 + math.exp(0.8))),
        ("logit(a)", math.log(0.3 / 0.7)),
        ("qlogis(a)", math.log(0.3 / 0.7)),
        ("pnorm(c)", stats.norm.cdf(-0.8)),
        ("Phi(c)", stats.norm.cdf(-0.8)),
        ("min(a, b, c)", -0.8),
        ("max(a, b, c)", 1.7),
    ],
)
def test_values(text, expected):
    assert value(read(text), AT) == pytest.approx(expected, rel=1e-14)


def test_outside_a_domain_there_is_no_number():
    assert math.isnan(value(read("log(c)"), AT))
    assert math.isnan(value(read("c^0.5"), AT))
    assert value(read("a / (b - b)"), AT) == math.inf


NAMES = ("a", "b", "c")
LEAVES = st.sampled_from(NAMES).map(ast.Name) | st.floats(0.1, 3.0).map(ast.Number)


def grow(children):
    smooth = [name for name in FUNCTIONS if name not in ("min", "max")]
    return (
        st.builds(ast.Binary, st.sampled_from(["+", "-", "*", "/", "**"]), children, children)
        | st.builds(ast.Unary, st.sampled_from("+-"), children)
        | st.builds(lambda f, x: ast.Call(f, (x,)), st.sampled_from(smooth), children)
        | st.builds(
            lambda f, x: ast.Call(f, tuple(x)),
            st.sampled_from(["min", "max"]),
            st.lists(children, min_size=2, max_size=3),
        )
    )


EXPRESSIONS = st.recursive(LEAVES, grow, max_leaves=8)
POINTS = st.fixed_dictionaries({name: st.floats(0.05, 2.0) for name in NAMES})


def parts(expression):
    """Yield an expression and every expression inside it."""
    yield expression
    match expression:
        case ast.Unary(operand=operand):
            yield from parts(operand)
        case ast.Binary(left=left, right=right):
            yield from parts(left)
            yield from parts(right)
        case ast.Call(args=args):
            for argument in args:
                yield from parts(argument)


def differences(expression, at, name, step):
    """Return Richardson's extrapolation of central differences, and a measure of how little it can mean."""

    def slopes(h):
        up, down = (value(expression, {**at, name: at[name] + sign * h}) for sign in (1.0, -1.0))
        return (up - down) / (2.0 * h), (up - 2.0 * value(expression, at) + down) / h

    (coarse, bend), (fine, half_bend) = slopes(step), slopes(step / 2.0)
    # A smooth function bends half as much over half the step; one with a kink there, as much.
    return (4.0 * fine - coarse) / 3.0, max(abs(fine - coarse), abs(bend - 2.0 * half_bend))


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, POINTS)
def test_gradients_are_those_of_differences(expression, at):
    # no part may be so large that a step is lost in its rounding
    assume(all(abs(value(part, at)) < 1e3 for part in parts(expression)))
    found = gradient(expression, at, NAMES)
    assert found.shape == (3,)
    # at a tie of min() or max() the derivative is that of one of the equals
    beside = gradient(expression, {n: x + 1e-9 * (k - 1) for k, (n, x) in enumerate(at.items())}, NAMES)
    assume(np.allclose(found, beside, rtol=1e-4, atol=1e-4))
    for k, name in enumerate(NAMES):
        numeric, doubt = differences(expression, at, name, 1e-4)
        # beside a kink or a pole differences say nothing
        assume(np.isfinite(numeric) and doubt < 1e-4 * (1.0 + abs(numeric)))
        assert found[k] == pytest.approx(numeric, rel=1e-6, abs=1e-6)


def test_gradients_at_kinks_and_ends():
    at = {"a": 0.0, "b": 0.0, "c": 1.0}
    np.testing.assert_array_equal(gradient(read("abs(a)"), at, NAMES), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(read("min(a, b)"), at, NAMES), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(read("sqrt(a) + c"), at, NAMES), [np.inf, 0.0, 1.0])
    np.testing.assert_array_equal(gradient(read("a^2 + b^1 + a^0"), at, NAMES), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(gradient(read("a^c"), at, NAMES), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(read("c"), at, ("d", "c")), [0.0, 1.0])


@pytest.mark.parametrize(
    ("text", "coefficients", "constant"),
    [
        ("a == 2*b + 1", {"a": 1.0, "b": -2.0}, -1.0),
        ("a + b == 1", {"a": 1.0, "b": 1.0}, -1.0),
        ("(a - b)/2 == 0", {"a": 0.5, "b": -0.5}, 0.0),
        ("a > 0", {"a": 1.0}, 0.0),
        ("-(a - 2*(b - c)) < 3", {"a": -1.0, "b": 2.0, "c": -2.0}, -3.0),
        ("a == exp(0) * b * 3^2", {"a": 1.0, "b": -9.0}, 0.0),
        ("a^(2 - 1) == b", {"a": 1.0, "b": -1.0}, 0.0),
        ("a + b - a == max(1, 2)", {"b": 1.0}, -2.0),
        ("`y ~ x` == fixed * a", {"y ~ x": 1.0, "a": -4.0}, 0.0),
        ("label == a", {"y ~ x": 1.0, "a": -1.0}, 0.0),
    ],
)
def test_linear_constraints_are_recognised(text, coefficients, constant):
    resolve = {**{name: name for name in AT}, "fixed": 4.0, "label": "y ~ x"}
    assert linear(constraint(text), resolve) == (coefficients, constant)


@pytest.mark.parametrize("text", ["a*b", "1/a", "a^2", "exp(a)", "a/b", "2^a", "min(a, 1)", "a/0", "a*a/a"])
def test_other_expressions_are_not_linear(text):
    assert linear(read(text), {"a": "a", "b": "b"}) is None


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, POINTS, POINTS)
def test_linear_expressions_have_the_value_of_their_coefficients(expression, first, second):
    found = linear(expression, {name: name for name in NAMES})
    if found is None:
        return
    coefficients, constant = found
    for at in (first, second):
        total = constant + sum(c * at[name] for name, c in coefficients.items())
        size = 1.0 + abs(constant) + sum(abs(c) * at[name] for name, c in coefficients.items())
        assert value(expression, at) == pytest.approx(total, rel=1e-9, abs=1e-9 * size)
    slopes = [coefficients.get(name, 0.0) for name in NAMES]
    np.testing.assert_allclose(gradient(expression, first, NAMES), slopes, rtol=1e-9, atol=1e-9)


@st.composite
def sums(draw):
    """Return a linear expression and its coefficients and constant."""
    coefficients = draw(st.lists(st.integers(-5, 5), min_size=4, max_size=4))
    *slopes, constant = coefficients
    expression = ast.Number(float(abs(constant)))
    expression = ast.Unary("-", expression) if constant < 0 else expression
    for name, c in zip(NAMES, slopes, strict=True):
        factor, leaf = ast.Number(float(abs(c))), ast.Name(name)
        way = draw(st.integers(0, 2))
        quarter = ast.Binary("/", leaf, ast.Number(0.25))
        term = (
            ast.Binary("*", factor, leaf),
            ast.Binary("*", leaf, factor),
            ast.Binary("*", ast.Binary("/", factor, ast.Number(4.0)), quarter),
        )[way]
        expression = ast.Binary("-" if c < 0 else "+", expression, term)
    divisor = draw(st.sampled_from([1.0, 2.0, 4.0]))
    scaled = {name: c / divisor for name, c in zip(NAMES, slopes, strict=True) if c}
    return ast.Binary("/", expression, ast.Number(divisor)), (scaled, constant / divisor)


@given(sums())
def test_every_linear_expression_is_recognised(case):
    expression, expected = case
    assert linear(expression, {name: name for name in NAMES}) == expected


def test_a_sum_of_thousands_of_terms():
    text = " + ".join(["a"] * 5000)
    assert value(read(text), {"a": 2.0}) == 10_000.0
    np.testing.assert_array_equal(gradient(read(text), {"a": 2.0}, ["a"]), [5000.0])
    assert linear(read(text), {"a": "a"}) == ({"a": 5000.0}, 0.0)


NEITHER = "is neither a label nor a parameter of the model"


def test_unknown_names_have_a_place_and_a_hint():
    expression = ast.Binary("*", ast.Name("indirct", span=Span(0, 7)), ast.Name("`?", span=Span(8, 9)))
    found = find_problems(expression, {"indirect": 1.0})
    assert found == [
        Problem(
            "'indirct' is neither a label nor a parameter of the model",
            Span(0, 7),
            "did you mean 'indirect'?",
        ),
        Problem("'`?' is neither a label nor a parameter of the model", Span(8, 9)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:b", r"':' is no arithmetic of parameters; expected \+ - \* / or \^"),
        ("foo(a)", "unknown function 'foo' of parameters; expected one of exp, log"),
        ("exp(a, b)", r"exp\(\) takes one number and nothing else"),
        ("min(a)", r"min\(\) takes two or more numbers and nothing else"),
        ("log(a, base=2)", r"log\(\) takes one number and nothing else"),
        ("c[complier]", "this is no number; expected an expression of labels and parameters"),
        ("exp('a')", "this is no number"),
        ("{a}", "this is no number"),
        ("exp([1, 2])", "this is no number"),
    ],
)
def test_parts_that_are_no_numbers(text, message):
    for evaluate in (
        lambda e: value(e, AT),
        lambda e: gradient(e, AT, NAMES),
        lambda e: linear(e, dict.fromkeys(AT, "a")),
    ):
        with pytest.raises(FormulaError, match=message):
            evaluate(read(text))


def test_every_problem_is_reported():
    found = find_problems(read("foo(q) + max(p) - a:b"), AT)
    assert [problem.message.split()[0] for problem in found] == ["unknown", "'q'", "max()", "'p'", "':'"]
