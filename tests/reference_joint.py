"""Reference cases of responses that share latent variables, and of rankings, as glamm writes them."""

from __future__ import annotations

from functools import partial

import numpy as np
from pandas import CategoricalDtype
from reference import both
from reference_latent import Form, residual_variances, wide


def of_kind(frame, kinds, value, column):
    """Give each kind of row a column of its own with its values, missing in the other rows."""
    return frame.assign(**{name: frame[value].where(frame[column] == kind) for kind, name in kinds.items()})


# ------------------------------------------------ a latent covariate

TYPES = ("measurement1", "measurement2", "response")
LATENT_COVARIATE = {"psi": "eta ~~ eta", "lambda2": "eta =~ y:type[measurement2]"} | {
    name: f"y ~ type[{kind}]" for name, kind in zip(("m1", "m2", "r0"), TYPES, strict=True)
}
LONG_COVARIATE = LATENT_COVARIATE | {"b": "y ~ x:response", "l0": "eta =~ y:type[response]"}
WIDE_COVARIATE = {
    "m1": "measurement1 ~ 1",
    "m2": "measurement2 ~ 1",
    "r0": "response ~ 1",
    "b": "response ~ x",
    "lambda2": "eta =~ measurement2",
    "psi": "eta ~~ eta",
    "l0": "response ~ eta",
    "sigma2": "response ~~ response",
}
SIGMA = residual_variances({"sigma2": "y"})
EQUAL = "; ".join(f"{kind} ~~ label(sigma2)*{kind}" for kind in TYPES)


def by_type(frame):
    return wide(frame, ["id", "x"], "type", "y").assign(x2=lambda plain: plain["x"] ** 2)


def latent_covariate(case, loading, names, rows):
    """Return a response whose loading is `loading`, in long data by `rows` and in wide data."""
    return [
        Form(
            case,
            f"y ~ 0 + type + x:response{rows}; eta | id =~ y:type",
            prepare=lambda frame: frame.assign(x2=frame["x"] ** 2),
            way="long",
            names=LONG_COVARIATE | {name: f"y ~ eta:{term}:response" for name, term in names.items()},
            derive=SIGMA,
        ),
        Form(
            case,
            f"eta =~ measurement1 + measurement2; response ~ x + {loading}; {EQUAL}",
            prepare=by_type,
            way="wide",
            names=WIDE_COVARIATE | {name: f"response ~ eta:{term}" for name, term in names.items()},
        ),
    ]


REPEATED = [
    Form(
        "galamm_latentcov_long",
        "y ~ 0 + type + x:response + eta:x:response + (0 + response | id); eta | id =~ y:type",
        way="one response",
        names=LONG_COVARIATE | {"l1": "y ~ eta:x:response"},
        derive=both(SIGMA, lambda p: {"psi_u": p["sd(response | id)"] ** 2}),
    ),
    Form(
        "galamm_latentcov_long",
        """
        measure ~ 0 + type
        outcome ~ x * eta + (1 | id)
        eta | id =~ measure:type
        measure ~~ label(sigma2)*measure; outcome ~~ label(sigma2)*outcome
        """,
        prepare=lambda frame: frame.assign(
            measure=frame["y"].where(frame["response"] == 0),
            outcome=frame["y"].where(frame["response"] == 1),
            type=frame["type"].where(frame["response"] == 0),
        ),
        way="two responses",
        names={
            "m1": "measure ~ type[measurement1]",
            "m2": "measure ~ type[measurement2]",
            "lambda2": "eta =~ measure:type[measurement2]",
            "r0": "outcome ~ 1",
            "b": "outcome ~ x",
            "l0": "outcome ~ eta",
            "l1": "outcome ~ eta:x",
            "psi": "eta ~~ eta",
            "sigma2": "measure ~~ measure",
        },
        derive=lambda p: {"psi_u": p["sd(outcome: 1 | id)"] ** 2},
    ),
]

# ------------------------------------------------ Gaussian and binary responses of one latent variable

