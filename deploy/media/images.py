"""The images and videos that a user gives: found, looked at before any work, images decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hardedge.console import note
from hardedge.contracts import Profile, find_profile, profiles_in_words
from hardedge.data.decoding import depth_fault, open_image, orientation
from hardedge.data.native import images_in
from hardedge.deploy.media.video import VIDEO_SUFFIXES, Video, open_video, size_fault
from hardedge.errors import BadInput, faults_error
from hardedge.names import LONGEST_STEM, id_fault, quoted

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN: Final = 20
CURE: Final = (
    "Convert or resize them, or leave them out. Larger sizes need a bundle that holds them: hardedge export --profile, "
    "or --size for a network that runs at one size."
)


@dataclass(frozen=True)
class ImageInputs:
    """What is to be segmented: image files, and videos after a look at their heads.

    `left_out` says what cannot be used beside them, and why.
    """

    images: list[Path]
    videos: list[Video]
    left_out: tuple[str, ...] = ()

    @property
    def expected(self) -> int:
        """How many pictures these are, as far as the videos tell."""
        return len(self.images) + sum(video.expected for video in self.videos)


def usable_inputs(inputs: Sequence[Path], profiles: tuple[Profile, ...]) -> ImageInputs:
    """The images and videos of files and folders, after a look at each one's head.

    What has another depth, or a size that no profile holds, is left out, and said. Raises BadInput for what is missing,
    empty or of one name, and where nothing can be used. Notes the rotations that are not applied.
    """
    paths = input_paths(inputs)
    images = [path for path in paths if path.suffix.lower() not in VIDEO_SUFFIXES]
    opened_videos = [open_video(path) for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    videos = [video for video in opened_videos if isinstance(video, Video)]
    faults = [fault for fault in opened_videos if isinstance(fault, str)]
    faults += [fault for video in videos if (fault := size_fault(video, profiles))]
    faulty = image_faults(images, profiles)
    faults += [fault for found in faulty.values() for fault in found]
    usable = [path for path in images if path not in faulty]
    usable_videos = [video for video in videos if not size_fault(video, profiles)]
    if faults and not usable and not usable_videos:
        raise faults_error("the images cannot be used", first_faults(faults), CURE)
    if faults:
        note("\n  ".join(["left out:", *first_faults(faults)]))
    return ImageInputs(usable, usable_videos, tuple(faults))


def input_paths(inputs: Sequence[Path]) -> list[Path]:
    """The files, and the folders' images by name; raises BadInput for what is missing, empty, or of one name."""
    paths: list[Path] = []
    faults = []
    for path in inputs:
        found = images_in(path) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            faults.append(f"{path}: no image file in it" if path.is_dir() else f"{path}: does not exist")
        paths += found
    faults += shared_names(paths)
    faults += [
        f"{quoted(str(path))}: its name {fault}" for path in paths if (fault := id_fault(path.stem, LONGEST_STEM))
    ]
    if faults:
        raise faults_error(
            "the images cannot be used", first_faults(faults), "Correct the paths; masks bear their images' names."
        )
    return paths


def shared_names(paths: Sequence[Path]) -> list[str]:
    """A fault for every name that several inputs would write their mask under."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_name[path.stem].append(str(path))
    return [f"{', '.join(same)}: all named {name}" for name, same in by_name.items() if len(same) > 1]


def first_faults(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are: a folder of thousands may be wrong as a whole."""
    more = len(faults) - SHOWN
    return [*faults[:SHOWN], f"and {more} more"] if more > 0 else faults


def image_faults(paths: Sequence[Path], profiles: tuple[Profile, ...]) -> dict[Path, list[str]]:
    """Reads every image's header; what is wrong with each, in words. Notes the rotations that are not applied."""
    faults: dict[Path, list[str]] = {}
    rotated = []
    for path in paths:
        try:
            with open_image(path) as image:
                found = [f"{path}: {fault}" for fault in header_faults(image, profiles)]
                if not found and orientation(image) != 1:
                    rotated.append(path.name)
        except BadInput as error:
            found = [str(error)]
        if found:
            faults[path] = found
    if rotated:
        names = ", ".join(rotated[:3]) + (f" and {len(rotated) - 3} more" if len(rotated) > 3 else "")
        note(f"EXIF rotation is not applied, as in training: {names}. Masks fit the pixels as they are stored.")
    return faults


def header_faults(image: Image, profiles: tuple[Profile, ...]) -> list[str]:
    """What keeps an image from this network: its depth, its size."""
    faults = []
    if deep := depth_fault(image):
        faults.append(deep)
    if find_profile(profiles, (1, image.height, image.width)) is None:
        known = profiles_in_words(profiles)
        faults.append(f"1x{image.height}x{image.width}, but the bundle's profiles hold: {known}")
    return faults
