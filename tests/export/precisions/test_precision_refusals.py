"""A conversion that TensorRT does not take: one message with the node, why, and what to do."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hardedge.contracts import EngineCheck, Profile
from hardedge.data.dataset import Dataset
from hardedge.errors import BadInput
from hardedge.export.precisions import write as precisions
from hardedge.export.precisions.accuracy import PrecisionReference
from hardedge.export.precisions.convert import Converted, convert
from hardedge.export.precisions.coverage import kept_nodes, unquantised_for
from hardedge.export.precisions.engine_checks import EngineRefused
from hardedge.export.precisions.legality import require_legal
from hardedge.export.precisions.write import Origin

PROFILE = Profile(min=(1, 64, 96), opt=(1, 64, 96), max=(1, 64, 96))


def images_of(bundle: Path) -> list[Path]:
    return sorted((bundle / "calibration").glob("*.png"))


def with_determinant(bundle: Path, folder: Path) -> tuple[Path, str]:
    """model.onnx with an operator that TensorRT does not have, and the name of its node there."""
    model = onnx.load(bundle / "model.onnx")
    argmax = next(node for node in model.graph.node if node.op_type == "ArgMax")
    logits = argmax.input[0]
    eye = numpy_helper.from_array(np.eye(2, dtype=np.float32), "eye")
    model.graph.initializer.append(eye)
    nodes = [helper.make_node("Det", ["eye"], ["one"], "my_det"), helper.make_node("Mul", [logits, "one"], ["again"])]
    place = list(model.graph.node).index(argmax)
    argmax.input[0] = "again"
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx", "my_det"


def test_an_operator_that_tensorrt_lacks_is_named(typed_bundle: Path, tmp_path: Path) -> None:
    source, name = with_determinant(typed_bundle, tmp_path)
    with pytest.raises(BadInput) as refusal:
        convert(source, "fp16", images_of(typed_bundle))
    first, found, fix = str(refusal.value).splitlines()
    assert first.startswith("fp16: NVIDIA's parser would refuse the converted file")
    assert found.endswith(f" (Det): an operator that TensorRT does not have ({name} of model.onnx)")
    assert fix == "Leave this precision out, or change what the network does there."


def test_many_findings_are_cut_short(typed_bundle: Path) -> None:
    model = onnx.load(typed_bundle / "model.int8.onnx")
    for tensor in model.graph.initializer:
        if "Quantize" in "".join(node.op_type for node in model.graph.node if tensor.name in node.input[1:2]):
            tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))
    with pytest.raises(BadInput, match=r"int8: .*\n(.*has a scale of 0\n){8}  and \d+ more\nLeave this precision out"):
        require_legal(model, "int8", {})


def test_a_node_that_builders_get_wrong_without_a_word_is_refused(typed_bundle: Path) -> None:
    model = onnx.load(typed_bundle / "model.onnx")
    pooled = next(node for node in model.graph.node if node.op_type == "Conv").input[0]
    grid = numpy_helper.from_array(np.zeros((2, 4, 4, 2), np.float32), "grid")
    model.graph.initializer.append(grid)
    model.graph.node.append(onnx.helper.make_node("GridSample", [pooled, "grid"], ["warped"], "warp"))
    place = next(place for place, node in enumerate(model.graph.node) if pooled in node.output)
    model.graph.node.insert(place + 1, model.graph.node.pop())
    with pytest.raises(BadInput, match=r"fp32: engines would be built, and be wrong:\n  warp \(GridSample\)"):
        require_legal(model, "fp32", {})


@pytest.mark.slow
def test_a_refused_node_is_kept_out_and_says_why(typed_bundle: Path) -> None:
    model = onnx.load(typed_bundle / "model.onnx")
    convolution = next(node.name for node in model.graph.node if node.op_type == "Conv")
    for precision, kept in (("fp16", "fp32"), ("int8", "fp16")):
        why = f"TensorRT-RTX refused it in {precision.upper()}: no such kernel"
        converted = convert(typed_bundle / "model.onnx", precision, images_of(typed_bundle), keep={convolution: why})
        (found,) = [node for node in kept_nodes(converted, precision, (1, 64, 96)) if node.source == convolution]
        assert (found.operator, found.precision, found.why) == ("Conv", kept, why)


@pytest.fixture
def conversions(typed_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Conversions give the bundle's own INT8 file; what was to be kept in each of them."""
    asked: list[dict[str, str]] = []
    model = onnx.load(typed_bundle / "model.int8.onnx")
    sources = {node.name: f"source of {node.name}" for node in model.graph.node}

    def converted(*_: object, keep: dict[str, str], **__: object) -> Converted:
        asked.append(keep)
        return Converted(model, "a tool", sources, {})

    monkeypatch.setattr(precisions, "convert", converted)
    return asked


def origin(bundle: Path) -> Origin:
    return Origin(fp32=bundle / "model.onnx", images=[], profiles=(PROFILE,), with_facts=lambda model: model)


