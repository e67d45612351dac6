"""TensorRT's runtime against a fake GPU: the masks, the order of the calls, and that every name is a real one."""

import ast
import gc
import importlib.util
import json
import re
import subprocess
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import BuildOptions, Bundle, Engine, load, seal
from hardedge.data.decoding import read_mask
from hardedge.deploy import Segmenter
from hardedge.deploy.prediction.predict import predict
from hardedge.deploy.tensorrt import cuda
from hardedge.deploy.tensorrt.runner import TensorRTRunner
from hardedge.errors import BadInput, Unavailable

SMALL = ((1, 32, 32), (1, 48, 64), (4, 64, 96))
LARGE = ((1, 65, 97), (1, 128, 192), (2, 256, 256))
CUDA_API = json.loads((Path(__file__).parent / "cuda_api.json").read_text())

_spec = importlib.util.spec_from_file_location("fake_gpu", Path(__file__).parent / "fake_gpu.py")
assert _spec is not None
assert _spec.loader is not None
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


def opened(plan: bytes = b"plan") -> TensorRTRunner:
    return TensorRTRunner("model.plan", plan, False, BuildOptions(), None)


def images(seed: int, batch: int = 1, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), np.uint8)


def test_masks_of_changing_sizes_and_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL, LARGE)
    runner = opened()
    sizes = [(1, 48, 64)] * 3 + [(4, 64, 96)] * 3 + [(2, 200, 100)] * 2 + [(1, 48, 64)] * 3 + [(1, 32, 32)]
    for seed, size in enumerate(sizes):
        images_BHWC = images(seed, *size)
        assert np.array_equal(runner.masks(images_BHWC), images_BHWC.argmax(-1)), size
    chosen = [call[1] for call in gpu.calls if call[0] == "set_optimization_profile_async"]
    assert chosen == [0, 1, 0]
    runner.close()
    assert (gpu.memory, gpu.queues, gpu.graphs) == ({}, {}, {})


def test_the_masks_are_the_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, SMALL)
    runner = opened()
    first = runner.masks(images(0))
    kept = first.copy()
    runner.masks(images(1))
    assert np.array_equal(first, kept)
    # a view of another array, in another order in memory
    turned_BHWC = images(2, 1, 64, 48).transpose(0, 2, 1, 3)
    assert np.array_equal(runner.masks(turned_BHWC), turned_BHWC.argmax(-1))


def test_one_run_is_copied_in_computed_and_copied_out_and_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    for seed in range(2):
        runner.masks(images(seed))
    assert runner._execution.graph
    gpu.calls.clear()
    runner.masks(images(2))
    assert gpu.names_called() == ["cudaMemcpyAsync", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    kinds = [call[4] for call in gpu.calls if call[0] == "cudaMemcpyAsync"]
    assert kinds == ["in", "out"]


def test_a_graph_is_captured_for_the_second_run_of_a_size_and_dropped_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    counted = []
    for size in [(1, 48, 64), (1, 48, 64), (1, 48, 64), (1, 40, 40), (1, 41, 41), (1, 41, 41)]:
        runner.masks(images(0, *size))
        counted.append((gpu.names_called().count("cudaStreamBeginCapture"), runner._execution.graph))
    assert counted == [(0, False), (1, True), (1, True), (1, False), (1, False), (2, True)]
    assert gpu.names_called().count("cudaGraphExecDestroy") == 1


def test_what_cannot_be_captured_runs_without_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    gpu.capturable = False
    runner = opened()
    for seed in range(4):
        assert np.array_equal(runner.masks(images(seed)), images(seed).argmax(-1))
    assert (runner._execution.graph, gpu.names_called().count("cudaStreamBeginCapture")) == (False, 1)
    runner.close()
    assert gpu.memory == {}


def test_streamed_batches_come_in_order_over_two_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL, LARGE)
    runner = opened()
    sizes = [(1, 48, 64)] * 5 + [(2, 100, 100)] * 3 + [(1, 48, 64)] * 2
    batches = [images(seed, *size) for seed, size in enumerate(sizes)]
    masks = list(runner.stream(iter(batches)))
    assert len(masks) == len(batches)
    for images_BHWC, masks_BHW in zip(batches, masks, strict=True):
        assert np.array_equal(masks_BHW, images_BHWC.argmax(-1))
    assert len({call[5] for call in gpu.calls if call[0] == "cudaMemcpyAsync"}) == 2
    assert gpu.names_called().count("create_execution_context") == 2


def test_a_batch_is_on_its_stream_before_the_one_before_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    list(runner.stream(images(seed) for seed in range(8)))
    launch, wait = "cudaGraphLaunch", "cudaStreamSynchronize"
    steps = [name for name in gpu.names_called() if name in (launch, wait)]
    # batch 2 is the first with a graph; its slot is waited for (batch 0) while batch 1 is on the other stream
    assert steps[-16:] == [wait, launch] * 6 + [wait, wait] + [wait, wait], "the last two: the slots are given back"
    assert steps.count(launch) == 6


