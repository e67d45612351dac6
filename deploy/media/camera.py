"""A camera through PyAV: the newest frame for who asks, so that a slow network leaves frames out and stays in step."""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from hardedge.deploy.media.video import Frame, pyav
from hardedge.errors import BadInput, Unavailable

SILENCE: Final = 10.0  # seconds without a frame after which a camera is gone
CLOCK: Final = Fraction(1, 90_000)  # what times are counted in
FASTEST: Final = 240  # frames a second; a stream that claims more does not know
_DEVICE: Final = "v4l2"
_TCP: Final = {"rtsp_transport": "tcp"}  # over UDP a busy network damages frames


@dataclass(frozen=True)
class Camera:
    """Where frames come from: what PyAV opens, and in which format where PyAV is not to find out."""

    file: str
    format: str | None

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//...@", self.file)  # no password in a message


def parse_camera(name: str) -> Camera:
    """The camera that a number (0 is /dev/video0), a device or a URL names; raises BadInput for anything else."""
    if re.fullmatch(r"\d{1,3}", name):
        return Camera(f"/dev/video{int(name)}", _DEVICE)
    if name.startswith("/dev/"):
        return Camera(name, _DEVICE)
    if re.match(r"[a-z][a-z0-9+]*://", name):
        return Camera(name, None)
    raise BadInput(
        f"--camera {name}: expected a number (0 is /dev/video0), a device, or a stream's URL. "
        "Write it as 0, /dev/video0 or rtsp://HOST/PATH."
    )


class Live:
    """An open camera. A thread decodes all that comes and keeps the newest frame until it is taken."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.dropped = 0
        self.damaged = 0
        self._change = threading.Condition()
        self._newest: tuple[float, Any] | None = None
        self._ended: str | None = None
        self._first: float | None = None
        self._taken = 0
        self._closed = False
        self._container = _open_container(camera)
        stream = self._container.streams.video[0]
        self.size = (stream.height, stream.width)
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.rate = rate if rate <= FASTEST else Fraction(25)
        # a read that hangs in a driver must not keep the program alive
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)
        self._reader.start()

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """The newest frame whenever one is asked for, until `stop`; raises Unavailable when the camera is gone."""
        while (frame := self._newest_frame(stop)) is not None:
            yield frame

    def close(self) -> None:
        """Lets the camera go; one that hangs is left to the end of the program."""
        self._closed = True
        self._reader.join(timeout=1)
        if not self._reader.is_alive():
            self._newest = None  # the driver's own memory, which is gone with the container
            self._container.close()

    def _newest_frame(self, stop: threading.Event) -> Frame | None:
        arrived = self._next(stop)
        if arrived is None:
            return None
        moment, decoded = arrived
        self._first = moment if self._first is None else self._first
        pixels_HWC = decoded.to_ndarray(format="rgb24")
        if pixels_HWC.shape[:2] != self.size:
            height, width = pixels_HWC.shape[:2]
            raise Unavailable(f"{self.camera} changed its size to {height}x{width}. Start again.")
        return Frame(self._taken - 1, pixels_HWC, round((moment - self._first) / CLOCK), CLOCK, decoded.rotation)

    def _next(self, stop: threading.Event) -> tuple[float, Any] | None:
        """The newest frame and when it came, waited for; None once it shall stop."""
        silent_from = time.monotonic()
        with self._change:
            while not stop.is_set():
                if self._newest is not None:
                    newest, self._newest = self._newest, None
                    self._taken += 1
                    return newest
                if self._ended is not None:
                    raise Unavailable(f"{self.camera} is gone ({self._ended}). Connect it again and start anew.")
                if time.monotonic() - silent_from > SILENCE:
                    raise Unavailable(f"{self.camera} has sent no frame for {SILENCE:g} s. Look at it and start anew.")
                self._change.wait(0.1)  # not longer: a signal only sets `stop`
        return None

    def _read(self) -> None:
        av = pyav()
        try:
            for packet in self._container.demux(self._container.streams.video[0]):
                if self._closed:
                    return
                try:
                    self._keep([frame for frame in packet.decode() if not self._is_damaged(frame)])
                except av.error.FFmpegError:
                    self.damaged += 1
            self._end("its stream ended")
        except av.error.FFmpegError as error:
            self._end(error.strerror or "it cannot be read")

    def _is_damaged(self, frame: Any) -> bool:
        self.damaged += frame.is_corrupt
        return bool(frame.is_corrupt)

    def _keep(self, frames: list[Any]) -> None:
        with self._change:
            for frame in frames:
                # what came before the network was ready was not left out on its account
                self.dropped += self._newest is not None and self._taken > 0
                self._newest = (time.monotonic(), frame)
            self._change.notify()

    def _end(self, why: str) -> None:
        with self._change:
            self._ended = why
            self._change.notify()


def _open_container(camera: Camera) -> Any:
    """PyAV's container; raises Unavailable for a camera that is not there, in use or no camera."""
    av = pyav()
    known = {part for name in av.formats_available for part in name.split(",")}
    if camera.format and camera.format not in known:
        raise Unavailable(f"{camera}: this PyAV reads no devices ({camera.format}). Give the URL of a stream.")
    try:
        options = _TCP if camera.file.startswith("rtsp:") else {}
        container = av.open(camera.file, format=camera.format, options=options, timeout=SILENCE)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise Unavailable(f"{camera} cannot be opened ({_reason(error)}). {_fix(camera, error)}") from None
    if not container.streams.video:
        container.close()
        raise BadInput(f"{camera} sends no video. Give a camera's own stream.")
    return container


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _fix(camera: Camera, error: Exception) -> str:
    if camera.format is None:
        return "Look at its address and whether it sends."
    if isinstance(error, OSError) and error.errno == errno.EBUSY:
        return "Close the program that uses it."
    if isinstance(error, PermissionError):
        return "Add this user to the group that may read it (video), or give another camera."
    return "Connect it, or give another one: ls /dev/video*"
