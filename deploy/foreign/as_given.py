"""A file as it was given, run in onnxruntime with its pixels prepared and its scores judged outside the graph.

This is the reference that the deployed network is held against: none of its arithmetic is that of the new graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hardedge.data.decoding import Pixels
from hardedge.deploy.foreign.forms import ForeignForm
from hardedge.errors import BadInput, first_line
from hardedge.graphs.files import open_session

if TYPE_CHECKING:
    import onnx

Scores = npt.NDArray[np.float32]

SLACK = 1e-3  # of probabilities in half precision, resized


@dataclass(frozen=True)
class Result:
    """What a file says of one image: its mask uint8 [H, W], and its scores float32 [C, H, W] where it gives any."""

    mask_HW: Pixels
    scores_CHW: Scores | None
    resized: bool


class ReferenceSession:
    """The file in onnxruntime on the CPU."""

    def __init__(self, model: onnx.ModelProto, form: ForeignForm, classes: int, name: str) -> None:
        self._form, self._classes, self._name = form, classes, name
        try:
            self._session: Any = open_session(model)
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise BadInput(f"onnxruntime refused {name} ({first_line(error)}). Export it again.") from None

    def __call__(self, image_HWC: Pixels, id: str) -> Result:
        """One image's mask and scores; raises BadInput for sizes and classes that do not fit."""
        height, width = image_HWC.shape[:2]
        try:
            (found,) = self._session.run([self._form.output], {self._form.input: prepare_image(image_HWC, self._form)})
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise BadInput(
                f"{self._name} does not run on {id}, {height}x{width} ({first_line(error)}). {self._fix()}"
            ) from None
        if not self._form.scores:
            return Result(self._classes_of(found, height, width, id), None, False)
        if found.shape[1] != self._classes:
            raise BadInput(
                f"{self._name}: {found.shape[1]} classes, the data has {self._classes}. "
                "Give the data that it was trained for."
            )
        scores_CHW = np.asarray(found[0], np.float32)
        if not np.isfinite(scores_CHW).all():
            raise BadInput(
                f"{self._name}: its scores of {id} are not finite (NaN or infinite). "
                "Look at --mean, --std and its weights, and export it again."
            )
        resized = scores_CHW.shape[1:] != (height, width)
        if resized:
            scores_CHW = resize_bilinear(scores_CHW, (height, width))
        return Result(scores_CHW.argmax(0).astype(np.uint8), scores_CHW, resized)

    def _classes_of(self, found: npt.NDArray[np.integer[Any]], height: int, width: int, id: str) -> Pixels:
        classes_HW = found[0, 0] if self._form.squeeze else found[0]
        if classes_HW.shape != (height, width):
            found_size = f"{classes_HW.shape[0]}x{classes_HW.shape[1]}"
            raise BadInput(
                f"{self._name}: the mask of {id} is {found_size}, the image {height}x{width}. "
                "Masks cannot be resized as scores can: name the scores with --output, or export another size."
            )
        if classes_HW.min() < 0 or classes_HW.max() >= self._classes:
            wrong = classes_HW.min() if classes_HW.min() < 0 else classes_HW.max()
            raise BadInput(
                f"{self._name}: the mask of {id} has class {wrong}, the data 0-{self._classes - 1}. "
                "Give the data that it was trained for, or name its scores with --output."
            )
        return np.asarray(classes_HW, np.uint8)

    def _fix(self) -> str:
        if self._form.pixels:
            return (
                "A file that takes pixels must take every image's size: export it with open sizes, or resize the data."
            )
        return "Give the size that it takes: --input-size HEIGHTxWIDTH"


def prepare_image(image_HWC: Pixels, form: ForeignForm) -> npt.NDArray[Any]:
    """An image as the file takes it: uint8 [1,H,W,3] pixels, or float32 [1,3,h,w], normalised and resized."""
    if form.channels == "bgr":
        image_HWC = np.ascontiguousarray(image_HWC[..., ::-1])
    if form.pixels:
        return image_HWC[None]
    planes_CHW = image_HWC.astype(np.float32).transpose(2, 0, 1)
    if form.size and form.size != planes_CHW.shape[1:]:
        planes_CHW = resize_bilinear(planes_CHW, form.size)
    mean, std = (255 * np.array(values, np.float32)[:, None, None] for values in (form.mean, form.std))
    return np.asarray((planes_CHW - mean) / std, np.float32)[None]


def resize_bilinear(values_CHW: Scores, size: tuple[int, int]) -> Scores:
    """Values resized to (height, width) bilinearly with half-pixel centres, without antialiasing."""
    rows, columns = (_taps(before, after) for before, after in zip(values_CHW.shape[1:], size, strict=True))
    (top, bottom, down), (left, right, across) = rows, columns
    rows_CHW = values_CHW[:, top] * (1 - down[:, None]) + values_CHW[:, bottom] * down[:, None]
    return np.asarray(rows_CHW[:, :, left] * (1 - across) + rows_CHW[:, :, right] * across, np.float32)


def _taps(before: int, after: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Scores]:
    """For each new place: the two old ones that it lies between, and how far it is from the first."""
    places = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)
    low = places.astype(np.int64)
    return low, np.minimum(low + 1, before - 1), (places - low).astype(np.float32)


def are_probabilities(scores_CHW: Scores) -> bool:
    """Whether the scores are what a softmax gives, as where a network ends in one."""
    total_HW = scores_CHW.sum(0)
    return bool(scores_CHW.min() >= -SLACK and np.abs(total_HW - 1).max() <= SLACK)


def confidence_map(scores_CHW: Scores) -> Pixels:
    """255 * (1 - top probability), uint8 [H, W]: what stands in for hardness where no branch learned it.

    Scores that are probabilities already (0 to 1, of sum 1 in every pixel) are taken as they are, others through a
    softmax.
    """
    top_HW = scores_CHW.max(0)
    share_HW = top_HW if are_probabilities(scores_CHW) else 1 / np.exp(scores_CHW - top_HW).sum(0)
    return np.asarray(np.rint(255 * (1 - share_HW)), np.uint8)


def largest_difference(first: Sequence[Scores], second: Sequence[Scores]) -> float:
    """The largest difference of two lists of scores."""
    return max((float(np.abs(one - other).max()) for one, other in zip(first, second, strict=True)), default=0.0)
