"""Factor models, structural equation models and growth curves of the reference cases as glamm writes them."""

from __future__ import annotations

from functools import partial

import numpy as np
from reference import both
from reference_latent import Form, long, residual_variances, terms

HS = {"visual": ("x1", "x2", "x3"), "textual": ("x4", "x5", "x6"), "speed": ("x7", "x8", "x9")}
THREE_FACTORS = "\n".join(f"{factor} =~ {terms(items)}" for factor, items in HS.items())
NINE = [item for items in HS.values() for item in items]


def intercepts(names):
    return {f"{name}~1": f"{name} ~ 1" for name in names}


def variances(names):
    """Return residual variances by lavaan's names."""
    return residual_variances({f"{name}~~{name}": name for name in names})


def loadings(factors, first=False):
    """Return free loadings by lavaan's names, the first of each factor only if it is free."""
    return {
        f"{factor}=~{item}": f"{factor} =~ {item}"
        for factor, items in factors.items()
        for item in (items if first else items[1:])
    }


def covariances(names):
    """Return variances and covariances of factors by lavaan's names."""
    names = list(names)
    return {f"{a}~~{b}": f"{a} ~~ {b}" for i, a in enumerate(names) for b in names[i:]}


def regressions(targets, columns):
    return {f"{target}~{column}": f"{target} ~ {column}" for target in targets for column in columns}


def themselves(*names):
    """Return the scores of latent variables that the case calls as the text does."""
    return {column: column for name in names for column in (name, f"sd_{name}")}


def off_diagonal(names):
    return {name: own for name, own in covariances(names).items() if len(set(name.split("~~"))) == 2}


AGREE = {"A": ("A2", "A1", "A3", "A4", "A5")}
DEMOCRACY = {
    "ind60": ("x1", "x2", "x3"),
    "dem60": ("y1", "y2", "y3", "y4"),
    "dem65": ("y5", "y6", "y7", "y8"),
}
DEMOCRACY_ITEMS = [item for items in DEMOCRACY.values() for item in items]

FACTORS = [
    Form(
        "fa_hs_cfa3_marker",
        THREE_FACTORS,
        way="wide",
        names=intercepts(NINE) | loadings(HS) | covariances(HS),
        derive=variances(NINE),
        scores=themselves(*HS),
    ),
    Form(
        "fa_hs_cfa3_marker",
        THREE_FACTORS + "\n" + "\n".join(f"{item} ~~ {item}" for item in NINE),
        way="variances",
        names=intercepts(NINE) | loadings(HS) | covariances(HS) | {f"{x}~~{x}": f"{x} ~~ {x}" for x in NINE},
    ),
    Form(
        "fa_hs_cfa3_marker",
        """
        y ~ 0 + item; sigma(y) ~ 0 + item
        visual | person =~ 1*y:x1 + y:x2 + y:x3
        textual | person =~ 1*y:x4 + y:x5 + y:x6
        speed | person =~ 1*y:x7 + y:x8 + y:x9
        """,
        prepare=lambda frame: dummies(long(frame, NINE)),
        way="long",
        names={f"{x}~1": f"y ~ item[{x}]" for x in NINE}
        | {f"{factor}=~{x}": f"{factor} =~ y:{x}" for factor, own in HS.items() for x in own[1:]}
        | covariances(HS),
        derive=lambda p: {f"{x}~~{x}": np.exp(2 * p[f"sigma(y) ~ item[{x}]"]) for x in NINE},
        scores=themselves(*HS),
        level="person",
    ),
    Form(
        "fa_hs_cfa3_stdlv",
        THREE_FACTORS,
        std_lv=True,
        names=intercepts(NINE) | loadings(HS, first=True) | off_diagonal(HS),
        derive=variances(NINE),
        scores=themselves(*HS),
    ),
    Form(
        "fa_bfi_agree_fiml",
        f"A =~ {terms(AGREE['A'])}",
        names=intercepts(AGREE["A"]) | loadings(AGREE) | covariances(AGREE),
        derive=variances(AGREE["A"]),
        scores=themselves("A"),
    ),
    Form(
        "sem_hs_mimic",
        THREE_FACTORS + "\nvisual + textual + speed ~ age13 + male + pasteur; x9 ~ male",
        names=intercepts(NINE)
        | loadings(HS)
        | covariances(HS)
        | regressions(HS, ("age13", "male", "pasteur"))
        | regressions(("x9",), ("male",)),
        derive=variances(NINE),
        scores=themselves(*HS),
    ),
    Form(
        "sem_polidem",
        "\n".join(f"{factor} =~ {terms(own)}" for factor, own in DEMOCRACY.items())
        + "\ndem60 ~ ind60; dem65 ~ ind60 + dem60",
        names=intercepts(DEMOCRACY_ITEMS)
        | loadings(DEMOCRACY)
        | {f"{name}~~{name}": f"{name} ~~ {name}" for name in DEMOCRACY}
        | regressions(("dem60",), ("ind60",))
        | regressions(("dem65",), ("ind60", "dem60")),
        derive=variances(DEMOCRACY_ITEMS),
        scores=themselves(*DEMOCRACY),
    ),
]


