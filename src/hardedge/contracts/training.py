"""What a bundle keeps of its training: loss terms, learning rate and mIoU over the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import Amount, Contract, Count, Number, Percent
from hardedge.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class TrainingCurves(Contract):
    """Loss terms and learning rate at `steps`, and validation mIoU in percent at `evaluated`, as training logged them.

    At most 150 steps of each, at even distances; null where a term was not a finite number.
    """

    FILE: ClassVar[str] = "training.json"

    steps: tuple[Count, ...]
    terms: dict[str, tuple[Number | None, ...]]
    learning_rate: tuple[Amount | None, ...]
    evaluated: tuple[Count, ...]
    miou: tuple[Percent | None, ...]

    def __post_init__(self) -> None:
        pairs = [(self.steps, values) for values in (*self.terms.values(), self.learning_rate)]
        pairs.append((self.evaluated, self.miou))
        if any(len(steps) != len(values) for steps, values in pairs):
            raise BadInput(f"{self.FILE}: a curve has other steps than values. Export the bundle again.")
