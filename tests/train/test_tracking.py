"""Trackers: what the real clients wrote offline, read back; and that none of them stops a training."""

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from hardedge.contracts import Checkpoint, load
from hardedge.errors import BadInput, Unavailable
from hardedge.train import tracking
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.tracking import TRACKERS, Followers, Tracker, require_trackers, tracked_by

Tiny = Callable[..., Recipe]
Program = Callable[..., subprocess.CompletedProcess[str]]

BLOCK = 32768
HEADER = 7  # of the file, and of each record in it
# MLflow's client in a process of its own: its import warns, and a warning here is an error
READ_MLFLOW = """
import json, mlflow
(run,) = mlflow.search_runs(output_format="list")
history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss/ce")
print(json.dumps({
    "params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "status": run.info.status,
    "steps": sorted({each.step for each in history}), "name": run.info.run_name,
}))
"""


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: protobuf messages in LevelDB's log format, behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or its last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def words(*more: str) -> list[str]:
    fields = {"network": "three_layers:build", "branches": "", "batch": "2", "crop": "32,48", "amp": "false"}
    settings = [
        word
        for each in (fields | {"steps": "20", "evaluate_every": "10"}).items()
        for word in ("--set", "=".join(each))
    ]
    return ["train", "camvid", "--data", "tiny", "--out", "out", "--set", "loss=ce", *settings, *more]


@pytest.fixture
def home(tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data set and the network of the tiny recipe, and trackers that need no network."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "w").mkdir()
    given = {"PYTHONPATH": ".", "WANDB_MODE": "offline", "WANDB_DIR": "w", "WANDB_SILENT": "true"}
    given |= {"WANDB_X_SERVICE_WAIT": "300"}  # seconds for a process of its own to start
    given |= {"MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def scalars_of(out: Path) -> dict[int, dict[str, float]]:
    """What metrics.jsonl has, under the names that TensorBoard has them by."""
    found: dict[int, dict[str, float]] = {}
    for record in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
        values = found.setdefault(record["step"], {})
        values |= {f"loss/{name}": value for name, value in record.get("terms", {}).items()}
        values |= {name: record[name] for name in ("learning_rate", "miou") if name in record}
        values |= {f"iou/{name}": v for name, v in record.get("per_class", {}).items() if v is not None}
    return found


@pytest.mark.slow  # starts the clients of two trackers
def test_both_real_clients_have_what_the_training_told(home: Path) -> None:
    """With more patience than a training's: a busy machine may take minutes to import both clients."""
    program = "from hardedge.train import tracking; tracking.PATIENCE = 600; from hardedge.cli import main; main()"
    command = [sys.executable, "-c", program, *words("--track", "wandb", "--track", "mlflow", "--json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = load(Checkpoint, home / "out")
    assert json.loads(done.stdout)["digest"] == made.digest
    expected = scalars_of(home / "out")
    assert sorted(expected) == [10, 20]
    digests = {"checkpoint": made.digest, "data": made.data_digest, "weights": made.files["weights.safetensors"]}

    (log,) = (home / "w/wandb").glob("offline-run-*/*.wandb")
    records = list(wandb_records(log))
    told: dict[int, dict[str, Any]] = {}
    for record in (each.history for each in records if each.HasField("history")):
        items = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.item}
        told[items["_step"]] = {name: value for name, value in items.items() if not name.startswith("_")}
    assert told == {step: pytest.approx(values) for step, values in expected.items()}
    (run,) = [each.run for each in records if each.HasField("run")][:1]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.display_name) == ("hardedge", "out")
    assert (config["loss"], config["steps"], config["data_digest"]) == ("ce", 20, made.data_digest)
    summary = {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for record in records
        if record.HasField("summary")
        for item in record.summary.update
    }
    assert {name: summary[f"sha256/{name}"] for name in digests} == digests
    assert summary["validation/miou"] == pytest.approx(made.validation.miou)

    read = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_MLFLOW], capture_output=True, text=True, check=True
    )
    run_told = json.loads(read.stdout)
    assert (run_told["params"]["loss"], run_told["params"]["steps"], run_told["name"]) == ("ce", "20", "out")
    assert run_told["steps"] == [10, 20]
    assert run_told["metrics"] | expected[20] == pytest.approx(run_told["metrics"])
    assert run_told["metrics"]["validation/miou"] == pytest.approx(made.validation.miou)
    assert {name: run_told["tags"][f"sha256.{name}"] for name in digests} == digests
    assert run_told["status"] == "FINISHED"


