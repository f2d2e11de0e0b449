"""An order in which everything comes after what it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["find_cycle", "ordered"]

_Edges = Mapping[str, Iterable[str]]


def _search(depends: _Edges) -> tuple[list[str], list[str]]:
    """Return the order up to the first cycle, and that cycle, its first name again at its end."""
    done: dict[str, None] = {}
    for root in depends:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, finished = stack.pop()
            if finished:
                path.pop()
                on_path.discard(name)
                done[name] = None
                continue
            if name in done:
                continue
            if name in on_path:
                return list(done), [*path[path.index(name) :], name]
            path.append(name)
            on_path.add(name)
            stack.append((name, True))
            stack += [(other, False) for other in reversed(list(depends.get(name, ())))]
    return list(done), []


def ordered(depends: _Edges) -> list[str]:
    """Return the names of `depends`, each after those it depends on, else in the order given.

    Parameters
    ----------
    depends : mapping of str to iterable of str
        What each name depends on; without cycles.
    """
    return _search(depends)[0]


def find_cycle(depends: _Edges) -> list[str]:
    """Return a cycle ``[a, b, a]`` in which each depends on the next, empty where there is none."""
    return _search(depends)[1]
