"""ONNX files that others exported: which form they have, and the same network with pixels in and a mask out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardedge.contracts import Channels
from hardedge.errors import BadInput, faults_error, first_line
from hardedge.graphs.cutting import cut_to_outputs
from hardedge.graphs.inlined import require_few_nodes

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 13  # the first whose Resize and Squeeze are as they are written here
TAKEN = (
    "Taken: float [B,3,H,W] (normalised, --mean and --std) or uint8 [B,H,W,3] in; scores [B,classes,h,w] or classes "
    "[B,H,W] out."
)

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class OnnxInputSpec:
    """What a user says of a file: normalisation of pixels in 0..1, (height, width) that it takes, and its output.

    `channels` is the order that the file takes them in, `mean` and `std` are in that order.
    """

    mean: Triple | None = None
    std: Triple | None = None
    size: tuple[int, int] | None = None
    output: str | None = None
    channels: Channels | None = None


@dataclass(frozen=True)
class ForeignForm:
    """What a file takes and gives.

    `pixels`: uint8 [B,H,W,3], else float [B,3,H,W] normalised by mean and std; `size` (height, width) where it is not
    the image's. `scores`: [B,C,h,w], else classes [B,H,W] (or [B,1,H,W]: `squeeze`). `batch` where the file fixes it.
    `mean` and `std` are in the order of `channels`.
    """

    input: str
    output: str
    pixels: bool
    scores: bool
    squeeze: bool
    mean: Triple
    std: Triple
    size: tuple[int, int] | None
    batch: int | None
    channels: Channels = "rgb"


def read_foreign(path: Path) -> onnx.ModelProto:
    """An ONNX file with its weights, which may be in files beside it; raises BadInput when it cannot be read."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        require_few_nodes(model, str(path))
        weights = [tensor for tensor in model.graph.initializer if tensor.external_data]
        for tensor in weights:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            if not (path.parent / location).resolve().is_relative_to(path.parent.resolve()):
                raise ValueError(f"the weights of {tensor.name} are outside its folder")
        if weights:
            onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except BadInput:
        raise
    except Exception as error:  # protobuf's, onnx's and the system's own, which have no common base
        raise BadInput(f"{path} cannot be read as an ONNX file ({first_line(error)}). Export it again.") from None
    return model


def foreign_form(model: onnx.ModelProto, given: OnnxInputSpec, classes: int, name: str) -> ForeignForm:
    """The form of a file; raises BadInput, all faults together, for one that is not taken.

    `name` is what messages call the file, `classes` how many the data has.
    """
    from onnx import shape_inference

    known = shape_inference.infer_shapes(model).graph
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    inferred = {value.name: value for value in known.output}
    outputs = [inferred.get(value.name, value) for value in model.graph.output]
    faults = [*_opset_faults(model), *_input_faults(inputs, given), *_output_faults(outputs, given, classes)]
    if faults:
        raise faults_error(f"{name} cannot be deployed as it is", faults, TAKEN)
    source, chosen = inputs[0], next(value for value in outputs if given.output in (None, value.name))
    pixels, dims = _kind(source) == "uint8", _dims(source)
    fixed = (dims[2], dims[3]) if dims[2] and dims[3] and not pixels else None
    return ForeignForm(
        input=source.name,
        output=chosen.name,
        pixels=pixels,
        scores=_kind(chosen).startswith("float"),
        squeeze=not _kind(chosen).startswith("float") and len(_dims(chosen)) == 4,
        mean=given.mean or (0.0, 0.0, 0.0),
        std=given.std or (1.0, 1.0, 1.0),
        size=fixed or given.size,
        batch=dims[0],
        channels=given.channels or "rgb",
    )


def _opset_faults(model: onnx.ModelProto) -> Iterator[str]:
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        yield f"opset {opset}: export it with opset {OLDEST_OPSET} or later"


