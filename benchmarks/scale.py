"""The figures that docs/scale.md calculates with: what an image, a parameter and a file cost.

    python benchmarks/scale.py [--files 100000] [--json]

- networks: parameters, multiply-adds, and the bytes that autograd keeps for the backward pass, for one image of a crop,
  counted on torch's meta device: nothing is computed;
- a folder in the native form with so many images (hard links to one): seconds and memory of opening it, of its digest,
  and of an epoch's order.
"""

import argparse
import dataclasses
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from measure import machine
from PIL import Image
from torch import Tensor

from hardedge.contracts import NetworkSpec
from hardedge.data import open_dataset
from hardedge.models import ARCHITECTURES, build_network
from hardedge.models.complexity import network_facts
from hardedge.train.batches.samples import TrainingSamples
from hardedge.train.recipe import Recipe
from hardedge.train.recipes import find_recipe

T = TypeVar("T")
NETWORKS = ("deeplabv3plus_resnet18", "deeplabv3_resnet50", "pspnet_resnet50", "hrnetv2_w48_ocr")
CROP = (769, 769)
CLASSES = 19


@dataclass(frozen=True)
class NetworkCost:
    """One network at a crop: multiply-adds of a forward pass, and bytes kept for the backward pass, in float32."""

    name: str
    parameters: int
    multiply_adds: int
    kept_bytes: int


@dataclass(frozen=True)
class FolderCost:
    """A folder with so many images: seconds, and the growth of this process's memory in bytes."""

    images: int
    open_s: float
    digest_s: float
    order_s: float
    memory_bytes: int


def network_cost(name: str) -> NetworkCost:
    facts = network_facts(ARCHITECTURES[name], CROP)
    with torch.device("meta"):
        network = build_network(NetworkSpec(name=name, num_classes=CLASSES)).train()
        image_BCHW = torch.empty(2, 3, *CROP)
    return NetworkCost(name, facts.parameters, facts.multiply_adds, kept_bytes(network, image_BCHW) // 2)


def kept_bytes(network: torch.nn.Module, image_BCHW: Tensor) -> int:
    """The bytes of the tensors that autograd keeps of one forward pass, each once, parameters not counted."""
    kept: dict[Any, Tensor] = {}
    weights = {id(weight) for weight in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in weights:
            kept[id(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(image_BCHW)
    assert output.requires_grad
    return sum(tensor.nbytes for tensor in kept.values())


def write_folder(root: Path, images: int) -> None:
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    classes = [{"name": name, "color": [index, 0, 0]} for index, name in enumerate("ab")]
    (root / "classes.json").write_text(json.dumps({"ignore_index": 255, "classes": classes}))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "image.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "mask.png")
    ids = [f"{number:09d}" for number in range(images)]
    per_file = 50_000  # a file has 65 000 links on ext4
    for number, id in enumerate(ids):
        for kind in ("image", "mask"):
            source = root / f"{kind}.{number // per_file}"
            if not source.exists():
                source.write_bytes((root / f"{kind}.png").read_bytes())
            os.link(source, root / f"{kind}s" / f"{id}.png")
    held = images // 100
    for split, part in {"train": ids[2 * held :], "val": ids[:held], "test": ids[held : 2 * held]}.items():
        (root / "splits" / f"{split}.txt").write_text("\n".join(part))


def folder_cost(images: int, recipe: Recipe) -> FolderCost:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), images)
        before = memory()
        dataset, open_s = timed(lambda: open_dataset(Path(folder)))
        grown = memory() - before
        _, digest_s = timed(dataset.digest)
        _, order_s = timed(lambda: TrainingSamples(dataset, recipe).id_at(0))
    return FolderCost(images, open_s, digest_s, order_s, grown)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def memory() -> int:
    """The most this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="What an image, a parameter and a file cost.")
    parser.add_argument("--files", type=int, default=100_000, help="images of the folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    networks = [network_cost(name) for name in NETWORKS]
    folder = folder_cost(args.files, find_recipe("camvid", {}))
    facts = machine(torch.device("cpu"))
    if args.json:
        costs = [dataclasses.asdict(cost) for cost in networks]
        print(json.dumps({"machine": facts, "networks": costs, "folder": dataclasses.asdict(folder)}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"an image of {CROP[1]}x{CROP[0]}: multiply-adds forward, and what is kept for the backward pass")
    for cost in networks:
        forward, kept = f"{cost.multiply_adds / 1e9:.0f} G", f"{cost.kept_bytes / 1e9:.2f} GB"
        print(f"{cost.name:24} {cost.parameters / 1e6:5.1f} M parameters, {forward}, {kept}")
    seconds = f"open {folder.open_s:.1f} s, digest {folder.digest_s:.1f} s, order {folder.order_s:.2f} s"
    print(f"{folder.images} images: {seconds}, {folder.memory_bytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
