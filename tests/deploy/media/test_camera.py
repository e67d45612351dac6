"""Cameras, through PyAV's own demuxers: generated pictures, streams whose sender is killed, and a fake driver.

There is no camera here: fake_camera.c answers PyAV's Video4Linux in its place.
"""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardedge.data.decoding import read_mask
from hardedge.deploy.media import camera
from hardedge.deploy.media.camera import Camera, Live, parse_camera
from hardedge.deploy.prediction.live import predict_camera
from hardedge.errors import BadInput, Unavailable

av: Any = pytest.importorskip("av", reason="comes with hardedge[video]")
Program = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])  # of the bundle's classes

# libavdevice's own generator, in real time: every pixel's red is the number of its frame
NUMBERED = "nullsrc=size=96x64:rate={rate}{length},format=rgb24,geq=r='mod(N,256)':g=0:b=0,realtime"
# sends the scenes as MPEG-TS, 25 a second, to who connects to the port that it tells first, until it is killed
SENDER = """
import socket, time
import av, numpy as np
COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)], np.uint8)
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    client, _ = server.accept()
with av.open(client.makefile("wb"), "w", format="mpegts") as container:
    stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency", "g": "5"})
    stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
    mask_HW = np.zeros((64, 96), np.uint8)
    mask_HW[32:] = 1
    while True:
        for packet in stream.encode(av.VideoFrame.from_ndarray(COLORS[mask_HW], format="rgb24")):
            container.mux(packet)
        time.sleep(0.04)
"""


def generated(rate: int = 25, length: str = "") -> Camera:
    return Camera(NUMBERED.format(rate=rate, length=length), "lavfi")


