"""What each precision costs one trained network: mIoU, pixels, stable pixels, sizes, and build time for each target.

    python benchmarks/precision.py CHECKPOINT BUNDLE DATA --out DIR [--counts 8,32,128] [--seeds 3] [--images 233]

BUNDLE is CHECKPOINT's, with model.onnx alone. FP16, BF16 and FP8 are calibrated as `hardedge export` does it (32
images, evenly from the easiest to the hardest); INT8 in every way of benchmarks/calibration.py. Each file runs the same
test images beside FP32; its mIoU difference has a 90 % bootstrap interval over images. A pixel is stable where FP32's
margin is more than twice the file's largest logit error. Rows that are finished in DIR are not done again.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from calibration import Arm, arms, candidates, names_of, pictures, reference_of
from measure import machine

from hardedge.console import note
from hardedge.contracts import (
    Bundle,
    Contract,
    ConversionAgreement,
    Profile,
    StablePixels,
    load,
    read_json,
    to_json,
    write_atomically,
)
from hardedge.data.decoding import read_mask
from hardedge.data.opening import open_dataset
from hardedge.deploy.parity.stable_pixels import count_stable, margins_of, sum_stable
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.targets import RTX_TARGETS, parse_target
from hardedge.deploy.tensorrt.plans import compile_plans
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement, session_for
from hardedge.export.precisions.calibration import write_calibration
from hardedge.export.precisions.convert import convert
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import logits_form
from hardedge.graphs.rounding import rounded_form

USUAL = Arm(by="stratified", count=32, method="max")
HEADS = ("file", "calibrated on", "mIoU", "over FP32 (90 %)", "equal pixels", "stable", "of these other", "MB")

CPU_SAYS = """\
FP16 and BF16 are those of a CPU, which has neither: every result in the graph is computed in FP32 and rounded. What
it can say: whether a value leaves the range, what the rounding of stored values and weights costs, whether a builder
takes the file. What it cannot: the order in which a GPU's kernels add up, whether they add in FP16 or FP32, which
layers they fuse and so do not round between, and anything about speed. `hardedge deploy` measures the masks again on
the GPU itself."""


@dataclass(frozen=True, kw_only=True)
class Build(Contract):
    """One target's engine: the seconds of its build and its bytes."""

    seconds: float
    size: int


@dataclass(frozen=True, kw_only=True)
class Result(Contract):
    """One file of a bundle: how it was calibrated (FP32: not), what it does, its bytes, and its engines by target."""

    bundle: str
    precision: str
    arm: Arm | None
    miou: float
    agreement: ConversionAgreement | None
    stable: StablePixels | None
    size: int
    builds: dict[str, Build]


def rows(counts: list[int], seeds: int, number: int) -> list[tuple[str, Arm]]:
    """Each converted file's precision and how it is calibrated."""
    usual = replace(USUAL, count=min(USUAL.count, number))
    ways = arms(counts, ["max"], seeds, number, None)
    return [("fp16", usual), ("bf16", usual), ("fp8", usual), *(("int8", arm) for arm in ways)]


def built(path: Path, precision: str, profiles: Sequence[Profile], folder: Path) -> dict[str, Build]:
    """The engines of all targets that can hold the precision, their time and size."""
    targets = [parse_target(target) for target in RTX_TARGETS if not cannot_hold(target, precision)]
    plans = compile_plans("tensorrt-rtx", path, targets, profiles, folder)
    return {str(target): Build(seconds=plan.seconds, size=plan.path.stat().st_size) for target, plan in plans.items()}


def fp32_row(bundle: Path, miou: float) -> Result:
    manifest = load(Bundle, bundle)
    path = bundle / manifest.model("fp32").path
    with tempfile.TemporaryDirectory() as folder:
        builds = built(path, "fp32", manifest.profiles, Path(folder))
    return Result(
        bundle=manifest.digest,
        precision="fp32",
        arm=None,
        miou=miou,
        agreement=None,
        stable=None,
        size=path.stat().st_size,
        builds=builds,
    )


