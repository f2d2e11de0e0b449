"""Whole fits of plans: known optima, boundaries, separation, interruption, options."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from fit_problems import plan, simulated_logit

from glamm.errors import FitError
from glamm.inference import (
    AdaptiveQuadrature,
    FitOptions,
    Laplace,
    Missing,
    Newton,
    Objective,
    Status,
    maximise,
)

N = 240
# the information is that at a point up to 1e-3 standard errors from the maximum
SE = 1e-4
GROUP = np.repeat(np.arange(24), 10)


def rng(seed=0):
    return np.random.default_rng(seed)


def ones(n=N):
    return np.ones((n, 1))


def design(*columns):
    return np.column_stack([np.ones(len(columns[0])), *columns])


def fit(model, points="auto", **options):
    return maximise(model, FitOptions(integration=AdaptiveQuadrature(points), **options))


# ------------------------------------------------ known optima


def test_linear_regression_is_least_squares():
    x = design(rng(1).normal(size=N))
    y = 3 + 2 * x[:, 1] + rng(2).normal(size=N)
    found = fit(plan("gaussian", [y], x))
    beta, rss = np.linalg.lstsq(x, y, rcond=None)[:2]
    sigma = np.sqrt(rss[0] / N)
    np.testing.assert_allclose(found.theta, [*beta, np.log(sigma)], atol=1e-7)
    errors = np.sqrt(np.r_[sigma**2 * np.diag(np.linalg.inv(x.T @ x)), 0.5 / N])
    np.testing.assert_allclose(found.standard_errors, errors, rtol=1e-6)
    assert found.status is Status.CONVERGED
    assert found.rule == "exact" and found.integration_error == (0.0, 0.0)


def balanced(seed, between=1.5):
    u = between * rng(seed).normal(size=24)
    return 5 + u[GROUP] + rng(seed + 1).normal(size=N)


def test_balanced_one_way_layout_has_its_closed_form():
    y = balanced(3)
    found = fit(plan("gaussian", [y], ones(), [GROUP], [ones()]))
    means = y.reshape(24, 10).mean(axis=1)
    within = ((y - means[GROUP]) ** 2).sum() / (N - 24)
    between = ((means - y.mean()) ** 2).mean() - within / 10
    np.testing.assert_allclose(
        found.theta, [y.mean(), 0.5 * np.log(within), np.sqrt(between)], rtol=1e-6, atol=1e-7
    )
    assert found.points == (1,)
    assert found.evaluations < 25


def test_scale_of_the_response_does_not_matter():
    y = balanced(3)
    small = fit(plan("gaussian", [y], ones(), [GROUP], [ones()]))
    large = fit(plan("gaussian", [100 * y], ones(), [GROUP], [ones()]))
    np.testing.assert_allclose(large.theta[[0, 2]], 100 * small.theta[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(large.standard_errors[[0, 2]], 100 * small.standard_errors[[0, 2]], rtol=SE)
    assert large.loglik == pytest.approx(small.loglik - N * np.log(100), abs=1e-6)


def logit(seed=4, clusters=60, size=8, sd=1.0):
    y, x, group = simulated_logit(seed, clusters, size, sd)
    return plan("binomial", [y], x, [group], [ones(len(y))])


def test_gradient_vanishes_and_every_neighbour_is_lower():
    model = logit()
    found = fit(model, 9)
    assert found.status is Status.CONVERGED and found.converged
    objective = Objective(model, 9)
    assert objective.value(found.theta) == pytest.approx(found.loglik, abs=1e-9)
    scaled = objective.value_and_gradient(found.theta)[1] * found.standard_errors
    assert np.abs(scaled).max() < 1e-5
    for k, error in enumerate(found.standard_errors):
        for side in (-0.01, 0.01):
            moved = found.theta.copy()
            moved[k] += side * error
            assert objective.value(moved) < found.loglik


def test_standard_errors_are_those_of_the_observed_information():
    model = logit()
    found = fit(model, 9)
    objective = Objective(model, 9)
    hessian = np.empty((4, 4))
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-4
        up = objective.value_and_gradient(found.theta + step)[1]
        down = objective.value_and_gradient(found.theta - step)[1]
        hessian[k] = (up - down) / 2e-4
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(np.linalg.inv(-hessian))), rtol=SE)
    np.testing.assert_allclose(found.information, -hessian, rtol=1e-3, atol=1e-3)
    assert found.asymmetry < 1e-6


def test_start_does_not_move_the_end():
    model = logit()
    own = fit(model, 9)
    for start in ([0.0, 0.0, 0.0, 1.0], [2.0, -1.0, 1.0, -3.0]):
        other = fit(model, 9, start=np.array(start))
        np.testing.assert_allclose(other.theta, own.theta, atol=1e-5)


def test_cholesky_diagonals_end_positive():
    assert fit(logit(), 9, start=np.array([0.0, 0.5, 0.5, -1.0])).theta[3] > 0.5


def test_few_evaluations():
    found = fit(logit(), 7)
    assert found.evaluations < 30 and found.iterations < 14


def test_result_pickles():
    found = fit(logit(), 5)
    back = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(back.theta, found.theta)
    assert back.status is found.status and back.trace == found.trace


def test_weights_are_copies():
    y, x, group = simulated_logit(5, 30, 6)
    weight = rng(6).integers(1, 3, len(y)).astype(float)
    some = fit(plan("binomial", [y], x, [group], [ones(len(y))], weight=weight), 7)
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    copies = fit(plan("binomial", [y[rows]], x[rows], [group[rows]], [ones(len(rows))]), 7)
    np.testing.assert_allclose(some.theta, copies.theta, atol=1e-6)
    np.testing.assert_allclose(some.standard_errors, copies.standard_errors, rtol=SE)


# ------------------------------------------------ integration


def test_auto_raises_points_until_nothing_moves():
    model = logit(7, 80, 5, 3.0)
    auto = fit(model)
    fine = fit(model, 101)
    assert auto.status is Status.CONVERGED and auto.rule == "auto"
    assert auto.points[0] > 11
    assert abs(auto.loglik - fine.loglik) < 1e-5
    assert np.all(np.abs(auto.theta - fine.theta) < 1e-3 * fine.standard_errors)
    np.testing.assert_allclose(auto.standard_errors, fine.standard_errors, rtol=1e-3)
    assert auto.integration_error[0] < 1e-5 and auto.integration_error[1] < 1e-3


def test_error_of_a_fixed_rule_is_reported():
    model = logit(7, 80, 5, 3.0)
    coarse, fine = fit(model, 5), fit(model, 51)
    assert coarse.rule == "fixed" and coarse.points == (5,)
    assert coarse.integration_error[0] > 0.05 > fine.integration_error[0]
    assert coarse.converged


def test_largest_number_of_points_is_kept_to():
    model = logit(7, 80, 5, 3.0)
    found = maximise(model, FitOptions(integration=AdaptiveQuadrature(max_points=7)))
    assert found.points == (7,)
    assert found.status is Status.INTEGRATION_UNSETTLED and not found.converged


def test_laplace_is_one_point():
    model = logit()
    one = maximise(model, FitOptions(integration=Laplace()))
    assert one.points == (1,)
    np.testing.assert_array_equal(one.theta, fit(model, 1).theta)


def test_three_levels_choose_points_by_level():
    school = np.repeat(np.arange(12), 20)
    pupil = np.repeat(np.arange(60), 4)
    nu = 0.3 + rng(8).normal(size=12)[school] + rng(9).normal(size=60)[pupil]
    y = (rng(10).random(N) < 1 / (1 + np.exp(-nu))).astype(float)
    model = plan("binomial", [y], ones(), [pupil, school], [ones(), ones()])
    found = fit(model)
    assert found.converged and len(found.points) == 2
    fine = fit(model, 21)
    assert abs(found.loglik - fine.loglik) < 1e-4
    assert fit(model, (5, 9)).points == (5, 9)
    with pytest.raises(FitError, match="expected 2 numbers, one for each level"):
        fit(model, (5, 7, 9))


# ------------------------------------------------ boundary


def test_variance_at_zero_is_a_boundary_and_no_error():
    y = np.tile([0.0, 1.0], N // 2)
    x = design(rng(11).normal(size=N))
    found = fit(plan("binomial", [y], x, [GROUP], [ones()]))
    plain = fit(plan("binomial", [y], x))
    assert found.status is Status.BOUNDARY and found.converged
    assert found.theta[2] == 0.0 and found.boundary == (2,)
    assert found.missing == ((2, Missing.BOUNDARY),)
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-8)
    np.testing.assert_allclose(found.theta[:2], plain.theta, atol=1e-7)
    np.testing.assert_allclose(found.standard_errors[:2], plain.standard_errors, rtol=1e-5)


def test_correlated_effects_at_zero():
    y = np.tile([0.0, 1.0], N // 2)
    x = design(rng(11).normal(size=N))
    found = fit(plan("binomial", [y], x, [GROUP], [x]), 5)
    assert found.status is Status.BOUNDARY
    assert dict(found.missing)[2] is Missing.BOUNDARY
    assert np.isfinite(found.standard_errors[:2]).all()


def test_perfect_correlation_is_a_boundary():
    x = design(rng(12).normal(size=N))
    u = rng(13).normal(size=24)[GROUP]
    y = 1 + u * (1 + 0.8 * x[:, 1]) + 0.5 * rng(14).normal(size=N)
    found = fit(plan("gaussian", [y], x, [GROUP], [x]))
    one_factor = found.theta[3:6]
    assert found.converged
    if found.boundary:
        assert found.boundary == (5,) and one_factor[2] == 0.0
        assert np.isfinite(found.standard_errors[[0, 1, 2, 3, 4]]).all()
    else:
        assert one_factor[2] < 0.1 * one_factor[1]


def test_all_clusters_of_size_one():
    y = rng(15).integers(0, 2, N).astype(float)
    found = fit(plan("binomial", [y], design(rng(16).normal(size=N)), [np.arange(N)], [ones()]), 15)
    assert np.isfinite(found.loglik)
    reasons = dict(found.missing)
    assert 2 in reasons


# ------------------------------------------------ separation and collinearity


@pytest.mark.parametrize("family", ["binomial", "binomial(probit)", "binomial(cloglog)"])
def test_separated_responses_are_reported(family):
    always = (np.arange(N) % 4 == 0).astype(float)
    y = np.where(always == 1, 1, rng(17).integers(0, 2, N)).astype(float)
    found = fit(plan(family, [y], design(rng(18).normal(size=N), always), [GROUP], [ones()]), 7)
    assert found.status is Status.DIVERGING and not found.converged
    assert dict(found.missing)[2] is Missing.DIVERGING
    assert np.isfinite(found.theta).all() and np.isfinite(found.loglik)
    assert np.isfinite(found.standard_errors[:2]).all()


def test_completely_separated_responses():
    x = rng(19).normal(size=N)
    found = fit(plan("binomial", [(x > 0).astype(float)], design(x)))
    assert found.status is Status.DIVERGING
    assert found.loglik == pytest.approx(0.0, abs=1e-6)


def test_collinear_columns_are_named():
    x = rng(20).normal(size=N)
    y = rng(21).integers(0, 2, N).astype(float)
    found = fit(plan("binomial", [y], design(x, 3 * x)))
    assert dict(found.missing) == {1: Missing.UNIDENTIFIED, 2: Missing.UNIDENTIFIED}
    assert np.isfinite(found.standard_errors[0])
    (direction,) = found.flat
    np.testing.assert_allclose(direction[1] / direction[2], -3.0, rtol=1e-6)


def test_nearly_collinear_columns_are_not():
    year = 2000 + rng(22).integers(0, 3, N)
    y = rng(23).integers(0, 2, N).astype(float)
    found = fit(plan("binomial", [y], design(year)))
    centred = fit(plan("binomial", [y], design(year - 2001)))
    assert not found.missing
    assert found.standard_errors[1] == pytest.approx(centred.standard_errors[1], rel=1e-5)


# ------------------------------------------------ the way


def test_interrupted_fit_keeps_the_best_point():
    def stop(step):
        if step.number == 3:
            raise KeyboardInterrupt

    model = logit()
    found = fit(model, 9, progress=stop)
    assert found.status is Status.INTERRUPTED and not found.converged
    assert found.loglik == pytest.approx(Objective(model, 9).value(found.theta), abs=1e-8)
    assert found.loglik == found.trace[-1].loglik > found.trace[0].loglik
    assert {reason for _, reason in found.missing} == {Missing.NOT_COMPUTED}


def test_trace_tells_the_way():
    seen = []
    found = fit(logit(), 7, progress=seen.append)
    assert tuple(seen) == found.trace
    assert seen[0].points == (7,)
    assert np.all(np.diff([step.loglik for step in seen]) > -1e-7)
    assert seen[-1].gradient < 1e-4 < seen[0].gradient


def test_iteration_limit():
    found = maximise(
        logit(), FitOptions(integration=AdaptiveQuadrature(7), optimizer=Newton(max_iterations=1))
    )
    assert found.status is Status.ITERATION_LIMIT
    assert np.isfinite(found.standard_errors).all()


def test_start_without_a_value():
    found = fit(plan("poisson", [rng(24).poisson(3, N)], ones()), start=np.array([1e5]))
    assert found.converged or found.status is Status.NON_FINITE_START
    assert not np.isnan(found.theta).any()


def test_nothing_to_estimate():
    model = plan("poisson", [rng(24).poisson(3, N)], np.zeros((N, 0)))
    with pytest.raises(FitError, match="no parameter"):
        maximise(model)


def test_nothing_to_fit_to():
    model = logit()
    with pytest.raises(FitError, match="no response value"):
        maximise(replace(model, responses=()))


@pytest.mark.parametrize("points", ["many", 0, 2.5, (3, -1), True])
def test_bad_points(points):
    with pytest.raises(FitError, match="points="):
        AdaptiveQuadrature(points)


def test_bad_start():
    with pytest.raises(FitError, match="expected \\(4,\\)"):
        fit(logit(), 5, start=np.zeros(3))
