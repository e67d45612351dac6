"""How many training images a second the loader gives, beside plain torchvision and from a prepared folder.

    python benchmarks/loader.py [--data DIR] [--seconds 60] [--workers 2] [--json]

Data sets: DIR, if given, and 24 drawn images of 1024x2048 with the layout, the PNGs and the label ids of Cityscapes.
Arms, each an epoch's worth of batches through torch's DataLoader, in turns (see measure.py):
- torchvision: Pillow's decoder and torchvision's ScaleJitter, RandomCrop, flip, ColorJitter and Normalize; labels are
  neither mapped nor checked;
- torchvision again: the A/A, its ratio shows the noise;
- hardedge: TrainingSamples through training_batches, as training reads;
- prepared: the same, from the folder that `hardedge prepare` writes.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from measure import Timing, machine, timings
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardedge.console import spinner
from hardedge.data import Dataset, open_dataset
from hardedge.data.prepare import prepare
from hardedge.data.streets.scene import draw_scene
from hardedge.train.batches.samples import NORMALISATION, TrainingSamples, training_batches
from hardedge.train.recipe import IGNORED, Recipe
from hardedge.train.recipes import find_recipe

CPU = torch.device("cpu")
DRAWN, SCALE = {"train/aachen": 20, "train/zurich": 2, "val/frankfurt": 2}, 8
LABEL_IDS = np.array([23, 11, 21, 7, 8, 26, 24, 17, 20], np.uint8)  # of sky, building, tree ... sign
BASELINE = "torchvision"


@dataclass(frozen=True)
class Result:
    """One arm on one data set; the share of a core's time and the bytes on disk of a training pair."""

    data: str
    arm: str
    images_per_second: float
    timing: Timing
    megabytes: float


class PlainSamples(TorchDataset[tuple[Tensor, Tensor]]):
    """The same files in the same order, read as torchvision's references read them."""

    def __init__(self, samples: TrainingSamples, recipe: Recipe, size: tuple[int, int]) -> None:
        self.samples = samples
        fill = {tv_tensors.Image: [124, 116, 104], tv_tensors.Mask: IGNORED}
        self.transform = v2.Compose(
            [
                v2.ScaleJitter(size, recipe.scale),
                v2.RandomCrop(recipe.crop, pad_if_needed=True, fill=fill),
                v2.RandomHorizontalFlip(recipe.flip),
                v2.ColorJitter(recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue),
                v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
                v2.Normalize(NORMALISATION.mean, NORMALISATION.std),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        dataset, id = self.samples.dataset, self.samples.id_at(index)
        image = tv_tensors.Image(Image.open(dataset.image_path(id)).convert("RGB"))
        mask = tv_tensors.Mask(v2.functional.pil_to_tensor(Image.open(dataset.mask_path(id)))[0])
        pair: tuple[Tensor, Tensor] = self.transform(image, mask)
        return pair


def plain(samples: TrainingSamples, recipe: Recipe, size: tuple[int, int], steps: int) -> Callable[[], None]:
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        PlainSamples(samples, recipe, size),
        batch_size=recipe.batch,
        sampler=range(steps * recipe.batch),
        num_workers=recipe.workers,
    )

    def run() -> None:
        for images_BCHW, _ in loader:
            assert images_BCHW.shape[1:] == (3, *recipe.crop)

    return run


def ours(dataset: Dataset, recipe: Recipe, steps: int) -> Callable[[], None]:
    samples = TrainingSamples(dataset, recipe)

    def run() -> None:
        for batch in training_batches(samples, recipe, CPU, first=0, last=steps):
            assert batch.image.shape[1:] == (3, *recipe.crop)

    return run


def write_drawn(root: Path) -> None:
    """Street scenes, enlarged and with noise, of about the size on disk of Cityscapes' images (2.3 MB)."""
    rng, number = np.random.default_rng(0), 0
    for city, count in DRAWN.items():
        for _ in range(count):
            image_HWC, mask_HW = draw_scene(0, number)
            size = (mask_HW.shape[1] * SCALE, mask_HW.shape[0] * SCALE)
            large_HWC = np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.BICUBIC), np.int16)
            noisy_HWC = (large_HWC + rng.integers(-1, 2, large_HWC.shape)).clip(0, 255).astype(np.uint8)
            label_HW = np.where(mask_HW == IGNORED, 0, LABEL_IDS[mask_HW.clip(max=len(LABEL_IDS) - 1)])
            id = f"{Path(city).name}_{number:06d}_000019"
            image, label = (
                root / f"leftImg8bit/{city}/{id}_leftImg8bit.png",
                root / f"gtFine/{city}/{id}_gtFine_labelIds.png",
            )
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy_HWC).save(image)
            Image.fromarray(label_HW.astype(np.uint8)).resize(size, Image.Resampling.NEAREST).save(label)
            number += 1


