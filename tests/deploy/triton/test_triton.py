"""Model repositories for Triton, read back with Triton's own protobuf classes and run as its ONNX backend would."""

import dataclasses
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hardedge.contracts import BuildOptions, Bundle, Engine, Profile, ServedModel, TensorModel, load, seal
from hardedge.data.decoding import read_mask
from hardedge.deploy.bundles.signing import read_trust, sign, write_keys
from hardedge.deploy.triton import repository as triton
from hardedge.deploy.triton.config import Serving
from hardedge.deploy.triton.repository import write_model
from hardedge.errors import BadInput, Unavailable

pb: Any = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="comes with hardedge[triton]")
COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])  # of the bundle's classes


def config_of(model: Path) -> Any:
    from google.protobuf import text_format

    return text_format.Parse((model / "config.pbtxt").read_text(), pb.ModelConfig())


def warm_up_of(model: Path) -> np.ndarray:
    """The one request that warms the model up, as Triton puts it together."""
    config = config_of(model)
    (request,) = config.model_warmup
    ((name, given),) = request.inputs.items()
    assert (name, given.data_type) == (config.input[0].name, config.input[0].data_type)
    batch = [request.batch_size] if config.max_batch_size else []
    kind = {pb.TYPE_UINT8: np.uint8, pb.TYPE_FP32: np.float32}[given.data_type]
    if given.WhichOneof("input_data_type") == "zero_data":
        return np.zeros([*batch, *given.dims], kind)
    return np.fromfile(model / "warmup" / given.input_data_file, kind).reshape([*batch, *given.dims])


