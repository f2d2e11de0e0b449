"""Nodes shared by all clusters against adaptive quadrature, and fits with them against fits without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile.plan import Plan
from glamm.inference import FitOptions, Objective, maximise
from glamm.inference import shared as module
from glamm.inference.optimum import Optimum
from glamm.inference.options import AdaptiveQuadrature, Newton
from glamm.inference.shared import SharedObjective, shared_objective
from glamm.inference.shared_climb import SharedClimb
from glamm.inference.shared_information import complete_information, shared_information
from glamm.inference.status import Status

PERSONS = 400


def differences(function: Callable[[np.ndarray], object], theta: np.ndarray) -> np.ndarray:
    """Return the derivative of a function in each parameter by fourth-order differences."""
    h = 1e-3
    parts = []
    for unit in np.eye(len(theta)):
        values = [np.asarray(function(theta + step * h * unit)) for step in (-2, -1, 1, 2)]
        parts.append((values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h))
    return np.array(parts)


def answers(n: int = PERSONS, seed: int = 1) -> pd.DataFrame:
    """Return binary, graded and count items of two correlated factors, a group, and frequency weights."""
    rng = np.random.default_rng(seed)
    eta = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], n)
    group = np.arange(n) % 2
    latent = eta[:, np.arange(8) % 2] + rng.logistic(size=(n, 8)) + 0.4 * group[:, None]
    frame = pd.DataFrame({f"b{j}": (latent[:, j] > 0.2 * (j % 3)).astype(float) for j in range(8)})
    for j in range(6):
        codes = np.digitize(latent[:, j], [-1.0, 0.2, 1.4][: 2 + j % 2])
        frame[f"g{j}"] = pd.Categorical(codes, ordered=True)
    for j in range(3):
        mean = np.exp(0.3 + 0.4 * eta[:, 0])
        frame[f"c{j}"] = rng.poisson(mean).clip(max=6)
        frame[f"d{j}"] = rng.poisson(mean * rng.gamma(0.7, 1.0 / 0.7, n)).clip(max=9)
    frame["group"] = np.where(group, "b", "a")
    frame["x"] = rng.normal(size=n)
    frame["freq"] = rng.integers(0, 4, n)
    return frame


def with_missing(frame: pd.DataFrame, names: list[str], share: float = 0.1) -> pd.DataFrame:
    """Return the frame with values of some columns removed at random."""
    frame = frame.copy()
    rng = np.random.default_rng(5)
    for name in names:
        frame[name] = frame[name].mask(rng.random(len(frame)) < share)
    return frame


BINARY = [f"b{j}" for j in range(8)]
GRADED = [f"g{j}" for j in range(6)]
MODELS: dict[str, tuple[str, object]] = {
    "two-parameter logistic": ("f =~ NA*b0 + b1 + b2 + b3\nf ~~ 1*f", "binomial"),
    "free variance": ("f =~ b0 + b1 + b2 + b3 + b4", "binomial(probit)"),
    "graded responses": ("f =~ " + " + ".join(GRADED), "ordinal"),
    "partial credit": ("f =~ 1*g0 + 1*g1 + 1*g2 + 1*g3", "adjacent"),
    "counts": ("f =~ c0 + c1 + c2", "poisson"),
    "counts with dispersion": ("f =~ d0 + d1 + d2", "negative_binomial"),
    "several families": (
        "f =~ b0 + b1 + g2 + c0",
        {"b0": "binomial", "b1": "binomial(cloglog)", "g2": "ordinal", "c0": "poisson"},
    ),
    "items that are equal": ("f =~ NA*a*b0 + a*b1 + b2\nf ~~ 1*f\nb0 ~ m*1\nb1 ~ m*1", "binomial"),
    "two groups": ("f =~ b0 + b1 + b2 + b3\nf ~ group\nb1 ~ group", "binomial"),
    "standard deviations of two groups": ("f =~ b0 + b1 + b2 + b3\nsd(f) ~ group", "binomial"),
    "two factors": ("f =~ b0 + b2 + b4\ng =~ b1 + b3 + b5", "binomial"),
    "regression of factors": ("f =~ b0 + b2 + b4\ng =~ b1 + b3 + b5\ng ~ f", "binomial"),
}
MISSING = {
    "two-parameter logistic": BINARY[:2],
    "graded responses": GRADED[:3],
    "several families": ["b0", "g2"],
    "two factors": BINARY[:4],
}


def plan_of(name: str, frame: pd.DataFrame, weighted: bool = False) -> Plan:
    """Return the plan of a model for data with some values missing."""
    text, family = MODELS[name]
    weights = "freq" if weighted else None
    model = glamm.Model(text, with_missing(frame, MISSING.get(name, [])), family, weights=weights)
    return model.lowered.plan


def somewhere(plan: Plan, seed: int = 3) -> np.ndarray:
    """Return parameter values at which everything is random."""
    return 0.9 * plan.start + np.random.default_rng(seed).uniform(0.0, 0.3, plan.n_parameters)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shared nodes serve small data, too."""
    monkeypatch.setattr(module, "MANY", 0)
    monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(module, "COLUMNS_VECTORISED", 25)
    monkeypatch.setattr("glamm.inference.distinct_chain.REPEATS", 1)


