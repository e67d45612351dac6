"""The images as they are run: `make images` builds them first. No container here has a network.

Every one has a read-only root and no capability; /work, of the user who runs it, is all that it can write.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hardedge import __version__

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docker"))
import images  # noqa: E402

sys.path.pop(0)
pytestmark = pytest.mark.slow
USER = 10001
HARDENED = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
HARDENED += ["--security-opt", "no-new-privileges", *images.ULIMITS]


@dataclass(frozen=True)
class Image:
    """A built image and the engine that runs it; `work` is the folder on this machine that is mounted as /work."""

    engine: str
    tag: str
    work: Path
    started: list[str] = field(default_factory=list)

    def words(self, *options: str, user: int = USER, writable: bool = True) -> list[str]:
        mount = f"{self.work}:/work" + ("" if writable else ":ro")
        return [self.engine, "run", *HARDENED, "--user", f"{user}:{user}", "--volume", mount, *options, self.tag]

    def run(self, *arguments: str, code: int = 0, **how: object) -> subprocess.CompletedProcess[str]:
        command = [*self.words("--rm", **how), *arguments]  # type: ignore[arg-type]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def python(self, program: str) -> str:
        command = [*self.words("--rm", "--entrypoint", "python"), "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout

    def start(self, *arguments: str) -> str:
        """A container that runs in the background, by its id."""
        command = [*self.words("--detach"), *arguments]
        id = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        self.started.append(id)
        return id

    def told(self, *words: str) -> str:
        return subprocess.run([self.engine, *words], capture_output=True, text=True, check=True).stdout.strip()


def has(tag: str) -> bool:
    try:
        return images.succeeds(images.container_engine(), "image", "inspect", tag)
    except SystemExit:
        return False


@pytest.fixture(params=["edge", "nvidia", "train"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Image]:
    tag = f"hardedge:{request.param}"
    if not has(tag):
        pytest.skip(f"no image {tag} here; build it with: python docker/images.py {request.param}")
    work = tmp_path / "work"
    work.mkdir()
    os.chown(work, USER, USER)
    made = Image(images.container_engine(), tag, work)
    yield made
    for id in made.started:
        subprocess.run([made.engine, "rm", "--force", id], check=True, capture_output=True)


@pytest.fixture
def bundle(image: Image, finished: Path) -> Path:
    """A bundle and its data set in /work, owned by another: only read."""
    shutil.copytree(finished / "run/bundle", image.work / "bundle")
    shutil.copytree(finished / "data", image.work / "data")
    subprocess.run(["chmod", "--recursive", "a+rX,go-w", image.work / "bundle", image.work / "data"], check=True)
    return image.work / "bundle"


def test_what_is_in_it(image: Image) -> None:
    assert image.run("--version").stdout == f"hardedge, version {__version__}\n"
    program = "import importlib.util as u, os; print(os.getuid(), u.find_spec('torch') is not None, os.getcwd())"
    assert image.python(program).split() == [str(USER), str(image.tag.endswith("train")), "/work"]
    told = json.loads(image.told("image", "inspect", "--format", "{{json .Config}}", image.tag))
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in told["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("hardedge", __version__, "Apache-2.0")
    assert re.fullmatch("([0-9a-f]{40})?", labels["revision"])
    assert told["User"] == str(USER)
    program = (
        "from importlib.metadata import files; print(*(p.name for p in files('hardedge') if 'licenses' in p.parts))"
    )
    assert sorted(image.python(program).split()) == ["LICENSE", "NOTICE"]


def test_its_code_is_what_is_here(image: Image) -> None:
    """A cache of the engine's that overlooks a new wheel would leave the old one."""
    program = (
        "import hardedge, hashlib, json\nfrom pathlib import Path\nroot = Path(hardedge.__file__).parent\n"
        "print(json.dumps({str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()"
        " for p in root.rglob('*.py')}))"
    )
    there = json.loads(image.python(program))
    package = ROOT / "src/hardedge"
    # of folders that are links to those beside src too
    files = [Path(folder) / name for folder, _, names in os.walk(package, followlinks=True) for name in names]
    here = {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix == ".py"
    }
    differ = sorted(path for path in there.keys() | here.keys() if there.get(path) != here.get(path))
    assert not differ, f"{image.tag} was built of other code; build it again with: make images"


def test_nothing_of_the_build_is_left(image: Image) -> None:
    program = (
        "from pathlib import Path; print(*Path('/run/secrets').glob('*'), *Path('/var/cache/apt').glob('**/*.deb'))"
    )
    assert image.python(program).split() == []
    assert "telemetry" not in image.python("import onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])")


def test_nothing_of_the_machine_that_built_it_is_left(image: Image, tmp_path: Path) -> None:
    id = image.told("create", *images.ULIMITS, image.tag)
    image.started.append(id)
    for file in ("/etc/hostname", "/etc/resolv.conf"):
        copied = subprocess.run([image.engine, "cp", f"{id}:{file}", tmp_path], capture_output=True, check=False)
        assert copied.returncode or (tmp_path / Path(file).name).read_bytes() != Path(file).read_bytes(), file
    assert "index" not in image.python("from pip._internal.cli.main import main; main(['config', 'list'])")
    history = image.told("history", "--no-trunc", "--format", "{{.CreatedBy}}", image.tag)
    assert socket.gethostname() not in history.split()


