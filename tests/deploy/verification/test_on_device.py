"""`hardedge verify BUNDLE` where the bundle is to run: nothing but the bare install, no data set; and trust."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Bundle, Report, load
from hardedge.deploy.bundles.signing import sign, write_keys
from hardedge.deploy.engines.build import build

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def on_device(edge: Path) -> Program:
    """Runs the program of the bare environment."""

    def program(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(edge / "hardedge"), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return program


def test_a_bundle_tests_itself_without_torch_and_data(shared_bundle: Path, tmp_path: Path, on_device: Program) -> None:
    done = on_device("verify", shared_bundle, "--out", tmp_path / "report", "--latency", "0s")
    assert done.returncode == 0, done.stderr
    report = load(Report, tmp_path / "report")
    assert report.engines[0].target == "onnxruntime:cpu"
    replayed = [gate for gate in report.gates if gate.name == "golden images"]
    assert replayed
    assert all(gate.status == "pass" for gate in replayed)
    assert "100.000%" in replayed[0].found
    assert (report.made_from, report.verdict) == (load(Bundle, shared_bundle).digest, "inconclusive")
    assert (tmp_path / "report/report.html").is_file()


def test_with_the_test_images_it_compares_with_the_reference(
    shared_bundle: Path, shared_data: Path, tmp_path: Path, on_device: Program
) -> None:
    limits = ("--latency", "0s", "--max-unseen", "40")
    done = on_device("verify", shared_bundle, "--data", shared_data, "--out", tmp_path / "report", *limits)
    assert done.returncode == 0, done.stderr
    parity = load(Report, tmp_path / "report").parity[0]
    assert (parity.status, parity.images, parity.difference, parity.pixel_agreement) == ("pass", 6, 0.0, 1.0)


def test_golden_masks_of_another_network_fail_it(
    own_bundle: Path, tmp_path: Path, on_device: Program, resealed: Callable[..., Bundle]
) -> None:
    for path in (own_bundle / "golden/masks").iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    resealed(own_bundle)
    done = on_device("verify", own_bundle, "--out", tmp_path / "report", "--latency", "0s")
    assert done.returncode == 1, done.stderr
    gates = json.loads((tmp_path / "report/report.json").read_text())["gates"]
    assert [gate["status"] for gate in gates if gate["name"] == "golden images"] == ["fail"]


def test_without_the_extra_trust_is_refused_not_skipped(
    shared_bundle: Path, tmp_path: Path, on_device: Program
) -> None:
    (tmp_path / "key.pub").write_text("a key")
    done = on_device("verify", shared_bundle, "--out", tmp_path / "report", "--trust", tmp_path / "key.pub")
    assert done.returncode == 3
    assert "pip install 'hardedge[sign]'" in done.stderr
    assert not (tmp_path / "report").exists()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    write_keys(tmp_path / "key")
    return tmp_path / "key"


def test_a_trusted_bundle_is_verified_and_its_engines_with_it(
    own_bundle: Path, key: Path, tmp_path: Path, hardedge: Program
) -> None:
    sign(own_bundle, key)
    trust = ("--trust", f"{key}.pub", "--latency", "0s")
    done = hardedge("verify", own_bundle, "--out", tmp_path / "report", *trust)
    assert done.returncode == 0, done.stderr
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    done = hardedge("verify", own_bundle, tmp_path / "engine", "--out", tmp_path / "report2", *trust)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["verify", "deploy", "bench", "predict"])
def test_an_unsigned_bundle_is_refused_by_every_command_before_any_work(
    command: str, shared_bundle: Path, shared_data: Path, key: Path, tmp_path: Path, hardedge: Program
) -> None:
    out = ("--out", tmp_path / "out")
    rest = {
        "verify": out,
        "deploy": ("--data", shared_data, *out),
        "bench": (),
        "predict": (shared_data / "images", *out),
    }[command]
    done = hardedge(command, shared_bundle, *rest, "--trust", f"{key}.pub")
    assert done.returncode == 2
    assert "is not signed: there is no bundle.json.sig in it" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_engine_that_nobody_signed_is_not_loaded(
    own_bundle: Path, key: Path, tmp_path: Path, hardedge: Program
) -> None:
    """TensorRT-RTX's plan is none of the bundle's files: it needs a signature of its own."""
    pytest.importorskip("tensorrt_rtx", reason="comes with hardedge[export] on x86-64")
    sign(own_bundle, key)
    build(own_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    job = ("verify", own_bundle, tmp_path / "engine", "--trust", f"{key}.pub", "--latency", "0s", "--out")
    done = hardedge(*job, tmp_path / "report")
    assert done.returncode == 2
    assert "engine is not signed" in done.stderr
    sign(tmp_path / "engine", key)
    done = hardedge(*job, tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert "Not run on this machine: tensorrt-rtx:sm86" in done.stderr


def test_since_needs_trust(shared_bundle: Path, tmp_path: Path, hardedge: Program) -> None:
    done = hardedge("verify", shared_bundle, "--out", tmp_path / "report", "--signed-since", "2026-11-01")
    assert done.returncode == 2
    assert "--signed-since needs --trust" in done.stderr
