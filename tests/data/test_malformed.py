"""Malformed data sets, drawn: check and the stages agree, in one message without a traceback, or every value is right.

Each draw damages one thing of a small data set: a field of classes.json, a line or the form of a split, the mode,
depth, size, orientation or content of an image or mask, or a name.
"""

import json
import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardedge.cli import main
from hardedge.data.checking.check import check_dataset
from hardedge.data.content import require_usable_data
from hardedge.data.decoding import IMAGE_SUFFIXES
from hardedge.data.opening import open_dataset
from hardedge.data.sharding import write_shards
from hardedge.deploy import predict
from hardedge.deploy.foreign.bundle import bundle_of_foreign
from hardedge.deploy.foreign.forms import OnnxInputSpec
from hardedge.errors import BadInput

Damage = Callable[[Path, random.Random], None]
SEEDS, FEW = 320, 32
VALUES: list[Any] = [
    None,
    -1,
    0,
    1,
    2,
    255,
    256,
    1e9,
    0.5,
    True,
    "",
    "255",
    "road",
    "#ffffff",
    [],
    {},
    [1, 2],
    [0, 0, 256],
]


def _classes(root: Path, rng: random.Random) -> None:
    content = json.loads((root / "classes.json").read_text())
    entry = rng.choice(content["classes"])
    kind = rng.choice(["ignore_index", "classes", "values", "name", "color", "channel", "entry", "double", "remove"])
    value = rng.choice(VALUES)
    if kind in ("ignore_index", "classes", "values"):
        content[kind] = value
    elif kind in ("name", "color"):
        entry[kind] = value
    elif kind == "channel":
        entry["color"][rng.randrange(3)] = value
    elif kind == "entry":
        content["classes"][rng.randrange(3)] = value
    elif kind == "double":
        content["classes"].append(dict(entry))
    else:
        content["classes"].remove(entry)
    (root / "classes.json").write_text(json.dumps(content), encoding=rng.choice(["utf-8", "utf-8-sig", "utf-16"]))


def _text(root: Path, rng: random.Random) -> None:
    path = rng.choice([root / "classes.json", *sorted((root / "splits").iterdir())])
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(rng.choice([b"", content[:half], b"\xff\xfe" + content, content + b"\0", rng.randbytes(40)]))


def _lines(root: Path, rng: random.Random) -> None:
    path = rng.choice(sorted((root / "splits").iterdir()))
    ids = path.read_text().split()
    id = rng.choice(ids)
    line = rng.choice(
        [
            f"{id}.png", f"images/{id}.png", f"images/{id}.png masks/{id}.png", f" {id} ", f"{id}\r", f"../{id}",
            f"/{id}", f"{id} {id}", f"{id},", id.upper(), id[:-1], f"#{id}",
            "scene000", "scene005", f"{id}\t0", "\x1b[31m" + id,
        ]
    )  # fmt: skip
    path.write_text("\n".join([*(line if each == id else each for each in ids), rng.choice(["", id, "\n\n"])]))


def _mode(root: Path, rng: random.Random) -> None:
    path = rng.choice([path for folder in ("images", "masks") for path in sorted((root / folder).iterdir())])
    image = Image.open(path)
    image.load()
    mode = rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
    try:
        changed = image.convert("L").convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    except ValueError:
        changed = image.convert("RGBA")
    changed.save(path, format=rng.choice(["PNG", "TIFF"]) if mode not in ("CMYK", "F", "I") else "TIFF")


def _turn(root: Path, rng: random.Random) -> None:
    exif = Image.Exif()
    exif[0x0112] = rng.choice([0, 1, 2, 3, 6, 8, 9])
    turn = rng.choice([Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180])
    for path in sorted((root / "images").iterdir()):
        image = Image.open(path)
        turned = image.transpose(turn)
        turned.save(path, exif=exif)


