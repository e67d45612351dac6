"""What each loss costs over F.cross_entropy, forward and backward, in time and in memory.

    python benchmarks/losses.py [--device cuda] [--seconds 6] [--loss cpg --loss abl] [--json]

All are given the same tensors in the same run: labels in smooth regions of 19 classes, some ignored, and logits that
are mostly right; 2x19x256x512 on a CPU, 8x19x512x1024 on a GPU. For each loss, cross-entropy, cross-entropy again (A/A:
its ratio shows the noise), the loss, and its naive form (one-hot maps, grouped convolutions, loops on the host; see
naive_losses.py) take turns. Memory is the peak of forward and backward over cross-entropy's, with the logits in both.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import naive_losses
import torch
from measure import Timing, allocated_at_most, machine, timings
from torch import Tensor
from torch.nn import functional as F

from hardedge.console import spinner
from hardedge.train.edge_network import EdgeNetwork
from hardedge.train.losses import parse_loss
from hardedge.train.losses.abl import boundary_distance

NUM_CLASSES = 19
SPECS = (
    *("focal", "ohem", "dice", "lovasz", "tversky", "hardness", "recall", "pat", "cpg", "lmp", "abl", "ssl"),
    *("asl", "asl(metric=bf1)", "asl(metric=biou)", "semeda(network=random)", "dfr"),
)
TARGETS = {"hardness": 1.2, "recall": 1.8, "pat": 1.6, "lmp": 2.0, "asl": 4.0, "cpg": 4.0, "abl": 6.0, "ssl": 15.0}
MEMORY_TARGET, WITHOUT_MEMORY_TARGET = 2.5, ("ssl", "dfr")


@dataclass(frozen=True)
class Result:
    """One loss, or its naive form."""

    loss: str
    form: str
    timing: Timing
    noise: Timing
    memory_ratio: float


def scene(size: tuple[int, int, int], device: torch.device) -> dict[str, Tensor]:
    """Labels in smooth regions, logits that follow them, and whatever a loss may need beside them."""
    batch, height, width = size
    torch.manual_seed(0)
    coarse_BChw = torch.randn(batch, NUM_CLASSES, height // 32, width // 32)
    smooth_BCHW = F.interpolate(coarse_BChw, (height, width), mode="bicubic")
    target_BHW = smooth_BCHW.argmax(1)
    target_BHW[smooth_BCHW[:, 0] > 1.35] = 255
    distances = [torch.from_numpy(boundary_distance(target_HW.numpy(), 255)) for target_HW in target_BHW]
    given = {
        "logits": 6 * smooth_BCHW + torch.randn(smooth_BCHW.shape),
        "target": target_BHW,
        "hardness": torch.randn(batch, 1, height, width),
        "distance": torch.stack(distances),
        "image": torch.rand(batch, 3, height, width),
        "features": torch.randn(batch, 64, height // 16, width // 16),
    }
    return {name: value.to(device) for name, value in given.items()}


def step(loss: Callable[[Tensor, dict[str, Tensor]], Tensor], given: dict[str, Tensor]) -> Callable[[], None]:
    """Forward and backward from fresh logits, whose memory counts."""

    def run() -> None:
        logits_BCHW = given["logits"].clone().requires_grad_()
        beside = {name: value.detach().requires_grad_(name == "hardness") for name, value in given.items()}
        loss(logits_BCHW, beside).backward()  # type: ignore[no-untyped-call]

    return run


def cross_entropy(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(logits_BCHW, given["target"], ignore_index=255)


def ours(spec: str, edge_network: EdgeNetwork) -> Callable[[Tensor, dict[str, Tensor]], Tensor]:
    loss = parse_loss(spec)

    def run(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
        outputs = given | {"logits": logits_BCHW, "edge_network": edge_network}
        return loss(outputs, given["target"])[0]

    return run


def measure(spec: str, given: dict[str, Tensor], seconds: float) -> list[Result]:
    device = given["logits"].device
    edge_network = EdgeNetwork(NUM_CLASSES).to(device).eval().requires_grad_(False)
    arms = {
        "ce": step(cross_entropy, given),
        "ce again": step(cross_entropy, given),
        "ours": step(ours(spec, edge_network), given),
    }
    if spec in naive_losses.NAIVE:
        arms["naive"] = step(naive_losses.NAIVE[spec], given)
    for run in arms.values():
        run()
    peaks = {name: allocated_at_most(run, device) for name, run in arms.items()}
    times = timings(arms, "ce", seconds, device)
    return [
        Result(spec, form, times[form], times["ce again"], peaks[form] / peaks["ce"])
        for form in arms
        if form in ("ours", "naive")
    ]


def print_table(results: list[Result], facts: dict[str, str], shape: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"losses over cross-entropy, {shape}", caption=", ".join(f"{k} {v}" for k, v in facts.items()))
    for column in ("loss", "form", "ms", "time ratio", "95 % interval", "target", "A/A", "memory ratio", "target"):
        table.add_column(column, justify="left" if column in ("loss", "form") else "right")
    for result in results:
        timing, mine = result.timing, result.form == "ours"
        target = TARGETS.get(result.loss) if mine else None
        table.add_row(
            result.loss,
            result.form,
            f"{timing.ms:.1f}",
            f"{timing.ratio:.2f}",
            f"{timing.low:.2f} .. {timing.high:.2f}",
            f"{target:.1f}" if target else "",
            f"{result.noise.ratio:.2f}",
            f"{result.memory_ratio:.2f}",
            f"{MEMORY_TARGET}" if mine and result.loss not in WITHOUT_MEMORY_TARGET else "",
        )
    Console(width=None if os.isatty(1) else 140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Each loss over F.cross_entropy: forward and backward, time and memory."
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each loss")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--loss", choices=SPECS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    batch, height, width = size = (8, 512, 1024) if device.type == "cuda" else (2, 256, 512)
    given = scene(size, device)
    results = []
    for spec in args.loss or SPECS:
        with spinner(f"{spec}, about {args.seconds:.0f} s"):
            results += measure(spec, given, args.seconds)
    facts = machine(device)
    if args.json:
        print(json.dumps({"machine": facts, "results": [dataclasses.asdict(result) for result in results]}, indent=1))
    else:
        print_table(results, facts, f"{batch}x{NUM_CLASSES}x{height}x{width} float32")


if __name__ == "__main__":
    main()
