"""Student's t, from the incomplete beta function."""

from __future__ import annotations

import math
from statistics import NormalDist


def student_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile by its expansion around the normal's (Abramowitz and Stegun 26.7.5); for freedom >= 4."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom ** (order + 1) for order, term in enumerate(terms)))


def student_two_sided(t: float, freedom: int) -> float:
    """The chance that Student's t lies beyond -|t| or |t| (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(abs(t) / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(2 + odd, freedom - 1, 2):
        term *= (step - 1) / step * math.cos(angle) ** 2
        total += term
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))
