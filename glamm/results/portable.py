"""How linear predictors are made of data, as JSON: no code is stored, none is executed when it is read.

A design whose columns are products of numbers is its own description. One with factors or transforms is
described by its terms, the levels of its factors and the state of its transforms (``bs``, ``poly``,
``scale``); reading it encodes a small made-up table with the same levels, then puts the state back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm import registry
from glamm.compile import (
    LatentLayout,
    LevelLayout,
    LoadingLayout,
    PredictorLayout,
    ResponseLayout,
    TermLayout,
)
from glamm.compile.classes import ClassStates, membership_response
from glamm.compile.coefficients import Columns
from glamm.compile.plan import MassPoints
from glamm.data.design import ColumnSpec, DesignSpec, OffsetSpec
from glamm.data.expressions import FUNCTIONS
from glamm.errors import GlammError
from glamm.graph import (
    AuxiliaryModel,
    ClassVariable,
    FamilySpec,
    GroupFactor,
    MissingCovariate,
    ResponseForm,
    family_spec,
)
from glamm.results.rows import ModelLayout

Index = NDArray[np.intp]

__all__ = [
    "design_from_json",
    "design_to_json",
    "index_from_json",
    "index_to_json",
    "layout_from_json",
    "layout_to_json",
    "level_from_json",
    "level_to_json",
    "response_from_json",
    "response_to_json",
    "without_rows",
]

# rows of the made-up table: enough for splines and polynomials of any sensible size
PROBE = 64


def _state_to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {"pairs": [[key, _state_to_json(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_state_to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise GlammError(f"the state of a transform holds a {type(value).__name__}, which files cannot keep")


def _state_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "array" in value:
            return np.asarray(value["array"])
        return {key: _state_from_json(item) for key, item in value["pairs"]}
    if isinstance(value, list):
        return [_state_from_json(item) for item in value]
    return value


def design_to_json(spec: DesignSpec) -> dict[str, Any]:
    """Return a description of how a design is made.

    Raises
    ------
    GlammError
        The design cannot be described; the message says why.
    """
    described: dict[str, Any] = {
        "names": list(spec.names),
        "columns": [dataclasses.asdict(column) for column in spec.columns],
        "products": [[list(part) for part in product] for product in spec.products],
    }
    for column in described["columns"]:
        column["levels"] = [
            level.item() if isinstance(level, np.generic) else level for level in column["levels"]
        ]
    if spec.coded is None:
        return described
    model = spec.coded.spec
    terms = [[(f.expr, f.eval_method.value) for f in term.factors] for term in model.formula]
    categories = {
        text: [item.item() if isinstance(item, np.generic) else item for item in state["categories"]]
        for text, (_, state) in model.encoder_state.items()
        if "categories" in state
    }
    described["coded"] = {
        "terms": [[list(factor) for factor in term] for term in terms],
        "categories": categories,
        "state": _state_to_json(dict(model.transform_state)),
        "first": spec.coded.first,
    }
    probe = _probe(spec.columns, categories)
    restored = design_from_json(described)
    if restored.names != spec.names or _apply(restored, probe) != _apply(spec, probe):
        raise GlammError(f"the columns {', '.join(spec.names)} cannot be described without the data")
    return described


def design_from_json(described: dict[str, Any]) -> DesignSpec:
    """Return what `design_to_json` described."""
    columns = tuple(
        ColumnSpec(**{**column, "levels": tuple(column["levels"])}) for column in described["columns"]
    )
    names = tuple(described["names"])
    coded = described.get("coded")
    if coded is None:
        products = tuple(tuple((name, code) for name, code in p) for p in described["products"])
        return DesignSpec(names, columns, products, None)
    from glamm.data.coding import encode  # loads formulaic: only where a design needs it

    terms = [[(text, method == "lookup") for text, method in term] for term in coded["terms"]]
    intercept = bool(coded["terms"]) and coded["terms"][0] == [["1", "literal"]]
    _, made = encode(
        terms[1:] if intercept else terms,
        _probe(columns, coded["categories"]),
        FUNCTIONS,
        intercept=intercept,
        drop_intercept=coded["first"] == 1,
    )
    made.spec = made.spec.update(transform_state=_state_from_json(coded["state"]))
    return DesignSpec(made.names, columns, (), made)


def _probe(columns: tuple[ColumnSpec, ...], categories: dict[str, list[Any]]) -> pd.DataFrame:
    """Return a table with the columns of a design in which every level of every factor occurs."""
    rows = max([PROBE, *(len(c.levels) for c in columns), *(len(v) for v in categories.values())])
    data: dict[str, Any] = {}
    for place, column in enumerate(columns):
        inside = [values for text, values in categories.items() if column.exact and column.name in text]
        if column.kind == "label":
            codes = np.arange(rows) % len(column.levels)
            data[column.name] = pd.Categorical.from_codes(
                codes, pd.Index(list(column.levels)), ordered=column.ordered
            )
        elif inside:
            data[column.name] = np.resize(np.asarray(inside[0]), rows)
        elif column.kind == "flag":
            data[column.name] = np.arange(rows) % 2 == 0
        else:
            # no two columns alike, and all inside (0, 1), where most functions are defined
            data[column.name] = (np.arange(1, rows + 1) / (rows + 1.0)) ** (1.0 + 0.1 * place)
    return pd.DataFrame(data)


def _apply(spec: DesignSpec, probe: pd.DataFrame) -> Any:
    """Return the design of the made-up table, or what is wrong with it (outside the knots of a spline)."""
    from glamm.data.coding import NonFiniteError, apply  # loads formulaic, which made the design

    assert spec.coded is not None
    try:
        return apply(spec.coded, probe, FUNCTIONS).tolist()
    except (ValueError, NonFiniteError) as error:
        return str(error)


# ---------------------------------------------------------------- layouts


def _columns_to_json(numbered: Columns) -> dict[str, Any]:
    return {"coefficient": numbered.coefficient.tolist(), "held": numbered.held.tolist()}


def _columns_from_json(described: dict[str, Any]) -> Columns:
    coefficient = np.asarray(described["coefficient"], dtype=np.intp)
    return Columns(coefficient, np.asarray(described["held"], dtype=float))


def _predictor_to_json(layout: PredictorLayout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "label": layout.label,
        "transform": layout.transform,
        "columns": list(layout.columns),
        "design": None if layout.spec is None else design_to_json(layout.spec),
        "offset": None if layout.offset is None else design_to_json(layout.offset.design),
        "fixed": layout.fixed,
        "loadings": [
            {"level": part.level, "latent": part.latent.tolist(), "design": design_to_json(part.spec)}
            for part in layout.loadings
        ],
        "numbered": _columns_to_json(layout.numbered),
        "terms": [
            {
                "latents": list(term.latents),
                "columns": list(term.columns),
                "design": design_to_json(term.spec),
                "numbered": _columns_to_json(term.numbered),
            }
            for term in layout.terms
        ],
    }


def _predictor_from_json(described: dict[str, Any]) -> PredictorLayout:
    offset = described["offset"]
    return PredictorLayout(
        described["name"],
        described["label"],
        described["transform"],
        tuple(described["columns"]),
        None if described["design"] is None else design_from_json(described["design"]),
        None if offset is None else OffsetSpec(design_from_json(offset)),
        described["fixed"],
        tuple(
            LoadingLayout(
                part["level"], np.asarray(part["latent"], dtype=np.intp), design_from_json(part["design"])
            )
            for part in described["loadings"]
        ),
        _columns_from_json(described["numbered"]),
        tuple(
            TermLayout(
                tuple(term["latents"]),
                tuple(term["columns"]),
                design_from_json(term["design"]),
                _columns_from_json(term["numbered"]),
            )
            for term in described["terms"]
        ),
    )


def response_to_json(layout: ResponseLayout, family: str) -> dict[str, Any]:
    """Return a description of how a response is made of data.

    Parameters
    ----------
    layout : ResponseLayout
    family : str
        As the model language writes it.
    """
    return {
        "name": layout.name,
        "call": layout.form.call,
        "factors": list(layout.form.factors),
        "family": family,
        "categories": list(layout.categories),
        "predictors": [_predictor_to_json(predictor) for predictor in layout.predictors],
    }


def response_from_json(described: dict[str, Any]) -> ResponseLayout:
    """Return what `response_to_json` described."""
    return _response_from_json(described, family_spec(described["family"]))


def _response_from_json(described: dict[str, Any], family: FamilySpec) -> ResponseLayout:
    return ResponseLayout(
        described["name"],
        ResponseForm(described["call"], tuple(described["factors"])),
        registry.family(family),
        tuple(described["categories"]),
        np.zeros(0, dtype=np.intp),
        tuple(_predictor_from_json(item) for item in described["predictors"]),
    )


def _membership_to_json(layout: ResponseLayout, states: ClassStates) -> dict[str, Any]:
    variable = states.variable
    return {
        "model": response_to_json(layout, ""),
        "level": variable.level,
        "known": variable.known,
        "labels": list(states.labels),
    }


def _membership_from_json(described: dict[str, Any]) -> tuple[ResponseLayout, ClassStates]:
    labels = tuple(described["labels"])
    name = described["model"]["name"]
    variable = ClassVariable(name, described["level"], labels, described["known"], AuxiliaryModel("mu"))
    states = ClassStates(variable, np.zeros(0, dtype=np.intp), labels)
    return _response_from_json(described["model"], membership_response(states).family), states


def _points_to_json(points: MassPoints | None) -> dict[str, Any] | None:
    if points is None:
        return None
    return {"location": points.location.tolist(), "log_odds": points.log_odds.tolist()}


def _points_from_json(described: dict[str, Any] | None) -> MassPoints | None:
    if described is None:
        return None
    location, log_odds = (np.asarray(described[key], dtype=np.intp) for key in ("location", "log_odds"))
    return MassPoints(location, log_odds)


def layout_to_json(layout: ModelLayout, families: Sequence[str]) -> dict[str, Any]:
    """Return a description of how a model is made of data, but for its levels.

    Parameters
    ----------
    layout : ModelLayout
    families : sequence of str
        Of the responses, as the model language writes them.
    """
    return {
        "responses": [
            response_to_json(response, family)
            for response, family in zip(layout.responses, families, strict=True)
        ],
        "latents": [
            {
                "name": latent.name,
                "level": latent.level,
                "predictor": _predictor_to_json(latent.predictor),
                "scale": None if latent.scale is None else _predictor_to_json(latent.scale),
                "coordinate": latent.coordinate,
                "points": _points_to_json(latent.points),
            }
            for latent in layout.latents
        ],
        "memberships": [
            _membership_to_json(membership, states)
            for membership, states in zip(layout.memberships, layout.classes, strict=True)
        ],
        "missing": [[missing.name, missing.response] for missing in layout.missing],
    }


def layout_from_json(described: dict[str, Any], levels: tuple[LevelLayout, ...]) -> ModelLayout:
    """Return what `layout_to_json` described."""
    memberships = [_membership_from_json(item) for item in described["memberships"]]
    return ModelLayout(
        tuple(response_from_json(item) for item in described["responses"]),
        tuple(
            LatentLayout(
                latent["name"],
                latent["level"],
                _predictor_from_json(latent["predictor"]),
                None if latent["scale"] is None else _predictor_from_json(latent["scale"]),
                latent["coordinate"],
                _points_from_json(latent.get("points")),
            )
            for latent in described["latents"]
        ),
        tuple(membership for membership, _ in memberships),
        tuple(states for _, states in memberships),
        levels,
        tuple(MissingCovariate(name, response) for name, response in described["missing"]),
    )


def without_rows(layout: ModelLayout) -> ModelLayout:
    """Return the layout without what has an entry for each row of the data."""
    none = np.zeros(0, dtype=np.intp)
    return ModelLayout(
        tuple(dataclasses.replace(response, rows=none, alternatives=None) for response in layout.responses),
        layout.latents,
        tuple(dataclasses.replace(membership, rows=none) for membership in layout.memberships),
        tuple(dataclasses.replace(states, codes=none) for states in layout.classes),
        layout.levels,
        layout.missing,
    )


def level_to_json(level: LevelLayout) -> dict[str, Any]:
    """Return a description of a level: its grouping columns, labels, latent variables and classes."""
    labels = [label.item() if isinstance(label, np.generic) else label for label in level.labels]
    return {
        "name": level.name,
        "group": None if level.group is None else list(level.group.columns),
        "labels": labels,
        "latents": list(level.latents),
        "effects": list(level.effects),
        "states": [[name, codes.tolist()] for name, codes in level.states],
    }


def level_from_json(described: dict[str, Any]) -> LevelLayout:
    """Return what `level_to_json` described."""
    return LevelLayout(
        described["name"],
        None if described["group"] is None else GroupFactor(tuple(described["group"])),
        tuple(described["labels"]),
        tuple(described["latents"]),
        tuple(described["effects"]),
        tuple((name, np.asarray(codes, dtype=np.intp)) for name, codes in described["states"]),
    )


def index_to_json(index: pd.Index) -> dict[str, Any]:
    """Return a description of the names of clusters; those that JSON has no word for become text."""
    plain = (str, int, float)
    labels = [label if isinstance(label, plain) else str(label) for label in index.tolist()]
    return {"name": index.name, "labels": labels}


def index_from_json(described: dict[str, Any]) -> pd.Index:
    """Return what `index_to_json` described."""
    return pd.Index(described["labels"], name=described["name"])
