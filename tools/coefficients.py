"""Writes kernels/glamm_coefficients.h: the polynomials of the elementary functions (needs mpmath).

Each polynomial interpolates its function at Chebyshev points with 60 digits, which is within a small
factor of the minimax error. Run ``python tools/coefficients.py`` from the root of the project.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
TARGET = Path(__file__).parent.parent / "kernels" / "glamm_coefficients.h"


def fit(function: Callable[[mp.mpf], mp.mpf], low: mp.mpf, high: mp.mpf, degree: int) -> list[mp.mpf]:
    """Return the coefficients, lowest first, of the interpolant at the Chebyshev points."""
    middle, half = (high + low) / 2, (high - low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * j + 1) / (2 * degree + 2)) for j in range(degree + 1)]
    powers = mp.matrix([[x**k for k in range(degree + 1)] for x in points])
    return list(mp.lu_solve(powers, mp.matrix([function(x) for x in points])))


def exp_tail(r: mp.mpf) -> mp.mpf:
    """Return (exp(r) - 1 - r) / r^2."""
    return mp.mpf(1) / 2 + r / 6 if abs(r) < 1e-40 else (mp.expm1(r) - r) / r**2


def log_tail(z: mp.mpf) -> mp.mpf:
    """Return (2 atanh(s) - 2 s) / s^3 with z = s^2."""
    if abs(z) < 1e-30:
        return mp.mpf(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def erfcx_scaled(t: mp.mpf) -> mp.mpf:
    """Return (1 + 2 x) erfcx(x) at x = 4 (1 + t) / (1 - t)."""
    if t == 1:
        return 2 / mp.sqrt(mp.pi)
    x = 4 * (1 + t) / (1 - t)
    if x < 50:
        return (1 + 2 * x) * mp.erfc(x) * mp.exp(x * x)
    total, term = mp.mpf(1), mp.mpf(1)
    for k in range(1, 40):
        term *= -(2 * k - 1) / (2 * x * x)
        total += term
    return (1 + 2 * x) * total / (x * mp.sqrt(mp.pi))


def horner(values: list[mp.mpf], variable: str) -> str:
    """Return a C expression of the polynomial in `variable`, by Horner's rule."""
    terms = [mp.nstr(v, 19) for v in values]
    text = terms[-1]
    for term in reversed(terms[:-1]):
        text = f"({text}) * {variable} \\\n    + {term}"
    return f"({text})"


def polynomial(name: str, comment: str, values: list[mp.mpf]) -> str:
    """Return a C macro of the polynomial, split in even and odd powers to shorten the chain."""
    even, odd = horner(values[::2], "(x2)"), horner(values[1::2], "(x2)")
    return f"/* {comment} */\n#define {name}(x, x2) ( \\\n    {even} \\\n    + (x) * {odd})\n"


def series(name: str, comment: str, values: list[mp.mpf]) -> str:
    """Return a C macro of the polynomial in one variable."""
    return f"/* {comment} */\n#define {name}(x) \\\n    {horner(values, '(x)')}\n"


def stirling(terms: int) -> list[mp.mpf]:
    """Return B_2k / (2k (2k - 1)), k = 1 .. terms, of Stirling's series."""
    return [mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) for k in range(1, terms + 1)]


def main() -> None:
    """Write the header."""
    half = mp.log(2) / 2
    root = mp.sqrt(2)
    bound = ((root - 1) / (root + 1)) ** 2
    b = stirling(10)
    odd = [2 * k - 1 for k in range(1, 11)]
    first = [-v * k for v, k in zip(b, odd, strict=True)]
    second = [-v * (k + 1) for v, k in zip(first, odd, strict=True)]
    third = [-v * (k + 2) for v, k in zip(second, odd, strict=True)]
    parts = [
        "/* Written by tools/coefficients.py. */",
        "#ifndef GLAMM_COEFFICIENTS_H\n#define GLAMM_COEFFICIENTS_H\n",
        polynomial("GLAMM_EXP", "(exp(x) - 1 - x) / x^2, |x| <= log(2) / 2", fit(exp_tail, -half, half, 9)),
        polynomial(
            "GLAMM_LOG",
            "(2 atanh(s) - 2 s) / s^3 in x = s^2, sqrt(1/2) <= (1 + s) / (1 - s) <= sqrt(2)",
            fit(log_tail, mp.mpf(0), bound, 6),
        ),
        polynomial(
            "GLAMM_LOG1P",
            "the same for s = t / (2 + t), 0 <= t <= 1",
            fit(log_tail, mp.mpf(0), mp.mpf(1) / 9, 9),
        ),
        polynomial(
            "GLAMM_ERFCX",
            "(1 + 2 z) erfcx(z) in x = (z - 4) / (z + 4), z >= 0",
            fit(erfcx_scaled, mp.mpf(-1), mp.mpf(1), 25),
        ),
        series("GLAMM_STIRLING0", "x J(x) in 1 / x^2, J the remainder of Stirling's formula", b),
        series("GLAMM_STIRLING1", "x^2 times the first derivative of J", first),
        series("GLAMM_STIRLING2", "x^3 times the second derivative of J", second),
        series("GLAMM_STIRLING3", "x^4 times the third derivative of J", third),
        "#endif\n",
    ]
    TARGET.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
