"""Engines of lower precision that do not pay: found by intervals, and forbidden by a gate."""

import dataclasses

import numpy as np
import pytest

from hardedge.contracts import Bench, BenchRun, Interval, LatencyComparison
from hardedge.deploy.latency.dominated import (
    Candidate,
    candidates_of_bench,
    find_dominated,
    median_interval,
    undecided,
)
from hardedge.deploy.verification.gates import dominated_gates

FP16 = Candidate("tensorrt", "fp16", 70.0, 1000, 9.9, 10.1)


def int8(**changes: object) -> Candidate:
    # as large as FP16, and 13 % slower
    base = Candidate("tensorrt", "int8", 69.8, 1000, 11.2, 11.4)
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, "dominated"),
        ({"low": 9.95, "high": 10.05}, None),  # 9.95 / 10.1 is faster by more than 1 %: not excluded
        ({"low": 10.02, "high": 10.05}, "dominated"),  # faster by less than 1 % at best
        ({"bytes": 999}, "pays"),
        ({"low": 8.0, "high": 8.2}, "pays"),
        ({"miou": 70.1}, "pays"),  # nothing better is there
        ({"target": "openvino:cpu"}, "pays"),
    ],
)
def test_an_engine_that_is_neither_smaller_nor_faster_is_dominated(
    changes: dict[str, object], found: str | None
) -> None:
    candidates = [FP16, int8(**changes)]
    dominated, open_pairs = find_dominated(candidates), undecided(candidates)
    assert (len(dominated), len(open_pairs)) == {"dominated": (1, 0), None: (0, 1), "pays": (0, 0)}[found]


def test_a_higher_precision_is_never_dominated_by_a_lower_one() -> None:
    assert find_dominated([dataclasses.replace(FP16, low=20.0, high=21.0), int8(miou=71.0)]) == {}


def test_the_words_name_both_and_their_numbers() -> None:
    (said,) = find_dominated([FP16, int8()]).values()
    assert said == (
        "tensorrt int8 is dominated by fp16: mIoU 69.80 % against 70.00 %, 1,000 bytes against 1,000, and not faster "
        "(at best 1.109 of its time)"
    )


def test_the_gate() -> None:
    assert [gate.status for gate in dominated_gates([FP16, int8()])] == ["fail"]
    assert [gate.status for gate in dominated_gates([FP16, int8(bytes=1)])] == ["pass"]
    assert [gate.status for gate in dominated_gates([FP16, int8(low=9.0, high=12.0)])] == ["inconclusive"]
    (nothing,) = dominated_gates([])
    assert (nothing.status, nothing.found[:12]) == ("inconclusive", "not measured")


def test_a_medians_interval_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        low, high = median_interval(rng.gamma(2.0, 1.0, 200).tolist())
        covered += low <= 1.67835 <= high  # the median of gamma(2, 1)
    assert covered / 400 > 0.97
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def bench_of(*runs: tuple[str, float, int, tuple[float, float]]) -> Bench:
    measured = [
        BenchRun(
            target="tensorrt",
            precision=precision,
            batch=1,
            size=(64, 96),
            runs=10,
            p50=1.0,
            p90=1.0,
            p99=1.0,
            images_per_second=1000.0,
            copy_in=0.0,
            compute=1.0,
            copy_out=0.0,
            memory=None,
            gpu_memory=None,
            engine_bytes=size,
            miou=miou,
        )
        for precision, miou, size, _ in runs
    ]
    comparisons = [
        LatencyComparison(
            arm=f"tensorrt {precision} over tensorrt {runs[0][0]}",
            ratio=sum(ratio) / 2,
            interval=Interval(low=ratio[0], high=ratio[1], confidence=90.0),
            status="different",
            detail="",
            sessions=10,
            blocks=10,
            blocks_to_decide=None,
        )
        for precision, _, _, ratio in runs[1:]
    ]
    return Bench(bundle="", runs=tuple(measured), comparisons=tuple(comparisons), machine={}, created="")


def test_a_bench_compares_engines_by_their_ratios_to_the_first() -> None:
    found = bench_of(("fp32", 70.0, 4000, (1, 1)), ("fp16", 70.0, 2000, (0.5, 0.52)), ("int8", 69.0, 2000, (0.56, 0.6)))
    assert list(find_dominated(candidates_of_bench(found))) == [("tensorrt", "int8")]
    # without its comparison an engine is no candidate
    alone = dataclasses.replace(found, comparisons=found.comparisons[:1])
    assert [each.precision for each in candidates_of_bench(alone)] == ["fp32", "fp16"]
