"""The graph that ships: pixels in, mask out."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

import hardedge
from hardedge.canonical import canonical
from hardedge.contracts import Checkpoint, Normalisation, Profile, parse_json
from hardedge.errors import BadInput
from hardedge.export.form import Form

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
        return mask_of(self.logits(images_BHWC))


class PixelsToMaskAndHardness(nn.Module):
    """The positive control of the latency test: as PixelsToMask, with a branch on the tap as an output of its own.

    Returns masks and hardness maps, both uint8 [B, H, W].
    """

    def __init__(self, pixels_to_mask: PixelsToMask, tap: str, branch: nn.Module) -> None:
        super().__init__()
        self.pixels_to_mask = pixels_to_mask
        self.tap = tap
        self.branch = branch

    def forward(self, images_BHWC: Tensor) -> tuple[Tensor, Tensor]:
        with _tapped(self.pixels_to_mask.network.get_submodule(self.tap)) as features:
            mask_BHW = self.pixels_to_mask(images_BHWC)
        hardness_B1hw = self.branch(features[0])
        hardness_B1HW = F.interpolate(hardness_B1hw, size=images_BHWC.shape[1:3], mode="bilinear", align_corners=False)
        return mask_BHW, (255 * hardness_B1HW[:, 0].sigmoid()).half().to(torch.uint8)


def mask_of(logits_BCHW: Tensor) -> Tensor:
    """The top class of each pixel, uint8 [B, H, W]."""
    # by way of half: TensorRT documents float and half to uint8 only. Exact, as class indices are below 256
    return logits_BCHW.argmax(1).half().to(torch.uint8)


@contextmanager
def _tapped(module: nn.Module) -> Iterator[list[object]]:
    outputs: list[object] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def onnx_from_network(module: nn.Module, profile: Profile, outputs: tuple[str, ...], opset: int) -> onnx.ModelProto:
    """A pixels-in module as canonical ONNX: input `image`, sizes dynamic within the profile, no metadata.

    Raises BadInput when the exporter or onnx's checker refuses it.
    """
    sizes = {axis: Dim(name, min=profile.min[axis], max=profile.max[axis]) for axis, name in enumerate(AXES)}
    # batch 2, as 1 would be taken for a constant; three different sizes, so that none is taken for another
    example_BHWC = torch.zeros(2, profile.min[1] + 32, profile.min[2] + 96, 3, dtype=torch.uint8)
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                _traceable(module),
                (example_BHWC,),
                dynamo=True,
                opset_version=opset,
                input_names=["image"],
                output_names=list(outputs),
                dynamic_shapes=(sizes,),
                external_data=False,
                verbose=False,
            )
            assert program is not None
            model = canonical(program.model_proto)
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # whatever the exporter raises for a network it cannot translate
        raise BadInput(_refusal(error)) from error
    return model


def _traceable(module: nn.Module) -> nn.Module:
    """A frozen copy without in-place activations: the exported graph is the same, tracing takes two thirds."""
    traceable = copy.deepcopy(module).eval().requires_grad_(False)
    for part in traceable.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]  # nn.Module's __setattr__
    return traceable


@contextmanager
def _quietly() -> Iterator[None]:
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own insides
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
        "The exporter's own report: --debug"
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
        "hardedge": hardedge.__version__,
    }
    known = onnx.ModelProto()
    known.CopyFrom(model)
    onnx.helper.set_model_props(known, facts)
    return known


def form_in(model: onnx.ModelProto, name: str) -> Form:
    """The form of a shipped file, from its facts, outputs and opset; raises BadInput when it has no such facts."""
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if "profiles" not in facts:
        raise BadInput(f"{name} names no profiles in its metadata: not written by hardedge export. Export it again.")
    outputs = json.dumps([value.name for value in model.graph.output])
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    told = f'"profiles": {facts["profiles"]}, "network_size": {facts.get("network_size", "null")}'
    return parse_json(Form, f'{{{told}, "outputs": {outputs}, "opset": {opset}}}'.encode(), f"{name}, metadata")
