"""What must hold between the variables of a model: levels, cycles, and that each has a use."""

from __future__ import annotations

from glamm.graph.covariances import predicting
from glamm.graph.drafts import ClassDraft, Draft, Drafts, LatentDraft, ResponseDraft
from glamm.graph.order import find_cycle, ordered

__all__ = ["check_levels", "check_used", "dependency_order"]


def _names(drafts: Drafts, draft: Draft) -> list[str]:
    """Return every name that the predictors of a variable hold, those of ``mi(x)`` as they are."""
    found: dict[str, None] = {}
    for model in draft.predictors.values():
        for term in model.terms:
            columns = [name for factor in term.factors for name in sorted(drafts.expander.names[factor])]
            found |= dict.fromkeys([*term.latents, *columns])
    return list(found)


def _predictors(drafts: Drafts, draft: Draft) -> list[Draft]:
    """Return the variables that a variable is regressed on or measures."""
    found: list[Draft] = []
    for name in _names(drafts, draft):
        if name in drafts.missing:
            found.append(drafts.responses[drafts.missing[name].response])
        elif name in drafts.latents or name in drafts.classes or name in drafts.responses:
            other = drafts.variable(name)
            assert other is not None
            found.append(other)
    return found


def check_levels(drafts: Drafts) -> None:
    """Report variables that depend on what varies inside their own clusters, whatever the data."""
    for draft in drafts.variables():
        for other in _predictors(drafts, draft):
            if isinstance(other, ResponseDraft) and not any(
                spec.response == other.name for spec in drafts.missing.values()
            ):
                continue
            if drafts.is_below(other.level, draft.level):
                drafts.problem(
                    f"{draft.name!r} lives at the level {draft.level!r} and cannot depend on {other.name!r}, "
                    f"which varies inside it (level {other.level!r})",
                    draft.predictors["mu"].span if "mu" in draft.predictors else draft.span,
                    f"regress {other.name} on {draft.name}, or give {other.name} a higher level",
                )


def check_used(drafts: Drafts) -> None:
    """Report latent variables and classes that nothing in the data could tell anything about."""
    predicts = predicting(drafts)
    symbols = drafts.symbols
    for draft in drafts.latents.values():
        if draft.indicators or draft.name in predicts:
            continue
        if draft.name in symbols.undeclared:
            message = f"no column {draft.name!r}"
        else:
            message = f"the latent variable {draft.name!r} has no indicators and predicts nothing"
        drafts.problem(
            message, draft.span, symbols.nearest(draft.name) or f"measure it: {draft.name} =~ i1 + i2"
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
    depends = {
        draft.name: [other.name for other in _predictors(drafts, draft)] for draft in drafts.variables()
    }
    cycle = find_cycle(depends)
    if not cycle:
        return ordered(depends)
    draft = drafts.variable(cycle[0])
    assert draft is not None
    if len(set(cycle)) > 1 or isinstance(draft, ClassDraft | LatentDraft):
        drafts.problem(
            f"the model goes round in a circle: {' -> '.join(cycle)} (each depends on the next)",
            draft.predictors["mu"].span,
            "leave out one of these regressions",
        )
    return []
