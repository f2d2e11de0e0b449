"""Linear equalities and inequalities: maps against linear algebra, active sets against scipy.optimize."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, linprog, minimize

from glamm.errors import FitError
from glamm.inference.constraints import Bounds, Equalities, LinearMap, fit_within_bounds
from glamm.numdiff import differentiate


def equalities(matrix, value):
    matrix = np.asarray(matrix, dtype=float)
    return Equalities(matrix, np.asarray(value, dtype=float), [f"row {k}" for k in range(len(matrix))])


def bounds(matrix, lower):
    matrix = np.asarray(matrix, dtype=float)
    return Bounds(matrix, np.asarray(lower, dtype=float), [f"row {k}" for k in range(len(matrix))])


def unconstrained(size):
    return LinearMap.of(equalities(np.zeros((0, size)), []))


def test_equal_parameters_keep_the_first():
    # b == a, d == a, with c alone
    found = LinearMap.of(equalities([[1, -1, 0, 0], [1, 0, 0, -1]], [0, 0]))
    np.testing.assert_array_equal(found.free, [0, 2])
    np.testing.assert_array_equal(found.matrix, [[1, 0], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(found.constant, np.zeros(4))
    np.testing.assert_array_equal(found.expand(np.array([2.0, 5.0])), [2, 2, 5, 2])


def test_the_largest_coefficient_is_solved_for():
    # a == 2*b + 1
    found = LinearMap.of(equalities([[1, -2]], [1]))
    np.testing.assert_array_equal(found.free, [0])
    np.testing.assert_array_equal(found.matrix, [[1], [0.5]])
    np.testing.assert_array_equal(found.constant, [0, -0.5])


def test_without_equalities_the_map_is_the_identity():
    found = unconstrained(3)
    np.testing.assert_array_equal(found.matrix, np.eye(3))
    np.testing.assert_array_equal(found.free, [0, 1, 2])


def test_every_parameter_may_be_fixed():
    found = LinearMap.of(equalities([[1, 1], [1, -1]], [3, 1]))
    assert found.matrix.shape == (2, 0)
    np.testing.assert_allclose(found.expand(np.zeros(0)), [2, 1], rtol=1e-15)
    assert found.reduce(np.array([2.0, 1.0])).shape == found.pull(np.ones(2)).shape == (0,)


@st.composite
def consistent(draw):
    """Return rows with redundant ones among them, and a point that satisfies them."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    size = draw(st.integers(1, 8))
    rank = draw(st.integers(0, size))
    whole = draw(st.booleans())
    base = rng.integers(-3, 4, size=(rank, size)).astype(float) if whole else rng.normal(size=(rank, size))
    extra = draw(st.integers(0, 3))
    matrix = np.vstack([base, rng.integers(-2, 3, size=(extra, rank)) @ base])
    matrix *= 10.0 ** rng.integers(-4, 5, size=(len(matrix), 1))
    point = rng.normal(size=size) * 3.0
    return rng, matrix[rng.permutation(len(matrix))], point


@settings(deadline=None)
@given(consistent())
def test_the_map_spans_the_solutions(case):
    rng, matrix, point = case
    found = LinearMap.of(equalities(matrix, matrix @ point))
    # relative to its size, a row's rank is what it was before
    unit = matrix / np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-300)
    size = matrix.shape[1]
    rank = np.linalg.matrix_rank(unit, tol=1e-9) if len(unit) else 0
    assert found.matrix.shape == (size, size - rank)
    phi = rng.normal(size=size - rank)
    theta = found.expand(phi)
    scale = 1.0 + np.abs(theta).max() + np.abs(point).max()
    np.testing.assert_allclose(unit @ theta, unit @ point, atol=1e-9 * scale)
    np.testing.assert_array_equal(theta[found.free], phi)
    np.testing.assert_allclose(found.reduce(theta), phi, atol=1e-8 * scale)
    np.testing.assert_allclose(found.expand(found.reduce(point)), point, atol=1e-8 * scale)


def test_reduce_finds_the_nearest_solution():
    found = LinearMap.of(equalities([[1, 1, 0]], [1]))
    theta = np.array([2.0, 1.0, 4.0])
    np.testing.assert_allclose(found.expand(found.reduce(theta)), [1.0, 0.0, 4.0], atol=1e-12)


