"""predict on a real bundle directory and real files, through onnxruntime, against numpy."""

import errno
import functools
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from hardedge.artefact import disk_errors
from hardedge.contracts import (
    ZERO_DIGEST,
    Bundle,
    ClassInfo,
    Complexity,
    ModelFile,
    NetworkSpec,
    Normalisation,
    Profile,
    Reference,
    SegmentationScore,
    Task,
    seal,
)
from hardedge.data.decoding import read_mask
from hardedge.data.palette import overlay
from hardedge.deploy.engines.build import build
from hardedge.deploy.prediction.predict import predict
from hardedge.errors import BadInput, Unavailable

COLORS = ((230, 25, 75), (60, 180, 75), (0, 130, 200))
TASK = Task(classes=tuple(ClassInfo(name=f"c{i}", color=color) for i, color in enumerate(COLORS)), ignore_index=255)


def brightest_channel() -> onnx.ModelProto:
    """A network whose class is the brightest of red, green and blue: numpy's argmax."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["pixels"], ["classes"], axis=3, keepdims=0),
        helper.make_node("Cast", ["classes"], ["mask"], to=TensorProto.UINT8),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", "H", "W", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["B", "H", "W"])
    graph = helper.make_graph(nodes, "brightest", [image], [mask])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def write_bundle(directory: Path, model: str = "model.onnx", loss: str = "1.0*ce") -> Path:
    directory.mkdir()
    onnx.save(brightest_channel(), directory / "model.onnx")
    census = Complexity(parameters=0, multiply_adds=0, nodes=3, operators={}, inputs=("image",), outputs=("mask",))
    manifest = Bundle(
        schema_id=Bundle.SCHEMA,
        hardedge="0.1.0",
        made_from=None,
        files={},
        task=TASK,
        network=NetworkSpec(name="tests:brightest", num_classes=3),
        normalisation=Normalisation(),
        profiles=(Profile(min=(1, 32, 32), opt=(1, 48, 64), max=(4, 128, 256)),),
        models=(ModelFile(path=model, precision="fp32", onnx_digest=ZERO_DIGEST, census=census),),
        control=None,
        reference=Reference(split="test", images=(), score=SegmentationScore(miou=0.0, per_class={})),
        golden=(),
        hardness="confidence",
        loss=loss,
        branches=(),
        margin_tolerance=0.0,
        logit_difference=0.0,
        seconds={},
    )
    seal(directory, manifest)
    return directory


def pixels(seed: int = 0, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def saved(path: Path, image: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def test_masks_and_overlays_of_files_and_folders(bundle: Path, tmp_path: Path) -> None:
    alone = saved(tmp_path / "alone.png", pixels(0))
    saved(tmp_path / "many" / "b.png", pixels(1, (37, 91)))
    saved(tmp_path / "many" / "a.png", pixels(2))
    (tmp_path / "many" / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    masks = predict(bundle, [alone, tmp_path / "many"], out)
    assert [mask.relative_to(out).as_posix() for mask in masks] == ["masks/alone.png", "masks/a.png", "masks/b.png"]
    for mask, image_HWC in zip(masks, (pixels(0), pixels(2), pixels(1, (37, 91))), strict=True):
        expected_HW = image_HWC.argmax(-1)
        assert np.array_equal(read_mask(mask), expected_HW)
        with Image.open(out / "overlays" / f"{mask.stem}.jpg") as shown:
            error = np.asarray(shown).astype(int) - overlay(image_HWC, expected_HW.astype(np.uint8), TASK)
        assert np.abs(error).mean() < 8  # JPEG on noise
    assert sorted(path.name for path in out.iterdir()) == [".hardedge.json", "masks", "overlays"]


def test_grey_becomes_rgb_and_transparency_is_dropped(bundle: Path, tmp_path: Path) -> None:
    grey = saved(tmp_path / "grey.png", pixels()[..., 0])
    rgba_HWC = np.concatenate([pixels(1), np.zeros((48, 64, 1), np.uint8)], axis=-1)
    masks = predict(bundle, [grey, saved(tmp_path / "clear.png", rgba_HWC)], tmp_path / "out")
    assert read_mask(masks[0]).max() == 0
    assert np.array_equal(read_mask(masks[1]), pixels(1).argmax(-1))


def test_an_exif_rotation_is_told_and_not_applied(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path / "turned.png", pixels(), exif=exif)
    masks = predict(bundle, [turned], tmp_path / "out")
    assert np.array_equal(read_mask(masks[0]), pixels().argmax(-1))
    assert "EXIF rotation is not applied, as in training: turned.png" in capsys.readouterr().err


def test_every_unusable_image_is_named_before_any_work(bundle: Path, tmp_path: Path) -> None:
    deep = saved(tmp_path / "deep.png", pixels()[..., 0].astype(np.uint16))
    small, large = (
        saved(tmp_path / "small.png", pixels(0, (31, 64))),
        saved(tmp_path / "large.png", pixels(0, (64, 257))),
    )
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(BadInput) as caught:
        predict(bundle, [deep, small, large, tmp_path / "text.jpg"], tmp_path / "out")
    message = str(caught.value)
    assert "deep.png: 16 bits per channel (mode I;16), expected 8" in message
    held = "default 1x32x32 to 4x128x256 (batch x height x width)"
    assert f"small.png: 1x31x64, but the bundle's profiles hold: {held}" in message
    assert "large.png: 1x64x257, but" in message
    assert "text.jpg: not an image in a known format" in message
    assert not (tmp_path / "out").exists()


def test_one_large_photograph_does_not_stop_a_folder(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in (("a", (48, 64)), ("photograph", (3000, 4000)), ("z", (48, 64))):
        saved(tmp_path / "in" / f"{name}.png", pixels(0, size))
    with pytest.raises(BadInput) as caught:
        predict(bundle, [tmp_path / "in"], tmp_path / "out")
    message = str(caught.value)
    assert "photograph.png: 1x3000x4000, but the bundle's profiles hold" in message
    assert "hardedge export --profile" in message
    assert f"the other 2 are in {tmp_path / 'out'}" in message
    assert sorted(path.stem for path in (tmp_path / "out/masks").iterdir()) == ["a", "z"]
    assert "left out:" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "kind", "channels"), [("png", 2, 3), ("png", 6, 4), ("png", 4, 2), ("tif", 0, 3)])
def test_sixteen_bits_of_colour_are_refused(bundle: Path, tmp_path: Path, name: str, kind: int, channels: int) -> None:
    """Pillow opens them as RGB and keeps the upper 8 bits: 12 bits of a camera would be nearly black."""
    values = np.random.default_rng(0).integers(0, 4096, (48, 64, channels)).astype(">u2")
    deep = tmp_path / f"deep.{name}"
    deep.write_bytes(deep_png(values, kind) if name == "png" else deep_tiff(values))
    with Image.open(deep) as opened:
        assert opened.mode in ("RGB", "RGBA", "LA")
    with pytest.raises(BadInput, match=rf"deep\.{name}: 16 bits per channel \(mode \w+\), expected 8"):
        predict(bundle, [deep], tmp_path / "out")


def deep_png(values_HWC: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    height, width = values_HWC.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values_HWC)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def deep_tiff(values_HWC: np.ndarray) -> bytes:
    """An uncompressed TIFF of 16 bits a channel in one strip: its pixels, then the three depths, then the tags."""
    height, width = values_HWC.shape[:2]
    pixels_at, depths_at = 8, 8 + values_HWC.nbytes
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, depths_at), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, pixels_at), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, values_HWC.nbytes)]
    listed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", depths_at + 6)
    depths = struct.pack("<HHH", 16, 16, 16)
    return head + values_HWC.astype("<u2").tobytes() + depths + struct.pack("<H", len(tags)) + listed + bytes(4)


def test_a_folder_that_is_wrong_as_a_whole_is_told_briefly(bundle: Path, tmp_path: Path) -> None:
    for index in range(25):
        saved(tmp_path / "small" / f"{index:02d}.png", pixels(0, (8, 8)))
    with pytest.raises(BadInput) as caught:
        predict(bundle, [tmp_path / "small"], tmp_path / "out")
    assert str(caught.value).count("8x8, but") == 20
    assert "and 5 more" in str(caught.value)


def test_the_longest_names_that_a_folder_takes_are_segmented(bundle: Path, tmp_path: Path) -> None:
    for letters in (247, 251):
        saved(tmp_path / "in" / f"{'n' * letters}.png", pixels(letters))
    predict(bundle, [tmp_path / "in"], tmp_path / "out")
    for mask in (tmp_path / "out/masks").iterdir():
        assert np.array_equal(read_mask(mask), pixels(len(mask.stem)).argmax(-1))
    assert len(list((tmp_path / "out/masks").iterdir())) == 2


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\u202egnp", "a\nb"])
def test_names_that_cannot_be_shown_are_told_before_any_work(name: str, bundle: Path, tmp_path: Path) -> None:
    saved(tmp_path / "in" / f"{name}.png", pixels(0))
    with pytest.raises(BadInput, match=r"its name has the character U\+") as caught:
        predict(bundle, [tmp_path / "in"], tmp_path / "out")
    assert name not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_too_long_is_one_message(bundle: Path, tmp_path: Path) -> None:
    for inputs, out in (
        ([Path("/".join(["d" * 100] * 60))], tmp_path / "out"),
        ([tmp_path], Path("/".join(["d" * 100] * 60))),
    ):
        with pytest.raises(BadInput, match=r"too long"), disk_errors():
            predict(bundle, inputs, out)


def test_missing_empty_and_equal_names_are_told_together(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    same = [saved(tmp_path / "x" / "a.png", pixels()), saved(tmp_path / "y" / "a.jpg", pixels())]
    with pytest.raises(BadInput) as caught:
        predict(bundle, [tmp_path / "gone.png", tmp_path / "empty", *same], tmp_path / "out")
    message = str(caught.value)
    assert "gone.png: does not exist" in message
    assert "empty: no image file in it" in message
    assert f"{same[0]}, {same[1]}: all named a" in message


def test_images_that_end_early_are_named_and_the_others_are_kept(bundle: Path, tmp_path: Path) -> None:
    for index in range(12):
        saved(tmp_path / "in" / f"{index:02d}.jpg", pixels(index))
    for name in ("03.jpg", "11.jpg"):
        cut = tmp_path / "in" / name
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(BadInput) as caught:
        predict(bundle, [tmp_path / "in"], tmp_path / "out")
    message = str(caught.value)
    assert "03.jpg cannot be read as an image" in message
    assert "11.jpg cannot be read as an image" in message
    assert f"the other 10 are in {tmp_path / 'out'}" in message
    kept = [f"{index:02d}" for index in range(12) if index not in (3, 11)]
    assert sorted(path.stem for path in (tmp_path / "out/masks").iterdir()) == kept
    assert sorted(path.stem for path in (tmp_path / "out/overlays").iterdir()) == kept


def test_where_nothing_can_be_read_nothing_is_left(bundle: Path, tmp_path: Path) -> None:
    cut = saved(tmp_path / "in" / "cut.jpg", pixels())
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadInput, match=r"(?s)cut\.jpg cannot be read as an image.*nothing was written"):
        predict(bundle, [cut], tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_a_palette_image_and_a_grey_one_with_alpha_become_rgb(bundle: Path, tmp_path: Path) -> None:
    indexed = Image.fromarray(pixels(3)).quantize(16)
    indexed.save(tmp_path / "indexed.png")
    Image.fromarray(pixels(4)[..., 0]).convert("LA").save(tmp_path / "grey.png")
    masks = predict(bundle, [tmp_path / "indexed.png", tmp_path / "grey.png"], tmp_path / "out")
    assert np.array_equal(read_mask(masks[0]), np.asarray(indexed.convert("RGB")).argmax(-1))
    assert read_mask(masks[1]).max() == 0


class _Breaking:
    """Stands for an output disk: it takes `room` files and is full then."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, path: Path, content: bytes) -> None:
        from hardedge.artefact import write_whole

        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.room -= 1
        write_whole(path, content)


