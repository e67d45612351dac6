"""Infinities and NaN in front of the argmax, which a mask hides: found on images, and kept away by nodes in FP32.

They are looked for with onnxruntime in the typed file's own number ranges (see rounded.py), so no device is needed; an
FP16 value beyond 65504 becomes infinite there as it does on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hardedge.contracts import FallbackNode
from hardedge.deploy.engines.fp32_fallback import MOST_BUILDS, Tries, find_smallest_set
from hardedge.errors import BadInput, first_line
from hardedge.graphs.element_types import FLOATS, element_types
from hardedge.graphs.files import copy_model, open_session
from hardedge.graphs.pinning import pin_to_fp32, pinning_candidates
from hardedge.graphs.probes import PROBE, with_logits_output
from hardedge.graphs.rounding import rounded_form
from hardedge.graphs.walking import add_output, producers, readers

if TYPE_CHECKING:
    import onnx

    from hardedge.data.decoding import Pixels

MULTIPLY_ADDS = 5e11  # of all images that are tried: about ten seconds on two cores


class NotRun(Exception):
    """onnxruntime does not take the network, so its values cannot be looked at; a builder may take it."""


@dataclass(frozen=True)
class NotFinite:
    """Where a network's values stop being finite: a node, in words, and the nodes that FP32 might help at first."""

    said: str
    suspects: frozenset[str]


def choose_images_to_try(images: Mapping[str, Pixels], multiply_adds: int) -> dict[str, Pixels]:
    """The first images, as many as take some seconds; one at least. `multiply_adds` are those of one image."""
    allowed = max(1, int(MULTIPLY_ADDS / max(multiply_adds, 1)))
    return dict(list(images.items())[:allowed])


def find_nodes_to_keep_finite(
    model: onnx.ModelProto, images: Mapping[str, Pixels], name: str
) -> tuple[FallbackNode, ...]:
    """The fewest nodes to pin to FP32 so that every logit of these images is finite; none where they all are.

    `name` is what messages call the file. Raises BadInput with the node where no pinning helps, NotRun where
    onnxruntime does not take the network.
    """
    found = find_not_finite(model, images)
    if found is None:
        return ()
    precisions, pins, first = pinning_candidates(model), frozenset[str](), found.said
    while found and (more := found.suspects & precisions.keys() - pins):
        pins |= more
        found = find_not_finite(pin_to_fp32(model, pins), images)
    if found:
        pins = frozenset(precisions)
        found = find_not_finite(pin_to_fp32(model, pins), images)
    if found:
        raise BadInput(
            f"{name}: {found.said}{', with every node in FP32 too' if pins else ''}. "
            "No choice of precisions heals that: look at its weights and inputs, and export it again."
        )

    def attempt(tried: frozenset[str]) -> str | None:
        still = find_not_finite(pin_to_fp32(model, tried), images)
        return still.said if still else None

    chosen = find_smallest_set(frozenset(), pins, precisions, Tries(attempt, MOST_BUILDS))
    operators = {node.name: node.op_type for node in model.graph.node}
    return tuple(
        FallbackNode(node=node, operator=operators[node], precision=precisions[node], why=first, cause="not finite")
        for node in precisions
        if node in chosen
    )


def find_not_finite(model: onnx.ModelProto, images: Mapping[str, Pixels]) -> NotFinite | None:
    """Where the first image with an infinite logit, or NaN, goes wrong; None where all are finite.

    None as well for a network without an argmax over its classes, whose logits nobody can name. Raises NotRun.
    """
    form = rounded_form(model)
    probe = with_logits_output(copy_model(form))
    if probe is None:
        return None
    session = _session(probe)
    for id, image_HWC in images.items():
        if not np.isfinite(_run(session, [PROBE], image_HWC)[0]).all():
            return _locate(model, form, id, image_HWC)
    return None


def _locate(model: onnx.ModelProto, form: onnx.ModelProto, id: str, image_HWC: Pixels) -> NotFinite:
    types, made_by = element_types(model), producers(model)
    values = [name for name in made_by if types.get(name) in FLOATS]
    session = _session(_with_sums(form, values))
    sums = _run(session, [f"finite {number}" for number in range(len(values))], image_HWC)
    broken = {name: float(total) for name, total in zip(values, sums, strict=True) if not np.isfinite(total)}
    first = next(
        node for node in model.graph.node if broken.keys() & set(node.output) and not broken.keys() & set(node.input)
    )
    output = next(name for name in first.output if name in broken)
    # what a pinned node gives is cast back to its type: its readers must be pinned as well, if that is too narrow
    reading = (node.name for node in readers(model.graph, output))
    label = first.name or made_by.get(first.input[0], first).name
    return NotFinite(f"{label} ({first.op_type}) is not finite on image {id}", frozenset({first.name, *reading} - {""}))


def _with_sums(form: onnx.ModelProto, values: list[str]) -> onnx.ModelProto:
    """The form with one more output a value: 0 where all of it is finite, else NaN."""
    from onnx import TensorProto, helper, numpy_helper

    probe = copy_model(form)
    probe.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "finite zero"))
    for number, value in enumerate(values):
        probe.graph.node.extend(
            (
                helper.make_node("Cast", [value], [f"finite float {number}"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"finite float {number}", "finite zero"], [f"finite product {number}"]),
                helper.make_node("ReduceSum", [f"finite product {number}"], [f"finite {number}"], keepdims=0),
            )
        )
        add_output(probe, f"finite {number}", TensorProto.FLOAT, [])
    return probe


def _run(session: Any, outputs: list[str], image_HWC: Pixels) -> list[Any]:
    try:
        return list(session.run(outputs, {"image": image_HWC[None]}))
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise NotRun(first_line(error)) from None


def _session(model: onnx.ModelProto) -> Any:
    try:
        return open_session(model, fused=False)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise NotRun(first_line(error)) from None
