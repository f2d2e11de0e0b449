"""Mistakes in models and data: each ends in an error that names it."""

import numpy as np
import pandas as pd
import polars
import pytest
from odd_data import DATA, ROW, N, case, put, refuse, table

import glamm
from glamm.errors import DataError, FitError, FormulaError, PluginError

# ------------------------------------------------ names


@table(
    case("predictor", DataError, ["no column 'pso'", "mean 'pos'", "y ~ x + pso"], "y ~ x + pso"),
    case("response", DataError, ["no column 'yy'", "mean 'y'"], "yy ~ x"),
    case("group", DataError, ["no column 'gg'", "mean 'g'"], "y ~ x + (1 | gg)"),
    case("slope", DataError, ["no column 'xx'", "mean 'x'"], "y ~ x + (1 + xx | g)"),
    case("offset", DataError, ["no column 'of'", "mean 'off'"], "y ~ x + offset(of)"),
    case("several", DataError, ["'aa'", "'cc'"], "y ~ aa + cc"),
    case("weight", DataError, ["no column 'ww'", "mean 'w'"], "y ~ x", DATA, None, "ww"),
    case("weighted level", DataError, ["'gg'", "row, g"], "y ~ x + (1 | g)", DATA, None, {"gg": "w"}),
    case("function", DataError, ["unknown function 'lgo'", "mean 'log'"], "y ~ lgo(x)"),
    case("nothing near", DataError, ["'qqqq'", "the columns are y, x"], "y ~ qqqq"),
    case("family", PluginError, ["'poison'", "beta, binomial", "mean 'poisson'"], "n ~ x", DATA, "poison"),
    case("link", PluginError, ["'logitt'", "cloglog", "mean 'logit'"], "b ~ x", DATA, "binomial(logitt)"),
    case("response of a family", FormulaError, ["'yy'", "mean 'y'"], "y ~ x", DATA, {"yy": "poisson"}),
    case("option", PluginError, ["'foo'", "asymptotes"], "b ~ x", DATA, "binomial(logit, foo=3)"),
    case("auxiliary", DataError, ["'sigm'", "mean 'sigma'"], "y ~ x; sigm(y) ~ z"),
    case("auxiliary of nothing", FormulaError, ["'yy'", "mean 'y'"], "y ~ x; sigma(yy) ~ z"),
    case("no auxiliary", DataError, ["poisson", "'shape'", "none"], "n ~ x; shape(n) ~ z", DATA, "poisson"),
    case(
        "column like an auxiliary",
        DataError,
        ["'gaussian' of 'y'", "no parameter 'scale'", "in backticks: `scale`"],
        "scale ~ x; y ~ x",
        DATA.assign(scale=DATA["x"]),
    ),
    case(
        "family of a column like an auxiliary",
        FormulaError,
        ["no response 'size'", "in backticks: `size`"],
        "size ~ x; y ~ x; family(size) = poisson",
        DATA.assign(size=1),
    ),
    case("start", FitError, ["'y ~ xx'", "mean 'y ~ x'"], "y ~ x", start={"y ~ xx": 1.0}),
    case("start below a range", FitError, ["outside a parameter's range"], "y ~ x", start={"sigma(y)": -1.0}),
    case("negative start", FitError, ["a parameter's range"], "y ~ x + (1 | g)", start={"sd(1 | g)": -1.0}),
    case("method", FitError, ["'laplas'", "mean 'laplace'"], "y ~ x", method="laplas"),
    case("covariance", FitError, ["'robst'", "mean 'robust'"], "y ~ x", cov_type="robst"),
)
def test_unknown_names(kind, words, args, options):
    refuse(kind, words, *args, **options)


