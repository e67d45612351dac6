"""The torch network's own result on the test split, which everything later is measured against."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from hardedge.console import progress_bar
from hardedge.contracts import Reference, ReferenceImage
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels
from hardedge.data.palette import save_mask
from hardedge.errors import BadInput, faults_error
from hardedge.export.graph.agreement import torch_logits
from hardedge.export.graph.pixels_to_mask import PixelsToMask, top_class
from hardedge.metrics import confusion_counts, score_of

SPLIT = "test"
GOLDEN = 8


def write_reference(network: PixelsToMask, dataset: Dataset, out: Path) -> Reference:
    """Runs the network over the test split, an image at a time; writes out/masks/ID.png and out/confusion.npz.

    Raises BadInput for an image or label that cannot be used, when the network does not take an image's size, and when
    no pixel of the split is labelled.
    """
    (out / "masks").mkdir(parents=True)
    images, counts = [], []
    for id in progress_bar(dataset.splits[SPLIT], "reference masks"):
        image_HWC, label_HW = dataset.pair(id)
        mask_HW = mask_from(network, f"test image {id}", image_HWC)
        save_mask(mask_HW, dataset.task, out / "masks" / f"{id}.png")
        counts.append(confusion_counts(mask_HW, label_HW, dataset.task.num_classes, dataset.task.ignore_index))
        image_sha256, label_sha256 = dataset.fingerprint(id)
        assert image_sha256, "decoded above"
        assert label_sha256, "decoded above"
        images.append(ReferenceImage(id=id, image_sha256=image_sha256, label_sha256=label_sha256))
    counts_NCC = np.stack(counts)
    if not counts_NCC.any():
        raise BadInput(f"{dataset.root}, {SPLIT}: no pixel of its masks is labelled. Add labelled images.")
    np.savez_compressed(out / "confusion.npz", counts=counts_NCC)
    return Reference(split=SPLIT, images=tuple(images), score=score_of(counts_NCC.sum(0), dataset.task))


def mask_from(network: PixelsToMask, name: str, image_HWC: Pixels) -> Pixels:
    """The torch network's mask of one image, uint8 [H, W]; raises BadInput when it does not take the image's size."""
    mask_HW: Pixels = top_class(torch_logits(network, name, image_HWC.copy()[None]))[0].numpy()
    return mask_HW


def require_hardness_maps(checkpoint: Path, dataset: Dataset) -> dict[str, Path]:
    """The checkpoint's hardness map of each test image; raises BadInput naming those it does not have."""
    maps = {id: checkpoint / "hardness" / SPLIT / f"{id}.png" for id in dataset.splits[SPLIT]}
    missing = [f"hardness/{SPLIT}/{path.name}: missing" for path in maps.values() if not path.is_file()]
    if missing:
        more = [f"and {len(missing) - 5} more"] if len(missing) > 5 else []
        raise faults_error(
            f"{checkpoint} was trained on other data than {dataset.root}",
            missing[:5] + more,
            "Give the --data that it was trained on, or train it on this data.",
        )
    return maps


def copy_hardness_maps(maps: dict[str, Path], out: Path) -> None:
    """Copies each image's hardness map to out/ID.png."""
    out.mkdir(parents=True)
    for id, path in maps.items():
        shutil.copyfile(path, out / f"{id}.png")


def write_golden(ids: tuple[str, ...], dataset: Dataset, masks: Path, out: Path) -> dict[str, Pixels]:
    """Writes out/images/ID.png and out/masks/ID.png, and returns the images; `masks` holds the reference masks."""
    (out / "images").mkdir(parents=True)
    (out / "masks").mkdir()
    images = {id: dataset.image(id) for id in ids}
    for id, image_HWC in images.items():
        Image.fromarray(image_HWC).save(out / "images" / f"{id}.png")
        shutil.copyfile(masks / f"{id}.png", out / "masks" / f"{id}.png")
    return images
