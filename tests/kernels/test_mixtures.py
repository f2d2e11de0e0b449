"""Mixtures below a level and nodes that are given, against the twin, sums over states and differences."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from quadrature_problems import (
    along,
    random_direction,
    random_nodes,
    random_problem,
    slope,
)

from glamm.kernels import reference
from glamm.kernels._families import call_block

# sizes with rows first, coordinates of each level, products, levels in groups
SHAPES = {
    "no groups": ((18, 6, 2), (1, 1), ((0, 1),), ()),
    "two levels": ((20, 8, 2), (1, 1), (), (0,)),
    "two levels, products": ((20, 8, 2), (2, 1), ((0, 1), (1, 2), (2, 2)), (0,)),
    "two levels, nothing below": ((20, 8, 2), (0, 2), (), (0,)),
    "two levels, nothing above": ((20, 8, 2), (1, 0), (), (0,)),
    "three levels, lowest": ((30, 12, 5, 2), (1, 1, 1), ((0, 2),), (0,)),
    "three levels, middle": ((30, 12, 6, 2), (1, 1, 1), (), (1,)),
    "three levels, both": ((40, 18, 7, 2), (1, 1, 1), ((0, 1), (1, 2)), (0, 1)),
}
CASES = {
    "binomial": (("binomial",), False),
    "gaussian, mean and sigma": (("gaussian",), True),
    "two responses": (("poisson", "gaussian"), False),
}
MOMENTS = ("mean", "cov", "path_mean", "path_cov", "share")


def problem_of(shape, case, seed=0, **options):
    sizes, dimensions, pairs, grouped = SHAPES[shape]
    families, both = CASES[case]
    seed += len(shape) + len(case)
    return random_problem(seed, sizes, dimensions, families, pairs, both=both, grouped=grouped, **options)


def agree(out, expected, tolerance):
    assert out["loglik"] == pytest.approx(expected.loglik, rel=tolerance, abs=tolerance)
    found = {
        "mean": expected.mean,
        "cov": expected.covariance,
        "path_mean": expected.path_mean,
        "path_cov": expected.path_covariance,
        "share": expected.share,
    }
    for name in MOMENTS:
        for x, y in zip(out[name], found[name], strict=True):
            assert x == pytest.approx(y, abs=tolerance)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("points", [1, 3, 6])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_given_nodes_and_their_gradient(shape, case, points, weights):
    problem = problem_of(shape, case, weights=weights)
    nodes = random_nodes(problem, 1)
    rule = [points] * len(problem.dimensions)
    engine = problem.engine(rule)
    out = problem.evaluate(rule, engine, held=nodes, gradient=True, moments=True)
    assert not out["failed"]
    agree(out, reference.held(*problem.twin(), rule, nodes), 1e-9)
    for (centre, _), mode in zip(nodes, out["modes"], strict=True):
        assert np.array_equal(mode, centre)
    for seed in range(2):
        direction = random_direction(problem, seed)

        def value(step, direction=direction):
            moved = problem.moved(direction, step)
            return moved.total(moved.evaluate(rule, engine, held=nodes)["loglik"])

        assert along(out, direction) == pytest.approx(slope(value, 1e-3), rel=1e-8, abs=1e-7)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", ["no groups", "two levels", "two levels, nothing below"])
def test_many_nodes_reach_the_integral(shape, case):
    problem = problem_of(shape, case, size=0.08)
    exact = reference.brute(*problem.twin(), step=0.1, reach=8.0)
    rule = [60] * len(problem.dimensions)
    out = problem.evaluate(rule, held=random_nodes(problem, 2), moments=True)
    agree(out, exact, 1e-6)


# ------------------------------------------------ sums over states


def states(forest_children, groups, level, cluster):
    """Yield every choice of one member of each group below a cluster, as sets of (level, cluster)."""
    below = forest_children[level][cluster]
    if level == 0:
        yield frozenset()
        return
    group = groups[level - 1]
    families = {}
    for j in below:
        families.setdefault(j if group is None else ("group", group[j]), []).append(j)
    options = [
        [
            chosen | {(level - 1, j)}
            for j in members
            for chosen in states(forest_children, groups, level - 1, j)
        ]
        for members in families.values()
    ]
    for choice in itertools.product(*options):
        yield frozenset().union(*choice)


def restricted(problem, top, chosen):
    """Return twin input of one top-level cluster and the clusters chosen below it, without groups."""
    levels, responses = problem.twin()
    kept = [sorted(j for level, j in chosen if level == k) for k in range(len(levels) - 1)] + [[top]]
    new_levels = [
        replace(
            level,
            clusters=len(kept[k]),
            group=None,
            parent=None
            if level.parent is None
            else np.array([kept[k + 1].index(level.parent[j]) for j in kept[k]], dtype=np.intp),
        )
        for k, level in enumerate(levels)
    ]
    new_responses = []
    for r in responses:
        rows = np.flatnonzero(np.isin(r.cluster, kept[0]))
        new_responses.append(
            replace(
                r,
                block=lambda at, nu, order, r=r, rows=rows: r.block(rows[at], nu, order),
                offset=r.offset[rows],
                loading=r.loading[rows],
                coefficient=r.coefficient[rows],
                cluster=np.searchsorted(kept[0], r.cluster[rows]),
            )
        )
    return new_levels, new_responses


@pytest.mark.parametrize(
    "sizes, dimensions, grouped",
    [
        ((12, 5, 1), (1, 1), (0,)),
        ((18, 10, 2), (0, 1), (0,)),
        ((14, 7, 3, 1), (1, 0, 1), (0, 1)),
        ((16, 9, 6, 1), (0, 1, 1), (1,)),
    ],
)
@pytest.mark.parametrize("family", ["binomial", "gaussian"])
def test_sums_over_states(family, sizes, dimensions, grouped):
    pairs = ((0, sum(dimensions) - 1),)
    problem = random_problem(5, sizes, dimensions, (family,), pairs, size=0.1, grouped=grouped)
    children = [[[] for _ in range(problem.clusters[0])]]
    for parent, count in zip(problem.parents, problem.clusters[1:], strict=True):
        children.append([list(np.flatnonzero(parent == j)) for j in range(count)])
    rule = [40] * len(dimensions)
    out = problem.evaluate(rule, held=random_nodes(problem, 3), moments=True)
    exact = reference.brute(*problem.twin(), step=0.1, reach=8.0)
    tops, most = len(dimensions) - 1, 0
    for top in range(problem.clusters[-1]):
        found = {
            state: reference.brute(*restricted(problem, top, state), step=0.1, reach=8.0).loglik[0]
            for state in states(children, problem.groups, tops, top)
        }
        most = max(most, len(found))
        total = np.logaddexp.reduce(list(found.values()))
        assert exact.loglik[top] == pytest.approx(total, abs=1e-10)
        assert out["loglik"][top] == pytest.approx(total, abs=1e-7)

        def probability(*members, found=found, total=total):
            return sum(np.exp(v - total) for state, v in found.items() if state.issuperset(members))

        below = [top]
        for level in range(tops - 1, -1, -1):
            above = below
            below = [j for cluster in above for j in children[level + 1][cluster]]
            for j in below:
                parent = (level + 1, problem.parents[level][j])
                given = 1.0 if level == tops - 1 else probability(parent)
                assert out["share"][level][j] == pytest.approx(probability((level, j)) / given, abs=1e-7)

    assert most >= 4


# ------------------------------------------------ nodes placed by what was found


def upper_factor(covariance):
    """Return the upper triangular T with T T' = covariance."""
    return np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1]