def test_pull_is_the_gradient_by_coordinates():
    rng = np.random.default_rng(1)
    found = LinearMap.of(equalities(rng.normal(size=(2, 5)), rng.normal(size=2)))
    phi = rng.normal(size=3)

    def function(channels):
        theta = found.expand(np.array([float(channel) for channel in channels]))
        return np.array(np.exp(0.3 * theta).sum() + theta[0] * theta[4])

    theta = found.expand(phi)
    gradient = 0.3 * np.exp(0.3 * theta)
    gradient[[0, 4]] += theta[[4, 0]]
    _, numeric = differentiate(function, list(phi), 1)
    np.testing.assert_allclose(found.pull(gradient), numeric, rtol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "value", "message"),
    [
        ([[1, -1, 0], [0, 1, 0], [2, -2, 0]], [0, 5, 1], "`row 0` and `row 2` cannot hold together"),
        (
            [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]],
            [1, 1, 1, 3],
            "`row 0` and `row 1` and `row 3` ",
        ),
        ([[1, 0, 0], [0, 0, 0]], [1, 2], "the constraint `row 1` cannot hold$"),
    ],
)
def test_contradictions_are_named(matrix, value, message):
    with pytest.raises(FitError, match=message):
        LinearMap.of(equalities(matrix, value))


def test_redundant_rows_are_dropped_whatever_their_rounding():
    third = 1.0 / 3.0
    found = LinearMap.of(equalities([[third, third], [1, 1], [0.1 + 0.2, 0.3]], [third, 1, 0.3]))
    np.testing.assert_allclose(found.matrix, [[1.0], [-1.0]], rtol=1e-14)
    np.testing.assert_allclose(found.constant, [0.0, 1.0], rtol=1e-14)


# ---------------------------------------------------------------- bounds


@dataclass(frozen=True)
class Found:
    theta: np.ndarray
    value: float
    gradient: np.ndarray


class Toy:
    """A convex function, fitted with rows held; counts its fits."""

    def __init__(self, value, gradient, hessian, held):
        self.value, self.gradient, self.hessian = value, gradient, hessian
        self.held = held
        self.rows = []

    def __call__(self, active):
        self.rows.append(tuple(active))
        size = self.held.matrix.shape[1]
        matrix = np.vstack([self.held.matrix, *(row.coefficients[None] for row in active.values())])
        value = np.concatenate([self.held.value, [row.value for row in active.values()]])
        space = LinearMap.of(equalities(matrix, value))
        # no row may be redundant
        assert space.matrix.shape[1] == size - len(matrix)
        phi = np.zeros(size - len(matrix))
        for _ in range(100):
            theta = space.expand(phi)
            pulled = space.pull(self.gradient(theta))
            step = np.linalg.solve(space.matrix.T @ self.hessian(theta) @ space.matrix, pulled)
            shrink = 1.0
            while (
                self.value(space.expand(phi - shrink * step)) > self.value(theta) + 1e-12 and shrink > 1e-10
            ):
                shrink /= 2.0
            phi = phi - shrink * step
        theta = space.expand(phi)
        return Found(theta, self.value(theta), self.gradient(theta))


def quadratic(hessian, centre, held):
    return Toy(
        lambda theta: 0.5 * (theta - centre) @ hessian @ (theta - centre),
        lambda theta: hessian @ (theta - centre),
        lambda theta: hessian,
        held,
    )


def poisson(design, counts, held):
    """Return minus a Poisson log-likelihood with a slight ridge, that every direction be convex."""
    return Toy(
        lambda theta: float(np.exp(design @ theta).sum() - counts @ (design @ theta) + 0.05 * theta @ theta),
        lambda theta: design.T @ (np.exp(design @ theta) - counts) + 0.1 * theta,
        lambda theta: (design.T * np.exp(design @ theta)) @ design + 0.1 * np.eye(len(theta)),
        held,
    )


