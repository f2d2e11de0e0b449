"""The models of docs/item-response.md fit, and their log-likelihoods are those of wide data on a lattice."""

import re
from pathlib import Path

import pytest
from cookbook_data import DATA, GUESSED, WIDE
from latent_models import Latent, Response, Structure, Term, by_lattice

import glamm
from glamm.inference import Objective

TEXT = (Path(__file__).parents[1] / "docs" / "item-response.md").read_text(encoding="utf-8")
MODELS = dict(re.findall(r"## (.*?)\n\n.*?```glamm\n(.*?)```", TEXT, re.DOTALL))
I4, I6, P3 = [f"i{k}" for k in (1, 2, 3, 4)], [f"i{k}" for k in range(1, 7)], ["p1", "p2", "p3"]
THETA = {"theta": I4}


def loadings(b, measured, item):
    """Return the terms of the latent variables of an item; a loading that is no parameter is 1."""
    return tuple(
        Term(b.get(f"{latent} =~ {item}", 1.0), (), (latent,))
        for latent, items in measured.items()
        if item in items
    )


def binary(b, measured, items):
    """Return 0/1 items in wide data."""
    return [Response(i, "row", "logit", (Term(b[f"{i} ~ 1"]), *loadings(b, measured, i))) for i in items]


def model(latents, responses, covariance, levels=("row",)):
    return Structure(levels, tuple(latents), tuple(responses), covariance)


def rasch(b):
    terms = {i: (Term(b[f"y ~ item[{i}]"]), Term(b["sd(1 | person)"], (), ("theta",))) for i in I6}
    responses = [Response(i, "row", "logit", terms[i]) for i in I6]
    return model([Latent("theta", "row")], responses, {("theta", "theta"): 1.0})


def two_parameter(b):
    return model([Latent("theta", "row")], binary(b, THETA, I4), {("theta", "theta"): b["theta ~~ theta"]})


def guessing(b):
    shape = (b["guess(y)"], b.get("slip(y)", 0.0))
    responses = [
        Response(
            f"i{k}",
            "row",
            "asymptotes",
            (Term(b[f"y ~ item[i{k}]"]), Term(b.get(f"theta =~ y:item[i{k}]", 1.0), (), ("theta",))),
            shape,
        )
        for k in range(1, 9)
    ]
    return model([Latent("theta", "row")], responses, {("theta", "theta"): b["theta ~~ theta"]})


def ordered(b, family, cut):
    """Return items in ordered categories with cuts and loadings of their own."""
    measured = {"theta": P3}
    responses = [
        Response(p, "row", family, loadings(b, measured, p), (b[f"{cut}({p})[0|1]"], b[f"{cut}({p})[1|2]"]))
        for p in P3
    ]
    return model([Latent("theta", "row")], responses, {("theta", "theta"): b["theta ~~ theta"]})


def rated(b):
    """Return items with one loading: locations, steps, or steps that differ between items."""
    responses = []
    for p in P3:
        location = b.get(f"y ~ item[T.{p}]", 0.0)
        steps = [
            b[f"step(y)[{k}|{k + 1}]"] + b.get(f"step(y)[{k}|{k + 1}] ~ item[T.{p}]", 0.0) for k in (0, 1)
        ]
        terms = (Term(location), Term(b["sd(1 | person)"], (), ("theta",)))
        responses.append(Response(p, "row", "adjacent", terms, tuple(steps)))
    return model([Latent("theta", "row")], responses, {("theta", "theta"): 1.0})


def nominal(b):
    responses = [
        Response(
            p,
            "row",
            "nominal",
            (Term(1.0, (), ("theta",)),),
            (
                b[f"{p}[1] ~ 1"],
                b[f"{p}[2] ~ 1"],
                b.get(f"theta =~ {p}[1]", 1.0),
                b[f"theta =~ {p}[2]"],
            ),
        )
        for p in P3
    ]
    return model([Latent("theta", "row")], responses, {("theta", "theta"): b["theta ~~ theta"]})


def explained(b):
    """Return items whose intercepts follow from their properties."""
    responses = []
    for k in range(1, 7):
        intercept = b["y ~ 1"] + b["y ~ steps"] * (k % 3) + b["y ~ negation"] * (k % 2)
        terms = (Term(intercept), Term(b["sd(1 | person)"], (), ("theta",)))
        responses.append(Response(f"i{k}", "row", "logit", terms))
    return model([Latent("theta", "row")], responses, {("theta", "theta"): 1.0})


