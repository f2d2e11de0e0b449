"""Which response has which family: from the text, from the argument, or by default."""

from __future__ import annotations

from collections.abc import Mapping

from glamm.errors import nearest
from glamm.grammar.ast import FamilyOf, Model
from glamm.graph.drafts import Drafts
from glamm.graph.families import read_family
from glamm.graph.model import FamilySpec
from glamm.graph.names import AUXILIARY, as_column
from glamm.graph.targets import SETS, variable_name

__all__ = ["find_families"]

DEFAULT = "gaussian"


def find_families(
    drafts: Drafts, tree: Model, given: FamilySpec | Mapping[str, FamilySpec] | None
) -> dict[str, FamilySpec]:
    """Return the family of every response."""
    specs: dict[str, FamilySpec] = {}
    for statement in tree.statements:
        if isinstance(statement, FamilyOf):
            _of_statement(drafts, statement, specs)
    if isinstance(given, FamilySpec):
        # Choices and rankings are what their left-hand side says they are.
        given = {name: given for name, draft in drafts.responses.items() if draft.form.call not in SETS}
    for key, spec in (given or {}).items():
        draft = drafts.response(key)
        if draft is None:
            drafts.problem(
                f"a family is given for {key!r}, but the model has no such response",
                None,
                nearest(key, drafts.responses) or _listed(drafts),
            )
        elif specs.setdefault(draft.name, spec) != spec:
            drafts.problem(
                f"the text gives {draft.name!r} the family {specs[draft.name]}, the argument says {spec}",
                specs[draft.name].span,
                "give it in one place",
            )
    for name, draft in drafts.responses.items():
        specs.setdefault(name, FamilySpec(draft.form.call if draft.form.call in SETS else DEFAULT))
    return specs


def _of_statement(drafts: Drafts, statement: FamilyOf, specs: dict[str, FamilySpec]) -> None:
    spec = read_family(statement.family, drafts.problems)
    for response in statement.responses:
        name = variable_name(response)
        draft = drafts.response(name)
        if drafts.symbols.unobserved(name):
            what = "classes(2)" if name in drafts.symbols.classes else "student_t(df=5)"
            drafts.problem(
                f"family({name}): {name!r} is a latent variable, no response",
                response.span,
                f"its distribution stands in its regression: {name} ~ {what}",
            )
        elif draft is None:
            drafts.problem(
                f"family({name}): the model has no response {name!r}",
                response.span,
                as_column(name)
                if name in AUXILIARY and name in (drafts.symbols.columns or ())
                else nearest(name, drafts.responses) or _listed(drafts),
            )
        elif draft.name in specs:
            drafts.problem(f"the response {draft.name!r} has two families", statement.span)
        else:
            specs[draft.name] = spec


def _listed(drafts: Drafts) -> str:
    return f"the responses are {', '.join(drafts.responses)}" if drafts.responses else ""
