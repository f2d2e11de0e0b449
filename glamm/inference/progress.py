"""Progress of a long fit: a line an iteration, a bar on a terminal, nothing when asked."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

__all__ = ["Callback", "Iteration", "Reporter"]

PATIENCE = 2.0
"""Seconds a fit may take before progress is shown unasked."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One accepted step.

    Attributes
    ----------
    number : int
    loglik : float
    gradient : float
        Largest component of the gradient, in units of its own standard deviation.
    decrement : float
        ``g' H^-1 g``: twice the gain in log-likelihood that the quadratic model still promises.
    points : tuple of int
        Quadrature points of a dimension, by level.
    seconds : float
        Since the start of the fit.
    """

    number: int
    loglik: float
    gradient: float
    decrement: float
    points: tuple[int, ...]
    seconds: float

    def __str__(self) -> str:
        points = "x".join(map(str, self.points)) or "-"
        return (
            f"{self.number:4d}  log-likelihood {self.loglik:.6f}  gradient {self.gradient:8.1e}  "
            f"points {points}  {self.seconds:.1f} s"
        )


Callback = Callable[[Iteration], object]


class Reporter:
    """Receives the iterations of one fit and shows those that are wanted.

    Parameters
    ----------
    wanted : bool, callable or None
        As `FitOptions.progress`.
    tolerance : float
        Decrement at which the fit ends; the bar is full there.
    stream : file, optional
        Standard error by default.
    """

    def __init__(
        self, wanted: bool | Callback | None, tolerance: float, stream: IO[str] | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = bool(getattr(self._stream, "isatty", lambda: False)())
        self._callback = wanted if callable(wanted) else None
        self._shown = wanted is True or (wanted is None and self._terminal)
        self._patience = 0.0 if wanted is True else PATIENCE
        self._end = math.log10(tolerance)
        self._begin: float | None = None
        self._done = 0.0
        self._bar: Any = None
        self._started = time.perf_counter()
        self.trace: list[Iteration] = []

    def __call__(self, loglik: float, gradient: float, decrement: float, points: tuple[int, ...]) -> None:
        """Record an accepted step and show it if it is time."""
        seconds = self.seconds()
        step = Iteration(len(self.trace), loglik, gradient, decrement, points, seconds)
        self.trace.append(step)
        if self._callback is not None:
            self._callback(step)
        elif self._shown and seconds >= self._patience:
            self._show(step)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._started

    def close(self) -> None:
        """Finish the display."""
        if self._bar is not None:
            self._bar.close()
        elif self._terminal and self._done > 0.0:
            self._stream.write("\n")

    def _fraction(self, decrement: float) -> float:
        """Return how far the decrement has come on its way to the tolerance; it never goes back."""
        position = math.log10(max(decrement, 1e-300))
        if self._begin is None:
            self._begin = max(position, self._end + 1.0)
        fraction = (self._begin - position) / (self._begin - self._end)
        self._done = max(self._done, min(max(fraction, 0.01), 1.0))
        return self._done

    def _show(self, step: Iteration) -> None:
        if not self._terminal:
            self._stream.write(f"{step}\n")
            self._stream.flush()
            return
        before = self._done
        fraction = self._fraction(step.decrement)
        if self._bar is None and importlib.util.find_spec("tqdm") is not None:
            tqdm = importlib.import_module("tqdm.auto").tqdm
            form = "{desc} |{bar}| {elapsed}"
            self._bar = tqdm(total=1.0, file=self._stream, leave=False, bar_format=form)
        if self._bar is not None:
            self._bar.set_description_str(str(step), refresh=False)
            self._bar.update(fraction - before)
        else:
            filled = round(20 * fraction)
            self._stream.write(f"\r{step}  [{'#' * filled}{' ' * (20 - filled)}]")
        self._stream.flush()