def computed(model: Path, version: int, image: np.ndarray) -> list[np.ndarray]:
    """What the version's ONNX file gives, with the outputs in the configuration's order."""
    config = config_of(model)
    session = onnxruntime.InferenceSession(model / str(version) / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run([output.name for output in config.output], {config.input[0].name: image})


def write_engine(directory: Path, bundle: Path, target: str = "tensorrt", **changes: Any) -> Path:
    """An engine directory as `hardedge deploy` writes it, with a plan of four bytes."""
    source = load(Bundle, bundle)
    directory.mkdir()
    (directory / "model.plan").write_bytes(b"plan")
    engine = Engine(
        schema_id=Engine.SCHEMA,
        hardedge="0",
        made_from=source.digest,
        files={},
        target=target,
        precision="fp32",
        plan="model.plan",
        onnx_digest=source.model("fp32").onnx_digest,
        builder="tensorrt",
        builder_version="10.16.0",
        profiles=source.profiles,
        seconds=1.0,
    )
    seal(directory, dataclasses.replace(engine, **changes))
    return directory


def test_the_repository_is_one_that_triton_reads(shared_bundle: Path, tmp_path: Path) -> None:
    served = write_model(shared_bundle, tmp_path / "models", name="streets")
    model = tmp_path / "models/streets"
    found = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    config = config_of(model)
    warm_up = config.model_warmup[0].inputs["image"].input_data_file
    assert found == {".hardedge.json", "config.pbtxt", "1/model.onnx", "1/served.json", f"warmup/{warm_up}"}
    assert (model / "1/model.onnx").read_bytes() == (shared_bundle / "model.onnx").read_bytes()
    assert (config.name, config.platform, config.max_batch_size) == ("streets", "onnxruntime_onnx", 2)
    (given,), (mask,) = config.input, config.output
    assert (given.name, given.data_type, list(given.dims)) == ("image", pb.TYPE_UINT8, [-1, -1, 3])
    assert (mask.name, mask.data_type, list(mask.dims)) == ("mask", pb.TYPE_UINT8, [-1, -1])
    assert config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1
    assert [(group.kind, group.count) for group in config.instance_group] == [(pb.ModelInstanceGroup.KIND_AUTO, 1)]
    assert load(ServedModel, model / "1") == served
    assert served.made_from == load(Bundle, shared_bundle).digest


def test_the_request_that_warms_it_up_is_a_golden_image(shared_bundle: Path, tmp_path: Path) -> None:
    write_model(shared_bundle, tmp_path, name="streets")
    id = load(Bundle, shared_bundle).golden[0]
    (mask_BHW,) = computed(tmp_path / "streets", 1, warm_up_of(tmp_path / "streets"))
    assert np.array_equal(mask_BHW[0], read_mask(shared_bundle / f"golden/masks/{id}.png"))


def test_zeros_of_the_typical_size_or_nothing_warm_it_up(shared_bundle: Path, tmp_path: Path) -> None:
    write_model(shared_bundle, tmp_path, name="zeros", warm_up="zeros")
    assert warm_up_of(tmp_path / "zeros").shape == (1, 64, 96, 3)
    write_model(shared_bundle, tmp_path, name="cold", warm_up="none")
    assert not config_of(tmp_path / "cold").model_warmup
    for name in ("zeros", "cold"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [".hardedge.json", "1", "config.pbtxt"]


def test_each_profile_is_warmed_up_and_the_smallest_of_their_batches_holds(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    small, large = (
        Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(4, 64, 96), name="small"),
        Profile(min=(1, 128, 128), opt=(1, 256, 256), max=(2, 256, 256), name="large"),
    )
    resealed(own_bundle, profiles=(small, large))
    assert write_model(own_bundle, tmp_path / "models", name="streets").max_batch_size == 2
    requests = {each.name: each.inputs["image"] for each in config_of(tmp_path / "models/streets").model_warmup}
    assert re.fullmatch(r"small-[0-9a-f]{8}\.raw", requests["small"].input_data_file)
    assert list(requests["large"].dims) == [256, 256, 3]
    assert requests["large"].WhichOneof("input_data_type") == "zero_data"  # no golden image is so large


def test_batches_instances_and_versions_are_as_asked(shared_bundle: Path, tmp_path: Path) -> None:
    serving = Serving(instances=3, kind="cpu", preferred=(2, 1, 2), delay=500, versions=4)
    write_model(shared_bundle, tmp_path, name="streets", version=7, serving=serving)
    config = config_of(tmp_path / "streets")
    assert list(config.dynamic_batching.preferred_batch_size) == [1, 2]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert (config.instance_group[0].kind, config.instance_group[0].count) == (pb.ModelInstanceGroup.KIND_CPU, 3)
    assert config.version_policy.latest.num_versions == 4
    assert (tmp_path / "streets/7/model.onnx").is_file()


def changed_model(bundle: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(bundle / "model.onnx")
    change(model)
    onnx.save(model, bundle / "model.onnx")


def fixed(model: onnx.ModelProto) -> None:
    """A batch of 2 at 64x96, as an export of one fixed size with one batch is."""
    for value, shape in ((model.graph.input[0], (2, 64, 96, 3)), (model.graph.output[0], (2, 64, 96))):
        for dimension, length in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            dimension.dim_value = length


def test_a_fixed_batch_is_a_dimension_and_forms_no_batches(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    changed_model(own_bundle, fixed)
    size = (2, 64, 96)
    resealed(own_bundle, profiles=(Profile(min=size, opt=size, max=size),))
    write_model(own_bundle, tmp_path / "models", name="streets")
    model = tmp_path / "models/streets"
    config = config_of(model)
    assert (config.max_batch_size, list(config.input[0].dims)) == (0, [2, 64, 96, 3])
    assert list(config.output[0].dims) == [2, 64, 96]
    assert not config.HasField("dynamic_batching")
    (mask_BHW,) = computed(model, 1, warm_up_of(model))
    assert mask_BHW.shape == size
    with pytest.raises(BadInput, match="takes a fixed batch, so Triton forms no batches"):
        write_model(own_bundle, tmp_path / "models", name="other", serving=Serving(delay=1))
    assert not (tmp_path / "models/other").exists()


def with_logits(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3, "h", "w"]))


def test_further_outputs_are_told_with_their_types(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    changed_model(own_bundle, with_logits)
    resealed(own_bundle)
    write_model(own_bundle, tmp_path / "models", name="streets")
    config = config_of(tmp_path / "models/streets")
    described = [(output.name, output.data_type, list(output.dims)) for output in config.output]
    assert described == [("mask", pb.TYPE_UINT8, [-1, -1]), ("logits", pb.TYPE_FP32, [3, -1, -1])]
    image_BHWC = warm_up_of(tmp_path / "models/streets")
    mask_BHW, logits_BCHW = computed(tmp_path / "models/streets", 1, image_BHWC)
    assert np.array_equal(logits_BCHW.argmax(1), mask_BHW)


def write_tensor_model(path: Path) -> None:
    """A network whose logits are its normalised input."""
    sizes = ["batch", 3, "height", "width"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("image", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["logits"])], "tensor", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def test_the_tensor_frontend_is_warmed_up_with_normalised_images(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    with pytest.raises(BadInput, match="has no model.tensor.onnx. hardedge export --frontend tensor writes it"):
        write_model(own_bundle, tmp_path / "models", name="streets", precision="tensor")
    write_tensor_model(own_bundle / "model.tensor.onnx")
    resealed(own_bundle, tensor=TensorModel(path="model.tensor.onnx", onnx_digest="0" * 64, logit_difference=0.0))
    write_model(own_bundle, tmp_path / "models", name="streets", precision="tensor")
    model = tmp_path / "models/streets"
    config = config_of(model)
    assert (config.input[0].data_type, list(config.input[0].dims)) == (pb.TYPE_FP32, [3, -1, -1])
    (logits_BCHW,) = computed(model, 1, warm_up_of(model))
    from PIL import Image

    bundle = load(Bundle, own_bundle)
    with Image.open(own_bundle / f"golden/images/{bundle.golden[0]}.png") as picture:
        image_HWC = np.asarray(picture, np.float64)
    expected_HWC = (image_HWC / 255 - bundle.normalisation.mean) / bundle.normalisation.std
    np.testing.assert_allclose(logits_BCHW[0].transpose(1, 2, 0), expected_HWC, atol=1e-5)  # float32 against float64


def test_weights_beside_the_file_come_along(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of one file lowered, as in tests/test_onnx_files.py: no file of 2 GiB is made here."""
    from hardedge.graphs import files as onnx_files

    model = onnx.load(own_bundle / "model.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(onnx_files, "LARGEST", 1)
        patch.setattr(onnx_files, "_SMALL", 1)
        onnx_files.write_onnx(model, own_bundle / "model.onnx")
    resealed(own_bundle)
    write_model(own_bundle, tmp_path / "models", name="streets")
    place = tmp_path / "models/streets/1"
    assert sorted(path.name for path in place.iterdir()) == ["model.onnx", "model.onnx.data", "served.json"]
    assert computed(place.parent, 1, warm_up_of(place.parent))[0].shape == (1, 64, 96)


def test_an_engine_of_tensorrt_is_a_plan_with_its_profiles(shared_bundle: Path, tmp_path: Path) -> None:
    engine = write_engine(tmp_path / "engine", shared_bundle, options=BuildOptions(dla=1))
    served = write_model(shared_bundle, tmp_path / "models", name="streets", engine=engine)
    config = config_of(tmp_path / "models/streets")
    assert (config.platform, served.source) == ("tensorrt_plan", "model.plan")
    assert (tmp_path / "models/streets/1/model.plan").read_bytes() == b"plan"
    (group,) = config.instance_group
    assert (group.kind, list(group.profile)) == (pb.ModelInstanceGroup.KIND_GPU, ["0"])
    assert [(each.kind, each.device_id) for each in group.secondary_devices] == [(group.SecondaryDevice.KIND_NVDLA, 1)]
    with pytest.raises(BadInput, match="--on cpu: an engine of TensorRT runs on a GPU"):
        write_model(shared_bundle, tmp_path / "models", name="cpu", engine=engine, serving=Serving(kind="cpu"))


def test_an_engine_of_onnxruntime_is_its_onnx_file(shared_bundle: Path, shared_engine: Path, tmp_path: Path) -> None:
    served = write_model(shared_bundle, tmp_path, name="streets", engine=shared_engine)
    assert (served.platform, served.source) == ("onnxruntime_onnx", "model.onnx")
    assert computed(tmp_path / "streets", 1, warm_up_of(tmp_path / "streets"))[0].shape == (1, 64, 96)


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        ("tensorrt-rtx:sm86", {}, r"loads plans of TensorRT alone.*--target tensorrt"),
        ("tensorrt", {"weights": "model.onnx"}, "built with --strip-weights, and Triton does not refit"),
        ("tensorrt", {"made_from": "1" * 64}, "was built from another bundle"),
    ],
)
def test_an_engine_that_triton_cannot_load_is_refused(
    shared_bundle: Path, tmp_path: Path, target: str, changes: dict[str, Any], said: str
) -> None:
    engine = write_engine(tmp_path / "engine", shared_bundle, target, **changes)
    with pytest.raises(BadInput, match=said):
        write_model(shared_bundle, tmp_path / "models", name="streets", engine=engine)
    assert not (tmp_path / "models").exists()


def test_a_version_is_replaced_by_force_alone_and_the_others_stay(shared_bundle: Path, tmp_path: Path) -> None:
    for version in (1, 2):
        write_model(shared_bundle, tmp_path, name="streets", version=version)
    model = tmp_path / "streets"
    kept = (model / "1/model.onnx").stat().st_ino
    with pytest.raises(BadInput, match="2 exists. Give another --out, or --force to replace it"):
        write_model(shared_bundle, tmp_path, name="streets", version=2)
    before = (model / "2/model.onnx").stat().st_ino
    write_model(shared_bundle, tmp_path, name="streets", version=2, serving=Serving(instances=2), force=True)
    assert (model / "1/model.onnx").stat().st_ino == kept
    assert (model / "2/model.onnx").stat().st_ino != before
    assert config_of(model).instance_group[0].count == 2
    assert len(list((model / "warmup").iterdir())) == 1
    write_model(shared_bundle, tmp_path, name="streets", version=2, warm_up="none", force=True)
    assert not (model / "warmup").exists()  # whose files nothing names


def test_a_version_with_other_tensors_is_refused(
    shared_bundle: Path, own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    write_model(shared_bundle, tmp_path / "models", name="streets")
    changed_model(own_bundle, with_logits)
    resealed(own_bundle)
    with pytest.raises(BadInput) as caught:
        write_model(own_bundle, tmp_path / "models", name="streets", version=2)
    assert "outputs mask TYPE_UINT8 [-1, -1], expected mask TYPE_UINT8 [-1, -1]; logits" in str(caught.value)
    assert "Give another --name, or remove version 1" in str(caught.value)
    write_model(own_bundle, tmp_path / "models", name="streets", version=1, force=True)  # nothing else is left of it
    assert [output.name for output in config_of(tmp_path / "models/streets").output] == ["mask", "logits"]


def test_versions_that_are_served_together_take_the_same_sizes(
    shared_bundle: Path, own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    write_model(shared_bundle, tmp_path / "models", name="streets")
    resealed(own_bundle, profiles=(Profile(min=(1, 32, 32), opt=(1, 256, 256), max=(2, 256, 256)),))
    with pytest.raises(BadInput, match="version 1: sizes default 1x32x32 to 2x128x192"):
        write_model(own_bundle, tmp_path / "models", name="streets", version=2, serving=Serving(versions=2))
    write_model(own_bundle, tmp_path / "models", name="streets", version=2)  # alone: nothing of version 1 is warmed up


def test_an_earlier_version_is_told_not_to_be_served(
    shared_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(shared_bundle, tmp_path, name="streets", version=5)
    write_model(shared_bundle, tmp_path, name="streets", version=3)
    assert "Triton goes on with version 5 of streets" in capsys.readouterr().err


def test_what_is_no_model_of_triton_is_left_alone(shared_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "streets").mkdir()
    (tmp_path / "streets/notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="has no config.pbtxt: no model of Triton"):
        write_model(shared_bundle, tmp_path, name="streets", force=True)
    (tmp_path / "streets/config.pbtxt").write_text("nonsense {")
    (tmp_path / "streets/1").mkdir()
    with pytest.raises(BadInput, match="is no configuration of Triton"):
        write_model(shared_bundle, tmp_path, name="streets", version=2)
    (tmp_path / "streets/1/model.onnx").write_text("theirs")
    with pytest.raises(BadInput, match="holds files that hardedge did not write"):
        write_model(shared_bundle, tmp_path, name="streets", version=1, force=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "../up"}, "--name '../up': expected letters"),
        ({"name": "stra\N{LATIN SMALL LETTER SHARP S}e"}, "expected letters"),
        ({"name": "streets", "version": 0}, "--version 0: Triton counts versions from 1"),
        ({"name": "streets", "version": 2**63}, "--version 9223372036854775808: Triton counts versions from 1"),
        ({"name": "streets", "precision": "int8"}, "the bundle has no int8 model"),
        ({"name": "streets", "precision": "bf16"}, "onnxruntime has no BF16 convolutions. Build an engine"),
        ({"name": "streets", "serving": Serving(preferred=(8,))}, "--preferred-batch 8: the profiles hold .* 1 to 2"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    shared_bundle: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        write_model(shared_bundle, tmp_path / "models", **given)
    assert not (tmp_path / "models").exists()


def test_a_repository_within_what_is_read_is_refused(shared_bundle: Path) -> None:
    before = sorted(shared_bundle.iterdir())
    for repository in (shared_bundle, shared_bundle / "models"):
        with pytest.raises(BadInput, match="which is read. Give a place beside it"):
            write_model(shared_bundle, repository, name="streets")
    assert sorted(shared_bundle.iterdir()) == before


def test_profiles_without_single_images_are_refused(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    resealed(own_bundle, profiles=(Profile(min=(2, 64, 96), opt=(2, 64, 96), max=(4, 64, 96)),))
    with pytest.raises(BadInput, match="Triton asks for single images too"):
        write_model(own_bundle, tmp_path / "models", name="streets")


def test_only_what_is_trusted_is_served(own_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    public = write_keys(tmp_path / "key")
    trust = read_trust(public)
    with pytest.raises(BadInput, match="bundle.json.sig"):
        write_model(own_bundle, tmp_path / "models", name="streets", trust=trust)
    sign(own_bundle, tmp_path / "key")
    write_model(own_bundle, tmp_path / "models", name="streets", trust=trust)
    engine = write_engine(tmp_path / "engine", own_bundle)
    with pytest.raises(BadInput, match="engine.json.sig"):
        write_model(own_bundle, tmp_path / "models", name="plan", engine=engine, trust=trust)
    sign(engine, tmp_path / "key")
    assert write_model(own_bundle, tmp_path / "models", name="plan", engine=engine, trust=trust).source == "model.plan"


def test_a_failure_leaves_the_old_version_or_none(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, out: Path) -> None:
        shutil.copyfile(source, out)
        raise OSError(28, "No space left on device")

    write_model(shared_bundle, tmp_path, name="streets")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(triton, "copy_onnx", full)
    for name, version, force in (("other", 1, False), ("streets", 1, True)):
        with pytest.raises(OSError, match="No space left"):
            write_model(shared_bundle, tmp_path, name=name, version=version, force=force)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_configuration_that_was_not_replaced_has_its_requests(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the version and before its configuration: other images, and the old request still fits."""
    write_model(own_bundle, tmp_path / "models", name="streets")
    model = tmp_path / "models/streets"
    before = warm_up_of(model)
    bundle = load(Bundle, own_bundle)
    resealed(own_bundle, golden=bundle.golden[1:])

    def killed(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(triton, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_model(own_bundle, tmp_path / "models", name="streets", version=2)
    assert (model / "2/model.onnx").is_file()
    assert np.array_equal(warm_up_of(model), before)
    monkeypatch.undo()
    write_model(own_bundle, tmp_path / "models", name="streets", version=2, force=True)
    assert not np.array_equal(warm_up_of(model), before)
    assert len(list((model / "warmup").iterdir())) == 1


def test_a_configuration_that_says_something_else_is_noticed(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = triton.config_text
    monkeypatch.setattr(triton, "config_text", lambda config: text(config).replace("TYPE_UINT8", "TYPE_INT8"))
    with pytest.raises(AssertionError, match="TYPE_INT8"):
        write_model(shared_bundle, tmp_path / "models", name="streets")
    assert list((tmp_path / "models").iterdir()) == []


def test_without_the_extra_the_command_is_told(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[triton\]'"):
        write_model(shared_bundle, tmp_path / "models", name="streets")
