"""The parser that lark makes of ``formula.lark``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, UnexpectedToken
from lark import Token as LarkToken
from lark.lexer import Lexer

from glamm.errors import FormulaError
from glamm.grammar.build import TreeBuilder
from glamm.grammar.complain import explain
from glamm.grammar.tokens import Token

__all__ = ["check_rules", "read"]


def read(start: str, tokens: Sequence[Token]) -> Any:
    """Return the node that the grammar makes of the tokens of one ``statement`` or ``piece`` of one.

    Raises
    ------
    FormulaError
        With the first token that fits no rule, or what the builder of the tree refuses.
    """
    try:
        return _parser().parse(tokens, start=start)
    except UnexpectedToken as error:
        position = error.token.start_pos if error.token.type != "$END" else None
        bad = next((index for index, token in enumerate(tokens) if token.start == position), len(tokens))
        raise FormulaError(explain(tokens, bad)) from None


@cache
def _parser() -> Lark:
    """Return the LALR parser, which calls the builder while it reads and leaves no parse tree."""
    builder = TreeBuilder()
    parser = Lark(
        Path(__file__).with_name("formula.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer=_TokenLexer,
        start=["statement", "piece"],
        transformer=builder,
        keep_all_tokens=True,
        maybe_placeholders=False,
    )
    check_rules(parser, builder)
    return parser


def check_rules(parser: Lark, builder: object) -> None:
    """Raise where a rule has no method to build its node, for it would leave a bare parse tree."""
    for rule in parser.rules:
        name = rule.alias or rule.origin.name
        passes_on = rule.alias is None and rule.options.expand1 and len(rule.expansion) == 1
        if not (passes_on or name.startswith("_") or hasattr(builder, name)):
            raise TypeError(f"no method builds the rule `{name}` of the grammar")


# Operators that one rule reads share a terminal: the fewer rules, the faster the parser is made.
_SHARED = {
    **dict.fromkeys(["==", "<", ">", "<=", ">="], "COMPARISON"),
    **dict.fromkeys(["+", "-"], "SIGN"),
    **dict.fromkeys(["*", "/"], "CROSSING"),
    **dict.fromkeys(["**", "^"], "POWER"),
}


class _TokenLexer(Lexer):
    """Hands the parser tokens under the names that the grammar gave to their texts."""

    def __init__(self, conf: Any) -> None:
        self._names = _SHARED | {terminal.pattern.value: terminal.name for terminal in conf.terminals}

    def lex(self, data: Any) -> Iterator[LarkToken]:  # type: ignore[override]
        for token in data:
            kind = self._names[token.text] if token.kind == "SYMBOL" else token.kind
            yield LarkToken(kind, token.text, start_pos=token.start, end_pos=token.end)