BY_FAMILY = partial(of_kind, kinds={"gaussian": "score", "binomial": "success"}, value="y", column="family")
SHARED = """
score + success ~ label(cons)*1 + label(x)*x
family(success) = binomial
"""
MIXED = [
    Form(
        "galamm_mresp",
        SHARED + "eta | id =~ score + success",
        prepare=BY_FAMILY,
        names={"cons": "score ~ 1", "x": "success ~ x", "lambda2": "eta =~ success", "psi": "eta ~~ eta"},
        derive=residual_variances({"sigma2": "score"}),
        scores={"eap": "eta", "sd": "sd_eta"},
        level="id",
    ),
    Form(
        "galamm_mresp_hsced",
        SHARED + "eta | id =~ 1*score + 1*success; sigma(score) ~ grp",
        prepare=BY_FAMILY,
        names={"cons": "success ~ 1", "x": "score ~ x", "psi": "eta ~~ eta"}
        | {"alpha0": "sigma(score) ~ 1", "alpha1": "sigma(score) ~ grp[T.b]"},
        scores={"eap": "eta", "sd": "sd_eta"},
        level="id",
    ),
]

# ------------------------------------------------ covariate measurement error

EXPOSURE = {"f_age": "age", "f_bus": "bus", "f_agebus": "age:bus"}
DISEASE = {"c_age": "age", "c_bus": "bus", "c_agebus": "age:bus"}
DIET = residual_variances({"sigma2": "diet"})
LOGISTIC = "family(sick) = binomial\n"
ZETA = {"scores": {"eap": "zeta", "sd": "sd_zeta"}, "level": "id"}


def diet_long(frame):
    disease = frame["item"] == "chd"
    return frame.assign(diet=frame["y"].where(~disease), sick=frame["y"].where(disease))


def diet_wide(frame):
    return wide(frame, ["id", "age", "bus"], "item", "y").rename(columns={"chd": "sick"})


def of_exposure(prefix):
    return {name: f"{prefix} ~ {term}" for name, term in EXPOSURE.items()}


ON_RESIDUAL = {"f0": "diet ~ 1", "f_2": "diet ~ fiber2", "lambda": "sick ~ zeta", "c0": "sick ~ 1"} | {
    "psi": "zeta ~~ zeta"
}
MEASUREMENT = "fibre =~ 1*fiber1 + 1*fiber2"
EXPOSURE_MODEL = """
fiber1 ~ 0
fibre ~ 1 + age * bus
fiber1 ~~ label(sigma2)*fiber1; fiber2 ~~ label(sigma2)*fiber2
"""
TRUE_EXPOSURE = MEASUREMENT + EXPOSURE_MODEL
ON_EXPOSURE = of_exposure("fibre") | {
    "f0": "fibre ~ 1",
    "f_2": "fiber2 ~ 1",
    "lambda": "sick ~ fibre",
    "psi": "fibre ~~ fibre",
    "sigma2": "fiber1 ~~ fiber1",
}


def direct_effects(p):
    """Return effects beside that of the residual of the exposure from those beside the exposure's."""
    found = {name: p[f"sick ~ {term}"] for name, term in DISEASE.items()}
    loading = p["sick ~ fibre"]
    for name, term in DISEASE.items():
        found[name] += loading * p[f"fibre ~ {term}"]
    return found | {"c0": p["sick ~ 1"] + loading * p["fibre ~ 1"]}


MEASUREMENT_ERROR = [
    Form(
        "diet_logistic_me",
        LOGISTIC + "diet ~ age * bus + fiber2; zeta | id =~ 1*diet; sick ~ age * bus + zeta",
        prepare=diet_long,
        way="long",
        names=ON_RESIDUAL | of_exposure("diet") | {name: f"sick ~ {term}" for name, term in DISEASE.items()},
        derive=DIET,
        **ZETA,
    ),
    Form(
        "diet_logistic_me",
        LOGISTIC + TRUE_EXPOSURE + "sick ~ age * bus + fibre",
        prepare=diet_wide,
        way="wide",
        names=ON_EXPOSURE,
        derive=direct_effects,
    ),
    Form(
        "diet_logistic_me_nodirect",
        LOGISTIC + "diet ~ age * bus + fiber2; zeta | id =~ 1*diet; sick ~ zeta",
        prepare=diet_long,
        way="long",
        names=ON_RESIDUAL | of_exposure("diet"),
        derive=DIET,
        **ZETA,
    ),
    Form(
        "diet_logistic_me_nodirect",
        LOGISTIC
        + """
        zeta =~ 1*fiber1 + 1*fiber2
        fiber1 + fiber2 ~ label(age)*age + label(bus)*bus + label(both)*age:bus
        fiber1 ~~ label(sigma2)*fiber1; fiber2 ~~ label(sigma2)*fiber2
        sick ~ zeta
        """,
        prepare=diet_wide,
        way="wide",
        names=of_exposure("fiber2")
        | {"f0": "fiber1 ~ 1", "sigma2": "fiber2 ~~ fiber2", "psi": "zeta ~~ zeta"}
        | {"lambda": "sick ~ zeta", "c0": "sick ~ 1"},
        derive=lambda p: {"f_2": p["fiber2 ~ 1"] - p["fiber1 ~ 1"]},
        scores=ZETA["scores"],
    ),
    Form(
        "diet_me_eta",
        LOGISTIC + TRUE_EXPOSURE + "sick ~ fibre",
        prepare=diet_wide,
        way="wide",
        names=ON_EXPOSURE | {"c0": "sick ~ 1"},
    ),
    Form(
        "diet_me_eta",
        LOGISTIC + "sick ~ " + MEASUREMENT + EXPOSURE_MODEL,
        prepare=diet_wide,
        way="inline",
        names=ON_EXPOSURE | {"c0": "sick ~ 1"},
    ),
    Form(
        "diet_me_eta",
        LOGISTIC + "diet ~ fiber2; fibre | id =~ 1*diet; fibre ~ age * bus; sick ~ fibre",
        prepare=diet_long,
        way="long",
        names=of_exposure("fibre")
        | {"f0": "diet ~ 1", "f_2": "diet ~ fiber2", "lambda": "sick ~ fibre", "psi": "fibre ~~ fibre"},
        derive=both(DIET, lambda p: {"c0": p["sick ~ 1"] - p["sick ~ fibre"] * p["diet ~ 1"]}),
    ),
]

