"""What a loss is, and the weighted sum of several."""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses.calling import class_indices, named_outputs

IGNORED = 255  # of a loss without the field


@dataclass(frozen=True)
class Loss(ABC):
    """One term: a scalar from the outputs it needs and the target; its fields are its hyper-parameters.

    It is called as a sum is: `loss(logits_BCHW, target_BHW, hardness=...)` or `loss({"logits": ...}, target_BHW)`. The
    target holds class indices or ignore_index, in any integer type; what else `needs` names comes by keyword or in the
    mapping, and what `accepts` names may. A subclass writes `__call__` with logits_BCHW, target_BHW (int64) and these
    keywords. It computes in float32 or wider. Outputs of another height and width
    than the target are resized to it bilinearly (align_corners=False) before anything else is done. Pixels labelled
    ignore_index do not count; without any that does, the loss is zero, and its gradient too (but for DFR's).
    """

    needs: ClassVar[tuple[str, ...]]
    accepts: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str]
    _compute: ClassVar[Callable[..., Tensor]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Checks what every loss is called with, of a user's own too, before its maths."""
        super().__init_subclass__(**options)
        compute = cls.__dict__.get("__call__")
        if compute is not None:
            cls._compute, cls.__call__ = compute, _checked(compute)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        for field, kind in get_type_hints(type(self)).items():
            value = getattr(self, field)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise BadInput(f"loss {self.name}: {field} is {value!r}. Give one of: {', '.join(get_args(kind))}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise BadInput(f"loss {self.name}: {field} is {value}. Give a finite number.")

    @abstractmethod
    def __call__(self, *tensors: Any, **needed: Any) -> Tensor:
        """The term's value."""

    def __add__(self, other: Loss | LossSum) -> LossSum:
        return 1.0 * self + other

    def __rmul__(self, weight: float) -> LossSum:
        return LossSum((Term(float(weight), self),))

    def __matmul__(self, start: float) -> LossSum:
        return (1.0 * self) @ start

    def __str__(self) -> str:
        options = [
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{self.name}({', '.join(options)})" if options else self.name


def _checked(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(compute)
    def checked(self: Loss, logits_BCHW: Tensor | Mapping[str, Any], target_BHW: Tensor, **beside: Any) -> Tensor:
        taken = named_outputs(self, logits_BCHW, beside)
        target_BHW = class_indices(self.name, taken, target_BHW, [_ignore_index(self)])
        return compute(self, taken.pop("logits"), target_BHW, **taken)

    return checked


def _ignore_index(loss: Loss) -> int:
    return getattr(loss, "ignore_index", IGNORED)


BESIDE = ("cpg", "abl", "ssl", "semeda", "dfr", "boundary", "boundary_ohem", "detail")
BOUNDARY_METRICS = ("bf1", "biou")
HARDNESS_WEIGHTINGS = ("focal", "ohem", "hardness", "pat", "lmp")


@dataclass(frozen=True)
class Term:
    """A loss in a sum: its weight, and the share of the training (0..1) from which on it counts."""

    weight: float
    loss: Loss
    start: float = 0.0

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{self.weight!r}*"
        return f"{weight}{self.loss}" + (f"@{self.start!r}" if self.start else "")


@dataclass(frozen=True)
class LossSum:
    """Terms with their weights; `str` gives the text that `parse_loss` reads.

    `0.5 * Abl() @ 0.8` counts from 80 % of the training on. Raises BadInput for a weight that is not positive and
    finite, a start outside 0 to below 1, and a term that appears twice.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        losses = [term.loss for term in self.terms]
        for term, name in zip(self.terms, self.names, strict=True):
            if not 0 < term.weight < math.inf:
                raise BadInput(f'loss "{self}": the weight of {name} is {term.weight:g}. Give a positive number.')
            if not 0 <= term.start < 1:
                raise BadInput(f'loss "{self}": {name} starts at {term.start:g}. Give a share of the training below 1.')
            if losses.count(term.loss) > 1:
                raise BadInput(f'loss "{self}": {name} appears twice. Give it once, with one weight.')

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its losses, in order."""
        return tuple(term.loss.name for term in self.terms)

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells its terms apart: a loss's name, or with its options where two have one name."""
        return tuple(term.loss.name if self.names.count(term.loss.name) == 1 else str(term.loss) for term in self.terms)

    @property
    def needs(self) -> tuple[str, ...]:
        """The outputs that the terms cannot do without, each once."""
        return tuple(dict.fromkeys(need for term in self.terms for need in term.loss.needs))

    @property
    def accepts(self) -> tuple[str, ...]:
        """The outputs that the terms use where they are given, each once."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.loss.accepts))

    def warnings(self) -> tuple[str, ...]:
        """What speaks against this combination, though it can be trained."""
        told = []
        weightings = [name for name in self.names if name in HARDNESS_WEIGHTINGS]
        if len(weightings) > 1:
            both = " and ".join(weightings)
            told.append(f'loss "{self}": {both} both weigh hard pixels; no evidence says that it helps')
        if all(term.loss.name in BESIDE or getattr(term.loss, "metric", "") in BOUNDARY_METRICS for term in self.terms):
            told.append(f'loss "{self}": made to stand beside cross-entropy; alone nothing in it sees whole regions')
        return tuple(told)

    def __call__(
        self, logits_BCHW: Tensor | Mapping[str, Any], target_BHW: Tensor, *, progress: float = 1.0, **beside: Any
    ) -> Tensor:
        """The weighted sum, called as one loss is, with logits or a mapping of outputs.

        `progress` is the share of the training that is done (0..1); terms that start later are not computed.
        """
        return self.with_terms(logits_BCHW, target_BHW, progress=progress, **beside)[0]

    def with_terms(
        self, logits_BCHW: Tensor | Mapping[str, Any], target_BHW: Tensor, *, progress: float = 1.0, **beside: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As a call, with each term's value beside the sum: without its weight, detached."""
        taken = named_outputs(self, logits_BCHW, beside)
        active = [term for term in self.terms if term.start <= progress]
        if not active:
            raise BadInput(f'loss "{self}": no term counts at {progress:.0%} of the training. Let one start at 0.')
        names = " + ".join(term.loss.name for term in active)
        target_BHW = class_indices(names, taken, target_BHW, [_ignore_index(term.loss) for term in active])
        label = dict(zip(self.terms, self.labels, strict=True))
        values = {label[term]: _value(term.loss, taken, target_BHW) for term in active}
        weighted = [term.weight * values[label[term]] for term in active]
        return sum(weighted[1:], weighted[0]), {name: value.detach() for name, value in values.items()}

    def __add__(self, other: Loss | LossSum) -> LossSum:
        return LossSum(self.terms + (other if isinstance(other, LossSum) else 1.0 * other).terms)

    def __rmul__(self, weight: float) -> LossSum:
        return LossSum(tuple(replace(term, weight=weight * term.weight) for term in self.terms))

    def __matmul__(self, start: float) -> LossSum:
        return LossSum(tuple(replace(term, start=float(start)) for term in self.terms))

    def __str__(self) -> str:
        return " + ".join(str(term) for term in self.terms)


def _value(loss: Loss, outputs: Mapping[str, Any], target_BHW: Tensor) -> Tensor:
    """The term's value; the sum has checked its target."""
    beside = {name: outputs[name] for name in (*loss.needs, *loss.accepts) if name != "logits" and name in outputs}
    return loss._compute(outputs["logits"], target_BHW, **beside)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value if value.isidentifier() else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
