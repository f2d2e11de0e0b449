"""The log-likelihood of a plan whose latent variables are all discrete: sums in the place of integrals.

Distinct units are evaluated once (`glamm.inference.discrete_units`); a sparse matrix of counts adds their log
densities up within clusters, clusters that are the same cluster of the data in each of its classes are mixed,
and so on to the top. Everything is done for several parameter vectors at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from glamm.compile.plan import Plan
from glamm.inference.discrete_units import Combinations, Densities
from glamm.inference.mixtures_alternatives import Alternatives
from glamm.inference.mixtures_nodes import home_level
from glamm.inference.objective import Objective

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["DiscreteObjective", "Posterior", "objective_for"]

MOST_SCORES = 40_000_000
"""Numbers that the scores of all clusters may have where the information is made of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Clusters at which classes are mixed.

    Attributes
    ----------
    level : int
        Of the plan.
    units : csr_array, shape (clusters, U)
        Weight of each combination in each cluster.
    alternatives : Alternatives
    above : csr_array, shape (clusters of the next stage, groups), or None
        Weight of each group in them; None at the top.
    clusters : ndarray of intp, shape (clusters,)
        Which of the level they are.
    """

    level: int
    units: sparse.csr_array
    alternatives: Alternatives
    above: sparse.csr_array | None
    clusters: Index


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What an evaluation found.

    Attributes
    ----------
    loglik : ndarray, shape (patterns, S)
        Log-likelihood of each distinct top-level cluster.
    shares : list of ndarray, shape (clusters, S)
        By stage: probability of each cluster among its alternatives.
    densities : list of Densities
        By response.
    """

    loglik: Array
    shares: list[Array]
    densities: list[Densities]


