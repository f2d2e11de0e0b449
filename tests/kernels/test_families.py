"""The compiled block functions against the families' own densities and against their own derivatives."""

import numpy as np
import pytest
import scipy.special as special
import scipy.stats as stats
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm import registry
from glamm.graph import family_spec
from glamm.kernels import _families
from glamm.kernels._block import evaluate

CATEGORIES = 4
MODELS = (
    "gaussian(identity)",
    "gaussian(log)",
    "gaussian(reciprocal)",
    "student_t(identity)",
    "gamma(log)",
    "gamma(reciprocal)",
    "gamma(identity)",
    "inverse_gaussian(log)",
    "inverse_gaussian(inverse_square)",
    "poisson(log)",
    "poisson(identity)",
    "poisson(sqrt)",
    "negative_binomial(log)",
    "binomial(logit)",
    "binomial(probit)",
    "binomial(cloglog)",
    "binomial(loglog)",
    *(
        f'binomial({link}, asymptotes="{side}")'
        for link in ("logit", "probit")
        for side in ("lower", "upper", "both")
    ),
    "beta(logit)",
    "beta(probit)",
    "beta(cloglog)",
    "ordinal(logit)",
    "ordinal(probit)",
    "ordinal(cloglog)",
    "ordinal(loglog)",
    "sequential(logit)",
    "sequential(probit)",
    "sequential(cloglog)",
    "adjacent(logit)",
    "multinomial(logit)",
    "choice(logit)",
    "ranking(logit)",
    "weibull(log)",
    "exponential(log)",
)
CHANNELS = {
    "gaussian": 2,
    "student_t": 3,
    "gamma": 2,
    "inverse_gaussian": 2,
    "negative_binomial": 2,
    "beta": 2,
    "ordinal": 4,
    "sequential": CATEGORIES,
    "adjacent": CATEGORIES,
    "multinomial": CATEGORIES - 1,
    "choice": CATEGORIES,
    "ranking": CATEGORIES,
    "weibull": 2,
}
# whole, partial and with ties, of two to four alternatives
RANKINGS = (
    (4, 3, 1, 4, 2),
    (4, 0, 2, 0, 1),
    (4, 0, 0, 0, 0),
    (4, 1, 2, 1, 3),
    (4, 2, 1, 2, 2),
    (4, 1, 1, 1, 2),
    (4, 2, 1, 1, 0),
    (3, 3, 2, 1, 0),
    (3, 1, 1, 0, 0),
    (2, 2, 1, 0, 0),
    (1, 1, 0, 0, 0),
)


def _split(model):
    """Name, link and keyword options of a model as `capsule` takes them."""
    spec = family_spec(model)
    return spec.name, spec.link, dict(spec.options)


def _block(model, instructions=""):
    return _families.capsule(*_split(model), instructions=instructions)


def _count(model):
    name, _, options = _split(model)
    asymptotes = {"lower": 1, "upper": 1, "both": 2}
    return 1 + asymptotes[options["asymptotes"]] if options else CHANNELS.get(name, 1)


def _response(model, n, rng, trials=6):
    name = _split(model)[0]
    if name == "choice":
        size = rng.integers(1, CATEGORIES + 1, n)
        y = np.column_stack((rng.integers(0, size), size, np.full(n, CATEGORIES)))
    elif name == "ranking":
        y = np.array(RANKINGS)[rng.integers(0, len(RANKINGS), n)]
    elif name in ("ordinal", "sequential", "adjacent", "multinomial"):
        y = np.column_stack((rng.integers(0, CATEGORIES, n), np.full(n, CATEGORIES - 1)))
    elif name == "binomial":
        size = rng.integers(1, trials + 1, n)
        y = np.column_stack((rng.binomial(size, 0.5), size))
    elif name in ("poisson", "negative_binomial"):
        y = rng.poisson(3.0, (n, 1))
    elif name == "beta":
        y = rng.beta(2.0, 2.0, (n, 1))
    elif name in ("weibull", "exponential"):
        y = np.column_stack((rng.gamma(2.0, 1.0, n), rng.integers(0, 2, n)))
    elif name in ("gaussian", "student_t"):
        y = rng.normal(size=(n, 1))
    else:
        y = rng.gamma(3.0, 1.0, (n, 1))
    return np.ascontiguousarray(y, dtype=float)


