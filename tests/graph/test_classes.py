"""Class variables, mass points and covariates with missing values."""

import pytest
from shown_graphs import graph, predictor, regression

from glamm.graph import FamilySpec

CLASSES = [
    ("c ~ classes(3); y ~ c", ("1", "2", "3"), "", "1"),
    ("c ~ classes(2) + age; y ~ c", ("1", "2"), "", "age"),
    ("c ~ age + classes(2); y ~ c", ("1", "2"), "", "age"),
    ("c ~ 0 + classes(2); y ~ c", ("1", "2"), "", "0"),
    (
        'c | id ~ classes("never", "complier", known=group) + age; y ~ c',
        ("never", "complier"),
        "group",
        "age",
    ),
    ('c ~ classes(2, known="my group"); y ~ c', ("1", "2"), "my group", "1"),
    ("c ~ classes(2) + f:age; f =~ i1; y ~ c", ("1", "2"), "", "f:age"),
    ("c ~ classes(2) + label(b)*age + offset(w); y ~ c", ("1", "2"), "", "label(b)*age + offset(w)"),
]


@pytest.mark.parametrize(("text", "labels", "known", "membership"), CLASSES)
def test_classes(text, labels, known, membership):
    (found,) = graph(text).classes
    assert (found.labels, found.known, str(found.membership)) == (labels, known, membership)
    assert not found.points and not found.automatic


FACTORS = [
    ("c ~ classes(2); y ~ x*c", "y", "mu", "x + c + x:c"),
    ("c ~ classes(2); y ~ 0 + c", "y", "mu", "0 + c"),
    ('c ~ classes("a", "b"); y ~ c[b]:x + z', "y", "mu", "z + `c[b]`:x"),
    ("c ~ classes(2); y ~ c[1]", "y", "mu", "`c[1]`"),
    ("c ~ classes(2); y ~ x; sigma(y) ~ c", "y", "sigma", "c"),
    ("c ~ classes(2); y ~ x; threshold(y) ~ c", "y", "threshold", "c"),
    ("c ~ classes(2); f =~ i1; f ~ c", "f", "mu", "0 + c"),
    ("c ~ classes(2); f =~ i1; sd(f) ~ c", "f", "sd", "c"),
    ("c ~ classes(2); f =~ i1; y ~ c:f", "y", "mu", "f:c"),
    ("c ~ classes(2); d ~ classes(3) + c; y ~ d", "d", "mu", "c"),
    ("c =~ i1 + i2; c ~ classes(3)", "i1", "mu", "0 + c"),
    ("c =~ i1 + i2; c ~ classes(3); i2 ~ x", "i2", "mu", "0 + c + x"),
    ("c =~ i1 + i2; c ~ classes(3); i2 ~ 1 + x; f =~ i2", "i2", "mu", "0 + c + x + f"),
    ("c + d =~ i1; c + d ~ classes(2)", "i1", "mu", "0 + d + c"),
]


@pytest.mark.parametrize(("text", "name", "parameter", "expected"), FACTORS)
def test_classes_as_factors(text, name, parameter, expected):
    assert regression(graph(text), name, parameter) == expected


def test_classes_by_measurement_are_those_by_regression():
    short, long = graph("c =~ i1 + i2; c ~ classes(2)"), graph("i1 + i2 ~ 0 + c; c ~ classes(2)")
    assert [r.predictors for r in short.responses] == [r.predictors for r in long.responses]
    assert short.classes == long.classes
    assert all(response.indicator for response in short.responses)


def test_order_of_classes():
    found = graph("e ~ classes(2) + d; d ~ classes(2) + c; c ~ classes(2); y ~ e")
    assert [variable.name for variable in found.classes] == ["c", "d", "e"]


def test_random_effects_of_membership():
    found = graph("c | id ~ classes(2) + (1 | school); y ~ c")
    assert [(block.name, block.members) for block in found.blocks] == [("1 | school", (("c", "mu"),))]


# ------------------------------------------------ mass points

