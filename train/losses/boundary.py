"""How far each pixel is from the boundaries of its label map; numpy and scipy alone, for data loaders."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

NO_BOUNDARY = 1e5  # pixels: larger than any image, and finite: resizing and cropping leave it what it is


def boundary_distance(target_HW: NDArray[np.integer], ignore_index: int = 255) -> NDArray[np.float32]:
    """The Euclidean distance in pixels of each pixel to the nearest boundary pixel; NO_BOUNDARY in a map without any.

    A boundary pixel differs from its right or its lower neighbour, both labelled; its distance is 0.
    """
    return _distance(differs_from_neighbours(target_HW, target_HW != ignore_index)).astype(np.float32)


def official_boundary_distance(target_HW: NDArray[np.integer], ignore_index: int = 255) -> NDArray[np.float32]:
    """The distance as the release of ABL has it: less 1 and truncated, and every ignored pixel is a boundary."""
    ignored_HW = target_HW == ignore_index
    distance_HW = _distance(differs_from_neighbours(target_HW, np.ones_like(ignored_HW)) | ignored_HW)
    truncated_HW = np.trunc(distance_HW - 1).clip(0)
    return np.where(distance_HW < NO_BOUNDARY, truncated_HW, NO_BOUNDARY).astype(np.float32)


def differs_from_neighbours(target_HW: NDArray[np.integer], counted_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels that differ from their right or lower neighbour, both counted."""
    found_HW = np.zeros(target_HW.shape, bool)
    found_HW[:-1] |= (target_HW[:-1] != target_HW[1:]) & counted_HW[:-1] & counted_HW[1:]
    found_HW[:, :-1] |= (target_HW[:, :-1] != target_HW[:, 1:]) & counted_HW[:, :-1] & counted_HW[:, 1:]
    return found_HW


def _distance(boundary_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not boundary_HW.any():
        return np.full(boundary_HW.shape, NO_BOUNDARY)
    distance_HW: NDArray[np.float64] = distance_transform_edt(~boundary_HW)
    return distance_HW