def _content(root: Path, rng: random.Random) -> None:
    path = rng.choice([path for folder in ("images", "masks") for path in sorted((root / folder).iterdir())])
    content = path.read_bytes()
    kind = rng.choice(["cut", "empty", "noise", "text", "copy", "value", "ignored", "size"])
    if kind in ("cut", "empty", "noise", "text"):
        path.write_bytes({"cut": content[:60], "empty": b"", "noise": rng.randbytes(99), "text": b"no image"}[kind])
    elif kind == "copy":
        shutil.copy(rng.choice(sorted(path.parent.iterdir())), path.with_name("copy.png"))
        path.unlink()
        path.with_name("copy.png").rename(path)
    else:
        pixels = np.asarray(Image.open(path)).copy()
        if kind == "size":
            pixels = pixels[: rng.randrange(1, 32)]
        else:
            pixels[...] = 255 if kind == "ignored" else rng.randrange(256)
        Image.fromarray(pixels).save(path)


def _name(root: Path, rng: random.Random) -> None:
    old = rng.choice((root / "splits/train.txt").read_text().split())
    new = rng.choice(
        ["a b", "ü", unicodedata.normalize("NFD", "ü"), "a.b", "x" * 200, "a%2Fb", "-rf", "'", "a\\b", "._x"]
    )
    for folder in ("images", "masks"):
        suffix = rng.choice([".png", ".PNG", ".png", ".jpg"])
        path = root / folder / f"{old}.png"
        path.rename(path.with_name(new + suffix))
    listed = rng.choice([new, new, f"{new}.png", unicodedata.normalize("NFC", new)])
    lines = (root / "splits/train.txt").read_text().replace(old, listed)
    (root / "splits/train.txt").write_text(lines, encoding="utf-8")


def _missing(root: Path, rng: random.Random) -> None:
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    rng.choice(paths).unlink()


DAMAGES: tuple[Damage, ...] = (
    _classes,
    _classes,
    _text,
    _lines,
    _lines,
    _mode,
    _mode,
    _turn,
    _content,
    _name,
    _missing,
)


def _use(root: Path) -> None:
    """What train, export and deploy do with data before and while they work."""
    dataset = open_dataset(root)
    require_usable_data(dataset)
    for ids in dataset.splits.values():
        for id in ids:
            image_HWC, mask_HW = dataset.pair(id)
            assert image_HWC.dtype == mask_HW.dtype == np.uint8
            assert set(np.unique(mask_HW)) <= {*range(dataset.task.num_classes), dataset.task.ignore_index}


