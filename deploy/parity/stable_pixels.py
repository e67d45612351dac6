"""Stable pixels: those whose two best classes lie further apart than the logits' measured error could bring together.

A logit that errs by at most e moves a margin by at most 2 e. The error is measured on a few images and bounds nothing,
so the stable pixels that changed their class all the same are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hardedge.console import progress_bar
from hardedge.contracts import Bundle, StablePixels
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.validity import read_model
from hardedge.errors import BadInput
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, with_logits_output

if TYPE_CHECKING:
    pass


Mask = npt.NDArray[np.bool_]

# margins come from the FP32 network on the CPU: as many images as take a minute or so on two cores
MOST_IMAGES, LEAST_IMAGES, MULTIPLY_ADDS = 64, 8, 3e12


@dataclass(frozen=True)
class StableMaps:
    """For one precision: the logits' error, and by image id which pixels are stable."""

    logit_error: float
    maps: Mapping[str, tuple[tuple[int, ...], npt.NDArray[np.uint8]]]

    def of(self, id: str) -> Mask | None:
        """The stable pixels of an image, bool [H, W]; None where margins were not computed."""
        if id not in self.maps:
            return None
        shape, bits = self.maps[id]
        return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)


def stable_maps(directory: Path, bundle: Bundle, data: Dataset, precisions: set[str]) -> dict[str, StableMaps]:
    """The stable pixels of up to 64 test images, for each precision whose logit error is known.

    Margins are those of model.onnx in onnxruntime on the CPU. Raises BadInput when it does not run.
    """
    errors = {name: error for name in precisions if (error := logit_error(bundle, name)) is not None}
    session = _logits_session(directory / bundle.model("fp32").path) if errors else None
    if session is None:
        return {}
    maps: dict[str, dict[str, tuple[tuple[int, ...], npt.NDArray[np.uint8]]]] = {name: {} for name in errors}
    for id in progress_bar(compared_ids(bundle), "margins of the reference"):
        margin_HW = margins_of(session, data.image(id))
        for name, error in errors.items():
            stable_HW = margin_HW > 2 * error
            maps[name][id] = stable_HW.shape, np.packbits(stable_HW)
    return {name: StableMaps(errors[name], maps[name]) for name in errors}


def logit_error(bundle: Bundle, precision: str) -> float | None:
    """The largest logit difference from torch that export measured; None for a precision that it did not measure."""
    if precision == "fp32":
        return bundle.logit_difference
    conversion = bundle.model(precision).conversion
    return bundle.logit_difference + conversion.agreement.logit_difference if conversion else None


def compared_ids(bundle: Bundle) -> tuple[str, ...]:
    """Test images, evenly spaced: as many as the network's multiply-adds allow, 8 to 64."""
    ids = [image.id for image in bundle.reference.images]
    allowed = int(MULTIPLY_ADDS / max(bundle.model("fp32").census.multiply_adds, 1))
    count = min(len(ids), max(LEAST_IMAGES, min(MOST_IMAGES, allowed)))
    return tuple(ids[place * len(ids) // count] for place in range(count))


def count_stable_pixels(parts: list[tuple[Mask, Mask]], logit_error: float) -> StablePixels:
    """The share of stable pixels, and how many changed; parts are (stable, masks equal), bool [H, W], an image each."""
    pixels = sum(stable_HW.size for stable_HW, _ in parts)
    stable = sum(int(np.count_nonzero(stable_HW)) for stable_HW, _ in parts)
    flips = sum(int(np.count_nonzero(stable_HW & ~equal_HW)) for stable_HW, equal_HW in parts)
    changed = sum(int(np.count_nonzero(~equal_HW)) for _, equal_HW in parts)
    return StablePixels(
        logit_error=logit_error,
        images=len(parts),
        pixels=pixels,
        share=stable / pixels,
        flips=flips,
        changed=changed,
    )


def margins_of(session: Any, image_HWC: Pixels) -> npt.NDArray[np.float32]:
    """Best minus second-best logit of each pixel, float32 [H, W]."""
    (logits_BCHW,) = session.run([PROBE], {"image": image_HWC[None]})
    # class after class: seven times faster than np.partition along the first axis
    best_HW = logits_BCHW[0, 0].copy()
    second_HW = np.full_like(best_HW, -np.inf)
    for logits_HW in logits_BCHW[0, 1:]:
        np.maximum(second_HW, np.minimum(best_HW, logits_HW), out=second_HW)
        np.maximum(best_HW, logits_HW, out=best_HW)
    return np.asarray(best_HW - second_HW)


def _logits_session(path: Path) -> Any | None:
    probe = with_logits_output(read_model(path))
    if probe is None:
        return None
    try:
        return open_session(probe)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise BadInput(f"onnxruntime refused {path} with its logits as an output ({error}). Export it again.") from None
