"""Every construct of the language: what tree it makes, and how it is written in canonical form."""

import copy
import pickle
import re
import subprocess
import sys

import pytest
from lark import Lark

from glamm.errors import FormulaError
from glamm.grammar import parse, parse_expression, unparse
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
    Name,
    Number,
    Python,
    Random,
    Regression,
    Target,
    Text,
    Unary,
)
from glamm.grammar.build import TreeBuilder
from glamm.grammar.lalr import check_rules

A, B, C, G, X, Y = (Name(letter) for letter in "abcgxy")
ONE = Number(1)


def add(*terms):
    """Return the sum of terms."""
    total = terms[0]
    for term in terms[1:]:
        total = Binary("+", total, term)
    return total


EXPRESSIONS = {
    "x": X,
    "größe": Name("größe"),
    "x.1": Name("x.1"),
    "`my col`": Name("my col", quoted=True),
    "`y ~ x`": Name("y ~ x", quoted=True),
    "1": ONE,
    "1e-3": Number(0.001),
    ".5": Number(0.5),
    "'a\"b'": Text('a"b'),
    '"a\\"b\\\\c\\n"': Text('a"b\\c\n'),
    r"'\d'": Text(r"\d"),
    "{x**2 + 1}": Python("x**2 + 1"),
    "{ f({'}': 1}, '}') }": Python(" f({'}': 1}, '}') "),
    "c[complier]": Index("c", "complier"),
    "c['never taker']": Index("c", "never taker"),
    "c[2]": Index("c", "2"),
    "`my c`[`x`]": Index("my c", "x"),
    "-1": Unary("-", ONE),
    "- - x": Unary("-", Unary("-", X)),
    "a + b - c": Binary("-", add(A, B), C),
    "a + (b - c)": Binary("+", A, Binary("-", B, C)),
    "a + b*c": add(A, Binary("*", B, C)),
    "(a + b)*c": Binary("*", add(A, B), C),
    "a*b:c": Binary("*", A, Binary(":", B, C)),
    "a/b*c": Binary("*", Binary("/", A, B), C),
    "a:b**2": Binary(":", A, Binary("**", B, Number(2))),
    "(a + b)**2": Binary("**", add(A, B), Number(2)),
    "(a + b)^2": Binary("**", add(A, B), Number(2)),
    "a**b**c": Binary("**", A, Binary("**", B, C)),
    "(a**b)**c": Binary("**", Binary("**", A, B), C),
    "-a**2": Unary("-", Binary("**", A, Number(2))),
    "(-a)**2": Binary("**", Unary("-", A), Number(2)),
    "-0.5*x": Binary("*", Unary("-", Number(0.5)), X),
    "a**-1": Binary("**", A, Unary("-", ONE)),
    "((a))": A,
    "x > 0": Binary(">", X, Number(0)),
    "(x == a) + b": add(Binary("==", X, A), B),
    "f()": Call("f"),
    "np.log(x)": Call("np.log", (X,)),
    "offset(log(a))": Call("offset", (Call("log", (A,)),)),
    "I(x^2)": Call("I", (Binary("**", X, Number(2)),)),
    "I(x > 0)": Call("I", (Binary(">", X, Number(0)),)),
    "bs(x, df=4)": Call("bs", (X,), (("df", Number(4)),)),
    "bs(x, knots=[1, -2])": Call("bs", (X,), (("knots", List((ONE, Unary("-", Number(2))))),)),
    "f([])": Call("f", (List(()),)),
    "C(x, contr.treatment('a'))": Call("C", (X, Call("contr.treatment", (Text("a"),)))),
    "f(a=x > 0)": Call("f", (), (("a", Binary(">", X, Number(0))),)),
    "(1 | g)": Random(ONE, G),
    "(1 + x | g)": Random(add(ONE, X), G),
    "(1 + x || g)": Random(add(ONE, X), G, correlated=False),
    "(1 | a/b)": Random(ONE, Binary("/", A, B)),
    "(1 | a:b)": Random(ONE, Binary(":", A, B)),
    "(0 + x|`my g`)": Random(add(Number(0), X), Name("my g", quoted=True)),
    "npml(1 + x | g, k=4)": Call("npml", (Random(add(ONE, X), G),), (("k", Number(4)),)),
    "student_t(1 || g, df=5)": Call("student_t", (Random(ONE, G, False),), (("df", Number(5)),)),
    "(eta =~ a + b)": Inline(Measurement((Target(Name("eta")),), add(A, B))),
    "x + (eta | g =~ a)*b": add(X, Binary("*", Inline(Measurement((Target(Name("eta"), G),), A)), B)),
    "x + eta =~ a + b": add(X, Inline(Measurement((Target(Name("eta")),), add(A, B)))),
    "label(b)*start(0.5)*x": Binary("*", Binary("*", Call("label", (B,)), Call("start", (Number(0.5),))), X),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text):
    assert parse_expression(text) == EXPRESSIONS[text]