def _input_faults(inputs: list[onnx.ValueInfoProto], given: OnnxInputSpec) -> Iterator[str]:
    if len(inputs) != 1:
        yield f"{len(inputs)} inputs ({', '.join(map(_value_text, inputs))}), expected one, the image"
        return
    kind, dims, said = _kind(inputs[0]), _dims(inputs[0]), _value_text(inputs[0])
    if len(dims) == 4 and dims[0] not in (1, None):
        yield f"input {said}: batches of {dims[0]} only. Export it with a batch of 1, or with any batch"
    if kind == "uint8" and len(dims) == 4 and dims[3] == 3:
        if given.mean or given.std or given.size:
            yield f"input {said} takes pixels: leave out --mean, --std and --input-size"
        return
    if kind != "float32" or len(dims) != 4:
        yield f"input {said}: expected float32 [B,3,H,W] or uint8 [B,H,W,3]"
    elif dims[1] not in (3, None) or (dims[1] is None and dims[3] == 3):
        last = ", channels last: put a transpose to channels first in front and export it again" if dims[3] == 3 else ""
        yield f"input {said}: expected float32 [B,3,H,W]{last}"
    elif not (given.mean and given.std):
        yield (
            f"input {said}: say how its pixels are normalised, e.g. ImageNet's --mean 0.485,0.456,0.406 "
            "--std 0.229,0.224,0.225 (of pixels in 0..1; --mean 0,0,0 --std 1,1,1 for these themselves)"
        )
    elif given.size and dims[2] and dims[3] and given.size != (dims[2], dims[3]):
        yield f"input {said} has its size: leave out --input-size"


def _output_faults(outputs: list[onnx.ValueInfoProto], given: OnnxInputSpec, classes: int) -> Iterator[str]:
    listing = ", ".join(map(_value_text, outputs))
    if given.output and given.output not in [value.name for value in outputs]:
        yield f"no output {given.output}: it has {listing}. Name one with --output"
    elif not given.output and len(outputs) != 1:
        yield f"several outputs: {listing}. Name the scores or the classes with --output"
    else:
        chosen = next(value for value in outputs if given.output in (None, value.name))
        others = f", or name another with --output: {listing}" if len(outputs) > 1 else ""
        yield from _chosen_faults(chosen, classes, others)


def _chosen_faults(chosen: onnx.ValueInfoProto, classes: int, others: str) -> Iterator[str]:
    kind, dims, said = _kind(chosen), _dims(chosen), _value_text(chosen)
    if kind in ("int64", "int32", "uint8"):
        if len(dims) != 3 and not (len(dims) == 4 and dims[1] == 1):
            yield f"output {said}: expected classes [B,H,W]{others}"
    elif not kind.startswith("float") or len(dims) != 4:
        yield f"output {said}: expected scores float [B,{classes},h,w], or classes [B,H,W]{others}"
    elif dims[1] != classes and dims[3] == classes:
        yield f"output {said}: channels last, expected scores [B,{classes},h,w]: transpose it and export it again"
    elif dims[1] == 1:
        yield (
            f"output {said}: one channel of floats, which is a sigmoid of two classes or a map of class indices. "
            f"Export scores of every class, [B,{classes},h,w] (of a sigmoid's x: 0 and x), or cast the indices to "
            f"uint8{others}"
        )
    elif dims[1] not in (classes, None):
        yield f"output {said}: {dims[1]} classes, the data has {classes}. Give the data that it was trained for{others}"


def foreign_pixels_to_mask(model: onnx.ModelProto, form: ForeignForm, resize: bool) -> onnx.ModelProto:
    """The canonical network of a file with `image` uint8 [B,H,W,3] in and `mask` uint8 [B,H,W] out.

    `resize`: scores are resized to the image, bilinearly, before the argmax. The same file gives the same bytes.
    """
    from onnx import TensorProto, checker, helper

    from hardedge.graphs.canonical import canonical_form, every_node

    cut = cut_to_outputs(canonical_form(model), [form.input], [form.output])
    as_it_is = form.pixels and form.channels == "rgb"
    names = {form.input: "image" if as_it_is else "network input", form.output: "network output"}
    for node in every_node(cut.graph):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    around = _Around(form, resize)
    nodes = [*around.before(), *cut.graph.node, *around.after()]
    batch = form.batch or "batch"
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, "height", "width", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, [batch, "height", "width"])
    graph = helper.make_graph(nodes, "network", [image], [mask], [*cut.graph.initializer, *around.weights])
    graph.sparse_initializer.extend(cut.graph.sparse_initializer)
    made = helper.make_model(graph, opset_imports=list(cut.opset_import), ir_version=cut.ir_version)
    shipped = canonical_form(made)
    try:
        checker.check_model(shipped)
    except checker.ValidationError as error:
        raise BadInput(
            f"its graph cannot be put between pixels and a mask ({first_line(error)}). Export it without If and Loop."
        ) from None
    return shipped


