"""What a user would write without hardedge: segmentation-models-pytorch, torch.onnx.export, onnxruntime, nothing else.

    python benchmarks/peer_plain.py train DATA plain.pth --steps 24
    python benchmarks/peer_plain.py export DATA plain.onnx --weights plain.pth --size 192 320
    python benchmarks/peer_plain.py mask DATA mask.png --model plain.onnx --image photo.png
    python benchmarks/peer_plain.py images DATA --model plain.onnx
    python benchmarks/peer_plain.py evaluate DATA --model plain.onnx

DATA is a folder in hardedge's form with images of one size. `images` and `evaluate` go through its test split. Every
step and every image is told as `3/24`, by which peers.py times the loops.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
IGNORED = 255


def build(num_classes: int) -> Any:
    """The network of this script, and of hardedge beside it: `--set network=peer_plain:build`."""
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=num_classes)


def ids_of(data: Path, split: str) -> list[str]:
    return (data / "splits" / f"{split}.txt").read_text().split()


def num_classes_of(data: Path) -> int:
    return len(json.loads((data / "classes.json").read_text())["classes"])


def normalised(image_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(((image_HWC.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1))


def image_of(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


class Crops:
    """The training pairs, cropped and flipped at random: a data set for torch's DataLoader."""

    def __init__(self, data: Path, crop: int) -> None:
        self.data, self.crop, self.ids = data, crop, ids_of(data, "train")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        image_HWC = image_of(self.data / "images" / f"{self.ids[index]}.png")
        mask_HW = np.asarray(Image.open(self.data / "masks" / f"{self.ids[index]}.png"))
        top, left = (random.randint(0, length - self.crop) for length in mask_HW.shape)
        place = np.s_[top : top + self.crop, left : left + self.crop]
        image_HWC, mask_HW = image_HWC[place], mask_HW[place]
        if random.random() < 0.5:
            image_HWC, mask_HW = image_HWC[:, ::-1], mask_HW[:, ::-1]
        return normalised(image_HWC), mask_HW.astype(np.int64)


def train(data: Path, out: Path, steps: int, batch: int, crop: int) -> None:
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader

    loader = DataLoader(Crops(data, crop), batch, shuffle=True, drop_last=True)
    assert len(loader), "fewer images than a batch"
    network = build(num_classes_of(data)).train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    done = 0
    while done < steps:
        for images_BCHW, masks_BHW in loader:
            optimiser.zero_grad()
            loss = F.cross_entropy(network(images_BCHW), masks_BHW, ignore_index=IGNORED)
            loss.backward()
            optimiser.step()
            done += 1
            print(f"{done}/{steps}", flush=True)
            if done == steps:
                break
    torch.save(network.state_dict(), out)


def export(data: Path, out: Path, weights: Path, size: tuple[int, int]) -> None:
    import torch

    network = build(num_classes_of(data)).eval()
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        network.load_state_dict(load_file(weights))
    else:
        network.load_state_dict(torch.load(weights))
    torch.onnx.export(network, (torch.zeros(1, 3, *size),), out, external_data=False, verbose=False)


class Model:
    """An exported network in onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def mask(self, image: Path) -> npt.NDArray[np.uint8]:
        logits_BCHW = self.session.run(None, {self.input: normalised(image_of(image))[None]})[0]
        return np.asarray(logits_BCHW).argmax(1)[0].astype(np.uint8)


def segment(data: Path, model: Model) -> None:
    ids = ids_of(data, "test")
    for done, id in enumerate(ids, start=1):
        model.mask(data / "images" / f"{id}.png")
        print(f"{done}/{len(ids)}", flush=True)


def evaluate(data: Path, model: Model) -> None:
    import torch
    from segmentation_models_pytorch import metrics

    ids, classes, found = ids_of(data, "test"), num_classes_of(data), []
    for done, id in enumerate(ids, start=1):
        mask_HW = model.mask(data / "images" / f"{id}.png")
        label_HW = np.asarray(Image.open(data / "masks" / f"{id}.png"))
        pair = (torch.from_numpy(each[None].astype(np.int64)) for each in (mask_HW, label_HW))
        found.append(metrics.get_stats(*pair, "multiclass", ignore_index=IGNORED, num_classes=classes))
        print(f"{done}/{len(ids)}", flush=True)
    counts = [torch.cat(each) for each in zip(*found, strict=True)]
    print(f"mIoU {100 * metrics.iou_score(*counts, reduction='macro').item():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The plain way, from a data folder to masks.")
    parser.add_argument("task", choices=["train", "export", "mask", "images", "evaluate"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 320))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path)
    args = parser.parse_args()

    if args.task == "train":
        train(args.data, args.out, args.steps, args.batch, args.crop)
    elif args.task == "export":
        export(args.data, args.out, args.weights, tuple(args.size))
    elif args.task == "mask":
        Image.fromarray(Model(args.model).mask(args.image)).save(args.out)
    elif args.task == "images":
        segment(args.data, Model(args.model))
    else:
        evaluate(args.data, Model(args.model))


if __name__ == "__main__":
    main()
