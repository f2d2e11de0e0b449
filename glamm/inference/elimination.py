"""Latent coordinates that are independent given others are integrated side by side, not jointly.

The coordinates of the plan's levels are vertices of a graph; those of one unit's predictor are joined. Where
taking away some coordinates leaves parts that no edge connects, the likelihood of a cluster is an integral
over the former of a product of integrals over the latter: what the engine knows as a level and the
clusters below it. A bifactor model becomes sums over two nested dimensions, whatever its number of
factors. Blocks of coordinates form a tree; blocks at one depth make one level of the engine, with a
cluster for each block and cluster of the plan, and units stand in the lowest block of the path that
holds all they touch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.plan import LevelPlan

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["Block", "Layer", "block_tree", "layers_of"]

Graph = dict[int, set[int]]


@dataclass(slots=True, eq=False)
class Block:
    """Coordinates of one level that are integrated together, above blocks independent given them.

    Attributes
    ----------
    level : int
        Of the plan.
    coordinates : tuple of int
        Numbered over all levels.
    below : list of Block
        Of the same level, or one block of the next lower level.
    """

    level: int
    coordinates: tuple[int, ...]
    below: list[Block]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Blocks at one depth: one level of the engine.

    Attributes
    ----------
    level : int
        Of the plan.
    blocks : tuple of Block
    q : int
        Size of the largest block; others are filled up with coordinates that nothing touches.
    parent : ndarray of intp, shape (clusters,), or None
    weight : ndarray, shape (clusters,), or None
        Those of the plan at the first layer of its level; the others count once.
    of_top : ndarray of intp, shape (tops + 1,)
    place : ndarray of intp, shape (blocks, clusters of the plan)
        Cluster of the engine.
    """

    level: int
    blocks: tuple[Block, ...]
    q: int
    parent: Index | None
    weight: Array | None
    of_top: Index
    place: Index


def _components(vertices: Collection[int], graph: Graph) -> list[set[int]]:
    left, found = set(vertices), []
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            edge = set().union(*(graph[v] for v in edge)) & left - part
        left -= part
        found.append(part)
    return found


def _separate(vertices: Collection[int], graph: Graph, level: int, level_of: Sequence[int]) -> Block:
    """Return the tree of blocks of coordinates of `level` and of those below it."""
    left = set(vertices)
    own: list[int] = []
    while True:
        parts = _components(left, graph)
        here = [part for part in parts if any(level_of[v] == level for v in part)]
        rest = left.difference(*here)
        if not here:
            below = [_separate(left, graph, level - 1, level_of)] if level else []
            return Block(level, tuple(sorted(own)), below)
        if len(parts) > 1:
            below = [_separate(part, graph, level, level_of) for part in here]
            if rest:
                below.append(Block(level, (), [_separate(rest, graph, level - 1, level_of)]))
            return Block(level, tuple(sorted(own)), below)

        def cost(v: int) -> tuple[int, int, int]:
            """Return what is left to integrate jointly when v is taken away."""
            largest = max((len(part) for part in _components(left - {v}, graph)), default=0)
            return largest, -len(graph[v] & left), v

        best = min((v for v in left if level_of[v] == level), key=cost)
        own.append(best)
        left.remove(best)


def _depths(block: Block, depth: int, found: dict[int, int]) -> dict[int, int]:
    """Return the largest number of blocks of each level on one path."""
    found[block.level] = max(found.get(block.level, 0), depth + 1)
    for child in block.below:
        _depths(child, depth + 1 if child.level == block.level else 0, found)
    return found


def _fill(block: Block, depth: int, deep: dict[int, int]) -> None:
    """Put empty blocks into paths with fewer blocks of a level than others have."""
    if depth + 1 < deep[block.level] and not any(child.level == block.level for child in block.below):
        block.below = [Block(block.level, (), block.below)]
    for child in block.below:
        _fill(child, depth + 1 if child.level == block.level else 0, deep)


def block_tree(cliques: Collection[frozenset[int]], level_of: Sequence[int], top: int) -> list[list[Block]]:
    """Return blocks by depth, the top first.

    Parameters
    ----------
    cliques : collection of frozenset of int
        Coordinates that are touched together.
    level_of : sequence of int, length Q
        Level of each coordinate.
    top : int
        The highest level.
    """
    graph: Graph = {v: set() for v in range(len(level_of))}
    for clique in cliques:
        for v in clique:
            graph[v] |= clique - {v}
    root = _separate(range(len(level_of)), graph, top, level_of)
    _fill(root, 0, _depths(root, 0, {}))
    depth, found = [root], []
    while depth:
        found.append(depth)
        depth = [child for block in depth for child in block.below]
    return found


def _spread(counts: Index) -> tuple[Index, Index]:
    """Return for `counts` children of each parent the parent and the number within it of each child."""
    parent = np.repeat(np.arange(len(counts), dtype=np.intp), counts)
    return parent, np.arange(len(parent), dtype=np.intp) - (np.cumsum(counts) - counts)[parent]


def layers_of(levels: Sequence[LevelPlan], tree: Sequence[Sequence[Block]]) -> list[Layer]:
    """Return the levels of the engine, lowest first."""
    tops = levels[-1].clusters
    cluster = top = np.arange(tops, dtype=np.intp)
    block = np.zeros(tops, dtype=np.intp)
    parent: Index | None = None
    layers: list[Layer] = []
    for depth, blocks in enumerate(tree):
        level = blocks[0].level
        if depth:
            above = tree[depth - 1]
            children = np.array([len(b.below) for b in above], dtype=np.intp)
            first = np.cumsum(children) - children
            if above[0].level == level:
                parent, within = _spread(children[block])
                block, cluster = first[block[parent]] + within, cluster[parent]
            else:
                below = levels[level].parent
                assert below is not None
                edges = np.searchsorted(below, np.arange(levels[level + 1].clusters + 1))
                parent, within = _spread(np.diff(edges)[cluster])
                block, cluster = first[block[parent]], edges[cluster[parent]] + within
            top = top[parent]
        place = np.empty((len(blocks), levels[level].clusters), dtype=np.intp)
        place[block, cluster] = np.arange(len(cluster))
        weight = levels[level].weight
        new = not layers or layers[0].level != level
        layers.insert(
            0,
            Layer(
                level,
                tuple(blocks),
                max(len(b.coordinates) for b in blocks),
                parent,
                weight[cluster] if new and weight is not None else None,
                np.searchsorted(top, np.arange(tops + 1)).astype(np.intp),
                place,
            ),
        )
    return layers
