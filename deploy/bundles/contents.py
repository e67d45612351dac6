"""What a bundle holds beside its models: golden images, reference masks and stored hardness."""

from __future__ import annotations

from pathlib import Path

from hardedge.contracts import Bundle
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels, read_image, read_mask
from hardedge.errors import BadInput, faults_error


def require_same_data(bundle: Bundle, data: Dataset) -> None:
    """Raises BadInput unless the data set has the classes, test images and labels that the reference run read."""
    if data.task != bundle.task:
        raise BadInput(f"{data.root} has other classes than the bundle was made with. Give the data set of its export.")
    faults = []
    for image in bundle.reference.images:
        if not data.has(image.id):
            faults.append(f"{image.id}: no such image, or no mask of it")
            continue
        paths, expected = (
            (data.image_path(image.id), data.mask_path(image.id)),
            (image.image_sha256, image.label_sha256),
        )
        for path, digest, found in zip(paths, expected, data.fingerprint(image.id), strict=True):
            if found is None:
                faults.append(f"{path.relative_to(data.root)}: missing")
            elif found != digest:
                faults.append(f"{path.relative_to(data.root)}: another file than the reference run read (sha256)")
    if faults:
        shown = [*faults[:10], f"and {len(faults) - 10} more"] if len(faults) > 10 else faults
        raise faults_error(f"{data.root} is not the data of this bundle", shown, "Give the data set of its export.")


def stored_mask(path: Path, like_HW: Pixels, num_classes: int) -> Pixels:
    """A mask of the bundle, uint8 [H, W]; raises BadInput when it has another size, or values that are no class."""
    mask_HW = read_mask(path)
    if mask_HW.shape != like_HW.shape:
        raise BadInput(f"{path} is {mask_HW.shape}, its image {like_HW.shape}. Export the bundle again.")
    if mask_HW.max() >= num_classes:
        raise BadInput(f"{path} has class {mask_HW.max()}, the bundle {num_classes}. Export it again.")
    return mask_HW


def stored_hardness(directory: Path, id: str, label_HW: Pixels) -> Pixels | None:
    """The stored hardness of a test image, uint8 [H, W], 255 the hardest; None where export found none."""
    path = directory / "reference" / "hardness" / f"{id}.png"
    if not path.is_file():
        return None
    hardness_HW = read_mask(path)
    if hardness_HW.shape != label_HW.shape:
        raise BadInput(f"{path} is {hardness_HW.shape}, its label {label_HW.shape}. Export the bundle again.")
    return hardness_HW


def golden_image(directory: Path, id: str) -> Pixels:
    """A golden image, uint8 [H, W, 3] RGB."""
    return read_image(directory / "golden" / "images" / f"{id}.png")
