"""Factors whose correlation matrix is singular, or nearly: which scale is fixed does not matter."""

import numpy as np
import pandas as pd
import pytest

import glamm


def factors(seed):
    """Return three indicators each of two to four factors, which are fewer variables than that or as many."""
    rng = np.random.default_rng(100 + seed)
    q = int(rng.integers(2, 5))
    rank = int(rng.integers(1, q + 1))
    weights = rng.normal(size=(q, rank))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    values = rng.normal(size=(250, rank)) @ weights.T
    names = "abcd"[:q]
    data = {
        f"{n}{k}": values[:, i] * 0.8 + 0.6 * rng.normal(size=250) for i, n in enumerate(names) for k in "123"
    }
    return "; ".join(f"{n.upper()} =~ {n}1 + {n}2 + {n}3" for n in names), pd.DataFrame(data)


# two to four factors; at the boundary, near it and inside
@pytest.mark.parametrize("seed", [2, 3, 4, 11, 13, 16, 24])
def test_unit_variances_and_markers(seed):
    text, data = factors(seed)
    marker, unit = glamm.fit(text, data), glamm.fit(text, data, std_lv=True)
    assert marker.converged and unit.converged
    assert unit.llf == pytest.approx(marker.llf, abs=1e-6)
    covariance = marker.params.filter(like="~~")
    for first in text.split("; "):
        for second in text.split("; "):
            a, b = first[0], second[0]
            if f"{a} ~~ {b}" in unit.params:
                sd = np.sqrt(covariance[f"{a} ~~ {a}"] * covariance[f"{b} ~~ {b}"])
                correlation = covariance[f"{a} ~~ {b}"] / sd
                assert unit.params[f"{a} ~~ {b}"] == pytest.approx(correlation, abs=2e-3)


def test_a_factor_that_is_the_sum_of_two_others():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 300))
    values = {"a": a, "b": b, "c": (a + b) / np.sqrt(2.0)}
    data = pd.DataFrame(
        {f"{n}{k}": f * 0.8 + 0.6 * rng.normal(size=300) for n, f in values.items() for k in "123"}
    )
    text = "A =~ a1 + a2 + a3; B =~ b1 + b2 + b3; C =~ c1 + c2 + c3"
    marker, unit = glamm.fit(text, data), glamm.fit(text, data, std_lv=True)
    assert marker.converged and unit.converged
    # the row of C turns at infinity until the likelihood is highest
    assert unit.llf == pytest.approx(marker.llf, abs=1e-6)
    assert "boundary" in unit.missing_errors["A ~~ C"] or "singular" in unit.missing_errors["A ~~ C"]


def test_a_residual_variance_of_zero_beside_constraints():
    """An indicator that is the factor itself, with loadings and intercepts of the others equal."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(120), 3)
    u = rng.normal(size=120)
    answers = (rng.random(360) < 1.0 / (1.0 + np.exp(-u[group]))).astype(int).reshape(120, 3)
    data = pd.DataFrame(answers, columns=["y0", "y1", "y2"]).assign(q=u)
    equal = "; `t =~ y0` == `t =~ y1`; `t =~ y0` == `t =~ y2`; `y0 ~ 1` == `y1 ~ 1`; `y0 ~ 1` == `y2 ~ 1`"
    families = {f"y{k}": "binomial" for k in range(3)}
    found = glamm.fit("t =~ y0 + y1 + y2 + q" + equal, data, families, std_lv=True)
    labels = "t =~ label(a)*y0 + label(a)*y1 + label(a)*y2 + q" + "".join(
        f"; y{k} ~ label(b)*1" for k in range(3)
    )
    plain = glamm.fit(labels, data, families, std_lv=True)
    for fit in (found, plain):
        assert fit.converged and "boundary" in fit.missing_errors["sigma(q)"]
    assert found.llf == pytest.approx(plain.llf, abs=1e-6)
