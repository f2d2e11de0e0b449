"""What each family makes of a column: numbers, categories, and refusals that name the row."""

import numpy as np
import pytest

from glamm import registry
from glamm.graph.model import FamilySpec
from glamm.protocols import Column, ResponseError


def made(name, link=None, **options):
    return registry.family(FamilySpec(name, link, (), tuple(options.items())))


def numbers(*values, name="y"):
    return Column(name, np.array(values, float))


def labels(codes, levels, ordered=False):
    return Column("y", np.array(codes, float), tuple(levels), ordered)


def encoded(family, *columns, form=""):
    return family.encode(form, columns)


def refused(family, *columns, form=""):
    with pytest.raises(ResponseError) as caught:
        family.encode(form, columns)
    return str(caught.value), caught.value.row


@pytest.mark.parametrize(
    ("name", "values", "row", "message"),
    [
        ("poisson", (1, 2, -1), 2, "'y' is -1, but the family 'poisson' needs whole numbers in [0, inf)"),
        ("poisson", (1, 2.5, 3), 1, "'y' is 2.5"),
        ("negative_binomial", (1, 2.5, 3), 1, "whole numbers"),
        ("gamma", (1, 2, 0), 2, "'y' is 0, but the family 'gamma' needs (0, inf)"),
        ("inverse_gaussian", (1, -2), 1, "needs (0, inf)"),
        ("beta", (0.5, 1.0), 1, "'y' is 1, but the family 'beta' needs (0, 1)"),
        ("gaussian", (1.0, np.inf), 1, "'y' is inf"),
        ("weibull", (1.0, 0.0), 1, "'y' is 0, but a survival time is positive"),
        ("binomial", (0, 1, 2), 2, "'y' is 2, but the family 'binomial' needs 0 or 1"),
        ("ordinal", (1, 2, 2.5), 2, "'y' is 2.5, but the family 'ordinal' needs categories"),
    ],
)
def test_values_outside_the_support(name, values, row, message):
    text, where = refused(made(name), numbers(*values))
    assert message in text
    assert where == row


@pytest.mark.parametrize("name", ["gaussian", "student_t", "gamma", "inverse_gaussian", "beta"])
def test_a_constant_response_has_no_dispersion(name):
    assert "constant response: 'y' is 0.5 in every row" in refused(made(name), numbers(0.5, 0.5, 0.5))[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("poisson", (0, 0)),
        ("negative_binomial", (0, 0)),
        ("binomial", (0, 0)),
        ("binomial", (1, 1)),
        ("ordinal", (2, 2)),
        ("sequential", (2, 2)),
        ("adjacent", (2, 2)),
        ("multinomial", (2, 2)),
    ],
)
def test_a_constant_response_has_no_information(name, values):
    assert "constant response" in refused(made(name), numbers(*values))[0]


@pytest.mark.parametrize("name", ["gaussian", "student_t", "poisson", "gamma", "beta", "weibull"])
def test_labels_where_numbers_belong(name):
    text, _ = refused(made(name), labels([0, 1, 2], ("low", "mid", "high")))
    assert "holds labels ('low', 'mid', 'high'), but the family" in text


