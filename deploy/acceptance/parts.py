"""The parts of the acceptance: what each proves, and how it is run on an open engine."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from hardedge.child_process import run_child
from hardedge.contracts import AcceptanceCheck, Engine
from hardedge.data.decoding import Pixels
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.paired_runs import TooSlow, compare_runners
from hardedge.deploy.latency.sensors import sensor_for, sensor_text, watch_sensor
from hardedge.deploy.parity.batch_slots import check_batch_slots
from hardedge.deploy.parity.compare import GOLDEN_AGREEMENT, golden_agreement
from hardedge.deploy.parity.image_sizes import check_image_sizes
from hardedge.deploy.parity.network_masks import NetworkMasks
from hardedge.deploy.runner import Runner
from hardedge.deploy.tensorrt.runner import TensorRTRunner
from hardedge.precisions import precision_named

PROVES: Final = {
    "build": "this machine makes an engine of that target and precision",
    "golden masks": "the engine computes the network that was exported",
    "batch slots": "an image's mask does not depend on its batch, slot or neighbours",
    "every profile": "every optimisation profile gives the network's masks",
    "CUDA graph": "a run as a CUDA graph gives the same masks as one without",
    "two streams": "batches that overlap on two streams give the same masks as one after another",
    "refit": "a plan without weights gets them back from the ONNX file",
    "version-compatible plan": "a plan for later versions builds and gives the same masks",
    "timing cache": "a build that is kept is found again and is not made anew",
    "runtime cache": "kernels compiled at run time are kept, and loaded by the next process",
    "loads and frees": "an engine that is closed gives its memory back",
    "stream": "a long stream of images gives each its own mask, in order",
    "latency": "how noisy this machine is: an engine against itself",
    "energy": "what an image takes, where a sensor answers",
    "wrong engine": "an engine of another version or device, or an altered one, is refused with its reason",
}
# the share of pixels in which a runtime may differ more than export found in onnxruntime; quantised networks are fused
# and rounded at places that each runtime chooses (docs/log.md: OpenVINO's INT8 masks)
LOOSEST: Final = 0.01
LOOSEST_QUANTISED: Final = 0.06
_GROWTH: Final = 16 << 20  # bytes that allocators and caches may keep


@dataclass(frozen=True)
class Amounts:
    """How often an engine is loaded, how many images are streamed, and for how many seconds it is timed."""

    loads: int = 500
    stream: int = 5000
    seconds: float = 10.0


QUICK: Final = Amounts(loads=20, stream=100, seconds=2.0)

Status = Literal["pass", "fail", "measured", "not run"]
Found = tuple[Status, str]


@dataclass(frozen=True)
class Subject:
    """An engine on trial: its directory and manifest, the bundle that it was built from, and how much is run."""

    bundle: OpenBundle
    directory: Path
    engine: Engine
    amounts: Amounts

    @property
    def images(self) -> list[Pixels]:
        return [self.bundle.golden_image(id) for id in self.bundle.manifest.golden]

    def check(self, part: str, found: Found) -> AcceptanceCheck:
        """The part's line of this engine."""
        return checked(self.engine.target, self.engine.precision, part, found)


def checked(target: str, precision: str, part: str, found: Found) -> AcceptanceCheck:
    """A line of the table."""
    return AcceptanceCheck(
        target=target, precision=precision, part=part, status=found[0], found=found[1], proves=PROVES[part]
    )


def run_open_parts(subject: Subject, runner: Runner) -> Iterator[AcceptanceCheck]:
    """What one loaded engine is asked."""
    parts: dict[str, Callable[[Subject, Runner], Found]] = {
        "golden masks": match_golden,
        "batch slots": match_slots,
        "every profile": match_profiles,
        "CUDA graph": match_graph,
        "two streams": match_streams,
        "stream": stream_long,
        "energy": measure_energy,
    }
    for part, run in parts.items():
        yield subject.check(part, run(subject, runner))


def match_golden(subject: Subject, runner: Runner) -> Found:
    """The stored masks; in other precisions than FP32 as many pixels as export found equal, but for what is allowed."""
    conversion = subject.bundle.manifest.model(subject.engine.precision).conversion
    allowed = LOOSEST_QUANTISED if precision_named(subject.engine.precision).rest else LOOSEST
    least = GOLDEN_AGREEMENT if conversion is None else conversion.agreement.pixel_agreement - allowed
    share = golden_agreement(subject.bundle, runner)
    return _passed(share >= least), f"{share:.3%} of the pixels equal (at least {least:.3%})"


