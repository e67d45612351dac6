"""The bounds of a mean against the exact ones where there are such."""

import numpy as np
import pytest
from scipy.stats import beta, bootstrap

from hardedge.statistics.lower_bounds import MeanDraws, draw_weights, mean_draws


def drawn(values: np.ndarray, seed: int = 0, resamples: int = 8000) -> MeanDraws:
    return mean_draws(values[:, None], draw_weights(len(values), seed, resamples))


@pytest.mark.parametrize(("images", "losing"), [(20, 4), (50, 8), (100, 12)])
def test_equal_losses_of_a_few_images_have_clopper_and_pearsons_bound(images: int, losing: int) -> None:
    """Gaffke's bound; 8000 draws scatter by 2 %."""
    values = np.zeros(images)
    values[:losing] = -1.0
    exact = beta.ppf(0.95, losing + 1, images - losing)
    assert -np.quantile(drawn(values).gaffke_RK, 0.05) == pytest.approx(exact, rel=0.03)
    assert -drawn(values).lower(0.05)[0] >= 0.97 * exact


@pytest.mark.parametrize("losing", [1, 2])
def test_fewer_losing_images_than_a_resample_must_hold_have_the_bound_of_a_worse_one(losing: int) -> None:
    values = np.zeros(50)
    values[:losing] = -1.0
    found = drawn(values)
    expected = min(np.quantile(found.worse_RK, 0.05), np.quantile(found.gaffke_RK, 0.05))
    assert found.lower(0.05)[0] == pytest.approx(expected)
    assert found.lower(0.05)[0] < 8 * found.mean_K[0]


def test_the_studentised_bound_is_scipys_where_it_is_the_lower_one() -> None:
    """scipy has no studentised bootstrap: of values nearly normal the percentiles, a little narrower, come close."""
    values = np.random.default_rng(0).normal(0.1, 1.0, 200)
    low = bootstrap((values,), np.mean, confidence_level=0.9, rng=0).confidence_interval.low
    width = values.mean() - low
    assert drawn(values).lower(0.05)[0] == pytest.approx(low, abs=0.12 * width)


def test_equal_values_have_no_interval() -> None:
    assert drawn(np.full(30, -0.3)).lower(0.05)[0] == pytest.approx(-0.3)
    assert drawn(np.zeros(30)).lower(0.05)[0] == 0


@pytest.mark.parametrize("limit", [-0.09, -0.07, -0.05])
def test_the_p_value_is_the_error_at_which_the_bound_is_the_limit(limit: float) -> None:
    found = drawn(np.random.default_rng(1).gamma(2.0, 0.1, 60) - 0.25)
    p = float(found.p_at_most(limit)[0])
    assert 0.02 < p < 0.98
    assert found.lower(p - 0.01)[0] < limit < found.lower(p + 0.01)[0]


def test_one_seed_gives_one_bound() -> None:
    values = np.random.default_rng(2).normal(size=40)
    assert drawn(values, 3).lower(0.05)[0] == drawn(values, 3).lower(0.05)[0]
