"""No reference case is left out, except those of models outside the framework."""

from reference import index
from reference_classes import CLASS_CASES, COINCIDENT, DISTINCT
from reference_classes import FORMS as CLASSES
from reference_irt import FORMS as ITEM_RESPONSE
from reference_joint import FORMS as JOINT
from reference_models import BY_NAME
from reference_sem import FORMS as SEM
from reference_verbagg import FORMS as VERBAL_AGGRESSION

OUTSIDE = {"crossed"}


def test_no_case_is_left_out():
    forms = {form.case for form in (*ITEM_RESPONSE, *VERBAL_AGGRESSION, *SEM, *JOINT, *CLASSES)}
    mixtures = {case.case for case in (*CLASS_CASES, *DISTINCT, *COINCIDENT)}
    inside = {name for name, kind in index().items() if kind not in OUTSIDE}
    assert inside == set(BY_NAME) | forms | mixtures