def regressed(b):
    terms = tuple(Term(b[f"theta ~ {x}"], (x,)) for x in ("female", "age"))
    return model(
        [Latent("theta", "row", terms)], binary(b, THETA, I4), {("theta", "theta"): b["theta ~~ theta"]}
    )


def biased(b):
    responses = binary(b, THETA, I4)
    direct = (
        Term(b["i3 ~ female"], ("female",)),
        Term(b["i3 ~ theta:female"], ("female",), ("theta",)),
    )
    responses[2] = Response("i3", "row", "logit", responses[2].terms + direct)
    latent = Latent("theta", "row", (Term(b["theta ~ female"], ("female",)),))
    return model([latent], responses, {("theta", "theta"): b["theta ~~ theta"]})


def several(b, measured):
    """Return 0/1 items of several abilities."""
    pairs = [(one, two) for one in measured for two in measured]
    covariance = {pair: b[" ~~ ".join(pair)] for pair in pairs if " ~~ ".join(pair) in b}
    return model([Latent(name, "row") for name in measured], binary(b, measured, I6), covariance)


def in_testlets(b):
    responses = [
        Response(
            i,
            "row",
            "logit",
            (
                Term(b[f"y ~ item[{i}]"]),
                Term(b["sd(1 | person)"], (), ("person",)),
                Term(b["sd(1 | person:testlet)"], (), ("a" if i in I6[:3] else "b",)),
            ),
        )
        for i in I6
    ]
    names = ("person", "a", "b")
    return model([Latent(n, "row") for n in names], responses, {(n, n): 1.0 for n in names})


def of_schools(b):
    terms = (Term(b["theta ~ age"], ("age",)), Term(b["sd(theta: 1 | school)"], (), ("u",)))
    latents = [Latent("u", "school"), Latent("theta", "row", terms)]
    covariance = {("u", "u"): 1.0, ("theta", "theta"): b["theta ~~ theta"]}
    return model(latents, binary(b, THETA, I4), covariance, ("school", "row"))


MEANING = {
    "Rasch model": rasch,
    "Two-parameter logistic model": two_parameter,
    "Three-parameter logistic model": guessing,
    "Four-parameter logistic model": guessing,
    "Graded response model": lambda b: ordered(b, "ordinal", "threshold"),
    "Rating scale model": rated,
    "Partial credit model": rated,
    "Generalized partial credit model": lambda b: ordered(b, "adjacent", "step"),
    "Nominal response model": nominal,
    "Linear logistic test model": explained,
    "Latent regression": regressed,
    "Differential item functioning": biased,
    "Multidimensional model": lambda b: several(b, {"verbal": I6[:3], "spatial": I6[2:]}),
    "Bifactor model": lambda b: several(b, {"general": I6, "verbal": I6[:3], "spatial": I6[3:]}),
    "Testlet model": in_testlets,
    "Multilevel item response model": of_schools,
}
STEP = {1: 0.05, 2: 0.2, 3: 0.4}
POINTS = {1: (11, 81), 2: (7, 51), 3: (5, 25)}
"""Of the fit, and of the check, by the number of latent variables."""


def wide(name):
    if name not in GUESSED:
        return WIDE
    return GUESSED[name].pivot(index="person", columns="item", values="y").reset_index(drop=True)


def log_likelihood(structure, data):
    """Return the log-likelihood of wide data, equal rows without groups at one go."""
    step = STEP[len(structure.latents)]
    if len(structure.levels) > 1:
        return by_lattice(structure, data, step).sum()
    terms = [term for part in (*structure.latents, *structure.responses) for term in part.terms]
    columns = {column for term in terms for column in term.columns} | {r.name for r in structure.responses}
    patterns = data.value_counts(sorted(columns)).reset_index()
    return patterns["count"] @ by_lattice(structure, patterns, step)


def test_every_model_is_checked():
    assert list(MODELS) == list(MEANING)


@pytest.mark.parametrize("name", MEANING)
def test_log_likelihood(name):
    model = glamm.Model(MODELS[name], DATA[name])
    plan, parameters = model.lowered.plan, model.lowered.parameters
    few, many = POINTS[sum(len(level.factor) for level in plan.levels)]
    found = model.fit(points=few)
    assert found.converged, found.status
    log_likelihood_there = Objective(plan, many).value(parameters.theta(found.params.to_numpy(), plan.start))
    expected = log_likelihood(MEANING[name](found.params.to_dict()), wide(name))
    assert log_likelihood_there == pytest.approx(expected, abs=1e-6)
