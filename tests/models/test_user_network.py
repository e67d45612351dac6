"""A network of the user's own: found, checked, and told what is wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hardedge import __version__
from hardedge.contracts import Checkpoint, ClassInfo, NetworkSpec, Normalisation, SegmentationScore, Task, load, seal
from hardedge.errors import BadInput
from hardedge.export.graph.form import Form
from hardedge.export.graph.network import network_from_checkpoint
from hardedge.export.identity.arms import CertificateArm, start_arm
from hardedge.export.stage import export
from hardedge.models import build_network
from hardedge.models.user_network import require_code_allowed
from hardedge.train.hardness_maps import load_trained
from hardedge.train.recipes import RECIPES, find_recipe

OWN = """
import torch
from torch import nn

def build(num_classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, num_classes, 1))

def small(num_classes):
    return nn.Conv2d(3, num_classes, 3, stride=2, padding=1)

def fixed(num_classes):
    return nn.Conv2d(3, 7, 1)

class Named(nn.Conv2d):
    def forward(self, x):
        return {"out": super().forward(x)}

def named(num_classes):
    return Named(3, num_classes, 1)

class Mask(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).round().long()

def mask(num_classes):
    return Mask(3, num_classes, 1)

def grey(num_classes):
    return nn.Conv2d(1, num_classes, 1)

def nothing(num_classes):
    return None

def plain():
    return nn.Conv2d(3, 4, 1)

value = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's in the current directory, its name, and no trace afterwards."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "hardedge_test_own.py").write_text(OWN)
    (tmp_path / "hardedge_test_broken.py").write_text("import surely_not_installed\n")
    yield "hardedge_test_own"
    for name in ("hardedge_test_own", "hardedge_test_broken"):
        sys.modules.pop(name, None)


def test_a_users_network_is_built_from_the_current_directory(own: str) -> None:
    network = build_network(NetworkSpec(name=f"{own}:build", num_classes=4))
    assert network(torch.randn(2, 3, 33, 41)).shape == (2, 4, 33, 41)


def test_the_check_leaves_the_users_network_as_it_was(own: str) -> None:
    network = build_network(NetworkSpec(name=f"{own}:build", num_classes=4))
    assert network.training
    assert torch.equal(network[1].running_mean, torch.zeros(8))
    assert network[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hardedge_test_own:", "write package.module:function"),
        ("hardedge_no_such:build", "no module hardedge_no_such, neither in .* nor installed"),
        ("hardedge_test_broken:build", "importing hardedge_test_broken failed: .*surely_not_installed"),
        ("hardedge_test_own:biuld", "has no function biuld. Did you mean hardedge_test_own:build?"),
        ("hardedge_test_own:value", "has no function value"),
        ("hardedge_test_own:plain", "calling it with num_classes=4 failed: TypeError"),
        ("hardedge_test_own:nothing", "returned NoneType. Return a torch.nn.Module"),
        ("hardedge_test_own:grey", r"its forward failed on two RGB images of 64x96: RuntimeError"),
        ("hardedge_test_own:named", "its forward returns dict. Return the logits alone"),
        ("hardedge_test_own:fixed", "its logits have 7 channels for num_classes=4"),
        ("hardedge_test_own:small", r"its logits are \(2, 4, 32, 48\), expected \(2, 4, 64, 96\). Upsample them"),
        ("hardedge_test_own:mask", "its logits are torch.int64"),
    ],
)
def test_what_is_wrong_with_a_users_network_is_said(own: str, name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_network(NetworkSpec(name=name, num_classes=4))


EVIL = """
from pathlib import Path
Path("was_here").touch()
def build(num_classes):
    raise SystemExit(0)
"""


@pytest.fixture
def evil(own: str, tmp_path: Path) -> Path:
    """Somebody's checkpoint, whose network is a module in the working directory."""
    (tmp_path / "hardedge_test_broken.py").write_text(EVIL)
    directory = tmp_path / "evil"
    directory.mkdir()
    task = Task(classes=(ClassInfo(name="a", color=(0, 0, 0)), ClassInfo(name="b", color=(1, 1, 1))), ignore_index=255)
    seal(
        directory,
        Checkpoint(
            schema_id=Checkpoint.SCHEMA,
            hardedge=__version__,
            made_from=None,
            files={},
            task=task,
            network=NetworkSpec(name="hardedge_test_broken:build", num_classes=2),
            normalisation=Normalisation(),
            recipe={},
            inputs={},
            loss="ce",
            branches=(),
            seed=0,
            steps=1,
            best_step=1,
            validation=SegmentationScore(miou=1.0, per_class={}),
            batchnorm_reestimated=False,
            hardness="none",
            data="d",
            data_digest="",
            torch="",
            seconds=0.0,
        ),
    )
    return directory


def test_a_checkpoint_of_unknown_origin_imports_no_code(
    evil: Path, tmp_path: Path, make_tiny_dataset: Callable[..., Path]
) -> None:
    data, made = make_tiny_dataset(tmp_path / "data"), load(Checkpoint, evil)
    for attempt in (
        lambda: export(evil, data, tmp_path / "out"),
        lambda: network_from_checkpoint(evil, made),
        lambda: load_trained(made, evil),
    ):
        with pytest.raises(BadInput, match=r"hardedge_test_broken:build is code of whoever wrote it.*--allow-code"):
            attempt()
    with pytest.raises(BadInput, match="--allow-code"):
        require_code_allowed(made.network, evil, allowed=False)
    assert not (tmp_path / "was_here").exists()
    assert not (tmp_path / "out").exists()


def test_the_process_of_the_certificate_imports_none_either(evil: Path, tmp_path: Path) -> None:
    arm = CertificateArm(kind="plain", checkpoint=str(evil), form=Form())
    with start_arm(arm) as plain, pytest.raises(BadInput, match="--allow-code"):
        plain()
    assert not (tmp_path / "was_here").exists()


def test_code_that_exits_is_an_error(evil: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="calling it with num_classes=2 failed: SystemExit"):
        network_from_checkpoint(evil, load(Checkpoint, evil), allow_code=True)
    assert (tmp_path / "was_here").exists()


def test_the_recipe_of_a_checkpoint_names_no_code_of_its_own(evil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = replace(RECIPES["camvid"](), network="hardedge_test_broken:build")
    monkeypatch.setattr("hardedge.train.recipes.stored_recipe", lambda _: theirs)
    with pytest.raises(BadInput, match="add --set network=hardedge_test_broken:build"):
        find_recipe(str(evil), {"steps": "5"})
    assert find_recipe(str(evil), {"network": theirs.network}).network == theirs.network
