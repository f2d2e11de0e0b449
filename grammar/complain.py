"""Words for a statement that the grammar does not accept."""

from __future__ import annotations

from collections.abc import Sequence

from glamm.errors import Problem, Span
from glamm.grammar.tokens import CLOSING, Token, shortened

__all__ = ["LINE_END", "explain"]

LINE_END = "a line goes on after an operator at its end, not before one at its beginning"
_AFTER = {
    "~": ("predictors", "`y ~ 1` has an intercept only"),
    "=~": ("indicators", "a measurement is written `eta =~ i1 + i2`"),
    "~~": ("a variable", "a covariance is written `eta ~~ xi`, a variance `eta ~~ eta`"),
    ":=": ("an expression of parameters", "a derived parameter is written `indirect := a*b`"),
    "=": ("a family", "a family is written `family(y) = poisson`, a regression `y ~ x`"),
    "|": ("a grouping column", ""),
    "||": ("a grouping column", ""),
}
_BEFORE = {
    "~": ("a response", "name it: `y ~ ...`"),
    "=~": ("a latent variable", "name it: `eta =~ ...`"),
    "~~": ("a variable", "a covariance is written `eta ~~ xi`"),
    ":=": ("a new name", "a derived parameter is written `indirect := a*b`"),
    "=": ("`family(...)`", "a family is written `family(y) = poisson`"),
}
_RANDOM = "random effects are written in parentheses: `(1 + x | g)`"


def explain(tokens: Sequence[Token], bad: int) -> Problem:
    """Return what is wrong with a statement at token `bad`, the first that fits no rule.

    Parameters
    ----------
    tokens : sequence of Token
        The statement; its brackets match.
    bad : int
        Index of the token; ``len(tokens)`` where the statement ends too early.
    """
    place = _Place(tokens, bad)
    if bad == 0:
        return _bad_start(place)
    if place.dangling and not place.in_index:
        return _dangling(place)
    if bad == len(tokens):
        return _incomplete(place)
    token = place.token
    if place.in_index:
        message = "expected the label of one class in the brackets"
        return Problem(message, token.span, 'as in `c[complier]` or `c["never taker"]`')
    if token.is_relation:
        return _relation(place)
    if token.text in ("|", "||") and token.kind == "SYMBOL":
        return _bar(place)
    if _begins_operand(token):
        return _no_operator(place)
    if token.text == "," and (place.opening is None or not place.in_call):
        hint = "several responses are joined by `+`, counts of successes and failures by `cbind(s, f)`"
        return Problem("`,` only separates the arguments of a call", token.span, hint)
    return Problem(f"unexpected `{token.text}` after `{shortened(place.previous.text)}`", token.span)


class _Place:
    """The surroundings of the bad token: what stands before it and in which bracket it is."""

    def __init__(self, tokens: Sequence[Token], bad: int) -> None:
        self.tokens = tokens
        self.bad = bad
        self.opening = self._opening()
        inner = range(bad) if self.opening is None else range(self.opening + 1, bad)
        depth = 0
        self.relations: list[Token] = []
        self.bars: list[Token] = []
        for index in inner:
            token = tokens[index]
            if token.kind != "SYMBOL":
                continue
            depth += (token.text in CLOSING) - (token.text in CLOSING.values())
            if depth == 0 and token.is_relation:
                self.relations.append(token)
            if depth == 0 and token.text in ("|", "||"):
                self.bars.append(token)

    def _opening(self) -> int | None:
        """Return the index of the bracket that is open at the bad token."""
        depth = 0
        for index in range(self.bad - 1, -1, -1):
            token = self.tokens[index]
            if token.kind == "SYMBOL":
                depth += (token.text in CLOSING.values()) - (token.text in CLOSING)
                if depth < 0:
                    return index
        return None

    @property
    def token(self) -> Token:
        return self.tokens[self.bad]

    @property
    def previous(self) -> Token:
        return self.tokens[self.bad - 1]

    @property
    def in_call(self) -> bool:
        """Whether the open bracket holds the arguments of a call."""
        return self._follows_name("(")

    @property
    def in_index(self) -> bool:
        """Whether the open bracket holds the label of a class."""
        return self._follows_name("[")

    def _follows_name(self, bracket: str) -> bool:
        """Whether the open bracket is `bracket` and stands behind a name."""
        if not self.opening or self.tokens[self.opening].text != bracket:
            return False
        return self.tokens[self.opening - 1].kind in ("NAME", "QUOTED")

    @property
    def dangling(self) -> bool:
        """Whether something had to follow the token before and did not."""
        previous = self.previous
        waits = previous.is_operator or (previous.kind == "SYMBOL" and previous.text in (",", *CLOSING))
        return waits and (self.bad == len(self.tokens) or not _begins_operand(self.token))


def _begins_operand(token: Token) -> bool:
    return token.kind != "SYMBOL" or token.text in CLOSING


def _bad_start(place: _Place) -> Problem:
    token = place.token
    if token.text in _BEFORE and token.kind == "SYMBOL":
        expected, hint = _BEFORE[token.text]
        return Problem(f"expected {expected} before `{token.text}`", token.span, hint)
    hint = LINE_END if token.is_operator else ""
    return Problem(f"nothing can begin with `{token.text}`", token.span, hint)


