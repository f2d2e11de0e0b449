"""Parameters that no data can tell apart, named before the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from glamm.compile.checks_moments import Flat, flat_directions
from glamm.compile.parameters import ParameterRow, ParameterTable
from glamm.compile.plan import Plan
from glamm.errors import Problem, Span
from glamm.graph import LatentVariable, ModelGraph

Array = NDArray[np.float64]

__all__ = ["unidentified"]

# Share of a direction's largest component from which a parameter counts as moved by it.
_MOVED = 1e-6
# Most parameters named in one message.
_NAMED = 12


def unidentified(graph: ModelGraph, plan: Plan, parameters: ParameterTable) -> list[Problem]:
    """Return a problem for each set of parameters that can move together and change nothing.

    Parameters
    ----------
    graph : ModelGraph
    plan : Plan
    parameters : ParameterTable
    """
    if not graph.latents:
        return []
    flat = flat_directions(plan)
    latents = {latent.name: latent for latent in graph.latents}
    return [
        _problem([parameters.rows[k] for k in moved], latents) for moved in _moved(flat, parameters, latents)
    ]


def _moved(flat: Flat, table: ParameterTable, latents: Mapping[str, LatentVariable]) -> list[list[int]]:
    """Return for each flat direction the reported parameters that it moves, as few as possible."""
    if not flat.directions.shape[1]:
        return []
    jacobian = np.nan_to_num(table.jacobian(flat.theta))
    size = np.linalg.norm(jacobian * flat.scale, axis=1)
    share = (jacobian @ flat.directions) / np.where(size > 0.0, size, 1.0)[:, None]
    kept = [k for k, row in enumerate(table.rows) if row.kind != "derived"]
    kept.sort(key=lambda k: _rank(table.rows[k], latents))
    left = share.T.copy()
    pivots: list[int] = []
    for k in kept:
        # Gauss-Jordan elimination: each direction keeps one parameter that the others do not move
        open_rows = [r for r in range(len(left)) if r not in pivots]
        if len(pivots) == len(left):
            break
        best = max(open_rows, key=lambda r: abs(left[r, k]))
        if abs(left[best, k]) <= _MOVED * np.abs(left[best]).max():
            continue
        left[best] /= left[best, k]
        for r in range(len(left)):
            if r != best:
                left[r] -= left[r, k] * left[best]
        pivots.append(best)
    return [[k for k in sorted(kept) if abs(row[k]) > _MOVED * np.abs(row).max()] for row in left]


def _rank(row: ParameterRow, latents: Mapping[str, LatentVariable]) -> int:
    """Return how early a parameter is to stand for a direction: scales, locations, others."""
    if row.kind in ("variance", "sd") or row.predictor == "sd":
        return 0
    return 1 if row.response in latents else 2


def _problem(moved: Sequence[ParameterRow], latents: Mapping[str, LatentVariable]) -> Problem:
    names = [f"`{row.name}`" for row in moved[:_NAMED]]
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    listed = ", ".join(names) + more
    if len(moved) == 1:
        message = f"not identified: {listed} changes nothing that data could show"
    else:
        message = f"not identified: {listed} can move together and change nothing that data could show"
    what, hint, span = _cause(moved, latents)
    return Problem(f"{message}{what}", span, hint)


def _cause(
    moved: Sequence[ParameterRow], latents: Mapping[str, LatentVariable]
) -> tuple[str, str, Span | None]:
    """Return what the model lacks, how to add it, and the place of the latent variable that lacks it."""
    residual = next((r for r in moved if r.kind == "residual" or r.predictor == "sigma"), None)
    # a term may be a product: ``y ~ s:x``
    effects = [name for r in moved if r.kind in ("loading", "fixed") for name in r.terms]
    sources = {part for name in effects for part in (name, *name.split(":"))}
    scale = next((r for r in moved if _owner(r) in sources), None)
    location = next((r for r in moved if r.kind == "fixed" and r.terms == ("1",)), None)
    involved = [latents[name] for row in moved for name in (row.response, *row.terms) if name in latents]
    span = involved[0].span if involved else None
    if residual is not None and involved:
        name = residual.response
        few = involved[0].name
        return (
            f": {few!r} has too few indicators",
            f"add indicators, or hold a residual variance: {name} ~~ 0.5*{name}",
            span,
        )
    if scale is not None:
        return _unscaled(latents[_owner(scale)])
    if location is not None and involved:
        return _unlocated(
            next((latent for latent in involved if latent.name == location.response), involved[0])
        )
    return "", "hold one of them at a number, or leave it out", span


def _owner(row: ParameterRow) -> str:
    """Return the latent variable whose variance or standard deviation a parameter is."""
    return row.response if row.kind == "variance" or row.predictor == "sd" else ""


def _unscaled(latent: LatentVariable) -> tuple[str, str, Span]:
    name = latent.name
    held = f"its variance, {name} ~~ 1*{name}"
    if any(model.parameter == "sd" for model in latent.predictors):
        held = f"the standard deviation of the first category, sd({name}) ~ 0*1 + ..."
    loading = (
        f"a loading, {name} =~ 1*{latent.indicators[0]} + ..., or " if latent.indicators else "an effect or "
    )
    return f": nothing sets the scale of {name!r}", f"hold {loading}{held}", latent.span


def _unlocated(latent: LatentVariable) -> tuple[str, str, Span]:
    name = latent.name
    first = latent.indicators[0] if latent.indicators else "y"
    return (
        f": nothing sets the location of {name!r}",
        f"leave out its intercept, or that of an indicator: {first} ~ 0",
        latent.span,
    )
