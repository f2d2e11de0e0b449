"""Tables as text and HTML, and the summary page of made-up fits."""

import numpy as np

from glamm.compile import ParameterRow
from glamm.results.estimates import Estimates
from glamm.results.facts import Facts, LevelFact, ResponseFact
from glamm.results.layout import Summary, TableBlock, TextBlock, number, p_value
from glamm.results.summary import summarise
from glamm.results.varcorr import var_corr

ROWS = (
    ParameterRow("y ~ 1", "fixed", "y", "mu", "", ("1",)),
    ParameterRow("y ~ x", "fixed", "y", "mu", "", ("x",)),
    ParameterRow("sigma(y)", "auxiliary", "y", "sigma", "", ("1",), "", "log"),
    ParameterRow("sd(1 | g)", "sd", terms=("1",), level="g", scale="log"),
    ParameterRow("sd(x | g)", "sd", terms=("x",), level="g", scale="log"),
    ParameterRow("cor(1, x | g)", "cor", terms=("1", "x"), level="g", scale="atanh"),
)


def facts(**changes):
    given = {
        "formula": "y ~ x + (1 + x | g)",
        "responses": (
            ResponseFact("y", "gaussian(identity)", 100, (("mu", ""), ("sigma", "")), (), "sigma"),
        ),
        "levels": (LevelFact("g", 10, ("1", "x")),),
        "nobs": 100.0,
        "n_parameters": 6,
        "log_likelihood": -123.456,
        "points": (7,),
        "rule": "auto",
        "integration_error": (1e-6, 2e-5),
        "converged": True,
        "status": "converged",
        "gradient": 1e-9,
        "condition": 12.0,
    }
    return Facts(**(given | changes))


def estimates(reasons=("",) * 6, errors=(0.1, 0.2, 0.05, 0.3, 0.2, 0.1)):
    values = np.array([1.0, -0.5, 2.0, 1.5, 0.25, -0.4])
    return Estimates(ROWS, values, np.diag(np.square(errors)), reasons)


def page(facts, estimates, residual=None):
    return str(summarise(facts, estimates, var_corr(estimates, ["g"], residual or {})))


def test_numbers():
    assert [number(x) for x in (1.0, -0.25, 0.0, 1e-7, 3e8)] == [
        "1.0000",
        "-0.2500",
        "0.0000",
        "1.00e-07",
        "3.00e+08",
    ]
    assert number(float("nan")) == "" and number(float("-inf")) == "-inf"
    assert [p_value(p) for p in (0.04321, 1e-9, float("nan"))] == ["0.043", "<0.001", ""]


def test_columns_are_aligned():
    lines = TableBlock("t", ("name", "value"), (("a", "1.0"), ("long name", "-10.25"))).text().splitlines()
    assert lines == [
        "t",
        " name        value",
        " -----------------",
        " a             1.0",
        " long name  -10.25",
    ]


def test_html_escapes_what_it_shows():
    shown = Summary((TextBlock(("a < b & c",)), TableBlock("<t>", ("h",), (("<script>",),))))._repr_html_()
    assert "a &lt; b &amp; c" in shown and "&lt;script&gt;" in shown and "<script>" not in shown


def test_summary_page():
    text = page(facts(), estimates(), {"y": (2.0, 0.05)})
    for piece in (
        "Formula:        y ~ x + (1 + x | g)",
        "Family:         gaussian(identity)",
        "Observations:   100; groups: g 10",
        "Log-likelihood: -123.4560 (6 parameters)",
        "AIC, BIC:       258.91, 274.54",
        "adaptive Gauss-Hermite, 7 points (auto)",
        "estimated error 1.0e-06 in log-likelihood, 2.0e-05 standard errors",
        "Converged:      yes",
        " g         (Intercept)    2.2500    1.5000    0.3000",
        "           x              0.0625    0.2500    0.2000  -0.40",
        " Residual                 4.0000    2.0000    0.0500",
        " x             -0.5000    0.2000  -2.50   0.012  -0.8920  -0.1080",
    ):
        assert piece in text, piece
    assert "Auxiliary" not in text and "note:" not in text


def test_footnotes_name_what_has_no_standard_error():
    reasons = ("", "", "", "", "0, on the boundary: no standard error", "")
    text = page(facts(notes=("3 rows left out",)), estimates(reasons, (0.1, 0.2, 0.05, 0.3, np.nan, 0.1)))
    assert "note: sd(x | g): 0, on the boundary: no standard error" in text
    assert "note: 3 rows left out" in text


def test_an_unconverged_fit_says_so_twice():
    text = page(facts(converged=False, status="not converged: the iteration limit was reached"), estimates())
    assert "Converged:      NO" in text
    assert "note: the fit has not converged: the iteration limit was reached" in text


def test_integration_is_described():
    assert "Laplace, 1 point\n" in page(facts(points=(1,), rule="fixed", integration_error=None), estimates())
    two = facts(points=(5, 9), levels=(LevelFact("a:b", 30, ("1",)), LevelFact("a", 9, ("1",))))
    assert "5 x 9 points" in page(two, estimates())
    assert "closed form" in page(facts(rule="exact"), estimates())
    assert "none needed" in page(facts(rule="exact", levels=()), estimates())


def test_var_corr_is_a_mapping_of_covariance_matrices():
    found = var_corr(estimates(), ["g"], {"y": (2.0, 0.05)})
    np.testing.assert_allclose(found["g"].to_numpy(), [[2.25, -0.15], [-0.15, 0.0625]])
    assert list(found) == ["g"] and list(found["g"].columns) == ["(Intercept)", "x"]
    frame = found.frame
    assert frame["grp"].tolist() == ["g", "g", "g", "Residual"]
    np.testing.assert_allclose(frame["sdcor"], [1.5, 0.25, -0.4, 2.0])
    np.testing.assert_allclose(frame["vcov"], [2.25, 0.0625, -0.15, 4.0])
