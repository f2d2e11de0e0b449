"""Fits of the latent class models and mass points of the reference cases, against poLCA and exact mixtures.

Tolerances: the log-likelihood to 1e-6 relative, probabilities to 1e-4 (many lie on their boundary, where log
odds have no estimate), estimates to a thousandth of their standard error, standard errors to 0.5 %.
"""

import numpy as np
import pytest
from reference import delta_method
from reference_classes import (
    CLASS_CASES,
    COINCIDENT,
    DISTINCT,
    ELECTION,
    SHORT,
    ClassCase,
    MassPoints,
    estimated_probabilities,
    expected_points,
    fitted_as_classes,
    fitted_automatically,
    fitted_classes,
    fitted_points,
    item_probabilities,
    logits,
    membership_by_party,
    mixture,
    order,
    points_of,
    posterior,
    posterior_of_points,
    shares,
    solution,
)


def cases(listed, keep=lambda case: True):
    return [pytest.param(case, id=case.id) for case in listed if keep(case)]


# ------------------------------------------------ latent classes


def identified(case):
    """Return whether the maximum is a point: three classes of four binary items have a ridge.

    Goodman (1974) gives the counting argument and the example.
    """
    return (case.case, case.k) != ("values_lca", 3)


@pytest.mark.parametrize("case", cases(CLASS_CASES))
def test_log_likelihood_of_classes(case):
    found = fitted_classes(case)
    assert found.converged, found.status
    assert found.llf == pytest.approx(solution(case)["loglik"], rel=1e-6)


@pytest.mark.parametrize("case", cases(CLASS_CASES, identified))
def test_probabilities_of_items(case):
    found = estimated_probabilities(case, fitted_classes(case).params)
    for item, rows in item_probabilities(case).items():
        np.testing.assert_allclose(found[item], rows, rtol=0, atol=1e-4, err_msg=item)


@pytest.mark.parametrize("case", cases(CLASS_CASES, identified))
def test_sizes_of_classes_ascend(case):
    found = fitted_classes(case).class_probabilities().mean()
    np.testing.assert_allclose(found, np.sort(shares(case)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", cases(CLASS_CASES, lambda case: case.case != ELECTION and identified(case)))
def test_posterior_classes(case):
    found = fitted_classes(case).class_probabilities()
    np.testing.assert_allclose(found, posterior(case), rtol=0, atol=1e-4)


def test_a_ridge_of_maxima_is_reported():
    found = fitted_classes(ClassCase("values_lca", 3, "binomial"))
    assert any("do not determine" in why for why in found.missing_errors.values())


def test_standard_errors_of_classes():
    case = ClassCase("values_lca", 2, "binomial")
    found = fitted_classes(case)
    values, errors = logits(case)
    for name, value in values.items():
        assert abs(found.params[name] - value) < 1e-3 * errors[name], name
        assert found.bse[name] == pytest.approx(errors[name], rel=5e-3), name


def test_membership_in_classes_by_party():
    (case,) = (case for case in CLASS_CASES if case.case == ELECTION)
    found = fitted_classes(case)
    theirs = membership_by_party(case)[order(case)]
    for c, row in enumerate(theirs[:-1] - theirs[-1], start=1):
        for term, value in zip(("1", "party"), row, strict=True):
            name = f"c[{c}] ~ {term}"
            assert abs(found.params[name] - value) < 1e-3 * found.bse[name], name


# ------------------------------------------------ mass points


@pytest.mark.parametrize("case", cases([*DISTINCT, *COINCIDENT, SHORT]))
def test_log_likelihood_of_mass_points(case):
    assert fitted_points(case).llf == pytest.approx(mixture(case)["loglik"], rel=1e-6)


@pytest.mark.parametrize("case", cases(DISTINCT))
def test_locations_and_masses(case):
    found = fitted_points(case)
    estimates, errors = delta_method(lambda p: points_of(case, p), found.params, found.cov_params())
    for name, value in expected_points(case)[0].items():
        assert abs(estimates[name] - value) < 1e-3 * errors[name], name


# the case has no errors of the cubic in rainfall, whose information is singular to its precision
@pytest.mark.parametrize("case", cases(DISTINCT, lambda case: case.case != "rainfall_npml"))
def test_standard_errors_of_mass_points(case):
    found = fitted_points(case)
    _, errors = delta_method(lambda p: points_of(case, p), found.params, found.cov_params())
    for name, value in expected_points(case)[1].items():
        assert errors[name] == pytest.approx(value, rel=5e-3), name


@pytest.mark.parametrize("case", cases(DISTINCT))
def test_posterior_mass_points(case):
    found = fitted_points(case).class_probabilities()
    found.index = found.index.astype(str)
    known = posterior_of_points(case)
    np.testing.assert_allclose(found.loc[known.index], known, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", cases([MassPoints("fabric_npml", 2), MassPoints("rainfall_npml", 3)]))
def test_points_are_added_until_none_improves(case):
    assert fitted_automatically(case.case).llf == pytest.approx(mixture(case)["loglik"], rel=1e-6)


def test_mass_points_are_a_latent_class():
    case = MassPoints("irlsuicide_npml", 3)
    found = fitted_as_classes(case)
    known = mixture(case)
    assert found.llf == pytest.approx(known["loglik"], rel=1e-6)
    # classes are ordered by their sizes, mass points by their locations
    for c, place in enumerate(np.argsort(known["masses"]), start=1):
        location, error = known["mass_points"][place], known["mass_points_se"][place]
        assert abs(found.params[f"death ~ c[{c}]"] - location) < 1e-3 * error, c