# ------------------------------------------------ dropout that depends on random coefficients

COEFFICIENTS = {"u0": "b0", "u1": "b1", "sd_u0": "sd_b0", "sd_u1": "sd_b1"}
PSI = {"psi_00": "b0 ~~ b0", "psi_01": "b0 ~~ b1", "psi_11": "b1 ~~ b1"}


def dropout(frame, kind, visit):
    named = of_kind(frame, {kind: "measured", "drop": "dropped"}, "resp", "kind")
    return named.assign(visit=frame[visit].where(frame["kind"] == "drop").map("{:.0f}".format, "ignore"))


DROPOUT = [
    Form(
        "dropout_sim",
        """
        measured ~ time + x
        b0 | id =~ 1*measured; b1 | id =~ 1*measured:time
        dropped ~ 0 + visit + x + b0 + b1
        family(dropped) = binomial
        """,
        prepare=partial(dropout, kind="y", visit="time"),
        names=PSI
        | {"b0": "measured ~ 1", "b1": "measured ~ time", "b2": "measured ~ x"}
        | {f"a_{visit}": f"dropped ~ visit[{visit}]" for visit in range(1, 6)}
        | {"g": "dropped ~ x", "l0": "dropped ~ b0", "l1": "dropped ~ b1"},
        derive=residual_variances({"sigma2": "measured"}),
        scores=COEFFICIENTS,
        level="id",
    ),
    Form(
        "dropout_aids",
        """
        measured ~ time + time:ddI
        b0 | id =~ 1*measured; b1 | id =~ 1*measured:time
        dropped ~ 0 + visit + ddI + b0
        family(dropped) = binomial
        """,
        prepare=partial(dropout, kind="cd4", visit="month"),
        names=PSI
        | {"b0": "measured ~ 1", "b1": "measured ~ time", "b2": "measured ~ time:ddI"}
        | {f"a_{visit}": f"dropped ~ visit[{visit}]" for visit in (2, 6, 12)}
        | {"g": "dropped ~ ddI", "l0": "dropped ~ b0"},
        derive=residual_variances({"sigma2": "measured"}),
        scores=COEFFICIENTS,
        level="id",
    ),
]

# ------------------------------------------------ endogenous treatment and selection

NMES_TREATMENT = ("age", "male", "married", "school", "black", "income", "employed", "medicaid")
NMES_OUTCOME = ("insurance", "poor", "excellent", "chronic", "age", "male", "black")
EARNINGS_TREATMENT = ("age10", "age10sq", "educ", "u74", "u75", "black", "hispanic")
EARNINGS_OUTCOME = ("treat", "age10", "age10sq", "educ", "black", "hispanic")
SELECTION = ("age10", "age10sq", "faminc10", "kids", "educ")
WAGE = ("exper10", "exper10sq", "educ", "city")


