"""The folder of a study: its plan, its locks, and Optuna's storage."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from hardedge.artefact import disk_errors, require_folder, resolve_output
from hardedge.contracts import Contract, Json, read_json, to_json, write_atomically
from hardedge.errors import BadInput, Unavailable, faults_error, first_line
from hardedge.train.studies.journal import journal
from hardedge.train.studies.locks import Locks
from hardedge.train.studies.study import CHOOSING, TRIALS, Space, Study

JOURNAL = "study.journal"
LOCKS = "study.lock"
PLAN = "plan.json"
PATIENCE = 60  # seconds for another process's write; SQLite's own are five
MEETINGS = 20  # how often it may meet other processes that make a database's tables
PAUSE = 0.1  # seconds after each


@dataclass(frozen=True, kw_only=True)
class StudyPlan(Contract):
    """What a study is of; all processes that work on it have the same. `study` is its name in the storage."""

    study: str = ""
    recipe: dict[str, Json]
    data_digest: str


P = TypeVar("P", bound=StudyPlan)


@contextmanager
def open_study(out: Path, plan: P, storage: str | None, space: Space) -> Iterator[tuple[Study, P]]:
    """The study in `out`, made where there is none, and its plan with the study's name.

    `storage` is a database's URL or the path of a journal of Optuna's; None is a journal in `out`. Raises BadInput when
    `out` is something else, or was begun with another plan or another storage, and for a storage that cannot be opened;
    Unavailable where it answers no more.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out = resolve_output(out)
    require_study_place(out)
    with disk_errors():
        place = None if storage is None else _storage(storage)  # before anything is written: it may be none
        (out / TRIALS).mkdir(parents=True, exist_ok=True)
        with Locks(out / LOCKS) as locks:
            with locks.held(CHOOSING):
                study, plan = _begin(out, plan, place or journal(out / JOURNAL))
            try:
                yield Study(out, locks, study, space), plan
            except (SQLAlchemyError, StorageInternalError) as error:
                raise Unavailable(
                    f"the storage of {out} does not answer ({first_line(error)}). Start the same again: it goes on."
                ) from error


def require_study_place(out: Path) -> None:
    """Raises BadInput where `out` is something else than a study, Unavailable where nothing can be written."""
    require_folder(out)
    if not out.exists() or (out / LOCKS).is_file():
        return
    foreign = sorted(path.name for path in out.iterdir() if path.name != TRIALS and not path.name.startswith("."))
    if foreign and not (out / LOCKS).is_file():  # another process, which makes its locks first, may just have begun
        raise BadInput(f"{out} exists and is no study (it has {', '.join(foreign[:5])}). Give another --out.")


def _begin(out: Path, plan: P, place: optuna.storages.BaseStorage) -> tuple[optuna.Study, P]:
    if (out / PLAN).is_file():
        plan = _same(out / PLAN, plan)
        try:
            return optuna.load_study(study_name=plan.study, storage=place), plan
        except KeyError:
            raise BadInput(
                f"{out} was begun on another storage: this one has no study {plan.study}. Give that --storage."
            ) from None
    plan = replace(plan, study=f"{out.resolve().name}-{secrets.token_hex(4)}")
    study = optuna.create_study(storage=place, study_name=plan.study, direction="maximize")
    write_atomically(out / PLAN, to_json(plan).encode())
    return study, plan


def _same(path: Path, plan: P) -> P:
    """The plan that the file has; raises BadInput naming all that is not as in `plan`."""
    try:
        found = read_json(type(plan), path)
    except BadInput:
        raise BadInput(
            f"{path.parent} was begun by another command or version of hardedge, or its {PLAN} is damaged: it is no "
            "plan of this kind. Give another --out."
        ) from None
    now, then = (_flat(json.loads(to_json(each))) for each in (plan, found))
    faults = [
        f"{name}: {json.dumps(now.get(name))} now, {json.dumps(then.get(name))} then"
        for name in dict.fromkeys((*now, *then))
        if now.get(name) != then.get(name)
    ]
    if faults:
        raise faults_error(f"{path.parent} was begun with another plan", faults, "Give the same, or another --out.")
    return found


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the recipe's fields as its own, and without the study's name."""
    kept = {name: value for name, value in record.items() if name not in ("study", "recipe")}
    return kept | {f"recipe.{name}": value for name, value in record["recipe"].items()}


def _storage(storage: str) -> optuna.storages.BaseStorage:
    if "://" not in storage:
        return journal(Path(storage))
    options = {"connect_args": {"timeout": PATIENCE}} if storage.startswith("sqlite") else {}
    try:
        _require_lasting(storage)
        return _database(storage, options)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        kind = storage.partition("://")[0]  # the rest may hold a password
        raise BadInput(
            f"--storage {kind}://... cannot be opened: {first_line(error)}. Give a URL as SQLAlchemy reads it, such as "
            "sqlite:///study.db, or the path of a file."
        ) from None


def _require_lasting(url: str) -> None:
    """Raises ValueError for SQLite's database in memory, which ends with the process and which no other sees."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("it is in memory and would end with this process")


def _database(url: str, options: dict[str, Any]) -> optuna.storages.BaseStorage:
    """Opens it, and once more where another process was making the same tables at that moment."""
    for _ in range(MEETINGS):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
        except SQLAlchemyError as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
            time.sleep(PAUSE)
    return optuna.storages.RDBStorage(url, engine_kwargs=options)