def match_slots(subject: Subject, runner: Runner) -> Found:
    network, engine = NetworkMasks(subject.bundle), subject.engine
    found = check_batch_slots(subject.bundle, engine.profiles, runner, engine.precision, network)
    return found.status if found.status != "inconclusive" else "fail", str(found)


def match_profiles(subject: Subject, runner: Runner) -> Found:
    network, engine = NetworkMasks(subject.bundle), subject.engine
    found = check_image_sizes(subject.bundle, engine.profiles, runner, engine.precision, network)
    return found.status if found.status != "inconclusive" else "fail", str(found)


def match_graph(subject: Subject, runner: Runner) -> Found:
    """The first run of a size is without a graph, the third with one, where TensorRT captures it."""
    if not isinstance(runner, TensorRTRunner):
        return "not run", "only TensorRT runs CUDA graphs here"
    image_BHWC = subject.images[0][None]
    runner.masks(image_BHWC[:, :-1])  # another size: the next run of this one has no graph
    first = runner.masks(image_BHWC)
    without = runner.graph
    for _ in range(2):
        later = runner.masks(image_BHWC)
    if without or not runner.graph:
        return "fail", "no graph was captured at the second run" if not without else "the first run had a graph"
    return _passed(np.array_equal(first, later)), f"{np.mean(first == later):.3%} of the pixels equal"


def match_streams(subject: Subject, runner: Runner) -> Found:
    images = [image_HWC[None] for image_HWC in subject.images]
    alone = [runner.masks(image_BHWC) for image_BHWC in images]
    unequal = sum(
        not np.array_equal(streamed, mask) for streamed, mask in zip(runner.stream(images), alone, strict=True)
    )
    return _passed(not unequal), f"{len(images) - unequal} of {len(images)} masks equal those of one after another"


def stream_long(subject: Subject, runner: Runner) -> Found:
    images, count = [image_HWC[None] for image_HWC in subject.images], subject.amounts.stream
    expected = [runner.masks(image_BHWC) for image_BHWC in images]
    began, unequal, seen = time.perf_counter(), 0, 0
    for place, mask in enumerate(runner.stream(itertools.islice(itertools.cycle(images), count))):
        unequal += not np.array_equal(mask, expected[place % len(images)])
        seen += 1
    rate = seen / (time.perf_counter() - began)
    return _passed(not unequal and seen == count), f"{seen} masks, {unequal} of them wrong, {rate:.0f} images a second"


def measure_energy(subject: Subject, runner: Runner) -> Found:
    sensor = sensor_for(subject.engine.target)
    if isinstance(sensor, str):
        return "not run", sensor
    image_BHWC, runs = subject.images[0][None], 0
    began = time.perf_counter()
    with watch_sensor(sensor) as watch:
        while time.perf_counter() < began + subject.amounts.seconds:
            runner.masks(image_BHWC)
            runs += 1
    seconds, said = time.perf_counter() - began, watch.summary()
    if said.power is None:
        return "not run", said.source
    return "measured", f"{said.power * seconds / runs:.4g} J an image; {sensor_text(said)}"


def measure_latency(subject: Subject) -> Found:
    """The engine against itself, interleaved."""
    opened = partial(open_runner, subject.directory)
    try:
        found = compare_runners(opened, opened, subject.images[0][None], subject.amounts.seconds, arm="A/A")
    except TooSlow as error:
        return "not run", str(error)
    with closing(opened()) as runner:
        times = [sum(runner.parts(subject.images[0][None])) for _ in range(30)]
    low, high = found.interval.low, found.interval.high
    return "measured", f"p50 {1000 * float(np.median(times)):.3g} ms; A/A {found.ratio:.3f} [{low:.3f}, {high:.3f}]"


def repeat_loads(subject: Subject) -> Found:
    """The memory of a process of its own, after a tenth of the loads and after all of them."""
    done = run_child("hardedge.deploy.acceptance.loads_process", str(subject.directory), str(subject.amounts.loads))
    if done.status != 0:
        said = done.errors.strip().splitlines()[-1:] or [f"status {done.status}"]
        return "fail", f"the process that loads it ended: {said[0]}"
    host, gpu = json.loads(done.output.splitlines()[-1])
    lines = [
        f"{name} {last - first:+,} bytes from load {max(subject.amounts.loads // 10, 1)} to {subject.amounts.loads}"
        for name, (first, last) in (("host", host), ("GPU", gpu))
        if first is not None and last is not None
    ]
    if not lines:
        return "not run", "the system does not tell what a process holds"
    grown = [last - first for first, last in (host, gpu) if first is not None and last is not None]
    return _passed(max(grown) <= _GROWTH), "; ".join(lines)


def _passed(holds: bool) -> Status:
    return "pass" if holds else "fail"
