"""The linear predictors of all units of a plan as functions of theta, and the last steps of the way back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.factors import fill_factor, pull_factor
from glamm.compile.plan import Plan
from glamm.inference.adjoints import Backward, Coordinates, Form
from glamm.inference.forms import clusters_of, coordinate_starts, named_latents
from glamm.inference.residuals import joint_residuals
from glamm.inference.units import Units

Array = NDArray[np.float64]

__all__ = ["Chain"]


class Chain:
    """What theta makes of the units of a plan.

    Parameters
    ----------
    plan : Plan

    Attributes
    ----------
    latents : list of Latent
        Named latent variables.
    joint : list
        Residuals that covary.
    units : list of Units
        By response.
    space : Coordinates
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.n_parameters = plan.n_parameters
        starts = coordinate_starts(plan)
        self.latents = named_latents(plan)
        self.joint = joint_residuals(plan)
        random = {
            member
            for joint in self.joint
            if any(plan.responses[r].predictors[0].is_random for r in joint.members)
            for member in joint.members
        }
        self.units: list[Units] = []
        for number, response in enumerate(plan.units):
            rows = clusters_of(plan, response.cluster)
            self.units.append(Units(response, rows, self.latents, starts, number in random))
        for joint in self.joint:
            multiplies = any(self.units[r].multiplies for r in joint.members)
            for r in joint.members:
                self.units[r].joined, self.units[r].multiplies = True, multiplies
        pairs = set().union(*(p.pairs for units in self.units for p in units.predictors))
        width = sum(len(level.factor) for level in plan.levels)
        self.space = Coordinates(starts, width, tuple(sorted(pairs)))

    def factors(self, theta: Array) -> list[Array]:
        """Return the Cholesky factor of each level's latent covariance matrix, shape (q, q)."""
        return [fill_factor(level, theta) for level in self.plan.levels]

    def latent_forms(self, theta: Array, factors: Sequence[Array]) -> list[Form]:
        """Return the named latent variables as forms of their clusters."""
        forms: list[Form] = []
        for latent in self.latents:
            forms.append(latent.form(self.space, theta, factors, forms))
        return forms

    def pull_latents(self, theta: Array, state: Backward) -> None:
        """Carry the adjoints of latent variables and of the levels' factors back."""
        for latent in reversed(self.latents):
            latent.pull(self.space, state)
        for level, adjoint in zip(self.plan.levels, state.factors, strict=True):
            pull_factor(level, theta, adjoint, state.out)