def _refusal(work: Callable[[], object]) -> str | None:
    try:
        work()
    except BadInput as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "seed", [*range(FEW), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(FEW, SEEDS))]
)
def test_check_and_the_stages_agree(seed: int, make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tiny_dataset(tmp_path / "data", train=3, val=2, test=2, size=(32, 48))
    rng = random.Random(seed)
    damage = DAMAGES[seed % len(DAMAGES)]
    damage(root, rng)
    faults = check_dataset(root).faults
    used = _refusal(lambda: _use(root))
    sharded = _refusal(lambda: write_shards(root, tmp_path / "sharded", shards=1))
    what = f"{damage.__name__}: {faults}\n{used}\n{sharded}"
    assert bool(faults) == (used is not None) == (sharded is not None), what
    assert (tmp_path / "sharded").exists() == (sharded is None), what
    if used:
        first_lines = [fault.splitlines()[0] for fault in faults]
        assert any(line in used.replace(f"{root}/", "") for line in first_lines), what
        return
    before, after = open_dataset(root), open_dataset(tmp_path / "sharded")
    for ids in before.splits.values():
        for id in ids:
            for found, expected in zip(after.pair(id), before.pair(id), strict=True):
                np.testing.assert_array_equal(found, expected)


COMMANDS = (
    ("check",),
    ("train", "camvid", "--out", "out", "--data"),
    ("run", "--out", "out", "--data"),
    ("prepare", "--out", "out", "--shards", "1"),
    ("scribbles",),
)


@pytest.mark.parametrize("seed", [0, 2, pytest.param(10, marks=pytest.mark.slow)])
def test_every_command_refuses_with_the_same_fault(
    seed: int,
    make_tiny_dataset: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_tiny_dataset(tmp_path / "data", train=3, val=2, test=2, size=(32, 48))
    monkeypatch.chdir(tmp_path)
    rng = random.Random(seed)
    DAMAGES[seed](Path("data"), rng)
    (fault, *_) = (line for line in check_dataset(Path("data")).faults)
    for command in COMMANDS:
        monkeypatch.setattr("sys.argv", ["hardedge", *command, "data"])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        said = (printed.out + printed.err).replace("data/", "")
        assert stopped.value.code == 2, (command, said)
        assert fault.splitlines()[0] in said, (command, fault, said)
        assert "Traceback" not in said
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.fixture(scope="module")
def trained(make_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean data set, a network's one-step checkpoint, somebody's ONNX file and its bundle, in one folder."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("malformed")
    make_tiny_dataset(root / "clean", train=3, val=2, test=2, size=(32, 48))
    (root / "one_layer.py").write_text("from torch import nn\ndef build(n):\n    return nn.Conv2d(3, n, 1)\n")
    onnx.save(_scores_of_three_classes(), root / "theirs.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        _train_one_step(root / "clean", root / "checkpoint")
    bundle_of_foreign(root / "theirs.onnx", root / "clean", root / "bundle", OnnxInputSpec())
    return root


def _scores_of_three_classes() -> onnx.ModelProto:
    weight = np.eye(3, dtype=np.float32)[..., None, None]
    nodes = [
        helper.make_node("Cast", ["x"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w"], ["scores"], kernel_shape=[1, 1]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.UINT8, ["b", "h", "w", 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", 3, "h", "w"])
    graph = helper.make_graph(nodes, "theirs", [image], [scores], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _train_one_step(data: Path, out: Path) -> None:
    from hardedge.train.losses import parse_loss
    from hardedge.train.recipe import Recipe
    from hardedge.train.stage import train

    recipe = Recipe(
        name="one",
        network="one_layer:build",
        loss=parse_loss("ce"),
        learning_rate=1e-2,
        steps=1,
        batch=3,
        crop=(32, 48),
        evaluate_every=1,
        amp=False,
    )
    train(recipe, data, out)


def _reference_of(checkpoint: Path, data: Path, out: Path) -> None:
    """What export reads of a data set."""
    from hardedge.export.graph.form import Form
    from hardedge.export.reference import write_reference
    from hardedge.export.stage import Precisions, open_source

    source = open_source(checkpoint, data, Form(), Precisions(), allow_code=True)
    write_reference(source.network, source.dataset, out)


def _read_test_split(root: Path) -> None:
    dataset = open_dataset(root)
    require_usable_data(dataset, ("test",))
    for id in dataset.splits["test"]:
        dataset.pair(id)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_train_export_deploy_and_predict_agree_with_check(
    seed: int,
    trained: Path,
    make_tiny_dataset: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(trained)
    monkeypatch.setattr("hardedge.deploy.foreign.bundle.require_ends", lambda *_: None)  # a process a run
    root = make_tiny_dataset(tmp_path / "data", train=3, val=2, test=2, size=(32, 48))
    damage = DAMAGES[seed % len(DAMAGES)]
    damage(root, random.Random(seed))
    faults = check_dataset(root).faults
    train_fault = _refusal(lambda: _train_one_step(root, tmp_path / "trained"))
    what = f"{damage.__name__}: {faults}\n{train_fault}"
    # what shows at the hardness maps, after the last step, leaves the stored state to go on from
    assert (tmp_path / "trained/checkpoint.json").exists() == (train_fault is None), what
    assert bool(faults) == (train_fault is not None), what
    test_fault = _refusal(lambda: _read_test_split(root))
    export_fault = _refusal(lambda: _reference_of(trained / "checkpoint", root, tmp_path / "reference"))
    assert export_fault is not None or test_fault is None, what
    deploy_fault = _refusal(
        lambda: bundle_of_foreign(trained / "theirs.onnx", root, tmp_path / "bundle", OnnxInputSpec())
    )
    assert (tmp_path / "bundle").exists() == (deploy_fault is None), (what, deploy_fault)
    assert deploy_fault is not None or test_fault is None, (what, test_fault)
    images = [
        path for path in (root / "images").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    ]
    predict_fault = _refusal(lambda: predict(trained / "bundle", [root / "images"], tmp_path / "masks"))
    made = len(list((tmp_path / "masks/masks").glob("*.png"))) if (tmp_path / "masks").exists() else 0
    assert predict_fault is not None or made == len(images), (what, predict_fault)
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir()), what
