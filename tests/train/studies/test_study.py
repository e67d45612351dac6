"""Who does which trial: what a process leaves behind, folders and storages that are not a study's."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from hardedge.errors import BadInput
from hardedge.train.studies.folder import StudyPlan, open_study
from hardedge.train.studies.journal import MendingLock
from hardedge.train.studies.study import TRIES, Space, Study, StudyJob, Trials, Wanted

SPACE = Space({"loss": CategoricalDistribution(("ce", "lmp"))}, lambda trials: RandomSampler(seed=trials))
PLAN = StudyPlan(recipe={"steps": 2}, data_digest="0" * 64)


@contextmanager
def study(out: Path, storage: str | None = None, plan: StudyPlan = PLAN, space: Space = SPACE) -> Iterator[Study]:
    with open_study(out, plan, storage, space) as (there, _):
        yield there


def one_each(trials: Trials) -> Wanted | None:
    """Both losses with seed 7."""
    there = [trial.params["loss"] for trial in trials]
    return next((Wanted({"loss": loss}, 7) for loss in ("ce", "lmp") if loss not in there), None)


def claimed(there: Study) -> StudyJob:
    job = there.claimed(one_each)
    assert job is not None
    return job


@pytest.mark.parametrize("storage", [None, "sqlite:///{}/study.db", "{}/elsewhere.journal"])
def test_a_trial_whose_process_is_gone_goes_on_under_its_number(storage: str | None, tmp_path: Path) -> None:
    place = storage and storage.format(tmp_path)
    with study(tmp_path / "out", place) as there:
        first = claimed(there)
    with study(tmp_path / "out", place) as there:
        assert claimed(there) == first == StudyJob(0, {"loss": "ce"}, 7, "", tmp_path / "out/trials/0000")
        there.complete(first, 12.5, checkpoint="a")
        second = claimed(there)
        assert (second.number, second.params) == (1, {"loss": "lmp"})
        there.fail(second, BadInput("it diverged"))
        assert there.claimed(one_each) is None
        done, failed = there.trials()
    assert (done.value, done.user_attrs["checkpoint"]) == (12.5, "a")
    assert (failed.state, failed.user_attrs["error"]) == (TrialState.FAIL, "it diverged")


def test_a_proposal_without_a_seed_is_dropped(tmp_path: Path) -> None:
    """As a process leaves it that is killed between the two."""
    with study(tmp_path / "out") as there:
        there._study.ask(dict(SPACE.distributions))
    with study(tmp_path / "out") as there:
        assert claimed(there).number == 1
        assert there._study.trials[0].state == TrialState.FAIL
        assert [trial.number for trial in there.trials()] == [1]


def test_a_sampler_proposes_nothing_twice_and_ends_when_it_has_nothing_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with study(tmp_path / "out") as there:
        there.work(lambda trials: Wanted(None, 0), lambda job: there.complete(job, 1.0))
        assert sorted(trial.params["loss"] for trial in there.trials()) == ["ce", "lmp"]
        asked = len(there._all())
        assert there.claimed(lambda trials: Wanted(None, 0)) is None  # as it looks again while others are at work
        assert len(there._all()) == asked
    assert f"nothing new {TRIES} times in a row" in capsys.readouterr().err


def test_a_process_alone_proposes_the_same_again(tmp_path: Path) -> None:
    space = Space({"rate": FloatDistribution(0, 1)}, SPACE.sampler)
    found = []
    for out in ("a", "b"):
        with study(tmp_path / out, space=space) as there:
            there.work(lambda trials: Wanted(None, 0) if len(trials) < 3 else None, lambda job: there.complete(job, 1))
            found.append([trial.params["rate"] for trial in there.trials()])
    assert found[0] == found[1]
    assert len(set(found[0])) == 3


def test_another_plan_is_refused_by_what_differs(tmp_path: Path) -> None:
    with study(tmp_path / "out"):
        pass
    other = StudyPlan(recipe={"steps": 3}, data_digest="1" * 64)
    with pytest.raises(BadInput, match=r"begun with another plan") as refused, study(tmp_path / "out", plan=other):
        pass
    assert "recipe.steps: 3 now, 2 then" in str(refused.value)
    assert "data_digest" in str(refused.value)


def test_another_storage_is_refused(tmp_path: Path) -> None:
    with study(tmp_path / "out"):
        pass
    elsewhere = f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(BadInput, match="begun on another storage"), study(tmp_path / "out", elsewhere):
        pass


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("nodatabase://user:secret@host/db", r"nodatabase://... cannot be opened"),
        ("sqlite:////nowhere/at/all.db", r"sqlite://... cannot be opened: .*unable to open database file"),
        ("{}/nowhere/a.journal", "nowhere is not a folder"),
        ("{}/text.journal", r"text.journal is no journal of Optuna's"),
        ("{}/line.journal", r"line.journal is no journal of Optuna's"),
        ("sqlite://", "sqlite://... cannot be opened: it is in memory"),
        ("sqlite:///:memory:", "sqlite://... cannot be opened: it is in memory"),
    ],
)
def test_a_storage_that_is_none_leaves_nothing(storage: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text.journal").write_text("this is no log\nnor this\n")
    (tmp_path / "line.journal").write_text("a line without an end")
    with pytest.raises(BadInput, match=said) as refused, study(tmp_path / "out", storage.format(tmp_path)):
        pass
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "line.journal").read_text() == "a line without an end"


@pytest.mark.parametrize("cut", [1, 30])
def test_a_record_that_was_not_written_to_its_end_is_dropped(cut: int, tmp_path: Path) -> None:
    """As a full disk or a kill leaves it: without this, the next record is written behind it and no one reads on."""
    with study(tmp_path / "out") as there:
        first = claimed(there)
        there.complete(first, 12.5)
    journal = tmp_path / "out/study.journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with study(tmp_path / "out") as there:
        again = claimed(there)
        assert again == first
        there.complete(again, 12.5)
        there.complete(claimed(there), 10.0)
    with study(tmp_path / "out") as there:
        assert [trial.value for trial in there.trials()] == [12.5, 10.0]


def test_the_lock_of_a_process_that_was_killed_while_it_wrote_is_seen_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a relative path would name nothing: Optuna then asks for ever, and never looks how old it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    lock = MendingLock(Path("runs/study.journal"))
    (tmp_path / "runs/study.journal").touch()
    assert lock.acquire()
    assert (tmp_path / "runs/study.journal.lock").stat().st_size == 0  # of the journal, through the link
    lock.release()


def test_a_plan_of_another_command_is_refused(tmp_path: Path) -> None:
    with study(tmp_path / "out"):
        pass
    (tmp_path / "out/plan.json").write_text("{")
    with pytest.raises(BadInput, match="out was begun by another command or version of hardedge, or its plan.json"):
        study(tmp_path / "out").__enter__()


def test_a_study_that_another_process_begins_at_the_same_moment_is_no_foreign_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has made the folder, and makes its locks just before what is in it is listed."""
    out, listed = tmp_path / "out", Path.iterdir
    (out / "trials").mkdir(parents=True)

    def begun_meanwhile(folder: Path) -> Iterator[Path]:
        (out / "study.lock").touch()
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", begun_meanwhile)
    with study(out) as there:
        assert claimed(there).number == 0


def open_all(home: Path, out: str, together: Barrier) -> None:
    """Opens studies of its own on databases that other processes make at the same moment."""
    for database in range(6):
        together.wait(timeout=300)
        with study(home / f"{out}-{database}", f"sqlite:///{home}/{database}.db") as there:
            claimed(there)


def test_processes_that_make_one_database_at_the_same_moment_all_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # where they find this module, however pytest was started
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    processes = [context.Process(target=open_all, args=(tmp_path, out, together)) for out in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_folders_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"mine exists and is no study \(it has notes.txt\)"), study(tmp_path / "mine"):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(BadInput, match="is a file"), study(tmp_path / "mine/notes.txt"):
        pass
