/* Block functions of one instruction set; included once for each, with GLAMM_ISA and GLAMM_TARGET. */

#define GLAMM_INSTANCE(name, call) \
    static GLAMM_TARGET int GLAMM_ISA(name)(GLAMM_PARAMETERS) { return call; }

#define GLAMM_SHARED_BY_FAMILIES static GLAMM_OUTLINE GLAMM_TARGET void

GLAMM_SHARED_BY_FAMILIES GLAMM_ISA(ordinal_chain)(int order, ptrdiff_t length,
                                                  const glamm_ordinal_work *work, double *const *out) {
    glamm_ordinal_chain(order, length, work, out);
}

GLAMM_SHARED_BY_FAMILIES GLAMM_ISA(apply_link)(const glamm_options *options, ptrdiff_t length,
                                               const double *nu, glamm_mean *to) {
    glamm_apply_link(options, length, nu, to);
}

GLAMM_SHARED_BY_FAMILIES GLAMM_ISA(compose)(int order, int K, ptrdiff_t length, const glamm_mean *mean,
                                            double *const *out) {
    glamm_compose(order, K, length, mean, out);
}

GLAMM_SHARED_BY_FAMILIES GLAMM_ISA(auxiliary)(int order, int kind, ptrdiff_t length, const double *channel,
                                              const double *y, double (*to)[GLAMM_BUFFER]) {
    glamm_auxiliary(order, kind, length, channel, y, to);
}

static const glamm_general GLAMM_ISA(general_parts) = {GLAMM_ISA(apply_link), GLAMM_ISA(compose),
                                                       GLAMM_ISA(auxiliary)};

#define GLAMM_GENERAL_INSTANCE(name, family) \
    GLAMM_INSTANCE(name, glamm_general_block(family, &GLAMM_ISA(general_parts), GLAMM_ARGUMENTS))

