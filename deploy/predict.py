"""Masks and overlays of a user's images, from a bundle alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hardedge.artefact import require_free, staged
from hardedge.console import note, tracked
from hardedge.contracts import Bundle, Profile, Task, fitting, load, profiles_in_words
from hardedge.data.folder import IMAGE_SUFFIXES
from hardedge.data.palette import overlay, save_mask
from hardedge.deploy.runtime import OnnxRuntimeRunner
from hardedge.deploy.soundness import model_path
from hardedge.deploy.targets import parse_target
from hardedge.errors import BadInput, listed

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

# 8 bits per channel; an image of more, squeezed into 8 without its range being known, would be another image
MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
ORIENTATION: Final = 0x0112
SHOWN: Final = 20


def predict(
    bundle: Path, images: Sequence[Path], out: Path, *, target: str = "onnxruntime:cpu", force: bool = False
) -> list[Path]:
    """Writes `out`/masks/ID.png (palette PNG of class indices) and `out`/overlays/ID.jpg; returns the masks' paths.

    `images` are files and folders. Pixels are used as they are stored, as in training: grey and palette images become
    RGB, transparency is dropped, and an EXIF rotation is not applied (a note on stderr tells). Raises BadInput for an
    altered bundle and, all together and before any work, for inputs that are missing, not an image, of one name, or
    of a size that no profile of the bundle holds; MissingHere when the target cannot run here.
    """
    require_free(out, force, [bundle, *images])
    device = onnxruntime_device(target)
    source = load(Bundle, bundle)
    paths = image_paths(images)
    require_usable(paths, source.profiles)
    with (
        closing(OnnxRuntimeRunner(model_path(bundle, source, "fp32"), device)) as runner,
        staged(out, force=force) as partial,
    ):
        for folder in ("masks", "overlays"):
            (partial / folder).mkdir()
        for path in tracked(paths, "segmenting", len(paths)):
            segment(runner, path, source.task, partial)
    return [out / "masks" / f"{path.stem}.png" for path in paths]


def segment(runner: OnnxRuntimeRunner, path: Path, task: Task, out: Path) -> None:
    """One image's mask and overlay."""
    from PIL.Image import fromarray

    image_HWC = stored_pixels(path)
    mask_HW = runner.masks(image_HWC[None])[0]
    save_mask(mask_HW, task, out / "masks" / f"{path.stem}.png")
    fromarray(overlay(image_HWC, mask_HW, task)).save(out / "overlays" / f"{path.stem}.jpg", quality=90, subsampling=0)


def onnxruntime_device(target: str) -> str:
    """The device of an onnxruntime target; raises BadInput for the others, whose engines are not in a bundle."""
    parsed = parse_target(target)
    if parsed.backend != "onnxruntime" or parsed.device is None:
        raise BadInput(f"predict runs the bundle's ONNX model, not {target}. Use onnxruntime:cpu or onnxruntime:cuda.")
    return parsed.device


def image_paths(inputs: Sequence[Path]) -> list[Path]:
    """The files, and those of the folders by name; raises BadInput for what is missing, empty, or of one name."""
    paths: list[Path] = []
    faults = []
    for path in inputs:
        found = images_in(path) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            faults.append(f"{path}: no .jpg or .png file in it" if path.is_dir() else f"{path}: does not exist")
        paths += found
    faults += shared_names(paths)
    if faults:
        raise listed("the images cannot be used", shown(faults), "Correct the paths; masks bear their images' names.")
    return paths


def images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def shared_names(paths: Sequence[Path]) -> list[str]:
    """A fault for every name that several inputs would write their mask under."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_name[path.stem].append(str(path))
    return [f"{', '.join(same)}: all named {name}" for name, same in by_name.items() if len(same) > 1]


def shown(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are: a folder of thousands may be wrong as a whole."""
    more = len(faults) - SHOWN
    return [*faults[:SHOWN], f"and {more} more"] if more > 0 else faults


def require_usable(paths: Sequence[Path], profiles: tuple[Profile, ...]) -> None:
    """Reads every image's header; raises BadInput with all faults, notes the rotations that are not applied."""
    faults, rotated = [], []
    for path in paths:
        try:
            with opened(path) as image:
                faults += [f"{path}: {fault}" for fault in header_faults(image, profiles)]
                rotated += [path.name] if is_rotated(image) else []
        except BadInput as error:
            faults.append(str(error))
    if faults:
        raise listed("the images cannot be used", shown(faults), "Convert or resize them, or leave them out.")
    if rotated:
        names = ", ".join(rotated[:3]) + (f" and {len(rotated) - 3} more" if len(rotated) > 3 else "")
        note(f"EXIF rotation is not applied, as in training: {names}. Masks fit the pixels as they are stored.")


def header_faults(image: Image, profiles: tuple[Profile, ...]) -> list[str]:
    """What keeps an image from this network: its depth, its size."""
    faults = []
    if image.mode not in MODES:
        faults.append(f"mode {image.mode}, expected 8 bits per channel")
    if fitting(profiles, (1, image.height, image.width)) is None:
        known = profiles_in_words(profiles)
        faults.append(f"1x{image.height}x{image.width}, but the bundle's profiles hold: {known}")
    return faults


def is_rotated(image: Image) -> bool:
    """Whether EXIF says that the stored pixels are not upright; unreadable EXIF says nothing."""
    if "exif" not in image.info:
        return False
    try:
        return bool(image.getexif().get(ORIENTATION, 1) != 1)
    except (OSError, SyntaxError, ValueError):
        return False


def stored_pixels(path: Path) -> Pixels:
    """An image as uint8 [H, W, 3] RGB, unrotated; raises BadInput when it cannot be decoded to its end."""
    with opened(path) as image:
        try:
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise BadInput(f"{path} cannot be decoded ({error}). Replace it, or leave it out.") from None


def opened(path: Path) -> Image:
    """An image file of which the header was read; raises BadInput."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except UnidentifiedImageError:
        raise BadInput(f"{path}: not an image in a known format") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from None
