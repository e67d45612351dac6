"""The self-healing build: the smallest set of nodes that must compute in FP32 for the builder to take the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from hardedge.contracts import FallbackNode

MOST_BUILDS = 40  # of one search; what is undecided then stays in FP32

# the refusal of a set of pinned nodes in the builder's words; None where it builds
Attempt = Callable[[frozenset[str]], str | None]


def find_nodes_to_pin(precisions: Mapping[str, str], refusal: str, attempt: Attempt) -> tuple[str, ...] | None:
    """The nodes to pin so that the build succeeds, in their order; None when pinning all of them does not help.

    `precisions` are those of the nodes that could be pinned. Nodes that the builder names are tried first, one refusal
    after another; where it names none, or they do not help, the smallest set is searched by halves (QuickXplain, Junker
    2004), within 40 builds. It takes for granted that pinning more nodes never hurts.
    """
    tries = Tries(attempt, MOST_BUILDS)
    pins: frozenset[str] = frozenset()
    told: str | None = refusal
    while told is not None:
        if lacking := nodes_of_refused_type(told, precisions) - pins:
            pins |= lacking
            told = tries(pins)
        elif suspects := nodes_named_in_refusal(told, precisions) - pins:
            told = tries(pins | suspects)
            pins |= suspects if told is not None else find_smallest_set(pins, suspects, precisions, tries)
        else:
            break
    if told is not None:
        everything = frozenset(precisions)
        if pins == everything or tries(everything) is not None:
            return None
        # what was pinned in vain is searched again with the rest
        pins = find_smallest_set(frozenset(), everything, precisions, tries)
    return tuple(name for name in precisions if name in pins)


def nodes_named_in_refusal(told: str, precisions: Mapping[str, str]) -> frozenset[str]:
    """The nodes that a refusal names."""
    words = set(re.findall(r"[\w./:-]+", told))
    return frozenset(name for name in precisions if name in words)


def nodes_of_refused_type(told: str, precisions: Mapping[str, str]) -> frozenset[str]:
    """All nodes of a type that the device does not have, where the refusal says so."""
    types = " ".join(re.findall(r"HW-specific datatypes: ([\w, ]+)", told))
    return frozenset(name for name, precision in precisions.items() if precision in types)


def find_smallest_set(
    background: frozenset[str],
    suspects: Iterable[str],
    order: Iterable[str],
    tries: Callable[[frozenset[str]], str | None],
) -> frozenset[str]:
    """The smallest part of the suspects that builds together with the background; all of them are known to."""
    wanted = set(suspects)
    return frozenset(_explain(background, False, [name for name in order if name in wanted], tries))


def _explain(
    background: frozenset[str], grown: bool, suspects: Sequence[str], tries: Callable[[frozenset[str]], str | None]
) -> list[str]:
    if grown and tries(background) is None:
        return []
    if len(suspects) == 1:
        return list(suspects)
    first, second = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
    of_second = _explain(background | set(first), True, second, tries)
    of_first = _explain(background | set(of_second), bool(of_second), first, tries)
    return of_first + of_second


class Tries:
    """Builds, each set once; after the last one everything counts as refused, so that more nodes are pinned."""

    def __init__(self, attempt: Attempt, most: int) -> None:
        self.attempt, self.left = attempt, most
        self.known: dict[frozenset[str], str | None] = {}

    def __call__(self, pins: frozenset[str]) -> str | None:
        if pins not in self.known:
            if self.left == 0:
                return "not tried: too many builds"
            self.left -= 1
            self.known[pins] = self.attempt(pins)
        return self.known[pins]


def fallback_text(healed: Sequence[FallbackNode]) -> str:
    """The healed nodes in one line, by what made them so."""
    causes = {"not finite": "as its values do not fit", "refused": "as the builder refused"}
    groups = {cause: [each for each in healed if each.cause == cause] for cause in causes}
    return "; ".join(
        f"{_nodes_text(group)} compute in FP32, {causes[cause]}: {group[0].why}"
        for cause, group in groups.items()
        if group
    )


def _nodes_text(healed: Sequence[FallbackNode]) -> str:
    names = ", ".join(f"{each.node} ({each.operator}, {each.precision})" for each in healed[:5])
    return names + (f" and {len(healed) - 5} more" if len(healed) > 5 else "")
