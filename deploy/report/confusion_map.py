"""Which class is taken for which: the largest confusions as a table, all of them as a map that the script draws."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Report
from hardedge.deploy.parity.confusions import Confusions
from hardedge.deploy.parity.image_counts import ImageCounts
from hardedge.deploy.report.findings import reference_of
from hardedge.metrics import Counts
from hardedge.pages.markup import (
    Section,
    chip,
    html_table,
    join_markup,
    note_line,
    number_text,
    section,
    tag,
)

TITLE: Final = "Confusions"
LISTED: Final = 15  # confusions of the table
IMAGES: Final = 5  # of a confusion, those where it has the most pixels
DRAWN: Final = 6000  # confusions of the map, the largest
ABSENT: Final = (
    "Not recorded: reports keep which class is taken for which since 2026-11-30. Make it again: hardedge verify"
)
LEGEND: Final = (
    "Share: of the pixels labelled with the first class, those predicted as the second. "
    "Point at the map or walk it with the arrow keys; a click or Enter lists the images in which it happens most."
)


def confusions_section(report: Report, counts: ImageCounts | None, shown: Collection[str]) -> Section:
    """The first engine's confusions, or the reference's where none ran; `shown` are the images to link to."""
    if counts is None or counts.reference_confusions is None:
        return section(TITLE, note_line(ABSENT))
    if counts.engine_confusions:
        run, found, parts_NC3 = report.parity[0], counts.engine_confusions[0], counts.engines[0]
        whose = f"{run.target} {run.precision}"
    else:
        found, parts_NC3, whose = counts.reference_confusions, counts.reference_NC3, reference_of(report)
    order = pairs_by_pixels(found, report.task.num_classes)
    if not len(order):
        return section(TITLE, note_line(f"{whose}: no labelled pixel has another class than its label's."))
    ids = [image.id for image in counts.images[: len(parts_NC3)]]
    images = images_of_pairs(found, order[:DRAWN])
    labelled_C = parts_NC3[..., 1].sum(0)
    rows = [
        confusion_row(report, labelled_C, row, [image_link(ids[image], shown) for image in most])
        for row, most in zip(order[:LISTED].tolist(), images, strict=False)
    ]
    head = ("labelled", "predicted", "pixels", "share", "most in")
    caption = f"The largest confusions of {whose}"
    drawn = confusion_data(report, parts_NC3.sum(0), order[:DRAWN], images, ids)
    place = tag("div", class_="heat", data_confusions=json.dumps(drawn, separators=(",", ":")), data_whose=whose)
    return section(TITLE, note_line(LEGEND), place, html_table(caption, head, rows, numeric=(2, 3), sortable=True))


def pairs_by_pixels(found: Confusions, classes: int) -> npt.NDArray[np.int64]:
    """Label, predicted class and pixels of every pair that is confused, int64 [P, 3], the largest first."""
    total_CC = found.total(classes)
    label_P, predicted_P = np.nonzero(total_CC)
    pixels_P = total_CC[label_P, predicted_P]
    order = np.argsort(-pixels_P, kind="stable")
    return np.stack((label_P, predicted_P, pixels_P), axis=-1)[order]


def images_of_pairs(found: Confusions, pairs_P3: npt.NDArray[np.int64]) -> list[list[int]]:
    """For each pair the images in which it has the most pixels, five at most."""
    key_K = found.pairs_K2[:, 0].astype(np.int64) * 256 + found.pairs_K2[:, 1]
    order = np.lexsort((found.images(), -found.pixels_K, key_K))
    keys, images = key_K[order], found.images()[order]
    first_P = np.searchsorted(keys, pairs_P3[:, 0] * 256 + pairs_P3[:, 1])
    last_P = np.searchsorted(keys, pairs_P3[:, 0] * 256 + pairs_P3[:, 1], side="right")
    return [images[a : min(a + IMAGES, b)].tolist() for a, b in zip(first_P, last_P, strict=True)]


def confusion_row(report: Report, labelled_C: Counts, pair: Sequence[int], links: Sequence[str]) -> tuple[str, ...]:
    label, predicted, pixels = pair
    classes = report.task.classes
    return (
        tag("span", chip(classes[label]), classes[label].name),
        tag("span", chip(classes[predicted]), classes[predicted].name),
        number_text(pixels, 0),
        number_text(100 * pixels / int(labelled_C[label]), 2, "%"),
        join_markup(links, ", "),
    )


def image_link(id: str, shown: Collection[str]) -> str:
    """An image's name, a link where the page shows it."""
    return tag("a", id, href=f"#image-{id}") if id in shown else id


def confusion_data(
    report: Report,
    parts_C3: Counts,
    pairs_P3: npt.NDArray[np.int64],
    images: Sequence[Sequence[int]],
    ids: Sequence[str],
) -> dict[str, object]:
    """What the script draws: names, pixels hit, labelled and predicted, pairs with their images, an order."""
    used = sorted({image for shown in images for image in shown})
    places = {image: place for place, image in enumerate(used)}
    return {
        "names": [info.name for info in report.task.classes],
        "parts": parts_C3.tolist(),
        "pairs": [[*pair, *(places[i] for i in shown)] for pair, shown in zip(pairs_P3.tolist(), images, strict=True)],
        "ids": [ids[image] for image in used],
        "grouped": order_by_confusion(parts_C3, pairs_P3),
    }


def order_by_confusion(parts_C3: Counts, pairs_P3: npt.NDArray[np.int64]) -> list[int]:
    """The classes in an order that puts those side by side that are taken for each other most.

    Chains are joined end to end, the closest pair first; closeness is the share of both classes' pixels that is
    confused, in both directions.
    """
    label_P, predicted_P, pixels_P = pairs_P3.T
    size_P = np.maximum(parts_C3[label_P, 1] + parts_C3[predicted_P, 1], 1)
    close: dict[tuple[int, int], float] = {}
    for label, predicted, share in zip(
        label_P.tolist(), predicted_P.tolist(), (pixels_P / size_P).tolist(), strict=True
    ):
        key = (min(label, predicted), max(label, predicted))
        close[key] = close.get(key, 0.0) + share
    chains = {index: [index] for index in range(len(parts_C3))}
    for one, other in sorted(close, key=lambda key: (-close[key], key)):
        a, b = chains[one], chains[other]
        if a is b or one not in (a[0], a[-1]) or other not in (b[0], b[-1]):
            continue
        joined = (a if a[-1] == one else a[::-1]) + (b if b[0] == other else b[::-1])
        for index in joined:
            chains[index] = joined
    seen: dict[int, None] = {}
    for chain in chains.values():
        seen.update(dict.fromkeys(chain))
    return list(seen)
