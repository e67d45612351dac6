"""One-sided bounds of the mean over images, where a few images may carry most of it: pure statistics.

The lower end is the lower one of two bounds, as neither alone holds in every population of docs/verdicts.md:

- Gaffke's (2005) bound for a mean of bounded values: the quantile of a mean with Dirichlet weights over the images and
  one more value at the bound, here the worst value that was seen. Where k of n images lose equally and the others
  nothing, it is Clopper and Pearson's exact binomial bound.
- The studentised bootstrap (Efron 1981), with a spread of its own in every resample. Where more than 5 % of the
  resamples hold no losing image it is unbounded; Gaffke's bound with one value ten times the worst is taken then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
WORSE = 10.0


@dataclass(frozen=True)
class ImageWeights:
    """Weights of N images, drawn once: Dirichlet's with one image more, [R, N + 1], and a resample's, [R, N]."""

    dirichlet_RN: Floats
    resample_RN: Floats


def draw_weights(images: int, seed: int = 0, resamples: int = RESAMPLES) -> ImageWeights:
    """Seeded weights for `images` images; each row sums to 1."""
    rng = np.random.default_rng(seed)
    exponential_RN = rng.standard_exponential((resamples, images + 1))
    counts_RN = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    return ImageWeights(exponential_RN / exponential_RN.sum(1, keepdims=True), counts_RN / images)


@dataclass(frozen=True)
class MeanDraws:
    """The draws of each of K means: Gaffke's, those with an image ten times as bad, and Student's t, all [R, K]."""

    mean_K: Floats
    spread_K: Floats
    gaffke_RK: Floats
    worse_RK: Floats
    t_RK: Floats

    def lower(self, error: float) -> Floats:
        """The lower ends of the one-sided intervals of confidence 1 - error, [K]."""
        quantile = np.quantile(self.t_RK, 1 - error, axis=0, method="higher")
        with np.errstate(invalid="ignore"):  # no spread: every t is 0
            student_K = np.where(self.spread_K > 0, self.mean_K - quantile * self.spread_K, self.mean_K)
        gaffke_K, worse_K = (np.quantile(draws, error, axis=0) for draws in (self.gaffke_RK, self.worse_RK))
        return np.asarray(np.minimum(gaffke_K, np.maximum(student_K, worse_K)))

    def p_at_most(self, limit: float) -> Floats:
        """The p-value of `the true mean is at most limit`, [K]: the error at which `lower` is the limit."""
        reach_K = (self.mean_K - limit) / np.where(self.spread_K > 0, self.spread_K, 1)
        student_K = np.where(self.spread_K > 0, (self.t_RK >= reach_K).mean(0), self.mean_K <= limit)
        gaffke_K, worse_K = ((draws <= limit).mean(0) for draws in (self.gaffke_RK, self.worse_RK))
        return np.asarray(np.maximum(np.maximum(gaffke_K, np.minimum(student_K, worse_K)), 0.5 / len(self.t_RK)))


def mean_draws(values_NK: Floats, weights: ImageWeights) -> MeanDraws:
    """The draws of K means over the same N images, from the images' values."""
    mean_K, spread_K = values_NK.mean(0), values_NK.std(0) / np.sqrt(len(values_NK))
    seen_RK = weights.dirichlet_RN[:, :-1] @ values_NK
    worst_RK = weights.dirichlet_RN[:, -1:] * np.minimum(values_NK.min(0), 0)
    resampled_RK = weights.resample_RN @ values_NK
    squared_RK = weights.resample_RN @ np.square(values_NK)
    resampled_spread_RK = np.sqrt(np.maximum(squared_RK - resampled_RK**2, 0) / len(values_NK))
    return MeanDraws(
        mean_K=mean_K,
        spread_K=spread_K,
        gaffke_RK=seen_RK + worst_RK,
        worse_RK=seen_RK + WORSE * worst_RK,
        t_RK=_student_t(resampled_RK - mean_K, resampled_spread_RK, np.abs(values_NK).max(0)),
    )


def _student_t(distance_RK: Floats, spread_RK: Floats, largest_K: Floats) -> Floats:
    """Distance over spread; infinite where a resample has images of one value only, another than the mean."""
    rounding_K = 1e-9 * largest_K
    t_RK = np.where(np.abs(distance_RK) > rounding_K, np.copysign(np.inf, distance_RK), 0.0)
    np.divide(distance_RK, spread_RK, out=t_RK, where=spread_RK > rounding_K)
    return t_RK
