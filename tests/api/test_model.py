"""What a user calls: models, fits, options and the mistakes they can make."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest

import glamm
from glamm.errors import DataError, FitError, FormulaError, GlammError, PluginError

SEEDS = "cbind(r, n - r) ~ seed * extract + (1 | plate)"


@pytest.fixture(scope="module")
def seeds():
    return glamm.data.load("seeds")


@pytest.fixture(scope="module")
def model(seeds):
    return glamm.Model(SEEDS, seeds, "binomial")


def test_a_model_prints_what_it_means(model):
    text = str(model)
    for piece in (
        SEEDS,
        "binomial, 21 rows",
        "plate: 21 clusters, effects 1",
        "Parameters (5)",
        "sd(1 | plate)",
    ):
        assert piece in text
    assert SEEDS in repr(model)


def test_fit_is_model_and_fit_in_one(model, seeds):
    assert glamm.fit(SEEDS, seeds, "binomial").llf == model.fit().llf


def test_family_by_name_of_the_response():
    schools = glamm.data.load("schools")
    fit = glamm.fit("score + passed ~ ses + (1 | school)", schools, {"passed": "binomial(probit)"})
    assert [r.family for r in fit.facts.responses] == ["gaussian(identity)", "binomial(probit)"]
    assert fit.params.index[0] == "score ~ 1" and "passed ~ ses" in fit.params.index


def test_points_and_laplace(model):
    laplace = model.fit(method="laplace")
    assert laplace.points == (1,)
    assert laplace.llf == pytest.approx(model.fit(points=1).llf, abs=1e-10)
    assert model.fit(points=15).points == (15,)


def test_start_values_by_name(model):
    expected = model.fit(points=9)
    given = model.fit(points=9, start={"sd(1 | plate)": 0.5, "cbind(r, n - r) ~ 1": -0.5})
    assert given.llf == pytest.approx(expected.llf, abs=1e-8)
    again = model.fit(points=9, start=expected.params.to_numpy())
    np.testing.assert_allclose(again.params, expected.params, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"points": 0}, FitError, "points=0"),
        ({"points": "many"}, FitError, "points='many'"),
        ({"points": (3, 3)}, FitError, "expected 1 numbers"),
        ({"method": "laplas"}, FitError, "did you mean 'laplace'"),
        ({"method": "laplace", "points": 5}, FitError, "one-point rule"),
        ({"cov_type": "robst"}, GlammError, "did you mean 'robust'"),
        ({"start": {"sd(1 | plat)": 1.0}}, FitError, r"did you mean 'sd\(1 \| plate\)'"),
        ({"start": [1.0, 2.0]}, FitError, r"shape \(2,\)"),
        ({"start": [np.nan] * 5}, FitError, "not finite"),
        ({"threads": 0}, FitError, "threads=0"),
        ({"tol": -1.0}, FitError, "tol=-1.0"),
    ],
)
def test_mistakes_in_options(model, options, error, message):
    with pytest.raises(error, match=message):
        model.fit(**options)


@pytest.mark.parametrize(
    ("text", "family", "error", "message"),
    [
        ("r ~ seeds + (1 | plate)", "poisson", DataError, "did you mean 'seed'"),
        ("r ~ seed + (1 | plate", "poisson", FormulaError, "never closed"),
        ("r ~ seed + (1 | plate)", "poissn", PluginError, "did you mean 'poisson'"),
        ("r ~ seed + (1 | plate)", "poisson(logt)", PluginError, "logt"),
    ],
)
def test_mistakes_in_models(seeds, text, family, error, message):
    with pytest.raises(error, match=message):
        glamm.Model(text, seeds, family)


def test_ctrl_c_returns_the_best_point_so_far(model):
    seen = []

    def stop(step):
        seen.append(step)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.warns(glamm.ConvergenceWarning, match="interrupted"):
        fit = model.fit(points=5, progress=stop)
    assert fit.interrupted and not fit.converged
    assert fit.llf == pytest.approx(max(step.loglik for step in seen))
    assert np.isnan(fit.bse).all()
    assert "interrupted" in str(fit.summary())


def test_a_good_fit_does_not_warn(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.fit().converged


def test_any_data_frame_library(seeds):
    text, family = "r ~ n + (1 | plate)", "poisson"
    expected = glamm.fit(text, seeds, family)
    plain = seeds[["r", "n", "plate"]]
    for data in (
        polars.DataFrame(plain.to_dict("list")),
        pyarrow.table(plain.to_dict("list")),
        plain.to_dict("list"),
    ):
        fit = glamm.fit(text, data, family)
        assert fit.llf == expected.llf
        np.testing.assert_array_equal(fit.predict(data), expected.predict(seeds))


def test_rows_keep_their_labels_and_missing_ones_are_nan():
    data = glamm.data.load("schools").rename(index=lambda i: f"pupil{i}")
    data.loc["pupil3", "ses"] = np.nan
    data.loc["pupil5", "score"] = np.nan
    fit = glamm.fit("score ~ ses + (1 | school)", data)
    assert fit.nobs == 598
    assert "2 of 600 rows left out" in str(fit.summary())
    fitted = fit.fittedvalues
    assert fitted.index.equals(data.index)
    assert fitted.index[fitted.isna()].tolist() == ["pupil3", "pupil5"]
    assert fit.predict(data).notna()["pupil5"]


def test_weights_count_rows():
    data = glamm.data.load("pumps")
    data["w"] = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]
    text = "failures ~ 1 + offset(log(time))"
    fit = glamm.fit(text, data, "poisson", weights="w")
    repeated = glamm.fit(text, data.loc[np.repeat(data.index, data["w"])], "poisson")
    assert fit.nobs == repeated.nobs == 19
    assert fit.llf == pytest.approx(repeated.llf, rel=1e-12)
    np.testing.assert_allclose(fit.bse, repeated.bse, rtol=1e-6)


def test_import_is_lazy():
    code = "import sys, glamm; print('pandas' in sys.modules, glamm.__version__, 'Model' in dir(glamm))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", glamm.__version__, "True"]


def test_every_public_name_is_there():
    for name in glamm.__all__:
        assert getattr(glamm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        glamm.nothing  # noqa: B018


def test_an_index_of_strings_and_integers_as_clusters():
    data = pd.DataFrame({"y": np.arange(12.0) % 5, "g": [10**10 + k // 3 for k in range(12)]})
    fit = glamm.fit("y ~ 1 + (1 | g)", data)
    assert fit.ranef()["g"].index.tolist() == [10**10, 10**10 + 1, 10**10 + 2, 10**10 + 3]


def test_ctrl_c_waits_for_the_threads(tmp_path):
    # threads write into arrays of the evaluation that Ctrl-C leaves: without waiting the process crashes
    script = tmp_path / "script.py"
    script.write_text(
        """
import _thread, threading, warnings
import numpy as np
import glamm

warnings.simplefilter("ignore")
rng = np.random.default_rng(1)
clusters = np.arange(24000) // 6
data = {"y": rng.integers(0, 2, 24000), "h": clusters, "g": clusters // 8, "x": rng.normal(size=24000)}
model = glamm.Model("y ~ x + (1 | g/h)", data, "binomial")
stopped = 0
for delay in (0.0, 0.003, 0.01, 0.02, 0.03):
    timer = threading.Timer(delay, _thread.interrupt_main)
    try:
        stopped += model.fit(9, threads=2, progress=lambda step: step.number or timer.start()).interrupted
        timer.join()
    except KeyboardInterrupt:
        pass
print("stopped", stopped > 0)
""",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "-P", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped True\n", "")
