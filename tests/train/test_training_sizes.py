"""A network of the user's own that does not take the validation's sizes is refused before the first step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train.training_sizes import require_training_sizes, sizes_to_try


class Strided(nn.Conv2d):
    """Halves and doubles: the size of odd images is another afterwards; `multiple` is what its forward asks for."""

    def __init__(self, multiple: int = 1) -> None:
        super().__init__(3, 3, 3, stride=2, padding=1)
        self.multiple = multiple

    def forward(self, image_BCHW: Tensor) -> Tensor:
        if image_BCHW.shape[2] % self.multiple:
            raise RuntimeError("divisible by 32")
        return F.interpolate(super().forward(image_BCHW), scale_factor=2)


def test_the_largest_the_smallest_and_the_oddest_are_tried() -> None:
    assert sizes_to_try({(64, 96), (37, 53), (128, 128), (32, 32)}) == [(128, 128), (32, 32), (37, 53)]
    assert sizes_to_try({(64, 96)}) == [(64, 96)]


def test_sizes_that_the_network_does_not_take_are_told(make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    odd = open_dataset(make_tiny_dataset(tmp_path / "odd", size=(37, 53)))
    even = open_dataset(make_tiny_dataset(tmp_path / "even", size=(48, 64)))
    torch.manual_seed(0)
    require_training_sizes("mynet:build", Strided(), even, (64, 64))
    with pytest.raises(
        BadInput, match=r"network mynet:build: its logits are \(1, 3, 38, 54\), expected \(1, 3, 37, 53\)"
    ):
        require_training_sizes("mynet:build", Strided(), odd, (64, 64))
    said = (
        r"its forward failed on an RGB image, as the validation split has, of 48x64: RuntimeError: divisible by 32 "
        r"\(test_training_sizes\.py, line 2\d\)"
    )
    with pytest.raises(BadInput, match=said):
        require_training_sizes("mynet:build", Strided(multiple=32), even, (64, 64))
    with pytest.raises(BadInput, match=r"as a crop, of 48x48: RuntimeError: divisible by 32"):
        require_training_sizes("mynet:build", Strided(multiple=32), even, (48, 48))
