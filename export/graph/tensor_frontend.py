"""The ONNX file for other people's runtimes: normalised float pixels in, logits out."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from hardedge.contracts import TensorModel
from hardedge.data.decoding import Pixels
from hardedge.errors import faults_error
from hardedge.export.graph.agreement import RELATIVE_TOLERANCE
from hardedge.export.graph.form import Form
from hardedge.export.graph.pixels_to_mask import PixelsToMask, margin_of, onnx_from_network
from hardedge.graphs.canonical import onnx_digest
from hardedge.graphs.files import open_session, write_onnx

PATH = "model.tensor.onnx"
INPUT = "float32 [B, 3, H, W]: RGB in 0..1, minus the normalisation's mean, over its std, channel by channel"


def write_tensor_model(
    network: PixelsToMask,
    form: Form,
    with_facts: Callable[[onnx.ModelProto], onnx.ModelProto],
    images: Mapping[str, Pixels],
    directory: Path,
) -> TensorModel:
    """Writes model.tensor.onnx: `image` as torchvision normalises it to `logits`, at the sizes of the shipped file.

    Raises BadInput when torchvision's normalisation, this file and an argmax do not give the network's own masks.
    """
    model = with_facts(onnx_from_network(network.network, form.hull(), ("logits",), form.opset, "tensor"))
    for key, value in (("frontend", "tensor"), ("input", INPUT)):
        model.metadata_props.add(key=key, value=value)
    difference = _require_same(model, network, images)
    write_onnx(model, directory / PATH)
    return TensorModel(path=PATH, onnx_digest=onnx_digest(model), logit_difference=difference)


def normalised_batch(image_HWC: Pixels, network: PixelsToMask) -> Tensor:
    """An image as torchvision prepares it, float32 [1, 3, H, W]."""
    pixels_CHW = V.to_dtype(V.to_image(image_HWC.copy()), torch.float32, scale=True)
    mean, std = ((values_311 / 255).flatten().tolist() for values_311 in (network.mean_311, network.std_311))
    prepared_CHW: Tensor = V.normalize(pixels_CHW, mean, std)
    return prepared_CHW[None].as_subclass(Tensor)


def _require_same(model: onnx.ModelProto, network: PixelsToMask, images: Mapping[str, Pixels]) -> float:
    """The largest difference of a logit from the network's own; raises BadInput for other masks."""
    session, differences, faults = open_session(model), [0.0], []
    for name, image_HWC in images.items():
        with torch.inference_mode():
            expected_BCHW = network.logits(torch.from_numpy(image_HWC.copy())[None])
        (found_BCHW,) = session.run(["logits"], {"image": normalised_batch(image_HWC, network).numpy()})
        differences.append(float(np.abs(found_BCHW - expected_BCHW.numpy()).max()))
        other_HW = found_BCHW.argmax(1)[0] != expected_BCHW.argmax(1)[0].numpy()
        tolerance = RELATIVE_TOLERANCE * float(expected_BCHW.abs().max())
        count = int((margin_of(expected_BCHW)[0].numpy()[other_HW] > tolerance).sum())
        faults += [f"golden image {name}: {count} of {other_HW.size} pixels differ"] if count else []
    if faults:
        raise faults_error(
            f"{PATH} with torchvision's normalisation does not give the network's masks",
            faults,
            "Leave --frontend tensor out, or change the part of the network that ONNX computes otherwise.",
        )
    return max(differences)
