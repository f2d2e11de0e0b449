"""Files of fits: one zip of JSON and ``.npy`` arrays, readable without the data and across versions.

Nothing in a file is executed when it is read. What a file holds: the facts and parameters of the fit,
the covariance matrices, cluster labels, posterior moments of the random effects, and how the design
columns are made of new data, as far as that can be written down without code.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.compile import LevelLayout, ParameterRow
from glamm.errors import GlammError
from glamm.results.covariance import COVARIANCES, check_covariance
from glamm.results.facts import ClassFact, Facts, LevelFact, ResponseFact
from glamm.results.fit_measures import FitMeasures
from glamm.results.forms import LevelPosterior
from glamm.results.laws import CoordinateLaw, law_from_json, law_to_json
from glamm.results.newdata import new_rows
from glamm.results.portable import (
    index_from_json,
    index_to_json,
    layout_from_json,
    layout_to_json,
    level_from_json,
    level_to_json,
    without_rows,
)
from glamm.results.posterior import Clusters, Scores
from glamm.results.rows import Branches, ModelLayout, ResponseRows
from glamm.results.standardized import standardized_frame

if TYPE_CHECKING:
    from glamm.results.result import Result

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["FORMAT", "Contents", "StoredSource", "read", "stored_source", "write"]

FORMAT = 3


@dataclass(frozen=True, slots=True, eq=False)
class StoredSource:
    """The source of a result that was read from a file: no data, everything else.

    Attributes
    ----------
    theta : ndarray, shape (P,)
    matrices : mapping of covariance type to (ndarray, tuple of str)
    moments : tuple of LevelPosterior
    cholesky : tuple of ndarray, shape (q, q)
        Cholesky factors of the latent covariance matrices.
    of_data : tuple of Clusters
    probabilities : tuple of ndarray, shape (clusters,)
        Of each cluster of the plan among its classes.
    scores : tuple of Scores
    levels : tuple of LevelLayout
    measures : FitMeasures or str
        The fit measures, or why there are none.
    standard : mapping of covariance type to DataFrame
        Standardised parameters.
    made : ModelLayout or None
        None where the file could not say how designs are made.
    obstacle : str
        Why there is none.
    laws : tuple of CoordinateLaw or str
        Distributions of the standard coordinates that are not normal, or why they are not known.
    """

    theta: Array
    matrices: Mapping[str, tuple[Array, tuple[str, ...]]]
    moments: tuple[LevelPosterior, ...]
    cholesky: tuple[Array, ...]
    of_data: tuple[Clusters, ...]
    probabilities: tuple[Array, ...]
    scores: tuple[Scores, ...]
    levels: tuple[LevelLayout, ...]
    measures: FitMeasures | str
    standard: Mapping[str, pd.DataFrame]
    made: ModelLayout | None
    obstacle: str
    laws: tuple[CoordinateLaw, ...] | str

    def covariance(self, cov_type: str) -> tuple[Array, tuple[str, ...]]:
        """Return a covariance matrix that was saved."""
        check_covariance(cov_type)
        if cov_type not in self.matrices:
            raise GlammError(f"the file holds no {cov_type!r} covariance matrix")
        return self.matrices[cov_type]

    def posterior(self) -> tuple[LevelPosterior, ...]:
        """Return the saved posterior moments."""
        return self.moments

    def clusters(self) -> tuple[Clusters, ...]:
        """Return the clusters of the data at each level."""
        return self.of_data

    def latent_scores(self) -> tuple[Scores, ...]:
        """Return the saved scores of the latent variables."""
        return self.scores

    def factors(self) -> tuple[Array, ...]:
        """Return the Cholesky factors of the latent covariance matrices."""
        return self.cholesky

    def shares(self) -> tuple[Array, ...]:
        """Return the posterior probability of each cluster among its classes."""
        return self.probabilities

    def fit_measures(self, parameters: int) -> FitMeasures | GlammError:
        """Return the saved fit measures, or why there are none."""
        del parameters
        return GlammError(self.measures) if isinstance(self.measures, str) else self.measures

    def standardized(self, cov_type: str) -> pd.DataFrame:
        """Return the saved standardised parameters."""
        self.covariance(cov_type)
        if cov_type not in self.standard:
            raise GlammError("standardised parameters are not defined in models with classes")
        return self.standard[cov_type].copy()

    @property
    def layout(self) -> ModelLayout:
        """How everything in the model is made of data."""
        if self.made is None:
            raise GlammError(f"the file does not say how its design is made of new data: {self.obstacle}")
        return self.made

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of new data."""
        if newdata is None:
            raise _no_data("predictions for its rows")
        return new_rows(self.layout, self.theta, self.cholesky, self.probabilities, newdata)

    def branches(self) -> tuple[Branches, ...]:
        """Refuse: a file holds no data."""
        raise _no_data("simulations")

    def coordinate_laws(self) -> tuple[CoordinateLaw, ...]:
        """Return the distributions of the standard coordinates that are not normal."""
        if isinstance(self.laws, str):
            raise GlammError(f"the file does not say how its latent variables are distributed: {self.laws}")
        return self.laws

    def residual_covariances(self) -> tuple[tuple[int, int, float], ...]:
        """Refuse: a file holds no data."""
        raise _no_data("simulations")

    def observed(self) -> tuple[Array, ...]:
        """Refuse: a file holds no data."""
        raise _no_data("residuals and simulations")


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a file holds: everything that makes a result."""

    facts: Facts
    rows: tuple[ParameterRow, ...]
    values: Array
    source: StoredSource
    cov_type: str


def _no_data(what: str) -> GlammError:
    return GlammError(f"a fit without its data cannot give {what}; predict(newdata) works")


# ---------------------------------------------------------------- JSON


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: numbers that JSON has no word for become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _unplain(value: Any) -> Any:
    """Invert `_plain`; sequences are lists."""
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {key: _unplain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unplain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    """Return `value` with tuples for its lists, as frozen dataclasses hold them."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _facts(raw: dict[str, Any]) -> Facts:
    responses = tuple(ResponseFact(**item) for item in raw.pop("responses"))
    held = tuple((ParameterRow(**row), value) for row, value in raw.pop("held"))
    classes = tuple(ClassFact(**item) for item in raw.pop("classes"))
    levels = tuple(LevelFact(**item) for item in raw.pop("levels"))
    return Facts(responses=responses, levels=levels, classes=classes, held=held, **raw)


