"""Which files of a directory are hardedge's: those that a manifest in it lists."""

import json
from pathlib import Path

import pytest

from hardedge.ownership import CONTENTS, declare_contents, declare_the_rest, foreign_files, remove_listed


def _manifest(directory: Path, name: str, *files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    content = {"schema_id": "hardedge.engine/1", "files": dict.fromkeys(files, "0" * 64)}
    (directory / name).write_text(json.dumps(content, indent=1))


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_a_manifest_lists_its_files_itself_and_its_signature(tmp_path: Path) -> None:
    _manifest(tmp_path, "engine.json", "model.plan", "reference/a.png")
    for name in ("model.plan", "reference/a.png", "engine.json.sig", "notes.txt", "reference/b.png"):
        _file(tmp_path / name)
    assert foreign_files(tmp_path) == ["notes.txt", "reference/b.png"]


@pytest.mark.parametrize(
    "content",
    ['{"files": {"thesis.tex": "0"}}', '{"schema_id": "other/1", "files": {"thesis.tex": "0"}}', "[", "[" * 100_000],
)
def test_json_that_is_no_manifest_lists_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    _file(tmp_path / "thesis.tex")
    assert foreign_files(tmp_path) == ["report.json", "thesis.tex"]


def test_a_deeply_nested_manifest_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_id": "hardedge.report/1", "files": ' + "[" * 100_000)
    assert foreign_files(tmp_path) == ["report.json"]


def test_a_manifest_lists_nothing_outside_its_directory(tmp_path: Path) -> None:
    _manifest(tmp_path / "out/inner", "engine.json", "../thesis.tex", str(tmp_path / "out/other.tex"))
    declare_contents(tmp_path / "out", folders=("inner",))
    for name in ("out/thesis.tex", "out/other.tex", "thesis.tex"):
        _file(tmp_path / name)
    assert foreign_files(tmp_path / "out") == ["other.tex", "thesis.tex"]
    assert remove_listed(tmp_path / "out") == ["other.tex", "thesis.tex"]
    assert (tmp_path / "thesis.tex").exists()


def test_folders_are_judged_by_manifests_of_their_own(tmp_path: Path) -> None:
    declare_contents(tmp_path, folders=("engines/*", "report"))
    _manifest(tmp_path / "engines/cpu", "engine.json", "model.plan")
    for name in ("engines/cpu/model.plan", "engines/readme.md", "engines/cpu/tune.log", "report/mine.html"):
        _file(tmp_path / name)
    assert foreign_files(tmp_path) == ["engines/cpu/tune.log", "engines/readme.md", "report/mine.html"]


def test_a_pattern_stands_for_a_part_of_one_name(tmp_path: Path) -> None:
    declare_contents(tmp_path, patterns=("masks/*.png",))
    for name in ("masks/a.png", "masks/a.txt", "masks/mine/a.png", "a.png"):
        _file(tmp_path / name)
    assert foreign_files(tmp_path) == ["a.png", "masks/a.txt", "masks/mine/a.png"]


def test_partial_files_are_known_by_their_names(tmp_path: Path) -> None:
    _manifest(tmp_path, "engine.json")
    for name in (".engine.json.partial", ".bundle.partial-0a1b2c3d/model.onnx", ".tuned.partial-tune/1.json"):
        _file(tmp_path / name)
    _file(tmp_path / "partial.tex")
    assert foreign_files(tmp_path) == ["partial.tex"]


def test_the_rest_is_listed_once_and_with_what_was_declared(tmp_path: Path) -> None:
    declare_contents(tmp_path, patterns=("tensorboard/*",))
    for name in ("run.json", "a [1].png", "tensorboard/events"):
        _file(tmp_path / name)
    declare_the_rest(tmp_path)
    _file(tmp_path / "tensorboard/later")
    assert foreign_files(tmp_path) == []
    _manifest(tmp_path / "whole", "engine.json")
    declare_the_rest(tmp_path / "whole")
    assert not (tmp_path / "whole" / CONTENTS).exists()


def test_what_is_removed_is_what_is_listed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _manifest(out, "engine.json", "model.plan", "deep/deeper/a.png", "linked.png")
    for name in ("model.plan", "deep/deeper/a.png", "deep/mine.txt"):
        _file(out / name)
    _file(tmp_path / "theirs.png")
    (out / "linked.png").symlink_to(tmp_path / "theirs.png")
    assert remove_listed(out) == ["deep/mine.txt"]
    assert [path.relative_to(out).as_posix() for path in sorted(out.rglob("*"))] == ["deep", "deep/mine.txt"]
    assert (tmp_path / "theirs.png").exists()
    (out / "deep/mine.txt").unlink()
    assert remove_listed(out) == []
    assert not out.exists()
