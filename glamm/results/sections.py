"""Which table of the summary of a model with latent variables each parameter stands in."""

from __future__ import annotations

from collections.abc import Callable

from glamm.compile.parameters import ParameterRow
from glamm.results.facts import Facts

__all__ = ["SECTIONS", "section_of"]

SECTIONS = (
    "Latent variables",
    "Regressions",
    "Covariances",
    "Intercepts",
    "Thresholds",
    "Variances",
    "Residual standard deviations",
    "Auxiliary parameters",
    "Class membership",
    "Mass points",
    "Derived parameters",
)


def section_of(facts: Facts) -> Callable[[ParameterRow], str]:
    """Return the function that gives each parameter the title of its table; empty for random effects."""
    classes = {fact.name for fact in facts.classes}
    residuals = {(fact.name, fact.residual) for fact in facts.responses if fact.residual}

    def section(row: ParameterRow) -> str:
        match row.kind:
            case "loading":
                return "Latent variables"
            case "covariance" | "residual covariance":
                return "Covariances"
            case "variance" | "residual":
                return "Variances"
            case "location":
                return "Mass points"
            case "derived":
                return "Derived parameters"
            case "sd" | "cor":
                return ""
        if row.response in classes:
            return "Class membership"
        if row.predictor == "mu":
            return "Intercepts" if row.terms == ("1",) else "Regressions"
        if row.kind == "auxiliary" and (row.response, row.predictor) in residuals:
            return "Residual standard deviations"
        return "Thresholds" if row.predictor in ("threshold", "step") else "Auxiliary parameters"

    return section
