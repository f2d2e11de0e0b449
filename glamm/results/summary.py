"""The summary page of a fit, laid out so that readers of lme4 and statsmodels know their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glamm.compile.parameters import ParameterRow
from glamm.graph import ROW
from glamm.inference.rules import MOST_POINTS
from glamm.results.estimates import Estimates, effect_label, tested
from glamm.results.facts import Facts
from glamm.results.fit_measures import FitMeasures
from glamm.results.layout import Block, Pairs, Summary, TableBlock, TextBlock, fixed, number, p_value
from glamm.results.sections import SECTIONS, section_of
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
    if row.kind not in ("fixed", "auxiliary", "sd", "cor"):
        return row.name
    if row.kind == "auxiliary":
        return f"{row.predictor} {row.label}".strip()
    term = effect_label(":".join(row.terms) if row.terms else "1")
    bare = not row.terms or row.terms == ("1",)
    if row.label:
        return row.label if bare and row.predictor != "mu" else f"{row.label}: {term}"
    return term if row.predictor in ("mu", "") else f"{row.predictor}: {term}"


def _points(facts: Facts) -> str:
    if not any(level.effects or level.latents for level in facts.levels):
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


def _title(facts: Facts) -> str:
    if facts.latents or facts.classes:
        return "Generalized linear latent and mixed model"
    return "Generalized linear mixed model" if facts.groups else "Generalized linear model"


def _latent(facts: Facts) -> list[tuple[str, str]]:
    """Return the lines that name the latent variables and classes."""
    items = []
    levels = [level for level in reversed(facts.levels) if level.latents]
    if levels:
        words = [f"{', '.join(level.latents)} ({level.name})" for level in levels]
        items.append(("Latent variables", "; ".join(words)))
    for fact in facts.classes:
        items.append((f"Classes {fact.name} ({fact.level})", f"{len(fact.labels)}: {', '.join(fact.labels)}"))
    return items


def _measures(measures: FitMeasures) -> list[tuple[str, str]]:
    """Return the lines of fit measures."""
    test = f"{measures.chisq:.3f} on {measures.df} degrees of freedom"
    if measures.df > 0:
        p = p_value(measures.pvalue)
        test += f", p {p}" if p.startswith("<") else f", p = {p}"
    low, high = measures.rmsea_ci_lower, measures.rmsea_ci_upper
    return [
        ("Chi-square", test),
        ("CFI, TLI", f"{measures.cfi:.3f}, {measures.tli:.3f}"),
        ("RMSEA, SRMR", f"{measures.rmsea:.3f} (90% {low:.3f} to {high:.3f}), {measures.srmr:.3f}"),
    ]


def _header(facts: Facts, measures: FitMeasures | None, cov_type: str) -> list[Block]:
    families = [f"{r.name} ~ {r.family}" if len(facts.responses) > 1 else r.family for r in facts.responses]
    items = [("Formula", facts.formula), ("Family", "\n".join(families)), *_latent(facts)]
    groups = [f"{level.name} {level.clusters}" for level in facts.groups]
    observations = f"{facts.nobs:g}"
    observations += "".join(f" in {level.clusters} rows" for level in facts.levels if level.name == ROW)
    items.append(("Observations", observations + (f"; groups: {', '.join(groups)}" if groups else "")))
    items.append(("Log-likelihood", f"{facts.log_likelihood:.4f} ({facts.n_parameters} parameters)"))
    items.append(("AIC, BIC", f"{facts.aic:.2f}, {facts.bic:.2f}"))
    items += _measures(measures) if measures is not None else []
    items.append(("Integration", _points(facts)))
    state = "yes" if facts.converged else "NO"
    items.append(
        ("Converged", f"{state} (relative gradient {facts.gradient:.1e}, condition {facts.condition:.1e})")
    )
    blocks: list[Block] = [TextBlock((f"{_title(facts)}, maximum likelihood",)), Pairs(tuple(items))]
    if TITLES[cov_type]:
        blocks.append(TextBlock((TITLES[cov_type],)))
    return blocks


def _sections(facts: Facts, estimates: Estimates, alpha: float) -> list[Block]:
    """Return the tables of a model with latent variables; held parameters stand before free ones."""
    section = section_of(facts)
    blocks: list[Block] = []
    for title in SECTIONS:
        chosen = [i for i, row in enumerate(estimates.rows) if section(row) == title]
        held = [(row, value) for row, value in facts.held if section(row) == title]
        if chosen or held:
            blocks.append(_coefficients(title, estimates, chosen, alpha, lambda row: row.name, held))
    return blocks


def _coefficients(
    title: str,
    estimates: Estimates,
    chosen: list[int],
    alpha: float,
    label: Callable[[ParameterRow], str],
    held: Sequence[tuple[ParameterRow, float]] = (),
) -> TableBlock:
    errors, z, p = estimates.standard_errors(), estimates.statistics(), estimates.p_values()
    limits = estimates.intervals(alpha)
    low, high = f"[{alpha / 2:.4g}", f"{1 - alpha / 2:.4g}]"
    any_tested = any(tested(estimates.rows[i]) for i in chosen)
    header = ("", "Estimate", "Std.Err.", *(("z", "P>|z|") if any_tested else ()), low, high)
    lines = [(row, (label(row), number(value), *[""] * (len(header) - 2))) for row, value in held]
    for i in chosen:
        test = (fixed(z[i]), p_value(p[i])) if any_tested else ()
        row = estimates.rows[i]
        cells = (number(estimates.values[i]), number(errors[i]), *test)
        lines.append((row, (label(row), *cells, number(limits[i, 0]), number(limits[i, 1]))))
    # the loadings of a latent variable stand together
    groups = list(dict.fromkeys(row.terms if row.kind == "loading" else () for row, _ in lines))
    lines.sort(key=lambda line: groups.index(line[0].terms if line[0].kind == "loading" else ()))
    return TableBlock(title, header, tuple(cells for _, cells in lines))


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
    facts: Facts,
    estimates: Estimates,
    varcorr: VarCorr,
    *,
    measures: FitMeasures | None = None,
    cov_type: str = "nonrobust",
    alpha: float = 0.05,
) -> Summary:
    """Return the summary page.

    Parameters
    ----------
    facts : Facts
    estimates : Estimates
    varcorr : VarCorr
    measures : FitMeasures, optional
    cov_type : {"nonrobust", "robust", "opg"}
    alpha : float
        One minus the coverage of the intervals.
    """
    blocks = _header(facts, measures, cov_type)
    if facts.latents:
        # residual standard deviations have a table of their own
        blocks += [VarCorr(varcorr.levels, {}).table()] if len(varcorr) else []
        blocks += _sections(facts, estimates, alpha)
    else:
        blocks += _regressions(facts, estimates, varcorr, alpha)
    notes = _footnotes(facts, estimates)
    if notes:
        blocks.append(TextBlock(tuple(f"note: {note}" for note in notes)))
    return Summary(tuple(blocks))


def _regressions(facts: Facts, estimates: Estimates, varcorr: VarCorr, alpha: float) -> list[Block]:
    """Return the tables of a model without named latent variables, response by response."""
    blocks: list[Block] = [varcorr.table()] if len(varcorr) else []
    rows = estimates.rows
    for response in facts.responses:
        several = len(facts.responses) > 1
        suffix = f" of {response.name}" if several else ""
        main = [i for i, row in enumerate(rows) if row.kind == "fixed" and row.response == response.name]
        if main:
            blocks.append(_coefficients(f"Fixed effects{suffix}", estimates, main, alpha, coefficient_label))
        # the residual sd of a mixed model stands below its random effects, where lme4 has it
        shown = response.residual if len(varcorr) else ""
        other = [
            i
            for i, row in enumerate(rows)
            if row.kind in ("auxiliary", "residual")
            and row.response == response.name
            and not (row.kind == "auxiliary" and row.predictor == shown)
        ]
        if other:
            title = f"Auxiliary parameters{suffix}"
            blocks.append(_coefficients(title, estimates, other, alpha, coefficient_label))
    named = {response.name for response in facts.responses} | {fact.name for fact in facts.classes}
    latent = [i for i, row in enumerate(rows) if row.kind == "auxiliary" and row.response not in named]
    if latent:
        title = "Distributions of random effects"
        blocks.append(_coefficients(title, estimates, latent, alpha, lambda row: row.name))
    for title, kind in (("Residual covariances", "residual covariance"), ("Derived parameters", "derived")):
        own = [i for i, row in enumerate(rows) if row.kind == kind]
        if own:
            blocks.append(_coefficients(title, estimates, own, alpha, coefficient_label))
    for fact in facts.classes:
        own = [i for i, row in enumerate(rows) if row.response == fact.name]
        if own:
            suffix = f" in {fact.name}" if len(facts.classes) > 1 else ""
            blocks.append(
                _coefficients(f"Class membership{suffix}", estimates, own, alpha, coefficient_label)
            )
    return blocks
