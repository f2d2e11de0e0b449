"""What the names of a model stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glamm.errors import Span, nearest

__all__ = ["Symbols"]


@dataclass(frozen=True, slots=True)
class Symbols:
    """What is a latent variable, a class, a label; every other name is a column.

    Attributes
    ----------
    latents : frozenset of str
        Continuous latent variables.
    classes : mapping of str to tuple of str
        Discrete latent variables and the names of their classes.
    labels : frozenset of str
        Names that label a coefficient where they stand before a ``*`` in a regression.
    columns : frozenset of str or None
        Columns of the data where they are known.
    categorical : frozenset of str
        Covariates x whose ``mi(x)`` is discrete.
    undeclared : frozenset of str
        Latent variables that no ``=~`` and no distribution declares: regressed names that are no column.
    spans : mapping of str to Span
        Where each latent variable is first declared.
    """

    latents: frozenset[str] = frozenset()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()
    columns: frozenset[str] | None = None
    categorical: frozenset[str] = frozenset()
    undeclared: frozenset[str] = frozenset()
    spans: Mapping[str, Span] = field(default_factory=dict)

    def unobserved(self, name: str) -> bool:
        """Return whether `name` is a latent variable or a class."""
        return name in self.latents or name in self.classes

    def is_unknown(self, name: str) -> bool:
        """Return whether `name` is certainly nothing that the model or the data have."""
        return self.columns is not None and name not in self.columns and not self.unobserved(name)

    def nearest(self, name: str) -> str:
        """Return a hint that offers the column, latent variable or class spelt most like `name`."""
        return nearest(name, sorted({*(self.columns or ()), *self.latents, *self.classes} - {name}))
