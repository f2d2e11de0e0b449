"""Hypothesis strategies for trees of the model language, as the parser makes them."""

from __future__ import annotations

from hypothesis import strategies as st

from glamm.grammar.ast import (
    Binary,
    Call,
    Constraint,
    Covariance,
    Definition,
    FamilyOf,
    Index,
    Inline,
    List,
    Measurement,
    Model,
    Name,
    Number,
    Python,
    Random,
    Regression,
    Target,
    Text,
    Unary,
)

plain_words = st.sampled_from(
    ["x", "y", "eta1", "x.1", "np.log", "NA", "größe", "時間", "_a", "family", "label"]
)
odd_words = st.text(
    st.characters(blacklist_characters="`\r\n", blacklist_categories=["Cs"]), min_size=1, max_size=6
)
words = plain_words | odd_words
names = st.builds(Name, plain_words) | st.builds(Name, odd_words, quoted=st.just(True))
numbers = st.builds(
    Number,
    st.integers(0, 12).map(float) | st.floats(0, 1e300, allow_nan=False, allow_infinity=False).map(abs),
)
strings = st.builds(Text, st.text(st.characters(blacklist_categories=["Cs"]), max_size=6))
codes = st.builds(
    Python, st.sampled_from(["x", " x**2 + 1 ", "d['}'] % {1: 2}[1]", "f(x,\n 1)  # }\n", "a if b else c"])
)
indices = st.builds(Index, words, st.sampled_from(["complier", "1", "2.5"]) | st.text(max_size=4))
leaves = names | numbers | strings | codes | indices
groups = st.recursive(
    names, lambda inner: st.builds(Binary, st.sampled_from("/:"), inner, inner), max_leaves=3
)
keywords = st.sampled_from(["df", "k", "knots"])


def distinct(pairs):
    return tuple(dict(pairs).items())


def calls(inner, first):
    """Strategy of calls; `first` is what may stand as a positional argument besides `inner`."""
    items = st.lists(inner, max_size=3).map(tuple)
    values = inner | st.builds(List, items)
    pairs = st.lists(st.tuples(keywords, values), max_size=2).map(distinct)
    return st.builds(Call, plain_words, st.lists(values | first, max_size=3).map(tuple), pairs)


def extend(inner):
    random = st.builds(Random, inner, groups, st.booleans())
    operators = st.sampled_from(["+", "+", "-", "*", "/", ":", "**", "<", "=="])
    return (
        st.builds(Binary, operators, inner, inner)
        | st.builds(Unary, st.sampled_from("+-"), inner)
        | random
        | calls(inner, random)
        | st.builds(Inline, st.builds(Measurement, st.tuples(st.builds(Target, names, levels)), inner))
    )


levels = st.none() | names
expressions = st.recursive(leaves, extend, max_leaves=12)
small_calls = calls(leaves, st.nothing())
variables = names | small_calls.filter(lambda call: call.function != "family")
families = names | small_calls


@st.composite
def targets(draw):
    level = draw(levels)
    found = draw(st.lists(variables, min_size=1, max_size=3))
    return tuple(Target(variable, level) for variable in found)


comparisons = st.sampled_from(["==", "<", ">", "<=", ">="])
statements = st.one_of(
    st.builds(Regression, targets(), expressions),
    st.builds(Measurement, targets(), expressions),
    st.builds(Covariance, expressions, expressions),
    st.builds(FamilyOf, st.lists(names | small_calls, min_size=1, max_size=2).map(tuple), families),
    st.builds(Constraint, comparisons, expressions, expressions),
    st.builds(Definition, words, expressions),
)
models = st.builds(Model, st.lists(statements, min_size=1, max_size=4).map(tuple))
