"""The plan's arrays as the engine wants them: responses stacked, latent coordinates integrated side by side.

Responses of one family are one response of the engine, with the units of a cluster next to each other. See
`glamm.inference.elimination` for what is integrated inside what. Outside of here units stay in the order
of the plan and coordinates in that of its levels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import Plan, ResponsePlan
from glamm.inference.elimination import Block, Layer, block_tree, layers_of
from glamm.inference.forms import clusters_of
from glamm.inference.rules import rule
from glamm.inference.touched import Touched, touched

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Pairs = Sequence[tuple[int, int]]

__all__ = ["Nesting", "Stack", "arrange", "nest", "stacks_of"]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Units of a response in one lowest block: their rows and columns in the engine and in the plan."""

    to_rows: Index
    from_rows: Index
    to_columns: Index
    from_columns: Index
    to_pairs: Index
    from_pairs: Index


class Stack:
    """The units of some responses of the plan as one of the engine, sorted by cluster of the engine.

    Attributes
    ----------
    members : tuple of int
        Positions in `Plan.units`.
    order : ndarray of intp, shape (n,)
        Positions of the sorted units among those of the members, one after the other.
    first : ndarray of intp, shape (clusters + 1,)
        First unit of each lowest cluster.
    pairs : list of (int, int)
        Coordinates of the engine that are multiplied.
    """

    def __init__(
        self,
        members: Sequence[int],
        cluster: Index,
        clusters: int,
        blocks: Index,
        columns: Sequence[Index],
        pairs: Pairs,
    ) -> None:
        self.members = tuple(members)
        self.order = np.argsort(cluster, kind="stable").astype(np.intp)
        counts = np.bincount(cluster, minlength=clusters)
        self.first = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
        self.width = len(columns[0])
        # nothing to be moved but whole rows
        self.plain = len(columns) == 1 and bool((columns[0] == np.arange(self.width)).all())
        sorted_blocks = blocks[self.order]
        used = np.unique(blocks)
        found = {k: self._paired(columns[k], pairs) for k in used}
        self.pairs = sorted(set().union(*(set(pairing.values()) for pairing in found.values())))
        self.parts = []
        for k in used:
            rows = np.flatnonzero(sorted_blocks == k)
            filled = np.flatnonzero(columns[k] >= 0)
            numbers = np.array(list(found[k]), dtype=np.intp)
            at = np.array([self.pairs.index(pair) for pair in found[k].values()], dtype=np.intp)
            self.parts.append(_Part(rows, self.order[rows], filled, columns[k][filled], at, numbers))

    @staticmethod
    def _paired(columns: Index, pairs: Pairs) -> dict[int, tuple[int, int]]:
        """Return the engine's coordinates of the pairs that lie on one path."""
        place = {int(v): e for e, v in enumerate(columns) if v >= 0}
        return {
            number: (min(place[x], place[y]), max(place[x], place[y]))
            for number, (x, y) in enumerate(pairs)
            if x in place and y in place
        }

    def scatter(self, o: Array, a: Array, c: Array | None) -> tuple[Array, Array, Array | None]:
        """Return offsets (K, n), loadings (active, n, Q) and pairs' coefficients for the engine."""
        if self.plain:
            return o[:, self.order], a[:, self.order], None if c is None else c[:, self.order]
        loadings = np.zeros((*a.shape[:2], self.width))
        factors = None if c is None else np.zeros((*c.shape[:2], len(self.pairs)))
        for part in self.parts:
            loadings[:, part.to_rows[:, None], part.to_columns] = a[
                :, part.from_rows[:, None], part.from_columns
            ]
            if c is not None and factors is not None:
                factors[:, part.to_rows[:, None], part.to_pairs] = c[
                    :, part.from_rows[:, None], part.from_pairs
                ]
        return o[:, self.order], loadings, factors

    def gather(self, go: Array, ga: Array, gc: Array, width: int, n_pairs: int) -> tuple[Array, Array, Array]:
        """Return adjoints in the order of the plan; 0 for coordinates that no unit there touches."""
        offsets = np.empty_like(go)
        offsets[:, self.order] = go
        if self.plain:
            loadings, factors = np.empty_like(ga), np.empty_like(gc)
            loadings[:, self.order], factors[:, self.order] = ga, gc
            return offsets, loadings, factors
        loadings = np.zeros((*ga.shape[:2], width))
        factors = np.zeros((*ga.shape[:2], n_pairs))
        for part in self.parts:
            loadings[:, part.from_rows[:, None], part.from_columns] = ga[
                :, part.to_rows[:, None], part.to_columns
            ]
            if gc.size:
                factors[:, part.from_rows[:, None], part.from_pairs] = gc[
                    :, part.to_rows[:, None], part.to_pairs
                ]
        return offsets, loadings, factors


