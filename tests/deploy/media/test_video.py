"""Videos through predict: real files, made here, with times, rotation and damage."""

import contextlib
import csv
import functools
import resource
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardedge.contracts import Bundle, load
from hardedge.data.decoding import read_mask
from hardedge.deploy.media.video import FrameMasks, Video, open_video
from hardedge.deploy.prediction.predict import predict
from hardedge.errors import BadInput, Unavailable

av: Any = pytest.importorskip("av", reason="comes with hardedge[video]")
COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)], np.uint8)  # of the bundle's classes
Program = Callable[..., subprocess.CompletedProcess[str]]


def scene(number: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two areas of even colour, the border between them further right in each frame: an image and its mask."""
    mask_HW = np.zeros(size, np.uint8)
    mask_HW[:, 8 + 4 * (number % 12) :] = 1
    mask_HW[size[0] // 2 :, :8] = 2
    return COLORS[mask_HW], mask_HW


def write_video(
    path: Path,
    *,
    count: int = 12,
    size: tuple[int, int] = (64, 96),
    times: list[int] | None = None,
    rotation: int = 0,
    codec: str = "libx264",
) -> Path:
    """A video of the scenes; `times` in hundredths of a second, every 4 hundredths without."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "0", "g": "4"} if codec == "libx264" else {})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 100)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(scene(number, size)[0], format="rgb24")
            frame.pts, frame.time_base = (times or list(range(0, 4 * count, 4)))[number], Fraction(1, 100)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def decoded(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def same_classes(image_HWC: np.ndarray, mask_HW: np.ndarray) -> float:
    """The share of an overlay's pixels whose colour is nearest to that of their own class."""
    distance_HWC = ((image_HWC[:, :, None].astype(int) - COLORS.astype(int)) ** 2).sum(-1)
    return float((distance_HWC.argmin(-1) == mask_HW).mean())


def test_an_overlay_video_has_the_frames_and_the_times_of_its_source(shared_bundle: Path, tmp_path: Path) -> None:
    times = [0, 4, 8, 20, 21, 30, 50, 54, 58, 90, 91, 130]  # a variable frame rate
    source = write_video(tmp_path / "drive.mp4", times=times)
    made = predict(shared_bundle, [source], tmp_path / "out")
    assert made == [tmp_path / "out/overlays/drive.mp4"]
    frames = decoded(made[0])
    assert [round(100 * frame.time) for frame in frames] == times
    for number, frame in enumerate(frames):
        assert same_classes(frame.to_ndarray(format="rgb24"), scene(number, (64, 96))[1]) > 0.93
    assert list((tmp_path / "out/masks").iterdir()) == []


def test_masks_by_frame_with_their_times(shared_bundle: Path, tmp_path: Path) -> None:
    source = write_video(tmp_path / "drive.mkv", times=[0, 4, 8, 20, 21, 30, 50, 54, 58, 90, 91, 130])
    made = predict(shared_bundle, [source], tmp_path / "out", video="masks")
    assert made == [tmp_path / "out/masks/drive"]
    for number in range(12):
        assert np.array_equal(read_mask(made[0] / f"{number:06d}.png"), scene(number, (64, 96))[1])
    rows = list(csv.DictReader((made[0] / "times.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == [str(number) for number in range(12)]
    assert [round(100 * float(row["seconds"])) for row in rows] == [0, 4, 8, 20, 21, 30, 50, 54, 58, 90, 91, 130]
    assert list((tmp_path / "out/overlays").iterdir()) == []


def test_images_and_videos_together_and_both_outputs(shared_bundle: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(scene(3, (64, 96))[0]).save(tmp_path / "photo.png")
    source = write_video(tmp_path / "drive.avi", codec="mjpeg")
    made = predict(shared_bundle, [source, tmp_path / "photo.png"], tmp_path / "out", video="both")
    names = ["masks/photo.png", "overlays/drive.mp4", "masks/drive"]
    assert made == [tmp_path / "out" / name for name in names]
    assert all(path.exists() for path in made)
    assert len(decoded(made[1])) == len(list(made[2].glob("*.png"))) == 12


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_an_overlay_is_turned_as_a_player_would_and_masks_are_not(
    shared_bundle: Path, tmp_path: Path, rotation: int
) -> None:
    source = write_video(tmp_path / "phone.mp4", rotation=rotation)
    turned = decoded(source)[0].rotation
    assert turned % 360 == rotation % 360
    overlay, masks = predict(shared_bundle, [source], tmp_path / "out", video="both")
    frame = decoded(overlay)[5]
    assert frame.rotation == 0
    upright_HW = np.rot90(scene(5, (64, 96))[1], turned // 90)
    assert same_classes(frame.to_ndarray(format="rgb24"), upright_HW) > 0.93
    assert np.array_equal(read_mask(masks / "000005.png"), scene(5, (64, 96))[1])


def test_odd_sizes_are_padded_by_their_edge_in_the_overlay_alone(shared_bundle: Path, tmp_path: Path) -> None:
    source = write_video(tmp_path / "odd.mkv", size=(65, 97))
    overlay, masks = predict(shared_bundle, [source], tmp_path / "out", video="both")
    picture_HWC = decoded(overlay)[2].to_ndarray(format="rgb24")
    assert picture_HWC.shape == (66, 98, 3)
    assert same_classes(picture_HWC[:65, :97], scene(2, (65, 97))[1]) > 0.93
    assert np.array_equal(read_mask(masks / "000002.png"), scene(2, (65, 97))[1])


def damage_packets(path: Path, numbers: set[int]) -> Path:
    """The video with these packets' bytes replaced: frames that nobody can decode, in a file that is whole."""
    damaged = path.with_name(f"damaged{path.suffix}")
    with av.open(str(path)) as source, av.open(str(damaged), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        for number, packet in enumerate(packets):
            if number in numbers:
                replaced = av.Packet(b"\x00" * 40)
                replaced.pts, replaced.dts, replaced.time_base = packet.pts, packet.dts, packet.time_base
                packet = replaced
            packet.stream = stream
            target.mux(packet)
    return damaged


def test_unreadable_frames_are_named_and_the_others_keep_their_times(shared_bundle: Path, tmp_path: Path) -> None:
    # every packet of MJPEG is a frame by itself
    source = damage_packets(write_video(tmp_path / "drive.avi", codec="mjpeg"), {3, 7})
    with pytest.raises(BadInput) as caught:
        predict(shared_bundle, [source], tmp_path / "out", video="both")
    message = str(caught.value)
    assert message.count("damaged.avi, at ") == 2
    assert "cannot be decoded" in message
    assert f"the other 10 are in {tmp_path / 'out'}" in message
    rows = list(csv.DictReader((tmp_path / "out/masks/damaged/times.csv").read_text().splitlines()))
    hundredths = [round(100 * float(row["seconds"])) for row in rows]
    assert hundredths == [4 * number for number in range(12) if number not in (3, 7)]
    assert [round(100 * frame.time) for frame in decoded(tmp_path / "out/overlays/damaged.mp4")] == hundredths


def test_a_video_without_a_readable_frame_leaves_nothing(shared_bundle: Path, tmp_path: Path) -> None:
    source = damage_packets(write_video(tmp_path / "drive.avi", codec="mjpeg", count=3), {0, 1, 2})
    with pytest.raises(BadInput, match=r"(?s)cannot be decoded.*nothing was written"):
        predict(shared_bundle, [source], tmp_path / "out", video="both")
    assert not (tmp_path / "out").exists()


def test_a_file_that_ends_early_gives_what_it_has(shared_bundle: Path, tmp_path: Path) -> None:
    source = write_video(tmp_path / "drive.mkv", count=40)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    # whether the last frame counts as damaged depends on where the cut is
    with contextlib.suppress(BadInput):
        predict(shared_bundle, [cut], tmp_path / "out", video="both")
    kept = len(list((tmp_path / "out/masks/cut").glob("*.png")))
    assert 10 <= kept < 40
    assert len(decoded(tmp_path / "out/overlays/cut.mp4")) == kept


def test_what_is_no_video_is_told_and_the_others_are_kept(shared_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "large.mp4", size=(256, 512), count=2)
    write_video(tmp_path / "fine.mp4", count=2)
    names = ("text.mp4", "large.mp4", "fine.mp4")
    with pytest.raises(BadInput) as caught:
        predict(shared_bundle, [tmp_path / name for name in names], tmp_path / "out")
    message = str(caught.value)
    assert "text.mp4: not a video that can be read" in message
    assert "large.mp4: 1x256x512, but the bundle's profiles hold" in message
    assert "fine.mp4" not in message
    assert (tmp_path / "out/overlays/fine.mp4").is_file()


def test_a_sound_file_has_no_video_in_it(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert open_video(tmp_path / "sound.mkv") == f"{tmp_path / 'sound.mkv'}: no video in it"


def test_a_full_disk_leaves_a_video_that_plays(shared_bundle: Path, tmp_path: Path, hardedge: Program) -> None:
    """A real limit on a real process: no file may grow beyond a megabyte."""
    source = tmp_path / "noise.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "30"})
        stream.height, stream.width, stream.pix_fmt = 128, 192, "yuv420p"
        for _ in range(300):
            noise_HWC = rng.integers(0, 256, (128, 192, 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noise_HWC, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    done = hardedge("predict", shared_bundle, source, "--out", tmp_path / "out", preexec_fn=limit)
    assert done.returncode == 3, done.stderr
    assert "Free some space" in done.stderr
    assert "It ended early" in done.stderr
    assert "Traceback" not in done.stderr
    with av.open(str(tmp_path / "out/overlays/noise.mp4")) as container:
        played = 0
        try:
            for _ in container.decode(video=0):
                played += 1
        except av.error.FFmpegError:
            pass  # the fragment that the disk cut
    assert 25 <= played < 300


def test_an_overlay_plays_though_the_masks_could_not_be_finished(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = FrameMasks.close

    def full(masks: FrameMasks) -> None:
        finish(masks)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FrameMasks, "close", full)
    source = write_video(tmp_path / "drive.mp4", count=12)
    with pytest.raises(OSError, match="No space left"):
        predict(shared_bundle, [source], tmp_path / "out", video="both")
    assert len(decoded(tmp_path / "out/overlays/drive.mp4")) == 12


def test_without_the_extra_the_command_is_told(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "drive.mp4", count=2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[video\]'"):
        predict(shared_bundle, [source], tmp_path / "out")


def test_a_pyav_without_the_encoder_is_told(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "drive.mp4", count=2)
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(Unavailable, match="no libx264"):
        predict(shared_bundle, [source], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_videos_head_says_its_size_and_length(tmp_path: Path, shared_bundle: Path) -> None:
    found = open_video(write_video(tmp_path / "drive.mp4", count=7))
    assert isinstance(found, Video)
    assert (found.size, found.expected) == ((64, 96), 7)
    assert load(Bundle, shared_bundle).profiles[0].holds((1, *found.size))


def test_a_video_of_an_unknown_codec_has_no_height_and_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "fuzzed.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")):
            container.mux(packet)
        container.mux(stream.encode())
    assert isinstance(open_video(path), Video)
    path.write_bytes(path.read_bytes().replace(b"mp4v", b"zzzz").replace(b"esds", b"free"))
    assert open_video(path) == f"{path}: a video without height and width, or of an unknown codec"
