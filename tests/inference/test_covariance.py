"""Observed information against analytic matrices, and what it leaves undetermined."""

from __future__ import annotations

import numpy as np
import pytest

from glamm.inference.coordinates import Coordinates
from glamm.inference.covariance import observed_information, opg, sandwich, uncertainty
from glamm.inference.status import Missing

RNG = np.random.default_rng(7)
X = np.column_stack([np.ones(60), RNG.normal(size=(60, 2))])
TRUE = np.array([0.3, -0.5, 0.8])


def identity(size, latent=(), deficient=()):
    eye = np.eye(size)
    flags = [np.isin(np.arange(size), which) for which in (deficient, latent)]
    return Coordinates(eye, eye, *flags, flags[-1])


class Poisson:
    """Poisson regression with mean X theta on the log scale, at y = its mean: theta = TRUE is the maximum."""

    def __init__(self, x=X):
        self.x = x
        self.y = np.exp(x @ TRUE)

    def value_and_gradient(self, theta):
        nu = self.x @ theta
        return float(self.y @ nu - np.exp(nu).sum()), self.x.T @ (self.y - np.exp(nu))

    def accept(self):
        pass

    def information(self):
        return (self.x.T * np.exp(self.x @ TRUE)) @ self.x


@pytest.mark.parametrize("curvature", [np.eye(3), 1e3 * np.eye(3), np.diag([1.0, 100.0, 1e4])])
def test_central_differences_match_the_analytic_information(curvature):
    toy = Poisson()
    found = observed_information(toy, TRUE, curvature, np.arange(3))
    np.testing.assert_allclose(found.matrix, toy.information(), rtol=1e-6, atol=1e-5)
    assert found.evaluations == 6
    assert found.asymmetry < 1e-5


def test_one_sided_differences_are_accurate_enough_and_cheaper():
    toy = Poisson()
    gradient = toy.value_and_gradient(TRUE)[1]
    found = observed_information(toy, TRUE, toy.information(), np.arange(3), gradient=gradient)
    np.testing.assert_allclose(found.matrix, toy.information(), rtol=2e-4)
    assert found.evaluations == 3


def test_nearly_collinear_columns_lose_no_digits():
    x = np.column_stack([np.ones(60), 2000 + RNG.integers(0, 3, 60), X[:, 1]])
    toy = Poisson.__new__(Poisson)
    toy.x, toy.y = x, np.exp(x @ np.array([0.3, 0.0, 0.8]))
    theta = np.array([0.3, 0.0, 0.8])
    exact = (x.T * toy.y) @ x
    found = observed_information(toy, theta, 0.8 * exact, np.arange(3))
    errors = np.sqrt(np.diag(np.linalg.inv(found.matrix)))
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(exact))), rtol=1e-4)


def test_information_of_some_parameters():
    toy = Poisson()
    free = np.array([0, 2])
    found = observed_information(toy, TRUE, np.eye(3), free)
    np.testing.assert_allclose(found.matrix, toy.information()[np.ix_(free, free)], rtol=1e-5)


def test_covariance_is_the_inverse():
    toy = Poisson()
    known = uncertainty(toy.information(), TRUE, identity(3), np.arange(3))
    np.testing.assert_allclose(known.covariance, np.linalg.inv(toy.information()), rtol=1e-10)
    assert known.missing == () and known.flat == ()
    size = np.sqrt(np.diag(toy.information()))
    assert known.condition == pytest.approx(np.linalg.cond(toy.information() / np.outer(size, size)))


def test_change_of_coordinates_is_undone():
    transform = np.array([[2.0, -1.0], [0.0, 0.5]])
    none = np.zeros(2, bool)
    at = Coordinates(transform, np.linalg.inv(transform), none, none, none)
    information = np.array([[30.0, 4.0], [4.0, 20.0]])
    known = uncertainty(information, np.zeros(2), at, np.arange(2))
    expected = transform @ np.linalg.inv(information) @ transform.T
    np.testing.assert_allclose(known.covariance, expected, rtol=1e-12)


def test_flat_direction_names_its_members_and_spares_the_rest():
    direction = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    information = 50 * (np.eye(3) - np.outer(direction, direction))
    known = uncertainty(information, np.zeros(3), identity(3, deficient=(1,)), np.arange(3))
    assert known.missing == ((0, Missing.UNIDENTIFIED), (1, Missing.UNIDENTIFIED))
    np.testing.assert_allclose(np.abs(known.flat[0]), np.abs(direction), atol=1e-12)
    assert known.covariance[2, 2] == pytest.approx(0.02)
    assert np.isnan(known.covariance[0]).all() and np.isnan(known.covariance[:, 1]).all()


def test_far_along_a_flat_direction_is_diverging():
    known = uncertainty(np.diag([50.0, 1e-8]), np.array([0.0, 20.0]), identity(2), np.arange(2))
    assert known.missing == ((1, Missing.DIVERGING),)


def test_negative_information_is_no_maximum():
    known = uncertainty(np.diag([50.0, -3.0]), np.zeros(2), identity(2), np.arange(2))
    assert known.missing == ((1, Missing.INDEFINITE),)


def test_information_that_could_not_be_computed():
    known = uncertainty(np.full((2, 2), np.nan), np.zeros(2), identity(2), np.arange(2))
    assert known.missing == ((0, Missing.NOT_COMPUTED), (1, Missing.NOT_COMPUTED))
    assert np.isnan(known.covariance).all()


def test_sandwich_of_independent_means():
    y = RNG.normal(size=200) * np.linspace(0.5, 2, 200)
    scores = (y - y.mean())[:, None]
    robust = sandwich(np.array([[1 / 200]]), scores)
    assert robust[0, 0] == pytest.approx(y.var(ddof=1) / 200)


def test_sandwich_counts_weights_as_copies():
    scores = RNG.normal(size=(20, 2))
    weight = RNG.integers(1, 4, 20).astype(float)
    covariance = np.array([[0.1, 0.02], [0.02, 0.2]])
    copies = np.repeat(scores, weight.astype(int), axis=0)
    np.testing.assert_allclose(
        sandwich(covariance, scores * weight[:, None], weight), sandwich(covariance, copies), rtol=1e-12
    )


def test_sandwich_keeps_missing_parameters_missing():
    covariance = np.array([[0.1, np.nan], [np.nan, np.nan]])
    robust = sandwich(covariance, RNG.normal(size=(20, 2)))
    assert np.isfinite(robust[0, 0]) and np.isnan(robust[1]).all()


def test_outer_products():
    scores = RNG.normal(size=(50, 3))
    np.testing.assert_allclose(opg(scores), np.linalg.inv(scores.T @ scores), rtol=1e-8)
    part = opg(scores, np.array([0, 2]))
    assert np.isnan(part[1]).all() and np.isfinite(part[0, 2])