def measure(data: Path, recipe: Recipe, images: int, seconds: float, cache: Path) -> list[Result]:
    dataset = open_dataset(data)
    size = dataset.image(dataset.splits["train"][0]).shape[:2]
    steps = images // recipe.batch
    prepare(data, cache)
    cached = open_dataset(cache)
    plainly = plain(TrainingSamples(dataset, recipe), recipe, (size[0], size[1]), steps)
    arms = {
        BASELINE: plainly,
        f"{BASELINE} again": plainly,
        "hardedge": ours(dataset, recipe, steps),
        "prepared": ours(cached, recipe, steps),
    }
    for run in arms.values():
        run()
    times = timings(arms, BASELINE, seconds, CPU)
    return [
        Result(
            data=f"{dataset.name} {size[1]}x{size[0]}, crop {recipe.crop[1]}x{recipe.crop[0]}",
            arm=arm,
            images_per_second=1000 * steps * recipe.batch / timing.ms,
            timing=timing,
            megabytes=megabytes(cached if arm == "prepared" else dataset),
        )
        for arm, timing in times.items()
    ]


def megabytes(dataset: Dataset) -> float:
    """The mean size on disk of a training pair."""
    ids = dataset.splits["train"]
    return sum(path.stat().st_size for id in ids for path in (dataset.images[id], dataset.masks[id])) / len(ids) / 1e6


def print_table(results: list[Result], facts: dict[str, str], workers: int) -> None:
    from rich.console import Console
    from rich.table import Table

    caption = ", ".join(f"{name} {value}" for name, value in facts.items())
    table = Table(title=f"training images, {workers} workers", caption=caption)
    for column in ("data", "arm", "images/s", "time ratio", "95 % interval", "MB a pair"):
        table.add_column(column, justify="left" if column in ("data", "arm") else "right")
    for result in results:
        timing = result.timing
        table.add_row(
            result.data,
            result.arm,
            f"{result.images_per_second:.1f}",
            f"{timing.ratio:.2f}",
            f"{timing.low:.2f} .. {timing.high:.2f}",
            f"{result.megabytes:.2f}",
        )
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training images a second: torchvision, hardedge, a prepared folder.")
    parser.add_argument("--data", type=Path, help="a data set of images of one size, e.g. CamVid")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each data set")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the loader")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    recipe = replace(find_recipe("camvid", {}), workers=args.workers)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn"
        if args.data:
            with spinner(f"{args.data}, about {args.seconds:.0f} s"):
                results += measure(args.data, recipe, 64, args.seconds, Path(folder) / "small")
        with spinner("drawing 1024x2048"):
            write_drawn(drawn)
        with spinner(f"1024x2048, about {args.seconds:.0f} s"):
            large = replace(recipe, crop=(769, 769), scale=(0.5, 2.0), batch=4)
            results += measure(drawn, large, 8, args.seconds, Path(folder) / "large")
    facts = machine(CPU)
    if args.json:
        print(json.dumps({"machine": facts, "results": [dataclasses.asdict(result) for result in results]}, indent=1))
    else:
        print_table(results, facts, args.workers)


if __name__ == "__main__":
    main()
