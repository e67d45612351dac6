"""How timings are taken, with a clock that the runners themselves move; and what follows from them."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import Bundle, Certificate, load, read_json
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.latency import overhead as measured
from hardedge.deploy.latency import paired_runs
from hardedge.deploy.latency.overhead import certify_latency, measure_latency, overhead_of, sample_times
from hardedge.deploy.latency.paired_runs import TooSlow, compare_models, paired_times, time_pair
from hardedge.deploy.latency.repeated_builds import RepeatedBuilds, build_repeatedly

IMAGE_HWC = np.zeros((64, 96, 3), np.uint8)


class Clock:
    """Time that passes only in a runner."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Timed:
    """A runner that takes a fixed time, and notes what was done."""

    def __init__(self, clock: Clock, name: str, seconds: float, log: list[str], opening: float = 0.0) -> None:
        self.clock, self.name, self.seconds, self.log = clock, name, seconds, log
        clock.now += opening
        log.append(f"open {name}")

    def masks(self, images_BHWC: np.ndarray) -> np.ndarray:
        assert images_BHWC.shape == (1, 64, 96, 3)
        self.clock.now += self.seconds
        self.log.append(self.name)
        return images_BHWC[..., 0]

    def close(self) -> None:
        self.log.append(f"close {self.name}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measured, "time", clock)
    monkeypatch.setattr(paired_runs, "time", clock)
    return clock


def openers(
    clock: Clock, log: list[str], base: float, other: float, opening: float = 0.0
) -> tuple[Callable[[], Timed], Callable[[], Timed]]:
    return lambda: Timed(clock, "A", base, log, opening), lambda: Timed(clock, "B", other, log, opening)


def test_sessions_alternate_and_blocks_are_abba_or_baab_by_chance(clock: Clock) -> None:
    log: list[str] = []
    pairs = paired_times(*openers(clock, log, 0.010, 0.011), IMAGE_HWC[None], 10, paired_runs.PAIRS, time_pair)
    assert len(pairs) == paired_runs.PAIRS
    assert all(np.allclose(times, [[[0.010] * 2, [0.011] * 2]] * len(times)) for times in pairs)
    opened = [entry for entry in log if entry.startswith("open")]
    assert opened == ["open A", "open B", "open B", "open A"] * (paired_runs.PAIRS // 2)
    assert log.count("close A") == log.count("close B") == paired_runs.PAIRS
    first = "".join(log[: log.index("close A")]).removeprefix("open Aopen B").removesuffix("close B")
    assert first.startswith("ABAB")
    blocks = [first[start : start + 4] for start in range(4, len(first), 4)]
    assert set(blocks) == {"ABBA", "BAAB"}
    # the record: the seed gives the orders again
    rng = np.random.default_rng((paired_runs.SEED, 0))
    assert blocks == ["ABBA" if rng.random() < 0.5 else "BAAB" for _ in blocks]


def test_what_slows_every_fourth_run_does_not_look_like_a_slower_arm(clock: Clock) -> None:
    """In a fixed ABBA it would hit one arm only, in half of its runs."""

    class Disturbed(Timed):
        runs = itertools.count()

        def masks(self, images_BHWC: np.ndarray) -> np.ndarray:
            clock.now += 0.005 * (next(self.runs) % 4 == 0)
            return super().masks(images_BHWC)

    arms = [lambda: Disturbed(clock, "A", 0.01, []), lambda: Disturbed(clock, "B", 0.01, [])]
    found = paired_runs.compare_runners(*arms, IMAGE_HWC[None], 10, arm="")  # type: ignore[arg-type]
    assert found.status == "equivalent"
    assert "in one process" in found.detail
    assert (found.processes, found.seed) == (1, paired_runs.SEED)


@pytest.mark.parametrize(("run", "opening"), [(0.001, 0.0), (0.01, 0.3), (0.1, 0.2), (0.2, 0.5)])
def test_the_time_is_kept(clock: Clock, run: float, opening: float) -> None:
    pairs = paired_times(*openers(clock, [], run, run, opening), IMAGE_HWC[None], 15, paired_runs.PAIRS, time_pair)
    assert len(pairs) >= paired_runs.FEWEST_PAIRS
    assert clock.now - 100 <= 1.25 * 15


def test_too_slow_is_found_within_the_time(clock: Clock) -> None:
    with pytest.raises(TooSlow, match="latency not measured: 40 s needed, 9 s given"):
        paired_times(*openers(clock, [], 1.0, 1.0), IMAGE_HWC[None], 9, paired_runs.PAIRS, time_pair)
    assert clock.now - 100 == pytest.approx(8)  # one pair of eight runs


def test_the_fewest_pairs_may_take_longer(clock: Clock) -> None:
    pairs = paired_times(*openers(clock, [], 1.0, 1.0), IMAGE_HWC[None], 15, paired_runs.PAIRS, time_pair)
    assert len(pairs) == paired_runs.FEWEST_PAIRS
    assert clock.now - 100 == pytest.approx(40)


def test_a_time_that_is_over_before_the_first_pair_is_too_slow(clock: Clock) -> None:
    """As a machine leaves it that stands still for a moment."""
    with pytest.raises(TooSlow, match="latency not measured"):
        paired_times(*openers(clock, [], 1.0, 1.0), IMAGE_HWC[None], 0, paired_runs.PAIRS, time_pair)


def test_latency_percentiles_and_their_samples(clock: Clock) -> None:
    runner = Timed(clock, "A", 0.001, [])
    result = measure_latency(runner, "onnxruntime:cpu", "fp32", IMAGE_HWC, seconds=2)
    assert (result.size, result.runs) == ((64, 96), pytest.approx(2000, abs=1))
    assert result.p50 == result.p90 == pytest.approx(1.0)
    assert len(result.samples) == measured.STORED_SAMPLES
    assert sample_times(np.arange(7.0)) == [0, 1, 2, 3, 4, 5, 6]
    assert sample_times(np.arange(1000.0))[:2] == [0, 2]
    assert sample_times(np.arange(1000.0))[-1] == 999


def test_few_runs_are_made_even_without_time(clock: Clock) -> None:
    assert (
        measure_latency(Timed(clock, "A", 1.0, []), "tensorrt", "fp16", IMAGE_HWC, seconds=0).runs
        == measured.FEWEST_RUNS
    )


def test_a_real_branch_is_seen_and_a_real_file_is_itself(shared_bundle: Path) -> None:
    """On a busy machine either may be undecided; neither may come out as the contrary."""
    model, control = shared_bundle / "model.onnx", shared_bundle / "control.onnx"
    branch = compare_models(model, control, IMAGE_HWC, 3, arm="branch")
    itself = compare_models(model, model, IMAGE_HWC, 3, arm="itself")
    assert branch.status in ("different", "inconclusive")
    assert branch.ratio > 1.2
    assert itself.interval.low <= 1.05
    assert itself.interval.high >= 0.95
    assert itself.sessions >= paired_runs.FEWEST_PAIRS


def test_level2_is_implied_by_equal_digests(shared_bundle: Path) -> None:
    bundle = load(Bundle, shared_bundle)
    issued = read_json(Certificate, shared_bundle / Certificate.FILE).level0
    level = certify_latency(OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, seconds=0)
    assert (level.status, level.noise_floor, level.control) == ("implied", None, None)
    assert "not measured" in level.detail
    assert overhead_of(level).status == "implied"
    differing = certify_latency(
        OpenBundle(shared_bundle, bundle), replace(issued, status="different"), IMAGE_HWC, seconds=0
    )
    assert differing.status == overhead_of(differing).status == "not run here"


@pytest.mark.parametrize(
    ("ratio", "noise", "said"),
    [(1.3, 0.001, "costs +30.0 %"), (1.02, 0.2, "came out inconclusive: this machine is too noisy to see a branch")],
)
def test_the_positive_control_is_put_in_words(
    shared_bundle: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, noise: float, said: str
) -> None:
    def synthetic(open_base: object, open_other: object, image: object, seconds: float, *_: object) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        pairs = [0.01 * np.exp(rng.normal(0, noise, (20, 2, 2))) for _ in range(8)]
        for times in pairs:
            times[:, 1] *= next(ratios)
        return pairs

    ratios = itertools.chain(itertools.repeat(1.0, 8), itertools.repeat(ratio))  # the file against itself, the control
    monkeypatch.setattr(paired_runs, "paired_times", synthetic)
    bundle = load(Bundle, shared_bundle)
    issued = read_json(Certificate, shared_bundle / Certificate.FILE).level0
    level = certify_latency(OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, seconds=1)
    assert level.status == "implied"
    assert said in level.detail
    without = certify_latency(OpenBundle(shared_bundle, replace(bundle, control=None)), issued, IMAGE_HWC, seconds=1)
    assert without.control is None
    assert "no positive control" in without.detail


def test_what_is_too_slow_to_measure_is_said(shared_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(*_: object) -> list[np.ndarray]:
        raise TooSlow("latency not measured: 40 s needed, 15 s given")

    monkeypatch.setattr(paired_runs, "paired_times", too_slow)
    issued = read_json(Certificate, shared_bundle / Certificate.FILE).level0
    level = certify_latency(OpenBundle(shared_bundle, load(Bundle, shared_bundle)), issued, IMAGE_HWC, seconds=1)
    assert (level.status, level.noise_floor) == ("implied", None)
    assert level.detail.endswith("40 s needed, 15 s given: give a longer --latency")


class Varying:
    """A builder whose builds of one file differ: build after build, seconds from a list."""

    def __init__(self, clock: Clock, name: str, seconds: list[float], log: list[str]) -> None:
        self.clock, self.name, self.log = clock, name, log
        self.builds = itertools.cycle(seconds)

    def __call__(self) -> Timed:
        return Timed(self.clock, self.name, next(self.builds), self.log)


def arms_of(clock: Clock, shipped: list[float], plain: list[float] | None, log: list[str]) -> RepeatedBuilds:
    return RepeatedBuilds(
        target="tensorrt",
        builds=len(shipped),
        first=Varying(clock, "A", shipped, log),
        second=Varying(clock, "B", shipped, log),
        plain=Varying(clock, "P", plain, log) if plain else None,
        timed=time_pair,
    )


EQUAL = [0.0100, 0.0101, 0.0099, 0.0100, 0.01002]


@pytest.mark.parametrize(
    ("plain", "status"),
    [
        ([0.008] * 5, "different"),
        ([0.0100] * 5, "equivalent"),
        ([0.0099, 0.0104, 0.0096, 0.0103, 0.0101], "inconclusive"),
    ],
)
def test_builds_of_both_arms_decide_where_level_0_does_not(
    shared_bundle: Path, clock: Clock, plain: list[float], status: str
) -> None:
    bundle = replace(load(Bundle, shared_bundle), control=None)
    issued = replace(read_json(Certificate, shared_bundle / Certificate.FILE).level0, status="different")
    log: list[str] = []
    shipped = [0.0100] * 5
    level = certify_latency(
        OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, 10, arms_of(clock, shipped, plain, log)
    )
    assert (level.status, overhead_of(level).status) == (status, status)
    assert level.shipped is not None
    assert level.shipped.arm == "the shipped network over the plain one, 5 builds an arm for tensorrt"
    # every pair is of builds of its own: the units that the interval is made from
    assert level.shipped.sessions == 5
    assert log.count("open P") == 5
    assert f"over the plain one: {status}" in level.detail
    if status == "inconclusive":
        assert level.shipped.blocks_to_decide is not None
        assert f"about {level.shipped.blocks_to_decide} blocks" in level.shipped.detail


def test_a_busy_machine_gives_the_overhead_gate_nothing_to_judge(
    shared_bundle: Path, clock: Clock, loaded: Callable[..., None]
) -> None:
    bundle = replace(load(Bundle, shared_bundle), control=None)
    issued = replace(read_json(Certificate, shared_bundle / Certificate.FILE).level0, status="different")
    loaded(0.0, 0.0, 3.0)
    level = certify_latency(OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, 10, arms_of(clock, EQUAL, EQUAL, []))
    cost = overhead_of(level)
    assert (level.status, cost.status, cost.ratio, cost.interval) == ("inconclusive", "inconclusive", None, None)
    assert "not judged: other processes kept 0.0 of 4 cores busy before it" in cost.detail


def test_builds_of_one_file_show_what_building_alone_does(shared_bundle: Path, clock: Clock) -> None:
    bundle = replace(load(Bundle, shared_bundle), control=None)
    issued = read_json(Certificate, shared_bundle / Certificate.FILE).level0
    level = certify_latency(OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, 10, arms_of(clock, EQUAL, None, []))
    assert level.status == "implied"
    assert level.noise_floor is not None
    assert level.noise_floor.arm == "the file against itself, 5 builds an arm for tensorrt"
    assert (level.noise_floor.sessions, level.shipped) == (5, None)


def test_real_sessions_of_another_network_come_out_different(shared_bundle: Path, tmp_path: Path) -> None:
    """The control network stands in for the shipped one: its extra output costs several times the plain network."""
    folder = tmp_path / "builds"
    arms = build_repeatedly(
        shared_bundle, shared_bundle / "control.onnx", ["onnxruntime:cpu"], 5, folder, BuildRequest()
    )
    assert arms is not None
    assert arms.target == "onnxruntime:cpu"
    assert len(list(folder.glob("*/onnxruntime-cpu/*/engine.json"))) == 15
    bundle = replace(load(Bundle, shared_bundle), control=None)
    issued = replace(read_json(Certificate, shared_bundle / Certificate.FILE).level0, status="different")
    level = certify_latency(OpenBundle(shared_bundle, bundle), issued, IMAGE_HWC, 4, arms)
    assert level.shipped is not None
    assert level.shipped.processes == level.shipped.sessions == 5
    assert "each in a process of its own" in level.shipped.detail
    assert level.shipped.ratio < 0.85  # a busy machine widens the interval, not the ratio this far
    assert level.status in ("different", "inconclusive")
