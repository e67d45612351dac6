"""What becomes of each network in every precision: what was reached, kept in FP32, agreed with FP32, and built.

    python benchmarks/precisions.py OUT [--networks segformer_b0,bisenetv2] [--steps 30]

Each network is trained for a few steps on street scenes drawn at twice their size (512x256), by the street recipe with
its own loss, then exported in FP16, BF16, INT8 and FP8 with every TensorRT-RTX target. Where a
precision fails, each is exported alone, and its message is printed. What is finished in OUT is not done again.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from measure import machine
from PIL import Image

from hardedge.console import note
from hardedge.contracts import Bundle, Checkpoint, Conversion, ModelFile, load
from hardedge.data.streets import write_streets
from hardedge.errors import HardedgeError
from hardedge.export.export import Precisions, export
from hardedge.train.losses import parse_loss
from hardedge.train.recipes.streets import streets
from hardedge.train.train import train

NETWORKS = "lraspp_mobilenet_v3_large,bisenetv2,segformer_b0,deeplabv3_resnet50,hrnetv2_w18_ocr"
PRECISIONS = ("fp16", "bf16", "int8", "fp8")
COLUMNS = (
    *("network", "file", "multiply-adds in it", "kept higher", "logits differ by (rms)", "equal pixels"),
    *("engines", "made in"),
)
IMAGES = {"train": 16, "val": 2, "test": 8}


def doubled_streets(out: Path) -> Path:
    """Street scenes of 512x256: twice as high and wide."""
    if not (out / "classes.json").is_file():
        write_streets(out, images=IMAGES, force=True)
        for folder, method in (("images", Image.Resampling.BILINEAR), ("masks", Image.Resampling.NEAREST)):
            for path in sorted((out / folder).glob("*.png")):
                with Image.open(path) as image:
                    image.resize((2 * image.width, 2 * image.height), method).save(path)
    return out


def trained(network: str, data: Path, out: Path, steps: int) -> Path:
    if not (out / Checkpoint.FILE).is_file():
        recipe = replace(streets(), network=network, steps=steps, evaluate_every=steps, loss=parse_loss("ce"))
        train(replace(recipe, branches=()), data, out, force=True)
    return out


def exported(checkpoint: Path, data: Path, out: Path, precisions: tuple[str, ...]) -> Bundle | str:
    """The bundle with FP32 and these, or the message why there is none."""
    if (out / Bundle.FILE).is_file():
        return load(Bundle, out)
    try:
        wanted = Precisions(names=("fp32", *precisions), calibration_images=8)
        return export(checkpoint, data, out, precisions=wanted, force=True)
    except HardedgeError as error:
        return str(error)


def all_or_each(checkpoint: Path, data: Path, out: Path, precisions: tuple[str, ...]) -> dict[str, Bundle | str]:
    """One export of all precisions; where it fails, one of each, so that the others are seen."""
    together = exported(checkpoint, data, out, precisions)
    if isinstance(together, Bundle):
        return dict.fromkeys(precisions, together)
    return {name: exported(checkpoint, data, out.with_name(f"{out.name}_{name}"), (name,)) for name in precisions}


def kept(model: ModelFile, conversion: Conversion) -> str:
    """Nodes in a higher precision by reason: how many of which operator, and their share of the multiply-adds."""
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for node in conversion.kept:
        groups.setdefault((node.precision, node.why), []).append((node.operator, node.multiply_adds))
    told = []
    for (precision, why), nodes in groups.items():
        share = 100 * sum(count for _, count in nodes) / max(model.census.multiply_adds, 1)
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(name for name, _ in nodes).most_common())
        told.append(f"{precision}: {kinds} ({share:.1f} %): {why}")
    return "; ".join(told) or "none"


def row(network: str, precision: str, made: Bundle | str) -> str:
    if isinstance(made, str):
        return f"| {network} | {precision} | failed: {' '.join(made.split())} |"
    model = made.model(precision)
    conversion = model.conversion
    assert conversion is not None
    found = conversion.agreement
    share = 100 * conversion.multiply_adds.get(precision, 0) / max(model.census.multiply_adds, 1)
    engines = ", ".join(one.target.removeprefix("tensorrt-rtx:") for one in conversion.engines if one.status == "built")
    missing = sorted({one.detail for one in conversion.engines if one.status != "built"})
    cells = (
        network,
        precision,
        f"{share:.1f} %",
        kept(model, conversion),
        f"{found.logit_rms:.2g} of {found.logit_largest:.3g}",
        f"{100 * found.pixel_agreement:.2f} %",
        f"{engines} {'; '.join(missing)}".strip(),
        f"{conversion.seconds:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    data = doubled_streets(options.out / "data")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for network in options.networks.split(","):
        note(network)
        checkpoint = trained(network, data, options.out / network, options.steps)
        bundles = all_or_each(checkpoint, data, options.out / f"{network}_bundle", tuple(options.precisions.split(",")))
        for precision, made in bundles.items():
            print(row(network, precision, made), flush=True)
    print(json.dumps(machine(torch.device("cpu"))))


if __name__ == "__main__":
    main()
