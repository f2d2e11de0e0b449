"""Term algebra: what a right-hand side expands to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.grammar import parse, parse_expression
from glamm.graph.factors import factor_text, names_in
from glamm.graph.terms import Expander

CASES = [
    ("x", None, "x"),
    ("1", True, ""),
    ("0", False, ""),
    ("-1", False, ""),
    ("x - 1", False, "x"),
    ("0 + x", False, "x"),
    ("0 + x + 1", True, "x"),
    ("x - 0", True, "x"),
    ("x + x", None, "x"),
    ("a*b", None, "a b a:b"),
    ("a:b + a", None, "a a:b"),
    ("a:b + b:a", None, "a:b"),
    ("a:a", None, "a"),
    ("a/b", None, "a a:b"),
    ("a/b/c", None, "a a:b a:b:c"),
    ("a/(b + c)", None, "a a:b a:c"),
    ("(a + b)/c", None, "a b a:b:c"),
    ("a*b*c", None, "a b c a:b a:c b:c a:b:c"),
    ("(a + b + c)**2", None, "a b c a:b a:c b:c"),
    ("(a + b)^2", None, "a b a:b"),
    ("x^2", None, "x"),
    ("(a + b):c", None, "a:c b:c"),
    ("a*b - a", None, "b a:b"),
    ("a*b - a:b", None, "a b"),
    ("a + b + c - (a + b)", None, "c"),
    ("a + (b - 1)", False, "a b"),
    ("a - (b - 1)", True, "a"),
    ("- x + x + y", None, "x y"),
    ("((a))", None, "a"),
    ("1:x", None, "x"),
    ("(1 + a):b", None, "b a:b"),
    ("(1 + a)*b", True, "a b a:b"),
    ("log(x) + I(x^2)", None, "log(x) I(x**2)"),
    ("I((a + b)*c - d/e)", None, "I((a + b) * c - d / e)"),
    ("I(a - (b - c))", None, "I(a - (b - c))"),
    ("I(-x**2)", None, "I(-x**2)"),
    ("I((-x)**2)", None, "I((-x)**2)"),
    ("bs(t, df=4)", None, "bs(t, df=4)"),
    ('C(f, levels="a")', None, 'C(f, levels="a")'),
    ("`my col`*z", None, "`my col` z `my col`:z"),
    ("`x` + x", None, "x"),
    ("{x / 10} + y", None, "{x / 10} y"),
    ('Q("my col")', None, 'Q("my col")'),
    ("foo(-x)", None, "foo(-x)"),
    ("I(x > 2)", None, "I(x > 2)"),
]


def expand(text):
    problems = []
    statement = parse(f"y ~ {text}").statements[0]
    found = Expander(problems).expand(statement.terms)
    assert problems == []
    return found


@pytest.mark.parametrize(("text", "intercept", "terms"), CASES)
def test_expansion(text, intercept, terms):
    found = expand(text)
    separator = "|" if "(" in terms or "{" in terms or "`" in terms else " "
    if separator == " ":
        assert [str(term) for term in found.terms] == terms.split()
    else:
        assert "|".join(str(term) for term in found.terms).replace("|", " ") == terms
    assert found.intercept is intercept


def test_offsets_and_random_effects_are_set_apart():
    found = expand("x + offset(log(n)) + (1 | g) + offset(2*w)")
    assert [str(term) for term in found.terms] == ["x"]
    assert found.offsets == ("log(n)", "2 * w")
    assert len(found.randoms) == 1


ERRORS = [
    ("x + 2", "2 is not a term"),
    ("x - (1 | g)", "can be added, not removed"),
    ("x:(1 | g)", "can be added, not multiplied"),
    ("x*offset(n)", "can be added, not multiplied"),
    ("offset(a, b)", "offset() takes one expression"),
    ("0:x", "0 cannot be a factor of a product"),
    ("(a + b)**1.5", "whole number from 1 on"),
    ("(a + b)**c", "whole number from 1 on"),
    ("(" + " + ".join(f"a{i}" for i in range(20)) + ")**10", "more than 2000 terms"),
    ("*".join(f"a{i}" for i in range(20)), "more than 2000 terms"),
    ("log(a:b)", "':' cannot stand inside a function call"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_mistakes(text, message):
    problems = []
    source = f"y ~ {text}"
    Expander(problems).expand(parse(source).statements[0].terms)
    assert any(message in problem.message for problem in problems)
    assert all(problem.span.slice(source) for problem in problems)


names = st.sampled_from(["a", "b", "c", "d"])
formulas = st.recursive(
    names,
    lambda inner: st.tuples(st.sampled_from(["+", ":", "*", "/"]), inner, inner).map(
        lambda parts: f"({parts[1]} {parts[0]} {parts[2]})"
    ),
    max_leaves=6,
)


def as_sets(text):
    return [frozenset(term.factors) for term in expand(text).terms]


@settings(max_examples=60, deadline=None)
@given(formulas)
def test_expanding_what_was_expanded_changes_nothing(text):
    once = expand(text).terms
    again = expand(" + ".join(str(term) for term in once)).terms
    assert [str(term) for term in again] == [str(term) for term in once]


@settings(max_examples=60, deadline=None)
@given(formulas, formulas)
def test_crossing_is_both_and_their_product(a, b):
    assert as_sets(f"{a} * {b}") == as_sets(f"{a} + {b} + {a}:{b}")


@settings(max_examples=60, deadline=None)
@given(formulas)
def test_algebraic_identities(a):
    assert as_sets(f"{a} + {a}") == as_sets(a)
    assert as_sets(f"{a}**1") == as_sets(a)
    assert as_sets(f"{a} + d - d") == [term for term in as_sets(a) if term != {"d"}]
    assert as_sets(f"{a}**2") == as_sets(f"{a}*{a}")
    degrees = [len(term) for term in as_sets(a)]
    assert degrees == sorted(degrees)
    assert len(set(as_sets(a))) == len(degrees)


@pytest.mark.parametrize(
    "text, factor",
    [
        ("bs(x, knots=[1, 2.5])", "bs(x, knots=[1, 2.5])"),
        ("bs(x, df=4, include_intercept=True)", "bs(x, df=4, include_intercept=True)"),
        ("C(f, contr.treatment)", "C(f, contr.treatment)"),
        ("f(x.1 + np.pi)", "f(`x.1` + np.pi)"),
    ],
)
def test_constants_and_lists_inside_calls_are_pythons(text, factor):
    problems = []
    expression = parse_expression(text)
    assert factor_text(expression, problems) == factor
    assert not problems
    assert {name for name, _ in names_in(expression)} <= {"x", "f", "x.1"}
