"""Torch against the shipped file in onnxruntime: equal masks, but where two classes are as good as tied."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from hardedge.contracts import find_profile
from hardedge.data.decoding import Pixels
from hardedge.errors import BadInput, faults_error, first_line
from hardedge.export.graph.first_difference import first_difference
from hardedge.export.graph.form import Form
from hardedge.export.graph.pixels_to_mask import PixelsToMask, margin_of, top_class
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, logits_form

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


@dataclass(frozen=True)
class _Sessions:
    """The shipped file, and the same with its logits as an output."""

    shipped: onnxruntime.InferenceSession
    logits: onnxruntime.InferenceSession


def require_agreement(
    model: onnx.ModelProto, network: PixelsToMask, images: Mapping[str, Pixels], form: Form
) -> Agreement:
    """Compares masks and other outputs of each image, of one cut to an odd size, of two as a batch, at each profile.

    Images are uint8 [H, W, 3]. Logits are read from a second session of the same model with the argmax's input as one
    more output. Raises BadInput when the network does not take a size of the profiles, and naming every input with a
    pixel that differs though its margin is above the tolerance, and the first node that does not give torch's values.
    """
    sessions = _Sessions(open_session(model), open_session(logits_form(model)))
    inputs = _inputs(images, form)
    found = {name: _compare(sessions, network, name, images_BHWC) for name, images_BHWC in inputs.items()}
    endless = [f"{name}: logits that are not finite" for name, one in found.items() if not np.isfinite(one.difference)]
    if endless:
        raise faults_error("the network cannot be used", endless, "Train it again, with a lower learning rate.")
    tolerance = RELATIVE_TOLERANCE * max(one.largest for one in found.values())
    if len(form.outputs) > 1 and (worst := max(one.difference for one in found.values())) > tolerance:
        raise BadInput(
            f"the exported file's {' and '.join(form.outputs[1:])} differ from torch's by {worst:.3g}, allowed: "
            f"{tolerance:.3g}. Leave --output out, or change the part of the network that ONNX computes otherwise."
        )
    faults = {
        name: f"{name}: {count} of {one.pixels} pixels differ, top-2 margin up to {one.margins.max():.3g}"
        for name, one in found.items()
        if (count := int((one.margins > tolerance).sum()))
    }
    if faults:
        smallest = min(faults, key=lambda name: inputs[name].size)
        place = first_difference(model, network, form, inputs[smallest])
        raise faults_error(
            f"the exported file does not give the torch network's masks (allowed: margins up to {tolerance:.3g})",
            [*faults.values(), f"first node that differs: {place}" if place else NO_NODE],
            "The network computes something that ONNX or onnxruntime does otherwise: change that part of its forward.",
        )
    return Agreement(max(one.difference for one in found.values()), tolerance)


NO_NODE = "no node differs from the graph that torch traced: its forward does something else while it is traced"


def _inputs(images: Mapping[str, Pixels], form: Form) -> dict[str, Pixels]:
    """The images as they are, one cut to an odd size, two as a batch, and one at each profile's typical size."""
    name, image_HWC = next(iter(images.items()))
    height, width = (length - 1 + length % 2 for length in image_HWC.shape[:2])
    inputs = {f"golden image {name}": image_HWC[None] for name, image_HWC in images.items()}
    inputs[f"{name} cut to {height}x{width}"] = image_HWC[None, :height, :width]
    inputs[f"{name} and its mirror image as a batch"] = np.stack([image_HWC, image_HWC[:, ::-1]])
    for profile in form.profiles:
        if all(batch_BHWC.shape[:3] != profile.opt for batch_BHWC in inputs.values()):
            inputs[f"{name} tiled for profile {profile.name}"] = _tile_batch(image_HWC, profile.opt)
    return {
        name: batch_BHWC
        for name, batch_BHWC in inputs.items()
        if find_profile(form.profiles, batch_BHWC.shape[:3]) is not None
    }


def _tile_batch(image_HWC: Pixels, size: tuple[int, int, int]) -> Pixels:
    """A batch uint8 [B, H, W, 3] of a size, of the image beside and below itself."""
    batch, height, width = size
    tall, wide = (-(-length // side) for length, side in zip((height, width), image_HWC.shape[:2], strict=True))
    return np.repeat(np.tile(image_HWC, (tall, wide, 1))[None, :height, :width], batch, axis=0)


def _compare(sessions: _Sessions, network: PixelsToMask, name: str, images_BHWC: Pixels) -> _Found:
    images_BHWC = np.array(images_BHWC, order="C")  # torch takes writable arrays only
    logits_BCHW = torch_logits(network, name, images_BHWC)
    margin_BHW, mask_BHW = margin_of(logits_BCHW).numpy(), top_class(logits_BCHW).numpy()
    outputs = [output.name for output in sessions.shipped.get_outputs()]
    shipped = dict(zip(outputs, _run(sessions.shipped, outputs, name, images_BHWC), strict=True))
    (shipped_BCHW,) = sessions.logits.run([PROBE], {"image": images_BHWC})
    differences = [np.abs(shipped_BCHW - logits_BCHW.numpy()).max()]
    if "logits" in shipped:
        differences.append(np.abs(shipped["logits"] - logits_BCHW.numpy()).max())
    if "margin" in shipped:
        differences.append(np.abs(shipped["margin"] - margin_BHW).max() / 2)  # of two logits
    return _Found(
        largest=float(logits_BCHW.abs().max()),
        difference=float(max(differences)),
        margins=margin_BHW[shipped["mask"] != mask_BHW],
        pixels=mask_BHW.size,
    )


def torch_logits(network: PixelsToMask, name: str, images_BHWC: Pixels) -> torch.Tensor:
    """The torch network's float logits [B, C, H, W] of images [B, H, W, 3]; `name` is what a message calls them.

    Raises BadInput when the network does not take their size, or gives logits of another one.
    """
    batch, height, width, _ = images_BHWC.shape
    try:
        with torch.inference_mode():
            logits_BCHW = network.logits(torch.from_numpy(images_BHWC))
    except Exception as error:  # the user's code may raise anything
        raise _not_taken(name, images_BHWC, f"{type(error).__name__}: {error}") from error
    if logits_BCHW.shape[0] != batch or logits_BCHW.shape[2:] != (height, width):
        raise _not_taken(name, images_BHWC, f"its logits are {list(logits_BCHW.shape)}")
    return logits_BCHW


def _run(
    session: onnxruntime.InferenceSession, outputs: list[str], name: str, images_BHWC: Pixels
) -> list[npt.NDArray[np.float32]]:
    try:
        found: list[npt.NDArray[np.float32]] = session.run(outputs, {"image": images_BHWC})
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise _not_taken(name, images_BHWC, f"onnxruntime: {first_line(error)}") from error
    return found


def _not_taken(name: str, images_BHWC: Pixels, reason: str) -> BadInput:
    size = "x".join(map(str, images_BHWC.shape[:3]))
    return BadInput(
        f"the network does not take {name}, {size} (batch x height x width), which is within its profiles: "
        f"{reason.strip()}\nGive the sizes that it takes with --size, or let the image be resized inside the graph: "
        "--network-size HEIGHTxWIDTH."
    )
