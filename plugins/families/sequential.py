"""The sequential (continuation ratio) model of an ordinal response."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from glamm.numdiff import differentiate, pairs
from glamm.plugins.families._categories import OrderedFamily
from glamm.plugins.families._common import compiled, normalised
from glamm.protocols import Array, Encoded, Interval, Predictor

__all__ = ["Sequential"]


class Sequential(OrderedFamily):
    """Steps taken one after the other: ``P(y = k | y >= k) = F(threshold_k - mu)``, k = 0 .. C-2.

    Channels: ``mu``, then the thresholds; a unit of category k meets thresholds 0 .. min(k, C-2), the
    others are unused. Columns of y: the code 0 .. C-1, and C - 1.
    """

    name = "sequential"
    links = ("logit", "probit", "cloglog")
    mean: ClassVar[Interval] = Interval(0.0, 1.0)

    def predictors(self, encoded: Encoded) -> tuple[Predictor, ...]:
        labels = encoded.categories
        thresholds = (Predictor("threshold", f"{a}|{b}") for a, b in itertools.pairwise(labels))
        return (Predictor("mu", intercept=False), *thresholds)

    def channels(self, encoded: Encoded) -> NDArray[np.intp]:
        code = encoded.y[:, 0]
        last = len(encoded.categories) - 1
        predictor = np.arange(last + 1)
        used = predictor - 1 <= code[:, None]
        return np.where(used, predictor, -1).astype(np.intp)

    def log_likelihood(self, y: Array, nu: Sequence[Array]) -> Array:
        code = y[:, 0]
        mu = np.asarray(nu[0], float)
        with np.errstate(all="ignore"):
            ll = np.zeros(np.broadcast_shapes(*(np.shape(value) for value in nu), code.shape))
            for k, threshold in enumerate(nu[1:]):
                x = threshold - mu
                ll = ll + np.where(code > k, self.link.log_complement(x), 0.0)
                ll = ll + np.where(code == k, self.link.log_inverse(x), 0.0)
            return normalised(ll)

    def block(self, y: Array, nu: Sequence[Array], order: int = 0) -> tuple[list[Array], ...]:
        # a sum of functions of threshold_k - mu: only they are differentiated, one variable each
        code, mu = y[:, 0], np.asarray(nu[0], float)
        n_channels = len(nu)
        ll = self.log_likelihood(y, nu)
        steps: list[list[Array]] = []
        for k, threshold in enumerate(nu[1:]):

            def step(at: Sequence[Array], k: int = k) -> Array:
                passed, taken = self.link.log_complement(at[0]), self.link.log_inverse(at[0])
                return np.where(code > k, passed, np.where(code == k, taken, 0.0))

            with np.errstate(all="ignore"):
                values = differentiate(step, (np.asarray(threshold - mu),), order)
            steps.append([np.broadcast_to(value[0], ll.shape) for value in values])
        result = [[ll]]
        for degree in range(1, order + 1):
            indices: list[tuple[int, ...]] = [(k,) for k in range(n_channels)]
            if degree > 1:
                indices = list(pairs(n_channels))
            if degree > 2:
                indices = [(*pair, c) for pair in indices for c in range(n_channels)]
            result.append([_derivative(steps, index, ll.shape) for index in indices])
        return tuple(result)

    def kernel(self) -> Any:
        return compiled(self.name, self.link)

    def start(self, encoded: Encoded, weight: Array) -> tuple[float, ...]:
        code, last = encoded.y[:, 0], len(encoded.categories) - 1
        reached = np.array([weight[code >= k].sum() for k in range(last)])
        stopped = np.array([weight[code == k].sum() for k in range(last)])
        p = np.clip((stopped + 0.5) / (reached + 1.0), 0.02, 0.98)
        return (0.0, *(float(x) for x in self.link.link(p)))

    def mean_value(self, encoded_categories: tuple[str, ...], nu: Sequence[Array]) -> Array:
        predictors = np.broadcast_arrays(*(np.asarray(value, float) for value in nu))
        log_reached = np.zeros_like(predictors[0])
        logs = []
        for threshold in predictors[1:]:
            x = threshold - predictors[0]
            logs.append(log_reached + self.link.log_inverse(x))
            log_reached = log_reached + self.link.log_complement(x)
        return np.asarray(np.exp(np.stack([*logs, log_reached], axis=-1)))


def _derivative(steps: Sequence[Sequence[Array]], channels: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return one derivative of the sum; ``steps[k][d]`` is the d-th of term k in ``threshold_k - mu``."""
    degree = len(channels)
    sign = (-1.0) ** channels.count(0)
    met = {c for c in channels if c > 0}
    if len(met) > 1:
        return np.zeros(shape)
    terms = [steps[next(iter(met)) - 1]] if met else steps
    return np.asarray(sign * sum(term[degree] for term in terms))
