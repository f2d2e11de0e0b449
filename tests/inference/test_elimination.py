"""Integrals in fewer dimensions at a time against the joint rule, and the structure they are found from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm.compile.plan import Plan
from glamm.inference import Objective, objective
from glamm.inference.elimination import block_tree
from glamm.inference.nesting import stacks_of
from glamm.kernels._lanes import Lanes

SPECIFIC = "\n".join(f"{a} ~~ 0*{b}" for a, b in (("g", "s0"), ("g", "s1"), ("s0", "s1")))


def sizes(cliques: list[set[int]], level_of: list[int]) -> list[list[int]]:
    """Return the sizes of the blocks at each depth, the top first."""
    tree = block_tree([frozenset(c) for c in cliques], level_of, max(level_of))
    return [[len(block.coordinates) for block in depth] for depth in tree]


def test_blocks_of_known_structures() -> None:
    bifactor = [{0, k} for k in range(1, 6)]
    assert sizes(bifactor, [0] * 6) == [[1], [1] * 5]
    two_tier = [{0, 1, k} for k in range(2, 6)]
    assert sizes(two_tier, [0] * 6) == [[2], [1] * 4]
    assert sizes([{0, 1, 2}], [0] * 3) == [[3]]
    assert sizes([{0, 1}, {2, 3}], [0] * 4) == [[0], [2, 2]]
    # a chain is cut in its middle, and then once more
    assert sum(max(depth) for depth in sizes([{k, k + 1} for k in range(6)], [0] * 7)) == 3
    # a coordinate of a lower level that meets two of a higher one keeps them together
    assert sizes([{0, 1}, {0, 2}], [0, 1, 1]) == [[2], [1]]
    # two responses with nothing in common, over two levels
    assert sizes([{0, 2}, {1, 3}], [0, 0, 1, 1]) == [[0], [1, 1], [1, 1]]


def items(n: int, seed: int, count: int = 6) -> pd.DataFrame:
    """Return answers to items that share a general factor and, by twos, a specific one."""
    rng = np.random.default_rng(seed)
    general, specific = rng.normal(size=n), rng.normal(size=(n, 2))
    nu = np.stack([0.3 * j - 0.8 + general + 0.8 * specific[:, j % 2] for j in range(count)], axis=1)
    answers = (rng.random(nu.shape) < 1.0 / (1.0 + np.exp(-nu))).astype(float)
    frame = pd.DataFrame(answers, columns=[f"i{j}" for j in range(count)])
    frame["x"], frame["school"] = rng.normal(size=n), np.arange(n) // 4
    frame["w"] = 1.0 + np.arange(n) % 3
    return frame


def long(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the same with one row an answer, some of them missing."""
    frame = frame.assign(person=np.arange(len(frame)))
    keys = ["person", "school", "x"]
    table = frame.melt(
        id_vars=keys, value_vars=[c for c in frame if c[0] == "i"], var_name="item", value_name="y"
    )
    for k in range(2):
        table[f"d{k}"] = (table["item"].str[1:].astype(int) % 2 == k).astype(float)
    return table.sample(frac=0.9, random_state=1).reset_index(drop=True)


BIFACTOR = f"g =~ i0 + i1 + i2 + i3 + i4 + i5\ns0 =~ 1*i0 + 1*i2 + 1*i4\ns1 =~ 1*i1 + 1*i3 + 1*i5\n{SPECIFIC}"


