"""The maximiser on functions whose maximum is known."""

from __future__ import annotations

import numpy as np
import pytest

from glamm.inference.optimize import Search, climb, newton_step, positive
from glamm.inference.status import Status

NOBODY = np.zeros(2, dtype=bool)


class Toy:
    """A function with its gradient, which counts calls and remembers accepted points."""

    def __init__(self, function):
        self.function = function
        self.calls = 0
        self.accepted = 0

    def value_and_gradient(self, x):
        self.calls += 1
        return self.function(x)

    def accept(self):
        self.accepted += 1


def search_from(toy, x, curvature=None):
    x = np.asarray(x, float)
    value, gradient = toy.value_and_gradient(x)
    return Search(x, value, gradient, np.eye(x.size) if curvature is None else curvature)


def run(toy, search, *, capped=NOBODY, limit=200, tolerance=1e-12, report=lambda *_: None):
    return climb(toy, search, capped, tolerance=tolerance, limit=limit, report=report)


def quadratic(centre, matrix):
    centre, matrix = np.asarray(centre, float), np.asarray(matrix, float)
    return lambda x: (-0.5 * (x - centre) @ matrix @ (x - centre), -matrix @ (x - centre))


def banana(x):
    a, b = x
    value = -((1 - a) ** 2 + 100 * (b - a * a) ** 2)
    return value, np.array([2 * (1 - a) + 400 * a * (b - a * a), -200 * (b - a * a)])


def test_quadratic_with_its_own_curvature_takes_one_step():
    matrix = np.array([[4.0, 1.0], [1.0, 2.0]])
    toy = Toy(quadratic([3, -1], matrix))
    search = search_from(toy, [0, 0], matrix.copy())
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [3, -1], rtol=1e-12)
    assert toy.calls == 2


def test_badly_scaled_quadratic():
    toy = Toy(quadratic([3, -1e4], np.diag([1e8, 1e-8])))
    search = search_from(toy, [0, 0])
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [3, -1e4], rtol=1e-5)


def test_curved_valley():
    toy = Toy(banana)
    search = search_from(toy, [-1.2, 1.0])
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [1, 1], atol=1e-5)
    assert toy.calls < 80


def test_backs_off_from_where_there_is_no_value():
    def logarithm(x):
        if np.any(x <= 0):
            return -np.inf, np.full(2, np.nan)
        return float(np.sum(np.log(x) - x)), 1 / x - 1

    toy = Toy(logarithm)
    search = search_from(toy, [5.0, 0.01], 0.01 * np.eye(2))
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [1, 1], atol=1e-5)
    assert toy.accepted == search.iterations < toy.calls


def test_nan_is_backed_off_from():
    def odd(x):
        value, gradient = quadratic([1, 1], np.eye(2))(x)
        return (np.nan if abs(x[0]) > 3 else value), gradient

    toy = Toy(odd)
    search = search_from(toy, [0, 0], 0.1 * np.eye(2))
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [1, 1], atol=1e-5)


def test_starts_from_an_indefinite_curvature():
    toy = Toy(quadratic([1, 2], np.eye(2)))
    search = search_from(toy, [0, 0], np.diag([-1.0, 1.0]))
    assert run(toy, search) is None
    np.testing.assert_allclose(search.theta, [1, 2], atol=1e-6)


def test_caps_steps_of_cholesky_entries():
    seen = []
    toy = Toy(quadratic([100, 0], np.eye(2)))
    search = search_from(toy, [0, 0])
    run(toy, search, capped=np.array([True, False]), report=lambda s, _: seen.append(s.theta[0]))
    assert seen[1] == pytest.approx(1.5)
    assert seen[2] == pytest.approx(1.5 + 1.5 * 1.5)
    np.testing.assert_allclose(search.theta, [100, 0], atol=1e-5)


def test_iteration_limit():
    toy = Toy(banana)
    search = search_from(toy, [-1.2, 1.0])
    assert run(toy, search, limit=3) is Status.ITERATION_LIMIT
    assert search.iterations <= 3


def test_wrong_gradient_is_a_failed_line_search():
    toy = Toy(lambda x: (-float(x @ x), 2 * x))
    search = search_from(toy, [1.0, 1.0])
    assert run(toy, search) is Status.LINE_SEARCH
    np.testing.assert_array_equal(search.theta, [1, 1])


def test_interruption_leaves_the_best_point():
    def stop(search, _):
        if search.iterations == 4:
            raise KeyboardInterrupt

    toy = Toy(banana)
    search = search_from(toy, [-1.2, 1.0])
    with pytest.raises(KeyboardInterrupt):
        run(toy, search, report=stop)
    assert search.loglik == banana(search.theta)[0] > banana(np.array([-1.2, 1.0]))[0]


def test_log_likelihood_never_falls():
    seen = []
    toy = Toy(banana)
    run(toy, search_from(toy, [-1.2, 1.0]), report=lambda s, _: seen.append(s.loglik))
    assert np.all(np.diff(seen) > -1e-7)


def test_positive_keeps_a_definite_matrix_and_mends_others():
    good = np.array([[2.0, 1e-3], [1e-3, 1e-6]])
    np.testing.assert_allclose(positive(good), good, rtol=1e-12)
    for bad in (np.diag([1.0, -2.0]), np.diag([1.0, 0.0]), np.zeros((2, 2))):
        assert np.linalg.eigvalsh(positive(bad)).min() > 0


def test_newton_step_of_a_singular_curvature_is_finite():
    search = Search(np.zeros(2), 0.0, np.array([1.0, 0.0]), np.diag([1.0, 0.0]))
    step, decrement = newton_step(search)
    np.testing.assert_allclose(step, [1, 0], atol=1e-8)
    assert decrement == pytest.approx(1.0)
