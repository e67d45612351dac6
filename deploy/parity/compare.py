"""Parity: a target's masks against the reference run's, on the same test images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hardedge.console import progress_bar
from hardedge.contracts import Bundle, ClassDrop, ClassParity, Parity, Task
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.contents import golden_image, stored_hardness, stored_mask
from hardedge.deploy.bundles.validity import reference_counts
from hardedge.deploy.parity.detail import parity_detail
from hardedge.deploy.parity.hardness_deciles import LEVELS, hardness_counts, split_into_deciles
from hardedge.deploy.parity.stable_pixels import Mask, StableMaps, count_stable_pixels
from hardedge.deploy.runner import Runner
from hardedge.errors import BadInput, Unavailable
from hardedge.metrics import Counts, confusion_counts, hit_labelled_predicted, iou_of_parts
from hardedge.precisions import precision_named
from hardedge.statistics.non_inferiority import MiouDifference, miou_difference
from hardedge.statistics.unseen import MAX_UNSEEN, unseen_share

BAND = 3  # px on each side of a label edge
GOLDEN_AGREEMENT = 0.999


def compare_with_reference(
    directory: Path,
    bundle: Bundle,
    data: Dataset,
    runner: Runner,
    target: str,
    precision: str,
    stable: StableMaps | None = None,
    max_unseen: float = MAX_UNSEEN,
) -> tuple[Parity, Counts]:
    """Runs the test split and judges its masks; returns the target's confusion counts int64 [N, C, C] with it.

    The data set must have passed require_same_data. Raises BadInput when a mask has another size than its label, or
    values that are no class. Nothing passes where more than `max_unseen` percent of such images can be of a kind that
    none of these is. A device that is lost, or memory that runs out, ends it with the images before;
    MissingHere where there is none.
    """
    tally, lost = _Tally(task=bundle.task), None
    for image in progress_bar(bundle.reference.images, f"parity of {target}"):
        try:
            tally.add(directory, data, runner, image.id, stable.of(image.id) if stable else None)
        except (Unavailable, MemoryError) as error:
            if not tally.counts:
                raise
            lost = f"broken off after {len(tally.counts)} of {len(bundle.reference.images)} images: {error}"
            break
    golden = None
    if lost is None:
        try:
            golden = golden_agreement(directory, bundle, runner)
        except (Unavailable, MemoryError) as error:
            lost = f"broken off at the golden images: {error}"
    target_NCC = np.stack(tally.counts)
    reference_NCC = reference_counts(directory, bundle)[: len(target_NCC)]
    margin = precision_named(precision).margin
    found = miou_difference(reference_NCC, target_NCC, margin, max_unseen=max_unseen)
    unequal, names = _unequal(tally.agreements), [info.name for info in bundle.task.classes]
    shares = _shares(np.sum(tally.agreements, axis=0))
    parity = Parity(
        target=target,
        precision=precision,
        images=len(target_NCC),
        miou_reference=found.miou_reference,
        miou=found.miou,
        difference=found.difference,
        interval=found.interval,
        margin=margin,
        status="inconclusive" if lost else found.status,
        detail=lost or parity_detail(found, margin, unequal, max_unseen, names),
        pixel_agreement=shares[-2] or 0.0,
        boundary_agreement=1.0 if shares[-1] is None else shares[-1],
        golden_agreement=golden,
        per_class=_per_class(bundle, reference_NCC, target_NCC, found, shares),
        deciles=split_into_deciles(tally.by_hardness),
        stable=count_stable_pixels(tally.stable, stable.logit_error) if stable and tally.stable else None,
        differing=unequal,
        unseen=unseen_share(len(target_NCC)),
        worst=_worst_class(found, names),
    )
    return parity, target_NCC


@dataclass
class _Tally:
    """What is counted of every image: confusion, agreement, hardness, and (stable, equal) masks."""

    task: Task
    counts: list[Counts] = field(default_factory=list)
    agreements: list[npt.NDArray[np.int64]] = field(default_factory=list)
    by_hardness: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((4, LEVELS), np.int64))
    stable: list[tuple[Mask, Mask]] = field(default_factory=list)

    def add(self, directory: Path, data: Dataset, runner: Runner, id: str, stable_HW: Mask | None) -> None:
        classes, ignored = self.task.num_classes, self.task.ignore_index
        image_HWC, label_HW = data.pair(id)
        mask_HW = run_mask(runner, image_HWC, id, classes)
        reference_HW = stored_mask(directory / "reference" / "masks" / f"{id}.png", mask_HW, classes)
        self.counts.append(confusion_counts(mask_HW, label_HW, classes, ignored))
        self.agreements.append(agreement(mask_HW, reference_HW, label_HW, classes, ignored))
        hardness_HW = stored_hardness(directory, id, label_HW)
        if hardness_HW is not None:
            self.by_hardness += hardness_counts(hardness_HW, mask_HW, reference_HW, label_HW, ignored)
        if stable_HW is not None:
            self.stable.append((stable_HW, mask_HW == reference_HW))


def run_mask(runner: Runner, image_HWC: Pixels, id: str, num_classes: int) -> Pixels:
    """One image's mask uint8 [H, W]; raises BadInput when it has another size, or values that are no class."""
    mask_HW: Pixels = runner.masks(image_HWC[None])[0]
    if mask_HW.shape != image_HWC.shape[:2]:
        raise BadInput(f"{id}: the mask is {mask_HW.shape}, the image {image_HWC.shape[:2]}. Build the engine again.")
    if mask_HW.max() >= num_classes:
        raise BadInput(f"{id}: the mask has class {mask_HW.max()}, the bundle {num_classes}. Build the engine again.")
    return mask_HW