class Nesting:
    """Levels of the engine and the way between them and the plan's.

    Parameters
    ----------
    plan : Plan
    layers : sequence of Layer
        Lowest first.
    found : sequence of Touched
        Of the plan's units.
    pairs : sequence of (int, int)
        Coordinates that are multiplied.
    groups : sequence of sequence of int
        Positions in the plan's units of those that are stacked.
    """

    def __init__(
        self,
        plan: Plan,
        layers: Sequence[Layer],
        found: Sequence[Touched],
        pairs: Pairs,
        groups: Sequence[Sequence[int]],
    ) -> None:
        self.layers = list(layers)
        self.nested = len(layers) > len(plan.levels)
        self.sizes = tuple(len(level.factor) for level in plan.levels)
        self.starts = np.concatenate(([0], np.cumsum(self.sizes))).astype(np.intp)
        self.n_pairs = len(pairs)
        self._counts = [level.clusters for level in plan.levels]
        self._clusters_above = [
            clusters_of(plan, np.arange(found.clusters, dtype=np.intp), level)
            for level, found in enumerate(plan.levels)
        ]
        self._offsets = np.concatenate(([0], np.cumsum([layer.q for layer in layers]))).astype(np.intp)
        self._paths = self._lines()
        columns = [self._columns(path) for path in self._paths]
        placed = [
            self._place(response, kinds, columns) for response, kinds in zip(plan.units, found, strict=True)
        ]
        self.stacks = []
        for members in groups:
            blocks, clusters = (
                np.concatenate(part) for part in zip(*(placed[r] for r in members), strict=True)
            )
            self.stacks.append(Stack(members, clusters, self.layers[0].place.size, blocks, columns, pairs))
        self._sizes = [len(response.cluster) for response in plan.units]

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Latent coordinates of each level of the plan that one unit's path meets."""
        return tuple(
            sum(layer.q for layer in self.layers if layer.level == level) for level in range(len(self.sizes))
        )

    def _lines(self) -> list[list[int]]:
        """Return for each lowest block the number of its ancestor in every layer, lowest first."""
        lines = [[k] for k in range(len(self.layers[0].blocks))]
        for layer in self.layers[1:]:
            owner = [k for k, block in enumerate(layer.blocks) for _ in block.below]
            for line in lines:
                line.append(owner[line[-1]])
        return lines

    def _columns(self, path: Sequence[int]) -> Index:
        """Return the plan's coordinate in each of the engine's, -1 in those that fill up."""
        columns = np.full(self._offsets[-1], -1, dtype=np.intp)
        for layer, start, k in zip(self.layers, self._offsets, path, strict=False):
            own = layer.blocks[k].coordinates
            columns[start : start + len(own)] = own
        return columns

    def _place(self, response: ResponsePlan, kinds: Touched, columns: Sequence[Index]) -> tuple[Index, Index]:
        """Return the lowest block and the lowest cluster of the engine of each unit."""
        held = [set(path.tolist()) for path in columns]
        block_of_kind = np.array(
            [next(k for k, path in enumerate(held) if kind <= path) for kind in kinds.coordinates],
            dtype=np.intp,
        )
        blocks = block_of_kind[kinds.kind]
        return blocks, self.layers[0].place[blocks, response.cluster]

    # ------------------------------------------------ the engine's arguments and results

    def levels(self) -> list[tuple[int, Index | None, Array | None, Index]]:
        """Return the levels for `Engine`."""
        return [(layer.q, layer.parent, layer.weight, layer.of_top) for layer in self.layers]

    def rules(self, points: Sequence[int]) -> list[tuple[Array, Array]]:
        """Return the nodes of each level of the engine from the points of the plan's levels."""
        return [
            rule(layer.q, points[layer.level], layer.q / max(self.dimensions[layer.level], 1))
            for layer in self.layers
        ]

    def start(self) -> list[Array]:
        """Return modes to start from."""
        return [np.zeros((layer.place.size, layer.q)) for layer in self.layers]

    def scatter(self, o: list[Array], a: list[Array], c: list[Array | None]) -> tuple[Any, Any, Any]:
        """Return the arguments of `Engine.evaluate` from arrays in the order of the plan."""
        made = [
            stack.scatter(*(_joined([part[r] for r in stack.members]) for part in (o, a, c)))
            for stack in self.stacks
        ]
        offsets, loadings, factors = zip(*made, strict=True)
        return list(offsets), list(loadings), list(factors)

    def gather(self, out: dict[str, Any]) -> None:
        """Replace adjoints and moments that the engine returned by those of the plan."""
        if out["go"]:
            found: dict[int, tuple[Array, Array, Array]] = {}
            products = out.get("gc") or [np.zeros((*ga.shape[:2], 0)) for ga in out["ga"]]
            for stack, go, ga, gc in zip(self.stacks, out["go"], out["ga"], products, strict=True):
                parts = stack.gather(go, ga, gc, sum(self.sizes), self.n_pairs)
                edges = np.cumsum([self._sizes[r] for r in stack.members])[:-1]
                split = [np.split(part, edges, axis=1) for part in parts]
                found |= dict(zip(stack.members, zip(*split, strict=True), strict=True))
            made = [found[r] for r in range(len(found))]
            out["go"], out["ga"], out["gc"] = (list(part) for part in zip(*made, strict=True))
        if out["path_mean"] and self.nested:
            paths = out["path_mean"], out["path_cov"]
            moments = [self._moments(*paths, level) for level in range(len(self.sizes))]
            out["path_mean"], out["path_cov"] = (list(part) for part in zip(*moments, strict=True))
            out["mean"] = [mean[:, :q] for q, (mean, _) in zip(self.sizes, moments, strict=True)]
            out["cov"] = [cov[:, :q, :q] for q, (_, cov) in zip(self.sizes, moments, strict=True)]
            out["share"] = [np.ones(len(mean)) for mean in out["mean"]]

    # ------------------------------------------------ moments

    def _homes(self, level: int) -> list[tuple[int, int, int]]:
        """Return layer, block and place in it of each coordinate of a level."""
        homes = {
            v: (depth, k, place)
            for depth, layer in enumerate(self.layers)
            if layer.level == level
            for k, block in enumerate(layer.blocks)
            for place, v in enumerate(block.coordinates)
        }
        return [homes[v] for v in range(self.starts[level], self.starts[level + 1])]

    def _ancestors(self, depth: int, block: int) -> list[int]:
        """Return the ancestor of a block in its own and each higher layer."""
        line = next(path for path in self._paths if path[depth] == block)
        return line[depth:]

    def _moments(self, means: list[Array], covs: list[Array], level: int) -> tuple[Array, Array]:
        """Return means (clusters, p) and covariances (clusters, p, p) of the paths of a plan's level.

        They are found from those of the engine's paths. The covariance of coordinates of two blocks neither
        of which is above the other is that of their conditional means; these are taken to be linear in the
        coordinates that both blocks are below.
        """
        above = self._clusters_above[level]
        homes = [home for at in range(level, len(self.sizes)) for home in self._homes(at)]
        p = len(homes)
        clusters = self._counts[level]
        mean, cov = np.empty((clusters, p)), np.zeros((clusters, p, p))
        for x, (depth, block, place) in enumerate(homes):
            mean[:, x] = means[depth][self._placed(above, depth, block), place]
            for y, other in enumerate(homes[: x + 1]):
                cov[:, x, y] = cov[:, y, x] = self._covariance(covs, above, (depth, block, place), other)
        return mean, cov

    def _placed(self, above: Sequence[Index | None], depth: int, block: int) -> Index:
        """Return the engine's cluster of a block that each cluster of a plan's level lies in."""
        layer = self.layers[depth]
        rows = above[layer.level]
        assert rows is not None
        return np.asarray(layer.place[block][rows], dtype=np.intp)

    def _covariance(
        self,
        covs: list[Array],
        clusters: Sequence[Index | None],
        x: tuple[int, int, int],
        y: tuple[int, int, int],
    ) -> Array:
        if x[0] > y[0]:
            x, y = y, x
        first, second = self._ancestors(*x[:2]), self._ancestors(*y[:2])
        lift = y[0] - x[0]
        common = next(
            k for k, pair in enumerate(zip(first[lift:], second, strict=True)) if pair[0] == pair[1]
        )
        of_x = covs[x[0]][self._placed(clusters, *x[:2])]
        if common == 0:
            at = self._offsets[y[0]] - self._offsets[x[0]] + y[2]
            return np.asarray(of_x[:, x[2], at])
        depth = y[0] + common
        of_y = covs[y[0]][self._placed(clusters, *y[:2])]
        above = covs[depth][self._placed(clusters, depth, second[common])]
        from_x = of_x[:, x[2], self._offsets[depth] - self._offsets[x[0]] :]
        from_y = of_y[:, y[2], self._offsets[depth] - self._offsets[y[0]] :]
        if not above.shape[1]:
            return np.zeros(len(above))
        return np.asarray(np.einsum("cr,cr->c", from_x, np.linalg.solve(above, from_y[:, :, None])[:, :, 0]))


