"""The image sizes that the shipped graph is made for."""

from collections import Counter

from hardedge.contracts import Profile, find_profile, profiles_in_words
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import open_image
from hardedge.errors import faults_error

SMALLEST = 64
LARGEST_BATCH, LARGEST_HEIGHT, LARGEST_WIDTH = 4, 1024, 2048


SHOWN = 5


def profiles_for(dataset: Dataset, wanted: tuple[Profile, ...]) -> tuple[Profile, ...]:
    """The profiles that were asked for, or without any the data set's own.

    Raises BadInput when a test image, of which the reference masks are made, fits none of them.
    """
    if not wanted:
        return (profile_of(dataset),)
    sizes = {id: image_size(dataset, id) for id in dataset.splits["test"]}
    outside = [id for id, size in sizes.items() if find_profile(wanted, (1, *size)) is None]
    if outside:
        shown = [f"{id}: 1x{sizes[id][0]}x{sizes[id][1]}" for id in outside[:SHOWN]]
        more = [f"and {len(outside) - SHOWN} more"] if len(outside) > SHOWN else []
        raise faults_error(
            f"test images of {dataset.root} fit no profile of {profiles_in_words(wanted)}",
            shown + more,
            "The engines could not be verified. Give these images' sizes too, or test images of the profiles' sizes.",
        )
    return wanted


def profile_of(dataset: Dataset) -> Profile:
    """64x64 to 4 x 1024x2048, wider where the data set's images are; typical is the test split's most common size."""
    tested = [image_size(dataset, id) for id in dataset.splits["test"]]
    typical = Counter(tested).most_common(1)[0][0]
    others = (id for split in ("train", "val") for id in dataset.splits[split])
    # the index of shards knows both: nobody looks at a hundred million images for this
    known = dataset.size_range()
    heights, widths = zip(*(known or [*tested, *(image_size(dataset, id) for id in others)]), strict=True)
    return Profile(
        min=(1, min(SMALLEST, *heights), min(SMALLEST, *widths)),
        opt=(1, *typical),
        max=(LARGEST_BATCH, max(LARGEST_HEIGHT, *heights), max(LARGEST_WIDTH, *widths)),
    )


def image_size(dataset: Dataset, id: str) -> tuple[int, int]:
    """Height and width from the image file's head, or decoded where a file holds many; raises BadInput without one."""
    path = dataset.image_path(id)
    if not path.is_file():
        height, width, _ = dataset.image(id).shape
        return height, width
    with open_image(path) as image:
        return image.height, image.width
