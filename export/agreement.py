"""Torch against the shipped file in onnxruntime: equal masks, but where two classes are as good as tied."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from hardedge.data.folder import Pixels
from hardedge.errors import listed
from hardedge.export.graph import PixelsToMask, mask_of

# of the largest logit: float32 sums in another order differ by 1e-6 to 1e-5 of it, in a random ResNet-101 by 3e-4
RELATIVE_TOLERANCE = 5e-4


@dataclass(frozen=True)
class Agreement:
    """The largest difference of any logit, and the top-2 margin below which masks may differ; both in logits."""

    logit_difference: float
    margin_tolerance: float


@dataclass(frozen=True)
class _Found:
    largest: float
    difference: float
    margins: npt.NDArray[np.float32]
    pixels: int


def require_agreement(model: onnx.ModelProto, network: PixelsToMask, images: Mapping[str, Pixels]) -> Agreement:
    """Compares the masks of each image, of one cut to an odd size, and of two as a batch; images uint8 [H, W, 3].

    Logits are read from a second session of the same model with the argmax's input as one more output. Raises
    BadInput naming every input with a pixel that differs though its margin is above the tolerance.
    """
    session, logits_session = session_of(model), session_of(with_logits(model))
    found = {
        name: _compare(session, logits_session, network, images_BHWC) for name, images_BHWC in _inputs(images).items()
    }
    endless = [f"{name}: logits that are not finite" for name, one in found.items() if not np.isfinite(one.difference)]
    if endless:
        raise listed("the network cannot be used", endless, "Train it again, with a lower learning rate.")
    tolerance = RELATIVE_TOLERANCE * max(one.largest for one in found.values())
    faults = [
        f"{name}: {count} of {one.pixels} pixels differ, top-2 margin up to {one.margins.max():.3g}"
        for name, one in found.items()
        if (count := int((one.margins > tolerance).sum()))
    ]
    if faults:
        raise listed(
            f"the exported file does not give the torch network's masks (allowed: margins up to {tolerance:.3g})",
            faults,
            "The network computes something that ONNX or onnxruntime does otherwise: change that part of its forward.",
        )
    return Agreement(max(one.difference for one in found.values()), tolerance)


def with_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with the input of the last argmax as one more float output, `logits`."""
    argmax = [node for node in model.graph.node if node.op_type == "ArgMax"][-1]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.node.append(helper.make_node("Cast", [argmax.input[0]], ["logits"], to=TensorProto.FLOAT))
    probe.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))
    return probe


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model in onnxruntime on the CPU, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _inputs(images: Mapping[str, Pixels]) -> dict[str, Pixels]:
    inputs = {f"golden image {name}": image_HWC[None] for name, image_HWC in images.items()}
    name, image_HWC = next(iter(images.items()))
    height, width = (length - 1 + length % 2 for length in image_HWC.shape[:2])
    inputs[f"{name} cut to {width}x{height}"] = image_HWC[None, :height, :width]
    inputs[f"{name} and its mirror image as a batch"] = np.stack([image_HWC, image_HWC[:, ::-1]])
    return inputs


def _compare(
    session: onnxruntime.InferenceSession,
    logits_session: onnxruntime.InferenceSession,
    network: PixelsToMask,
    images_BHWC: Pixels,
) -> _Found:
    images_BHWC = np.array(images_BHWC, order="C")  # torch takes writable arrays only
    with torch.inference_mode():
        logits_BCHW = network.logits(torch.from_numpy(images_BHWC))
        top_B2HW = logits_BCHW.topk(2, dim=1).values
        margin_BHW = (top_B2HW[:, 0] - top_B2HW[:, 1]).numpy()
        mask_BHW = mask_of(logits_BCHW).numpy()
    (shipped_BHW,) = session.run(["mask"], {"image": images_BHWC})
    (shipped_BCHW,) = logits_session.run(["logits"], {"image": images_BHWC})
    return _Found(
        largest=float(logits_BCHW.abs().max()),
        difference=float(np.abs(shipped_BCHW - logits_BCHW.numpy()).max()),
        margins=margin_BHW[shipped_BHW != mask_BHW],
        pixels=mask_BHW.size,
    )
