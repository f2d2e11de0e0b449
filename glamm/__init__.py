"""Generalized linear latent and mixed models.

>>> import glamm
>>> fit = glamm.fit("y ~ x + (1 + x | school)", data, family="binomial")  # doctest: +SKIP
>>> print(fit.summary())  # doctest: +SKIP

Names are imported when they are first used, so ``import glamm`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glamm.api import ConvergenceWarning, Model, fit, load
    from glamm.errors import DataError, FitError, FormulaError, GlammError, PluginError
    from glamm.protocols import (
        Family,
        Interval,
        LatentDistribution,
        Link,
        MeanFamily,
        Parameter,
        Predictor,
    )

_HOMES = {
    "ConvergenceWarning": "glamm.api",
    "Model": "glamm.api",
    "fit": "glamm.api",
    "load": "glamm.api",
    "Family": "glamm.protocols",
    "Interval": "glamm.protocols",
    "LatentDistribution": "glamm.protocols",
    "Link": "glamm.protocols",
    "MeanFamily": "glamm.protocols",
    "Parameter": "glamm.protocols",
    "Predictor": "glamm.protocols",
    "DataError": "glamm.errors",
    "FitError": "glamm.errors",
    "FormulaError": "glamm.errors",
    "GlammError": "glamm.errors",
    "PluginError": "glamm.errors",
}

__all__ = [
    "ConvergenceWarning",
    "DataError",
    "Family",
    "FitError",
    "FormulaError",
    "GlammError",
    "Interval",
    "LatentDistribution",
    "Link",
    "MeanFamily",
    "Model",
    "Parameter",
    "PluginError",
    "Predictor",
    "__version__",
    "fit",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("glamm")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in ("data", "testing", "registry", "errors"):
        value = import_module(f"glamm.{name}")
    else:
        raise AttributeError(f"module 'glamm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "data", "errors", "registry", "testing"})
