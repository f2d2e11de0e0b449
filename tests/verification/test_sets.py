"""Probabilities of choices and rankings, by hand."""

import itertools

import numpy as np
import pytest

from glamm import registry
from glamm.graph import family_spec

CHOICE = registry.family(family_spec("choice"))
RANKING = registry.family(family_spec("ranking"))


def first(w, k, others):
    """Return the probability that k is taken first of k and the others, of worths w."""
    return w[k] / (w[k] + sum(w[m] for m in others))


def in_order(w, order, taken):
    """Return the probability that the first `taken` of `order` are taken in that order."""
    return np.prod([first(w, order[s], order[s + 1 :]) for s in range(taken)])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_choice_probabilities(size):
    nu = np.random.default_rng(size).normal(size=5)
    y = np.column_stack((np.arange(size), np.full(size, size), np.full(size, 5.0))).astype(float)
    expected = np.log(np.exp(nu[:size]) / np.exp(nu[:size]).sum())
    np.testing.assert_allclose(CHOICE.log_likelihood(y, [np.full(size, x) for x in nu]), expected, atol=1e-13)


W = np.exp(np.random.default_rng(4).normal(size=5))
TIED = (
    # ranks, and the orders that agree with them: how many alternatives were taken, and which ways
    ([1, 2, 3, 4, 5], [((0, 1, 2, 3, 4), 4)]),
    ([2, 0, 1, 0, 0], [((2, 0, 1, 3, 4), 2)]),
    ([1, 1, 2, 2, 2], [((0, 1, 2, 3, 4), 2), ((1, 0, 2, 3, 4), 2)]),
    ([3, 1, 2, 2, 2], [((1, *p, 0), 4) for p in itertools.permutations((2, 3, 4))]),
    ([1, 1, 2, 2, 0], [((*p, *q, 4), 4) for p in ((0, 1), (1, 0)) for q in ((2, 3), (3, 2))]),
)


@pytest.mark.parametrize(("ranks", "orders"), TIED)
def test_ranking_probabilities(ranks, orders):
    y = np.array([[5.0, *ranks]])
    found = RANKING.log_likelihood(y, [np.array([x]) for x in np.log(W)])[0]
    assert found == pytest.approx(np.log(sum(in_order(W, *order) for order in orders)), abs=1e-13)


def test_ties_are_sums_over_the_rankings_they_leave_open():
    """Three tied in front, by the race of exponential times: all three end before the other two."""
    found = np.exp(
        RANKING.log_likelihood(np.array([[5.0, 1, 1, 1, 2, 2]]), [np.array([x]) for x in np.log(W)])
    )
    rest = W[3] + W[4]
    subsets = itertools.chain.from_iterable(itertools.combinations(W[:3], k) for k in range(4))
    assert found[0] == pytest.approx(sum((-1) ** len(s) * rest / (rest + sum(s)) for s in subsets), abs=1e-14)