def test_a_stream_that_is_given_up_leaves_the_runner_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    masks = runner.stream(images(seed) for seed in range(5))
    next(masks)
    masks.close()  # type: ignore[attr-defined]
    assert (gpu.memory, gpu.queues) == ({}, {})
    assert np.array_equal(runner.masks(images(9)), images(9).argmax(-1))
    assert [mask.shape for mask in runner.stream([images(1), images(2)])] == [(1, 48, 64)] * 2
    runner.close()


@pytest.mark.parametrize("error", [ValueError("the caller's"), OSError(5, "Input/output error"), RuntimeError("own")])
def test_what_the_callers_batches_raise_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()

    def batches() -> Iterator[np.ndarray]:
        yield from (images(seed) for seed in range(3))
        raise error

    with pytest.raises(type(error)) as caught:
        list(runner.stream(batches()))
    assert caught.value is error
    assert (gpu.memory, gpu.queues) == ({}, {})
    gpu.fails = "cudaStreamSynchronize"
    with pytest.raises(Unavailable, match="the images do not run"):
        list(runner.stream([images(0)]))


def test_a_closed_runner_holds_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT keeps a network's weights on the GPU for as long as somebody holds its engine."""
    fake.install(monkeypatch, SMALL)
    runner = opened()
    runner.masks(images(0))
    engine = weakref.ref(runner._engine)
    assert engine() is not None
    runner.close()
    gc.collect()
    assert engine() is None
    runner.close()


def test_single_batches_between_those_of_a_stream_disturb_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, SMALL)
    runner = opened()
    for seed, masks_BHW in enumerate(runner.stream(images(seed) for seed in range(6))):
        assert np.array_equal(runner.masks(images(100 + seed)), images(100 + seed).argmax(-1))
        assert np.array_equal(masks_BHW, images(seed).argmax(-1))


def test_buffers_are_of_the_size_that_the_engine_asks_for_and_grow_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL, extra=True)
    runner = opened()
    for height in (32, 64, 48, 64, 33):
        runner.masks(images(0, 1, height, 64))
    sizes = [call[1] for call in gpu.calls if call[0] == "cudaMalloc"]
    pixels = (32 * 64, 64 * 64)
    assert sizes == [size for count in pixels for size in (3 * count, count + 64, 4 * count + 64)]
    pinned = [call[1] for call in gpu.calls if call[0] == "cudaHostAlloc"]
    assert pinned == [size for count in pixels for size in (3 * count, count + 64)]


def test_parts_are_waited_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    for _ in range(2):
        runner.parts(images(0))
    gpu.calls.clear()
    parts = runner.parts(images(0))
    assert all(part > 0 for part in parts)
    copy, wait = "cudaMemcpyAsync", "cudaStreamSynchronize"
    assert gpu.names_called() == [copy, wait, "cudaGraphLaunch", wait, copy, wait]


def test_a_size_outside_every_profile_is_told_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, SMALL, LARGE)
    runner = opened()
    with pytest.raises(BadInput, match=r"1x300x64 fit no profile of the engine: 0 1x32x32 to 4x64x96; 1 1x65x97"):
        runner.masks(images(0, 1, 300, 64))
    assert np.array_equal(runner.masks(images(1)), images(1).argmax(-1))


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaStreamSynchronize"])
def test_a_failure_of_cuda_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    gpu = fake.install(monkeypatch, SMALL)
    runner = opened()
    gpu.fails = call
    with pytest.raises(Unavailable, match=r"images of 1x48x64x3 do not run \(CUDA: out of memory\)"):
        runner.masks(images(0))
    gpu.fails = None
    assert np.array_equal(runner.masks(images(1)), images(1).argmax(-1))


def test_a_profile_that_failed_halfway_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake.install(monkeypatch, SMALL, LARGE)
    runner = opened()
    runner.masks(images(0))
    gpu.fails = "cudaMalloc"
    with pytest.raises(Unavailable, match="out of memory"):
        runner.masks(images(1, 1, 200, 200))
    gpu.fails = None
    for size in ((1, 48, 64), (1, 200, 200)):
        assert np.array_equal(runner.masks(images(2, *size)), images(2, *size).argmax(-1))


def test_an_engine_of_other_types_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, SMALL, kind="DataType.INT32")
    with pytest.raises(BadInput, match=r"'mask': 'INT32'.*both UINT8"):
        opened()


def test_a_plan_that_does_not_load_is_told_with_tensorrts_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.install(monkeypatch, SMALL)
    with pytest.raises(Unavailable, match=r"model.plan does not load on this machine \(the plan's magic tag"):
        opened(b"other")
    assert capfd.readouterr() == ("", "")


