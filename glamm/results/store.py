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

from glamm.compile import LevelLayout, ParameterRow, ResponseLayout
from glamm.errors import GlammError
from glamm.results.covariance import COVARIANCES, check_covariance
from glamm.results.facts import Facts, LevelFact, ResponseFact
from glamm.results.newdata import new_rows
from glamm.results.portable import (
    level_from_json,
    level_to_json,
    response_from_json,
    response_to_json,
)
from glamm.results.posterior import LevelPosterior
from glamm.results.predict import ResponseRows

if TYPE_CHECKING:
    from glamm.results.result import Result

Array = NDArray[np.float64]
Index = NDArray[np.intp]

__all__ = ["FORMAT", "Contents", "StoredSource", "read", "stored_source", "write"]

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class StoredSource:
    """The source of a result that was read from a file: no data, everything else.

    Attributes
    ----------
    theta : ndarray, shape (P,)
    matrices : mapping of covariance type to (ndarray, tuple of str)
    moments : tuple of LevelPosterior
    spreads : tuple of ndarray, shape (q, q)
        Covariance matrices of the random effects.
    levels : tuple of LevelLayout
    layouts : tuple of ResponseLayout
        Empty where the file could not say how designs are made.
    obstacle : str
        Why there are no layouts.
    """

    theta: Array
    matrices: Mapping[str, tuple[Array, tuple[str, ...]]]
    moments: tuple[LevelPosterior, ...]
    spreads: tuple[Array, ...]
    levels: tuple[LevelLayout, ...]
    layouts: tuple[ResponseLayout, ...]
    obstacle: str

    def covariance(self, cov_type: str) -> tuple[Array, tuple[str, ...]]:
        """Return a covariance matrix that was saved."""
        check_covariance(cov_type)
        if cov_type not in self.matrices:
            raise GlammError(f"the file holds no {cov_type!r} covariance matrix")
        return self.matrices[cov_type]

    def posterior(self) -> tuple[LevelPosterior, ...]:
        """Return the saved posterior moments."""
        return self.moments

    def labels(self) -> tuple[pd.Index, ...]:
        """Return the names of the clusters."""
        return tuple(pd.Index(list(level.labels), name=level.name or None) for level in self.levels)

    def psi(self) -> tuple[Array, ...]:
        """Return the covariance matrices of the random effects."""
        return self.spreads

    @property
    def responses(self) -> tuple[ResponseLayout, ...]:
        """How each response is made of data."""
        if self.obstacle:
            raise GlammError(f"the file does not say how its design is made of new data: {self.obstacle}")
        return self.layouts

    def rows(self, newdata: Any) -> tuple[tuple[ResponseRows, ...], pd.Index]:
        """Return the rows of new data."""
        if newdata is None:
            raise _no_data("predictions for its rows")
        return new_rows(self.responses, self.levels, newdata)

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
    levels = tuple(LevelFact(**item) for item in raw.pop("levels"))
    return Facts(responses=responses, levels=levels, **raw)


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
    layouts = tuple(
        dataclasses.replace(layout, rows=np.zeros(0, dtype=np.intp)) for layout in source.responses
    )
    return StoredSource(
        source.theta,
        matrices,
        source.posterior(),
        source.psi(),
        source.levels,
        layouts,
        "",
    )


def write(result: Result, path: Path) -> None:
    """Write a result to `path`.

    Parameters
    ----------
    result : Result
    path : Path
    """
    source = stored_source(result)
    arrays: dict[str, Array] = {"theta": source.theta, "values": result.params.to_numpy()}
    for cov_type, (matrix, _) in source.matrices.items():
        arrays[f"covariance_{cov_type}"] = matrix
    for level, (moments, psi) in enumerate(zip(source.moments, source.spreads, strict=True)):
        arrays[f"mean_{level}"] = moments.mean
        arrays[f"spread_{level}"] = moments.covariance
        arrays[f"psi_{level}"] = psi
    obstacle, described = source.obstacle, []
    if not obstacle:
        try:
            described = [
                response_to_json(layout, fact.family)
                for layout, fact in zip(source.layouts, result.facts.responses, strict=True)
            ]
        except GlammError as error:
            obstacle, described = str(error), []
    document = {
        "format": FORMAT,
        "glamm": version("glamm"),
        "cov_type": result.cov_type,
        "facts": dataclasses.asdict(result.facts),
        "rows": [dataclasses.asdict(row) for row in result._rows],
        "reasons": {cov_type: reasons for cov_type, (_, reasons) in source.matrices.items()},
        "levels": [level_to_json(level) for level in source.levels],
        "responses": described,
        "obstacle": obstacle,
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


def _contents(document: dict[str, Any], arrays: dict[str, Array]) -> Contents:
    count = range(len(document["levels"]))
    made = [response_from_json(described) for described in document["responses"]]
    source = StoredSource(
        theta=arrays["theta"],
        matrices={
            cov_type: (arrays[f"covariance_{cov_type}"], tuple(reasons))
            for cov_type, reasons in document["reasons"].items()
        },
        moments=tuple(LevelPosterior(arrays[f"mean_{k}"], arrays[f"spread_{k}"]) for k in count),
        spreads=tuple(arrays[f"psi_{k}"] for k in count),
        levels=tuple(level_from_json(level) for level in document["levels"]),
        layouts=tuple(made),
        obstacle=document["obstacle"],
    )
    rows = tuple(ParameterRow(**_frozen(row)) for row in document["rows"])
    return Contents(_facts(_frozen(document["facts"])), rows, arrays["values"], source, document["cov_type"])
