"""What `hardedge check` says of a data set's imports: where it is from, what was done, what was changed since."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hardedge.contracts import Import, Imports, read_json, sha256_of
from hardedge.errors import BadInput

SHOWN = 5


def import_notes(root: Path) -> list[str]:
    """A few lines for each import into the folder; none where there was none."""
    if not (root / Imports.FILE).is_file():
        return []
    try:
        record = read_json(Imports, root / Imports.FILE)
    except (BadInput, OSError) as error:
        return [f"{Imports.FILE} cannot be read: {error}"]
    notes = [line for each in record.imports for line in _lines(each)]
    return notes + _changes(record, root)


def _lines(record: Import) -> list[str]:
    done: Counter[str] = Counter()
    for note in record.notes:
        done[note.done] += note.count
    counted = ", ".join(f"{done[word]:,} {word}" for word in ("merged", "dropped", "ignored") if done[word])
    overlapped = f", {done['overlapped']:,} pixels overlapped" if done["overlapped"] else ""
    head = f"imported from {record.source} ({record.format}, {len(record.files)} files, hardedge {record.hardedge})"
    lines = [f"{head}: {len(record.images)} images" + (f", {counted}" if counted else "") + overlapped]
    renamed = [
        f"{entry.label} -> {entry.becomes or entry.how}" for entry in record.labels if entry.label != entry.becomes
    ]
    lines += [f"labels of {record.source}: {', '.join(renamed)}"] if renamed else []
    return lines + [f"{note.count} {note.what}: {note.why}" for note in record.notes if note.done == "leaking"]


def _changes(record: Imports, root: Path) -> list[str]:
    """The masks that are not those that were written, by their digests."""
    images = [image for each in record.imports for image in each.images]
    paths = {image.id: root / "masks" / f"{image.id}.png" for image in images}
    changed = [
        image.id for image in images if paths[image.id].is_file() and sha256_of(paths[image.id]) != image.mask_sha256
    ]
    if not changed:
        return []
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return [f"masks changed since their import: {', '.join(changed[:SHOWN])}{more}"]
