"""Hypothesis strategies for models with latent variables: text, data, values of parameters, and structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from latent_models import Latent, Response, Structure, Term

LEVELS = ("h", "g", "row")
"""The highest first."""

ITEMS = ("a", "b", "c")


@dataclass(frozen=True)
class Drawn:
    """A model as text, the values of all its parameters by name, and what it means."""

    text: str
    values: Mapping[str, float]
    structure: Structure
    data: pd.DataFrame


@dataclass
class Draft:
    """What is known of a model while it is drawn."""

    levels: tuple[str, ...]
    levels_of: dict[str, str]
    rng: np.random.RandomState
    most: int
    values: dict[str, float] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    terms: dict[str, list[Term]] = field(default_factory=dict)
    scales: dict[str, list[Term]] = field(default_factory=dict)
    covariance: dict[tuple[str, str], float] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    indicators: set[str] = field(default_factory=set)
    effects: dict[str, str] = field(default_factory=dict)
    regressed: set[str] = field(default_factory=set)
    predicting: set[str] = field(default_factory=set)
    labels: dict[str, float] = field(default_factory=dict)

    def number(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, high)), 3)

    def coefficient(self, name: str, draw, low: float = -0.5, high: float = 0.5) -> tuple[str, float]:
        """Return a modifier and the value of a coefficient."""
        value = self.number(low, high)
        match draw(st.sampled_from(["free", "free", "held", "label"])):
            case "held":
                return f"{value:g}*", value
            case "label":
                value = self.labels.setdefault("b", value)
                self.values[name] = value
                return "label(b)*", value
        self.values[name] = value
        return "", value

    def reaches(self, upper: str, lower: str) -> bool:
        """Return whether one variable lives at the level of another or above."""
        return self.levels.index(self.levels_of[upper]) <= self.levels.index(self.levels_of[lower])

    def columns(self, name: str) -> list[str]:
        """Return the numeric columns that may predict a variable, those of the lowest level first."""
        of_level = {"row": "x", "g": "wg", "h": "wh"}
        depth = self.levels.index(self.levels_of[name])
        return [of_level[level] for level in reversed(self.levels[: depth + 1])]

    def target(self, name: str) -> str:
        """Return a variable as the left-hand side of a statement."""
        level = self.levels_of[name]
        return name if level == "row" else f"{name} | {level}"

    def has_product(self) -> bool:
        return any(len(term.latents) == 2 for terms in self.terms.values() for term in terms)


@st.composite
def models(draw, gaussian: bool) -> Drawn:
    """Draw a model: of Gaussian responses and linear in the latent variables, or with neither promise."""
    levels = LEVELS[draw(st.integers(0, 2)) :]
    latents = {
        f"f{k}": draw(st.sampled_from(levels)) for k in range(draw(st.integers(1, 4 if gaussian else 3)))
    }
    responses = {f"y{k}": draw(st.sampled_from([*levels, "row"])) for k in range(draw(st.integers(1, 3)))}
    responses["last"] = "row"
    kinds = ["gaussian"] if gaussian else ["gaussian", "logit", "probit", "poisson", "ordinal"]
    families = {name: draw(st.sampled_from(kinds)) for name in responses}
    rng = np.random.RandomState(draw(st.integers(0, 10**6)))
    draft = Draft(levels, latents | responses, rng, (5 if gaussian else 3) - len(latents))
    draft.terms = {name: [] for name in draft.levels_of}
    for position, name in enumerate(latents):
        if draw(st.integers(0, 3)):
            _measure(draw, draft, name, [*responses, *list(latents)[position + 1 :]])
    for position, name in enumerate(latents):
        _regress_latent(draw, draft, name, list(latents)[:position], not gaussian)
    for name, family in families.items():
        _regress_response(draw, draft, name, family, list(latents), not gaussian)
    _covary(draw, draft, list(latents))
    shapes = {name: _shape(draft, name, family) for name, family in families.items()}
    structure = Structure(
        levels,
        tuple(
            Latent(name, level, tuple(draft.terms.get(name, ())), tuple(draft.scales.get(name, ())))
            for name, level in (draft.effects | latents).items()
        ),
        tuple(
            Response(
                name,
                level,
                families[name],
                tuple(draft.terms[name]),
                shapes[name],
                tuple(draft.scales.get(name, ())),
            )
            for name, level in responses.items()
        ),
        draft.covariance,
    )
    text = "\n".join(draw(st.permutations(draft.statements)))
    return Drawn(text, draft.values, structure, _simulate(draft, families))


def _measure(draw, draft: Draft, name: str, others: list[str]) -> None:
    """Write ``name =~ ...`` on some responses and latent variables of its level or below."""
    below = [y for y in others if draft.reaches(name, y)]
    chosen = draw(st.lists(st.sampled_from(below), min_size=1, max_size=3, unique=True))
    scale = draw(st.sampled_from(["marker", "marker", "variance", "written"]))
    if scale == "variance":
        value = draft.covariance[name, name] = draft.number(0.5, 1.2)
        draft.statements.append(f"{name} ~~ {value:g}*{name}")
    parts = []
    for y in chosen:
        factor = draw(st.sampled_from(["", "item", *draft.columns(y)]))
        if y.startswith("f"):
            draft.indicators.add(y)
        if factor == "item" and draft.levels_of[y] == "row":
            columns = [(f":item[{item}]", (f"item_{item}",)) for item in ITEMS]
        else:
            factor = "" if factor == "item" else factor
            columns = [(f":{factor}", (factor,)) if factor else ("", ())]
        modifier = ""
        for shown, design in columns:
            value = 1.0
            if scale == "marker":
                scale = "marked"
            elif scale == "written" and len(columns) == 1:
                modifier, value = draft.coefficient(f"{name} =~ {y}{shown}", draw, 0.4, 1.0)
                modifier, scale = modifier or "NA*", "marked"
            else:
                value = draft.values[f"{name} =~ {y}{shown}"] = draft.number(0.4, 1.0)
                modifier = "NA*" if scale == "written" else ""
            draft.terms[y].append(Term(value, design, (name,)))
        scale = "marked" if scale == "written" else scale
        parts.append(f"{modifier}{y}:{factor}" if factor else modifier + y)
    draft.measured.add(name)
    draft.statements.append(f"{draft.target(name)} =~ {' + '.join(parts)}")


def _predict(draw, draft: Draft, owner: str, latents: list[str], products: bool) -> list[str]:
    """Draw the terms of a regression, with their coefficients; return their texts."""
    columns = draft.columns(owner)
    chosen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    if draw(st.booleans()):
        chosen.append(((), (draw(st.sampled_from(columns)),)))
    fewest = min(len(latents), draw(st.integers(0, 2)))
    some = (
        st.lists(st.sampled_from(latents), min_size=fewest, max_size=2, unique=True)
        if latents
        else st.just([])
    )
    for latent in draw(some):
        chosen.append(((latent,), draw(st.sampled_from([(), (), (columns[0],)]))))
    if products and latents and not draft.has_product() and draw(st.booleans()):
        pair = draw(st.lists(st.sampled_from(latents), min_size=2, max_size=2))
        chosen.append((tuple(sorted(pair)), ()))
    texts = []
    for pair, design in chosen:
        shown = ":".join(pair + design)
        size = 0.2 if len(pair) == 2 else 0.5
        modifier, value = draft.coefficient(f"{owner} ~ {shown}", draw, -size, size)
        draft.terms[owner].append(Term(value, design, pair))
        draft.predicting.update(pair)
        texts.append(modifier + shown)
    return texts


def _regress_latent(draw, draft: Draft, name: str, earlier: list[str], products: bool) -> None:
    own = {latent for term in draft.terms[name] for latent in term.latents}
    latents = [other for other in earlier if draft.reaches(other, name) and other not in own]
    texts = _predict(draw, draft, name, latents, products) if draw(st.integers(0, 3)) else []
    if texts:
        draft.regressed.add(name)
    if name not in draft.measured or draw(st.booleans()):
        value = draft.values[f"{name} ~ 1"] = draft.number(-0.3, 0.3)
        draft.terms[name].append(Term(value))
        texts.insert(0, "1")
    texts += _add_effects(draw, draft, name)
    if texts:
        draft.statements.append(f"{draft.target(name)} ~ {' + '.join(texts)}")
    if (name, name) not in draft.covariance and draw(st.integers(0, 2)) == 0:
        column = draw(st.sampled_from(draft.columns(name)))
        draft.statements.append(f"sd({name}) ~ {column}")
        draft.scales[name] = []
        for shown, design in (("1", ()), (column, (column,))):
            value = draft.values[f"sd({name}) ~ {shown}"] = draft.number(-0.3, 0.2)
            draft.scales[name].append(Term(value, design))


def _regress_response(draw, draft: Draft, name: str, family: str, latents: list[str], products: bool) -> None:
    """Write the regression of a response; the last one takes what nothing has needed yet."""
    own = {latent for term in draft.terms[name] for latent in term.latents}
    available = [f for f in latents if draft.reaches(f, name) and f not in own]
    texts = []
    if name == "last":
        for latent in sorted(set(latents) - draft.measured - draft.predicting):
            value = draft.values[f"last ~ {latent}"] = draft.number(0.4, 1.0)
            draft.terms[name].append(Term(value, (), (latent,)))
            draft.predicting.add(latent)
            texts.append(latent)
            available.remove(latent)
    if draw(st.booleans()):
        texts += _predict(draw, draft, name, available, products)
    texts += _add_effects(draw, draft, name)
    if texts or not own or draft.levels_of[name] != "row":
        draft.statements.append(f"{draft.target(name)} ~ {' + '.join(['1', *texts])}")
    if family != "ordinal":
        value = draft.values[f"{name} ~ 1"] = draft.number(-0.5, 0.5)
        draft.terms[name].append(Term(value))
    spread = [f for f in latents if draft.reaches(f, name)]
    if family == "gaussian" and products and spread and draw(st.booleans()):
        latent = draw(st.sampled_from(spread))
        for shown, factors in (("1", ()), (latent, (latent,))):
            value = draft.values[f"sigma({name}) ~ {shown}"] = draft.number(-0.2, 0.2)
            draft.scales.setdefault(name, []).append(Term(value, (), factors))
        draft.statements.append(f"sigma({name}) ~ {latent}")
        draft.predicting.add(latent)
    written = {"logit": "binomial", "probit": "binomial(probit)"}.get(family, family)
    draft.statements.append(f"family({name}) = {written}")


def _add_effects(draw, draft: Draft, name: str) -> list[str]:
    """Give a variable random effects, now and then, of a level above its own; return their text."""
    depth = draft.levels.index(draft.levels_of[name])
    left = draft.most - len(draft.effects)
    if depth == 0 or left <= 0 or draw(st.integers(0, 3)):
        return []
    level = draw(st.sampled_from(draft.levels[:depth]))
    effects = ["1", draft.columns(name)[0]] if left > 1 and draw(st.booleans()) else ["1"]
    sds = {}
    for effect in effects:
        own = f"{name}: {effect}"
        draft.effects[own] = level
        sds[own] = draft.values[f"sd({own} | {level})"] = draft.number(0.4, 0.9)
        draft.covariance[own, own] = sds[own] ** 2
        draft.terms[name].append(Term(1.0, () if effect == "1" else (effect,), (own,)))
    if len(effects) == 2:
        correlation = draft.values[f"cor({', '.join(sds)} | {level})"] = draft.number(-0.5, 0.5)
        draft.covariance[tuple(sds)] = correlation * np.prod(list(sds.values()))
    return [f"({' + '.join(effects)} | {level})"]


def _covary(draw, draft: Draft, latents: list[str]) -> None:
    """Fill in variances and covariances, and write some of them."""
    entries = draft.covariance
    for name in latents:
        if name in draft.scales:
            entries[name, name] = 1.0
        elif (name, name) not in entries:
            if name in draft.regressed and draw(st.integers(0, 4)) == 0:
                draft.statements.append(f"{name} ~~ 0*{name}")
                entries[name, name] = 0.0
            else:
                entries[name, name] = draft.values[f"{name} ~~ {name}"] = draft.number(0.5, 1.2)
    varying = [name for name in latents if entries[name, name] > 0.0]
    for position, left in enumerate(varying):
        for right in varying[position + 1 :]:
            if draft.levels_of[left] != draft.levels_of[right]:
                continue
            both = {left, right}
            by_default = not both & (draft.regressed | draft.indicators) or (
                both <= draft.regressed and not both & (draft.predicting | draft.indicators)
            )
            kind = draw(st.sampled_from(["default", "default", "written", "held", "label", "zero"]))
            value = draft.number(-0.15, 0.15)
            if kind == "label":
                value = draft.labels.setdefault("c", value)
            modifier = {"held": f"{value:g}*", "label": "c*", "zero": "0*"}.get(kind, "")
            if kind != "default":
                draft.statements.append(f"{left} ~~ {modifier}{right}")
            if kind == "zero" or (kind == "default" and not by_default):
                continue
            entries[left, right] = value
            if kind != "held":
                draft.values[f"{left} ~~ {right}"] = value


def _shape(draft: Draft, name: str, family: str) -> tuple[float, ...]:
    if name in draft.scales:
        return (1.0,)
    if family == "gaussian":
        draft.values[f"sigma({name})"] = draft.number(0.7, 1.2)
        return (draft.values[f"sigma({name})"],)
    if family == "ordinal":
        cuts = (draft.number(-0.9, -0.2), draft.number(0.2, 0.9))
        draft.values |= {f"threshold({name})[{k}|{k + 1}]": cut for k, cut in enumerate(cuts)}
        return cuts
    return ()


def _simulate(draft: Draft, families: Mapping[str, str]) -> pd.DataFrame:
    """Return data with missing responses; levels have 3, 6 and 15 clusters."""
    rng = draft.rng
    g = np.repeat(np.arange(6), (2, 3, 2, 3, 1, 4))
    codes = {"row": np.arange(15), "g": g, "h": g // 2}
    data = pd.DataFrame({"g": g, "h": codes["h"], "item": [ITEMS[k % 3] for k in range(15)]})
    for column, level in (("x", "row"), ("wg", "g"), ("wh", "h")):
        data[column] = rng.uniform(-1.0, 1.0, 15).round(2)[codes[level]]
    for item in ITEMS:
        data[f"item_{item}"] = (data["item"] == item).astype(float)
    for name, family in families.items():
        values = {
            "gaussian": rng.normal(size=15).round(2),
            "poisson": rng.poisson(1.0, 15),
            "ordinal": np.arange(15) % 3,
        }.get(family, np.arange(15) % 2)
        values = np.where(rng.uniform(size=15) < 0.15, np.nan, values)
        values[:3] = rng.permutation(3) if family == "ordinal" else [0.0, 1.0, 0.0]
        data[name] = values[codes[draft.levels_of[name]]]
    return data
