"""The graph that ships: pixels in, mask out."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from hardedge.contracts import Checkpoint, Normalisation, Profile, parse_json
from hardedge.errors import BadInput
from hardedge.export.graph.form import OUTPUTS, Form
from hardedge.graphs.canonical import canonical_form
from hardedge.graphs.files import is_large
from hardedge.version import __version__

Frontend = Literal["pixels", "tensor"]
AXES = ("batch", "height", "width")


class PixelsToMask(nn.Module):
    """A network with its pre- and post-processing: uint8 RGB images [B, H, W, 3] to uint8 masks [B, H, W]."""

    mean_311: Tensor
    std_311: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean_311", 255 * torch.tensor(normalisation.mean).view(3, 1, 1))
        self.register_buffer("std_311", 255 * torch.tensor(normalisation.std).view(3, 1, 1))

    def logits(self, images_BHWC: Tensor) -> Tensor:
        """The network's float logits [B, C, H, W]."""
        # the cast comes first: TensorRT takes uint8 as an input type only
        # contiguous: channels-last strides would be traced into every pooling, as a gather with computed indices
        pixels_BCHW = images_BHWC.float().permute(0, 3, 1, 2).contiguous()
        logits_BCHW: Tensor = self.network((pixels_BCHW - self.mean_311) / self.std_311)
        return logits_BCHW

    def forward(self, images_BHWC: Tensor) -> Tensor:
        return top_class(self.logits(images_BHWC))


class AtNetworkSize(nn.Module):
    """A network that runs at one size: images are resized to it, bilinear, and logits back to the images' size.

    Without antialiasing, which TensorRT's resize does not have: to less than half the size, pixels are left out.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images_BCHW: Tensor) -> Tensor:
        resized_BChw = F.interpolate(images_BCHW, self.size, mode="bilinear", align_corners=False)
        logits_BChw = self.network(resized_BChw)
        return F.interpolate(logits_BChw, images_BCHW.shape[-2:], mode="bilinear", align_corners=False)


class PixelsToOutputs(nn.Module):
    """As PixelsToMask, with more outputs: `logits` float [B, C, H, W], `margin` float [B, H, W], best minus second."""

    def __init__(self, pixels_to_mask: PixelsToMask, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.pixels_to_mask = pixels_to_mask
        self.outputs = outputs

    def forward(self, images_BHWC: Tensor) -> tuple[Tensor, ...]:
        logits_BCHW = self.pixels_to_mask.logits(images_BHWC)
        found = {"mask": top_class(logits_BCHW), "logits": logits_BCHW}
        if "margin" in self.outputs:
            found["margin"] = margin_of(logits_BCHW)
        return tuple(found[name] for name in self.outputs)


class WithHardness(nn.Module):
    """The positive control of the latency test: what ships, with a branch on the tap as one more output.

    Returns the outputs that ship and hardness maps, uint8 [B, H, W]. `tap` is the path of a sub-module of `shipped`.
    """

    def __init__(self, shipped: nn.Module, tap: str, branch: nn.Module) -> None:
        super().__init__()
        self.shipped = shipped
        self.tap = tap
        self.branch = branch

    def forward(self, images_BHWC: Tensor) -> tuple[Tensor, ...]:
        with _tap(self.shipped.get_submodule(self.tap)) as features:
            outputs = self.shipped(images_BHWC)
        hardness_B1hw = self.branch(features[0])
        hardness_B1HW = F.interpolate(hardness_B1hw, size=images_BHWC.shape[1:3], mode="bilinear", align_corners=False)
        hardness_BHW = (255 * hardness_B1HW[:, 0].sigmoid()).half().to(torch.uint8)
        return (*(outputs if isinstance(outputs, tuple) else (outputs,)), hardness_BHW)


def shipped_module(pixels_to_mask: PixelsToMask, outputs: tuple[str, ...]) -> nn.Module:
    """The module whose graph ships, with these outputs."""
    return pixels_to_mask if outputs == ("mask",) else PixelsToOutputs(pixels_to_mask, outputs)


def margin_of(logits_BCHW: Tensor) -> Tensor:
    """How far the top class is ahead of the second, in logits: float [B, H, W]."""
    top_B2HW = logits_BCHW.topk(2, dim=1).values
    return top_B2HW[:, 0] - top_B2HW[:, 1]


def top_class(logits_BCHW: Tensor) -> Tensor:
    """The top class of each pixel, uint8 [B, H, W]."""
    # by way of half: TensorRT documents float and half to uint8 only. Exact, as class indices are below 256
    return logits_BCHW.argmax(1).half().to(torch.uint8)


@contextmanager
def _tap(module: nn.Module) -> Iterator[list[object]]:
    outputs: list[object] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def onnx_from_network(
    module: nn.Module,
    profile: Profile,
    outputs: tuple[str, ...],
    opset: int,
    frontend: Frontend = "pixels",
) -> onnx.ModelProto:
    """A module as canonical ONNX, without metadata: input `image`, sizes dynamic within the profile.

    A height or width that the profile leaves no choice of is fixed. `image` is uint8 [B, H, W, 3], or for the frontend
    `tensor` float [B, 3, H, W]. Raises BadInput when the exporter or onnx's checker refuses the network.
    """
    try:
        with exporter_silenced(), torch.no_grad():
            model = canonical_form(trace_program(module, profile, outputs, opset, frontend).model_proto)
            if not is_large(model):  # else its file is checked, when it is read
                onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # whatever the exporter raises for a network it cannot translate
        raise BadInput(_refusal(error)) from error
    return model


def trace_program(
    module: nn.Module,
    profile: Profile,
    outputs: tuple[str, ...],
    opset: int,
    frontend: Frontend = "pixels",
) -> torch.onnx.ONNXProgram:
    """What onnx_from_network is made of, with torch's own graph and names in it; raises what the exporter raises."""
    # batch 2, as 1 would be taken for a constant; three different sizes, so that none is taken for another
    sizes = [max(2, profile.min[0]), profile.min[1] + 32, profile.min[2] + 96]
    dims: list[Any] = []
    for axis, name in enumerate(AXES):
        least, most = profile.min[axis], profile.max[axis]
        if least == most and name != "batch":
            sizes[axis] = least
            dims.append(None)
        else:
            dims.append(Dim(name, min=least, max=max(most, sizes[axis])))
    batch, height, width = sizes
    if frontend == "tensor":
        example, shapes = torch.zeros(batch, 3, height, width), (dims[0], None, dims[1], dims[2])
    else:
        example, shapes = torch.zeros(batch, height, width, 3, dtype=torch.uint8), (*dims, None)
    program = torch.onnx.export(
        _traceable(module),
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=["image"],
        output_names=list(outputs),
        dynamic_shapes=(dict(enumerate(shapes)),),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    return program


def _traceable(module: nn.Module) -> nn.Module:
    """A frozen copy without in-place activations: the exported graph is the same, tracing takes two thirds."""
    traceable = copy.deepcopy(module).eval().requires_grad_(False)
    for part in traceable.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]  # nn.Module's __setattr__
    return traceable


