"""The multivariate normal likelihood as it is written, without any shortcut."""

import numpy as np
from scipy import stats


def loglik(responses, covariates, coefficients, covariance):
    """Return the log-likelihood of responses (n, p), NaN where missing, given covariates (n, k)."""
    total = 0.0
    for y, x in zip(responses, covariates, strict=True):
        seen = np.isfinite(y)
        mean = coefficients @ np.concatenate([[1.0], x])
        part = covariance[np.ix_(seen, seen)]
        total += stats.multivariate_normal.logpdf(y[seen], mean[seen], part)
    return float(total)
