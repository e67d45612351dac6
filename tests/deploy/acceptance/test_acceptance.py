"""hardedge acceptance: a bundle through an engine, part by part; what fails, and what cannot run, is told."""

import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from hardedge.contracts import Acceptance, AcceptanceCheck, BuildOptions, Engine, json_schema, load, to_json
from hardedge.deploy.acceptance import engine_process, parts, stage
from hardedge.deploy.acceptance.engine_process import checks_of_engine, run_engine_parts
from hardedge.deploy.acceptance.parts import PROVES, Amounts, Subject, checked, match_golden, run_open_parts
from hardedge.deploy.acceptance.stage import BUNDLE, accept
from hardedge.deploy.acceptance.text import acceptance_text
from hardedge.deploy.acceptance.variants import refuse_wrong_engines
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.tensorrt.runner import TensorRTRunner
from hardedge.errors import BadInput, Unavailable

FEW = Amounts(loads=3, stream=9, seconds=0.05)

_spec = importlib.util.spec_from_file_location("fake_gpu", Path(__file__).parents[1] / "tensorrt" / "fake_gpu.py")
assert _spec is not None
assert _spec.loader is not None
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


def subject_of(bundle: Path, engine: Path) -> Subject:
    return Subject(load_bundle(bundle), engine, load(Engine, engine), FEW)


@pytest.fixture(scope="module")
def found(shared_bundle: Path) -> Acceptance:
    """The tests' own bundle on onnxruntime, in the processes that a user's runs in."""
    before = stage.QUICK
    stage.QUICK = FEW
    try:
        return accept(["onnxruntime:cpu", "tensorrt"], quick=True, bundle=shared_bundle)
    finally:
        stage.QUICK = before


def test_every_part_is_run_or_says_why_not(found: Acceptance) -> None:
    lines = {check.part: check for check in found.checks if check.target == "onnxruntime:cpu"}
    assert set(lines) == set(PROVES)
    assert found.verdict == "pass"
    statuses = {part: check.status for part, check in lines.items()}
    passed = {"build", "golden masks", "batch slots", "every profile", "two streams", "stream", "loads and frees"}
    assert {part for part, status in statuses.items() if status == "pass"} == {*passed, "wrong engine"}
    assert {part for part, status in statuses.items() if status == "not run"} >= {"CUDA graph", "refit", "timing cache"}
    assert lines["stream"].found.startswith("9 masks, 0 of them wrong")
    assert lines["wrong engine"].found == "1 of 1 refused, each with its reason"
    (absent,) = [check for check in found.checks if check.target == "tensorrt"]
    assert (absent.part, absent.status) == ("build", "not run")
    assert "tensorrt is not installed" in absent.found


def test_the_json_is_of_its_schema_and_names_nobody(found: Acceptance, tmp_path: Path) -> None:
    text = to_json(found)
    jsonschema.validate(json.loads(text), json_schema(Acceptance))
    for name in (str(Path.home()), os.uname().nodename, str(BUNDLE.parents[3])):
        assert name not in text
    assert "/tmp" not in text


def test_places_and_names_are_taken_out(tmp_path: Path) -> None:
    said = f"{Path.home()}/.venv/lib/x.so does not load on {os.uname().nodename}, {tmp_path}/model.plan: no such file"
    check = checked("tensorrt", "fp32", "build", ("fail", said))
    assert stage._without_places(check, str(tmp_path)).found == "x.so does not load on HOST, model.plan: no such file"


def test_the_table_tells_what_stays_unproven(found: Acceptance) -> None:
    text = acceptance_text(found)
    assert "PASS: every part that ran holds" in text
    assert "tensorrt fp32: not run: tensorrt is not installed" in text
    assert "Not proven here, refit: a plan without weights gets them back from the ONNX file (only TensorRT" in text
    bad = AcceptanceCheck(target="tensorrt", precision="int8", part="stream", status="fail", found="2 wrong", proves="")
    assert acceptance_text(Acceptance(**{**vars(found), "checks": (bad,)})).endswith("FAIL: tensorrt int8: stream")


