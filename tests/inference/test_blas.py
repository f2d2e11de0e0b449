"""Fits take one BLAS thread and give the others back."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info, threadpool_limits

import glamm
from glamm.inference import maximise
from glamm.inference.gaussian import objective_of


def threads():
    """Return the numbers of threads of the BLAS libraries."""
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def watched(seen):
    """Return a maker of objectives that notes how many threads there are."""

    def objective(plan, points=7, threads=None):
        seen.append(globals()["threads"]())
        return objective_of(plan, points, threads)

    return objective


def test_fits_are_limited_and_nothing_else():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 5), "y": rng.normal(size=100)})
    plan = glamm.Model("y ~ (1 | g)", data).lowered.plan
    with threadpool_limits(2, user_api="blas"):
        before, seen = threads(), []
        assert maximise(plan, objective_type=watched(seen)).converged
        assert threads() == before
    assert seen and all(count == 1 for count in seen[0])
