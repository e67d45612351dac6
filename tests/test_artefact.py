"""Directories that appear whole or not at all, and what --force may replace."""

import resource
import shutil
import signal
from pathlib import Path

import pytest

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.errors import BadInput, Unavailable


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with staged_directory(tmp_path / "bundle", force=False) as partial:
            (partial / "bundle.json").write_text("{}")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_force_replaces_what_hardedge_wrote_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "report"
    with staged_directory(out, force=False) as partial:
        (partial / "report.json").write_text("old")
    with staged_directory(out, force=True) as partial:
        assert (out / "report.json").read_text() == "old"
        (partial / "report.json").write_text("new")
    assert (out / "report.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("force", [None, False])
def test_of_two_that_write_one_place_at_the_same_time_none_takes_the_others_away(
    force: bool | None, tmp_path: Path
) -> None:
    out = tmp_path / "report"

    def both() -> None:
        with staged_directory(out, force=force) as late:
            (late / "report.json").write_text("late")
            with staged_directory(out, force=force) as early:
                (early / "report.json").write_text("early")

    with pytest.raises(BadInput, match=r"something else was written to .*report: this is in .*report-"):
        both()
    (beside,) = [path for path in tmp_path.iterdir() if path != out]
    assert [(path / "report.json").read_text() for path in (out, beside)] == ["early", "late"]


def test_force_takes_no_file_away_that_a_user_put_there_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "report"
    with staged_directory(out, force=False) as partial:
        (partial / "report.json").write_text("old")

    def replaced() -> None:
        with staged_directory(out, force=True):
            (out / "holiday.jpg").write_bytes(b"")

    with pytest.raises(BadInput, match="something else was written to"):
        replaced()
    assert (out / "holiday.jpg").exists()


def test_an_existing_directory_is_refused_without_force(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists. Give another --out, or --force"):
        require_free(tmp_path, force=False)


def test_force_never_replaces_a_users_files(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match=r"did not write \(holiday.jpg\)"):
        require_free(tmp_path, force=True)
    assert (tmp_path / "holiday.jpg").exists()


@pytest.mark.parametrize("name", ["data", "masks", "state", "reference"])
def test_force_does_not_take_a_users_folder_for_its_own_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "project" / name).mkdir(parents=True)
    with pytest.raises(BadInput, match=rf"did not write \({name}\)"):
        require_free(tmp_path / "project", force=True)


def test_force_never_replaces_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "run/data/streets").mkdir(parents=True)
    (tmp_path / "run/report.json").write_text("{}")
    with pytest.raises(BadInput, match="would replace what is read: .*streets"):
        require_free(tmp_path / "run", force=True, inputs=[tmp_path / "run/data/streets"])
    require_free(tmp_path / "run", force=True, inputs=[tmp_path / "other"])


@pytest.mark.parametrize("below", ["out", "out/deeper/still"])
def test_a_file_in_the_way_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        require_free(tmp_path / below, force=True)


def test_what_failed_is_kept_on_request_and_never_replaced(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with staged_directory(tmp_path / "bundle", force=False, keep_failed=True) as partial:
            (partial / "model.onnx").write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_and_fail()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.failed"]
    assert (tmp_path / "bundle.failed" / "model.onnx").read_text() == "half"
    with pytest.raises(BadInput, match=r"bundle.failed exists, kept of an earlier failure"):
        write_and_fail()


def test_of_a_copy_that_has_no_room_its_place_is_named(tmp_path: Path) -> None:
    """And not what is copied, which is the first of the two names that the operating system's error has."""
    (tmp_path / "model.onnx").write_bytes(bytes(1000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(Unavailable, match=r"cannot write .*copy\.onnx: File too large"), disk_errors():
            shutil.copyfile(tmp_path / "model.onnx", tmp_path / "copy.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
