"""--json: stdout is one JSON document and nothing else, of the result or of the error, and stderr is for people."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hardedge.cli import cli, main

SMALL = "--set steps=4 --set batch=4 --set crop=64,96 --set evaluate_every=4"
# a command, and keys that its document has
QUICK = [
    ("check data", {"splits", "faults"}),
    ("deploy run/bundle --data data --out o --target onnxruntime:cpu --latency 0s", {"verdict", "parity"}),
    ("doctor run/bundle", {"machine"}),
    ("dossier run/report --out o", {"claims"}),
    ("import indices data --out o --unlabelled ignore --table 0=sky,1=road,2=car", {"format", "images"}),
    ("keep run/bundle/model.onnx --keep mask --out kept.onnx", {"outputs"}),
    ("predict run/bundle data/images --out o", {"made"}),
    ("prepare data --out o", {"data", "bytes"}),
    ("prepare data --shards 2 --out o", {"data", "bytes"}),
    ("recipes", {"recipes"}),
    ("report run/report other/report", {"engines", "images"}),
    ("run --resume --data data --out run --target onnxruntime:cpu --latency 0s", {"verdict", "parity"}),
    ("scribbles data", {"scribbles", "labelled_share"}),
    ("sign --new-key key.pem", {"private_key", "public_key"}),
    ("triton run/bundle --out o --name streets", {"digest", "platform", "max_batch_size"}),
    ("verify run/bundle run/engines/onnxruntime-cpu --data data --out o --latency 0s", {"verdict", "parity"}),
]
SLOW = [
    ("acceptance --quick --target onnxruntime:cpu --precision fp32", {"checks"}),
    ("backbones", {"backbones"}),
    ("bench run/bundle --time 2s", {"runs"}),
    ("certify run/bundle run/checkpoint", {"level0", "level1"}),
    ("edges data --out o --steps 4", {"digest", "validation"}),
    ("export run/checkpoint --data data --out o --precision int8 --calibration-images 2", {"digest", "models"}),
    ("hard data --checkpoint run/checkpoint --out o --split test", {"images", "labels"}),
    ("models", {"networks"}),
    ("scenes --out o", {"data", "seed"}),
    ("strip run/checkpoint/weights.safetensors --network deeplabv3plus_resnet18 --data data --out o", {"checkpoint"}),
    (
        f"search-loss camvid --data data --out o --rounds 1 --samples 2 --seeds 1 {SMALL} --set loss=ce --steps 2",
        {"loss", "comparison"},
    ),
    (f"sweep camvid --data data --out o --seeds 1 {SMALL}", {"study", "rows"}),
    (f"train camvid --data data --out o {SMALL}", {"digest", "validation"}),
    ("tune int8 --data data --out o --goal 'miou-drop<=90'", {"chosen", "steps"}),
]
# what goes before one
BEFORE = {
    "report": "deploy run/bundle --data data --out other --target onnxruntime:cpu --latency 0s",
    "tune": "export run/checkpoint --data data --out int8 --precision int8",
}


@pytest.fixture
def workshop(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished / "data", tmp_path / "data")
    shutil.copytree(finished / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the program with these words, in this process."""
    monkeypatch.setattr(sys, "argv", ["hardedge", *shlex.split(command)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def document(text: str) -> Any:
    """The one JSON document that the text is; NaN and the infinities are none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_every_command_has_it_and_is_run_here() -> None:
    assert {command.split()[0] for command, _ in QUICK + SLOW} == set(cli.commands)
    for name, command in cli.commands.items():
        assert "--json" in [word for parameter in command.params for word in parameter.opts], name


@pytest.mark.parametrize(("command", "keys"), [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)])
def test_stdout_is_one_document(
    command: str,
    keys: set[str],
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],  # of the process, so that what a library prints is seen too
) -> None:
    before = BEFORE.get(command.split()[0])
    if before:
        assert run(before, monkeypatch) == 0
        capfd.readouterr()
    code = run(f"{command} --json", monkeypatch)
    told = capfd.readouterr()
    assert code == 0, told.err
    assert keys <= document(told.out).keys()
    assert "\x1b" not in told.err
    assert "\r" not in told.err


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("train camvit --data data --out o", 2, "unknown recipe camvit"),
        ("train camvid --out o", 2, "Missing option '--data'"),
        ("trian camvid", 2, "No such command 'trian'"),
        ("deploy run/bundle --data data --out o --target tensorrt", 3, "pip install 'hardedge[tensorrt]'"),
        ("predict run/bundle nowhere.png --out o", 2, "nowhere.png: does not exist"),
    ],
)
def test_an_error_is_the_document_where_there_is_no_result(
    command: str,
    code: int,
    said: str,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(f"{command} --json", monkeypatch) == code
    told = capfd.readouterr()
    found = document(told.out)
    assert found["exit_code"] == code
    assert said in found["error"]
    assert f"Error: {found['error'].splitlines()[0]}" in told.err
    assert run(command, monkeypatch) == code
    assert capfd.readouterr().out == ""


def test_a_gate_that_fails_leaves_the_report_as_the_document(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = "verify run/bundle run/engines/onnxruntime-cpu --out o --latency 0s --max-miou-drop 0.1 --json"
    assert run(command, monkeypatch) == 1
    told = capfd.readouterr()
    assert "error" not in document(told.out)
    assert "could not decide --max-miou-drop" in told.err


def test_faults_of_a_data_set_are_the_document(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    next((workshop / "data/masks").iterdir()).unlink()
    assert run("check data --json", monkeypatch) == 2
    assert len(document(capfd.readouterr().out)["faults"]) == 1
