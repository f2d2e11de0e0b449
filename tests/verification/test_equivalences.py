"""Models that are the same model, written or stored in different ways, have the same fit.

Tolerances: 1e-6 standard errors where the same optimum is reached along another path, one part in ten
thousand for standard errors, which are numerical derivatives; none where nothing may differ.
"""

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glamm

SLOPES = "y ~ treat * visit + (1 + visit | id)"
COUNTS = glamm.data.load("counts")
SCHOOLS = glamm.data.load("schools")
NESTED = "passed ~ ses + (1 | school/class)"
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=5, deadline=None, derandomize=True)


def counts(data=COUNTS, text=SLOPES, family="poisson", **options):
    return glamm.fit(text, data, family, points=3, **options)


@pytest.fixture(scope="module")
def plain():
    return counts()


@pytest.fixture(scope="module")
def nested():
    return glamm.fit(NESTED, SCHOOLS, "binomial", points=3)


def same(found, expected, scale=1.0):
    """Assert that two fits agree but for factors of the parameters."""
    assert found.llf == pytest.approx(expected.llf, rel=1e-11)
    apart = (found.params.to_numpy() * scale - expected.params.to_numpy()) / expected.bse.to_numpy()
    assert np.abs(apart).max() < 1e-6
    np.testing.assert_allclose(found.bse.to_numpy() * scale, expected.bse, rtol=1e-4)


@few
@given(seeds)
def test_the_order_of_rows_does_not_matter(nested, seed):
    order = np.random.RandomState(seed).permutation(len(SCHOOLS))
    found = glamm.fit(NESTED, SCHOOLS.iloc[order], "binomial", points=3)
    same(found, nested)
    assert found.predict().index.tolist() == SCHOOLS.index[order].tolist()
    np.testing.assert_allclose(found.predict().sort_index(), nested.predict(), rtol=1e-6)
    for level, frame in nested.ranef().items():
        np.testing.assert_allclose(found.ranef()[level].loc[frame.index], frame, atol=1e-6)


@few
@given(seeds)
def test_names_of_clusters_do_not_matter(nested, seed):
    rng = np.random.RandomState(seed)
    school = {old: f"s{new}" for old, new in enumerate(rng.permutation(20), 1)}
    inside = {old: int(new) for old, new in enumerate(rng.permutation(3) + 10**9, 1)}
    data = SCHOOLS.assign(school=SCHOOLS["school"].map(school), **{"class": SCHOOLS["class"].map(inside)})
    found = glamm.fit(NESTED, data, "binomial", points=3)
    same(found, nested)
    np.testing.assert_allclose(found.predict(), nested.predict(), rtol=1e-6)
    renamed = [school[old] for old in nested.ranef()["school"].index]
    np.testing.assert_allclose(found.ranef()["school"].loc[renamed], nested.ranef()["school"], atol=1e-6)


@few
@given(st.floats(-6.0, 6.0), st.sampled_from([-1.0, 1.0]))
def test_units_of_a_covariate_scale_its_coefficients(plain, exponent, sign):
    unit = sign * 10.0**exponent
    found = counts(COUNTS.assign(visit=COUNTS["visit"] * unit))
    factor = {"y ~ visit": unit, "y ~ treat:visit": unit, "sd(visit | id)": abs(unit)}
    factor["cor(1, visit | id)"] = sign
    scale = np.array([factor.get(name, 1.0) for name in plain.params.index])
    assert found.params.to_numpy() * scale == pytest.approx(plain.params.to_numpy(), rel=1e-6)
    assert found.bse.to_numpy() * np.abs(scale) == pytest.approx(plain.bse.to_numpy(), rel=1e-4)
    assert found.llf == pytest.approx(plain.llf, rel=1e-11)
    np.testing.assert_allclose(found.predict(), plain.predict(), rtol=1e-6)


@few
@given(seeds)
def test_weights_of_clusters_count_copies(seed):
    weight = np.random.RandomState(seed).randint(0, 4, 80)
    visits = COUNTS.groupby("id").groups
    copies = [visits[k + 1] for k, w in enumerate(weight) for _ in range(w)]
    repeated = COUNTS.loc[np.concatenate(copies)].assign(id=np.repeat(np.arange(len(copies)), 5))
    weighted = counts(COUNTS.assign(w=weight[COUNTS["id"] - 1]), weights={"id": "w"})
    expected = counts(repeated)
    same(weighted, expected)
    assert weighted.nobs == expected.nobs == len(repeated)
    assert weighted.bic == pytest.approx(expected.bic)
    for kind in ("robust", "opg"):
        np.testing.assert_allclose(
            weighted.with_covariance(kind).bse, expected.with_covariance(kind).bse, rtol=1e-3
        )


