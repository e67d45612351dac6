"""Near duplicates: the same picture at another size, quality or brightness; other pictures are not."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hardedge.data.splitting.near_duplicates import BLOCK, Fingerprint, fingerprint, near_duplicates


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Soft blobs of colour with a few hard edges, as photographs have."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).resize(size, resample=3)
    pixels = np.array(image)
    for _ in range(4):
        y, x = rng.integers(0, size[1] - 30), rng.integers(0, size[0] - 30)
        pixels[y : y + 25, x : x + 20] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def recompressed(image: Image.Image) -> Image.Image:
    content = BytesIO()
    image.save(content, format="JPEG", quality=40)
    return Image.open(content)


def noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 6, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.copy(),
        recompressed,
        noisy,
        lambda image: image.resize((97, 71), resample=1),
        lambda image: image.resize((400, 300)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.04),
        lambda image: image.convert("RGBA"),
        lambda image: Image.fromarray(np.roll(np.asarray(image), 1, axis=1)),
    ],
    ids=["copy", "recompressed", "noisy", "smaller", "larger", "brighter", "alpha", "a pixel on"],
)
def test_the_same_picture_is_found(change: object) -> None:
    images = [picture(seed) for seed in range(6)]
    images.insert(3, change(images[1]))  # type: ignore[operator]
    assert list(near_duplicates([fingerprint(image) for image in images])) == [(1, 3)]


def test_other_pictures_are_not() -> None:
    prints = [fingerprint(picture(seed)) for seed in range(150)]
    assert list(near_duplicates(prints)) == []
    mirrored = [fingerprint(picture(1)), fingerprint(picture(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    assert list(near_duplicates(mirrored)) == []


def test_flat_pictures_are_told_apart_by_their_brightness() -> None:
    prints = [fingerprint(Image.new("RGB", (40, 30), (grey, grey, grey))) for grey in (10, 12, 60)]
    assert list(near_duplicates(prints)) == [(0, 1)]


def test_all_pairs_are_compared_whatever_the_blocks() -> None:
    rng = np.random.default_rng(0)
    count = BLOCK + 40
    prints = [
        Fingerprint(rng.integers(0, 256, 16, np.uint8), rng.integers(0, 256, 256).astype(np.int16))
        for _ in range(count)
    ]
    planted = [(0, BLOCK + 1), (3, 9), (BLOCK - 1, BLOCK), (BLOCK + 2, count - 1)]
    for first, second in planted:
        bits = prints[first].bits.copy()
        bits[5] ^= 0b10010
        prints[second] = Fingerprint(bits, prints[first].greys + np.int16(2))
    assert sorted(near_duplicates(prints)) == planted
    assert list(near_duplicates(prints[:1])) == []
