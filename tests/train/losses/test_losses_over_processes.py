"""Every loss with `sync`: two processes with half a batch each are one process with the whole."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn import functional as F

from hardedge.train.losses import LOSSES, Loss

B, C, H, W = 2, 4, 12, 14  # of each process
PROCESSES = 2
SYNCED = [name for name, kind in LOSSES.items() if "sync" in [field.name for field in dataclasses.fields(kind)]]
# what changes the counts that are summed
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ce": [{}, {"class_weights": (0.5, 2.0, 1.0, 3.5)}],
    "hardness": [{}, {"official": True}],
    "recall": [{}, {"reduction": "weights"}, {"official": True}],
    "pat": [{}, {"homogenise": False}],
    "asl": [{"metric": metric} for metric in ("miou", "fwiou", "macc", "gacc", "bf1", "biou")],
}
# the share of the second process's pixels that are ignored, against 3 % of the first one's
IGNORED = (0.3, 1.0)
CASES = [(name, options, share) for name in SYNCED for options in VARIANTS.get(name, [{}]) for share in IGNORED]
Given = dict[str, Tensor]


def whole_batch(ignored: float) -> tuple[Given, Tensor]:
    """Outputs in float64, and labels; this share of the second half is ignored, and a class is missing there."""
    generator = torch.Generator().manual_seed(0)
    outputs = {
        "logits": 2 * torch.randn(PROCESSES * B, C, H, W, generator=generator, dtype=torch.float64),
        "hardness": torch.randn(PROCESSES * B, 1, H, W, generator=generator, dtype=torch.float64),
    }
    target_BHW = torch.randint(0, C, (PROCESSES * B, 3, 2), generator=generator)
    target_BHW = target_BHW.repeat_interleave(4, 1).repeat_interleave(7, 2)
    target_BHW[B:][target_BHW[B:] == 2] = 1
    share_B11 = torch.tensor([0.03] * B + [ignored] * B).view(-1, 1, 1)
    dropped_BHW = torch.rand(target_BHW.shape, generator=generator) < share_B11
    return outputs, target_BHW.masked_fill(dropped_BHW, 255)


def edge_features(maps_BCHW: Tensor) -> list[Tensor]:
    """Seven layers of 3x3 convolutions with fixed weights, as semeda reads an edge network."""
    generator = torch.Generator().manual_seed(1)
    features = []
    for _ in range(7):
        weight = torch.randn(C, C, 3, 3, generator=generator, dtype=maps_BCHW.dtype) / 6
        maps_BCHW = F.conv2d(maps_BCHW, weight, padding=1).tanh()
        features.append(maps_BCHW)
    return features


def value_and_gradients(term: Loss, outputs: Given, target_BHW: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The value, and its gradients at the outputs that the term needs."""
    leaves = {name: outputs[name].clone().requires_grad_() for name in term.needs if name in outputs}
    given: dict[str, Any] = {f"{name}_BCHW" if name == "logits" else name: leaves[name] for name in leaves}
    if "edge_network" in term.needs:
        given["edge_network"] = edge_features
    found = term(target_BHW=target_BHW, **given)
    return found.detach(), list(torch.autograd.grad(found, list(leaves.values())))


def half(rank: int, ignored: float) -> tuple[Given, Tensor]:
    """This process's part of the batch."""
    outputs, target_BHW = whole_batch(ignored)
    part = slice(rank * B, (rank + 1) * B)
    return {name: tensor[part] for name, tensor in outputs.items()}, target_BHW[part]


def one_process(rank: int, directory: str) -> None:
    """Writes what every loss gives this process for its half of the batch."""
    torch.set_num_threads(1)
    address = f"file://{directory}/rendezvous"
    distributed.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=600)
    )
    found = [
        value_and_gradients(LOSSES[name](sync=True, **options), *half(rank, ignored))
        for name, options, ignored in CASES
    ]
    torch.save(found, f"{directory}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[Tensor, list[Tensor]]]]:
    """For each process and each case, the value and the gradients."""
    directory = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(one_process, (str(directory),), nprocs=PROCESSES)
    return [torch.load(Path(directory) / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=str)
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(
    found: list[list[tuple[Tensor, list[Tensor]]]], number: int, case: tuple[str, dict[str, Any], float]
) -> None:
    """Of the values, and of the gradients: at a process's own outputs, its gradient over the number of processes.

    By the chain rule then, at weights that the processes share, the mean of their gradients.
    """
    name, options, ignored = case
    value, gradients = value_and_gradients(LOSSES[name](**options), *whole_batch(ignored))
    mean = sum(process[number][0] for process in found) / PROCESSES
    torch.testing.assert_close(mean, value, rtol=1e-10, atol=0)
    for k, gradient_BCHW in enumerate(gradients):
        joined_BCHW = torch.cat([process[number][1][k] for process in found]) / PROCESSES
        assert gradient_BCHW.abs().max() > 1e-6
        torch.testing.assert_close(joined_BCHW, gradient_BCHW, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("name", SYNCED)
def test_without_sync_processes_differ_from_the_whole_batch(name: str) -> None:
    """So that the test above sees whether counts are summed."""
    whole = value_and_gradients(LOSSES[name](), *whole_batch(0.3))[0]
    halves = [value_and_gradients(LOSSES[name](), *half(rank, 0.3))[0] for rank in range(PROCESSES)]
    assert abs(sum(halves) / PROCESSES - whole) > 1e-6 * whole
