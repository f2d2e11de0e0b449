"""Mistakes in models with latent variables: each ends in an error that names it."""

import numpy as np
import pandas as pd
import pytest
from odd_data import case, table

import glamm
from glamm.errors import DataError, FitError, FormulaError, PluginError

N = 200


def make_data():
    rng = np.random.default_rng(3)
    eta = rng.normal(size=N)
    xi = 0.5 * eta + rng.normal(size=N)
    x = rng.normal(size=N)
    g = np.repeat(np.arange(40), 5)
    noise = {name: 0.6 * rng.normal(size=N) for name in ("i1", "i2", "i3", "j1", "j2", "j3")}
    shared, w = rng.normal(size=40), rng.normal(size=40)
    return pd.DataFrame(
        {name: (eta if name[0] == "i" else xi) + value for name, value in noise.items()}
        | {f"s{k}": (shared + rng.normal(size=40))[g] for k in (1, 2, 3)}
        | {f"b{k}": (eta + rng.logistic(size=N) > 0).astype(int) for k in (1, 2, 3, 4)}
        | {"y": x + eta + rng.normal(size=N), "x": x, "z": rng.normal(size=N), "w": w[g], "g": g}
        | {"part": np.where(np.arange(N) % 5, x, np.nan), "nothing": np.nan, "same": 1.0}
        | {"f": np.resize(list("abc"), N), "known": np.where(x > 0, "never", "nvr")}
    )


DATA = make_data()
FACTOR = "eta =~ i1 + i2 + i3"
TWO = f"{FACTOR}; xi =~ j1 + j2 + j3"
SCHOOL = "climate | g =~ s1 + s2 + s3; s1 + s2 + s3 | g ~ 1"
CLASSES = "c =~ b1 + b2 + b3 + b4; c ~ classes(2)"


def refuse(kind, words, text, data=DATA, family=None, std_lv=False):
    with pytest.raises(kind) as caught:
        glamm.Model(text, data, family, std_lv=std_lv)
    message = str(caught.value)
    assert "^" in message or "std_lv" in words[0], message
    for word in words:
        assert word in message, message


# ------------------------------------------------ names and levels


@table(
    case("latent", FormulaError, ["no column 'ea'", "mean 'eta'"], f"{FACTOR}; ea ~ x"),
    case("indicator", FormulaError, ["no column 'i22'", "mean 'i2'"], "eta =~ i1 + i22 + i3"),
    case("nothing", DataError, ["no column 'eta'"], "eta ~ 1 + x; y ~ x"),
    case("column", FormulaError, ["'x' is a column", "latent variable"], "x =~ i1 + i2 + i3"),
    case("class and column", FormulaError, ["'x' is a column", "class variable"], "x ~ classes(2); y ~ x"),
    case("class with variance", FormulaError, ["'c' has no variance"], f"{CLASSES}; c ~~ c"),
    case("itself", FormulaError, ["'eta' is its own indicator"], "eta =~ i1 + i2 + eta"),
    case("on itself", FormulaError, ["'eta' is regressed on itself"], f"{FACTOR}; eta ~ eta"),
    case("circle", FormulaError, ["eta -> xi -> eta"], f"{TWO}; eta ~ xi; xi ~ eta"),
    case("circle of indicators", FormulaError, ["eta -> xi -> eta"], "eta =~ i1 + xi; xi =~ j1 + eta"),
    case("circle of responses", FormulaError, ["y -> x -> y"], "y ~ x; x ~ y"),
    case("circle of classes", FormulaError, ["eta -> c"], f"{FACTOR}; c ~ classes(2) + eta; eta ~ c"),
    case("own class", FormulaError, ["c -> b1 -> c"], f"{CLASSES} + b1", DATA, "binomial"),
    case("down", FormulaError, ["'climate'", "cannot depend on 'eta'"], f"{SCHOOL}; {FACTOR}; climate ~ eta"),
    case("varying response", DataError, ["'i3'", "differs within g 0"], "c | g =~ s1 + i3; i3 | g ~ 1"),
    case(
        "constant in clusters",
        DataError,
        ["'s1' is the same in all rows of every 'g'", "`s1 | g ~ 1`"],
        "climate | g =~ s1 + s2 + s3; s2 + s3 | g ~ 1",
    ),
    case(
        "constant in clusters, random intercept",
        DataError,
        ["'w' is the same in all rows of every 'g'", "residual variance would be 0"],
        "w ~ x + (1 | g)",
    ),
    case("varying covariate", DataError, ["'x'", "'g'", "differs within g 0"], f"{SCHOOL}; climate ~ x"),
    case(
        "levels", FormulaError, ["'eta'", "'row'", "'climate'", "'g'"], f"{SCHOOL}; {FACTOR}; eta ~~ climate"
    ),
    case(
        "missing group",
        DataError,
        ["'g' is missing in row 7"],
        "c | g =~ i1 + i2 + i3",
        DATA.assign(g=DATA.g.where(DATA.index != 7)),
    ),
)
def test_names_and_levels(kind, words, args, options):
    refuse(kind, words, *args, **options)