@pytest.mark.parametrize(
    ("text", "family", "fix"),
    [
        ("b ~ x", "binomial(log)", "logit, probit, cloglog"),
        ("b ~ x", "binomial(identity)", "logit, probit, cloglog"),
        ("p ~ x", "beta(log)", "logit, probit, cloglog"),
        ("o ~ x", "ordinal(identity)", "logit, probit, cloglog"),
        ("f ~ x", "multinomial(probit)", "logit"),
        ("surv(pos, b) ~ x", "weibull(identity)", "log"),
    ],
)
def test_links_that_do_not_fit(text, family, fix):
    name, link = family[:-1].split("(")
    refuse(
        PluginError, [repr(link), repr(name), "does not fit", f"links of {name!r}: {fix}"], text, DATA, family
    )


# ------------------------------------------------ responses


@pytest.mark.parametrize(
    ("text", "column", "value", "family", "words"),
    [
        ("b ~ x", "b", 2, "binomial", ["'b' is 2", "0 or 1", "cbind"]),
        ("n ~ x", "n", -1, "poisson", ["'n' is -1", "whole numbers"]),
        ("n ~ x", "n", 1.5, "poisson", ["'n' is 1.5", "whole numbers"]),
        ("n ~ x", "n", -2, "negative_binomial", ["'n' is -2", "whole numbers"]),
        ("pos ~ x", "pos", 0.0, "gamma", ["'pos' is 0", "(0, inf)"]),
        ("pos ~ x", "pos", -1.0, "inverse_gaussian", ["'pos' is -1", "(0, inf)"]),
        ("p ~ x", "p", 1.0, "beta", ["'p' is 1", "(0, 1)"]),
        ("o ~ x", "o", 1.5, "ordinal", ["'o' is 1.5", "categories"]),
        ("o ~ x", "o", 1.5, "sequential", ["'o' is 1.5", "categories"]),
        ("o ~ x", "o", 1.5, "multinomial", ["'o' is 1.5", "categories"]),
        ("cbind(n, o) ~ x", "n", -1, "binomial", ["'n' is -1", "cbind()", ">= 0"]),
        ("surv(pos, b) ~ x", "pos", -1.0, "weibull", ["'pos' is -1", "positive"]),
        ("surv(pos, b) ~ x", "b", 3, "exponential", ["'b' is 3", "event"]),
    ],
)
def test_responses_outside_the_support(text, column, value, family, words):
    refuse(DataError, [*words, f"row {ROW}", text], text, put(column, value), family)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        *((name, 1) for name in ("gaussian", "student_t", "gamma", "inverse_gaussian", "weibull")),
        *((name, 0) for name in ("poisson", "negative_binomial", "binomial")),
        *((name, 2) for name in ("ordinal", "sequential", "multinomial")),
        ("binomial", 1),
        ("beta", 0.5),
    ],
)
@pytest.mark.parametrize("text", ["k ~ x", "k ~ x + (1 | g)"])
def test_constant_responses(family, value, text):
    refuse(DataError, ["constant response", "'k'"], text, DATA.assign(k=value), family)


@pytest.mark.parametrize("family", ["poisson", "exponential"])
def test_a_constant_that_a_family_can_fit(family):
    fitted = glamm.fit("k ~ x", DATA.assign(k=1), family)
    assert fitted.converged
    np.testing.assert_allclose(fitted.params, 0.0, atol=1e-6)


@table(
    case("all censored", DataError, ["'pos'", "censored"], "surv(pos, e) ~ x", DATA.assign(e=0), "weibull"),
    case("labels", DataError, ["'f'", "'a', 'b', 'c'", "gaussian", "numbers"], "f ~ x"),
    case("labels as counts", DataError, ["'f'", "poisson", "numbers"], "f ~ x", DATA, "poisson"),
    case("three labels", DataError, ["'f' has 3 values", "two"], "f ~ x", DATA, "binomial"),
    case("flags as numbers", DataError, ["'k'", "'False', 'True'"], "k ~ x", DATA.assign(k=DATA.x > 0)),
    case("cbind of gaussian", DataError, ["gaussian", "cbind() of 2"], "cbind(n, b) ~ x"),
    case("reference", DataError, ["'q'", "a, b, c"], "f ~ x", DATA, "multinomial(reference='q')"),
    case("its own predictor", FormulaError, ["'y'", "own predictor"], "y ~ x + y"),
    case("inside a function", FormulaError, ["'log(pos)'", "own predictor"], "log(pos) ~ pos"),
    case("its own group", FormulaError, ["'y'", "own predictor"], "y ~ x + (1 | y)"),
    case("twice", FormulaError, ["'y'", "two regressions", "one statement"], "y ~ x; y ~ z"),
    case("twice at once", FormulaError, ["'y'", "two regressions"], "y + y ~ z"),
    case(
        "thresholds",
        FormulaError,
        ["threshold(o)", "o ~"],
        "o ~ x\nthreshold(o) ~ 1 + (1 | g)",
        DATA,
        "ordinal",
    ),
)
def test_responses_that_make_no_sense(kind, words, args, options):
    refuse(kind, words, *args, **options)


