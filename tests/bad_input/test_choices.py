"""Mistakes in choices and rankings, and the sets that are none."""

import numpy as np
import pandas as pd
import pytest
from odd_data import case, refuse, table
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

import glamm
from glamm.errors import DataError, FormulaError

SETS, SIZE = 80, 3


def make_data():
    rng = np.random.default_rng(11)
    price = rng.normal(size=(SETS, SIZE))
    utility = price + rng.gumbel(size=(SETS, SIZE))
    rank = np.argsort(np.argsort(-utility, axis=1), axis=1) + 1
    return pd.DataFrame(
        {
            "set": np.repeat(np.arange(SETS), SIZE),
            "person": np.repeat(np.arange(SETS // 4), 4 * SIZE),
            "brand": np.tile(list("abc"), SETS),
            "chosen": (rank == 1).astype(float).ravel(),
            "rank": rank.ravel().astype(float),
            "price": price.ravel(),
            "income": np.repeat(rng.normal(size=SETS), SIZE),
        }
    )


DATA = make_data()


def put(column, value, rows):
    return DATA.assign(**{column: DATA[column].mask(DATA.index.isin(rows), value)})


CHOICE, RANKING = "choice(chosen, set) ~ price", "ranking(rank, set) ~ price"


@table(
    case("none", DataError, ["the set 0 has 0 alternatives chosen"], CHOICE, put("chosen", 0.0, range(3))),
    case("two", DataError, ["the set 1 has 3 alternatives chosen"], CHOICE, put("chosen", 1.0, range(3, 6))),
    case("no flag", DataError, ["'chosen' is 2", "(not chosen)", "row 4"], CHOICE, put("chosen", 2.0, [4])),
    case("missing flag", DataError, ["'chosen' is nan", "row 4"], CHOICE, put("chosen", np.nan, [4])),
    case(
        "single",
        DataError,
        ["every set of 'set' has one alternative"],
        CHOICE,
        DATA.assign(set=DATA.index, chosen=1),
    ),
    case("constant", DataError, ["'income' is the same for all"], "choice(chosen, set) ~ income", DATA),
    case(
        "split", DataError, ["the set 0", "several clusters", "whole sets"], f"{CHOICE} + (1 | brand)", DATA
    ),
    case("classes of rows", DataError, ["the set 0", "several"], f"{CHOICE}*c; c ~ classes(2)", DATA),
    case("one column", FormulaError, ["choice() takes the column"], "choice(chosen) ~ price", DATA),
    case("negative", DataError, ["'rank' is -1", "positive", "row 4"], RANKING, put("rank", -1.0, [4])),
    case("no rank", DataError, ["no set of 'set'"], RANKING, put("rank", np.nan, DATA.index)),
    case("labels", DataError, ["'brand' holds labels"], "ranking(brand, set) ~ price", DATA),
)
def test_sets(kind, words, args, options):
    refuse(kind, words, *args, **options)


def loglik(b, frame):
    """Return the log-likelihood of rankings: each alternative is chosen among those not ranked before."""
    total = 0.0
    for _, rows in frame.groupby("set"):
        ranked = rows.dropna(subset="rank").sort_values("rank")
        left = b * rows.price
        for index in ranked.index:
            total += left[index] - logsumexp(left)
            left = left.drop(index)
    return total


@pytest.mark.parametrize(
    ("text", "data", "known"),
    [
        (CHOICE, DATA, DATA.assign(rank=DATA["rank"].where(DATA["rank"] == 1))),
        (RANKING, DATA, DATA),
        (RANKING, put("rank", np.nan, range(6)), put("rank", np.nan, range(6))),
        (
            CHOICE,
            DATA.sample(frac=1.0, random_state=3),
            DATA.assign(rank=DATA["rank"].where(DATA["rank"] == 1)),
        ),
    ],
)
def test_sets_without_groups_against_their_likelihood(text, data, known):
    found = glamm.fit(text, data)
    best = minimize_scalar(lambda b: -loglik(b, known), bracket=(0.0, 1.0), tol=1e-10)
    assert found.llf == pytest.approx(-best.fun, abs=1e-8)
    assert found.params.iloc[0] == pytest.approx(best.x, abs=1e-5)


def test_sets_are_the_clusters_of_robust_errors():
    alone = glamm.fit(CHOICE, DATA, cov_type="robust")
    curvature = np.linalg.inv(glamm.fit(CHOICE, DATA).cov_params())
    b = alone.params.iloc[0]
    scores = []
    for _, rows in DATA.groupby("set"):
        share = np.exp(b * rows.price - logsumexp(b * rows.price))
        scores.append(float((rows.price * (rows.chosen - share)).sum()))
    meat = SETS / (SETS - 1) * np.sum(np.square(scores))
    assert alone.bse.iloc[0] == pytest.approx(float(np.sqrt(meat) / curvature[0, 0]), rel=1e-5)


def test_more_alternatives_than_the_engine_takes():
    many = pd.DataFrame({"set": np.repeat([1, 2], 70), "price": np.tile(np.arange(70.0), 2)})
    many["chosen"] = np.tile(np.arange(70) == 3, 2)
    with pytest.raises(glamm.DataError, match="70 categories or alternatives") as caught:
        glamm.Model("choice(chosen, set) ~ price", many)
    assert "at most 64" in str(caught.value) and "^" in str(caught.value)
