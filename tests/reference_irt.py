"""Item response models of the reference cases as glamm writes them."""

from __future__ import annotations

from functools import partial

import numpy as np
from reference import both
from reference_latent import Form, long, terms, wide

EAP = {"eap": "theta", "sd": "sd_theta"}


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

# ------------------------------------------------ verbal aggression

WANT, DO = items(12, "i"), items(24, "i")[12:]


def verbal_long(frame):
    """Return the rows of persons and items, the items of wanting and of doing as responses of their own."""
    item = "i" + frame["item"].astype(str)
    do = frame["domode"] == 1
    return frame.assign(
        item=item,
        a20=frame["anger"] - 20,
        dif=frame["male"] * (do & (frame["shout"] == 0)),
        wanted=frame["y"].where(~do),
        done=frame["y"].where(do),
        want_item=item.where(~do),
        do_item=item.where(do),
    )


def verbal_wide(frame):
    plain = wide(frame, ["id", "anger", "male"], "item", "y", "i")
    return plain.assign(a20=plain["anger"] - 20)


VERBAL = ("b{i}", "y ~ item[i{i}]")
WIDE_VERBAL = numbered(("b{i}", "i{i} ~ 1"), 24)
LONG_VERBAL = numbered(VERBAL, 24)
TWO = {"eap1": "want", "eap2": "do", "sd1": "sd_want", "sd2": "sd_do"}


def on_two(want, do, fixed=()):
    """Return the loadings of the items of wanting and of doing, those of items in `fixed` left out."""
    free = (i for i in range(1, 25) if i not in fixed)
    return {f"l{i}": (want if i < 13 else do).format(i=i) for i in free}


VERBAL_AGGRESSION = [
    Form(
        "irt_verbagg_rasch",
        "y ~ 0 + item + (1 | id)",
        "binomial",
        verbal_long,
        way="random intercept",
        names=LONG_VERBAL,
        derive=squared("psi", "sd(1 | id)"),
    ),
    Form(
        "irt_verbagg_rasch",
        f"theta =~ {terms(WANT + DO, '1*')}",
        "binomial",
        verbal_wide,
        way="wide",
        names=WIDE_VERBAL | {"psi": "theta ~~ theta"},
        scores=EAP,
    ),
    Form(
        "irt_verbagg_lltm",
        "y ~ scold + shout + self + domode + (1 | id)",
        "binomial",
        names={"cons": "y ~ 1"} | {name: f"y ~ {name}" for name in ("scold", "shout", "self", "domode")},
        derive=squared("psi", "sd(1 | id)"),
    ),
    Form(
        "irt_verbagg_rasch_dif",
        "y ~ 0 + item + male + dif + (1 | id)",
        "binomial",
        verbal_long,
        way="random intercept",
        names=LONG_VERBAL | {"male": "y ~ male", "delta": "y ~ dif"},
        derive=squared("psi", "sd(1 | id)"),
    ),
    Form(
        "irt_verbagg_rasch_dif",
        "y ~ 0 + item + dif; theta | id =~ 1*y; theta ~ male",
        "binomial",
        verbal_long,
        way="latent regression",
        names=LONG_VERBAL | {"male": "theta ~ male", "delta": "y ~ dif", "psi": "theta ~~ theta"},
    ),
    Form(
        "irt_verbagg_2pl_latreg",
        f"theta =~ {terms(WANT + DO)}; theta ~ a20 + male",
        "binomial",
        verbal_wide,
        way="wide",
        std_lv=True,
        names=WIDE_VERBAL
        | numbered(("l{i}", "theta =~ i{i}"), 24)
        | {"g_anger": "theta ~ a20", "g_male": "theta ~ male"},
        scores=EAP,
    ),
    Form(
        "irt_verbagg_2pl_latreg",
        "y ~ 0 + item; theta | id =~ y:item; theta ~ a20 + male",
        "binomial",
        verbal_long,
        way="long",
        std_lv=True,
        names=LONG_VERBAL
        | numbered(("l{i}", "theta =~ y:item[i{i}]"), 24)
        | {"g_anger": "theta ~ a20", "g_male": "theta ~ male"},
        scores=EAP,
        level="id",
    ),
    Form(
        "irt_verbagg_2pl_multigroup",
        f"theta =~ {terms(WANT + DO, 'NA*')}; theta ~ male; sd(theta) ~ 0 + male",
        "binomial",
        verbal_wide,
        names=WIDE_VERBAL | numbered(("l{i}", "theta =~ i{i}"), 24) | {"mu_m": "theta ~ male"},
        derive=lambda p: {"var_m": np.exp(2 * p["sd(theta) ~ male"])},
        scores=EAP,
    ),
    Form(
        "irt_verbagg_2d_2pl",
        f"want =~ {terms(WANT)}; do =~ {terms(DO)}",
        "binomial",
        verbal_wide,
        way="wide",
        std_lv=True,
        names=WIDE_VERBAL | on_two("want =~ i{i}", "do =~ i{i}") | {"rho": "want ~~ do"},
        scores=TWO,
    ),
    Form(
        "irt_verbagg_2d_2pl",
        """
        wanted ~ 0 + want_item; want | id =~ wanted:want_item
        done ~ 0 + do_item; do | id =~ done:do_item
        """,
        "binomial",
        verbal_long,
        way="long",
        std_lv=True,
        names={f"b{i}": f"wanted ~ want_item[i{i}]" for i in range(1, 13)}
        | {f"b{i}": f"done ~ do_item[i{i}]" for i in range(13, 25)}
        | on_two("want =~ wanted:want_item[i{i}]", "do =~ done:do_item[i{i}]")
        | {"rho": "want ~~ do"},
        scores=TWO,
        level="id",
    ),
    Form(
        "sem_verbagg_2f_structural",
        f"""
        want =~ {terms(WANT)}
        do =~ {terms(DO)}
        want ~ a20 + male
        do ~ want + a20 + male
        """,
        "binomial",
        verbal_wide,
        names=WIDE_VERBAL
        | on_two("want =~ i{i}", "do =~ i{i}", fixed=(1, 13))
        | {"beta": "do ~ want", "g11": "want ~ a20", "g12": "want ~ male"}
        | {"g21": "do ~ a20", "g22": "do ~ male", "psi1": "want ~~ want", "psi2": "do ~~ do"},
        scores=TWO,
    ),
]

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
            place="school_first5",
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
    *VERBAL_AGGRESSION,
    *schools("galamm_irtsim", "y"),
    *schools("galamm_irtsim_trials", "cbind(y, trials - y)"),
]
