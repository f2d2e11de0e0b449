"""Responses, selections of rows and weights."""

import numpy as np
import pandas as pd
import pytest

from glamm.data import Table
from glamm.errors import DataError
from glamm.graph.model import ResponseForm, Term

TABLE = Table.from_any(
    {
        "r": [1, 2, 0, 3],
        "n": [4, 4, 2, 3],
        "y": [10.0, np.nan, 30.0, 40.0],
        "x": [1.0, 2.0, np.nan, 4.0],
        "z": [np.nan, 1.0, 1.0, np.nan],
        "died": [True, False, True, False],
        "time": [1.5, 2.5, np.inf, 1.0],
        "f": ["b", "a", None, "c"],
    }
)


def test_counts_of_successes_and_failures():
    first, second = TABLE.response(ResponseForm("cbind", ("r", "n - r")))
    assert (first.name, second.name) == ("r", "n - r")
    assert second.values.tolist() == [3.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("y / 100", [0.1, 0.3, 0.4]),
        ("log(y)", np.log([10, 30, 40])),
        ("np.sqrt(y)", np.sqrt([10, 30, 40])),
        ("{y - 5}", [5.0, 25.0, 35.0]),
        ("I(y^2)", [100.0, 900.0, 1600.0]),
        ("y - y.mean()", np.array([10, 30, 40]) - 80 / 3),
        ("1", [1.0, 1.0, 1.0]),
    ],
)
def test_expressions(text, values):
    form = ResponseForm("", (text,))
    rows = TABLE.select(ResponseForm("", ("y",))).rows
    (column,) = TABLE.response(form, rows)
    np.testing.assert_allclose(column.values, values)
    assert column.levels is None


def test_comparisons_are_booleans():
    rows = np.array([0, 2, 3])
    (column,) = TABLE.response(ResponseForm("", ("y > 20",)), rows)
    assert column.levels == ("False", "True")
    assert column.values.tolist() == [0.0, 1.0, 1.0]


def test_levels_that_do_not_occur_in_the_rows_are_dropped():
    (column,) = TABLE.response(ResponseForm("", ("f",)), np.array([3, 0]))
    assert column.levels == ("b", "c")
    assert column.values.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time", "response 'time' is not finite in row 2"),
        ("log(r)", r"response 'log\(r\)' is not finite in row 2"),
        ("log(r - 1)", r"'log\(r - 1\)' is not a number in row 2"),
        ("y", "column 'y' is missing in row 1"),
        ("yy", "no column 'yy'"),
        ("lg(r)", "unknown function 'lg'"),
        ("n - died.nothing", "cannot compute 'n - died.nothing'"),
        ("np.arange(3)", "gives 3 values for 4 rows"),
        ("().__class__.__base__.nothing", "cannot compute"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(DataError, match=message):
        TABLE.response(ResponseForm("", (text,)))


def test_selection_counts_what_is_left_out():
    selection = TABLE.select(ResponseForm("", ("y",)), [Term(("x",)), Term(("log(n)", "r"))])
    assert selection.rows.tolist() == [0, 3]
    assert selection.missing_response == 1
    assert selection.missing_covariates == 1
    assert selection.columns == {"y": 1, "x": 1}
    everything = TABLE.select(ResponseForm("cbind", ("r", "n - r")), ["log(n)"])
    assert everything.rows.tolist() == [0, 1, 2, 3]
    assert everything.columns == {}


def test_no_row_left_names_the_columns():
    with pytest.raises(DataError, match=r"no row is left .*'y'; .*'y' in 1 of 4, 'z' in 2 .*'x' in 1 of 4"):
        TABLE.select(ResponseForm("", ("y",)), [Term(("z",)), "x"])


def test_weights():
    table = Table.from_any({"w": [1, 0, 2], "gap": [1, None, 2], "minus": [1, -1, 1], "f": ["a", "b", "a"]})
    assert table.weights("w").tolist() == [1.0, 0.0, 2.0]
    assert table.weights("w / 2", np.array([2, 0])).tolist() == [1.0, 0.5]
    assert table.weights([3, 2.5, 1]).tolist() == [3.0, 2.5, 1.0]
    assert table.weights(pd.Series([3, 2, 1], index=list("abc")), np.array([1])).tolist() == [2.0]
    assert table.weights("gap", np.array([0, 2])).tolist() == [1.0, 2.0]
    for weights, message in (
        ("gap", "'gap' is missing in row 1"),
        ("minus", "the weight 'minus' is negative in row 1"),
        ("f", "holds labels"),
        ("ww", "no column 'ww'"),
        ([1, np.nan, 1], "the weight is missing in row 1"),
        ([1, 1, np.inf], "the weight is not finite in row 2"),
        ([0, 0, 0], "every weight is 0"),
        ([1, 2], "2 weights for 3 rows"),
        (np.ones((3, 2)), "one number for each row"),
        (5, "one number for each row"),
    ):
        with pytest.raises(DataError, match=message):
            table.weights(weights)
