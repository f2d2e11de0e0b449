"""Data to make mistakes in, and checks of what is said about them."""

import numpy as np
import pandas as pd
import pytest

import glamm

N = 60
ROW = 7


def make_data():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(N // 5), 5)
    u, x = rng.normal(size=N // 5)[g], rng.normal(size=N)
    return pd.DataFrame(
        {
            "y": 1 + x + u + rng.normal(size=N),
            "x": x,
            "z": rng.normal(size=N),
            "b": (rng.random(N) < 1 / (1 + np.exp(-x - u))).astype(int),
            "n": rng.poisson(np.exp(0.3 * x + u)),
            "p": rng.uniform(0.05, 0.95, N),
            "pos": rng.gamma(2.0, size=N),
            "f": rng.choice(list("abc"), N),
            "o": rng.integers(1, 4, N),
            "g": g,
            "h": np.arange(N) % 4,
            "w": 1.0 + np.arange(N) % 2,
            "off": 0.1,
        }
    )


DATA = make_data()


def put(column, value, row=ROW):
    """Return the data with one value changed."""
    values = [value if i == row else v for i, v in enumerate(DATA[column].tolist())]
    return DATA.assign(**{column: values})


def refuse(kind, words, text, data=DATA, family=None, weights=None, **options):
    with pytest.raises(kind) as caught:
        glamm.fit(text, data, family, weights, **options)
    message = str(caught.value)
    for word in words:
        assert word in message, message


def case(name, kind, words, *args, **options):
    return pytest.param(kind, words, args, options, id=name)


def table(*cases):
    return pytest.mark.parametrize(("kind", "words", "args", "options"), cases)