def by_scipy(toy, limits):
    """Return the minimum within bounds and equalities from scipy's sequential quadratic programming."""
    size = limits.matrix.shape[1]
    start = linprog(
        np.zeros(size),
        A_ub=-limits.matrix,
        b_ub=-limits.lower,
        A_eq=toy.held.matrix if len(toy.held.matrix) else None,
        b_eq=toy.held.value if len(toy.held.matrix) else None,
        bounds=(None, None),
    ).x
    constraints = [LinearConstraint(limits.matrix, limits.lower, np.inf)]
    if len(toy.held.matrix):
        constraints.append(LinearConstraint(toy.held.matrix, toy.held.value, toy.held.value))
    found = minimize(
        toy.value,
        start,
        jac=toy.gradient,
        method="SLSQP",
        constraints=constraints,
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    # with so small a tolerance it may report that no step improves on the minimum any more
    assert found.status in (0, 8)
    return found.x


def check_kkt(toy, limits, result):
    """Check that the result is a minimum: inside, multipliers not negative, gradient in their span."""
    theta = result.fit.theta
    assert (limits.matrix @ theta >= limits.lower - 1e-8).all()
    rows = list(result.active)
    np.testing.assert_allclose(limits.matrix[rows] @ theta, limits.lower[rows], atol=1e-8)
    assert (result.multipliers >= -1e-4).all()
    rest = result.fit.gradient - limits.matrix[rows].T @ result.multipliers
    pulled = LinearMap.of(toy.held).pull(rest)
    np.testing.assert_allclose(pulled, 0.0, atol=1e-5 * (1.0 + np.abs(result.fit.gradient).max()))


@st.composite
def problems(draw):
    """Return a toy and bounds that some point satisfies, with rows through one vertex and repeated rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 5))
    rows = draw(st.integers(1, 9))
    inside = rng.normal(size=size)
    matrix = rng.normal(size=(rows, size))
    if draw(st.booleans()):
        matrix = rng.integers(-1, 2, size=(rows, size)).astype(float)
    matrix *= 10.0 ** rng.integers(-1, 2, size=(rows, 1))
    gap = np.where(rng.random(rows) < draw(st.sampled_from([0.0, 0.5])), 0.0, rng.exponential(size=rows))
    limits = bounds(matrix, matrix @ inside - gap)
    number = draw(st.integers(0, min(2, size - 1)))
    held = rng.normal(size=(number, size))
    held = equalities(held, held @ inside)
    if draw(st.booleans()):
        root = rng.normal(size=(size, size))
        toy = quadratic(root @ root.T + 0.3 * np.eye(size), 3.0 * rng.normal(size=size), held)
    else:
        design = 0.5 * rng.normal(size=(20, size))
        toy = poisson(design, rng.poisson(2.0, size=20), held)
    return toy, limits


@settings(max_examples=150, deadline=None)
@given(problems())
def test_a_convex_minimum_within_bounds_is_found(case):
    toy, limits = case
    result = fit_within_bounds(toy, limits, LinearMap.of(toy.held))
    assert result.converged
    assert result.fits == len(toy.rows)
    check_kkt(toy, limits, result)


@pytest.mark.parametrize("seed", range(12))
def test_the_minimum_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    size = 4
    inside = rng.normal(size=size)
    matrix = rng.normal(size=(7, size))
    limits = bounds(matrix, matrix @ inside - rng.exponential(size=7))
    held = rng.normal(size=(seed % 3, size))
    held = equalities(held, held @ inside)
    if seed % 2:
        root = rng.normal(size=(size, size))
        toy = quadratic(root @ root.T + 0.3 * np.eye(size), 4.0 * rng.normal(size=size), held)
    else:
        toy = poisson(rng.normal(size=(20, size)), rng.poisson(2.0, size=20), held)
    result = fit_within_bounds(toy, limits, LinearMap.of(held))
    expected = by_scipy(toy, limits)
    assert result.fit.value == pytest.approx(toy.value(expected), rel=1e-7, abs=1e-8)
    np.testing.assert_allclose(result.fit.theta, expected, atol=1e-5)


def test_bounds_that_meet_in_a_point_may_cross_by_rounding():
    lower = [-0.08878843978045241, -22.321644819929137, -0.08878843978045275]
    lower += [0.08878843978045278, 0.08878843978045302, -0.03771754704747552]
    toy = quadratic(np.eye(1), np.array([0.09919883467849167]), equalities(np.zeros((0, 1)), []))
    result = fit_within_bounds(toy, bounds([[-1], [-1], [-1], [1], [1], [1]], lower), unconstrained(1))
    assert result.converged
    np.testing.assert_allclose(result.fit.theta, lower[3], rtol=1e-12)


def test_bounds_that_do_not_bind_cost_one_fit():
    toy = quadratic(np.eye(2), np.ones(2), equalities(np.zeros((0, 2)), []))
    result = fit_within_bounds(toy, bounds(np.eye(2), [0, 1]), unconstrained(2))
    assert (result.fits, result.active, result.converged) == (1, (), True)
    np.testing.assert_allclose(result.fit.theta, [1, 1])


def test_multipliers_are_the_price_of_a_bound():
    hessian = np.array([[2.0, 1.0], [1.0, 3.0]])
    toy = quadratic(hessian, np.array([-1.0, 2.0]), equalities(np.zeros((0, 2)), []))

    def minimum(lower):
        return fit_within_bounds(toy, bounds([[4, 0]], [lower]), unconstrained(2))

    result = minimum(2.0)
    assert result.active == (0,)
    price = (minimum(2.0 + 1e-4).fit.value - minimum(2.0 - 1e-4).fit.value) / 2e-4
    assert result.multipliers == pytest.approx([price], rel=1e-6)


def test_a_violated_bound_need_not_stay_active():
    # the unconstrained minimum violates both bounds, and the minimum is inside of the first
    hessian = np.array([[1.0, 0.9], [0.9, 1.0]])
    toy = quadratic(hessian, np.array([-0.1, -2.0]), equalities(np.zeros((0, 2)), []))
    result = fit_within_bounds(toy, bounds(np.diag([-1.0, 1.0]), [-2.0, 0.0]), unconstrained(2))
    check_kkt(toy, bounds(np.diag([-1.0, 1.0]), [-2.0, 0.0]), result)
    toy = quadratic(hessian, np.array([-1.0, 2.0]), equalities(np.zeros((0, 2)), []))
    limits = bounds([[1.0, 0.0], [0.0, -1.0]], [0.0, -1.9])
    result = fit_within_bounds(toy, limits, unconstrained(2))
    check_kkt(toy, limits, result)
    assert result.active == (0,)


def test_every_set_of_rows_gives_the_same_minimum_as_enumeration():
    rng = np.random.default_rng(5)
    for _ in range(10):
        root = rng.normal(size=(3, 3))
        hessian, centre = root @ root.T + 0.1 * np.eye(3), 2.0 * rng.normal(size=3)
        limits = bounds(rng.normal(size=(5, 3)), -rng.exponential(size=5))
        toy = quadratic(hessian, centre, equalities(np.zeros((0, 3)), []))
        best = np.inf
        for size in range(4):
            for rows in map(list, itertools.combinations(range(5), size)):
                space = LinearMap.of(equalities(limits.matrix[rows].reshape(-1, 3), limits.lower[rows]))
                inner = space.matrix.T @ hessian @ space.matrix
                theta = space.expand(
                    np.linalg.solve(inner, space.matrix.T @ hessian @ (centre - space.constant))
                )
                if (limits.matrix @ theta >= limits.lower - 1e-9).all():
                    best = min(best, toy.value(theta))
        result = fit_within_bounds(toy, limits, unconstrained(3))
        assert result.fit.value == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_a_function_with_several_minima_ends_inside():
    # two wells; fits without the bound fall into the one outside whenever they are free
    def fit(active):
        at = active[0].value if active else -1.0
        return Found(
            np.array([at]), (at**2 - 1.0) ** 2 + 0.2 * at, np.array([4.0 * at * (at**2 - 1.0) + 0.2])
        )

    result = fit_within_bounds(fit, bounds([[1.0]], [0.5]), unconstrained(1))
    assert not result.converged
    assert result.fit.theta == pytest.approx([0.5])
    assert result.active == (0,)
    assert result.multipliers == pytest.approx([4 * 0.5 * (0.25 - 1) + 0.2])


@pytest.mark.parametrize(
    ("matrix", "lower", "message"),
    [
        ([[1, 0], [0, 1], [-1, 0]], [1, 0, 0], "`row 0` and `row 2` cannot hold together"),
        ([[1, 1]], [2], "the constraint `row 0` cannot hold$"),
    ],
)
def test_bounds_that_nothing_satisfies(matrix, lower, message):
    # a + b == 1
    held = equalities([[1, 1]], [1]) if len(matrix) == 1 else equalities(np.zeros((0, 2)), [])
    toy = quadratic(np.eye(2), np.zeros(2), held)
    with pytest.raises(FitError, match=message):
        fit_within_bounds(toy, bounds(matrix, lower), LinearMap.of(held))


def test_bounds_that_the_equalities_decide_are_left_out():
    held = equalities([[1, 1]], [1])
    toy = quadratic(np.eye(2), np.array([-3.0, 0.0]), held)
    result = fit_within_bounds(toy, bounds([[1, 1], [1, 0]], [1, 0]), LinearMap.of(held))
    np.testing.assert_allclose(result.fit.theta, [0, 1], atol=1e-12)
    assert result.active == (1,)
