"""How long `hardedge run` takes: the built-in street scenes to verified engines and a report, as `make demo` does it.

    python benchmarks/demo.py [--json]

The command's whole, from the start of its process, and what its stages say of themselves.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import machine

from hardedge.contracts import Bundle, Checkpoint, load

TARGET = 300  # seconds, on two cores


def measured() -> dict[str, float]:
    """Seconds of the whole, of training and of export, and the test split's mIoU in percent."""
    with TemporaryDirectory(prefix="hardedge-") as name:
        out = Path(name) / "run"
        began = time.perf_counter()
        command = [sys.executable, "-m", "hardedge", "run", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        checkpoint, bundle = load(Checkpoint, out / "checkpoint"), load(Bundle, out / "bundle")
    return {
        "whole_s": whole,
        "training_s": checkpoint.seconds,
        "export_s": sum(bundle.seconds.values()),
        "miou": bundle.reference.score.miou,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of hardedge run on the built-in street scenes.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = measured()
    facts = machine(torch.device("cpu"))
    if args.json:
        print(json.dumps({"machine": facts, "target_s": TARGET, **found}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"target: at most {TARGET} s")
    print(", ".join(f"{name} {value:.1f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
