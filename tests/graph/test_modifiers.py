"""Modifiers of coefficients, constraints, derived parameters, choices and rankings."""

import pytest
from shown_graphs import graph, predictor, regression

from glamm.grammar import parse_expression, unparse
from glamm.graph.model import Modifier, ResponseForm

Y = "y y2 x z w b g chosen set"

MODIFIERS = [
    ("y ~ 1*x", None, "1*x"),
    ("y ~ -0.5*x + z", None, "-0.5*x + z"),
    ("y ~ label(b)*x", None, "label(b)*x"),
    ('y ~ label("b 1")*x', None, "label(b 1)*x"),
    ("y ~ start(0.5)*x", None, "start(0.5)*x"),
    ("y ~ start(-1)*label(b)*x", None, "label(b)*start(-1)*x"),
    ("y ~ 2*label(b)*x", None, "2*label(b)*x"),
    ("y ~ NA*x", None, "NA*x"),
    ("y ~ 2*1 + x", None, "2*1 + x"),
    ("y ~ label(a)*1", None, "label(a)*1"),
    ("y ~ label(b)*x:z", None, "label(b)*x:z"),
    ("y ~ x*z + 1*x:z", None, "x + z + 1*x:z"),
    ("y ~ label(b)*(x + z)", None, "label(b)*x + label(b)*z"),
    ("y ~ 1*bs(x, df=3)", None, "1*bs(x, df=3)"),
    ("y ~ b*x; b > 0", None, "label(b)*x"),
    ("y ~ b*x; y2 ~ label(b)*x", None, "label(b)*x"),
    ("y ~ b*x; ind := b*2", None, "label(b)*x"),
    ("y ~ b*x; f =~ i1 + b*i2", None, "label(b)*x"),
    ("y ~ q*x + q*z", Y, "label(q)*x + label(q)*z"),
    ("y ~ start(1)*q*x + q*z", Y, "label(q)*start(1)*x + label(q)*z"),
    ("y ~ b*x", Y, "b + x + b:x"),
    ("y ~ b*x + b*z", None, "b + x + z + b:x + b:z"),
    ("y ~ b*x + label(b)*z", Y, "b + x + label(b)*z + b:x"),
    ("f =~ i1; y ~ f*x", None, "x + f + f:x"),
    ("f =~ i1; y ~ 1*f + label(b)*f:x", None, "1*f + label(b)*f:x"),
    ("f =~ i1; y ~ label(b)*(f + x)", None, "label(b)*x + label(b)*f"),
]


@pytest.mark.parametrize(("text", "columns", "expected"), MODIFIERS)
def test_modifiers(text, columns, expected):
    columns = columns and f"{columns} i1 i2"
    assert regression(graph(text, columns=columns), "y") == expected


def test_the_intercept_has_a_modifier():
    model = predictor(graph("y ~ start(3)*label(a)*1 + x"), "y")
    assert (model.intercept, model.modifier) == (True, Modifier(label="a", start=3.0))


def test_constraints_and_definitions():
    text = "y ~ label(b1)*x + label(b2)*z; b1 + b2 == 1; b1 > 0; `y ~ x` <= 2; ind := b1*b2; tot := ind + 1"
    found = graph(text)
    shown = [(c.operator, unparse(c.left), unparse(c.right)) for c in found.constraints]
    assert shown == [("==", "b1 + b2", "1"), (">", "b1", "0"), ("<=", "`y ~ x`", "2")]
    assert [(d.name, d.expression) for d in found.definitions] == [
        ("ind", parse_expression("b1*b2")),
        ("tot", parse_expression("ind + 1")),
    ]


@pytest.mark.parametrize("call", ["choice", "ranking"])
def test_choices_and_rankings(call):
    found = graph(f"{call}(chosen, set) ~ x + z; y ~ w", "poisson")
    response = found.responses[0]
    assert (response.name, response.form) == (f"{call}(chosen, set)", ResponseForm(call, ("chosen", "set")))
    assert [str(r.family) for r in found.responses] == [call, "poisson"]
    assert response.predictors[0].intercept is None
    named = graph(f"{call}(chosen, set) ~ x; family(chosen) = mine")
    assert str(named.responses[0].family) == "mine"