POINTS = [
    ("y ~ npml(1 | g, k=2)", "0 + `npml(1 | g, k=2)`"),
    ("y ~ npml(1 | g, 2)", "0 + `npml(1 | g, 2)`"),
    ("y ~ x + z + npml(1 + x | g, k=2)", "0 + `npml(1 + x | g, k=2)` + z + `npml(1 + x | g, k=2)`:x"),
    ("y ~ x*z + npml(x | g, k=2)", "0 + `npml(x | g, k=2)` + z + x:z + `npml(x | g, k=2)`:x"),
    ("y ~ x + npml(0 + x | g, k=2)", "`npml(0 + x | g, k=2)`:x"),
    ("y ~ 0 + npml(1 | `my g`, k=2)", "0 + `npml(1 | my g, k=2)`"),
]


@pytest.mark.parametrize(("text", "expected"), POINTS)
def test_mass_points_absorb_the_intercept_and_their_main_effects(text, expected):
    found = graph(text)
    assert regression(found, "y") == expected
    (variable,) = found.classes
    assert f"`{variable.name}`" in expected
    assert (variable.labels, variable.points, variable.automatic) == (("1", "2"), True, False)
    assert found.blocks == ()


def test_mass_points_of_several_levels_and_responses():
    found = graph("y1 + y2 ~ npml(1 | g/h, k=2)")
    names = [(variable.name, variable.level) for variable in found.classes]
    assert sorted(names) == [("npml(1 | g, k=2)", "g"), ("npml(1 | g:h, k=2)", "g:h")]
    assert predictor(found, "y1").terms == predictor(found, "y2").terms


def test_mass_points_of_statements_are_independent():
    found = graph("y1 ~ npml(1 | g, k=2); y2 ~ npml(1 | g, k=2)")
    names = [variable.name for variable in found.classes]
    assert names == ["npml(1 | g, k=2)", "y2 ~ npml(1 | g, k=2)"]
    assert regression(found, "y2") == "0 + `y2 ~ npml(1 | g, k=2)`"


def test_mass_points_of_a_latent_variable():
    found = graph("f | id =~ i1 + i2; f ~ npml(4) + w")
    (variable,), (latent,) = found.classes, found.latents
    assert (variable.name, variable.level, variable.labels) == ("f ~ npml(4)", "id", ("1", "2", "3", "4"))
    assert latent.distribution == FamilySpec("none")
    assert regression(found, "f") == "0 + `f ~ npml(4)` + w"
    assert not graph("f =~ i1; f ~ npml(4)").latents[0].endogenous


@pytest.mark.parametrize(
    "text", ['y ~ npml(1 | g, k="auto")', "y ~ npml(1 | g, k=auto)", 'f =~ i1; f ~ npml("auto")']
)
def test_as_many_mass_points_as_the_data_ask_for(text):
    (variable,) = graph(text).classes
    assert (variable.labels, variable.automatic) == ((), True)


# ------------------------------------------------ covariates with missing values


def test_a_continuous_covariate_stays_a_response():
    found = graph("y ~ mi(x)*z; x ~ z")
    assert [(c.name, c.response) for c in found.missing] == [("mi(x)", "x")]
    assert [r.name for r in found.responses] == ["y", "x"]
    assert [(t.latents, t.factors) for t in predictor(found, "y").terms] == [
        ((), ("z",)),
        (("mi(x)",), ()),
        (("mi(x)",), ("z",)),
    ]


@pytest.mark.parametrize("family", ["binomial", "multinomial", "ordinal"])
def test_a_discrete_covariate_is_a_class(family):
    found = graph(f"y ~ mi(x)*z; x ~ z + (1 | g); family(x) = {family}")
    assert [r.name for r in found.responses] == ["y"]
    (variable,) = found.classes
    assert (variable.name, variable.known, variable.labels) == ("mi(x)", "x", ())
    assert str(variable.membership) == "z"
    assert regression(found, "y") == "`mi(x)` + z + `mi(x)`:z"
    assert [block.members for block in found.blocks] == [(("mi(x)", "mu"),)]
    assert found.missing == ()


def test_missing_covariates_come_after_those_they_depend_on():
    found = graph("y ~ mi(a) + mi(b); a ~ mi(b); b ~ z")
    assert [covariate.response for covariate in found.missing] == ["b", "a"]
