"""What builders make of an operator without a word, and wrongly: one table of rules, each with its source.

A builder that refuses a node says so. These rules are about the others: the engine is built, and gives other values
than the file. Both arms of the certificate go through one builder, so it cannot see that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hardedge.errors import BadInput, faults_error

if TYPE_CHECKING:
    import onnx

Effect = Literal["wrong", "possible", "special values"]
_ISSUES: Final = "https://github.com/NVIDIA/TensorRT/issues"


@dataclass(frozen=True)
class Affected:
    """Versions of a builder in which it was seen: from the first on, to the last (None: which of them is not known)."""

    builder: Literal["tensorrt", "tensorrt_rtx"]
    first: str
    last: str | None

    def holds(self, builder: str, version: str) -> bool:
        """Whether this version of this builder was seen to do it, or lies between two that were."""
        if builder != self.builder or self.last is None:
            return False
        count = self.last.count(".") + 1
        return release_of(self.first) <= release_of(version) and release_of(version)[:count] <= release_of(self.last)

    def __str__(self) -> str:
        name = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}[self.builder]
        return f"{name} {self.first}" + (f" to {self.last}" if self.last not in (None, self.first) else "")


@dataclass(frozen=True)
class BuilderRule:
    """One operator that builders get wrong: from which opset, which builders, what comes out, and what to do.

    `wrong`: every such node is; `possible`: some are, and only a run on the device tells; `special values`: only for
    infinite or NaN values, which export refuses to ship.
    """

    operator: str
    opset: int
    affected: tuple[Affected, ...]
    effect: Effect
    outcome: str
    cure: str
    source: str
    applies: Callable[[onnx.NodeProto, onnx.GraphProto], bool]


def _is_interpolated(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    return _text(node, "mode", "linear") in ("linear", "cubic")


def _is_attention(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    softmaxed = {name for each in graph.node if each.op_type == "Softmax" for name in each.output}
    return node.op_type == "MatMul" and node.input[0] in softmaxed


def _holds_resize(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    return any(each.op_type == "Resize" for each in graph.node)


def _follows_cast(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    cast = {name for each in graph.node if each.op_type == "Cast" for name in each.output}
    return any(name in cast for name in node.input)


def _always(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    return True


RULES: Final = (
    BuilderRule(
        "GridSample",
        20,
        (Affected("tensorrt", "10.0", "11.1"), Affected("tensorrt_rtx", "1.0", "1.5")),
        "wrong",
        "linear and cubic sampling become nearest: opset 20 renamed bilinear and bicubic, and the parser knows the old "
        "names only",
        "Export it with --opset 18.",
        f"{_ISSUES}/4646, https://github.com/onnx/onnx-tensorrt/pull/1060; TensorRT-RTX 1.7.1 is right (measured)",
        _is_interpolated,
    ),
    BuilderRule(
        "MatMul",
        1,
        (Affected("tensorrt", "10.11", "11.1"),),
        "possible",
        "attention of SegFormer in batches above 1 gives other values, in FP32 too",
        "Look at the gate `batches` on the device, or export a profile of batches of 1 (--profile).",
        f"{_ISSUES}/4853, {_ISSUES}/4813",
        _is_attention,
    ),
    BuilderRule(
        "If",
        1,
        (Affected("tensorrt", "11.1", "11.2"),),
        "possible",
        "a Resize after a condition and a Transpose gives other values where sizes are dynamic",
        "Take the condition out of the network's forward.",
        f"{_ISSUES}/4846",
        _holds_resize,
    ),
    BuilderRule(
        "Or",
        1,
        (Affected("tensorrt", "10", None),),
        "possible",
        "Or of a value that was cast to bool gives false for true",
        "Compute it with Where or Max, or look at parity on the device.",
        f"{_ISSUES}/4512 (its version is not known to us: it was seen in July 2025)",
        _follows_cast,
    ),
    BuilderRule(
        "Mean",
        1,
        (Affected("tensorrt", "10", None),),
        "possible",
        "the mean of several tensors gives other values",
        "Write it as a sum and a product, or look at parity on the device.",
        f"{_ISSUES}/4509 (its version is not known to us: it was seen in July 2025)",
        _always,
    ),
    BuilderRule(
        "Clip",
        11,
        (Affected("tensorrt", "10.16", "10.16"),),
        "special values",
        "NaN becomes the lower bound (Min: the other operand): values that overflowed look sound",
        "Nothing, where export found all values finite.",
        f"{_ISSUES}/4773, {_ISSUES}/4758",
        _always,
    ),
    BuilderRule(
        "Cast",
        1,
        (Affected("tensorrt", "10.16", "10.16"),),
        "special values",
        "NaN and infinity become other integers than in onnxruntime",
        "Nothing, where export found all values finite.",
        f"{_ISSUES}/4775",
        _always,
    ),
)


@dataclass(frozen=True)
class BuilderFault:
    """A node that a rule is about, by name, with the rule."""

    node: str
    rule: BuilderRule

    def __str__(self) -> str:
        known = ", ".join(map(str, self.rule.affected))
        return f"{self.node} ({self.rule.operator}): {self.rule.outcome} ({known}; {self.rule.source})"


def builder_faults(model: onnx.ModelProto, *effects: Effect) -> list[BuilderFault]:
    """The nodes of a graph that builders get wrong without a word, with these effects; subgraphs are left out."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    return [
        BuilderFault(node.name or node.output[0], rule)
        for node in model.graph.node
        for rule in RULES
        if node.op_type == rule.operator
        and opset >= rule.opset
        and rule.effect in effects
        and rule.applies(node, model.graph)
    ]


