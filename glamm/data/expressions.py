"""Expressions over columns: what they name, and their values.

An expression is what a formula calls a factor: a column, a quoted column, or Python over columns such as
``log(x)`` or ``n - r``. ``^`` is a power, as everywhere in the model language.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glamm.data.fields import Field, field_of_pandas, used_levels
from glamm.data.store import Store
from glamm.errors import DataError, Problem, Span, nearest

__all__ = [
    "FUNCTIONS",
    "Expression",
    "check",
    "check_numbers",
    "evaluate",
    "read",
    "refuse_ambiguous",
    "series",
]

Rows = NDArray[np.intp] | None


def _same(values: Any) -> Any:
    return values


_NUMPY = (
    *("abs", "arctan", "ceil", "cos", "cosh", "exp", "expm1", "floor", "log", "log10", "log1p", "log2"),
    *("maximum", "minimum", "round", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "where"),
)
FUNCTIONS: Mapping[str, Any] = {"np": np, "I": _same, **{name: getattr(np, name) for name in _NUMPY}}

LARGEST = 1e150
"""Largest size of a number whose square is still a number."""

# Strings and quoted names, inside which nothing is rewritten.
_QUOTED = re.compile(r"(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)")


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A factor, read.

    Attributes
    ----------
    text : str
        As Python in its usual spacing, with quoted names still in backticks.
    column : str or None
        The column, where the expression is nothing but a column.
    columns : tuple of str
        Every column it uses, in the order met.
    unknown : tuple of Problem
        Names that are neither columns nor functions.
    tree : ast.Expression or None
        None for a plain column.
    aliases : mapping of str to str
        Python identifiers that stand for columns in `tree`.
    exact : tuple of str
        Columns that occur inside ``C()``, whose values are labels even where they are numbers.
    functions : tuple of str
        Functions it calls.
    """

    text: str
    column: str | None
    columns: tuple[str, ...]
    unknown: tuple[Problem, ...] = ()
    tree: ast.Expression | None = None
    aliases: Mapping[str, str] | None = None
    exact: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


def _names(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield every name in a tree and whether it is called."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield node.func.id, True
        for child in (*node.args, *node.keywords):
            yield from _names(child)
    elif isinstance(node, ast.Name):
        yield node.id, False
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child)


def _known_functions() -> Mapping[str, Any]:
    # Imported here because formulaic takes a third of a second to load and most models need none of it.
    from glamm.data.coding import TRANSFORMS

    return {**TRANSFORMS, **FUNCTIONS}


def _unknown(name: str, called: bool, store: Store, span: Span | None) -> Problem | None:
    if name in FUNCTIONS:
        return None
    functions = _known_functions()
    if name in functions:
        return None
    if not called:
        return store.no_column(name, span)
    return Problem(f"unknown function {name!r}", span, nearest(name, functions))


def _python(text: str) -> tuple[str, dict[str, str]]:
    """Return `text` with ``**`` for ``^`` and identifiers for quoted names, and what these stand for."""
    aliases: dict[str, str] = {}
    python = []
    for piece in _QUOTED.split(text):
        if piece.startswith("`"):
            alias = f"_quoted_{len(aliases)}"
            aliases[alias] = piece[1:-1]
            python.append(alias)
        else:
            python.append(piece if piece[:1] in ("'", '"') else piece.replace("^", "**"))
    return "".join(python), aliases


def _canonical(tree: ast.Expression, aliases: Mapping[str, str]) -> str:
    """Return a tree as formulaic writes it, which names its columns."""
    text = ast.unparse(tree)
    for alias, name in aliases.items():
        text = f"`{name}`".join(re.split(rf"\b{alias}\b", text))
    return text