# ------------------------------------------------ indicators


@table(
    case("constant", DataError, ["constant response", "'same'"], "eta =~ i1 + i2 + same"),
    case("missing", DataError, ["no row is left", "'nothing'"], "eta =~ i1 + i2 + nothing"),
    case(
        "copy",
        DataError,
        ["'i1' and 'copy' of 'eta'", "perfectly correlated"],
        "eta =~ i1 + i2 + i3 + copy",
        DATA.assign(copy=1 - 2 * DATA.i1),
    ),
    case(
        "two families",
        FormulaError,
        ["'b1' has two families"],
        "eta =~ b1 + b2 + b3; family(b1) = binomial; family(b1) = binomial(probit)",
    ),
    case("twice", FormulaError, ["in the predictor of 'i1' twice"], f"{FACTOR}; i1 ~ eta"),
    case("no indicators", FormulaError, ["expected indicators", "eta =~ i1 + i2"], "eta =~"),
)
def test_indicators(kind, words, args, options):
    refuse(kind, words, *args, **options)


def test_categories_that_do_not_occur_are_reported():
    ordinal = pd.Categorical(np.resize([1, 2, 4], N), categories=[1, 2, 3, 4])
    group = pd.Categorical(DATA.f, categories=list("abcde"))
    text = "eta =~ o + i1 + i2; y ~ group + eta; family(o) = ordinal"
    messages = glamm.Model(text, DATA.assign(o=ordinal, group=group)).lowered.messages
    assert messages == (
        "o: category 3 occurs in no row and is left out",
        "group: categories d, e occur in no row and are left out",
    )


def test_an_indicator_that_is_nearly_a_copy_is_none():
    data = DATA.assign(copy=DATA.i1 + 1e-4 * DATA.z)
    glamm.Model("eta =~ i1 + i2 + i3 + copy", data)


# ------------------------------------------------ variances and covariances


@table(
    case("negative", FormulaError, ["eta ~~ -1*eta", "not negative"], f"{FACTOR}; eta ~~ -1*eta"),
    case("negative residual", FormulaError, ["i1 ~~ -1*i1", "positive"], f"{FACTOR}; i1 ~~ -1*i1"),
    case("no residual", FormulaError, ["i1 ~~ 0*i1", "positive", "small"], f"{FACTOR}; i1 ~~ 0*i1"),
    case(
        "too large",
        FormulaError,
        ["eta ~~ 2*xi", "between -1.5 and 1.5"],
        f"{TWO}; eta ~~ 2.25*eta; xi ~~ 1*xi; eta ~~ 2*xi",
    ),
    case(
        "three",
        FormulaError,
        ["eta, xi, u", "not positive definite"],
        f"{TWO}; u =~ x + z + y; eta ~~ 1*eta; xi ~~ 1*xi; u ~~ 1*u;"
        "eta ~~ 0.9*xi; eta ~~ 0.9*u; xi ~~ -0.9*u",
    ),
    case("zero", FormulaError, ["'eta' is held at 0"], f"{TWO}; eta ~~ 0*eta; eta ~~ xi"),
    case("mass points", FormulaError, ["'eta' lives on mass points"], f"{FACTOR}; eta ~ npml(2); eta ~~ eta"),
    case(
        "sd of points", FormulaError, ["'eta' lives on mass points"], f"{FACTOR}; eta ~ npml(2); sd(eta) ~ x"
    ),
    case("twice", FormulaError, ["xi ~~ eta stands in the model twice"], f"{TWO}; eta ~~ xi; xi ~~ eta"),
    case("nothing", FormulaError, ["expected a variable after `~~`"], f"{FACTOR}; eta ~~"),
)
def test_variances(kind, words, args, options):
    refuse(kind, words, *args, **options)


def test_a_mistake_in_a_variance_is_reported_once():
    with pytest.raises(FormulaError) as caught:
        glamm.Model(f"{CLASSES}; c ~~ c", DATA, "binomial")
    assert len(caught.value.problems) == 1


def test_a_large_held_covariance_has_room():
    model = glamm.Model(f"{TWO}; eta ~~ 5*xi", DATA)
    factor = model.lowered.parameters.latent_factor(model.lowered.plan.start, 0)
    assert (factor @ factor.T)[0, 1] == pytest.approx(5.0)


