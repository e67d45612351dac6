"""`hardedge hard`: which images a trained network finds hard, and which labels it doubts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.console import progress_bar
from hardedge.contracts import Checkpoint, Task, load, to_json, write_atomically
from hardedge.data.dataset import SPLITS
from hardedge.data.decoding import IMAGE_SUFFIXES, Pixels, read_image
from hardedge.data.native import images_in
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_paths, optional_path
from hardedge.train.branches import Training
from hardedge.train.evaluation import device_of, evaluation_mode, network_input, resize_logits
from hardedge.train.hard.gallery import gallery_html
from hardedge.train.hard.lists import Box, DoubtedLabel, HardImage, Ranking
from hardedge.train.hardness_maps import hardness_of, load_trained

FILE: Final = "hard.json"
WINDOW: Final = 4  # the hardest part shown of an image: a quarter of its height and width

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What the network says of one image: hardness and probabilities, float32 at the label's size."""

    hardness_HW: Floats
    probability_CHW: Floats


def rank_hard(
    data: StrPath,
    checkpoint: StrPath,
    out: StrPath,
    *,
    splits: Sequence[str] = SPLITS,
    unlabelled: StrPath | None = None,
    smallest: int = 64,
    shown: int = 48,
    force: bool = False,
    allow_code: bool = False,
) -> Ranking:
    """Ranks a data set's images and labels, and the images of a folder without labels; writes OUT/hard.json and .html.

    Regions of fewer than `smallest` pixels are left out; the gallery shows the first `shown` of each list. Raises
    BadInput when checkpoint, data or folder cannot be used or do not fit, when `out` exists (unless `force`), and for a
    network of a user's own (unless `allow_code`).
    """
    data, checkpoint, out = local_paths((data, checkpoint, out))
    unlabelled = optional_path(unlabelled)
    require_free(out, force, [path for path in (data, checkpoint, unlabelled) if path])
    source, dataset = load(Checkpoint, checkpoint), open_dataset(data)
    if source.task != dataset.task:
        ours, theirs = (", ".join(info.name for info in task.classes) for task in (dataset.task, source.task))
        raise BadInput(f"{checkpoint} was trained on other classes ({theirs}) than {data} has ({ours}).")
    extra = images_of(unlabelled) if unlabelled else []
    training = load_trained(source, checkpoint, allow_code=allow_code)
    images: list[HardImage] = []
    labels: list[DoubtedLabel] = []
    with disk_errors(), staged_directory(out, force=force) as directory, evaluation_mode(training):
        todo = [(split, id) for split in splits for id in dataset.splits[split]]
        for split, id in progress_bar(todo, "looking at the labelled images"):
            image_HWC, label_HW = dataset.pair(id)
            seen = infer_hardness(training, image_HWC, label_HW.shape)
            images.append(hard_image(id, split, seen))
            labels += doubted_labels(id, split, seen, label_HW, dataset.task, smallest)
        for path in progress_bar(extra, "looking at the images without labels"):
            image_HWC = read_image(path)
            images.append(hard_image(str(path), None, infer_hardness(training, image_HWC, image_HWC.shape[:2])))
        ranking = Ranking(
            checkpoint=source.digest,
            data=dataset.name,
            hardness=source.hardness,
            images=tuple(sorted(images, key=lambda image: -image.hardness)),
            labels=sort_by_doubt(labels),
        )
        write_atomically(directory / FILE, to_json(ranking).encode())
        page = gallery_html(ranking, dataset, shown)
        write_atomically(directory / "hard.html", page.encode())
    return ranking


def images_of(folder: Path) -> list[Path]:
    """The images in a folder; raises BadInput when there is none."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder. Give a folder with images.")
    found = images_in(folder)
    if not found:
        raise BadInput(f"{folder} has no {', '.join(IMAGE_SUFFIXES)} file. Give a folder with images.")
    return found


def infer_hardness(training: Training, image_HWC: Pixels, size: tuple[int, ...]) -> Seen:
    """The network's answer at (height, width)."""
    outputs = training(network_input(image_HWC, device_of(training)))
    logits_BCHW = resize_logits(outputs["logits"].float(), size)
    hardness_HW = hardness_of({**outputs, "logits": logits_BCHW}, size)
    return Seen(hardness_HW.cpu().numpy(), torch.softmax(logits_BCHW, 1)[0].cpu().numpy())


def hard_image(id: str, split: str | None, seen: Seen) -> HardImage:
    mean = float(seen.hardness_HW.mean(dtype=np.float64))
    return HardImage(id=id, split=split, hardness=mean, box=hardest_window(seen.hardness_HW))


def hardest_window(hardness_HW: Floats) -> Box:
    """The window of a quarter of the height and width whose mean is highest."""
    height, width = (max(1, length // WINDOW) for length in hardness_HW.shape)
    sums_HW = np.pad(hardness_HW.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    windows_HW = (
        sums_HW[height:, width:] - sums_HW[:-height, width:] - sums_HW[height:, :-width] + sums_HW[:-height, :-width]
    )
    top, left = np.unravel_index(int(windows_HW.argmax()), windows_HW.shape)
    return int(top), int(left), height, width


def doubted_labels(
    id: str, split: str, seen: Seen, label_HW: Pixels, task: Task, smallest: int
) -> Iterator[DoubtedLabel]:
    """Every labelled region of an image, with what the network holds against it."""
    from skimage.measure import label as connected
    from skimage.measure import regionprops

    labelled_HW = label_HW != task.ignore_index
    own_HW = np.where(labelled_HW, label_HW, 0)
    mine_HW = np.take_along_axis(seen.probability_CHW, own_HW[None].astype(np.int64), axis=0)[0]
    distance_HW = seen.probability_CHW.max(0) - mine_HW
    predicted_HW = seen.probability_CHW.argmax(0)
    # background is a value that no label has: class 0 is a class
    regions_HW = connected(np.where(labelled_HW, label_HW.astype(np.int32), -1), background=-1, connectivity=1)
    for region in regionprops(regions_HW):
        if region.area < smallest:
            continue
        rows_N, columns_N = region.coords.T
        hardness_N, distance_N = seen.hardness_HW[rows_N, columns_N], distance_HW[rows_N, columns_N]
        top, left, bottom, right = region.bbox
        predicted = int(np.bincount(predicted_HW[rows_N, columns_N]).argmax())
        yield DoubtedLabel(
            id=id,
            split=split,
            label=task.classes[int(label_HW[rows_N[0], columns_N[0]])].name,
            predicted=task.classes[predicted].name,
            box=(top, left, bottom - top, right - left),
            pixels=len(rows_N),
            hardness=float(hardness_N.mean()),
            disagreement=float(distance_N.mean()),
            doubt=0.0,  # known when all regions are: by_doubt
        )


def sort_by_doubt(labels: Sequence[DoubtedLabel]) -> tuple[DoubtedLabel, ...]:
    """The regions with their doubt, the most doubtful first."""
    of_class: dict[str, list[float]] = defaultdict(list)
    for label in labels:
        of_class[label.label].append(label.disagreement)
    usual = {name: fmean(values) for name, values in of_class.items()}
    judged = [replace(label, doubt=label.disagreement - usual[label.label]) for label in labels]
    return tuple(sorted(judged, key=lambda label: -label.doubt))