@contextmanager
def exporter_silenced() -> Iterator[None]:
    """Without what the exporter says of its own insides."""
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _refusal(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return (
        f"the network cannot be exported to ONNX: {first.strip()}\n"
        "Change what its forward does there: no Python branches on tensor values, any height and width. "
        "Or fix the size, with --size or --network-size. The exporter's own report: --debug"
    )


def with_facts(model: onnx.ModelProto, checkpoint: Checkpoint, form: Form) -> onnx.ModelProto:
    """The model with what a user of the file must know, in its metadata_props."""
    classes = [{"name": entry.name, "color": list(entry.color)} for entry in checkpoint.task.classes]
    facts = {
        "task": "semantic segmentation",
        "classes": json.dumps(classes, ensure_ascii=False),
        "ignore_index": str(checkpoint.task.ignore_index),
        "normalisation": json.dumps(asdict(checkpoint.normalisation)),
        "color_order": "RGB",
        "profiles": json.dumps([asdict(profile) for profile in form.profiles]),
        "network_size": json.dumps(form.network_size),
        "checkpoint_digest": checkpoint.digest,
        "data_digest": checkpoint.data_digest,
        "hardedge": __version__,
    }
    known = onnx.ModelProto()
    known.CopyFrom(model)
    onnx.helper.set_model_props(known, facts)
    return known


def read_form(model: onnx.ModelProto, name: str) -> Form:
    """The form of a shipped file, from its facts, outputs and opset; raises BadInput when it has no such facts."""
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if "profiles" not in facts:
        raise BadInput(f"{name} names no profiles in its metadata: not written by hardedge export. Export it again.")
    # the plain network has no others: an output that does not belong there must show as a difference
    outputs = json.dumps([value.name for value in model.graph.output if value.name in ("mask", *OUTPUTS)])
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    told = f'"profiles": {facts["profiles"]}, "network_size": {facts.get("network_size", "null")}'
    form = parse_json(Form, f'{{{told}, "outputs": {outputs}, "opset": {opset}}}'.encode(), f"{name}, metadata")
    if not form.profiles:
        raise BadInput(f"{name} names no profiles in its metadata: not written by hardedge export. Export it again.")
    return form
