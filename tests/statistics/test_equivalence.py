"""The equivalence test on synthetic timings, whose truth is known."""

import functools
from collections import Counter

import numpy as np
import pytest

from hardedge.statistics.equivalence import blocks_to_decide, compare_times, equivalence_status, log_ratio
from hardedge.statistics.student import student_quantile, student_two_sided

TRIALS = 40


def timings(
    seed: int, ratio: float, *, pairs: int = 10, blocks: int = 30, session: float = 0.003, noise: float = 0.02
) -> list[np.ndarray]:
    """Seconds [blocks, arm, run] a pair: drift shared by a block, a session's own speed, and noise of each run."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(pairs):
        drift = np.exp(rng.normal(0, 0.05, (blocks, 1, 1)))
        times = 0.01 * drift * np.exp(rng.normal(0, noise, (blocks, 2, 2)))
        times[:, 1] *= ratio * np.exp(rng.normal(0, session))
        made.append(times)
    return made


@functools.cache
def verdicts(ratio: float, **options: float) -> Counter[str]:
    return Counter(compare_times(timings(seed, ratio, **options), seed=seed).status for seed in range(TRIALS))


def test_equal_arms_are_found_equivalent() -> None:
    assert verdicts(1.0)["equivalent"] >= 0.8 * TRIALS
    assert verdicts(1.0)["different"] == 0


@pytest.mark.parametrize("ratio", [1.03, 0.97])
def test_three_percent_is_never_equivalent(ratio: float) -> None:
    assert verdicts(ratio)["equivalent"] == 0
    assert verdicts(ratio)["different"] >= 0.9 * TRIALS
    assert verdicts(ratio, pairs=5, blocks=5, session=0.02, noise=0.1)["equivalent"] == 0


@pytest.mark.parametrize("pairs", [5, 10])
def test_at_the_margin_the_error_rate_is_kept(pairs: int) -> None:
    """A one-sided 5 % test may err in 5 % of the trials: in 6 or more of 40 by chance once in 70."""
    assert verdicts(1.01, pairs=pairs, noise=0.005)["equivalent"] < 6


def test_noise_gives_no_verdict_and_says_how_much_would() -> None:
    result = compare_times(timings(0, 1.004, pairs=5, blocks=4, noise=0.1))
    assert result.status == "inconclusive"
    assert (result.blocks, result.interval.confidence) == (20, 90)
    assert result.blocks_to_decide is not None
    assert result.blocks_to_decide > 20


def test_the_blocks_that_were_asked_for_do_decide() -> None:
    """From sessions of one true speed: three times the blocks that the estimate names decide in most trials."""
    asked = decided = 0
    for seed in range(12):
        first = compare_times(timings(seed, 1.0, pairs=8, blocks=10, session=0, noise=0.03), seed=seed)
        if first.blocks_to_decide is None or first.blocks_to_decide > 1500:
            continue
        asked += 1
        more = timings(seed + 1000, 1.0, pairs=8, blocks=3 * first.blocks_to_decide // 8, session=0, noise=0.03)
        decided += compare_times(more, seed=seed).status == "equivalent"
    assert asked >= 6
    assert decided >= 0.8 * asked


def test_one_seed_gives_one_answer() -> None:
    assert compare_times(timings(3, 1.0), seed=1) == compare_times(timings(3, 1.0), seed=1)


def test_drift_between_pairs_does_not_move_the_ratio() -> None:
    steady, drifting = timings(4, 1.02), timings(4, 1.02)
    for number, times in enumerate(drifting):
        times *= 1 + number
    assert compare_times(drifting).ratio == pytest.approx(compare_times(steady).ratio, rel=1e-12)
    assert compare_times(drifting).interval.low == pytest.approx(compare_times(steady).interval.low, rel=1e-12)


def test_log_ratio_is_the_ratio_of_medians() -> None:
    times = np.array([[[1.0, 2.0], [2.0, 6.0]], [[3.0, 9.0], [4.0, 50.0]]])
    assert log_ratio(times) == pytest.approx(np.log(5.0 / 2.5))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.99, 1.01, "equivalent"),
        (0.995, 1.0099, "equivalent"),
        (1.011, 1.2, "different"),
        (0.5, 0.989, "different"),
        (0.989, 1.0, "inconclusive"),
        (1.005, 1.02, "inconclusive"),
        (0.9, 1.1, "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert equivalence_status(low, high) == expected


def test_blocks_to_decide_follows_the_square_root_law() -> None:
    assert blocks_to_decide(1.0, 0.98, 1.02, 100) == 400
    assert blocks_to_decide(1.03, 1.0, 1.06, 100) == 225  # (0.03 / 0.02)^2
    assert blocks_to_decide(1.01, 0.98, 1.04, 100) is None


@pytest.mark.parametrize(("freedom", "expected"), [(4, 2.132), (5, 2.015), (9, 1.833), (30, 1.697)])
def test_student_quantiles_against_the_printed_table(freedom: int, expected: float) -> None:
    assert student_quantile(0.95, freedom) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 49, 50, 1999])
@pytest.mark.parametrize("t", [0.0, 0.1, 1.0, -2.5, 8.0])
def test_students_two_tails_are_scipys(t: float, freedom: int) -> None:
    """A sum of up to a thousand terms below 1, each good to 1e-16."""
    stats = pytest.importorskip("scipy.stats")
    assert student_two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), abs=1e-13)
