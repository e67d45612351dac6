"""A checkpoint from weights that were trained elsewhere, without the branches that were trained beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.console import note
from hardedge.contracts import (
    Checkpoint,
    Contract,
    NetworkSpec,
    Normalisation,
    seal,
    write_atomically,
)
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput, faults_error
from hardedge.models import architecture, build_network
from hardedge.paths import StrPath, local_paths
from hardedge.train.branches import Training
from hardedge.train.evaluation import Validation, validate
from hardedge.train.hardness_maps import hardness_source, write_hardness_maps
from hardedge.train.stripping.contents import nearest_network
from hardedge.train.stripping.layouts import COUNTER, layout_for
from hardedge.train.stripping.recognition import Recognised, recognise
from hardedge.train.stripping.weight_files import WeightFile, read_weight_file
from hardedge.version import __version__

SHOWN = 8
# of each kind of fault
FAULTS = 5


@dataclass(frozen=True, kw_only=True)
class Removed(Contract):
    """What one pattern took out: why, names, their parameters, and multiply-adds at one position of their output maps.

    A file of weights does not say how large the maps are.
    """

    pattern: str
    reason: str
    names: tuple[str, ...]
    parameters: int
    multiply_adds_per_position: int


@dataclass(frozen=True, kw_only=True)
class Stripped(Contract):
    """A checkpoint made of weights that were trained elsewhere.

    `layout` says whose names they had, `taken` which copy it was, `others` which are there too; `removed` what was
    taken out.
    """

    checkpoint: Checkpoint
    layout: str
    taken: str
    others: tuple[str, ...]
    removed: tuple[Removed, ...]


class Renormalised(nn.Module):
    """A network that takes images as ImageNet normalises them, around one that takes another normalisation."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        usual = Normalisation()
        pairs = zip((usual.mean, usual.std), (normalisation.mean, normalisation.std), strict=True)
        (mean, own_mean), (std, own_std) = ((_channels(one), _channels(other)) for one, other in pairs)
        self.register_buffer("scale", std / own_std)
        self.register_buffer("shift", (mean - own_mean) / own_std)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BCHW: Tensor = self.network(images_BCHW * self.scale + self.shift)
        return logits_BCHW


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def strip(
    weights: StrPath,
    network: str,
    data: StrPath,
    out: StrPath,
    *,
    drop: Sequence[str] = (),
    prefix: str = "",
    normalisation: Normalisation | None = None,
    force: bool = False,
) -> Stripped:
    """Writes the checkpoint directory of a network whose state_dict was trained elsewhere; export takes it from there.

    Which copy of the network the file has, behind which prefix, and which parts are for training only, is recognised
    for the networks of `hardedge models`. `drop` are patterns of further names (`weigh_head.*`); `prefix`, where it is
    given, is what stands before every name. Images are taken as `normalisation` says, as ImageNet's without one.

    Raises BadInput for a file without a state_dict, a pattern that fits nothing, classes that are not the data's, and
    when what is left is not exactly the network's, with names that are missing, left over or of another shape; nothing
    is written then.
    """
    weights, data, out = local_paths((weights, data, out))
    require_free(out, force, [weights, data])
    dataset = open_dataset(data)
    file = read_weight_file(weights)
    _require_classes(file, dataset)
    kept, dropped = drop_tensors(file, drop)
    if prefix:
        kept = _without(kept, prefix)
    spec = NetworkSpec(name=network, num_classes=dataset.task.num_classes)
    plain = build_network(spec)
    found = recognise(kept, list(plain.state_dict()), layout_for(network))
    if found is None:
        raise _is_not(kept, network, [f"{name}: missing" for name in list(plain.state_dict())[:FAULTS]])
    load_strictly(plain, found, kept, network)
    used = normalisation or Normalisation()
    _tell(found, file, dataset, used)
    removed = (*dropped, *_removed(found.training_only, "training-only"), *_removed(found.unused, "never called"))
    evaluated = Training(Renormalised(plain, used) if normalisation else plain, {})
    evaluated.to("cuda" if torch.cuda.is_available() else "cpu")
    with disk_errors(), staged_directory(out, force=force) as directory:
        judged = validate(evaluated.model, dataset, told=True)
        _write(plain, directory)
        write_hardness_maps(evaluated, dataset, directory / "hardness")
        manifest = _manifest(evaluated, dataset, spec, file.digest(found.place.part), judged)
        return Stripped(
            checkpoint=seal(directory, replace(manifest, normalisation=used)),
            layout=found.layout.title,
            taken=str(found.place),
            others=tuple(map(str, found.others)),
            removed=removed,
        )


def _require_classes(file: WeightFile, dataset: Dataset) -> None:
    """Raises BadInput where the file names classes, and not as many as the data has."""
    if file.classes and len(file.classes) != dataset.task.num_classes:
        raise BadInput(
            f"{file.path} was trained on {len(file.classes)} classes ({', '.join(file.classes[:SHOWN])}, ...), and "
            f"{dataset.root} has {dataset.task.num_classes}. Give data of the same classes, in their order."
        )


def _tell(found: Recognised, file: WeightFile, dataset: Dataset, normalisation: Normalisation) -> None:
    note(f"{file.path}: takes {found.place}, in the layout of {found.layout.title}")
    if found.others:
        note(f"also there, and not taken: {'; '.join(map(str, found.others))}")
    if file.set_aside:
        note(f"objects that are no tensors were set aside: {', '.join(file.set_aside[:SHOWN])}")
    note(f"images are normalised with mean {normalisation.mean} and std {normalisation.std}")
    names = [entry.name for entry in dataset.task.classes]
    if file.classes and list(file.classes) != names:
        pairs = ", ".join(f"{theirs} is {ours}" for theirs, ours in zip(file.classes, names, strict=True))
        note(f"the file's classes are the data's in this order: {pairs}")