# ------------------------------------------------ distributions and classes


@table(
    case("unknown", PluginError, ["'studentt'", "mean 'student_t'"], f"{FACTOR}; eta ~ studentt(df=5)"),
    case("range", PluginError, ["df is -5", "above 2"], f"{FACTOR}; eta ~ student_t(df=-5)"),
    case("infinite variance", PluginError, ["df is 1", "above 2"], f"{FACTOR}; eta ~ student_t(df=1)"),
    case("option", PluginError, ["no option 'dff'", "mean 'df'"], f"{FACTOR}; eta ~ student_t(dff=5)"),
    case("text", FormulaError, ["'df' of 'student_t' takes a number"], f"{FACTOR}; eta ~ student_t(df='a')"),
    case("given twice", FormulaError, ["`df` is given twice"], f"{FACTOR}; eta ~ student_t(df=3, df=4)"),
    case("one class", FormulaError, ["2 to 1000", "classes(3)"], "c =~ b1 + b2; c ~ classes(1)"),
    case("no class", FormulaError, ["2 to 1000"], "c =~ b1 + b2; c ~ classes(0)"),
    case("half a class", FormulaError, ["2 to 1000"], "c =~ b1 + b2; c ~ classes(2.5)"),
    case("one name", FormulaError, ["2 to 1000"], "c =~ b1 + b2; c ~ classes('a')"),
    case("a name twice", FormulaError, ["two classes have one name"], "c =~ b1 + b2; c ~ classes('a', 'a')"),
    case("a column", FormulaError, ["2 to 1000"], "c =~ b1 + b2; c ~ classes(x)"),
    case("auto classes", FormulaError, ["no option 'k'"], "c =~ b1 + b2; c ~ classes(k='auto')"),
    case("class label", FormulaError, ["no class 'compiler'", "mean 'complier'"],
         "c ~ classes('never', 'complier'); y ~ c + c[compiler]:z"),
    case("class number", FormulaError, ["no class '4'", "its classes are 1, 2"], "c ~ classes(2); y ~ c[4]"),
    case("known label", DataError, ["holds 'nvr'", "mean 'never'"],
         "c ~ classes('never', 'complier', known=known); y ~ c"),
    case("known column", DataError, ["no column 'knwn'", "mean 'known'"],
         "c ~ classes(2, known=knwn); y ~ c"),
    case("known number", FormulaError, ["known= takes a column"], "c ~ classes(2, known=1); y ~ c"),
    case("unused", FormulaError, ["'c' predicts nothing"], "c ~ classes(2); y ~ x"),
    case("points of nothing", FormulaError, ["2 to 1000"], "y ~ x + npml(1 | g)"),
    case("one point", FormulaError, ["2 to 1000"], "y ~ x + npml(1 | g, k=1)"),
    case("points in words", FormulaError, ["2 to 1000", "auto"], "y ~ x + npml(1 | g, k='many')"),
    case("many points", DataError, ["45 mass points", "40 clusters", "'g'"], "y ~ x + npml(1 | g, k=45)"),
    case("many classes", DataError, ["41 classes", "40 clusters"], "c | g ~ classes(41); y ~ c"),
    case("patterns", DataError, ["35 parameters", "8 patterns of b1, b2, b3", "7 frequencies"],
         "c =~ b1 + b2 + b3; c ~ classes(9)", DATA, "binomial"),
    case("two patterns", DataError, ["5 parameters", "3 frequencies"],
         "c =~ b1 + b2; c ~ classes(2)", DATA, "binomial"),
    case("one indicator", DataError, ["3 parameters", "1 frequencies"],
         "c =~ b1; c ~ classes(2)", DATA, "binomial"),
)  # fmt: skip
def test_distributions_and_classes(kind, words, args, options):
    refuse(kind, words, *args, **options)


@pytest.mark.parametrize(
    "text",
    [
        "c =~ b1 + b2 + b3; c ~ classes(2)",
        "c =~ b1 + b2; c ~ classes(2) + x",
        "c ~ classes('0', '1', known=b3); c =~ b1",
    ],
)
def test_classes_that_patterns_or_covariates_tell_apart(text):
    glamm.Model(text, DATA, "binomial")


# ------------------------------------------------ covariates with missing values