def agreement(
    mask_HW: Pixels, reference_HW: Pixels, label_HW: Pixels, num_classes: int, ignore_index: int
) -> npt.NDArray[np.int64]:
    """Pixels where two masks agree and pixels compared, int64 [2, C + 2]: by label class, over all, in the band.

    The band is what lies within 3 px of a label edge; unlabelled pixels count in `over all` only.
    """
    equal_HW = mask_HW == reference_HW
    labelled_HW = label_HW != ignore_index
    band_HW = boundary_band(label_HW) & labelled_HW
    rows = []
    for counted_HW in (equal_HW, np.ones_like(equal_HW)):
        classes = np.bincount(label_HW[counted_HW & labelled_HW], minlength=num_classes)
        rows.append([*classes, np.count_nonzero(counted_HW), np.count_nonzero(counted_HW & band_HW)])
    return np.array(rows, np.int64)


def boundary_band(label_HW: Pixels, band: int = BAND) -> npt.NDArray[np.bool_]:
    """Pixels with another label within `band` px, along rows, columns and both (a square neighbourhood)."""
    highest_HW, lowest_HW = label_HW, label_HW
    for axis in (0, 1):
        highest_HW, lowest_HW = _spread(highest_HW, np.maximum, axis, band), _spread(lowest_HW, np.minimum, axis, band)
    return np.asarray(highest_HW != lowest_HW)


def _spread(values_HW: Pixels, extreme: np.ufunc, axis: int, reach: int) -> Pixels:
    along = np.moveaxis(values_HW, axis, 0)
    result = along.copy()
    for step in range(1, min(reach, len(along) - 1) + 1):
        extreme(result[step:], along[:-step], out=result[step:])
        extreme(result[:-step], along[step:], out=result[:-step])
    return np.moveaxis(result, 0, axis)


def golden_agreement(directory: Path, bundle: Bundle, runner: Runner) -> float:
    """The share of pixels that the golden images' masks have in common with the stored ones, 0..1."""
    equal = pixels = 0
    for id in progress_bar(bundle.golden, "golden images"):
        mask_HW = run_mask(runner, golden_image(directory, id), id, bundle.task.num_classes)
        stored_HW = stored_mask(directory / "golden" / "masks" / f"{id}.png", mask_HW, bundle.task.num_classes)
        equal += int(np.count_nonzero(mask_HW == stored_HW))
        pixels += stored_HW.size
    return equal / pixels


def _shares(counts: npt.NDArray[np.int64]) -> list[float | None]:
    return [float(equal / pixels) if pixels else None for equal, pixels in counts.T]


def _unequal(agreements: Sequence[npt.NDArray[np.int64]]) -> int:
    return sum(int(equal[-2] != compared[-2]) for equal, compared in agreements)


def _worst_class(found: MiouDifference, names: Sequence[str]) -> ClassDrop | None:
    worst = found.worst
    return ClassDrop(name=names[worst.index], difference=worst.difference, low=worst.low) if worst else None


def _per_class(
    bundle: Bundle, reference_NCC: Counts, target_NCC: Counts, found: MiouDifference, shares: list[float | None]
) -> tuple[ClassParity, ...]:
    parts = (hit_labelled_predicted(counts.sum(0)) for counts in (reference_NCC, target_NCC))
    reference_C, target_C = (100 * iou_of_parts(each) for each in parts)
    return tuple(
        ClassParity(
            name=info.name,
            reference=None if np.isnan(reference_C[index]) else float(reference_C[index]),
            target=None if np.isnan(target_C[index]) else float(target_C[index]),
            pixel_agreement=shares[index],
            p_worse=found.p_worse[index],
        )
        for index, info in enumerate(bundle.task.classes)
    )