@few
@given(seeds)
def test_weights_of_rows_count_copies(seed):
    weight = np.random.RandomState(seed).randint(1, 4, len(COUNTS))
    repeated = COUNTS.loc[np.repeat(COUNTS.index, weight)].reset_index(drop=True)
    weighted, expected = counts(weights=weight), counts(repeated)
    same(weighted, expected)
    assert weighted.nobs == expected.nobs == len(repeated)
    np.testing.assert_allclose(weighted.ranef()["id"], expected.ranef()["id"], atol=1e-6)
    np.testing.assert_allclose(
        weighted.with_covariance("robust").bse, expected.with_covariance("robust").bse, rtol=1e-3
    )


def test_weights_of_rows_without_groups_count_copies():
    weight = np.random.RandomState(2).randint(0, 4, len(COUNTS))
    repeated = COUNTS.loc[np.repeat(COUNTS.index, weight)].reset_index(drop=True)
    text = "y ~ treat * visit"
    weighted, expected = counts(text=text, weights=weight), counts(repeated, text=text)
    same(weighted, expected)
    assert weighted.nobs == expected.nobs == len(repeated)
    for kind in ("robust", "opg"):
        np.testing.assert_allclose(
            weighted.with_covariance(kind).bse, expected.with_covariance(kind).bse, rtol=1e-4
        )


def test_weights_of_clusters_at_two_levels_count_copies():
    weights = {
        "inner": 1 + (SCHOOLS["school"] * 7 + SCHOOLS["class"] * 3) % 3,
        "outer": 1 + SCHOOLS["school"] % 2,
    }
    data = SCHOOLS.assign(**weights)
    copies = []
    for (school, _), rows in data.groupby(["school", "class"]):
        for outer in range(rows["outer"].iloc[0]):
            for _ in range(rows["inner"].iloc[0]):
                copies.append(rows.assign(school=10 * school + outer, **{"class": len(copies)}))
    repeated = pd.concat(copies, ignore_index=True)
    found = glamm.fit(NESTED, data, "binomial", {"school:class": "inner", "school": "outer"}, points=3)
    expected = glamm.fit(NESTED, repeated, "binomial", points=3)
    same(found, expected)
    assert found.nobs == expected.nobs
    np.testing.assert_allclose(
        found.with_covariance("robust").bse, expected.with_covariance("robust").bse, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ visit + (1 + visit || id)", "y ~ visit + (1 | id) + (0 + visit | id)"),
        ("y ~ treat * visit + (visit | id)", "y ~ 1 + treat + visit + treat:visit + (1 + visit | id)"),
        ("y ~ visit + (1 | id)", "family(y) = poisson; y ~ visit + (1 | id)"),
        ("y ~ visit + (1 | id)", "y ~ (1 | id) + visit"),
    ],
)
def test_two_ways_to_write_a_model(one, other):
    found = counts(text=other, family=None if "family" in other else "poisson")
    expected = counts(text=one)
    assert sorted(found.params.index) == sorted(expected.params.index)
    assert found.llf == pytest.approx(expected.llf, rel=1e-11)
    apart = (found.params[expected.params.index] - expected.params) / expected.bse
    assert np.abs(apart).max() < 1e-6


def test_two_ways_to_write_nested_groups(nested):
    written_out = glamm.fit("passed ~ ses + (1 | school:class) + (1 | school)", SCHOOLS, "binomial", points=3)
    same(written_out, nested)
    assert list(written_out.ranef()) == list(nested.ranef()) == ["school:class", "school"]
    unique = SCHOOLS.assign(room=SCHOOLS["school"] * 10 + SCHOOLS["class"])
    found = glamm.fit("passed ~ ses + (1 | school) + (1 | room)", unique, "binomial", points=3)
    np.testing.assert_allclose(found.params, nested.params, rtol=1e-6)


@pytest.mark.parametrize(
    "store",
    [
        polars.from_pandas,
        pyarrow.Table.from_pandas,
        lambda d: {name: d[name].tolist() for name in d},
        pd.DataFrame.convert_dtypes,
        lambda d: d.astype({"id": "category", "y": float, "visit": "int8"}),
        lambda d: d.astype({"id": str}),
    ],
)
def test_the_type_of_the_data_does_not_matter(plain, store):
    found = counts(store(COUNTS))
    np.testing.assert_allclose(found.params, plain.params, rtol=1e-9)
    assert found.llf == pytest.approx(plain.llf, rel=1e-12)
    assert np.asarray(found.predict()) == pytest.approx(plain.predict().to_numpy(), rel=1e-9)
