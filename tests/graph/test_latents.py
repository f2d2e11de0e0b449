"""Latent variables: which names they are, what measures them, how they hang together."""

import pytest
from shown_graphs import covariances, graph, loadings, predictor, regression

from glamm.graph import FamilySpec

# ------------------------------------------------ measurement

LOADINGS = [
    ("f =~ i1 + i2 + i3", "f", ["i1!", "i2", "i3"]),
    ("f =~ i1; f =~ i2", "f", ["i1!", "i2"]),
    ("f =~ 1*i1 + i2", "f", ["1*i1", "i2"]),
    ("f =~ NA*i1 + 1*i2", "f", ["NA*i1", "1*i2"]),
    ("f =~ start(2)*i1 + i2", "f", ["start(2)*i1", "i2"]),
    (
        "f =~ a*i1 + label(b)*i2 + start(0.5)*a*i3",
        "f",
        ["label(a)*i1", "label(b)*i2", "label(a)*start(0.5)*i3"],
    ),
    ("f =~ -1*i1 + -0.5*i2", "f", ["-1*i1", "-0.5*i2"]),
    ("f =~ i1:g + i2", "f", ["i1:g!", "i2"]),
    ("y ~ 0 + item; f | id =~ y:item", "f", ["y:item!"]),
    ("y ~ x; f | id =~ 1*y:time", "f", ["1*y:time"]),
    ("y ~ x; f | id =~ y:x:bs(t, df=3)", "f", ["y:x:bs(t, df=3)!"]),
    ("y ~ x; f | id =~ y + y:x", "f", ["y!", "y:x"]),
    ("y ~ x + f =~ i1 + i2", "f", ["i1!", "i2"]),
    ("y ~ (f =~ 1*i1 + i2)*x", "f", ["1*i1", "i2"]),
    ("cbind(r, n - r) ~ x; f | id =~ r:item", "f", ["cbind(r, n - r):item!"]),
    ("f =~ cbind(r, m) + log(z)", "f", ["cbind(r, m)!", "log(z)"]),
    ("choice(pick, set) ~ x; f | id =~ pick:x", "f", ["choice(pick, set):x!"]),
    ("f =~ i1 + i2; f ~~ 1*f", "f", ["i1", "i2"]),
    ("f =~ i1 + i2; f ~~ 0*f; f ~ x", "f", ["i1!", "i2"]),
    ("f =~ i1 + i2; f ~~ v*f", "f", ["i1!", "i2"]),
    ("g =~ f1 + f2; f1 =~ i1; f2 =~ 1*i2", "g", ["f1!", "f2"]),
    ("g =~ f1 + f2; f1 =~ i1; f2 =~ 1*i2", "f1", ["i1!"]),
    ("c ~ classes(2); y ~ x; f =~ y:c", "f", ["y:c!"]),
    ("f + g =~ i1 + i2", "g", ["i1!", "i2"]),
]


@pytest.mark.parametrize(("text", "latent", "expected"), LOADINGS)
def test_loadings(text, latent, expected):
    assert loadings(graph(text), latent) == expected


SCALES = [
    ("f =~ i1 + i2", ["i1", "i2"], ["(f ~~ 1*f)"]),
    ("f =~ i1 + i2; f ~~ f", ["i1!", "i2"], ["f ~~ f"]),
    ("f =~ i1 + i2; f ~~ 2*f", ["i1", "i2"], ["f ~~ 2*f"]),
    ("f =~ 1*i1 + i2", ["1*i1", "i2"], ["(f ~~ 1*f)"]),
    ("f =~ i1 + i2; sd(f) ~ 0 + g", ["i1", "i2"], ["(f ~~ f)"]),
    ("f =~ i1 + i2; f ~ npml(3)", ["i1!", "i2"], []),
    ("f =~ i1 + i2; f ~ student_t(df=5)", ["i1", "i2"], ["(f ~~ 1*f)"]),
]


@pytest.mark.parametrize(("text", "first", "variances"), SCALES)
def test_one_scale_for_each_latent_variable_with_std_lv(text, first, variances):
    found = graph(text, std_lv=True)
    assert loadings(found, "f") == first
    assert covariances(found) == variances


