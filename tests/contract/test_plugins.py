"""Every registered plugin keeps the promises of its protocol."""

import itertools

import numpy as np
import pytest

from glamm import registry
from glamm.graph.model import FamilySpec
from glamm.kernels._families import call_block
from glamm.protocols import Column
from glamm.testing import check_family, check_latent_distribution, check_link

ARGUMENTS = {"power": (3.0,)}
PAIRS = [(family, link) for family in registry.names("families") for link in registry.links_of(family)]


def made(name, link=None, **options):
    return registry.family(FamilySpec(name, link, ARGUMENTS.get(link, ()), tuple(options.items())))


@pytest.mark.parametrize("name", registry.names("links"))
def test_links(name):
    check_link(registry.link(name, *ARGUMENTS.get(name, ())))


@pytest.mark.parametrize("exponent", [-3.0, -1.0, 0.25, 1.0, 2.0])
def test_powers(exponent):
    check_link(registry.link("power", exponent))


@pytest.mark.parametrize(
    "distribution",
    [
        registry.latent("normal"),
        registry.latent("student_t"),
        *(registry.latent("student_t", df=df) for df in (2.5, 3, 5, 200, 1e6)),
        registry.latent("skew_normal"),
        *(registry.latent("skew_normal", shape=shape) for shape in (-20.0, -3.0, 0.0, 0.5)),
        registry.latent("normal_mixture"),
        registry.latent("normal_mixture", weight=0.9, separation=5.0, ratio=0.3),
        registry.latent("normal_mixture", separation=1e-3, ratio=3.0),
    ],
    ids=lambda d: " ".join([d.name, *(f"{p.fixed:g}" for p in d.parameters if p.fixed is not None)]),
)
def test_latent_distributions(distribution):
    check_latent_distribution(distribution)


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_families(name, link):
    check_family(made(name, link))


@pytest.mark.parametrize("asymptotes", ["lower", "upper", "both"])
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog"])
def test_binomial_with_asymptotes(link, asymptotes):
    check_family(made("binomial", link, asymptotes=asymptotes))


def test_binomial_counts():
    successes = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 2.0])
    columns = (Column("s", successes), Column("f", 4.0 - successes))
    outcomes = np.column_stack((np.arange(5.0), np.full(5, 4.0)))
    check_family(made("binomial"), "cbind", columns, outcomes)


@pytest.mark.parametrize("asymptotes", ["lower", "upper", "both"])
def test_binomial_counts_with_asymptotes(asymptotes):
    successes = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 2.0])
    columns = (Column("s", successes), Column("f", 4.0 - successes))
    outcomes = np.column_stack((np.arange(5.0), np.full(5, 4.0)))
    check_family(made("binomial", asymptotes=asymptotes), "cbind", columns, outcomes)


def test_only_the_plain_logit_model_has_a_cumulant_function():
    assert made("binomial").cumulant() == "logistic"
    assert not any(made("binomial", asymptotes=a).cumulant() for a in ("lower", "upper", "both"))


SETS = Column("set", np.repeat(np.arange(4.0), (2, 3, 4, 1)))


def test_choices_from_sets_of_any_size():
    chosen = Column("y", np.array([0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]))
    outcomes = np.column_stack((np.arange(4.0), np.full(4, 4.0), np.full(4, 4.0)))
    check_family(made("choice"), "choice", (chosen, SETS), outcomes)


def test_rankings_with_ties_of_sets_of_any_size():
    ranks = Column("y", np.array([1.0, 2.0, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0, 2.0, 1.0]))
    orders = np.array(list(itertools.permutations((1.0, 2.0, 3.0, 4.0))))
    check_family(made("ranking"), "ranking", (ranks, SETS), np.column_stack((np.full(24, 4.0), orders)))


def test_partial_rankings_share_the_probability():
    ranks = Column("y", np.array([1.0, 2.0, 0.0, 0.0]))
    places = np.array(sorted(set(itertools.permutations((1.0, 2.0, 0.0, 0.0)))))
    outcomes = np.column_stack((np.full(12, 4.0), places))
    check_family(made("ranking"), "ranking", (ranks, Column("set", np.zeros(4))), outcomes)


def test_student_t_with_fixed_df():
    check_family(made("student_t", df=4.0))


def test_multinomial_with_reference():
    check_family(made("multinomial", reference="2"))


@pytest.mark.parametrize("name", ["weibull", "exponential"])
def test_censored_and_observed_times_share_the_probability(name):
    """The density of the times before t and the probability of the times after it add up to one."""
    family = made(name)
    time, step = np.linspace(0.0, 3.0, 6001)[1:] - 0.00025, 0.0005
    nu = [np.array([0.4])] + [np.array([-0.3])] * (name == "weibull")
    before = np.exp(family.log_likelihood(np.column_stack((time, np.ones_like(time))), nu)).sum() * step
    after = np.exp(family.log_likelihood(np.array([[3.0, 0.0]]), nu))
    np.testing.assert_allclose(before + after, 1.0, rtol=1e-3)