def target(name, level=None):
    return Target(Name(name), level and Name(level))


STATEMENTS = {
    "y ~ x": Regression((target("y"),), X),
    "y~-1+x": Regression((target("y"),), add(Unary("-", ONE), X)),
    "a + b ~ x": Regression((target("a"), target("b")), X),
    "a + b | g ~ 1": Regression((target("a", "g"), target("b", "g")), ONE),
    "surv(a, b) ~ x": Regression((Target(Call("surv", (A, B))),), X),
    "cbind(a, b - a) ~ 1": Regression((Target(Call("cbind", (A, Binary("-", B, A)))),), ONE),
    "sigma(y) ~ x": Regression((Target(Call("sigma", (Y,))),), X),
    "a | g =~ y:x": Measurement((target("a", "g"),), Binary(":", Y, X)),
    "a =~ 1*b + NA*c": Measurement((target("a"),), add(Binary("*", ONE, B), Binary("*", Name("NA"), C))),
    "a ~~ 0.5*b": Covariance(A, Binary("*", Number(0.5), B)),
    "a ~~ 1": Covariance(A, ONE),
    "a == b": Constraint("==", A, B),
    "`y ~ x` >= 0": Constraint(">=", Name("y ~ x", quoted=True), Number(0)),
    "a + b == 1": Constraint("==", add(A, B), ONE),
    "x := a*b": Definition("x", Binary("*", A, B)),
    "`a b` := a": Definition("a b", A),
    "family(y) = poisson": FamilyOf((Y,), Name("poisson")),
    "family(a, b) = binomial(power(2))": FamilyOf((A, B), Call("binomial", (Call("power", (Number(2),)),))),
    "family(surv(a, b)) = weibull": FamilyOf((Call("surv", (A, B)),), Name("weibull")),
    "y ~ (a =~ b) + c =~ x": Regression(
        (target("y"),),
        add(Inline(Measurement((target("a"),), B)), Inline(Measurement((target("c"),), X))),
    ),
    "y ~ a | g =~ x": Regression((target("y"),), Inline(Measurement((target("a", "g"),), X))),
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement(text):
    assert parse(text).statements == (STATEMENTS[text],)


CANONICAL = [
    ("y~x+(1+x|school)+eta1=~i1+i2", "y ~ x + (1 + x | school) + eta1 =~ i1 + i2"),
    ("y ~ (eta1=~i1+i2)+x", "y ~ (eta1 =~ i1 + i2) + x"),
    ("y ~ x + (eta1=~i1)", "y ~ x + eta1 =~ i1"),
    ("y ~ x * (eta1=~i1)", "y ~ x*(eta1 =~ i1)"),
    ("verbal=~y1+y2;spatial=~y4", "verbal =~ y1 + y2\nspatial =~ y4"),
    ("theta|person=~y:item", "theta | person =~ y:item"),
    ("s1+s2|school~1", "s1 + s2 | school ~ 1"),
    ("cbind(r,n-r)~x", "cbind(r, n - r) ~ x"),
    (
        "y ~ time+(1+time|school / child);sigma( y )~time",
        "y ~ time + (1 + time | school/child)\nsigma(y) ~ time",
    ),
    ("family( drop )=binomial( cloglog )", "family(drop) = binomial(cloglog)"),
    (
        "c|id ~ classes('never',\"complier\",known = d)+age",
        'c | id ~ classes("never", "complier", known=d) + age',
    ),
    ("depress ~ base + c + c[ complier ] : treat", "depress ~ base + c + c[complier]:treat"),
    ("c ~ c['1'] + c['a b'] + c['']", 'c ~ c[1] + c["a b"] + c[""]'),
    ("y ~ npml(1 + x|g,k = 4)", "y ~ npml(1 + x | g, k=4)"),
    ("y ~ (a+b) ^ 2 + a * b + a / b + a : b - 1", "y ~ (a + b)**2 + a*b + a/b + a:b - 1"),
    ("y ~ a + (b + c) + (d*e)", "y ~ a + (b + c) + d*e"),
    ("y ~ ((x)) + ((a : b) : c) + a:(b:c)", "y ~ x + a:b:c + a:(b:c)"),
    ("y ~ 1.0 + 1e3*x + 1e300*z + .25", "y ~ 1 + 1000*x + 1e+300*z + 0.25"),
    ("eta~~1 * eta", "eta ~~ 1*eta"),
    ("`a b`:=`y ~ x`*b", "`a b` := `y ~ x`*b"),
    ("b1+b2==1; b>0; b < -1", "b1 + b2 == 1\nb > 0\nb < -1"),
    ("y ~ {x / 10} + I( (x > 0)*z )", "y ~ {x / 10} + I((x > 0)*z)"),
    ("y ~ mi(x)+z", "y ~ mi(x) + z"),
    ("choice(chosen,set) ~ price", "choice(chosen, set) ~ price"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text(text, canonical):
    assert unparse(parse(text)) == canonical
    assert parse(canonical) == parse(text)


FRAMEWORK = """
# one factor; two factors, independent clusters
g =~ french + english + math + music
verbal =~ y1 + y2 + y3;  spatial =~ y4 + y5 + y6
theta =~ i1 + i2 + i3 + i4 + i5                      # family="binomial"
y ~ 0 + item;  theta | person =~ y:item
y ~ 0 + item + (1 | person)
theta =~ i1 + i2 + i3 + i4;  theta ~ female;  i3 ~ female
y ~ time + (1 + time | school/child);  sigma(y) ~ time
b0 | id =~ 1*y;  b1 | id =~ 1*y:time
drop ~ time + treat + b0 + b1;  family(drop) = binomial(cloglog)
y ~ x + treat + eta;  treat ~ x + z + 1*eta;  eta ~~ 1*eta;  family(treat) = binomial(probit)
fibre =~ 1*diet1 + 1*diet2;  fibre ~ age + bus;  chd ~ age + bus + fibre
fibre ~ npml(6) + age + bus
c | id ~ classes("never", "complier", known=complied) + age + motivation
depress ~ base + c + c[complier]:treat
c =~ t1 + t2 + t3 + t4;  c ~ classes(3) + age
read | student =~ 1*r1 + r2 + r3
climate | school =~ s1 + s2 + s3;  s1 + s2 + s3 | school ~ 1
mean_read | school ~ ses
read ~ climate + 1*mean_read + w
sd(theta) ~ 0 + group; threshold(y) ~ w; sigma ~ z; ranking(rank, set) ~ x
"""


def test_the_models_of_the_framework():
    tree = parse(FRAMEWORK)
    written = re.split(r"[;\n]", re.sub(r"#.*", "", FRAMEWORK))
    assert len(tree.statements) == sum(bool(statement.strip()) for statement in written)
    assert parse(unparse(tree)) == tree


CONTINUED = [
    "y ~ x +\n z",
    "y ~ x + # and\n\n # more\n z",
    "y ~\r\n\tx + z\r\n",
    "y ~ (\n x +\n z\n)",
    "y ~ x\n\n\n;;\n".replace("x", "x + z"),
    "\ufeff y\t~ x\u00a0+ z  # end",
    "y ~ x + z\r",
]


@pytest.mark.parametrize("text", CONTINUED)
def test_lines(text):
    assert parse(text).statements == parse("y ~ x + z").statements


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", ";", " ; \n"])
def test_statements_end_at_a_line_end_or_semicolon(ending):
    assert parse(f"y ~ f(a,{ending.replace(';', '')} b){ending}z ~ x{ending}") == parse("y ~ f(a, b); z ~ x")


def test_spans_take_no_part_in_equality_but_are_exact():
    text = "y ~ a + (b + c)*2"
    tree = parse(text)
    terms = tree.statements[0].terms
    assert tree == parse(text.replace(" ", ""))
    assert [node.span.slice(text) for node in (terms, terms.left, terms.right, terms.right.left)] == [
        "a + (b + c)*2",
        "a",
        "(b + c)*2",
        "(b + c)",
    ]


def test_a_long_sum_copies_and_pickles():
    tree = parse("y ~ " + " + ".join(f"x{i}" for i in range(3000)))
    for other in (copy.deepcopy(tree), pickle.loads(pickle.dumps(tree))):
        assert other == tree
        assert other.statements[0].terms.left.span == tree.statements[0].terms.left.span


def test_binary_compares_with_other_nodes():
    assert parse_expression("a + b") != A
    assert parse_expression("a + b") != parse_expression("a - b")
    assert repr(Binary("+", A, B)) == f"Binary('+', {A!r}, {B!r})"


@pytest.mark.parametrize("text", ["(" * 50 + "x" + ")" * 50, "-" * 90 + "x", "*".join("x" * 90)])
def test_what_may_nest(text):
    parse_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "x" + ")" * 10_000,
        "(" * 51 + "x" + ")" * 51,
        "f(" * 51 + "x" + ")" * 51,
        "-" * 10_000 + "x",
        "**".join("x" * 10_000),
        ":".join("x" * 10_000),
        "(- - a**" * 40 + "x" + ")" * 40,
    ],
)
def test_what_nests_too_deeply(text):
    with pytest.raises(FormulaError, match=r"deeper than \d+"):
        parse("y ~ " + text)
    with pytest.raises(FormulaError, match=r"deeper than \d+"):
        parse(text + " ~ y")


def test_a_rule_without_a_method_is_refused():
    parser = Lark("start: name\nname: WORD\nWORD: /x/", parser="lalr")
    with pytest.raises(TypeError, match="no method builds the rule `start`"):
        check_rules(parser, TreeBuilder())


def test_importing_the_grammar_does_not_import_lark():
    code = "import sys, glamm.grammar; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