# ---------------------------------------------------------------- files


def stored_source(result: Result) -> StoredSource:
    """Return the source of a result without its data."""
    source = result._source
    if isinstance(source, StoredSource):
        return source
    matrices = {}
    for cov_type in COVARIANCES:
        try:
            matrices[cov_type] = source.covariance(cov_type)
        except GlammError:
            # one cluster has no robust covariance: the file then has none either
            continue
    measures = source.fit_measures(result.facts.n_parameters)
    return StoredSource(
        source.theta,
        matrices,
        source.posterior(),
        source.factors(),
        source.clusters(),
        source.shares(),
        source.latent_scores(),
        source.levels,
        measures if isinstance(measures, FitMeasures) else str(measures),
        {} if result.facts.classes else {cov_type: source.standardized(cov_type) for cov_type in matrices},
        without_rows(source.layout),
        "",
        source.coordinate_laws(),
    )


def write(result: Result, path: Path) -> None:
    """Write a result to `path`.

    Parameters
    ----------
    result : Result
    path : Path
    """
    source = stored_source(result)
    arrays: dict[str, Any] = {"theta": source.theta, "values": result.params.to_numpy()}
    for cov_type, (matrix, _) in source.matrices.items():
        arrays[f"covariance_{cov_type}"] = matrix
    parts = zip(
        source.moments, source.cholesky, source.of_data, source.probabilities, source.scores, strict=True
    )
    for level, (moments, factor, of_data, share, scores) in enumerate(parts):
        arrays[f"mean_{level}"] = moments.mean
        arrays[f"spread_{level}"] = moments.covariance
        arrays[f"factor_{level}"] = factor
        arrays[f"copy_{level}"] = of_data.copy_of
        arrays[f"weight_{level}"] = of_data.weight
        arrays[f"share_{level}"] = share
        arrays[f"score_{level}"] = scores.mean
        arrays[f"variance_{level}"] = scores.variance
    obstacle, described = source.obstacle, None
    laws: Any = source.laws
    if not isinstance(laws, str):
        try:
            laws = [law_to_json(law) for law in laws]
        except GlammError as error:
            laws = str(error)
    if source.made is not None:
        try:
            described = layout_to_json(source.made, [fact.family for fact in result.facts.responses])
        except GlammError as error:
            obstacle = str(error)
    for cov_type, frame in source.standard.items():
        arrays[f"standardized_{cov_type}"] = frame.to_numpy()
    measures = source.measures
    document = {
        "format": FORMAT,
        "glamm": version("glamm"),
        "cov_type": result.cov_type,
        "facts": dataclasses.asdict(result.facts),
        "rows": [dataclasses.asdict(row) for row in result._rows],
        "reasons": {cov_type: reasons for cov_type, (_, reasons) in source.matrices.items()},
        "levels": [level_to_json(level) for level in source.levels],
        "clusters": [index_to_json(of_data.index) for of_data in source.of_data],
        "scores": [scores.names for scores in source.scores],
        "measures": dataclasses.asdict(measures) if isinstance(measures, FitMeasures) else measures,
        "standardized": {cov_type: list(frame.index) for cov_type, frame in source.standard.items()},
        "layout": described,
        "obstacle": obstacle,
        "laws": laws,
    }
    text = json.dumps(_plain(document), indent=1, allow_nan=False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fit.json", text)
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def read(path: Path) -> Contents:
    """Return what the file at `path` holds.

    Parameters
    ----------
    path : Path

    Raises
    ------
    GlammError
        There is no such file, or it is not one that `write` made.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("fit.json"))
            if document["format"] > FORMAT:
                raise GlammError(
                    f"{str(path)!r} was written by glamm {document['glamm']}, which is newer than this one"
                )
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
            return _contents(_unplain(document), arrays)
    except FileNotFoundError as error:
        raise GlammError(f"there is no file {str(path)!r}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise GlammError(f"{str(path)!r} is not a saved fit: {error}") from error


def _contents(document: dict[str, Any], arrays: dict[str, Any]) -> Contents:
    count = range(len(document["levels"]))
    levels = tuple(level_from_json(level) for level in document["levels"])
    described, measures = document["layout"], document["measures"]
    laws = document.get("laws", "it was written by a version of glamm that did not keep that")
    source = StoredSource(
        theta=arrays["theta"],
        matrices={
            cov_type: (arrays[f"covariance_{cov_type}"], tuple(reasons))
            for cov_type, reasons in document["reasons"].items()
        },
        moments=tuple(LevelPosterior(arrays[f"mean_{k}"], arrays[f"spread_{k}"]) for k in count),
        cholesky=tuple(arrays[f"factor_{k}"] for k in count),
        of_data=tuple(
            Clusters(index_from_json(document["clusters"][k]), arrays[f"copy_{k}"], arrays[f"weight_{k}"])
            for k in count
        ),
        probabilities=tuple(arrays[f"share_{k}"] for k in count),
        scores=tuple(
            Scores(tuple(document["scores"][k]), arrays[f"score_{k}"], arrays[f"variance_{k}"]) for k in count
        ),
        levels=levels,
        measures=measures if isinstance(measures, str) else FitMeasures(**measures),
        standard={
            cov_type: standardized_frame(names, arrays[f"standardized_{cov_type}"])
            for cov_type, names in document["standardized"].items()
        },
        made=None if described is None else layout_from_json(described, levels),
        obstacle=document["obstacle"],
        laws=laws if isinstance(laws, str) else tuple(law_from_json(law) for law in laws),
    )
    rows = tuple(ParameterRow(**_frozen(row)) for row in document["rows"])
    return Contents(_facts(_frozen(document["facts"])), rows, arrays["values"], source, document["cov_type"])