def test_censored_times_stay_censored_when_simulated():
    family = made("weibull")
    y = np.column_stack((np.full(1000, 0.5), np.repeat([0.0, 1.0], 500)))
    drawn = family.simulate(np.random.default_rng(1), y, (), [np.zeros(1000), np.zeros(1000)])
    assert drawn[:500, 0].max() == 0.5
    assert 0 < drawn[:500, 1].sum() < 500
    assert drawn[500:, 1].all() and drawn[500:, 0].max() > 0.5


@pytest.mark.parametrize("name", ["beta", "gamma", "negative_binomial", "student_t", "weibull"])
def test_auxiliary_parameters_far_out(name):
    """A very large or small auxiliary parameter is close to its limit, not a rounding accident."""
    family = made(name)
    y = np.array([[0.5, 1.0]]) if name == "weibull" else np.array([[0.5 if name == "beta" else 2.0]])
    extra = [np.zeros((1, 1))] if name == "student_t" else []
    grid = np.linspace(6.0, 14.0, 81)[:, None]
    aux = [*extra, grid] if name == "student_t" else [grid]
    ll = family.log_likelihood(y, [np.full((1, 1), 0.3), *aux])[:, 0]
    third = np.diff(ll, 3) / np.abs(ll[3:])
    assert np.abs(third).max() < 1.0


def test_negative_binomial_tends_to_poisson():
    counts = np.array([[0.0], [3.0], [50.0], [1e6]])
    mu = np.log(np.maximum(counts[:, 0], 1.0)) + 0.001
    poisson = made("poisson").log_likelihood(counts, [mu])
    limit = made("negative_binomial").log_likelihood(counts, [mu, np.full(4, 60.0)])
    np.testing.assert_allclose(limit, poisson, rtol=1e-9)


def test_large_counts_keep_their_digits():
    """Near its mode the Poisson log density is -log(2 pi y) / 2 - 1 / (12 y), y = 1e6 (Stirling)."""
    y = 1e6
    ll = made("poisson").log_likelihood(np.array([[y]]), [np.array([np.log(y)])])
    np.testing.assert_allclose(ll, -0.5 * np.log(2 * np.pi * y) - 1 / (12 * y), atol=1e-11)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog"])
@pytest.mark.parametrize("distance", [1e-9, 1e-6, 1e-4])
def test_close_thresholds(link, distance):
    """A narrow category has the density of the middle times its width."""
    family = made("ordinal", link)
    y = np.array([[1.0, 2.0]])
    nodes = np.linspace(-2.0, 2.0, 9)[:, None]
    nu = [nodes, np.zeros(1), np.full(1, distance), np.zeros(1)]
    ll = family.log_likelihood(y, nu)
    expected = np.log(family.link.derivative(0.5 * distance - nodes)) + np.log(distance)
    np.testing.assert_allclose(ll, expected, rtol=2e-6, atol=2e-6)
    d1 = family.block(y, nu, 1)[1]
    fast = call_block(family.kernel(), y, nu, 1)
    np.testing.assert_allclose(fast[0][0], ll, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(d1[1] + d1[2] + d1[0], 0.0, atol=1e-5 / distance)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog"])
def test_thresholds_out_of_order_have_likelihood_zero(link):
    family = made("ordinal", link)
    nu = [np.zeros(1), np.array([0.5]), np.array([0.5]), np.zeros(1)]
    assert family.log_likelihood(np.array([[1.0, 2.0]]), nu)[0] == -np.inf
    assert call_block(family.kernel(), np.array([[1.0, 2.0]]), nu, 0)[0][0][0, 0] == -np.inf


@pytest.mark.parametrize(
    ("link", "nu", "log_p"),
    [
        # log Phi(-40) = -40^2/2 - log(40 sqrt(2 pi)) + log(1 - 1/40^2 + 3/40^4 - ...)
        ("probit", -40.0, -800.0 - np.log(40.0 * np.sqrt(2 * np.pi)) + np.log1p(-(40.0**-2) + 3 * 40.0**-4)),
        ("logit", -700.0, -700.0),
        ("cloglog", -700.0, -700.0),
        ("loglog", -5.0, -np.exp(5.0)),
    ],
)
def test_tails_of_the_binomial(link, nu, log_p):
    ll = made("binomial", link).log_likelihood(np.array([[1.0, 1.0]]), [np.array([nu])])
    np.testing.assert_allclose(ll, log_p, rtol=1e-10)
