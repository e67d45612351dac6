"""The built-in data set: procedural street scenes, written in the native folder form."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from hardedge.artefact import disk_errors, staged_directory
from hardedge.console import progress_bar
from hardedge.contracts import ClassInfo, Task
from hardedge.data.dataset import SPLITS
from hardedge.data.palette import save_mask
from hardedge.data.streets.objects import Kind
from hardedge.data.streets.scene import HEIGHT, IGNORED, WIDTH, draw_scene
from hardedge.paths import StrPath, local_path

__all__ = ["HEIGHT", "IMAGES", "TASK", "WIDTH", "draw_scene", "write_streets"]

IMAGES: Mapping[str, int] = {"train": 200, "val": 16, "test": 48}
COLORS = {
    Kind.SKY: (70, 130, 180),
    Kind.BUILDING: (92, 92, 98),
    Kind.TREE: (107, 142, 35),
    Kind.ROAD: (128, 64, 128),
    Kind.PAVEMENT: (226, 96, 216),
    Kind.CAR: (0, 0, 142),
    Kind.PERSON: (220, 20, 60),
    Kind.POLE: (176, 176, 176),
    Kind.SIGN: (232, 212, 0),
}
TASK = Task(
    classes=tuple(ClassInfo(name=kind.name.lower(), color=color) for kind, color in COLORS.items()),
    ignore_index=IGNORED,
)


def write_streets(out: StrPath, *, seed: int = 0, images: Mapping[str, int] | None = None, force: bool = False) -> None:
    """Writes a data set of street scenes; `images` is how many each split gets.

    A seed gives the same pixels on every machine. Raises BadInput when `out` exists (unless `force`).
    """
    out = local_path(out)
    counts = IMAGES if images is None else images
    with disk_errors(), staged_directory(out, force=force) as folder:
        for name in ("images", "masks", "splits"):
            (folder / name).mkdir()
        first = 0
        for split in SPLITS:
            ids = [f"street{index:04d}" for index in range(first, first + counts[split])]
            (folder / "splits" / f"{split}.txt").write_text("".join(f"{id}\n" for id in ids), encoding="utf-8")
            first += len(ids)
        # spawned: a fork of a process that has torch's threads could hang
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            with _born_without_interrupts(), _without_main_module():
                drawn = pool.map(partial(_write_scene, folder, seed), range(first), chunksize=8)
            for _ in progress_bar(drawn, "drawing street scenes", first):
                pass
        _write_classes(folder, seed)


@contextmanager
def _born_without_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, not even while they import: their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Processes that are started here do not run the caller's script again, which need not be made for it."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    hidden: dict[str, object] = {name: vars(main).pop(name) for name in names if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


def _write_scene(folder: Path, seed: int, index: int) -> None:
    from PIL import Image

    id, (image_HWC, mask_HW) = f"street{index:04d}", draw_scene(seed, index)
    Image.fromarray(image_HWC).save(folder / "images" / f"{id}.png", compress_level=1)
    save_mask(mask_HW, TASK, folder / "masks" / f"{id}.png")


def _write_classes(folder: Path, seed: int) -> None:
    classes = [{"name": info.name, "color": list(info.color)} for info in TASK.classes]
    content = {"ignore_index": IGNORED, "classes": classes, "made_by": "hardedge streets", "seed": seed}
    (folder / "classes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
