"""The binomial distribution, with an optional lower and upper asymptote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from glamm.plugins.families._common import compiled, normalised
from glamm.protocols import (
    TRANSFORMS,
    Array,
    Column,
    Encoded,
    Family,
    Interval,
    Link,
    Predictor,
    ResponseError,
)

__all__ = ["Binomial"]

_ASYMPTOTES = {"none": (), "lower": ("guess",), "upper": ("slip",), "both": ("guess", "slip")}
_COUNT = Interval(0.0, np.inf, closed="left", integer=True)


def _log_logistic(x: Array) -> Array:
    return np.asarray(-np.logaddexp(0.0, -x))


class Binomial(Family):
    """Successes in trials with probability ``P``.

    Without asymptotes ``P = F(mu)``, with them ``P = guess + (1 - slip - guess) F(mu)``, which is the
    mixture ``guess (1 - F) + (1 - slip) F``; F is the link's inverse.

    Channels: ``mu``, then ``logit guess`` (``asymptotes="lower"`` or ``"both"``), then ``logit slip``
    (``"upper"`` or ``"both"``). Columns of y: successes, trials. The log density holds
    ``log C(trials, successes)``.

    Parameters
    ----------
    link : Link
    asymptotes : {"none", "lower", "upper", "both"}
    """

    name = "binomial"
    responses = {"": 1, "cbind": 2}  # noqa: RUF012
    links = ("logit", "probit", "cloglog", "loglog")
    mean: ClassVar[Interval] = Interval(0.0, 1.0)

    def __init__(self, link: Link, asymptotes: str = "none") -> None:
        if asymptotes not in _ASYMPTOTES:
            raise ValueError(f"asymptotes is {asymptotes!r}, it can be {', '.join(map(repr, _ASYMPTOTES))}")
        self.link = link
        self.asymptotes = asymptotes

    def encode(self, form: str, columns: Sequence[Column]) -> Encoded:
        encoded = self._counts(columns) if form == "cbind" else self._binary(columns[0])
        successes, trials = encoded.y.T
        if successes.size and (not successes.any() or np.array_equal(successes, trials)):
            what = "success" if successes.any() else "failure"
            raise ResponseError(
                f"constant response: every trial of {columns[0].name!r} is a {what}, "
                "so no probability can be estimated"
            )
        return encoded

    def _counts(self, columns: Sequence[Column]) -> Encoded:
        for column in columns:
            column.need_numbers(self.name)
            inside = _COUNT.contains(column.values)
            if not inside.all():
                row = int(np.argmin(inside))
                raise ResponseError(
                    f"{column.name!r} is {column.values[row]:g}, but cbind() needs whole numbers >= 0", row
                )
        successes, failures = (np.asarray(column.values, float) for column in columns)
        return Encoded(np.column_stack((successes, successes + failures)))

    def _binary(self, column: Column) -> Encoded:
        values = np.asarray(column.values, float)
        if column.levels is not None:
            present = np.unique(values).astype(int)
            if len(column.levels) != 2 and present.size != 2:
                shown = ", ".join(
                    [repr(column.levels[k]) for k in present[:4]] + ["..."] * (present.size > 4)
                )
                raise ResponseError(
                    f"{column.name!r} has {present.size} values ({shown}), "
                    f"but the family {self.name!r} needs two (the second is a success)"
                )
            if len(column.levels) != 2:
                values = np.searchsorted(present, values).astype(float)
        outside = (values != 0.0) & (values != 1.0)
        if outside.any():
            row = int(np.argmax(outside))
            raise ResponseError(
                f"{column.name!r} is {values[row]:g}, but the family {self.name!r} needs 0 or 1 "
                "(counts are written cbind(successes, failures))",
                row,
            )
        return Encoded(np.column_stack((values, np.ones_like(values))))

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        start = float(TRANSFORMS["logit"].forward(0.1))
        auxiliary = (
            Predictor(p, transform="logit", start=start, limits=(-np.inf,))
            for p in _ASYMPTOTES[self.asymptotes]
        )
        return (Predictor("mu"), *auxiliary)

    def _log_probabilities(self, nu: Sequence[Array]) -> tuple[Array, Array]:
        """Return log P and log(1 - P)."""
        nu = [np.asarray(value, float) for value in nu]
        upper, lower = self.link.log_inverse(nu[0]), self.link.log_complement(nu[0])
        if len(nu) == 1:
            return upper, lower
        auxiliary = dict(zip(_ASYMPTOTES[self.asymptotes], nu[1:], strict=True))
        never = np.asarray(-np.inf)
        log_guess, log_no_guess = (_log_logistic(s * auxiliary.get("guess", never)) for s in (1.0, -1.0))
        log_slip, log_no_slip = (_log_logistic(s * auxiliary.get("slip", never)) for s in (1.0, -1.0))
        return (
            np.logaddexp(log_guess + lower, log_no_slip + upper),
            np.logaddexp(log_no_guess + lower, log_slip + upper),
        )

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        successes, trials = y[:, 0], y[:, 1]
        failures = trials - successes
        constant = gammaln(trials + 1.0) - gammaln(successes + 1.0) - gammaln(failures + 1.0)
        with np.errstate(all="ignore"):
            log_p, log_q = self._log_probabilities(nu)
            won = np.where(successes > 0.0, successes * log_p, 0.0)
            lost = np.where(failures > 0.0, failures * log_q, 0.0)
            return normalised(won + lost + constant)

    def kernel(self) -> Any:
        return compiled(
            self.name, self.link, {"asymptotes": "" if self.asymptotes == "none" else self.asymptotes}
        )

    def cumulant(self) -> str:
        return "logistic" if self.link.name == "logit" and self.asymptotes == "none" else ""

    def row_effects(self, encoded: Encoded) -> bool:
        return bool((encoded.y[:, 1] > 1.0).any())

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        successes, trials = (float(np.sum(weight * column)) for column in encoded.y.T)
        p = np.clip((successes + 0.5) / (trials + 1.0), 0.02, 0.98)
        return (self.link.start(float(p)), *super().start(encoded, weight)[1:])

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.exp(self._log_probabilities(nu)[0]))

    def simulate(
        self, rng: np.random.Generator, y: Array, categories: tuple[str, ...], nu: Sequence[Array]
    ) -> Array:
        trials = y[:, 1]
        successes = rng.binomial(trials.astype(np.int64), self.mean_value((), nu))
        return np.column_stack((successes, trials)).astype(float)

    def decode(self, form: str, y: Array) -> Array:
        successes, trials = y.T
        return np.column_stack((successes, trials - successes)) if form == "cbind" else successes[:, None]

    def observed(self, y: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(y[:, 0] / y[:, 1])
