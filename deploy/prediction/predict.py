"""Masks and overlays of a user's images and videos, from a bundle alone or with an engine of it."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hardedge.artefact import require_free, staged_directory, write_whole
from hardedge.console import note, progress_bar
from hardedge.contracts import Task
from hardedge.data.decoding import read_image
from hardedge.data.palette import overlay
from hardedge.deploy.bundles.loading import OpenBundle, engine_of, load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.machine import usable_cores
from hardedge.deploy.media.images import CURE, ImageInputs, first_faults, usable_inputs
from hardedge.deploy.media.video import Video, VideoOutput, VideoWriter, files_written, mask_png
from hardedge.deploy.prediction.threads import prefetch, prefetch_in_one_thread, write_behind
from hardedge.deploy.segmenter import Segmenter, of_bundle, of_engine
from hardedge.errors import BadInput, faults_error
from hardedge.paths import StrPath, local_paths, optional_path

Pixels = npt.NDArray[np.uint8]
MOST_THREADS: Final = 4  # that decode, and as many that write


class Pictured(Protocol):
    """What has pixels, uint8 [H, W, 3] RGB."""

    @property
    def image_HWC(self) -> Pixels: ...  # noqa: N802  a shape suffix, as everywhere


P = TypeVar("P", bound=Pictured)


@dataclass(frozen=True)
class Picture:
    """An image file that was decoded."""

    path: Path
    image_HWC: Pixels


@dataclass
class PredictJob:
    """One run: what segments, where to, and what could not be read so far."""

    segmenter: Segmenter
    task: Task
    out: Path
    video: VideoOutput
    faults: list[str] = field(default_factory=list)


def predict(
    bundle: StrPath,
    inputs: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    engine: StrPath | None = None,
    target: str | None = None,
    trust: Trust | None = None,
    video: VideoOutput = "overlay",
    force: bool = False,
) -> list[Path]:
    """Writes `out`/masks/ID.png (palette PNG of class indices) and `out`/overlays/ID.jpg; returns what was made.

    `inputs` are image files, folders of images, and video files, of which come `out`/overlays/NAME.mp4 or
    `out`/masks/NAME/ (`video`). They run in onnxruntime, or in an `engine` of the bundle. Pixels are used as they are
    stored, as in training: grey and palette images become RGB, transparency is dropped, and an EXIF rotation is not
    applied (a note on stderr tells); an overlay video is turned as a player would show its source.

    Raises BadInput for an altered or untrusted bundle and, all together and before any work, for inputs that are
    missing or of one name, and where none can be used; Unavailable when the target cannot run here. Images of another
    depth or of a size that no profile of the bundle holds, and images and frames that turn out to be unreadable, are
    left out and told at the end, with BadInput. Whatever ends the work, what was finished until then is in `out`.
    """
    bundle, out = local_paths((bundle, out))
    engine = optional_path(engine)
    inputs = local_paths(inputs)
    require_free(out, force, [bundle, *inputs, *([engine] if engine else [])])
    source = load_bundle(bundle, trust)
    found = usable_inputs(inputs, source.manifest.profiles)
    done = 0
    with (
        closing(open_segmenter(source, engine, target)) as segmenter,
        staged_and_kept(out, force) as partial,
    ):
        job = PredictJob(segmenter, source.manifest.task, partial, video, [*found.left_out])
        began = time.perf_counter()
        for _ in progress_bar(segment_all(job, found), "segmenting", found.expected or None):
            done += 1
        if job.faults and not done:
            raise unreadable_error(job.faults, "nothing was written")
        seconds = time.perf_counter() - began
    note(f"{done} images in {seconds:.1f} s: {done / seconds:.1f} images/s, decoding and writing included")
    if job.faults:
        raise unreadable_error(job.faults, f"the other {done} are in {out}")
    return _results(found, out, video)


def open_segmenter(bundle: OpenBundle, engine: Path | None, target: str | None, *, threads: int = 0) -> Segmenter:
    """The bundle's network in onnxruntime (so many threads, 0: as many as cores), or in an engine made from it."""
    if engine is None:
        return of_bundle(bundle, target, threads)
    engine_of(bundle, engine)
    return of_engine(engine, target, bundle.trust)


