"""Whether an engine gives the network's masks at the other sizes of its profiles, where no test image may lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardedge.console import progress_bar
from hardedge.contracts import Profile, Verdict
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.parity.batch_slots import tile_image
from hardedge.deploy.parity.network_masks import Margins, NetworkMasks
from hardedge.deploy.runner import Runner
from hardedge.errors import BadInput, first_line

# of the clear pixels: INT8's coarse steps move a few of these where activations are others than calibration's
LEAST_CLEAR = 0.99
# times the pixels of a test image: more may not fit the memory of this machine
MOST_PIXELS_RATIO = 16

Size = tuple[int, int]


@dataclass
class ImageSizes:
    """The (height, width) that were run, the smallest share of clear pixels that agree, and what was not run."""

    sizes: list[Size] = field(default_factory=list)
    clear: float | None = None
    worst: str = ""
    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def status(self) -> Verdict:
        """Fails where the engine refuses a size of its profiles, or too many clear pixels are of another class."""
        return "fail" if self.refused or (self.clear is not None and self.clear < LEAST_CLEAR) else "pass"

    def __str__(self) -> str:
        run = ", ".join(f"{height}x{width}" for height, width in self.sizes)
        said = [f"refused: {reason}" for reason in self.refused]
        if self.clear is not None:
            said.append(
                f"at {run} at least {self.clear:.3%} of the clear pixels are of the class that model.onnx gives them"
                f"{f' ({self.worst})' if self.clear < 1 else ''}"
            )
        said += [f"not run: {reason}" for reason in self.left_out]
        return "; ".join(said) or "no size was run"


def check_image_sizes(
    bundle: OpenBundle, profiles: tuple[Profile, ...], runner: Runner, precision: str, network: NetworkMasks
) -> ImageSizes:
    """Runs a golden image, tiled, at each profile's smallest, typical and largest size, against model.onnx.

    Compared are the clear pixels, whose top-2 margin is above the image's median and above rounding. Sizes that
    model.onnx takes long for, or does not take itself, and far larger ones than the test images are left out and told.
    """
    found, golden_HWC = ImageSizes(), bundle.golden_image(bundle.manifest.golden[0])
    most = MOST_PIXELS_RATIO * golden_HWC.shape[0] * golden_HWC.shape[1]
    for size, batch in progress_bar(list(_sizes(profiles).items()), "sizes"):
        if size[0] * size[1] > most:
            found.left_out.append(f"{size[0]}x{size[1]}, more than {MOST_PIXELS_RATIO} times a test image's pixels")
            continue
        if network.takes_long(size):
            found.left_out.append(f"{size[0]}x{size[1]}, which takes model.onnx minutes on a CPU")
            continue
        image_HWC = tile_image(golden_HWC, size)
        try:
            known = network.of(image_HWC)
        except BadInput as error:
            found.left_out.append(first_line(error))
            continue
        if known is None:
            found.left_out.append("model.onnx has no argmax over channels, so no margins")
            break
        _compare(found, image_HWC, batch, known, runner, network.rounding(known[1], precision))
    return found


def _compare(
    found: ImageSizes, image_HWC: Pixels, batch: int, known: tuple[Pixels, Margins], runner: Runner, rounding: float
) -> None:
    expected_HW, margins_HW = known
    height, width = expected_HW.shape
    try:
        mask_HW = runner.masks(np.repeat(image_HWC[None], batch, axis=0))[0]
    except BadInput as error:
        found.refused.append(f"{height}x{width}: {first_line(error)}")
        return
    found.sizes.append((height, width))
    if mask_HW.shape != expected_HW.shape:
        found.refused.append(f"{height}x{width}: the mask is {mask_HW.shape[0]}x{mask_HW.shape[1]}")
        return
    # at least the clearest pixel: of an image of one colour all margins are the median
    clear_HW = margins_HW >= max(float(np.median(margins_HW)), min(rounding, float(margins_HW.max())))
    share = float(np.mean(mask_HW[clear_HW] == expected_HW[clear_HW]))
    if found.clear is None or share < found.clear:
        found.clear, found.worst = share, f"{height}x{width}"


def _sizes(profiles: tuple[Profile, ...]) -> dict[Size, int]:
    """Each profile's smallest, typical and largest size, once, with the smallest batch of the first that has it."""
    sizes: dict[Size, int] = {}
    for profile in profiles:
        for _, height, width in (profile.min, profile.opt, profile.max):
            sizes.setdefault((height, width), profile.min[0])
    return sizes
