"""`hardedge deploy` as a whole: what is refused before a build, and what a failure leaves of an older result."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hardedge import pipeline
from hardedge.contracts import Report, load
from hardedge.deploy import stage
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines import build as engines
from hardedge.deploy.latency import repeated_builds as arms
from hardedge.deploy.verification.gates import Gates
from hardedge.errors import BadInput, Unavailable
from hardedge.ownership import CONTENTS

CPU = [("onnxruntime:cpu", "fp32")]


def deployed(bundle: Path, data: Path, out: Path, **options: Any) -> Report:
    force = options.pop("force", False)
    plan = stage.DeployPlan(**{"engines": CPU, "latency": 0, **options})
    return stage.deploy(bundle, data, out, plan, force=force)


@pytest.mark.parametrize("error", [Unavailable("out of memory"), KeyboardInterrupt()], ids=["memory", "ctrl-c"])
def test_an_old_result_outlives_a_new_one_that_fails(
    error: BaseException, shared_bundle: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = deployed(shared_bundle, shared_data, out)

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(engines, "_plans", failing)
        with pytest.raises(type(error)):
            deployed(shared_bundle, shared_data, out, force=True)
    assert load(Report, out / "report") == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    limit = Gates(require_precision="int8>=0.9")
    second = deployed(shared_bundle, shared_data, out, force=True, gates=limit)
    assert load(Report, out / "report") == second != first  # a gate that is not met is a result
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_verified_is_not_built(
    shared_bundle: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_plans", lambda *_: pytest.fail("was built"))
    other = tmp_path / "other"
    shutil.copytree(shared_data, other)
    image = next((other / "images").iterdir())
    image.unlink()
    with pytest.raises(BadInput, match=rf"{image.stem}"):
        deployed(shared_bundle, other, tmp_path / "out")
    with pytest.raises(BadInput, match=r"no_data"):
        deployed(shared_bundle, tmp_path / "no_data", tmp_path / "out")
    (tmp_path / "plain.onnx").write_bytes(b"no network")
    plain = stage.Compared(tmp_path / "plain.onnx", 5)
    with pytest.raises(BadInput, match=r"plain\.onnx cannot be read as an ONNX file"):
        deployed(shared_bundle, shared_data, tmp_path / "out", compared=plain)
    assert not (tmp_path / "out").exists()


def test_a_plain_file_is_not_replaced_by_what_it_is_compared_with(
    shared_bundle: Path, shared_data: Path, tmp_path: Path
) -> None:
    old = tmp_path / "out"
    deployed(shared_bundle, shared_data, old)
    shutil.copy(shared_bundle / "model.onnx", old / "engines/model.onnx")
    plain = stage.Compared(old / "engines/model.onnx", 5)
    with pytest.raises(BadInput, match="would replace what is read"):
        deployed(shared_bundle, shared_data, old, compared=plain, force=True)


def test_builds_of_one_file_are_looked_at_once(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = engines.write_finite_file
    monkeypatch.setattr(engines, "write_finite_file", lambda *job: (looked.append(job[1].name), real(*job))[1])
    paths = [tmp_path / str(number) for number in range(3)]
    numbers = [engine.target for engine in engines.repeat_build(shared_bundle, "onnxruntime:cpu", paths)]
    assert numbers == ["onnxruntime:cpu"] * 3
    assert looked == ["model.onnx"]
    assert all((path / "engine.json").is_file() for path in paths)


def test_builds_are_numbered_and_end_where_the_first_does_not_run(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    numbers: list[int] = []
    real = engines._plans

    def counted(*job: Any) -> Any:
        numbers.append(job[-1].build)
        return real(*job)

    def elsewhere(path: Path) -> None:
        raise Unavailable("no such device here")

    monkeypatch.setattr(engines, "_plans", counted)
    assert (
        arms.build_repeatedly(shared_bundle, None, ["onnxruntime:cpu"], 5, tmp_path / "a", BuildRequest()) is not None
    )
    assert numbers == list(range(10))
    numbers.clear()
    monkeypatch.setattr(arms, "open_runner", elsewhere)
    assert arms.build_repeatedly(shared_bundle, None, ["onnxruntime:cpu"], 5, tmp_path / "b", BuildRequest()) is None
    assert numbers == [0]
    assert "5 builds an arm are not compared for onnxruntime:cpu: no such device here" in capfd.readouterr().err


def test_a_plain_network_with_weights_beside_it_is_an_arm(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardedge.graphs import files as onnx_files

    model = onnx.load(shared_bundle / "model.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(onnx_files, "LARGEST", 0)
        patch.setattr(onnx_files, "_SMALL", 1)
        onnx_files.write_onnx(model, tmp_path / "plain.onnx")
    assert (tmp_path / "plain.onnx.data").is_file()
    found = arms.build_repeatedly(
        shared_bundle, tmp_path / "plain.onnx", ["onnxruntime:cpu"], 5, tmp_path / "a", BuildRequest()
    )
    assert found is not None
    assert found.plain is not None
    assert found.plain().masks(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 64, 96)


def _fail(*_: object) -> None:
    raise BadInput("no module mynet")


def test_run_with_force_keeps_the_old_run_until_the_new_one_is_whole(
    shared_bundle: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = deployed(shared_bundle, shared_data, out)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_train", _fail)
        with pytest.raises(BadInput, match="mynet"):
            pipeline.run(out, data=shared_data, latency=0, force=True)
    assert load(Report, out / "report") == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (out / CONTENTS).unlink()  # as an earlier version left it
    monkeypatch.setattr(pipeline, "_train", lambda *_: None)
    monkeypatch.setattr(pipeline, "_export", lambda *_: None)
    monkeypatch.setattr(pipeline, "build_and_verify", lambda *_, **__: first)
    assert pipeline.run(out, data=shared_data, latency=0, force=True) == first
    assert [path.name for path in out.iterdir()] == [CONTENTS]


def test_a_users_file_in_an_old_run_is_never_removed(shared_bundle: Path, shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    deployed(shared_bundle, shared_data, out)
    (out / "engines/thesis.tex").write_text("three years")
    with pytest.raises(BadInput, match=r"did not write \(engines/thesis.tex\)"):
        pipeline.run(out, data=shared_data, force=True)
    with pytest.raises(BadInput, match=r"did not write \(engines/thesis.tex\)"):
        deployed(shared_bundle, shared_data, out, force=True)


def test_a_run_that_fails_before_it_trains_leaves_nothing(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_train", _fail)
    with pytest.raises(BadInput, match="mynet"):
        pipeline.run(tmp_path / "out", data=shared_data)
    assert list(tmp_path.iterdir()) == []
