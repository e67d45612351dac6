"""PaddleSeg's lists: train.txt, val.txt and test.txt with an image and its mask a line, classes in labels.txt."""

from __future__ import annotations

import re
from pathlib import Path

from hardedge.data.importing.documents import lines_of
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.names import BadName, ImageFinder
from hardedge.data.importing.rasters import by_table, indexed
from hardedge.data.importing.source import Found, Label, Options, Sample, Source
from hardedge.errors import BadInput

LISTS = re.compile(r"^(train|val|test)(?:_list|list)?\.txt$")


def read(source: Path, options: Options, found: Found) -> Source:
    """Values are lines of labels.txt (or --classes); 255 is ignored. A line without a mask is left out."""
    labels, numbers = _labels(source / "labels.txt", options, found)
    samples: list[Sample] = []
    for path in _lists(source):
        found.files.append(path)
        for number, line in lines_of(path):
            try:
                sample = _sample(line, path, numbers, source, options, found)
                samples += [sample] if sample else []
            except BadName as error:
                found.fault(f"{path}:{number}", error)
    if not samples and not found.faults:
        raise BadInput(f"{source} has no list with images and masks (train.txt, val.txt, test.txt), as PaddleSeg has.")
    return Source(labels=labels, samples=tuple(samples))


def _lists(source: Path) -> list[Path]:
    return [path for path in sorted(source.glob("*.txt")) if LISTS.match(path.name)]


def _labels(path: Path, options: Options, found: Found) -> tuple[tuple[Label, ...], dict[int, str]]:
    if options.classes or options.table or not path.is_file():
        return by_table(options)
    found.files.append(path)
    names = [line for _, line in lines_of(path)]
    return tuple(map(Label, names)), dict(enumerate(names))


def _sample(
    line: str, path: Path, numbers: dict[int, str], source: Path, options: Options, found: Found
) -> Sample | None:
    finder = ImageFinder(source, options.images)
    names = _names(line, source)
    if len(names) == 1:
        found.note("dropped", "image", f"{path.name} gives it no mask")
        return None
    image, mask = finder.find(names[0], source), ImageFinder(source, options.masks).find(names[1], source)
    found.files.append(mask)
    split = LISTS.match(path.name)
    raster = indexed(mask, numbers)
    return Sample(name=names[0], image=image, where=path, raster=raster, split=split[1] if split else None)


def _names(line: str, source: Path) -> list[str]:
    """The names of a line: parted by a tab, or by the space or comma that leaves two files; names may have spaces."""
    if "\t" in line:
        return [name.strip() for name in line.split("\t")]
    places = [match.start() for match in re.finditer(r"[ ,]", line)]
    for place in places:
        names = [line[:place].strip(), line[place + 1 :].strip()]
        if all((source / name.replace("\\", "/")).is_file() for name in names):
            return names
    return line.split(maxsplit=1) if len(line.split()) == 2 else [line]


def known(source: Path) -> bool:
    """A list whose first line names two files, one of them a PNG."""
    for path in _lists(source) if source.is_dir() else ():
        try:
            first = next(iter(lines_of(path)), (0, ""))[1]
        except BadInput:
            continue
        if len(_names(first, source)) == 2 and first.lower().endswith(".png"):
            return True
    return False


PADDLESEG = Format(name="paddleseg", title="PaddleSeg", known=known, read=read, takes=("images", "masks", "table"))
