"""A checkpoint made by hand: random weights, no training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from hardedge.contracts import Checkpoint, NetworkSpec, Normalisation, SegmentationScore, seal
from hardedge.data.folder import open_dataset
from hardedge.models import build_network

LRASPP = "lraspp_mobilenet_v3_large"


def write_checkpoint(directory: Path, data: Path, name: str = LRASPP) -> Path:
    """What `hardedge train` writes, for a network with random weights and BatchNorm statistics that matter."""
    dataset = open_dataset(data)
    spec = NetworkSpec(name=name, num_classes=dataset.task.num_classes)
    (directory / "hardness" / "test").mkdir(parents=True)
    safetensors.torch.save_file(random_network(spec).state_dict(), directory / "weights.safetensors")
    safetensors.torch.save_file({"hardness.0.weight": torch.ones(1, 4)}, directory / "training_only.safetensors")
    rng = np.random.default_rng(0)
    for id in dataset.splits["test"]:
        map_HW = rng.integers(0, 256, dataset.mask(id).shape, dtype=np.uint8) // (1 + int(rng.integers(8)))
        Image.fromarray(map_HW).save(directory / "hardness" / "test" / f"{id}.png")
    manifest = Checkpoint(
        schema_id=Checkpoint.SCHEMA,
        hardedge="test",
        made_from=None,
        files={},
        task=dataset.task,
        network=spec,
        normalisation=Normalisation(),
        recipe={},
        loss="ce + hardness",
        branches=("hardness-faithful",),
        seed=0,
        steps=1,
        best_step=1,
        validation=SegmentationScore(miou=0.0, per_class={}),
        batchnorm_reestimated=False,
        hardness="branch",
        data=dataset.name,
        data_digest=dataset.digest(),
        torch=torch.__version__,
        seconds=0.0,
    )
    seal(directory, manifest)
    return directory


def random_network(spec: NetworkSpec) -> nn.Module:
    """Weights of seed 0, with BatchNorm statistics of a few random images: fresh ones give one class everywhere."""
    torch.manual_seed(0)
    network = build_network(spec).train()
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        for _ in range(2):
            network(torch.randn(2, 3, 64, 96) * torch.linspace(0.2, 1.5, 96))
    return network.eval()


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    return write_checkpoint


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, make_tiny_dataset: Callable[..., Path]) -> Path:
    """Ten test images of 64x96."""
    return make_tiny_dataset(tmp_path_factory.mktemp("export") / "tiny", test=10)


@pytest.fixture(scope="session")
def checkpoint(data: Path) -> Path:
    return write_checkpoint(data.parent / "checkpoint", data)
