"""Mistakes in statements about latent variables: message, place and hint."""

import pytest
from shown_graphs import graph

from glamm.errors import FormulaError

COLUMNS = "y y2 x z w g h i1 i2 i3 i4 item id s1 known"

MISTAKES = [
    # names
    ("f =~ i1 + i2; y ~ ff + x", "no column or latent variable 'ff'", "ff", "did you mean 'f'?"),
    ("f =~ i1 + i22", "no column 'i22'", "i22", "did you mean 'i2'?"),
    ("theta =~ i1; tehta ~ x", "no column 'tehta'", "tehta", "did you mean 'theta'?"),
    ("y ~ x; zz ~~ zz", "no column 'zz'", "zz", "did you mean 'z'?"),
    ("x =~ i1", "'x' is a column of the data and a latent variable of the model", "x", "that no column has"),
    (
        "y ~ x; x ~ classes(2)",
        "'x' is a column of the data and a class variable of the model",
        "x",
        "no column has",
    ),
    ("y ~ student_t(df=5)", "'y' is a column of the data and a latent variable", "y", "family(y) = ..."),
    ("y ~ x + student_t(df=5); f =~ i1", "'y' is a column of the data", "y", "family(y)"),
    ("y ~ x; e ~ x; sd(e) ~ z", "no column 'e'", "e", "measure it: e =~ i1 + i2"),
    (
        "y ~ x; e ~ npml(3)",
        "the latent variable 'e' has no indicators and predicts nothing",
        "e",
        "measure it",
    ),
    ("log(f) =~ i1", "log(f) cannot be measured", "log(f)", ""),
    # terms
    ("f =~ i1; y ~ log(f)", "the latent variable 'f' cannot stand inside log(f)", "log(f)", "f:f"),
    ("f =~ i1; y ~ {f + 1}", "cannot stand inside {f + 1}", "{f + 1}", "f:f"),
    ("f =~ i1; y ~ offset(f)", "nobody observed 'f'", "f", "1*f"),
    ("f =~ i1; y ~ f:f:f", "f:f:f is a product of more than 2 latent variables", "f:f:f", ""),
    ("f =~ i1; x ~ z; y ~ f:f:mi(x)", "more than 2 latent variables", "f:f:mi(x)", ""),
    (
        "f =~ i1; y ~ (1 + f | g)",
        "the slope of the latent variable in (f | ...) needs a name",
        "f",
        "slope:f",
    ),
    ("f =~ i1; y ~ (1 | f)", "a group is a column", "f", ""),
    ("y ~ (1 + 2*x | g)", "random effects have variances", "(1 + 2*x | g)", ""),
    ("y ~ mi(x)", "elsewhere it needs a model of x", "mi(x)", "write one: x ~ ..."),
    ("y ~ mi(x, z); x ~ z", "mi() takes one covariate", "mi(x, z)", "mi(x)"),
    ("x ~ mi(x)", "the response 'x' stands in its own predictor", "x", ""),
    (
        "y ~ mi(x); x ~ z; threshold(x) ~ w; family(x) = ordinal",
        "threshold(x) ~ ... has no place there",
        "x",
        "",
    ),
    # measurement
    ("f =~ i1 + foo(3)", "foo(3) is no indicator", "foo(3)", "joined by +"),
    ("f =~ i1 + mi(x)", "mi(x) is no indicator", "mi(x)", "joined by +"),
    ("f =~ i1 + i1", "f stands in the predictor of 'i1' twice", "i1", "write it once"),
    ("f =~ i1; i1 ~ f", "f stands in the predictor of 'i1' twice", "i1", "with =~ or with ~"),
    ("f =~ i1 - i2", "i1 - i2 is no indicator", "i1 - i2", "joined by +"),
    ("f =~ i1 + 1", "1 is no indicator", "1", "joined by +"),
    ("f =~ i1 + (i2 + i3):g", "i2 + i3 is no indicator", "(i2 + i3)", "joined by +"),
    ("f =~ i1 + f", "'f' is its own indicator", "f", ""),
    ("f =~ i1; e =~ i2:f", "a loading varies with columns, and 'f' is a latent variable", "f", "y ~ eta:f"),
    ("f =~ y:(x + z)", "a loading varies with columns or functions of them", "(x + z)", "y:item"),
    ("c =~ 1*i1; c ~ classes(2)", "has an intercept for each class, no loading", "1*i1", "i1 ~ c*x"),
    ("c =~ i1:x; c ~ classes(2)", "has an intercept for each class, no loading", "i1:x", "i1 ~ c*x"),
    ("c =~ i1 + i1; c ~ classes(2)", "c stands in the predictor of 'i1' twice", "i1", ""),
    ("f =~ c; c ~ classes(2); y ~ c", "the class variable 'c' has no loadings", "c", "c ~ f + classes(2)"),
    # structure
    ("f =~ i1; f ~ f", "'f' is regressed on itself", "f ~ f", ""),
    ("f =~ i1; f ~ x; f ~ z", "f has two regressions", "f", "one statement"),
    ("f =~ i1; e =~ i2; f ~ e; e ~ f", "goes round in a circle: f -> e -> f", "f ~ e", "leave out"),
    ("f =~ i1; c ~ classes(2) + f; f ~ c", "goes round in a circle: f -> c -> f", "f ~ c", "leave out"),
    ("f =~ y; y ~ x; f ~ y", "goes round in a circle: f -> y -> f", "f ~ y", "leave out"),
    ("y ~ x; x ~ y", "goes round in a circle: y -> x -> y", "y ~ x", "leave out"),
    ("y ~ offset(x); x ~ (1 + y | g)", "goes round in a circle: y -> x -> y", "y ~ offset(x)", "leave out"),
    ("log(y) ~ x; x ~ y", "goes round in a circle: x -> log(y) -> x", "x ~ y", "leave out"),
    ("y ~ mi(x); x ~ f; f =~ i1; f ~ mi(x)", "goes round in a circle: f -> x -> f", "f ~ mi(x)", "leave out"),
    (
        "f =~ i1; mean(f) ~ x",
        "'f' is a latent variable and has no parameter 'mean'",
        "mean(f)",
        "sd(f) ~ ...",
    ),
    (
        "c ~ classes(2); y ~ c; sd(c) ~ x",
        "'c' is a class variable and has no parameter 'sd'",
        "sd(c)",
        "c ~ ...",
    ),
    ("f =~ i1; family(f) = poisson", "'f' is a latent variable, no response", "f", "f ~ student_t(df=5)"),
    ("f =~ i1; f ~ student_t(df=5) + npml(3)", "a variable has one distribution", "npml(3)", ""),
    ("f =~ i1; f ~ student_t(5)", "the options of 'student_t' are written name=value", "5", ""),
    (
        "f =~ i1; sd(f) ~ npml(2)",
        "is the distribution of a latent variable, and sd(f) is none",
        "npml(2)",
        "npml(1 | g",
    ),
    # levels
    ("f | g =~ i1; f | h ~ x", "'f' lives at the level 'g' and at the level 'h'", "h", "one level"),
    (
        "f | g =~ i1; e =~ i2; f ~ e",
        "cannot depend on 'e', which varies inside it (level 'row')",
        "f ~ e",
        "regress e on f",
    ),
    (
        "f =~ s1; s1 | g ~ 1",
        "'s1' lives at the level 'g' and cannot depend on 'f'",
        "s1 | g ~ 1",
        "higher level",
    ),
    ("f | g =~ i1; f ~ c; c ~ classes(2)", "cannot depend on 'c'", "f ~ c", "higher level"),
    ("f | g =~ i1; f ~ (1 | g/h)", "varies inside the clusters of 'f'", "(1 | g/h)", ""),
    (
        "f | g =~ i1; f ~ (1 | g)",
        "is the disturbance that 'f' has at its level already",
        "(1 | g)",
        "higher levels",
    ),
    ("y ~ x; sigma(y) | g ~ x", "the level of 'y' stands in its own regression", "g", "y | g ~ ..."),
    # covariances
    ("f =~ i1; f ~~ i1", "a latent variable and a response do not covary", "f ~~ i1", ""),
    ("f | g =~ i1; e =~ i2; f ~~ e", "'f' lives at the level 'g', 'e' at 'row'", "f ~~ e", "independent"),
    ("f =~ i1; e =~ i2; f ~~ e; e ~~ f", "e ~~ f stands in the model twice", "e ~~ f", ""),
    ("f =~ i1; e =~ i2; f ~~ e; f ~~ 0*f", "the variance of 'f' is held at 0", "f ~~ e", ""),
    ("f =~ i1; 2*f ~~ f", "a modifier stands on the right of ~~", "2*f", "eta ~~ 1*xi"),
    (
        "f =~ i1; f ~~ x",
        "x is neither a latent variable nor a response of the model",
        "x",
        "the model has f, i1",
    ),
    ("c ~ classes(2); y ~ c; y ~~ c", "the class variable 'c' has no variance", "c", ""),
    ("f =~ i1; f ~ npml(3); f ~~ f", "lives on mass points and has no disturbance", "f ~~ f", ""),
    ("f =~ i1; sd(f) ~ x; f ~~ 1*f", "follows from sd(f) ~ ...", "f ~~ 1*f", "one of the two"),
    ("y ~ x; sigma(y) ~ x; y ~~ 1*y", "follows from sigma(y) ~ ...", "y ~~ 1*y", "one of the two"),
    (
        "y ~ x; family(y) = poisson; y ~~ y",
        "'y' is poisson and has no residual variance",
        "y ~~ y",
        "Gaussian",
    ),
    (
        "y ~ x; y2 ~ x; family(y2) = binomial(probit); y ~~ y2",
        "'y2' is binomial(probit)",
        "y ~~ y2",
        "Gaussian",
    ),
    # classes
    ("y ~ x; c ~ classes(2)", "the class variable 'c' predicts nothing", "c", "use it: y ~ c"),
    ("y ~ c; c ~ classes(1)", "the number of classes, 2 to 1000", "classes(1)", "classes(3)"),
    ("y ~ c; c ~ classes(a, b)", "the number of classes, 2 to 1000", "classes(a, b)", "never"),
    ('y ~ c; c ~ classes("a", "a")', "two classes have one name", 'classes("a", "a")', ""),
    ("y ~ c; c ~ classes(2, known=3)", "known= takes a column", "3", "known=col"),
    ("y ~ c; c ~ classes(2, knwon=x)", "classes() has no option 'knwon'", "x", "known=column"),
    (
        'y ~ c[compiler]; c ~ classes("never", "complier")',
        "'c' has no class 'compiler'",
        "c[compiler]",
        "'complier'",
    ),
    ("y ~ c[3]; c ~ classes(2)", "'c' has no class '3'", "c[3]", "its classes are 1, 2"),
    ("y ~ x[1]", "'x', which is no class variable", "x[1]", "x ~ classes(2)"),
    ("y ~ c; c ~ classes(2) + c", "'c' is regressed on itself", "c ~ classes(2) + c", ""),
    ("y ~ npml(1 | g)", "npml() takes the number of mass points", "npml(1 | g)", "npml(1 | g, k=4)"),
    ("y ~ npml(1 | g, k=2, m=1)", "npml() takes the number of mass points", "npml(1 | g, k=2, m=1)", ""),
    ("y ~ npml(1 + x || g, k=2)", "mass points are places in the space", "1 + x || g", "|"),
    ("y ~ npml(1 | g, k=2) + npml(x | g, k=3)", "(1 | g) stands in the model twice", "npml(x | g, k=3)", ""),
    ("y ~ x; threshold(y) ~ npml(1 | g, k=2)", "would shift all its categories", "npml(1 | g, k=2)", ""),
    # modifiers, constraints, definitions
    ("y ~ lab*x", "no column 'lab'", "lab", "write label(lab)*x"),
    ("y ~ know*x", "no column 'know'", "know", "did you mean 'known'?"),
    ("y ~ 2*x*z", "a modifier belongs to one term", "2*x*z", "one by one"),
    ("y ~ 1*2*x", "this coefficient has two values", "1*2", ""),
    ("y ~ label(a)*label(b)*x; a == b", "this coefficient has two labels", "label(a)*label(b)", ""),
    ("y ~ 2*x + 3*x", "this coefficient has two values", "3*x", ""),
    ("y ~ NA*2*x", "a number holds this coefficient, NA asks for it free", "NA*2", ""),
    ("y ~ start(1)*2*x", "a start value asks for it free", "start(1)*2", ""),
    ("y ~ label(2)*x", "label() takes one name: label(b)*x", "label(2)", ""),
    ("y ~ start(x)*z", "start() takes one number: start(0.5)*x", "start(x)", ""),
    ("y ~ label(a) + x", "label() stands before a term", "label(a)", "label(a)*x"),
    ("y ~ x - 2*x", "what is removed has no coefficient", "2*x", "-1*x"),
    ("y ~ 2*0 + x", "0 is no intercept", "2*0", ""),
    ("y ~ label(a)*x; b > 0", "'b' is no label of the model", "b", "label(b)*x"),
    ("y ~ label(alpha)*x; alpah > 0", "'alpah' is no label of the model", "alpah", "'alpha'"),
    ("y ~ label(a)*x; a := 2", "'a' is a label already", "a := 2", "== constrains a label"),
    ("y ~ label(a)*x; d := a; d := 2*a", "'d' is defined twice", "d := 2*a", ""),
    ("y ~ label(a)*x; d := a; d > 0", "'d' is a derived parameter", "d", "what it is derived from"),
    ("y ~ x; d := e; e := d", "go round in a circle: d -> e -> d", "d := e", ""),
    ("y ~ x; d := d + 1", "go round in a circle: d -> d", "d := d + 1", ""),
    # choices
    ("choice(y) ~ x", "choice() takes the column of what was chosen", "choice(y)", "choice(chosen, set)"),
    ("ranking(y, g, h) ~ x", "ranking() takes the column of ranks", "ranking(y, g, h)", "ranking(rank, set)"),
    ("choice(y, g) ~ y", "stands in its own predictor", "y", ""),
]


@pytest.mark.parametrize(("text", "message", "place", "hint"), MISTAKES)
def test_mistakes(text, message, place, hint):
    with pytest.raises(FormulaError) as caught:
        graph(text, columns=COLUMNS)
    (problem,) = [p for p in caught.value.problems if message in p.message and p.span.slice(text) == place]
    assert hint in problem.hint


def test_every_problem_is_reported():
    text = "f =~ i1 - i2\ng1 | g ~ x\ny ~ log(f) + ff\nf ~~ q\nb > 0\nc ~ classes(1)"
    with pytest.raises(FormulaError) as caught:
        graph(text, columns=COLUMNS)
    lines = {text.count("\n", 0, problem.span.start) for problem in caught.value.problems}
    assert lines == {0, 1, 2, 3, 4, 5}


def test_names_in_another_model_are_left_to_the_data():
    assert graph("y ~ xx", columns=COLUMNS).responses[0].name == "y"
    assert graph("yy ~ x", columns=COLUMNS).responses[0].name == "yy"
