"""From the labels of a source to the classes of a data set: order, renaming, what is ignored, what is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hardedge.contracts import ClassInfo, Task
from hardedge.data.importing.source import Color, Label, Options, Source
from hardedge.data.layouts.layout import distinct_colors
from hardedge.errors import BadInput, faults_error

IGNORED = 255
UNLABELLED = -1
DROPPED = -2
MOST = 255


@dataclass(frozen=True)
class Plan:
    """What each label becomes: a class index, IGNORED or DROPPED; and what pixels without a label become, if said."""

    task: Task
    becomes: dict[str, int]
    unlabelled: int | None


def plan_of(source: Source, options: Options) -> Plan:
    """Classes in the source's order, or in that of --classes, after --map; a background class of its own comes first.

    Raises BadInput with every option that names no label, and every label that has no class.
    """
    labels = _all_labels(source)
    faults = _unknown(labels, options)
    names = _class_names(labels, options)
    if options.unlabelled not in (None, "ignore", *names):
        names.insert(0, str(options.unlabelled))
    becomes = {}
    for label in labels:
        name = options.renamed.get(label.name, label.name)
        if label.name in options.drop:
            becomes[label.name] = DROPPED
        elif label.name in options.ignore:
            becomes[label.name] = IGNORED
        elif name in names:
            becomes[label.name] = names.index(name)
        else:
            faults.append(f"label {name} is not one of --classes. Add it, or give --map, --ignore or --drop")
    if faults:
        raise faults_error("the labels do not fit the options", faults, f"Labels: {_listed(labels)}.")
    return Plan(_task(names, labels, options), becomes, _unlabelled(names, options))


def _all_labels(source: Source) -> list[Label]:
    """The declared labels, then those that only occur, by name."""
    known = {label.name: label for label in source.labels}
    used = {region.label for sample in source.samples for region in sample.regions if region.label}
    return [*known.values(), *(Label(name) for name in sorted(used - known.keys()))]


def _unknown(labels: Sequence[Label], options: Options) -> list[str]:
    names = {label.name for label in labels}
    given = {"--map": options.renamed, "--ignore": options.ignore, "--drop": options.drop}
    faults = [
        f"{option} {name}: no such label" for option, named in given.items() for name in named if name not in names
    ]
    both = sorted(set(options.ignore) & set(options.drop))
    return faults + [f"--ignore {name} and --drop {name}: give one of them" for name in both]


def _class_names(labels: Iterable[Label], options: Options) -> list[str]:
    if options.classes:
        return list(dict.fromkeys(options.classes))
    left = (label.name for label in labels if label.name not in (*options.ignore, *options.drop))
    return list(dict.fromkeys(options.renamed.get(name, name) for name in left))


def _unlabelled(names: Sequence[str], options: Options) -> int | None:
    if options.unlabelled is None:
        return None
    return IGNORED if options.unlabelled == "ignore" else names.index(options.unlabelled)


def _task(names: Sequence[str], labels: Sequence[Label], options: Options) -> Task:
    if len(names) < 2:
        found = f"one class ({names[0]})" if names else "no class"
        raise BadInput(
            f"the source has {found}, and a segmentation needs two. "
            "Make pixels without a label a class of their own: --unlabelled background"
        )
    if len(names) > MOST:
        raise BadInput(
            f"{len(names)} classes, but an 8-bit mask has room for {MOST}. Join some with --map LABEL=CLASS."
        )
    classes = [
        ClassInfo(name=name, color=color) for name, color in zip(names, _colors(names, labels, options), strict=True)
    ]
    return Task(classes=tuple(classes), ignore_index=IGNORED)


def _colors(names: Sequence[str], labels: Sequence[Label], options: Options) -> list[Color]:
    """The source's colours, where it has one for each class and no two alike; else those of PASCAL VOC."""
    known = {options.renamed.get(label.name, label.name): label.color for label in reversed(labels) if label.color}
    known.update({label.name: label.color for label in labels if label.color})
    if options.unlabelled in names:
        known.setdefault(str(options.unlabelled), (0, 0, 0))
    colors = [known.get(name) for name in names]
    given = [color for color in colors if color is not None]
    if len(set(given)) == len(names):
        return given
    return distinct_colors(len(names), first=0 if options.unlabelled == names[0] else 1)


def _listed(labels: Sequence[Label]) -> str:
    shown = ", ".join(label.name for label in labels[:20])
    return f"{shown} and {len(labels) - 20} more" if len(labels) > 20 else shown or "none"