# ------------------------------------------------ separation


SEPARATED = {
    "a slope": ("binomial", "k ~ x + z", (DATA.x > 0).astype(int), "k ~ x"),
    "a slope, random": ("binomial", "k ~ x + z + (1 | g)", (DATA.x > 0).astype(int), "k ~ x"),
    "probit": ("binomial(probit)", "k ~ x + (1 | g)", (DATA.x > 0).astype(int), "k ~ x"),
    "a level": ("binomial", "k ~ f + z", DATA.b.where(DATA.f != "b", 1), "k ~ f[T.b]"),
    "a level, random": ("binomial", "k ~ f + z + (1 | g)", DATA.b.where(DATA.f != "b", 1), "k ~ f[T.b]"),
    "counts": ("poisson", "k ~ f + (1 | g)", DATA.n.where(DATA.f != "b", 0), "k ~ f[T.b]"),
    "ordinal": ("ordinal", "k ~ x", np.digitize(DATA.x, [-0.5, 0.5]), "k ~ x"),
    "multinomial": ("multinomial", "k ~ x", np.digitize(DATA.x, [-0.5, 0.5]), "k[1] ~ x"),
}


@pytest.mark.parametrize("name", SEPARATED)
def test_separated_responses_end_with_a_warning(name):
    family, text, k, coefficient = SEPARATED[name]
    with pytest.warns(glamm.ConvergenceWarning, match="grow without bound") as caught:
        fitted = glamm.fit(text, DATA.assign(k=k), family)
    (warning,) = caught
    growing = str(warning.message).rpartition(": ")[2].split(", ")
    assert coefficient in growing
    assert not fitted.converged and np.isfinite(fitted.llf) and np.isfinite(fitted.params).all()
    assert np.isnan(fitted.bse[coefficient])
    if "f[T.b]" in coefficient:
        assert growing == [coefficient]
        assert fitted.bse.drop(coefficient).notna().all()
    assert "grow without bound" in str(fitted.summary())


# ------------------------------------------------ designs and groups


@table(
    case(
        "sum",
        DataError,
        ["'s'", "'x', 'z'", "leave one"],
        "y ~ x + z + s + (1 | g)",
        DATA.assign(s=DATA.x + DATA.z),
    ),
    case("constant", DataError, ["'k'", "the intercept"], "y ~ x + k", DATA.assign(k=3)),
    case("zero", DataError, ["'k'", "0 in every row"], "y ~ x + k", DATA.assign(k=0)),
    case("copy", DataError, ["'k'", "'x'"], "y ~ x + k", DATA.assign(k=2 * DATA.x)),
    case("random", DataError, ["'k'", "'x'"], "y ~ 1 + (1 + x + k | g)", DATA.assign(k=2 * DATA.x)),
    case("few rows", DataError, ["5 coefficients", "3 rows"], "y ~ x + z + f + n", DATA.head(3)),
    case("one level", DataError, ["'k'", "only the level 'a'"], "y ~ x + k", DATA.assign(k="a")),
    case("many levels", DataError, ["'k'", "60", "(1 | k)"], "y ~ k", DATA.assign(k=DATA.x.astype(str))),
    case(
        "crossed",
        DataError,
        ["'g' and 'h'", "crossed", "not supported", "(1 | h/g)"],
        "y ~ x + (1 | g) + (1 | h)",
    ),
    case("twice", FormulaError, ["(1 | g)", "twice"], "y ~ x + (1 | g) + (1 + x | g)"),
    case("sum of groups", FormulaError, ["g + h"], "y ~ x + (1 | g + h)"),
    case("no effect", FormulaError, ["no effect", "(1 | group)"], "y ~ x + (0 | g)"),
)
def test_designs_and_groups(kind, words, args, options):
    refuse(kind, words, *args, **options)


