"""How long each peer takes to install, each with pip in a fresh virtual environment, and how much it takes on disk.

    python benchmarks/peer_install.py --out environments [--peer ultralytics] [--json]

What is measured is mostly the network and the disk: it is told apart from the times of peers.py, which runs Ultralytics
from such an environment: --ultralytics environments/ultralytics.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from measure import machine

from hardedge.console import spinner

ROOT = Path(__file__).parents[1]
# what each needs to train, to export and to run the result in onnxruntime
REQUIREMENTS = {
    "plain": ("torch", "segmentation-models-pytorch", "onnx", "onnxscript", "onnxruntime"),
    "ultralytics": ("ultralytics", "onnx", "onnxslim", "onnxruntime"),
    "hardedge": (f"{ROOT}[all]",),
}


@dataclass(frozen=True)
class Installed:
    """One environment: seconds from nothing to installed, packages, and gigabytes on disk."""

    peer: str
    seconds: float
    packages: int
    gigabytes: float


def installed(peer: str, folder: Path) -> Installed:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", *REQUIREMENTS[peer]], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True, text=True)
    size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    return Installed(peer, seconds, len(json.loads(listed.stdout)), size / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time to install hardedge and its peers.")
    parser.add_argument("--out", type=Path, required=True, help="a folder to make the environments in")
    parser.add_argument("--peer", action="append", choices=REQUIREMENTS, help="only this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    results = []
    for peer in args.peer or REQUIREMENTS:
        with spinner(f"pip install {' '.join(REQUIREMENTS[peer])}"):
            results.append(installed(peer, args.out / peer))
    facts = machine(torch.device("cpu"))
    if args.json:
        print(json.dumps({"machine": facts, "results": [asdict(result) for result in results]}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for result in results:
        print(f"{result.peer:12} {result.seconds:6.0f} s  {result.packages:4d} packages  {result.gigabytes:5.1f} GB")


if __name__ == "__main__":
    main()