def test_binary_responses():
    expected = [[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    family = made("binomial")
    assert encoded(family, numbers(0, 1, 1)).y.tolist() == expected
    assert encoded(family, labels([0, 1, 1], ("False", "True"))).y.tolist() == expected
    assert encoded(family, labels([0, 1, 1], ("no", "yes"))).y.tolist() == expected
    assert encoded(family, labels([1, 3, 3], ("unused", "no", "also unused", "yes"))).y.tolist() == expected


def test_binary_response_of_three_labels():
    text, _ = refused(made("binomial"), labels([0, 1, 2], ("a", "b", "c")))
    assert "'y' has 3 values ('a', 'b', 'c'), but the family 'binomial' needs two" in text


def test_counts():
    family = made("binomial")
    pair = numbers(1, 2, name="r"), numbers(3, 0, name="n - r")
    assert encoded(family, *pair, form="cbind").y.tolist() == [[1.0, 4.0], [2.0, 2.0]]
    bad = numbers(1, 2, name="r"), numbers(3, -1, name="n - r")
    text, row = refused(family, *bad, form="cbind")
    assert (text, row) == ("'n - r' is -1, but cbind() needs whole numbers >= 0", 1)
    assert refused(family, numbers(1, 0.5), numbers(3, 1), form="cbind")[1] == 1
    assert "constant response" in refused(family, numbers(1, 2), numbers(0, 0), form="cbind")[0]


@pytest.mark.parametrize("name", ["ordinal", "sequential", "adjacent"])
@pytest.mark.parametrize(
    ("column", "categories"),
    [
        (numbers(30, 10, 20), ("10", "20", "30")),
        (labels([2, 0, 1], ("low", "mid", "high"), ordered=True), ("low", "mid", "high")),
        (labels([3, 0, 1], ("low", "mid", "empty", "high")), ("low", "mid", "high")),
    ],
)
def test_ordered_categories(name, column, categories):
    family = made(name)
    response = encoded(family, column)
    assert response.categories == categories
    assert response.y.tolist() == [[2.0, 2.0], [0.0, 2.0], [1.0, 2.0]]
    mu, *others = family.predictors(response)
    assert (mu.name, mu.intercept) == ("mu", False)
    thresholds = [p.label for p in others if p.name in ("threshold", "step")]
    assert thresholds == [f"{categories[0]}|{categories[1]}", f"{categories[1]}|{categories[2]}"]


def test_channels_of_an_ordinal_response():
    family = made("ordinal")
    assert family.channels(encoded(family, numbers(1, 2, 3))).tolist() == [
        [0, -1, 1, 3],
        [0, 1, 2, 3],
        [0, 2, -1, 3],
    ]


def test_channels_of_a_sequential_response():
    family = made("sequential")
    assert family.channels(encoded(family, numbers(1, 2, 3, 4))).tolist() == [
        [0, 1, -1, -1],
        [0, 1, 2, -1],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
    ]


@pytest.mark.parametrize(
    ("reference", "categories", "codes"),
    [
        (None, ("a", "b", "c"), [1, 0, 2]),
        ("b", ("b", "a", "c"), [0, 1, 2]),
        ("c", ("c", "a", "b"), [2, 1, 0]),
    ],
)
def test_reference_category(reference, categories, codes):
    family = made("multinomial") if reference is None else made("multinomial", reference=reference)
    response = encoded(family, labels([1, 0, 2], ("a", "b", "c")))
    assert response.categories == categories
    assert response.y[:, 0].tolist() == codes
    assert [p.label for p in family.predictors(response)] == list(categories[1:])


def test_numeric_reference_category():
    assert encoded(made("multinomial", reference=2.0), numbers(1, 2, 3)).categories == ("2", "1", "3")


def test_unknown_reference_category():
    text, _ = refused(made("multinomial", reference="d"), labels([1, 0], ("a", "b")))
    assert text == "reference='d' is no category of 'y': a, b"


def test_survival_times():
    family = made("weibull")
    assert encoded(family, numbers(2, 3)).y.tolist() == [[2.0, 1.0], [3.0, 1.0]]
    assert encoded(family, numbers(2, 3), form="surv").y.tolist() == [[2.0, 1.0], [3.0, 1.0]]
    event = labels([1, 0], ("False", "True"))
    assert encoded(family, numbers(2, 3), event, form="surv").y.tolist() == [[2.0, 1.0], [3.0, 0.0]]
    assert "it must be 1 (event) or 0" in refused(family, numbers(2, 3), numbers(1, 2), form="surv")[0]
    assert "every time of 'y' is censored" in refused(family, numbers(2, 3), numbers(0, 0), form="surv")[0]
    assert family.takes("surv", 1) and family.takes("surv", 2) and not family.takes("surv", 3)


def sets(*codes, levels=None):
    return Column("set", np.array(codes, float), levels)


def test_choices():
    family = made("choice")
    response = encoded(family, numbers(0, 1, 1, 0, 0, 1), sets(0, 0, 1, 1, 1, 2), form="choice")
    assert response.y.tolist() == [[1.0, 2.0, 3.0], [0.0, 3.0, 3.0], [0.0, 1.0, 3.0]]
    assert response.categories == ("1", "2", "3")
    assert family.channels(response).tolist() == [[0, 1, -1], [0, 1, 2], [0, -1, -1]]
    assert [(p.name, p.label, p.intercept) for p in family.predictors(response)] == [
        ("mu", k, False) for k in "123"
    ]
    assert family.decode_sets(response.y).tolist() == [0, 1, 1, 0, 0, 1]
    assert family.decode("choice", response.y).tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 1], [1, 2]]


def test_sets_in_any_order():
    family = made("choice")
    flags = Column("y", np.array([0, 0, 1, 1]), ("False", "True"))
    response = encoded(family, flags, sets(7, 3, 7, 3), form="choice")
    assert response.y.tolist() == [[1.0, 2.0, 2.0], [1.0, 2.0, 2.0]]
    text, row = refused(family, numbers(0, 2, 1, 1), sets(7, 3, 7, 3), form="choice")
    assert (text, row) == ("'y' is 2, but it must be 1 (chosen) or 0 (not chosen)", 1)
    text, row = refused(family, numbers(1, 0, 1, 1), sets(7, 3, 7, 3), form="choice")
    assert (text, row) == ("the set 7 has 2 alternatives chosen by 'y', but it must have one", 0)


