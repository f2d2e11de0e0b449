"""Designs agree with formulaic, come back for new data, and explain what is wrong."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from formulaic import model_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.data import Table
from glamm.errors import DataError, Span
from glamm.graph.model import GroupFactor, ResponseForm, Term

RNG = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=24),
        "z": RNG.integers(0, 9, size=24),
        "f": list("abcabdabcabd") * 2,
        "p": pd.Categorical([2, 1, 3, 1] * 6, categories=[3, 1, 9, 2]),
        "k": [1, 2, 2, 3] * 6,
        "b": [True, False, False] * 8,
        "my col": np.arange(1.0, 25.0),
    }
)
TABLE = Table.from_any(FRAME)


def terms(text):
    """Return the terms of ``"x + x:f"``; the intercept is not one of them."""
    return [Term(tuple(f.strip() for f in piece.split(":"))) for piece in text.split(" + ") if piece]


def with_formulaic(text, frame=FRAME):
    """Return names and columns of formulaic for a whole formula; unused categories removed as in R."""
    frame = frame.assign(p=frame["p"].cat.remove_unused_categories())
    made = model_matrix(text, frame)
    return tuple("1" if n == "Intercept" else n for n in made.columns), made.to_numpy(dtype=float)


PLAIN = ["x", "z", "f", "p", "b", "x:z", "f:x", "f:p", "x:f:p", "p:b", "z:p"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PLAIN), unique=True, max_size=5), st.booleans())
def test_columns_and_products_are_those_of_formulaic(chosen, intercept):
    design = TABLE.design(terms(" + ".join(chosen)), intercept)
    names, matrix = with_formulaic(" + ".join(["1" if intercept else "0", *chosen]))
    assert design.names == names
    np.testing.assert_allclose(design.matrix, matrix)
    assert design.matrix.flags.c_contiguous and design.matrix.dtype == np.float64
    np.testing.assert_array_equal(design.spec.apply(TABLE), design.matrix)


TRANSFORMS = [
    "log(`my col`)",
    "np.sqrt(`my col`)",
    "I(x**2)",
    "{x / 10}",
    "bs(x, df=4)",
    "cr(x, df=3)",
    "poly(x, 2)",
    "scale(x)",
    "center(z)",
    "C(k)",
    "C(k, Treatment(2))",
    "C(p, contr.treatment(base=2))",
    "C(f, Sum)",
]


@pytest.mark.parametrize("text", TRANSFORMS)
@pytest.mark.parametrize("intercept", [True, False])
def test_transforms_are_those_of_formulaic(text, intercept):
    design = TABLE.design(terms(f"f + {text}"), intercept)
    names, matrix = with_formulaic(f"{1 if intercept else 0} + f + {text}")
    assert design.names == names
    np.testing.assert_allclose(design.matrix, matrix, atol=1e-12)


def test_a_power_may_be_written_with_a_caret():
    design = TABLE.design(terms("I(x^2)"), False)
    np.testing.assert_allclose(design.matrix[:, 0], FRAME["x"] ** 2)


@pytest.mark.parametrize("text", ["f", "p + x:f", "C(k)", "bs(x, df=4) + f", "f + p + f:p"])
def test_as_if_intercept_drops_the_intercept_of_a_design_that_has_one(text):
    with_one = TABLE.design(terms(text), True)
    without = TABLE.design(terms(text), False, as_if_intercept=True)
    assert without.names == with_one.names[1:]
    np.testing.assert_array_equal(without.matrix, with_one.matrix[:, 1:])


def test_names_of_the_language():
    design = TABLE.design(terms("z + my col + p + x:z"), True)
    assert design.names == ("1", "z", "my col", "p[T.1]", "p[T.2]", "x:z")


def test_empty_designs():
    assert TABLE.design([], True).matrix.tolist() == [[1.0]] * 24
    assert TABLE.design([], False).matrix.shape == (24, 0)
    assert TABLE.design([], False, as_if_intercept=True).names == ()


def test_products_of_small_integers_do_not_overflow():
    table = Table.from_any({"i": np.array([100, 120], dtype=np.int8), "h": [3_000_000_000, 4_000_000_000]})
    design = table.design(terms("I(i * i) + h:i + I(h * h * h)"), False)
    assert dict(zip(design.names, design.matrix[1], strict=True)) == {
        "I(i * i)": 14400.0,
        "h:i": 4.8e11,
        "I(h * h * h)": 6.4e28,
    }


@pytest.mark.parametrize("text", ["x + z:x", "f + p:x", "C(k)", "bs(x, df=4)", "scale(x) + f"])
def test_rows_choose_and_order(text):
    rows = np.array([23, 3, 8, 1, 2, 0, 11, 9, 10, 5, 7], dtype=np.intp)
    chosen = TABLE.design(terms(text), True, rows)
    alone = Table.from_any(FRAME.iloc[rows].reset_index(drop=True)).design(terms(text), True)
    assert chosen.names == alone.names
    np.testing.assert_array_equal(chosen.matrix, alone.matrix)


@pytest.mark.parametrize(
    "text", ["x + z:x", "f + p + x:f", "C(k) + f", "bs(x, df=4) + scale(z) + poly(x, 2)"]
)
def test_a_pickled_spec_codes_new_rows_as_before(text):
    design = TABLE.design(terms(text), True)
    spec = pickle.loads(pickle.dumps(design.spec))
    some = FRAME.iloc[[4, 2, 7]].reset_index(drop=True)
    for data in (some, some.astype({"f": "category"}), {name: some[name].to_numpy() for name in some}):
        np.testing.assert_allclose(spec.apply(Table.from_any(data)), design.matrix[[4, 2, 7]])
    polars = pl.DataFrame({name: some[name].astype(object).to_list() for name in some})
    np.testing.assert_allclose(spec.apply(Table.from_any(polars)), design.matrix[[4, 2, 7]])


@pytest.mark.parametrize("text", ["x + f", "C(k) + x + f"])
def test_new_rows_that_lack_a_value_are_nan(text):
    design = TABLE.design(terms(text), True)
    new = Table.from_any({"x": [1.0, np.nan, 2.0], "f": ["a", "b", None], "k": [1, 2, 3]})
    matrix = design.spec.apply(new)
    np.testing.assert_array_equal(np.isnan(matrix).all(axis=1), [False, True, True])
    assert np.isfinite(matrix[0]).all()
    assert design.spec.apply(new, np.array([1, 2])).shape == (2, matrix.shape[1])


@pytest.mark.parametrize(
    ("text", "new", "message"),
    [
        ("f", {"f": ["a", "q"]}, r"'f' has the level 'q' in row 1, .* its levels are a, b, c, d"),
        ("p", {"p": [1, 9]}, r"'p' has the level '9' in row 1, .* its levels are 3, 1, 2"),
        ("C(k)", {"k": [1, 7]}, r"'C\(k\)' has the level '7' in row 1, .* its levels are 1, 2, 3"),
        ("f + C(k)", {"f": ["a", "q"], "k": [1, 1]}, r"'f' has the level 'q' in row 1"),
        ("f + x", {"f": ["a"]}, "no column 'x'"),
        ("x", {"x": ["a"]}, "'x' held numbers in the fit and holds labels here"),
        ("log(z)", {"z": ["a"]}, "'z' held numbers in the fit and holds labels here"),
        ("bs(x, df=4)", {"x": [1e9]}, r"cannot compute 'bs\(x, df=4\)': .*beyond"),
    ],
)
def test_new_data_that_do_not_fit(text, new, message):
    table = Table.from_any({**FRAME.assign(z=FRAME["z"] + 1)})
    spec = table.design(terms(text), True).spec
    with pytest.raises(DataError, match=message):
        spec.apply(Table.from_any(new))


BAD = Table.from_any(
    {
        "x": [1.0, 0.0, 2.0],
        "inf": [1.0, 2.0, np.inf],
        "f": ["a", "b", "a"],
        "gap": [1.0, np.nan, 2.0],
        "id": [1, 2, 3],
    }
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xx", r"no column 'xx'\n  hint: did you mean 'x'"),
        ("nowhere", r"no column 'nowhere'\n  hint: the columns are x, inf, f"),
        ("log", r"no column 'log'"),
        ("`x y`", "no column 'x y'"),
        ("log(`x y`)", "no column 'x y'"),
        ("lgo(x)", r"unknown function 'lgo'\n  hint: did you mean 'log'"),
        ("log(X)", r"no column 'X'\n  hint: did you mean 'x'"),
        ("__import__('os')", "unknown function '__import__'"),
        ("open('x')", "unknown function 'open'"),
        ("x +", r"cannot read the expression 'x \+'"),
        ("log(x)", r"'log\(x\)' is not finite in row 1"),
        ("I(1 / x)", r"'I\(1 / x\)' is not finite in row 1"),
        ("f:log(x)", r"'log\(x\)' is not finite in row 1"),
        ("inf", "'inf' is not finite in row 2"),
        ("f + inf:f", "'inf' is not finite in row 2"),
        ("bs(inf, df=4)", r"'inf' is not finite in row 2"),
        ("log(f)", r"cannot compute 'log\(f\)'"),
        ("np.nothing(x)", r"cannot compute 'np.nothing\(x\)'"),
        ("gap", "the column 'gap' is missing in row 1"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(DataError, match=message):
        BAD.design(terms(text), True)


def test_every_unknown_name_is_reported_with_its_place():
    bad = [Term(("xx",), Span(4, 6)), Term(("lgo(x)", "zz"), Span(9, 18))]
    with pytest.raises(DataError) as caught:
        BAD.design(bad, True)
    assert [p.span for p in caught.value.problems] == [Span(4, 6), Span(9, 18), Span(9, 18)]
    found = BAD.problems([*bad, GroupFactor(("x", "idd"), Span(20, 25)), "yy / 2"])
    assert [p.message for p in found] == [
        "the data have no column 'xx'",
        "unknown function 'lgo'",
        "the data have no column 'zz'",
        "the data have no column 'idd'",
        "the data have no column 'yy'",
    ]
    assert found[3].span == Span(20, 25)
    assert "did you mean 'id'" in found[3].hint


def test_text_with_a_level_for_each_row_is_no_covariate():
    table = Table.from_any({"x": [str(v) for v in np.arange(100) / 7]})
    with pytest.raises(DataError, match=r"'x' holds 100 different labels in 100 rows.*\n.*\(1 \| x\)"):
        table.design(terms("x"), True)


def test_a_factor_of_one_level_is_named():
    table = Table.from_any({"f": ["a", "a"], "x": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"'f' has only the level 'a'"):
        table.design(terms("x + f"), True)
    with pytest.raises(DataError, match=r"'f' has only one level"):
        table.design(terms("scale(x) + f"), True)
    assert table.design(terms("f"), False).names == ("f[a]",)


def test_offsets():
    table = Table.from_any({"n": [1.0, 2.0, 4.0], "w": [1, 1, 2], "f": ["a", "b", "a"]})
    offset = table.offset(["log(n)", "w"])
    np.testing.assert_allclose(offset.values, np.log([1, 2, 4]) + np.array([1, 1, 2]))
    spec = pickle.loads(pickle.dumps(offset.spec))
    np.testing.assert_allclose(spec.apply(Table.from_any({"n": [3, None], "w": [0, 1]})), [np.log(3), np.nan])
    np.testing.assert_allclose(table.offset(["log(n)"], np.array([2])).values, [np.log(4)])
    with pytest.raises(DataError, match="offset needs numbers, but the column 'f' holds labels"):
        table.offset(["f"])
    with pytest.raises(DataError, match=r"'log\(w - 1\)' is not finite in row 0"):
        table.offset(["log(w - 1)"])


def test_an_offset_of_a_remembered_transform_stays_the_same_for_new_data():
    table = Table.from_any({"x": [1.0, 2.0, 6.0]})
    offset = table.offset(["center(x)"])
    np.testing.assert_allclose(offset.spec.apply(Table.from_any({"x": [3.0, 4.0]})), [0.0, 1.0])


def test_a_million_rows():
    n = 1_000_000
    frame = pd.DataFrame({name: np.linspace(0, i + 1, n) for i, name in enumerate("abcde")})
    frame["g"] = np.arange(n) // 10 + 3_000_000_000
    frame["f"] = pd.Categorical.from_codes(np.arange(n) % 3, ["u", "v", "w"])
    table = Table.from_any(frame)
    selection = table.select(ResponseForm("", ("a",)), terms("b + c + d"))
    design = table.design(terms("a + b + c + d + e + f + a:b"), True, selection.rows)
    assert design.matrix.shape == (n, 9)
    np.testing.assert_allclose(design.matrix[:, -1], frame["a"] * frame["b"])
    codes, labels = table.group(GroupFactor(("g",)))
    assert len(labels) == n // 10
    np.testing.assert_array_equal(codes, np.arange(n) // 10)


def test_formulaic_is_loaded_only_when_a_design_needs_it():
    code = (
        "import sys, glamm.data\n"
        "assert 'pandas' not in sys.modules\n"
        "from glamm.data import Table\n"
        "from glamm.graph.model import Term\n"
        "table = Table.from_any({'x': [1., 2., 3.], 'f': ['a', 'b', 'a']})\n"
        "table.design([Term(('x',)), Term(('f',)), Term(('x', 'f'))], True)\n"
        "table.offset(['x'])\n"
        "assert 'formulaic' not in sys.modules\n"
        "table.design([Term(('scale(x)',))], True)\n"
        "assert 'formulaic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
