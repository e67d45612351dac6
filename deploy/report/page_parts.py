"""What the page shows beside the report itself: pictures and what was counted of single images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardedge.deploy.parity.image_counts import ImageCounts
from hardedge.deploy.report.gallery import Shot
from hardedge.deploy.report.pictures import SamplePictures


@dataclass(frozen=True)
class PageParts:
    """Images in full, the counts of single images (None: not recorded), and all images of the gallery."""

    samples: Sequence[SamplePictures] = ()
    counts: ImageCounts | None = None
    shots: Sequence[Shot] = ()

    @property
    def linked(self) -> frozenset[str]:
        """The images that the page has under `#image-ID`."""
        return frozenset(each.id for each in (self.shots or self.samples))
