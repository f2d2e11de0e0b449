"""Checks of a family."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from glamm import registry
from glamm.kernels._families import call_block
from glamm.numdiff import pairs
from glamm.protocols import Array, Column, Encoded, Family, Interval, ResponseError
from glamm.testing._common import EXAMPLES, EXTREMES, close, inside, stretch

__all__ = ["Case", "check_block", "check_extremes", "check_family"]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A family with a response: what every property of it starts from."""

    family: Family
    encoded: Encoded
    start: Array  # (predictors,)
    what: str

    @property
    def y(self) -> Array:
        """The encoded response, shape (n, ny)."""
        return self.encoded.y

    def channels(self, predictors: Array, encoded: Encoded | None = None) -> list[Array]:
        """Return the channels, each (nodes, n), that predictors of shape (predictors, nodes, n) feed."""
        index = self.family.channels(self.encoded if encoded is None else encoded)
        if index is None:
            return list(predictors)
        columns = np.arange(predictors.shape[-1])
        return [
            np.where(index[:, k] >= 0, predictors[index[:, k], :, columns].T, 0.0)
            for k in range(index.shape[1])
        ]

    def at(self, shift: Array, spread: float = 0.0) -> Array:
        """Return predictors (predictors, nodes, n): the start moved by `shift` (nodes,) in mu."""
        predictors = np.broadcast_to(
            self.start[:, None, None], (self.start.size, shift.size, self.y.shape[0])
        ).copy()
        names = [p.name for p in self.family.predictors(self.encoded)]
        for k, name in enumerate(names):
            predictors[k] += shift[:, None] if name == "mu" else spread
        return predictors


def _example(family: Family) -> tuple[str, Sequence[Column]]:
    """Return a response that the family takes, found by trying."""
    if family.stacked:
        return _example_of_sets(family)
    rng = np.random.default_rng(0)
    support = getattr(family, "support", None)
    trials: list[Array] = []
    if support is not None:
        values = inside(support, rng.normal(size=24), spread=2.0)
        trials.append(np.floor(values) if support.integer else values)
    trials += [np.arange(24.0) % 4, np.arange(24.0) % 2]
    for values in trials:
        columns = (Column("y", values),)
        try:
            family.encode("", columns)
        except ResponseError:
            continue
        return "", columns
    raise AssertionError(f"family {family.name}: give check_family() a response that it takes")


def _example_of_sets(family: Family) -> tuple[str, Sequence[Column]]:
    """Return six sets of three alternatives: every ranking, or every choice twice."""
    form = next(iter(family.responses))
    sets = Column("set", np.repeat(np.arange(6.0), 3))
    ranks = np.array(list(itertools.permutations((1.0, 2.0, 3.0))))
    for values in (ranks, np.tile(np.eye(3), (2, 1))):
        columns = (Column("y", values.reshape(-1)), sets)
        try:
            family.encode(form, columns)
        except ResponseError:
            continue
        return form, columns
    raise AssertionError(f"family {family.name}: give check_family() a response that it takes")


def check_family(
    family: Family | type[Family],
    form: str | None = None,
    columns: Sequence[Column] = (),
    outcomes: Array | None = None,
) -> None:
    """Check a family: density, derivatives, compiled block, simulation, extremes, starts, pickling.

    Parameters
    ----------
    family : Family or subclass of Family
        A class is made with the first of its links.
    form : str, optional
        Key of ``family.responses``; by default a plain column is tried.
    columns : sequence of Column
        A response of that form.
    outcomes : ndarray, shape (m, ny), optional
        Every value `y` that one unit can take; by default the support's, or those in the response.
    """
    if isinstance(family, type):
        family = family(registry.link(family.links[0]))  # type: ignore[call-arg]
    assert isinstance(family, Family), f"{family!r} is not a glamm.Family"
    what = f"family {family.name or type(family).__name__}({family.link.name})"
    if form is None:
        form, columns = _example(family)
    encoded = family.encode(form, columns)
    assert encoded.y.ndim == 2 and encoded.y.flags.c_contiguous and encoded.y.dtype == float, (
        f"{what}: encode() must return y as a C-contiguous float array of shape (n, ny)"
    )
    predictors = family.predictors(encoded)
    assert predictors and predictors[0].name == "mu", f"{what}: the first predictor must be 'mu'"
    start = np.array(family.start(encoded, np.ones(encoded.y.shape[0])))
    assert start.shape == (len(predictors),), f"{what}: start() must give one value a predictor"
    assert np.isfinite(start).all(), f"{what}: start() is not finite: {start}"
    if family.stacked:  # its predictors start the same and may be moved apart
        start = start + np.linspace(-0.5, 0.5, start.size)
    case = Case(family, encoded, start, what)
    ll = family.log_likelihood(case.y, case.channels(case.at(np.zeros(1))))
    assert ll.shape == (1, case.y.shape[0]), f"{what}: log_likelihood() has shape {ll.shape}"
    assert np.isfinite(ll).all(), f"{what}: the log likelihood at the start is not finite"

    @EXAMPLES
    @given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=3), st.floats(-0.4, 0.4))
    def derivatives(shifts: list[float], spread: float) -> None:
        check_block(case, _kept_valid(case, np.array(shifts)), spread, 2)

    derivatives()
    check_block(case, _kept_valid(case, np.array([-0.5, 0.5])), 0.1, 3)
    check_extremes(case)
    _check_density(case, outcomes)
    copy = pickle.loads(pickle.dumps(family))
    again = copy.log_likelihood(case.y, case.channels(case.at(np.zeros(1))))
    assert np.array_equal(again, ll), f"{what}: a pickled copy differs"


