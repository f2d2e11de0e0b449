"""Latent distributions against SciPy's, and integrals over them by the engine against fine lattices."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

from glamm import registry
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan
from glamm.graph import family_spec
from glamm.inference import Objective
from glamm.protocols import TRANSFORMS, Column, LatentRatio

U = np.linspace(-6.0, 6.0, 41)


@pytest.mark.parametrize("df", [2.5, 5.0, 40.0])
def test_student_t(df):
    expected = stats.t.logpdf(U, df, scale=np.sqrt((df - 2.0) / df))
    found = registry.latent("student_t").log_density(U, np.array(df))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [-4.0, 0.0, 1.0, 10.0])
def test_skew_normal(shape):
    law = stats.skewnorm(shape)
    expected = law.logpdf(law.mean() + law.std() * U) + np.log(law.std())
    found = registry.latent("skew_normal").log_density(U, np.array(shape))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("weight", "separation", "ratio"), [(0.5, 2.0, 1.0), (0.8, 4.0, 0.5), (0.1, 0.2, 3.0)]
)
def test_normal_mixture(weight, separation, ratio):
    mean = (1.0 - weight) * separation
    sd = np.sqrt(weight + (1.0 - weight) * (ratio**2 + separation**2) - mean**2)
    z = mean + sd * U
    parts = weight * stats.norm.pdf(z), (1.0 - weight) * stats.norm.pdf(z, separation, ratio)
    parameters = (np.array(p) for p in (weight, separation, ratio))
    found = registry.latent("normal_mixture").log_density(U, *parameters)
    np.testing.assert_allclose(found, np.log(sd * sum(parts)), rtol=1e-12)


CLUSTERS, SIZE, SD = 20, 8, 0.6
DRAWS = np.random.RandomState(7)
CLUSTER = np.repeat(np.arange(CLUSTERS), SIZE)
X = DRAWS.uniform(-1.0, 1.0, CLUSTERS * SIZE)
LAW = registry.latent("skew_normal", shape=4.0)
TRUE = LAW.simulate(np.random.default_rng(3), CLUSTERS, 4.0)
Y = DRAWS.poisson(np.exp(2.0 + X + SD * TRUE[CLUSTER])).astype(float)
DESIGN = np.column_stack((np.ones_like(X), X))
DISTRIBUTIONS = {
    "student_t": ("student_t", {}, (6.0,), 15),
    "student_t, df=3": ("student_t", {"df": 3.0}, (3.0,), 15),
    "skew_normal": ("skew_normal", {}, (2.5,), 15),
    "normal_mixture": ("normal_mixture", {}, (0.6, 1.5, 0.8), 25),
}


def random_intercept(ratio, natural):
    """Return the plan of a Poisson regression with a random intercept of that distribution, and theta."""
    poisson = registry.family(family_spec("poisson"))
    encoded = poisson.encode("", [Column("y", Y)])
    coefficients = [1.9, 0.9]
    loading = LoadingPlan(0, np.full((X.size, 1), SD), np.zeros(1, np.intp))
    mu = PredictorPlan(DESIGN, np.arange(2), 0.0, (loading,))
    units = ratio.units(CLUSTERS)
    itself = LoadingPlan(0, np.ones((CLUSTERS, 1)), np.zeros(1, np.intp))
    predictors = [PredictorPlan(np.zeros((CLUSTERS, 0)), np.zeros(0, np.intp), 0.0, (itself,))]
    values = [*coefficients, 1.0]  # 1: the coordinate is the standardised variable
    for p, value in zip(ratio.predictors(units)[1:], natural, strict=True):
        linear = float(TRANSFORMS[p.transform].forward(value))
        if p.fixed is None:
            predictors.append(PredictorPlan(np.ones((CLUSTERS, 1)), np.array([len(values)]), 0.0))
            values.append(linear)
        else:
            assert linear == p.fixed
            predictors.append(PredictorPlan(np.zeros((CLUSTERS, 0)), np.zeros(0, np.intp), linear))
    responses = (
        ResponsePlan(poisson, encoded, CLUSTER, None, (mu,), None),
        ResponsePlan(ratio, units, np.arange(CLUSTERS), None, tuple(predictors), None),
    )
    level = LevelPlan(CLUSTERS, None, None, np.array([[2]]))
    return Plan((level,), responses, len(values), np.array(values)), np.array(values)


def by_lattice(distribution, theta, natural):
    u = np.sinh(np.linspace(-12.0, 12.0, 4001))
    jacobian = np.cosh(np.linspace(-12.0, 12.0, 4001)) * 24.0 / 4000
    log_weight = distribution.log_density(u, *(np.array(p) for p in natural)) + np.log(jacobian)
    nu = (DESIGN @ theta[:2])[:, None] + SD * u
    terms = Y[:, None] * nu - np.exp(np.minimum(nu, 600.0)) - gammaln(Y + 1.0)[:, None]
    of_cluster = np.add.reduceat(terms, np.arange(0, X.size, SIZE), axis=0)
    return logsumexp(of_cluster + log_weight, axis=1).sum()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_random_intercepts_against_a_lattice(name):
    kind, options, natural, points = DISTRIBUTIONS[name]
    distribution = registry.latent(kind, **options)
    plan, theta = random_intercept(LatentRatio(distribution), natural)
    objective = Objective(plan, points)
    value, gradient = objective.value_and_gradient(theta)
    assert value == pytest.approx(by_lattice(distribution, theta, natural), abs=1e-8)
    step = 1e-3
    for k in (0, 1, *range(3, theta.size)):
        ends = [objective.value(theta + s * step * (np.arange(theta.size) == k)) for s in (-2, -1, 1, 2)]
        slope = (8.0 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12.0 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-7, abs=1e-7)