@pytest.mark.parametrize(
    ("text", "family"),
    [("y ~ x", "gaussian"), ("b ~ x", "binomial"), ("n ~ x", "poisson"), ("f ~ x", "multinomial")],
)
def test_one_cluster(text, family):
    refuse(
        DataError, ["'k'", "one cluster", "at least two"], f"{text} + (1 | k)", DATA.assign(k="only"), family
    )


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("y ~ x + (1 | k)", "gaussian"),
        ("y ~ x + (1 + x | k)", "gaussian"),
        ("b ~ x + (1 | k)", "binomial"),
        ("o ~ x + (1 | k)", "ordinal"),
    ],
)
def test_clusters_of_one_row(text, family):
    name = text[0]
    refuse(DataError, ["'k'", "one row", family, repr(name)], text, DATA.assign(k=range(N)), family)


def test_counts_in_clusters_of_one_row():
    assert glamm.fit("n ~ x + (1 | k)", DATA.assign(k=range(N)), "poisson").converged


# ------------------------------------------------ values


@table(
    case("response", DataError, ["'y'", "not finite", "row 7"], "y ~ x", put("y", np.inf)),
    case("covariate", DataError, ["'x'", "not finite", "row 7"], "y ~ x", put("x", -np.inf)),
    case("slope", DataError, ["'z'", "not finite", "row 7"], "y ~ x + (1 + z | g)", put("z", np.inf)),
    case("in a spline", DataError, ["'x'", "not finite", "row 7"], "y ~ bs(x, df=4)", put("x", np.inf)),
    case("offset", DataError, ["'off'", "not finite", "row 7"], "y ~ x + offset(off)", put("off", np.inf)),
    case("weight", DataError, ["'w'", "not finite", "row 7"], "y ~ x", put("w", np.inf), None, "w"),
    case(
        "logarithm",
        DataError,
        ["'log(x)'", "not finite", "row 7"],
        "y ~ log(x)",
        DATA.assign(x=np.where(DATA.index == ROW, 0, 1 + DATA.x**2)),
    ),
    case(
        "huge response",
        DataError,
        ["'y'", "row 0", "too large", "divide"],
        "y ~ x",
        DATA.assign(y=DATA.y * 1e300),
    ),
    case("huge covariate", DataError, ["'x'", "row 0", "too large"], "y ~ x", DATA.assign(x=DATA.x * 1e200)),
    case(
        "tiny covariate", DataError, ["'x'", "too small", "multiply"], "y ~ x", DATA.assign(x=DATA.x * 1e-200)
    ),
    case("missing group", DataError, ["'g'", "missing", "row 7"], "y ~ x + (1 | g)", put("g", np.nan)),
    case("missing weight", DataError, ["'w'", "missing", "row 7"], "y ~ x", put("w", np.nan), None, "w"),
    case("negative weight", DataError, ["'w'", "negative", "row 7"], "y ~ x", put("w", -1.0), None, "w"),
    case("zero weights", DataError, ["every weight is 0"], "y ~ x", DATA.assign(w=0), None, "w"),
    case(
        "zero weights of a response",
        DataError,
        ["every value of 'z' has weight 0"],
        "y ~ x + (1 | g); z ~ x",
        DATA.assign(w=np.arange(60) % 2, z=DATA.y.where(np.arange(60) % 2 == 0)),
        None,
        "w",
    ),
    case(
        "zero weights within a cluster that has weight",
        DataError,
        ["all rows within g", "have weight 0"],
        "e =~ y + x + z; u | g ~ 0; e ~ u; s | g ~ u",
        DATA.assign(
            w=(DATA.g != DATA.g.iloc[0]).astype(float), z=DATA.x**2, s=DATA.groupby("g").x.transform("mean")
        ),
        None,
        {"row": "w"},
    ),
    case("few weights", DataError, ["3 weights", "60 rows"], "y ~ x", DATA, None, [1, 2, 3]),
    case("label weights", DataError, ["'f'", "labels", "numbers"], "y ~ x", DATA, None, "f"),
    case(
        "no weights", DataError, ["a column's name or one number for each row"], "y ~ x", DATA, None, object()
    ),
    case(
        "weights within a cluster",
        DataError,
        ["'g'", "differ", "cluster 0"],
        "y ~ x + (1 | g)",
        DATA,
        None,
        {"g": "w"},
    ),
    case("text in response", DataError, ["'y'", "float, str", "convert"], "y ~ x", put("y", "many")),
    case("text in covariate", DataError, ["'x'", "float, str", "convert"], "y ~ x", put("x", "many")),
    case("text in group", DataError, ["'g'", "int, str", "convert"], "y ~ x + (1 | g)", put("g", "many")),
    case("label offset", DataError, ["offset", "'f'", "labels"], "y ~ x + offset(f)"),
    case("label in a function", DataError, ["'log(f)'"], "y ~ log(f)"),
    case("complex", DataError, ["'x'", "complex"], "y ~ x", DATA.assign(x=DATA.x + 1j)),
    case("dates", DataError, ["'x'", "dates", "days"], "y ~ x", DATA.assign(x=pd.Timestamp("2020-01-01"))),
    case("lists", DataError, ["'x'", "list"], "y ~ x", DATA.assign(x=[[1, 2]] * N)),
    case(
        "no covariate",
        DataError,
        ["no row is left", "'y'", "'x' in 60 of 60"],
        "y ~ x",
        DATA.assign(x=np.nan),
    ),
    case("no response", DataError, ["no row is left", "'y' in 60 of 60"], "y ~ x", DATA.assign(y=np.nan)),
)
def test_values(kind, words, args, options):
    refuse(kind, words, *args, **options)


