"""Models with named latent variables, as plain numbers, and their likelihood without any of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats
from scipy.special import expit, log_expit, logsumexp


@dataclass(frozen=True)
class Term:
    """A number times columns of the data times latent variables."""

    value: float
    columns: tuple[str, ...] = ()
    latents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latent:
    """Sum of terms, and a disturbance times the exponential of a sum of terms.

    `log_density` is that of the standardised disturbance where it is not normal; it covaries with nothing.
    """

    name: str
    level: str
    terms: tuple[Term, ...] = ()
    log_scale: tuple[Term, ...] = ()
    log_density: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Response:
    """A linear predictor and a family, with what else it needs in `shape`.

    "gaussian": sd; "ordinal": thresholds; "adjacent": steps; "asymptotes": lower one, 1 - upper one;
    "nominal": intercepts, then factors of the predictor, both of all categories but the first; "logit",
    "probit", "cloglog", "poisson": nothing. The sd is multiplied by the exponential of `log_scale`.
    """

    name: str
    level: str
    family: str
    terms: tuple[Term, ...] = ()
    shape: tuple[float, ...] = ()
    log_scale: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Structure:
    """A whole model.

    Attributes
    ----------
    levels : tuple of str
        The highest first, "row" last; the others are columns of the data.
    latents : tuple of Latent
        Each after those it depends on.
    responses : tuple of Response
    covariance : mapping of pair of latent variables to float
        Of disturbances; a pair that is not there does not covary.
    """

    levels: tuple[str, ...]
    latents: tuple[Latent, ...]
    responses: tuple[Response, ...]
    covariance: Mapping[tuple[str, str], float]

    def disturbances(self, level: str) -> tuple[list[str], np.ndarray]:
        """Return names and covariance matrix of the latent variables of a level."""
        names = [latent.name for latent in self.latents if latent.level == level]
        return names, symmetric(names, self.covariance)

    @property
    def is_gaussian(self) -> bool:
        """Whether all responses are Gaussian and all terms linear in the latent variables."""
        sums = [part.terms for part in (*self.latents, *self.responses)]
        linear = all(len(term.latents) < 2 for terms in sums for term in terms)
        return linear and all(r.family == "gaussian" and not r.log_scale for r in self.responses)


def symmetric(names: Sequence[str], entries: Mapping[tuple[str, str], float]) -> np.ndarray:
    matrix = np.zeros((len(names), len(names)))
    for (left, right), value in entries.items():
        if left in names and right in names:
            i, j = names.index(left), names.index(right)
            matrix[i, j] = matrix[j, i] = value
    return matrix


def clusters(data, level: str, rows: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each cluster of a level, among the given rows."""
    if level == "row":
        return [np.array([row]) for row in rows]
    codes = data[level].to_numpy()[rows]
    return [rows[codes == code] for code in dict.fromkeys(codes)]


def sum_of(terms: Sequence[Term], data, row: int, values: Mapping, one):
    """Return a sum of terms at one row; `one` is the constant 1 in the arithmetic of `values`."""
    total = 0.0 * one
    for term in terms:
        part = one
        for latent in term.latents:
            part = part * values[latent] if part is not one else values[latent]
        total = total + term.value * np.prod([data[column][row] for column in term.columns]) * part
    return total


def log_density(response: Response, y: float, nu: np.ndarray, scale: np.ndarray) -> np.ndarray:
    shape = np.array(response.shape)
    match response.family:
        case "gaussian":
            return stats.norm.logpdf(y, nu, shape[0] * scale)
        case "logit":
            return log_expit(nu if y == 1.0 else -nu)
        case "probit":
            return stats.norm.logcdf(nu if y == 1.0 else -nu)
        case "cloglog":
            return np.log(-np.expm1(-np.exp(nu))) if y == 1.0 else -np.exp(nu)
        case "poisson":
            return stats.poisson.logpmf(y, np.exp(nu))
        case "asymptotes":
            p = shape[0] + (1.0 - shape[1] - shape[0]) * expit(nu)
            return np.log(p if y == 1.0 else 1.0 - p)
        case "ordinal":
            cuts = np.concatenate(([-np.inf], shape, [np.inf]))
            return np.log(expit(cuts[int(y) + 1] - nu) - expit(cuts[int(y)] - nu))
        case "adjacent":
            scores = np.arange(len(shape) + 1.0)
            predictors = np.outer(scores, nu) - np.concatenate(([0.0], np.cumsum(shape)))[:, None]
        case "nominal":
            intercepts, factors = np.insert(shape.reshape(2, -1), 0, 0.0, axis=1)
            predictors = intercepts[:, None] + np.outer(factors, nu)
    return predictors[int(y)] - logsumexp(predictors, axis=0)


