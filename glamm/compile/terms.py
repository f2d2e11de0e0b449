"""Right-hand sides met with data: designs of fixed terms and of terms with latent variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamm.data import Design, Table
from glamm.graph import Modifier, Term

Index = NDArray[np.intp]

__all__ = ["LatentColumns", "fixed_modifiers", "latent_columns"]


@dataclass(frozen=True, slots=True, eq=False)
class LatentColumns:
    """The design of one term with latent variables."""

    term: Term
    design: Design


def fixed_modifiers(
    table: Table, terms: Sequence[Term], design: Design, rows: Index | None
) -> dict[str, tuple[Modifier, Term]]:
    """Return the modifiers of the columns of a design that have one, with their terms."""
    found = {}
    for term in terms:
        if term.modifier is not None:
            names = table.design((term,), False, rows, as_if_intercept=True).names
            found.update({name: (term.modifier, term) for name in names if name in design.names})
    return found


def latent_columns(table: Table, terms: Sequence[Term], rows: Index | None) -> list[LatentColumns]:
    """Return the design of each term with latent variables.

    Loadings have one column a level of a factor. In regressions a factor is coded beside the latent
    variable alone, where that is there too, as it is beside an intercept.
    """
    alone = {tuple(sorted(term.latents)) for term in terms if not term.factors and not term.measures}
    found = []
    for term in terms:
        if term.factors:
            beside = not term.measures and tuple(sorted(term.latents)) in alone
            design = table.design((Term(term.factors, term.span),), False, rows, as_if_intercept=beside)
        else:
            design = table.design((), True, rows)
        found.append(LatentColumns(term, design))
    return found
