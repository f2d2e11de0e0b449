"""Parameters that a model holds at a value: they are reported, but have no estimate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glamm.compile import LatentLayout, Lowered, ParameterRow, ResponseLayout
from glamm.graph import LatentVariable, Response

__all__ = ["held_parameters"]

Held = tuple[ParameterRow, float]


def held_parameters(lowered: Lowered) -> tuple[Held, ...]:
    """Return the held loadings, coefficients, variances and covariances of a model, with their values."""
    graph = lowered.graph
    found: list[Held] = []
    for response, of_response in zip(graph.responses, lowered.responses, strict=True):
        found += _coefficients(response, of_response)
    layouts = {layout.name: layout for layout in lowered.latents}
    for latent in graph.latents:
        found += _coefficients(latent, layouts[latent.name])
    named = {latent.name: latent.level for latent in graph.latents}
    for spec in graph.covariances:
        if spec.modifier is None or spec.modifier.fixed is None:
            continue
        of_latent = spec.left in named
        if spec.left != spec.right:
            kind = "covariance" if of_latent else "residual covariance"
        else:
            kind = "variance" if of_latent else "residual"
        owner = "" if spec.left != spec.right else spec.left
        name, pair = f"{spec.left} ~~ {spec.right}", (spec.left, spec.right)
        row = ParameterRow(name, kind, owner, terms=pair, level=named.get(spec.left, ""))
        found.append((row, float(spec.modifier.fixed)))
    return tuple(found)


def _coefficients(owner: Response | LatentVariable, layout: ResponseLayout | LatentLayout) -> Iterator[Held]:
    if isinstance(layout, LatentLayout):
        predictors = tuple(part for part in (layout.predictor, layout.scale) if part is not None)
    else:
        predictors = layout.predictors
    models = {model.parameter: model for model in owner.predictors}
    for predictor in predictors:
        if predictor.name not in models:
            continue
        written = owner.name if predictor.name == "mu" else f"{predictor.name}({owner.name})"
        written += f"[{predictor.label}]" if predictor.label else ""
        numbered = predictor.numbered
        for k in np.flatnonzero(numbered.coefficient < 0):
            column = predictor.columns[k]
            row = ParameterRow(
                f"{written} ~ {column}", "fixed", owner.name, predictor.name, predictor.label, (column,)
            )
            yield row, float(numbered.held[k])
        for term, made in zip(models[predictor.name].latent_terms, predictor.terms, strict=True):
            for k in np.flatnonzero(made.numbered.coefficient < 0):
                more = [] if made.columns[k] == "1" else [made.columns[k]]
                if term.measures:
                    name, terms = f"{term.measures} =~ {':'.join([written, *more])}", (term.measures,)
                else:
                    effect = ":".join([*term.latents, *more])
                    name, terms = f"{written} ~ {effect}", (effect,)
                kind = "loading" if term.measures else "fixed"
                row = ParameterRow(name, kind, owner.name, predictor.name, predictor.label, terms)
                yield row, float(made.numbered.held[k])