@contextmanager
def sending(*program: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process that streams to who connects to a port of its own, which it tells once it listens; and where."""
    command = [sys.executable, *map(str, program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield process, f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture
def sender() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process that streams MPEG-TS over TCP, and the URL where it does."""
    with sending("-c", SENDER) as (process, place):
        yield process, f"tcp://{place}"


def played(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def waited_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until something is in a file of this pattern."""
    while not [found for found in path.parent.glob(path.name) if found.is_dir() and any(found.rglob("*.png"))]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_the_newest_frame_is_taken_and_those_between_are_counted() -> None:
    began = time.monotonic()
    with closing(Live(generated(rate=50, length=":duration=2"))) as live:
        # what comes before the first is asked for does not count
        until(lambda: live._newest is not None and live._newest[1].pts > 0)
        frames = live.frames(threading.Event())
        first, after_first = next(frames), time.monotonic() - began
        live._reader.join(240)  # a slow network: all 100 have come
        newest, after_last = next(frames), time.monotonic() - began
        number, last = (int(np.median(frame.image_HWC[..., 0])) for frame in (first, newest))
        assert newest.image_HWC.shape == (64, 96, 3)
        assert (newest.number, last) == (1, 99)
        assert live.dropped == last - number - 1
        assert number > 0
        # the last is generated 1.98 s after the beginning at the earliest; both came before they were asked for
        assert 1.97 - after_first <= float(newest.time * newest.base) <= after_last
        with pytest.raises(Unavailable, match="its stream ended"):
            next(frames)


def test_so_many_frames_with_masks_times_and_an_overlay(shared_bundle: Path, tmp_path: Path) -> None:
    made = predict_camera(shared_bundle, generated(), tmp_path / "out", frames=6, video="both")
    assert (made.frames, made.damaged) == (6, 0)
    assert made.made == tuple(str(tmp_path / "out" / name) for name in ("overlays/camera.mp4", "masks/camera"))
    assert len(played(tmp_path / "out/overlays/camera.mp4")) == 6
    rows = list(csv.DictReader((tmp_path / "out/masks/camera/times.csv").read_text().splitlines()))
    times = [float(row["seconds"]) for row in rows]
    assert [row["frame"] for row in rows] == [str(number) for number in range(6)]
    assert times[0] == 0
    assert times == sorted(times)


def test_a_stream_over_the_network(
    shared_bundle: Path, tmp_path: Path, sender: tuple[object, str], hardedge: Program
) -> None:
    arguments = ("--camera", sender[1], "--frames", 5, "--video", "masks", "--out", tmp_path / "out", "--json")
    done = hardedge("predict", shared_bundle, *arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["frames"], told["made"]) == (5, [str(tmp_path / "out/masks/camera")])
    expected_HW = np.repeat([0, 1], 32)[:, None].repeat(96, 1)
    for number in range(5):
        mask_HW = read_mask(tmp_path / f"out/masks/camera/{number:06d}.png")
        assert (mask_HW == expected_HW).mean() > 0.98  # the codec blurs the border
    assert "left out to stay in step" in done.stderr


def test_rtsp_until_its_camera_hangs_up(shared_bundle: Path, tmp_path: Path, hardedge: Program) -> None:
    """Over TCP: rtsp_server.py refuses UDP, as a firewall would."""
    out = tmp_path / "out"
    with sending(Path(__file__).parent / "rtsp_server.py", 80) as (_, place):
        url = f"rtsp://me:secret@{place}/stream"
        done = hardedge("predict", shared_bundle, "--camera", url, "--video", "both", "--out", out, timeout=600)
    assert done.returncode == 3, done.stderr
    assert f"Error: rtsp://...@{place}/stream is gone (its stream ended)" in done.stderr
    assert "secret" not in done.stderr
    masks = sorted((out / "masks/camera").glob("*.png"))
    assert len(played(out / "overlays/camera.mp4")) == len(masks) >= 1
    assert (read_mask(masks[0]) == np.repeat([0, 1], 32)[:, None].repeat(96, 1)).mean() > 0.98  # of a codec


def test_ctrl_c_ends_it_well(shared_bundle: Path, tmp_path: Path, sender: tuple[object, str], start: Start) -> None:
    out = tmp_path / "out"
    process = start("predict", shared_bundle, "--camera", sender[1], "--video", "both", "--out", out)
    waited_for(tmp_path / ".out.partial-*", process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    frames = len(played(out / "overlays/camera.mp4"))
    assert frames == len(list((out / "masks/camera").glob("*.png"))) >= 1
    assert f"{frames} frames in" in told


def test_a_camera_that_disappears_leaves_what_it_gave(
    shared_bundle: Path, tmp_path: Path, sender: tuple[subprocess.Popen[bytes], str], start: Start
) -> None:
    out = tmp_path / "out"
    process = start("predict", shared_bundle, "--camera", sender[1], "--video", "both", "--out", out)
    waited_for(tmp_path / ".out.partial-*", process)
    sender[0].kill()
    _, told = process.communicate(timeout=300)
    assert process.returncode == 3, told
    assert told.count("Error: ") == 1
    assert f"{sender[1]} is gone (" in told
    assert "Connect it again" in told
    assert "Traceback" not in told
    frames = len(played(out / "overlays/camera.mp4"))
    assert frames == len(list((out / "masks/camera").glob("*.png"))) >= 1


def test_a_camera_that_falls_silent_is_told(
    shared_bundle: Path, tmp_path: Path, sender: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Live(Camera(sender[1], None))) as live:
        frames = live.frames(threading.Event())
        assert next(frames).number == 0
        monkeypatch.setattr(camera, "SILENCE", 0.5)
        sender[0].send_signal(signal.SIGSTOP)
        with pytest.raises(Unavailable, match="has sent no frame for 0.5 s"):
            list(frames)


def test_who_asks_for_nothing_more_waits_for_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    with closing(Live(generated())) as live:
        frames = live.frames(stop)
        next(frames)
        stop.set()
        assert list(frames) == []
    live._reader.join(240)  # closing waits for a second, which a busy machine may use up
    assert not live._reader.is_alive()


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "stream.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p"
        for number in range(8):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 9 * number, np.uint8), format="rgb24")
            for packet in stream.encode(picture):
                if number in (2, 5):  # no bytes of a JPEG
                    broken = av.Packet(b"\x00" * 40)
                    broken.pts, broken.dts, broken.time_base, broken.stream = number, number, packet.time_base, stream
                    packet = broken
                container.mux(packet)
    with closing(Live(Camera(str(tmp_path / "stream.avi"), None))) as live:
        with pytest.raises(Unavailable, match="is gone \\(its stream ended\\)"):
            list(live.frames(threading.Event()))
        assert live.damaged == 2


def test_what_is_no_camera_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"/dev/video987 cannot be opened \(No such file.*Connect it"):
        Live(parse_camera("987"))
    with pytest.raises(Unavailable, match=r"/dev/null cannot be opened \(Inappropriate ioctl"):
        Live(parse_camera("/dev/null"))
    with pytest.raises(Unavailable, match=r"tcp://127.0.0.1:9 cannot be opened \(Connection refused.*its address"):
        Live(parse_camera("tcp://127.0.0.1:9"))
    for name in ("front door", "-1", "video.mp4"):
        with pytest.raises(BadInput, match="expected a number .0 is /dev/video0., a device, or a stream's URL"):
            parse_camera(name)
    assert (parse_camera("0"), parse_camera("/dev/video2").format) == (Camera("/dev/video0", "v4l2"), "v4l2")
    monkeypatch.setattr(av, "formats_available", {"mpegts"})
    with pytest.raises(Unavailable, match="this PyAV reads no devices"):
        Live(parse_camera("0"))


def test_a_camera_that_this_user_may_not_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is a stand-in: a test may run as root, whom nothing is refused."""

    def refuse(*arguments: object, **options: object) -> None:
        av.error.err_check(-errno.EACCES, "/dev/video0")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(Unavailable, match="Permission denied.*to the group that may read it"):
        Live(parse_camera("0"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine with a camera, as far as Video4Linux's calls tell."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").is_file():
        pytest.skip("needs a C compiler and Linux's headers")
    library = tmp_path_factory.mktemp("driver") / "camera.so"
    source = Path(__file__).parent / "fake_camera.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


def test_video4linux(shared_bundle: Path, tmp_path: Path, driver: dict[str, str], hardedge: Program) -> None:
    out = tmp_path / "out"
    done = hardedge("predict", shared_bundle, "--camera", 0, "--frames", 5, "--out", out, "--video", "both", env=driver)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / "overlays/camera.mp4"), str(out / "masks/camera")]
    halves = [((level - COLORS) ** 2).sum(-1).argmin() for level in (0, 255)]  # the classes nearest to black and white
    assert np.array_equal(read_mask(out / "masks/camera/000000.png"), np.repeat([halves] * 64, 48, axis=1))
    assert len(played(out / "overlays/camera.mp4")) == 5


@pytest.mark.parametrize("hangs", [False, True])
def test_a_camera_that_is_pulled_out_or_hangs_leaves_what_it_gave(
    shared_bundle: Path, tmp_path: Path, driver: dict[str, str], hangs: bool
) -> None:
    """The last frame waits until the network is ready; the waiting for more is made short where it hangs."""
    silence = 1.0 if hangs else 240.0
    program = (
        f"from hardedge.deploy.media import camera; camera.SILENCE = {silence}; from hardedge.cli import main; main()"
    )
    out = tmp_path / "out"
    words = ["predict", shared_bundle, "--camera", "/dev/video0", "--out", out, "--video", "both"]
    env = {**driver, "PLANTED_HANG" if hangs else "PLANTED_FRAMES": "50"}
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 3, done.stderr
    why = "has sent no frame for 1 s" if hangs else "is gone (No such device)"
    assert f"Error: /dev/video0 {why}" in done.stderr
    assert "It ended early. What was finished is in" in done.stderr
    frames = len(played(out / "overlays/camera.mp4"))
    assert frames == len(list((out / "masks/camera").glob("*.png"))) >= 1


def test_no_memory_of_the_driver_is_held_when_it_is_closed(driver: dict[str, str]) -> None:
    """libavdevice warns of frames whose memory it takes away; here one is being kept, and one was given."""
    program = (
        "import threading, time, av\n"
        "from hardedge.deploy.media.camera import Live, parse_camera\n"
        "av.logging.set_level(av.logging.WARNING)\n"
        "live = Live(parse_camera('0'))\n"
        "frames = live.frames(threading.Event())\n"
        "next(frames), next(frames)\n"
        "end = time.monotonic() + 120\n"
        "while live._newest is None and time.monotonic() < end: time.sleep(0.01)\n"
        "assert live._newest is not None\n"
        "live.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=driver, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_camera_that_another_program_uses_is_told(
    shared_bundle: Path, tmp_path: Path, driver: dict[str, str], hardedge: Program
) -> None:
    env = {**driver, "PLANTED_BUSY": "1"}
    done = hardedge("predict", shared_bundle, "--camera", 0, "--out", tmp_path / "out", env=env)
    assert done.returncode == 3
    assert "/dev/video0 cannot be opened (Device or resource busy). Close the program that uses it." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(Unavailable) as caught:
        Live(parse_camera("tcp://me:secret@127.0.0.1:9"))
    assert "secret" not in str(caught.value)


def test_a_stream_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sends no video"):
        Live(Camera("sine=frequency=440", "lavfi"))


def test_a_size_that_no_profile_holds_is_refused(shared_bundle: Path, tmp_path: Path) -> None:
    large = Camera("testsrc=size=640x480:rate=5,realtime", "lavfi")
    with pytest.raises(BadInput, match="gives 1x480x640, but the bundle's profiles hold: default 1x32x32 to 2x128x192"):
        predict_camera(shared_bundle, large, tmp_path / "out", frames=1)
    assert not (tmp_path / "out").exists()
