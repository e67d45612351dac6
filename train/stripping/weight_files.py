"""What a file of weights holds: tensors by part and name, read without running code that a pickle names."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hardedge.errors import BadInput

# where training programs keep the names and colours of the classes: mmsegmentation before 1.0, and since
CLASS_NAMES = ("CLASSES", "classes")
METAS = ("meta", "dataset_meta")


class Inert:
    """Stands in for an object of a class that the file names: it takes anything and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a file by the part that holds them ("" where the file is one state_dict) and by name.

    `classes` are the names of the classes where the file has them; `set_aside` names the classes of objects that were
    read as nothing.
    """

    path: Path
    parts: Mapping[str, Mapping[str, Tensor]]
    classes: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()

    def digest(self, part: str) -> str:
        """The sha256 of a part's names, types, shapes and values."""
        tensors = {name: tensor.contiguous().clone() for name, tensor in sorted(self.parts[part].items())}
        return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()


def read_weight_file(path: Path) -> WeightFile:
    """Every state_dict in a file that safetensors or torch.save wrote.

    Objects of classes that are not torch's are set aside: nothing of them is imported or called. Raises BadInput when
    there is no state_dict.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise BadInput(
            f"weights {path}: {found}. Give a file with a state_dict, as safetensors or torch.save write it."
        )
    set_aside: tuple[str, ...] = ()
    try:
        content: Any = safetensors.torch.load_file(path)
    except SafetensorError:
        content, set_aside = _torch_file(path)
    parts = dict(_parts(content, ""))
    if not parts:
        raise BadInput(f"weights {path}: no state_dict in it. Write one with: torch.save(net.state_dict(), PATH)")
    return WeightFile(path, parts, _classes(content), set_aside)


def _torch_file(path: Path) -> tuple[Any, tuple[str, ...]]:
    try:
        foreign = tuple(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, ValueError):  # a file from before torch 1.6: read it as it is
        foreign = ()
    try:
        with torch.serialization.safe_globals([(Inert, name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True), foreign
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        # without torch's own words: they advise to load whatever code is in it
        raise BadInput(
            f"weights {path}: neither safetensors nor a torch file of tensors ({type(error).__name__}). "
            "Write its state_dict with: torch.save(net.state_dict(), PATH)"
        ) from None


def _parts(content: Any, name: str) -> list[tuple[str, dict[str, Tensor]]]:
    """The mappings of names to tensors, at any depth, by the path of keys to them; those of optimisers left out."""
    if not isinstance(content, Mapping):
        return []
    own = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    found = [(name, own)] if own else []
    for key, value in content.items():
        if isinstance(key, str) and "optim" not in key:
            found += _parts(value, f"{name}.{key}" if name else key)
    return found


def _classes(content: Any) -> tuple[str, ...]:
    if not isinstance(content, Mapping):
        return ()
    for part in (content, *(content[key] for key in METAS if key in content)):
        names = next((part[key] for key in CLASS_NAMES if isinstance(part, Mapping) and key in part), None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return tuple(names)
        nested = part.get("dataset_meta") if isinstance(part, Mapping) else None
        if isinstance(nested, Mapping) and nested is not part and (found := _classes(nested)):
            return found
    return ()
