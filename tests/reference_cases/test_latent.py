"""Fits of every reference case with latent variables, in every way it is written.

Tolerances: the log-likelihood to 1e-6 relative, 1e-9 where it has a closed form, estimates to a thousandth of
their standard error, standard errors, of the information and of the sandwich, to 0.1 %, means and standard
deviations of latent variables given the responses to 1e-4 of their scale.
"""

import numpy as np
import pytest
from reference import delta_method, few_clusters, index, results
from reference_classes import FORMS as CLASSES
from reference_irt import FORMS as ITEM_RESPONSE
from reference_joint import FORMS as JOINT
from reference_latent import expected, fitted
from reference_sem import FORMS as SEM
from reference_verbagg import FORMS as VERBAL_AGGRESSION

FORMS = [*ITEM_RESPONSE, *VERBAL_AGGRESSION, *SEM, *JOINT, *CLASSES]
SINGLE_LEVEL = ("cfa", "sem")


def forms(keep=lambda form: True):
    return [pytest.param(form, id=form.id) for form in FORMS if keep(form)]


def in_terms_of_case(form, found):
    return delta_method(form.numbers, found.params, found.cov_params())


@pytest.mark.parametrize("form", forms())
def test_log_likelihood(form):
    found = fitted(form)
    assert found.converged, found.status
    assert found.llf == pytest.approx(expected(form)["loglik"], rel=1e-9 if form.gaussian else 1e-6)


@pytest.mark.parametrize("form", forms(lambda form: "n_params" in expected(form)))
def test_number_of_parameters(form):
    assert fitted(form).df_model == expected(form)["n_params"]


@pytest.mark.parametrize("form", forms())
def test_estimates(form):
    estimates, errors = in_terms_of_case(form, fitted(form))
    known = expected(form)
    assert set(estimates) == set(known["params"])
    for name, value in known["params"].items():
        unit = known.get("se", {}).get(name, errors[name])
        assert abs(estimates[name] - value) < 1e-3 * unit, name


@pytest.mark.parametrize("form", forms(lambda form: "se" in expected(form)))
def test_standard_errors(form):
    _, errors = in_terms_of_case(form, fitted(form))
    for name, value in expected(form)["se"].items():
        assert errors[name] == pytest.approx(value, rel=1e-3), name


def robust(form):
    """Return sandwich standard errors of the case, empty where it has none."""
    known = expected(form)
    return known.get("se_robust", known.get("se_robust_cluster", {}))


@pytest.mark.parametrize("form", forms(lambda form: bool(robust(form))))
def test_robust_standard_errors(form):
    found = fitted(form).with_covariance("robust")
    _, errors = in_terms_of_case(form, found)
    factor = np.sqrt(few_clusters(found))
    for name, value in robust(form).items():
        assert errors[name] == pytest.approx(value * factor, rel=1e-3), name


@pytest.mark.parametrize("form", forms(lambda form: bool(form.scores)))
def test_scores(form):
    found = fitted(form)
    frame = (found.ranef() if form.effects else found.latent())[form.level]
    rows = form.scored()
    for theirs, column in form.scores.items():
        known = np.array([row[theirs] for row in rows])
        scale = max(1.0, float(frame[column].abs().max()))
        np.testing.assert_allclose(frame[column].iloc[: len(rows)], known, rtol=0, atol=1e-4 * scale)


def against_saturated(form):
    return index()[form.case] in SINGLE_LEVEL and "chisq" in results(form.case)["results"]["lavaan"]


@pytest.mark.parametrize("form", forms(against_saturated))
def test_fit_measures(form):
    known = results(form.case)["results"]["lavaan"]
    measures = fitted(form).fit_measures()
    assert measures["df"] == known["df"]
    assert measures["chisq"] == pytest.approx(known["chisq"], rel=1e-6)


COMPLIER_FORMS = forms(lambda form: index()[form.case] == "cace")


@pytest.mark.parametrize("form", COMPLIER_FORMS)
def test_probabilities_of_compliance(form):
    found = fitted(form).class_probabilities()
    for row in expected(form)["scores_first5"]["first_control"]:
        # the rows of these data are numbered from 1 in their order
        probability = found["complier"].iloc[row["id"] - 1]
        assert probability == pytest.approx(row["prob_complier"], abs=1e-4)