def _kept_valid(case: Case, shift: Array) -> Array:
    """Scale shifts of mu down until the likelihood is positive there (``poisson(identity)``)."""
    for _ in range(8):
        ends = np.concatenate((1.3 * shift - 0.2, 1.3 * shift + 0.2))
        if np.isfinite(case.family.log_likelihood(case.y, case.channels(case.at(ends)))).all():
            return shift
        shift = 0.5 * shift
    return np.zeros_like(shift)


def check_block(case: Case, shift: Array, spread: float, order: int) -> None:
    """Compare each order of `block` with differences of the one below, and the compiled block with it."""
    family, y, what = case.family, case.y, case.what
    nu = case.channels(case.at(shift, spread))
    n_channels = len(nu)
    steps = [1e-3 * family.radius(nu), *[np.full((), 1e-3)] * (n_channels - 1)]
    block = family.block(y, nu, order)
    close(block[0][0], family.log_likelihood(y, nu), 1e-12, 1e-12, f"{what}: block() and log_likelihood()")
    second = {pair: k for k, pair in enumerate(pairs(n_channels))}

    def difference(c: int, order: int) -> list[Array]:
        moved = {
            s: family.block(y, [v + s * steps[c] if k == c else v for k, v in enumerate(nu)], order)[order]
            for s in (-2, -1, 1, 2)
        }
        return [
            (8.0 * (p - m) - (pp - mm)) / (12.0 * steps[c])
            for mm, m, p, pp in zip(moved[-2], moved[-1], moved[1], moved[2], strict=True)
        ]

    for c in range(n_channels):
        slopes = [difference(c, below) for below in range(order)]
        _same_slope(block[1][c], slopes[0][0], f"{what}: d1[{c}]")
        for k in range(n_channels):
            pair = second[min(k, c), max(k, c)]
            _same_slope(block[2][pair], slopes[1][k], f"{what}: d2 of channels {k}, {c}")
        for pair in range(len(second) if order > 2 else 0):
            third = block[3][pair * n_channels + c]
            _same_slope(third, slopes[2][pair], f"{what}: d3[{pair}] in channel {c}")
    kernel = family.kernel()
    if kernel is None:
        return
    try:
        compiled = call_block(kernel, y, nu, order)
    except ValueError:  # third derivatives are optional
        compiled = call_block(kernel, y, nu, 2)
    close(compiled[0][0], block[0][0], 1e-9, 1e-9, f"{what}: the compiled log density")
    for degree in range(1, len(compiled)):
        for k, (fast, slow) in enumerate(zip(compiled[degree], block[degree], strict=True)):
            _same_slope(fast, slow, f"{what}: compiled derivative {k} of order {degree}")


def _same_slope(actual: Array, expected: Array, what: str) -> None:
    scale = float(np.max(np.abs(expected), initial=1.0))
    close(actual, expected, 2e-5, 2e-5 * min(scale, 1e3), what)


def check_extremes(case: Case) -> None:
    """Far-out predictors give a log density that is a number or minus infinity."""
    for k in range(case.start.size):
        predictors = case.at(np.zeros(EXTREMES.size))
        predictors[k] = EXTREMES[:, None]
        nu = case.channels(predictors)
        results = {"log_likelihood()": case.family.log_likelihood(case.y, nu)}
        kernel = case.family.kernel()
        if kernel is not None:
            compiled = call_block(kernel, case.y, nu, 2)
            results["the compiled block"] = compiled[0][0]
            known = compiled[0][0] > -1e100  # beyond that the engine turns back anyway
            for values in (*compiled[1], *compiled[2]):
                assert not np.isnan(values[known]).any(), (
                    f"{case.what}: a compiled derivative is NaN for predictor {k} far out"
                )
        for source, ll in results.items():
            bad = np.isnan(ll) | np.isposinf(ll)
            assert not bad.any(), (
                f"{case.what}: {source} is {ll[bad][0]} where predictor {k} is {EXTREMES[bad.any(axis=1)]}"
            )


# ------------------------------------------------ density, mean and simulation


