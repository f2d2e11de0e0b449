"""Variances and covariances: written ones, and lavaan's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

from glamm.errors import nearest
from glamm.grammar.ast import Covariance, Expr
from glamm.graph.drafts import Draft, Drafts, LatentDraft, ResponseDraft
from glamm.graph.factors import addends
from glamm.graph.model import CovarianceSpec, FamilySpec, Modifier
from glamm.graph.modifiers import split_modifier
from glamm.graph.targets import variable_name

__all__ = ["add_defaults", "is_endogenous", "predicting", "read_covariance", "scaled_latents"]


def read_covariance(drafts: Drafts, statement: Covariance) -> None:
    """Add what ``left ~~ right`` says of each pair."""
    for one in addends(statement.left):
        modifier, left = split_modifier(one, drafts.problems)
        if modifier is not None:
            drafts.problem("a modifier stands on the right of ~~", one.span, "write eta ~~ 1*xi")
        for two in addends(statement.right):
            modifier, right = split_modifier(two, drafts.problems)
            a = _side(drafts, left)
            # a variance names its variable twice, and a mistake in it is one
            b = a if variable_name(left) == variable_name(right) else _side(drafts, right)
            if a is not None and b is not None:
                _pair(drafts, a, b, modifier, statement)


def _side(drafts: Drafts, expr: Expr) -> LatentDraft | ResponseDraft | None:
    name = variable_name(expr)
    found = drafts.variable(name)
    if isinstance(found, (LatentDraft, ResponseDraft)):
        return found
    if found is not None:
        message = f"the class variable {name!r} has no variance"
    else:
        message = f"{name} is neither a latent variable nor a response of the model"
    known = [*drafts.latents, *drafts.responses]
    hint = nearest(name, known) or (f"the model has {', '.join(known)}" if known else "")
    drafts.problem(message, expr.span, hint)
    return None


def _pair(
    drafts: Drafts,
    left: LatentDraft | ResponseDraft,
    right: LatentDraft | ResponseDraft,
    modifier: Modifier | None,
    statement: Covariance,
) -> None:
    written = f"{left.name} ~~ {right.name}"
    if type(left) is not type(right):
        drafts.problem(
            f"{written}: a latent variable and a response do not covary",
            statement.span,
            "put the latent variable into the predictor of the response",
        )
    elif left.level != right.level:
        drafts.problem(
            f"{written}: {left.name!r} lives at the level {left.level!r}, {right.name!r} at {right.level!r}",
            statement.span,
            "disturbances of different levels are independent",
        )
    elif any({left.name, right.name} == {spec.left, spec.right} for spec in drafts.covariances):
        drafts.problem(f"{written} stands in the model twice", statement.span)
    else:
        _check_distribution(drafts, left, right, statement)
        if left is right and modifier is not None and modifier.fixed is not None:
            _check_variance(drafts, left, modifier.fixed, statement)
        drafts.covariances.append(
            CovarianceSpec(left.name, right.name, modifier, written=True, span=statement.span)
        )


def _check_distribution(
    drafts: Drafts,
    left: LatentDraft | ResponseDraft,
    right: LatentDraft | ResponseDraft,
    statement: Covariance,
) -> None:
    for draft in (left, right):
        parameter = "sd" if isinstance(draft, LatentDraft) else "sigma"
        if isinstance(draft, LatentDraft) and draft.distribution == FamilySpec("none"):
            drafts.problem(
                f"{draft.name!r} lives on mass points and has no disturbance that could vary",
                statement.span,
            )
        elif isinstance(draft, ResponseDraft) and drafts.families[draft.name].name != "gaussian":
            drafts.problem(
                f"{draft.name!r} is {drafts.families[draft.name]} and has no residual variance",
                statement.span,
                "Gaussian responses have one; others covary through a latent variable that predicts both",
            )
        elif left is right and parameter in draft.predictors:
            drafts.problem(
                f"the variance of {draft.name!r} follows from {parameter}({draft.name}) ~ ...",
                statement.span,
                "write one of the two",
            )
        if left is right:
            break


def _check_variance(
    drafts: Drafts, draft: LatentDraft | ResponseDraft, value: float, statement: Covariance
) -> None:
    response = isinstance(draft, ResponseDraft)
    if value < 0.0 or (response and value == 0.0):
        drafts.problem(
            f"{draft.name} ~~ {value:g}*{draft.name}: a {'residual ' if response else ''}variance is "
            f"{'positive' if response else 'not negative'}",
            statement.span,
            "a response without measurement error is a small residual variance away" if not value else "",
        )


def _variance(drafts: Drafts, name: str) -> CovarianceSpec | None:
    return next((spec for spec in drafts.covariances if spec.left == spec.right == name), None)


def _is_held(drafts: Drafts, name: str, *, at_zero: bool) -> bool:
    spec = _variance(drafts, name)
    value = None if spec is None or spec.modifier is None else spec.modifier.fixed
    return value is not None and (value == 0) == at_zero


def scaled_latents(drafts: Drafts, measured: set[str], std_lv: bool) -> set[str]:
    """Return the latent variables whose scale is set by their variance, held at 1 or as written.

    A variance held at 0 sets no scale, nor do mass points. With `std_lv` a regression of the standard
    deviation does: without an intercept of its own that is held at 0, so that the first category, or the
    zero, has a standard deviation of 1.

    Parameters
    ----------
    drafts : Drafts
        With the written covariances; variances held at 1 are added to them.
    measured : set of str
        Latent variables with indicators.
    std_lv : bool
        Whether the variance of those whose variance the text does not give is 1.
    """
    for draft in drafts.latents.values():
        free = _has_disturbance(draft) and "sd" not in draft.predictors
        if std_lv and free and draft.name in measured and _variance(drafts, draft.name) is None:
            drafts.covariances.append(
                CovarianceSpec(draft.name, draft.name, Modifier(fixed=1.0), written=False, span=draft.span)
            )
    by_sd = {draft.name for draft in drafts.latents.values() if std_lv and "sd" in draft.predictors}
    for name in by_sd:
        model = drafts.latents[name].predictors["sd"]
        if not model.intercept:
            held = replace(model, intercept=True, modifier=Modifier(fixed=0.0))
            drafts.latents[name].predictors["sd"] = held
    return {name for name in drafts.latents if _is_held(drafts, name, at_zero=False)} | by_sd


def _has_disturbance(draft: LatentDraft) -> bool:
    return draft.distribution != FamilySpec("none")


def _measured_by_latents(drafts: Drafts) -> set[str]:
    return {name for latent in drafts.latents.values() for name in latent.indicators}


def is_endogenous(drafts: Drafts, draft: LatentDraft) -> bool:
    """Return whether a latent variable is regressed on more than its intercept, or is an indicator."""
    model = draft.predictors["mu"]
    names = drafts.expander.names
    points = {name for name, found in drafts.classes.items() if found.points}
    located = [
        term
        for term in model.terms
        if not term.latents and all(names[factor] <= points for factor in term.factors)
    ]
    return len(model.terms) > len(located) or bool(model.offsets)


def predicting(drafts: Drafts) -> set[str]:
    """Return the latent variables that stand on the right of a ``~``."""
    return {
        name
        for draft in drafts.variables()
        for model in draft.predictors.values()
        for term in model.terms
        if not term.measures
        for name in term.latents
    }


def add_defaults(drafts: Drafts) -> None:
    """Add the variances and covariances that the text leaves to lavaan's rules."""
    for draft in drafts.latents.values():
        if _has_disturbance(draft) and _variance(drafts, draft.name) is None:
            drafts.covariances.append(CovarianceSpec(draft.name, draft.name, written=False, span=draft.span))
        if not _has_disturbance(draft) and "sd" in draft.predictors:
            drafts.problem(
                f"{draft.name!r} lives on mass points and has no disturbance that could vary",
                draft.predictors["sd"].span,
            )
    _check_possible(drafts)
    for spec in drafts.covariances:
        zero = [name for name in (spec.left, spec.right) if _is_held(drafts, name, at_zero=True)]
        held = spec.modifier is not None and spec.modifier.fixed == 0
        if spec.left != spec.right and zero and not held:
            drafts.problem(
                f"{spec.left} ~~ {spec.right}: the variance of {zero[0]!r} is held at 0, and it covaries "
                "with nothing",
                spec.span,
            )
    written = {frozenset((spec.left, spec.right)) for spec in drafts.covariances}
    for left, right in _covarying(drafts):
        if frozenset((left.name, right.name)) not in written:
            drafts.covariances.append(CovarianceSpec(left.name, right.name, written=False, span=right.span))


