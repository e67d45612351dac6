"""From a decoded image to a mask in onnxruntime: hardedge's graph against its bare session, and against the usual way.

    python benchmarks/end_to_end.py [--size 512 1024] [--seconds 60] [--json]

All arms have the same weights. First, one session with itself, so that all arms find the same in the caches:
- session: `run` of the session that hardedge's runner holds, nothing around it; the baseline, and once more as noise;
- hardedge: the runner that deploy and predict use, uint8 image in, uint8 mask out.
Then hardedge as the baseline, once more as noise, and beside it:
- file: the same pixels-in, mask-out file as onnxruntime itself opens it, the resize of the logits in channels first;
- usual: normalisation in numpy, the network alone as torch.onnx.export writes it, float logits out, argmax in numpy;
  once in float32 throughout, and once as many scripts write it, normalised in float64.
"""

import argparse
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from measure import Timing, machine, timings
from torch import nn

from hardedge.console import spinner
from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.data.streets.scene import draw_scene
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.models import build_network

NETWORKS = ("lraspp_mobilenet_v3_large", "segformer_b0", "deeplabv3plus_resnet18")
OWN, OTHERS = "session", "hardedge"  # the baselines
Masks = Callable[[], npt.NDArray[np.uint8]]


def arms_of(
    network: nn.Module, image_BHWC: npt.NDArray[np.uint8], folder: Path
) -> tuple[dict[str, Masks], dict[str, Masks]]:
    """The arms for one network: those of one session, and those of several."""
    _, height, width, _ = image_BHWC.shape
    profile = Profile(min=(1, 64, 64), opt=(1, height, width), max=(4, height, width))
    shipped = onnx_from_network(PixelsToMask(network, Normalisation()).eval(), profile, ("mask",), 20)
    onnx.save(shipped, folder / "pixels.onnx")
    example_BCHW = torch.zeros(1, 3, height, width)
    program = torch.onnx.export(
        network, (example_BCHW,), input_names=["input"], output_names=["logits"], dynamo=True, verbose=False
    )
    assert program is not None
    program.save(folder / "logits.onnx")
    runner, again = (OnnxRuntimeRunner(folder / "pixels.onnx") for _ in range(2))
    session = runner._session
    file, usual = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        for name in ("pixels.onnx", "logits.onnx")
    )
    own: dict[str, Masks] = {
        OWN: lambda: session.run(["mask"], {"image": image_BHWC})[0],
        "session again": lambda: session.run(["mask"], {"image": image_BHWC})[0],
        "hardedge": lambda: runner.masks(image_BHWC),
    }
    others: dict[str, Masks] = {
        OTHERS: lambda: runner.masks(image_BHWC),
        "hardedge again": lambda: again.masks(image_BHWC),
        "file": lambda: file.run(["mask"], {"image": image_BHWC})[0],
        "usual, float32": lambda: usual_way(usual, image_BHWC, np.float32),
        "usual, float64": lambda: usual_way(usual, image_BHWC, np.float64),
    }
    return own, others


def usual_way(
    session: onnxruntime.InferenceSession, image_BHWC: npt.NDArray[np.uint8], kind: type[np.floating[Any]]
) -> npt.NDArray[np.uint8]:
    mean, std = (np.array(values, kind) for values in (Normalisation().mean, Normalisation().std))
    normalised_BHWC = (image_BHWC.astype(kind) / 255 - mean) / std
    images_BCHW = normalised_BHWC.transpose(0, 3, 1, 2).astype(np.float32)
    logits_BCHW = session.run(["logits"], {"input": images_BCHW})[0]
    return np.asarray(logits_BCHW).argmax(1).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Result:
    """One network: its own session's arms, the others', and the share of pixels of the usual way's mask that agree."""

    own: dict[str, Timing]
    others: dict[str, Timing]
    same: float


def measure(name: str, image_BHWC: npt.NDArray[np.uint8], seconds: float) -> Result:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name=name, num_classes=19)).eval()
    with tempfile.TemporaryDirectory() as folder:
        own, others = arms_of(network, image_BHWC, Path(folder))
        masks = {arm: run() for arm, run in others.items()}
        return Result(
            timings(own, OWN, seconds / 3, torch.device("cpu")),
            timings(others, OTHERS, 2 * seconds / 3, torch.device("cpu")),
            float((masks["hardedge"] == masks["usual, float32"]).mean()),
        )


def print_table(results: dict[str, Result], facts: dict[str, str], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=", ".join(f"{key} {value}" for key, value in facts.items()))
    for column in ("network", "over", "arm", "ms", "ratio", "95 % interval", "blocks", "same mask"):
        table.add_column(column, justify="left" if column in ("network", "over", "arm") else "right")
    for network, result in results.items():
        for over, arms in ((OWN, result.own), (OTHERS, result.others)):
            for arm, timing in arms.items():
                interval = f"{timing.low:.3f} .. {timing.high:.3f}"
                alike = f"{100 * result.same:.4f} %" if arm == "usual, float32" else ""
                cells = (f"{timing.ms:.1f}", f"{timing.ratio:.3f}", interval, str(timing.blocks), alike)
                table.add_row(network, over, arm, *cells)
    Console(width=None if os.isatty(1) else 140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Decoded image to mask, in onnxruntime on the CPU.")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each network")
    parser.add_argument("--network", action="append", help="only this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    height, width = args.size
    scene_HWC = draw_scene(0, 0)[0]
    image_BHWC = np.ascontiguousarray(np.resize(scene_HWC, (1, height, width, 3)))
    results = {}
    for name in args.network or NETWORKS:
        with spinner(f"{name}, about {args.seconds:.0f} s"):
            results[name] = measure(name, image_BHWC, args.seconds)
    facts = machine(torch.device("cpu")) | {"onnxruntime": onnxruntime.__version__}
    if args.json:
        told = {name: dataclasses.asdict(result) for name, result in results.items()}
        print(json.dumps({"machine": facts, "results": told}, indent=1))
    else:
        print_table(results, facts, f"decoded image to mask, 1x{height}x{width}, 19 classes")


if __name__ == "__main__":
    main()
