"""Pareto fronts: what no other beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Costs = tuple[float, ...]


def pareto_front(items: Sequence[T], costs_of: Callable[[T], Costs]) -> list[T]:
    """The items that no other beats, by their costs (less is better): the cheapest in the first cost first."""
    costs = [costs_of(item) for item in items]
    kept = [index for index, own in enumerate(costs) if not any(beats(other, own) for other in costs)]
    return [items[index] for index in sorted(kept, key=lambda index: costs[index])]


def beats(one: Costs, other: Costs) -> bool:
    """Whether it is as good in everything, and better in something."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