def test_latent_variables_without_indicators_keep_their_variance_with_std_lv():
    found = graph("f =~ i1 + i2; f ~ b; b | g ~ x; b ~~ b", std_lv=True)
    assert covariances(found) == ["b ~~ b", "(f ~~ 1*f)"]
    assert covariances(graph("f =~ i1; f ~ b; b | g ~ x", std_lv=True)) == ["(f ~~ 1*f)", "(b ~~ b)"]


def test_indicators_without_a_statement_of_their_own():
    found = graph("f =~ i1 + i2 + i3; i3 ~ x; sigma(i2) ~ z; family(i1) = poisson")
    assert [(r.name, r.indicator, str(r.family)) for r in found.responses] == [
        ("i3", False, "gaussian"),
        ("i1", True, "poisson"),
        ("i2", True, "gaussian"),
    ]
    assert predictor(found, "i1").intercept is None
    assert regression(found, "i3") == "x + f"
    assert regression(found, "i2", "sigma") == "z"
    assert found.latents[0].indicators == ("i1", "i2", "i3")
    assert graph("f =~ i1; i1 ~ 0").responses[0].predictors[0].intercept is False


# ------------------------------------------------ models of the framework

FRAMEWORK = [
    ("g =~ french + english + math", "french english math", ["g"]),
    ("verbal =~ y1 + y2 + y3;  spatial =~ y4 + y5 + y6", "y1 y2 y3 y4 y5 y6", ["verbal", "spatial"]),
    ("y ~ 0 + item;  theta | person =~ y:item", "y item person", ["theta"]),
    ("theta =~ i1 + i2;  theta ~ female;  i2 ~ female", "i1 i2 female", ["theta"]),
    (
        "y ~ time + treat; b0 | id =~ 1*y;  b1 | id =~ 1*y:time\n"
        "drop ~ time + treat + b0 + b1;  family(drop) = binomial(cloglog)",
        "y time treat id drop",
        ["b0", "b1"],
    ),
    (
        "y ~ x + treat + eta;  treat ~ x + z + 1*eta;  eta ~~ 1*eta;  family(treat) = binomial(probit)",
        "y x treat z",
        ["eta"],
    ),
    ("fibre =~ 1*d1 + 1*d2;  fibre ~ npml(6) + age;  chd ~ age + fibre", "d1 d2 age chd", ["fibre"]),
    (
        "read | student =~ 1*r1 + r2 + r3\n"
        "climate | school =~ s1 + s2;  s1 + s2 | school ~ 1\n"
        "mean_read | school ~ ses; read ~ climate + 1*mean_read + w",
        "student school r1 r2 r3 s1 s2 ses w",
        ["climate", "mean_read", "read"],
    ),
]


@pytest.mark.parametrize(("text", "columns", "latents"), FRAMEWORK)
def test_models_of_the_framework_mean_the_same_with_and_without_columns(text, columns, latents):
    found = graph(text, columns=columns)
    assert [latent.name for latent in found.latents] == latents
    assert found == graph(text)


# ------------------------------------------------ which names are latent

Y = "y x z w g i1 i2 treat id"

NAMES = [
    ("f =~ i1 + i2", None, ["f"]),
    ("y ~ x + f =~ i1 + i2", None, ["f"]),
    ("y ~ x + e; treat ~ z + 1*e; e ~~ 1*e", None, ["e"]),
    ("y ~ x + e; treat ~ z + 1*e; e ~~ 1*e", Y, ["e"]),
    ("y ~ treat; treat ~ z", Y, []),
    ("y ~ treat; treat ~ z", None, []),
    ("f =~ i1 + i2; b | g ~ x; f ~ b", None, ["f", "b"]),
    ("f =~ i1 + i2; b ~ x; f ~ b", Y, ["f", "b"]),
    ("f =~ i1 + i2; b | g ~ x; f ~ b; family(b) = poisson", None, ["f"]),
    ("y ~ e; e ~ student_t(df=5)", None, ["e"]),
    ("y ~ e; e ~ npml(4) + x", None, ["e"]),
    ("y ~ e:x; sd(e) ~ x", None, ["e"]),
    ("y ~ e; e | g ~ 0", Y, ["e"]),
    ("i1 ~~ i2; f =~ i1 + i2", None, ["f"]),
    ("y ~ x; y ~~ label(v)*y", Y, []),
    ("y ~ label(e)*x; treat ~ label(e)*x", Y, []),
]


