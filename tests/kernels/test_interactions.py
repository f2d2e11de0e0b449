"""Products of latent variables in the engine, against its NumPy twin, differences and integrals."""

from dataclasses import replace

import numpy as np
import pytest
from quadrature_problems import along, random_direction, random_problem, slope

from glamm.kernels import reference
from glamm.kernels._families import call_block

# sizes with rows first, coordinates of each level, products: within and across levels, and squares
SHAPES = {
    "one level": ((14, 4), (2,), ((0, 1),)),
    "one level, square": ((14, 4), (1,), ((0, 0),)),
    "two levels": ((18, 5, 2), (1, 1), ((0, 1), (1, 1))),
    "two levels, within each": ((18, 5, 2), (2, 2), ((0, 1), (2, 3), (1, 2), (0, 0))),
    "three levels": ((20, 8, 4, 2), (1, 1, 1), ((0, 2), (1, 2), (0, 1))),
}
CASES = {
    "gaussian": (("gaussian",), False),
    "binomial": (("binomial",), False),
    "poisson": (("poisson",), False),
    "gaussian, mean and sigma": (("gaussian",), True),
    "gamma, mean and shape": (("gamma",), True),
    "two responses": (("binomial", "gaussian"), False),
}


def problem_of(shape, case, seed=0, **options):
    sizes, dimensions, pairs = SHAPES[shape]
    families, both = CASES[case]
    return random_problem(
        seed + len(shape) + len(case), sizes, dimensions, families, pairs, both=both, **options
    )


def check_value_and_gradient(problem, points):
    rule = [points] * len(problem.dimensions)
    engine = problem.engine(rule)
    out = problem.evaluate(rule, engine, gradient=True)
    assert not out["failed"]
    expected = reference.adaptive(*problem.twin(), rule)
    assert out["loglik"] == pytest.approx(expected.loglik, rel=1e-9, abs=1e-9)
    for seed in range(3):
        direction = random_direction(problem, seed)

        def value(step, direction=direction):
            moved = problem.moved(direction, step)
            return moved.total(moved.evaluate(rule, engine)["loglik"])

        found = along(out, direction)
        assert found == pytest.approx(slope(value, 1e-3), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("points", [1, 3, 7])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient(shape, case, points):
    check_value_and_gradient(problem_of(shape, case), points)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_frequency_weights(shape, points):
    check_value_and_gradient(problem_of(shape, "two responses", weights=True), points)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", ["one level", "one level, square", "two levels"])
def test_many_points_reach_the_integral(shape, case):
    problem = problem_of(shape, case, size=0.08)
    rule = [49] * len(problem.dimensions)
    exact = reference.brute(*problem.twin(), step=0.1, reach=8.0)
    out = problem.evaluate(rule, moments=True)
    assert out["loglik"] == pytest.approx(exact.loglik, abs=1e-8)
    for level in range(len(problem.dimensions)):
        assert out["mean"][level] == pytest.approx(exact.mean[level], abs=1e-6)
        assert out["cov"][level] == pytest.approx(exact.covariance[level], abs=1e-6)


def test_a_cluster_of_many_rows_is_done_in_tiles():
    problem = random_problem(2, (1500, 2, 1), (1, 1), ("binomial",), ((0, 1), (0, 0)), both=True)
    assert 1500 * 25 > 2 * 16384
    check_value_and_gradient(problem, 5)


class Called:
    """A family called back in Python."""

    def __init__(self, family):
        self.family = family

    def block(self, y, nu, order):
        return call_block(self.family, y, nu, order)


def test_a_family_called_back_in_python():
    problem = problem_of("two levels", "gamma, mean and shape")
    compiled = problem.evaluate([3, 3], gradient=True)
    engine = problem.engine([3, 3], called=Called)
    called = problem.evaluate([3, 3], engine, gradient=True)
    assert called["loglik"] == pytest.approx(compiled["loglik"], rel=1e-12)
    for name in ("go", "ga", "gc"):
        assert called[name][0] == pytest.approx(compiled[name][0], rel=1e-9, abs=1e-9)


def test_threads_give_the_same_bits():
    problem = random_problem(4, (8000, 2000, 500), (1, 1), ("binomial",), ((0, 1),))
    one, two = (problem.evaluate([5, 5], gradient=True, moments=True, threads=t) for t in (1, 2))
    for name in ("loglik", "go", "ga", "gc", "mean", "cov"):
        for x, y in zip(one[name], two[name], strict=True):
            assert np.array_equal(x, y)


@pytest.mark.parametrize("case", CASES)
def test_coefficients_of_zero_are_no_products(case):
    problem = problem_of("two levels", case)
    plain = replace(problem, parts=tuple(replace(x, products=None, c=x.c[:, :, :0]) for x in problem.parts))
    zero = replace(problem, parts=tuple(replace(x, c=np.zeros_like(x.c)) for x in problem.parts))
    expected = plain.evaluate([4, 4], gradient=True)
    found = zero.evaluate([4, 4], gradient=True)
    assert [x.shape[2] for x in expected["gc"]] == [0] * len(plain.parts)
    assert found["loglik"] == pytest.approx(expected["loglik"], rel=1e-12)
    for name in ("go", "ga"):
        for x, y in zip(found[name], expected[name], strict=True):
            assert x == pytest.approx(y, rel=1e-9, abs=1e-9)


def test_modes_are_found_where_the_curvature_is_negative_on_the_way():
    # a large response with u^2 in its mean: at u = 0, where the search starts, the log density is convex
    problem = problem_of("one level, square", "gaussian")
    (part,) = problem.parts
    steep = replace(part, y=part.y + 6.0, c=np.ones_like(part.c))
    check_value_and_gradient(replace(problem, parts=(steep,)), 3)


def test_products_need_their_coefficients_and_existing_coordinates():
    problem = problem_of("two levels", "binomial")
    (part,) = problem.parts
    engine = problem.engine([3, 3])
    start = [np.zeros((k, 1)) for k in problem.clusters]
    with pytest.raises(ValueError, match="needs coefficients of its products"):
        engine.evaluate([part.o], [part.a], start)
    with pytest.raises(ValueError, match="coordinates from 0 to 1"):
        replace(problem, parts=(replace(part, products=np.array([[0, 2]])),)).engine([3, 3])
