import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from hardedge.contracts import Normalisation
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.train.batches.augmentation import IGNORED, augmentation, largest_share
from hardedge.train.batches.samples import TrainingSamples, training_batches
from hardedge.train.recipe import Recipe

CPU = torch.device("cpu")
MEAN = torch.tensor([124, 116, 104], dtype=torch.uint8)  # 255 * (0.485, 0.456, 0.406), rounded


def augmented(recipe: Recipe, image_CHW: Tensor, mask_HW: Tensor) -> tuple[Tensor, Tensor]:
    pair = augmentation(recipe, Normalisation())(tv_tensors.Image(image_CHW), tv_tensors.Mask(mask_HW))
    return pair[0].as_subclass(Tensor), pair[1].as_subclass(Tensor)


def halves() -> tuple[Tensor, Tensor]:
    """Black above white, at 48 x 80; the mask is 1 where the image is white."""
    mask_HW = torch.zeros(48, 80, dtype=torch.uint8)
    mask_HW[20:, :50] = 1
    return (255 * mask_HW)[None].repeat(3, 1, 1), mask_HW


@pytest.mark.parametrize("seed", range(8))
def test_image_and_mask_move_together(tiny_recipe: Callable[..., Recipe], seed: int) -> None:
    torch.manual_seed(seed)
    image_CHW, mask_HW = augmented(tiny_recipe(scale=(0.5, 2.0), crop=(40, 40)), *halves())
    assert image_CHW.shape == (3, 40, 40)
    assert mask_HW.shape == (40, 40)
    white_HW = image_CHW[0] > 127
    inside_HW = mask_HW != IGNORED
    # half a pixel of a bilinear edge against a nearest one
    assert (white_HW[inside_HW] == (mask_HW[inside_HW] == 1)).float().mean() > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_padding_is_the_mean_colour_and_ignored(tiny_recipe: Callable[..., Recipe], seed: int) -> None:
    torch.manual_seed(seed)
    image_CHW, mask_HW = augmented(tiny_recipe(scale=(0.5, 0.5), crop=(64, 64)), *halves())
    padding_HW = (image_CHW == MEAN[:, None, None]).all(0)
    assert torch.equal(padding_HW, mask_HW == IGNORED)
    assert int((~padding_HW).sum()) == 24 * 40  # the whole image at half size lies in the crop


def test_a_crop_of_one_class_is_drawn_again(tiny_recipe: Callable[..., Recipe]) -> None:
    """Two thirds of the image are one class, the rest another: below 0.6 a crop lies across both."""
    same: dict[str, Any] = {"scale": (1.0, 1.0), "crop": (32, 32), "flip": 0.0}
    mask_HW = torch.zeros(32, 96, dtype=torch.uint8)
    mask_HW[:, 64:] = 1
    mask_HW[:4] = IGNORED
    image_CHW = torch.zeros(3, 32, 96, dtype=torch.uint8)
    shares: dict[float, list[float]] = {1.0: [], 0.6: []}
    for crop_share, found in shares.items():
        torch.manual_seed(0)
        for _ in range(40):
            found.append(largest_share(augmented(tiny_recipe(crop_share=crop_share, **same), image_CHW, mask_HW)[1]))
    assert sum(share < 0.6 for share in shares[1.0]) < 15
    # 7 of 65 places are below 0.6, so that 11 draws find one in seven of ten cases
    assert sum(share < 0.6 for share in shares[0.6]) > sum(share < 0.6 for share in shares[1.0]) + 10


def test_the_largest_share_is_that_of_the_labelled_pixels() -> None:
    labels_HW = torch.tensor([[0, 0, 7], [7, 7, IGNORED]], dtype=torch.uint8)
    assert largest_share(labels_HW) == 3 / 5
    assert largest_share(torch.full((2, 2), IGNORED, dtype=torch.uint8)) == 1.0


def test_an_image_of_one_class_is_cropped_all_the_same(tiny_recipe: Callable[..., Recipe]) -> None:
    image_CHW, mask_HW = torch.zeros(3, 48, 80, dtype=torch.uint8), torch.full((48, 80), 2, dtype=torch.uint8)
    cropped_HW = augmented(tiny_recipe(crop=(32, 32), scale=(1.0, 1.0), crop_share=0.75), image_CHW, mask_HW)[1]
    assert torch.equal(cropped_HW, mask_HW[:32, :32])


def test_each_colour_is_changed_with_its_probability(tiny_recipe: Callable[..., Recipe]) -> None:
    """Brightness and contrast, which both change grey: one image in four keeps its colours at 0.5."""
    recipe = tiny_recipe(scale=(1.0, 1.0), crop=(32, 32), flip=0.0, brightness=0.5, contrast=0.5, jitter=0.5)
    image_CHW, mask_HW = torch.randint(1, 200, (3, 32, 32), dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8)
    torch.manual_seed(0)
    kept = sum(torch.equal(augmented(recipe, image_CHW, mask_HW)[0], image_CHW) for _ in range(200))
    assert 30 <= kept <= 70  # 50 expected, 6 the standard deviation
    never = tiny_recipe(scale=(1.0, 1.0), crop=(32, 32), flip=0.0, brightness=0.5, jitter=0.0)
    assert torch.equal(augmented(never, image_CHW, mask_HW)[0], image_CHW)


