"""Scribbles drawn from full masks: what a person would have drawn, for experiments with weak labels."""

import numpy as np
import numpy.typing as npt

from hardedge.artefact import staged_directory
from hardedge.console import progress_bar
from hardedge.data.decoding import Pixels
from hardedge.data.opening import open_dataset
from hardedge.data.sharded_dataset import ShardedDataset
from hardedge.errors import BadInput, missing_extra
from hardedge.paths import StrPath, local_path

Flags = npt.NDArray[np.bool_]

SMALLEST = 16  # pixels of a region that gets a scribble
DEPTH = 0.5


def write_scribbles(root: StrPath) -> float:
    """Draws root/scribbles/ID.png for every training image, 3 pixels wide; returns the labelled share in 0..1.

    Raises BadInput when the data set cannot be used or has scribbles already, Unavailable without scikit-image.
    """
    root = local_path(root)
    try:
        import skimage  # noqa: F401  # asked for before any work
    except ImportError:
        raise missing_extra("scikit-image", "train") from None
    from PIL import Image

    dataset = open_dataset(root)
    if isinstance(dataset, ShardedDataset):
        raise BadInput(f"{root} is in shards, and scribbles lie beside masks. Draw them before prepare.")
    labelled, pixels = 0, 0
    with staged_directory(root / "scribbles", force=None) as fresh:
        for id in progress_bar(dataset.splits["train"], "scribbles"):
            scribble_HW = draw_scribbles(dataset.mask(id), dataset.task.ignore_index)
            labelled += int((scribble_HW != dataset.task.ignore_index).sum())
            pixels += scribble_HW.size
            Image.fromarray(scribble_HW).save(fresh / f"{id}.png")
    return labelled / pixels


def draw_scribbles(mask_HW: Pixels, ignore_index: int) -> Pixels:
    """The mask along the inner part of each region's skeleton, `ignore_index` elsewhere.

    Inner is what is at least half as far from the region's border as its deepest point. Regions of fewer than 16 pixels
    get none.
    """
    from skimage.measure import label, regionprops

    scribble_HW = np.full_like(mask_HW, ignore_index)
    # 0 is the background of `label`
    regions_HW = label(np.where(mask_HW == ignore_index, 0, mask_HW.astype(np.int32) + 1), connectivity=1)
    for region in regionprops(regions_HW):
        if region.area >= SMALLEST:
            box_HW = mask_HW[region.slice]
            scribble_HW[region.slice][_inner_skeleton(region.image)] = box_HW[region.image][0]
    return scribble_HW


def _inner_skeleton(region_HW: Flags) -> Flags:
    from scipy.ndimage import binary_dilation, distance_transform_edt
    from skimage.morphology import skeletonize

    padded_HW = np.pad(region_HW, 1)
    depth_HW = distance_transform_edt(padded_HW)
    line_HW = skeletonize(padded_HW) & (depth_HW >= DEPTH * depth_HW.max())
    wide_HW: Flags = binary_dilation(line_HW, np.ones((3, 3), bool)) & padded_HW
    return wide_HW[1:-1, 1:-1]
