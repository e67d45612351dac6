"""What becomes of each network in every precision: what was reached, kept in FP32, agreed with FP32, and built.

    python benchmarks/precisions.py OUT [--networks segformer_b0,bisenetv2] [--steps 30] [--targets sm86,sm89]

Each network is trained for a few steps on street scenes drawn at twice their size (512x256), by the street recipe with
cross-entropy alone (--steps 0: random weights with BatchNorm statistics of some images). Its FP32 graph is converted to
FP16, BF16, INT8 and FP8 on 8 calibration images, as `hardedge export` does: every TensorRT-RTX target's engine
included, the certificate and the torch reference left out (masks are compared with those of the FP32 graph). A
precision that fails gives its message. What is finished in OUT is not done again.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from measure import machine
from PIL import Image

from hardedge.console import note
from hardedge.contracts import (
    Checkpoint,
    Contract,
    Conversion,
    ModelFile,
    NetworkSpec,
    Normalisation,
    load,
    read_json,
    to_json,
    write_atomically,
)
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.data.palette import save_mask
from hardedge.data.streets.write import write_streets
from hardedge.deploy.tensorrt.backend import RTX_CAPABILITIES
from hardedge.errors import HardedgeError
from hardedge.export.graph.network import load_pixels_to_mask
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.export.graph.profiles import profile_of
from hardedge.export.precisions.accuracy import PrecisionReference, session_for
from hardedge.export.precisions.write import Origin, write_precisions
from hardedge.models import build_network
from hardedge.train.losses import parse_loss
from hardedge.train.recipes.streets import streets
from hardedge.train.stage import train

OPSET, CALIBRATION = 20, 8
NETWORKS = "lraspp_mobilenet_v3_large,bisenetv2,segformer_b0,deeplabv3_resnet50,hrnetv2_w18_ocr"
PRECISIONS = ("fp16", "bf16", "int8", "fp8")
COLUMNS = (
    *("network", "file", "multiply-adds in it", "kept higher", "logits differ by (rms)", "equal pixels"),
    *("engines", "made in"),
)
IMAGES = {"train": 16, "val": 2, "test": 8}


def doubled_streets(out: Path) -> Path:
    """Street scenes of 512x256: twice as high and wide."""
    if not out.is_dir():
        partial = out.with_name(f"{out.name}.partial")
        write_streets(partial, images=IMAGES, force=True)
        for folder, method in (("images", Image.Resampling.BILINEAR), ("masks", Image.Resampling.NEAREST)):
            for path in sorted((partial / folder).glob("*.png")):
                with Image.open(path) as image:
                    image.resize((2 * image.width, 2 * image.height), method).save(path)
        partial.rename(out)
    return out


def trained(network: str, data: Path, out: Path, steps: int) -> Path:
    if not (out / Checkpoint.FILE).is_file():
        recipe = replace(streets(), network=network, steps=steps, evaluate_every=steps, loss=parse_loss("ce"))
        train(replace(recipe, branches=()), data, out, force=True)
    return out


@dataclass(frozen=True, kw_only=True)
class Result(Contract):
    """A network's file of one precision, or the message why there is none."""

    model: ModelFile | None
    failure: str


@dataclass(frozen=True)
class Source:
    """What the precisions of one network are made from and compared with, and the folder of their files."""

    origin: Origin
    reference: PrecisionReference
    folder: Path


def random_network(name: str, dataset: Dataset) -> PixelsToMask:
    """Random weights, with the BatchNorm statistics of four images."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name=name, num_classes=dataset.task.num_classes)).train()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    pixels_BHWC = torch.from_numpy(np.stack([dataset.image(id) for id in dataset.splits["train"][:4]]))
    with torch.no_grad():
        PixelsToMask(network, Normalisation()).logits(pixels_BHWC[:, ::2, ::2])
    return PixelsToMask(network, Normalisation()).eval()


def opened(network: str, steps: int, data: Path, out: Path) -> Source:
    """The network's FP32 graph in out/model.onnx, its masks of the test split, and the calibration images."""
    dataset = open_dataset(data)
    out.mkdir(exist_ok=True)
    profile = profile_of(dataset)
    if not (out / "model.onnx").is_file():
        module = random_network(network, dataset)
        if steps:
            checkpoint = trained(network, data, out / "checkpoint", steps)
            module = load_pixels_to_mask(checkpoint, load(Checkpoint, checkpoint))
        model = onnx_from_network(module, profile, ("mask",), OPSET)
        write_atomically(out / "model.onnx", model.SerializeToString())
    fp32, ids = onnx.load(out / "model.onnx"), dataset.splits["test"]
    session, masks = session_for(fp32, "fp32"), out / "masks"
    masks.mkdir(exist_ok=True)
    for id in ids:
        save_mask(session.run(["mask"], {"image": dataset.image(id)[None]})[0][0], dataset.task, masks / f"{id}.png")
    images = [dataset.image_path(id) for id in dataset.splits["train"][:CALIBRATION]]
    origin = Origin(fp32=out / "model.onnx", images=images, profiles=(profile,), with_facts=lambda model: model)
    golden = [dataset.image(id) for id in ids[:4]]
    return Source(origin, PrecisionReference(model=fp32, golden=golden, dataset=dataset, masks=masks, ids=ids), out)


def converted(source: Source, precision: str, targets: tuple[str, ...]) -> Result:
    path = source.folder / f"{precision}.json"
    if path.is_file():
        return read_json(Result, path)
    try:
        (model,) = write_precisions(source.origin, (precision,), source.reference, source.folder, targets=targets)
        result = Result(model=model, failure="")
    except HardedgeError as error:
        result = Result(model=None, failure=" ".join(str(error).split()))
    write_atomically(path, to_json(result).encode())
    return result


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


def row(network: str, precision: str, result: Result) -> str:
    model = result.model
    if model is None or model.conversion is None:
        return f"| {network} | {precision} | failed: {result.failure} |"
    conversion = model.conversion
    found = conversion.agreement
    share = 100 * conversion.multiply_adds.get(precision, 0) / max(model.census.multiply_adds, 1)
    built = [one.target.removeprefix("tensorrt-rtx:") for one in conversion.engines if one.status == "built"]
    missing = sorted({one.detail for one in conversion.engines if one.status != "built"})
    cells = (
        network,
        precision,
        f"{share:.1f} %",
        kept(model, conversion),
        f"{found.logit_rms:.2g} of {found.logit_largest:.3g}",
        f"{100 * found.pixel_agreement:.2f} %",
        f"{', '.join(built)}{' (' + '; '.join(missing) + ')' if missing else ''}",
        f"{conversion.seconds:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--targets", default=",".join(RTX_CAPABILITIES))
    options = parser.parse_args()
    data = doubled_streets(options.out / "data")
    targets = tuple(f"tensorrt-rtx:{name}" for name in options.targets.split(","))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for network in options.networks.split(","):
        note(network)
        source = opened(network, options.steps, data, options.out / network)
        for precision in options.precisions.split(","):
            print(row(network, precision, converted(source, precision, targets)), flush=True)
    print(json.dumps(machine(torch.device("cpu"))))


if __name__ == "__main__":
    main()
