"""What a loss is, and the weighted sum of several."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hardedge.errors import BadInput


@dataclass(frozen=True)
class Loss(ABC):
    """One term: a scalar from the outputs it needs and the target; its fields are its hyper-parameters.

    A term is called with logits_BCHW and target_BHW (int64 class indices or ignore_index); what else `needs` names
    comes by keyword. It computes in float32 or wider. Outputs of another height and width than the target are resized
    to it bilinearly (align_corners=False). Pixels labelled ignore_index do not count; without any that does, the loss
    is zero, and its gradient too.
    """

    needs: ClassVar[tuple[str, ...]]
    name: ClassVar[str]

    @abstractmethod
    def __call__(self, *tensors: Any, **needed: Any) -> Tensor:
        """The term's value."""

    def __add__(self, other: Loss | LossSum) -> LossSum:
        return 1.0 * self + other

    def __rmul__(self, weight: float) -> LossSum:
        return LossSum(((float(weight), self),))

    def __str__(self) -> str:
        options = [
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{self.name}({', '.join(options)})" if options else self.name


@dataclass(frozen=True)
class LossSum:
    """Terms with their weights; `str` gives the text that `parse_loss` reads.

    Raises BadInput for a weight that is not positive and finite, and for a term that appears twice.
    """

    terms: tuple[tuple[float, Loss], ...]

    def __post_init__(self) -> None:
        names = [term.name for _, term in self.terms]
        for weight, term in self.terms:
            if not 0 < weight < math.inf:
                raise BadInput(f'loss "{self}": the weight of {term.name} is {weight:g}. Give a positive number.')
            if names.count(term.name) > 1:
                raise BadInput(f'loss "{self}": {term.name} appears twice. Give it once, with one weight.')

    @property
    def needs(self) -> tuple[str, ...]:
        """The outputs that the terms read, each once."""
        return tuple(dict.fromkeys(need for _, term in self.terms for need in term.needs))

    def __call__(
        self, outputs: Mapping[str, Tensor], target_BHW: Tensor, *, progress: float = 0.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each term's value without its weight, detached.

        `progress`, the share of the training that is done (0..1), is for terms with a schedule.
        """
        missing = [need for need in self.needs if need not in outputs]
        if missing:
            raise BadInput(
                f'loss "{self}" needs {", ".join(missing)}, but the network gives {", ".join(outputs)}. '
                "Add the branch to the recipe, or change the loss."
            )
        values = {term.name: _value(term, outputs, target_BHW) for _, term in self.terms}
        weighted = [weight * values[term.name] for weight, term in self.terms]
        return sum(weighted[1:], weighted[0]), {name: value.detach() for name, value in values.items()}

    def __add__(self, other: Loss | LossSum) -> LossSum:
        return LossSum(self.terms + (other if isinstance(other, LossSum) else 1.0 * other).terms)

    def __rmul__(self, weight: float) -> LossSum:
        return LossSum(tuple((weight * own, term) for own, term in self.terms))

    def __str__(self) -> str:
        return " + ".join(f"{term}" if weight == 1 else f"{weight!r}*{term}" for weight, term in self.terms)


def _value(term: Loss, outputs: Mapping[str, Tensor], target_BHW: Tensor) -> Tensor:
    beside = {need: outputs[need] for need in term.needs if need != "logits"}
    return term(outputs["logits"], target_BHW, **beside)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
