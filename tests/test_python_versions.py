"""Every claimed Python has wheels for what it installs: resolved by pip, and run where that Python is at hand."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)] + ["manylinux2014_x86_64"]


def _resolved(version: str, requirements: list[str], tmp_path: Path) -> dict[str, str]:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--python-version", version, "--only-binary=:all:", "--target", str(tmp_path / "nowhere")]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    done = subprocess.run(
        [*command, "--report", str(report), *requirements], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())["install"]
    return {entry["metadata"]["name"]: entry["metadata"]["version"] for entry in found}


def _requirements(version: str, extras: set[str]) -> list[str]:
    import tomllib
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    marks = {"python_version": version, "platform_machine": "x86_64", "sys_platform": "linux"}
    found = [Requirement(line) for line in lines if not line.startswith("hardedge[")]
    return [
        f"{requirement.name}{requirement.specifier}"
        for requirement in found
        if not requirement.marker or requirement.marker.evaluate(marks)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_the_bare_install_resolves_to_wheels(version: str, tmp_path: Path) -> None:
    found = _resolved(version, _requirements(version, set()), tmp_path)
    assert "onnxruntime-gpu" in found
    assert not {"torch", "onnxruntime", "tensorrt"} & set(found)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_the_devices_extras_resolve_to_wheels(version: str, tmp_path: Path) -> None:
    assert {"av", "cryptography"} <= set(_resolved(version, _requirements(version, {"video", "sign"}), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_training_and_export_resolve_to_wheels(version: str, tmp_path: Path) -> None:
    # tensorrt_rtx is a source package that fetches its wheel, so pip cannot resolve it for another Python
    wanted = [line for line in _requirements(version, {"train", "export"}) if not line.startswith("tensorrt_rtx")]
    found = _resolved(version, wanted, tmp_path)
    assert {"torch", "torchvision", "segmentation-models-pytorch", "onnxscript"} <= {
        name.replace("_", "-") for name in found
    }


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_the_edge_side_runs_on_other_pythons(version: str, tmp_path: Path) -> None:
    python = _python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    # pip builds in the tree itself, where another test may build at the same moment
    ours = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info")
    tree = shutil.copytree(ROOT, tmp_path / "tree", symlinks=True, ignore=ours)
    subprocess.run([python, "-m", "venv", tmp_path], check=True)
    subprocess.run([tmp_path / "bin/pip", "install", "--quiet", tree], check=True, capture_output=True)
    with tarfile.open(ROOT / "tests/deploy/bundles/previous.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    program = tmp_path / "bin/hardedge"
    verify = [program, "verify", "bundle", "engines/onnxruntime-cpu", "--data", "data", "--out", "report"]
    wanted = ["--latency", "5s", "--max-miou-drop", "0.1", "--max-unseen", "40"]
    commands = {
        "verify": [*verify, *wanted],
        "deploy": [program, "deploy", "bundle", "--data", "data", "--target", "onnxruntime:cpu", "--out", "deployed"],
        "predict": [program, "predict", "bundle", "data/images", "--out", "masks"],
        "bench": [program, "bench", "bundle", "--time", "1s", "--json"],
        "doctor": [program, "doctor", "--json"],
        "check": [program, "check", "data"],
    }
    done = {}
    for name, command in commands.items():
        done[name] = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Traceback" not in done[name].stderr, done[name].stderr
        assert done[name].returncode == 0 or name in ("deploy", "doctor", "check"), (name, done[name].stderr)
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["machine"]["python"].startswith(f"{version}.")
    assert [run["pixel_agreement"] for run in report["parity"]] == [1.0]
    assert json.loads(done["bench"].stdout)["runs"][0]["memory"] > 0  # told by a child
    assert json.loads(done["doctor"].stdout)["machine"]["imports"]["onnxruntime"]["error"] is None
    for path in (tmp_path / "bundle/reference/masks").glob("*.png"):
        assert (tmp_path / "masks/masks" / path.name).is_file()


def _python(version: str) -> str | None:
    beside = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    found = str(beside[-1]) if beside else shutil.which(f"python{version}")
    runs = found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return found if runs else None
