"""Hundreds of damaged bundles and engines: each is refused with a message, and no engine's byte is loaded unvouched.

Two kinds. Damage that the digests show is refused before anything is read; damage by one who writes a fitting manifest
over it is refused for what it is.
"""

import hashlib
import importlib.util
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardedge.contracts import ZERO_DIGEST, Bundle, Engine, load, seal
from hardedge.deploy.engines import open as runtime
from hardedge.deploy.engines.build import build
from hardedge.deploy.prediction.predict import predict
from hardedge.deploy.tensorrt import runner as tensorrt_runner
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput, HardedgeError

Damage = Callable[[Path], None]
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)


@pytest.fixture(scope="module")
def rtx_engine(tmp_path_factory: pytest.TempPathFactory, shared_bundle: Path) -> Path:
    directory = tmp_path_factory.mktemp("rtx") / "sm86"
    build(shared_bundle, "tensorrt-rtx:sm86", directory)
    return directory


def damaged_copies(directory: Path, scratch: Path, damages: Iterator[tuple[str, Damage]]) -> Iterator[tuple[str, Path]]:
    """One copy, mended after each damage: to copy and remove a folder a thousand times takes a slow disk minutes."""
    copy = scratch / directory.name
    shutil.copytree(directory, copy, copy_function=os.link)  # a damage replaces files, never writes into them
    files = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
    for name, damage in damages:
        damage(copy)
        yield name, copy
        for file in files:
            if not (copy / file).exists() or not (copy / file).samefile(directory / file):
                (copy / file).unlink(missing_ok=True)
                os.link(directory / file, copy / file)


