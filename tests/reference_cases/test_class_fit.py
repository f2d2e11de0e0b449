"""Measures of fit of classes against poLCA, mass points against exact mixtures, the best of all maxima."""

import numpy as np
import pytest
from reference_classes import (
    CLASS_CASES,
    DISTINCT,
    ELECTION,
    REGRESSION,
    ClassCase,
    MassPoints,
    expected_points,
    fitted_classes,
    fitted_points,
    mass_data,
    mixture,
    solution,
)

import glamm
from glamm.inference import FitOptions
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.multistart import search
from glamm.inference.options import Multistart


def cases(listed):
    return [pytest.param(case, id=case.id) for case in listed]


@pytest.mark.parametrize("case", cases(case for case in CLASS_CASES if case.case != ELECTION))
def test_patterns_and_criteria(case):
    known, fit = solution(case), fitted_classes(case)
    patterns, criteria = fit.pattern_fit(), fit.class_criteria()
    assert patterns["g2"] == pytest.approx(known["Gsq"], rel=1e-6)
    assert patterns["x2"] == pytest.approx(known["Chisq"], rel=1e-4)
    assert criteria["aic"] == pytest.approx(known["aic"], rel=1e-7)
    assert criteria["bic"] == pytest.approx(known["bic"], rel=1e-7)


@pytest.mark.parametrize("case", cases(DISTINCT))
def test_table_of_mass_points(case):
    table = fitted_points(case).mass_points()
    values, _ = expected_points(case)
    places = range(1, case.k + 1)
    np.testing.assert_allclose(table["1"], [values[f"point {c}"] for c in places], rtol=1e-5)
    np.testing.assert_allclose(table["mass"], [values[f"mass {c}"] for c in places], rtol=1e-4)


@pytest.mark.parametrize("case", cases([MassPoints("fabric_npml", 2), MassPoints("rainfall_npml", 3)]))
def test_the_maximum_over_all_distributions_is_certified(case):
    assert fitted_points(case).directional_derivative().largest().value < 1e-4


def test_fewer_points_than_the_maximum_has_are_not_certified():
    largest = fitted_points(MassPoints("irlsuicide_npml", 4)).directional_derivative().largest()
    assert largest.value > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("case", cases([MassPoints("irlsuicide_npml", 4), MassPoints("irlsuicide_npml", 5)]))
def test_every_seed_finds_the_best_mass_points(case):
    response, predictors, family = REGRESSION[case.case]
    plan = glamm.Model(
        f"{response} ~ {predictors} + {case.points}", mass_data(case.case), family
    ).lowered.plan
    found = [
        search(plan, FitOptions(multistart=Multistart(seed=s)), DiscreteObjective(plan)) for s in range(20)
    ]
    np.testing.assert_allclose([f.solutions[0].loglik for f in found], mixture(case)["loglik"], rtol=1e-8)


@pytest.mark.slow
def test_every_seed_finds_the_best_classes():
    case = ClassCase("carcinoma_lca", 4, "binomial")
    plan = fitted_classes(case)._source.lowered.plan
    found = [
        search(plan, FitOptions(multistart=Multistart(seed=s)), DiscreteObjective(plan)) for s in range(20)
    ]
    np.testing.assert_allclose([f.solutions[0].loglik for f in found], solution(case)["loglik"], rtol=1e-8)