def _channels(model, y, m, rng, by_node=(True,)):
    """Moderate channels; `by_node` says, in turn, which of them differ between the nodes."""
    name, link, _ = _split(model)
    n = y.shape[0]
    nu = [
        0.3 + 0.4 * rng.normal(size=(m if by_node[k % len(by_node)] else 1, n)) for k in range(_count(model))
    ]
    if link in ("identity", "sqrt", "reciprocal", "inverse_square") and name not in ("gaussian", "student_t"):
        nu[0] = 0.8 + np.abs(nu[0])
    if link == "reciprocal":
        nu[0] = 0.8 + np.abs(nu[0])
    if name == "student_t":
        nu[2] = nu[2] + 1.0
    if name == "ordinal":
        nu[1] = np.where(y[:, 0] > 0, 0.3 * nu[1] - 1.0, 0.0)
        nu[2] = np.where(y[:, 0] < CATEGORIES - 1, 0.3 * nu[2] + 1.0, 0.0)
    return nu


def _slope(function, nu, k, step=0.01):
    """Derivatives of a list of arrays in channel k by the eighth-order central rule."""
    total = None
    for j, weight in enumerate((4 / 5, -1 / 5, 4 / 105, -1 / 280), start=1):
        up, down = list(nu), list(nu)
        up[k], down[k] = nu[k] + j * step, nu[k] - j * step
        change = [weight * (a - b) / step for a, b in zip(function(up), function(down), strict=True)]
        total = change if total is None else [a + b for a, b in zip(total, change, strict=True)]
    return total


@pytest.mark.parametrize("instructions", _families.INSTRUCTION_SETS)
@pytest.mark.parametrize("model", MODELS)
def test_values_and_derivatives(model, instructions):
    """Values are the family's; each order is the derivative of the one below, in every channel."""
    rng = np.random.default_rng(1)
    block = _block(model, instructions)
    family = registry.family(family_spec(model))
    for n, m, by_node in ((150, 1, (True,)), (40, 7, (True, False)), (3, 300, (False, True))):
        y = _response(model, n, rng, trials=1 if m == 7 else 6)
        nu = _channels(model, y, m, rng, by_node)
        count = len(nu)
        got = _families.call_block(block, y, nu, 3)
        shape = got[0][0].shape
        assert shape == (m if any(v.shape[0] == m for v in nu) else 1, n)
        # the two sum their terms in another order: a few rounding errors of log Gamma
        np.testing.assert_allclose(
            got[0][0], np.broadcast_to(family.log_likelihood(y, nu), shape), rtol=1e-12, atol=1e-12
        )
        pairs = [(a, b) for a in range(count) for b in range(a, count)]
        for order in (1, 2, 3):
            slopes = [
                _slope(lambda v, y=y, below=order - 1: _families.call_block(block, y, v, below)[below], nu, k)
                for k in range(count)
            ]
            if order == 1:
                expected = [slopes[k][0] for k in range(count)]
            elif order == 2:
                expected = [slopes[b][a] for a, b in pairs]
            else:
                expected = [slopes[k][p] for p in range(len(pairs)) for k in range(count)]
            for a, b in zip(got[order], expected, strict=True):
                # rounding errors of the values over the step, truncation where a density is steep
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_lower_orders_agree(model):
    """An order gives the same numbers however many further orders are asked for."""
    rng = np.random.default_rng(2)
    y = _response(model, 30, rng)
    nu = _channels(model, y, 7, rng, (True, False))
    full = _families.call_block(_block(model), y, nu, 3)
    for order in range(3):
        part = _families.call_block(_block(model), y, nu, order)
        assert len(part) == order + 1
        for mine, theirs in zip(part, full, strict=False):
            for a, b in zip(mine, theirs, strict=True):
                # compiled once for each order: rounding may differ
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("model", MODELS)
def test_channels_spread_over_nodes(model):
    """A channel that is the same at every node means the same as its copies."""
    rng = np.random.default_rng(3)
    for n, m in ((20, 7), (2, 257), (5, 3)):
        y = _response(model, n, rng)
        nu = _channels(model, y, m, rng, (False,))
        copies = [np.repeat(v, m, axis=0) for v in nu]
        mixed = [copies[0], *nu[1:]]
        for order in (1, 3):
            one = _families.call_block(_block(model), y, copies, order)
            two = _families.call_block(_block(model), y, mixed, order)
            for mine, theirs in zip(one, two, strict=True):
                for a, b in zip(mine, theirs, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("model", MODELS)
def test_extreme_predictors(model):
    """Nothing is ever NaN, and a density is a finite number or minus infinity."""
    rng = np.random.default_rng(4)
    y = _response(model, 60, rng)
    extremes = np.array([-800.0, -700.0, -300.0, -40.0, -1e-9, 0.0, 1e-9, 40.0, 300.0, 700.0, 800.0])
    for k in range(_count(model)):
        nu = _channels(model, y, 1, rng)
        nu[k] = np.repeat(extremes[:, None], 60, axis=1)
        got = _families.call_block(_block(model), y, nu, 3)
        assert not np.isnan(got[0][0]).any()
        assert not (got[0][0] == np.inf).any()
        for arrays in got[1:]:
            assert np.isfinite(arrays).all()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(MODELS), st.integers(0, 40), st.sampled_from([1, 2, 3, 7, 31, 255, 256, 257, 600]),
    st.lists(st.booleans(), min_size=1, max_size=4), st.integers(0, 2**31),
)  # fmt: skip
def test_any_shape(model, n, m, by_node, seed):
    """Blocks of any shape give the rows' and nodes' own numbers."""
    rng = np.random.default_rng(seed)
    y = _response(model, n, rng)
    nu = _channels(model, y, m, rng, by_node)
    got = _families.call_block(_block(model), y, nu, 1)
    if n == 0:
        assert got[0][0].size == 0
        return
    r, i = rng.integers(got[0][0].shape[0]), rng.integers(n)
    alone = [v[min(r, v.shape[0] - 1), i : i + 1] for v in nu]
    single = _families.call_block(_block(model), y[i : i + 1], alone, 1)
    for mine, theirs in zip(got, single, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a[r, i], b[0, 0], rtol=1e-11, atol=1e-12)


