"""Data from files, and the data sets that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import pandas as pd

from glamm.errors import DataError, Problem, nearest

__all__ = ["load", "names", "read"]

# Order of levels that a CSV file cannot say: the reference level of the publication first.
LEVELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "seeds": {"seed": ("O75", "O73"), "extract": ("bean", "cucumber")},
}
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".dta")


def names() -> tuple[str, ...]:
    """Return the names of the data sets that come with the package."""
    folder = resources.files("glamm.data") / "sets"
    return tuple(sorted(f.name.removesuffix(".csv") for f in folder.iterdir() if f.name.endswith(".csv")))


def load(name: str) -> pd.DataFrame:
    """Return a data set that comes with the package.

    Parameters
    ----------
    name : str
        One of `names()`; ``sets/SOURCES.md`` beside this module says what they are and where they come from.
    """
    known = names()
    if name not in known:
        hint = nearest(name, known) or f"the data sets are {', '.join(known)}"
        raise DataError(Problem(f"there is no data set {name!r}", hint=hint))
    with (resources.files("glamm.data") / "sets" / f"{name}.csv").open("rb") as file:
        frame = pd.read_csv(file)
    for column, levels in LEVELS.get(name, {}).items():
        frame[column] = pd.Categorical(frame[column], categories=levels)
    return frame


def read(path: str | Path) -> pd.DataFrame:
    """Return the table in a file, by its suffix: ``.csv`` (also ``.csv.gz``), ``.parquet``, ``.dta``.

    Raises
    ------
    DataError
        There is no such file, its suffix is unknown, or it cannot be read.
    """
    path = Path(path)
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        hint = f"files that can be read end in {', '.join(SUFFIXES)}"
        raise DataError(Problem(f"cannot tell what kind of file {path.name!r} is", hint=hint))
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"the file {str(path)!r} {what}")
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path, engine="pyarrow")
        return pd.read_stata(path) if suffix == ".dta" else pd.read_csv(path)
    except ImportError:
        raise DataError(
            Problem("Parquet files need the package pyarrow", hint="pip install glamm[parquet]")
        ) from None
    except Exception as error:  # the parsers raise whatever a damaged file makes them stumble over
        raise DataError(f"cannot read the file {str(path)!r}: {error}") from error
