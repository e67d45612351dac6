"""Which training images to calibrate INT8 on: random ones, the hardest, or evenly from easy to hard; how many.

    python benchmarks/calibration.py CHECKPOINT BUNDLE DATA --out DIR [--counts 8,32,128] [--methods max,entropy]

The candidates are the training images whose hardness map the checkpoint stores, at most 128: with as many images all
choices are one. Each arm converts the bundle's model.onnx with its own calibration images and runs the same test
images, evenly spaced; its mIoU is compared with the bundle's reference masks on these, with a 90 % bootstrap interval
over images. The random arm is drawn with several seeds. With --tile HEIGHTxWIDTH the arms take tiles instead of whole
images. Arms that are finished in DIR are not run again.
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

from hardedge.contracts import (
    Bundle,
    Calibration,
    CalibrationTile,
    Contract,
    ConversionAgreement,
    load,
    read_json,
    to_json,
    write_atomically,
)
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import read_image
from hardedge.data.opening import open_dataset
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement
from hardedge.export.precisions.calibration import By, choose_images, order_by_hardness, write_calibration
from hardedge.export.precisions.convert import convert
from hardedge.export.precisions.tiles import parse_tile, tile_text, tiles_by_hardness

COLUMNS = (
    *("ranges", "images", "chosen", "mean rank", "mIoU minus FP32 (90 % interval)", "equal pixels"),
    *("logits differ by (rms)", "seconds"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm(Contract):
    """How images or tiles were chosen, how many, how scales follow from them, and with which seed (random alone)."""

    by: By
    count: int
    method: str
    seed: int = 0
    tile: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        size = f"-{tile_text(self.tile)}" if self.tile else ""
        return f"{self.method}-{self.count}-{self.by}-{self.seed}{size}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(Contract):
    """One arm of a bundle: the mean rank of its images (0 easiest, 1 hardest), what was measured, how long it took."""

    bundle: str
    arm: Arm
    mean_rank: float
    agreement: ConversionAgreement
    seconds: float


def arms(counts: list[int], methods: list[str], seeds: int, candidates: int, tile: tuple[int, int] | None) -> list[Arm]:
    found = []
    for method in methods:
        for count in counts:
            if count >= candidates:  # every choice takes them all
                found.append(Arm(by="stratified", count=candidates, method=method, tile=tile))
                continue
            found += [Arm(by=by, count=count, method=method, tile=tile) for by in ("hardness", "stratified")]
            found += [Arm(by="random", count=count, method=method, seed=seed, tile=tile) for seed in range(seeds)]
    return found


def names_of(arm: Arm, ranked: list[str]) -> tuple[str, ...]:
    if arm.by == "random":
        return tuple(sorted(np.random.default_rng(arm.seed).permutation(sorted(ranked))[: arm.count].tolist()))
    return choose_images(ranked, arm.by, arm.count)


def candidates(checkpoint: Path, tile: tuple[int, int] | None) -> tuple[list[str], dict[str, CalibrationTile]]:
    """The names of images or tiles, the easiest first, and the tiles by name."""
    maps = {path.stem: path for path in sorted((checkpoint / "hardness" / "train").glob("*.png"))}
    if tile is None:
        return order_by_hardness(maps), {}
    tiles = tiles_by_hardness(maps, tile)
    return list(tiles), tiles


def pictures(arm: Arm, names: tuple[str, ...], tiles: dict[str, CalibrationTile]) -> Calibration:
    if not tiles:
        return Calibration(by=arm.by, images=names)
    taken = tuple(tiles[name] for name in names)
    return Calibration(by=arm.by, images=tuple(sorted({tile.image for tile in taken})), tiles=taken)


def run(arm: Arm, checkpoint: Path, bundle: Path, reference: PrecisionReference) -> Result:
    ranked, tiles = candidates(checkpoint, arm.tile)
    names = names_of(arm, ranked)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_calibration(pictures(arm, names, tiles), reference.dataset, Path(folder) / "calibration")
        began = time.perf_counter()
        converted = convert(bundle / "model.onnx", "int8", paths, method=arm.method)
        seconds = time.perf_counter() - began
    place = {name: rank for rank, name in enumerate(ranked)}
    return Result(
        bundle=load(Bundle, bundle).digest,
        arm=arm,
        mean_rank=float(np.mean([place[name] for name in names]) / max(len(ranked) - 1, 1)),
        agreement=measure_agreement(converted.model, "int8", reference),
        seconds=seconds,
    )


def finished(path: Path, bundle: Bundle, images: int) -> Result | None:
    if not path.is_file():
        return None
    result = read_json(Result, path)
    return result if result.bundle == bundle.digest and result.agreement.images == images else None


def reference_of(bundle: Path, dataset: Dataset, images: int) -> PrecisionReference:
    manifest = load(Bundle, bundle)
    ids = dataset.splits["test"]
    count = min(images, len(ids))
    return PrecisionReference(
        model=onnx.load(bundle / manifest.model("fp32").path),
        golden=[read_image(bundle / "golden" / "images" / f"{id}.png") for id in manifest.golden],
        dataset=dataset,
        masks=bundle / "reference" / "masks",
        ids=tuple(ids[place * len(ids) // count] for place in range(count)),
    )


def line(result: Result) -> str:
    arm, found = result.arm, result.agreement
    cells = (
        arm.method,
        f"{arm.count}{f' tiles of {tile_text(arm.tile)}' if arm.tile else ''}",
        f"{arm.by} (seed {arm.seed})" if arm.by == "random" else arm.by,
        f"{result.mean_rank:.2f}",
        f"{found.difference:+.2f} [{found.interval.low:+.2f}, {found.interval.high:+.2f}]",
        f"{100 * found.pixel_agreement:.2f} %",
        f"{found.logit_rms:.3f}",
        f"{result.seconds:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("checkpoint", "bundle", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", default="8,32,128")
    parser.add_argument("--methods", default="max,entropy")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tile", default="whole")
    options = parser.parse_args()
    bundle, size = load(Bundle, options.bundle), parse_tile(options.tile)
    tile = size if isinstance(size, tuple) else None
    reference = reference_of(options.bundle, open_dataset(options.data), options.images)
    counts = [int(count) for count in options.counts.split(",")]
    number = len(candidates(options.checkpoint, tile)[0])
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    results = []
    for arm in arms(counts, options.methods.split(","), options.seeds, number, tile):
        path = options.out / f"{arm.name}.json"
        result = finished(path, bundle, len(reference.ids)) or run(arm, options.checkpoint, options.bundle, reference)
        write_atomically(path, to_json(result).encode())
        results.append(result)
        print(line(result), flush=True)
    print(f"FP32 on the same {len(reference.ids)} test images: mIoU {results[0].agreement.miou_reference:.2f} %")
    print(json.dumps(machine(torch.device("cpu"))))


if __name__ == "__main__":
    main()
