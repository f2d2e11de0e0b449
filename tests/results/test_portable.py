"""Design recipes survive JSON and make the same columns of other data."""

import json

import numpy as np
import pandas as pd
import pytest

from glamm.data import Table
from glamm.graph import Term
from glamm.results.portable import design_from_json, design_to_json

FRAME = pd.DataFrame(
    {
        "x": np.linspace(0.1, 6.9, 20),
        "g": list("abab") * 5,
        "k": [10, 2, 3, 10] * 5,
        "b": [True, False] * 10,
        "f": pd.Categorical(["low", "high", "low", "mid"] * 5, categories=["low", "mid", "high"]),
    }
)
NEW = FRAME.iloc[[3, 7, 2]].reset_index(drop=True)

TERMS = [
    (["x"], True),
    (["x", "b"], False),
    (["g"], True),
    (["g"], False),
    (["x", "f", ("x", "f")], True),
    (["C(k)"], True),
    (["C(k, contr.sum)", "b"], True),
    (["poly(x, 2)"], True),
    (["bs(x, df=4)", "scale(x)"], True),
    (["log(x)", ("center(x)", "g")], True),
]


@pytest.mark.parametrize(("terms", "intercept"), TERMS)
def test_a_design_comes_back(terms, intercept):
    made = [Term(t if isinstance(t, tuple) else (t,)) for t in terms]
    design = Table.from_any(FRAME).design(made, intercept)
    restored = design_from_json(json.loads(json.dumps(design_to_json(design.spec))))
    assert restored.names == design.names
    new = Table.from_any(NEW)
    np.testing.assert_array_equal(restored.apply(new), design.spec.apply(new))
