"""Graphs and small data to plans, checked by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest

from glamm.compile import lower
from glamm.data import Table
from glamm.errors import DataError, GlammError, PluginError
from glamm.grammar import parse
from glamm.graph import build, family_spec

NAN = float("nan")


def lowered(text, data, family=None, weights=None):
    graph = build(parse(text), text, None if family is None else family_spec(family))
    return lower(graph, Table.from_any(data), weights)


def frame():
    return pd.DataFrame(
        {
            "school": ["b", "a", "b", "a", "b", "a", "a", "b"],
            "pupil": [1, 1, 2, 2, 1, 1, 2, 2],
            "x": [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0],
            "f": ["u", "v", "w", "u", "v", "w", "u", "v"],
            "y": [0.1, 0.4, -0.3, 0.9, 1.1, -0.7, 0.2, 0.5],
            "n": [0, 1, 2, 3, 1, 0, 2, 5],
            "o": [1, 2, 3, 1, 2, 3, 3, 1],
            "w": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 2.0, 1.0],
            "id": np.arange(8) + 10_000_000_000,
        }
    )


# ---------------------------------------------------------------- arrays


def test_two_levels_by_hand():
    found = lowered("y ~ x + (1 + x | school/pupil)", frame())
    low, top = found.plan.levels
    assert (low.clusters, top.clusters) == (4, 2)
    assert low.parent.tolist() == [0, 0, 1, 1]
    assert top.parent is None
    (response,) = found.plan.responses
    rows = found.responses[0].rows
    assert rows.tolist() == [1, 5, 3, 6, 0, 4, 2, 7]
    assert response.cluster.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [level.name for level in found.levels] == ["school:pupil", "school"]
    assert found.levels[0].labels == ("a:1", "a:2", "b:1", "b:2")
    assert found.levels[1].labels == ("a", "b")
    mu, sigma = response.predictors
    x = frame()["x"].to_numpy()[rows]
    assert mu.design.tolist() == np.column_stack([np.ones(8), x]).tolist()
    assert mu.coefficient.tolist() == [0, 1]
    assert sigma.design.tolist() == np.ones((8, 1)).tolist()
    assert sigma.coefficient.tolist() == [2]
    assert [loading.level for loading in mu.loadings] == [0, 1]
    for loading in mu.loadings:
        assert loading.design.tolist() == mu.design.tolist()
        assert loading.latent.tolist() == [0, 1]
    assert low.factor.tolist() == [[3, -1], [4, 5]]
    assert top.factor.tolist() == [[6, -1], [7, 8]]
    assert found.plan.n_parameters == 9
    assert found.plan.start[3:].tolist() == [1, 0, 1, 1, 0, 1]
    assert response.encoded.y[:, 0].tolist() == frame()["y"].to_numpy()[rows].tolist()


def test_clusters_are_contiguous_and_parents_ascend():
    rng = np.random.default_rng(5)
    n = 500
    lowest = rng.integers(0, 60, n)
    data = {"a": lowest // 12, "b": lowest // 4 % 3 + 3 * (lowest // 12), "c": rng.permutation(60)[lowest]}
    data |= {"y": rng.normal(size=n), "t": np.arange(n)}
    found = lowered("y ~ t + (1 | c) + (1 | a) + (1 | b)", data)
    assert [level.name for level in found.levels] == ["c", "b", "a"]
    (response,) = found.plan.responses
    cluster = response.cluster
    for level, layout in zip(found.plan.levels, found.levels, strict=True):
        assert (np.diff(cluster) >= 0).all()
        expected = np.asarray(data[layout.name])[found.responses[0].rows]
        assert np.array_equal(np.asarray(layout.labels)[cluster], expected)
        if level.parent is not None:
            cluster = level.parent[cluster]
    within = np.diff(found.responses[0].rows)[np.diff(response.cluster) == 0]
    assert (within > 0).all(), "rows keep their order inside a cluster"


def test_model_without_groups():
    found = lowered("y ~ x", frame())
    (level,) = found.plan.levels
    assert (level.clusters, level.parent, level.factor.shape) == (8, None, (0, 0))
    assert found.plan.responses[0].cluster.tolist() == list(range(8))
    assert found.responses[0].rows.tolist() == list(range(8))
    assert found.levels[0].latents == ()
    assert found.parameters.latent_factor(found.plan.start, 0).shape == (0, 0)


def test_several_responses_share_latents_and_keep_their_own_rows():
    data = frame()
    data.loc[3, "y"] = NAN
    text = "y + n ~ x + (1 | school); family(n) = poisson"
    found = lowered(text, data)
    y, n = found.plan.responses
    assert found.responses[0].rows.tolist() == [1, 5, 6, 0, 2, 4, 7]
    assert found.responses[1].rows.tolist() == [1, 3, 5, 6, 0, 2, 4, 7]
    assert y.cluster.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert n.cluster.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found.plan.levels[0].factor.tolist() == [[5, -1], [6, 7]]
    assert y.predictors[0].loadings[0].latent.tolist() == [0]
    assert n.predictors[0].loadings[0].latent.tolist() == [1]
    assert found.messages == ("y: 1 of 8 rows left out for missing values (y in 1)",)


def test_equal_rows_share_one_design():
    y, z = lowered("y + x ~ w + (1 | school)", frame()).plan.responses
    assert y.predictors[0].design is z.predictors[0].design


def test_blocks_of_a_level_are_one_loading():
    found = lowered("y ~ x + (1 | school) + (0 + x | school)", frame())
    (loading,) = found.plan.responses[0].predictors[0].loadings
    assert loading.latent.tolist() == [0, 1]
    assert loading.design.flags.c_contiguous
    assert found.plan.levels[0].factor.tolist() == [[3, -1], [-1, 4]]


def test_ordinal_predictors():
    found = lowered("o ~ 0 + f + (1 | school); threshold(o) ~ x", frame(), "ordinal")
    mu, first, second, scale = found.plan.responses[0].predictors
    rows = found.responses[0].rows
    f = frame()["f"].to_numpy()[rows]
    assert mu.design.tolist() == np.column_stack([f == "v", f == "w"]).astype(float).tolist()
    assert mu.coefficient.tolist() == [0, 1]
    assert first.coefficient.tolist() == [2, 3]
    assert second.coefficient.tolist() == [4, 5]
    assert first.design.tolist() == np.column_stack([np.ones(8), frame()["x"][rows]]).tolist()
    assert first.loadings == second.loadings == ()
    assert (scale.design.shape, scale.offset) == ((8, 0), 0.0)
    assert found.plan.responses[0].channels.shape == (8, 4)


def test_offsets_add_up():
    mu, _ = lowered("y ~ x + offset(w) + offset(2*n)", frame()).plan.responses[0].predictors
    assert mu.offset.tolist() == (frame()["w"] + 2.0 * frame()["n"]).tolist()


def test_weights_of_rows_and_clusters():
    found = lowered("y ~ (1 | school)", frame(), weights="w")
    rows = found.responses[0].rows
    assert found.plan.responses[0].weight.tolist() == frame()["w"].to_numpy()[rows].tolist()
    assert found.plan.levels[0].weight is None
    found = lowered("y ~ (1 | school/pupil)", frame(), weights={"school": "w", "row": "x"})
    assert found.plan.levels[0].weight is None
    assert found.plan.levels[1].weight.tolist() == [2.0, 1.0]
    assert found.plan.responses[0].weight is not None
    found = lowered("y ~ (1 | school/pupil)", frame(), weights={"school:pupil": "10*w + pupil"})
    assert found.plan.levels[0].weight.tolist() == [21.0, 22.0, 11.0, 12.0]


def test_other_data_get_the_same_columns():
    found = lowered("y ~ f + offset(w) + (1 + x | school)", frame())
    new = Table.from_any({"f": ["w", "u"], "w": [1.0, 2.0], "x": [3.0, 4.0], "school": ["b", "z"]})
    layout, plan = found.responses[0].predictors[0], found.plan.responses[0].predictors[0]
    made = layout.apply(new)
    assert made.design.tolist() == [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert np.asarray(made.offset).tolist() == [1.0, 2.0]
    assert made.loadings[0].design.tolist() == [[1.0, 3.0], [1.0, 4.0]]
    assert made.coefficient is plan.coefficient
    assert found.levels[0].clusters(new).tolist() == [1, -1]
    assert found.levels[0].clusters(Table.from_any({"x": [1.0]})).tolist() == [-1]


def test_pickles():
    found = lowered("y ~ f + (1 | school)", frame())
    again = pickle.loads(pickle.dumps(found))
    assert again.parameters.names == found.parameters.names
    assert np.array_equal(again.plan.start, found.plan.start)


# ---------------------------------------------------------------- names

NAMES = [
    ("y ~ x + (1 | school)", None, ["y ~ 1", "y ~ x", "sigma(y)", "sd(1 | school)"]),
    ("y ~ 0 + x", None, ["y ~ x", "sigma(y)"]),
    ("y ~ x; sigma ~ w", None, ["y ~ 1", "y ~ x", "sigma(y) ~ 1", "sigma(y) ~ w"]),
    ("y ~ 1; sigma ~ 1", None, ["y ~ 1", "sigma(y) ~ 1"]),
    ("y ~ 1; sigma ~ 0", None, ["y ~ 1"]),
    ("n ~ x*f", "poisson", ["n ~ 1", "n ~ x", "n ~ f[T.v]", "n ~ f[T.w]", "n ~ x:f[T.v]", "n ~ x:f[T.w]"]),
    ("cbind(n, id - n) ~ x", "binomial", ["cbind(n, id - n) ~ 1", "cbind(n, id - n) ~ x"]),
    ("y ~ 1; df ~ 1", "student_t(df=4)", ["y ~ 1", "sigma(y)", "df(y) ~ 1"]),
    ("y ~ 1", "student_t(df=4)", ["y ~ 1", "sigma(y)"]),
    (
        "y ~ (1 + x | school)",
        None,
        ["y ~ 1", "sigma(y)", "sd(1 | school)", "sd(x | school)", "cor(1, x | school)"],
    ),
    ("y ~ (1 + x || school)", None, ["y ~ 1", "sigma(y)", "sd(1 | school)", "sd(x | school)"]),
    (
        "y ~ 1; sigma ~ (1 | school)",
        None,
        ["y ~ 1", "sigma(y) ~ 1", "sd(sigma(y): 1 | school)"],
    ),
    (
        "y + x ~ (1 | school)",
        None,
        [
            *("y ~ 1", "sigma(y)", "x ~ 1", "sigma(x)"),
            *("sd(y: 1 | school)", "sd(x: 1 | school)", "cor(y: 1, x: 1 | school)"),
        ],
    ),
    ("o ~ x", "ordinal", ["o ~ x", "threshold(o)[1|2]", "threshold(o)[2|3]"]),
    ("o ~ 1 + x", "ordinal", ["o ~ x", "threshold(o)[1|2]", "threshold(o)[2|3]"]),
    (
        "o ~ 1; threshold(o) ~ w; scale(o) ~ x",
        "ordinal",
        [
            *("threshold(o)[1|2]", "threshold(o)[1|2] ~ w"),
            *("threshold(o)[2|3]", "threshold(o)[2|3] ~ w", "scale(o) ~ x"),
        ],
    ),
    (
        "o ~ 1; scale(o) ~ 1 + x",
        "ordinal",
        ["threshold(o)[1|2]", "threshold(o)[2|3]", "scale(o)~1", "scale(o)~x"],
    ),
    (
        "f ~ (1 | school)",
        "multinomial",
        [
            *("f[v] ~ 1", "f[w] ~ 1", "sd(f[v]: 1 | school)", "sd(f[w]: 1 | school)"),
            "cor(f[v]: 1, f[w]: 1 | school)",
        ],
    ),
    ("f ~ x", "multinomial", ["f[v] ~ 1", "f[v] ~ x", "f[w] ~ 1", "f[w] ~ x"]),
    (
        "y ~ (0 + f | school)",
        None,
        [
            *("y ~ 1", "sigma(y)", "sd(f[u] | school)", "sd(f[v] | school)", "sd(f[w] | school)"),
            *("cor(f[u], f[v] | school)", "cor(f[u], f[w] | school)", "cor(f[v], f[w] | school)"),
        ],
    ),
]


@pytest.mark.parametrize(("text", "family", "names"), NAMES)
def test_names(text, family, names):
    found = lowered(text, frame(), family)
    assert [n.replace(" ", "") for n in found.parameters.names] == [n.replace(" ", "") for n in names]
    assert len(found.parameters) == found.plan.n_parameters == len(found.plan.start)


def test_rows_of_the_table_say_what_they_belong_to():
    rows = {row.name: row for row in lowered("o ~ x + (1 + w | school)", frame(), "ordinal").parameters.rows}
    threshold = rows["threshold(o)[1|2]"]
    assert (threshold.kind, threshold.response, threshold.predictor) == ("auxiliary", "o", "threshold")
    assert (threshold.label, threshold.scale, threshold.terms) == ("1|2", "identity", ("1",))
    assert (rows["o ~ x"].kind, rows["o ~ x"].terms) == ("fixed", ("x",))
    assert (rows["sd(w | school)"].level, rows["sd(w | school)"].terms) == ("school", ("w",))
    assert rows["cor(1, w | school)"].terms == ("1", "w")
    sigma = lowered("y ~ x", frame()).parameters.rows[-1]
    assert (sigma.kind, sigma.scale) == ("auxiliary", "log")


# ---------------------------------------------------------------- mistakes

ERRORS = [
    ("y ~ xx + (1 | school)", None, "the data have no column 'xx'", "xx"),
    ("yy ~ x", None, "the data have no column 'yy'", "yy"),
    ("y ~ (1 | scool)", None, "did you mean 'school'?", "scool"),
    ("y ~ x; sigma(y) ~ zz", None, "the data have no column 'zz'", "zz"),
    ("y ~ x; rho(y) ~ x", None, "has no parameter 'rho'; its auxiliary parameters are sigma", "rho(y) ~ x"),
    ("n ~ x; sigma(n) ~ x", "poisson", "has no parameter 'sigma'; it has none", "sigma(n) ~ x"),
    ("cbind(n, id) ~ x", "poisson", "takes a column, not cbind() of 2 columns", "cbind(n, id)"),
    ("n ~ x", "binomial", "the family 'binomial' needs 0 or 1", "n"),
    ("y ~ x + I(2*x)", None, "'I(2 * x)' in y is determined by 'x'", "y ~ x + I(2*x)"),
    ("o ~ x; threshold(o) ~ x", "ordinal", "'x' in o is determined by 'threshold(o) ~ x'", "o ~ x"),
    ("o ~ I(0*x + 1)", "ordinal", "is determined by the intercept", "o ~ I(0*x + 1)"),
    ("o ~ 1; scale(o) ~ I(0*x + 1)", "ordinal", "is determined by the intercept", "scale(o) ~ I(0*x + 1)"),
    ("y ~ (x + I(x + 1) | school)", None, "'I(x + 1)' in (1 + x + I(x + 1) | school)", None),
    ("y ~ (1 | school) + (1 | pupil)", None, "crossed random effects are not supported yet", None),
    ("y ~ (1 | id)", None, "every cluster of 'id' has one row", "(1 | id)"),
    ("o ~ (1 | school/id)", "ordinal", "every cluster of 'school:id' has one row", "(1 | school/id)"),
    ("y ~ (1 | id) + (0 + x | school:id)", None, "make the same 8 clusters", None),
    ("y ~ (1 | one)", None, "the group 'one' has one cluster", "one"),
    ("y ~ x + f + n + w + I(x**2) + I(x**3) + I(n**2)", None, "9 coefficients for 8 rows", None),
]


@pytest.mark.parametrize(("text", "family", "message", "place"), ERRORS)
def test_mistakes(text, family, message, place):
    data = frame().assign(one=1)
    with pytest.raises(DataError) as caught:
        lowered(text, data, family)
    assert message in str(caught.value)
    assert "1 | " + text in str(caught.value), "the statement is shown"
    if place is not None:
        assert place in [problem.span.slice(text) for problem in caught.value.problems]


def test_unknown_columns_come_together():
    with pytest.raises(DataError) as caught:
        lowered("y ~ aa + log(bb) + (1 + kk | dd); sigma(y) ~ offset(ee)", frame())
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [f"the data have no column {name!r}" for name in ("aa", "bb", "ee", "kk", "dd")]


def test_unknown_families_come_together():
    text = "y ~ x; n ~ x; family(y) = gausian; family(n) = poison"
    with pytest.raises(PluginError) as caught:
        lowered(text, frame())
    assert [problem.span.slice(text) for problem in caught.value.problems] == ["gausian", "poison"]


def test_crossed_groups_are_named():
    with pytest.raises(DataError) as caught:
        lowered("y ~ (1 | school) + (1 | f)", frame())
    message = str(caught.value)
    assert "the groups 'f' and 'school' are crossed: f 'u' lies in school 'b' and in school 'a'" in message
    assert "write (1 | school/f)" in message


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("n ~ x + (1 | id)", "poisson"),
        ("cbind(n, 9 - n) ~ x + (1 | id)", "binomial"),
        ("y ~ (0 + x | id)", None),
        ("y + x ~ (1 | id)", None),
    ],
)
def test_row_effects_that_data_can_tell(text, family):
    assert lowered(text, frame(), family).plan.levels[0].clusters == 8


WEIGHTS = [
    ({"school": "x"}, "the weights of the level 'school' differ within its cluster 'b'"),
    ({"shool": "w"}, "did you mean 'school'?"),
    ("ww", "no column 'ww'"),
    ("w - 1.5", "negative"),
    ({"row": "f"}, "holds labels"),
]


@pytest.mark.parametrize(("weights", "message"), WEIGHTS)
def test_bad_weights(weights, message):
    with pytest.raises(GlammError) as caught:
        lowered("y ~ (1 | school)", frame(), weights=weights)
    assert message in str(caught.value)


def test_missing_values_in_each_role():
    data = frame()
    data.loc[0, "y"], data.loc[1, "x"], data.loc[1, "y"] = NAN, NAN, NAN
    data.loc[2, "w"] = NAN
    found = lowered("y ~ x + (1 | school); sigma(y) ~ w", data)
    assert sorted(found.responses[0].rows) == [3, 4, 5, 6, 7]
    assert found.messages == ("y: 3 of 8 rows left out for missing values (y in 2, x in 1, w in 1)",)
    data = frame()
    data.loc[4, "school"] = None
    with pytest.raises(DataError, match="'school' is missing in row 4"):
        lowered("y ~ x + (1 | school)", data)
    data.loc[4, "y"] = NAN
    assert len(lowered("y ~ x + (1 | school)", data).responses[0].rows) == 7
    with pytest.raises(DataError, match="no row is left for the response 'y'"):
        lowered("y ~ x", frame().assign(y=NAN))


def test_infinite_values_are_named():
    data = frame()
    data.loc[5, "x"] = np.inf
    with pytest.raises(DataError, match="'x' is not finite in row 5"):
        lowered("y ~ x + (1 | school)", data)
    with pytest.raises(DataError, match="'x' is not finite in row 5"):
        lowered("x ~ y + (1 | school)", data)


def test_value_outside_the_support_names_its_row():
    data = frame()
    data.loc[5, "n"] = -2
    with pytest.raises(DataError, match=r"'n' is -2.* in row 5"):
        lowered("n ~ x + (1 | school)", data, "poisson")
