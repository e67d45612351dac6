"""The network's own masks: model.onnx in onnxruntime on the CPU, with the margin of each pixel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.parity.stable_pixels import logit_error, margins_of
from hardedge.deploy.parity.subset import MULTIPLY_ADDS
from hardedge.errors import BadInput, first_line
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import with_logits_output

# of an image's median margin: sums in another order move a margin by far less
ROUNDING = 0.1

Margins = npt.NDArray[np.float32]


@dataclass
class NetworkMasks:
    """Masks and top-2 margins of images, in logits of model.onnx; each image is run once. Opened when first needed."""

    bundle: OpenBundle
    _session: Any = None
    _known: dict[bytes, tuple[Pixels, Margins]] = field(default_factory=dict)

    def of(self, image_HWC: Pixels) -> tuple[Pixels, Margins] | None:
        """The mask uint8 [H, W] and the margins float32 [H, W]; None where the graph has no argmax over channels.

        Raises BadInput where onnxruntime refuses the image.
        """
        key = hashlib.sha256(image_HWC.tobytes()).digest() + str(image_HWC.shape).encode()
        if key not in self._known and self._open():
            self._known[key] = self._run(image_HWC)
        return self._known.get(key)

    def takes_long(self, size: tuple[int, int]) -> bool:
        """Whether one image of this size (height, width) is more than what takes a minute or so on two cores."""
        _, height, width = self.bundle.manifest.profile.opt
        typical = self.bundle.manifest.model("fp32").census.multiply_adds / (height * width)
        return bool(typical * size[0] * size[1] > MULTIPLY_ADDS)

    def rounding(self, margins_HW: Margins, precision: str) -> float:
        """The margin up to which a pixel may change by rounding, in logits.

        Twice the logits' measured error, or a tenth of the image's median margin where that is more.
        """
        error = logit_error(self.bundle.manifest, precision) or 0.0
        return max(2 * error, ROUNDING * float(np.median(margins_HW)))

    def _open(self) -> bool:
        if self._session is None:
            probe = with_logits_output(read_model(self.bundle.model_path("fp32")))
            self._session = open_session(probe) if probe else False
        return bool(self._session)

    def _run(self, image_HWC: Pixels) -> tuple[Pixels, Margins]:
        try:
            (mask_BHW,) = self._session.run(["mask"], {"image": image_HWC[None]})
            return mask_BHW[0], margins_of(self._session, image_HWC)
        except Exception as error:  # onnxruntime's exceptions have no common base
            height, width = image_HWC.shape[:2]
            raise BadInput(f"model.onnx does not take an image of {height}x{width} ({first_line(error)}).") from None