MISSING = {
    "response": ("y", "y ~ x + offset(off) + (1 + z | g)"),
    "covariate": ("x", "y ~ x + offset(off) + (1 + z | g)"),
    "slope": ("z", "y ~ x + offset(off) + (1 + z | g)"),
    "offset": ("off", "y ~ x + offset(off) + (1 + z | g)"),
}


@pytest.mark.parametrize("role", MISSING)
def test_rows_with_missing_values_are_left_out_and_counted(role):
    column, text = MISSING[role]
    fitted = glamm.fit(text, put(column, np.nan))
    dropped = glamm.fit(text, DATA.drop(index=ROW))
    assert fitted.llf == pytest.approx(dropped.llf, abs=1e-9)
    assert f"1 of {N} rows left out for missing values ({column} in 1)" in str(fitted.summary())
    assert f"1 of {N} rows left out" in str(glamm.Model(text, put(column, np.nan)))


def test_a_missing_response_leaves_the_other_response_alone():
    text = "y + pos ~ x"
    fitted = glamm.fit(text, put("y", np.nan))
    apart = glamm.fit("y ~ x", put("y", np.nan)).llf + glamm.fit("pos ~ x", DATA).llf
    assert fitted.llf == pytest.approx(apart, abs=1e-7)
    assert fitted.nobs == 2 * N - 1


# ------------------------------------------------ arguments


