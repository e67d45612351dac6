"""The search of tune, free of networks: an order of nodes by what quantising them costs, and how many to take back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True)
class Found(Generic[R]):
    """The fewest nodes of the order whose return to FP16 meets the goal, and every count that was tried."""

    count: int
    tried: dict[int, R]


def order_nodes(errors: Mapping[str, float], multiply_adds: Mapping[str, int]) -> list[str]:
    """Node names, first the one whose return gains most: squared logit error per multiply-add that it takes back.

    A node without multiply-adds is not free either (values are converted around it): it counts as a hundredth of all.
    """
    least = max(1, sum(multiply_adds.values())) / 100
    return sorted(errors, key=lambda name: (-(errors[name] ** 2) / (multiply_adds.get(name, 0) + least), name))


def find_fewest(count: int, evaluate: Callable[[int], R], meets: Callable[[R], bool]) -> Found[R] | None:
    """The smallest number of nodes, of 0 to `count`, whose return meets the goal: by bisection; None when not even all.

    A larger number is taken to be no worse. Where it is, another number may do with fewer; none that was tried does.
    """
    tried = {0: evaluate(0)}
    if meets(tried[0]):
        return Found(0, tried)
    tried[count] = evaluate(count)
    if not meets(tried[count]):
        return None
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        tried[middle] = evaluate(middle)
        low, high = (low, middle) if meets(tried[middle]) else (middle, high)
    return Found(high, tried)


def find_most(count: int, evaluate: Callable[[int], R], meets: Callable[[R], bool]) -> Found[R] | None:
    """The largest number of nodes, of `count` to 0, whose return meets the goal: as find_fewest, from the other end."""
    found = find_fewest(count, lambda left: evaluate(count - left), meets)
    return found and Found(count - found.count, {count - left: result for left, result in found.tried.items()})
