"""The models of docs/structural-models.md fit, and their log-likelihoods are those of moments or lattices."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cookbook_data import ROWS, STRUCTURAL
from latent_models import Latent, Response, Structure, Term, by_lattice, by_moments, lattice
from scipy.special import logsumexp
from scipy.stats import norm

import glamm
from glamm.inference import Objective

TEXT = (Path(__file__).parents[1] / "docs" / "structural-models.md").read_text(encoding="utf-8")
MODELS = dict(re.findall(r"## (.*?)\n\n.*?```glamm\n(.*?)```", TEXT, re.DOTALL))
GROUPS = pd.concat([ROWS, pd.get_dummies(ROWS["group"], dtype=float)], axis=1)
LATENT = {"f", "g", "climate", "exposure", "e", "b0", "b1"}
FACTORS = {name: [f"{letter}{k}" for k in (1, 2, 3)] for name, letter in zip("fgh", "abc", strict=True)}


def indicators(b, measured, level="row", **more):
    """Return Gaussian indicators of factors: intercepts, loadings (1 where not estimated), other terms."""
    return [
        Response(
            y,
            level,
            "gaussian",
            (Term(b.get(f"{y} ~ 1", 0.0)), Term(b.get(f"{f} =~ {y}", 1.0), (), (f,)), *more.get(y, ())),
            (b[f"sigma({y})"],),
        )
        for f, items in measured.items()
        for y in items
    ]


def variances(b, *names):
    """Return the variances and covariances of latent variables that are parameters."""
    pairs = [(one, two) for one in names for two in names]
    return {pair: b[" ~~ ".join(pair)] for pair in pairs if " ~~ ".join(pair) in b}


def slopes(b, name, *others):
    """Return the terms of columns and latent variables in a regression."""
    return tuple(
        Term(b[f"{name} ~ {other}"], (), (other,))
        if other in LATENT
        else Term(b[f"{name} ~ {other}"], (other,))
        for other in others
    )


def factors(*names):
    return {name: FACTORS[name] for name in names}


def confirmatory(b):
    latents = (Latent("f", "row"), Latent("g", "row"))
    return Structure(("row",), latents, tuple(indicators(b, factors("f", "g"))), variances(b, "f", "g"))


def structural(b):
    latents = (Latent("f", "row", slopes(b, "f", "x")), Latent("g", "row", slopes(b, "g", "f", "x")))
    assert b["indirect"] == pytest.approx(b["f ~ x"] * b["g ~ f"], rel=1e-12)
    return Structure(("row",), latents, tuple(indicators(b, factors("f", "g"))), variances(b, "f", "g"))


def causes(b):
    latents = (Latent("f", "row", slopes(b, "f", "x", "w")),)
    responses = indicators(b, factors("f"), a3=slopes(b, "a3", "w"))
    return Structure(("row",), latents, tuple(responses), variances(b, "f"))


def second_order(b):
    latents = [Latent("top", "row")]
    latents += [Latent(f, "row", (Term(b.get(f"top =~ {f}", 1.0), (), ("top",)),)) for f in FACTORS]
    responses = indicators(b, FACTORS)
    return Structure(("row",), tuple(latents), tuple(responses), variances(b, "top", *FACTORS))


def growth(b):
    latents = [
        Latent(name, "row", (Term(b[f"{name} ~ 1"]), *slopes(b, name, "x"))) for name in ("level", "slope")
    ]
    responses = [
        Response(
            f"t{k}",
            "row",
            "gaussian",
            (Term(1.0, (), ("level",)), Term(float(k), (), ("slope",))),
            (np.sqrt(b[f"t{k} ~~ t{k}"]),),
        )
        for k in range(4)
    ]
    return Structure(("row",), tuple(latents), tuple(responses), variances(b, "level", "slope"))


def groups(b):
    means = (Term(b["f ~ group[T.two]"], ("two",)),)
    scales = tuple(Term(b[f"sd(f) ~ group[{name}]"], (name,)) for name in ("one", "two"))
    responses = []
    for y in FACTORS["f"]:
        loads = [Term(b.get(f"f =~ {y}:group[{name}]", 1.0), (name,), ("f",)) for name in ("one", "two")]
        terms = (Term(b.get(f"{y} ~ 1", 0.0)), *loads)
        responses.append(Response(y, "row", "gaussian", terms, (b[f"sigma({y})"],)))
    return Structure(("row",), (Latent("f", "row", means, scales),), tuple(responses), {("f", "f"): 1.0})


def multilevel(b):
    latents = (
        Latent("climate", "school"),
        Latent("mean", "school", slopes(b, "mean", "ses")),
        Latent("read", "row", (*slopes(b, "read", "climate", "x"), Term(1.0, (), ("mean",)))),
    )
    responses = indicators(b, {"climate": ["s1", "s2", "s3"]}, "school")
    responses += indicators(b, {"read": FACTORS["f"]})
    return Structure(("school", "row"), latents, tuple(responses), variances(b, "climate", "mean", "read"))


def measurement_error(b):
    latents = (Latent("exposure", "row", slopes(b, "exposure", "x")),)
    responses = [
        Response(
            m,
            "row",
            "gaussian",
            (Term(b[f"{m} ~ 1"]), Term(1.0, (), ("exposure",))),
            (np.sqrt(b[f"{m} ~~ {m}"]),),
        )
        for m in ("m1", "m2")
    ]
    ill = (Term(b["ill ~ 1"]), *slopes(b, "ill", "x", "exposure"))
    responses.append(Response("ill", "row", "logit", ill))
    return Structure(("row",), latents, tuple(responses), variances(b, "exposure"))


def hidden(b, outcome, binary, *columns):
    """Return an outcome and a binary response that share something unobserved."""
    own = (Term(b[f"{outcome} ~ 1"]), *slopes(b, outcome, *columns, "e"))
    other = (Term(b[f"{binary} ~ 1"]), *slopes(b, binary, "x", "w"), Term(1.0, (), ("e",)))
    responses = (
        Response(outcome, "row", "gaussian", own, (b[f"sigma({outcome})"],)),
        Response(binary, "row", "probit", other),
    )
    return Structure(("row",), (Latent("e", "row"),), responses, {("e", "e"): 1.0})


def dropout(b):
    v = (Term(b["v ~ 1"]), *slopes(b, "v", "time"), Term(1.0, (), ("b0",)), Term(1.0, ("time",), ("b1",)))
    drop = (Term(b["drop ~ 1"]), *slopes(b, "drop", "time", "b0", "b1"))
    responses = (
        Response("v", "row", "gaussian", v, (b["sigma(v)"],)),
        Response("drop", "row", "cloglog", drop),
    )
    latents = (Latent("b0", "id"), Latent("b1", "id"))
    return Structure(("id", "row"), latents, responses, variances(b, "b0", "b1"))


def interaction(b):
    latents = (Latent("f", "row"), Latent("g", "row"))
    y = (Term(b["y ~ 1"]), *slopes(b, "y", "f", "g"), Term(b["y ~ f:g"], (), ("f", "g")))
    responses = [*indicators(b, factors("f", "g")), Response("y", "row", "gaussian", y, (b["sigma(y)"],))]
    return Structure(("row",), latents, tuple(responses), variances(b, "f", "g"))


MEANING = {
    "Confirmatory factor analysis": confirmatory,
    "Structural equation model": structural,
    "Multiple indicators, multiple causes": causes,
    "Second-order factors": second_order,
    "Growth curves": growth,
    "Multiple groups": groups,
    "Multilevel structural equation model": multilevel,
    "Covariate measurement error": measurement_error,
    "Endogenous treatment": lambda b: hidden(b, "treated", "treat", "x", "treat"),
    "Sample selection": lambda b: hidden(b, "outcome", "seen", "x"),
    "Dropout": dropout,
    "Latent interactions": interaction,
}


def missing_covariate(b, data):
    """Return the log-likelihood in closed form: the covariate where it is missing is integrated out."""
    mean = b["z ~ 1"] + b["z ~ x"] * data["x"] + b["z ~ w"] * data["w"]
    seen = data["z"].notna()
    z = data["z"].where(seen, mean)
    sd = np.where(seen, b["sigma(late)"], np.hypot(b["sigma(late)"], b["late ~ mi(z)"] * b["sigma(z)"]))
    late = norm.logpdf(data["late"], b["late ~ 1"] + b["late ~ x"] * data["x"] + b["late ~ mi(z)"] * z, sd)
    return late.sum() + norm.logpdf(data["z"], mean, b["sigma(z)"])[seen].sum()


def chosen_in_turn(b, data, name, taken):
    """Return the log-likelihood of choices from what is left, with a random coefficient, on a lattice."""
    nodes, log_weight = lattice(1, 0.02, 8.0)
    total = 0.0
    for _, person in data.groupby("id"):
        log = log_weight.copy()
        for _, rows in person.groupby("set"):
            rows = rows.sort_values("rank")
            taste = b[f"{name} ~ price"] + b["sd(price | id)"] * nodes[:, 0]
            nu = np.outer(rows["price"], taste) + b[f"{name} ~ quality"] * rows["quality"].to_numpy()[:, None]
            for k in range(taken):
                log += nu[k] - logsumexp(nu[k:], axis=0)
        total += logsumexp(log)
    return total


OTHERWISE = {
    "Missing covariates": missing_covariate,
    "Discrete choice": lambda b, data: chosen_in_turn(b, data, "choice(chosen, set)", 1),
    "Rankings": lambda b, data: chosen_in_turn(b, data, "ranking(rank, set)", 2),
}


def test_every_model_is_checked():
    assert sorted(MODELS) == sorted([*MEANING, *OTHERWISE])


def expected(name, b, data):
    if name in OTHERWISE:
        return OTHERWISE[name](b, data)
    structure = MEANING[name](b)
    if structure.is_gaussian:
        return by_moments(structure, data).sum()
    return by_lattice(structure, data, 0.02 if len(structure.latents) == 1 else 0.1).sum()


@pytest.mark.parametrize("name", MODELS)
def test_log_likelihood(name):
    data = STRUCTURAL.get(name, GROUPS)
    model = glamm.Model(MODELS[name], data)
    plan, parameters = model.lowered.plan, model.lowered.parameters
    found = model.fit(points=7)
    assert found.converged, found.status
    theta = parameters.theta(found.params.to_numpy(), plan.start)
    many = 1 if Objective(plan, 1).exact else 31
    value = Objective(plan, many).value(theta)
    assert value == pytest.approx(expected(name, found.params.to_dict(), data), abs=1e-6)
