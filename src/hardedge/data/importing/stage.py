"""The import: a source read, painted, split, and written in the native form with a record of where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hardedge.artefact import require_free, require_writable, staged_directory, write_whole
from hardedge.console import progress_bar
from hardedge.contracts import Import, Imports, Task, to_json, write_atomically
from hardedge.data.dataset import SPLITS
from hardedge.data.importing.adding import NEW, Before, before_of, enlarged
from hardedge.data.importing.classes import Plan, plan_of
from hardedge.data.importing.formats import Format
from hardedge.data.importing.names import BadName, ids_of
from hardedge.data.importing.pairs import Written, write_pair
from hardedge.data.importing.record import record_of
from hardedge.data.importing.source import Found, Options, Sample, Source
from hardedge.data.importing.splits import Division, Member, Splitting, divided
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_paths


def import_data(
    format: Format, source: StrPath, out: StrPath, options: Options, splitting: Splitting, add: bool = False
) -> Import:
    """Writes the source as a data set, all or nothing; with `add` into one that an import wrote before.

    Raises BadInput with every fault of the source, of the options, for an `out` that exists, and before any work where
    that is possible; Unavailable without a package that the format needs.
    """
    source, out = local_paths((source, out))
    if not source.exists():
        raise BadInput(f"{source} does not exist.")
    before = before_of(out) if add else None
    if not add and (out / Imports.FILE).is_file():
        raise BadInput(f"{out} exists, written by an import. Give another --out, or --add to add to it.")
    if before is None:
        require_free(out, None, (source,))
    else:
        require_writable(out)
        options = replace(options, classes=options.classes or tuple(entry.name for entry in before.task.classes))
    found = Found()
    format.require_useful(options)
    read = _distinct(format.read(source, options, found), found)
    ids = _ids(read, found)
    found.require_none(source)
    if not read.samples:
        raise BadInput(f"{source} has no image with labels.")
    plan = _plan(read, options, before)
    with _fresh(out, before) as folder:
        written = _written(read, ids, folder / NEW if before else folder, plan, options, found)
        found.require_none(source)
        if before:
            written = before.placed(written, folder, found)
            found.require_none(source, "Rename the images, or import into another folder. Nothing was written.")
        members = [*_members(written, plan), *(before.members if before else ())]
        division = divided(members, splitting)
        found.notes.update(division.notes)
        _write_lists(folder, plan.task, members, division)
        made = record_of(format.name, source, written, division, plan, options, splitting, found)
        record = Imports(schema_id=Imports.SCHEMA, imports=(*(before.record.imports if before else ()), made))
        write_atomically(folder / Imports.FILE, to_json(record).encode())
    return made


def _distinct(read: Source, found: Found) -> Source:
    """Without images that are listed again, such as by val and test."""
    samples: dict[object, Sample] = {}
    for sample in read.samples:
        if samples.setdefault(sample.image, sample) is not sample:
            first = samples[sample.image]
            found.note(
                "merged", f"image of {sample.split or 'no split'}", f"listed before ({first.split or 'no split'})"
            )
    return replace(read, samples=tuple(samples.values()))


def _ids(read: Source, found: Found) -> list[str]:
    try:
        return ids_of([sample.name for sample in read.samples])
    except BadName:
        # one by one, to name each image
        for sample in read.samples:
            try:
                ids_of([sample.name])
            except BadName as error:
                found.fault(sample.where, error)
        return []


def _plan(read: Source, options: Options, before: Before | None) -> Plan:
    plan = plan_of(read, options)
    if before is None:
        return plan
    names = [entry.name for entry in plan.task.classes]
    known = [entry.name for entry in before.task.classes]
    if names != known:
        raise BadInput(f"the classes are {', '.join(names)}, but {before.root} has {', '.join(known)}. Give --map.")
    return replace(plan, task=before.task)


@contextmanager
def _fresh(out: Path, before: Before | None) -> Iterator[Path]:
    """The folder to write, which becomes `out` at the end: empty, or with all that was there before."""
    with enlarged(out) if before else staged_directory(out, force=None) as folder:
        for name in ("images", "masks", "splits"):
            (folder / name).mkdir(exist_ok=True)
        yield folder


def _written(
    read: Source, ids: Sequence[str], folder: Path, plan: Plan, options: Options, found: Found
) -> list[Written]:
    order = options.order or read.order
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True)
    pool = ThreadPoolExecutor()
    try:
        pairs = zip(read.samples, ids, strict=True)
        done = pool.map(lambda pair: write_pair(pair[0], pair[1], folder, plan, order, options), pairs)
        written = list(progress_bar(done, "importing", len(ids)))
    finally:
        pool.shutdown(cancel_futures=True)
    for each in written:
        found.notes.update(each.notes)
        for where, problem in each.faults:
            found.fault(where, problem)
    return written


def _members(written: Sequence[Written], plan: Plan) -> list[Member]:
    return [
        Member(
            id=each.id,
            name=each.sample.name,
            own=each.sample.split,
            present=each.pixels[: plan.task.num_classes] > 0,
            fingerprint=each.picture.fingerprint,
            taken=each.picture.taken,
        )
        for each in written
        if each.picture
    ]


def _write_lists(folder: Path, task: Task, members: Sequence[Member], division: Division) -> None:
    """classes.json and the splits; the images that were there keep their places."""
    for split in SPLITS:
        chosen = zip(members, division.splits, strict=True)
        ids = [(member.placed is None, member.id) for member, of_split in chosen if of_split == split]
        text = "".join(f"{id}\n" for _, id in sorted(ids))
        write_whole(folder / "splits" / f"{split}.txt", text.encode())
    write_whole(folder / "classes.json", to_json(task).encode())