@table(
    case("no rows", DataError, ["no rows"], "y ~ x", DATA.head(0)),
    case("empty mapping", DataError, ["no rows"], "y ~ x", {}),
    case(
        "no columns", DataError, ["no column 'y'", "no columns at all"], "y ~ x", pd.DataFrame(index=range(3))
    ),
    case("a path", DataError, ["str", "glamm.data.read('pupils.csv')"], "y ~ x", "pupils.csv"),
    case("None", DataError, ["NoneType", "pandas, polars or pyarrow"], "y ~ x", None),
    case("a list", DataError, ["list", "pandas, polars or pyarrow"], "y ~ x", [1, 2]),
    case("an array", DataError, ["ndarray", "pandas, polars or pyarrow"], "y ~ x", np.ones((3, 2))),
    case("a lazy frame", DataError, ["LazyFrame", "collect"], "y ~ x", polars.from_pandas(DATA).lazy()),
    case("uneven", DataError, ["different lengths", "'y': 2"], "y ~ x", {"y": [1, 2], "x": [1]}),
    case("scalars", DataError, ["'y' is 3"], "y ~ x", {"y": 3, "x": 4}),
    case("a matrix", DataError, ["'y' has 2 dimensions"], "y ~ x", {"y": np.ones((3, 2)), "x": [1, 2, 3]}),
    case("two of a name", DataError, ["same name", "'x'"], "y ~ x", pd.concat([DATA, DATA[["x"]]], axis=1)),
    case("no text", FormulaError, ["None", "text"], None),
    case("a number", FormulaError, ["3", "text"], 3),
    case("empty text", FormulaError, ["no statements", "y ~ x"], " "),
    case("family is a number", FormulaError, ["3", "name"], "y ~ x", DATA, 3),
    case("families are numbers", FormulaError, ["3", "name"], "y ~ x", DATA, {"y": 3}),
    case("empty family", FormulaError, ["empty"], "y ~ x", DATA, ""),
    case("open family", FormulaError, ["never closed"], "b ~ x", DATA, "binomial("),
    case(
        "two families", FormulaError, ["poisson", "gaussian"], "y ~ x; family(y) = poisson", DATA, "gaussian"
    ),
    *(
        case(f"points={points!r}", FitError, [f"points={points!r}", "whole number"], "y ~ x", points=points)
        for points in (0, -1, 2.5, True, None, "seven", [0], [2.5])
    ),
    case("many points", FitError, ["points=1000", "at most 200"], "y ~ x + (1 | g)", points=1000),
    case("many nodes", FitError, ["3 latent", "nodes"], "y ~ (x + z | g)", points=150),
    case("points of levels", FitError, ["(3, 3)", "one for each level"], "y ~ x + (1 | g)", points=[3, 3]),
    case("points of Laplace", FitError, ["laplace", "points=7"], "y ~ x", method="laplace", points=7),
    case("threads", FitError, ["threads=0", "whole number"], "y ~ x", threads=0),
    case("half a thread", FitError, ["threads=1.5", "whole number"], "y ~ x", threads=1.5),
    case("tolerance", FitError, ["tol=-1", "positive"], "y ~ x", tol=-1),
    case("text for tolerance", FitError, ["tol='a'", "positive"], "y ~ x", tol="a"),
    case("iterations", FitError, ["max_iterations='a'", "whole number"], "y ~ x", max_iterations="a"),
    case("start of text", FitError, ["'a'", "numbers"], "y ~ x", start={"y ~ x": "a"}),
    case("start too short", FitError, ["(1,)", "3 parameters"], "y ~ x", start=[1.0]),
    case("start not finite", FitError, ["not finite"], "y ~ x", start={"y ~ x": np.nan}),
)
def test_arguments(kind, words, args, options):
    refuse(kind, words, *args, **options)


# ------------------------------------------------ the language


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y", ["no statement", "y ~"]),
        ("y ~", ["expected predictors", "y ~ 1"]),
        ("~ x", ["expected a response"]),
        ("y = x", ["y ~ x"]),
        ("y ~ 0", ["nothing is left", "y ~ 1"]),
        ("y ~ x | g", ["no parentheses", "(1 + x | g)"]),
        ("y ~ (1 | g", ["never closed"]),
        ("y ~ (1 | )", ["grouping column", "(1 | g)"]),
        ("y ~ x ~ z", ["second `~`"]),
        ("y ~ $x", ["`$`"]),
        ("y ~ `x", ["never closed", "backtick"]),
    ],
)
def test_texts_that_cannot_be_read(text, words):
    refuse(FormulaError, words, text)