GLAMM_INSTANCE(gaussian_identity, glamm_gaussian(GLAMM_ARGUMENTS))
GLAMM_INSTANCE(poisson_log, glamm_poisson(GLAMM_ARGUMENTS))
GLAMM_INSTANCE(binomial_logit, glamm_binomial(GLAMM_LOGIT, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(binomial_probit, glamm_binomial(GLAMM_PROBIT, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(binomial_cloglog, glamm_binomial(GLAMM_CLOGLOG, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(binomial_loglog, glamm_binomial(GLAMM_LOGLOG, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(ordinal_logit, glamm_ordinal(GLAMM_LOGIT, GLAMM_ISA(ordinal_chain), GLAMM_ARGUMENTS))
GLAMM_INSTANCE(ordinal_probit, glamm_ordinal(GLAMM_PROBIT, GLAMM_ISA(ordinal_chain), GLAMM_ARGUMENTS))
GLAMM_INSTANCE(ordinal_cloglog, glamm_ordinal(GLAMM_CLOGLOG, GLAMM_ISA(ordinal_chain), GLAMM_ARGUMENTS))
GLAMM_INSTANCE(ordinal_loglog, glamm_ordinal(GLAMM_LOGLOG, GLAMM_ISA(ordinal_chain), GLAMM_ARGUMENTS))
GLAMM_INSTANCE(sequential_logit, glamm_sequential(GLAMM_LOGIT, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(sequential_probit, glamm_sequential(GLAMM_PROBIT, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(sequential_cloglog, glamm_sequential(GLAMM_CLOGLOG, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(sequential_loglog, glamm_sequential(GLAMM_LOGLOG, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(adjacent, glamm_adjacent(GLAMM_ARGUMENTS))
GLAMM_INSTANCE(multinomial, glamm_softmax(1, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(choice, glamm_softmax(0, GLAMM_ARGUMENTS))
GLAMM_INSTANCE(ranking, glamm_ranking(GLAMM_ARGUMENTS))
GLAMM_GENERAL_INSTANCE(gaussian, GLAMM_GAUSSIAN)
GLAMM_GENERAL_INSTANCE(student_t, GLAMM_STUDENT_T)
GLAMM_GENERAL_INSTANCE(gamma, GLAMM_GAMMA)
GLAMM_GENERAL_INSTANCE(gamma_log, GLAMM_GAMMA_LOG)
GLAMM_GENERAL_INSTANCE(inverse_gaussian, GLAMM_INVERSE_GAUSSIAN)
GLAMM_GENERAL_INSTANCE(poisson, GLAMM_POISSON)
GLAMM_GENERAL_INSTANCE(negative_binomial, GLAMM_NEGATIVE_BINOMIAL)
GLAMM_GENERAL_INSTANCE(negative_binomial_log, GLAMM_NEGATIVE_BINOMIAL_LOG)
GLAMM_GENERAL_INSTANCE(binomial, GLAMM_BINOMIAL)
GLAMM_GENERAL_INSTANCE(lower_asymptote, GLAMM_LOWER_ASYMPTOTE)
GLAMM_GENERAL_INSTANCE(both_asymptotes, GLAMM_BOTH_ASYMPTOTES)
GLAMM_GENERAL_INSTANCE(upper_asymptote, GLAMM_UPPER_ASYMPTOTE)
GLAMM_GENERAL_INSTANCE(beta, GLAMM_BETA)
GLAMM_GENERAL_INSTANCE(weibull, GLAMM_WEIBULL)
GLAMM_GENERAL_INSTANCE(exponential, GLAMM_EXPONENTIAL)
#define GLAMM_LATENT_INSTANCE(name, kind) \
    GLAMM_INSTANCE(name, glamm_latent_block(kind, GLAMM_ISA(compose), GLAMM_ARGUMENTS))

GLAMM_LATENT_INSTANCE(latent_student_t, GLAMM_LATENT_STUDENT_T)
GLAMM_LATENT_INSTANCE(latent_skew_normal, GLAMM_LATENT_SKEW_NORMAL)
GLAMM_LATENT_INSTANCE(latent_normal_mixture, GLAMM_LATENT_NORMAL_MIXTURE)

#define GLAMM_ANY GLAMM_N_LINKS

/* Pairs of their own come before a family's entry for any link. */
static glamm_block_v1 GLAMM_ISA(find)(const char *family, int link, int asymptotes) {
    static const struct {
        const char *family;
        int link, asymptotes;
        glamm_block_v1 block;
    } table[] = {
        {"gaussian", GLAMM_IDENTITY, 0, GLAMM_ISA(gaussian_identity)},
        {"gaussian", GLAMM_ANY, 0, GLAMM_ISA(gaussian)},
        {"student_t", GLAMM_ANY, 0, GLAMM_ISA(student_t)},
        {"gamma", GLAMM_LOG_LINK, 0, GLAMM_ISA(gamma_log)},
        {"gamma", GLAMM_ANY, 0, GLAMM_ISA(gamma)},
        {"inverse_gaussian", GLAMM_ANY, 0, GLAMM_ISA(inverse_gaussian)},
        {"poisson", GLAMM_LOG_LINK, 0, GLAMM_ISA(poisson_log)},
        {"poisson", GLAMM_ANY, 0, GLAMM_ISA(poisson)},
        {"negative_binomial", GLAMM_LOG_LINK, 0, GLAMM_ISA(negative_binomial_log)},
        {"negative_binomial", GLAMM_ANY, 0, GLAMM_ISA(negative_binomial)},
        {"binomial", GLAMM_LOGIT, 0, GLAMM_ISA(binomial_logit)},
        {"binomial", GLAMM_PROBIT, 0, GLAMM_ISA(binomial_probit)},
        {"binomial", GLAMM_CLOGLOG, 0, GLAMM_ISA(binomial_cloglog)},
        {"binomial", GLAMM_LOGLOG, 0, GLAMM_ISA(binomial_loglog)},
        {"binomial", GLAMM_ANY, 0, GLAMM_ISA(binomial)},
        {"binomial", GLAMM_ANY, 1, GLAMM_ISA(lower_asymptote)},
        {"binomial", GLAMM_ANY, 2, GLAMM_ISA(both_asymptotes)},
        {"binomial", GLAMM_ANY, 3, GLAMM_ISA(upper_asymptote)},
        {"beta", GLAMM_ANY, 0, GLAMM_ISA(beta)},
        {"ordinal", GLAMM_LOGIT, 0, GLAMM_ISA(ordinal_logit)},
        {"ordinal", GLAMM_PROBIT, 0, GLAMM_ISA(ordinal_probit)},
        {"ordinal", GLAMM_CLOGLOG, 0, GLAMM_ISA(ordinal_cloglog)},
        {"ordinal", GLAMM_LOGLOG, 0, GLAMM_ISA(ordinal_loglog)},
        {"sequential", GLAMM_LOGIT, 0, GLAMM_ISA(sequential_logit)},
        {"sequential", GLAMM_PROBIT, 0, GLAMM_ISA(sequential_probit)},
        {"sequential", GLAMM_CLOGLOG, 0, GLAMM_ISA(sequential_cloglog)},
        {"sequential", GLAMM_LOGLOG, 0, GLAMM_ISA(sequential_loglog)},
        {"adjacent", GLAMM_LOGIT, 0, GLAMM_ISA(adjacent)},
        {"multinomial", GLAMM_LOGIT, 0, GLAMM_ISA(multinomial)},
        {"choice", GLAMM_LOGIT, 0, GLAMM_ISA(choice)},
        {"ranking", GLAMM_LOGIT, 0, GLAMM_ISA(ranking)},
        {"weibull", GLAMM_LOG_LINK, 0, GLAMM_ISA(weibull)},
        {"exponential", GLAMM_LOG_LINK, 0, GLAMM_ISA(exponential)},
        {"latent student_t", GLAMM_IDENTITY, 0, GLAMM_ISA(latent_student_t)},
        {"latent skew_normal", GLAMM_IDENTITY, 0, GLAMM_ISA(latent_skew_normal)},
        {"latent normal_mixture", GLAMM_IDENTITY, 0, GLAMM_ISA(latent_normal_mixture)},
    };
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (strcmp(table[k].family, family) == 0
            && (table[k].link == link || table[k].link == GLAMM_ANY)
            && table[k].asymptotes == asymptotes)
            return table[k].block;
    return NULL;
}

#undef GLAMM_ANY
#undef GLAMM_GENERAL_INSTANCE
#undef GLAMM_LATENT_INSTANCE
#undef GLAMM_INSTANCE
#undef GLAMM_SHARED_BY_FAMILIES
