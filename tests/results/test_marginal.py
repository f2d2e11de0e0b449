"""Marginal predictions where latent variables are not normal, against integrals by SciPy."""

import itertools

import numpy as np
import pandas as pd
import pytest
from results_at import result_at
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm, skewnorm, t

import glamm
from glamm import registry
from glamm.results.laws import CoordinateLaw
from glamm.results.marginal import marginal_mean

RNG = np.random.default_rng(77)
N = 24
DATA = pd.DataFrame(
    {
        "y": RNG.integers(0, 2, N),
        "count": RNG.poisson(2.0, N),
        "x": RNG.normal(size=N).round(2),
        "g": np.repeat(np.arange(8), 3),
        "h": np.repeat(np.arange(4), 6),
    }
)
NEW = pd.DataFrame({"x": [-1.5, 0.0, 0.8]})


def student(df):
    return t(df, scale=np.sqrt((df - 2.0) / df)).pdf


def skewed(shape):
    about = shape / np.hypot(1.0, shape) * np.sqrt(2.0 / np.pi)
    sd = np.sqrt(1.0 - about**2)
    return skewnorm(shape, -about / sd, 1.0 / sd).pdf


def mixed(weight, separation, ratio):
    mean = (1.0 - weight) * separation
    second = weight + (1.0 - weight) * (ratio**2 + separation**2)
    sd = np.sqrt(second - mean**2)
    first, other = norm(-mean / sd, 1.0 / sd).pdf, norm((separation - mean) / sd, ratio / sd).pdf
    return lambda u: weight * first(u) + (1.0 - weight) * other(u)