def shared_of(objective: Objective, spacing: float = 0.2) -> SharedObjective:
    found = shared_objective(objective)
    assert found is not None
    return found.with_spacing(spacing)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_value_and_gradient_are_those_of_many_adaptive_nodes(name: str, weighted: bool) -> None:
    plan = plan_of(name, answers(), weighted)
    theta = somewhere(plan)
    adaptive = Objective(plan, 41)
    shared = shared_of(adaptive)
    value, gradient = shared.value_and_gradient(theta)
    expected, expected_gradient = adaptive.value_and_gradient(theta)
    assert value == pytest.approx(expected, rel=1e-9)
    assert shared.value(theta) == value
    # posteriors of few items are wide: nodes end where the normal distribution does
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MODELS)
def test_gradient_agrees_with_differences_for_any_nodes(name: str) -> None:
    plan = plan_of(name, answers(60))
    theta = somewhere(plan)
    shared = shared_of(Objective(plan, 7), spacing=1.1)
    _, gradient = shared.value_and_gradient(theta)
    np.testing.assert_allclose(gradient, differences(shared.value, theta), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_information_agrees_with_differences(
    name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glamm.inference.shared_information.COLUMNS", np.inf)
    plan = plan_of(name, answers(120), weighted)
    theta = somewhere(plan)
    shared = shared_of(Objective(plan, 7), spacing=0.3)
    found = shared_information(shared, theta)
    assert found is not None
    expected = -differences(lambda at: shared.value_and_gradient(at)[1], theta)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
    # what is known of the latent variables cannot be more than all there is to know
    complete = complete_information(shared, theta)
    assert np.trace(complete) > np.trace(found)
    if len(shared.weight) > 50:
        rough = shared_information(shared, theta, every=2)
        assert rough is not None
        assert np.trace(rough) == pytest.approx(np.trace(found), rel=0.3)


@pytest.mark.usefixtures("small")
def test_information_takes_clusters_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("graded responses", answers(120))
    shared, theta = shared_of(Objective(plan, 7)), somewhere(plan)
    whole = shared_information(shared, theta)
    value = shared.value(theta)
    monkeypatch.setattr(module, "CHUNK", 17 * len(shared.nodes))
    monkeypatch.setattr("glamm.inference.shared_information.NODES_AT_A_TIME", 1)
    assert shared.value(theta) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(shared_information(shared, theta), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("small")
def test_nodes_follow_the_posteriors() -> None:
    plan = plan_of("two-parameter logistic", answers())
    start = shared_of(Objective(plan, 7), spacing=1.5)
    theta = somewhere(plan)
    found = start.resolving(theta, 1.0)
    assert found is not None
    close, value = found
    assert close.spacing < start.spacing
    assert value == pytest.approx(Objective(plan, 41).value(theta), rel=1e-9)
    steep = theta.copy()
    # loadings so large that a posterior is narrower than any affordable spacing
    steep[:] = 1e4
    assert start.resolving(steep, 1.0) is None
    assert start.resolving(np.full_like(theta, np.nan), 1.0) is None


def test_what_has_no_repeated_units_is_left_alone() -> None:
    frame = answers(3000)
    assert shared_objective(Objective(plan_of("graded responses", frame), 7)) is not None
    assert shared_objective(Objective(plan_of("graded responses", answers(60)), 7)) is None
    for text, family in (
        ("f =~ b0 + b1 + b2 + b3 + b4\nf ~ x", "binomial"),
        ("f =~ b0 + b1 + b2 + b3 + b4\nb0 + b1 + b2 + b3 + b4 ~ x", "binomial"),
        ("f =~ b0 + b1 + b2\ng =~ b3 + b4\nh =~ b5 + b6 + b7", "binomial"),
        ("f =~ b0 + b1 + b2 + b3\ng =~ b4 + b5 + b6\nb7 ~ f + g + f:g", "binomial"),
    ):
        plan = glamm.Model(text, frame, family).lowered.plan
        assert shared_objective(Objective(plan, 7)) is None


# ------------------------------------------------ fits


def fits(plan: Plan, monkeypatch: pytest.MonkeyPatch, **options: object) -> tuple[Optimum, Optimum]:
    """Return the fit with shared nodes and the one without."""
    chosen = FitOptions(progress=False, **options)
    with_nodes = maximise(plan, chosen)
    monkeypatch.setattr(SharedClimb, "of", lambda *_: None)
    return with_nodes, maximise(plan, chosen)


def assert_same(found: Optimum, expected: Optimum) -> None:
    assert found.converged
    assert expected.converged
    assert found.rule == expected.rule
    assert found.loglik == pytest.approx(expected.loglik, rel=1e-9)
    known = np.isfinite(expected.standard_errors)
    np.testing.assert_array_equal(np.isfinite(found.standard_errors), known)
    change = (found.theta - expected.theta)[known] / expected.standard_errors[known]
    # the Newton decrement at which a fit ends is 1e-9
    np.testing.assert_allclose(change, 0.0, atol=1e-5)
    # differences of the gradient are taken along directions that each fit has from its own way
    np.testing.assert_allclose(found.standard_errors[known], expected.standard_errors[known], rtol=1e-3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_is_the_same_as_without(name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(name, answers(), weighted)
    calls = []
    monkeypatch.setattr(SharedClimb, "run", recorded(SharedClimb.run, calls))
    assert_same(*fits(plan, monkeypatch))
    assert calls == [True]


def recorded(function, calls):
    def run(*arguments):
        calls.append(function(*arguments))
        return calls[-1]

    return run


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["two-parameter logistic", "graded responses", "two factors"])
def test_standard_errors_of_large_data_are_those_of_louis(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(name, answers(1000))
    calls = []
    monkeypatch.setattr(SharedClimb, "information", recorded(SharedClimb.information, calls))
    monkeypatch.setattr("glamm.inference.fit.LARGE", 0)
    found, expected = fits(plan, monkeypatch, integration=AdaptiveQuadrature(points=21))
    assert_same(found, expected)
    assert [call is not None for call in calls] == [True]
    # each fit takes the information at a point that may be 1e-3 standard errors from its last
    np.testing.assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-4)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("points", [5, 15])
def test_the_same_with_points_that_are_given(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("two-parameter logistic", answers())
    assert_same(*fits(plan, monkeypatch, integration=AdaptiveQuadrature(points=points)))


@pytest.mark.usefixtures("small")
def test_the_same_within_constraints(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "f =~ NA*b0 + a*b1 + b*b2 + c*b3\nf ~~ 1*f\na + b == 2*c\nc > 1.2"
    plan = glamm.Model(text, answers(), "binomial").lowered.plan
    found, expected = fits(plan, monkeypatch)
    assert found.loglik == pytest.approx(expected.loglik, rel=1e-9)
    assert found.bounds == expected.bounds
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-5)


@pytest.mark.usefixtures("small")
def test_a_climb_that_fails_leaves_the_fit_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("two-parameter logistic", answers())
    monkeypatch.setattr(SharedClimb, "run", lambda *_: False)
    found, expected = fits(plan, monkeypatch)
    assert found.loglik == expected.loglik
    np.testing.assert_array_equal(found.theta, expected.theta)


@pytest.mark.usefixtures("small")
def test_iterations_are_limited_all_the_same() -> None:
    plan = plan_of("two-parameter logistic", answers())
    found = maximise(plan, FitOptions(progress=False, optimizer=Newton(max_iterations=2)))
    assert found.status is Status.ITERATION_LIMIT


@pytest.mark.usefixtures("small")
def test_an_interruption_leaves_the_best_point() -> None:
    plan = plan_of("two-parameter logistic", answers())
    begin = Objective(plan, 7).value(maximise(plan, FitOptions(progress=False)).theta)

    def stop(step: object) -> None:
        if step.number == 3:
            raise KeyboardInterrupt

    found = maximise(plan, FitOptions(progress=stop))
    assert found.status is Status.INTERRUPTED
    assert begin - 100.0 < found.loglik < begin
    assert found.loglik == pytest.approx(Objective(plan, found.points).value(found.theta), rel=1e-9)
