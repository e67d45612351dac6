"""An import's record, and the tables that a person reads: what was read, merged, dropped, ignored, and why."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from hardedge.contracts import Import, ImportedImage, ImportedLabel, ImportedSplit, ImportNote, sha256_of
from hardedge.data.dataset import SPLITS
from hardedge.data.importing.classes import DROPPED, IGNORED, Plan
from hardedge.data.importing.pairs import Written
from hardedge.data.importing.source import Found, Options
from hardedge.data.importing.splits import Division, Splitting
from hardedge.version import __version__

DONE = ("read", "merged", "ignored", "dropped", "overlapped", "changed", "kept together", "leaking")


def record_of(
    format: str,
    source: Path,
    written: Sequence[Written],
    division: Division,
    plan: Plan,
    options: Options,
    splitting: Splitting,
    found: Found,
) -> Import:
    """Of the images that were written now; of a data set that grew, the splits are those of the new images."""
    _count_overlaps(written, plan, found)
    return Import(
        format=format,
        source=str(source),
        hardedge=__version__,
        options=_given(options) | _given(splitting),
        files={_below(path, source): sha256_of(path) for path in dict.fromkeys(found.files)},
        labels=_labels(written, plan),
        notes=_notes(found.notes, len(written)),
        images=_images(written, division),
        splits=_splits(written, division, plan),
        pixels=_pixels(written, plan),
    )


def _given(options: Options | Splitting) -> dict[str, str]:
    """What the user said, by the field's name; what is as without it is left out."""
    fields = dataclasses.fields(options)
    plain = type(options)()
    return {
        field.name: _text(getattr(options, field.name))
        for field in fields
        if getattr(options, field.name) != getattr(plain, field.name)
    }


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join("=".join(entry) if isinstance(entry, tuple) else str(entry) for entry in value)
    return ",".join(f"{key}={entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)


def _below(path: Path, source: Path) -> str:
    root = source if source.is_dir() else source.parent
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _count_overlaps(written: Sequence[Written], plan: Plan, found: Found) -> None:
    names = {index: entry.name for index, entry in enumerate(plan.task.classes)} | {IGNORED: "ignored pixels"}
    overlaps: Counter[tuple[int, int]] = Counter()
    for each in written:
        overlaps.update(each.overlapped)
    for (below, above), count in overlaps.items():
        over = names.get(above, "unlabelled pixels")
        found.note("overlapped", f"pixel of {names[below]}", f"by {over}, painted later", count)


def _labels(written: Sequence[Written], plan: Plan) -> tuple[ImportedLabel, ...]:
    regions: Counter[str] = Counter()
    for each in written:
        regions.update(each.regions)
    return tuple(
        ImportedLabel(
            label=label,
            becomes=None if becomes in (IGNORED, DROPPED) else plan.task.classes[becomes].name,
            how=_how(becomes),
            regions=regions[label],
        )
        for label, becomes in plan.becomes.items()
    )


def _how(becomes: int) -> Literal["class", "ignored", "dropped"]:
    return "ignored" if becomes == IGNORED else "dropped" if becomes == DROPPED else "class"


def _notes(notes: Counter[tuple[str, str, str]], images: int) -> tuple[ImportNote, ...]:
    rows = [ImportNote(done="read", what="image", count=images, why="")]
    for done, what, why in sorted(notes, key=lambda note: (DONE.index(note[0]), note[1:])):
        rows.append(ImportNote(done=done, what=what, count=notes[done, what, why], why=why))
    return tuple(rows)


def _images(written: Sequence[Written], division: Division) -> tuple[ImportedImage, ...]:
    return tuple(
        ImportedImage(
            id=each.id,
            name=each.sample.name,
            image_sha256=each.picture.sha256 if each.picture else "",
            mask_sha256=each.mask_sha256,
            split=split,  # type: ignore[arg-type]  # one of the three
            group=group,
        )
        for each, split, group in zip(written, division.splits, division.groups, strict=False)
    )


def _splits(written: Sequence[Written], division: Division, plan: Plan) -> tuple[ImportedSplit, ...]:
    rows = []
    for split in SPLITS:
        inside = [place for place in range(len(written)) if division.splits[place] == split]
        present = np.array([written[place].pixels[: plan.task.num_classes] > 0 for place in inside], bool)
        counts = present.reshape(len(inside), plan.task.num_classes).sum(0).tolist()
        groups = len({division.groups[place] for place in inside})
        classes = {entry.name: count for entry, count in zip(plan.task.classes, counts, strict=True)}
        rows.append(ImportedSplit(name=split, images=len(inside), groups=groups, classes=classes))
    return tuple(rows)


def _pixels(written: Sequence[Written], plan: Plan) -> dict[str, int]:
    total = np.stack([each.pixels for each in written] or [np.zeros(256, np.int64)]).sum(0)
    named = {entry.name: int(total[index]) for index, entry in enumerate(plan.task.classes)}
    return {**named, "": int(total[IGNORED])}


def described(record: Import, out: Path) -> str:
    """The tables of an import as text."""
    images = sum(split.images for split in record.splits)
    lines = [f"{out}: {images} images from {record.source} ({record.format}), {len(record.files)} files of labels"]
    lines += ["", *_label_table(record), "", *_note_table(record), "", *_split_table(record)]
    return "\n".join(
        [*lines, "", f"See it with: hardedge check {out}", f"Train on it: hardedge run --data {out} --out runs/first"]
    )


def _label_table(record: Import) -> list[str]:
    total = max(sum(record.pixels.values()), 1)
    rows = [("label", "class", "regions")]
    rows += [(entry.label, entry.becomes or f"({entry.how})", f"{entry.regions:,}") for entry in record.labels]
    shares = [("class", "pixels", "%")]
    shares += [
        (name or "(ignored)", f"{count:,}", f"{100 * count / total:.2f}") for name, count in record.pixels.items()
    ]
    return [*_aligned(rows), "", *_aligned(shares)]


def _note_table(record: Import) -> list[str]:
    return _aligned([("what", "", "count", "why"), *((n.done, n.what, f"{n.count:,}", n.why) for n in record.notes)], 2)


def _split_table(record: Import) -> list[str]:
    names = [name for name in record.pixels if name]
    head = ("images with", *(split.name for split in record.splits))
    rows = [(name, *(str(split.classes[name]) for split in record.splits)) for name in names]
    sums = [(what, *(str(getattr(split, what)) for split in record.splits)) for what in ("images", "groups")]
    return _aligned([head, *rows, *sums])


def _aligned(rows: Sequence[tuple[str, ...]], numeric: int | None = None) -> list[str]:
    """Columns of one width; numbers to the right, from the second column on unless `numeric` names the one."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]

    def cell(text: str, place: int) -> str:
        right = place == numeric if numeric is not None else text[:1].isdigit() or rows[-1][place][:1].isdigit()
        return text.rjust(widths[place]) if right and place else text.ljust(widths[place])

    return ["  " + "  ".join(cell(text, place) for place, text in enumerate(row)).rstrip() for row in rows]
