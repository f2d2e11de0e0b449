"""Covariates with missing values: ``mi(x)`` whose x takes one of several categories."""

from __future__ import annotations

from dataclasses import replace

from glamm.graph.drafts import ClassDraft, Drafts

__all__ = ["discrete_covariates", "make_classes"]

# Families of one category a unit: what is missing is one of finitely many values.
DISCRETE = ("binomial", "multinomial", "ordinal", "adjacent", "sequential")


def discrete_covariates(drafts: Drafts) -> frozenset[str]:
    """Return the responses whose ``mi()`` is discrete."""
    return frozenset(name for name, family in drafts.families.items() if family.name in DISCRETE)


def make_classes(drafts: Drafts) -> None:
    """Turn each discrete ``mi(x)`` into a class variable that is known where x is observed.

    The model of its membership is then the whole likelihood of x, which is no response any more.
    """
    for name, covariate in list(drafts.missing.items()):
        response = drafts.responses[covariate.response]
        if response.name not in drafts.symbols.categorical:
            continue
        extra = [parameter for parameter in response.predictors if parameter != "mu"]
        if extra or response.form.call:
            what = f"{extra[0]}({response.name}) ~ ..." if extra else response.name
            drafts.problem(
                f"{name} has the membership model of a class variable, a multinomial logit; "
                f"{what} has no place there",
                response.span,
            )
        for spec in drafts.covariances:
            if response.name in (spec.left, spec.right):
                drafts.problem(f"{name} is discrete: {response.name} has no variance", spec.span)
        drafts.classes[name] = ClassDraft(
            name, response.span, response.level, {"mu": response.predictors["mu"]}, known=response.name
        )
        drafts.blocks = [
            replace(
                block,
                members=tuple((name if owner == response.name else owner, p) for owner, p in block.members),
            )
            for block in drafts.blocks
        ]
        del drafts.missing[name], drafts.responses[response.name], drafts.families[response.name]
