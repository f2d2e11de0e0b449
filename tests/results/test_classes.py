"""Results of models with classes, against sums over classes and dense integration."""

import numpy as np
import pandas as pd
import pytest
from results_at import grid, moments, result_at
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

import glamm
from glamm.errors import GlammError

RNG = np.random.default_rng(8)
N = 10

# ------------------------------------------------ classes of rows

ITEMS = ["t1", "t2", "t3"]
ROWS = pd.DataFrame({item: RNG.integers(0, 2, N) for item in ITEMS} | {"x": RNG.normal(size=N).round(2)})
ROWS.loc[4, "t2"] = np.nan
LCA = "c =~ t1 + t2 + t3; c ~ classes(3) + x"
LOGITS = np.array([[1.0, -0.5, 0.3], [-1.2, 0.4, 0.9], [0.2, 2.0, -1.5]])
MEMBERSHIP = np.array([[0.4, 0.7], [-0.3, -0.5], [0.0, 0.0]])
LCA_AT = {f"{item} ~ c[{k + 1}]": LOGITS[i, k] for i, item in enumerate(ITEMS) for k in range(3)}
LCA_AT |= {f"c[{k + 1}] ~ {t}": MEMBERSHIP[k, j] for k in range(2) for j, t in enumerate(("1", "x"))}


def prior(x):
    """Return the probabilities of the classes, shape (n, 3)."""
    odds = np.exp(np.outer(np.ones(len(x)), MEMBERSHIP[:, 0]) + np.outer(x, MEMBERSHIP[:, 1]))
    return odds / odds.sum(axis=1, keepdims=True)


def posterior(data):
    found = prior(data["x"])
    for i, item in enumerate(ITEMS):
        y = data[item].to_numpy()[:, None]
        p = expit(LOGITS[i])
        found = found * np.where(np.isnan(y), 1.0, np.where(y == 1, p, 1 - p))
    return found / found.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def rows():
    return result_at(LCA, ROWS, "binomial", LCA_AT)


def test_conditional_means_are_mixed_over_the_posterior(rows):
    share = posterior(ROWS)
    found = rows.predict()
    for i, item in enumerate(ITEMS):
        seen = ROWS[item].notna()
        np.testing.assert_allclose(found[item][seen], (share @ expit(LOGITS[i]))[seen], rtol=1e-10)
        assert found[item][~seen].isna().all()
    np.testing.assert_allclose(rows.predict(kind="link")["t1"], share @ LOGITS[0], rtol=1e-10)


def test_means_for_new_rows_are_mixed_over_the_prior(rows):
    share = prior(ROWS["x"])
    for newdata in (ROWS, ROWS[["x"]]):
        for kind in ("response", "conditional", "marginal"):
            found = rows.predict(newdata, kind)
            for i, item in enumerate(ITEMS):
                np.testing.assert_allclose(found[item], share @ expit(LOGITS[i]), rtol=1e-10)
    found = rows.predict(kind="marginal")
    np.testing.assert_allclose(found["t1"], share @ expit(LOGITS[0]), rtol=1e-10)


def test_counts_are_of_the_data(rows):
    assert rows.nobs == 3 * N - 1
    assert [fact.units for fact in rows.facts.responses] == [N, N - 1, N]
    assert rows.facts.levels[0].clusters == N
    page = str(rows.summary())
    assert page.startswith("Generalized linear latent and mixed model")
    assert "Classes c (row): 3: 1, 2, 3" in page.replace("  ", " ")
    assert "Class membership" in page
    assert f"{3 * N - 1} in {N} rows" in page


def test_simulated_classes_have_the_prior(rows):
    share = prior(ROWS["x"])
    draws = rows.simulate(3000, seed=4)
    both = (
        draws.xs("t1", axis=1, level="column").to_numpy() * draws.xs("t3", axis=1, level="column").to_numpy()
    )
    expected = share @ (expit(LOGITS[0]) * expit(LOGITS[2]))
    error = np.sqrt(expected * (1 - expected) / both.shape[1])
    assert np.all(np.abs(both.mean(axis=1) - expected) < 4.5 * error)


# ------------------------------------------------ classes of groups, with random effects and known members

LONG = pd.DataFrame({"id": np.repeat(list("ebdac"), 3), "time": np.tile([0.0, 1.0, 2.0], 5)})
LONG["y"] = RNG.normal(size=15).round(2)
LONG["w"] = np.repeat(RNG.normal(size=5).round(2), 3)
LONG["member"] = np.repeat([None, "no", None, None, "yes"], 3)
GROWTH = 'y ~ time * c + (1 | id); c | id ~ classes("no", "yes", known=member) + w'
(SD,) = (name for name in glamm.Model(GROWTH, LONG).names if name.startswith("sd("))
GROWTH_AT = {
    "y ~ 1": 0.3,
    "y ~ time": 0.5,
    "y ~ c[T.yes]": 1.0,
    "y ~ time:c[T.yes]": -0.8,
    "sigma(y)": 0.7,
    SD: 0.9,
    "c[no] ~ 1": 0.2,
    "c[no] ~ w": 0.6,
}


