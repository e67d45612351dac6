"""Whether quantisation-aware training keeps more of the mIoU in INT8 than quantising after training.

    python benchmarks/qat.py CHECKPOINT DATA --out DIR [--steps 100] [--learning-rate 1e-4]

Three checkpoints are exported with an INT8 file each, calibrated on the same images: the given one, the same trained
further for so many steps (the control: more training alone may help), and the same fine-tuned with `--qat int8` for as
many, with the same seed, batches and loss. Printed: test mIoU in FP32 and in INT8 (onnxruntime computes the integer
graph on the CPU), and the difference with its paired bootstrap interval. What is there already is not done again.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from measure import machine

from hardedge.contracts import Bundle, Checkpoint, ConversionAgreement, load
from hardedge.export.stage import Precisions, export
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train

INT8 = Precisions(names=("fp32", "int8"))


def further(checkpoint: Path, data: Path, out: Path, steps: int, learning_rate: float, qat: bool) -> Path:
    """The checkpoint trained further, with or without quantisers."""
    if not (out / Checkpoint.FILE).is_file():
        recipe = Recipe.from_json(load(Checkpoint, checkpoint).recipe)
        changed = replace(
            recipe, steps=steps, evaluate_every=steps, learning_rate=learning_rate, qat="int8" if qat else ""
        )
        train(changed, data, out, start_from=checkpoint, force=True)
    return out


def agreement(checkpoint: Path, data: Path, bundle: Path) -> ConversionAgreement:
    """INT8 against FP32 on the test split, of the bundle made from the checkpoint."""
    made = load(Bundle, bundle) if (bundle / Bundle.FILE).is_file() else None
    made = made or export(checkpoint, data, bundle, precisions=INT8, force=True)
    conversion = next(file.conversion for file in made.models if file.precision == "int8")
    assert conversion is not None
    return conversion.agreement


def main() -> None:
    parser = argparse.ArgumentParser(description="INT8 after training, after more training, and after QAT.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    arms = {"as trained": args.checkpoint}
    for name, qat in (("trained further", False), ("qat", True)):
        out = args.out / name.replace(" ", "_")
        arms[name] = further(args.checkpoint, args.data, out, args.steps, args.learning_rate, qat)
    results = {
        name: agreement(path, args.data, args.out / f"{name.replace(' ', '_')}_bundle") for name, path in arms.items()
    }
    facts = machine(torch.device("cpu"))
    if args.json:
        print(
            json.dumps({"machine": facts, "arms": {name: asdict(value) for name, value in results.items()}}, indent=1)
        )
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{'checkpoint':16}  FP32 mIoU  INT8 mIoU  difference")
    for name, value in results.items():
        interval = f"[{value.interval.low:+.2f}, {value.interval.high:+.2f}] ({value.interval.confidence:g} %)"
        print(f"{name:16}  {value.miou_reference:9.2f}  {value.miou:9.2f}  {value.difference:+.2f} {interval}")


if __name__ == "__main__":
    main()
