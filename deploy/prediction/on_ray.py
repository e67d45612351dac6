"""Masks of millions of images through Ray Data: on the cores or GPUs of a cluster whose machines share the files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hardedge.artefact import require_free, resumable_directory
from hardedge.console import note, progress_bar
from hardedge.contracts import Contract, read_json, to_json, write_atomically
from hardedge.data.decoding import IMAGE_SUFFIXES
from hardedge.deploy.bundles.loading import engine_of, load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.media.images import first_faults
from hardedge.deploy.media.video import VIDEO_SUFFIXES
from hardedge.deploy.prediction.predict import unreadable_error
from hardedge.deploy.prediction.ray_cluster import cluster, require_ray, require_reachable
from hardedge.deploy.prediction.ray_worker import Labeller, Work, mask_path
from hardedge.deploy.targets import on_nvidia, parse_target
from hardedge.errors import BadInput, HardedgeError, Unavailable, faults_error, first_line
from hardedge.names import LONGEST_STEM, id_fault, quoted
from hardedge.ownership import declare_contents
from hardedge.paths import StrPath, local_paths, optional_path

RECORD: Final = "predicted.json"
UNREADABLE: Final = "unreadable.txt"
MOST_TOGETHER: Final = 64  # images of one task: what is begun again when its worker dies


@dataclass(frozen=True, kw_only=True)
class Predicted(Contract):
    """What the masks of a folder were made with: digests, and the target."""

    bundle: str
    engine: str | None
    target: str


@dataclass(frozen=True, kw_only=True)
class Labelled(Contract):
    """How many masks a run made, how many were there, and how many images could not be read."""

    masks: str
    made: int
    there: int
    unreadable: int


def predict_on_ray(
    bundle: StrPath,
    inputs: StrPath | Sequence[StrPath],
    out: StrPath,
    address: str,
    *,
    engine: StrPath | None = None,
    target: str | None = None,
    trust: Trust | None = None,
    force: bool = False,
) -> Labelled:
    """Writes `out`/masks/ID.png of image files and folders of images, on a Ray cluster or the `local` machine.

    The masks are those of `predict`, without overlays and videos. A mask is whole or not there, and one that is there
    is left alone: run again after whatever ended a run, it makes the others. With `force` an old `out` stays until the
    new one is whole, which is in OUT.next until then. `address` is HOST:PORT, `auto` for the
    cluster of this machine, or `local` for one that ends with the run. A worker that dies is replaced, and its images
    are begun again. Images that cannot be read, or fit no profile, are left out, listed in `out`/unreadable.txt, and
    told at the end with BadInput.

    Raises BadInput for inputs that are missing or of one name, and for `out` with masks of another bundle (unless
    `force`); Unavailable without Ray, a cluster there, or a GPU in it that the target needs.
    """
    bundle, out = local_paths((bundle, out))
    engine = optional_path(engine)
    inputs = local_paths(inputs)
    require_ray()
    source = load_bundle(bundle, trust)
    built = engine_of(source, engine) if engine else None
    record = Predicted(
        bundle=source.manifest.digest,
        engine=built.digest if built else None,
        target=built.target if built else str(parse_target(target or "onnxruntime:cpu")),
    )
    paths = list_images(inputs)
    goes_on = _goes_on(out, record, force, [bundle, *inputs, *([engine] if engine else [])])
    todo = [path for path in paths if not (goes_on and mask_path(out / "masks", path).exists())]
    if todo:
        require_reachable(address)
    new = resumable_directory(out, force=force, worth_keeping=_has_masks)
    with nullcontext(out) if goes_on else new as place:
        _begin(place, record, goes_on)
        work = Work(
            bundle.resolve(), engine.resolve() if engine else None, target, source.trust, (place / "masks").resolve()
        )
        made, faults = _label(work, record, paths, todo, address)
        _list_unreadable(place, faults)
    there = len(paths) - len(todo)
    if faults:
        raise unreadable_error(
            sorted(faults), f"all {len(faults)} are in {out / UNREADABLE}, the other {there + made} in {out}"
        )
    return Labelled(masks=str(out / "masks"), made=made, there=there, unreadable=len(faults))


def _label(work: Work, record: Predicted, paths: list[str], todo: list[str], address: str) -> tuple[int, list[str]]:
    there = len(paths) - len(todo)
    if there:
        note(f"{there} of {len(paths)} masks are in {work.masks.parent}: the others are made")
    began = time.perf_counter()
    results = _run(work, todo, address, gpu=on_nvidia(record.target)) if todo else []
    made, faults = _gather_results(results, len(todo))
    seconds = time.perf_counter() - began
    note(f"{made} images in {seconds:.1f} s: {made / max(seconds, 1e-9):.1f} images/s, Ray's start included")
    return made, faults


def list_images(inputs: Iterable[Path]) -> list[str]:
    """The absolute paths of files, and of folders' images, each name once; nothing is opened.

    Raises BadInput with what is missing, empty, of one name, or a video.
    """
    paths: dict[str, str] = {}
    faults = []
    for given in inputs:
        found = list(_images_in(given)) if given.is_dir() else [_absolute_path(given)] if given.is_file() else []
        if not found:
            faults.append(f"{given}: no .jpg or .png file in it" if given.is_dir() else f"{given}: does not exist")
        for path in found:
            name, suffix = os.path.splitext(os.path.basename(path))  # noqa: PTH119, PTH122  a Path is ten times as large
            if suffix.lower() in VIDEO_SUFFIXES:
                faults.append(f"{path}: a video, which is segmented without --ray")
            elif fault := id_fault(name, LONGEST_STEM):
                faults.append(f"{quoted(path)}: its name {fault}")
            elif paths.setdefault(name, path) != path:
                faults.append(f"{paths[name]}, {path}: both named {name}")
    if faults:
        raise faults_error(
            "the images cannot be used", first_faults(faults), "Correct the paths; masks bear their images' names."
        )
    return list(paths.values())


def _absolute_path(file: Path) -> str:
    """The absolute path of a file, by its own name: of a link not that of what it leads to, which need not be one."""
    return str(file.parent.resolve() / file.name)


def _images_in(folder: Path) -> Iterator[str]:
    with os.scandir(folder.resolve()) as entries:
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith(".") and entry.is_file():
                yield entry.path


def _goes_on(out: Path, record: Predicted, force: bool, inputs: list[Path]) -> bool:
    """Whether an earlier run made masks there with the same; raises BadInput for anything else that is in the way."""
    if force or not (out / RECORD).is_file():
        require_free(out, force, inputs)
        return False
    if read_json(Predicted, out / RECORD) != record:
        raise BadInput(
            f"{out} has masks of another bundle, engine or target. Give another --out, or --force to replace them."
        )
    return True


def _begin(out: Path, record: Predicted, goes_on: bool) -> None:
    if not goes_on:
        out.mkdir(parents=True)
        declare_contents(out, files=(RECORD, UNREADABLE), patterns=("masks/*.png",))
        write_atomically(out / RECORD, to_json(record).encode())
    (out / "masks").mkdir(exist_ok=True)


def _gather_results(results: Iterable[Mapping[str, Any]], images: int) -> tuple[int, list[str]]:
    """How many masks were made, and what could not be read; with a bar that counts images."""
    made, rotated = 0, 0
    faults: list[str] = []

    def each() -> Iterator[object]:
        nonlocal made, rotated
        for result in results:
            made += result["made"]
            rotated += result["rotated"]
            faults.extend(result["faults"])
            yield from range(result["made"] + len(result["faults"]))

    for _ in progress_bar(each(), "segmenting", images):
        pass
    if rotated:
        note(
            f"EXIF rotation is not applied, as in training: {rotated} images. Masks fit the pixels as they are stored."
        )
    return made, faults


def _has_masks(out: Path) -> bool:
    return any((out / "masks").glob("*.png"))


def _list_unreadable(out: Path, faults: list[str]) -> None:
    """Leaves the list of what could not be read, if there is any."""
    (out / UNREADABLE).unlink(missing_ok=True)
    if faults:
        write_atomically(out / UNREADABLE, "".join(f"{fault}\n" for fault in sorted(faults)).encode())


def _run(work: Work, paths: list[str], address: str, *, gpu: bool) -> Iterator[Mapping[str, Any]]:
    """What came of each task, in any order."""
    with cluster(address) as ray:
        resource = "GPU" if gpu else "CPU"
        workers = int(ray.cluster_resources().get(resource, 0))
        if not workers:
            raise Unavailable(f"Ray's cluster {address} has no {resource}. Give a --target that runs there.")
        together = max(1, min(MOST_TOGETHER, len(paths) // (4 * workers)))
        tasks = [json.dumps(paths[start : start + together]) for start in range(0, len(paths), together)]
        made = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
            Labeller,
            fn_constructor_args=(work,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(tasks))),
            num_gpus=1 if gpu else 0,
            num_cpus=0 if gpu else 1,
        )
        try:
            for row in made.iter_rows():
                yield json.loads(row["result"])
        except ray.exceptions.RayError as error:
            raise _root_error(error) from error


def _root_error(error: BaseException) -> HardedgeError | OSError:
    """What ended the work, out of what Ray wrapped it in."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HardedgeError | OSError) and type(cause).__module__ != "ray.exceptions":
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return Unavailable(f"Ray gave up ({first_line(error)}). The masks made so far are kept: run it again to go on.")
