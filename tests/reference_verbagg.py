"""Models of the items of verbal aggression, of the reference cases, as glamm writes them."""

from __future__ import annotations

import numpy as np
from reference_irt import EAP, INTERCEPTS, items, numbered, squared
from reference_latent import Form, terms, wide

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


FORMS = [
    Form(
        "irt_verbagg_rasch",
        "y ~ 0 + item + (1 | id)",
        "binomial",
        verbal_long,
        way="random intercept",
        names=LONG_VERBAL,
        derive=squared("psi", "sd(1 | id)"),
        level="id",
        **INTERCEPTS,
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
        level="id",
        **INTERCEPTS,
    ),
    Form(
        "irt_verbagg_rasch_dif",
        "y ~ 0 + item + male + dif + (1 | id)",
        "binomial",
        verbal_long,
        way="random intercept",
        names=LONG_VERBAL | {"male": "y ~ male", "delta": "y ~ dif"},
        derive=squared("psi", "sd(1 | id)"),
        level="id",
        **INTERCEPTS,
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
        f"theta =~ {terms(WANT + DO)}; theta ~ male; sd(theta) ~ 0 + male",
        "binomial",
        verbal_wide,
        std_lv=True,
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
