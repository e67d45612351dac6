"""What a sample cannot show, by the binomial distribution."""

import pytest
from scipy.stats import binomtest

from hardedge.statistics.unseen import images_for, unseen_share


@pytest.mark.parametrize("images", [1, 5, 10, 29, 48, 500])
def test_the_share_is_clopper_and_pearsons_bound_for_no_case(images: int) -> None:
    exact = binomtest(0, images, alternative="less").proportion_ci(0.95, method="exact").high
    assert unseen_share(images) == pytest.approx(100 * exact)


@pytest.mark.parametrize(("max_unseen", "images"), [(10, 29), (5, 59), (1, 299), (40, 6), (94.9, 2), (95, 1), (99, 1)])
def test_the_fewest_images_for_a_share(max_unseen: float, images: int) -> None:
    assert images_for(max_unseen) == images
    assert unseen_share(images) <= max_unseen + 1e-9
    assert images == 1 or unseen_share(images - 1) > max_unseen


def test_no_image_shows_nothing() -> None:
    assert unseen_share(0) == 100
