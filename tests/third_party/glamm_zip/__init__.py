"""Zero-inflated Poisson counts and the Cauchit link."""

import numpy as np
from scipy.special import gammaln

from glamm import Interval, Link, MeanFamily, Parameter
from glamm_zip import _block


class ZeroInflatedPoisson(MeanFamily):
    """A count that is 0 with probability ``pi`` and Poisson with mean ``mu`` otherwise."""

    links = ("log",)
    support = Interval(0.0, np.inf, closed="left", integer=True)
    mean = Interval(0.0, np.inf)
    parameters = (Parameter("pi", transform="logit", start=0.2),)

    def log_density(self, y, mu, pi):
        zero = np.log(pi + (1.0 - pi) * np.exp(-mu))
        positive = np.log1p(-pi) + y * np.log(mu) - mu - gammaln(y + 1.0)
        return np.where(y == 0.0, zero, positive)

    def kernel(self):
        return _block.capsule() if self.link.name == "log" else None

    def mean_value(self, encoded_categories, nu):
        return self.link.inverse(nu[0]) / (1.0 + np.exp(nu[1]))

    def simulate(self, rng, y, categories, nu):
        counts = rng.poisson(self.link.inverse(nu[0]))
        inflated = rng.random(counts.size) < 1.0 / (1.0 + np.exp(-nu[1]))
        return np.where(inflated, 0, counts).astype(float)[:, None]


class Cauchit(Link):
    """The quantile function of the Cauchy distribution."""

    mean = Interval(0.0, 1.0)

    def link(self, mu):
        return np.tan(np.pi * (np.asarray(mu, float) - 0.5))

    def inverse(self, nu):
        return 0.5 + np.arctan(nu) / np.pi
