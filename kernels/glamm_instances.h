/* Block functions of one instruction set; included once for each, with GLAMM_ISA and GLAMM_TARGET. */

#define GLAMM_INSTANCE(name, call) \
    static GLAMM_TARGET int GLAMM_ISA(name)(GLAMM_PARAMETERS) { return call; }

static GLAMM_TARGET void GLAMM_ISA(ordinal_chain)(int order, ptrdiff_t length,
                                                  const glamm_ordinal_work *work, double *const *out) {
    glamm_ordinal_chain(order, length, work, out);
}

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

static glamm_block_v1 GLAMM_ISA(find)(const char *family, int link, int asymptotes) {
    static const struct {
        const char *family;
        int link, asymptotes;
        glamm_block_v1 block;
    } table[] = {
        {"gaussian", GLAMM_IDENTITY, 0, GLAMM_ISA(gaussian_identity)},
        {"poisson", GLAMM_LOG_LINK, 0, GLAMM_ISA(poisson_log)},
        {"binomial", GLAMM_LOGIT, 0, GLAMM_ISA(binomial_logit)},
        {"binomial", GLAMM_PROBIT, 0, GLAMM_ISA(binomial_probit)},
        {"binomial", GLAMM_CLOGLOG, 0, GLAMM_ISA(binomial_cloglog)},
        {"binomial", GLAMM_LOGLOG, 0, GLAMM_ISA(binomial_loglog)},
        {"ordinal", GLAMM_LOGIT, 0, GLAMM_ISA(ordinal_logit)},
        {"ordinal", GLAMM_PROBIT, 0, GLAMM_ISA(ordinal_probit)},
        {"ordinal", GLAMM_CLOGLOG, 0, GLAMM_ISA(ordinal_cloglog)},
        {"ordinal", GLAMM_LOGLOG, 0, GLAMM_ISA(ordinal_loglog)},
    };
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (strcmp(table[k].family, family) == 0 && table[k].link == link
            && table[k].asymptotes == asymptotes)
            return table[k].block;
    return NULL;
}

#undef GLAMM_INSTANCE
