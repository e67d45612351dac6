"""The page of `hardedge hard`: what to label next, and where labels are likely wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels, read_image
from hardedge.data.palette import palette_image
from hardedge.pages.markup import Markup, chip, join_markup, note_line, number_text, section, tag
from hardedge.pages.page import style
from hardedge.pages.thumbnails import HARDNESS, panel

if TYPE_CHECKING:
    from hardedge.train.hard.lists import Box, DoubtedLabel, HardImage, Ranking

FRAME: Final = (255, 214, 0)
AROUND: Final = 0.5  # of the region's sides are shown beside it
SMALLEST: Final = 96  # px of a shown part


def gallery_html(ranking: Ranking, dataset: Dataset, shown: int) -> str:
    """The page, complete in itself: no script, no request."""
    doubted = [region for region in ranking.labels if region.doubt > 0 and region.predicted != region.label][:shown]
    title = f"Hard: {ranking.data}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style())),
    )
    main = tag(
        "main",
        tag("header", tag("p", f"checkpoint {ranking.checkpoint[:12]}", class_="kicker"), tag("h1", title)),
        note_line(f"Hardness ({HARDNESS[ranking.hardness]}), 0 to 1. All of both lists is in hard.json."),
        images_section(ranking.images[:shown], dataset),
        labels_section(doubted, dataset),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", main), lang="en") + "\n"


def images_section(images: tuple[HardImage, ...], dataset: Dataset) -> Markup:
    figures = [image_figure(place, image, dataset) for place, image in enumerate(images, start=1)]
    why = "The hardest images first: label these next, or more like them. The yellow box marks the hardest area."
    return section("Hard images", note_line(why), tag("div", *figures, class_="panels"))


def image_figure(place: int, image: HardImage, dataset: Dataset) -> Markup:
    from PIL.Image import fromarray

    picture_HWC = read_image(Path(image.id)) if image.split is None else dataset.image(image.id)
    size = picture_HWC.shape[:2] if image.split is None else dataset.mask(image.id).shape
    caption = f"{place}. {image.id} ({image.split or 'no label'}), hardness {number_text(image.hardness, 2)}"
    scaled = tuple(round(value * picture_HWC.shape[i % 2] / size[i % 2]) for i, value in enumerate(image.box))
    return panel(caption, f"{image.id}, its hardest part framed", fromarray(draw_frame(picture_HWC, scaled)))


def labels_section(labels: list[DoubtedLabel], dataset: Dataset) -> Markup:
    why = (
        "Labelled regions that the network confidently calls something else, more so than is usual for their class. It "
        "is right about some of them: look before you mend. The label on the left, the picture on the right."
    )
    figures = [label_figure(place, region, dataset) for place, region in enumerate(labels, start=1)]
    if not figures:
        return section("Doubted labels", note_line("The network agrees with every label."))
    colors = [tag("li", chip(info), info.name) for info in dataset.task.classes]
    legend = tag("ul", *colors, class_="legend", aria_label="Colours of the classes")
    return section("Doubted labels", note_line(why), legend, tag("div", *figures, class_="panels"))


def label_figure(place: int, region: DoubtedLabel, dataset: Dataset) -> Markup:
    from PIL import Image

    picture_HWC, label_HW = dataset.pair(region.id)
    top, left, height, width = surroundings(region.box, label_HW.shape)
    part = np.s_[top : top + height, left : left + width]
    inside = (region.box[0] - top, region.box[1] - left, *region.box[2:])
    colors_HWC = np.asarray(palette_image(label_HW[part].copy(), dataset.task).convert("RGB"))
    both_HWC = np.concatenate([draw_frame(colors_HWC, inside), draw_frame(picture_HWC[part], inside)], axis=1)
    caption = join_markup(
        (
            f"{place}. {region.id} ({region.split}): labelled {region.label}, predicted {region.predicted}; ",
            f"doubt {number_text(region.doubt, 2)}, hardness {number_text(region.hardness, 2)}, {region.pixels} pixels",
        )
    )
    alt = f"{region.id}: a region labelled {region.label} that is predicted {region.predicted}"
    return panel(caption, alt, Image.fromarray(both_HWC))


def surroundings(box: Box, size: tuple[int, ...]) -> Box:
    """The box with its surroundings, inside (height, width)."""
    starts, lengths = [], []
    for start, length, whole in zip(box[:2], box[2:], size, strict=True):
        wanted = min(whole, max(SMALLEST, round(length * (1 + 2 * AROUND))))
        first = min(max(0, start + length // 2 - wanted // 2), whole - wanted)
        starts.append(first)
        lengths.append(wanted)
    return starts[0], starts[1], lengths[0], lengths[1]


def draw_frame(pixels_HWC: Pixels, box: tuple[int, ...]) -> Pixels:
    """A copy with a frame around the box, two pixels wide, inside the picture."""
    top, left, height, width = box
    drawn_HWC = pixels_HWC.copy()
    bottom, right = min(top + height, len(drawn_HWC)), min(left + width, drawn_HWC.shape[1])
    for rows, columns in (
        (slice(top, top + 2), slice(left, right)),
        (slice(max(0, bottom - 2), bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 2)),
        (slice(top, bottom), slice(max(0, right - 2), right)),
    ):
        drawn_HWC[rows, columns] = FRAME
    return drawn_HWC
