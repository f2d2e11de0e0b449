"""What a user calls: `Model`, `fit`, `load`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamm.compile import Lowered, check_identified, lower
from glamm.data import Table
from glamm.errors import FitError, Problem, nearest
from glamm.grammar import parse
from glamm.graph import FamilySpec, ModelGraph, build, family_spec
from glamm.inference import AdaptiveQuadrature, FitOptions, Missing, Newton, Optimum, maximise
from glamm.inference.blas import one_thread
from glamm.inference.mixtures_points import Gateaux
from glamm.inference.options import Multistart, is_count
from glamm.inference.progress import Callback
from glamm.results.classes import class_orders
from glamm.results.classes_notes import unreplicated
from glamm.results.covariance import check_covariance
from glamm.results.fitted import fitted_result
from glamm.results.newdata import index_of
from glamm.results.result import Result

__all__ = ["ConvergenceWarning", "Model", "fit", "load"]

FEWEST_POINTS, MOST_POINTS = 2, 40
"""Mass points that are tried where their number is to be found."""

ENOUGH_POINTS = 1e-4
"""Rise of the log-likelihood by further mass points that does not count."""

METHODS = ("quadrature", "laplace")


class ConvergenceWarning(UserWarning):
    """A fit did not end at a maximum, or may have ended at one that is not the largest."""


def _families(family: str | Mapping[str, str] | None) -> FamilySpec | dict[str, FamilySpec] | None:
    if family is None:
        return None
    if isinstance(family, Mapping):
        return {name: family_spec(text) for name, text in family.items()}
    return family_spec(family)


def with_points(graph: ModelGraph, count: int) -> ModelGraph:
    """Return the model with `count` mass points wherever their number is to be found."""
    labels = tuple(str(k + 1) for k in range(count))
    classes = tuple(replace(v, labels=labels) if v.automatic else v for v in graph.classes)
    return replace(graph, classes=classes)


def _numbers(start: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(start, dtype=float)
    except (TypeError, ValueError):
        raise FitError(f"start holds {start!r}: expected numbers, or parameters with numbers") from None


class Model:
    """A model met with data, ready to be fitted.

    Making one is cheap: the text is read, the designs are built, nothing is optimised. ``print`` shows
    what the text was understood to mean.

    Parameters
    ----------
    text : str
        The model: ``"y ~ x + (1 + x | school/class)"``.
    data : data frame
        Of pandas, polars or pyarrow, or a mapping of columns.
    family : str or mapping of response to str, optional
        Family and link, ``"binomial"``, ``"ordinal(probit)"``; the default is gaussian.
    weights : str, array or mapping of level to those, optional
        Frequency weights of the rows, a column's name or numbers; ``{"school": "w"}`` weighs clusters,
        the key ``"row"`` stands for the rows.
    std_lv : bool
        Fix the scale of latent variables that are measured by holding their variances at 1, with all
        loadings free, instead of their first loadings.

    Examples
    --------
    >>> import glamm
    >>> model = glamm.Model("cbind(r, n - r) ~ seed + (1 | plate)", glamm.data.load("seeds"), "binomial")
    >>> round(model.fit().llf, 3)
    -63.472
    """

    def __init__(
        self,
        text: str,
        data: Any,
        family: str | Mapping[str, str] | None = None,
        weights: Any = None,
        *,
        std_lv: bool = False,
    ) -> None:
        table = Table.from_any(data)
        self._graph = build(parse(text), text, _families(family), std_lv=std_lv, columns=table.columns)
        self._table, self._weights = table, weights
        self.lowered: Lowered = lower(with_points(self._graph, FEWEST_POINTS), table, weights)
        with one_thread():
            check_identified(self.lowered)
        self._index = index_of(data, table.n_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that a fit reports."""
        return self.lowered.parameters.names

    def __repr__(self) -> str:
        return f"<glamm.Model {self.lowered.graph.source.strip()!r}>"

    def __str__(self) -> str:
        lowered = self.lowered
        lines = ["Model", *(f"  {line.strip()}" for line in lowered.graph.source.strip().splitlines())]
        lines.append("Responses")
        for response, layout in zip(lowered.graph.responses, lowered.responses, strict=True):
            lines.append(f"  {response.name}: {response.family}, {len(layout.rows)} rows")
            if layout.categories:
                lines.append(f"    categories {', '.join(layout.categories)}")
        named = [
            (level, plan)
            for level, plan in zip(lowered.levels, lowered.plan.levels, strict=True)
            if level.name
        ]
        if named:
            lines.append("Levels")
            for level, plan in named:
                lines.append(f"  {level.name}: {plan.clusters} clusters, effects {', '.join(level.latents)}")
        lines.append(f"Parameters ({lowered.plan.n_parameters})")
        lines += [f"  {name}" for name in self.names]
        lines += [f"note: {message}" for message in lowered.messages]
        return "\n".join(lines)

    def fit(
        self,
        points: str | int | Sequence[int] = "auto",
        *,
        method: str = "quadrature",
        start: Mapping[str, float] | Sequence[float] | None = None,
        progress: bool | Callback | None = None,
        threads: int | None = None,
        tol: float | None = None,
        max_iterations: int | None = None,
        cov_type: str = "nonrobust",
        starts: int | None = None,
        seed: int = 0,
    ) -> Result:
        """Return the maximum-likelihood fit.

        Parameters
        ----------
        points : "auto", int, or sequence of int
            Integration points of a dimension, for all levels or one number a level, lowest first.
            ``"auto"`` raises them until log-likelihood and estimates stop moving.
        method : {"quadrature", "laplace"}
            ``"laplace"`` is one point.
        start : mapping of parameter name to value, or sequence, optional
            Starting values as the result would report them (standard deviations, correlations); a
            mapping may leave parameters out. Default: found from the data.
        progress : bool or callable, optional
            True shows progress, False is silent, a callable receives each iteration. Default: shown on
            a terminal when a fit takes long.
        threads : int, optional
        tol : float, optional
            Newton decrement at which the fit ends.
        max_iterations : int, optional
        cov_type : {"nonrobust", "robust", "opg"}
            Standard errors from the observed information, the sandwich over clusters of the highest
            level, or the outer product of their scores.
        starts : int, optional
            Random starts of a model with classes, whose likelihood has local maxima. The default suits
            what one start costs; given starting values (`start`) take their place.
        seed : int
            Of the random starts.

        Notes
        -----
        Ctrl-C ends the fit and returns its best point so far, unconverged.
        """
        check_covariance(cov_type)
        if method not in METHODS:
            raise FitError(
                Problem(
                    f"method={method!r} is not known: expected {' or '.join(METHODS)}",
                    hint=nearest(method, METHODS),
                )
            )
        if method == "laplace":
            if points not in ("auto", 1):
                raise FitError(f"method='laplace' is the one-point rule, but points={points!r}")
            points = 1
        if threads is not None and not is_count(threads):
            raise FitError(f"threads={threads!r}: expected a whole number from 1 up")
        given = {"tol": tol, "max_iterations": max_iterations}
        options = FitOptions(
            AdaptiveQuadrature(points),
            Newton(**{key: value for key, value in given.items() if value is not None}),  # type: ignore[arg-type]
            progress,
            threads,
            self._start(start),
            Multistart(starts, seed, class_orders(self.lowered.graph)),
        )
        lowered, optimum = self._fitted(options)
        result = fitted_result(lowered, optimum, self._index, threads=threads, cov_type=cov_type)
        if note := unreplicated(optimum):
            warnings.warn(note, ConvergenceWarning, stacklevel=2)
        if not optimum.converged:
            message = f"the fit has {optimum.status.value}"
            why = Missing.DIVERGING.value
            growing = [name for name, reason in result.missing_errors.items() if reason.endswith(why)]
            if growing:
                message += f": {', '.join(growing)}"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return result

    def _fitted(self, options: FitOptions) -> tuple[Lowered, Optimum]:
        """Return the model and its maximum, with as many mass points as raise the likelihood."""
        lowered = self.lowered
        optimum = maximise(lowered.plan, options)
        if not any(variable.automatic for variable in self._graph.classes):
            return lowered, optimum
        if options.start is not None:
            raise FitError("starting values are for a given number of mass points, not for one to be found")
        for count in range(FEWEST_POINTS + 1, MOST_POINTS + 1):
            plan = lowered.plan
            if Gateaux.exists(plan) and Gateaux(plan, optimum.theta).largest().value <= ENOUGH_POINTS:
                break
            larger = lower(with_points(self._graph, count), self._table, self._weights)
            found = maximise(larger.plan, options)
            if found.loglik <= optimum.loglik + ENOUGH_POINTS:
                break
            lowered, optimum = larger, found
        return lowered, optimum

    def _start(self, start: Mapping[str, float] | Sequence[float] | None) -> NDArray[np.float64] | None:
        """Return starting values as theta."""
        if start is None:
            return None
        table = self.lowered.parameters
        if isinstance(start, Mapping):
            names = list(table.names)
            unknown = [name for name in start if name not in names]
            if unknown:
                raise FitError(
                    Problem(
                        f"start names {name!r}, which is no parameter of the model", hint=nearest(name, names)
                    )
                    for name in unknown
                )
            values = table.natural(self.lowered.plan.start)
            values[[names.index(name) for name in start]] = _numbers(list(start.values()))
        else:
            values = _numbers(start)
            if values.shape != (len(table),):
                raise FitError(f"start has shape {values.shape}, but the model has {len(table)} parameters")
        with np.errstate(all="ignore"):
            theta = table.theta(values)
        negative = [
            v < 0.0 and row.kind in ("sd", "variance") for v, row in zip(values, table.rows, strict=True)
        ]
        if not np.isfinite(theta).all() or any(negative):
            raise FitError("start holds values that are not finite or outside a parameter's range")
        return theta


def fit(
    text: str,
    data: Any,
    family: str | Mapping[str, str] | None = None,
    weights: Any = None,
    *,
    std_lv: bool = False,
    **options: Any,
) -> Result:
    """Return the maximum-likelihood fit of a model; `Model` and `Model.fit` in one.

    Parameters
    ----------
    text, data, family, weights, std_lv
        See `Model`.
    **options
        See `Model.fit`.
    """
    return Model(text, data, family, weights, std_lv=std_lv).fit(**options)


def load(path: str | Path) -> Result:
    """Return the fit in a file that `Result.save` wrote."""
    return Result.load(path)
