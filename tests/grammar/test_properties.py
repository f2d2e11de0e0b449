"""Properties of the grammar over generated trees and texts."""

import time
from dataclasses import fields

import pytest
from formulas import expressions, models
from hypothesis import given, settings
from hypothesis import strategies as st

from glamm.errors import FormulaError, Span
from glamm.grammar import parse, parse_expression, unparse
from glamm.grammar.ast import Measurement, Model, Node, Target

# Trees are cheap to parse but not to draw, and the first example builds the parser.
generated = settings(deadline=None, max_examples=100)

# Signs of the language, pieces of it, and what is foreign to it: a minus sign, half a character, a mark.
SIGNS = "** =~ ~~ := == || x y g 0 1 9 1e5 eta1 family( label(b)* npml( {x} c[ \u2212 \ud800 \u0301 \x00 é²"
PUNCTUATION = "~+-*/:^|()[]{}=<>,;`'\"#.%$ \n\t\r"
ALPHABET = st.sampled_from([*PUNCTUATION, *SIGNS.split(), "y ~ ", "(1 | g)", "`a b`", '"t"', "\r\n"])


def nodes(value):
    """Yield every node in a tree."""
    if isinstance(value, tuple):
        for item in value:
            yield from nodes(item)
    elif isinstance(value, Node):
        yield value
        for item in fields(value):
            yield from nodes(getattr(value, item.name))


@generated
@given(models)
def test_what_is_unparsed_parses_to_the_same_tree(model):
    assert parse(unparse(model)) == model


@generated
@given(models)
def test_canonical_text_is_a_fixed_point(model):
    text = unparse(model)
    assert unparse(parse(text)) == text


@generated
@given(expressions)
def test_an_expression_alone_parses_to_the_same_tree(expression):
    assert parse_expression(unparse(expression)) == expression


@generated
@given(models)
def test_spans_slice_to_text_of_the_node(model):
    text = unparse(model)
    for node in nodes(parse(text)):
        piece = node.span.slice(text)
        if isinstance(node, Model):
            assert parse(piece) == node
        elif node in model.statements:
            assert parse(piece) == Model((node,))
        elif isinstance(node, Target):
            assert unparse(node.variable) in unparse(parse_expression(piece.split(" | ")[0]))
        elif not isinstance(node, Measurement):
            assert parse_expression(piece) == node


def test_spans_hold_over_comments_and_line_ends():
    text = "y ~ f(a  # one\r\n\t+ b) * (\n 1 + x\n | g) +\n\n eta =~ (i1\n + i2)\r\n  z ~~ 2 * z"
    tree = parse(text)
    assert len(tree.statements) == 2
    for node in nodes(tree):
        if not isinstance(node, (Target, Measurement, Model, *(type(s) for s in tree.statements))):
            assert parse_expression(node.span.slice(text)) == node


def reads(text):
    """Parse `text` or get a proper error with its places inside the text."""
    for read in (parse, parse_expression):
        try:
            tree = read(text)
        except FormulaError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.span is None or 0 <= problem.span.start <= problem.span.end <= len(text)
            assert str(error)
        else:
            assert read(unparse(tree)) == tree


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40))
def test_any_text_gives_a_tree_or_a_formula_error(text):
    reads(text)


@settings(deadline=None, max_examples=500)
@given(st.lists(ALPHABET, max_size=25).map("".join))
def test_any_text_of_the_languages_own_signs_gives_a_tree_or_a_formula_error(text):
    reads(text)


OPENINGS = "( ) [ (] f( f(a, [1, c[x] { {' {( {x} {(} {- -( a**( a:( (a+ a*(b+ f(a= f(x,a=1, ' ` `a` # ;"
OPERATORS = "- x** a: a* a/ x^- ~ =~ | , a, $ % %a \u2212 a\u2212 ² a² é é. a. . 1 1x 1e 0. \x00 a< <-"
LINES = ["y ~ (\n", "{\n", "'\n", "`\n", "#\n", "\n", "\r", "y ~", "x ~ y\n", "x ~\n", "x $\n", '"\\']
SPACED = ["y ~ (", "; ", "1x ", "x y ", "- ", "x + ", "(1 | g) + ", "(1 | ", "eta =~ ", "(eta =~ ", "a <- "]
PIECES = [*OPENINGS.split(), *OPERATORS.split(), *LINES, *SPACED]


@pytest.mark.parametrize("prefix", ["", "y ~ "])
@pytest.mark.parametrize("piece", PIECES)
def test_time_is_bounded_and_nothing_is_too_deep(piece, prefix):
    text = prefix + piece * (8_000 // len(piece)) + "x"
    start = time.process_time()
    try:
        unparse(parse(text))
    except FormulaError as error:
        assert str(error)
        assert len(str(error)) < 100_000
    # A linear reader takes a fraction of a second, one that is quadratic in these pieces many.
    assert time.process_time() - start < 5


@pytest.mark.parametrize("operator", ["+", "-"])
def test_a_sum_of_thousands_of_terms(operator):
    text = "y ~ " + f" {operator} ".join(f"x{i}" for i in range(5000))
    tree = parse(text)
    assert unparse(tree) == text
    assert parse(text) == tree
    assert hash(parse(text)) == hash(tree)
    assert repr(tree).count("Binary(") == 4999
    assert tree.statements[0].terms.span == Span(4, len(text))