def converted_row(
    precision: str, arm: Arm, checkpoint: Path, bundle: Path, reference: PrecisionReference, build: bool
) -> Result:
    """Converts, measures, and where `build` says so builds for every target."""
    manifest = load(Bundle, bundle)
    ranked, tiles = candidates(checkpoint, None)
    with tempfile.TemporaryDirectory() as folder:
        images = pictures(arm, names_of(arm, ranked), tiles)
        paths = write_calibration(images, reference.dataset, Path(folder) / "calibration")
        model = convert(bundle / manifest.model("fp32").path, precision, paths).model
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        builds = built(path, precision, manifest.profiles, Path(folder)) if build else {}
        size = path.stat().st_size
    agreement = measure_agreement(model, precision, reference)
    return Result(
        bundle=manifest.digest,
        precision=precision,
        arm=arm,
        miou=agreement.miou,
        agreement=agreement,
        stable=stable_pixels(model, precision, agreement.logit_difference, reference),
        size=size,
        builds=builds,
    )


def stable_pixels(model: onnx.ModelProto, precision: str, error: float, reference: PrecisionReference) -> StablePixels:
    """How many pixels were far enough from a tie, and how many of these changed all the same."""
    exact, session = open_session(logits_form(reference.model)), session_for(rounded_form(model), precision)
    parts = []
    for id in reference.ids:
        image_HWC = reference.dataset.image(id)
        mask_HW = session.run(["mask"], {"image": image_HWC[None]})[0][0]
        equal_HW = mask_HW == read_mask(reference.masks / f"{id}.png")
        parts.append((margins_of(exact, image_HWC) > 2 * error, equal_HW))
    return sum_stable([count_stable(*part) for part in parts], error)


def finished(path: Path, bundle: Bundle, images: int) -> Result | None:
    """The row in the file, if it is of this bundle and so many test images."""
    if not path.is_file():
        return None
    result = read_json(Result, path)
    measured_on = images if result.agreement is None else result.agreement.images
    return result if (result.bundle, measured_on) == (bundle.digest, images) else None


def line(result: Result) -> str:
    found, stable = result.agreement, result.stable
    calibrated = "" if result.arm is None else told(result.arm)
    cells = [result.precision, calibrated, f"{result.miou:.2f} %", "", "", "", "", f"{result.size / 1e6:.1f}"]
    if found is not None and stable is not None:
        cells[3] = f"{found.difference:+.2f} [{found.interval.low:+.2f}, {found.interval.high:+.2f}]"
        cells[4] = f"{100 * found.pixel_agreement:.2f} %"
        cells[5] = f"{100 * stable.share:.1f} %"
        cells[6] = str(stable.flips)
    return f"| {' | '.join(cells)} |"


def told(arm: Arm) -> str:
    return f"{arm.count}, {arm.by}" + (f" (seed {arm.seed})" if arm.by == "random" else "")


def build_table(results: Sequence[Result]) -> list[str]:
    """Seconds of the build and megabytes of the plan, a column a target; of INT8 the usual file alone."""
    targets = list(results[0].builds)
    names = [target.partition(":")[2] for target in targets]
    lines = [f"| engine of | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for result in results:
        if result.builds:
            cells = [
                f"{result.builds[target].seconds:.1f} s, {result.builds[target].size / 1e6:.1f} MB"
                if target in result.builds
                else "cannot hold it"
                for target in targets
            ]
            lines.append(f"| {result.precision} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("checkpoint", "bundle", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", default="8,32,128")
    parser.add_argument("--images", type=int, default=10**6, help="test images, evenly spaced; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    bundle, dataset = load(Bundle, options.bundle), open_dataset(options.data)
    reference = reference_of(options.bundle, dataset, options.images)
    number = len(candidates(options.checkpoint, None)[0])
    counts = [int(count) for count in options.counts.split(",")]
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    results: list[Result] = []
    for precision, arm in rows(counts, options.seeds, number):
        path = options.out / f"{precision}-{arm.name}.json"
        result = finished(path, bundle, len(reference.ids))
        if result is None:
            note(f"{precision}, {told(arm)}")
            build = precision != "int8" or (arm.by, arm.count) == (USUAL.by, USUAL.count)
            result = converted_row(precision, arm, options.checkpoint, options.bundle, reference, build)
            write_atomically(path, to_json(result).encode())
        results.append(result)
    agreement = results[0].agreement
    assert agreement is not None  # every converted file has one
    plain = options.out / "fp32.json"
    first = finished(plain, bundle, len(reference.ids))
    if first is None or first.miou != agreement.miou_reference:
        first = fp32_row(options.bundle, agreement.miou_reference)
        write_atomically(plain, to_json(first).encode())
    results.insert(0, first)
    print("\n".join([*map(line, results), "", *build_table(results), "", CPU_SAYS]))
    print(
        json.dumps(
            machine(torch.device("cpu")) | {"test images": str(len(reference.ids)), "bundle": bundle.digest[:12]}
        )
    )


if __name__ == "__main__":
    main()
