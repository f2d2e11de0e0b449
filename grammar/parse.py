"""Text of a model to its syntax tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glamm.errors import FormulaError, Problem, Span
from glamm.grammar import ast
from glamm.grammar.depth import check_depth
from glamm.grammar.tokens import Token, statements, tokenise

__all__ = ["parse", "parse_expression"]

_MAX_PROBLEMS = 50


def parse(text: str) -> ast.Model:
    """Return the syntax tree of a model.

    Parameters
    ----------
    text : str
        Statements, one a line or separated by ``;``; ``#`` starts a comment.

    Returns
    -------
    Model
        The statements in the order written, every node with its span of `text`.

    Raises
    ------
    FormulaError
        With one problem for each statement that cannot be read, and its place.
    """
    if not isinstance(text, str):
        raise FormulaError(f"the model is {text!r}; expected its text, such as 'y ~ x + (1 | g)'")
    whole = Span(0, len(text))
    found: list[ast.Statement] = []
    problems: list[Problem] = []
    written = statements(list(tokenise(text)))
    for statement in written:
        if statement.problems:
            problems.extend(statement.problems)
            continue
        try:
            found.append(_read("statement", statement.tokens))
        except FormulaError as error:
            problems.extend(error.problems)
    if not written:
        problems.append(Problem("the model has no statements", hint="a regression is written `y ~ x`"))
    if problems:
        raise _error(problems, text)
    return ast.Model(tuple(found), span=whole)


def parse_expression(text: str) -> ast.Expr:
    """Return the syntax tree of one expression: what may stand right of ``~`` or inside parentheses.

    Raises
    ------
    FormulaError
        Where `text` is no expression.
    """
    tokens = [token for token in tokenise(text) if token.kind != "NEWLINE"]
    written = statements(tokens)
    problems = [problem for statement in written for problem in statement.problems]
    if not problems and (len(written) != 1 or len(written[0].tokens) < len(tokens)):
        problems = [Problem("expected one expression", Span(0, len(text)))]
    if problems:
        raise _error(problems, text)
    try:
        node: ast.Expr = _read("piece", tokens)
    except FormulaError as error:
        raise _error(list(error.problems), text) from None
    return node


def _error(problems: list[Problem], text: str) -> FormulaError:
    """Return the error with all problems, or the first so many of them."""
    more = len(problems) - _MAX_PROBLEMS
    if more > 0:
        problems = [*problems[:_MAX_PROBLEMS], Problem(f"... and {more} more problems")]
    return FormulaError(problems, text)


def _read(start: str, tokens: Sequence[Token]) -> Any:
    """Return the node that the grammar makes of `tokens`."""
    # Imported at first use, so that importing glamm does not wait for lark.
    from glamm.grammar.lalr import read

    node = read(start, tokens)
    check_depth(node)
    return node
