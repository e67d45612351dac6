"""A checkpoint made by hand: random weights, no training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from hardedge.contracts import Checkpoint, NetworkSpec, Normalisation, SegmentationScore, seal
from hardedge.data.opening import open_dataset
from hardedge.models import build_network

LRASPP = "lraspp_mobilenet_v3_large"
OWN = "tiny_segmenter:build"
OWN_SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn import functional as F


class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Conv2d(8, num_classes, 1)

    def forward(self, images):
        logits = self.classifier(F.relu(self.norm(self.features(images))))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


class Deceiving(Tiny):
    def forward(self, images):
        logits = super().forward(images)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


def build(num_classes):
    return Tiny(num_classes)


def build_deceiving(num_classes):
    return Deceiving(num_classes)
"""

SMALL = "small_segmenter:build"
# what conversions treat differently: HardSwish and ConvTranspose (no BF16), a residual sum, too few channels for FP8
SMALL_SOURCE = """
from torch import nn
from torch.nn import functional as F


class Small(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.Hardswish())
        self.middle = nn.Conv2d(32, 32, 3, padding=1)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.classifier = nn.Conv2d(16, num_classes, 1)

    def forward(self, images):
        features = self.features(images)
        features = F.relu(features + self.middle(features))
        logits = self.classifier(F.relu(self.up(features)))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def build(num_classes):
    return Small(num_classes)
"""


def write_checkpoint(directory: Path, data: Path, name: str = LRASPP) -> Path:
    """What `hardedge train` writes, for a network with random weights and BatchNorm statistics that matter."""
    dataset = open_dataset(data)
    spec = NetworkSpec(name=name, num_classes=dataset.task.num_classes)
    directory.mkdir()
    safetensors.torch.save_file(random_network(spec).state_dict(), directory / "weights.safetensors")
    safetensors.torch.save_file({"hardness.0.weight": torch.ones(1, 4)}, directory / "training_only.safetensors")
    (directory / "metrics.jsonl").write_text('{"step": 10, "terms": {"loss": 0.5}, "learning_rate": 0.1}\n')
    rng = np.random.default_rng(0)
    for split in ("test", "train"):
        (directory / "hardness" / split).mkdir(parents=True)
        for id in dataset.splits[split]:
            map_HW = rng.integers(0, 256, dataset.mask(id).shape, dtype=np.uint8) // (1 + int(rng.integers(8)))
            Image.fromarray(map_HW).save(directory / "hardness" / split / f"{id}.png")
    manifest = Checkpoint(
        schema_id=Checkpoint.SCHEMA,
        hardedge="test",
        made_from=None,
        files={},
        task=dataset.task,
        network=spec,
        normalisation=Normalisation(),
        recipe={},
        inputs={},
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
    """Weights of seed 0, with the BatchNorm statistics and balanced classes of random images.

    A fresh network gives one class everywhere, and a mask of one class is equal to many wrong ones.
    """
    torch.manual_seed(0)
    network = build_network(spec).train()
    images_BCHW = F.interpolate(2 * torch.randn(4, 3, 5, 6), size=(80, 96))
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        for _ in range(2):
            network(images_BCHW)
        logits_BCHW = network.eval()(images_BCHW)
        biases = [value for value in network.parameters() if value.shape == (spec.num_classes,)]
        biases[-1] -= logits_BCHW.mean((0, 2, 3))
    return network


@pytest.fixture(scope="session")
def own_source() -> str:
    """The module of a user's tiny networks."""
    return OWN_SOURCE


@pytest.fixture(scope="session")
def small_source() -> str:
    """The module of the network that conversions are tried on."""
    return SMALL_SOURCE


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


@pytest.fixture(scope="session")
def bundle(checkpoint: Path, data: Path) -> Path:
    """LRASPP, exported."""
    from hardedge.export.stage import export

    out = data.parent / "bundle"
    export(checkpoint, data, out, allow_code=True)
    return out


@pytest.fixture(scope="session")
def typed_bundle(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Path]:
    """Every precision of the small network; its checkpoint is beside it."""
    from hardedge.export.stage import Precisions, export

    folder = tmp_path_factory.mktemp("small")
    (folder / "modules").mkdir()
    (folder / "modules" / "small_segmenter.py").write_text(SMALL_SOURCE)
    names = ("fp32", "fp16", "bf16", "int8", "fp8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "modules"))
        checkpoint = write_checkpoint(folder / "checkpoint", data, SMALL)
        export(
            checkpoint,
            data,
            folder / "bundle",
            precisions=Precisions(names=names, calibration_images=3),
            allow_code=True,
        )
        yield folder / "bundle"


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's tiny networks, importable: OWN, and one that is another when it is exported."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tiny_segmenter.py").write_text(OWN_SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path)
