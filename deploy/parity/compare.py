"""Parity: a target's masks against the reference run's, on the same test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.console import progress_bar
from hardedge.contracts import Bundle, ClassDrop, ClassParity, Parity, Task
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.parity.detail import parity_detail
from hardedge.deploy.parity.hardness_deciles import LEVELS, hardness_counts, split_into_deciles
from hardedge.deploy.parity.stable_pixels import Mask, StableProbe, count_stable, sum_stable
from hardedge.deploy.runner import Runner
from hardedge.errors import BadInput, Unavailable
from hardedge.metrics import Counts, confusion_counts, hit_labelled_predicted, iou_of_parts
from hardedge.precisions import precision_named
from hardedge.statistics.non_inferiority import ClassDrop as ClassDifference
from hardedge.statistics.non_inferiority import MiouDifference, miou_difference
from hardedge.statistics.score_intervals import score_intervals
from hardedge.statistics.unseen import MAX_UNSEEN, unseen_share

BAND = 3  # px on each side of a label edge
GOLDEN_AGREEMENT = 0.999


@dataclass(frozen=True)
class OpenEngine:
    """An engine that runs here."""

    target: str
    precision: str
    runner: Runner

    def __str__(self) -> str:
        return f"{self.target} {self.precision}"


def compare_with_reference(
    bundle: OpenBundle,
    data: Dataset,
    engines: Sequence[OpenEngine],
    probe: StableProbe | None,
    max_unseen: float = MAX_UNSEEN,
    watch: Callable[["TestImage", Pixels], None] | None = None,
) -> list[tuple[Parity, Counts] | str]:
    """Runs the test split through all engines, image by image, and judges each one's masks against the reference's.

    Returns with each the engine's confusion counts int64 [N, C, C]; for one that failed on the first image, the reason.
    The data set must have passed require_same_data. Nothing passes where more than `max_unseen` percent of such images
    can be of a kind that none of these is. A device that is lost, or memory that runs out, ends an engine with the
    images before. `watch` sees each image with the first engine's mask. Raises BadInput when a mask has another size
    than its label, or values that are no class, and when the reference's stored counts are not those of its masks and
    the labels.
    """
    tallies = [_Tally(engine, bundle.manifest.task) for engine in engines]
    reference: list[Counts] = []
    for image in progress_bar(bundle.manifest.reference.images, f"parity of {', '.join(map(str, engines))}"):
        if tallies and all(tally.lost for tally in tallies):
            break
        item = TestImage.of(bundle, data, probe, image.id)
        _require_golden(bundle, item)
        reference.append(item.counts(item.reference_HW, bundle.manifest.task))
        masks = [tally.add(item) for tally in tallies]
        if watch and masks and masks[0] is not None:
            watch(item, masks[0])
    _require_stored_counts(bundle, reference)
    errors = probe.errors if probe else {}
    judge = partial(_judged, bundle, reference_NCC=np.stack(reference), errors=errors, max_unseen=max_unseen)
    seen = [np.any(reference[: len(tally.counts)]) for tally in tallies]
    return [
        judge(tally) if any_labelled else tally.lost or "no labelled test images"
        for tally, any_labelled in zip(tallies, seen, strict=True)
    ]


def _require_stored_counts(bundle: OpenBundle, reference: Sequence[Counts]) -> None:
    for image, found, stored in zip(bundle.manifest.reference.images, reference, bundle.counts, strict=False):
        if not np.array_equal(found, stored):
            raise BadInput(
                f"{bundle.directory}: the stored counts of {image.id} are not those of its reference mask and its "
                "label. The bundle was altered: export it again."
            )


def _require_golden(bundle: OpenBundle, item: "TestImage") -> None:
    if item.id not in bundle.manifest.golden:
        return
    mask_HW = bundle.golden_mask(item.id, item.reference_HW)
    if not np.array_equal(bundle.golden_image(item.id), item.image_HWC) or not np.array_equal(
        mask_HW, item.reference_HW
    ):
        raise BadInput(
            f"{bundle.directory}: golden {item.id} is not the test image of that name, or its mask is not the "
            "reference's. The bundle was altered: export it again."
        )


@dataclass(frozen=True)
class TestImage:
    """A test image, decoded once for all engines."""

    id: str
    image_HWC: Pixels
    label_HW: Pixels
    reference_HW: Pixels
    hardness_HW: Pixels | None
    stable: Mapping[str, Mask]

    @classmethod
    def of(cls, bundle: OpenBundle, data: Dataset, probe: StableProbe | None, id: str) -> "TestImage":
        image_HWC, label_HW = data.pair(id)
        reference_HW = bundle.reference_mask(id, label_HW)
        stable = probe.of(id, image_HWC) if probe else {}
        return cls(id, image_HWC, label_HW, reference_HW, bundle.hardness(id, label_HW), stable)

    def counts(self, mask_HW: Pixels, task: Task) -> Counts:
        return confusion_counts(mask_HW, self.label_HW, task.num_classes, task.ignore_index)


@dataclass
class _Tally:
    """What is counted of an engine on every image; `lost` says why it ended early."""

    engine: OpenEngine
    task: Task
    counts: list[Counts] = field(default_factory=list)
    agreements: list[npt.NDArray[np.int64]] = field(default_factory=list)
    by_hardness: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((4, LEVELS), np.int64))
    stable: list[npt.NDArray[np.int64]] = field(default_factory=list)
    lost: str | None = None

    def add(self, item: TestImage) -> Pixels | None:
        """Counts an image; returns the engine's mask of it, None once it was lost."""
        if self.lost:
            return None
        classes, ignored = self.task.num_classes, self.task.ignore_index
        try:
            mask_HW = run_mask(self.engine.runner, item.image_HWC, item.id, classes)
        except (Unavailable, MemoryError) as error:
            self.lost = str(error or "out of memory")
            return None
        self.counts.append(item.counts(mask_HW, self.task))
        self.agreements.append(agreement(mask_HW, item.reference_HW, item.label_HW, classes, ignored))
        if item.hardness_HW is not None:
            job = (item.hardness_HW, mask_HW, item.reference_HW, item.label_HW)
            self.by_hardness += hardness_counts(*job, ignored)
        stable_HW = item.stable.get(self.engine.precision)
        if stable_HW is not None:
            self.stable.append(count_stable(stable_HW, mask_HW == item.reference_HW))
        return mask_HW