@pytest.mark.slow  # half a minute until the real clients give up
def test_servers_that_do_not_answer_cost_a_line_each(
    home: Path, hardedge: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "a" * 40}
    given |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    done = hardedge(*words("--track", "wandb", "--track", "mlflow", "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == load(Checkpoint, home / "out").digest
    for name in ("wandb", "mlflow"):
        assert (
            len(re.findall(rf"^{name} failed \(.+\): the training goes on without it$", done.stderr, re.MULTILINE)) == 1
        )


class Recorded(Tracker):
    """A tracker that keeps what it is told, or fails where `fails` says."""

    told: ClassVar[list[tuple[Any, ...]]] = []
    fails: ClassVar[str] = ""

    def __init__(self, id: str, name: str, config: Any) -> None:
        self.tell("begin", id, config["steps"])

    def tell(self, *what: Any) -> None:
        self.told.append(what)
        if what[0] == self.fails:
            raise ConnectionError("no network\nand more lines")

    def scalars(self, step: int, values: Any) -> None:
        self.tell("scalars", step)

    def summary(self, metrics: Any, digests: Any) -> None:
        self.tell("summary", digests["checkpoint"])

    def close(self, *, failed: bool) -> None:
        self.tell("close", failed)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    monkeypatch.setitem(TRACKERS, "wandb", (Recorded, "wandb"))
    monkeypatch.setattr(Recorded, "told", [])
    return Recorded


@pytest.mark.parametrize(("fails", "told"), [("begin", 1), ("scalars", 2), ("summary", 5), ("close", 6)])
def test_a_tracker_that_fails_is_told_of_once_and_the_training_goes_on(
    fails: str,
    told: int,
    recorded: type[Recorded],
    tiny_dataset: Path,
    tiny_recipe: Tiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recorded, "fails", fails)
    made = train(tiny_recipe(steps=20, evaluate_every=20), tiny_dataset, tmp_path / "out", track=("wandb",))
    assert load(Checkpoint, tmp_path / "out") == made
    said = capsys.readouterr().err
    assert said.count("wandb failed (no network): the training goes on without it") == 1
    assert len(recorded.told) == told


def test_a_resumed_training_is_the_same_run_and_one_that_fails_ends_as_failed(
    recorded: type[Recorded], tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=20, evaluate_every=5)
    broken = tiny_dataset / "images/scene004.png"  # of the validation split
    kept = broken.read_bytes()
    broken.write_bytes(kept[:50] + b"\0" * (len(kept) - 50))
    with pytest.raises(BadInput):
        train(recipe, tiny_dataset, tmp_path / "out", track=("wandb",))
    broken.write_bytes(kept)
    train(recipe, tiny_dataset, tmp_path / "out", track=("wandb",), resume=True)
    begun = [each for each in recorded.told if each[0] == "begin"]
    assert len(begun) == 2
    assert begun[0] == begun[1]
    assert [each for each in recorded.told if each[0] == "close"] == [("close", True), ("close", False)]


def test_a_training_waits_for_no_tracker_for_ever(
    recorded: type[Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    gone_on = threading.Event()
    monkeypatch.setattr(recorded, "scalars", lambda self, step, values: gone_on.wait())
    monkeypatch.setattr(tracking, "PATIENCE", 0.05)
    (tmp_path / "state").mkdir()
    with tracked_by(("wandb",), tmp_path, tmp_path.name, {"steps": 1}) as followers:
        followers.scalars(1, {})
    gone_on.set()
    assert "wandb did not take all" in capsys.readouterr().err


def test_trackers_that_hang_are_waited_for_together(
    recorded: type[Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    monkeypatch.setitem(TRACKERS, "mlflow", (Recorded, "mlflow"))
    waited: list[float | None] = []
    monkeypatch.setattr(recorded, "scalars", lambda self, step, values: gone_on.wait())
    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=iter((100.0, 100.0, 145.0)).__next__))
    monkeypatch.setattr(tracking.Thread, "join", lambda self, timeout=None: waited.append(timeout))
    gone_on = threading.Event()
    (tmp_path / "state").mkdir()
    with tracked_by(("wandb", "mlflow"), tmp_path, tmp_path.name, {"steps": 1}) as followers:
        followers.scalars(1, {})
    gone_on.set()
    assert waited == [60.0, 15.0]


def test_a_tracker_that_is_named_twice_is_told_once(recorded: type[Recorded], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with tracked_by(("wandb", "wandb"), tmp_path, tmp_path.name, {"steps": 1}) as followers:
        followers.scalars(1, {})
    assert [each[0] for each in recorded.told] == ["begin", "scalars", "close"]


def test_what_is_not_known_or_not_installed_is_refused_before_anything_else(
    tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"tracker tensorboard is not known. Give one of: wandb, mlflow"):
        require_trackers(("tensorboard",))
    monkeypatch.setitem(TRACKERS, "mlflow", (Recorded, "no_such_package"))
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[mlflow\]'"):
        train(tiny_recipe(), tmp_path / "nowhere", tmp_path / "out", track=("mlflow",))


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    with tracked_by((), tmp_path, tmp_path.name, {}) as followers:
        assert isinstance(followers, Followers)
        followers.scalars(1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
