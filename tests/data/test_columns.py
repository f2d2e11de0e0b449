"""Columns of every data frame library come out in one form."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from glamm.data import Table
from glamm.errors import DataError
from glamm.graph.model import GroupFactor, ResponseForm, Term

WORDS = ["b", "a", "b", "c"]


def response(table, text="y"):
    (column,) = table.response(ResponseForm("", (text,)))
    return column


NUMBERS = {
    "int8": pd.Series([1, 2, 3, 4], dtype="int8"),
    "uint64": pd.Series([1, 2, 3, 4], dtype="uint64"),
    "float32": pd.Series([1, 2, 3, 4], dtype="float32"),
    "Int64": pd.Series([1, 2, 3, 4], dtype="Int64"),
    "UInt8": pd.Series([1, 2, 3, 4], dtype="UInt8"),
    "Float64": pd.Series([1, 2, 3, 4], dtype="Float64"),
    "int64[pyarrow]": pd.Series([1, 2, 3, 4], dtype="int64[pyarrow]"),
    "double[pyarrow]": pd.Series([1, 2, 3, 4], dtype="double[pyarrow]"),
    "object of int": pd.Series([1, 2, 3, 4], dtype=object),
    "object of int and float": pd.Series([1, 2.0, 3, 4.0], dtype=object),
    "list": [1, 2, 3, 4],
    "array": np.array([1, 2, 3, 4], dtype=np.float16),
    "polars Int32": pl.Series([1, 2, 3, 4], dtype=pl.Int32),
    "polars Float32": pl.Series([1, 2, 3, 4], dtype=pl.Float32),
    "pyarrow": pa.chunked_array([[1, 2], [3, 4]]),
}


def as_table(column):
    if isinstance(column, pl.Series):
        return Table.from_any(pl.DataFrame({"y": column}))
    if isinstance(column, pa.ChunkedArray):
        return Table.from_any(pa.table({"y": column}))
    return Table.from_any({"y": column})


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(kind):
    column = response(as_table(NUMBERS[kind]))
    assert column.levels is None
    assert column.values.dtype == np.float64
    np.testing.assert_array_equal(column.values, [1, 2, 3, 4])


LABELS = {
    "object": pd.Series(WORDS, dtype=object),
    "str": pd.Series(WORDS, dtype="str"),
    "string": pd.Series(WORDS, dtype="string"),
    "string[pyarrow]": pd.Series(WORDS, dtype="string[pyarrow]"),
    "large_string": pd.Series(WORDS, dtype=pd.ArrowDtype(pa.large_string())),
    "list": WORDS,
    "array": np.array(WORDS),
    "polars String": pl.Series(WORDS),
    "polars Categorical": pl.Series(WORDS, dtype=pl.Categorical),
    "pyarrow": pa.chunked_array([WORDS]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_text_becomes_sorted_levels(kind):
    column = response(as_table(LABELS[kind]))
    assert column.levels == ("a", "b", "c")
    assert not column.ordered
    np.testing.assert_array_equal(column.values, [1, 0, 1, 2])


CATEGORIES = ["c", "unused", "b", "a"]
DICTIONARY = pa.chunked_array([pa.DictionaryArray.from_arrays([2, 3, 2, 0], CATEGORIES)])
CATEGORICALS = {
    "pandas": pd.Series(pd.Categorical(WORDS, categories=CATEGORIES)),
    "polars Enum": pl.Series(WORDS, dtype=pl.Enum(CATEGORIES)),
    "pyarrow dictionary": DICTIONARY,
    "pandas dictionary": pd.Series(pd.arrays.ArrowExtensionArray(DICTIONARY)),
}


@pytest.mark.parametrize("kind", CATEGORICALS)
def test_categories_keep_their_order_and_unused_ones_go(kind):
    column = response(as_table(CATEGORICALS[kind]))
    assert column.levels == ("c", "b", "a")
    np.testing.assert_array_equal(column.values, [1, 2, 1, 0])
    codes, labels = as_table(CATEGORICALS[kind]).group(GroupFactor(("y",)))
    assert labels == ["c", "b", "a"]
    np.testing.assert_array_equal(codes, [1, 2, 1, 0])


def test_ordered_categories_say_so():
    values = pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True)
    assert response(Table.from_any({"y": values})).ordered


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        np.array([True, False, True]),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series([True, False, True], dtype="bool[pyarrow]"),
        pd.Series([True, False, True], dtype=object),
        pl.Series([True, False, True]),
        pa.chunked_array([[True, False, True]]),
    ],
)
def test_booleans_are_levels(values):
    column = response(as_table(values))
    assert column.levels == ("False", "True")
    np.testing.assert_array_equal(column.values, [1, 0, 1])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="Float64"),
        pd.Series([1.0, np.nan, 3]),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([True, None, False], dtype=object),
        pd.Series([1, None, 3], dtype=object),
        pd.Series(["a", None, "b"], dtype="str"),
        pd.Series(["a", None, "b"], dtype=object),
        pd.Series(["a", pd.NA, "b"], dtype="string"),
        pd.Series(pd.Categorical(["a", None, "b"])),
        pd.Series([1, None, 3], dtype="int64[pyarrow]"),
        pl.Series([1, None, 3]),
        pl.Series([1.0, None, 3]),
        pl.Series([1.0, float("nan"), 3]),
        pl.Series([True, None, False]),
        pl.Series(["a", None, "b"]),
        pl.Series(["a", None, "b"], dtype=pl.Categorical),
        pl.Series(["a", None, "b"], dtype=pl.Enum(["a", "b"])),
        pa.chunked_array([[1, None, 3]]),
        pa.chunked_array([["a", None, "b"]]),
        pa.chunked_array([[True, None, False]]),
    ],
)
def test_missing_values_of_every_kind(values):
    table = as_table(values)
    np.testing.assert_array_equal(table.complete(["y"]), [True, False, True])
    selection = table.select(ResponseForm("", ("y",)))
    np.testing.assert_array_equal(selection.rows, [0, 2])
    assert (selection.missing_response, selection.missing_covariates) == (1, 0)
    (column,) = table.response(ResponseForm("", ("y",)), selection.rows)
    assert column.values.shape == (2,)
    with pytest.raises(DataError, match=r"grouping column 'y' is missing in row 1"):
        table.group(GroupFactor(("y",)))
    with pytest.raises(DataError, match=r"'y' is missing in row 1"):
        table.design([Term(("y",))], True)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([decimal.Decimal("1.5"), decimal.Decimal("2")], "decimals"),
        ([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)], "dates"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "dates"),
        (pd.to_timedelta([1, 2], unit="s"), "dates or times"),
        (pd.period_range("2020", periods=2, freq="D"), "dates"),
        ([1, "a"], "values of type int, str"),
        ([[1], [2]], "values of type list"),
        ([1 + 2j, 3j], "complex"),
        (pl.Series([datetime.date(2020, 1, 1), None]), "dates"),
        (pl.Series([decimal.Decimal("1.5"), None]), "decimals"),
        (pa.chunked_array([[decimal.Decimal("1.5"), None]]), "decimals"),
        (pa.chunked_array([[datetime.datetime(2020, 1, 1)]]), "dates"),
    ],
)
def test_values_that_cannot_enter(values, what):
    table = as_table(values)
    with pytest.raises(DataError, match=rf"column 'y' holds .*{what}"):
        response(table)


def test_a_bad_column_that_is_not_used_does_no_harm():
    table = Table.from_any({"when": pd.to_datetime(["2020-01-01"]), "y": [1.0]})
    assert response(table).values.tolist() == [1.0]


def test_from_any():
    frame = pd.DataFrame({"y": [1, 2]}, index=["first", "second"])
    table = Table.from_any(frame)
    assert Table.from_any(table) is table
    assert table.columns == ("y",)
    assert table.n_rows == 2
    assert table.label(1) == "row 'second'"
    assert Table.from_any({"y": [1, 2]}).label(1) == "row 1"
    assert "y" in table and "x" not in table


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y": []}, "no rows"),
        ({}, "no rows"),
        (pd.DataFrame({"y": []}), "no rows"),
        (pl.DataFrame({"y": []}), "no rows"),
        ({"y": [1, 2], "x": [1]}, r"different lengths \('y': 2, 'x': 1\)"),
        ({"y": 1}, "column 'y' is 1; a column must be a list"),
        ({"y": np.ones((2, 2))}, "2 dimensions"),
        (pd.DataFrame([[1, 2]], columns=["y", "y"]), "several columns have the same name: 'y'"),
        (np.ones(3), "type ndarray cannot be read"),
        (pl.LazyFrame({"y": [1]}), "collect it first"),
        (None, "type NoneType"),
    ],
)
def test_data_that_cannot_be_read(data, message):
    with pytest.raises(DataError, match=message):
        Table.from_any(data)


def test_columns_may_have_numbers_as_names():
    table = Table.from_any(pd.DataFrame(np.eye(2)))
    assert table.columns == ("0", "1")
    assert response(table, "`0`").values.tolist() == [1.0, 0.0]


def test_the_data_are_not_changed_or_copied():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    before = frame.copy()
    table = Table.from_any(frame)
    assert np.shares_memory(table.field("x").values, frame["x"].to_numpy())
    table.design([Term(("x",)), Term(("x", "y"))], True)
    pd.testing.assert_frame_equal(frame, before)