def _check_possible(drafts: Drafts) -> None:
    """Report held covariances that no variables with the held variances have."""
    held = {
        frozenset((spec.left, spec.right)): spec.modifier.fixed
        for spec in drafts.covariances
        if spec.modifier is not None and spec.modifier.fixed is not None
    }
    scaled = [
        name for name in (*drafts.latents, *drafts.responses) if held.get(frozenset((name,)), 0.0) > 0.0
    ]
    for spec in drafts.covariances:
        both = frozenset((spec.left, spec.right))
        if len(both) < 2 or both not in held or not both <= set(scaled):
            continue
        limit = sqrt(held[frozenset((spec.left,))] * held[frozenset((spec.right,))])
        if abs(held[both]) >= limit:
            drafts.problem(
                f"{spec.left} ~~ {held[both]:g}*{spec.right}: with the variances that are held a covariance "
                f"lies between {-limit:g} and {limit:g}",
                spec.span,
            )
            return
        # the first variable that does not fit to those before it
        clique = [n for n in scaled if all(frozenset((n, other)) in held for other in both)]
        for size in range(3, len(clique) + 1):
            part = clique[:size]
            pairs = [(a, b) for k, a in enumerate(part) for b in part[: k + 1]]
            if not all(frozenset(pair) in held for pair in pairs):
                break
            if not is_positive_definite([[held[frozenset((a, b))] for b in part] for a in part]):
                drafts.problem(
                    f"the variances and covariances that are held of {', '.join(part)} are those of no "
                    "variables: their matrix is not positive definite",
                    spec.span,
                )
                return


