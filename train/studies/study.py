"""A study of many trainings: which trial a process does next, and what became of it.

Its processes share the folder of the study, where locks say which of them are alive. So the trial of a killed process
is seen at once and goes on from its last stored state; no clock and no heartbeat decides who is dead.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hardedge.console import note, spinner
from hardedge.contracts import Json, write_atomically
from hardedge.errors import first_line
from hardedge.train.studies.locks import Locks

TRIALS = "trials"
CHOOSING = 0  # the lock of the process that chooses what it does next; that of trial N is 1 + N
POLL = 1.0  # seconds between two looks at what other processes do
TRIES = 100  # proposals in a row that are known already, before a sampler is taken to have nothing new

Params = dict[str, Any]
Trials = list[FrozenTrial]


@dataclass(frozen=True)
class Wanted:
    """A training that is still to do: at these parameters, or where the sampler proposes (None)."""

    params: Params | None
    seed: int
    role: str = ""


@dataclass(frozen=True)
class StudyJob:
    """A trial that this process has to itself, and the directory of its training."""

    number: int
    params: Params
    seed: int
    role: str
    out: Path


@dataclass(frozen=True)
class Space:
    """Where trials lie; `sampler` makes Optuna's sampler for a study that has so many trials."""

    distributions: Mapping[str, BaseDistribution]
    sampler: Callable[[int], BaseSampler]


class Study:
    """Trials of one study, as all processes that have it open see them."""

    def __init__(self, out: Path, locks: Locks, study: optuna.Study, space: Space) -> None:
        self.out, self._locks, self._study, self._space = out, locks, study, space
        self._exhausted = False

    def trials(self) -> Trials:
        """All that stand for a training, in their order."""
        return [trial for trial in self._all() if "seed" in trial.user_attrs]

    def work(self, wanted: Callable[[Trials], Wanted | None], do: Callable[[StudyJob], None]) -> None:
        """Does what is `wanted` of those that there are until nothing is, and waits for what other processes do.

        `do` ends its job with `complete` or `fail`. A job whose process ends before that is done again by another.
        """
        while True:
            job = self.claimed(wanted)
            if job is not None:
                do(job)
                continue
            others = sum(trial.state == TrialState.RUNNING for trial in self.trials())
            if not others:
                return
            with spinner(f"waiting for {others} training(s) of other processes"):
                time.sleep(POLL)

    def claimed(self, wanted: Callable[[Trials], Wanted | None]) -> StudyJob | None:
        """The trial of a process that is gone, or a new one for what is wanted; None: there is neither."""
        with self._locks.held(CHOOSING):
            return self._left_behind() or self._new(wanted)

    def write(self, name: str, content: str) -> None:
        """Replaces a file of the folder; processes that do so at one moment do it one after the other."""
        with self._locks.held(CHOOSING):
            write_atomically(self.out / name, content.encode())

    def _left_behind(self) -> StudyJob | None:
        for trial in self._all():
            if trial.state != TrialState.RUNNING or not self._locks.take(1 + trial.number):
                continue
            trial = self._all()[trial.number]  # it may have ended between the look and the lock
            if trial.state == TrialState.RUNNING and "seed" in trial.user_attrs:
                note(f"trial {trial.number} goes on: its process is gone")
                return self._job(trial)
            if trial.state == TrialState.RUNNING:  # a process was killed before it had said what the trial is for
                self._study.tell(trial.number, state=TrialState.FAIL)
            self._locks.give_back(1 + trial.number)
        return None

    def _new(self, wanted: Callable[[Trials], Wanted | None]) -> StudyJob | None:
        for _ in range(TRIES):
            todo = wanted(self.trials())
            if todo is None or (todo.params is None and self._exhausted):
                return None
            number = self._proposed(todo) if todo.params is None else self._given(todo, todo.params)
            if number is not None:
                self._locks.take(1 + number)
                return self._job(self._all()[number])
        self._exhausted = True  # else it were asked as often at each look at what other processes do
        note(f"the sampler proposed nothing new {TRIES} times in a row: no more points")
        return None

    def _given(self, todo: Wanted, params: Params) -> int:
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions={name: self._space.distributions[name] for name in params},
            user_attrs=_attributes(todo),
        )
        self._study.add_trial(trial)
        return len(self._all()) - 1

    def _proposed(self, todo: Wanted) -> int | None:
        """The number of a trial where the sampler proposes; None where that was proposed before."""
        known = {params_key(trial.params) for trial in self.trials()}
        self._study.sampler = self._space.sampler(len(self._all()))
        trial = self._study.ask(dict(self._space.distributions))
        if params_key(trial.params) in known:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        for name, value in _attributes(todo).items():
            trial.set_user_attr(name, value)
        return trial.number

    def complete(self, job: StudyJob, score: float, **told: Json) -> None:
        """Ends the trial with its score; `told` is kept beside it."""
        self._tell(job, told)
        self._study.tell(job.number, score)
        self._locks.give_back(1 + job.number)

    def fail(self, job: StudyJob, error: BaseException) -> None:
        """Ends the trial for good, with the reason."""
        note(f"trial {job.number} failed: {first_line(error)}")
        self._tell(job, {"error": str(error)})
        self._study.tell(job.number, state=TrialState.FAIL)
        self._locks.give_back(1 + job.number)

    def _tell(self, job: StudyJob, told: Mapping[str, Json]) -> None:
        trial = optuna.Trial(self._study, self._all()[job.number]._trial_id)
        for name, value in told.items():
            trial.set_user_attr(name, value)

    def _job(self, trial: FrozenTrial) -> StudyJob:
        attributes = trial.user_attrs
        out = self.out / TRIALS / f"{trial.number:04d}"
        return StudyJob(trial.number, trial.params, attributes["seed"], attributes["role"], out)

    def _all(self) -> Trials:
        return self._study.get_trials(deepcopy=False)


def _attributes(todo: Wanted) -> dict[str, Json]:
    # the seed last: a trial that has one has the others
    return {"role": todo.role, "seed": todo.seed}


def params_key(params: Params) -> str:
    """The same text for the same parameters."""
    return json.dumps(params, sort_keys=True)