def placed_by_moments(problem, out):
    """Return nodes at the moments of each cluster given its ancestors, all of them members."""
    nodes = []
    above, given, parent = (
        np.zeros((1, 0)),
        np.zeros((1, 0, 0)),
        np.zeros(problem.clusters[-1], dtype=np.intp),
    )
    for level in reversed(range(len(problem.dimensions))):
        q = problem.dimensions[level]
        if level < len(problem.parents):
            parent = problem.parents[level]
        mean, cov = out["path_mean"][level], out["path_cov"][level]
        centre, spread = np.zeros_like(mean), np.zeros_like(cov)
        for j, k in enumerate(parent):
            regression = np.linalg.solve(cov[j, q:, q:], cov[j, q:, :q]).T
            own = cov[j, :q, :q] - regression @ cov[j, q:, :q]
            centre[j] = np.append(mean[j, :q] + regression @ (above[k] - mean[j, q:]), above[k])
            spread[j, :q, :q] = upper_factor(own)
            spread[j, :q, q:] = regression @ given[k]
            spread[j, q:, q:] = given[k]
        nodes.insert(0, (centre[:, :q], spread))
        above, given = centre, spread
    return nodes


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", ["no groups", "two levels", "two levels, nothing below"])
def test_nodes_placed_by_moments_settle_near_the_integral(shape, case):
    problem = problem_of(shape, case, size=0.08)
    exact = reference.brute(*problem.twin(), step=0.1, reach=8.0).loglik
    rule = [15] * len(problem.dimensions)
    engine = problem.engine(rule)
    nodes = random_nodes(problem, 2)
    errors = []
    for _ in range(4):
        out = problem.evaluate(rule, engine, held=nodes, moments=True)
        errors.append(np.abs(out["loglik"] - exact).max())
        nodes = placed_by_moments(problem, out)
    assert errors[-1] < min(1e-5, errors[0])
    assert errors[-1] == pytest.approx(errors[-2], rel=1e-2)