def test_known_densities():
    """The parametrisation is the documented one, by densities of scipy."""
    rng = np.random.default_rng(5)
    n = 50
    nu, s = 0.5 + 0.3 * rng.normal(size=n), 0.4 + 0.2 * rng.normal(size=n)
    mu, a = np.exp(nu), np.exp(s)
    count, positive = rng.poisson(4.0, (n, 1)).astype(float), rng.gamma(2.0, 1.0, (n, 1))
    p = special.expit(nu)
    share = rng.beta(2.0, 3.0, (n, 1))
    size = rng.integers(1, 400, n)
    wins = np.column_stack((rng.binomial(size, 0.5), size)).astype(float)
    t, c = positive[:, 0], count[:, 0]
    cases = {
        "gaussian(identity)": (positive, (nu, s), stats.norm.logpdf(t, nu, a)),
        "student_t(identity)": (positive, (nu, s, s + 1), stats.t.logpdf(t, np.exp(s + 1), nu, a)),
        "gamma(log)": (positive, (nu, s), stats.gamma.logpdf(t, a, scale=mu / a)),
        "inverse_gaussian(log)": (positive, (nu, s), stats.invgauss.logpdf(t, mu / a, scale=a)),
        "poisson(log)": (count, (nu,), stats.poisson.logpmf(c, mu)),
        "negative_binomial(log)": (count, (nu, s), stats.nbinom.logpmf(c, a, a / (a + mu))),
        "binomial(logit)": (wins, (nu,), stats.binom.logpmf(wins[:, 0], wins[:, 1], p)),
        "beta(logit)": (share, (nu, s), stats.beta.logpdf(share[:, 0], p * a, (1 - p) * a)),
        "weibull(log)": (
            np.column_stack((t, np.ones(n))),
            (nu, s),
            stats.weibull_min.logpdf(t, a, scale=mu),
        ),
        "exponential(log)": (np.column_stack((t, np.zeros(n))), (nu,), -t / mu),
    }
    for model, (y, channels, expected) in cases.items():
        got = _families.call_block(_block(model), y, channels)[0][0][0]
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11, err_msg=model)


def test_digits_are_kept():
    """Large counts, huge sizes and narrow or far intervals, where the plain formulas cancel."""
    y, nu = 1e6, np.log(1e6) + 1e-3
    value = _families.call_block(_block("poisson(log)"), [[y]], [[nu]])[0][0].item()
    # 40-digit arithmetic: y nu - exp(nu) - log y!
    assert value == pytest.approx(-8.326860603860783, abs=1e-10)
    nb = _families.call_block(_block("negative_binomial(log)"), [[7.0]], [[1.2], [60.0]])[0][0].item()
    assert nb == pytest.approx(stats.poisson.logpmf(7, np.exp(1.2)), rel=1e-13)
    for link, density in (("logit", stats.logistic.logpdf), ("probit", stats.norm.logpdf)):
        for middle, width in ((0.3, 1e-9), (-6.0, 1e-5), (6.0, 1e-5), (-25.0, 1e-9)):
            nu = [[0.0], [middle - width / 2], [middle + width / 2], [0.0]]
            ll, d1, d2 = _families.call_block(_block(f"ordinal({link})"), [[1.0, 2.0]], nu, 2)
            slope = -np.tanh(middle / 2) if link == "logit" else -middle
            assert ll[0].item() == pytest.approx(density(middle) + np.log(width), rel=1e-6)
            assert d1[0].item() == pytest.approx(-slope, rel=1e-5)
            assert d2[0].item() < 0.0