def builder_warnings(model: onnx.ModelProto) -> list[str]:
    """One line a rule of what may be wrong, with the first node and the cure."""
    firsts = {fault.rule: fault for fault in reversed(builder_faults(model, "possible"))}
    return [f"{fault}. {rule.cure}" for rule, fault in firsts.items()]


def require_rightly_built(model: onnx.ModelProto, name: str) -> None:
    """Raises BadInput, all nodes together, for what some builder turns into other values without a word."""
    faults = builder_faults(model, "wrong")
    if faults:
        cures = dict.fromkeys(fault.rule.cure for fault in faults)
        raise faults_error(
            f"{name}: engines would be built, and be wrong",
            _shortened([str(fault) for fault in faults]),
            " ".join(cures),
        )


def require_right_builder(model: onnx.ModelProto, name: str, builder: str, version: str) -> None:
    """Raises BadInput for what this version of this builder turns into other values without a word."""
    faults = [
        fault
        for fault in builder_faults(model, "wrong")
        if any(affected.holds(builder, version) for affected in fault.rule.affected)
    ]
    if faults:
        raise BadInput(
            f"{builder} {version} would build {name}, and give other values:\n"
            + "\n".join(f"  {line}" for line in _shortened([str(fault) for fault in faults]))
            + "\nExport the file in an older opset, or build with a version that is not listed."
        )


def rules_table() -> str:
    """The rules as a table in Markdown, for the document that explains them."""
    names = ("operator", "from opset", "builders", "effect", "what comes out", "what to do", "source")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|"
    rows = [
        f"| {rule.operator} | {rule.opset} | {', '.join(map(str, rule.affected))} | {rule.effect} | {rule.outcome} "
        f"| {rule.cure} | {rule.source} |"
        for rule in RULES
    ]
    return "\n".join([head, *rows])


def release_of(version: str) -> tuple[int, ...]:
    """The numbers of a version, at most three."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _shortened(lines: Sequence[str], shown: int = 8) -> list[str]:
    more = [f"and {len(lines) - shown} more"] if len(lines) > shown else []
    return [*lines[:shown], *more]


def _text(node: onnx.NodeProto, name: str, default: str) -> str:
    return next(_strings(node, name), default)


def _strings(node: onnx.NodeProto, name: str) -> Iterator[str]:
    yield from (attribute.s.decode() for attribute in node.attribute if attribute.name == name)
