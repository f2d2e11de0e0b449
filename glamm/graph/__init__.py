"""The model graph: what a model text means, without data."""

from glamm.graph.build import build
from glamm.graph.families import family_spec
from glamm.graph.model import (
    ROW,
    AuxiliaryModel,
    ClassVariable,
    ConstraintSpec,
    CovarianceSpec,
    DefinitionSpec,
    FamilySpec,
    GroupFactor,
    LatentVariable,
    Level,
    MissingCovariate,
    ModelGraph,
    Modifier,
    RandomBlock,
    Response,
    ResponseForm,
    Term,
)

__all__ = [
    "ROW",
    "AuxiliaryModel",
    "ClassVariable",
    "ConstraintSpec",
    "CovarianceSpec",
    "DefinitionSpec",
    "FamilySpec",
    "GroupFactor",
    "LatentVariable",
    "Level",
    "MissingCovariate",
    "ModelGraph",
    "Modifier",
    "RandomBlock",
    "Response",
    "ResponseForm",
    "Term",
    "build",
    "family_spec",
]
