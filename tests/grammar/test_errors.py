"""What the reader of a bad model text is told, and where."""

import pytest

from glamm.errors import FormulaError, Problem, Span
from glamm.grammar import parse, parse_expression

# text, the place marked with «», a part of the message, a part of the hint
CASES = [
    # nothing on one side
    ("«~» x", "expected a response before `~`", "y ~ ..."),
    ("«~»1", "expected a response before `~`", "y ~ ..."),
    ("«=~» i1", "expected a latent variable before `=~`", "eta =~"),
    ("«:=» a*b", "expected a new name before `:=`", "indirect := a*b"),
    ("«~~» x", "expected a variable before `~~`", "eta ~~ xi"),
    ("«=» x", "expected `family(...)` before `=`", "family(y) = poisson"),
    ("«*» x ~ y", "nothing can begin with `*`", "at its end"),
    ("y «~»", "expected predictors after `~`", "y ~ 1"),
    ("y «~~»", "expected a variable after `~~`", "eta ~~ eta"),
    ("eta «=~»", "expected indicators after `=~`", "eta =~ i1 + i2"),
    ("ind «:=»", "expected an expression of parameters after `:=`", "a*b"),
    ("family(y) «=»", "expected a family after `=`", "family(y) = poisson"),
    ("y «=»", "expected a family after `=`", "a regression `y ~ x`"),
    ("y «==» ", "expected a term after `==`", ""),
    ("b «<»", "expected a term after `<`", ""),
    ("y ~ x «+»", "expected a term after `+`", ""),
    ("y ~ x «+»  # and\n\n", "expected a term after `+`", ""),
    ("y ~ x «**»", "expected a term after `**`", ""),
    ("y ~ x + «*» z", "expected a term after `+`, not `*`", ""),
    ("y ~ x :«:» z", "expected a term after `:`, not `:`", ""),
    ("y ~ f(x«,»)", "expected an argument after `,`", ""),
    ("y ~ f«(,»)", "expected a term after `(`", ""),
    ("y ~ «()»", "expected a term after `(`", ""),
    ("theta «|»", "expected a grouping column after `|`", "theta | person =~"),
    # random effects
    ("y ~ (1 «|» )", "expected a grouping column after `|`", "(1 | g)"),
    ("y ~ (1 «||» )", "expected a grouping column after `||`", "(1 | g)"),
    ("y ~ «( |» g)", "expected a term after `(`", "(1 | g)"),
    ("y ~ (1 | «|» g)", "expected a grouping column between `|` and `|`", ""),
    ("y ~ (1 + x «school»)", "between `x` and `school`", "(1 + x | school)"),
    ("y ~ x + 1 «|» g", "`|` has no parentheses", "(1 + x | g)"),
    ("y ~ x «||» g", "`||` has no parentheses", "(1 + x | g)"),
    ("y ~ a | b «|» c", "a second `|` in one statement", "(1 + x | g)"),
    ("y ~ (1 | a «|» b)", "a second `|` in one pair of parentheses", "school/class"),
    ("y ~ (1 | «3»)", "expected grouping columns after `|`, not `3`", "school/class"),
    ("y ~ (1 | «a + b»)", "expected grouping columns after `|`, not `a + b`", "school:class"),
    ("y ~ x «(1 | g)»", "between `x` and the random effects", "`x + (1 | g)`"),
    ("«(1 | g)» ~ x", "joined by `+` on the left-hand side", "right-hand side"),
    # brackets and quotes
    ("y ~ «(»1 + x | school", "`(` is never closed", "add `)`"),
    ("y ~ «(»((1", "`(` is never closed", "add `)`"),
    ("y ~ c«[»a", "`[` is never closed", "add `]`"),
    ("y ~ «(»a]", "`(` is never closed", "add `)`"),
    ("y ~ x«)»", "`)` closes nothing", "remove it"),
    ("y ~ f«(»a,\n b", "`(` is never closed", "add `)`"),
    ("y ~ «`a b»\nz ~ x", "quoted name that begins here is never closed", "backtick"),
    ("y ~ «``»", "quoted name is empty", ""),
    ("y ~ «'a»", "string that begins here is never closed", "add `'`"),
    ("y ~ «{x + 1»", "Python expression that begins here is never closed", "add `}`"),
    ("y ~ «{x +}»", "expected a Python expression in the braces", "{x**2 + 1}"),
    ("y ~ «{}»", "expected one Python expression", "{x**2 + 1}"),
    ("y ~ «{a, b}»", "expected one Python expression", "{x**2 + 1}"),
    ("y ~ x«}»", "`}` is not part", "no `{` before"),
    # two of what there is one of
    ("y ~ x «~» z", "a second `~` in one statement", "new line"),
    ("y ~ x «=» 2", "`=` after `~` in one statement", "new line"),
    ("y ~ «~» x", "expected a term between `~` and `~`", "one relation"),
    ("y ~ eta =~ i1 «=~» i2", "`=~` after `~` in one statement", "(eta =~ i1 + i2)"),
    ("y ~ eta =~ i1 «~» x", "a second `~` in one statement", "new line"),
    ("0 < b «<» 1", "a second `<` in one statement", "b > 0; b < 1"),
    ("y ~ x «z»", "expected an operator between `x` and `z`", "x + z"),
    ("y «x»", "expected an operator between `y` and `x`", "y ~ x"),
    ("y ~ 'a' «'b'»", "expected an operator between", ""),
    ("1 «(»x)", "expected an operator between `1` and `(`", ""),
    ("y ~ (x)«(»z)", "expected an operator between `)` and `(`", ""),
    ("y ~ f(a=1, «2»)", "`2` stands after a named one", "first"),
    ("y ~ f(a=1, «a=2»)", "`a` is given twice", ""),
    # the wrong thing in a place
    ("y «=» x", "`=` only gives a response its family", "did you mean `y ~ x`?"),
    ("b «=» 1", "`=` only gives a response its family", "did you mean `b == 1`?"),
    ("family(y) «~» poisson", "a family is given with `=`", "family(y) = poisson"),
    ("«family()» = poisson", "expected the names of responses", "family(y) = ..."),
    ("«family(y, 1)» = poisson", "expected the names of responses", "family(y) = ..."),
    ("family(y) = «1»", "expected a family after `=`, not `1`", "ordinal(probit)"),
    ("«a + b» := c", "expected a new name before `:=`, not `a + b`", "indirect := a*b"),
    ("«1» ~ x", "on the left-hand side, not `1`", ""),
    ("«y1 - y2» ~ x", "on the left-hand side, not `y1 - y2`", "I(y1 - y2)"),
    ("«{y / 2}» ~ x", "on the left-hand side", "log(y) ~ x"),
    ("«+ x» ~ y", "on the left-hand side, not `+x`", "at its end"),
    ("eta | «a:b» =~ x", "one grouping column as level, not `a:b`", "theta | person"),
    ("eta «||» g =~ x", "`||` cannot stand on a left-hand side", "one bar"),
    ("a | b «~~» c", "`~~` cannot stand here", "`~` and `=~` have a level"),
    ("y ~ «1*eta» =~ i1", "expected the name of a latent variable before `=~`, not `1*eta`", "parentheses"),
    ("y ~ x«,» z", "`,` only separates the arguments", "cbind(s, f)"),
    ("y ~ f(x «~» z)", "`~` cannot stand inside a call", "(eta =~ i1 + i2)"),
    ("(y «~» x)", "`~` cannot stand inside brackets", "(eta =~ i1 + i2)"),
    ("y ~ f(1«=»2)", "expected the name of an argument before `=`", "df=4"),
    ("y ~ (x «=» 1)", "`=` cannot stand inside brackets", ""),
    ("y ~ c[a «+» b]", "label of one class", "c[complier]"),
    ("y ~ c[«]»", "label of one class", "c[complier]"),
    ("y ~ «[»1, 2]", "a list can only be an argument", "knots=[1, 2]"),
    ("y ~ «`f`»(x)", "the name of a function cannot be quoted", ""),
    # no statement
    ("«y»", "this is no statement", "y ~ ..."),
    ("«x + z»", "this is no statement", "y ~ x"),
    ("y ~ x\n«+ z»", "this is no statement", "at its end, not before one"),
    ("«theta | person»", "this is no statement", "theta | person =~"),
    # foreign signs
    ("y ~ x «%» 2", "`%` is not part", "{x % 2}"),
    ("y ~ a «%in%» b", "`%in%` is not part", "{x % 2}"),
    ("y ~ x «!=» 2", "`!=` is not part", "{x % 2}"),
    ("y ~ «.»", "`.` is not part", "all others"),
    ("y ~ d«$»x", "`$` is not part", "column alone"),
    ("ind «<-» a*b", "`<-` is not part", ":="),
    ("f «<~» x", "`<~` is not part", "=~"),
    ("y ~ x «\u2212» 1", "is not part", "write `-`"),
    ("y ~ «\u201c»a\u201d", "is not part", 'write `"`'),
    ("y ~ «\x00»", r"`\x00` is not part", ""),
    ("y ~ «2x»", "`2x` is neither a number nor a name", "2*x"),
    ("y ~ «1e999»", "the number is too large", ""),
]


