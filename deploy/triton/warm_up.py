"""Requests that Triton runs when it loads a model, since the first of each size is slow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Bundle, Normalisation, Profile, write_atomically
from hardedge.data.decoding import read_image
from hardedge.deploy.triton.config import Tensors, WarmUp

Images = Literal["images", "zeros", "none"]
Pixels = npt.NDArray[np.uint8]
FOLDER: Final = "warmup"  # where Triton looks for them
CHANNELS: Final = 3


@dataclass(frozen=True)
class Request:
    """A request as the configuration has it, and the bytes of its file, if it has one."""

    warm_up: WarmUp
    content: bytes = b""


def warm_up_requests(directory: Path, bundle: Bundle, tensors: Tensors, images: Images) -> list[Request]:
    """A request for each profile: a golden image that it holds, or zeros of its typical size."""
    if images == "none":
        return []
    batch = 1 if tensors.varies else tensors.inputs[0].shape[0]
    golden = _golden(directory, bundle) if images == "images" else {}
    tensor = tensors.inputs[0].type == "TYPE_FP32"  # normalised [B, 3, H, W], of the tensor frontend
    requests = []
    for profile in bundle.profiles:
        image_HWC = golden.get(profile.name)
        if image_HWC is None:
            size = profile.opt[1:]
            shape = (batch, CHANNELS, *size) if tensor else (batch, *size, CHANNELS)
            requests.append(Request(WarmUp(profile.name, shape, None)))
            continue
        pixels = normalise_image(image_HWC, bundle.normalisation) if tensor else image_HWC
        batched = np.repeat(pixels[None], batch, axis=0)
        content = batched.tobytes()
        # named by what is in it: the file that an older configuration names stays as it is
        file = f"{profile.name}-{hashlib.sha256(content).hexdigest()[:8]}.raw"
        requests.append(Request(WarmUp(profile.name, batched.shape, file), content))
    return requests


def _golden(directory: Path, bundle: Bundle) -> dict[str, Pixels]:
    """The first golden image of each profile, by the profile's name."""
    found: dict[str, Pixels] = {}
    for id in bundle.golden:
        missing = [profile for profile in bundle.profiles if profile.name not in found]
        if not missing:
            break
        image_HWC = read_image(directory / f"golden/images/{id}.png")
        found |= {profile.name: image_HWC for profile in missing if _holds(profile, image_HWC)}
    return found


def _holds(profile: Profile, image_HWC: Pixels) -> bool:
    height, width, _ = image_HWC.shape
    return profile.holds((profile.opt[0], height, width))


def normalise_image(image_HWC: Pixels, normalisation: Normalisation) -> npt.NDArray[np.float32]:
    """What the tensor frontend takes: float32 [3, H, W]."""
    mean, std = np.array(normalisation.mean, np.float32), np.array(normalisation.std, np.float32)
    scaled_HWC = (image_HWC.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled_HWC.transpose(2, 0, 1))


def write_requests(model: Path, requests: Iterable[Request]) -> None:
    """Writes the files that the requests name into the model's directory."""
    for request in requests:
        if request.warm_up.file:
            (model / FOLDER).mkdir(exist_ok=True)
            write_atomically(model / FOLDER / request.warm_up.file, request.content)


def remove_others(model: Path, requests: Sequence[Request]) -> None:
    """Takes away the files that no configuration names any more."""
    kept = {request.warm_up.file for request in requests}
    for path in (model / FOLDER).glob("*.raw"):
        if path.name not in kept:
            path.unlink()
    if not kept - {None} and (model / FOLDER).is_dir() and not any((model / FOLDER).iterdir()):
        (model / FOLDER).rmdir()
