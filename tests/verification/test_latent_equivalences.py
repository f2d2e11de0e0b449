"""Models with latent variables that are the same model in other words, data or units have the same fit."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import glamm
from glamm.inference import Objective
from glamm.inference.gaussian import objective_of

CARD = "y ~ x + (1 + x | school) + eta1 =~ i1 + i2"
SEPARATE = "y ~ x + eta1 + (1 + x | school); eta1 =~ i1 + i2"
SEM = "f =~ a1 + a2 + a3; g =~ b1 + b2 + b3; f ~ x; g ~ f + x"
THREE = "p =~ p1 + p2 + p3; q =~ q1 + q2 + q3; r =~ r1 + r2 + r3"
OF_SCHOOLS = "f =~ a1 + a2 + a3; g =~ b1 + b2 + b3; u | school =~ a1 + b1"
LLF = 1e-8


def simulated():
    """Return 360 rows in 18 schools: a card's model, two factors, a group, a school's own measures."""
    rng = np.random.RandomState(3)
    n = 360
    school = np.repeat(np.arange(18), n // 18)
    x = rng.normal(size=n)
    eta1 = 0.9 * rng.normal(size=n)
    effect = rng.multivariate_normal([0.0, 0.0], [[0.4, 0.1], [0.1, 0.2]], 18)[school]
    climate = rng.normal(size=18)[school]
    group = np.where(rng.uniform(size=n) < 0.5, "one", "two")
    data = pd.DataFrame({"id": np.arange(n), "school": school, "x": x, "group": group})
    data["y"] = 1.0 + 0.5 * x + 0.8 * eta1 + effect[:, 0] + effect[:, 1] * x + 0.6 * rng.normal(size=n)
    data["i1"] = eta1 + 0.5 * rng.normal(size=n)
    data["i2"] = 0.3 + 1.2 * eta1 + 0.6 * rng.normal(size=n)
    f = 0.4 * x + rng.normal(size=n) * np.where(group == "one", 1.0, 1.4) + 0.3 * climate
    g = 0.5 * f - 0.2 * x + rng.normal(size=n)
    for k, loading in enumerate((1.0, 0.8, 1.3), start=1):
        data[f"a{k}"] = 0.1 * k + loading * f + 0.7 * rng.normal(size=n)
        data[f"b{k}"] = -0.2 * k + loading * g + 0.8 * rng.normal(size=n)
        data[f"s{k}"] = (loading * climate + 0.5 * rng.normal(size=18)[school]).round(6)
    top = rng.normal(size=n)
    for name in "pqr":
        factor = 0.8 * top + 0.6 * rng.normal(size=n)
        for k, loading in enumerate((1.0, 0.7, 1.2), start=1):
            data[f"{name}{k}"] = loading * factor + 0.7 * rng.normal(size=n)
    data["z"] = 0.3 + 0.5 * x + rng.normal(size=n)
    return data


DATA = simulated()


def long(columns, keep, data=DATA):
    """Return the columns below each other as `v`, with their names as `item` and as dummies."""
    stacked = data.melt(id_vars=keep, value_vars=columns, var_name="item", value_name="v")
    stacked["item"] = pd.Categorical(stacked["item"], columns)
    return stacked.assign(**{name: (stacked["item"] == name).astype(float) for name in columns})


LONG = long(["i1", "i2", "y"], ["id", "school", "x"])
LONG_A = long(["a1", "a2", "a3"], ["id", "school", "x"])

KINDS = DATA.assign(school_kind=np.resize(list("abc"), len(DATA)))

SAME = {
    "inline and separate": ((CARD, DATA), (SEPARATE, DATA)),
    "a response as an indicator": (
        (CARD, DATA),
        ("y ~ x + (1 + x | school); eta1 =~ i1 + i2 + y", DATA),
    ),
    "wide and long": (
        (CARD, DATA),
        (
            "v ~ 0 + item + y:x + (0 + y + y:x | school); eta1 | id =~ v:item; sigma(v) ~ 0 + item",
            LONG,
        ),
    ),
    "one factor, wide and long": (
        ("f =~ a1 + a2 + a3; f ~ x", DATA),
        ("v ~ 0 + item; f | id =~ v:item; f ~ x; sigma(v) ~ item", LONG_A),
    ),
    "order of statements": ((SEM, DATA), ("; ".join(reversed(SEM.split("; "))), DATA)),
    "order of indicators": (
        (SEM, DATA),
        ("g ~ x + f; f =~ a3 + a1 + a2; f ~ x; g =~ b2 + b3 + b1", DATA),
    ),
    "a free first loading": (
        (SEM, DATA),
        ("f =~ NA*a1 + a2 + a3; g =~ NA*b1 + b2 + b3; f ~ x; g ~ f + x; f ~~ 1*f; g ~~ 2*g", DATA),
    ),
    "names": (
        (SEM, DATA),
        (
            "ξ =~ `a 1` + a2 + a3; zeta =~ b1 + b2 + b3; ξ ~ x; zeta ~ ξ + x",
            DATA.rename(columns={"a1": "a 1"}),
        ),
    ),
    "covariance and regression": (
        ("f =~ a1 + a2 + a3; g =~ b1 + b2 + b3", DATA),
        ("f =~ a1 + a2 + a3; g =~ b1 + b2 + b3; g ~ f", DATA),
    ),
    "covariance and a common factor": (
        ("f =~ a1 + a2 + a3; g =~ b1 + b2 + b3; f ~ x; g ~ x", DATA),
        ("f =~ a1 + a2 + a3; g =~ b1 + b2 + b3; f ~ x; g ~ x + f", DATA),
    ),
    "random intercept with a name": (
        ("y ~ x + (1 | school)", DATA),
        ("y ~ x; u | school =~ 1*y", DATA),
    ),
    "random intercept that predicts": (
        ("y ~ x + (1 | school)", DATA),
        ("y ~ x + 1*u; u | school ~ 0; u ~~ u", DATA),
    ),
    "random slope with a name": (
        ("y ~ x + (1 + x | school)", DATA),
        ("y ~ x; u | school =~ 1*y; w | school =~ 1*y:x", DATA),
    ),
    "random slope, uncorrelated": (
        ("y ~ x + (1 + x || school)", DATA),
        ("y ~ x; u | school =~ 1*y; w | school =~ 1*y:x; u ~~ 0*w", DATA),
    ),
    "random intercept in a structural model": (
        ("f =~ a1 + a2 + a3; f ~ x + (1 | school)", DATA),
        ("f =~ a1 + a2 + a3; f ~ x + 1*u; u | school ~ 0; u ~~ u", DATA),
    ),
    "mean of a latent variable": (
        ("f =~ a1 + a2 + a3; f ~ x", DATA),
        ("f =~ a1 + a2 + a3; f ~ 1 + x; a1 ~ 0", DATA),
    ),
    "labels and constraints": (
        ("f =~ a1 + l*a2 + l*a3", DATA),
        ("f =~ a1 + a2 + a3; `f =~ a2` == `f =~ a3`", DATA),
        ("f =~ a1 + p*a2 + q*a3; p - q == 0", DATA),
    ),
    "one variance at two levels": (
        (f"{OF_SCHOOLS}; f ~~ v*f; g ~~ v*g; u ~~ v*u", DATA),
        (f"{OF_SCHOOLS}; `f ~~ f` == `g ~~ g`; `g ~~ g` == `u ~~ u`", DATA),
    ),
    "a held value and a constraint": (
        ("f =~ 1*a1 + 0.8*a2 + a3; f ~ x; g =~ b1 + b2 + b3; f ~~ 0.5*g; f ~~ 1.2*f", DATA),
        (
            "f =~ NA*a1 + l*a2 + a3; f ~ x; g =~ b1 + b2 + b3; f ~~ c*g; f ~~ v*f; "
            "l == 0.8; c == 0.5; v == 1.2; `f =~ a1` == 1",
            DATA,
        ),
    ),
    "a linear constraint and its substitution": (
        ("y ~ label(p)*x + label(q)*z; p + q == 1", DATA),
        ("y ~ offset(x) + d", DATA.assign(d=DATA["z"] - DATA["x"])),
    ),
    "equal variances": (
        ("f =~ a1 + a2 + a3; a1 ~~ e*a1; a2 ~~ e*a2; a3 ~~ e*a3", DATA),
        ("v ~ 0 + item; f | id =~ v:item", LONG_A),
    ),
    "second order and its covariances": (
        (f"{THREE}; top =~ p + q + r", DATA),
        (THREE, DATA),
        (f"{THREE}; p ~ 1*top; q ~ top; r ~ top; top ~~ top; p ~~ 0*q; p ~~ 0*r; q ~~ 0*r", DATA),
    ),
    "responses of schools": (
        ("climate | school =~ s1 + s2 + s3; s1 + s2 + s3 | school ~ 1; f =~ a1 + a2 + a3; f ~ climate", DATA),
        (
            "v ~ 0 + item; climate | school =~ v:s1 + v:s2 + v:s3; sigma(v) ~ 0 + item; "
            "f | id =~ 1*v:a1 + v:a2 + v:a3; f ~ climate",
            pd.concat(
                [
                    long(["a1", "a2", "a3"], ["id", "school"]),
                    long(["s1", "s2", "s3"], ["id", "school"], DATA.drop_duplicates("school")),
                ]
            )
            .fillna(dict.fromkeys(["a1", "a2", "a3", "s1", "s2", "s3"], 0.0))
            .astype({"item": str}),
        ),
    ),
    "unit standard deviation in the first group": (
        ("eta =~ a1 + a2 + a3; sd(eta) ~ school_kind", KINDS),
        ("eta =~ a1 + a2 + a3; sd(eta) ~ 0 + school_kind", KINDS),
        ("eta =~ a1 + a2 + a3; sd(eta) ~ school_kind", KINDS, {"std_lv": True}),
        ("eta =~ a1 + a2 + a3; sd(eta) ~ 0 + school_kind", KINDS, {"std_lv": True}),
        ("eta =~ NA*a1 + a2 + a3; sd(eta) ~ 0*1 + school_kind", KINDS),
    ),
    "nothing missing": (("y ~ x + mi(z); z ~ x", DATA), ("y ~ x + z; z ~ x", DATA)),
}


def fit(text, data=DATA, options=None, **more):
    found = glamm.fit(text, data, **(options or {}), **more)
    assert found.converged, (text, found.status)
    return found


@pytest.mark.parametrize("name", SAME)
def test_equal_models(name):
    fits = [fit(*model) for model in SAME[name]]
    for other in fits[1:]:
        assert other.llf == pytest.approx(fits[0].llf, abs=LLF)


@pytest.mark.parametrize("text", [CARD, SEM, "f =~ a1 + a2 + a3; f ~ x; y ~ f + (1 | school)"])
def test_scale_of_latent_variables(text):
    assert fit(text, std_lv=True).llf == pytest.approx(fit(text).llf, abs=LLF)


def test_the_cards_model_finds_what_made_the_data():
    found = fit(CARD)
    truth = {
        "y ~ 1": 1.0,
        "y ~ x": 0.5,
        "y ~ eta1": 0.8,
        "sigma(y)": 0.6,
        "i1 ~ 1": 0.0,
        "sigma(i1)": 0.5,
        "i2 ~ 1": 0.3,
        "eta1 =~ i2": 1.2,
        "sigma(i2)": 0.6,
        "eta1 ~~ eta1": 0.81,
        "sd(y: 1 | school)": np.sqrt(0.4),
        "sd(y: x | school)": np.sqrt(0.2),
        "cor(y: 1, y: x | school)": 0.1 / np.sqrt(0.4 * 0.2),
    }
    assert set(found.params.index) == set(truth)
    distance = (found.params - pd.Series(truth)) / found.bse
    assert distance.abs().max() < 3.0
    separate = fit(SEPARATE)
    np.testing.assert_allclose(separate.params[found.params.index], found.params, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(separate.bse[found.params.index], found.bse, rtol=1e-3)


def test_units_of_indicators_and_covariates():
    unit = {"a1": 10.0, "a2": 0.1, "b1": 3.0, "x": 0.1}
    found = fit(SEM, DATA.assign(**{name: DATA[name] * by for name, by in unit.items()}))
    plain = fit(SEM)
    shift = -sum(len(DATA) * np.log(by) for name, by in unit.items() if name != "x")
    assert found.llf == pytest.approx(plain.llf + shift, abs=1e-7)
    scale = {"f =~ a2": 0.01, "f =~ a3": 0.1, "g ~ f": 0.3, "f ~ x": 100.0, "g ~ x": 30.0, "f ~~ f": 100.0}
    for name, by in scale.items():
        assert found.params[name] == pytest.approx(plain.params[name] * by, rel=1e-5)
        assert found.bse[name] == pytest.approx(plain.bse[name] * by, rel=1e-3)


ONE_GROUP = "f =~ a1 + a2 + a3; f ~ x"
GROUPS = """
a1 + a2 + a3 ~ 0 + group
f =~ a1:one + 1*a1:two + a2:group + a3:group
f ~ x:group
sd(f) ~ 0 + group
sigma(a1) ~ 0 + group; sigma(a2) ~ 0 + group; sigma(a3) ~ 0 + group
"""


def test_several_groups_are_fits_of_each():
    dummies = {name: (DATA["group"] == name).astype(float) for name in ("one", "two")}
    together = fit(GROUPS, DATA.assign(**dummies))
    apart = {name: fit(ONE_GROUP, data) for name, data in DATA.groupby("group")}
    assert together.llf == pytest.approx(sum(found.llf for found in apart.values()), abs=LLF)
    for name, found in apart.items():
        np.testing.assert_allclose(
            together.params[[f"f =~ a2:group[{name}]", f"f =~ a3:group[{name}]", f"f ~ x:group[{name}]"]],
            found.params[["f =~ a2", "f =~ a3", "f ~ x"]],
            rtol=1e-5,
        )
        sd = np.exp(together.params[f"sd(f) ~ group[{name}]"])
        assert sd**2 == pytest.approx(found.params["f ~~ f"], rel=1e-5)


def test_derived_parameters_have_the_errors_of_differences():
    text = f"{SEM.replace('f ~ x', 'f ~ label(p)*x').replace('g ~ f', 'g ~ label(q)*f')}"
    found = fit(f"{text}; indirect := p*q; share := p*q / (p*q + `g ~ x`); size := sqrt(`f ~~ f`) * exp(q)")
    names = ["f ~ x", "g ~ f", "g ~ x", "f ~~ f"]

    def derived(at):
        p, q, direct, variance = at
        return np.array([p * q, p * q / (p * q + direct), np.sqrt(variance) * np.exp(q)])

    at = found.params[names].to_numpy()
    np.testing.assert_allclose(found.params[["indirect", "share", "size"]], derived(at), rtol=1e-12)
    steps = 1e-5 * np.eye(4)
    slopes = np.column_stack([(derived(at + e) - derived(at - e)) / 2e-5 for e in steps])
    covariance = slopes @ found.cov_params().loc[names, names].to_numpy() @ slopes.T
    np.testing.assert_allclose(
        found.bse[["indirect", "share", "size"]], np.sqrt(np.diag(covariance)), rtol=1e-7
    )


def test_missing_indicators_leave_out_themselves_only():
    holes = DATA.copy()
    holes.loc[::4, "a2"] = np.nan
    holes.loc[1::4, "a3"] = np.nan
    stacked = long(["a1", "a2", "a3"], ["id", "x"], holes).dropna()
    wide = fit("f =~ a1 + a2 + a3; f ~ x", holes)
    assert wide.llf == pytest.approx(
        fit("v ~ 0 + item; f | id =~ v:item; f ~ x; sigma(v) ~ item", stacked).llf, abs=LLF
    )


def test_missing_covariates_against_the_joint_normal_model():
    """A covariate that is a latent variable where it is missing: y and z are jointly normal given x."""
    holes = DATA[["x", "y", "z"]].copy()
    holes.loc[::3, "z"] = np.nan
    found = fit("y ~ x + mi(z); z ~ x", holes)
    b = found.params
    total = 0.0
    for x, y, z in holes.to_numpy():
        mean_z = b["z ~ 1"] + b["z ~ x"] * x
        if np.isfinite(z):
            total += norm.logpdf(z, mean_z, b["sigma(z)"])
            total += norm.logpdf(y, b["y ~ 1"] + b["y ~ x"] * x + b["y ~ mi(z)"] * z, b["sigma(y)"])
        else:
            sd = np.hypot(b["sigma(y)"], b["y ~ mi(z)"] * b["sigma(z)"])
            total += norm.logpdf(y, b["y ~ 1"] + b["y ~ x"] * x + b["y ~ mi(z)"] * mean_z, sd)
    assert found.llf == pytest.approx(total, abs=LLF)


@pytest.mark.parametrize("engine", ["closed form", "adaptive"])
@pytest.mark.parametrize(
    "text",
    [
        "f =~ a1 + a2 + a3; u | school =~ s1 + s2; s1 + s2 | school ~ 1; f ~ u",
        "f =~ a1 + a2 + a3; u | school =~ s1 + s2; s1 + s2 | school ~ 1; f ~ u + c; c | school ~ classes(2)",
    ],
)
def test_rows_of_weight_0_are_as_if_they_were_not_there(text, engine):
    """The first row of each school, in which the school's own measures stand, has weight 0."""
    data = DATA.assign(w=np.where(DATA["school"].duplicated(), 1.0, 0.0))
    weighted = glamm.Model(text, data, weights={"row": "w"}).lowered.plan
    fewer = glamm.Model(text, data[data["w"] > 0.0]).lowered.plan
    theta = weighted.start + 0.1
    of = objective_of if engine == "closed form" else Objective
    value, gradient = of(weighted, 3).value_and_gradient(theta)
    expected, slopes = of(fewer, 3).value_and_gradient(theta)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9)
