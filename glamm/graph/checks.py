"""What must hold between the variables of a model: levels, cycles, and that each has a use."""

from __future__ import annotations

from glamm.graph.covariances import predicting
from glamm.graph.drafts import Draft, Drafts, LatentDraft
from glamm.graph.order import find_cycle, ordered

__all__ = ["check_levels", "check_used", "dependency_order"]


def _names(drafts: Drafts, draft: Draft) -> list[str]:
    """Return every name that the predictors of a variable hold, those of ``mi(x)`` as they are."""
    found: dict[str, None] = {}
    terms = [term for model in draft.predictors.values() for term in model.terms]
    for block in drafts.blocks:
        if any(name == draft.name for name, _ in block.members):
            terms += block.terms
    factors = [factor for term in terms for factor in term.factors]
    factors += [offset for model in draft.predictors.values() for offset in model.offsets]
    for term in terms:
        found |= dict.fromkeys(term.latents)
    for factor in factors:
        found |= dict.fromkeys(sorted(drafts.expander.names[factor]))
    return list(found)


def _unobserved(drafts: Drafts, name: str) -> Draft | None:
    """Return what `name` stands for where that is not observed, or not everywhere."""
    if name in drafts.missing:
        return drafts.responses[drafts.missing[name].response]
    return drafts.latents.get(name) or drafts.classes.get(name)


def check_levels(drafts: Drafts) -> None:
    """Report variables that depend on what varies inside their own clusters, whatever the data."""
    for draft in drafts.variables():
        for name in _names(drafts, draft):
            other = _unobserved(drafts, name)
            if other is not None and drafts.is_below(other.level, draft.level):
                drafts.problem(
                    f"{draft.name!r} lives at the level {draft.level!r} and cannot depend on {name!r}, "
                    f"which varies inside it (level {other.level!r})",
                    draft.predictors["mu"].span if "mu" in draft.predictors else draft.span,
                    f"regress {other.name} on {draft.name}, or give {other.name} a higher level",
                )
    for block in drafts.blocks:
        for name, parameter in block.members:
            owner: Draft = drafts.latents.get(name) or drafts.classes.get(name) or drafts.responses[name]
            same = isinstance(owner, LatentDraft) and parameter == "mu" and block.intercept
            if drafts.is_below(block.level, owner.level):
                drafts.problem(
                    f"({block.name}) varies inside the clusters of {name!r}, which lives at the level "
                    f"{owner.level!r}",
                    block.span,
                )
            elif same and block.level == owner.level:
                drafts.problem(
                    f"({block.name}) is the disturbance that {name!r} has at its level already",
                    block.span,
                    "random effects of a latent variable belong to higher levels",
                )


def check_used(drafts: Drafts) -> None:
    """Report latent variables and classes that nothing in the data could tell anything about."""
    predicts = predicting(drafts)
    symbols = drafts.symbols
    for latent in drafts.latents.values():
        if latent.indicators or latent.name in predicts or latent.name in (symbols.columns or ()):
            continue
        if latent.name in symbols.undeclared:
            message = f"no column {latent.name!r}"
        else:
            message = f"the latent variable {latent.name!r} has no indicators and predicts nothing"
        drafts.problem(
            message, latent.span, symbols.nearest(latent.name) or f"measure it: {latent.name} =~ i1 + i2"
        )
    used = {name for draft in drafts.variables() for name in _names(drafts, draft)}
    for draft in drafts.classes.values():
        if draft.name not in used:
            drafts.problem(
                f"the class variable {draft.name!r} predicts nothing",
                draft.span,
                f"use it: y ~ {draft.name}, or {draft.name} =~ i1 + i2",
            )


def dependency_order(drafts: Drafts) -> list[str]:
    """Return the names of all variables, each after those it depends on; a cycle is reported."""
    variables: dict[str, Draft] = {**drafts.latents, **drafts.classes, **drafts.responses}
    measured: dict[str, list[str]] = {}
    for response in drafts.responses.values():
        for column in response.columns:
            measured.setdefault(column, []).append(response.name)
    depends: dict[str, list[str]] = {}
    for name, draft in variables.items():
        depends[name] = []
        for used in _names(drafts, draft):
            other = _unobserved(drafts, used)
            depends[name] += measured.get(used, []) if other is None else [other.name]
    cycle = find_cycle(depends)
    # What stands in its own predictor has been reported there.
    if len(set(cycle)) > 1:
        drafts.problem(
            f"the model goes round in a circle: {' -> '.join(cycle)} (each depends on the next)",
            variables[cycle[0]].predictors["mu"].span,
            "leave out one of these regressions",
        )
    return [] if cycle else ordered(depends)
