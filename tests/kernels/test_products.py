"""Products of thin matrices against NumPy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glamm.kernels._products import crossed, rows_times, times_rows


@given(st.integers(0, 40), st.integers(0, 7), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_equal_numpys(n, p, q, seed):
    rng = np.random.default_rng(seed)
    left, right, weight = rng.normal(size=(n, p)), rng.normal(size=(n, q)), rng.normal(size=n)
    coefficient, out = rng.normal(size=p), np.full(n, np.nan)
    rows_times(left, coefficient, out)
    np.testing.assert_allclose(out, left @ coefficient, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(times_rows(weight, left), weight @ left, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        crossed(left, weight, right), (left * weight[:, None]).T @ right, rtol=1e-12, atol=1e-12
    )
