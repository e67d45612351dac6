"""What `hardedge hard` lists: images, doubtful labels, boxes."""

from __future__ import annotations

from dataclasses import dataclass

from hardedge.contracts import Contract, HardnessSource

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class HardImage(Contract):
    """An image by its mean hardness (0 to 1); `box` is its hardest part: top, left, height, width in pixels.

    `split` is None for an image without a label.
    """

    id: str
    split: str | None
    hardness: float
    box: Box


@dataclass(frozen=True, kw_only=True)
class DoubtedLabel(Contract):
    """A labelled region: 4-connected pixels of one class. `hardness` and `disagreement` are means over its pixels.

    `predicted` is the class that most of its pixels get. A pixel's disagreement is the top probability less that of its
    label: 0 where the network agrees. `doubt` orders the list: the disagreement less the mean of the regions with that
    label, so that a class which the network often misses is doubted less. Our reading of confident learning
    (Northcutt et al., arXiv 1911.00068), whose thresholds are the classes' own too.
    """

    id: str
    split: str
    label: str
    predicted: str
    box: Box
    pixels: int
    hardness: float
    disagreement: float
    doubt: float


@dataclass(frozen=True, kw_only=True)
class Ranking(Contract):
    """Images, the hardest first, and labelled regions, the most doubtful first; what they were judged by."""

    checkpoint: str
    data: str
    hardness: HardnessSource
    images: tuple[HardImage, ...]
    labels: tuple[DoubtedLabel, ...]
