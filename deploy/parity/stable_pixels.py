"""Stable pixels: those whose two best classes lie further apart than the logits' measured error could bring together.

A logit that errs by at most e moves a margin by at most 2 e. The error is measured on a few images and bounds nothing,
so the stable pixels that changed their class all the same are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Bundle, StablePixels
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.parity.subset import compared_ids
from hardedge.errors import BadInput
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, with_logits_output

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StableProbe:
    """The FP32 network with its logits as an output, and for each precision the logits' error."""

    session: Any
    errors: Mapping[str, float]
    ids: frozenset[str]

    def of(self, id: str, image_HWC: Pixels) -> dict[str, Mask]:
        """The stable pixels of a test image for each precision, bool [H, W]; empty where margins are not computed."""
        if id not in self.ids:
            return {}
        margin_HW = margins_of(self.session, image_HWC)
        # in float64: a bundle's own number may be larger than a float32 takes
        return {name: margin_HW > np.float64(2 * error) for name, error in self.errors.items()}


def open_stable_probe(bundle: OpenBundle, precisions: Collection[str]) -> StableProbe | None:
    """The probe for up to 64 test images and each precision whose logit error is known; None without any.

    Margins are those of model.onnx in onnxruntime on the CPU. Raises BadInput when it does not run.
    """
    errors = {name: error for name in precisions if (error := logit_error(bundle.manifest, name)) is not None}
    session = _logits_session(bundle.model_path("fp32")) if errors else None
    if session is None:
        return None
    images = [image.id for image in bundle.manifest.reference.images]
    ids = compared_ids(images, bundle.manifest.model("fp32").census.multiply_adds)
    return StableProbe(session, errors, frozenset(ids))


def logit_error(bundle: Bundle, precision: str) -> float | None:
    """The largest logit difference from torch that export measured; None for a precision that it did not measure."""
    if precision == "fp32":
        return bundle.logit_difference
    conversion = bundle.model(precision).conversion
    return bundle.logit_difference + conversion.agreement.logit_difference if conversion else None


def count_stable(stable_HW: Mask, equal_HW: Mask) -> npt.NDArray[np.int64]:
    """One image's pixels, stable pixels, changed pixels, and changed ones that are stable: int64 [4]."""
    parts = (stable_HW.size, stable_HW.sum(), (~equal_HW).sum(), (stable_HW & ~equal_HW).sum())
    return np.array(parts, np.int64)


def sum_stable(counts: Sequence[npt.NDArray[np.int64]], logit_error: float) -> StablePixels:
    """The share of stable pixels, and how many changed, over the images that count_stable counted."""
    pixels, stable, changed, flips = (int(total) for total in np.sum(counts, axis=0))
    return StablePixels(
        logit_error=logit_error,
        images=len(counts),
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