@contextmanager
def staged_and_kept(out: Path, force: bool) -> Iterator[Path]:
    """As staged; but what is there when the block ends badly becomes `out` too, and the person is told."""
    failure: BaseException | None = None
    with staged_directory(out, force=force) as partial:
        for folder in ("masks", "overlays"):
            (partial / folder).mkdir()
        try:
            yield partial
        except BaseException as error:
            finished = [path for path in partial.rglob("*") if path.is_file()]
            if not finished:
                raise
            failure = error
    if failure is not None:
        note(f"It ended early. What was finished is in {out}: {len(finished)} files.")
        raise failure


def segment_all(job: PredictJob, inputs: ImageInputs) -> Iterator[object]:
    """Everything, one after another as it is written."""
    threads = min(usable_cores(), MOST_THREADS)
    if inputs.images:
        pictures = prefetch(inputs.images, _read, threads)
        yield from write_behind(
            with_masks(job.segmenter, skip_unreadable(pictures, job.faults)), image_writer(job), threads
        )
    for video in inputs.videos:
        yield from _video_segmented(job, video)


def _video_segmented(job: PredictJob, video: Video) -> Iterator[object]:
    with closing(VideoWriter(video.path.stem, video.rate, job.task, job.out, job.video)) as writer:
        frames = prefetch_in_one_thread(video.frames())
        yield from write_behind(with_masks(job.segmenter, frames), lambda result: writer.write(*result), 1)
    job.faults += [f"{video.path}, {fault}" for fault in video.faults]


def with_masks(segmenter: Segmenter, pictures: Iterable[P]) -> Iterator[tuple[P, Pixels]]:
    """Each picture with its mask; the network is asked for one picture more than it has given back."""
    waiting: deque[P] = deque()

    def batches() -> Iterator[Pixels]:
        for picture in pictures:
            waiting.append(picture)
            yield picture.image_HWC[None]

    for masks_BHW in segmenter.stream(batches()):
        yield waiting.popleft(), masks_BHW[0]


def _read(path: Path) -> Picture | str:
    try:
        return Picture(path, read_image(path))
    except BadInput as error:
        return str(error)


def skip_unreadable(pictures: Iterable[Picture | str], faults: list[str]) -> Iterator[Picture]:
    """The pictures; what was wrong with the others goes to `faults`."""
    for picture in pictures:
        if isinstance(picture, str):
            faults.append(picture)
        else:
            yield picture


def image_writer(job: PredictJob) -> Callable[[tuple[Picture, Pixels]], None]:
    """Writes a picture's mask and overlay into the job's folders."""

    def write(result: tuple[Picture, Pixels]) -> None:
        picture, mask_HW = result
        name = picture.path.stem
        write_whole(job.out / "masks" / f"{name}.png", mask_png(mask_HW, job.task))
        write_whole(job.out / "overlays" / f"{name}.jpg", _jpeg(overlay(picture.image_HWC, mask_HW, job.task)))

    return write


def _jpeg(image_HWC: Pixels) -> bytes:
    from PIL.Image import fromarray

    content = io.BytesIO()
    fromarray(image_HWC).save(content, format="JPEG", quality=90, subsampling=0)
    return content.getvalue()


def _results(inputs: ImageInputs, out: Path, video: VideoOutput) -> list[Path]:
    made = [out / "masks" / f"{path.stem}.png" for path in inputs.images]
    for each in inputs.videos:
        made += files_written(each.path.stem, out, video)
    return made


def unreadable_error(faults: list[str], rest: str) -> BadInput:
    """The error at the end of a run that left something out."""
    return faults_error(
        "not everything could be segmented", first_faults(faults), f"{CURE} Replace what is damaged; {rest}."
    )