# ------------------------------------------------ edges


def test_groups_of_one_cluster_are_no_groups():
    problem = problem_of("three levels, both", "two responses")
    alone = tuple(np.arange(k) for k in problem.clusters[:-1])
    nodes = random_nodes(problem, 4)
    found, expected = (
        replace(problem, groups=groups).evaluate([3, 3, 3], held=nodes, gradient=True, moments=True)
        for groups in ((*alone, None), (None, None, None))
    )
    for name in ("loglik", "go", "ga", "gc", *MOMENTS):
        for x, y in zip(found[name], expected[name], strict=True):
            assert x == pytest.approx(y, rel=1e-12, abs=1e-12)


def test_what_is_asked_for_beside_it_changes_nothing():
    problem = problem_of("three levels, both", "two responses")
    nodes, rule = random_nodes(problem, 4), [3, 3, 3]
    both = problem.evaluate(rule, held=nodes, gradient=True, moments=True)
    gradient = problem.evaluate(rule, held=nodes, gradient=True)
    moments = problem.evaluate(rule, held=nodes, moments=True)
    for name in ("loglik", "go", "ga", "gc"):
        assert all(np.array_equal(x, y) for x, y in zip(both[name], gradient[name], strict=True))
    for name in ("loglik", *MOMENTS):
        assert all(np.array_equal(x, y) for x, y in zip(both[name], moments[name], strict=True))


def test_given_nodes_at_the_modes_are_adaptive_quadrature():
    # one Gaussian row a cluster: mode and scale of the coordinate are known
    problem = random_problem(6, (5, 5), (1,), ("gaussian",), ())
    (part,) = problem.parts
    part = replace(part, cluster=np.arange(5), o=np.stack([part.o[0], np.zeros(5)]))
    problem = replace(problem, parts=(part,))
    a = part.a[0, :, 0]
    spread = 1.0 / np.sqrt(1.0 + a**2)
    mode = a * (part.y[:, 0] - part.o[0]) * spread**2
    adaptive = problem.evaluate([4], moments=True)
    given = problem.evaluate([4], held=[(mode[:, None], spread[:, None, None])], moments=True)
    assert given["loglik"] == pytest.approx(adaptive["loglik"], rel=1e-12)
    assert given["mean"][0] == pytest.approx(adaptive["mean"][0], abs=1e-10)
    assert given["cov"][0] == pytest.approx(adaptive["cov"][0], abs=1e-10)
    assert given["path_mean"][0] == pytest.approx(given["mean"][0], abs=0)


def first_group(problem):
    """Return one cluster of the first group of several at the lowest level, and its alternatives."""
    group = problem.groups[0]
    j = int(np.flatnonzero(np.diff(group) == 0)[0])
    return j, [int(k) for k in np.flatnonzero(group == group[j]) if k != j]


def doomed(problem, offsets):
    """Return a Bernoulli problem whose successes have given offsets, far below, in some lowest clusters."""
    (part,) = problem.parts
    y, o = part.y.copy(), part.o.copy()
    for j, offset in offsets.items():
        y[part.cluster == j, 0] = 1.0
        o[0, part.cluster == j] = offset
    return replace(problem, parts=(replace(part, y=y, o=o),))


@pytest.mark.parametrize("shape", ["two levels, products", "three levels, both"])
def test_a_member_of_no_probability_has_the_moments_of_being_one(shape):
    problem = problem_of(shape, "binomial", seed=1)
    j, others = first_group(problem)
    nodes = random_nodes(problem, 5)
    rule = [4] * len(problem.dimensions)
    never = doomed(problem, {j: -2000.0}).evaluate(rule, held=nodes, gradient=True, moments=True)
    worse = dict.fromkeys(others, -9000.0)
    always = doomed(problem, {j: -2000.0, **worse}).evaluate(rule, held=nodes, moments=True)
    assert never["share"][0][j] == 0.0
    assert always["share"][0][j] == pytest.approx(1.0, abs=1e-14)
    assert never["path_mean"][0][j] == pytest.approx(always["path_mean"][0][j], abs=1e-9)
    assert never["path_cov"][0][j] == pytest.approx(always["path_cov"][0][j], abs=1e-9)
    assert np.all(never["go"][0][0, problem.parts[0].cluster == j] == 0.0)


