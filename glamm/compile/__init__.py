"""Graph and data become a plan of flat arrays and a table of parameters."""

from glamm.compile.layout import (
    LatentLayout,
    LevelLayout,
    LoadingLayout,
    Lowered,
    PredictorLayout,
    ResponseLayout,
    TermLayout,
)
from glamm.compile.lower import check_identified, lower
from glamm.compile.parameters import LatentFactor, ParameterRow, ParameterTable
from glamm.compile.plan import (
    LatentPlan,
    LevelPlan,
    LoadingPlan,
    Plan,
    PredictorPlan,
    ResponsePlan,
    TermPlan,
)

__all__ = [
    "LatentFactor",
    "LatentLayout",
    "LatentPlan",
    "LevelLayout",
    "LevelPlan",
    "LoadingLayout",
    "LoadingPlan",
    "Lowered",
    "ParameterRow",
    "ParameterTable",
    "Plan",
    "PredictorLayout",
    "PredictorPlan",
    "ResponseLayout",
    "ResponsePlan",
    "TermLayout",
    "TermPlan",
    "check_identified",
    "lower",
]
