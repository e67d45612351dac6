"""What leaves this machine: nothing. Programs in an empty home, without CI set, whose every connection is refused."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

import hardedge

ROOT = Path(__file__).parents[1]
# a package may be silent only where one of these is set
TELLING = ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "DO_NOT_TRACK", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


@dataclass(frozen=True)
class Machine:
    """A home that nothing is in, and a record of the connections that were refused."""

    home: Path
    record: Path
    library: Path

    def run(self, *words: object, **settings: str) -> subprocess.CompletedProcess[str]:
        unset = {*TELLING, *hardedge.SILENT}
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        own = {"HOME": str(self.home), "REFUSED": str(self.record), "LD_PRELOAD": str(self.library)}
        command = [str(word) for word in words]
        return subprocess.run(
            command, env=environment | own | settings, capture_output=True, text=True, check=False, cwd=self.home.parent
        )

    def hardedge(self, *words: object) -> None:
        done = self.run(Path(sys.executable).parent / "hardedge", *words)
        assert done.returncode == 0, done.stderr

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())

    def refused(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, on Linux")
    made = tmp_path_factory.mktemp("refused") / "refused.so"
    source = Path(__file__).parent / "refused_connections.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", made, source, "-ldl"], check=True)
    return made


@pytest.fixture
def machine(library: Path, tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    return Machine(home, tmp_path / "refused", library)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "secret", values[:1], values[1:])
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


SESSION = """
import sys
if sys.argv[2:]:
    import hardedge
import numpy, onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"]).run(None, {"x": numpy.ones(1, "f")})
"""
CONNECTIONS = """
import contextlib, socket
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for attempt in (
    lambda: socket.create_connection(("hardedge.invalid", 443), 5),
    lambda: socket.create_connection(("192.0.2.1", 443), 5),
    lambda: datagrams.sendto(b"model.onnx", ("192.0.2.2", 53)),
):
    with contextlib.suppress(OSError):
        attempt()
"""


def test_a_connection_is_refused_and_recorded(machine: Machine) -> None:
    done = machine.run(sys.executable, "-c", CONNECTIONS)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in machine.refused()] == ["hardedge.invalid", "192.0.2.1", "192.0.2.2"]


def test_a_session_leaves_no_device_id_and_reaches_for_nobody(machine: Machine, graph: Path) -> None:
    done = machine.run(sys.executable, "-c", SESSION, graph, "hardedge")
    assert done.returncode == 0, done.stderr
    assert machine.left() == []
    assert machine.refused() == []


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")
def test_openvino_reaches_for_nobody(machine: Machine, graph: Path) -> None:
    program = "import hardedge, openvino, sys; openvino.compile_model(sys.argv[1], 'CPU')"
    done = machine.run(sys.executable, "-c", program, graph)
    assert done.returncode == 0, done.stderr
    assert (machine.left(), machine.refused()) == ([], [])


def test_such_a_file_would_be_seen(machine: Machine, graph: Path) -> None:
    """onnxruntime alone, from the version on that reports."""
    import onnxruntime

    done = machine.run(sys.executable, "-c", SESSION, graph)
    assert done.returncode == 0, done.stderr
    reports = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 29)
    assert any(path.endswith(".onnxruntime/deviceid") for path in machine.left()) == reports


def test_a_child_process_is_silent_too(machine: Machine) -> None:
    """doctor imports onnxruntime in a process that does not import hardedge."""
    done = machine.run(Path(sys.executable).parent / "hardedge", "doctor")
    assert "onnxruntime: onnxruntime 1." in done.stdout, done.stderr
    assert (machine.left(), machine.refused()) == ([], [])


def test_what_the_user_has_set_stays(machine: Machine) -> None:
    program = "import hardedge, os; print(*(os.environ[name] for name in hardedge.SILENT))"
    own = dict.fromkeys(hardedge.SILENT, "mine")
    assert machine.run(sys.executable, "-c", program, **own).stdout.split() == ["mine"] * len(own)
    assert machine.run(sys.executable, "-c", program).stdout.split() == list(hardedge.SILENT.values())


@pytest.mark.slow  # imports large packages
def test_the_packages_that_report_take_the_word(machine: Machine) -> None:
    program = (
        "import hardedge, huggingface_hub.constants, mlflow.telemetry, wandb.env\n"
        "from ray._common.usage.usage_lib import usage_stats_enabled\n"
        "assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY\n"
        "assert mlflow.telemetry.get_telemetry_client() is None\n"
        "assert not wandb.env.error_reporting_enabled()\n"
        "assert not usage_stats_enabled()\n"
    )
    done = machine.run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    assert (machine.left(), machine.refused()) == ([], [])


def test_every_switch_is_on_the_page() -> None:
    page = (ROOT / "docs/privacy.md").read_text()
    told = dict(re.findall(r"`(\w+)=(\w+)`", page))
    assert told == hardedge.SILENT


@pytest.mark.slow  # minutes
def test_the_demo_stays_in_its_folder_and_reaches_for_nobody(machine: Machine) -> None:
    out = machine.home.parent / "demo"
    machine.hardedge("run", "--out", out, "--set", "steps=8", "--set", "evaluate_every=4", "--latency", "5s")
    assert (out / "report/report.html").is_file()
    assert (machine.left(), machine.refused()) == ([], [])
    assert {path.name for path in machine.home.parent.iterdir()} == {"home", "demo"}


@pytest.mark.slow
def test_rays_workers_are_silent_and_ray_asks_only_which_cloud_it_is_on(machine: Machine, finished: Path) -> None:
    out = machine.home.parent / "masks"
    machine.hardedge("predict", finished / "run/bundle", finished / "data/images", "--out", out, "--ray", "local")
    assert len(list((out / "masks").iterdir())) == len(list((finished / "data/images").iterdir()))
    assert machine.left() == [".ray/auth_token"]
    assert {line.split()[-1] for line in machine.refused()} <= {"169.254.169.254", "metadata.google.internal"}
