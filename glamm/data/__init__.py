"""Data: tables of any data frame library as designs, responses and clusters; data sets and files.

Names are loaded when they are first used, so that importing the package does not load pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glamm.data.design import Design, DesignSpec, Offset, OffsetSpec
    from glamm.data.files import load, names, read
    from glamm.data.groups import Crossing, Nesting, nest
    from glamm.data.table import Selection, Table

__all__ = [
    "Crossing",
    "Design",
    "DesignSpec",
    "Nesting",
    "Offset",
    "OffsetSpec",
    "Selection",
    "Table",
    "load",
    "names",
    "nest",
    "read",
]

_HOME = {
    "Crossing": "groups",
    "Design": "design",
    "DesignSpec": "design",
    "Nesting": "groups",
    "Offset": "design",
    "OffsetSpec": "design",
    "Selection": "table",
    "Table": "table",
    "load": "files",
    "names": "files",
    "nest": "groups",
    "read": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