def test_sets_without_a_choice():
    family = made("choice")
    trip = sets(0, 0, 1, 1, levels=("home", "work"))
    text, row = refused(family, numbers(0, 1, 0, 0), trip, form="choice")
    assert (text, row) == ("the set 'work' has 0 alternatives chosen by 'y', but it must have one", 2)
    assert "has one alternative" in refused(family, numbers(1, 1), sets(0, 1), form="choice")[0]
    labelled = labels([0, 1], ("no", "yes"))
    assert "holds labels" in refused(family, labelled, sets(0, 0), form="choice")[0]


def test_rankings():
    family = made("ranking")
    ranks = numbers(10, 2, 5, np.nan, 1, 0, 3, 1.5, 1.5)
    response = encoded(family, ranks, sets(0, 0, 0, 1, 1, 1, 2, 2, 2), form="ranking")
    assert response.y.tolist() == [[3.0, 3.0, 1.0, 2.0], [3.0, 0.0, 1.0, 0.0], [3.0, 2.0, 1.0, 1.0]]
    assert family.decode_sets(response.y).tolist() == [3, 1, 2, 0, 1, 0, 2, 1, 1]
    observed = family.observed(response.y)
    assert observed[:2].tolist() == [1, 1] and np.isnan(observed[2])


def test_rankings_that_are_none():
    family = made("ranking")
    text, row = refused(family, numbers(1, 2, -1), sets(0, 0, 0), form="ranking")
    assert row == 2 and "'y' is -1, but a rank is positive" in text
    text = refused(family, numbers(1, 1, 0, 0), sets(0, 0, 1, 1), form="ranking")[0]
    assert text == "no set of 'set' has one alternative ranked above another"
    tied = numbers(1, 2, *[1] * 6, 2)
    text, row = refused(family, tied, sets(0, 0, *[4] * 7), form="ranking")
    assert row == 2
    assert text.startswith("the set 4 has 6 alternatives of the same rank by 'y'; at most 5")
    last = numbers(1, *[2] * 6)
    assert encoded(family, last, sets(*[0] * 7), form="ranking").y.tolist() == [[7.0, 1.0, *[2.0] * 6]]
    assert "holds labels" in refused(family, labels([0, 1], ("a", "b")), sets(0, 0), form="ranking")[0]


STARTS = [
    ("gaussian", None, numbers(1, 2, 3, 6), [3.0, 0.5 * np.log(3.5)]),
    ("poisson", "sqrt", numbers(1, 2, 3, 10), [2.0]),
    ("exponential", None, numbers(1, 2, 3, 6), [np.log(3.0)]),
    ("gamma", "reciprocal", numbers(1, 2, 3, 6), [1 / 3, np.log(9 / 3.5)]),
    ("binomial", "logit", numbers(0, 1, 0, 1), [0.0]),
    ("multinomial", None, numbers(1, 2, 1, 2), [0.0]),
]


@pytest.mark.parametrize(("name", "link", "column", "expected"), STARTS)
def test_starting_values(name, link, column, expected):
    family = made(name, link)
    np.testing.assert_allclose(family.start(encoded(family, column), np.ones(4)), expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(registry.names("families")) - {"beta", "choice", "ranking"}))
def test_weights_count_as_repeated_rows(name):
    family = made(name)
    values = numbers(1, 0, 0) if name == "binomial" else numbers(1, 2, 4)
    repeated = numbers(1, 1, 1, 0, 0) if name == "binomial" else numbers(1, 1, 1, 2, 4)
    np.testing.assert_allclose(
        family.start(encoded(family, values), np.array([3.0, 1.0, 1.0])),
        family.start(encoded(family, repeated), np.ones(5)),
    )


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog"])
def test_starting_thresholds_reproduce_the_proportions(link):
    values = numbers(*np.repeat([1.0, 2.0, 3.0, 4.0], [1000, 4000, 3000, 2000]))
    family = made("ordinal", link)
    response = encoded(family, values)
    start = [np.array([x]) for x in family.start(response, np.ones(10_000))]
    np.testing.assert_allclose(
        family.mean_value(response.categories, start)[0], [0.1, 0.4, 0.3, 0.2], atol=1e-4
    )


def test_starting_steps_reproduce_the_proportions():
    values = numbers(*np.repeat([1.0, 2.0, 3.0, 4.0], [1000, 4000, 3000, 2000]))
    family = made("adjacent")
    response = encoded(family, values)
    start = [np.array([x]) for x in family.start(response, np.ones(10_000))]
    np.testing.assert_allclose(
        family.mean_value(response.categories, start)[0], [0.1, 0.4, 0.3, 0.2], atol=1e-4
    )
