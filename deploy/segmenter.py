"""Images in, masks out: one interface to a bundle or an engine, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Engine, Profile, Task, find_profile, load, profiles_in_words
from hardedge.deploy.bundles.loading import OpenBundle, load_bundle
from hardedge.deploy.bundles.signing import Trust, read_trust
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.runner import Runner
from hardedge.deploy.segmentation import Segmentation, pixels_of, unnamed_task
from hardedge.deploy.targets import BACKENDS, backend_of, parse_target
from hardedge.errors import BadInput
from hardedge.paths import StrPath, local_path

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]
ImageLike: TypeAlias = "Pixels | StrPath | Image"


class Segmenter:
    """A loaded network: call it with an image, it returns a `Segmentation` with `mask`, `classes` and `overlay()`.

    An image is an array uint8 [H, W, 3] RGB, a PIL image, or a file's path; a list of images gives a list. An array
    uint8 [B, H, W, 3] gives the array of masks, uint8 [B, H, W] of class indices, and nothing beside it. Sizes must fit
    one of `profiles`. `task` has the classes, None for an engine, whose manifest has none. Use it in a `with`, or call
    `close`; not from several threads at once.
    """

    def __init__(self, runner: Runner, target: str, profiles: tuple[Profile, ...], task: Task | None) -> None:
        self._runner, self._closed = runner, False
        self.target, self.profiles, self.task = target, profiles, task

    @classmethod
    def load(cls, source: StrPath, target: str | None = None, *, trust: StrPath | Trust | None = None) -> Segmenter:
        """Opens a bundle (on `onnxruntime:cpu` unless `target` says otherwise) or an engine directory.

        With `trust`, the path of a public key, only what its holder signed is loaded. Raises BadInput for an altered
        or untrusted directory and a target that it is not for, Unavailable when it cannot run on this machine.
        """
        directory = local_path(source)
        trusted = trust if isinstance(trust, Trust | None) else read_trust(trust)
        if (directory / Engine.FILE).is_file():
            return of_engine(directory, target, trusted)
        return of_bundle(load_bundle(directory, trusted), target)

    @overload
    def __call__(self, images: Pixels) -> Any: ...  # one image or a batch, which its type does not tell

    @overload
    def __call__(self, images: StrPath | Image) -> Segmentation: ...  # type: ignore[overload-overlap]  # text is one

    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[Segmentation]: ...

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Pixels | Segmentation | list[Segmentation]:
        """One image, a list of them, or a batch as one array; what comes back is said above.

        Raises BadInput for another type or shape, a file that cannot be decoded, or a size that no profile holds.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:
            return self._runner.masks(self._checked(images))
        if isinstance(images, list | tuple):
            return [self._segmented(image) for image in images]
        return self._segmented(images)

    def _segmented(self, image: object) -> Segmentation:
        image_HWC = pixels_of(image)
        (mask_HW,) = self._runner.masks(self._checked(image_HWC[None]))
        return Segmentation(image_HWC, mask_HW, self.task or unnamed_task())

    def __repr__(self) -> str:
        classes = f"{self.task.num_classes} classes, " if self.task else ""
        return f"Segmenter({self.target}: {classes}{profiles_in_words(self.profiles)})"

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """The masks of each batch in order; in TensorRT a batch is copied while the one before it is computed.

        `batches` is read one ahead of what comes out. Raises as a call does.
        """
        return self._runner.stream(map(self._checked, batches))

    def close(self) -> None:
        """Frees what the network holds; it takes no images any more."""
        self._closed = True
        self._runner.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, images_BHWC: Pixels) -> Pixels:
        if self._closed:
            raise BadInput(f"this Segmenter ({self.target}) was closed. Load it again.")
        shape = images_BHWC.shape
        if images_BHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            found = f"{images_BHWC.dtype} {list(shape)}"
            raise BadInput(f"images: expected uint8 [batch, height, width, 3] in RGB order, got {found}. Convert them.")
        if find_profile(self.profiles, shape[:3]) is None:
            found = "x".join(map(str, shape[:3]))
            raise BadInput(
                f"images of {found} fit no profile: {profiles_in_words(self.profiles)}. Resize or split them."
            )
        return images_BHWC


def of_bundle(bundle: OpenBundle, target: str | None, threads: int = 0) -> Segmenter:
    """A bundle's network in a runtime that takes its file, on a CPU with so many threads (0: as many as cores).

    Raises BadInput for a target whose engines are not in a bundle.
    """
    name = target or "onnxruntime:cpu"
    parsed = parse_target(name)
    open_model = backend_of(parsed).open_model
    if open_model is None or parsed.device is None:
        known = " or ".join(backend.name for backend in BACKENDS if backend.open_model)
        raise BadInput(
            f"a bundle is run by {known}, not by {name}. Build an engine with: hardedge deploy, and give that."
        )
    runner = open_model(bundle.model_path("fp32"), parsed.device, bundle.manifest.profiles, threads)
    return Segmenter(runner, name, bundle.manifest.profiles, bundle.manifest.task)


def of_engine(directory: Path, target: str | None, trust: Trust | None) -> Segmenter:
    """An engine; raises BadInput when it is for another target than the one that was asked for."""
    engine = load(Engine, directory)
    if target is not None and str(parse_target(target)) != engine.target:
        raise BadInput(f"{directory} is for {engine.target}, not {target}. Leave the target out, or give that engine.")
    return Segmenter(open_runner(directory, trust), engine.target, engine.profiles, None)