class DiscreteObjective:
    """Log-likelihood of a plan without continuous latent variables.

    It has the interface of `Objective`; what is said there of modes does not arise.

    Parameters
    ----------
    plan : Plan
        Every level has q = 0.
    points, threads
        Taken for the sake of that interface: there is nothing to integrate.
    """

    exact = True
    summed = False

    def __init__(self, plan: Plan, points: object = 1, threads: int | None = None) -> None:
        del points, threads
        self.plan = plan
        self.n_parameters = plan.n_parameters
        self.points = (1,) * len(plan.levels)
        self.responses = [Combinations(response) for response in plan.units]
        self.edges = np.concatenate(([0], np.cumsum([r.size for r in self.responses]))).astype(np.intp)
        self.stages = self._stages()
        top = self.stages[-1]
        weight = plan.levels[-1].weight
        first = top.alternatives.first
        self._weight = np.ones(len(first)) if weight is None else weight[first]
        self._collapse()
        self._back = [stage.units.T.tocsr() for stage in self.stages]

    # ------------------------------------------------ structure

    def _stages(self) -> list[Stage]:
        levels, total = self.plan.levels, int(self.edges[-1])
        homes = [home_level(self.plan, response) for response in self.plan.units]
        stages: list[Stage] = []
        carried = sparse.csr_array((levels[0].clusters, total))
        # from the groups of the last stage to the clusters of this level
        link: sparse.csr_array | None = None
        for number, level in enumerate(levels):
            for k, home in enumerate(homes):
                if home == number:
                    carried = carried + self._counts(k, number)
            last = number == len(levels) - 1
            if level.group is not None or last:
                if stages:
                    stages[-1] = replace(stages[-1], above=link)
                group = np.arange(level.clusters, dtype=np.intp) if level.group is None else level.group
                alternatives = Alternatives(group)
                own = np.arange(level.clusters, dtype=np.intp)
                stages.append(Stage(number, carried.tocsr(), alternatives, None, own))
                if last:
                    return stages
            above = levels[number + 1].clusters
            assert level.parent is not None
            if level.group is None:
                up = _sum_into(level.parent, level.weight, above)
                carried = up @ carried
                link = None if link is None else up @ link
            else:
                first = alternatives.first
                weight = None if level.weight is None else level.weight[first]
                link = _sum_into(level.parent[first], weight, above)
                carried = sparse.csr_array((above, total))
        return stages

    def _counts(self, k: int, home: int) -> sparse.csr_array:
        """Return the weight of each combination of response k in each cluster of its level."""
        response = self.plan.units[k]
        cluster = response.cluster
        weight = np.ones(len(cluster)) if response.weight is None else response.weight
        for level in self.plan.levels[:home]:
            if level.weight is not None:
                # the unit's weight undoes those of the clusters it is written in
                weight = weight * level.weight[cluster]
            assert level.parent is not None
            cluster = level.parent[cluster]
        column = self.responses[k].number + self.edges[k]
        shape = (self.plan.levels[home].clusters, int(self.edges[-1]))
        return sparse.coo_array((weight, (cluster, column)), shape=shape).tocsr()

    def _collapse(self) -> None:
        """Keep one of the top-level clusters whose units are the same in every class."""
        stage, alternatives = self.stages[-1], self.stages[-1].alternatives
        groups = len(alternatives.first)
        self.pattern: Index = np.arange(groups, dtype=np.intp)
        self.frequency: Array = self._weight
        if len(self.stages) > 1:
            return
        rng = np.random.default_rng(0)
        odd = rng.integers(1, 2**62, size=(2, stage.units.shape[1]), dtype=np.uint64) * np.uint64(
            2
        ) + np.uint64(1)
        turn = rng.integers(1, 2**62, size=int(alternatives.counts.max()), dtype=np.uint64)
        entries = stage.units.data.view(np.uint64)
        keys = []
        for row in odd:
            mixed = (entries ^ (entries >> np.uint64(31))) * row[stage.units.indices]
            mixed ^= mixed >> np.uint64(30)
            sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)))
            own = np.diff(sums[stage.units.indptr]) + turn[alternatives.position]
            own = (own ^ (own >> np.uint64(29))) * turn[alternatives.position]
            keys.append(np.add.reduceat(own, alternatives.first))
        _, first, number = np.unique(np.column_stack(keys), axis=0, return_index=True, return_inverse=True)
        self.pattern = number.ravel().astype(np.intp)
        self.frequency = np.bincount(self.pattern, self._weight, len(first)).astype(float)
        counts = alternatives.counts[first]
        begin = np.repeat(alternatives.first[first] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        rows = begin + np.arange(int(counts.sum()))
        kept = Alternatives(np.repeat(np.arange(len(first), dtype=np.intp), counts))
        self.stages = [Stage(stage.level, stage.units[rows], kept, None, rows)]

    @property
    def size(self) -> int:
        """Number of entries of the matrices that an evaluation multiplies by."""
        return sum(stage.units.nnz for stage in self.stages)

    @property
    def n_clusters(self) -> int:
        """Number of top-level clusters of the data."""
        return len(self.pattern)

    # ------------------------------------------------ several thetas at once

    def posterior_at(self, theta: Array) -> Posterior:
        """Return densities, shares and log-likelihoods at theta (P, S)."""
        densities = [response.densities(theta) for response in self.responses]
        # zeros of the sparse matrices are not stored, so that 0 times minus infinity is not met
        value = np.concatenate([d.value for d in densities])
        shares = []
        loglik = np.asarray(self.stages[0].units @ value)
        for stage, above in zip(self.stages, [*self.stages[1:], None], strict=True):
            mixed, share = stage.alternatives.mix(loglik)
            shares.append(share)
            if stage.above is not None and above is not None:
                loglik = above.units @ value + stage.above @ mixed
        return Posterior(mixed, shares, densities)

    def conditional_logliks(self, theta: Array) -> Array:
        """Return the log-likelihood of each distinct top-level cluster in each of its classes, (clusters, S).

        Probabilities of the classes are left out; there are no classes below.
        """
        count = len(self.plan.responses)
        values = [response.densities(theta).value for response in self.responses[:count]]
        rest = int(self.edges[-1] - self.edges[count])
        value = np.concatenate([*values, np.zeros((rest, theta.shape[1]))])
        return np.asarray(self.stages[-1].units @ value)

    def weights(self, shares: Sequence[Array]) -> list[Array]:
        """Return the expected count (U, S) of each combination, a matrix for each response."""
        starts = shares[-1].shape[1]
        above: Array = np.broadcast_to(self.frequency[:, None], (len(self.frequency), starts))
        total = np.zeros((int(self.edges[-1]), starts))
        for number in reversed(range(len(self.stages))):
            own = shares[number] * above[self.stages[number].alternatives.group]
            total += self._back[number] @ own
            if number:
                link = self.stages[number - 1].above
                assert link is not None
                above = link.T @ own
        return np.split(total, self.edges[1:-1])

    def values(self, found: Posterior) -> Array:
        """Return the log-likelihoods, shape (S,)."""
        return np.asarray(self.frequency @ np.where(self.frequency[:, None] > 0.0, found.loglik, 0.0))

    def gradients(self, found: Posterior, weights: Sequence[Array]) -> Array:
        """Return the gradients (P, S) of the log densities weighted by expected counts."""
        out = np.zeros((self.n_parameters, weights[0].shape[1]))
        for response, at, weight in zip(self.responses, found.densities, weights, strict=True):
            response.add_gradient(at, weight, out)
        return out

    def complete_information(self, found: Posterior, weights: Sequence[Array]) -> Array:
        """Return the information (S, P, P) there would be if the expected counts were data."""
        out = np.zeros((weights[0].shape[1], self.n_parameters, self.n_parameters))
        for response, at, weight in zip(self.responses, found.densities, weights, strict=True):
            response.add_information(at, weight, out)
        return out

    # ------------------------------------------------ as other objectives

    def value(self, theta: Array) -> float:
        """Return the log-likelihood; -inf where it cannot be computed."""
        value = float(self.values(self.posterior_at(np.asarray(theta, float)[:, None]))[0])
        return value if np.isfinite(value) else -np.inf

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood and its gradient, shape (n_parameters,)."""
        found = self.posterior_at(np.asarray(theta, float)[:, None])
        value = float(self.values(found)[0])
        if not np.isfinite(value):
            return -np.inf, np.full(self.n_parameters, np.nan)
        return value, self.gradients(found, self.weights(found.shares))[:, 0]

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Latent coordinates of each level that are integrated one inside the other: none."""
        return tuple(0 for _ in self.plan.levels)

    def expected_information(self, theta: Array) -> None:
        """Return None: the expected information has no closed form."""
        del theta

    @property
    def integration(self) -> str:
        """How latent variables are integrated in fewer dimensions: not at all."""
        return ""

    def accept(self) -> None:
        """Do nothing: there are no modes."""

    def place_nodes(self, theta: Array) -> bool:
        """Return False: there are no nodes."""
        del theta
        return False

    def with_points(self, points: object) -> DiscreteObjective:
        """Return the objective itself: there is nothing to integrate."""
        del points
        return self

    def cluster_logliks(self, theta: Array) -> Array:
        """Return the log-likelihood of each top-level cluster, not weighted, shape (clusters,)."""
        return np.asarray(self.posterior_at(np.asarray(theta, float)[:, None]).loglik[self.pattern, 0])

    def _scores(self, found: Posterior) -> list[tuple[Array, Array]]:
        """Return the scores of clusters (clusters, P) and of groups (groups, P), by stage."""
        units = np.zeros((int(self.edges[-1]), self.n_parameters))
        for response, at, own in zip(
            self.responses, found.densities, np.split(units, self.edges[1:-1]), strict=True
        ):
            response.add_scores(at, own)
        result: list[tuple[Array, Array]] = []
        for number, (stage, share) in enumerate(zip(self.stages, found.shares, strict=True)):
            own = stage.units @ units
            link = self.stages[number - 1].above if number else None
            if link is not None:
                own += link @ result[-1][1]
            result.append((own, np.add.reduceat(own * share, stage.alternatives.first)))
        return result

    def cluster_scores(self, theta: Array) -> Array:
        """Return the gradient of each top-level cluster's weighted term, shape (clusters, parameters)."""
        found = self.posterior_at(np.asarray(theta, float)[:, None])
        return self._scores(found)[-1][1][self.pattern] * self._weight[:, None]

    def shares(self, theta: Array) -> list[Array]:
        """Return by level the probability of every cluster among its alternatives, given the data."""
        found = self.posterior_at(np.asarray(theta, float)[:, None])
        shares = [np.ones(level.clusters) for level in self.plan.levels]
        for stage, share in zip(self.stages, found.shares, strict=True):
            shares[stage.level] = share[:, 0]
        shares[-1] = self._unfolded(shares[-1])
        return shares

    def posterior(self, theta: Array) -> list[tuple[Array, Array]]:
        """Return the moments of no latent variables: (clusters, 0) and (clusters, 0, 0) by level."""
        del theta
        return [(np.zeros((v.clusters, 0)), np.zeros((v.clusters, 0, 0))) for v in self.plan.levels]

    def _unfolded(self, of_patterns: Array) -> Array:
        """Return values of the clusters of all top-level groups from those of the distinct ones."""
        alternatives = self.stages[-1].alternatives
        counts = alternatives.counts[self.pattern]
        begin = alternatives.first[self.pattern] - np.concatenate(([0], np.cumsum(counts)[:-1]))
        return np.asarray(of_patterns[np.repeat(begin, counts) + np.arange(int(counts.sum()))])

    def information(self, theta: Array) -> Array | None:
        """Return the observed information (P, P); None where the scores it is made of are too many."""
        found = self.informations(theta)
        return None if found is None else found[0]

    def informations(self, theta: Array) -> tuple[Array, Array] | None:
        """Return the observed and the complete-data information, (P, P) each, or None.

        What is missing of the complete-data information is the variance, given the data, of the
        complete-data scores (Louis, 1982), of each stage in turn.
        """
        rows = int(self.edges[-1]) + sum(stage.units.shape[0] for stage in self.stages)
        if rows * self.n_parameters > MOST_SCORES:
            return None
        found = self.posterior_at(np.asarray(theta, float)[:, None])
        complete = self.complete_information(found, self.weights(found.shares))[0]
        information = complete.copy()
        above = self.frequency
        scores = self._scores(found)
        for number in reversed(range(len(self.stages))):
            own, mixed = scores[number]
            weight = found.shares[number][:, 0] * above[self.stages[number].alternatives.group]
            root, mixed_root = own * np.sqrt(weight)[:, None], mixed * np.sqrt(above)[:, None]
            information -= root.T @ root - mixed_root.T @ mixed_root
            if number:
                link = self.stages[number - 1].above
                assert link is not None
                above = link.T @ weight
        return np.asarray(information), complete


def _sum_into(parent: Index, weight: Array | None, clusters: int) -> sparse.csr_array:
    """Return the matrix that sums what lies in clusters, weighted, shape (clusters, len(parent))."""
    values = np.ones(len(parent)) if weight is None else weight
    place = (parent, np.arange(len(parent)))
    return sparse.coo_array((values, place), shape=(clusters, len(parent))).tocsr()


def objective_for(plan: Plan, points: Any = 1, threads: int | None = None) -> Objective | DiscreteObjective:
    """Return the objective that suits a plan: sums where its latent variables are all discrete.

    A latent variable on mass points makes linear predictors products of parameters: that needs `Objective`.
    """
    if plan.memberships and not plan.latents and not any(len(level.factor) for level in plan.levels):
        return DiscreteObjective(plan)
    return Objective(plan, points, threads)
