"""`hardedge run --force` that fails: the old result stays as it was, and what was trained stays beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from hardedge import pipeline
from hardedge.cli import cli
from hardedge.deploy.stage import declare_output
from hardedge.errors import BadInput, Unavailable
from hardedge.ownership import declare_contents

pytest.importorskip("torch")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    out = tmp_path / "run"
    declare_output(out)
    (out / "report").mkdir()
    (out / "report/report.html").write_text("old")
    declare_contents(out / "report", files=["report.html"])
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("trained", [False, True], ids=["before it trained", "after a validation"])
def test_a_forced_run_that_fails_leaves_the_old_result(
    trained: bool,
    old: Path,
    tmp_path: Path,
    make_tiny_dataset: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_tiny_dataset(tmp_path / "data")
    before, places = contents(old), []

    def fails(plan: pipeline._Plan, data: Path) -> None:
        places.append(plan.out)
        assert contents(old) == before
        if trained:
            state = plan.out / "checkpoint/state"
            state.mkdir(parents=True)
            (state / "step.json").write_text("{}")
            declare_contents(plan.out / "checkpoint", files=["state/step.json"])
        raise Unavailable("the disk is full")

    monkeypatch.setattr(pipeline, "_train", fails)
    done = CliRunner().invoke(cli, ["run", "--data", str(tmp_path / "data"), "--out", str(old), "--force"])
    assert isinstance(done.exception, Unavailable), done.output
    assert places == [tmp_path / "run.next"]
    assert contents(old) == before
    assert (tmp_path / "run.next/checkpoint/state/step.json").is_file() == trained
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run", *(["run.next"] if trained else [])]


def test_a_forced_run_replaces_no_file_of_the_users(
    old: Path, tmp_path: Path, make_tiny_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny_dataset(tmp_path / "data")
    (old / "thesis.tex").write_text("mine")
    monkeypatch.setattr(pipeline, "_train", lambda plan, data: pytest.fail("it began to train"))
    done = CliRunner().invoke(cli, ["run", "--data", str(tmp_path / "data"), "--out", str(old), "--force"])
    assert isinstance(done.exception, BadInput)
    assert "thesis.tex" in str(done.exception)
    assert (old / "thesis.tex").read_text() == "mine"
