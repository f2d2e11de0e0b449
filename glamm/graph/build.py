"""From the syntax tree to the model graph; every mistake found is reported in one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from glamm.errors import FormulaError, Problem
from glamm.grammar import unparse
from glamm.grammar.ast import Covariance, Model, Regression
from glamm.graph.checks import check_levels, check_used, dependency_order
from glamm.graph.constraints import read_constraints
from glamm.graph.covariances import (
    add_defaults,
    is_endogenous,
    predicting,
    read_covariance,
    scaled_latents,
)
from glamm.graph.drafts import Draft, Drafts
from glamm.graph.measurement import indicators_of, read_measurements
from glamm.graph.missing import discrete_covariates, make_classes
from glamm.graph.model import (
    ROW,
    AuxiliaryModel,
    ClassVariable,
    ConstraintSpec,
    DefinitionSpec,
    FamilySpec,
    GroupFactor,
    LatentVariable,
    Level,
    ModelGraph,
    Response,
)
from glamm.graph.names import find_symbols, measurements_of
from glamm.graph.randoms import same_effect_twice
from glamm.graph.regressions import read_regression
from glamm.graph.response_families import find_families
from glamm.graph.targets import Targets
from glamm.graph.terms import Expander

__all__ = ["build"]


def build(
    tree: Model,
    source: str,
    families: FamilySpec | Mapping[str, FamilySpec] | None = None,
    *,
    std_lv: bool = False,
    columns: Collection[str] | None = None,
) -> ModelGraph:
    """Return the graph of a model.

    Parameters
    ----------
    tree : Model
        What `glamm.grammar.parse` returned for `source`.
    source : str
        The model text.
    families : FamilySpec, mapping of response name to FamilySpec, or None
        Families that the text does not give; one for all responses, or some by name.
    std_lv : bool
        Whether the scale of latent variables with indicators is set by a variance of 1 instead of a
        first loading of 1.
    columns : collection of str or None
        Names of the columns of the data. They decide whether a regressed name is a response or a latent
        variable without indicators; without them it is taken for a response unless there is no doubt.

    Raises
    ------
    FormulaError
        The text does not describe a model, with every reason.
    """
    if not isinstance(std_lv, bool):
        raise FormulaError(f"std_lv={std_lv!r}: expected True or False")
    try:
        return _build(tree, source, families, std_lv, columns)
    except RecursionError:
        raise FormulaError("the model is nested too deeply to be read", source) from None


def _build(
    tree: Model,
    source: str,
    families: FamilySpec | Mapping[str, FamilySpec] | None,
    std_lv: bool,
    columns: Collection[str] | None,
) -> ModelGraph:
    problems: list[Problem] = []
    symbols = find_symbols(tree, columns, problems)
    drafts = Drafts(source, problems, symbols, Expander(problems, symbols))
    regressions = [statement for statement in tree.statements if isinstance(statement, Regression)]
    measurements = measurements_of(tree)
    measured = [target for measurement in measurements for target in measurement.latents]
    targets = Targets(drafts, regressions, measured, indicators_of(measurements))
    drafts.families = find_families(drafts, tree, families)
    drafts.symbols = replace(symbols, categorical=discrete_covariates(drafts))
    drafts.expander.symbols = drafts.symbols
    for regression in regressions:
        read_regression(drafts, targets, regression)
    for latent in drafts.latents.values():
        latent.predictors.setdefault("mu", AuxiliaryModel("mu", intercept=False, span=latent.span))
    for statement in tree.statements:
        if isinstance(statement, Covariance):
            read_covariance(drafts, statement)
    scaled = scaled_latents(drafts, {unparse(target.variable) for target in measured}, std_lv)
    read_measurements(drafts, measurements, scaled)
    make_classes(drafts)
    add_defaults(drafts)
    same_effect_twice(drafts)
    check_used(drafts)
    check_levels(drafts)
    order = dependency_order(drafts)
    constraints, definitions = read_constraints(drafts, tree.statements)
    if not drafts.responses and not problems:
        problems.append(Problem("the model has no response", None, "write one: y ~ x"))
    if problems:
        problems.sort(key=lambda p: -1 if p.span is None else p.span.start)
        raise FormulaError(problems, source)
    return _graph(drafts, order, constraints, definitions)


def _predictors(draft: Draft) -> tuple[AuxiliaryModel, ...]:
    """Return the predictors of a variable, ``mu`` first, terms of columns before those of latents."""
    models = {"mu": AuxiliaryModel("mu", span=draft.span)} | draft.predictors
    mu = models.pop("mu")
    return tuple(
        replace(model, terms=(*model.fixed_terms, *model.latent_terms)) for model in (mu, *models.values())
    )


def _graph(
    drafts: Drafts,
    order: list[str],
    constraints: tuple[ConstraintSpec, ...],
    definitions: tuple[DefinitionSpec, ...],
) -> ModelGraph:
    predicts = predicting(drafts)
    endogenous = {name for name, draft in drafts.latents.items() if is_endogenous(drafts, draft)}
    place = {name: position for position, name in enumerate(order)}
    latents = tuple(
        LatentVariable(
            draft.name,
            draft.level,
            _predictors(draft),
            draft.distribution,
            tuple(draft.indicators),
            draft.name in endogenous,
            draft.name in predicts,
            draft.span,
        )
        for draft in sorted(drafts.latents.values(), key=lambda draft: place[draft.name])
    )
    classes = tuple(
        ClassVariable(
            draft.name,
            draft.level,
            draft.labels,
            draft.known,
            _predictors(draft)[0],
            draft.points,
            draft.automatic,
            draft.span,
        )
        for draft in sorted(drafts.classes.values(), key=lambda draft: place[draft.name])
    )
    levels = tuple(drafts.levels.values())
    if ROW in [latent.level for latent in latents] + [variable.level for variable in classes]:
        levels += (Level(ROW, GroupFactor(())),)
    responses = tuple(
        Response(
            draft.name,
            draft.form,
            drafts.families[draft.name],
            _predictors(draft),
            draft.span,
            draft.level,
            draft.indicator,
        )
        for draft in drafts.responses.values()
    )
    missing = sorted(drafts.missing.values(), key=lambda covariate: place[covariate.response])
    return ModelGraph(
        drafts.source,
        responses,
        levels,
        tuple(drafts.blocks),
        latents,
        tuple(drafts.covariances),
        classes,
        tuple(missing),
        constraints,
        definitions,
    )