def test_a_full_disk_keeps_what_was_finished(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(30):
        saved(tmp_path / "in" / f"{index:02d}.png", pixels(index))
    monkeypatch.setattr("hardedge.deploy.prediction.predict.write_whole", _Breaking(12))
    with pytest.raises(OSError, match="No space left"):
        predict(bundle, [tmp_path / "in"], tmp_path / "out")
    assert f"What was finished is in {tmp_path / 'out'}: 12 files" in capsys.readouterr().err
    for mask in (tmp_path / "out/masks").iterdir():
        assert np.array_equal(read_mask(mask), pixels(int(mask.stem)).argmax(-1))


def test_a_file_that_may_not_grow_is_told_by_the_command_and_the_rest_is_kept(bundle: Path, tmp_path: Path) -> None:
    """A real limit of the system on a real process: the tenth image is larger than any file may be."""
    for index in range(9):
        saved(tmp_path / "in" / f"{index}.png", np.zeros((48, 64, 3), np.uint8))
    saved(tmp_path / "in" / "9.png", pixels(0, (128, 256)))
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (8000, 8000))
    command = [
        str(Path(sys.executable).parent / "hardedge"),
        "predict",
        bundle,
        tmp_path / "in",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 3, done.stderr
    assert "cannot write" in done.stderr
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert "It ended early. What was finished is in" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out/masks").iterdir()) == [f"{index}.png" for index in range(9)]
    assert not [path for path in (tmp_path / "out").rglob("*") if "partial" in path.name]


def test_the_command_tells_the_throughput(
    bundle: Path, tmp_path: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for index in range(4):
        saved(tmp_path / "in" / f"{index}.png", pixels(index))
    done = hardedge("predict", bundle, tmp_path / "in", "--out", tmp_path / "out")
    assert done.stdout.splitlines() == [str(tmp_path / f"out/masks/{index}.png") for index in range(4)]
    assert re.search(r"4 images in \d+\.\d s: \d+\.\d images/s, decoding and writing included", done.stderr)


def test_an_engine_of_the_bundle_gives_the_same_and_of_another_is_refused(bundle: Path, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    build(bundle, "onnxruntime:cpu", tmp_path / "engine")
    masks = predict(bundle, [image], tmp_path / "out", engine=tmp_path / "engine")
    assert np.array_equal(read_mask(masks[0]), pixels().argmax(-1))
    other = write_bundle(tmp_path / "other", loss="another")
    with pytest.raises(BadInput, match="was built from another bundle"):
        predict(other, [image], tmp_path / "out2", engine=tmp_path / "engine")


def test_only_what_is_trusted_predicts(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    from hardedge.deploy.bundles.signing import read_trust, sign, write_keys

    image = saved(tmp_path / "a.png", pixels())
    trust = read_trust(write_keys(tmp_path / "key"))
    build(bundle, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match="is not signed"):
        predict(bundle, [image], tmp_path / "out", trust=trust)
    sign(bundle, tmp_path / "key")
    # the engine is the bundle's own file: the bundle's signature vouches for it
    assert predict(bundle, [image], tmp_path / "out", trust=trust, engine=tmp_path / "engine")


def test_a_changed_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[-1] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.onnx"):
        predict(bundle, [image], tmp_path / "out")


def test_a_model_outside_the_sealed_files_is_never_run(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    directory = write_bundle(tmp_path / "b", model="elsewhere.onnx")
    onnx.save(brightest_channel(), directory / "elsewhere.onnx")
    with pytest.raises(BadInput, match="not among its files"):
        predict(directory, [image], tmp_path / "out")
    with pytest.raises(BadInput, match="no path inside its directory"):
        write_bundle(tmp_path / "c", model="../elsewhere.onnx")


def test_an_existing_folder_is_kept_unless_forced(bundle: Path, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    predict(bundle, [image], tmp_path / "out")
    with pytest.raises(BadInput, match="--force"):
        predict(bundle, [image], tmp_path / "out")
    other = saved(tmp_path / "b.png", pixels(1))
    predict(bundle, [other], tmp_path / "out", force=True)
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["b.png"]


def test_force_never_replaces_what_is_read(bundle: Path, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    with pytest.raises(BadInput, match="would replace what is read"):
        predict(bundle, [image], bundle, force=True)
    assert (bundle / "model.onnx").is_file()


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx:sm86", "onnxruntime:tpu"])
def test_other_targets_are_refused_by_name(bundle: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(BadInput, match=target):
        predict(bundle, [saved(tmp_path / "a.png", pixels())], tmp_path / "out", target=target)


def test_cuda_without_a_gpu_says_so(bundle: Path, tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    with pytest.raises(Unavailable):
        predict(bundle, [saved(tmp_path / "a.png", pixels())], tmp_path / "out", target="onnxruntime:cuda")
    assert not (tmp_path / "out").exists()


def test_torch_is_never_imported(bundle: Path, tmp_path: Path) -> None:
    image = saved(tmp_path / "a.png", pixels())
    program = (
        "import sys; from pathlib import Path; sys.modules['torch'] = None\n"
        "from hardedge.deploy.prediction.predict import predict\n"
        "predict(Path(sys.argv[1]), [Path(sys.argv[2])], Path(sys.argv[3]))\n"
    )
    arguments = [sys.executable, "-c", program, str(bundle), str(image), str(tmp_path / "out")]
    subprocess.run(arguments, check=True, env=os.environ, timeout=850)
    assert (tmp_path / "out" / "masks" / "a.png").is_file()
