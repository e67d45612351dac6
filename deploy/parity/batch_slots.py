"""Whether an engine gives an image the same mask in every slot of every batch that its profiles allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hardedge.console import progress_bar
from hardedge.contracts import Profile, Verdict, find_profile
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.parity.compare import run_mask
from hardedge.deploy.parity.network_masks import NetworkMasks
from hardedge.deploy.runner import Runner

EVERY = 4  # batch sizes up to here are all run; of larger ones the profile's smallest, typical and largest
IMAGES = 3  # different ones in a batch: two would hide an order that is turned round
LEAST_AGREEMENT = 0.999

Batch = tuple[int, int, int]


@dataclass
class BatchSlots:
    """The batches that were run as (batch, height, width), the masks compared, and what the changed ones have changed.

    `agreement` is the smallest share of equal pixels in a mask. `margin` is the largest top-2 margin of a pixel that
    changed, `allowed` what is taken for rounding in its image; both None where nothing changed or no logits are known.
    """

    batches: list[Batch] = field(default_factory=list)
    masks: int = 0
    changed: int = 0
    pixels: int = 0
    agreement: float = 1.0
    margin: float | None = None
    allowed: float | None = None
    worst: str = ""

    @property
    def status(self) -> Verdict:
        """Fails where a mask has too many other pixels, or one that no rounding explains."""
        beyond = self.margin is not None and self.allowed is not None and self.margin > self.allowed
        return "fail" if self.agreement < LEAST_AGREEMENT or beyond else "pass"

    def __str__(self) -> str:
        if not self.masks:
            return "no batch was run: no size is in the profiles"
        sizes = ", ".join("x".join(map(str, size)) for size in self.batches)
        if not self.changed:
            return f"{self.masks} masks in batches of {sizes} equal those of the images alone"
        known = "unknown margins" if self.margin is None else f"a top-2 margin of up to {self.margin:.3g}"
        limit = "" if self.allowed is None else f" (rounding explains {self.allowed:.3g})"
        return (
            f"{self.changed} of {self.masks} masks in batches of {sizes} differ from those of the images alone, in "
            f"{self.pixels} pixels with {known}{limit}; at worst {self.agreement:.3%} of the pixels agree "
            f"({self.worst})"
        )


def check_batch_slots(
    bundle: OpenBundle, profiles: tuple[Profile, ...], runner: Runner, precision: str, network: NetworkMasks
) -> BatchSlots:
    """Runs golden images in every slot of every batch size of each profile, and compares each mask with its own alone.

    The images take every place, stand in the opposite order, and one image fills the batch. A profile that no golden
    image lies in gets them tiled. Raises what the runner raises.
    """
    found, check = BatchSlots(), _Check(bundle, runner, precision, network)
    for batch in progress_bar(list(dict.fromkeys(_batches(bundle, profiles))), "batches"):
        found.batches.append(batch)
        check.run(batch, _least_batch(profiles, batch), found)
    return found


@dataclass
class _Check:
    bundle: OpenBundle
    runner: Runner
    precision: str
    network: NetworkMasks
    _alone: dict[tuple[str, Batch], Pixels] = field(default_factory=dict)

    def run(self, batch: Batch, least: int, found: BatchSlots) -> None:
        """All arrangements of one batch size."""
        images = {id: tile_image(self.bundle.golden_image(id), batch[1:]) for id in self._ids(batch)}
        for placed in _arrangements(list(images), batch[0]):
            masks_BHW = self.runner.masks(np.stack([images[id] for id in placed]))
            for slot, id in enumerate(placed):
                place = f"{id} in slot {slot + 1} of {'x'.join(map(str, batch))}"
                self._compare(masks_BHW[slot], self._mask_alone(id, images[id], least), images[id], place, found)

    def _ids(self, batch: Batch) -> tuple[str, ...]:
        """Golden images of that size, of one size in any case."""
        golden = self.bundle.manifest.golden
        fitting = tuple(id for id in golden if self.bundle.golden_image(id).shape[:2] == batch[1:])
        return (fitting or golden)[:IMAGES]

    def _mask_alone(self, id: str, image_HWC: Pixels, least: int) -> Pixels:
        """The image's mask alone; where a profile has no batch of one, in the smallest, filled with it."""
        key = (id, (least, *image_HWC.shape[:2]))
        if key not in self._alone:
            classes = self.bundle.manifest.task.num_classes
            if least == 1:
                self._alone[key] = run_mask(self.runner, image_HWC, id, classes)
            else:
                self._alone[key] = self.runner.masks(np.repeat(image_HWC[None], least, axis=0))[0]
        return self._alone[key]

    def _compare(self, mask_HW: Pixels, alone_HW: Pixels, image_HWC: Pixels, place: str, found: BatchSlots) -> None:
        found.masks += 1
        if mask_HW.shape != alone_HW.shape:
            found.changed, found.agreement, found.worst = found.changed + 1, 0.0, place
            return
        changed_HW = mask_HW != alone_HW
        count = int(np.count_nonzero(changed_HW))
        if not count:
            return
        found.changed, found.pixels = found.changed + 1, found.pixels + count
        share = 1 - count / changed_HW.size
        if share < found.agreement:
            found.agreement, found.worst = share, place
        known = self.network.of(image_HWC)
        if known is None:
            return
        margin, allowed = float(known[1][changed_HW].max()), self.network.rounding(known[1], self.precision)
        if found.margin is None or found.allowed is None or margin / allowed > found.margin / found.allowed:
            found.margin, found.allowed = margin, allowed


def tile_image(image_HWC: Pixels, size: tuple[int, int]) -> Pixels:
    """An image of (height, width): the given one beside and below itself, cut."""
    rows, columns = (-(-length // side) for length, side in zip(size, image_HWC.shape[:2], strict=True))
    return np.ascontiguousarray(np.tile(image_HWC, (rows, columns, 1))[: size[0], : size[1]])


def _arrangements(ids: list[str], batch: int) -> Iterator[list[str]]:
    """The images in every slot, in the opposite order, and one of them in all slots."""
    for turn in range(len(ids)):
        yield [ids[(slot + turn) % len(ids)] for slot in range(batch)]
    if batch > 1:
        yield [ids[-slot % len(ids)] for slot in range(batch)]
        yield [ids[0]] * batch


def _batches(bundle: OpenBundle, profiles: tuple[Profile, ...]) -> Iterator[Batch]:
    """Every batch size of each profile, in a size of images that this profile is the first to hold."""
    golden = [bundle.golden_image(id).shape[:2] for id in bundle.manifest.golden]
    for place, profile in enumerate(profiles):
        low, high = profile.min[0], profile.max[0]
        inner = range(low, min(high, EVERY) + 1)
        for batch in sorted({low, profile.opt[0], high, *inner}):
            sides = (*golden, profile.opt[1:], profile.max[1:], profile.min[1:])
            shapes = [(batch, height, width) for height, width in sides]
            yield from [shape for shape in shapes if find_profile(profiles, shape) == place][:1]


def _least_batch(profiles: tuple[Profile, ...], batch: Batch) -> int:
    """The smallest batch of this size of images that a profile holds."""
    sizes = [profile.min[0] for profile in profiles if profile.holds((profile.min[0], *batch[1:]))]
    return min(sizes)
