"""Where in a file the network's tensors are, under which prefix, and what the rest is."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from hardedge.train.stripping.layouts import COUNTER, LOSSES, Layout
from hardedge.train.stripping.weight_files import WeightFile

# of a name of an averaged copy: torch's, timm's, Lightning's and others' words
AVERAGED = ("ema", "averaged", "swa")
PROBES = 12


@dataclass(frozen=True)
class Place:
    """One copy of a network in a file: the part and the prefix of its names, and how many of them are there."""

    part: str
    prefix: str
    found: int

    @property
    def averaged(self) -> bool:
        """Whether its name says that it is an average of weights."""
        words = f"{self.part}.{self.prefix}".lower().replace("_", ".").split(".")
        return any(word.startswith(AVERAGED) for word in words)

    def __str__(self) -> str:
        return f"{self.part or 'the file'}, names behind {self.prefix!r}" if self.prefix else self.part or "the file"


@dataclass(frozen=True)
class Recognised:
    """What was found: the copy that is taken, under the network's names; what is beside it; other copies.

    `training_only` and `unused` hold the tensors beside the network's own by the pattern that names them; `left` are
    those that no pattern names.
    """

    layout: Layout
    place: Place
    tensors: Mapping[str, Tensor]
    training_only: Mapping[str, dict[str, Tensor]]
    unused: Mapping[str, dict[str, Tensor]]
    left: Mapping[str, Tensor]
    others: tuple[Place, ...]


def places_of(file: WeightFile, expected: Sequence[str]) -> list[Place]:
    """The copies of a network of these names in a file, the fullest first; of full ones an average of weights first."""
    needed = [name for name in expected if not name.endswith(COUNTER)]
    probes = needed[:: max(1, len(needed) // PROBES)]
    found = [
        Place(part, prefix, sum(prefix + name in tensors for name in needed))
        for part, tensors in file.parts.items()
        for prefix in _prefixes(tensors, probes)
    ]
    return sorted(found, key=lambda place: (-place.found, not place.averaged, len(place.prefix)))


def _prefixes(names: Collection[str], probes: Iterable[str]) -> list[str]:
    """What stands before one of the probes in some name, up to a dot."""
    found = {
        name.removesuffix(probe): None
        for probe in probes
        for name in names
        if name == probe or name.endswith(f".{probe}")
    }
    return list(found)


def recognise(file: WeightFile, expected: Sequence[str], layout: Layout) -> Recognised | None:
    """The fullest copy of the network in the file; None where no name of it is there."""
    places = places_of(file, expected)
    if not places:
        return None
    taken = places[0]
    others = tuple(place for place in places[1:] if place.found == taken.found)
    beside: dict[str, Tensor] = {}
    own: dict[str, Tensor] = {}
    known = set(expected)
    for name, tensor in file.parts[taken.part].items():
        bare = name.removeprefix(taken.prefix)
        if name.startswith(taken.prefix) and bare in known:
            own[bare] = tensor
        elif not _of_another(name, taken, others):
            beside[bare if name.startswith(taken.prefix) else name] = tensor
    training_only = _take(beside, (*layout.training_only, *LOSSES))
    unused = _take(beside, layout.unused)
    whole = own | {name: tensor for group in unused.values() for name, tensor in group.items()}
    converted = layout.convert(whole)
    return Recognised(
        layout=layout,
        place=taken,
        tensors={name: converted[name] for name in own},
        training_only=training_only,
        unused=unused,
        left=beside,
        others=others,
    )


def _of_another(name: str, taken: Place, others: Iterable[Place]) -> bool:
    """Whether the name is in another copy's; of prefixes that begin it, the longest counts."""
    begun = [place.prefix for place in (taken, *others) if place.part == taken.part and name.startswith(place.prefix)]
    return bool(begun) and max(begun, key=len) != taken.prefix


def _take(tensors: dict[str, Tensor], patterns: Iterable[str]) -> dict[str, dict[str, Tensor]]:
    """What each pattern takes out of the tensors; patterns that take nothing are left out."""
    taken = {}
    for pattern in patterns:
        names = [name for name in tensors if fnmatchcase(name, pattern)]
        if names:
            taken[pattern] = {name: tensors.pop(name) for name in names}
    return taken
