"""Which training images to calibrate INT8 on: random ones, the hardest, or evenly from easy to hard; how many.

    python benchmarks/calibration.py CHECKPOINT BUNDLE DATA [--counts 8,32,128] [--methods max,entropy] [--images 64]

The candidates are the training images whose hardness map the checkpoint stores, at most 128: with as many images all
choices are one. Each arm converts the bundle's model.onnx with its own calibration images and runs the same test
images, evenly spaced; its mIoU is compared with the bundle's reference masks on these, with a 90 % bootstrap interval
over images. The random arm is drawn with several seeds.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from measure import machine
from PIL import Image

from hardedge.console import note
from hardedge.contracts import Bundle, ConversionAgreement, load
from hardedge.data.folder import Dataset, open_dataset, read_image
from hardedge.export.calibration import by_hardness, chosen
from hardedge.export.conversion import convert
from hardedge.export.measured import Reference, measured


@dataclasses.dataclass(frozen=True)
class Arm:
    """How images were chosen, how many, how scales follow from them, and with which seed (random alone)."""

    by: str
    count: int
    method: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Result:
    """One arm: the mean rank of its images (0 easiest, 1 hardest), what was measured, seconds of the conversion."""

    arm: Arm
    mean_rank: float
    agreement: ConversionAgreement
    seconds: float


def arms(counts: list[int], methods: list[str], seeds: int, candidates: int) -> list[Arm]:
    found = []
    for method in methods:
        for count in counts:
            if count >= candidates:  # every choice takes them all
                found.append(Arm("stratified", count, method, 0))
                continue
            found += [Arm(by, count, method, 0) for by in ("hardness", "stratified")]
            found += [Arm("random", count, method, seed) for seed in range(seeds)]
    return found


def images_of(arm: Arm, ranked: list[str]) -> list[str]:
    if arm.by == "random":
        return sorted(np.random.default_rng(arm.seed).permutation(sorted(ranked))[: arm.count].tolist())
    return list(chosen(ranked, arm.by, arm.count))  # type: ignore[arg-type]


def run(arm: Arm, ranked: list[str], dataset: Dataset, fp32: Path, reference: Reference) -> Result:
    ids = images_of(arm, ranked)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{id}.png") for id in ids]
        for id, path in zip(ids, paths, strict=True):
            Image.fromarray(dataset.image(id)).save(path)
        began = time.perf_counter()
        converted = convert(fp32, "int8", paths, method=arm.method)
    seconds = time.perf_counter() - began
    rank = float(np.mean([ranked.index(id) for id in ids]) / max(len(ranked) - 1, 1))
    return Result(arm, rank, measured(converted.model, "int8", reference), seconds)


def reference_of(bundle: Path, dataset: Dataset, images: int) -> Reference:
    manifest = load(Bundle, bundle)
    ids = dataset.splits["test"]
    count = min(images, len(ids))
    return Reference(
        model=onnx.load(bundle / manifest.model("fp32").path),
        golden=[read_image(bundle / "golden" / "images" / f"{id}.png") for id in manifest.golden],
        dataset=dataset,
        masks=bundle / "reference" / "masks",
        ids=tuple(ids[place * len(ids) // count] for place in range(count)),
    )


def ranked_candidates(checkpoint: Path) -> list[str]:
    maps = {path.stem: path for path in sorted((checkpoint / "hardness" / "train").glob("*.png"))}
    return by_hardness(maps)


def line(result: Result) -> str:
    arm, found = result.arm, result.agreement
    return (
        f"{arm.method:8} {arm.count:4}  {arm.by:10} {arm.seed:4}  {result.mean_rank:4.2f}  {found.miou:6.2f}  "
        f"{found.difference:+6.2f} [{found.interval.low:+.2f}, {found.interval.high:+.2f}]  "
        f"{100 * found.pixel_agreement:6.2f}  {found.logit_rms:.3f}  {result.seconds:6.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("checkpoint", "bundle", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--counts", default="8,32,128")
    parser.add_argument("--methods", default="max,entropy")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    ranked = ranked_candidates(options.checkpoint)
    reference = reference_of(options.bundle, dataset, options.images)
    print("method  images  chosen     seed  rank    mIoU  difference (90 %)     pixels %  logit rms  seconds")
    results = []
    wanted = arms(
        [int(count) for count in options.counts.split(",")], options.methods.split(","), options.seeds, len(ranked)
    )
    for arm in wanted:
        note(f"{len(results)}/{len(wanted)}: {arm}")
        results.append(run(arm, ranked, dataset, options.bundle / "model.onnx", reference))
        print(line(results[-1]), flush=True)
    print(f"FP32 on the same {len(reference.ids)} test images: mIoU {results[0].agreement.miou_reference:.2f}")
    print(json.dumps([dataclasses.asdict(result) for result in results]) if options.json else "", end="")
    print(json.dumps(machine(torch.device("cpu"))))


if __name__ == "__main__":
    main()
