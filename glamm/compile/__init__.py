"""Graph and data become a plan of flat arrays and a table of parameters."""

from glamm.compile.layout import LevelLayout, LoadingLayout, Lowered, PredictorLayout, ResponseLayout
from glamm.compile.lower import lower
from glamm.compile.parameters import LatentFactor, ParameterRow, ParameterTable
from glamm.compile.plan import LevelPlan, LoadingPlan, Plan, PredictorPlan, ResponsePlan

__all__ = [
    "LatentFactor",
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
    "lower",
]