class Impossible:
    """Bernoulli log densities, -inf where the response is 2."""

    def __init__(self, family):
        self.family = family

    def block(self, y, nu, order):
        parts = call_block(self.family, np.minimum(y, 1.0), nu, order)
        parts[0][0] = np.where(y[:, 0] == 2.0, -np.inf, parts[0][0])
        return parts


def impossible(problem, clusters):
    (part,) = problem.parts
    y = part.y.copy()
    y[np.isin(part.cluster, clusters), 0] = 2.0
    return replace(problem, parts=(replace(part, y=y),))


def test_an_impossible_member_leaves_the_others():
    problem = problem_of("two levels, products", "binomial", seed=1)
    j, _ = first_group(problem)
    nodes = random_nodes(problem, 6)
    impaired = impossible(problem, [j])
    out = impaired.evaluate(
        None, impaired.engine([4, 4], Impossible), held=nodes, gradient=True, moments=True
    )
    expected = doomed(problem, {j: -2000.0}).evaluate([4, 4], held=nodes, gradient=True, moments=True)
    assert not out["failed"]
    assert out["loglik"] == pytest.approx(expected["loglik"], rel=1e-12)
    for name in ("go", "ga", "gc"):
        assert out[name][0] == pytest.approx(expected[name][0], abs=1e-11)
    assert out["share"][0] == pytest.approx(expected["share"][0], abs=1e-12)
    # its nodes stay where they are
    path = np.concatenate([nodes[0][0][j], nodes[1][0][problem.parents[0][j]]])
    spread = nodes[0][1][j]
    assert out["path_mean"][0][j] == pytest.approx(path, abs=1e-12)
    assert out["path_cov"][0][j] == pytest.approx(spread @ spread.T, abs=1e-12)


def test_an_impossible_top_level_cluster_leaves_the_others():
    problem = problem_of("two levels", "binomial", seed=1)
    j, others = first_group(problem)
    top = problem.parents[0][j]
    nodes = random_nodes(problem, 7)
    impaired = impossible(problem, [j, *others])
    out = impaired.evaluate(
        None, impaired.engine([4, 4], Impossible), held=nodes, gradient=True, moments=True
    )
    expected = problem.evaluate([4, 4], held=nodes, gradient=True, moments=True)
    assert out["failed"]
    assert out["loglik"][top] == -np.inf
    rest = np.arange(problem.clusters[-1]) != top
    assert out["loglik"][rest] == pytest.approx(expected["loglik"][rest], rel=1e-12)
    rows = problem.parents[0][problem.parts[0].cluster] != top
    for name in ("go", "ga"):
        assert out[name][0][:, rows] == pytest.approx(expected[name][0][:, rows], rel=1e-12)
        assert np.all(out[name][0][:, ~rows] == 0.0)
    assert all(np.all(np.isfinite(x)) for x in out["path_mean"])


def test_threads_give_the_same_bits():
    sizes, pairs = (9000, 3000, 600), ((0, 1),)
    problem = random_problem(8, sizes, (1, 1), ("binomial",), pairs, grouped=(0,))
    nodes = random_nodes(problem, 8)
    one, two = (problem.evaluate([5, 5], held=nodes, gradient=True, moments=True, threads=t) for t in (1, 2))
    for name in ("loglik", "go", "ga", "gc", *MOMENTS):
        for x, y in zip(one[name], two[name], strict=True):
            assert np.array_equal(x, y)


def test_what_cannot_be_done_is_refused():
    problem = problem_of("two levels", "binomial")
    nodes = random_nodes(problem, 9)
    with pytest.raises(ValueError, match="no one mode"):
        problem.evaluate([3, 3])
    with pytest.raises(ValueError, match="given or a fixed grid"):
        reference.adaptive(*problem.twin(), [3, 3])
    with pytest.raises(ValueError, match="level 0 needs centres"):
        problem.evaluate([3, 3], held=[nodes[1], nodes[1]])
    with pytest.raises(ValueError, match="top level has no groups"):
        replace(problem, groups=(None, np.arange(2))).engine([3, 3])
    with pytest.raises(ValueError, match="ascending"):
        replace(problem, groups=(np.arange(8)[::-1], None)).engine([3, 3])
    with pytest.raises(ValueError, match="one parent and one weight"):
        replace(problem, groups=(np.zeros(8, dtype=np.intp), None)).engine([3, 3])
    with pytest.raises(ValueError, match="one parent and one weight"):
        replace(problem, weights=(np.arange(8.0), None)).engine([3, 3])
