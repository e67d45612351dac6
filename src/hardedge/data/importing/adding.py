"""A further import into a data set that an import wrote: what is there stays as it is, what comes is added at once."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardedge.console import progress_bar
from hardedge.contracts import Imports, Task, read_json, sha256_of
from hardedge.data.classes import read_classes
from hardedge.data.decoding import read_mask
from hardedge.data.importing.pairs import Written
from hardedge.data.importing.source import Found
from hardedge.data.importing.splits import Member
from hardedge.data.native import find_images
from hardedge.data.split_lists import read_splits
from hardedge.data.splitting.near_duplicates import fingerprint
from hardedge.errors import BadInput, faults_error

NEW = ".new"


@dataclass(frozen=True)
class Before:
    """The data set as it was: its classes, the imports into it, its images and their files."""

    root: Path
    task: Task
    record: Imports
    members: tuple[Member, ...]
    images: dict[str, Path]

    def placed(self, written: list[Written], folder: Path, found: Found) -> list[Written]:
        """Moves the new pairs beside the old ones; one that is there already is left out, another of its id a fault."""
        digests = {image.id: image.image_sha256 for each in self.record.imports for image in each.images}
        known = {id.casefold(): id for id in self.images}
        kept = []
        for each in written:
            old = known.get(each.id.casefold())
            if old is None:
                kept.append(each)
                continue
            same_mask = sha256_of(self.root / "masks" / f"{old}.png") == each.mask_sha256
            if same_mask and each.picture and digests.get(old) == each.picture.sha256:
                found.note("merged", "image", "it is there already, with the same mask")
            else:
                found.fault(each.sample.where, f"{each.id} is in {self.root} already, with another image or mask")
        if not found.faults:
            for each in kept:
                _move(each.id, folder / NEW, folder)
        shutil.rmtree(folder / NEW)
        return kept


def _move(id: str, new: Path, folder: Path) -> None:
    (new / "masks" / f"{id}.png").replace(folder / "masks" / f"{id}.png")
    image = next(path for path in (new / "images").iterdir() if path.stem == id)
    image.replace(folder / "images" / image.name)


def before_of(root: Path) -> Before | None:
    """What is in the folder; None where there is nothing yet. Raises BadInput for what no import wrote."""
    if not root.exists():
        return None
    if not (root / Imports.FILE).is_file():
        raise BadInput(f"{root} has no {Imports.FILE}: no import wrote it, and --add adds to imports only.")
    record = read_json(Imports, root / Imports.FILE)
    task = read_classes(root).task
    images, faults = find_images(root)
    splits, split_faults = read_splits(root, images.keys())
    if faults or split_faults:
        raise faults_error(f"{root} cannot be added to", [*faults, *split_faults], f"See: hardedge check {root}")
    names = {image.id: image.name for each in record.imports for image in each.images}
    ids = [(id, split) for split, of_split in splits.items() for id in of_split]
    there = progress_bar(ids, "reading what is there")
    members = tuple(_member(root, id, names.get(id, id), split, images, task) for id, split in there)
    return Before(root, task, record, members, images)


def _member(root: Path, id: str, name: str, split: str, images: dict[str, Path], task: Task) -> Member:
    from PIL import Image

    if id not in images:
        raise BadInput(f"{root}/splits/{split}.txt: {id} has no image. See: hardedge check {root}")
    try:
        with Image.open(images[id]) as image:
            known = fingerprint(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{images[id]} cannot be read as an image ({error}). See: hardedge check {root}") from None
    values = np.bincount(read_mask(root / "masks" / f"{id}.png").reshape(-1), minlength=256)
    return Member(id, name, None, values[: task.num_classes] > 0, known, None, placed=split)


@contextmanager
def enlarged(out: Path) -> Iterator[Path]:
    """A folder beside `out` with links to all its files, which takes its place when the block ends well."""
    partial = out.parent / f".{out.name}.partial-{secrets.token_hex(4)}"
    replaced = out.parent / f".{out.name}.replaced-{secrets.token_hex(4)}"
    try:
        shutil.copytree(out, partial, symlinks=True, copy_function=_linked)
        (partial / NEW).mkdir()
        yield partial
        out.rename(replaced)
        try:
            partial.rename(out)
        except OSError:
            replaced.rename(out)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
    return target
