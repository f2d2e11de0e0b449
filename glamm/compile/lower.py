"""From the model graph and data to the plan: the last stage that knows names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm import registry
from glamm.compile.assemble import Assembly
from glamm.compile.checks_classes import more_classes_than_clusters, more_parameters_than_patterns
from glamm.compile.checks_identified import unidentified
from glamm.compile.checks_indicators import constant_within_clusters, equal_indicators
from glamm.compile.classes import extend, membership_response
from glamm.compile.clusters import hosted, level_position, once_a_cluster, representatives, with_weight
from glamm.compile.layout import LevelLayout, Lowered
from glamm.compile.levels import ClusterTree, sort_clusters
from glamm.compile.plan import LevelPlan, Plan
from glamm.compile.predictors import Observed
from glamm.compile.residuals import check_residual_covariances
from glamm.compile.stacked import encode_sets, sets_as_clusters, sort_sets
from glamm.data import Selection, Table
from glamm.data.expressions import read
from glamm.data.fields import used_levels
from glamm.errors import DataError, GlammError, Problem, Span, nearest
from glamm.graph import ROW, GroupFactor, LatentVariable, Level, ModelGraph, Response, Term
from glamm.protocols import Encoded, Family, ResponseError
from glamm.protocols.families import MOST_CHANNELS
from glamm.protocols.sets import SetFamily

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["check_identified", "lower"]


def lower(graph: ModelGraph, table: Table, weights: Any = None) -> Lowered:
    """Return the plan of a model for data, its parameters and everything that results need to know.

    Parameters
    ----------
    graph : ModelGraph
    table : Table
    weights : str, array of one number a data row, mapping, or None
        Frequency weights of the rows (a column, an expression or numbers); a mapping gives them by level
        name, ``"row"`` for the rows.

    Raises
    ------
    DataError
        The data do not fit the model.
    PluginError
        A family or link is unknown or does not fit.
    """
    with _located(graph.source):
        return _lower(graph, table, _by_level(weights, graph))


def check_identified(lowered: Lowered) -> None:
    """Refuse a model some of whose parameters no data could tell.

    Raises
    ------
    DataError
        With the parameters that can move together and change nothing.
    """
    graph, plan = lowered.graph, lowered.plan
    problems = more_parameters_than_patterns(graph, plan) or unidentified(graph, plan, lowered.parameters)
    if problems:
        raise DataError(problems, graph.source)


def _lower(graph: ModelGraph, data: Table, weights: Mapping[str, Any]) -> Lowered:
    extension = extend(data, graph)
    table = extension.table
    problems = table.problems(_everything(graph))
    if problems:
        raise DataError(problems)
    modelled = graph.responses + tuple(membership_response(states) for states in extension.classes)
    families = _families(modelled)
    gathered = _Gathered(DataError)
    selections: list[Selection] = []
    for response, family in zip(modelled, families, strict=True):
        with gathered.part(response.span):
            form = response.form
            if family.stacked:
                # an alternative without a rank is an alternative all the same
                form = replace(form, factors=form.factors[1:])
            selections.append(table.select(form, _items(graph, response)))
    gathered.check()
    rows = _union([selection.rows for selection in selections], table.n_rows)
    levels = graph.levels
    imputed = {missing.response for missing in graph.missing}
    of_rows = any(response.name in imputed and response.level == ROW for response in graph.responses)
    if of_rows and all(level.name != ROW for level in levels):
        levels = (*levels, Level(ROW, GroupFactor(())))
    tree = sort_clusters(table, levels, rows, weights, extension.classes)
    _enough_clusters(graph, tree)
    stacked = [r for r, family in zip(modelled, families, strict=True) if family.stacked]
    if stacked and not tree.levels:
        tree = sets_as_clusters(stacked, table, tree)
    by_row = any(found.level.name == ROW for found in tree.levels)
    weight = table.weights(weights[ROW], tree.rows) if ROW in weights and not by_row else None
    cluster_rows = representatives(graph, table, tree)
    observed = []
    for response, family, selection in zip(modelled, families, selections, strict=True):
        with gathered.part(response.span):
            observed.append(_observe(response, family, selection, table, tree, weight))
    gathered.check()
    problems = more_classes_than_clusters(graph, tree) + equal_indicators(graph, observed)
    problems += constant_within_clusters(graph, observed, tree)
    if problems:
        raise DataError(problems)
    assembly = Assembly(graph, table, tree, observed, cluster_rows)
    responses, layouts = assembly.responses()
    latents, latent_layouts = assembly.latents(layouts)
    ratios = assembly.ratios()
    check_residual_covariances(graph, responses)
    covariances = assembly.residual_covariances()
    parameters = assembly.parameters()
    level_plans, level_layouts = _levels(tree, assembly)
    count = len(graph.responses)
    plan = Plan(
        level_plans,
        responses[:count],
        parameters.n_parameters,
        assembly.start(),
        latents,
        responses[count:],
        ratios,
        constraints=assembly.resolver(parameters.rows, parameters.factors).constraints(graph),
        given=assembly.given,
        residual_covariances=covariances,
    )
    return Lowered(
        graph,
        plan,
        parameters,
        layouts[:count],
        level_layouts,
        (*_messages(graph, table, selections[:count]), *_unused_levels(graph, table, rows)),
        tree.rows,
        tree.cluster,
        latent_layouts,
        layouts[count:],
        extension.classes,
        extension.origin,
    )


# ---------------------------------------------------------------- problems


@contextmanager
def _located(source: str) -> Iterator[None]:
    """Give errors the model text that their spans refer to."""
    try:
        yield
    except GlammError as error:
        if error.source or not source:
            raise
        raise type(error)(error.problems, source) from error.__cause__


@dataclass(slots=True)
class _Gathered:
    """Errors of one kind from several parts, raised together."""

    kind: type[GlammError]
    problems: list[Problem]

    def __init__(self, kind: type[GlammError]) -> None:
        self.kind = kind
        self.problems = []

    @contextmanager
    def part(self, span: Span | None) -> Iterator[None]:
        """Collect what is raised inside; problems without a place get `span`."""
        try:
            yield
        except self.kind as error:
            self.problems += [Problem(p.message, p.span or span, p.hint) for p in error.problems]

    def check(self) -> None:
        """Raise what was collected."""
        if self.problems:
            raise self.kind(self.problems)


# ---------------------------------------------------------------- parts


def _by_level(weights: Any, graph: ModelGraph) -> Mapping[str, Any]:
    if weights is None:
        return {}
    if not isinstance(weights, Mapping):
        return {ROW: weights}
    known = [ROW, *(level.name for level in graph.levels)]
    unknown = [key for key in weights if key not in known]
    if unknown:
        raise DataError(
            Problem(
                f"weights are given for {key!r}, but the levels are {', '.join(known)}",
                None,
                nearest(str(key), known),
            )
            for key in unknown
        )
    return {key: value for key, value in weights.items() if value is not None}


def _everything(graph: ModelGraph) -> Iterator[Any]:
    """Yield whatever names columns, each with its place in the text."""
    for response in graph.responses:
        for factor in response.form.factors:
            yield Term((factor,), response.span)
    owners: tuple[Response | LatentVariable, ...] = (*graph.responses, *graph.latents)
    for model in (*(m for owner in owners for m in owner.predictors), *(c.membership for c in graph.classes)):
        yield from model.terms
        for offset in model.offsets:
            yield Term((offset,), model.span)
    for block in graph.blocks:
        yield from block.terms
    for level in graph.levels:
        yield level.group


def _items(graph: ModelGraph, response: Response) -> list[Term | str]:
    """Return the terms and offsets whose columns a row must have to enter the likelihood of `response`.

    Those of the latent variables it depends on are among them.
    """
    latents: dict[str, Response | LatentVariable] = {latent.name: latent for latent in graph.latents}
    modelled = {other.name: other for other in graph.responses}
    latents |= {m.name: modelled[m.response] for m in graph.missing}
    items: list[Term | str] = []
    owners: list[Response | LatentVariable] = [response]
    for owner in owners:
        for model in owner.predictors:
            items += model.terms
            items += model.offsets
            for term in model.latent_terms:
                owners += [latents[n] for n in term.latents if n in latents and latents[n] not in owners]
        for block in graph.blocks:
            if any(name == owner.name for name, _ in block.members):
                items += block.terms
    return items


def _families(responses: Sequence[Response]) -> list[Family]:
    found: list[Family] = []
    problems: list[Problem] = []
    kind: type[GlammError] = DataError
    for response in responses:
        try:
            family = registry.family(response.family)
        except GlammError as error:
            kind = type(error)
            span = response.family.span
            fresh = [Problem(p.message, p.span or span, p.hint) for p in error.problems]
            problems += [p for p in fresh if p.message not in {q.message for q in problems}]
            continue
        found.append(family)
        given = len(response.form.factors)
        if not family.takes(response.form.call, given):
            forms = [
                f"{call}() of {n} columns" if call else "a column" for call, n in family.responses.items()
            ]
            written = f"{response.form.call}() of {given} columns" if response.form.call else "a column"
            problems.append(
                Problem(
                    f"the family {family.name!r} takes {' or '.join(forms)}, not {written}", response.span
                )
            )
    if problems:
        raise kind(problems)
    return found


def _union(parts: list[Index], n_rows: int) -> Index:
    first = parts[0]
    if all(len(part) == len(first) and np.array_equal(part, first) for part in parts[1:]):
        return first
    used = np.zeros(n_rows, dtype=bool)
    for part in parts:
        used[part] = True
    return np.flatnonzero(used)


def _enough_clusters(graph: ModelGraph, tree: ClusterTree) -> None:
    problems = [
        Problem(
            f"the group {found.level.name!r} has one cluster, but a random effect needs at least two",
            found.level.group.span,
        )
        for found in tree.levels
        if len(found.labels) < 2
    ]
    if problems:
        raise DataError(problems)


def _observe(
    response: Response,
    family: Family,
    selection: Selection,
    table: Table,
    tree: ClusterTree,
    weight: Array | None,
) -> Observed:
    """Return the values of a response in the order of the plan."""
    rows, cluster = tree.rows, tree.cluster
    if len(selection.rows) != len(rows):
        used = np.zeros(table.n_rows, dtype=bool)
        used[selection.rows] = True
        kept = used[rows]
        rows, cluster = rows[kept], np.ascontiguousarray(cluster[kept])
        weight = None if weight is None else weight[kept]
    if response.level != ROW:
        once = once_a_cluster(response, table, tree, rows, cluster)
        cluster, weight = hosted(tree, level_position(tree, response.level), cluster[once])
        rows = rows[once]
    sets = None
    if isinstance(family, SetFamily):
        sets = sort_sets(response, table, tree, rows, cluster)
        place = np.zeros(table.n_rows, dtype=np.intp)
        place[rows] = np.arange(len(rows))
        units = place[sets.rows[sets.first]]
        rows, cluster, weight = sets.rows, cluster[units], None if weight is None else weight[units]
    if not (with_weight(tree, cluster) & (True if weight is None else weight > 0.0)).any():
        raise DataError(Problem(f"every value of {response.name!r} has weight 0", response.span))
    in_order = len(rows) == table.n_rows and bool(np.all(rows[:-1] < rows[1:]))
    chosen = None if in_order else rows
    try:
        if isinstance(family, SetFamily) and sets is not None:
            encoded = encode_sets(family, response, table, sets)
        else:
            encoded = family.encode(response.form.call, table.response(response.form, chosen))
    except ResponseError as error:
        row = "" if error.row is None else f" in {table.name_row(error.row, chosen)}"
        raise DataError(Problem(f"{error}{row}", response.span)) from None
    encoded = Encoded(np.ascontiguousarray(encoded.y, dtype=np.float64), encoded.categories)
    channels = family.channels(encoded)
    count = len(family.predictors(encoded)) if channels is None else channels.shape[1]
    if count > MOST_CHANNELS:
        raise DataError(
            Problem(
                f"{response.name!r} has {count} categories or alternatives with a linear predictor each; "
                f"at most {MOST_CHANNELS} are possible",
                response.span,
            )
        )
    return Observed(response, family, encoded, rows, chosen, cluster, weight, sets)


def _levels(tree: ClusterTree, assembly: Assembly) -> tuple[tuple[LevelPlan, ...], tuple[LevelLayout, ...]]:
    factors = assembly.factors()
    if not tree.levels:
        plan = LevelPlan(int(tree.cluster[-1]) + 1, None, None, np.zeros((0, 0), dtype=np.intp))
        return (plan,), (LevelLayout("", None, (), ()),)
    plans = tuple(
        replace(
            factor.plan,
            clusters=len(found.labels),
            parent=found.parent,
            weight=found.weight,
            group=found.group,
        )
        for found, factor in zip(tree.levels, factors, strict=True)
    )
    layouts = tuple(
        LevelLayout(
            found.level.name,
            found.level.group,
            found.labels,
            factor.latents,
            tuple(i for i, coordinate in enumerate(draft.coordinates) if not coordinate.named),
            found.states,
        )
        for found, factor, draft in zip(tree.levels, factors, assembly.drafts, strict=True)
    )
    return plans, layouts


def _messages(graph: ModelGraph, table: Table, selections: list[Selection]) -> tuple[str, ...]:
    found = []
    for response, selection in zip(graph.responses, selections, strict=True):
        left = table.n_rows - len(selection.rows)
        if left:
            listed = ", ".join(f"{name} in {count}" for name, count in selection.columns.items() if count)
            found.append(
                f"{response.name}: {left} of {table.n_rows} rows left out for missing values ({listed})"
            )
    return tuple(found)


def _unused_levels(graph: ModelGraph, table: Table, rows: Index) -> Iterator[str]:
    """Say which categories of the columns of a model occur in none of its rows."""
    factors = [factor for item in _everything(graph) if isinstance(item, Term) for factor in item.factors]
    for name in dict.fromkeys(name for factor in factors for name in read(factor, table).columns):
        field = table.field(name)
        if field.kind == "label":
            used = used_levels(field, rows)[1]
            unused = [str(level) for level in field.levels if level not in used]
            if unused:
                one = len(unused) == 1
                what = f"category {unused[0]} occurs" if one else f"categories {', '.join(unused)} occur"
                yield f"{name}: {what} in no row and {'is' if one else 'are'} left out"
