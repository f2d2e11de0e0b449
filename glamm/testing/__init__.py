"""Checks that a plugin keeps its promises; authors run them in their own test suites.

Each check raises AssertionError with a sentence that says what is wrong. Examples are drawn by hypothesis
without randomness of their own, so a check that passes once passes always.
"""

from glamm.testing.families import check_family
from glamm.testing.latents import check_latent_distribution
from glamm.testing.links import check_link

__all__ = ["check_family", "check_latent_distribution", "check_link"]
