"""What a training step with learned hardness costs over one with plain cross-entropy, in time and in memory.

    python benchmarks/hardness_step.py [--device cuda] [--seconds 120] [--json]

A step is forward, loss, backward and SGD. All arms of a network train the same weights, take turns within a block,
there and back (ABCDDCBA), and a second cross-entropy arm shows the noise: its ratio should be 1. The time ratio is the
median over blocks of the arm's time over cross-entropy's in that block, with a 95 % bootstrap interval over blocks.
Memory is the peak of one step's tensors, weights, gradients and momentum included: on a CPU summed from the profiler's
record of torch's allocator, on a GPU from its own counter.
"""

import argparse
import dataclasses
import json
import os
from dataclasses import dataclass

import torch
from measure import Timing, allocated_at_most, machine, timings
from torch import Tensor, nn

from hardedge.console import spinner
from hardedge.contracts import NetworkSpec
from hardedge.models import build_network
from hardedge.train.branches import HardnessBranch, Training, attach_branches
from hardedge.train.losses import LossSum, parse_loss

NETWORKS = ("lraspp_mobilenet_v3_large", "deeplabv3_resnet50")
BASELINE = "cross-entropy"
ARMS: dict[str, tuple[str, tuple[HardnessBranch, ...]]] = {
    BASELINE: ("ce", ()),
    "cross-entropy again": ("ce", ()),
    "hardness, light": ("hardness", (HardnessBranch("light"),)),
    "hardness, faithful": ("hardness", (HardnessBranch("faithful"),)),
}
NUM_CLASSES = 19


@dataclass(frozen=True)
class Result:
    """One arm: its step, its peak memory in MiB, and that over cross-entropy's."""

    network: str
    arm: str
    timing: Timing
    peak_mib: float
    memory_ratio: float


class Arm:
    """One way to train: `step` does a whole one, on always the same batch."""

    def __init__(self, training: Training, loss: LossSum, batch: tuple[Tensor, Tensor]) -> None:
        self.training = training
        self.loss = loss
        self.images_BCHW, self.target_BHW = batch
        # a rate of almost 0: the arms share weights, and none may drift to where another is slow
        self.optimiser = torch.optim.SGD(training.parameters(), lr=1e-9, momentum=0.9, weight_decay=5e-4)

    def step(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        total = self.loss(self.training(self.images_BCHW), self.target_BHW)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def resident_bytes(self) -> int:
        """Weights, statistics and momentum."""
        momentum = [state["momentum_buffer"] for state in self.optimiser.state.values()]
        tensors = [*self.training.state_dict().values(), *momentum, self.images_BCHW, self.target_BHW]
        return sum(tensor.nbytes for tensor in tensors)


def make_arms(network_name: str, batch: tuple[Tensor, Tensor]) -> dict[str, Arm]:
    spec = NetworkSpec(name=network_name, num_classes=NUM_CLASSES)
    network: nn.Module = build_network(spec).to(batch[0].device)
    arms = {}
    for name, (loss, branches) in ARMS.items():
        arms[name] = Arm(attach_branches(network, spec, branches), parse_loss(loss), batch)
    return arms


def measure(network_name: str, batch: tuple[Tensor, Tensor], seconds: float) -> list[Result]:
    arms = make_arms(network_name, batch)
    for arm in arms.values():
        arm.step()
    peaks = {name: peak_bytes(arm) for name, arm in arms.items()}
    times = timings({name: arm.step for name, arm in arms.items()}, BASELINE, seconds, batch[0].device)
    return [
        Result(
            network=network_name,
            arm=name,
            timing=times[name],
            peak_mib=peaks[name] / 2**20,
            memory_ratio=peaks[name] / peaks[BASELINE],
        )
        for name in arms
    ]


def peak_bytes(arm: Arm) -> int:
    """The most bytes of tensors alive at once during a step, weights and momentum included."""
    arm.optimiser.zero_grad(set_to_none=True)
    return arm.resident_bytes() + allocated_at_most(arm.step, arm.images_BCHW.device)


def print_table(results: list[Result], facts: dict[str, str], shape: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"training step, {shape}", caption=", ".join(f"{key} {value}" for key, value in facts.items()))
    for column in ("network", "arm", "step ms", "time ratio", "95 % interval", "blocks", "peak MiB", "memory ratio"):
        table.add_column(column, justify="left" if column in ("network", "arm") else "right")
    for result in results:
        timing = result.timing
        interval = f"{timing.low:.3f} .. {timing.high:.3f}"
        memory = (f"{result.peak_mib:.0f}", f"{result.memory_ratio:.3f}")
        step = (f"{timing.ms:.1f}", f"{timing.ratio:.3f}", interval, str(timing.blocks))
        table.add_row(result.network, result.arm, *step, *memory)
    Console(width=None if os.isatty(1) else 140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training step with learned hardness over plain cross-entropy.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=120.0, help="time for the steps of each network")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--batch", type=int, default=2, help="images in a step")
    parser.add_argument("--size", type=int, default=256, help="height and width of an image")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    images_BCHW = torch.randn(args.batch, 3, args.size, args.size, device=device)
    target_BHW = torch.randint(0, NUM_CLASSES, (args.batch, args.size, args.size), device=device)
    target_BHW[:, : args.size // 10] = 255
    results = []
    for name in args.network or NETWORKS:
        with spinner(f"{name}, about {args.seconds:.0f} s"):
            results += measure(name, (images_BCHW, target_BHW), args.seconds)
    facts = machine(device)
    if args.json:
        print(json.dumps({"machine": facts, "results": [dataclasses.asdict(result) for result in results]}, indent=1))
    else:
        print_table(results, facts, f"{args.batch} images of {args.size}x{args.size}, {NUM_CLASSES} classes")


if __name__ == "__main__":
    main()