class _Around:
    """The nodes in front of a network and behind it, and the constants that they read."""

    def __init__(self, form: ForeignForm, resize: bool) -> None:
        self.form, self.resize = form, resize
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, values: object, dtype: type = np.int64) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.array(values, dtype), f"around {name}"))
        return f"around {name}"

    def before(self) -> Iterator[onnx.NodeProto]:
        """Pixels to what the network takes; the cast comes first, as TensorRT takes uint8 as an input type only."""
        from onnx import TensorProto, helper

        reverse = self.form.channels == "bgr"
        if self.form.pixels:
            if reverse:
                yield helper.make_node(
                    "Gather", ["image", self.constant("order", [2, 1, 0])], ["network input"], axis=3
                )
            return
        mean, std = ([[[255 * value]] for value in values] for values in (self.form.mean, self.form.std))
        yield helper.make_node("Cast", ["image"], ["around pixels"], to=TensorProto.FLOAT)
        yield helper.make_node("Transpose", ["around pixels"], ["around planes"], perm=[0, 3, 1, 2])
        planes = "around planes"
        if reverse:
            yield helper.make_node("Gather", [planes, self.constant("order", [2, 1, 0])], ["around reversed"], axis=1)
            planes = "around reversed"
        if self.form.size:
            yield from self.resized(planes, "around fitted", self.constant("size", self.form.size))
            planes = "around fitted"
        yield helper.make_node("Sub", [planes, self.constant("mean", mean, np.float32)], ["around centred"])
        yield helper.make_node("Div", ["around centred", self.constant("std", std, np.float32)], ["network input"])

    def after(self) -> Iterator[onnx.NodeProto]:
        """What the network gives to the mask; by way of FP16, as TensorRT documents half to uint8 only."""
        from onnx import TensorProto, helper

        found = "network output"
        if self.form.scores:
            yield helper.make_node("Cast", [found], ["around scores"], to=TensorProto.FLOAT)
            found = "around scores"
            if self.resize:
                ends = (self.constant("from", [1]), self.constant("to", [3]))
                yield helper.make_node("Shape", ["image"], ["around image shape"])
                yield helper.make_node("Slice", ["around image shape", *ends], ["around image size"])
                yield from self.resized(found, "around whole", "around image size")
                found = "around whole"
            yield helper.make_node("ArgMax", [found], ["around classes"], axis=1, keepdims=0)
            found = "around classes"
        elif self.form.squeeze:
            yield helper.make_node("Squeeze", [found, self.constant("axis", [1])], ["around classes"])
            found = "around classes"
        yield helper.make_node("Cast", [found], ["around half"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", ["around half"], ["mask"], to=TensorProto.UINT8)

    def resized(self, source: str, wanted: str, size: str) -> Iterator[onnx.NodeProto]:
        """Bilinear with half-pixel centres, as torch's interpolate with align_corners=False; no antialiasing."""
        from onnx import helper

        shape, head, whole = (f"{wanted} {part}" for part in ("shape", "head", "size"))
        ends = (self.constant(f"{wanted} first", [0]), self.constant(f"{wanted} second", [2]))
        yield helper.make_node("Shape", [source], [shape])
        yield helper.make_node("Slice", [shape, *ends], [head])
        yield helper.make_node("Concat", [head, size], [whole], axis=0)
        yield helper.make_node(
            "Resize",
            [source, "", "", whole],
            [wanted],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )


def _kind(value: onnx.ValueInfoProto) -> str:
    from onnx import TensorProto, helper

    number = value.type.tensor_type.elem_type
    return str(helper.tensor_dtype_to_np_dtype(number)) if number in TensorProto.DataType.values() and number else "?"


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    return [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]


def _value_text(value: onnx.ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return f"{value.name} {_kind(value)} [{','.join(dim.dim_param or str(dim.dim_value or '?') for dim in dims)}]"