def test_nodes_that_a_builder_refuses_are_left_out_one_after_another(
    typed_bundle: Path, tmp_path: Path, conversions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter(["n3", "n5"])

    def refusing(*_: object) -> tuple[EngineCheck, ...]:
        if name := next(refusals, None):
            raise EngineRefused(name, f"{name} has no kernel")
        return (EngineCheck(target="tensorrt-rtx:sm86", status="built", detail=""),)

    monkeypatch.setattr(precisions, "check_engines", refusing)
    made = precisions.write_precision(origin(typed_bundle), "int8", tmp_path)
    first = {"source of n3": "TensorRT-RTX refused it in INT8: n3 has no kernel"}
    second = {**first, "source of n5": "TensorRT-RTX refused it in INT8: n5 has no kernel"}
    assert conversions == [{}, first, second]
    assert [engine.status for engine in made.engines] == ["built"]


def test_a_builder_that_is_never_content_is_told(
    typed_bundle: Path, tmp_path: Path, conversions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1, 20))

    def refusing(*_: object) -> tuple[EngineCheck, ...]:
        raise EngineRefused(f"n{next(numbers)}", "no kernel")

    monkeypatch.setattr(precisions, "check_engines", refusing)
    with pytest.raises(BadInput, match=r"int8: .*one node after another:\n(  source of n\d: .*no kernel\n){5}Leave"):
        precisions.write_precision(origin(typed_bundle), "int8", tmp_path)
    assert len(conversions) == 5


def test_an_unknown_node_or_no_engine_at_all_is_told(
    typed_bundle: Path, tmp_path: Path, conversions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object) -> tuple[EngineCheck, ...]:
        raise EngineRefused("elsewhere", "no kernel")

    monkeypatch.setattr(precisions, "check_engines", refusing)
    with pytest.raises(BadInput, match="int8: TensorRT-RTX refused the network: no kernel"):
        precisions.write_precision(origin(typed_bundle), "int8", tmp_path)
    nowhere = (EngineCheck(target="tensorrt-rtx:sm75", status="not built", detail="BF16 needs SM80 or later"),)
    monkeypatch.setattr(precisions, "check_engines", lambda *_: nowhere)
    with pytest.raises(BadInput, match=r"no target's engine could be built:\n  tensorrt-rtx:sm75: BF16 needs SM80"):
        precisions.write_precision(origin(typed_bundle), "bf16", tmp_path)
    assert len(conversions) == 2


@pytest.mark.parametrize(
    ("operator", "dims", "precision", "why"),
    [
        ("Conv", (64, 1, 3, 3), "fp8", "16 channels or fewer"),
        ("Conv", (64, 16, 3, 3), "fp8", "16 channels or fewer"),
        ("Conv", (64, 16, 3, 3), "int8", "does not say why"),
        ("Conv", (64, 32, 7, 7), "fp8", "a filter of more than 32 values"),
        ("Conv", (64, 32, 7, 7), "int8", "does not say why"),
        ("ConvTranspose", (64, 32, 2, 2), "fp8", "no FP8 ConvTranspose"),
        ("MatMul", (256, 9), "int8", "a matrix with a side below 16"),
        ("MatMul", (256, 16), "int8", "does not say why"),
        ("Conv", (64, 1, 3, 3), "fp16", "does not say why"),
    ],
)
def test_what_model_optimizer_leaves_out_is_read_from_the_weights(
    operator: str, dims: tuple[int, ...], precision: str, why: str
) -> None:
    node = helper.make_node(operator, ["x", "w"], ["y"])
    assert why in unquantised_for(node, {"w": dims}, precision)


def test_after_a_failure_the_precisions_that_wait_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are made at a time: the third may begin before the failure of the first is seen, the fourth never does."""
    begun: list[str] = []
    making: list[Future[object]] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, *work: Any, **options: Any) -> Any:
            making.append(super().submit(*work, **options))
            return making[-1]

    def failing(_origin: Origin, precision: str, _out: Path, **_: object) -> None:
        begun.append(precision)
        end = time.monotonic() + 120
        while precision != "fp16" and not (len(making) == 4 and making[3].cancelled()) and time.monotonic() < end:
            time.sleep(0.01)  # until the failure is seen
        raise BadInput(f"{precision}: no")

    monkeypatch.setattr(precisions, "write_precision", failing)
    monkeypatch.setattr(precisions, "ThreadPoolExecutor", Pool)
    source = Origin(fp32=tmp_path / "model.onnx", images=[], profiles=(PROFILE,), with_facts=lambda model: model)
    reference = PrecisionReference(onnx.ModelProto(), (), cast(Dataset, None), tmp_path, ())
    with pytest.raises(BadInput, match="fp16: no"):
        precisions.write_precisions(source, ("fp16", "bf16", "int8", "fp8"), reference, tmp_path)
    assert "fp8" not in begun