def random_damages(directory: Path, each: int, seed: int) -> Iterator[tuple[str, Damage]]:
    """Flipped bits, cut and grown files, files taken out and exchanged, for every file."""
    rng = np.random.default_rng(seed)
    files = sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    for file in files:
        size = (directory / file).stat().st_size
        for bit in rng.integers(0, 8 * size, each):
            yield f"bit {bit} of {file}", lambda copy, file=file, bit=int(bit): flip(copy / file, bit)
        for length in (0, 1, size // 2, size - 1):
            yield f"{file} cut to {length}", lambda copy, file=file, length=length: cut(copy / file, length)
        yield f"{file} grown", lambda copy, file=file: grow(copy / file)
        yield f"{file} gone", lambda copy, file=file: (copy / file).unlink()
        other = files[int(rng.integers(len(files)))]
        if (directory / file).read_bytes() != (directory / other).read_bytes():
            yield f"{file} and {other} exchanged", lambda copy, file=file, other=other: swap(copy / file, copy / other)


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    replaced(path, bytes(content))


def cut(path: Path, length: int) -> None:
    replaced(path, path.read_bytes()[:length])


def grow(path: Path) -> None:
    replaced(path, path.read_bytes() + b"\0")


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    replaced(one, second)
    replaced(other, first)


def test_every_damage_to_a_bundle_is_seen(shared_bundle: Path, tmp_path: Path) -> None:
    tried = 0
    for name, copy in damaged_copies(shared_bundle, tmp_path, random_damages(shared_bundle, 4, seed=1)):
        with pytest.raises(BadInput) as caught:
            load(Bundle, copy)
        assert str(copy) in str(caught.value), name
        tried += 1
    assert tried >= 200
    load(Bundle, shared_bundle)


class Deserialiser:
    """Stands where TensorRT's would be, and keeps the digests of what reaches it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, runtime: object, plan: bytes) -> bytes:
        self.seen.append(hashlib.sha256(plan).hexdigest())
        return plan


@pytest.fixture
def deserialiser(monkeypatch: pytest.MonkeyPatch) -> Deserialiser:
    """On a machine that could run the engine: the device fits, and loading succeeds."""
    made = Deserialiser()
    monkeypatch.setattr(tensorrt_runner, "compute_capability", lambda: "sm86")
    monkeypatch.setattr(tensorrt_runner, "load_engine", made)
    for name in ("runtime_for", "error_logger", "Kernels", "Execution"):
        monkeypatch.setattr(tensorrt_runner, name, lambda *_: None)
    return made


@needs_rtx
def test_no_damaged_engine_reaches_the_deserialiser(
    rtx_engine: Path, tmp_path: Path, deserialiser: Deserialiser
) -> None:
    runtime.open_runner(rtx_engine)
    assert deserialiser.seen == [load(Engine, rtx_engine).files["model.plan"]]
    tried = 0
    for name, copy in damaged_copies(rtx_engine, tmp_path, random_damages(rtx_engine, 100, seed=2)):
        with pytest.raises(HardedgeError) as caught:
            runtime.open_runner(copy)
        assert str(copy) in str(caught.value), name
        tried += 1
    assert tried >= 200
    assert len(deserialiser.seen) == 1


@needs_rtx
def test_an_engine_exchanged_between_check_and_load_is_not_loaded(
    rtx_engine: Path, tmp_path: Path, deserialiser: Deserialiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(rtx_engine, tmp_path / "engine")

    def exchange(_: Engine, builder: str) -> None:
        flip(copy / "model.plan", 5)

    monkeypatch.setattr(tensorrt_runner, "_require_same_version", exchange)
    with pytest.raises(BadInput, match="changed while it was read"):
        runtime.open_runner(copy)
    assert deserialiser.seen == []


def edited(directory: Path, kind: type[Bundle] | type[Engine], change: Callable[[dict[str, object]], None]) -> None:
    """Changes a manifest's JSON and gives it the digest that fits."""
    path = directory / kind.FILE
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest["digest"] = ZERO_DIGEST
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(text.replace(f'"digest": "{ZERO_DIGEST}"', f'"digest": "{digest}"'))


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value of a JSON document, one element standing for a list."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))


def put(document: object, path: tuple[str | int, ...], value: object) -> None:
    for key in path[:-1]:
        document = document[key]  # type: ignore[index]
    document[path[-1]] = value  # type: ignore[index]


def wrong_types(manifest: dict[str, object]) -> Iterator[tuple[str, Callable[[dict[str, object]], None]]]:
    """Every value of a manifest replaced by one of another type, and every key renamed."""
    for path in leaves(manifest):
        if not path or path[-1] in ("files", "operators", "seconds", "per_class", "executed"):
            continue  # a mapping of any names
        if path[0] in ("digest", "schema_id") or "files" in path[:-1] or "operators" in path[:-1]:
            continue
        if "compatible" in str(path[-1]) or path[-1] == "strip_weights":
            continue  # true is a value of it
        for wrong in ({"no": 7}, [[[]]], True):
            yield f"{path} = {wrong}", lambda m, path=path, wrong=wrong: put(m, path, wrong)
    for key in [key for key in manifest if key not in ("digest", "schema_id")]:
        yield f"{key} renamed", lambda m, key=key: m.__setitem__(f"{key}x", m.pop(key))


@pytest.mark.parametrize("kind", [Bundle, Engine])
def test_every_value_of_the_wrong_type_is_named(
    kind: type[Bundle] | type[Engine], shared_bundle: Path, shared_engine: Path, tmp_path: Path
) -> None:
    source = shared_bundle if kind is Bundle else shared_engine
    manifest = json.loads((source / kind.FILE).read_text())
    tried = 0
    for name, change in wrong_types(manifest):
        (tmp_path / kind.FILE).write_text(json.dumps(manifest))
        edited(tmp_path, kind, change)
        with pytest.raises(BadInput, match="is not a valid") as caught:
            load(kind, tmp_path)
        assert len(str(caught.value)) < 5000, name
        tried += 1
    assert tried >= 40


NAMES = ("../outside", "/etc/hostname", "a/../../outside", "nul\0byte", "x" * 300, "", ".", "reference", "link", "loop")


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(own_bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (own_bundle / "link").symlink_to(tmp_path / "outside")
    (own_bundle / "loop").symlink_to("loop")
    digest = hashlib.sha256(b"secret").hexdigest()
    edited(own_bundle, Bundle, lambda m: m["files"].__setitem__(name, digest))  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="is not what bundle.json describes"):
        load(Bundle, own_bundle)


def hostile_manifests() -> dict[str, dict[str, object]]:
    """Fields that are well typed and wrong, by the field's path in bundle.json."""
    sizes = ([1, 10**9, 10**9], [0, 64, 64], [-1, 64, 64], [1, 32, 16])
    return {
        "profiles.0.max": dict(enumerate(sizes)),
        "profiles.0.min": dict(enumerate(([0, 32, 32], [1, 2**63, 1], [2, 999, 999]))),
        "profiles.0.name": dict(enumerate(("", "a b", "../x"))),
        "profiles": {0: []},
        "models.0.path": dict(enumerate(("../model.onnx", "/etc/hostname", "golden", "nul\0", "x" * 300))),
        "models.0.precision": {0: "int3"},
        "control": dict(enumerate(("../control.onnx", "/dev/zero"))),
        "golden": dict(enumerate(([], ["../../secret"], ["nul\0"], ["scene000", "x" * 300]))),
        "reference.images.0.id": dict(enumerate(("../../secret", "nul\0", ""))),
        "task.classes": {0: [], 1: [{"name": "a", "color": [0, 0, 0]}] * 300},
    }


def cases() -> list[tuple[str, object]]:
    return [(path, value) for path, values in hostile_manifests().items() for value in values.values()]


@pytest.mark.parametrize(("path", "value"), cases())
def test_well_typed_nonsense_in_a_fitting_manifest_is_refused(
    own_bundle: Path, shared_engine: Path, tmp_path: Path, path: str, value: object
) -> None:
    way = tuple(int(key) if key.isdigit() else key for key in path.split("."))
    edited(own_bundle, Bundle, lambda m: put(m, way, value))
    with pytest.raises(BadInput) as caught:
        verify(own_bundle, [], None, tmp_path / "report", gates=Gates(), latency_seconds=0)
    assert "bundle" in str(caught.value)
    assert not (tmp_path / "report").exists()


def saved(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()


def hostile_models(model: onnx.ModelProto) -> Iterator[tuple[str, bytes]]:
    """Networks that are no network, each with what the message must say."""

    def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        change(copy)
        return saved(copy)

    def nan(copy: onnx.ModelProto, kind: type[np.generic] = np.float32) -> None:
        weight = numpy_helper.to_array(copy.graph.initializer[0]).astype(kind)
        weight.flat[1] = np.nan
        copy.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, copy.graph.initializer[0].name))

    def external(copy: onnx.ModelProto) -> None:
        tensor = copy.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../etc/hostname")

    yield "1 of 9 values are NaN", changed(nan)
    yield "1 of 9 values are NaN", changed(lambda copy: nan(copy, np.float16))
    yield "in another file", changed(external)
    yield "values in", changed(lambda copy: copy.graph.initializer[0].dims.__setitem__(0, 2**40))
    yield "values in", changed(lambda copy: copy.graph.initializer[0].dims.__setitem__(0, -3))
    yield "cannot be read", changed(lambda copy: setattr(copy.graph.initializer[0], "raw_data", b"123"))
    yield "image: FLOAT, expected UINT8", changed(lambda copy: element(copy.graph.input[0], TensorProto.FLOAT))
    yield "mask: INT64, expected UINT8", changed(lambda copy: element(copy.graph.output[0], TensorProto.INT64))
    yield "has no image, but picture", changed(lambda copy: setattr(copy.graph.input[0], "name", "picture"))
    yield "has no mask, but nothing", changed(lambda copy: copy.graph.ClearField("output"))
    yield "dimensions, expected 4", changed(lambda copy: copy.graph.input[0].type.tensor_type.shape.dim.pop())
    yield "2 inputs", changed(lambda copy: copy.graph.input.append(helper.make_tensor_value_info("b", 2, [1])))
    yield "cannot be read as an ONNX file", b"\xff" * 1000
    yield "has no image, but nothing", b""
    yield "NoSuchOperator", changed(lambda copy: setattr(copy.graph.node[2], "op_type", "NoSuchOperator"))
    yield "", changed(lambda copy: copy.graph.node.pop(1))


