"""Constraints and derived parameters of a model, resolved to the parameters they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.compile.expressions import find_problems, linear
from glamm.compile.parameters import Derived, LatentFactor, ParameterRow
from glamm.compile.plan import ConstraintPlan
from glamm.errors import FormulaError, Problem
from glamm.grammar.ast import Binary, Call, Expr, Name, Unary
from glamm.graph import ModelGraph

Array = NDArray[np.float64]

__all__ = ["Resolver", "constrained_names", "derived_parameters"]


def names_of(expression: Expr) -> Iterator[str]:
    """Yield the names in an expression."""
    stack = [expression]
    while stack:
        node = stack.pop()
        match node:
            case Name(name=name):
                yield name
            case Binary(left=left, right=right):
                stack += [right, left]
            case Unary(operand=operand):
                stack.append(operand)
            case Call(args=args):
                stack += reversed(args)


def constrained_names(graph: ModelGraph) -> frozenset[str]:
    """Return the labels and names of parameters that constraints are about."""
    sides = [side for constraint in graph.constraints for side in (constraint.left, constraint.right)]
    return frozenset(name for side in sides for name in names_of(side))


def derived_parameters(graph: ModelGraph, known: Mapping[str, str | float]) -> tuple[Derived, ...]:
    """Return the derived parameters of a model, each after those it uses.

    Raises
    ------
    FormulaError
        With every unknown name.
    """
    own = {spec.name for spec in graph.definitions}
    problems = [p for spec in graph.definitions for p in find_problems(spec.expression, {*known, *own})]
    if problems:
        raise FormulaError(problems, graph.source)
    left = list(graph.definitions)
    made: list[Derived] = []
    while left:
        done = {spec.name for spec in made}
        ready = [s for s in left if not (set(names_of(s.expression)) & own) - done]
        made += [
            Derived(s.name, s.expression, {n: known.get(n, n) for n in names_of(s.expression)}) for s in ready
        ]
        left = [spec for spec in left if spec not in ready]
    return tuple(made)


@dataclass(frozen=True, slots=True, eq=False)
class Resolver:
    """What names in constraints and derived parameters stand for.

    Attributes
    ----------
    rows : sequence of ParameterRow
    factors : sequence of LatentFactor
    labels : mapping of str to str
        Name of a parameter that bears each label.
    held : mapping of str to float
        Values of labels and parameters that the text holds.
    source : str
    """

    rows: Sequence[ParameterRow]
    factors: Sequence[LatentFactor]
    labels: Mapping[str, str]
    held: Mapping[str, float]
    source: str

    def resolve(self) -> dict[str, str | float]:
        """Return the parameter, or the number, that each known name stands for."""
        found: dict[str, str | float] = dict(self.held)
        found.update({row.name: row.name for row in self.rows})
        found.update(self.labels)
        return found

    def constraints(self, graph: ModelGraph) -> ConstraintPlan | None:
        """Return the constraints over entries of theta.

        Raises
        ------
        FormulaError
            A name is unknown, a constraint is not linear or about something that is no entry of theta.
        """
        known = self.resolve()
        by_name = {row.name: row for row in self.rows}
        problems: list[Problem] = []
        made: list[tuple[str, dict[str, float], float, str]] = []
        for spec in graph.constraints:
            difference = Binary("-", spec.left, spec.right, span=spec.span)
            wrong = find_problems(difference, known)
            problems += wrong
            if wrong:
                continue
            text = " ".join(spec.span.slice(self.source).split())
            affine = linear(difference, known)
            if affine is None:
                problems.append(Problem("a constraint must be linear in the parameters", spec.span))
            elif not affine[0]:
                problems.append(Problem("this constraint is about no parameter that is free", spec.span))
            elif (never := _outside(by_name, spec.operator, *affine)) is not None:
                problems.append(Problem(f"this constraint cannot hold: {never}", spec.span))
            else:
                made.append((spec.operator, affine[0], affine[1], text))
        entries: dict[int, str] = {}
        for _, coefficients, _, _ in made:
            for name in coefficients:
                entry = self._entry(by_name[name])
                if entry is None:
                    problems.append(
                        Problem(
                            f"{name!r} cannot be constrained: it is a function of several parameters",
                            None,
                            "give the random effects a name: b0 | g =~ 1*y",
                        )
                    )
                else:
                    entries[entry[0]] = entry[1]
        if problems:
            raise FormulaError(problems, self.source)
        if not made:
            return None
        places = tuple(sorted(entries))
        equal: list[tuple[Array, float, str]] = []
        bounds: list[tuple[Array, float, str]] = []
        for operator, coefficients, constant, text in made:
            row = np.zeros(len(places))
            for name, value in coefficients.items():
                entry = self._entry(by_name[name])
                assert entry is not None
                row[places.index(entry[0])] += value
            sign = -1.0 if operator in ("<", "<=") else 1.0
            (equal if operator == "==" else bounds).append((sign * row, -sign * constant, text))
        return ConstraintPlan(
            places,
            tuple(entries[p] for p in places),
            *_stacked(equal, len(places)),
            *_stacked(bounds, len(places)),
        )

    def _entry(self, row: ParameterRow) -> tuple[int, str] | None:
        """Return the entry of theta that a parameter is, and how it is read; None where it is several."""
        match row.kind, row.place:
            case "residual", (place,):
                return place, "log variance"
            case "auxiliary", (place,):
                return place, row.scale
            case (("variance" | "sd"), (level, i)):
                plan = self.factors[level].plan
                for block in plan.blocks:
                    if i in block.coordinates and not block.correlation:
                        at = int(np.flatnonzero(block.coordinates == i)[0])
                        return int(block.index[at, at]), "identity"
                alone = row.kind == "sd" and (plan.factor[i] >= 0).sum() == 1
                return (int(plan.factor[i, i]), "identity") if alone else None
            case "covariance", (level, i, j):
                for block in self.factors[level].plan.blocks:
                    if {i, j} <= set(block.coordinates.tolist()) and not block.correlation:
                        first, second = (int(np.flatnonzero(block.coordinates == k)[0]) for k in (i, j))
                        return int(block.index[first, second]), "identity"
                return None
            case (("cor" | "derived"), _):
                return None
            case _, (place,):
                return place, "identity"
        return None


_RANGES = {"log": (0.0, np.inf), "log_above_2": (2.0, np.inf), "logit": (0.0, 1.0)}


def _outside(
    rows: Mapping[str, ParameterRow], operator: str, coefficients: Mapping[str, float], constant: float
) -> str | None:
    """Return what a constraint on one parameter asks of it that is outside its range, or None."""
    if len(coefficients) != 1:
        return None
    ((name, factor),) = coefficients.items()
    row, value = rows[name], -constant / factor
    closed = row.kind in ("sd", "variance")
    low, high = (
        (0.0, np.inf) if closed or row.kind == "residual" else _RANGES.get(row.scale, (-np.inf, np.inf))
    )
    from_above = operator in ("<", "<=")
    if factor < 0.0:
        from_above = operator in (">", ">=")
    too_low = value < low if closed else value <= low
    if (too_low and (operator == "==" or from_above)) or (
        value >= high and (operator == "==" or not from_above)
    ):
        limits = f"above {low:g}" if np.isinf(high) else f"between {low:g} and {high:g}"
        return f"{name} is {'not negative' if closed else limits}"
    return None


def _stacked(rows: list[tuple[Array, float, str]], size: int) -> tuple[Array, Array, tuple[str, ...]]:
    matrix = np.array([row for row, _, _ in rows]).reshape(len(rows), size)
    return matrix, np.array([value for _, value, _ in rows]), tuple(name for _, _, name in rows)