@pytest.mark.parametrize(("text", "columns", "latents"), NAMES)
def test_which_names_are_latent(text, columns, latents):
    found = graph(text, columns=columns)
    assert sorted(latent.name for latent in found.latents) == sorted(latents)


# ------------------------------------------------ levels

LEVELS = [
    ("f =~ i1", {"f": "row", "i1": "row"}, ["row"]),
    ("f | id =~ i1", {"f": "id", "i1": "row"}, ["id"]),
    ("f =~ i1; f | id ~ x", {"f": "id"}, ["id"]),
    ("f | id =~ i1; f | id ~ x", {"f": "id"}, ["id"]),
    ("f | s =~ s1 + s2; s1 + s2 | s ~ 1", {"f": "s", "s1": "s", "s2": "s"}, ["s"]),
    ("f | id =~ i1; e =~ i2; y ~ (1 | g)", {"f": "id", "e": "row"}, ["id", "g", "row"]),
    ("f | row =~ i1; e =~ i2", {"f": "`row`", "e": "row"}, ["`row`", "row"]),
    ("c | g ~ classes(2); y ~ c", {"c": "g"}, ["g"]),
    ("c ~ classes(2); y ~ c", {"c": "row"}, ["row"]),
    ("y ~ x; z | g ~ x", {"z": "g", "y": "row"}, ["g"]),
]


@pytest.mark.parametrize(("text", "where", "levels"), LEVELS)
def test_levels(text, where, levels):
    found = graph(text)
    assert [level.name for level in found.levels] == levels
    lives = {owner.name: owner.level for owner in (*found.responses, *found.latents, *found.classes)}
    assert {name: lives[name] for name in where} == where


# ------------------------------------------------ structural models

REGRESSIONS = [
    ("f =~ i1; f ~ x", "f", "mu", "0 + x"),
    ("f =~ i1; f ~ 1 + x", "f", "mu", "1 + x"),
    ("f =~ i1; f ~ 0 + x", "f", "mu", "0 + x"),
    ("f =~ i1; f ~ 2*1", "f", "mu", "2*1"),
    ("f =~ i1", "f", "mu", "0"),
    ("f =~ i1; e =~ i2; f ~ e + x", "f", "mu", "0 + x + e"),
    ("f =~ i1; e =~ i2; f ~ 1*e + label(b)*e:e", "f", "mu", "0 + 1*e + label(b)*e:e"),
    ("f =~ i1; sd(f) ~ 0 + g", "f", "sd", "0 + g"),
    ("f =~ i1; sd(f) ~ g", "f", "sd", "g"),
    ("f =~ i1; y ~ x*f", "y", "mu", "x + f + f:x"),
    ("f =~ i1; e =~ i2; y ~ (f + e)**2", "y", "mu", "f + e + f:e"),
    ("f =~ i1; e =~ i2; y ~ f*e - e", "y", "mu", "f + f:e"),
    ("f =~ i1; y ~ f:f", "y", "mu", "f:f"),
    ("f =~ i1; y ~ x; sigma(y) ~ f", "y", "sigma", "f"),
    ("f =~ i1; i1 ~ x", "i1", "mu", "x + f"),
    ("y ~ x + mi(z) + mi(z):x; z ~ x", "y", "mu", "x + mi(z) + mi(z):x"),
]


@pytest.mark.parametrize(("text", "name", "parameter", "expected"), REGRESSIONS)
def test_regressions(text, name, parameter, expected):
    assert regression(graph(text), name, parameter) == expected


def test_latents_and_factors_of_a_product():
    (term,) = predictor(graph("f =~ i1; e =~ i2; y ~ z:f:x:e"), "y").terms
    assert term.latents == ("f", "e")
    assert term.factors == ("z", "x")


def test_random_effects_of_latent_variables():
    found = graph("f | id =~ y:item; f ~ x + (1 + x | school)")
    (block,) = found.blocks
    assert (block.name, block.members, block.distribution) == ("1 + x | school", (("f", "mu"),), None)
    (block,) = graph("y ~ x + student_t(1 | g, df=5)").blocks
    assert block.distribution == FamilySpec("student_t", options=(("df", 5.0),))
    assert (block.name, block.intercept, block.terms) == ("1 | g", True, ())