def models() -> dict[str, tuple[Plan, tuple[int, ...]]]:
    """Return plans and the dimensions that each level then has."""
    wide = items(24, 1)
    rows = long(items(20, 2))
    wide.loc[3, "i2"] = wide.loc[5, "i5"] = np.nan
    counts = wide.assign(i0=wide["i0"] * 3 + wide["i2"].fillna(0))

    def plan(text: str, data: pd.DataFrame, family: object = "binomial", **options: object) -> Plan:
        return glamm.Model(text, data, family, **options).lowered.plan

    testlets = (
        "y ~ 0 + item\ng | person =~ y:item\na | person =~ y:d0\nb | person =~ y:d1\n"
        "g ~~ 0*a\ng ~~ 0*b\na ~~ 0*b"
    )
    weighted = plan(testlets, rows)
    weight = np.random.default_rng(8).integers(1, 3, len(rows)).astype(float)
    weighted = replace(weighted, responses=(replace(weighted.responses[0], weight=weight),))
    found = {
        "bifactor": (plan(BIFACTOR, wide), (2,)),
        "weights": (plan(BIFACTOR, wide, weights="w"), (2,)),
        "two scales": (plan("a =~ i0 + i2 + i4\nb =~ 1*i1 + 1*i3\na ~~ 0*b", wide), (1,)),
        "testlets in long data": (weighted, (2,)),
        "school above": (plan(f"{BIFACTOR}\ng ~ x + (1 | school)", wide), (2, 1)),
        "pairs in mixed families": (
            plan(
                "g =~ i0 + i1 + i3\nu =~ 1*i0 + 1*i1\nv =~ 1*i3 + 1*i5\ng ~~ 0*u\ng ~~ 0*v\nu ~~ 0*v",
                counts,
                {"i0": "poisson", "i1": "binomial", "i3": "binomial", "i5": "binomial(probit)"},
            ),
            (2,),
        ),
        "product": (
            plan(
                f"g =~ i0 + i1 + i2 + i3\ns0 =~ 1*i0 + 1*i2 + 1*i4\ns1 =~ 1*i1 + 1*i3 + 1*i5\n{SPECIFIC}\n"
                "i4 ~ g + g:s0\ni5 ~ g:s1",
                wide,
            ),
            (2,),
        ),
        "ordinal": (
            plan(
                BIFACTOR, wide, {**dict.fromkeys(("i1", "i2", "i3", "i4", "i5"), "binomial"), "i0": "ordinal"}
            ),
            (2,),
        ),
    }
    return found


@pytest.fixture(scope="module")
def plans() -> dict[str, tuple[Plan, tuple[int, ...]]]:
    return models()


def joint(plan: Plan, points: int, patch: pytest.MonkeyPatch) -> Objective:
    """Return the objective that integrates all coordinates of a level together."""
    with patch.context() as context:
        context.setattr(objective, "nest", lambda *_: None)
        return Objective(plan, points)


