"""Many comparisons at once: Holm's correction."""

from __future__ import annotations


def holm(p_values: list[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down correction over the p-values that there are."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected = list(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        corrected[index] = running
    return tuple(corrected)
