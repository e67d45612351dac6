"""Whether a data set is the one that a bundle's reference run read."""

from __future__ import annotations

from hardedge.contracts import Bundle
from hardedge.data.dataset import Dataset
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
