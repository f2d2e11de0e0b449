"""Clusters: codes, labels and nesting."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.data import Crossing, Nesting, Table, nest
from glamm.errors import DataError, Span
from glamm.graph.model import GroupFactor


def group(values, rows=None):
    codes, labels = Table.from_any({"g": values}).group(GroupFactor(("g",)), rows)
    assert codes.dtype == np.intp
    return codes.tolist(), labels


@pytest.mark.parametrize(
    ("values", "codes", "labels"),
    [
        ([7, 3, 7, 5], [2, 0, 2, 1], [3, 5, 7]),
        ([9_999_999_999, 1, 9_999_999_999], [1, 0, 1], [1, 9_999_999_999]),
        ([2**63 + 1, 2**63 + 3], [0, 1], [2**63 + 1, 2**63 + 3]),
        ([-5, 3, -5], [0, 1, 0], [-5, 3]),
        ([2.0, 1.0, 2.0], [1, 0, 1], [1, 2]),
        ([2.5, 1.0], [1, 0], [1, 2.5]),
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        (pd.Categorical(["b", "a"], categories=["b", "z", "a"]), [0, 1], ["b", "a"]),
        (pd.Categorical([4, 2, 4], categories=[4, 3, 2]), [0, 1, 0], [4, 2]),
        (pd.Series([10**10, 5, 10**10], dtype="Int64"), [1, 0, 1], [5, 10**10]),
        ([1], [0], [1]),
    ],
)
def test_identifiers_of_every_type(values, codes, labels):
    found = group(values)
    assert found == (codes, labels)
    assert all(type(label) in (int, float, str) for label in found[1])


def test_combinations_of_columns():
    table = Table.from_any({"a": [1, 1, 2, 2, 1], "b": ["x", "y", "x", "x", "x"], "c": [0.5, 1, 1, 1, 0.5]})
    codes, labels = table.group(GroupFactor(("a", "b")))
    assert (codes.tolist(), labels) == ([0, 1, 2, 2, 0], ["1:x", "1:y", "2:x"])
    codes, labels = table.group(GroupFactor(("a", "b", "c")))
    assert (codes.tolist(), labels) == ([0, 1, 2, 2, 0], ["1:x:0.5", "1:y:1", "2:x:1"])


def test_rows_choose():
    assert group([7, 3, 7, 5], np.array([3, 0, 2])) == ([0, 1, 1], [5, 7])
    assert group(["a", None, "b"], np.array([2, 0])) == ([1, 0], ["a", "b"])


def test_mistakes():
    table = Table.from_any({"school": [1, None, 2, None], "y": [1, 2, 3, 4]})
    with pytest.raises(DataError, match=r"grouping column 'school' is missing in row 1 \(2 rows in all\)"):
        table.group(GroupFactor(("school",), Span(3, 9)))
    with pytest.raises(DataError, match="'school' is missing in row 3"):
        table.group(GroupFactor(("y", "school")), np.array([0, 3]))
    with pytest.raises(DataError, match=r"no column 'shool'\n.*'school'") as caught:
        table.group(GroupFactor(("shool",), Span(3, 8)))
    assert caught.value.problems[0].span == Span(3, 8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 9), min_size=1, max_size=40))
def test_codes_number_the_sorted_labels_without_gaps(values):
    codes, labels = group(np.array(values, dtype=np.int64))
    assert labels == sorted(set(values))
    assert [labels[code] for code in codes] == values


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.data())
def test_nested_levels_are_found_in_any_order(pupils, data):
    classes = data.draw(st.integers(1, pupils))
    schools = data.draw(st.integers(1, classes))
    class_of = np.arange(pupils) % classes
    levels = [class_of, class_of % schools, np.arange(pupils)]
    place = data.draw(st.permutations(range(3)))
    found = nest([levels[i].astype(np.intp) for i in place])
    assert isinstance(found, Nesting)
    assert found.clusters == (pupils, classes, schools)
    assert found.parents[-1] is None
    codes = [levels[place[i]] for i in found.order]
    for lower, upper, parent in zip(codes, codes[1:], found.parents, strict=False):
        np.testing.assert_array_equal(parent[lower], upper)


def test_levels_of_equal_size_put_the_later_one_below():
    assert nest([np.array([0, 1, 1]), np.array([1, 0, 0])]).order == (1, 0)


def test_crossed_levels_name_a_cluster_and_two_parents():
    item = np.array([0, 0, 1, 1, 2, 2])
    person = np.array([0, 0, 1, 0, 1, 1])
    assert nest([person, item]) == Crossing(1, 0, 1, (1, 0))


def test_one_level_and_none():
    assert nest([np.array([0, 1, 0])]).parents == (None,)
    assert nest([]).order == ()