def element(value: onnx.ValueInfoProto, kind: int) -> None:
    value.type.tensor_type.elem_type = kind


@pytest.mark.parametrize("number", range(16))
def test_a_network_that_is_none_is_refused_by_every_stage(
    own_bundle: Path,
    shared_engine: Path,
    shared_data: Path,
    tmp_path: Path,
    resealed: Callable[..., Bundle],
    number: int,
) -> None:
    said, content = list(hostile_models(onnx.load(own_bundle / "model.onnx")))[number]
    (own_bundle / "model.onnx").write_bytes(content)
    resealed(own_bundle)
    image = next((shared_data / "images").iterdir())
    with pytest.raises(BadInput) as caught:
        predict(own_bundle, [image], tmp_path / "out")
    assert said in str(caught.value)
    with pytest.raises(BadInput):
        verify(own_bundle, [], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    engine = shutil.copytree(shared_engine, tmp_path / "engine")
    (engine / "model.onnx").write_bytes(content)
    seal(engine, load_unchecked(engine))
    with pytest.raises(BadInput):
        runtime.open_runner(engine)
    assert not (tmp_path / "out").exists()


def load_unchecked(directory: Path) -> Engine:
    from hardedge.contracts import parse_json

    return parse_json(Engine, (directory / Engine.FILE).read_bytes(), "engine")


def archives() -> list[tuple[str, bytes]]:
    def packed(**arrays: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    return [
        ("no archive", b"junk"),
        ("empty", b""),
        ("another name", packed(count=np.zeros((6, 3, 3), np.int64))),
        ("floats", packed(counts=np.zeros((6, 3, 3)))),
        ("other classes", packed(counts=np.zeros((6, 4, 4), np.int64))),
        ("other images", packed(counts=np.zeros((5, 3, 3), np.int64))),
        ("negative", packed(counts=np.full((6, 3, 3), -1, np.int64))),
        ("a pickle", packed(counts=np.array([[os.getcwd]], object))),
        ("a bomb of 80 MB", packed(counts=np.zeros((10**5, 10, 10), np.int64))),
        ("cut", packed(counts=np.zeros((6, 3, 3), np.int64))[:-30]),
    ]


@pytest.mark.parametrize(("name", "content"), archives(), ids=[name for name, _ in archives()])
def test_counts_that_are_none_are_refused(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle], name: str, content: bytes
) -> None:
    (own_bundle / "reference/confusion.npz").write_bytes(content)
    resealed(own_bundle)
    with pytest.raises(BadInput, match=r"confusion\.npz"):
        verify(own_bundle, [], None, tmp_path / "report", gates=Gates(), latency_seconds=0)


def pictures() -> dict[str, np.ndarray | bytes]:
    return {
        "16 bit": np.zeros((64, 96), np.uint16),
        "colour": np.zeros((64, 96, 3), np.uint8),
        "another size": np.zeros((32, 96), np.uint8),
        "no class": np.full((64, 96), 9, np.uint8),
        "junk": b"\x89PNG junk",
        "empty": b"",
    }


@pytest.mark.parametrize("folder", ["golden/masks", "reference/masks"])
@pytest.mark.parametrize("name", pictures())
def test_masks_that_are_none_are_refused(
    own_bundle: Path, shared_data: Path, tmp_path: Path, resealed: Callable[..., Bundle], folder: str, name: str
) -> None:
    picture, path = pictures()[name], sorted((own_bundle / folder).iterdir())[0]
    if isinstance(picture, bytes):
        path.write_bytes(picture)
    else:
        Image.fromarray(picture).save(path)
    resealed(own_bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match=path.name):
        verify(own_bundle, [tmp_path / "engine"], shared_data, tmp_path / "out", gates=Gates(), latency_seconds=0)
    assert not (tmp_path / "out").exists()


@needs_rtx
def test_engines_with_a_fitting_manifest_are_refused_for_what_they_are(
    rtx_engine: Path, tmp_path: Path, deserialiser: Deserialiser
) -> None:
    outside = tmp_path / "model.plan"
    outside.write_bytes((rtx_engine / "model.plan").read_bytes())
    changes = [
        {"plan": "../model.plan"},
        {"plan": str(outside)},
        {"plan": "engine.json"},
        {"plan": ""},
        {"plan": "nul\0"},
        {"target": "tensorrt-rtx:sm99"},
        {"target": "onnxruntime:cpu"},
        {"target": "tensorrt-rtx:sm89"},
        {"builder": "antigravity"},
        {"builder": "tensorrt"},
        {"builder_version": "10.3.0"},
        {"builder_version": ""},
        {"schema_id": "hardedge.engine/9"},
    ]
    for number, change in enumerate(changes):
        copy = shutil.copytree(rtx_engine, tmp_path / str(number))
        edited(copy, Engine, lambda m, change=change: m.update(change))
        with pytest.raises(HardedgeError):
            runtime.open_runner(copy)
        assert deserialiser.seen == [], change


@pytest.mark.parametrize(
    "content", [b"[" * 300_000, b'{"schema_id": ' * 100_000, b"\xff\xfe", b"null", b"{}", b"\0" * 99]
)
def test_manifests_that_are_no_manifest_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "engine.json").write_bytes(content)
    with pytest.raises(BadInput, match="engine.json"):
        load(Engine, tmp_path)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_flipped_bits_under_a_fitting_manifest_never_pass(
    shared_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle], seed: int
) -> None:
    """Of the shipped network: refused with a message, or found to be another than the certified one."""
    rng = np.random.default_rng(seed)
    size = (shared_bundle / "model.onnx").stat().st_size
    bits = rng.choice(8 * size, 40 if seed == 0 else 1000, replace=False)
    damages = ((f"bit {bit}", lambda copy, bit=int(bit): flip(copy / "model.onnx", bit)) for bit in bits)
    refused = passed = 0
    for name, copy in damaged_copies(shared_bundle, tmp_path, damages):
        resealed(copy)
        try:
            report = verify(copy, [], None, tmp_path / "report", gates=Gates(), latency_seconds=0, force=True)
        except HardedgeError:
            refused += 1
            continue
        changed = report.certificate.level0.status == "different"
        assert changed or same_but_for_names(shared_bundle, copy), name
        passed += not changed
    assert refused > 0
    assert passed < 0.5 * len(bits)


def same_but_for_names(one: Path, other: Path) -> bool:
    """Names, notes and versions are no part of what a network computes."""
    from hardedge.graphs.canonical import onnx_digest

    return onnx_digest(onnx.load(one / "model.onnx")) == onnx_digest(onnx.load(other / "model.onnx"))


def test_the_undamaged_bundle_is_not_refused(shared_bundle: Path, tmp_path: Path) -> None:
    report = verify(shared_bundle, [], None, tmp_path / "report", gates=Gates(), latency_seconds=0)
    assert report.certificate.level0.status == "identical"