def marked(text):
    """Return `text` without its marks, and the span between them."""
    start, end = text.index("«"), text.index("»") - 1
    return text.replace("«", "").replace("»", ""), Span(start, end)


@pytest.mark.parametrize(("text", "message", "hint"), CASES)
def test_message_place_and_hint(text, message, hint):
    source, span = marked(text)
    with pytest.raises(FormulaError) as caught:
        parse(source)
    problem = caught.value.problems[0]
    assert message in problem.message
    assert problem.span == span
    assert hint in problem.hint
    assert bool(hint) == bool(problem.hint)


def test_the_caret_stands_under_the_place():
    with pytest.raises(FormulaError) as caught:
        parse("y ~ x\r\n\tw ~ (1 + x school)\r\nz = 3")
    assert str(caught.value) == (
        "expected an operator between `x` and `school`\n"
        "  2 |  w ~ (1 + x school)\n"
        "    |             ^^^^^^\n"
        "  hint: did you mean `(1 + x | school)`?\n"
        "`=` only gives a response its family\n"
        "  3 | z = 3\n"
        "    |   ^\n"
        "  hint: did you mean `z == 3`?"
    )


def test_every_bad_statement_is_reported_once():
    text = "y ~; eta =~ i1 + i2; y = x\nz ~ (1 | g\n w)\nv ~ ) + (; ok ~ x\n a $ b $ c; 'x\nb ~ [1]"
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert [problem.span.slice(text) for problem in caught.value.problems] == [
        *("~", "=", "w", ")", "$", "$", "'x", "["),
    ]


def test_a_bracket_never_closed_leaves_the_other_statements_alone():
    with pytest.raises(FormulaError) as caught:
        parse("y ~ f(a,\n  b\nz ~ x +\neta =~ i1\nw ~~")
    assert [problem.message for problem in caught.value.problems] == [
        "`(` is never closed",
        "expected a variable after `~~`",
    ]


@pytest.mark.parametrize("text", ["", "  \n", "# nothing\n;;"])
def test_an_empty_model(text):
    with pytest.raises(FormulaError, match="the model has no statements"):
        parse(text)


@pytest.mark.parametrize("text", ["", "a; b", "a;", "y ~ x", "a b", "a |", "a = b", "(a", "a\n+\n"])
def test_what_is_no_expression(text):
    with pytest.raises(FormulaError):
        parse_expression(text)


def test_problems_beyond_many_are_counted():
    with pytest.raises(FormulaError) as caught:
        parse("y ~\n;" * 70)
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1] == Problem("... and 20 more problems")


def test_long_lines_and_expressions_are_shortened():
    with pytest.raises(FormulaError) as caught:
        parse(" + ".join(["x"] * 2000) + " := 2 + " + " + ".join(["x"] * 2000))
    assert len(str(caught.value)) < 700
