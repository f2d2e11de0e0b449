"""Predictions, residuals and draws of choices and rankings, against softmaxes and sums written out here."""

import numpy as np
import pandas as pd
import pytest
from results_at import grid, result_at

import glamm

RNG = np.random.default_rng(12)


def made(sets=30):
    """Return sets of two to four alternatives in shuffled rows, three sets a person."""
    parts = []
    for number in range(sets):
        k = int(RNG.integers(2, 5))
        utility = RNG.gumbel(size=k)
        part = pd.DataFrame({"trip": number, "person": number // 3, "x": RNG.normal(size=k).round(2)})
        part["z"] = RNG.normal(size=k).round(2)
        part["chosen"] = (utility == utility.max()).astype(int)
        part["rank"] = np.argsort(np.argsort(-utility)) + 1
        parts.append(part)
    data = pd.concat(parts, ignore_index=True)
    data["bags"] = RNG.poisson(2.0, len(data))
    return data.sample(frac=1.0, random_state=3)


DATA = made()
RANDOM = "choice(chosen, trip) ~ x + z + (0 + x | person)"
VALUES = {"choice(chosen, trip) ~ x": 0.7, "choice(chosen, trip) ~ z": -0.4, "sd(x | person)": 0.9}


def by_set(data, utility, column="trip"):
    """Return the share of each row in its set."""
    worth = np.exp(utility)
    return worth / worth.groupby(data[column]).transform("sum")


def test_conditional_predictions_are_shares_of_the_set():
    fit = result_at(RANDOM, DATA, values=VALUES)
    u = DATA["person"].map(fit.ranef()["person"]["x"])
    expected = by_set(DATA, (0.7 + u) * DATA["x"] - 0.4 * DATA["z"])
    for found in (fit.predict(), fit.fittedvalues, fit.predict(kind="probability"), fit.predict(DATA)):
        pd.testing.assert_series_equal(found, expected, check_names=False, rtol=1e-12)
    pd.testing.assert_series_equal(fit.resid, DATA["chosen"] - expected, check_names=False)
    fixed = 0.7 * DATA["x"] - 0.4 * DATA["z"]
    pd.testing.assert_series_equal(fit.predict(kind="linear"), fixed, check_names=False)
    pd.testing.assert_series_equal(fit.predict(kind="link"), fixed + u * DATA["x"], check_names=False)
    zero = fit.predict(random="zero")
    pd.testing.assert_series_equal(zero, by_set(DATA, fixed), check_names=False, rtol=1e-12)


def test_marginal_predictions_integrate_what_the_alternatives_share():
    fit = result_at(RANDOM, DATA, values=VALUES)
    points, weight = grid(1)
    expected = sum(
        w * by_set(DATA, (0.7 + 0.9 * u) * DATA["x"] - 0.4 * DATA["z"])
        for (u,), w in zip(points, weight, strict=True)
    )
    found = fit.predict(kind="marginal")
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(found.groupby(DATA["trip"]).sum(), 1.0, rtol=1e-12)


def test_new_sets(tmp_path):
    fit = result_at(RANDOM, DATA, values=VALUES)
    new = pd.DataFrame(
        {
            "trip": ["b", "a", "b", "a", "b", "b", "b", "c", "c"],
            "person": [1, 99, 1, 99, 1, 1, 1, 99, 99],
            "x": [0.3, 1.0, -0.2, 0.5, 2.0, np.nan, 0.0, 1.0, np.nan],
            "z": [1.0, 0.0, 0.5, -1.0, 0.2, 0.1, 0.4, 2.0, 1.0],
        }
    )
    u = fit.ranef()["person"]["x"].loc[1] * (new["person"] == 1)
    complete = new[new["x"].notna()]
    expected = by_set(complete, ((0.7 + u) * new["x"] - 0.4 * new["z"])[complete.index]).reindex(new.index)
    fit.save(tmp_path / "fit.glamm")
    for model in (fit, glamm.load(tmp_path / "fit.glamm")):
        # the set of five alternatives, one of them incomplete, is larger than any of the fit
        pd.testing.assert_series_equal(model.predict(new), expected, check_names=False, rtol=1e-12)
        assert model.predict(new, kind="marginal").isna().tolist() == new["x"].isna().tolist()
        with pytest.raises(glamm.GlammError, match="no column 'trip'"):
            model.predict(new.drop(columns="trip"))


def test_sets_of_several_clusters_are_refused():
    fit = result_at(RANDOM, DATA, values=VALUES)
    new = DATA.assign(person=np.arange(len(DATA)) % 5)
    with pytest.raises(glamm.GlammError, match="lies in several clusters"):
        fit.predict(new)


def test_rankings_predict_who_comes_first():
    data = DATA.copy()
    trips = data["trip"].unique()
    # ties in front, and a set where none but the first is ranked
    data.loc[data["trip"] == trips[0], "rank"] = 1
    data.loc[(data["trip"] == trips[1]) & (data["rank"] > 1), "rank"] = 0
    fit = result_at("ranking(rank, trip) ~ x", data, values={"ranking(rank, trip) ~ x": 1.3})
    expected = by_set(data, 1.3 * data["x"])
    pd.testing.assert_series_equal(fit.predict(), expected, check_names=False, rtol=1e-12)
    seen = (data["rank"] == 1).astype(float).where(data["trip"] != trips[0])
    pd.testing.assert_series_equal(fit.resid, seen - expected, check_names=False)


@pytest.mark.parametrize(
    ("form", "column"), [("choice(chosen, trip)", "chosen"), ("ranking(rank, trip)", "rank")]
)
def test_draws_have_the_probabilities(form, column):
    text = f"{form} ~ x + z"
    fit = result_at(text, DATA, values={f"{form} ~ x": 0.7, f"{form} ~ z": -0.4})
    n = 4000
    draws = fit.simulate(n, seed=5).xs(column, axis=1, level="column")
    assert fit.simulate(seed=5).columns.tolist() == [column]
    first = draws == 1
    assert (first.groupby(DATA["trip"]).sum() == 1).all(axis=None)
    p = by_set(DATA, 0.7 * DATA["x"] - 0.4 * DATA["z"])
    z = (first.mean(axis=1) - p) / np.sqrt(p * (1.0 - p) / n)
    assert np.abs(z).max() < 4.2
    if column == "rank":
        sizes = DATA.groupby("trip")["x"].transform("size")
        assert (draws.max(axis=1) == sizes).all()


def test_draws_of_a_joint_model_share_what_is_random():
    text = f"{RANDOM}; bags ~ x + (1 | person); family(bags) = poisson"
    fit = result_at(text, DATA)
    drawn = fit.simulate(seed=2)
    assert set(drawn.columns) == {"chosen", "bags"}
    assert (drawn["chosen"].groupby(DATA["trip"]).sum() == 1).all()
    found = fit.predict()
    assert found.columns.tolist() == ["choice(chosen, trip)", "bags"]
    np.testing.assert_allclose(found["choice(chosen, trip)"].groupby(DATA["trip"]).sum(), 1.0)


def test_classes_of_choosers():
    text = "choice(chosen, trip) ~ 0 + c:x; c | person ~ classes(2)"
    fit = result_at(text, DATA)
    table = fit.params
    slopes = [table.filter(like=f"c[{k}]").filter(like=":x") for k in (1, 2)]
    assert all(len(s) == 1 for s in slopes), table
    values = {slopes[0].index[0]: 1.4, slopes[1].index[0]: -0.6}
    fit = result_at(text, DATA, values=values)
    shares = [by_set(DATA, b * DATA["x"]) for b in values.values()]
    odds = [fit.params["c[1] ~ 1"], 0.0]
    prior = np.exp(odds) / np.exp(odds).sum()
    expected = sum(p * s for p, s in zip(prior, shares, strict=True))
    pd.testing.assert_series_equal(fit.predict(kind="marginal"), expected, check_names=False, rtol=1e-12)
    new = DATA.assign(person=1000 + DATA["person"])
    pd.testing.assert_series_equal(fit.predict(new), expected, check_names=False, rtol=1e-12)
    likelihood = [s.where(DATA["chosen"] == 1).groupby(DATA["person"]).prod() for s in shares]
    posterior = [p * f for p, f in zip(prior, likelihood, strict=True)]
    known = [DATA["person"].map(f / sum(posterior)) for f in posterior]
    expected = sum(p * s for p, s in zip(known, shares, strict=True))
    for found in (fit.predict(), fit.predict(DATA)):
        pd.testing.assert_series_equal(found, expected, check_names=False, rtol=1e-10)
    drawn = fit.simulate(seed=4)
    assert (drawn["chosen"].groupby(DATA["trip"]).sum() == 1).all()


@pytest.mark.parametrize("random", [True, False, "zero"])
@pytest.mark.parametrize(
    ("text", "family"),
    [
        (RANDOM, None),
        ("choice(chosen, trip) ~ 0 + c:x; c | person ~ classes(2)", None),
        ("bags ~ x + (1 | person)", "poisson"),
        ("rank ~ x + (1 | person)", "ordinal"),
    ],
)
def test_new_rows_none_of_which_is_complete_have_no_predictions(text, family, random):
    new = DATA.head(5).assign(x=np.nan)
    found = result_at(text, DATA, family).predict(new, random=random)
    assert len(found) == 5
    assert np.isnan(found.to_numpy()).all()


TRIPS = made(240)
CASES = TRIPS.assign(
    place=TRIPS.groupby("trip").cumcount().map({0: "a", 1: "b", 2: "c", 3: "d"}),
    income=TRIPS["person"].map(dict(enumerate(RNG.normal(size=80)))),
    town=np.where(TRIPS["person"] % 2, "u", "v"),
)
BY_HAND = CASES.assign(
    **{k: (CASES["place"] == k) * 1.0 for k in "bcd"},
    **{f"i{k}": (CASES["place"] == k) * CASES["income"] for k in "bcd"},
)


@pytest.mark.parametrize("text", ["place + x + place:income", "place*income + x", "x + place + income:place"])
def test_what_a_whole_set_shares_cancels_in_interactions(text, tmp_path):
    """Case-specific covariates with a factor, against dummies made by hand."""
    fit = glamm.fit(f"choice(chosen, trip) ~ {text}", CASES)
    plain = glamm.fit("choice(chosen, trip) ~ b + c + d + ib + ic + id + x", BY_HAND)
    assert fit.llf == pytest.approx(plain.llf, abs=1e-9)
    assert len(fit.params) == len(plain.params) == 7
    np.testing.assert_allclose(np.sort(fit.params), np.sort(plain.params), atol=1e-6)
    fit.save(tmp_path / "fit.glamm")
    part = CASES[CASES["trip"] % 3 == 0]
    expected = plain.predict(BY_HAND[CASES["trip"] % 3 == 0])
    for model in (fit, glamm.load(tmp_path / "fit.glamm")):
        pd.testing.assert_series_equal(model.predict(part), expected, rtol=1e-6)


def test_transforms_and_factors_of_sets_in_interactions():
    first = glamm.fit("choice(chosen, trip) ~ x + place*log(income + 5)", CASES)
    made = CASES.assign(log=np.log(CASES["income"] + 5.0))
    assert first.llf == pytest.approx(glamm.fit("choice(chosen, trip) ~ x + place*log", made).llf, abs=1e-9)
    whole = glamm.fit("choice(chosen, trip) ~ x + place*town", CASES)
    towns = CASES.assign(v=(CASES["town"] == "v") * 1.0)
    assert whole.llf == pytest.approx(glamm.fit("choice(chosen, trip) ~ x + place*v", towns).llf, abs=1e-9)
    both = glamm.fit("choice(chosen, trip) ~ x + income*town*x", CASES)
    assert len(both.params) == 4


def test_modifiers_reach_columns_however_they_are_coded():
    equal = glamm.fit("choice(chosen, trip) ~ place + x + label(q)*place:income", CASES)
    assert equal.params.filter(like="income").nunique() == 1
    held = glamm.fit("choice(chosen, trip) ~ place + x + 0*place:income", CASES)
    assert held.llf == pytest.approx(glamm.fit("choice(chosen, trip) ~ place + x", CASES).llf, abs=1e-9)
    beside = glamm.fit("z ~ income + label(q)*town:income", CASES)
    assert len(beside.params) == 4
    slopes = glamm.fit("z ~ income + label(q)*place:income", CASES).params.filter(like="place")
    assert len(slopes) == 3 and slopes.nunique() == 1
