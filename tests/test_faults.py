"""Bad input and interruptions, as a user meets them: one message, the exit code, no traceback, nothing half-written."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.cli import main

Program = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["--set", "steps=8", "--set", "batch=4", "--set", "crop=64,96", "--set", "evaluate_every=4"]


def _mask_with(value: int) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        path = sorted((data / "masks").iterdir())[0]
        mask_HW = np.asarray(Image.open(path)).copy()
        mask_HW[0, 0] = value
        Image.fromarray(mask_HW).save(path)

    return damage


def _truncated_image(data: Path) -> None:
    path = sorted((data / "images").iterdir())[1]
    path.write_bytes(path.read_bytes()[:200])


def _no_masks(data: Path) -> None:
    for path in (data / "masks").iterdir():
        path.unlink()


def _empty(data: Path) -> None:
    for path in sorted(data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("damage", "named", "fix"),
    [
        (_mask_with(31), "scene000.png: class index 31, but classes.json has 0-2", "Fix the mask, or add the class"),
        (_truncated_image, "scene001.png", "Replace it, or take it out"),
        (_no_masks, "scene008 has no mask masks/scene008.png", "hardedge check"),
        (_empty, "has no classes.json", "Write one"),
    ],
)
def test_faulty_data_is_named(
    damage: Callable[[Path], None], named: str, fix: str, tiny_dataset: Path, hardedge: Program, tmp_path: Path
) -> None:
    damage(tiny_dataset)
    done = hardedge("train", "camvid", "--data", tiny_dataset, "--out", tmp_path / "out", *SMALL)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert fix in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out/checkpoint.json").exists()


def test_check_finds_them_too(tiny_dataset: Path, hardedge: Program) -> None:
    assert hardedge("check", tiny_dataset).returncode == 0
    _mask_with(31)(tiny_dataset)
    _truncated_image(tiny_dataset)
    done = hardedge("check", tiny_dataset)
    assert done.returncode == 2
    assert "class index 31" in done.stdout
    assert "scene001.png" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "camvit", "--data", "data", "--out", "o"], "Did you mean camvid?"),
        (["train", "camvid", "--data", "nowhere", "--out", "o"], "nowhere is not a folder"),
        (["train", "camvid", "--data", "data", "--out", "o", "--set", "loss=ce + 0.5*cgp"], "Did you mean cpg?"),
        (["train", "camvid", "--data", "data", "--out", "o", "--set", "loss=ce"], "does not use"),
        (["train", "camvid", "--data", "data", "--out", "o", "--set", "stepps=5"], "Did you mean steps?"),
        (["train", "camvid", "--data", "data", "--out", "o", "--set", "steps"], "has no '='"),
        (["train", "camvid", "--data", "data", "--out", "o", "--budget", "10"], "Write it as 90s, 10m or 2h"),
        (["train", "camvid", "--data", "data", "--out", "o", "--resume"], "nothing to resume"),
        (["export", "nowhere", "--data", "data", "--out", "o"], "Create it with: hardedge train"),
        (["predict", "data", "data/images", "--out", "o"], "has no bundle.json. Create it with: hardedge export"),
        (["deploy", "nowhere", "--data", "data", "--out", "o"], "Create it with: hardedge export"),
        (["run", "--data", "data", "--out", "o", "--target", "tensorrt-rtx:sm87"], "sm86"),
        (["run", "--data", "data", "--out", "data"], "exists. Give another --out, or --force"),
        (["run", "--data", "data", "--out", "data", "--force"], "would replace what is read"),
        (["run", "--resume", "--out", "nowhere"], "nothing to resume"),
        (["run", "--data", "data", "--out", "o", "--set", "network=nets:build"], "nets"),
        (["check", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_one_message_and_exit_2(
    arguments: list[str],
    said: str,
    make_tiny_dataset: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_tiny_dataset(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hardedge", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2, printed.err
    assert said in printed.out + printed.err
    assert "Traceback" not in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_ctrl_c_keeps_what_was_saved_and_resumes(
    tiny_dataset: Path, hardedge: Program, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    long = ["--set", "steps=400", "--set", "batch=4", "--set", "crop=64,96", "--set", "evaluate_every=2"]
    started = start("train", "camvid", "--data", tiny_dataset, "--out", out, *long)
    try:
        deadline = time.monotonic() + 600
        while not _evaluated(out) and time.monotonic() < deadline:
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate(timeout=240)
    finally:
        started.kill()
    assert started.returncode == 130, stderr
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert not (out / "checkpoint.json").exists()
    done = hardedge("train", "camvid", "--data", tiny_dataset, "--out", out, *long, "--set", "steps=6", "--resume")
    assert done.returncode == 2
    assert "steps" in done.stderr


def _evaluated(out: Path) -> bool:
    log = out / "metrics.jsonl"
    return log.is_file() and "miou" in log.read_text()


def test_a_full_disk_is_one_message(tiny_dataset: Path, hardedge: Program, tmp_path: Path) -> None:
    def small_files_only() -> None:
        # a file-size limit stands for a full disk: the same call of write fails, without root or a mount
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    arguments = ["--data", tiny_dataset, "--out", tmp_path / "out", *SMALL]
    done = hardedge("train", "camvid", *arguments, preexec_fn=small_files_only)
    assert done.returncode == 3, done.stderr
    assert "cannot write" in done.stderr
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out/checkpoint.json").exists()


def test_debug_shows_where_an_error_came_from(hardedge: Program) -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    assert "Traceback" in hardedge("--debug", "predict", "nowhere", "x", "--out", "o", env=environment).stderr
