"""Random starts for models with classes: their likelihood has local maxima.

Many starts go a short way, the best of them further, and what they lead to is kept: a best maximum that only
one start found is likely not the best there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures_order import Relabelling, canonical_classes
from glamm.inference.multistart_em import (
    Runs,
    expectation_maximisation,
    maximise_complete,
    polish,
    random_shares,
)
from glamm.inference.multistart_smooth import smooth_solutions
from glamm.inference.objective import Objective
from glamm.inference.optimum import Solution
from glamm.inference.options import FitOptions
from glamm.inference.starts import starting_values

Array = NDArray[np.float64]

__all__ = ["Found", "search", "uncertain_classes"]

STARTS, FEWER = 50, 20
"""Random starts where all latent variables are discrete, and where every evaluation is costly as well."""

COSTLY = 20_000
"""Distinct units from which evaluations are costly."""

SHORT, LONG = 12, 80
"""Iterations of EM of all starts, and of those that go on."""

KEPT = 10
"""Runs that go on, or a fifth of the starts if those are more; all of them where they are cheap."""

ENOUGH = 3
"""Different maxima that are looked for exactly where that is expensive."""

CHEAP = 50_000
"""Clusters times parameters up to which all that go on are followed to their maximum."""

SAME = 1e-4
"""Difference of log-likelihoods that counts as none."""

NEARER, NEARBY = 5e-4, 0.02
"""Differences of runs that are not at their end, where those are cheap to follow and where they are not."""

HOPE = 500
"""Iterations of EM, at the last one's gain, that a run which falls behind is given credit for."""

MEMORY = 20_000_000
"""Most numbers of one matrix of clusters by starts."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What random starts led to.

    Attributes
    ----------
    theta : ndarray, shape (P,)
        Of the best maximum, classes in their canonical order.
    solutions : tuple of Solution
        The best first.
    """

    theta: Array
    solutions: tuple[Solution, ...]


def uncertain_classes(plan: Plan) -> bool:
    """Return whether a cluster has more than one class it may belong to."""
    return any(
        level.group is not None and len(level.group) > len(np.unique(level.group)) for level in plan.levels
    )


def search(plan: Plan, options: FitOptions, objective: Objective | DiscreteObjective) -> Found:
    """Return the local maxima that random starts lead to.

    Parameters
    ----------
    plan : Plan
        With classes.
    options : FitOptions
    objective : Objective or DiscreteObjective
        Of the plan.
    """
    start = starting_values(plan).theta
    rng = np.random.default_rng(options.multistart.seed)
    if isinstance(objective, DiscreteObjective):
        starts = STARTS if objective.edges[-1] < COSTLY else FEWER
        solutions = _discrete(objective, start, options.multistart.starts or starts, rng)
    else:
        solutions = smooth_solutions(plan, objective, options.multistart.starts, rng)
    solutions = merge(solutions)
    theta = solutions[0].theta
    theta = canonical_classes(Relabelling(plan, objective), theta, options.multistart.order)
    return Found(theta, tuple(solutions))


def _discrete(
    objective: DiscreteObjective, start: Array, starts: int, rng: np.random.Generator
) -> list[Solution]:
    clusters = max(stage.units.shape[0] for stage in objective.stages)
    cheap = clusters * objective.n_parameters <= CHEAP
    at_once = max(1, MEMORY // max(clusters, int(objective.edges[-1])))
    parts = []
    for begin in range(0, starts, at_once):
        count = min(at_once, starts - begin)
        shares = random_shares(objective, start, count, rng)
        first = maximise_complete(objective, np.repeat(start[:, None], count, axis=1), shares)
        parts.append(expectation_maximisation(objective, first, SHORT, 1e-3))
    runs = Runs(
        np.hstack([part.theta for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.gain for part in parts]),
    ).best(max(KEPT, starts // (1 if cheap else 5)))
    runs = expectation_maximisation(objective, runs.theta, LONG, SAME).best(len(runs.value))
    found: list[Solution] = []
    reached: list[float] = []
    for theta, value, gain in zip(runs.theta.T, runs.value, runs.gain, strict=True):
        near = [k for k, other in enumerate(reached) if abs(other - value) <= (NEARER if cheap else NEARBY)]
        if near:
            same = found[near[0]]
            found[near[0]] = Solution(same.theta, same.loglik, same.found + 1, same.converged)
            continue
        if not cheap and len(found) == ENOUGH:
            break
        if found and value + max(HOPE * gain, HOPE * SAME) < max(one.loglik for one in found):
            found.append(Solution(theta, float(value), 1, False))
            reached.append(float(value))
            continue
        end, loglik, converged = polish(objective, theta)
        found.append(Solution(end, loglik, 1, converged))
        reached.append(float(value))
    return found


def merge(solutions: Sequence[Solution]) -> list[Solution]:
    """Return solutions with those of one log-likelihood counted together, the best converged one first."""
    ordered = sorted(solutions, key=lambda s: (not s.converged, -s.loglik))
    merged: list[Solution] = []
    for one in ordered:
        tolerance = max(SAME, 1e-9 * abs(one.loglik))
        for k, other in enumerate(merged):
            if abs(other.loglik - one.loglik) <= tolerance:
                merged[k] = Solution(other.theta, other.loglik, other.found + one.found, other.converged)
                break
        else:
            merged.append(one)
    return merged