def _judged(
    bundle: OpenBundle, tally: _Tally, reference_NCC: Counts, errors: Mapping[str, float], max_unseen: float
) -> tuple[Parity, Counts]:
    target_NCC, manifest, engine = np.stack(tally.counts), bundle.manifest, tally.engine
    golden, lost = None, None
    if tally.lost:
        lost = f"broken off after {len(target_NCC)} of {len(manifest.reference.images)} images: {tally.lost}"
    else:
        try:
            golden = golden_agreement(bundle, engine.runner)
        except (Unavailable, MemoryError) as error:
            lost = f"broken off at the golden images: {error}"
    reference_NCC = reference_NCC[: len(target_NCC)]
    margin = precision_named(engine.precision).margin
    found = miou_difference(reference_NCC, target_NCC, margin, max_unseen=max_unseen)
    unequal, names = _unequal(tally.agreements), [info.name for info in manifest.task.classes]
    judged = [each for each, counts in zip(tally.agreements, reference_NCC, strict=True) if counts.any()]
    shares = _shares(np.sum(tally.agreements, axis=0))
    parity = Parity(
        target=engine.target,
        precision=engine.precision,
        images=len(target_NCC),
        miou_reference=found.miou_reference,
        miou=found.miou,
        difference=found.difference,
        interval=found.interval,
        margin=margin,
        status="inconclusive" if lost else found.status,
        detail=lost or parity_detail(found, margin, _unequal(judged), max_unseen, names),
        pixel_agreement=shares[-2] or 0.0,
        boundary_agreement=1.0 if shares[-1] is None else shares[-1],
        golden_agreement=golden,
        per_class=_per_class(manifest, reference_NCC, target_NCC, found, shares),
        deciles=split_into_deciles(tally.by_hardness),
        stable=sum_stable(tally.stable, errors[engine.precision]) if tally.stable else None,
        differing=unequal,
        unseen=unseen_share(found.images),
        worst=_worst_class(found, names),
        intervals=score_intervals(hit_labelled_predicted(target_NCC), names),
        labelled=found.images,
    )
    return parity, target_NCC


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


def golden_agreement(bundle: OpenBundle, runner: Runner) -> float:
    """The share of pixels that the golden images' masks have in common with the stored ones, 0..1."""
    equal = pixels = 0
    for id in progress_bar(bundle.manifest.golden, "golden images"):
        mask_HW = run_mask(runner, bundle.golden_image(id), id, bundle.manifest.task.num_classes)
        stored_HW = bundle.golden_mask(id, mask_HW)
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
    reference_C3, target_C3 = (hit_labelled_predicted(counts.sum(0)) for counts in (reference_NCC, target_NCC))
    reference_C, target_C = 100 * iou_of_parts(reference_C3), 100 * iou_of_parts(target_C3)
    return tuple(
        ClassParity(
            name=info.name,
            reference=None if np.isnan(reference_C[index]) else float(reference_C[index]),
            target=None if np.isnan(target_C[index]) else float(target_C[index]),
            pixel_agreement=shares[index],
            p_worse=found.p_worse[index],
            labelled=int(reference_C3[index, 1]),
            predicted_reference=int(reference_C3[index, 2]),
            predicted=int(target_C3[index, 2]),
            **_ends(found.classes[index]),
        )
        for index, info in enumerate(bundle.task.classes)
    )


def _ends(drop: ClassDifference | None) -> dict[str, Any]:
    """A class's fields of the report that are null for a class in no label."""
    names = ("difference", "low", "high", "images", "differing")
    return {name: getattr(drop, name) for name in names} if drop else {}
