"""Right-hand sides met with data: designs of fixed terms and of terms with latent variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from glamm.data import Design, Table
from glamm.graph import Modifier, Term

Index = NDArray[np.intp]

__all__ = ["LatentColumns", "columns_of", "fixed_modifiers", "latent_columns"]


@dataclass(frozen=True, slots=True, eq=False)
class LatentColumns:
    """The design of one term with latent variables."""

    term: Term
    design: Design


def columns_of(term: Term, names: Sequence[str]) -> list[str]:
    """Return which of the columns of a design are a term's, in whatever way its factors were coded.

    That depends on the other terms: ``a:x`` has a column for each level of a, or beside x one less.
    """
    plain = [factor.strip("`") for factor in term.factors]
    patterns = [
        re.compile(":".join(re.escape(factor) + r"(\[[^\[\]]*\])?" for factor in order))
        for order in permutations(plain)
    ]
    return [name for name in names if any(pattern.fullmatch(name) for pattern in patterns)]


def fixed_modifiers(terms: Sequence[Term], design: Design) -> dict[str, tuple[Modifier, Term]]:
    """Return the modifiers of the columns of a design that have one, with their terms."""
    found = {}
    for term in terms:
        if term.modifier is not None:
            found.update({name: (term.modifier, term) for name in columns_of(term, design.names)})
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
