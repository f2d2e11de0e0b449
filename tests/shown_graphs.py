"""Graphs as short texts, for tables of tests."""

from glamm.grammar import parse
from glamm.graph import build, family_spec


def graph(text, families=None, columns=None, std_lv=False):
    families = None if families is None else family_spec(families)
    columns = columns.split() if isinstance(columns, str) else columns
    return build(parse(text), text, families, std_lv=std_lv, columns=columns)


def predictor(found, name, parameter="mu"):
    """Return a predictor of a response, latent variable or class by the name of its owner."""
    owners = {owner.name: owner.predictors for owner in (*found.responses, *found.latents)}
    owners |= {variable.name: (variable.membership,) for variable in found.classes}
    (model,) = (model for model in owners[name] if model.parameter == parameter)
    return model


def regression(found, name, parameter="mu"):
    return str(predictor(found, name, parameter))


def loadings(found, latent):
    """Return what measures `latent`: the modifier and product of each term, ``!`` behind the marker."""
    return [
        f"{term.modifier or ''}{':'.join((owner.name, *term.factors))}{'!' if term.marker else ''}"
        for owner in (*found.responses, *found.latents)
        for term in owner.predictors[0].terms
        if term.measures == latent
    ]


def covariances(found):
    """Return every variance and covariance, defaults in parentheses."""
    texts = [(f"{c.left} ~~ {c.modifier or ''}{c.right}", c.written) for c in found.covariances]
    return [text if written else f"({text})" for text, written in texts]