def integral(density, function, at=()):
    """Return the mean of a function; `at` are places near which the integrand changes."""
    edges = [-np.inf, *sorted({-8.0, -2.0, 0.0, 2.0, 8.0, *at}), np.inf]
    parts = [
        quad(lambda u: density(u) * function(u), a, b, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return sum(parts)


LAWS = [
    ("student_t", (2.4,), student(2.4), ()),
    ("student_t", (6.0,), student(6.0), ()),
    ("skew_normal", (9.0,), skewed(9.0), (-1.4, -1.2)),
    ("normal_mixture", (0.9, 5.0, 0.25), mixed(0.9, 5.0, 0.25), (2.1, 2.5, 2.9)),
]


@pytest.mark.parametrize("df", [1e9, 1e12, 1e300])
def test_many_degrees_of_freedom_are_the_normal_limit(df):
    u = np.linspace(-5.0, 5.0, 11)
    found = registry.latent("student_t").log_density(u, np.asarray(df))
    # what the next term of the series in 1 / df is at most, and rounding
    np.testing.assert_allclose(found, norm.logpdf(u), atol=150.0 / df + 1e-13)
    u, weight = CoordinateLaw(0, 0, registry.latent("student_t"), (df,)).nodes(0.1)
    assert len(u) < 60
    assert weight @ u**2 == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize(("name", "parameters", "density", "at"), LAWS)
@pytest.mark.parametrize("slope", [0.3, 1.5, 6.0])
def test_nodes_integrate_what_links_give(name, parameters, density, at, slope):
    law = CoordinateLaw(0, 0, registry.latent(name), parameters)
    u, weight = law.nodes(min(0.1, 0.2 / slope))
    for centre in (-3.0, 0.4):
        expected = integral(density, lambda v, c=centre: expit(c + slope * v), (*at, -centre / slope))
        assert weight @ expit(centre + slope * u) == pytest.approx(expected, abs=2e-9)


RANDOM = [
    ("student_t(1 | g, df=5)", {}, student(5.0), ()),
    ("student_t(1 | g)", {"df(1 | g)": 3.0}, student(3.0), ()),
    ("skew_normal(1 | g)", {"shape(1 | g)": -4.0}, lambda u: skewed(4.0)(-u), (1.0, 1.4)),
    (
        "normal_mixture(1 | g, ratio=0.5)",
        {"weight(1 | g)": 0.3, "separation(1 | g)": 4.0},
        mixed(0.3, 4.0, 0.5),
        (),
    ),
]


@pytest.mark.parametrize(("effect", "values", "density", "at"), RANDOM)
def test_random_effects(effect, values, density, at, tmp_path):
    given = {"y ~ 1": 0.3, "y ~ x": -1.1, "sd(1 | g)": 1.7, "sd(1 | h)": 0.8, **values}
    fit = result_at(f"y ~ x + {effect} + (1 | h)", DATA, "binomial", given, points=5)
    z = np.arange(-8.0, 8.01, 0.1)
    weight = norm.pdf(z) * 0.1
    expected = [
        integral(density, lambda u, e=eta: weight @ expit(e + 1.7 * u + 0.8 * z), at)
        for eta in 0.3 - 1.1 * NEW["x"]
    ]
    np.testing.assert_allclose(fit.predict(NEW, "marginal"), expected, rtol=1e-8)
    np.testing.assert_allclose(fit.predict(NEW, random=False), expected, rtol=1e-8)
    fit.save(tmp_path / "fit.glamm")
    again = glamm.load(tmp_path / "fit.glamm")
    np.testing.assert_array_equal(again.predict(NEW, "marginal"), fit.predict(NEW, "marginal"))
    again.save(tmp_path / "again.glamm")
    twice = glamm.load(tmp_path / "again.glamm")
    np.testing.assert_array_equal(twice.predict(NEW, "marginal"), fit.predict(NEW, "marginal"))


def test_latent_variables_and_their_products():
    text = "eta | g =~ y + count; xi | h =~ y; y ~ eta:xi + x; eta ~ skew_normal(); xi ~ student_t(df=4)"
    text += "; family(y) = binomial; family(count) = poisson"
    values = {
        "y ~ 1": 0.2,
        "y ~ x": 0.5,
        "y ~ eta:xi": 0.6,
        "eta =~ count": 0.4,
        "count ~ 1": 0.1,
        "eta ~~ eta": 1.44,
        "xi ~~ xi": 0.81,
        "shape(eta)": 3.0,
    }
    fit = result_at(text, DATA, None, values, points=3)
    found = fit.predict(NEW, "marginal")
    u = np.arange(-5.0, 9.0, 0.02)
    v = np.concatenate((-np.geomspace(2000.0, 10.0, 4000)[:-1], np.linspace(-10.0, 10.0, 2001)))
    v = np.concatenate((v, -v[:3999][::-1]))
    joint = skewed(3.0)(u)[:, None] * student(4.0)(v)
    for row, x in enumerate(NEW["x"]):
        mean = expit(0.2 + 0.5 * x + 1.2 * u[:, None] + 0.9 * v * (1.0 + 0.6 * 1.2 * u[:, None]))
        expected = np.trapezoid(np.trapezoid(joint * mean, v), u)
        assert found["y"].iloc[row] == pytest.approx(expected, abs=1e-7)
    delta = 3.0 / np.sqrt(10.0)
    sd = np.sqrt(1.0 - delta**2 * 2.0 / np.pi)
    b = 0.4 * 1.2 / sd
    mean = np.exp(0.1 - b * delta * np.sqrt(2.0 / np.pi) + b**2 / 2.0) * 2.0 * norm.cdf(delta * b)
    np.testing.assert_allclose(found["count"], mean, rtol=1e-9)


def test_a_mean_that_does_not_exist_is_infinite():
    """Means of a log link under a distribution whose tails fall as a power."""
    for df in (4.0, 30.0):
        effect = f"student_t(1 | g, df={df})"
        fit = result_at(f"count ~ x + {effect}", DATA, "poisson", {"sd(1 | g)": 0.9}, points=3)
        assert np.isinf(fit.predict(NEW, "marginal")).all()
        assert np.isfinite(fit.predict(NEW, "response", random="zero")).all()


def test_files_of_older_versions_do_not_guess(tmp_path, monkeypatch):
    fit = result_at("y ~ x + student_t(1 | g, df=5)", DATA, "binomial", points=3)
    fit.save(tmp_path / "fit.glamm")
    from glamm.results import store

    read = store._unplain

    def without(document):
        plain = read(document)
        if isinstance(plain, dict):
            plain.pop("laws", None)
        return plain

    monkeypatch.setattr(store, "_unplain", without)
    old = glamm.load(tmp_path / "fit.glamm")
    assert np.isfinite(old.predict(NEW)).all()
    with pytest.raises(glamm.GlammError, match="how its latent variables are distributed"):
        old.predict(NEW, "marginal")


def test_several_coordinates_take_few_nodes(monkeypatch):
    values = {"y ~ 1": 0.4, "y ~ x": 0.5, "sd(1 | g)": 1.2, "sd(x | g)": 0.8, "sd(z | g)": 0.9}
    data, new = DATA.assign(z=DATA["x"].to_numpy()[::-1]), NEW.assign(z=[1.0, 0.3, -2.0])
    fit = result_at("y ~ x + student_t(1 + x + z || g, df=4)", data, "binomial", values, points=3)
    passes = []

    def counted(*arguments):
        passes.append(1)
        return marginal_mean(*arguments)

    monkeypatch.setattr("glamm.results.marginal.marginal_mean", counted)
    found = fit.predict(new, "marginal")
    assert len(passes) < 20_000
    u, weight = CoordinateLaw(0, 0, registry.latent("student_t"), (4.0,)).nodes(0.2)
    for at, row in enumerate(new.itertuples()):
        plane = 0.4 + 0.5 * row.x + 0.8 * row.x * u[:, None] + 0.9 * row.z * u
        expected = sum(w * (weight @ expit(plane + 1.2 * a) @ weight) for a, w in zip(u, weight, strict=True))
        assert found.iloc[at] == pytest.approx(expected, abs=1e-6)
    means = result_at("count ~ x + student_t(1 + x + z || g, df=4)", data, "poisson", points=3)
    assert np.isinf(means.predict(new, "marginal")).all()