def test_thresholds_out_of_order():
    """Crossed thresholds have no probability."""
    for link in ("logit", "probit", "cloglog", "loglog"):
        for gap in (0.0, -0.1, -50.0):
            got = _families.call_block(
                _block(f"ordinal({link})"), [[1.0, 2.0]], [[0.1], [0.5], [0.5 + gap], [0.0]], 3
            )
            assert got[0][0].item() == -np.inf
            assert all(np.isfinite(arrays).all() for arrays in got[1:])


def test_power_link():
    """The power link needs its exponent; nu = mu^k."""
    assert _families.capsule("gamma", "power") is None
    block = _families.capsule("gamma", "power", {"power": -1.0})
    reciprocal = _families.capsule("gamma", "reciprocal")
    y, nu = np.array([[1.3], [0.4]]), [np.array([0.7, 1.9]), np.array([0.2, 0.2])]
    for mine, theirs in zip(
        _families.call_block(block, y, nu, 3), _families.call_block(reciprocal, y, nu, 3), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    assert (_families.call_block(block, y, [[-0.7, -1.9], [0.2, 0.2]])[0][0] == -np.inf).all()


def test_unknown_pairs():
    """What is not compiled is None."""
    assert _families.capsule("gaussian", "cauchit") is None
    assert _families.capsule("tweedie", "log") is None
    assert _families.capsule("weibull", "identity") is None


def _spread(low, high, powers=False):
    x = np.random.default_rng(6).uniform(low, high, 20000)
    return 10**x if powers else x


ELEMENTARY = (
    ("exp", _spread(-700.0, 700.0), np.exp, 4e-16),
    ("expm1", _spread(-40.0, 40.0), np.expm1, 6e-16),
    ("expm1", _spread(-20.0, 0.0, powers=True), np.expm1, 6e-16),
    ("log", _spread(-320.0, 300.0, powers=True), np.log, 6e-16),
    ("log", _spread(0.5, 2.0), np.log, 6e-16),
    ("log1p", _spread(-0.9, 3.0), np.log1p, 7e-16),
    ("log1p", _spread(-20.0, 20.0, powers=True), np.log1p, 7e-16),
    ("erfcx", _spread(0.0, 10.0), special.erfcx, 3e-15),
    ("erfcx", _spread(-10.0, 10.0, powers=True), special.erfcx, 3e-15),
    # not near the zeros at 1, 2 and 1.46, where only the absolute error is small
    ("lgamma", _spread(-9.0, -0.5, powers=True), special.gammaln, 2e-14),
    ("lgamma", _spread(0.4, 8.0, powers=True), special.gammaln, 2e-14),
    ("digamma", _spread(-5.0, 0.0, powers=True), special.psi, 1e-14),
    ("digamma", _spread(0.3, 8.0, powers=True), special.psi, 1e-14),
    ("trigamma", _spread(-5.0, 4.0, powers=True), lambda x: special.polygamma(1, x), 4e-15),
    ("tetragamma", _spread(-5.0, 4.0, powers=True), lambda x: special.polygamma(2, x), 5e-15),
)


@pytest.mark.parametrize(("name", "x", "reference", "tolerance"), ELEMENTARY)
def test_elementary_functions(name, x, reference, tolerance):
    """Elementary functions to a few units in the last place."""
    np.testing.assert_allclose(_families.elementary(name, x), reference(x), rtol=tolerance)


def test_elementary_clamps():
    """Exponentials stay positive and finite; the logarithm of nothing is minus infinity."""
    x = np.array([-np.inf, -1e6, -708.5, 709.5, 1e6, np.inf])
    got = _families.elementary("exp", x)
    assert (got > 0.0).all() and np.isfinite(got).all()
    assert (_families.elementary("log", [0.0, -1.0, np.nan]) == -np.inf).all()
    assert _families.elementary("log", [np.inf]).item() == np.inf
    np.testing.assert_allclose(
        _families.elementary("log", [5e-324, 1e-310]), np.log([5e-324, 1e-310]), rtol=1e-14
    )


@pytest.mark.parametrize("log_size", [-1000.0, -260.0, 60.0, 229.0, 260.0, 700.0, 15000.0])
def test_sizes_without_bound_are_poisson_or_nothing(log_size):
    """A search may take the size anywhere: no count then has a density above its limit."""
    family = registry.family(family_spec("negative_binomial"))
    y = np.array([[0.0], [1.0], [5.0], [60.0]])
    for nu in (-20.0, 0.0, 3.0, 12.0):
        channels = np.ascontiguousarray([np.full(4, nu), np.full(4, log_size)])
        found = evaluate(family.kernel(), y, channels)[0]
        assert (found <= 0.0).all()
        if log_size > 0.0:
            np.testing.assert_allclose(found, stats.poisson.logpmf(y[:, 0], np.exp(nu)), rtol=1e-9, atol=1e-9)
        else:
            assert found[0] == pytest.approx(0.0, abs=1e-14)
            assert (found[1:] < -200.0).all()
