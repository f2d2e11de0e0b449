"""Random effects: parentheses to blocks of effects, or to mass points."""

from __future__ import annotations

from dataclasses import replace

from glamm.grammar import unparse
from glamm.grammar.ast import Binary, Call, Expr, Name, Random
from glamm.graph.classes import mass_points
from glamm.graph.drafts import ClassDraft, Draft, Drafts
from glamm.graph.factors import quoted
from glamm.graph.families import read_distribution
from glamm.graph.model import AuxiliaryModel, Level, RandomBlock, Term
from glamm.graph.terms import Expansion

__all__ = ["POINTS", "add_points", "add_random", "same_effect_twice"]

POINTS = "npml"
Members = list[tuple[Draft, str]]


def add_random(drafts: Drafts, written: Random | Call, members: Members) -> None:
    """Add the random effects of one pair of parentheses to the predictors of `members`."""
    random = written
    if isinstance(written, Call):
        first = written.args[0]
        assert isinstance(first, Random)
        random = first
    assert isinstance(random, Random)
    before = len(drafts.problems)
    inner = drafts.expander.expand(random.terms)
    if inner.randoms or inner.offsets or inner.specials:
        drafts.problem("random effects hold terms only, no offset and no other random effect", random.span)
    for term in (term for term in inner.terms if term.latents):
        drafts.problem(
            f"the slope of the latent variable in ({term} | ...) needs a name",
            term.span,
            f"write a product of latent variables: y ~ 1*slope:{term.latents[0]}; slope | g ~ 0",
        )
    if inner.modifier is not None or any(term.modifier is not None for term in inner.terms):
        drafts.problem("random effects have variances, no coefficient to fix or label", random.span)
    intercept = inner.intercept is not False
    if not intercept and not inner.terms:
        drafts.problem("there is no effect in these parentheses", random.span, "write (1 | group)")
    groups = _groups(drafts, random.group)
    if len(drafts.problems) > before:
        return
    for columns in groups:
        level = drafts.level(columns, random.group.span)
        if isinstance(written, Call) and written.function == POINTS:
            _mass_points(drafts, written, random, inner, level, members)
        else:
            _block(drafts, written, random, inner, level, members)


def _block(
    drafts: Drafts, written: Random | Call, random: Random, inner: Expansion, level: Level, members: Members
) -> None:
    distribution = None
    if isinstance(written, Call):
        distribution = read_distribution(replace(written, args=written.args[1:]), drafts.problems)
    intercept = inner.intercept is not False
    terms = " + ".join([str(int(intercept)), *(str(term) for term in inner.terms)])
    bar = "|" if random.correlated else "||"
    drafts.blocks.append(
        RandomBlock(
            f"{terms} {bar} {level.name}",
            level.name,
            tuple((draft.name, parameter) for draft, parameter in members),
            inner.terms,
            intercept,
            random.correlated,
            written.span,
            distribution,
        )
    )


def _mass_points(
    drafts: Drafts, written: Call, random: Random, inner: Expansion, level: Level, members: Members
) -> None:
    """Add a class variable whose effects are the locations of the mass points.

    The locations are free, so the intercept and the main effects of the columns are part of them.
    """
    if not random.correlated:
        drafts.problem(
            "mass points are places in the space of all effects of a parenthesis",
            random.span,
            "write | instead of ||, or one npml() an effect",
        )
    labels = mass_points(written, written.args[1:], drafts.problems)
    inside = replace(random, group=_group_expr(level))
    name = unparse(replace(written, args=(inside, *written.args[1:])))
    name = add_points(drafts, name, level.name, labels, written, members[0])
    for draft, parameter in members:
        model = draft.predictors[parameter]
        _points_twice(drafts, model, inner, level, written)
        slopes = {frozenset(term.factors) for term in inner.terms}
        kept = tuple(t for t in model.terms if t.latents or frozenset(t.factors) not in slopes)
        points = tuple(Term((quoted(name), *term.factors), term.span) for term in inner.terms)
        location = (Term((quoted(name),), written.span),) if inner.intercept is not False else ()
        draft.predictors[parameter] = replace(
            model, terms=location + kept + points, intercept=False if location else model.intercept
        )


def _points_twice(
    drafts: Drafts, model: AuxiliaryModel, inner: Expansion, level: Level, written: Call
) -> None:
    """Report effects that a predictor has from other mass points of the level."""
    others = {
        quoted(name) for name, found in drafts.classes.items() if found.points and found.level == level.name
    }
    effects = {frozenset(term.factors) for term in inner.terms}
    effects |= {frozenset[str]()} if inner.intercept is not False else set()
    for term in model.terms:
        rest = tuple(factor for factor in term.factors if factor not in others)
        if len(rest) < len(term.factors) and frozenset(rest) in effects:
            drafts.problem(
                f"the random effect ({Term(rest)} | {level.name}) stands in the model twice", written.span
            )


def _group_expr(level: Level) -> Expr:
    first, *rest = (Name(column) for column in level.group.columns)
    group: Expr = first
    for column in rest:
        group = Binary(":", group, column)
    return group


def add_points(
    drafts: Drafts,
    name: str,
    level: str,
    labels: tuple[str, ...],
    written: Call,
    member: tuple[Draft, str],
) -> str:
    """Add a class variable of mass points and return its name: `name`, or if taken, its statement's."""
    name = name.replace("`", "")
    if drafts.variable(name) is not None:
        draft, parameter = member
        owner = draft.name if parameter == "mu" else f"{parameter}({draft.name})"
        name = f"{owner} ~ {name}".replace("`", "")
    if name in drafts.classes:
        drafts.problem(f"{unparse(written)} stands in one predictor twice", written.span)
    drafts.expander.names[quoted(name)] = frozenset((name,))
    drafts.classes[name] = ClassDraft(
        name,
        written.span,
        level,
        {"mu": AuxiliaryModel("mu", span=written.span)},
        labels=labels,
        points=True,
        automatic=not labels,
    )
    return name


def _groups(drafts: Drafts, expr: Expr) -> list[tuple[str, ...]]:
    """Return the columns of each level that a group names: ``a/b`` is ``a`` and ``a:b``."""
    match expr:
        case Name(name=name):
            if drafts.symbols.unobserved(name):
                drafts.problem(f"{name!r} is a latent variable; a group is a column", expr.span)
                return []
            return [(name,)]
        case Binary(operator=(":" | "/") as operator, left=left, right=right):
            above, below = _groups(drafts, left), _groups(drafts, right)
            if not above or not below:
                return []
            joined = [above[-1] + columns for columns in below]
            if operator == ":":
                joined = [a + b for a in above for b in below]
            joined = [tuple(dict.fromkeys(columns)) for columns in joined]
            return above + joined if operator == "/" else joined
    drafts.problem(
        "a group is a column, a:b (their combinations) or a/b (b nested in a)",
        expr.span,
        "several groups take a parenthesis each: (1 | a) + (1 | b)",
    )
    return []


def same_effect_twice(drafts: Drafts) -> None:
    """Report random effects that two parentheses give the same predictor."""
    seen: set[tuple[str, tuple[str, str], frozenset[str]]] = set()
    for block in drafts.blocks:
        effects = ([Term(())] if block.intercept else []) + list(block.terms)
        for effect in effects:
            keys = {(block.level, member, frozenset(effect.factors)) for member in block.members}
            if seen & keys:
                drafts.problem(
                    f"the random effect ({effect} | {block.level}) stands in the model twice", block.span
                )
            seen |= keys
