"""A plot of response profiles by class; needs matplotlib."""

from __future__ import annotations

import importlib
from typing import Any

from glamm.errors import GlammError
from glamm.results.classes import ClassFit, class_profiles, class_size_table

__all__ = ["plot_profiles"]


def plot_profiles(fit: ClassFit, name: str | None = None, ax: Any = None) -> Any:
    """Draw means or category probabilities of the responses, a line for each class, with 95 % bars.

    Of responses with categories all but the first are drawn.

    Parameters
    ----------
    fit : ClassFit
    name : str, optional
        Class variable; the first by default.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    if ax is None:
        try:
            ax = importlib.import_module("matplotlib.pyplot").subplots()[1]
        except ImportError:
            raise GlammError("plots need matplotlib: pip install matplotlib") from None
    profiles = class_profiles(fit, name)
    later = [
        k
        for k, (response, category) in enumerate(profiles.index)
        if not category or _later(profiles, k, response)
    ]
    shown = profiles.iloc[later]
    ticks = [f"{response}\n{category}".strip() for response, category in shown.index]
    for label, size in class_size_table(fit, name)["size"].items():
        part = shown[label]
        ax.errorbar(
            range(len(part)),
            part["estimate"],
            1.96 * part["std_error"],
            marker="o",
            capsize=2,
            label=f"{label} ({size:.0%})",
        )
    ax.set_xticks(range(len(ticks)), ticks)
    ax.legend(title=profiles.columns.names[0])
    return ax


def _later(profiles: Any, place: int, response: str) -> bool:
    """Return whether a row is not the first category of its response."""
    return bool(place and profiles.index[place - 1][0] == response)
