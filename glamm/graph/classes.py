"""Class variables: what ``classes(...)`` and ``npml(...)`` say."""

from __future__ import annotations

from glamm.errors import Problem
from glamm.grammar.ast import Call, Expr, Name, Text
from glamm.graph.families import number

__all__ = ["class_labels", "known_column", "mass_points"]

AUTO = "auto"
MOST_CLASSES = 1000


def _count(expr: Expr) -> int | None:
    value = number(expr)
    if value is None or not 2 <= value <= MOST_CLASSES or not float(value).is_integer():
        return None
    return int(value)


def class_labels(call: Call, problems: list[Problem]) -> tuple[str, ...]:
    """Return the names of the classes: those of ``classes("a", "b")``, numbers for ``classes(3)``."""
    if len(call.args) == 1 and (count := _count(call.args[0])) is not None:
        return tuple(str(k + 1) for k in range(count))
    labels = tuple(arg.value for arg in call.args if isinstance(arg, Text))
    if len(labels) < len(call.args) or len(labels) < 2:
        problems.append(
            Problem(
                f"classes() takes the number of classes, 2 to {MOST_CLASSES}, or their names in quotes",
                call.span,
                'classes(3), classes("never", "complier")',
            )
        )
    elif len(set(labels)) < len(labels):
        problems.append(Problem("two classes have one name", call.span))
    return labels


def known_column(call: Call, problems: list[Problem]) -> str:
    """Return the column of ``classes(2, known=col)``, empty where membership is not observed."""
    known = ""
    for key, value in call.keywords:
        match key, value:
            case "known", Name(name=name) | Text(value=name):
                known = name
            case "known", _:
                problems.append(Problem("known= takes a column", value.span, "classes(2, known=col)"))
            case _:
                problems.append(
                    Problem(f"classes() has no option {key!r}", value.span, "it has one: known=column")
                )
    return known


def mass_points(call: Call, sizes: tuple[Expr, ...], problems: list[Problem]) -> tuple[str, ...]:
    """Return the names of the mass points of ``npml(...)``; none where their number is to be found.

    Parameters
    ----------
    call : Call
    sizes : tuple of Expr
        Its positional arguments behind the effects.
    """
    given = list(sizes) + [value for key, value in call.keywords if key == "k"]
    other = [key for key, _ in call.keywords if key != "k"]
    if len(given) == 1 and not other:
        if given[0] in (Name(AUTO), Text(AUTO)):
            return ()
        count = _count(given[0])
        if count is not None:
            return tuple(str(k + 1) for k in range(count))
    problems.append(
        Problem(
            f'npml() takes the number of mass points, 2 to {MOST_CLASSES}, or k="auto"',
            call.span,
            "npml(1 | g, k=4) in the regression of a response, npml(4) in that of a latent variable",
        )
    )
    return ()
