"""Curves of auto seg-loss as numbers that may be anything between 0 and 1: shares of the way that is left.

A control point's x is that of the point before it plus a share of what is left to 1, and its y the same. So every
proposal is a monotone curve: our reading, where the release says only that its curves are monotone.
"""

from collections.abc import Iterator, Sequence

from optuna.distributions import FloatDistribution

from hardedge.train.studies.study import Params

DIGITS = 6
APART = 0.01  # the least distance, as a share, of a joint to both ends of the curve


def _names(numbers: Sequence[int]) -> Iterator[tuple[str, int, int, bool]]:
    """Name, curve, place in it and whether it is an x of each share, in the order of the curves' numbers."""
    for curve, count in enumerate(numbers):
        for place in range(count):
            axis = "xy"[place % 2]
            yield f"curve{curve}.{axis}{place // 2}", curve, place, axis == "x"


def share_distributions(numbers: Sequence[int]) -> dict[str, FloatDistribution]:
    """Where the shares of curves with so many numbers each lie: 0..1, and joints apart from the ends."""
    return {name: FloatDistribution(*_range(place // 2, is_x)) for name, _, place, is_x in _names(numbers)}


def _range(point: int, is_x: bool) -> tuple[float, float]:
    """A joint is every second point; the x before it must leave it a way."""
    low = APART if is_x and point % 2 else 0.0
    return low, 1 - APART if is_x and point < 2 else 1.0


def curves_from_shares(params: Params, numbers: Sequence[int]) -> tuple[float, ...]:
    """The curves' numbers, as `Asl` takes them."""
    found: list[float] = []
    for name, _, place, _ in _names(numbers):
        before = found[-2] if place >= 2 else 0.0
        found.append(before + (1 - before) * params[name])
    return tuple(round(value, DIGITS) for value in found)


def shares_from_curves(curves: Sequence[float], numbers: Sequence[int]) -> Params:
    """The parameters of these curves, as near as they may be."""
    found: Params = {}
    for index, (name, _, place, is_x) in enumerate(_names(numbers)):
        before = curves[index - 2] if place >= 2 else 0.0
        share = (curves[index] - before) / (1 - before) if before < 1 else 0.0
        low, high = _range(place // 2, is_x)
        found[name] = min(max(share, low), high)
    return found


def soft_curves(numbers: Sequence[int]) -> tuple[float, ...]:
    """Curves that are the diagonal: the metric of probabilities as they are."""
    found: list[float] = []
    for count in numbers:
        points = count // 2
        found += [(index + 1) / (points + 1) for index in range(points) for _ in "xy"]
    return tuple(found)