def growth_means(time):
    """Return the mean of y in both classes, shape (n, 2)."""
    p = GROWTH_AT
    no = p["y ~ 1"] + p["y ~ time"] * time
    return np.column_stack([no, no + p["y ~ c[T.yes]"] + p["y ~ time:c[T.yes]"] * time])


def growth_posterior(rows):
    """Return probabilities of the classes, and mean and variance of the random intercept in each."""
    p = GROWTH_AT
    share = np.array([expit(p["c[no] ~ 1"] + p["c[no] ~ w"] * rows["w"].iloc[0]), 0.0])
    share[1] = 1.0 - share[0]
    member = rows["member"].iloc[0]
    if member in ("no", "yes"):
        share = np.array([member == "no", member == "yes"], dtype=float)
    tau, sigma = p[SD] ** 2, p["sigma(y)"] ** 2
    size = len(rows)
    means = growth_means(rows["time"].to_numpy())
    implied = tau * np.ones((size, size)) + sigma * np.eye(size)
    density = [multivariate_normal.pdf(rows["y"], means[:, k], implied) for k in range(2)]
    share = share * density
    gain = tau / (sigma + size * tau)
    centre = gain * (rows["y"].to_numpy()[:, None] - means).sum(axis=0)
    return share / share.sum(), centre, tau * (1 - gain * size)


@pytest.fixture(scope="module")
def growth():
    return result_at(GROWTH, LONG, None, GROWTH_AT, points=1)


def test_random_effects_are_mixed_over_classes(growth):
    frame = growth.ranef()["id"]
    assert sorted(frame.index) == list("abcde")
    for label, rows in LONG.groupby("id"):
        share, centre, variance = growth_posterior(rows)
        mean = share @ centre
        total = share @ (variance + (centre - mean) ** 2)
        np.testing.assert_allclose(frame.loc[label], [mean, np.sqrt(total)], rtol=1e-9)
    assert growth.ngrps() == {"id": 5}
    assert growth.nobs == 15


def test_predictions_of_known_and_new_groups(growth):
    own = growth.predict()
    expected = pd.Series(index=LONG.index, dtype=float)
    for _, rows in LONG.groupby("id"):
        share, centre, _ = growth_posterior(rows)
        expected[rows.index] = (growth_means(rows["time"].to_numpy()) + centre) @ share
    np.testing.assert_allclose(own, expected, rtol=1e-9)
    np.testing.assert_allclose(growth.predict(LONG), expected, rtol=1e-9)
    without = LONG[["id", "time", "w"]]
    # membership is known to the fit, whether or not the new data tell it again
    np.testing.assert_allclose(growth.predict(without), expected, rtol=1e-9)
    no = expit(GROWTH_AT["c[no] ~ 1"] + GROWTH_AT["c[no] ~ w"] * LONG["w"])
    unseen = (growth_means(LONG["time"].to_numpy()) * np.column_stack([no, 1 - no])).sum(axis=1)
    np.testing.assert_allclose(growth.predict(without.assign(id="new")), unseen, rtol=1e-9)
    member = growth.predict(LONG.assign(id="new", member="yes"))
    np.testing.assert_allclose(member, growth_means(LONG["time"].to_numpy())[:, 1], rtol=1e-9)


def test_simulated_members_stay_where_they_are_known(growth):
    draws = growth.simulate(4000, seed=6).to_numpy()
    known = (LONG["member"] == "yes").to_numpy()
    expected = growth_means(LONG["time"].to_numpy()[known])[:, 1]
    error = draws[known].std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(draws[known].mean(axis=1) - expected) < 4.5 * error)


# ------------------------------------------------ classes that depend on a latent variable

JOINT = """
eta | g =~ a1 + a2
c | g ~ classes(2) + eta
y ~ c + eta
family(y) = binomial
"""
JOINT_DATA = pd.DataFrame({"g": np.repeat([1, 2, 3], 2), "y": [0, 1, 1, 1, 0, 0]})
JOINT_DATA[["a1", "a2"]] = RNG.normal(size=(6, 2)).round(2)
JOINT_AT = {
    "a1 ~ 1": 0.1,
    "a2 ~ 1": -0.2,
    "eta =~ a2": 0.8,
    "sigma(a1)": 0.9,
    "sigma(a2)": 1.1,
    "eta ~~ eta": 1.3,
    "c[1] ~ 1": 0.4,
    "c[1] ~ eta": -0.9,
    "y ~ 1": -0.3,
    "y ~ c[T.2]": 1.1,
    "y ~ eta": 0.6,
}


def joint_parts(u):
    """Return eta, the probability of class 1 and the predictors of y in both classes."""
    p = JOINT_AT
    eta = np.sqrt(p["eta ~~ eta"]) * u
    first = p["y ~ 1"] + p["y ~ eta"] * eta
    return eta, expit(p["c[1] ~ 1"] + p["c[1] ~ eta"] * eta), (first, first + p["y ~ c[T.2]"])


