"""Model text to model graph."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.errors import FormulaError
from glamm.grammar import ast, parse
from glamm.graph import FamilySpec, build, family_spec


def graph(text, families=None):
    return build(parse(text), text, families)


def blocks(text):
    return [(b.name, b.members, b.correlated) for b in graph(text).blocks]


Y = (("y", "mu"),)

RANDOM = [
    ("y ~ (1 | g)", [("1 | g", Y, True)]),
    ("y ~ (x | g)", [("1 + x | g", Y, True)]),
    ("y ~ (0 + x | g)", [("0 + x | g", Y, True)]),
    ("y ~ (x - 1 | g)", [("0 + x | g", Y, True)]),
    ("y ~ (1 + x || g)", [("1 + x || g", Y, False)]),
    ("y ~ (a*b | g)", [("1 + a + b + a:b | g", Y, True)]),
    ("y ~ (1 | a/b)", [("1 | a", Y, True), ("1 | a:b", Y, True)]),
    ("y ~ (1 | a/b/c)", [("1 | a", Y, True), ("1 | a:b", Y, True), ("1 | a:b:c", Y, True)]),
    ("y ~ (1 | a/(b:c))", [("1 | a", Y, True), ("1 | a:b:c", Y, True)]),
    ("y ~ (1 | a:b)", [("1 | a:b", Y, True)]),
    ("y ~ (1 | g) + (0 + x | g)", [("1 | g", Y, True), ("0 + x | g", Y, True)]),
    ("y ~ (1 | a:b) + (0 + x | b:a)", [("1 | a:b", Y, True), ("0 + x | a:b", Y, True)]),
    ("y1 + y2 ~ (1 | g)", [("1 | g", (("y1", "mu"), ("y2", "mu")), True)]),
    ("y ~ x; sigma(y) ~ z + (1 | g)", [("1 | g", (("y", "sigma"),), True)]),
    ("y ~ x; sigma ~ (1 | g)", [("1 | g", (("y", "sigma"),), True)]),
    ("y + sigma(y) ~ x + (1 | g)", [("1 | g", (("y", "mu"), ("y", "sigma")), True)]),
]


@pytest.mark.parametrize(("text", "expected"), RANDOM)
def test_random_effects(text, expected):
    assert blocks(text) == expected


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("y ~ x", []),
        ("y ~ (1 | a/b)", ["a", "a:b"]),
        ("y ~ (1 | b) + (0 + x | a/b)", ["b", "a", "a:b"]),
        ("y ~ (1 | a:b) + (0 + x | b:a)", ["a:b"]),
        ("y ~ (1 | `my group`)", ["my group"]),
    ],
)
def test_levels(text, levels):
    assert [level.name for level in graph(text).levels] == levels


PREDICTORS = [
    ("y ~ x", {"y": {"mu": "x"}}),
    ("y ~ 0 + x + offset(log(n))", {"y": {"mu": "0 + x + offset(log(n))"}}),
    ("y ~ x; sigma(y) ~ z", {"y": {"mu": "x", "sigma": "z"}}),
    ("sigma(y) ~ z; y ~ x", {"y": {"mu": "x", "sigma": "z"}}),
    ("y ~ x; sigma ~ 0 + z", {"y": {"mu": "x", "sigma": "0 + z"}}),
    ("sigma ~ x", {"sigma": {"mu": "x"}}),
    ("y ~ x; `sigma` ~ z", {"y": {"mu": "x"}, "sigma": {"mu": "z"}}),
    ("y1 + y2 ~ x", {"y1": {"mu": "x"}, "y2": {"mu": "x"}}),
    ("y1 ~ x; y2 ~ z; shape(y2) ~ w", {"y1": {"mu": "x"}, "y2": {"mu": "z", "shape": "w"}}),
    ("y ~ x; sigma(y) ~ 0", {"y": {"mu": "x", "sigma": "0"}}),
    ("cbind(r, n - r) ~ x", {"cbind(r, n - r)": {"mu": "x"}}),
    ("surv(t, e) ~ x; shape(surv(t, e)) ~ z", {"surv(t, e)": {"mu": "x", "shape": "z"}}),
    ("surv(t, e) ~ x; shape(t) ~ z", {"surv(t, e)": {"mu": "x", "shape": "z"}}),
    ("log(y) ~ x", {"log(y)": {"mu": "x"}}),
    ("np.log(y) ~ x", {"np.log(y)": {"mu": "x"}}),
    ("log(y) ~ x; sigma(log(y)) ~ z", {"log(y)": {"mu": "x", "sigma": "z"}}),
]


@pytest.mark.parametrize(("text", "expected"), PREDICTORS)
def test_predictors(text, expected):
    found = {r.name: {m.parameter: str(m) for m in r.predictors} for r in graph(text).responses}
    assert found == expected
    assert all(next(iter(parameters)) == "mu" for parameters in found.values())


def test_response_forms():
    forms = [r.form for r in graph("cbind(r, n - r) ~ x; `my y` ~ x; log(z^2) ~ x").responses]
    assert [(f.call, f.factors) for f in forms] == [
        ("cbind", ("r", "n - r")),
        ("", ("`my y`",)),
        ("", ("log(z**2)",)),
    ]


def test_families_of_text_and_argument():
    text = "y1 + y2 ~ x; family(y2) = ordinal(probit)"
    assert [str(r.family) for r in graph(text).responses] == ["gaussian", "ordinal(probit)"]
    found = graph(text, {"y1": family_spec("poisson")})
    assert [str(r.family) for r in found.responses] == ["poisson", "ordinal(probit)"]
    assert [str(r.family) for r in graph("a + b ~ x", FamilySpec("gamma")).responses] == ["gamma", "gamma"]
    for name in ("r", "cbind(r, m)"):
        counts = f"cbind(r, m) ~ x; family({name}) = binomial"
        assert graph(counts).responses[0].family == FamilySpec("binomial")


def test_printed():
    text = "cbind(r, n - r) ~ x + (1 + x | school/class); family(r) = binomial(probit)"
    assert str(graph(text)) == (
        "levels: school > school:class\n"
        "cbind(r, n - r): binomial(probit)\n"
        "  cbind(r, n - r) ~ x\n"
        "  (1 + x | school)\n"
        "  (1 + x | school:class)"
    )
    text = "y ~ x + offset(w) + (1 | a); sigma ~ 0 + z + (1 || b)"
    assert str(graph(text)) == (
        "levels: a, b\ny: gaussian\n  y ~ x + offset(w)\n  sigma(y) ~ 0 + z\n  (1 | a)\n  (1 || b) in sigma"
    )


def test_latent_variables_and_classes_printed():
    text = """
        f | id =~ 1*y:time + s
        s | id ~ x + c + label(b)*mi(z)
        f ~ 1 + w + student_t(1 | g, df=5)
        z | id ~ w
        c | g ~ classes(2) + w
        v ~ npml(1 | g, k="auto")
        b > 0
        d := b*b
    """
    assert str(graph(text)).splitlines() == [
        "levels: id, g",
        "s | id: gaussian",
        "  s ~ x + c + label(b)*mi(z)",
        "z | id: gaussian",
        "  z ~ w",
        "v: gaussian",
        '  v ~ 0 + `npml(1 | g, k="auto")`',
        "y: gaussian",
        "  y ~ 1",
        "f | id: normal",
        "  f =~ s + 1*y:time",
        "  f ~ 1 + w",
        "  (1 | g) student_t(df=5)",
        "c | g: 2 classes",
        "  c ~ w",
        'npml(1 | g, k="auto") | g: any number of mass points',
        '  npml(1 | g, k="auto") ~ 1',
        "f ~~ f",
        "b > 0",
        "d := b*b",
    ]


def test_equal_models_have_equal_graphs():
    one, two = graph("y ~ x+(1|g)"), graph("y ~ x + ( 1 | g )")
    assert (one.responses, one.levels, one.blocks) == (two.responses, two.levels, two.blocks)
    assert hash(one.responses) == hash(two.responses)


ERRORS = [
    ("y ~ x; y ~ z", "the response 'y' has two regressions, the first in line 1", "y"),
    ("y ~ x; sigma(y) ~ z; sigma(y) ~ w", "sigma(y) has two regressions", "sigma(y)"),
    ("score ~ x; sigma(scor) ~ z", "no statement models it", "sigma(scor)"),
    ("scale(y) ~ z", "no statement models it", "scale(y)"),
    ("y1 + y2 ~ x; sigma ~ z", "'sigma' of which response?", "sigma"),
    ("y ~ x; f(a, b) ~ z", "neither a response nor a parameter", "f(a, b)"),
    ("y ~ x; threshold(y) ~ w + (1 | g)", "random effect in threshold(y)", "(1 | g)"),
    ("y ~ x; threshold(y) ~ 0 + w", "needs its intercepts", "threshold(y) ~ 0 + w"),
    ("y ~ (1 | g) + (1 | g)", "(1 | g) stands in the model twice", "(1 | g)"),
    ("y ~ (1 + x | g) + (x || g)", "(x | g) stands in the model twice", "(x || g)"),
    ("y ~ (1 | a/b) + (1 | b:a)", "(1 | a:b) stands in the model twice", "(1 | b:a)"),
    ("y ~ x + y", "the response 'y' stands in its own predictor", "y"),
    ("log(y) ~ y", "stands in its own predictor", "y"),
    ("y ~ I(y > 1)", "stands in its own predictor", "y"),
    ("y ~ {y + 1}", "stands in its own predictor", "{y + 1}"),
    ("cbind(r, n - r) ~ r", "stands in its own predictor", "r"),
    ("y ~ (1 | y)", "stands in its own predictor", "y"),
    ("y ~ 0", "nothing is left on the right-hand side of y", "y ~ 0"),
    ("y ~ x - x - 1", "nothing is left", "y ~ x - x - 1"),
    ("y ~ (0 | g)", "there is no effect in these parentheses", "(0 | g)"),
    ("y ~ (1 + offset(x) | g)", "terms only", "(1 + offset(x) | g)"),
    ("y ~ x; family(z) = poisson", "no response 'z'", "z"),
    ("y ~ x; family(y) = poisson; family(y) = gamma", "has two families", "family(y) = gamma"),
    ("y ~ x; family(y) = binomial(a, b)", "has one link", "b"),
    ("family(y) = poisson", "no response 'y'", "y"),
]


@pytest.mark.parametrize(("text", "message", "place"), ERRORS)
def test_structural_mistakes(text, message, place):
    with pytest.raises(FormulaError) as caught:
        graph(text)
    (problem,) = [p for p in caught.value.problems if message in p.message]
    assert problem.span.slice(text) == place


def test_nearest_response_is_offered():
    with pytest.raises(FormulaError, match="did you mean 'score'"):
        graph("score ~ x; sigma(scor) ~ z")
    with pytest.raises(FormulaError, match="did you mean 'score'"):
        graph("score ~ x", {"scores": FamilySpec("poisson")})


def test_a_group_is_columns():
    group = ast.Binary("+", ast.Name("a"), ast.Name("b"))
    random = ast.Random(ast.Number(1.0), group)
    tree = ast.Model((ast.Regression((ast.Target(ast.Name("y")),), random),))
    with pytest.raises(FormulaError, match="a group is a column"):
        build(tree, "")


def test_families_that_disagree():
    with pytest.raises(FormulaError, match="the family poisson, the argument says gamma"):
        graph("y ~ x; family(y) = poisson", FamilySpec("gamma"))
    assert graph("y ~ x; family(y) = poisson", FamilySpec("poisson")).responses[0].family.name == "poisson"


def test_lagged_response_is_a_covariate():
    assert graph("y ~ lag(y)").responses[0].predictors[0].terms[0].factors == ("lag(y)",)


def test_all_problems_come_together_in_the_order_of_the_text():
    text = "y ~ x + y\neta =~ i1 + eta\nsigma(q) ~ z\nfamily(z) = poisson"
    with pytest.raises(FormulaError) as caught:
        graph(text)
    starts = [problem.span.start for problem in caught.value.problems]
    assert len(starts) == 4
    assert starts == sorted(starts)
    assert "3 | sigma(q) ~ z" in str(caught.value)


atoms = st.sampled_from(
    [
        "x",
        "y",
        "z",
        "1",
        "0",
        "2",
        "log(x)",
        "offset(x)",
        "I(x^2)",
        "mi(x)",
        "c[a]",
        "`a b`",
        "{x}",
        "eta",
        "(1 | g)",
        "(0 + x || g)",
        "(1 | g/x)",
        "(x | g:y)",
        "(0 | g)",
        "npml(1 | g)",
        "npml(1 + x | g, k=2)",
        "student_t(x | g, df=5)",
        "student_t(df=5)",
        "npml(3)",
        "classes(2)",
        "label(b)*x",
        "b*eta",
        "2*1",
        "start(1)*z",
        "(eta =~ i1 + 2*i2)",
        "lag(y)",
    ]
)
sums = st.recursive(
    atoms,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "+", "+", "-", "*", ":", "/", "**"]), inner).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=5,
)
sides = st.sampled_from(
    [
        "y",
        "z",
        "y + z",
        "log(y)",
        "cbind(y, n - y)",
        "surv(t, e)",
        "sigma",
        "eta | g",
        "eta",
        "c",
        "c + eta",
        "sd(eta)",
        "choice(y, set)",
        "sigma(y)",
        "threshold(y)",
        "sigma(q)",
        "sigma(cbind(y, n - y))",
        "f(a, b)",
        "np.log(y)",
    ]
)
statements = st.one_of(
    st.tuples(sides, sums).map(" ~ ".join),
    st.sampled_from(
        [
            "eta =~ i1 + i2",
            "eta =~ NA*y:x + b*eta",
            "xi | g =~ y:item + eta",
            "c =~ z + y",
            "eta ~~ 1*eta",
            "xi + eta ~~ 0*xi + y",
            "y ~~ z",
            "b == 1",
            "d := b*d",
            "d := b^2",
            "family(y) = ordinal",
            "family(q) = beta",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(statements, min_size=1, max_size=4),
    st.sampled_from([None, ("x", "y", "z", "g", "i1"), ("y",)]),
    st.booleans(),
)
def test_any_text_that_parses_is_a_graph_or_a_readable_error(written, columns, std_lv):
    text = "\n".join(written)
    try:
        tree = parse(text)
    except FormulaError:
        return
    try:
        found = build(tree, text, columns=columns, std_lv=std_lv)
    except FormulaError as error:
        assert error.problems
        assert all(p.span is None or p.span.slice(text) for p in error.problems)
    else:
        assert found.responses
        assert all(response.predictors[0].parameter == "mu" for response in found.responses)
        assert str(found)
