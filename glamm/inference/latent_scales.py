"""How much one observation tells about the parameters of named latent variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.factors import fill_factor
from glamm.compile.plan import Plan
from glamm.inference.adjoints import Coordinates, Form
from glamm.inference.forms import coordinate_starts, named_latents
from glamm.inference.glm import Derivatives, FixedPart
from glamm.inference.reach import Reach, reaches, with_terms

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["LatentScales"]


@dataclass(frozen=True, slots=True, eq=False)
class LatentScales:
    """Sizes of the named latent variables of a plan.

    Attributes
    ----------
    plan : Plan
    parts : list of FixedPart
        With the latent variables' disturbances as random effects.
    at : sequence of Derivatives
    variance : ndarray, shape (M,)
        Of each latent variable, with all that is random in it.
    precision : ndarray, shape (M,)
        What one cluster tells about the value of a latent variable, its disturbance being unknown.
    """

    plan: Plan
    parts: list[FixedPart]
    at: Sequence[Derivatives]
    variance: Array
    precision: Array

    @classmethod
    def of(
        cls, plan: Plan, parts: Sequence[FixedPart], at: Sequence[Derivatives], theta: Array
    ) -> LatentScales:
        """Return the sizes at `theta`."""
        factors = [fill_factor(level, theta) for level in plan.levels]
        latents = named_latents(plan)
        pairs = sorted(set().union(*(latent.pairs for latent in latents)))
        space = Coordinates(coordinate_starts(plan), sum(len(f) for f in factors), tuple(pairs))
        forms: list[Form] = []
        for latent in latents:
            forms.append(latent.form(space, theta, factors, forms))
        variance = np.array([np.mean(np.einsum("nw,nw->n", form.slope, form.slope)) for form in forms])
        reached = reaches(plan, parts, theta, lambda child, parent: True)
        disturbance = np.array(
            [
                v if latent.coordinate < 0 else np.sum(factors[latent.level][latent.coordinate] ** 2)
                for v, latent in zip(variance, plan.latents, strict=True)
            ]
        )
        seen = np.array([_information(plan, parts, at, m, reach) for m, reach in enumerate(reached)])
        least = np.where(variance > 0.0, variance, 1.0)
        with np.errstate(divide="ignore"):
            precision = np.where(seen > 0.0, 1.0 / (disturbance + 1.0 / seen), 1.0 / least)
        return cls(plan, with_terms(plan, parts, reached, theta), at, least, precision)

    def predictors(self) -> Iterator[tuple[Array, Index, Array]]:
        """Yield design, coefficients and weight of each row of the latent variables' own predictors."""
        for latent, precision in zip(self.plan.latents, self.precision, strict=True):
            for predictor, weight in ((latent.predictor, precision), (latent.scale, 1.0)):
                if predictor is not None:
                    yield predictor.design, predictor.coefficient, np.full(len(predictor.design), weight)

    def entries(self) -> Iterator[tuple[Index, Array]]:
        """Yield positions in theta, -1 among them, and information of one observation: loadings first."""
        for part, d in zip(self.parts, self.at, strict=True):
            for k, term in part.named:
                length = np.einsum("ij,i,ij->j", term.design, d.curvature[k], term.design)
                yield (
                    term.coefficient,
                    length / part.weight.sum() * np.prod(self.variance[list(term.latents)]),
                )
        for latent, precision in zip(self.plan.latents, self.precision, strict=True):
            for term in latent.predictor.terms:
                size = np.mean(term.design**2, axis=0) * np.prod(self.variance[list(term.latents)])
                yield term.coefficient, size * precision
        for number, level in enumerate(self.plan.levels):
            precision = np.ones(len(level.factor))
            for latent, own in zip(self.plan.latents, self.precision, strict=True):
                if latent.level == number and latent.coordinate >= 0:
                    precision[latent.coordinate] = own
            for block in level.blocks:
                if not block.correlation:
                    own_precision = precision[block.coordinates]
                    yield block.index.ravel(), np.outer(own_precision, own_precision).ravel()


def _information(
    plan: Plan, parts: Sequence[FixedPart], at: Sequence[Derivatives], m: int, reach: Reach
) -> float:
    """Return the mean information about a latent variable in the units of one of its clusters."""
    total, seen = 0.0, 0
    for (r, k), column in reach.items():
        own = at[r].curvature[k] * column**2
        total += float(own.sum())
        clusters = parts[r].clusters[plan.latents[m].level]
        seen = max(seen, len(np.unique(clusters[own > 0.0])))
    return total / max(seen, 1)