def is_positive_definite(matrix: list[list[float]]) -> bool:
    """Return whether a symmetric matrix is positive definite, by its Cholesky factor."""
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        lower.append([])
        for j, value in enumerate(row[:i]):
            done = sum(a * b for a, b in zip(lower[i], lower[j], strict=False))
            lower[i].append((value - done) / lower[j][j])
        pivot = row[i] - sum(a * a for a in lower[i])
        if pivot <= 1e-12 * row[i]:
            return False
        lower[i].append(sqrt(pivot))
    return True


def _covarying(drafts: Drafts) -> Iterator[tuple[Draft, Draft]]:
    """Yield the pairs of latent variables that covary by default."""
    predicts = predicting(drafts)
    measured = _measured_by_latents(drafts)
    normal = FamilySpec("normal")
    exogenous: list[LatentDraft] = []
    final: list[LatentDraft] = []
    for draft in drafts.latents.values():
        if draft.distribution != normal or _is_held(drafts, draft.name, at_zero=True):
            continue
        if not is_endogenous(drafts, draft):
            exogenous.append(draft)
        elif draft.name not in predicts and draft.name not in measured:
            final.append(draft)
    for group in (exogenous, final):
        for position, left in enumerate(group):
            for right in group[position + 1 :]:
                if left.level == right.level:
                    yield left, right
