"""The models of the reference cases as glamm writes them, and their fits."""

from __future__ import annotations

from functools import cache

import numpy as np
from reference import Case, both, cholesky, data

import glamm

CANONICAL = ("glmmTMB::glmmTMB", "lme4::glmer")
TRT = ("placebo", "drug", "drug+")
LIVCH = ("0", "1", "2", "3+")
EPIL = "lbase * trtP + lage"
FIVE = ("1", "2", "3", "4", "5")


def sd(group, name="sd_(Intercept)"):
    return {name: f"sd(1 | {group})"}


CASES = [
    # ---------------------------------------- binary and counts of successes
    Case(
        "bacteria_logit",
        "y ~ trt + late + (1 | ID)",
        "binomial",
        "y",
        factors={"trt": TRT},
        rename=sd("ID"),
        eb={"ID": ""},
        laplace=CANONICAL,
    ),
    Case(
        "bacteria_cloglog",
        "y ~ trt + late + (1 | ID)",
        "binomial(cloglog)",
        "y",
        factors={"trt": TRT},
        rename=sd("ID"),
        eb={"ID": ""},
    ),
    Case(
        "cbpp_logit",
        "cbind(incidence, size - incidence) ~ period + (1 | herd)",
        "binomial",
        "cbind(incidence, size - incidence)",
        factors={"period": ()},
        rename=sd("herd"),
        eb={"herd": ""},
        laplace=CANONICAL,
    ),
    Case(
        "cbpp_probit",
        "cbind(incidence, size - incidence) ~ period + (1 | herd)",
        "binomial(probit)",
        "cbind(incidence, size - incidence)",
        factors={"period": ()},
        rename=sd("herd"),
        eb={"herd": ""},
    ),
    Case(
        "contraception_ri",
        "y ~ age + age2 + urbanY + livch + (1 | district)",
        "binomial",
        "y",
        factors={"livch": LIVCH},
        rename=sd("district"),
        eb={"district": ""},
        laplace=CANONICAL,
    ),
    Case(
        "toenail_logit",
        "y ~ trt * time + (1 | patientID)",
        "binomial",
        "y",
        rename=sd("patientID"),
        eb={"patientID": ""},
        laplace=CANONICAL,
    ),
    Case(
        "toenail_probit",
        "y ~ trt * time + (1 | patientID)",
        "binomial(probit)",
        "y",
        rename=sd("patientID"),
        eb={"patientID": ""},
    ),
    Case(
        "concen_probit_freq2",
        "TConcen ~ Mz + (1 | ID)",
        "binomial(probit)",
        "TConcen",
        weights={"ID": "freq"},
        rename=sd("ID"),
        eb={"ID": ""},
    ),
    # ---------------------------------------- counts
    Case(
        "epil_poisson_ri",
        f"y ~ {EPIL} + V4 + (1 | subject)",
        "poisson",
        "y",
        rename=sd("subject"),
        eb={"subject": ""},
        laplace=CANONICAL,
    ),
    Case(
        "epil_mass_poisson_ri",
        f"y_mass ~ {EPIL} + V4 + (1 | subject)",
        "poisson",
        "y_mass",
        rename=sd("subject"),
        eb={"subject": ""},
        laplace=CANONICAL,
    ),
    Case(
        "epil_poisson_rs",
        f"y ~ {EPIL} + visit + (1 + visit | subject)",
        "poisson",
        "y",
        derive=cholesky("subject", "visit"),
        eb={"subject": ""},
        laplace=CANONICAL,
    ),
    Case(
        "epil_nbinom_ri",
        f"y ~ {EPIL} + V4 + (1 | subject)",
        "negative_binomial",
        "y",
        rename=sd("subject"),
        derive=lambda p: {"log_size": np.log(p["size(y)"])},
        eb={"subject": ""},
    ),
    Case(
        "epil_poisson_olre",
        f"y ~ {EPIL} + visit + (1 | subject) + (1 | obs)",
        "poisson",
        "y",
        rename=sd("obs", "sd_obs") | sd("subject", "sd_subject"),
        eb={"subject": "_subject", "obs": "_obs"},
        laplace=CANONICAL,
    ),
    Case(
        "galamm_epilep",
        "y ~ lbas * treat + lage + v4 + (1 | subj)",
        "poisson",
        "y",
        target=("results", "brute"),
        derive=lambda p: {"psi": p["sd(1 | subj)"] ** 2},
    ),
    Case(
        "mmmec_poisson_region",
        "deaths ~ uvb + offset(loge) + (1 | region)",
        "poisson",
        "deaths",
        rename=sd("region"),
        eb={"region": ""},
        laplace=CANONICAL,
    ),
    Case(
        "kidney_exponential",
        "status ~ age10 + sexF + dis + offset(logt) + (1 | id)",
        "poisson",
        "status",
        factors={"dis": ("Other", "GN", "AN", "PKD")},
        rename=sd("id"),
        eb={"id": ""},
        laplace=CANONICAL,
    ),
    # ---------------------------------------- gamma
    Case(
        "sleepstudy_gamma_ri",
        "y ~ Days + (1 | Subject)",
        "gamma",
        "y",
        rename=sd("Subject"),
        derive=lambda p: {"log_phi": -np.log(p["shape(y)"])},
        eb={"Subject": ""},
    ),
    Case(
        "sleepstudy_gamma_rs",
        "y ~ Days + (1 + Days | Subject)",
        "gamma",
        "y",
        derive=both(cholesky("Subject", "Days"), lambda p: {"log_phi": -np.log(p["shape(y)"])}),
        eb={"Subject": ""},
    ),
    # ---------------------------------------- Gaussian
    Case(
        "hsb82_lmm",
        "mAch ~ meanses * cses + sector * cses + (1 + cses | school)",
        "gaussian",
        "mAch",
        rename={"cses:sector": "mAch ~ sector:cses"},
        derive=both(cholesky("school", "cses"), lambda p: {"sigma": p["sigma(mAch)"]}),
        target=("exact", "own_check"),
        errors="se_observed_information",
        eb={"school": "_school"},
    ),
    Case(
        "pastes_nested",
        "strength ~ 1 + (1 | batch) + (1 | sample)",
        "gaussian",
        "strength",
        eb={"batch": "_batch", "sample": "_sample"},
    ),
    Case(
        "sleepstudy_lmm_rs",
        "Reaction ~ Days + (1 + Days | Subject)",
        "gaussian",
        "Reaction",
        derive=both(cholesky("Subject", "Days"), lambda p: {"sigma": p["sigma(Reaction)"]}),
        target=("exact", "own_check"),
        errors="se_observed_information",
        eb={"Subject": "_Subject"},
    ),
    Case(
        "sleepstudy_lmm_uncorr",
        "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
        "gaussian",
        "Reaction",
        eb={"Subject": "_Subject"},
    ),
    Case(
        "galamm_hsced",
        "y ~ x + (1 | id); sigma(y) ~ item",
        "gaussian",
        "y",
        factors={"item": ("1", "2")},
        rename={"cons": "y ~ 1", "alpha0": "sigma(y) ~ 1", "alpha1": "sigma(y) ~ item[T.2]"},
        derive=lambda p: {"psi": p["sd(1 | id)"] ** 2},
        target=("results", "brute"),
    ),
    Case(
        "machines_varident",
        "score ~ Machine + (1 | Worker) + (1 | WM); sigma(score) ~ Machine",
        "gaussian",
        "score",
        factors={"Machine": ("A", "B", "C")},
        target=("results", 2),
    ),
    Case(
        "orthodont_varident",
        "distance ~ age11 * Sex + (1 | Subject); sigma(distance) ~ Sex",
        "gaussian",
        "distance",
        factors={"Sex": ("Female", "Male")},
        target=("results", 2),
    ),
    # ---------------------------------------- ordinal
    Case(
        "wine_logit",
        "rating ~ temp + contact + (1 | judge)",
        "ordinal",
        "rating",
        factors={"rating": FIVE, "temp": ("cold", "warm"), "contact": ("no", "yes")},
        rename=sd("judge"),
        eb={"judge": ""},
    ),
    Case(
        "wine_probit",
        "rating ~ temp + contact + (1 | judge)",
        "ordinal(probit)",
        "rating",
        factors={"rating": FIVE, "temp": ("cold", "warm"), "contact": ("no", "yes")},
        rename=sd("judge"),
        eb={"judge": ""},
    ),
    Case(
        "wine_logit_nominal",
        "rating ~ temp + (1 | judge); threshold(rating) ~ contact",
        "ordinal",
        "rating",
        factors={"rating": FIVE, "temp": ("cold", "warm"), "contact": ("no", "yes")},
        rename=sd("judge"),
        eb={"judge": ""},
    ),
    Case(
        "wine_probit_scale",
        "rating ~ temp + contact + (1 | judge); scale(rating) ~ temp",
        "ordinal(probit)",
        "rating",
        factors={"rating": FIVE, "temp": ("cold", "warm"), "contact": ("no", "yes")},
        rename=sd("judge"),
        eb={"judge": ""},
    ),
    Case(
        "schizophrenia_ologit_ri",
        "imps79o ~ TxDrug * SqrtWeek + (1 | id)",
        "ordinal",
        "imps79o",
        factors={"imps79o": ("1", "2", "3", "4")},
        rename=sd("id"),
        eb={"id": ""},
    ),
    Case(
        "norcag_ologit_freq",
        "SexItems ~ Item2vs1 + Item3vs1 + (1 | ID)",
        "ordinal",
        "SexItems",
        factors={"SexItems": ("1", "2", "3", "4")},
        weights={"ID": "freq"},
        rename=sd("ID"),
        eb={"ID": ""},
    ),
    Case(
        "norcag_ologit_nonprop",
        "SexItems ~ 0 + (1 | ID); threshold(SexItems) ~ Item2vs1 + Item3vs1",
        "ordinal",
        "SexItems",
        factors={"SexItems": ("1", "2", "3", "4")},
        weights={"ID": "freq"},
        rename=sd("ID"),
        eb={"ID": ""},
    ),
    Case(
        "norcag_ologit_scale",
        "SexItems ~ Item2vs1 + Item3vs1 + (1 | ID); scale(SexItems) ~ Item2vs1 + Item3vs1",
        "ordinal",
        "SexItems",
        factors={"SexItems": ("1", "2", "3", "4")},
        weights={"ID": "freq"},
        rename=sd("ID"),
        eb={"ID": ""},
    ),
    Case(
        "soup_probit",
        "SURENESS ~ PROD + (1 | RESP)",
        "ordinal(probit)",
        "SURENESS",
        factors={"SURENESS": (*FIVE, "6"), "PROD": ("Ref", "Test")},
        rename=sd("RESP"),
        eb={"RESP": ""},
    ),
    Case(
        "soprobit_soup",
        "sure ~ test + (1 | id); scale(sure) ~ test",
        "ordinal(probit)",
        "sure",
        factors={"sure": ("0", *FIVE)},
        rename={f"kappa{k}": f"threshold(sure)[{k - 1}|{k}]" for k in range(1, 6)}
        | {"b_test": "sure ~ test", "a_test": "scale(sure) ~ test"},
        derive=lambda p: {"psi": p["sd(1 | id)"] ** 2},
        target=("results", "ordinal_clmm2"),
    ),
    Case(
        "soprobit_soup_fixed",
        "sure ~ test + day2; scale(sure) ~ test + cold",
        "ordinal(probit)",
        "sure",
        factors={"sure": ("0", *FIVE)},
        rename={f"kappa{k}": f"threshold(sure)[{k - 1}|{k}]" for k in range(1, 6)}
        | {"b_test": "sure ~ test", "b_day2": "sure ~ day2"}
        | {"a_test": "scale(sure) ~ test", "a_cold": "scale(sure) ~ cold"},
        target=("results", "ordinal_clm"),
    ),
]
BY_NAME = {case.name: case for case in CASES}


def cases(keep=lambda case: True):
    return [case.name for case in CASES if keep(case)]


@cache
def fit(name, points="auto"):
    case = BY_NAME[name]
    weights = None if case.weights is None else dict(case.weights)
    return glamm.fit(case.formula, data(case), family=case.family, weights=weights, points=points)
