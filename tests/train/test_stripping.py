"""Weights in the layout of the released HL code become a checkpoint whose export is the plain network's."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hardedge.contracts import Certificate, Checkpoint, load, read_json
from hardedge.errors import BadInput
from hardedge.export.stage import export
from hardedge.train.stripping import strip

Program = Callable[..., subprocess.CompletedProcess[str]]

# names as in mmsegmentation 0.x with the branch of HL: backbone, decode_head, auxiliary_head, weigh_head
NETWORK = """
from torch import nn
from torch.nn import functional as F

def head(channels):
    return nn.ModuleDict({"convs": nn.Conv2d(8, 8, 3, padding=1), "conv_seg": nn.Conv2d(8, channels, 1)})

class Plain(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.decode_head = head(num_classes)

    def forward(self, images_BCHW):
        features_BChw = self.decode_head["convs"](self.backbone(images_BCHW))
        logits_BChw = self.decode_head["conv_seg"](features_BChw)
        return F.interpolate(logits_BChw, images_BCHW.shape[-2:], mode="bilinear")

class Trained(Plain):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.auxiliary_head = head(num_classes)
        self.weigh_head = head(1)
"""
DROP = ("weigh_head.*", "auxiliary_head.*")


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "released_layout.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from released_layout import Trained  # type: ignore[import-not-found]

    torch.manual_seed(0)
    network: nn.Module = Trained(3)
    path = tmp_path / "iter_40000.pth"
    torch.save({"meta": {"iter": 40000}, "state_dict": network.state_dict()}, path)
    return path


def test_what_is_dropped_is_listed_and_the_rest_is_the_network(
    released: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    made = strip(released, "released_layout:Plain", tiny_dataset, tmp_path / "out", drop=DROP)
    weigh, auxiliary = made.removed
    assert weigh.names == tuple(f"weigh_head.{name}" for name in HEAD)
    assert weigh.parameters == 8 * 8 * 9 + 8 + 8 + 1
    assert weigh.multiply_adds_per_position == 8 * 8 * 9 + 8
    assert auxiliary.parameters == 8 * 8 * 9 + 8 + 3 * 8 + 3
    theirs = torch.load(released, weights_only=True)["state_dict"]
    ours = load_file(tmp_path / "out/weights.safetensors")
    assert set(ours) == {name for name in theirs if name.startswith(("backbone", "decode_head"))}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert load(Checkpoint, tmp_path / "out") == made.checkpoint


HEAD = ("convs.weight", "convs.bias", "conv_seg.weight", "conv_seg.bias")


@pytest.mark.slow  # a whole export
def test_its_export_is_certified_against_the_plain_network(released: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    strip(released, "released_layout:Plain", tiny_dataset, tmp_path / "out", drop=DROP)
    bundle = export(tmp_path / "out", tiny_dataset, tmp_path / "bundle", allow_code=True)
    certificate = read_json(Certificate, tmp_path / "bundle" / Certificate.FILE)
    assert certificate.level0.status == "identical"
    assert certificate.level1.shipped.parameters < sum(
        value.numel() for value in torch.load(released, weights_only=True)["state_dict"].values()
    )
    assert np.isfinite(bundle.reference.score.miou)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ((), r"weigh_head\.convs\.weight: left over; the network has none \(--drop it if it was for training\)"),
        (
            (*DROP, "weight_head.*"),
            r"--drop 'weight_head.\*': no name in .* fits. They are under backbone.\*, decode_head",
        ),
        ((*DROP, "decode_head.conv_seg.*"), r"decode_head\.conv_seg\.weight: missing"),
        (("decode_head.conv_seg.*",), r"(?s)conv_seg\.bias: missing.*weigh_head\.convs\.weight: left over"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    released: Path, tiny_dataset: Path, tmp_path: Path, drop: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        strip(released, "released_layout:Plain", tiny_dataset, tmp_path / "out", drop=drop)
    assert not (tmp_path / "out").exists()


def test_a_prefix_is_taken_off_and_must_stand_before_every_name(
    released: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    """A file with the averaged weights beside the last ones must not become a mixture of both."""
    theirs = torch.load(released, weights_only=True)["state_dict"]
    plain = {name: value for name, value in theirs.items() if name.startswith(("backbone", "decode_head"))}
    torch.save({f"module.{name}": value for name, value in plain.items()}, tmp_path / "wrapped.pth")
    strip(tmp_path / "wrapped.pth", "released_layout:Plain", tiny_dataset, tmp_path / "out", prefix="module.")
    ours = load_file(tmp_path / "out/weights.safetensors")
    assert set(ours) == set(plain)
    assert all(torch.equal(ours[name], plain[name]) for name in ours)
    recognised = strip(tmp_path / "wrapped.pth", "released_layout:Plain", tiny_dataset, tmp_path / "recognised")
    assert recognised.taken == "the file, names behind 'module.'"
    assert load_file(tmp_path / "recognised/weights.safetensors").keys() == plain.keys()
    first = next(iter(plain))
    both = {f"module.{name}": value for name, value in plain.items()} | {first: torch.zeros(1)}
    torch.save(both, tmp_path / "both.pth")
    with pytest.raises(BadInput, match=rf"1 of {len(both)} names in .*both.pth do not begin with it:\n  {first}"):
        strip(tmp_path / "both.pth", "released_layout:Plain", tiny_dataset, tmp_path / "again", prefix="module.")
    assert not (tmp_path / "again").exists()


def test_the_command_lists_what_it_removed(
    hardedge: Program, released: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    options = ("--network", "released_layout:Plain", "--data", tiny_dataset, "--out", tmp_path / "out")
    done = hardedge("strip", released, *options, "--drop", "weigh_head.*", "--drop", "auxiliary_head.*", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "removed weigh_head.* (--drop): 4 tensors, 593 parameters" in done.stdout