@table(
    case("no model", FormulaError, ["needs a model of part", "part ~ ..."], "y ~ mi(part)"),
    case("two arguments", FormulaError, ["mi() takes one covariate"], "y ~ mi(part, z); part ~ z"),
    case("beside itself", FormulaError, ["part stands beside mi(part)"], "y ~ mi(part) + part; part ~ z"),
    case("of itself", FormulaError, ["'part' stands in its own predictor"], "part ~ mi(part)"),
    case("always missing", DataError, ["no row is left", "'nothing'"], "y ~ mi(nothing); nothing ~ z"),
    case("circle", FormulaError, ["circle", "part -> other -> part"],
         "y ~ mi(part); part ~ mi(other); other ~ mi(part)", DATA.assign(other=DATA.part)),
)  # fmt: skip
def test_missing_covariates(kind, words, args, options):
    refuse(kind, words, *args, **options)


def test_products_with_a_missing_covariate_are_no_second_use():
    glamm.Model("y ~ mi(part) + mi(part):z; part ~ z", DATA)


# ------------------------------------------------ labels, constraints, arguments


@table(
    case("kinds", FormulaError, ["'b'", "latent variables here", "a coefficient elsewhere", "b1 == b2"],
         "eta =~ i1 + label(b)*i2 + i3; eta ~~ label(b)*eta"),
    case("variances", FormulaError, ["'b'", "a residual variance elsewhere"],
         f"{FACTOR}; i1 ~~ label(b)*i1; eta ~~ label(b)*eta"),
    case("a single label", FormulaError, ["no column 'b'", "label(b)*"], "y ~ b*x"),
    case("a column", FormulaError, ["'z' is no label"], "y ~ z*x; z == 1"),
    case("unknown", FormulaError, ["'aa' is no label", "mean 'a'"], "y ~ label(a)*x; aa == 1"),
    case("unknown parameter", FormulaError, ["'y ~ xx'", "mean 'y ~ x'"], "y ~ x; `y ~ xx` == 1"),
    case("no parameter", FormulaError, ["no parameter that is free"], "y ~ x; 1 == 1"),
    case("not linear", FormulaError, ["must be linear"], "y ~ label(a)*x + label(c)*z; a*c == 1"),
    case("no side", FormulaError, ["expected a term after `==`"], "y ~ label(a)*x; a =="),
    case("defined as a label", FormulaError, ["'a' is a label already"], "y ~ label(a)*x; a := 1"),
    case("word for std_lv", FormulaError, ["std_lv='yes'", "True or False"], FACTOR, std_lv="yes"),
    case("None for std_lv", FormulaError, ["std_lv=None", "True or False"], FACTOR, std_lv=None),
)  # fmt: skip
def test_labels_and_arguments(kind, words, args, options):
    refuse(kind, words, *args, **options)


@pytest.mark.parametrize(
    "text",
    [
        "w ~ offset(x) + (1 | g)",
        "w ~ 2*x + (1 | g)",
        "slope | g ~ 0; w ~ 1*slope:x",
        "w ~ x + (1 | g); sigma(w) ~ 0 + offset(0.1 * x)",
        "w ~ x + (1 | g); w ~~ label(v)*w; y ~ x + (1 | g); y ~~ label(v)*y",
        "w ~ x + (1 | g); w ~~ label(v)*w; v > 0.1",
        "w ~ x + npml(1 | g, k=2)",
    ],
)
def test_responses_that_are_constant_in_clusters_where_residuals_cannot_vanish(text):
    assert glamm.Model(text, DATA).lowered.plan.n_parameters > 1


@pytest.mark.parametrize(
    ("constraints", "words"),
    [("a == 1; a == 2", ["`a == 1`", "`a == 2`"]), ("a > 1; a < 0", ["`a > 1`", "`a < 0`"])],
)
def test_contradictions(constraints, words):
    with pytest.raises(FitError) as caught:
        glamm.fit(f"y ~ label(a)*x + z; {constraints}", DATA)
    assert all(word in str(caught.value) for word in [*words, "cannot hold together"])


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("y ~ label(a)*x + z; a > 2", ["y ~ x"]),
        ("y ~ label(a)*x + label(c)*z; a == c; a > 2", ["y ~ x", "y ~ z"]),
    ],
)
def test_no_standard_error_at_a_bound(text, held):
    found = glamm.fit(text, DATA)
    assert found.converged
    assert found.params[held].tolist() == pytest.approx([2.0] * len(held))
    assert found.missing_errors == dict.fromkeys(
        held, "no standard error: it lies at the bound that a constraint sets"
    )
    assert found.bse.drop(held).notna().all()


def test_a_bound_that_does_not_hold_changes_nothing():
    free, bounded = glamm.fit("y ~ x + z", DATA), glamm.fit("y ~ label(a)*x + z; a > 0", DATA)
    np.testing.assert_allclose(bounded.bse, free.bse, rtol=1e-5)
