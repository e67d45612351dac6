"""How long `hardedge export` takes to a verified bundle, at 512x1024, each in a process of its own as a user starts it.

    python benchmarks/export_time.py [--kept runs/export_time] [--json]

The checkpoints are trained for one step on enlarged street scenes, and kept. The time is the command's whole, from the
start of its process, less what the manifest says that torch's reference and golden runs took; every TensorRT-RTX target
is built, and both arms of the certificate for each.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import machine
from PIL import Image

from hardedge.contracts import Bundle, Checkpoint, load
from hardedge.data.streets.write import write_streets
from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

HEIGHT, WIDTH = 512, 1024
IMAGES = {"train": 4, "val": 2, "test": 2}
CASES = (
    ("lraspp_mobilenet_v3_large", "fp32", 45),
    ("lraspp_mobilenet_v3_large", "fp32,fp16", 60),
    ("deeplabv3_resnet50", "fp32,fp16", 180),
)


@dataclass(frozen=True)
class Result:
    """One export: seconds of the whole command, of torch's reference runs in it, and the difference; and the target."""

    network: str
    precisions: str
    whole_s: float
    reference_s: float
    counted_s: float
    target_s: float
    steps: dict[str, float]


def scenes(folder: Path) -> Path:
    """Street scenes, enlarged to the size."""
    if not folder.is_dir():
        write_streets(folder, images=IMAGES)
        for path in [*folder.glob("images/*.png"), *folder.glob("masks/*.png")]:
            with Image.open(path) as image:
                enlarged = image.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
            enlarged.save(path)
    return folder


def checkpoint(network: str, data: Path, out: Path) -> Path:
    """The network after one step, with the faithful branch."""
    if not (out / Checkpoint.FILE).is_file():
        recipe = Recipe(
            name="one step",
            network=network,
            loss=parse_loss("hardness"),
            branches=(HardnessBranch("faithful"),),
            learning_rate=1e-4,
            steps=1,
            batch=2,
            crop=(128, 128),
            evaluate_every=1,
        )
        train(recipe, data, out, force=True)
    return out


def measured(source: Path, data: Path, network: str, precisions: str, target_s: float) -> Result:
    with TemporaryDirectory(prefix="hardedge-") as name:
        out = Path(name) / "bundle"
        command = [sys.executable, "-m", "hardedge", "export", str(source), "--data", str(data), "--out", str(out)]
        began = time.perf_counter()
        subprocess.run([*command, "--precision", precisions], check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        steps = load(Bundle, out).seconds
    reference = steps["reference"]
    return Result(network, precisions, whole, reference, whole - reference, target_s, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of hardedge export at 512x1024.")
    parser.add_argument("--kept", type=Path, default=Path("runs/export_time"), help="where data and checkpoints stay")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    args.kept.mkdir(parents=True, exist_ok=True)
    data = scenes(args.kept / "scenes")
    sources = {network: checkpoint(network, data, args.kept / network) for network, _, _ in CASES}
    results = [measured(sources[network], data, network, names, target) for network, names, target in CASES]
    facts = machine(torch.device("cpu"))
    if args.json:
        print(json.dumps({"machine": facts, "results": [asdict(result) for result in results]}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{'network':27}  {'precisions':10}  whole s  reference s  counted s  target s")
    for result in results:
        times = f"{result.whole_s:7.1f}  {result.reference_s:11.1f}  {result.counted_s:9.1f}  {result.target_s:8.0f}"
        print(f"{result.network:27}  {result.precisions:10}  {times}")
        print("    " + ", ".join(f"{step} {seconds:.1f}" for step, seconds in result.steps.items()))


if __name__ == "__main__":
    main()