def differences(value: Callable[[np.ndarray], float], theta: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Return the gradient by central differences of fourth order."""
    steps = step * np.eye(len(theta))
    near = np.array([value(theta + h) - value(theta - h) for h in steps])
    far = np.array([value(theta + 2 * h) - value(theta - 2 * h) for h in steps])
    return (8.0 * near - far) / (12.0 * step)


def theta_of(plan: Plan) -> np.ndarray:
    """Return moderate parameters away from symmetry."""
    rng = np.random.default_rng(5)
    return 0.7 * plan.start + rng.uniform(0.1, 0.4, plan.n_parameters)


NAMES = (
    "bifactor",
    "weights",
    "two scales",
    "testlets in long data",
    "school above",
    "pairs in mixed families",
    "product",
    "ordinal",
)


@pytest.mark.parametrize("name", NAMES)
def test_values_moments_and_scores_agree_with_the_joint_rule(
    name: str, plans: dict[str, tuple[Plan, tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, dimensions = plans[name]
    theta = theta_of(plan)
    nested = Objective(plan, 17)
    assert nested.dimensions == dimensions
    together = joint(plan, 17, monkeypatch)
    assert together.dimensions == tuple(len(level.factor) for level in plan.levels)
    np.testing.assert_allclose(nested.cluster_logliks(theta), together.cluster_logliks(theta), atol=2e-7)
    np.testing.assert_allclose(nested.cluster_scores(theta), together.cluster_scores(theta), atol=2e-5)
    for (mean, cov), (mean_joint, cov_joint) in zip(
        nested.posterior(theta), together.posterior(theta), strict=True
    ):
        np.testing.assert_allclose(mean, mean_joint, atol=2e-6)
        np.testing.assert_allclose(cov, cov_joint, atol=2e-3)
        np.testing.assert_allclose(np.einsum("cii->ci", cov), np.einsum("cii->ci", cov_joint), atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_nested_rule(
    name: str, plans: dict[str, tuple[Plan, tuple[int, ...]]]
) -> None:
    plan, _ = plans[name]
    theta = theta_of(plan)
    nested = Objective(plan, 3)
    value, gradient = nested.value_and_gradient(theta)
    assert value == pytest.approx(nested.value(theta), abs=1e-10)
    expected = differences(nested.value, theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_laplace_is_the_same_in_any_order(
    plans: dict[str, tuple[Plan, tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = plans["bifactor"]
    theta = theta_of(plan)
    assert Objective(plan, 1).value(theta) == pytest.approx(
        joint(plan, 1, monkeypatch).value(theta), rel=1e-12
    )


def test_nothing_is_rearranged_where_nothing_is_gained() -> None:
    frame = items(12, 3)
    correlated = glamm.Model("a =~ i0 + i2 + i4\nb =~ i1 + i3 + i5", frame, "binomial").lowered.plan
    assert Objective(correlated, 3).dimensions == (2,)
    assert Objective(correlated, 3).integration == ""
    slopes = glamm.Model("i0 ~ x + (1 + x | school)", frame, "binomial").lowered.plan
    assert Objective(slopes, 3).integration == ""
    bifactor = glamm.Model(BIFACTOR, frame, "binomial").lowered.plan
    assert Objective(bifactor, 3).integration == "3 latent dimensions as 2 nested ones"


STACKED = {
    "one factor": ("f =~ i0 + i1 + i2 + i3", "binomial"),
    "counts and answers": (
        "f =~ i0 + i1 + i2 + i3\nf ~ x",
        {"i0": "poisson", "i1": "binomial", "i2": "binomial", "i3": "poisson"},
    ),
    "two links": (
        "f =~ i0 + i1 + i2 + i3",
        {"i0": "binomial(probit)", "i1": "binomial", "i2": "binomial", "i3": "binomial(probit)"},
    ),
    "school above": ("f =~ i0 + i1 + i2 + i3\nf ~ (1 | school)", "binomial"),
    "product": ("f =~ i0 + i1\ng =~ i2 + i3\ni4 ~ f:g\ni5 ~ f:g + x", "binomial"),
    "Gaussian": ("f =~ x + i0 + i1 + i2", "gaussian"),
}


@pytest.mark.parametrize("name", STACKED)
def test_responses_of_one_family_are_stacked_without_a_trace(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, family = STACKED[name]
    frame = items(24, 6)
    frame.loc[2, "i1"] = frame.loc[7, "i3"] = np.nan
    plan = glamm.Model(text, frame, family).lowered.plan
    weight = np.random.default_rng(1).integers(1, 3, len(plan.responses[1].cluster)).astype(float)
    weighted = replace(plan.responses[1], weight=weight)
    for case in (plan, replace(plan, responses=(plan.responses[0], weighted, *plan.responses[2:]))):
        theta = theta_of(case)
        stacked = Objective(case, 5)
        assert len(stacked._sources) < len(case.units)
        with monkeypatch.context() as context:
            context.setattr(objective, "stacks_of", lambda units, _: [[r] for r in range(len(units))])
            apart = Objective(case, 5)
        value, gradient = stacked.value_and_gradient(theta)
        expected, slopes = apart.value_and_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-11)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(stacked.cluster_scores(theta), apart.cluster_scores(theta), atol=1e-8)
        for (mean, cov), (mean_apart, cov_apart) in zip(
            stacked.posterior(theta), apart.posterior(theta), strict=True
        ):
            np.testing.assert_allclose(mean, mean_apart, atol=1e-8)
            np.testing.assert_allclose(cov, cov_apart, atol=1e-8)


def test_families_with_other_options_are_not_stacked() -> None:
    frame = items(24, 6)
    families = {
        "i0": "binomial",
        "i1": 'binomial(logit, asymptotes="lower")',
        "i2": "binomial(probit)",
        "i3": "binomial",
    }
    plan = glamm.Model("f =~ i0 + i1 + i2 + i3", frame, families).lowered.plan
    assert stacks_of(plan.units, [0] * 4) == [[0, 3], [1], [2]]
    assert stacks_of(plan.units, [0, 0, 0, 1]) == [[0], [1], [2], [3]]


def test_the_fast_engine_takes_what_is_stacked() -> None:
    plan = glamm.Model("f =~ i0 + i1 + i2 + i3", items(24, 6), "binomial").lowered.plan
    assert isinstance(Objective(plan, 5)._engine, Lanes)
