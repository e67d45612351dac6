"""Directories that appear whole or not at all, and what --force may replace."""

import errno
import resource
import shutil
import signal
from pathlib import Path

import pytest

from hardedge.artefact import disk_errors, require_free, resumable_directory, staged_directory, write_whole
from hardedge.errors import BadInput, Unavailable
from hardedge.ownership import CONTENTS, declare_contents


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
    with pytest.raises(BadInput, match=r"did not write \(holiday.jpg, report.json\)"):
        require_free(tmp_path, force=True)
    assert (tmp_path / "holiday.jpg").exists()


@pytest.mark.parametrize("name", ["data", "masks", "state", "reference"])
def test_force_does_not_take_a_users_folder_for_its_own_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "project" / name).mkdir(parents=True)
    with pytest.raises(BadInput, match=rf"did not write \({name}\)"):
        require_free(tmp_path / "project", force=True)


def test_force_never_replaces_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "run/data/streets").mkdir(parents=True)
    declare_contents(tmp_path / "run")
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


def _finished(out: Path) -> Path:
    with staged_directory(out, force=False) as partial:
        (partial / "data").mkdir()
        (partial / "data/0.png").write_bytes(b"old")
    return out


@pytest.mark.parametrize("theirs", ["thesis.tex", "data/thesis.tex", "data/deep/thesis.tex", "data/1.png"])
def test_force_removes_no_file_that_no_manifest_lists(theirs: str, tmp_path: Path) -> None:
    out = _finished(tmp_path / "mine")
    (out / theirs).parent.mkdir(exist_ok=True)
    (out / theirs).write_text("three years")
    with pytest.raises(BadInput, match=rf"did not write \({theirs}\)"), staged_directory(out, force=True):
        raise AssertionError("no work begins")
    assert (out / theirs).read_text() == "three years"
    assert (out / "data/0.png").read_bytes() == b"old"


def test_a_link_to_a_folder_is_not_taken_for_a_folder_of_hardedges(tmp_path: Path) -> None:
    out = _finished(tmp_path / "mine")
    (tmp_path / "elsewhere").mkdir()
    (out / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"did not write \(linked\)"):
        require_free(out, force=True)


def test_folders_of_hardedge_side_by_side_are_not_replaced_with_the_folder_that_holds_them(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    _finished(tmp_path / "runs/a")
    with pytest.raises(BadInput, match=r"did not write \(a/\.hardedge\.json, a/data/0\.png\)"):
        require_free(tmp_path / "runs", force=True)


def test_a_file_put_there_while_the_old_directory_is_set_aside_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _finished(tmp_path / "mine")
    rename = Path.rename

    def rename_late(path: Path, target: Path) -> Path:
        if path == out and "replaced" in target.name:
            (out / "late.txt").write_text("late")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    with pytest.raises(BadInput, match="something else was written to"), staged_directory(out, force=True) as partial:
        (partial / "new.txt").write_text("new")
    assert (out / "late.txt").read_text() == "late"
    (beside,) = [path for path in tmp_path.iterdir() if path != out]
    assert (beside / "new.txt").read_text() == "new"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_written_where_it_leads(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with staged_directory(tmp_path / "out", force=True) as partial:
        (partial / "mask.png").write_bytes(b"mask")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real/mask.png").read_bytes() == b"mask"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "real"]


def test_a_link_to_itself_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "out")
    with pytest.raises(BadInput, match="a link that leads"):
        require_free(tmp_path / "out", force=True)


def test_what_is_finished_stays_when_it_cannot_be_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if target == out:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with (
        pytest.raises(Unavailable, match=r"What is finished is in .*out-"),
        staged_directory(out, force=False) as partial,
    ):
        (partial / "masks.png").write_bytes(b"300 masks")
    (beside,) = tmp_path.iterdir()
    assert (beside / "masks.png").read_bytes() == b"300 masks"


@pytest.mark.parametrize(
    ("name", "says"),
    [("n" * 250, "name is too long"), ("deep/" + "n" * 250, "name is too long"), ("a\x1b]0;b", "has the character U")],
)
def test_a_name_that_cannot_be_written_is_refused_before_work(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        require_free(tmp_path / name, force=False)


def test_a_place_where_nothing_can_be_written_is_refused_before_work() -> None:
    with pytest.raises(Unavailable, match=r"cannot write /proc/out"), staged_directory(Path("/proc/out"), force=False):
        raise AssertionError("no work begins")


def test_permission_denied_does_not_advise_to_free_space() -> None:
    def refuse() -> None:
        with disk_errors():
            raise PermissionError(errno.EACCES, "Permission denied", "/srv/out")

    with pytest.raises(Unavailable, match=r"/srv/out: Permission denied. Choose another") as caught:
        refuse()
    assert "space" not in str(caught.value)


def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name too long"):
        write_whole(tmp_path / ("n" * 252 + ".png"), b"mask")
    write_whole(tmp_path / ("n" * 251 + ".png"), b"mask")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mask"]


def _work_and_fail(out: Path, *, kept: bool) -> None:
    with resumable_directory(out, force=True, worth_keeping=lambda _: kept) as place:
        place.mkdir()
        declare_contents(place, files=("state.pt",))
        (place / "state.pt").write_bytes(b"step 7")
        raise RuntimeError("no such module")


def test_a_failure_before_anything_is_worth_keeping_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _work_and_fail(tmp_path / "run", kept=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_failure_with_force_leaves_the_old_directory_as_it_was(kept: bool, tmp_path: Path) -> None:
    out = _finished(tmp_path / "run")
    with pytest.raises(RuntimeError):
        _work_and_fail(out, kept=kept)
    assert (out / "data/0.png").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.next"][: 1 + kept]


def test_the_new_directory_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path: Path) -> None:
    out = _finished(tmp_path / "run")
    with resumable_directory(out, force=True, worth_keeping=lambda _: True) as place:
        assert (out / "data/0.png").exists()
        place.mkdir()
        declare_contents(place, files=("state.pt",))
        (place / "state.pt").write_bytes(b"step 7")
    assert sorted(path.name for path in out.iterdir()) == [CONTENTS, "state.pt"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
