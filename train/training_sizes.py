"""Whether a network of the user's own takes the sizes that a training will give it, before the training starts."""

from torch import nn

from hardedge.data.dataset import Dataset
from hardedge.data.decoding import open_image
from hardedge.models.user_network import require_logits

Size = tuple[int, int]


def require_training_sizes(name: str, network: nn.Module, dataset: Dataset, crop: Size) -> None:
    """Raises BadInput unless the network gives logits at the crop's size and at those of the validation images.

    Of these the largest, the smallest and the oddest are tried.
    """
    require_logits(name, network, dataset.task.num_classes, size=crop, batch=1, what="an RGB image, as a crop,")
    for size in sizes_to_try({_size(dataset, id) for id in dataset.splits["val"]}):
        what = "an RGB image, as the validation split has,"
        require_logits(name, network, dataset.task.num_classes, size=size, batch=1, what=what)


def sizes_to_try(sizes: set[Size]) -> list[Size]:
    """The largest, the smallest, and the one that halves to odd numbers first."""
    if not sizes:
        return []
    area = {size: size[0] * size[1] for size in sizes}
    chosen = (max(sizes, key=lambda size: (area[size], size)), min(sizes, key=lambda size: (area[size], size)))
    return list(dict.fromkeys([*chosen, min(sizes, key=lambda size: (_halvings(size), size))]))


def _halvings(size: Size) -> int:
    return sum((length & -length).bit_length() for length in size)


def _size(dataset: Dataset, id: str) -> Size:
    path = dataset.image_path(id)
    if not path.is_file():
        height, width, _ = dataset.image(id).shape
        return height, width
    with open_image(path) as image:
        return image.height, image.width
