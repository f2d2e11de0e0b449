"""The model graph: what a model text means, without data."""

from glamm.graph.build import build
from glamm.graph.families import family_spec
from glamm.graph.model import (
    AuxiliaryModel,
    FamilySpec,
    GroupFactor,
    Level,
    ModelGraph,
    RandomBlock,
    Response,
    ResponseForm,
    Term,
)

__all__ = [
    "AuxiliaryModel",
    "FamilySpec",
    "GroupFactor",
    "Level",
    "ModelGraph",
    "RandomBlock",
    "Response",
    "ResponseForm",
    "Term",
    "build",
    "family_spec",
]
