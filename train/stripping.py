"""A checkpoint from weights that were trained elsewhere, without the branches that were trained beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from hardedge import __version__
from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.contracts import Checkpoint, Contract, NetworkSpec, SegmentationScore, seal, write_atomically
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput, faults_error
from hardedge.models import build_network
from hardedge.models.pretrained import weights_from_file
from hardedge.train.batches.samples import NORMALISATION
from hardedge.train.branches import Training, attach_branches
from hardedge.train.evaluation import validate
from hardedge.train.hardness_maps import hardness_source, write_hardness_maps

COUNTER = "num_batches_tracked"  # files of old libraries are without it
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Removed(Contract):
    """What one --drop took out: names, their parameters, and the multiply-adds of one position of their output maps.

    A file of weights does not say how large the maps are.
    """

    pattern: str
    names: tuple[str, ...]
    parameters: int
    multiply_adds_per_position: int


@dataclass(frozen=True, kw_only=True)
class Stripped(Contract):
    """A checkpoint made of weights that were trained elsewhere, and what was taken out of them."""

    checkpoint: Checkpoint
    removed: tuple[Removed, ...]


def strip(
    weights: Path,
    network: str,
    data: Path,
    out: Path,
    *,
    drop: Sequence[str] = (),
    prefix: str = "",
    force: bool = False,
) -> Stripped:
    """Writes the checkpoint directory of a network whose state_dict was trained elsewhere; export takes it from there.

    `drop` are patterns of names (`weigh_head.*`), `prefix` is what stands before the network's own names. Images are
    taken as ImageNet normalises them. Raises BadInput for a file without a state_dict, a pattern that fits nothing, and
    when what is left is not exactly the network's, with the names that are missing, left over or of another shape;
    nothing is written then.
    """
    require_free(out, force, [weights, data])
    dataset = open_dataset(data)
    source = weights_from_file(weights)
    kept, removed = drop_tensors(source.tensors, drop, weights)
    spec = NetworkSpec(name=network, num_classes=dataset.task.num_classes)
    training = attach_branches(build_network(spec), spec, ())
    load_strictly(training.model, _without(kept, prefix, weights), f"{weights}, after --drop,", network)
    training.to("cuda" if torch.cuda.is_available() else "cpu")
    with disk_errors(), staged_directory(out, force=force) as directory:
        score = validate(training.model, dataset)
        _write(training, directory)
        write_hardness_maps(training, dataset, directory / "hardness")
        manifest = _manifest(training, dataset, spec, source.digest, score)
        return Stripped(checkpoint=seal(directory, manifest), removed=removed)


def _manifest(
    training: Training, dataset: Dataset, spec: NetworkSpec, weights_digest: str, score: SegmentationScore
) -> Checkpoint:
    return Checkpoint(
        schema_id=Checkpoint.SCHEMA,
        hardedge=__version__,
        made_from=None,
        files={},
        task=dataset.task,
        network=spec,
        normalisation=NORMALISATION,
        recipe={},
        inputs={"weights": weights_digest},
        loss="not known: trained elsewhere",
        branches=(),
        seed=0,
        steps=0,
        best_step=0,
        validation=score,
        batchnorm_reestimated=False,
        hardness=hardness_source(training),
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=0.0,
    )


def drop_tensors(
    tensors: Mapping[str, Tensor], patterns: Sequence[str], source: Path
) -> tuple[dict[str, Tensor], tuple[Removed, ...]]:
    """The tensors whose names fit no pattern, and what each pattern took; raises BadInput for one that fits none."""
    kept, removed = dict(tensors), []
    for pattern in patterns:
        names = [name for name in kept if fnmatchcase(name, pattern)]
        if not names:
            tops = ", ".join(dict.fromkeys(f"{name.split('.')[0]}.*" for name in kept))
            raise BadInput(f"--drop '{pattern}': no name in {source} fits. They are under {tops}.")
        gone = [kept.pop(name) for name in names]
        removed.append(
            Removed(
                pattern=pattern,
                names=tuple(names),
                parameters=sum(tensor.numel() for tensor in gone if tensor.is_floating_point()),
                multiply_adds_per_position=sum(tensor.numel() for tensor in gone if tensor.dim() >= 2),
            )
        )
    return kept, tuple(removed)


def _without(tensors: Mapping[str, Tensor], prefix: str, source: Path) -> dict[str, Tensor]:
    """The tensors under the network's own names; raises BadInput with every name that the prefix does not begin."""
    others = [name for name in tensors if not name.startswith(prefix)]
    if others:
        more = [f"and {len(others) - SHOWN} more"] if len(others) > SHOWN else []
        raise faults_error(
            f"--prefix {prefix}: {len(others)} of {len(tensors)} names in {source} do not begin with it",
            others[:SHOWN] + more,
            "Correct it, or --drop what was for training.",
        )
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str) -> None:
    """Loads the tensors; raises BadInput with every one that is missing, left over, or of another shape."""
    expected = network.state_dict()
    faults = [f"{key}: missing" for key in expected if key not in tensors and not key.endswith(COUNTER)]
    faults += [
        f"{key}: left over; the network has none (--drop it if it was for training)"
        for key in tensors
        if key not in expected
    ]
    faults += [
        f"{key}: {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in tensors and tensors[key].shape != expected[key].shape
    ]
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise faults_error(f"{source} is not {name}", faults[:SHOWN] + more, "Give the network that was trained.")
    network.load_state_dict(expected | dict(tensors))


def _write(training: Training, directory: Path) -> None:
    state = {key: value.contiguous().cpu() for key, value in training.model.state_dict().items()}
    write_atomically(directory / "weights.safetensors", safetensors.torch.save(state))
    write_atomically(directory / "training_only.safetensors", safetensors.torch.save({}))


def stripping_text(stripped: Stripped, out: Path) -> str:
    """What was removed, and what is left, as text."""
    lines = [
        f"removed {one.pattern}: {len(one.names)} tensors, {one.parameters:,} parameters, "
        f"{one.multiply_adds_per_position:,} multiply-adds a position of their maps\n    {_some(one.names)}"
        for one in stripped.removed
    ]
    score = stripped.checkpoint.validation.miou
    return "\n".join([*lines, f"{out}: {stripped.checkpoint.network.name}, validation mIoU {score:.2f} %"])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
