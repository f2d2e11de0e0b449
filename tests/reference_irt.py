"""Item response models of the reference cases as glamm writes them."""

from __future__ import annotations

from functools import partial

import numpy as np
from reference import both
from reference_latent import Form, long, terms

EAP = {"eap": "theta", "sd": "sd_theta"}
INTERCEPTS = {"scores": {"eap": "(Intercept)", "sd": "sd_(Intercept)"}, "effects": True}


def items(n, prefix="y"):
    return [f"{prefix}{i}" for i in range(1, n + 1)]


def numbered(pattern, n):
    """Return ``{"b1": ...}`` for a pattern of key and value in ``{i}``."""
    key, value = pattern
    return {key.format(i=i): value.format(i=i) for i in range(1, n + 1)}


def tall(n):
    return partial(long, items=items(n))


def squared(name, parameter):
    return lambda p: {name: p[parameter] ** 2}


# ------------------------------------------------ two-parameter and one-parameter logistic

ITEMS = {"irt_lsat6": 5, "irt_lsat7": 5, "irt_abortion": 4, "irt_mobility": 8, "irt_sat12": 32}
WIDE = ("b{i}", "y{i} ~ 1")
LONG = ("b{i}", "y ~ item[y{i}]")


def two_parameter(data):
    n = ITEMS[data]
    return Form(
        f"{data}_2pl",
        f"theta =~ {terms(items(n))}",
        "binomial",
        way="wide",
        std_lv=True,
        names=numbered(WIDE, n) | numbered(("l{i}", "theta =~ y{i}"), n),
        scores=EAP,
    )


def two_parameter_long(data):
    n = ITEMS[data]
    return Form(
        f"{data}_2pl",
        "y ~ 0 + item; theta | person =~ y:item",
        "binomial",
        tall(n),
        way="long",
        std_lv=True,
        names=numbered(LONG, n) | numbered(("l{i}", "theta =~ y:item[y{i}]"), n),
        scores=EAP,
        level="person",
    )


def first_loading_one(data):
    n = ITEMS[data]

    def derive(p):
        sd = np.sqrt(p["theta ~~ theta"])
        return {"l1": sd} | {f"l{i}": p[f"theta =~ y{i}"] * sd for i in range(2, n + 1)}

    return Form(
        f"{data}_2pl",
        f"theta =~ {terms(items(n))}",
        "binomial",
        way="marker",
        names=numbered(WIDE, n),
        derive=derive,
    )


def rasch(data):
    n = ITEMS[data]
    case = f"{data}_rasch"
    return [
        Form(
            case,
            f"theta =~ {terms(items(n), '1*')}",
            "binomial",
            way="wide",
            names=numbered(WIDE, n) | {"psi": "theta ~~ theta"},
            scores=EAP,
        ),
        Form(
            case,
            "y ~ 0 + item + (1 | person)",
            "binomial",
            tall(n),
            way="random intercept",
            names=numbered(LONG, n),
            derive=squared("psi", "sd(1 | person)"),
            level="person",
            **INTERCEPTS,
        ),
        Form(
            case,
            "y ~ 0 + item; theta | person =~ 1*y",
            "binomial",
            tall(n),
            way="long",
            names=numbered(LONG, n) | {"psi": "theta ~~ theta"},
            scores=EAP,
            level="person",
        ),
    ]


GUESSING = Form(
    "irt_sat12_3plc",
    "y ~ 0 + item; theta | person =~ y:item",
    'binomial(logit, asymptotes="lower")',
    tall(32),
    std_lv=True,
    names=numbered(LONG, 32) | numbered(("l{i}", "theta =~ y:item[y{i}]"), 32) | {"c": "guess(y)"},
    scores=EAP,
    level="person",
)

# ------------------------------------------------ ordinal and nominal items

CATEGORIES = {"irt_environment": (6, 3), "irt_science": (4, 4)}


def thresholds(data):
    """Return the intercepts of the case: minus the thresholds of the items."""
    n, categories = CATEGORIES[data]

    def derive(p):
        return {
            f"d{i}_{k}": -p[f"threshold(y{i})[{k - 1}|{k}]"]
            for i in range(1, n + 1)
            for k in range(1, categories)
        }

    return derive


def thresholds_by_item(data):
    n, categories = CATEGORIES[data]

    def derive(p):
        found = {}
        for k in range(1, categories):
            first = f"threshold(y)[{k - 1}|{k}]"
            found[f"d1_{k}"] = -p[first]
            found |= {f"d{i}_{k}": -p[first] - p[f"{first} ~ item[T.y{i}]"] for i in range(2, n + 1)}
        return found

    return derive


def steps(data):
    """Return the intercepts of the case: minus the sums of the steps up to a category."""
    n, categories = CATEGORIES[data]

    def derive(p):
        return {
            f"d{i}_{k}": -sum(p[f"step(y{i})[{m - 1}|{m}]"] for m in range(1, k + 1))
            for i in range(1, n + 1)
            for k in range(1, categories)
        }

    return derive