@pytest.fixture(scope="module")
def joint():
    return result_at(JOINT, JOINT_DATA, None, JOINT_AT, points=31)


def test_scores_are_mixed_over_classes_that_depend_on_them(joint):
    p, found = JOINT_AT, joint.latent()["g"]
    points, weight = grid(1, step=0.02)
    eta, one, nu = joint_parts(points[:, 0])
    for label, rows in JOINT_DATA.groupby("g"):
        total = weight
        for a, loading in (("a1", 1.0), ("a2", p["eta =~ a2"])):
            for value in rows[a]:
                total = total * norm.pdf(value, p[f"{a} ~ 1"] + loading * eta, p[f"sigma({a})"])
        given = [np.prod([np.where(y, expit(part), expit(-part)) for y in rows["y"]], axis=0) for part in nu]
        total = total * (one * given[0] + (1 - one) * given[1])
        np.testing.assert_allclose(found.loc[label], moments(total, eta), atol=1e-6)


def test_marginal_means_integrate_over_both(joint):
    points, weight = grid(1, step=0.02)
    _, one, nu = joint_parts(points[:, 0])
    expected = weight @ (one * expit(nu[0]) + (1 - one) * expit(nu[1]))
    np.testing.assert_allclose(joint.predict(kind="marginal")["y"], expected, atol=1e-4)
    draws = joint.simulate(4000, seed=3).xs("y", axis=1, level="column").to_numpy()
    error = draws.std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(draws.mean(axis=1) - expected) < 4.5 * error)


# ------------------------------------------------ files


@pytest.mark.parametrize("name", ["rows", "growth", "joint"])
def test_saved_fits_come_back(request, name, tmp_path):
    fit = request.getfixturevalue(name)
    data = {"rows": ROWS, "growth": LONG, "joint": JOINT_DATA}[name]
    fit.save(tmp_path / "fit")
    back = glamm.load(tmp_path / "fit")
    assert str(back.summary()) == str(fit.summary())
    for own, other in ((fit.ranef(), back.ranef()), (fit.latent(), back.latent())):
        assert own.keys() == other.keys()
        for level in own:
            pd.testing.assert_frame_equal(own[level], other[level])
    for one in (fit, back):
        with pytest.raises(GlammError, match="not defined in models with classes"):
            one.standardized()
    for kind in ("response", "marginal", "linear"):
        np.testing.assert_array_equal(back.predict(data, kind), fit.predict(data, kind))


# ------------------------------------------------ classes of rows in groups

NESTED = "y ~ c + (1 | g); c ~ classes(2) + x"
NESTED_DATA = pd.DataFrame({"g": np.repeat(["v", "u"], 3), "x": [0.5, -1.0, 0.2, 1.1, -0.4, 0.0]})
NESTED_DATA["y"] = [0.3, 1.9, -0.8, 2.2, 0.1, 1.4]
NESTED_AT = {"y ~ 1": -0.2, "y ~ c[T.2]": 1.5, "sigma(y)": 0.6, "c[1] ~ 1": 0.3, "c[1] ~ x": -0.8}


def test_classes_below_a_random_effect():
    (sd,) = (name for name in glamm.Model(NESTED, NESTED_DATA).names if name.startswith("sd("))
    p = NESTED_AT
    found = result_at(NESTED, NESTED_DATA, None, p | {sd: 0.8}, points=31)
    points, weight = grid(1, step=0.01)
    effect = 0.8 * points[:, 0]
    prior_of = expit(p["c[1] ~ 1"] + p["c[1] ~ x"] * NESTED_DATA["x"])
    link = found.predict(kind="link")
    for label, rows in NESTED_DATA.groupby("g"):
        joint = {}
        for k, row in rows.iterrows():
            centres = (p["y ~ 1"], p["y ~ 1"] + p["y ~ c[T.2]"])
            odds = (prior_of[k], 1.0 - prior_of[k])
            joint[k] = [o * norm.pdf(row["y"], c + effect, 0.6) for o, c in zip(odds, centres, strict=True)]
        total = weight * np.prod([sum(parts) for parts in joint.values()], axis=0)
        np.testing.assert_allclose(found.ranef()["g"].loc[label], moments(total, effect), atol=1e-6)
        for k, (one, two) in joint.items():
            nu = p["y ~ 1"] + effect + p["y ~ c[T.2]"] * two / (one + two)
            assert link[k] == pytest.approx(moments(total, nu)[0], abs=1e-6)
    new = found.predict(NESTED_DATA[["x"]].assign(g="new"))
    np.testing.assert_allclose(new, p["y ~ 1"] + p["y ~ c[T.2]"] * (1.0 - prior_of), rtol=1e-9)
    assert found.nobs == 6
    draws = found.simulate(3000, seed=5).to_numpy()
    error = draws.std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(draws.mean(axis=1) - new) < 4.5 * error)
