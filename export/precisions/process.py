"""One conversion, in a process of its own: `python -m hardedge.export.precisions.process JOB`.

Model Optimizer changes onnxruntime's modules, sets up logging, and may rewrite the file that it is given; all of that
ends with this process.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from hardedge.contracts import parse_json
from hardedge.data.decoding import Pixels, read_image
from hardedge.export.precisions.convert import ConversionJob
from hardedge.export.precisions.legality import NOT_IN_BF16, WEIGHTED
from hardedge.export.precisions.ranges import largest_magnitudes, largest_weights
from hardedge.graphs.pinning import pin_to_fp32
from hardedge.graphs.walking import last_argmax, producers
from hardedge.precisions import precision_named

# above it FP16's steps are 0.5 and more: Model Optimizer's own limit
LARGEST_IN_FP16 = 512.0
# beside INT8 and FP8 such steps are nothing: half of FP16's largest number, as other images may go further
LARGEST_BESIDE_EIGHT_BITS = 65504.0 / 2


class CalibrationImages:
    """The images one at a time, as onnxruntime's calibration reads them."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self.rewind()

    def get_first(self) -> dict[str, npt.NDArray[np.uint8]]:
        return {"image": read_image(Path(self._paths[0]))[None]}

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        path = next(self._remaining, None)
        return None if path is None else {"image": read_image(Path(path))[None]}

    def rewind(self) -> None:
        self._remaining = iter(self._paths)


class KeepLarge:
    """Keeps nodes in FP32 whose values on the calibration images are too large for FP16; says which and why."""

    def __init__(self, magnitudes: dict[str, float], limit: float) -> None:
        self._magnitudes = magnitudes
        self._limit = limit
        self.reasons: dict[str, str] = {}

    def check(self, node: onnx.NodeProto) -> bool:
        largest = max((self._magnitudes.get(name, 0.0) for name in (*node.input, *node.output)), default=0.0)
        if largest <= self._limit:
            return False
        self.reasons[node.name] = f"values up to {largest:.4g} on the calibration images, above {self._limit:g}"
        return True


def convert_here(job: ConversionJob) -> dict[str, str]:
    """Writes the converted file to job.out; returns why nodes were kept out, by their name in the source."""
    return _quantise(job) if precision_named(job.precision).rest else _half(job)


def _half(job: ConversionJob) -> dict[str, str]:
    from modelopt.onnx.autocast import convert_to_mixed_precision

    model = onnx.load(job.source)
    bf16 = job.precision == "bf16"
    # BF16 has FP32's range: nothing is too large for it
    rule = KeepLarge({} if bf16 else largest_magnitudes(model, _images(job)), LARGEST_IN_FP16)
    # a BF16 mask cannot be cast to uint8, so what follows the argmax stays FP16 as it is
    kept = {node.name: "" for node in _after_argmax(model)} if bf16 else {}
    reasons = _refusal(model, job)
    converted = convert_to_mixed_precision(
        job.source,
        low_precision_type=job.precision,
        nodes_to_exclude=_patterns({**kept, **reasons}),
        op_types_to_exclude=list(NOT_IN_BF16) if bf16 else [],
        keep_io_types=True,
        data_max=math.inf,
        custom_rule=rule,
    )
    onnx.save(converted, job.out)
    gaps = {node.name: "TensorRT has no BF16 form of it" for node in model.graph.node if node.op_type in NOT_IN_BF16}
    return {**(gaps if bf16 else {}), **rule.reasons, **reasons}


def _quantise(job: ConversionJob) -> dict[str, str]:
    from modelopt.onnx.quantization import quantize

    model, precision = onnx.load(job.source), precision_named(job.precision)
    logits = {node.name: "makes the logits, which are never quantised" for node in logits_tail(model)}
    limit = LARGEST_BESIDE_EIGHT_BITS if precision.rest == "fp16" else math.inf
    rule = KeepLarge({**largest_magnitudes(model, _images(job)), **largest_weights(model)}, limit)
    large = [node.name for node in model.graph.node if rule.check(node)]
    reasons = {**logits, **_refusal(model, job), **rule.reasons}
    quantize(
        job.source,
        quantize_mode=precision.counted_as,
        calibration_data_reader=CalibrationImages(job.images),
        calibration_method=job.method,
        calibration_eps=["cpu"],
        nodes_to_exclude=_patterns(reasons),
        high_precision_dtype=precision.rest,
        output_path=job.out,
    )
    if large:
        onnx.save(nodes_in_fp32(onnx.load(job.out), large, model), job.out)
    return reasons


def nodes_in_fp32(model: onnx.ModelProto, names: list[str], source: onnx.ModelProto) -> onnx.ModelProto:
    """The converted model with these nodes in FP32 again, and the weights that they read as the source has them."""
    kept = pin_to_fp32(model, names)
    exact = {f"{tensor.name} in fp32": tensor for tensor in source.graph.initializer}
    for tensor in kept.graph.initializer:
        original = exact.get(tensor.name)
        if original is not None and list(original.dims) == list(tensor.dims):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(original), tensor.name))
    return kept


def logits_tail(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes between the last weighted ones and the argmax: sums and resizes of logits."""
    made_by = producers(model)
    found: dict[str, onnx.NodeProto] = {}
    waiting = [_argmax(model).input[0]]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None or node.op_type in WEIGHTED or node.name in found:
            continue
        found[node.name] = node
        # the other inputs are sizes
        waiting += node.input if node.op_type in ("Add", "Concat", "Mul", "Sum") else node.input[:1]
    return [node for node in model.graph.node if node.name in found]


def _after_argmax(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that classes flow into: the mask's, and not those of a margin beside it."""
    made, found = set(_argmax(model).output), []
    for node in model.graph.node:
        if made & set(node.input):
            found.append(node)
            made.update(node.output)
    return found


def _argmax(model: onnx.ModelProto) -> onnx.NodeProto:
    last = last_argmax(model)
    assert last is not None  # the file is ours: it ends in one
    return last


def _refusal(model: onnx.ModelProto, job: ConversionJob) -> dict[str, str]:
    return {node.name: job.keep[node.name] for node in model.graph.node if node.name in job.keep}


def _patterns(names: dict[str, str]) -> list[str]:
    # they are matched as regular expressions from the start of a name
    return [f"{re.escape(name)}$" for name in names]


def _images(job: ConversionJob) -> Iterator[Pixels]:
    return (read_image(Path(path)) for path in job.images)


if __name__ == "__main__":
    job = parse_json(ConversionJob, sys.argv[1].encode(), "the job")
    print(json.dumps({"reasons": convert_here(job), "tool": f"nvidia-modelopt {version('nvidia-modelopt')}"}))