def two_equations(treatment, treatment_terms, outcome, outcome_terms):
    """Return text and names of an outcome and a probit treatment that share a standard normal variable."""
    text = f"""
    {treatment} ~ {" + ".join(treatment_terms)} + 1*eta
    {outcome} ~ {" + ".join(outcome_terms)} + eta
    eta ~~ 1*eta
    family({treatment}) = binomial(probit)
    """
    names = {f"s:{term}": f"{treatment} ~ {term}" for term in treatment_terms}
    names |= {f"o:{term}": f"{outcome} ~ {term}" for term in outcome_terms}
    return text, names | {"s:cons": f"{treatment} ~ 1", "o:cons": f"{outcome} ~ 1"}


def endogenous(case, equations, outcome, family="", **options):
    text, names = equations
    return Form(
        case,
        text + family,
        names=names | {"lambda": f"{outcome} ~ eta"},
        scores={"eta": "eta", "sd": "sd_eta"},
        **options,
    )


HOSPITAL, HOSPITAL_NAMES = two_equations("insurance", NMES_TREATMENT, "hosp", NMES_OUTCOME)


def unit_variances(p):
    """Return coefficients and correlation of two probit equations with errors of variance 1."""
    loading = p["hosp ~ eta"]
    scale = {"s": np.sqrt(2.0), "o": np.sqrt(1.0 + loading**2)}
    found = {name: p[own] / scale[name[0]] for name, own in HOSPITAL_NAMES.items()}
    return found | {"rho": loading / (scale["s"] * scale["o"])}


ENDOGENOUS = [
    Form(
        "endo_biprobit_nmes",
        HOSPITAL + "family(hosp) = binomial(probit)",
        derive=unit_variances,
        target=("results", "closed_form_R"),
    ),
    endogenous(
        "endo_count_nmes",
        two_equations("insurance", NMES_TREATMENT, "visits", NMES_OUTCOME),
        "visits",
        family="family(visits) = poisson",
    ),
    endogenous(
        "endo_treat_earnings",
        two_equations("treat", EARNINGS_TREATMENT, "lre78", EARNINGS_OUTCOME),
        "lre78",
        derive=residual_variances({"sigma2": "lre78"}),
    ),
    endogenous(
        "heckman_mroz",
        two_equations("lfp", SELECTION, "wage", WAGE),
        "wage",
        derive=residual_variances({"sigma2": "wage"}),
    ),
]

# ------------------------------------------------ a covariate with missing values, and rankings

MISSING_COVARIATE = Form(
    "misscov_pima",
    """
    diab ~ mi(skin10) + glu10 + ped + age10
    skin10 ~ glu10 + age10
    family(diab) = binomial
    """,
    names={"g0": "skin10 ~ 1", "g_glu": "skin10 ~ glu10", "g_age": "skin10 ~ age10"}
    | {"b0": "diab ~ 1", "b_skin": "diab ~ mi(skin10)", "b_glu": "diab ~ glu10"}
    | {"b_ped": "diab ~ ped", "b_age": "diab ~ age10"},
    derive=residual_variances({"psi": "skin10"}),
)

PLATFORMS = ("PC", "GameBoy", "GameCube", "PlayStation", "PSPortable", "Xbox")
RANKING = Form(
    "game_rank_re",
    "ranking(ch, chid) ~ own + platform + hoursPC + (0 + PC | chid)",
    "ranking",
    lambda frame: frame.assign(platform=frame["platform"].astype(CategoricalDtype(PLATFORMS))),
    names={"own": "ranking(ch, chid) ~ own", "hoursPC": "ranking(ch, chid) ~ hoursPC"}
    | {f"platform{name}": f"ranking(ch, chid) ~ platform[T.{name}]" for name in PLATFORMS[1:]}
    | {"sd_PC": "sd(PC | chid)"},
    target=("exact",),
    scores={"eb_PC": "PC", "sd_PC": "sd_PC"},
    level="chid",
    effects=True,
    place=("eb_first5",),
)

FORMS = [
    *latent_covariate("galamm_latentcov0", "eta", {}, ""),
    *latent_covariate("galamm_latentcov1", "eta + eta:x", {"l1": "x"}, " + eta:x:response"),
    *latent_covariate(
        "galamm_latentcov2",
        "eta + eta:x + eta:x2",
        {"l1": "x", "l2": "x2"},
        " + eta:x:response + eta:x2:response",
    ),
    *REPEATED,
    *MIXED,
    *MEASUREMENT_ERROR,
    *DROPOUT,
    *ENDOGENOUS,
    MISSING_COVARIATE,
    RANKING,
]