def _dangling(place: _Place) -> Problem:
    """Explain an operator, comma or bracket that nothing follows, or another operator."""
    previous = place.previous
    follower = place.token if place.bad < len(place.tokens) else None
    if follower is not None and follower.is_relation and previous.is_relation:
        message = f"expected a term between `{previous.text}` and `{follower.text}`"
        return Problem(message, follower.span, "a statement has one relation")
    if previous.text in CLOSING and previous.kind == "SYMBOL":
        message = f"expected a term after `{previous.text}`"
        span = Span(previous.start, follower.end) if follower is not None else previous.span
        if follower is not None and follower.text in ("|", "||"):
            return Problem(message, span, "a random intercept is written `(1 | g)`")
        return Problem(message, span)
    if previous.text in ("|", "||") and follower is not None and follower.text in ("|", "||"):
        message = f"expected a grouping column between `{previous.text}` and `{follower.text}`"
        return Problem(message, follower.span)
    expected, hint = _AFTER.get(previous.text, ("a term", ""))
    if place.opening is not None and previous.text in ("|", "||"):
        hint = "a random intercept is written `(1 | g)`"
    if previous.text == ",":
        expected = "an argument"
    if previous.text == "|" and place.opening is None:
        hint = _RANDOM if place.relations else "a level is written `theta | person =~ ...`"
    message = f"expected {expected} after `{previous.text}`"
    if follower is None or not follower.is_operator:
        return Problem(message, previous.span, hint)
    return Problem(f"{message}, not `{follower.text}`", follower.span, hint)


def _incomplete(place: _Place) -> Problem:
    """Explain a statement that ends in a term and is none."""
    if place.relations:
        # Every statement with a relation and nothing missing is one, but for a bar that is no level.
        return _bare_bar(place.bars[-1])
    whole = Span(place.tokens[0].start, place.previous.end)
    first = place.tokens[0]
    if first.is_operator:
        hint = LINE_END
    elif place.bars:
        hint = "a level belongs to a left-hand side: `theta | person =~ ...`"
    elif len(place.tokens) == 1 and first.kind in ("NAME", "QUOTED"):
        hint = f"a regression is written `{shortened(first.text)} ~ ...`"
    else:
        hint = "a regression is written `y ~ x`"
    message = "this is no statement: expected `~`, `=~`, `~~`, `:=` or a comparison"
    return Problem(message, whole, hint)


def _relation(place: _Place) -> Problem:
    token = place.token
    if place.opening is not None:
        if token.text == "=" and place.in_call:
            return Problem("expected the name of an argument before `=`", token.span, "as in `bs(t, df=4)`")
        inside = "a call" if place.in_call else "brackets"
        hint = "only a measurement may stand in parentheses: `(eta =~ i1 + i2)`" if token.text == "~" else ""
        return Problem(f"`{token.text}` cannot stand inside {inside}", token.span, hint)
    if not place.relations:
        hint = "only `~` and `=~` have a level on their left-hand side" if place.bars else ""
        return Problem(f"`{token.text}` cannot stand here", token.span, hint)
    first = place.relations[0].text
    second = f"a second `{token.text}`" if first == token.text else f"`{token.text}` after `{first}`"
    hint = "begin the next statement on a new line, or separate the two with `;`"
    if token.text == "=~" and first == "~":
        hint = "put the first measurement in parentheses: `(eta =~ i1 + i2)`"
    elif first[0] in "<>" and token.text[0] in "<>":
        hint = "write two constraints: `b > 0; b < 1`"
    return Problem(f"{second} in one statement", token.span, hint)


def _bare_bar(bar: Token) -> Problem:
    return Problem(f"`{bar.text}` has no parentheses around it", bar.span, _RANDOM)


def _bar(place: _Place) -> Problem:
    token = place.token
    if place.bars:
        where = "one pair of parentheses" if place.opening is not None else "one statement"
        hint = "nested groups are written `(1 | school/class)`" if place.opening is not None else _RANDOM
        return Problem(f"a second `{token.text}` in {where}", token.span, hint)
    if place.opening is None and not place.relations:
        hint = "a level is written with one bar: `theta | person =~ ...`"
        return Problem(f"`{token.text}` cannot stand on a left-hand side", token.span, hint)
    return _bare_bar(token)


def _no_operator(place: _Place) -> Problem:
    """Explain two terms side by side."""
    left, right = place.previous, place.token
    names = shortened(left.text), shortened(right.text)
    message = "expected an operator between `{}` and `{}`".format(*names)
    if left.kind == "QUOTED" and right.text == "(":
        return Problem("the name of a function cannot be quoted", left.span)
    if right.text == "[" and right.kind == "SYMBOL":
        return Problem("a list can only be an argument of a call", right.span, "as in `bs(t, knots=[1, 2])`")
    opening = place.opening
    if opening is None and not place.relations:
        if right.kind in ("NAME", "QUOTED"):
            return Problem(message, right.span, "did you mean `{} ~ {}`?".format(*names))
        return Problem(message, right.span)
    hint = "did you mean `{} + {}`?".format(*names) if right.kind in ("NAME", "QUOTED") else ""
    if opening is not None and not place.in_call and place.tokens[opening].text == "(" and not place.bars:
        closed = place.bad + 1 < len(place.tokens) and place.tokens[place.bad + 1].text == ")"
        if closed and right.kind in ("NAME", "QUOTED"):
            terms = " ".join(token.text for token in place.tokens[opening + 1 : place.bad])
            hint = f"did you mean `({shortened(terms)} | {names[1]})`?"
    return Problem(message, right.span, hint)
