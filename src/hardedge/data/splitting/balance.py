"""Groups dealt to train, val and test: seeded, each split with its share of the images of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import numpy.typing as npt

from hardedge.data.dataset import SPLITS
from hardedge.errors import BadInput

ROUNDS = 20  # of moving, and of exchanging, at most
PARTNERS = 200  # that a group is offered to for an exchange

Counts = npt.NDArray[np.float64]


def dealt(
    groups: Sequence[int],
    present: npt.NDArray[np.bool_],
    ratios: Mapping[str, float],
    seed: int,
    placed: Mapping[int, str] | None = None,
) -> list[str]:
    """The split of each image; `groups` names its group, `present` [N, C] the classes in it, `placed` groups' splits.

    Groups are dealt one by one, those with the rarest classes first, to the split that lacks most; then groups move
    and change places while that brings the shares nearer (after Sechidis et al., ECML 2011, with groups for images).
    Raises BadInput when there are fewer groups than splits.
    """
    names = list(dict.fromkeys(groups))
    wanted = [split for split in SPLITS if ratios.get(split)]
    placed = placed or {}
    free = [name for name in names if name not in placed]
    empty = [split for split in wanted if split not in placed.values()]
    if len(free) < len(empty):
        raise BadInput(
            f"{len(names)} {'group' if len(names) == 1 else 'groups'} of images cannot fill {len(wanted)} splits: "
            "images of one group, and near duplicates, stay together. Loosen --group-by, or add images."
        )
    content = _content(groups, names, present)
    target = np.outer([ratios[split] for split in wanted], content.sum(0)) / sum(ratios[split] for split in wanted)
    of_group = _dealt(content, target, [wanted.index(placed[name]) if name in placed else -1 for name in names], seed)
    chosen = dict(zip(names, of_group, strict=True))
    return [wanted[chosen[group]] for group in groups]


def _content(groups: Sequence[int], names: Sequence[int], present: npt.NDArray[np.bool_]) -> Counts:
    """[G, 1 + C]: how many images a group has, and how many with each class."""
    rows = {name: row for row, name in enumerate(names)}
    content = np.zeros((len(names), 1 + present.shape[1]))
    for place, group in enumerate(groups):
        content[rows[group]] += [1, *present[place]]
    return content


def _dealt(content: Counts, target: Counts, fixed: list[int], seed: int) -> list[int]:
    weight = 1 / np.maximum(content.sum(0), 1)
    scale = weight / len(weight)
    scale[0] = weight[0]  # the number of images counts as much as all classes together
    order = [group for group, split in enumerate(fixed) if split < 0]
    Random(seed).shuffle(order)
    order.sort(key=lambda group: -float((content[group] * weight).sum()))
    chosen = list(fixed)
    held = np.zeros_like(target)
    for group, split in enumerate(fixed):
        if split >= 0:
            held[split] += content[group]
    for place, group in enumerate(order):
        left = len(order) - place
        empty = [split for split in range(len(target)) if not held[split, 0]]
        among = empty if len(empty) >= left else range(len(target))
        chosen[group] = min(among, key=lambda split: _change(held[split], content[group], target[split], scale))
        held[chosen[group]] += content[group]
    _moved(content, target, scale, order, chosen, held)
    _exchanged(content, target, scale, order, chosen, held, np.random.default_rng(seed))
    return chosen


def _change(held: Counts, added: Counts, target: Counts, scale: Counts) -> float:
    """How much the squared distance from the target grows, each column by its total."""
    before, after = (held - target) * scale, (held + added - target) * scale
    return float((after**2).sum() - (before**2).sum())


def _moved(
    content: Counts, target: Counts, scale: Counts, order: Sequence[int], chosen: list[int], held: Counts
) -> None:
    """Moves single groups to the split that gains most, until none does."""
    for _ in range(ROUNDS):
        moved = False
        for group in order:
            old = chosen[group]
            if held[old, 0] == content[group, 0]:
                continue  # a split's last group stays
            leaving = _change(held[old], -content[group], target[old], scale)
            best = min(
                (split for split in range(len(target)) if split != old),
                key=lambda split: _change(held[split], content[group], target[split], scale),
                default=old,
            )
            if best != old and leaving + _change(held[best], content[group], target[best], scale) < -1e-12:
                held[old] -= content[group]
                held[best] += content[group]
                chosen[group], moved = best, True
        if not moved:
            return


def _exchanged(
    content: Counts,
    target: Counts,
    scale: Counts,
    order: Sequence[int],
    chosen: list[int],
    held: Counts,
    rng: np.random.Generator,
) -> None:
    """Exchanges two groups of different splits where that gains, until it does no more."""
    for _ in range(ROUNDS):
        exchanged = False
        for group in order:
            others = rng.permutation(order)[:PARTNERS]
            others = others[[chosen[other] != chosen[group] for other in others]]
            if not len(others):
                continue
            own, theirs = chosen[group], np.array([chosen[other] for other in others])
            step = content[others] - content[group]
            old = (((held[own] - target[own]) * scale) ** 2).sum() + (((held - target) * scale) ** 2).sum(1)[theirs]
            new_own = (((held[own] + step - target[own]) * scale) ** 2).sum(1)
            gains = old - new_own - (((held[theirs] - step - target[theirs]) * scale) ** 2).sum(1)
            best = int(gains.argmax())
            if gains[best] > 1e-12:
                chosen[group], chosen[others[best]] = int(theirs[best]), own
                held[own] += step[best]
                held[theirs[best]] -= step[best]
                exchanged = True
        if not exchanged:
            return