def _whole(tree: ast.Expression) -> Iterator[str]:
    """Yield the names inside ``C()`` and ``hashed()``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("C", "hashed"):
            yield from (name for name, called in _names(node) if not called)


def read(text: str, store: Store, span: Span | None = None) -> Expression:
    """Return `text` as an expression over the columns of `store`.

    Mistakes are not raised: they are in `Expression.unknown`, so that a caller can report them together.
    """
    text = text.strip()
    if text in store:
        return Expression(text, text, (text,))
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if re.fullmatch(r"`[^`]+`", text):
        name = text[1:-1]
        return Expression(text, name, (name,), () if name in store else (store.no_column(name, span),))
    python, aliases = _python(text)
    try:
        tree = ast.parse(python, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return Expression(text, None, (), (Problem(f"cannot read the expression {text!r}: {said}", span),))
    text = _canonical(tree, aliases)
    columns: dict[str, None] = {}
    unknown: dict[str, Problem] = {}
    for name, called in _names(tree):
        column = aliases.get(name, name)
        if column in store and not called:
            columns[column] = None
            continue
        # a function's name on its own is meant as a column: `y ~ log`
        meant_as_column = name in aliases or isinstance(tree.body, ast.Name)
        problem = store.no_column(column, span) if meant_as_column else _unknown(name, called, store, span)
        if problem is not None:
            unknown[column] = problem
    plain = next(iter(columns), None) if isinstance(tree.body, ast.Name) and not unknown else None
    exact = tuple(dict.fromkeys(aliases.get(name, name) for name in _whole(tree)))
    functions = tuple(dict.fromkeys(name for name, called in _names(tree) if called))
    return Expression(text, plain, tuple(columns), tuple(unknown.values()), tree, aliases, exact, functions)


def check(expression: Expression) -> Expression:
    """Return `expression`, or raise the problems found in it."""
    if expression.unknown:
        raise DataError(expression.unknown)
    refuse_ambiguous([expression])
    return expression


def refuse_ambiguous(expressions: Iterable[Expression]) -> None:
    """Raise for a name that is called like a function and stands for a column as well.

    Python expressions that are computed together share their names.
    """
    expressions = list(expressions)
    columns = {name for expression in expressions for name in expression.columns}
    for expression in expressions:
        for name in expression.functions:
            if name in columns:
                message = f"{name!r} is used both as a column and as the function in {expression.text!r}"
                raise DataError(Problem(message, hint="rename the column"))


def check_numbers(what: str, values: NDArray[Any], store: Store, rows: Rows) -> None:
    """Raise unless all of `values`, shape (n,), are finite and their squares are numbers, too."""
    size = np.abs(values)
    usable = size <= LARGEST
    if usable.all():
        if 0.0 < size.max(initial=0.0) < 1.0 / LARGEST:
            message = f"{what} is below {1.0 / LARGEST:g} in every row, too small to compute with"
            raise DataError(Problem(message, hint="multiply it by a constant"))
        return
    row = int(np.argmin(usable))
    if np.isfinite(values[row]):
        message = f"{what} is {values[row]:g} in {store.name_row(row, rows)}, too large to compute with"
        raise DataError(Problem(message, hint="divide it by a constant"))
    raise DataError(f"{what} is not finite in {store.name_row(row, rows)}")


def series(field: Field, rows: Rows, exact: bool = False) -> pd.Series:
    """Return a field at `rows` as pandas has it for Python expressions.

    Whole numbers become floats, as small integers would overflow silently in products; `exact` keeps
    them (the levels of ``C(period)`` are ``1, 2``, not ``1.0, 2.0``).
    """
    if field.kind == "label":
        codes, levels = used_levels(field, rows)
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(levels), ordered=field.ordered))
    values = field.values if rows is None else field.values[rows]
    if field.kind == "number" and not exact:
        values = values.astype(np.float64, copy=False)
    return pd.Series(values, copy=False)


def evaluate(text: str, store: Store, rows: Rows = None) -> Field:
    """Return the values of an expression at `rows`, as a field named `text`.

    Parameters
    ----------
    text : str
    store : Store
    rows : ndarray of intp, shape (m,), or None
        Rows at which every column of the expression is present; None for all rows.

    Raises
    ------
    DataError
        An unknown name, a computation that fails, or a result that is no column of values.
    """
    expression = check(read(text, store))
    if expression.column is not None:
        field = store.field(expression.column)
        missing = field.missing if field.missing is None or rows is None else field.missing[rows]
        if missing is not None and missing.any():
            where = store.name_row(int(np.argmax(missing)), rows)
            raise DataError(f"the column {expression.column!r} is missing in {where}")
        if field.kind == "label":
            codes, levels = used_levels(field, rows)
            return Field(text, "label", codes, None, levels, field.ordered)
        return Field(text, field.kind, field.values if rows is None else field.values[rows])
    length = store.n_rows if rows is None else len(rows)
    assert expression.tree is not None and expression.aliases is not None
    space: dict[str, Any] = {}
    for name, called in _names(expression.tree):
        column = expression.aliases.get(name, name)
        if column in store and not called:
            space[name] = series(store.field(column), rows)
        elif name in FUNCTIONS:
            space[name] = FUNCTIONS[name]
        else:
            space[name] = _known_functions()[name]
    compute: Callable[..., Any] = eval
    try:
        with np.errstate(all="ignore"):
            result = compute(compile(expression.tree, text, "eval"), {"__builtins__": {}}, space)
        values = pd.Series([result] * length) if np.ndim(result) == 0 else pd.Series(result)
    except Exception as error:
        raise DataError(f"cannot compute {text!r}: {error}") from error
    if len(values) != length:
        raise DataError(f"{text!r} gives {len(values)} values for {length} rows")
    field = field_of_pandas(text, values)
    if field.missing is not None:
        row = int(np.argmax(field.missing))
        raise DataError(f"{text!r} is not a number in {store.name_row(row, rows)}")
    return field
