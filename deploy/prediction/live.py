"""Masks and overlays of a camera's frames, as long as it is asked to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from hardedge.artefact import require_free
from hardedge.console import note, progress_bar
from hardedge.contracts import Contract, Profile, find_profile, profiles_in_words
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.media.camera import Camera, Live
from hardedge.deploy.media.video import VideoOutput, VideoWriter, files_written
from hardedge.deploy.prediction.predict import open_segmenter, staged_and_kept, with_masks
from hardedge.deploy.prediction.threads import write_behind
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_paths, optional_path

NAME: Final = "camera"  # of the files that are written


@dataclass(frozen=True, kw_only=True)
class Recording(Contract):
    """What a camera gave: files, frames in them, those left out to stay in step, damaged ones; and the time it took."""

    made: tuple[str, ...]
    frames: int
    dropped: int
    damaged: int
    seconds: float


def predict_camera(
    bundle: StrPath,
    camera: Camera,
    out: StrPath,
    *,
    frames: int | None = None,
    engine: StrPath | None = None,
    target: str | None = None,
    trust: Trust | None = None,
    video: VideoOutput = "overlay",
    force: bool = False,
) -> Recording:
    """As predict, of a camera's frames: `out`/overlays/camera.mp4, or `out`/masks/camera/, until Ctrl-C or so many.

    The newest frame is taken whenever the network is free; those in between are left out and counted. Times are those
    at which frames came, from the first on.

    Raises Unavailable for a camera that is not there, is used by another program, or disappears, and BadInput for one
    whose size no profile of the bundle holds. Whatever ends the work, what was finished until then is in `out`.
    """
    bundle, out = local_paths((bundle, out))
    engine = optional_path(engine)
    require_free(out, force, [bundle, *([engine] if engine else [])])
    source = load_bundle(bundle, trust)
    with (
        closing(Live(camera)) as live,
        closing(open_segmenter(source, engine, target)) as segmenter,
    ):
        _require_size(live, source.manifest.profiles)
        began, done = time.perf_counter(), 0
        with staged_and_kept(out, force) as partial, until_interrupted() as stop:
            with closing(VideoWriter(NAME, live.rate, source.manifest.task, partial, video)) as writer:
                results = with_masks(segmenter, islice(live.frames(stop), frames))
                for _ in progress_bar(
                    write_behind(results, lambda result: writer.write(*result), 1), "segmenting", frames
                ):
                    done += 1
            if not done:
                raise KeyboardInterrupt  # before the first frame
        seconds = time.perf_counter() - began
    note(
        f"{done} frames in {seconds:.1f} s: {done / seconds:.1f} a second; "
        f"{live.dropped} left out to stay in step, {live.damaged} damaged"
    )
    made = tuple(str(path) for path in files_written(NAME, out, video))
    return Recording(made=made, frames=done, dropped=live.dropped, damaged=live.damaged, seconds=seconds)


def _require_size(live: Live, profiles: tuple[Profile, ...]) -> None:
    height, width = live.size
    if find_profile(profiles, (1, height, width)) is None:
        raise BadInput(
            f"{live.camera} gives 1x{height}x{width}, but the bundle's profiles hold: {profiles_in_words(profiles)}. "
            "Set another size on the camera, or export with a profile that holds it."
        )


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a polite kill set, so that what is under way is finished; the second one interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # which alone has signals
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