def test_the_train_image_trains_with_workers_and_compiled(image: Image, bundle: Path) -> None:
    if not image.tag.endswith("train"):
        pytest.skip("an image without torch")
    # what is compiled is loaded from /tmp
    options = ["--rm", "--shm-size", "512m"]
    settings = ("steps=4", "batch=2", "crop=64,96", "evaluate_every=4", "workers=2", "compile=true")
    words = [word for each in settings for word in ("--set", each)]
    hardened = [word if word != "/tmp" else "/tmp:exec" for word in image.words(*options)]
    command = [*hardened, "train", "camvid", "--data", "data", "--out", "out", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert (image.work / "out/checkpoint.json").is_file()


def test_the_train_image_compiles_and_names_the_shared_memory_that_it_lacks(image: Image) -> None:
    if not image.tag.endswith("train"):
        pytest.skip("an image without torch")
    program = "import subprocess, sysconfig; from pathlib import Path\n"
    program += (
        "print(subprocess.run(['g++', '--version']).returncode, subprocess.run(['cc', '--version']).returncode)\n"
    )
    program += "print((Path(sysconfig.get_path('include')) / 'Python.h').is_file())"
    assert image.python(program).split()[-3:] == ["0", "0", "True"]
    done = image.run("train", "pspnet_cityscapes_hardness", "--data", "data", "--out", "out", code=3)
    assert "/dev/shm has" in done.stderr
    assert "docker run --shm-size 2g" in done.stderr


def test_doctor_finds_no_obstacle(image: Image) -> None:
    told = image.run("doctor").stdout
    assert "onnxruntime: onnxruntime 1." in told
    if image.tag.endswith("nvidia"):
        assert f"tensorrt {images.TENSORRT}" in told  # that of the base, through the virtual environment
        assert "1.26" in told  # the newest onnxruntime-gpu of CUDA 12


def test_predict_verify_and_deploy(image: Image, bundle: Path) -> None:
    image.run("predict", "bundle", "data/images", "--out", "masks")
    names = sorted(path.stem for path in (image.work / "data/images").iterdir())
    assert sorted(path.stem for path in (image.work / "masks/masks").iterdir()) == names
    assert {path.stat().st_uid for path in (image.work / "masks").rglob("*")} == {USER}
    verify = ["verify", "bundle", "--data", "data", "--latency", "0s"]
    assert "onnxruntime:cpu fp32: pass" in image.run(*verify, "--out", "report").stdout
    deploy = ["deploy", "bundle", "--data", "data", "--latency", "0s", "--target", "onnxruntime:cpu"]
    image.run(*deploy, "--out", "deployed")
    assert (image.work / "deployed/engines/onnxruntime-cpu/engine.json").is_file()


def test_any_user_can_run_it(image: Image, bundle: Path) -> None:
    """As `--user $(id -u):$(id -g)` does: one without a name or a home."""
    os.chown(image.work, 4242, 4242)
    image.run("predict", "bundle", "data/images", "--out", "masks", user=4242)
    assert (image.work / "masks/masks").stat().st_uid == 4242


def test_a_bundle_without_the_signature_that_is_asked_for_is_refused(image: Image, bundle: Path) -> None:
    image.run("sign", "--new-key", "release.pem")
    verify = ["verify", "bundle", "--out", "report", "--latency", "0s", "--trust", "release.pem.pub"]
    assert "bundle.json.sig" in image.run(*verify, code=2).stderr
    assert not (image.work / "report").exists()
    os.chown(bundle, USER, USER)
    image.run("sign", "bundle", "--key", "release.pem")
    image.run(*verify)


def heeds_sigterm(pid: int) -> bool:
    """Whether the process has a handler of SIGTERM by now."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def wait_for(what: object) -> None:
    assert callable(what)
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it did not come to that"


def test_sigterm_ends_it_from_the_first_moment_on(image: Image) -> None:
    id = image.start("doctor")
    pid = int(image.told("inspect", "--format", "{{.State.Pid}}", id))
    wait_for(lambda: heeds_sigterm(pid))
    os.kill(pid, signal.SIGTERM)
    assert image.told("wait", id) == "130"
    logs = subprocess.run([image.engine, "logs", id], capture_output=True, text=True, check=True)
    assert logs.stderr.strip().startswith("Interrupted")
    assert logs.stdout == ""


def test_an_interrupted_predict_keeps_what_was_finished(image: Image, bundle: Path) -> None:
    many = image.work / "many"
    many.mkdir()
    source = next((image.work / "data/images").iterdir())
    for number in range(20000):
        os.link(source, many / f"photo{number:05d}.png")
    id = image.start("predict", "bundle", "many", "--out", "masks")
    wait_for(lambda: any(image.work.glob(".masks.partial-*/masks/*.png")))
    image.told("stop", "--time", "60", id)
    assert image.told("wait", id) == "130"
    made = list((image.work / "masks/masks").iterdir())
    assert 0 < len(made) < 20000
    assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in made)
    assert list(image.work.glob(".masks.partial-*")) == []


@pytest.mark.parametrize("command", ["predict", "verify", "deploy"])
def test_an_unwritable_mount_is_one_message(image: Image, bundle: Path, command: str) -> None:
    os.chown(image.work, 0, 0)
    words = {
        "predict": ["predict", "bundle", "data/images"],
        "verify": ["verify", "bundle", "--latency", "0s"],
        "deploy": ["deploy", "bundle", "--data", "data", "--target", "onnxruntime:cpu", "--latency", "0s"],
    }
    done = image.run(*words[command], "--out", "out", code=3)
    assert "Error: cannot write" in done.stderr
    assert "Permission denied" in done.stderr
    assert sorted(path.name for path in image.work.iterdir()) == ["bundle", "data"]
    told = image.run("doctor").stdout
    assert "--user $(id -u):$(id -g)" in told