def _manifest(
    training: Training, dataset: Dataset, spec: NetworkSpec, weights_digest: str, judged: Validation
) -> Checkpoint:
    return Checkpoint(
        schema_id=Checkpoint.SCHEMA,
        hardedge=__version__,
        made_from=None,
        files={},
        task=dataset.task,
        network=spec,
        normalisation=Normalisation(),
        recipe={},
        inputs={"weights": weights_digest},
        loss="not known: trained elsewhere",
        branches=(),
        seed=0,
        steps=0,
        best_step=0,
        validation=judged.score,
        batchnorm_reestimated=False,
        hardness=hardness_source(training),
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=0.0,
        doubts=judged.doubts,
    )


def drop_tensors(file: WeightFile, patterns: Sequence[str]) -> tuple[WeightFile, tuple[Removed, ...]]:
    """The file without the names that fit a pattern, and what each took; raises BadInput for one that fits none."""
    parts = {part: dict(tensors) for part, tensors in file.parts.items()}
    removed: list[Removed] = []
    for pattern in patterns:
        gone: dict[str, Tensor] = {}
        for tensors in parts.values():
            gone |= {name: tensors.pop(name) for name in list(tensors) if fnmatchcase(name, pattern)}
        if not gone:
            tops = ", ".join(dict.fromkeys(f"{name.split('.')[0]}.*" for part in parts.values() for name in part))
            raise BadInput(f"--drop '{pattern}': no name in {file.path} fits. They are under {tops}.")
        removed += _removed({pattern: gone}, "--drop")
    return replace(file, parts=parts), tuple(removed)


def _removed(groups: Mapping[str, Mapping[str, Tensor]], reason: str) -> list[Removed]:
    return [
        Removed(
            pattern=pattern,
            reason=reason,
            names=tuple(gone),
            parameters=sum(tensor.numel() for tensor in gone.values() if tensor.is_floating_point()),
            multiply_adds_per_position=sum(tensor.numel() for tensor in gone.values() if tensor.dim() >= 2),
        )
        for pattern, gone in groups.items()
    ]


def _without(file: WeightFile, prefix: str) -> WeightFile:
    """The file's parts under the network's own names; raises BadInput with the names that the prefix does not begin.

    Of several parts those count in which it begins any.
    """
    parts = {part: tensors for part, tensors in file.parts.items() if any(name.startswith(prefix) for name in tensors)}
    for tensors in parts.values() or file.parts.values():
        others = [name for name in tensors if not name.startswith(prefix)]
        if others:
            more = [f"and {len(others) - SHOWN} more"] if len(others) > SHOWN else []
            raise faults_error(
                f"--prefix {prefix}: {len(others)} of {len(tensors)} names in {file.path} do not begin with it",
                others[:SHOWN] + more,
                "Correct it, or leave it out: it is recognised.",
            )
    bare = {
        part: {name.removeprefix(prefix): tensor for name, tensor in tensors.items()} for part, tensors in parts.items()
    }
    return replace(file, parts=bare)


def load_strictly(network: nn.Module, found: Recognised, file: WeightFile, name: str) -> None:
    """Loads the tensors; raises BadInput with those that are missing, left over, or of another shape."""
    expected, tensors = network.state_dict(), found.tensors
    missing = [f"{key}: missing" for key in expected if key not in tensors and not key.endswith(COUNTER)]
    left = [f"{key}: left over; the network has none (--drop it if it was for training)" for key in found.left]
    shapes = [
        f"{key}: {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in tensors and tensors[key].shape != expected[key].shape
    ]
    if missing or left or shapes:
        raise _is_not(file, name, [line for faults in (missing, left, shapes) for line in _first(faults)])
    network.load_state_dict(expected | dict(tensors))


def _first(faults: Sequence[str]) -> list[str]:
    return [*faults[:FAULTS], *([f"and {len(faults) - FAULTS} more such"] if len(faults) > FAULTS else [])]


def _is_not(file: WeightFile, name: str, faults: Sequence[str]) -> BadInput:
    nearest = nearest_network(file) if architecture(name) else ""
    advice = f"Of the networks here it is nearest to {nearest}." if nearest else "Give the network that was trained."
    return faults_error(f"{file.path} is not {name}", list(faults), advice)


def _write(network: nn.Module, directory: Path) -> None:
    state = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    write_atomically(directory / "weights.safetensors", safetensors.torch.save(state))
    write_atomically(directory / "training_only.safetensors", safetensors.torch.save({}))


def stripping_text(stripped: Stripped, out: Path) -> str:
    """What was removed, and what is left, as text."""
    lines = [
        f"removed {one.pattern} ({one.reason}): {len(one.names)} tensors, {one.parameters:,} parameters, "
        f"{one.multiply_adds_per_position:,} multiply-adds a position of their maps\n    {_some(one.names)}"
        for one in stripped.removed
    ]
    score = stripped.checkpoint.validation.miou
    doubts = [f"  but {doubt}" for doubt in stripped.checkpoint.doubts or ()]
    return "\n".join([*lines, f"{out}: {stripped.checkpoint.network.name}, validation mIoU {score:.2f} %", *doubts])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
