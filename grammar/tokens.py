"""From text to tokens, and from tokens to statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from glamm.errors import Problem, Span

__all__ = [
    "CLOSING",
    "MAX_DEPTH",
    "RELATIONS",
    "Statement",
    "Token",
    "is_name",
    "shortened",
    "statements",
    "tokenise",
]

MAX_DEPTH = 50
"""How deep brackets may nest: far more than a model needs, far less than a recursive reader can take."""

CLOSING = {"(": ")", "[": "]"}
RELATIONS = frozenset(["~", "=~", "~~", ":=", "=", "==", "<", ">", "<=", ">="])
_QUOTED_LENGTH = 60
_OPERATORS = RELATIONS | frozenset(["+", "-", "*", "/", ":", "**", "^", "|", "||"])

_TOKEN = re.compile(
    r"""
      (?P<BLANK>   [ \t\f\v]+ | \#[^\r\n]* )
    | (?P<NEWLINE> \r\n | \n | \r )
    | (?P<NAME>    [A-Za-z_]\w*(?:\.\w+)* )
    | (?P<NUMBER>  (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
    | (?P<STRING>  "[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*' )
    | (?P<QUOTED>  `[^`\r\n]+` )
    | (?P<BAD>     <- | <~ | != | %[^%\s]*% | && )
    | (?P<SYMBOL>  := | =~ | ~~ | == | <= | >= | \*\* | \|\| | [-+*/:^~=<>|,()\[\];] )
    """,
    re.VERBOSE | re.ASCII,
)
_CODE = re.compile(
    r"""
      [^\[\](){}"'\#]+ | \#[^\r\n]* | [\[\](){}]
    | "[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*'
    """,
    re.VERBOSE,
)
_LINE_END = re.compile(r"[\r\n]")
_PAIRS = {")": "(", "]": "[", "}": "{"}

_IN_BRACES = "Python expressions go in braces: `{x % 2}`"
_INSTEAD = {
    "<-": "write `:=` to define a parameter, or put a space between `<` and `-`",
    "<~": "a latent variable is measured with `=~`, regressed with `~`",
    ".": "name the columns; `.` does not stand for all others",
    "$": "name the column alone; the data are given apart from the model",
    "@": "a parameter is fixed as in `1*x`",
    # What word processors and web pages make of the signs: minus, dash, times, tildes, quotes, inequalities.
    "\u2212": "write `-`",
    "\u2013": "write `-`",
    "\u00d7": "write `*`",
    "\u223c": "write `~`",
    "\u02dc": "write `~`",
    "\u201c": 'write `"`',
    "\u201d": 'write `"`',
    "\u2018": "write `'`",
    "\u2019": "write `'`",
    "\u2264": "write `<=`",
    "\u2265": "write `>=`",
    "!=": _IN_BRACES,
    "!": _IN_BRACES,
    "%": _IN_BRACES,
    "&": _IN_BRACES,
    "&&": _IN_BRACES,
    "}": "there is no `{` before it",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text; `kind` is a terminal of the grammar, ``SYMBOL``, ``NEWLINE`` or ``BAD``."""

    kind: str
    text: str
    start: int
    problem: Problem | None = None

    @property
    def end(self) -> int:
        """Position after the last character."""
        return self.start + len(self.text)

    @property
    def span(self) -> Span:
        """Where the token stands in the source."""
        return Span(self.start, self.end)

    @property
    def is_operator(self) -> bool:
        """Whether something has to follow: a line that ends in one goes on."""
        return self.kind == "SYMBOL" and self.text in _OPERATORS

    @property
    def is_relation(self) -> bool:
        """Whether the token can be the one that makes a statement, as ``~``."""
        return self.kind == "SYMBOL" and self.text in RELATIONS


@dataclass(slots=True)
class Statement:
    """The tokens of one statement and what is wrong with them before any grammar."""

    tokens: list[Token] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unmatched: bool = False


def tokenise(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`, line ends among them; what is no token comes as kind ``BAD``."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind, piece = (match.lastgroup, match.group()) if match else (None, "")
        if kind == "NAME" or (kind is None and text[position].isidentifier()):
            token = Token("NAME", text[position : _end_of_name(text, position)], position)
        elif kind is None:
            token = _irregular(text, position)
        elif kind == "NUMBER":
            token = _number(text, piece, position)
        elif kind == "BAD":
            token = _unknown(piece, position)
        else:
            token = Token(kind, piece, position)
        if token.kind != "BLANK":
            yield token
        position = token.end


def shortened(text: str) -> str:
    """Return `text` as a message quotes it: not more than a few words."""
    return text if len(text) <= _QUOTED_LENGTH else text[: _QUOTED_LENGTH - 3] + "..."


def _bad(text: str, start: int, message: str, hint: str = "") -> Token:
    return Token("BAD", text, start, Problem(message, Span(start, start + len(text)), hint))


def _unknown(text: str, start: int) -> Token:
    shown = text if text.isprintable() else ascii(text)[1:-1]
    hint = _INSTEAD.get(text, _IN_BRACES if text.startswith("%") else "")
    return _bad(text, start, f"`{shortened(shown)}` is not part of the model language", hint)


def is_name(text: str) -> bool:
    """Whether `text` reads as one name without backticks."""
    return text[:1].isidentifier() and _end_of_name(text, 0) == len(text)


def _end_of_name(text: str, position: int) -> int:
    """Return where the name, whose letters may be any of Unicode's and which may hold dots, ends."""
    while position < len(text):
        letter = text[position]
        if letter == "." and position + 1 < len(text):
            letter = text[position + 1]
        if not ("_" + letter).isidentifier():
            break
        position += 2 if text[position] == "." else 1
    return position


def _number(text: str, digits: str, start: int) -> Token:
    end = start + len(digits)
    if text[end : end + 1].isidentifier():
        name = text[end : _end_of_name(text, end)]
        word = digits + name
        hint = f"write `{shortened(digits)}*{shortened(name)}` for a product, or quote a name in backticks"
        return _bad(word, start, f"`{shortened(word)}` is neither a number nor a name", hint)
    if float(digits) == float("inf"):
        return _bad(digits, start, "the number is too large")
    return Token("NUMBER", digits, start)


def _irregular(text: str, start: int) -> Token:
    """Return the token at a character that begins none of the regular ones."""
    first = text[start]
    if first.isspace() or first == "\ufeff":
        return Token("BLANK", first, start)
    if first == "{":
        end = _end_of_code(text, start)
        if end is not None:
            return Token("BRACES", text[start:end], start)
        return _unclosed(text, start, "Python expression", "add `}`")
    if first == "`":
        if text.startswith("``", start):
            return _bad("``", start, "the quoted name is empty")
        return _unclosed(text, start, "quoted name", "add a backtick")
    if first in "\"'":
        return _unclosed(text, start, "string", f"add `{first}`")
    return _unknown(first, start)


def _unclosed(text: str, start: int, what: str, hint: str) -> Token:
    """Return the rest of the line as a token that is wrong."""
    line_end = _LINE_END.search(text, start)
    end = line_end.start() if line_end else len(text)
    return _bad(text[start:end], start, f"the {what} that begins here is never closed", hint)


def _end_of_code(text: str, start: int) -> int | None:
    """Return where the Python code in braces at `start` ends, or None where it does not."""
    stack: list[str] = []
    position = start
    while (match := _CODE.match(text, position)) is not None:
        piece = match.group()
        position = match.end()
        if piece in ("(", "[", "{"):
            stack.append(piece)
            if len(stack) > MAX_DEPTH:
                return None
        elif piece in _PAIRS:
            if stack.pop() != _PAIRS[piece]:
                return None
            if not stack:
                return position
    return None


def statements(tokens: list[Token]) -> list[Statement]:
    """Return the statements: they end at ``;``, or at a line end that leaves nothing open.

    A bracket that is never closed does not swallow the lines that follow: its own line ends the statement.
    """
    unmatched = _unmatched(tokens)
    found: list[Statement] = []
    current = Statement()
    depth = 0

    def finish() -> None:
        nonlocal current, depth
        if current.tokens and not _continues_unclosed(found, current):
            found.append(current)
        current, depth = Statement(), 0

    for index, token in enumerate(tokens):
        if token.text == ";" and token.kind == "SYMBOL":
            finish()
            continue
        if token.kind == "NEWLINE":
            if depth == 0 and current.tokens and not current.tokens[-1].is_operator:
                finish()
            continue
        current.tokens.append(token)
        if token.problem is not None:
            current.problems.append(token.problem)
        elif index in unmatched:
            # One of several brackets without a partner says it all.
            current.problems.extend([] if current.unmatched else [unmatched[index]])
            current.unmatched = True
        elif token.kind == "SYMBOL" and token.text in CLOSING:
            depth += 1
            if depth == MAX_DEPTH + 1:
                current.problems.append(Problem(f"brackets nest deeper than {MAX_DEPTH}", token.span))
        elif token.kind == "SYMBOL" and token.text in _PAIRS:
            depth -= 1
    finish()
    return found


def _continues_unclosed(found: list[Statement], current: Statement) -> bool:
    """Whether `current` is but another line of a statement whose brackets do not match."""
    if not (found and found[-1].unmatched) or any(token.is_relation for token in current.tokens):
        return False
    found[-1].problems.extend(token.problem for token in current.tokens if token.problem is not None)
    return True


def _unmatched(tokens: list[Token]) -> dict[int, Problem]:
    """Return a problem for each bracket without its partner, by the index of its token."""
    problems: dict[int, Problem] = {}
    stack: list[int] = []

    def unclosed() -> None:
        for index in stack:
            token = tokens[index]
            message = f"`{token.text}` is never closed"
            problems[index] = Problem(message, token.span, f"add `{CLOSING[token.text]}`")
        stack.clear()

    for index, token in enumerate(tokens):
        if token.kind != "SYMBOL":
            continue
        if token.text == ";":
            unclosed()
        elif token.text in CLOSING:
            stack.append(index)
        elif token.text in _PAIRS:
            if stack and tokens[stack[-1]].text == _PAIRS[token.text]:
                stack.pop()
            else:
                hint = f"remove it, or open it with `{_PAIRS[token.text]}`"
                problems[index] = Problem(f"`{token.text}` closes nothing", token.span, hint)
    unclosed()
    return problems