def dummies(tall):
    """Add a column for each item, named as the item."""
    return tall.assign(**{item: (tall["item"] == item).astype(float) for item in tall["item"].cat.categories})


# ------------------------------------------------ growth curves

WAVES = ("t1", "t2", "t3", "t4")
COVARIANCES = {"psi_ii": "i ~~ i", "psi_is": "i ~~ s", "psi_ss": "s ~~ s"}
MEANS = {"mean_i": "i ~ 1", "mean_s": "s ~ 1"}


def waves(frame):
    tall = long(frame, WAVES)
    return tall.assign(time=tall["item"].cat.codes)


def from_random_effects(p):
    """Return covariances of the intercept and slope from standard deviations and a correlation."""
    i, s, r = p["sd(1 | person)"], p["sd(time | person)"], p["cor(1, time | person)"]
    return {"psi_ii": i * i, "psi_is": r * i * s, "psi_ss": s * s, "theta": p["sigma(y)"] ** 2}


GROWTH = [
    Form(
        "growth_demo_plain",
        "\n".join(
            (
                f"i =~ {terms(WAVES, '1*')}",
                f"s =~ {' + '.join(f'{k}*{wave}' for k, wave in enumerate(WAVES))}",
                f"{terms(WAVES)} ~ 0",
                "i ~ 1; s ~ 1",
                *(f"{wave} ~~ label(theta)*{wave}" for wave in WAVES),
            )
        ),
        way="wide",
        names=COVARIANCES | MEANS | {"theta": "t1 ~~ t1"},
        scores=themselves("i", "s"),
    ),
    Form(
        "growth_demo_plain",
        "y ~ 0; i | person =~ 1*y; s | person =~ 1*y:time; i ~ 1; s ~ 1",
        prepare=waves,
        way="long",
        names=COVARIANCES | MEANS,
        derive=residual_variances({"theta": "y"}),
        scores=themselves("i", "s"),
        level="person",
    ),
    Form(
        "growth_demo_plain",
        "y ~ time + (1 + time | person)",
        prepare=waves,
        way="random effects",
        names={"mean_i": "y ~ 1", "mean_s": "y ~ time"},
        derive=from_random_effects,
    ),
]

# ------------------------------------------------ two levels

TWO_LEVEL = ("y1", "y2", "y3")
RESIDUALS = residual_variances({f"L1:{y}~~{y}": y for y in TWO_LEVEL})
EQUAL_LOADINGS = {"lam2": "fw =~ y2", "lam3": "fw =~ y3", "L1:fw~~fw": "fw ~~ fw"}
COMMON = {f"L2:{y}~1": f"{y} ~ 1" for y in TWO_LEVEL} | EQUAL_LOADINGS
SAME_LOADINGS = """
fw =~ y1 + label(lam2)*y2 + label(lam3)*y3
fb | cluster =~ y1 + label(lam2)*y2 + label(lam3)*y3
"""
LATENT_MEAN = "fw =~ y1 + y2 + y3; fw ~ 1*fb; fb | cluster ~ 0\n"
RANDOM_INTERCEPT = "fw =~ y1 + y2 + y3; fw ~ (1 | cluster)\n"
OF_CLUSTERS = "\n".join(f"{y} ~ (1 | cluster)" for y in TWO_LEVEL)


def of_clusters(p):
    return {f"L2:{y}~~{y}": p[f"sd({y}: 1 | cluster)"] ** 2 for y in TWO_LEVEL}


def between(p):
    return {"L2:fb~~fb": p["sd(fw: 1 | cluster)"] ** 2}


def two_level(case, more, derive):
    """Return a factor with the same loadings within and between clusters, in three ways."""
    form = partial(Form, case)
    named = COMMON | {"L2:fb~~fb": "fb ~~ fb"}
    clusters = {
        "scores": {"fb": "fb", "sd_fb": "sd_fb"},
        "level": "cluster",
        "place": ("scores_first5", "level2_first_clusters"),
    }
    return [
        form(SAME_LOADINGS + more, way="labels", names=named, derive=derive, **clusters),
        form(LATENT_MEAN + more, way="latent mean", names=named, derive=derive, **clusters),
        form(RANDOM_INTERCEPT + more, way="random intercept", names=COMMON, derive=both(derive, between)),
    ]


FORMS = [
    *FACTORS,
    *GROWTH,
    *two_level("fa2_demo_twolevel", OF_CLUSTERS, both(RESIDUALS, of_clusters)),
    *two_level("fa2_demo_twolevel_strict", "", RESIDUALS),
]