def test_wrong_golden_masks_fail(own_bundle: Path, resealed: Callable[..., object], tmp_path: Path) -> None:
    from PIL import Image

    from hardedge.deploy.engines.build import build
    from hardedge.deploy.engines.open import open_runner

    for path in (own_bundle / "golden/masks").iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    resealed(own_bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    subject = subject_of(own_bundle, tmp_path / "engine")
    status, said = match_golden(subject, open_runner(tmp_path / "engine"))
    assert status == "fail"
    assert "at least 99.900%" in said


def test_a_process_that_ends_leaves_its_lines_and_one_about_its_end(
    shared_bundle: Path, shared_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(Engine, shared_engine)
    line = checked("onnxruntime:cpu", "fp32", "golden masks", ("pass", "all"))
    output = f"{engine_process._LINE}{json.dumps(vars(line))}\n"

    def ended(module: str, *arguments: str) -> object:
        from hardedge.child_process import ChildResult

        return ChildResult(-signal.SIGSEGV, output, "libnvinfer: no kernel image\n")

    monkeypatch.setattr(engine_process, "run_child", ended)
    first, last = checks_of_engine(shared_bundle, shared_engine, engine, FEW)
    assert (first, last.part, last.status) == (line, "batch slots", "fail")
    assert last.found == "the process ended with signal 11 at this part or before it: libnvinfer: no kernel image"


def test_an_engine_that_does_not_open_here_is_one_line(shared_bundle: Path, shared_engine: Path) -> None:
    def refuses(*_: object) -> object:
        raise Unavailable("tensorrt-rtx:sm86 was built ahead of time for sm86; no NVIDIA GPU answers here. Verify it.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_process, "open_runner", refuses)
        (line,) = run_engine_parts(subject_of(shared_bundle, shared_engine))
    assert (line.status, line.found[:32]) == ("not run", "built, not opened: tensorrt-rtx:")


def test_the_parts_of_tensorrt_on_the_planted_gpu(
    shared_bundle: Path, shared_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network names the brightest channel, which is not the bundle's: what compares with the bundle fails."""
    gpu = fake.install(monkeypatch, ((1, 31, 32), (1, 64, 96), (2, 128, 192)))
    runner = TensorRTRunner("model.plan", b"plan", False, BuildOptions(), None)
    subject = subject_of(shared_bundle, shared_engine)
    statuses = {check.part: check.status for check in run_open_parts(subject, runner)}
    assert statuses == {
        "golden masks": "fail",
        "batch slots": "pass",
        "every profile": "fail",
        "CUDA graph": "pass",
        "two streams": "pass",
        "stream": "pass",
        "energy": "not run",
    }
    gpu.capturable = False
    runner.close()
    other = TensorRTRunner("model.plan", b"plan", False, BuildOptions(), None)
    assert parts.match_graph(subject, other) == ("fail", "no graph was captured at the second run")


def test_an_altered_engine_that_opens_all_the_same_fails(
    shared_bundle: Path, shared_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardedge.deploy.acceptance import variants

    subject = subject_of(shared_bundle, shared_engine)
    assert refuse_wrong_engines(subject)[0] == "pass"

    class Open:
        def close(self) -> None:
            pass

    monkeypatch.setattr(variants, "open_runner", lambda path: Open())
    assert refuse_wrong_engines(subject) == ("fail", "not refused: model.onnx")


def test_memory_that_grows_fails(shared_bundle: Path, shared_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hardedge.child_process import ChildResult

    subject = subject_of(shared_bundle, shared_engine)
    grown = json.dumps([[100 << 20, 200 << 20], [None, None]])
    monkeypatch.setattr(parts, "run_child", lambda *_: ChildResult(0, f"{grown}\n", ""))
    assert parts.repeat_loads(subject) == ("fail", "host +104,857,600 bytes from load 1 to 3")


def test_the_shipped_bundle_is_small_whole_and_in_every_precision() -> None:
    bundle = load_bundle(BUNDLE)
    bundle.check()
    assert {model.precision for model in bundle.manifest.models} == {"fp32", "fp16", "bf16", "int8", "fp8"}
    assert len(bundle.manifest.profiles) == 2
    assert len(bundle.manifest.golden) >= 8
    assert sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file()) < 1_000_000


def test_the_command_writes_its_json_and_refuses_to_replace_it(
    tmp_path: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out = tmp_path / "acceptance.json"
    out.write_text("{}")
    done = hardedge("acceptance", "--out", str(out), "--quick")
    assert (done.returncode, out.read_text()) == (2, "{}")
    assert "exists. Give another --out, or --force" in done.stderr
    absent = hardedge("acceptance", "--target", "tensorrt", "--quick")
    assert absent.returncode == 3
    assert "no engine could be built on this machine" in absent.stderr


def test_precisions_that_the_bundle_lacks_are_told(shared_bundle: Path) -> None:
    with pytest.raises(BadInput, match="the bundle has no int8. It has: fp32"):
        accept(["onnxruntime:cpu"], ["int8"], bundle=shared_bundle)


@pytest.mark.slow
def test_the_shipped_bundle_is_accepted_on_this_machines_runtimes() -> None:
    found = accept(["onnxruntime:cpu", "openvino:cpu"], quick=True)
    assert [check for check in found.checks if check.status == "fail"] == []
    ran = {(check.target, check.precision) for check in found.checks if check.part == "stream"}
    assert ran >= {("onnxruntime:cpu", "fp32"), ("onnxruntime:cpu", "int8"), ("openvino:cpu", "fp32")}