def _check_density(case: Case, outcomes: Array | None) -> None:
    support: Interval | None = getattr(case.family, "support", None)
    for shift in (0.0, 0.3):
        shift = float(_kept_valid(case, np.array([shift]))[0])
        predictors = case.at(np.array([shift]))[:, 0, 0]
        discrete = outcomes is not None or support is None or support.integer
        if support is None or discrete:
            y = _outcomes(case, predictors) if outcomes is None else outcomes
            mass = np.exp(_log_density(case, y, predictors))
        else:
            y, mass = _continuous(case, support, predictors)
        close(mass.sum(), np.ones(()), 2e-6, 0.0, f"{case.what}: the density has not total 1")
        _check_mean(case, y, mass, predictors)
        if type(case.family).simulate is not Family.simulate:
            _check_simulation(case, y, mass, predictors, discrete=discrete)


def _log_density(case: Case, y: Array, predictors: Array) -> Array:
    """Return the log density of each row of `y` at one value of the predictors."""
    encoded = Encoded(np.ascontiguousarray(y), case.encoded.categories)
    wide = np.broadcast_to(predictors[:, None, None], (predictors.size, 1, y.shape[0]))
    log_density: Array = case.family.log_likelihood(encoded.y, case.channels(wide, encoded))[0]
    return log_density


def _outcomes(case: Case, predictors: Array) -> Array:
    """Return what one unit can be: whole numbers of the support, or the rows seen."""
    support = getattr(case.family, "support", None)
    if support is None or case.y.shape[1] > 1:
        return np.unique(case.y, axis=0)
    low = int(support.low) + (support.closed not in ("left", "both"))
    stop = int(support.high) + 1 if np.isfinite(support.high) else low + 64
    while not np.isfinite(support.high) and stop < 1e6:
        if _log_density(case, np.array([[float(stop)]]), predictors)[0] < -30.0:
            break
        stop *= 2
    return np.arange(float(low), float(stop))[:, None]


def _continuous(case: Case, support: Interval, predictors: Array) -> tuple[Array, Array]:
    """Return points of the support and their share of the probability, by a trapezoid rule."""
    t = np.linspace(-30.0, 30.0, 12001)
    seen = case.y[:, 0]
    centre = float(np.mean(seen))
    spread = float(np.std(seen)) if support.low == -np.inf else abs(centre - support.low)
    values = inside(support, t, centre, spread)
    keep = support.contains(values)
    y = np.repeat(case.y[:1], keep.sum(), axis=0)
    y[:, 0] = values[keep]
    weight = np.abs(stretch(support, t, spread)[keep]) * (t[1] - t[0])
    return y, np.exp(_log_density(case, y, predictors)) * weight


def _check_mean(case: Case, y: Array, mass: Array, predictors: Array) -> None:
    mean = case.family.mean_value(case.encoded.categories, [np.array([value]) for value in predictors])
    if case.encoded.categories:
        assert mean.shape == (1, len(case.encoded.categories)), (
            f"{case.what}: mean_value() must have the categories on the last axis"
        )
        code = case.family.observed(y).astype(np.intp)
        total = np.bincount(code, weights=mass, minlength=mean.shape[1])
        close(
            mean[0],
            np.asarray(total, float),
            1e-8,
            1e-12,
            f"{case.what}: mean_value() and the density differ",
        )
    elif getattr(case.family, "support", None) is not None:
        close(mean[0], (mass * y[:, 0]).sum(), 1e-4, 1e-7, f"{case.what}: mean_value() is not the mean")


def _check_simulation(case: Case, y: Array, mass: Array, predictors: Array, *, discrete: bool) -> None:
    """Compare 4000 draws with the density, by chi-square or by Kolmogorov and Smirnov."""
    size = 4000
    wide = [np.full(size, value) for value in predictors]
    template = np.repeat(y[-1:], size, axis=0)
    draws = case.family.simulate(np.random.default_rng(20), template, case.encoded.categories, wide)
    assert draws.shape == (size, case.y.shape[1]), f"{case.what}: simulate() returns shape {draws.shape}"
    values = y[:, 0]
    if discrete:
        _, row = np.unique(np.concatenate((y, draws)), axis=0, return_inverse=True)
        possible, drawn = np.split(row.reshape(-1), [y.shape[0]])
        assert np.isin(drawn, possible).all(), f"{case.what}: simulate() draws what cannot be"
        counts = np.bincount(drawn, minlength=row.max() + 1)[possible].astype(float)
        common = mass * size >= 5.0
        observed = np.append(counts[common], counts[~common].sum())
        expected = np.append(mass[common] * size, max(size * (1.0 - mass[common].sum()), 0.0))
        kept = expected > 1e-6
        assert observed[~kept].sum() == 0.0, f"{case.what}: simulate() draws what cannot be"
        expected = expected[kept] * (observed[kept].sum() / expected[kept].sum())
        p_value = stats.chisquare(observed[kept], expected).pvalue if kept.sum() > 1 else 1.0
    else:
        order = np.argsort(values)
        cumulative = np.cumsum(mass[order])
        p_value = stats.kstest(draws[:, 0], lambda x: np.interp(x, values[order], cumulative)).pvalue
    assert p_value > 1e-4, f"{case.what}: simulate() does not follow the density (p = {p_value:.1g})"
