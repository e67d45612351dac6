"""What the page shows beside the report itself: pictures and what was counted of single images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardedge.contracts import TrainingCurves
from hardedge.deploy.parity.image_counts import ImageCounts
from hardedge.deploy.report.gallery import Shot
from hardedge.deploy.report.pictures import SamplePictures


@dataclass(frozen=True)
class PageParts:
    """Images in full, the counts of single images, all images of the gallery, what training logged, tune's plot.

    None is what was not recorded; `pareto` is an SVG file.
    """

    samples: Sequence[SamplePictures] = ()
    counts: ImageCounts | None = None
    shots: Sequence[Shot] = ()
    training: TrainingCurves | None = None
    pareto: bytes | None = None

    @property
    def linked(self) -> frozenset[str]:
        """The images that the page has under `#image-ID`."""
        return frozenset(each.id for each in (self.shots or self.samples))
