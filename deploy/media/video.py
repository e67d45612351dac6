"""Video files through PyAV: frames in with their times, an overlay video or masks by frame out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hardedge.artefact import write_whole
from hardedge.contracts import Profile, Task, find_profile, profiles_in_words
from hardedge.data.palette import overlay, palette_image
from hardedge.errors import Unavailable, missing_extra

Pixels = npt.NDArray[np.uint8]
VideoOutput = Literal["overlay", "masks", "both"]

VIDEO_SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".ts")
# each group of frames is whole by itself: a full disk or a kill costs the last one, not the video
_CONTAINER: Final = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
# no B-frames: in such files they move all times by what the decoder is behind; a key frame every 50 frames
_CODEC: Final = "libx264"
_SETTINGS: Final = {"preset": "veryfast", "crf": "20", "bf": "0", "g": "50"}


@dataclass(frozen=True)
class Frame:
    """One frame: its pixels as they are stored, its time in units of `base`, and how a player turns it (degrees)."""

    number: int
    image_HWC: Pixels
    time: int
    base: Fraction
    rotation: int


@dataclass
class Video:
    """A video file that was looked at: its size as it is stored, and what of it could not be read, in words."""

    path: Path
    size: tuple[int, int]
    rate: Fraction
    expected: int
    faults: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        """The frames in the order in which they are shown.

        One that cannot be decoded, or only with damage, is left out and noted in `faults`; the others keep their times.
        """
        number = 0
        with pyav().open(str(self.path)) as container:
            for decoded in self._decoded(container):
                if decoded.is_corrupt:
                    self.faults.append(f"{_at(decoded.time)}: damaged")
                    continue
                pixels_HWC = decoded.to_ndarray(format="rgb24")
                if pixels_HWC.shape[:2] != self.size:
                    self.faults.append(
                        f"{_at(decoded.time)}: another size, {pixels_HWC.shape[0]}x{pixels_HWC.shape[1]}"
                    )
                    continue
                base = decoded.time_base or 1 / self.rate
                time = number if decoded.pts is None else decoded.pts
                yield Frame(number, pixels_HWC, time, base, decoded.rotation)
                number += 1

    def _decoded(self, container: Any) -> Iterator[Any]:
        av = pyav()
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.FFmpegError as error:
                where = packet.pts * packet.time_base if packet is not None and packet.pts is not None else None
                self.faults.append(f"{_at(where)}: cannot be decoded ({error.strerror})")
                if packet is None:  # the file itself ends or breaks here
                    return
                continue
            yield from frames


def open_video(path: Path) -> Video | str:
    """A video file after a look at its head; what is wrong with it in words. Unavailable without the extra `video`."""
    av = pyav()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return f"{path}: no video in it"
            stream = container.streams.video[0]
            context = stream.codec_context  # None where no decoder knows the codec
            if context is None or not context.height or not context.width:
                return f"{path}: a video without height and width, or of an unknown codec"
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            expected = stream.frames or round(float(rate) * (container.duration or 0) / 1_000_000)
            return Video(path, (context.height, context.width), Fraction(rate), expected)
    except av.error.FFmpegError as error:
        return f"{path}: not a video that can be read ({error.strerror})"


def size_fault(video: Video, profiles: tuple[Profile, ...]) -> str | None:
    """Why no profile takes the frames, in words."""
    height, width = video.size
    if find_profile(profiles, (1, height, width)) is not None:
        return None
    return f"{video.path}: 1x{height}x{width}, but the bundle's profiles hold: {profiles_in_words(profiles)}"


def files_written(name: str, out: Path, output: VideoOutput) -> list[Path]:
    """What a VideoWriter leaves in `out`."""
    overlays = [out / "overlays" / f"{name}.mp4"] if output != "masks" else []
    return overlays + ([out / "masks" / name] if output != "overlay" else [])


class VideoWriter:
    """What comes of one video: OUT/overlays/NAME.mp4, OUT/masks/NAME/NUMBER.png with times.csv, or both."""

    def __init__(self, name: str, rate: Fraction, task: Task, out: Path, output: VideoOutput) -> None:
        self._task = task
        self._overlay = OverlayVideo(out / "overlays" / f"{name}.mp4", rate) if output != "masks" else None
        self._masks = FrameMasks(out / "masks" / name, task) if output != "overlay" else None

    def write(self, frame: Frame, mask_HW: Pixels) -> None:
        if self._overlay:
            self._overlay.add(frame, overlay(frame.image_HWC, mask_HW, self._task))
        if self._masks:
            self._masks.add(frame, mask_HW)

    def close(self) -> None:
        """Finishes the files, each whatever becomes of the other; what was written before a failure can be played."""
        try:
            if self._masks:
                self._masks.close()
        finally:
            if self._overlay:
                self._overlay.close()


class FrameMasks:
    """A folder of one mask a frame, and times.csv with each frame's seconds."""

    def __init__(self, folder: Path, task: Task) -> None:
        self._folder, self._task = folder, task
        self._times: Any = None

    def add(self, frame: Frame, mask_HW: Pixels) -> None:
        if self._times is None:
            self._folder.mkdir()
            self._times = (self._folder / "times.csv").open("w", encoding="ascii")
            self._times.write("frame,seconds\n")
        write_whole(self._folder / f"{frame.number:06d}.png", mask_png(mask_HW, self._task))
        self._times.write(f"{frame.number},{float(frame.time * frame.base):.6f}\n")

    def close(self) -> None:
        if self._times is not None:
            self._times.close()


