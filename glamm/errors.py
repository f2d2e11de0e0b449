"""Exceptions, source spans and the caret rendering of a mistake in model text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DataError",
    "FitError",
    "FormulaError",
    "GlammError",
    "PluginError",
    "Problem",
    "Span",
    "nearest",
]

_SHOWN = 100
"""Most characters of a line shown on either side of a caret."""


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters ``[start, end)`` of the model text."""

    start: int
    end: int

    def slice(self, text: str) -> str:
        """Return the piece of `text` that the span covers."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: what is wrong, where, and the likely fix.

    Attributes
    ----------
    message : str
        What was given and what was expected.
    span : Span or None
        Where in the model text; None where the mistake has no place there.
    hint : str
        What to write instead; empty where nothing can be guessed.
    """

    message: str
    span: Span | None = None
    hint: str = ""

    def render(self, source: str) -> str:
        """Return the message with its line of `source` and a caret under the offending place."""
        parts = [self.message]
        if self.span is not None and source:
            start = min(self.span.start, len(source))
            line_start = source.rfind("\n", 0, start) + 1
            line_end = source.find("\n", start)
            line_end = len(source) if line_end < 0 else line_end
            number = source.count("\n", 0, start) + 1
            # Of a long line, what is around the place.
            line_start = max(line_start, start - _SHOWN)
            line_end = min(line_end, start + _SHOWN)
            line = source[line_start:line_end].rstrip("\r").replace("\t", " ")
            width = max(1, min(self.span.end, line_end) - start)
            gutter = f"  {number} | "
            parts.append(gutter + line)
            parts.append(" " * (len(gutter) - 2) + "| " + " " * (start - line_start) + "^" * width)
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)


class GlammError(Exception):
    """Base of every error that glamm raises for a mistake of its user.

    Parameters
    ----------
    problems : str, Problem or iterable of Problem
        Every problem found, reported together.
    source : str
        The model text that the spans refer to.
    """

    def __init__(self, problems: str | Problem | Iterable[Problem], source: str = "") -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.source = source
        super().__init__("\n".join(problem.render(source) for problem in self.problems))

    def __reduce__(self) -> tuple[type[GlammError], tuple[tuple[Problem, ...], str]]:
        return type(self), (self.problems, self.source)


class FormulaError(GlammError):
    """The model text cannot be read, or does not describe a model."""


class DataError(GlammError):
    """The data do not fit the model: a missing column, a value outside a family's support."""


class PluginError(GlammError):
    """A family, link or latent distribution is unknown, broken or misused."""


class FitError(GlammError):
    """The fit cannot be started at all (trouble during a fit is a status, not an error)."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return a hint that offers the candidate spelt most like `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    if not matches:
        folded = {candidate.lower(): candidate for candidate in candidates}
        matches = [folded[name.lower()]] if name.lower() in folded else []
    return f"did you mean {matches[0]!r}?" if matches else ""