def steps_by_item(data):
    n, categories = CATEGORIES[data]

    def derive(p):
        found = {}
        for i in range(1, n + 1):
            total = 0.0
            for k in range(1, categories):
                step = f"step(y)[{k - 1}|{k}]"
                total += p[step] + (p[f"{step} ~ item[T.y{i}]"] if i > 1 else 0.0)
                found[f"d{i}_{k}"] = -total
        return found

    return derive


def ordinal(data):
    n, _ = CATEGORIES[data]
    loadings = numbered(("l{i}", "theta =~ y{i}"), n)
    free = f"theta =~ {terms(items(n))}"
    return [
        Form(
            f"{data}_grm",
            free,
            "ordinal",
            way="wide",
            std_lv=True,
            names=loadings,
            derive=thresholds(data),
            scores=EAP,
        ),
        Form(
            f"{data}_grm",
            "y ~ 1; threshold(y) ~ item; theta | person =~ y:item",
            "ordinal",
            tall(n),
            way="long",
            std_lv=True,
            names=numbered(("l{i}", "theta =~ y:item[y{i}]"), n),
            derive=thresholds_by_item(data),
            scores=EAP,
            level="person",
        ),
        Form(
            f"{data}_grmc",
            f"theta =~ {terms(items(n), 'label(l)*')}",
            "ordinal",
            way="labels",
            std_lv=True,
            names={"l": "theta =~ y1"},
            derive=thresholds(data),
            scores=EAP,
        ),
        Form(
            f"{data}_grmc",
            "y ~ (1 | person); threshold(y) ~ item",
            "ordinal",
            tall(n),
            way="random intercept",
            names={"l": "sd(1 | person)"},
            derive=thresholds_by_item(data),
        ),
        Form(
            f"{data}_gpcm",
            free,
            "adjacent",
            std_lv=True,
            names=loadings,
            derive=steps(data),
            scores=EAP,
        ),
        Form(
            f"{data}_pcm",
            f"theta =~ {terms(items(n), '1*')}",
            "adjacent",
            way="wide",
            names={"psi": "theta ~~ theta"},
            derive=steps(data),
            scores=EAP,
        ),
        Form(
            f"{data}_pcm",
            "y ~ (1 | person); step(y) ~ item",
            "adjacent",
            tall(n),
            way="random intercept",
            derive=both(squared("psi", "sd(1 | person)"), steps_by_item(data)),
            level="person",
            **INTERCEPTS,
        ),
    ]


NOMINAL = Form(
    "irt_science_nominal",
    f"theta =~ {terms(items(4))}",
    "multinomial",
    std_lv=True,
    names={f"d{i}_{k}": f"y{i}[{k}] ~ 1" for i in range(1, 5) for k in range(1, 4)}
    | {f"s{i}_{k}": f"theta =~ y{i}[{k}]" for i in range(1, 5) for k in range(1, 4)},
    scores=EAP,
)

BIAS = Form(
    "irt_dif_sim",
    f"theta =~ {terms(items(8))}; theta ~ group; y3 ~ group; y6 ~ group",
    "binomial",
    names=numbered(WIDE, 8)
    | {f"l{i}": f"theta =~ y{i}" for i in range(2, 9)}
    | {"g": "theta ~ group", "psi": "theta ~~ theta"}
    | {"delta3": "y3 ~ group", "delta6": "y6 ~ group"},
    scores=EAP,
)

# ------------------------------------------------ students in schools


def schools(case, response):
    """Return a two-parameter logistic model whose latent variable varies between schools, in two ways."""
    common = f"{response} ~ item; theta | sid =~ {response}:item; "
    names = (
        {"(Intercept)": f"{response} ~ 1"}
        | {f"item{i}": f"{response} ~ item[T.{i}]" for i in range(2, 6)}
        | {f"lambda{i}": f"theta =~ {response}:item[{i}]" for i in range(2, 6)}
        | {"psi_student": "theta ~~ theta"}
    )

    def categorical(frame):
        return frame.assign(item=frame["item"].astype(str))

    return [
        Form(
            case,
            common + "theta ~ (1 | school)",
            "binomial",
            categorical,
            way="random intercept",
            names=names,
            derive=squared("psi_school", "sd(theta: 1 | school)"),
        ),
        Form(
            case,
            common + "theta ~ 1*mean_theta; mean_theta | school ~ 0",
            "binomial",
            categorical,
            way="latent mean",
            names=names | {"psi_school": "mean_theta ~~ mean_theta"},
            scores={"eap": "mean_theta", "sd": "sd_mean_theta"},
            level="school",
            place=("scores_first5", "school_first5"),
        ),
    ]


FORMS = [
    *(two_parameter(data) for data in ITEMS),
    *(two_parameter_long(data) for data in ("irt_lsat7", "irt_abortion")),
    first_loading_one("irt_lsat6"),
    *(form for data in ("irt_lsat6", "irt_lsat7", "irt_abortion") for form in rasch(data)),
    GUESSING,
    *(form for data in CATEGORIES for form in ordinal(data)),
    NOMINAL,
    BIAS,
    *schools("galamm_irtsim", "y"),
    *schools("galamm_irtsim_trials", "cbind(y, trials - y)"),
]
