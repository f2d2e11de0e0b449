"""Parameters that a model holds at a value: they are reported, but have no estimate."""

from __future__ import annotations

from collections.abc import Iterator

from glamm.compile import LatentLayout, Lowered, ResponseLayout
from glamm.graph import LatentVariable, Response

__all__ = ["Held", "held_parameters"]

Held = tuple[str, str, str, float]
"""Kind as of `ParameterRow`, response or latent variable it belongs to, name, value."""


def held_parameters(lowered: Lowered) -> tuple[Held, ...]:
    """Return the held loadings, coefficients, variances and covariances of a model."""
    graph = lowered.graph
    found: list[Held] = []
    for response, of_response in zip(graph.responses, lowered.responses, strict=True):
        found += _coefficients(response, of_response)
    for latent, of_latent in zip(graph.latents, lowered.latents, strict=True):
        found += _coefficients(latent, of_latent)
    named = {latent.name for latent in graph.latents}
    for spec in graph.covariances:
        if spec.modifier is None or spec.modifier.fixed is None:
            continue
        kind = "covariance" if spec.left != spec.right else "variance" if spec.left in named else "residual"
        owner = "" if kind == "covariance" else spec.left
        found.append((kind, owner, f"{spec.left} ~~ {spec.right}", float(spec.modifier.fixed)))
    return tuple(found)


def _coefficients(owner: Response | LatentVariable, layout: ResponseLayout | LatentLayout) -> Iterator[Held]:
    if isinstance(layout, LatentLayout):
        predictors = tuple(part for part in (layout.predictor, layout.scale) if part is not None)
    else:
        predictors = layout.predictors
    models = {model.parameter: model for model in owner.predictors}
    for predictor in predictors:
        written = owner.name if predictor.name == "mu" else f"{predictor.name}({owner.name})"
        written += f"[{predictor.label}]" if predictor.label else ""
        places = predictor.numbered.coefficient
        for column, place, value in zip(predictor.columns, places, predictor.numbered.held, strict=True):
            if place < 0 and predictor.name in models:
                yield "fixed", owner.name, f"{written} ~ {column}", float(value)
        terms = models[predictor.name].latent_terms if predictor.name in models else ()
        for term, made in zip(terms, predictor.terms, strict=True):
            numbered = made.numbered
            for column, place, value in zip(made.columns, numbered.coefficient, numbered.held, strict=True):
                if place >= 0:
                    continue
                more = [] if column == "1" else [column]
                if term.measures:
                    name = f"{term.measures} =~ {':'.join([written, *more])}"
                    yield "loading", term.measures, name, float(value)
                else:
                    yield "fixed", owner.name, f"{written} ~ {':'.join([*term.latents, *more])}", float(value)
