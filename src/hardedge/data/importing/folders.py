"""What the readers look for in a folder: documents that look right, images, masks that belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from hardedge.data.importing.names import split_named
from hardedge.data.importing.source import Found

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
ENDINGS = (
    *("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_annotation", "_labelTrainIds"),
    *("-mask", "-label", "-gt", "-seg", ".mask", ".label", "_L", "_P"),
)
_HEAD = 1 << 16


def files_in(root: Path, suffixes: tuple[str, ...], depth: int = 8) -> Iterator[Path]:
    """The files below a folder with one of the suffixes, in order; hidden ones are left out."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if depth:
                yield from files_in(path, suffixes, depth - 1)
        elif path.suffix.lower() in suffixes:
            yield path


def documents_in(source: Path, suffix: str, *words: str, depth: int = 2) -> list[Path]:
    """The source itself, or the text files below it, whose beginning and end together have all the words."""
    paths = [source] if source.is_file() else files_in(source, (suffix,), depth)
    return [path for path in paths if path.suffix.lower() == suffix and all(word in _ends(path) for word in words)]


def any_document(source: Path, suffix: str, *words: str, depth: int = 2, looked: int = 50) -> bool:
    """Whether one of the first documents below the source has all the words."""
    paths = [source] if source.is_file() else files_in(source, (suffix,), depth)
    first = [path for path, _ in zip(paths, range(looked), strict=False)]
    return any(path.suffix.lower() == suffix and all(word in _ends(path) for word in words) for path in first)


def _ends(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            size = path.stat().st_size
            file.seek(max(len(head), size - _HEAD))
            return (head + file.read()).decode("utf-8", "replace")
    except OSError:
        return ""


def first_folder(root: Path, *names: str) -> Path | None:
    """The first of the folders that is there."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def base_folders(root: Path, document: Path) -> tuple[Path, ...]:
    """Where a document's images may lie: beside it, in the source, in images/, in a folder that its name ends with."""
    tops = (document.parent, root, root / "images")
    split = split_named([document.stem])
    inner = [
        folder
        for top in dict.fromkeys(tops)
        if top.is_dir()
        for folder in sorted(top.iterdir())
        if folder.is_dir() and (document.stem.endswith(folder.name) or (split and split_named([folder.name]) == split))
    ]
    return tuple(dict.fromkeys((*inner, *tops)))


def split_of(path: Path, root: Path) -> str | None:
    """The split that a file's folders below the source say."""
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return split_named(folders)


def paired(images: Iterable[str], masks: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The mask of each image, by their paths without suffix, and the masks of no image.

    A mask has its image's name, or that name with an ending such as _mask, _label, _gt.
    """
    left = set(masks)
    pairs = {}
    for image in images:
        found = next((name for name in (image, *(f"{image}{ending}" for ending in ENDINGS)) if name in left), None)
        if found is not None:
            pairs[image] = found
            left.discard(found)
    return pairs, sorted(left)


def by_stem(folder: Path, suffixes: tuple[str, ...], found: Found | None = None) -> dict[str, Path]:
    """The files below a folder by their path in it, without suffix; a fault for two of one name."""
    files: dict[str, Path] = {}
    for path in files_in(folder, suffixes):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if files.setdefault(name, path) != path and found:
            found.fault(path, f"same name as {files[name].name}. Rename one of them, or take it away")
    return files