def _joined(arrays: Sequence[Array | None]) -> Any:
    """Return arrays of units side by side; None where there are none."""
    present = [array for array in arrays if array is not None]
    if not present:
        return None
    return present[0] if len(present) == 1 else np.concatenate(present, axis=1)


def nest(plan: Plan) -> list[Layer] | None:
    """Return how to integrate the latent coordinates in fewer dimensions at a time, if that is possible.

    None where every cluster's coordinates stand in each other's way, where there is nothing to gain, and
    where clusters are alternatives of each other within a level below the top, whose nodes are given.
    """
    sizes = [len(level.factor) for level in plan.levels]
    mixed = any(level.group is not None for level in plan.levels[:-1])
    # responses whose residuals covary depend on each other's latent variables
    if max(sizes) < 2 or mixed or plan.residual_covariances:
        return None
    level_of = [level for level, size in enumerate(sizes) for _ in range(size)]
    cliques = {coordinates for kinds in touched(plan, plan.units) for coordinates in kinds.coordinates}
    tree = block_tree(cliques, level_of, len(sizes) - 1)
    if sum(max(len(block.coordinates) for block in blocks) for blocks in tree) >= sum(sizes):
        return None
    return layers_of(plan.levels, tree)


def _alike(a: object, b: object) -> bool:
    """Return whether two families, or what they are made of, are the same."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, str | int | float | tuple):
        return bool(a == b)
    if not hasattr(a, "__dict__") or vars(a).keys() != vars(b).keys():
        return False
    return all(_alike(value, vars(b)[name]) for name, value in vars(a).items())


def stacks_of(responses: Sequence[ResponsePlan], shapes: Sequence[object]) -> list[list[int]]:
    """Return which responses can be one of the engine's: those of the same family and shape."""
    groups: list[list[int]] = []
    for r, response in enumerate(responses):
        for group in groups:
            other = responses[group[0]]
            if shapes[group[0]] == shapes[r] and _alike(other.family, response.family):
                group.append(r)
                break
        else:
            groups.append([r])
    return groups


def arrange(
    plan: Plan, pairs: Pairs, layers: Sequence[Layer] | None, groups: list[list[int]]
) -> Nesting | None:
    """Return the engine's arrangement of a plan; None where it is that of the plan."""
    given = any(level.group is not None for level in plan.levels[:-1])
    if given or (layers is None and len(groups) == len(plan.units)):
        return None
    if layers is not None:
        return Nesting(plan, layers, touched(plan, plan.units), pairs, groups)
    starts = np.concatenate(([0], np.cumsum([len(level.factor) for level in plan.levels])))
    chain = [
        [Block(level, tuple(range(starts[level], starts[level + 1])), [])]
        for level in range(len(plan.levels))
    ]
    for below, above in itertools.pairwise(chain):
        above[0].below = below
    kinds = [Touched(np.zeros(len(r.cluster), dtype=np.intp), (frozenset(),)) for r in plan.units]
    return Nesting(plan, layers_of(plan.levels, chain[::-1]), kinds, pairs, groups)
