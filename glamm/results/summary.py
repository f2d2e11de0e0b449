"""The summary page of a fit, laid out so that readers of lme4 and statsmodels know their way."""

from __future__ import annotations

from glamm.compile.parameters import ParameterRow
from glamm.inference.rules import MOST_POINTS
from glamm.results.estimates import Estimates, effect_label, tested
from glamm.results.facts import Facts
from glamm.results.layout import Block, Pairs, Summary, TableBlock, TextBlock, fixed, number, p_value
from glamm.results.varcorr import VarCorr

__all__ = ["coefficient_label", "summarise"]

TITLES = {
    "nonrobust": "",
    "robust": "Standard errors: robust (sandwich)",
    "opg": "Standard errors: outer product",
}


def coefficient_label(row: ParameterRow) -> str:
    """Return how a coefficient is called inside the table of its response.

    The coefficient of ``x`` in the mean is ``x``, in another predictor ``sigma: x``, of a category
    ``b: x``; a threshold is just ``1|2``.
    """
    if row.kind == "auxiliary":
        return f"{row.predictor} {row.label}".strip()
    term = effect_label(":".join(row.terms) if row.terms else "1")
    bare = not row.terms or row.terms == ("1",)
    if row.label:
        return row.label if bare and row.predictor != "mu" else f"{row.label}: {term}"
    return term if row.predictor in ("mu", "") else f"{row.predictor}: {term}"


def _points(facts: Facts) -> str:
    if not any(level.effects for level in facts.levels):
        return "none needed (no random effects)"
    if facts.rule == "exact":
        return "closed form (no quadrature needed)"
    points = " x ".join(str(p) for p in facts.points) if len(set(facts.points)) > 1 else str(facts.points[0])
    words = "Laplace, 1 point" if points == "1" else f"adaptive Gauss-Hermite, {points} points"
    if max(facts.points) > MOST_POINTS:
        words = f"adaptive quasi-random, {points} nodes"
    if len(facts.points) > 1 and len(set(facts.points)) == 1:
        words += " a level"
    words += " (auto)" if facts.rule == "auto" else ""
    words += f"\n{facts.integration}" if facts.integration else ""
    if facts.integration_error is not None:
        loglik, standard = facts.integration_error
        words += f"\nestimated error {loglik:.1e} in log-likelihood, {standard:.1e} standard errors"
    return words


def _header(facts: Facts, cov_type: str) -> list[Block]:
    families = [f"{r.name} ~ {r.family}" if len(facts.responses) > 1 else r.family for r in facts.responses]
    items = [("Formula", facts.formula), ("Family", "\n".join(families))]
    groups = [f"{level.name} {level.clusters}" for level in facts.levels if level.effects]
    observations = f"{facts.nobs:g}"
    items.append(("Observations", observations + (f"; groups: {', '.join(groups)}" if groups else "")))
    items.append(("Log-likelihood", f"{facts.log_likelihood:.4f} ({facts.n_parameters} parameters)"))
    items.append(("AIC, BIC", f"{facts.aic:.2f}, {facts.bic:.2f}"))
    items.append(("Integration", _points(facts)))
    state = "yes" if facts.converged else "NO"
    items.append(
        ("Converged", f"{state} (relative gradient {facts.gradient:.1e}, condition {facts.condition:.1e})")
    )
    title = "Generalized linear mixed model" if groups else "Generalized linear model"
    blocks: list[Block] = [TextBlock((f"{title}, maximum likelihood",)), Pairs(tuple(items))]
    if TITLES[cov_type]:
        blocks.append(TextBlock((TITLES[cov_type],)))
    return blocks


def _coefficients(title: str, estimates: Estimates, chosen: list[int], alpha: float) -> TableBlock:
    errors, z, p = estimates.standard_errors(), estimates.statistics(), estimates.p_values()
    limits = estimates.intervals(alpha)
    low, high = f"[{alpha / 2:.4g}", f"{1 - alpha / 2:.4g}]"
    any_tested = any(tested(estimates.rows[i]) for i in chosen)
    header = ("", "Estimate", "Std.Err.", *(("z", "P>|z|") if any_tested else ()), low, high)
    body = []
    for i in chosen:
        test = (fixed(z[i]), p_value(p[i])) if any_tested else ()
        body.append(
            (
                coefficient_label(estimates.rows[i]),
                number(estimates.values[i]),
                number(errors[i]),
                *test,
                number(limits[i, 0]),
                number(limits[i, 1]),
            )
        )
    return TableBlock(title, header, tuple(body))


def _footnotes(facts: Facts, estimates: Estimates) -> list[str]:
    notes = list(facts.notes)
    by_reason: dict[str, list[str]] = {}
    for name, reason in zip(estimates.names, estimates.reasons, strict=True):
        if reason:
            by_reason.setdefault(reason, []).append(name)
    notes += [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    if not facts.converged:
        notes.append(f"the fit has {facts.status}")
    return notes


def summarise(
    facts: Facts, estimates: Estimates, varcorr: VarCorr, *, cov_type: str = "nonrobust", alpha: float = 0.05
) -> Summary:
    """Return the summary page.

    Parameters
    ----------
    facts : Facts
    estimates : Estimates
    varcorr : VarCorr
    cov_type : {"nonrobust", "robust", "opg"}
    alpha : float
        One minus the coverage of the intervals.
    """
    blocks = _header(facts, cov_type)
    if len(varcorr):
        blocks.append(varcorr.table())
    rows = estimates.rows
    for response in facts.responses:
        several = len(facts.responses) > 1
        suffix = f" of {response.name}" if several else ""
        main = [i for i, row in enumerate(rows) if row.kind == "fixed" and row.response == response.name]
        if main:
            blocks.append(_coefficients(f"Fixed effects{suffix}", estimates, main, alpha))
        # the residual sd of a mixed model stands below its random effects, where lme4 has it
        shown = response.residual if len(varcorr) else ""
        other = [
            i
            for i, row in enumerate(rows)
            if row.kind == "auxiliary" and row.response == response.name and row.predictor != shown
        ]
        if other:
            blocks.append(_coefficients(f"Auxiliary parameters{suffix}", estimates, other, alpha))
    notes = _footnotes(facts, estimates)
    if notes:
        blocks.append(TextBlock(tuple(f"note: {note}" for note in notes)))
    return Summary(tuple(blocks))
