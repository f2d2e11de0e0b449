"""Random starts for models with classes: their likelihood has local maxima.

Many starts go a short way, the best of them further, and what they lead to is kept: a best maximum that only
one start found is likely not the best there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan
from glamm.inference.discrete import DiscreteObjective
from glamm.inference.mixtures_order import Relabelling, canonical_classes
from glamm.inference.mixtures_permutations import Labelling
from glamm.inference.multistart_em import (
    Runs,
    expectation_maximisation,
    first_steps,
    polish,
)
from glamm.inference.multistart_smooth import SmoothSearch
from glamm.inference.multistart_space import Space
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

ELSEWHERE = 0.01
"""Distance from the starting values at which classes have different parameters."""

ROUNDS = 5
"""Times that the classes of the best maximum are permuted where that led to a better one."""

NEARBY_MAXIMA = 3
"""Local maxima from which the best point within bounds is looked for."""

MEMORY = 20_000_000
"""Most numbers of one matrix of clusters by starts."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What random starts led to.

    Attributes
    ----------
    starts : list of ndarray, shape (P,)
        From where the fit goes on: the best maximum, classes in their canonical order; where bounds are
        violated there, the same with classes permuted and other maxima.
    solutions : tuple of Solution
        The best first.
    """

    starts: list[Array]
    solutions: tuple[Solution, ...]


def uncertain_classes(plan: Plan) -> bool:
    """Return whether a cluster has more than one class it may belong to."""
    return any(
        level.group is not None and len(level.group) > len(np.unique(level.group)) for level in plan.levels
    )


def search(plan: Plan, options: FitOptions, objective: Objective | DiscreteObjective) -> Found:
    """Return the local maxima that random starts lead to, within the equalities of the plan.

    Parameters
    ----------
    plan : Plan
        With classes.
    options : FitOptions
    objective : Objective or DiscreteObjective
        Of the plan.
    """
    rng = np.random.default_rng(options.multistart.seed)
    space = Space(plan)
    runs = _search_in(plan, objective, space)
    relabelling = Relabelling(plan, objective)
    # what is drawn here leaves the random starts as they are
    shift = ELSEWHERE * np.random.default_rng(0).standard_normal(plan.n_parameters)
    elsewhere = space.expand(space.reduce((runs.start + shift)[:, None]))[:, 0]
    distinguished = relabelling.distinguished(elsewhere)
    labellings = relabelling.labellings(distinguished, np.random.default_rng(options.multistart.seed))
    solutions = runs.solutions(options.multistart.starts, labellings, rng)
    if space.reduction is not None:
        free = _search_in(plan, objective, Space(replace(plan, constraints=None)))
        outside = merge(free.solutions(options.multistart.starts, (), rng))
        solutions += _brought_within(relabelling, distinguished, runs, outside[:NEARBY_MAXIMA])
    solutions = _relabelled(relabelling, distinguished, runs, merge(solutions))
    best = canonical_classes(relabelling, solutions[0].theta, options.multistart.order)
    others = [solution.theta for solution in solutions[1:NEARBY_MAXIMA]]
    return Found(relabelling.within_bounds([best, *others]), tuple(solutions))


def _search_in(
    plan: Plan, objective: Objective | DiscreteObjective, space: Space
) -> DiscreteSearch | SmoothSearch:
    if isinstance(objective, DiscreteObjective):
        return DiscreteSearch(objective, space)
    return SmoothSearch(plan, objective, space)


def _brought_within(
    relabelling: Relabelling,
    variables: Sequence[int],
    runs: DiscreteSearch | SmoothSearch,
    outside: Sequence[Solution],
) -> list[Solution]:
    """Return the maxima within equalities that maxima without them lead to, in the places that suit best.

    Equalities can hide from random starts what classes there are.
    """
    found = []
    for solution in outside:
        near = [solution.theta]
        for variable in variables:
            near += relabelling.near(variable, solution.theta)
        other = runs.best_from(near)
        if other is not None:
            found.append(replace(other, found=solution.found))
    return found


def _relabelled(
    relabelling: Relabelling,
    variables: Sequence[int],
    runs: DiscreteSearch | SmoothSearch,
    solutions: Sequence[Solution],
) -> list[Solution]:
    """Return solutions the best of which is no worse than what it leads to with classes permuted.

    Where the model tells classes apart, random starts may have them in other places than the data do.
    """
    found = list(solutions)
    for variable in variables:
        for _ in range(ROUNDS):
            best = found[0]
            other = runs.best_from(relabelling.near(variable, best.theta))
            if other is None or not other.converged or other.loglik <= best.loglik + SAME:
                break
            # the starts that led to the one have led to the other
            found = merge([replace(other, found=best.found), *found[1:]])
    return found


class DiscreteSearch:
    """Runs of a model whose latent variables are all discrete.

    Parameters
    ----------
    objective : DiscreteObjective
    space : Space
        What the runs move in.
    """

    def __init__(self, objective: DiscreteObjective, space: Space) -> None:
        self.objective = objective
        self.space = space
        self.start = starting_values(objective.plan).theta

    def solutions(
        self, starts: int | None, labellings: Sequence[Labelling], rng: np.random.Generator
    ) -> list[Solution]:
        """Return the local maxima that some random starts lead to.

        Parameters
        ----------
        starts : int, optional
        labellings : sequence of Labelling
            Other places that classes may have.
        rng : numpy Generator
        """
        objective = self.objective
        starts = starts or (STARTS if objective.edges[-1] < COSTLY else FEWER)
        clusters = max(stage.units.shape[0] for stage in objective.stages)
        cheap = clusters * objective.n_parameters <= CHEAP
        at_once = max(1, MEMORY // max(clusters, int(objective.edges[-1])))
        parts = []
        for begin in range(0, starts, at_once):
            count = min(at_once, starts - begin)
            first = first_steps(objective, self.space, self.start, count, labellings, rng)
            parts.append(expectation_maximisation(objective, self.space, first, SHORT, 1e-3))
        runs = Runs(
            np.hstack([part.theta for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.gain for part in parts]),
        ).best(max(KEPT, starts // (1 if cheap else 5)))
        return self._followed(self._long(runs.theta), cheap=cheap)

    def _long(self, theta: Array) -> Runs:
        runs = expectation_maximisation(self.objective, self.space, theta, LONG, SAME)
        return runs.best(len(runs.value))

    def _followed(self, runs: Runs, *, cheap: bool) -> list[Solution]:
        """Return the maxima that runs, the best first, lead to."""
        found: list[Solution] = []
        reached: list[float] = []
        for theta, value, gain in zip(runs.theta.T, runs.value, runs.gain, strict=True):
            near = [
                k for k, other in enumerate(reached) if abs(other - value) <= (NEARER if cheap else NEARBY)
            ]
            if near:
                found[near[0]] = replace(found[near[0]], found=found[near[0]].found + 1)
                continue
            if not cheap and len(found) == ENOUGH:
                break
            if found and value + max(HOPE * gain, HOPE * SAME) < max(one.loglik for one in found):
                found.append(Solution(theta, float(value), 1, False))
                reached.append(float(value))
                continue
            end, loglik, converged = polish(self.objective, self.space, theta)
            found.append(Solution(end, loglik, 1, converged))
            reached.append(float(value))
        return found

    def best_from(self, thetas: Sequence[Array]) -> Solution | None:
        """Return the maximum that the best of runs from some thetas (P,) leads to."""
        if not thetas:
            return None
        best = self._long(np.column_stack(thetas)).theta[:, 0]
        end, loglik, converged = polish(self.objective, self.space, best)
        return Solution(end, loglik, 1, converged)


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
