"""Design columns by formulaic: factor coding, splines, transforms that remember their state."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec, SimpleFormula
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.parser.types import Factor, Term
from formulaic.transforms import TRANSFORMS
from numpy.typing import NDArray

__all__ = [
    "TRANSFORMS",
    "Coded",
    "NonFiniteError",
    "UnseenError",
    "apply",
    "empty_terms",
    "encode",
    "structure",
]

Array = NDArray[np.float64]


class Coded:
    """How columns were made, to make them again for other rows; pickles."""

    def __init__(self, spec: ModelSpec, names: tuple[str, ...], first: int) -> None:
        self.spec = spec
        self.names = names
        self.first = first


class NonFiniteError(Exception):
    """A factor is not finite at a row."""

    def __init__(self, factor: str, row: int) -> None:
        super().__init__(factor, row)
        self.factor = factor
        self.row = row


class UnseenError(Exception):
    """A factor has a level that the coding does not know."""

    def __init__(self, factor: str, row: int, level: Any, known: Sequence[Any]) -> None:
        super().__init__(factor, row, level, known)
        self.factor = factor
        self.row = row
        self.level = level
        self.known = known


def encode(
    terms: Sequence[Sequence[tuple[str, bool]]],
    frame: pd.DataFrame,
    functions: Mapping[str, Any],
    *,
    intercept: bool,
    drop_intercept: bool,
) -> tuple[Array, Coded]:
    """Return design columns and how they were made.

    Parameters
    ----------
    terms : sequence of terms, each a sequence of (expression, whether it is a column's name)
    frame : DataFrame
        Every column used, without missing values.
    functions : mapping
        Functions beside formulaic's own.
    intercept : bool
        Whether contrasts are coded as beside an intercept.
    drop_intercept : bool
        Whether the intercept's own column is left out again.

    Returns
    -------
    matrix : ndarray, shape (n, p), C order
    coded : Coded
    """
    made = [Term([Factor("1", eval_method="literal")])] if intercept else []
    for term in terms:
        made.append(Term([Factor(text, eval_method="lookup" if plain else "python") for text, plain in term]))
    formula = SimpleFormula(made, _ordering="none")
    spec = ModelSpec(formula=formula, na_action="ignore", output="pandas")
    matrix, spec = _materialize(spec, frame, functions)
    first = 1 if intercept and drop_intercept else 0
    names = tuple("1" if name == "Intercept" else str(name) for name in spec.column_names)[first:]
    return np.ascontiguousarray(matrix[:, first:]), Coded(spec, names, first)


def structure(
    terms: Sequence[Sequence[str]], levels: Mapping[str, Sequence[Any]], *, intercept: bool
) -> list[list[list[tuple[str, bool]]]]:
    """Return how the factors of plain terms are coded so that the columns are independent.

    Parameters
    ----------
    terms : sequence of terms, each a sequence of column names
    levels : mapping
        Levels of the columns that have any.
    intercept : bool

    Returns
    -------
    list
        For each term (the intercept first, if there is one) its products; a product is a list of
        (column, whether its first level is left out).
    """
    # The coding depends on the levels, not on the rows: a frame with one row a level is enough.
    length = max((len(known) for known in levels.values()), default=1)
    names = dict.fromkeys(name for term in terms for name in term)
    frame = pd.DataFrame(
        {
            name: pd.Categorical.from_codes(np.arange(length) % len(levels[name]), pd.Index(levels[name]))
            if name in levels
            else np.ones(length)
            for name in names
        }
    )
    plain = [[(name, True) for name in term] for term in terms]
    _, coded = encode(plain, frame, {}, intercept=intercept, drop_intercept=False)
    assert coded.spec.structure is not None
    return [
        [[(f.factor.expr, bool(f.reduced)) for f in scoped.factors] for scoped in entry.scoped_terms]
        for entry in coded.spec.structure
    ]


def empty_terms(coded: Coded) -> list[str]:
    """Return the terms that make no column: contrasts of a factor that has one level."""
    assert coded.spec.structure is not None
    return [str(entry.term) for entry in coded.spec.structure if not entry.columns]


def apply(coded: Coded, frame: pd.DataFrame, functions: Mapping[str, Any]) -> Array:
    """Return the design columns of other rows, shape (n, p), C order."""
    matrix, _ = _materialize(coded.spec, frame, functions)
    return np.ascontiguousarray(matrix[:, coded.first :])


def _materialize(
    spec: ModelSpec, frame: pd.DataFrame, functions: Mapping[str, Any]
) -> tuple[Array, ModelSpec]:
    materializer = PandasMaterializer(frame, context=functions)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # A level outside the coding is a warning there and would become a row of zeros.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DataMismatchWarning)
            made = materializer.get_model_matrix(spec)
    except DataMismatchWarning:
        raise _unseen(spec, materializer) from None
    except FormulaicError as error:
        _raise_non_finite(materializer)
        said = re.fullmatch(r"Unable to evaluate factor `(.*?)`\. \[\w+: (.*)\]", str(error), re.DOTALL)
        raise ValueError(f"{said[1]!r}: {said[2]}" if said else str(error)) from error
    except ValueError:
        _raise_non_finite(materializer)
        raise
    matrix = made.to_numpy(dtype=np.float64)
    if not np.isfinite(matrix).all():
        _raise_non_finite(materializer)
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise NonFiniteError(str(made.columns[column]), int(row))
    return matrix, made.model_spec


def _raise_non_finite(materializer: PandasMaterializer) -> None:
    """Raise for the first factor that is not finite somewhere, if one is."""
    for text, evaluated in materializer.factor_cache.items():
        values = evaluated.values.__wrapped__
        columns = values.values() if isinstance(values, dict) else (values,)
        for column in columns:
            numbers = np.asarray(column)
            if numbers.ndim and numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
                finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
                raise NonFiniteError(text, int(np.argmin(finite)))


def _unseen(spec: ModelSpec, materializer: PandasMaterializer) -> Exception:
    for text, evaluated in materializer.factor_cache.items():
        _, state = spec.encoder_state.get(text, (None, {}))
        known = state.get("categories")
        if known is None:
            continue
        values = pd.Series(np.asarray(evaluated.values.__wrapped__))
        outside = ~values.isin(known).to_numpy()
        if outside.any():
            row = int(np.argmax(outside))
            return UnseenError(text, row, values.iloc[row], list(known))
    return ValueError("a factor has a level that was not there when its coding was made")
