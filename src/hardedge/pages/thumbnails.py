"""Pictures inside a page: small, as data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

from hardedge.pages.markup import Markup, tag

if TYPE_CHECKING:
    from PIL.Image import Image


WIDEST: Final = 640  # px of an image in the page


HARDNESS: Final = {
    "branch": "as the hardness branch saw it in training",
    "confidence": "1 − the highest class probability",
}


def panel(caption: str, alt: str, image: Image, kind: str | None = None) -> Markup:
    """A captioned image; class colours stay exact, pictures become JPEG. `kind` is one of VIEWS that shows it."""
    exact = image.mode == "P"
    blocky = "blocky" if exact and image.width < WIDEST // 2 else None
    size = {"width": str(image.width), "height": str(image.height)}
    shown = tag("img", src=data_uri(image, exact=exact), alt=alt, class_=blocky, **size)
    return tag("figure", tag("div", shown, class_="image"), tag("figcaption", caption), data_panel=kind)


def data_uri(image: Image, *, exact: bool) -> str:
    """An image as a data URI, at most WIDEST px wide: an `exact` one as PNG with no value mixed, else JPEG."""
    from PIL.Image import Resampling

    if image.width > WIDEST:
        size = WIDEST, max(1, round(image.height * WIDEST / image.width))
        image = image.resize(size, Resampling.NEAREST if exact else Resampling.LANCZOS)
    file = io.BytesIO()
    if exact:
        image.save(file, format="PNG", optimize=True)
    else:
        image.save(file, format="JPEG", quality=86, subsampling=0)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