def write_engine(directory: Path, bundle: Path) -> Path:
    """An engine directory of the bundle, as TensorRT 10.16.1.11 would have left it."""
    source = load(Bundle, bundle)
    directory.mkdir()
    (directory / "model.plan").write_bytes(b"plan")
    manifest = Engine(
        schema_id=Engine.SCHEMA,
        hardedge="0",
        made_from=source.digest,
        files={},
        target="tensorrt",
        precision="fp32",
        plan="model.plan",
        onnx_digest=source.models[0].onnx_digest,
        builder="tensorrt",
        builder_version="10.16.1.11",
        profiles=source.profiles,
        seconds=1.0,
    )
    seal(directory, manifest)
    return directory


def test_predict_streams_a_folder_through_an_engine(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = fake.install(monkeypatch, ((1, 32, 32), (1, 64, 96), (2, 128, 192)))
    engine = write_engine(tmp_path / "engine", shared_bundle)
    (tmp_path / "in").mkdir()
    sizes = [(48, 64)] * 6 + [(100, 70)] * 3 + [(48, 64)] * 4
    for seed, (height, width) in enumerate(sizes):
        Image.fromarray(images(seed, 1, height, width)[0]).save(tmp_path / "in" / f"{seed:02d}.png")
    masks = predict(shared_bundle, [tmp_path / "in"], tmp_path / "out", engine=engine)
    for seed, (height, width) in enumerate(sizes):
        assert np.array_equal(read_mask(masks[seed]), images(seed, 1, height, width)[0].argmax(-1))
    assert "cudaGraphLaunch" in gpu.names_called()
    assert (gpu.memory, gpu.queues) == ({}, {})


def test_a_segmenter_of_an_engine(shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.install(monkeypatch, ((1, 32, 32), (1, 64, 96), (2, 128, 192)))
    with Segmenter.load(write_engine(tmp_path / "engine", shared_bundle)) as segmenter:
        assert (segmenter.target, segmenter.task) == ("tensorrt", None)
        assert np.array_equal(segmenter(images(0, 2)), images(0, 2).argmax(-1))
        with pytest.raises(BadInput, match="fit no profile"):
            segmenter(images(0, 3))


def test_every_name_of_cuda_is_in_every_recorded_version() -> None:
    """cuda-bindings 12.9.2 (JetPack 6's CUDA) and 13.5.0; the fake runtime has no name beside them either."""
    tree = ast.parse(Path(cuda.__file__).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("cuda")}
    assert {"cudaGraphLaunch", "cudaHostAlloc", "cudaMemcpyAsync"} <= used
    for version, names in CUDA_API.items():
        members = {member for kind in names.values() if isinstance(kind, list) for member in kind}
        assert used - set(names) - members == set(), version
        assert {name for name in vars(fake.Runtime) if name.startswith("cuda")} <= set(names)


def test_every_call_of_cuda_has_as_many_arguments_as_recorded() -> None:
    checked = 0
    for node in ast.walk(ast.parse(Path(cuda.__file__).read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        for version, names in CUDA_API.items():
            signature = re.fullmatch(r"\w+\((.*)\)", str(names.get(node.func.attr, "")))
            if signature:
                count = len([part for part in signature[1].split(",") if part.strip()])
                assert len(node.args) == count, (node.func.attr, version)
                checked += 1
    assert checked >= 30


@pytest.mark.gpu
def test_a_real_engine_gives_the_masks_of_onnxruntime(
    shared_bundle: Path, tmp_path: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Built and run by TensorRT itself: one batch at a time, streamed, at sizes that change; with a graph."""
    pytest.importorskip("tensorrt", reason="needs TensorRT")
    from hardedge.deploy.engines.build import build
    from hardedge.deploy.engines.open import open_runner
    from hardedge.deploy.machine import compute_capability
    from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner

    if compute_capability() is None:
        pytest.skip("no GPU answers")
    build(shared_bundle, "tensorrt", tmp_path / "engine")
    runner, reference = open_runner(tmp_path / "engine"), OnnxRuntimeRunner(shared_bundle / "model.onnx")
    assert isinstance(runner, TensorRTRunner)
    batches = [images(seed, 1 + seed % 2, 64, 96 if seed < 6 else 64) for seed in range(9)]
    expected = [reference.masks(batch) for batch in batches]
    for batch, masks_BHW, streamed_BHW in zip(batches, expected, runner.stream(batches), strict=True):
        assert np.array_equal(runner.masks(batch), masks_BHW)
        assert np.array_equal(streamed_BHW, masks_BHW)
    for _ in range(3):
        runner.masks(batches[0])
    assert runner._execution.graph
    runner.close()