class OverlayVideo:
    """An MP4 file of pictures at the times of the frames they belong to, turned as a player would show them."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._path, self._rate = path, rate
        self._file: Any = None
        self._container: Any = None
        self._stream: Any = None
        self._last = -1
        self._failed = False

    def add(self, frame: Frame, picture_HWC: Pixels) -> None:
        upright_HWC = np.rot90(picture_HWC, frame.rotation // 90 % 4)
        even_HWC = _even(upright_HWC)
        if self._container is None:
            self._open(even_HWC.shape, frame.base)
        picture = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(even_HWC), format="rgb24")
        # strictly later than the one before it, as every container asks; some sources repeat a time
        self._last = picture.pts = max(frame.time, self._last + 1)
        picture.time_base = frame.base
        self._mux(picture)

    def close(self) -> None:
        """Finishes the file; after a failed write it stays as it is, and no second failure hides the first."""
        if self._container is None:
            return
        again = (pyav().error.FFmpegError, OSError) if self._failed else ()
        try:
            with suppress(*again):
                self._mux(None)
                self._container.close()
        finally:
            self._container = None
            with suppress(*again):
                self._file.close()

    def _open(self, shape: Sequence[int], base: Fraction) -> None:
        av = pyav()
        if _CODEC not in av.codecs_available:
            raise Unavailable(f"this PyAV has no {_CODEC}. Replace it: pip install --force-reinstall av")
        # through a file of Python's: a full disk is an OSError with its name, not a flag that nobody reads
        self._file = self._path.open("wb")
        self._container = av.open(self._file, "w", format="mp4", options=_CONTAINER)
        self._stream = self._container.add_stream(_CODEC, rate=self._rate, options=_SETTINGS)
        self._stream.height, self._stream.width, self._stream.pix_fmt = shape[0], shape[1], "yuv420p"
        self._stream.codec_context.time_base = base

    def _mux(self, picture: Any) -> None:
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except BaseException:
            self._failed = True
            raise


def mask_png(mask_HW: Pixels, task: Task) -> bytes:
    """A mask as a palette PNG of class indices."""
    content = io.BytesIO()
    # masks are large even areas: the fastest level is nearly as small, and several times faster
    palette_image(mask_HW, task).save(content, format="PNG", compress_level=1)
    return content.getvalue()


def _even(image_HWC: Pixels) -> Pixels:
    """The last row and column repeated where their number is odd: video has half the colour resolution."""
    height, width, _ = image_HWC.shape
    return np.pad(image_HWC, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _at(seconds: Any) -> str:
    return "at an unknown time" if seconds is None else f"at {float(seconds):.3f} s"


def pyav() -> Any:
    """PyAV; raises Unavailable without the extra `video`."""
    try:
        import av
    except ImportError:
        raise missing_extra("av", "video") from None
    return av
