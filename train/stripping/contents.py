"""What is inside a file of weights, and which network it looks like."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from torch import Tensor

from hardedge.contracts import Contract
from hardedge.models import ARCHITECTURES, UNLISTED
from hardedge.models.complexity import network_without_memory
from hardedge.models.mmsegmentation import ALIGNED
from hardedge.train.stripping.layouts import COUNTER, layout_for
from hardedge.train.stripping.recognition import Place, places_of, recognise
from hardedge.train.stripping.weight_files import WeightFile, read_weight_file

# at least this share of a network's names and shapes, its classifiers' aside
ALIKE = 0.5


@dataclass(frozen=True, kw_only=True)
class PartContents(Contract):
    """A part of a file: tensors and parameters in all, and parameters by the first name that tells them apart."""

    part: str
    tensors: int
    parameters: int
    groups: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Contents(Contract):
    """A file's parts, the classes it names, the network that it is nearest to, and how much of that is there.

    `copies` are the copies of that network in it, the first the one that would be taken; `training_only` are the
    patterns of the parts that would be taken out.
    """

    parts: tuple[PartContents, ...]
    classes: tuple[str, ...]
    network: str
    layout: str
    found: int
    expected: int
    copies: tuple[str, ...]
    training_only: tuple[str, ...]
    set_aside: tuple[str, ...]


@dataclass(frozen=True)
class _Likeness:
    network: str
    place: Place
    alike: int
    expected: int


def list_contents(path: Path) -> Contents:
    """What a file of weights holds; raises BadInput where there is no state_dict in it."""
    file = read_weight_file(path)
    best = _nearest(file)
    copies: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()
    if best:
        names = list(network_without_memory(best.network).state_dict())
        found = recognise(file, names, layout_for(best.network))
        if found:
            copies = tuple(map(str, (found.place, *found.others)))
            training_only = tuple(found.training_only)
    return Contents(
        parts=tuple(_part(part, tensors) for part, tensors in file.parts.items()),
        classes=file.classes,
        network=best.network if best else "",
        layout=layout_for(best.network).title if best else "",
        found=best.alike if best else 0,
        expected=best.expected if best else 0,
        copies=copies,
        training_only=training_only,
        set_aside=file.set_aside,
    )


def _part(part: str, tensors: Mapping[str, Tensor]) -> PartContents:
    groups: dict[str, int] = {}
    wrapper = _wrapper(list(tensors))
    for name, tensor in tensors.items():
        top = wrapper + name.removeprefix(wrapper).split(".")[0]
        groups[top] = groups.get(top, 0) + (tensor.numel() if tensor.is_floating_point() else 0)
    return PartContents(part=part, tensors=len(tensors), parameters=sum(groups.values()), groups=groups)


def _wrapper(names: list[str]) -> str:
    """What stands before every name, up to a dot."""
    places = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = takewhile(lambda words: len(set(words)) == 1, places)
    return "".join(f"{words[0]}." for words in shared)


def nearest_network(file: WeightFile) -> str:
    """The listed network that most names and shapes of the file are of, in words; nothing where none is near."""
    best = _nearest(file)
    return f"{best.network} ({best.alike} of {best.expected} names and shapes)" if best else ""


def _nearest(file: WeightFile) -> _Likeness | None:
    names = (*ARCHITECTURES, *(name for name in UNLISTED if not name.endswith(ALIGNED)))
    found = [likeness for name in names if (likeness := _likeness(file, name))]
    best = max(found, key=lambda likeness: likeness.alike / likeness.expected, default=None)
    return best if best and best.alike >= ALIKE * best.expected else None


def _likeness(file: WeightFile, network: str) -> _Likeness | None:
    expected = {
        name: tensor.shape
        for name, tensor in network_without_memory(network).state_dict().items()
        if not name.endswith(COUNTER)
    }
    places = places_of(file, list(expected))
    if not places:
        return None
    place = places[0]
    tensors = file.parts[place.part]
    shapes = {name: tensors[place.prefix + name].shape for name in expected if place.prefix + name in tensors}
    alike = sum(shapes[name] == expected[name] for name in shapes)
    return _Likeness(network, place, alike, len(expected))


def contents_text(contents: Contents) -> str:
    """The contents as text."""
    lines = []
    for part in contents.parts:
        lines.append(f"{part.part or 'the file'}: {part.tensors} tensors, {part.parameters:,} parameters")
        lines += [f"    {name}: {count:,}" for name, count in part.groups.items()]
    if contents.classes:
        lines.append(f"classes: {', '.join(contents.classes)}")
    if contents.set_aside:
        lines.append(f"objects that are no tensors, not read: {', '.join(contents.set_aside)}")
    if not contents.network:
        return "\n".join([*lines, "none of the networks here: give --network package.module:function to strip it"])
    share = f"{contents.found} of {contents.expected} names and shapes"
    lines.append(f"looks like {contents.network} in the layout of {contents.layout}: {share}")
    lines += [f"    {word} {copy}" for word, copy in zip(_words(len(contents.copies)), contents.copies, strict=True)]
    if contents.training_only:
        lines.append(f"for training only: {', '.join(contents.training_only)}")
    return "\n".join(lines)


def _words(count: int) -> list[str]:
    return ["would take", *(["also there:"] * (count - 1))][:count]
