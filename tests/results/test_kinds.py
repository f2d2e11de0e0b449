"""Every kind of reported parameter in tables and intervals; mass points in predictions for new data."""

import numpy as np
import pandas as pd
import pytest
from results_at import result_at

import glamm

RNG = np.random.default_rng(31)
N = 20
DATA = pd.DataFrame({name: RNG.normal(size=N).round(2) for name in ("y1", "y2", "y3", "z")})


def test_intervals_of_degrees_of_freedom_stay_above_two():
    found = result_at("eta =~ y1 + y2 + y3; eta ~ student_t() + z", DATA, values={"df(eta)": 3.5})
    limits, error = found.conf_int().loc["df(eta)"], found.bse["df(eta)"]
    half = 1.959963984540054 * error / 1.5
    np.testing.assert_allclose(limits, 2.0 + 1.5 * np.exp([-half, half]), rtol=1e-12)
    row = found.tidy().loc["df(eta)"]
    np.testing.assert_allclose(row[["conf_low", "conf_high"]].astype(float), limits)
    assert "df(eta)" in str(found.summary())


@pytest.mark.parametrize(
    ("term", "name", "value"),
    [
        ("student_t(1 | g)", "df(1 | g)", 3.5),
        ("skew_normal(1 | g)", "shape(1 | g)", 1.25),
        ("normal_mixture(1 | g)", "separation(1 | g)", 1.75),
    ],
)
def test_distributions_of_random_effects_are_in_the_summary(term, name, value):
    data = DATA.assign(g=np.arange(N) // 4)
    page = str(result_at(f"y1 ~ z + {term}; sigma(y1) ~ z", data, values={name: value}).summary())
    assert "Fixed effects" in page
    table = page.split("Distributions of random effects")[1].splitlines()
    assert [f"{value:.4f}"] == [line.split(name)[1].split()[0] for line in table if name in line]


COVARYING = "y1 ~ z; y2 ~ z; y1 ~~ label(r)*y2; both := 2*r"


def test_residual_covariances_and_derived_parameters_are_in_the_tables():
    found = result_at(COVARYING, DATA, values={"sigma(y1)": 2.0, "sigma(y2)": 0.5, "y1 ~~ y2": 0.4})
    table = found.tidy()
    assert table.loc["y1 ~~ y2", "effect"] == "covariance"
    assert table.loc["both", ["effect", "estimate"]].tolist() == ["derived", 0.8]
    np.testing.assert_allclose(table.loc["both", "statistic"], 0.8 / found.bse["both"])
    page = str(found.summary())
    assert "Residual covariances" in page
    assert "Derived parameters" in page
    scaled = found.standardized().loc["y1 ~~ y2"]
    assert scaled["std.lv"] == pytest.approx(0.4)
    assert scaled["std.all"] == pytest.approx(0.4)
    assert len(found.glance()) == 1


POINTS = "eta =~ y1 + y2 + y3; eta ~ npml(3) + z"


POINT_VALUES = {
    "y1 ~ 1": 0.4,
    "eta =~ y2": 1.3,
    "eta ~ z": 0.7,
    "eta ~ npml(3)[1]": -0.9,
    "eta ~ npml(3)[2]": 0.2,
    "eta ~ npml(3)[1] ~ 1": 0.3,
    "eta ~ npml(3)[2] ~ 1": -0.6,
}


def test_mass_points_in_predictions_for_new_data(tmp_path):
    odds = np.exp([0.3, -0.6])
    # the mean of the points is 0
    third = {"eta ~ npml(3)[3]": 0.9 * odds[0] - 0.2 * odds[1]}
    found = result_at(POINTS, DATA, values=POINT_VALUES | third)
    p = found.params
    assert p["eta ~ npml(3)[1]"] == pytest.approx(-0.9)
    new = pd.DataFrame({"z": [0.3, -1.2]})
    expected = {"y1": p["y1 ~ 1"] + p["eta ~ z"] * new["z"]}
    expected |= {y: p[f"{y} ~ 1"] + p[f"eta =~ {y}"] * p["eta ~ z"] * new["z"] for y in ("y2", "y3")}
    found.save(tmp_path / "fit.glamm")
    for fit in (found, glamm.load(tmp_path / "fit.glamm")):
        for kind in ("response", "marginal"):
            np.testing.assert_allclose(fit.predict(new, kind), pd.DataFrame(expected), rtol=1e-9, atol=1e-12)
    assert "Mass points" in str(found.summary())
    assert (found.tidy()["effect"] == "location").sum() >= 2


def test_simulated_residuals_covary():
    values = {"sigma(y1)": 2.0, "sigma(y2)": 0.5, "y1 ~~ y2": 0.7, "y1 ~ z": 1.5}
    found = result_at(COVARYING, DATA, values=values)
    draws = found.simulate(20_000, seed=8)
    residuals = [
        draws.xs(y, axis=1, level="column") - found.predict(None, "response")[y].to_numpy()[:, None]
        for y in ("y1", "y2")
    ]
    covariance = np.cov([r.to_numpy().ravel() for r in residuals])
    # 400,000 draws: the standard errors of the entries are 0.009, 0.002 and 0.0006
    np.testing.assert_allclose(covariance, [[4.0, 0.7], [0.7, 0.25]], atol=0.03)


def test_simulated_latent_variables_have_their_distribution():
    values = {"shape(eta)": 6.0, "eta ~~ eta": 4.0, "sigma(y1)": 0.1, "eta =~ y2": 1.0}
    found = result_at("eta =~ y1 + y2 + y3; eta ~ skew_normal()", DATA, values=values)
    draws = found.simulate(5_000, seed=9).xs("y1", axis=1, level="column").to_numpy().ravel()
    draws = (draws - draws.mean()) / draws.std()
    delta = 6.0 / np.sqrt(37.0)
    about = delta * np.sqrt(2.0 / np.pi)
    skewness = (4.0 - np.pi) / 2.0 * about**3 / (1.0 - about**2) ** 1.5
    assert (draws**3).mean() == pytest.approx(skewness, abs=0.04)


def test_fit_measures_are_refused_where_a_residual_variance_is_random():
    found = result_at("eta =~ y1 + y2 + y3; sigma(y1) ~ eta", DATA)
    with pytest.raises(glamm.GlammError, match="a residual variance depends on latent variables"):
        found.fit_measures()
    assert "Chi-square" not in str(found.summary())


def test_derived_parameters_that_are_not_defined_say_so():
    found = result_at("eta =~ y1 + y2 + y3; low := log(`eta =~ y2` - 100); gap := 1 / (1 - 1)", DATA)
    for name in ("low", "gap"):
        assert not np.isfinite(found.params[name])
        assert np.isnan(found.bse[name])
        assert "not defined at the estimates" in found.missing_errors[name]
