"""Inputs that many tests share."""

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

# a busy machine is no fault of an example
settings.register_profile("hardedge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hardedge")

# one thread for tiny tensors, in subprocesses too: threads that wait for each other are slower on busy cores
os.environ.setdefault("OMP_NUM_THREADS", "1")


@functools.cache
def _no_gpu() -> str | None:
    from hardedge.deploy.machine import compute_capability

    return "needs an NVIDIA GPU: nvidia-smi names none here" if compute_capability() is None else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = _no_gpu() if item.get_closest_marker("gpu") else None
    if reason:
        pytest.skip(reason)
    if "torch" in sys.modules:
        # what a test draws must not depend on which tests its process had before
        sys.modules["torch"].manual_seed(0)


CLASSES = [("sky", (70, 130, 180)), ("road", (128, 64, 128)), ("car", (0, 0, 142))]


def write_tiny_dataset(
    root: Path, *, train: int = 4, val: int = 2, test: int = 3, size: tuple[int, int] = (64, 96)
) -> Path:
    """A native data set of coloured rectangles, learnable in a few steps; `size` is (height, width)."""
    classes = [{"name": name, "color": list(color)} for name, color in CLASSES]
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "splits").mkdir()
    (root / "classes.json").write_text(json.dumps({"ignore_index": 255, "classes": classes}))
    rng = np.random.default_rng(0)
    number = 0
    for split, count in {"train": train, "val": val, "test": test}.items():
        ids = [f"scene{number + i:03d}" for i in range(count)]
        number += count
        for id in ids:
            image_HWC, mask_HW = _scene(rng, size)
            Image.fromarray(image_HWC).save(root / "images" / f"{id}.png")
            Image.fromarray(mask_HW).save(root / "masks" / f"{id}.png")
        (root / "splits" / f"{split}.txt").write_text("\n".join(ids) + "\n")
    return root


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    height, width = size
    mask_HW = np.zeros(size, np.uint8)
    horizon = int(rng.integers(height // 3, height // 2))
    mask_HW[horizon:] = 1
    left = int(rng.integers(0, width - 24))
    mask_HW[horizon : horizon + 16, left : left + 24] = 2
    image_HWC = np.array([color for _, color in CLASSES], np.int64)[mask_HW] + rng.integers(-12, 13, (*size, 3))
    mask_HW[:2, :3] = 255
    return image_HWC.clip(0, 255).astype(np.uint8), mask_HW


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "tiny")


@pytest.fixture(scope="session")
def make_tiny_dataset() -> Callable[..., Path]:
    return write_tiny_dataset


ROOT = Path(__file__).parents[1]


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """No other process is in such a block, of the same file, at the same time."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The bin/ of a virtual environment made as the Dockerfile's edge stage is: its install script, nothing else.

    Read by many tests, changed by none; all test processes share one, since pip builds in the tree itself, where two
    builds at the same moment take each other's files away.
    """
    own = tmp_path_factory.getbasetemp()
    home = (own if worker_id == "master" else own.parent) / "edge"
    whole = home / "whole"
    with alone(home.with_suffix(".lock")):
        if not whole.exists():
            _install_edge(home)
            whole.touch()
    return home / "bin"


def _install_edge(home: Path) -> None:
    venv.create(home, with_pip=True, clear=True)
    environment = {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(home)}
    script = ROOT / "docker/install.sh"
    done = subprocess.run(["sh", str(script), "edge"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def hardedge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the installed program with these arguments, as a user does."""

    def program(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "hardedge"), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]

    return program


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts the installed program with these arguments, so that it can be interrupted."""

    def program(*arguments: object) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).parent / "hardedge"), *(str(argument) for argument in arguments)]
        # a shell's background job ignores Ctrl-C, and so would its children
        heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)

    return program


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    hardedge: Callable[..., subprocess.CompletedProcess[str]],
    worker_id: str,
) -> Path:
    """A folder with data/ and run/: what `hardedge run` left behind after a training of a few steps.

    Read by many tests, changed by none; all test processes share one.
    """
    own = tmp_path_factory.getbasetemp()
    home = (own if worker_id == "master" else own.parent) / "finished"
    with alone(home.with_suffix(".lock")):
        if not (home / "done").exists():
            _run_to_the_end(home, hardedge)
            (home / "done").touch()
    return home


def _run_to_the_end(home: Path, hardedge: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    write_tiny_dataset(home / "data", test=29)  # fewer pass nothing
    settings = ["steps=8", "batch=4", "crop=64,96", "scale=1,1", "evaluate_every=4"]
    done = hardedge(
        *("run", "--data", home / "data", "--out", home / "run"),
        *(word for setting in settings for word in ("--set", setting)),
        *("--target", "onnxruntime:cpu", "--target", "tensorrt-rtx:sm86", "--require", "level0-engines"),
        *("--latency", "40s"),
    )
    (home / "stdout").write_text(done.stdout)
    (home / "stderr").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