def lattice(dimensions: int, step: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normal nodes (M, q) and their log weights: the trapezium rule."""
    line = np.arange(-reach, reach + step / 2.0, step)
    nodes = np.array(list(product(line, repeat=dimensions))).reshape(len(line) ** dimensions, dimensions)
    return nodes, stats.norm.logpdf(nodes).sum(axis=1) + dimensions * np.log(step)


def by_lattice(structure: Structure, data, step: float, reach: float = 7.0) -> np.ndarray:
    """Return the log-likelihood of each highest cluster, on a fixed lattice, level by level."""

    def inside(depth: int, cluster: np.ndarray, values: dict) -> np.ndarray:
        """Return the log-likelihood of one cluster given values (N,) of the latent variables above it."""
        level = structure.levels[depth]
        names, covariance = structure.disturbances(level)
        positive = np.diag(covariance) > 0.0
        factor = np.zeros((len(names), positive.sum()))
        factor[positive] = np.linalg.cholesky(covariance[np.ix_(positive, positive)])
        nodes, log_weight = lattice(positive.sum(), step, reach)
        for latent in structure.latents:
            if latent.level == level and latent.log_density is not None:
                own = nodes[:, np.flatnonzero(positive).tolist().index(names.index(latent.name))]
                log_weight += latent.log_density(own) - stats.norm.logpdf(own)
        above = len(next(iter(values.values())))
        here = {name: np.repeat(value, len(nodes)) for name, value in values.items()}
        one = here["1"]
        disturbance = dict(zip(names, np.tile((nodes @ factor.T).T, above), strict=True))
        row = int(cluster[0])
        for latent in structure.latents:
            if latent.level == level:
                scale = np.exp(sum_of(latent.log_scale, data, row, {}, 1.0))
                here[latent.name] = (
                    sum_of(latent.terms, data, row, here, one) + scale * disturbance[latent.name]
                )
        total = np.zeros(len(one))
        for response in structure.responses:
            if response.level == level and np.isfinite(y := data[response.name][row]):
                scale = np.exp(sum_of(response.log_scale, data, row, here, one))
                total += log_density(response, y, sum_of(response.terms, data, row, here, one), scale)
        if depth + 1 < len(structure.levels):
            for below in clusters(data, structure.levels[depth + 1], cluster):
                total += inside(depth + 1, below, here)
        return logsumexp(total.reshape(above, -1) + log_weight, axis=1)

    tops = clusters(data, structure.levels[0], np.arange(len(data)))
    return np.array([inside(0, top, {"1": np.ones(1)})[0] for top in tops])


def by_moments(structure: Structure, data) -> np.ndarray:
    """Return the log-likelihood of each highest cluster of a Gaussian model by its moments."""
    found = []
    for top in clusters(data, structure.levels[0], np.arange(len(data))):
        places = [(level, cluster) for level in structure.levels for cluster in clusters(data, level, top)]
        sizes = [len(structure.disturbances(level)[0]) for level, _ in places]
        starts = np.concatenate(([1], 1 + np.cumsum(sizes)))
        one = np.eye(1, starts[-1])[0]
        covariance = np.zeros((starts[-1], starts[-1]))
        values: list[dict] = []
        observed = []
        for (level, cluster), start in zip(places, starts[:-1], strict=True):
            names, block = structure.disturbances(level)
            covariance[start : start + len(names), start : start + len(names)] = block
            row = int(cluster[0])
            known = {}
            for (_, other), there in zip(places, values, strict=False):
                if row in other:
                    known |= there
            own = {}
            for latent in structure.latents:
                if latent.level == level:
                    scale = np.exp(sum_of(latent.log_scale, data, row, {}, 1.0))
                    disturbance = np.eye(1, starts[-1], start + names.index(latent.name))[0]
                    own[latent.name] = sum_of(latent.terms, data, row, known | own, one) + scale * disturbance
            values.append(own)
            for response in structure.responses:
                if response.level == level and np.isfinite(y := data[response.name][row]):
                    form = sum_of(response.terms, data, row, known | own, one)
                    observed.append((y, form, response.shape[0]))
        if not observed:
            found.append(0.0)
            continue
        forms = np.array([form for _, form, _ in observed])
        total = forms @ covariance @ forms.T + np.diag([sd**2 for *_, sd in observed])
        y = np.array([y for y, *_ in observed])
        found.append(stats.multivariate_normal.logpdf(y, forms[:, 0], total))
    return np.array(found)