def test_distributions_of_named_latent_variables():
    found = graph("f =~ i1; f ~ student_t(df=5) + x; e =~ i2")
    assert [str(latent.distribution) for latent in found.latents] == ["student_t(df=5)", "normal"]
    assert regression(found, "f") == "0 + x"


ORDERS = [
    ("a =~ i1; b =~ i2; c =~ i3; a ~ b; b ~ c", ["c", "b", "a"]),
    ("g =~ a + b; a =~ i1; b =~ i2", ["g", "a", "b"]),
    ("a =~ i1; b =~ i2; a ~ mi(x); x ~ b", ["b", "a"]),
    ("a =~ i1; b =~ i2; c =~ i3; d =~ i4; d ~ a + b; a ~ c; b ~ c", ["c", "a", "b", "d"]),
]


@pytest.mark.parametrize(("text", "expected"), ORDERS)
def test_each_comes_after_those_it_depends_on(text, expected):
    assert [latent.name for latent in graph(text).latents] == expected


def test_endogenous_and_predicting_latent_variables():
    text = "g =~ a; a =~ i1; b =~ i2; c =~ i3; d =~ i4; b ~ x; y ~ c; d ~ 1 + (1 | id); sigma(y) ~ b"
    found = {latent.name: (latent.endogenous, latent.predicts) for latent in graph(text).latents}
    assert found == {
        "g": (False, False),
        "a": (True, False),
        "b": (True, True),
        "c": (False, True),
        "d": (False, False),
    }


# ------------------------------------------------ covariances

THREE = "a =~ i1; b =~ i2; c =~ i3"
COVARIANCES = [
    (THREE, ["(a ~~ a)", "(b ~~ b)", "(c ~~ c)", "(a ~~ b)", "(a ~~ c)", "(b ~~ c)"]),
    (f"{THREE}; c ~ a + b", ["(a ~~ a)", "(b ~~ b)", "(c ~~ c)", "(a ~~ b)"]),
    (f"{THREE}; b + c ~ a", ["(a ~~ a)", "(b ~~ b)", "(c ~~ c)", "(b ~~ c)"]),
    (f"{THREE}; a + b ~ x; y ~ b", ["(a ~~ a)", "(b ~~ b)", "(c ~~ c)"]),
    (
        f"{THREE}; a ~~ 0*b + 0*c; b ~~ 0*c",
        ["a ~~ 0*b", "a ~~ 0*c", "b ~~ 0*c", "(a ~~ a)", "(b ~~ b)", "(c ~~ c)"],
    ),
    (
        f"{THREE}; a + b ~~ start(0.2)*c; b ~~ 0*a",
        ["a ~~ start(0.2)*c", "b ~~ start(0.2)*c", "b ~~ 0*a", "(a ~~ a)", "(b ~~ b)", "(c ~~ c)"],
    ),
    ("a =~ i1; b | id =~ i2", ["(a ~~ a)", "(b ~~ b)"]),
    ("a =~ i1; b =~ i2; a ~~ 0*a", ["a ~~ 0*a", "(b ~~ b)"]),
    ("a =~ i1; b =~ i2; a ~~ v*a; b ~~ v*b", ["a ~~ label(v)*a", "b ~~ label(v)*b", "(a ~~ b)"]),
    ("a =~ i1; b =~ i2; a ~ student_t(df=5)", ["(a ~~ a)", "(b ~~ b)"]),
    ("a =~ i1; b =~ i2; a ~ npml(3)", ["(b ~~ b)"]),
    ("g =~ a + b; a =~ i1; b =~ i2; h =~ i3", ["(g ~~ g)", "(a ~~ a)", "(b ~~ b)", "(h ~~ h)", "(g ~~ h)"]),
    ("f =~ i1 + i2; i1 ~~ i2; i1 ~~ 0.5*i1", ["i1 ~~ i2", "i1 ~~ 0.5*i1", "(f ~~ f)"]),
    ("y1 + y2 ~ x; y1 ~~ y2", ["y1 ~~ y2"]),
    ("y ~ x + (1 | g); f =~ i1", ["(f ~~ f)"]),
]


@pytest.mark.parametrize(("text", "expected"), COVARIANCES)
def test_covariances(text, expected):
    assert covariances(graph(text)) == expected
