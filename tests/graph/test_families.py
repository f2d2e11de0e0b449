"""Families as text."""

import pytest

from glamm.errors import FormulaError
from glamm.graph import FamilySpec, family_spec

CASES = [
    ("binomial", FamilySpec("binomial")),
    (" ordinal(probit) ", FamilySpec("ordinal", "probit")),
    ('ordinal("probit")', FamilySpec("ordinal", "probit")),
    ("ordinal(link=probit)", FamilySpec("ordinal", "probit")),
    ("binomial(power(2))", FamilySpec("binomial", "power", (2.0,))),
    ("gamma(power(-0.5))", FamilySpec("gamma", "power", (-0.5,))),
    ("student_t(identity, df=4)", FamilySpec("student_t", "identity", (), (("df", 4.0),))),
    ("student_t(df=4)", FamilySpec("student_t", None, (), (("df", 4.0),))),
    ('multinomial(logit, reference="b")', FamilySpec("multinomial", "logit", (), (("reference", "b"),))),
    ("multinomial(reference=b)", FamilySpec("multinomial", None, (), (("reference", "b"),))),
]


@pytest.mark.parametrize(("text", "spec"), CASES)
def test_text_to_family(text, spec):
    assert family_spec(text) == spec


@pytest.mark.parametrize(("text", "spec"), CASES)
def test_family_prints_as_it_is_read(text, spec):
    assert family_spec(str(spec)) == spec


def test_a_family_is_left_alone():
    spec = FamilySpec("poisson")
    assert family_spec(spec) is spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("binomial(logit, probit)", "has one link"),
        ("binomial(power(x))", "a link is a name"),
        ("binomial(3)", "a link is a name"),
        ("student_t(df=a + b)", "takes a number or a name"),
        ("binomial(logit, link=probit)", "given twice"),
        ("binomial(", "binomial("),
        (" ", "the family is empty"),
        ("poisson; family(z) = gamma", "is not a family"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(FormulaError) as caught:
        family_spec(text)
    assert message in str(caught.value)
    assert "family(y)" not in str(caught.value)