def test_without_scale_crop_and_flip_nothing_changes(tiny_recipe: Callable[..., Recipe]) -> None:
    image_CHW = torch.randint(0, 256, (3, 48, 80), dtype=torch.uint8)
    mask_HW = torch.randint(0, 3, (48, 80), dtype=torch.uint8)
    same: dict[str, Any] = {"scale": (1.0, 1.0), "crop": (48, 80)}
    for flip, expected in {0.0: (image_CHW, mask_HW), 1.0: (image_CHW.flip(-1), mask_HW.flip(-1))}.items():
        result = augmented(tiny_recipe(**same, flip=flip), image_CHW, mask_HW)
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[1], expected[1])


def test_colour_changes_the_image_alone(tiny_recipe: Callable[..., Recipe]) -> None:
    image_CHW, mask_HW = torch.full((3, 48, 80), 100, dtype=torch.uint8), halves()[1]
    torch.manual_seed(0)
    recipe = tiny_recipe(scale=(1.0, 1.0), crop=(48, 80), flip=0.0, brightness=0.5)
    image_after, mask_after = augmented(recipe, image_CHW, mask_HW)
    assert torch.equal(mask_after, mask_HW)
    assert 50 <= int(image_after.min()) == int(image_after.max()) <= 150
    assert int(image_after.max()) != 100


def test_a_sample_depends_on_seed_and_index_alone(tiny_dataset: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    dataset = open_dataset(tiny_dataset)
    first, second = (TrainingSamples(dataset, tiny_recipe(brightness=0.2)) for _ in range(2))
    before = torch.get_rng_state()
    once = first[11]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again = second[11]
    other = TrainingSamples(dataset, tiny_recipe(brightness=0.2, seed=1))[11]
    assert not isinstance(once, BadInput)
    assert not isinstance(again, BadInput)
    assert not isinstance(other, BadInput)
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert not torch.equal(once[0], other[0])


def test_every_epoch_has_each_image_once_in_its_own_order(
    tiny_dataset: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    dataset = open_dataset(tiny_dataset)
    samples = TrainingSamples(dataset, tiny_recipe())
    epochs = [[samples.id_at(4 * epoch + place) for place in range(4)] for epoch in range(6)]
    assert all(Counter(epoch) == Counter(dataset.splits["train"]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_batches_start_anywhere_and_are_the_same_from_a_worker(
    tiny_dataset: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    dataset = open_dataset(tiny_dataset)
    every = list(training_batches(TrainingSamples(dataset, tiny_recipe()), tiny_recipe(), CPU, first=0, last=4))
    recipe = tiny_recipe(workers=1)
    later = list(training_batches(TrainingSamples(dataset, recipe), recipe, CPU, first=2, last=4))
    assert len(later) == 2
    for sooner, again in zip(every[2:], later, strict=True):
        assert torch.equal(sooner.image, again.image)
        assert torch.equal(sooner.target, again.target)
    assert every[0][0].shape == (2, 3, 32, 48)
    assert every[0][0].dtype == torch.float32
    assert every[0][1].dtype == torch.int64


def test_pixels_are_normalised_and_the_own_ignore_index_becomes_255(
    tiny_dataset: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    classes = json.loads((tiny_dataset / "classes.json").read_text())
    without_car = {"classes": classes["classes"][:2], "ignore_index": 2}
    (tiny_dataset / "classes.json").write_text(json.dumps(without_car))
    for path in (tiny_dataset / "masks").iterdir():
        Image.fromarray(np.array(Image.open(path)).clip(0, 2)).save(path)
    dataset = open_dataset(tiny_dataset)
    recipe = tiny_recipe(scale=(1.0, 1.0), crop=(64, 96), flip=0.0)
    samples = TrainingSamples(dataset, recipe)
    sample = samples[0]
    assert not isinstance(sample, BadInput)
    image_HWC, mask_HW = dataset.pair(samples.id_at(0))
    expected_HWC = (image_HWC / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(sample[0].permute(1, 2, 0), expected_HWC, atol=1e-5)
    assert torch.equal(sample[1] == IGNORED, torch.from_numpy(mask_HW == 2))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_without_a_traceback(
    tiny_dataset: Path, tiny_recipe: Callable[..., Recipe], workers: int
) -> None:
    dataset = open_dataset(tiny_dataset)
    recipe = tiny_recipe(workers=workers)
    broken = dataset.image_path(dataset.splits["train"][0])
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(BadInput) as caught:
        list(training_batches(TrainingSamples(dataset, recipe), recipe, CPU, first=0, last=2))
    assert str(caught.value).startswith(f"{broken} cannot be read as an image")
    assert "Traceback" not in str(caught.value)
