"""Statements ``left ~ right``: predictors of responses, latent variables and classes."""

from __future__ import annotations

from dataclasses import replace

from glamm.errors import nearest
from glamm.grammar import unparse
from glamm.grammar.ast import Call, Expr, Regression
from glamm.graph.classes import known_column, mass_points
from glamm.graph.drafts import ClassDraft, Draft, Drafts, LatentDraft, ResponseDraft
from glamm.graph.factors import names_in, quoted, walk
from glamm.graph.families import read_distribution
from glamm.graph.model import AuxiliaryModel, FamilySpec, MissingCovariate, Term
from glamm.graph.randoms import POINTS, add_points, add_random
from glamm.graph.targets import Targets, variable_name
from glamm.graph.terms import Expansion

__all__ = ["read_regression"]

# One predictor for each category: a random effect in all of them is one of the response itself.
CATEGORICAL = ("threshold", "step")


def read_regression(drafts: Drafts, targets: Targets, statement: Regression) -> None:
    """Give every variable on the left the predictor on the right."""
    expansion = drafts.expander.expand(statement.terms)
    _check_names(drafts, statement.terms)
    _missing(drafts, statement.terms)
    members: list[tuple[Draft, str]] = []
    for target in statement.targets:
        member = targets.member(target)
        if member is None:
            continue
        draft, parameter = member
        written = draft.name if parameter == "mu" else f"{parameter}({draft.name})"
        if parameter in draft.predictors:
            if not (parameter == "mu" and isinstance(draft, ResponseDraft)):
                drafts.problem(f"{written} has two regressions", target.span, "put all into one statement")
            continue
        intercept = expansion.intercept
        if isinstance(draft, LatentDraft) and parameter == "mu":
            intercept = intercept is True
        draft.predictors[parameter] = AuxiliaryModel(
            parameter,
            expansion.terms,
            intercept,
            expansion.offsets,
            statement.span,
            expansion.modifier,
        )
        members.append(member)
        _check_member(drafts, draft, parameter, statement, expansion)
        _specials(drafts, draft, parameter, expansion.specials)
    if members:
        for random in expansion.randoms:
            add_random(drafts, random, members)


# ------------------------------------------------ checks


def _check_names(drafts: Drafts, terms: Expr) -> None:
    """Report names that are no columns where the model has a latent variable spelt almost so."""
    symbols = drafts.symbols
    if not symbols.latents and not symbols.classes:
        return
    for name, node in names_in(terms):
        if symbols.is_unknown(name) and name not in symbols.labels:
            hint = symbols.nearest(name)
            if any(hint == nearest(name, [known]) for known in (*symbols.latents, *symbols.classes) if hint):
                drafts.problem(f"no column or latent variable {name!r}", node.span, hint)


def _check_member(
    drafts: Drafts, draft: Draft, parameter: str, statement: Regression, expansion: Expansion
) -> None:
    empty = expansion.intercept is False and not (
        expansion.terms or expansion.offsets or expansion.randoms or draft.name in drafts.measured
    )
    response = isinstance(draft, ResponseDraft)
    written = draft.name if parameter == "mu" else f"{parameter}({draft.name})"
    if empty and response and (parameter == "mu" or parameter in CATEGORICAL):
        drafts.problem(
            f"nothing is left on the right-hand side of {written}", statement.span, f"write {written} ~ 1"
        )
    if parameter in CATEGORICAL and expansion.randoms:
        drafts.problem(
            f"a random effect in {written} would shift all its categories alike",
            expansion.randoms[0].span,
            f"put it into the regression of the response: {draft.name} ~ ...",
        )
    if parameter in CATEGORICAL and expansion.intercept is False and not empty:
        drafts.problem(f"{written} needs its intercepts: they are the cut points", statement.span)
    if isinstance(draft, ResponseDraft):
        for name, node in names_in(statement.terms):
            if name in draft.columns:
                drafts.problem(f"the response {draft.name!r} stands in its own predictor", node.span)
    elif any(draft.name in (*term.latents, *_names(drafts, term)) for term in expansion.terms):
        drafts.problem(f"{draft.name!r} is regressed on itself", statement.span)


def _names(drafts: Drafts, term: Term) -> set[str]:
    return {name for factor in term.factors for name in drafts.expander.names[factor]}


def _missing(drafts: Drafts, terms: Expr) -> None:
    """Record each ``mi(x)``, which needs a model of x."""
    calls = [n for n in walk(terms) if isinstance(n, Call) and n.function == "mi" and len(n.args) == 1]
    inside = {id(node) for call in calls for _, node in names_in(call)}
    beside = {name for name, node in names_in(terms) if id(node) not in inside}
    for node in calls:
        name = variable_name(node.args[0])
        if name in beside:
            drafts.problem(
                f"{name} stands beside {unparse(node)}, which is {name} wherever that is observed",
                node.span,
                f"write {unparse(node)} alone",
            )
        response = drafts.response(name)
        if response is None or response.indicator:
            drafts.problem(
                f"{unparse(node)} is {name} where it is observed; elsewhere it needs a model of {name}",
                node.span,
                f"write one: {name} ~ ...",
            )
        else:
            drafts.missing[unparse(node)] = MissingCovariate(unparse(node), response.name)


# ------------------------------------------------ classes(...), npml(4), student_t(df=5)


def _specials(drafts: Drafts, draft: Draft, parameter: str, specials: tuple[Call, ...]) -> None:
    for call in specials[1:]:
        drafts.problem(
            f"{unparse(specials[0])} and {unparse(call)}: a variable has one distribution", call.span
        )
    for call in specials[:1]:
        if parameter != "mu" or isinstance(draft, ResponseDraft):
            owner = draft.name if parameter == "mu" else f"{parameter}({draft.name})"
            drafts.problem(
                f"{unparse(call)} is the distribution of a latent variable, and {owner} is none",
                call.span,
                f"random effects with it are written {call.function}(1 | g, ...)",
            )
        elif isinstance(draft, ClassDraft):
            if call.function != "classes":
                drafts.problem(f"the class variable {draft.name!r} has no other distribution", call.span)
            draft.known = known_column(call, drafts.problems)
        elif isinstance(draft, LatentDraft):
            _distribution(drafts, draft, call)


def _distribution(drafts: Drafts, draft: LatentDraft, call: Call) -> None:
    if call.function != POINTS:
        draft.distribution = read_distribution(call, drafts.problems)
        return
    labels = mass_points(call, call.args, drafts.problems)
    owner = quoted(draft.name)
    name = add_points(drafts, f"{owner} ~ {unparse(call)}", draft.level, labels, call, (draft, "mu"))
    draft.distribution = FamilySpec("none")
    model = draft.predictors["mu"]
    location = Term((quoted(name),), call.span)
    draft.predictors["mu"] = replace(model, terms=(location, *model.terms))
