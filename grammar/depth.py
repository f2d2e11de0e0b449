"""A bound on the depth of syntax trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from glamm.errors import FormulaError, Problem
from glamm.grammar.ast import Binary, Node

__all__ = ["MAX_TREE_DEPTH", "check_depth"]

MAX_TREE_DEPTH = 100


def check_depth(root: Node) -> None:
    """Raise where the tree is too deep for readers that recurse; a long sum does not count as deep."""
    waiting: list[tuple[Node, int]] = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_TREE_DEPTH:
            raise FormulaError(Problem(f"expressions nest deeper than {MAX_TREE_DEPTH}", node.span))
        so_far = node.left if isinstance(node, Binary) and node.operator in ("+", "-") else None
        waiting.extend((child, depth if child is so_far else depth + 1) for child in _children(node))


def _children(node: Node) -> Iterator[Node]:
    """Yield the nodes right under `node`."""
    for item in fields(node):
        yield from _flat(getattr(node, item.name))


def _flat(value: object) -> Iterator[Node]:
    """Yield the nodes in a field, which may be a node, a tuple of them or of keywords."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
