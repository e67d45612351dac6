"""Whether an engine gives an image the same mask in every slot of every batch that its profiles allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hardedge.console import progress_bar
from hardedge.contracts import Profile
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.parity.compare import run_mask
from hardedge.deploy.runner import Runner

EVERY = 8  # batch sizes up to here are all run; of larger ones the profile's smallest, typical and largest
LEAST_AGREEMENT = 0.999


@dataclass(frozen=True)
class BatchSlots:
    """The batch sizes that were run, the masks compared, and the smallest share of equal pixels in one of them."""

    sizes: tuple[int, ...]
    masks: int
    changed: int
    agreement: float
    worst: str

    def __str__(self) -> str:
        if not self.masks:
            return "no batch was run: the profiles hold one image, or no golden image fits them"
        sizes = ", ".join(map(str, self.sizes))
        if not self.changed:
            return f"{self.masks} masks in batches of {sizes} equal those of the images alone"
        return (
            f"{self.changed} of {self.masks} masks in batches of {sizes} differ from those of the images alone; "
            f"at worst {self.agreement:.3%} of the pixels agree ({self.worst})"
        )


def check_batch_slots(bundle: OpenBundle, profiles: tuple[Profile, ...], runner: Runner) -> BatchSlots:
    """Runs golden images of one size in every slot of every batch size, and compares each mask with its image's alone.

    The images change places from batch to batch, and a batch larger than their number repeats them. Raises what the
    runner raises.
    """
    images = _images_of_one_size(bundle)
    ids, classes = list(images), bundle.manifest.task.num_classes
    alone = {id: run_mask(runner, image_HWC, id, classes) for id, image_HWC in images.items()}
    shape = alone[ids[0]].shape
    sizes = sorted({size for profile in profiles for size in _batch_sizes(profile, shape)} - {1})
    agreements: list[float] = []
    worst: dict[float, str] = {}
    for size in progress_bar(sizes, "batches"):
        for turn in range(len(ids)):
            placed = [ids[(slot + turn) % len(ids)] for slot in range(size)]
            masks_BHW = runner.masks(np.stack([images[id] for id in placed]))
            for slot, id in enumerate(placed):
                share = float(np.mean(masks_BHW[slot] == alone[id])) if masks_BHW[slot].shape == shape else 0.0
                agreements.append(share)
                worst.setdefault(share, f"{id} in slot {slot + 1} of {size}")
    least = min(agreements, default=1.0)
    changed = sum(share < 1 for share in agreements)
    return BatchSlots(tuple(sizes), len(agreements), changed, least, worst.get(least, ""))


def _images_of_one_size(bundle: OpenBundle) -> dict[str, Pixels]:
    """Golden images of the first one's size, two at least where there are: equal images would hide exchanged slots."""
    found: dict[str, Pixels] = {}
    for id in bundle.manifest.golden:
        image_HWC = bundle.golden_image(id)
        if not found or image_HWC.shape == next(iter(found.values())).shape:
            found[id] = image_HWC
        if len(found) == 2:
            break
    return found


def _batch_sizes(profile: Profile, shape: tuple[int, ...]) -> Iterator[int]:
    low, high = (profile.min[0], profile.max[0])
    if not all(
        least <= side <= most for least, side, most in zip(profile.min[1:], shape, profile.max[1:], strict=True)
    ):
        return
    yield from range(low, high + 1) if high <= EVERY else sorted({low, profile.opt[0], high})
