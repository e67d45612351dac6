"""For every network and branch: beside the network, never in it, and gradients where the method says."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models import ARCHITECTURES, build_network
from hardedge.train.branches import (
    AuxiliaryBranch,
    BoundaryBranch,
    DetailBranch,
    HardnessBranch,
    Training,
    attach_branches,
    tap_outputs,
)
from hardedge.train.losses import Boundary, CrossEntropy, Detail, Hardness

Config = HardnessBranch | AuxiliaryBranch | BoundaryBranch | DetailBranch
CASES: list[tuple[str, Config]] = [
    *((name, HardnessBranch(kind)) for name in ARCHITECTURES for kind in ("light", "faithful")),  # type: ignore[arg-type]
    *((name, AuxiliaryBranch()) for name, known in ARCHITECTURES.items() if known.auxiliary),
    *((name, BoundaryBranch()) for name, known in ARCHITECTURES.items() if known.boundary),
    *((name, DetailBranch()) for name, known in ARCHITECTURES.items() if known.detail),
    # where no published training has such a head
    ("lraspp_mobilenet_v3_large", BoundaryBranch()),
    ("deeplabv3plus_resnet18", DetailBranch()),
]
QUICK = (
    *("lraspp_mobilenet_v3_large", "bisenetv2", "deeplabv3_resnet50", "deeplabv3plus_resnet18", "fpn_resnet18"),
    *("segformer_b0", "hrnetv2_w18_ocr"),
    *("pidnet_s", "stdc1", "fast_scnn"),
)
MARKED = [pytest.param(case, marks=() if case[0] in QUICK else pytest.mark.slow) for case in CASES]
SIZE = (33, 48)


def make(name: str, configs: Sequence[Config]) -> Training:
    torch.manual_seed(0)
    spec = NetworkSpec(name=name, num_classes=3)
    return attach_branches(build_network(spec), spec, configs)


def hooks_of(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def auxiliary_loss(heads: tuple[Tensor, ...], target_BHW: Tensor) -> Tensor:
    full = [nn.functional.interpolate(logits_BChw, size=SIZE, mode="bilinear") for logits_BChw in heads]
    return sum((CrossEntropy()(logits_BCHW, target_BHW) for logits_BCHW in full), torch.zeros(()))


# of the decode heads; OCR's regions, an auxiliary output, are in one
HEADS = ("classifier.classifier", "classifier.conv", "decoder", "segmentation", "final_layer", "conv_out.", "seg_head")


def branch_loss(config: Config, outputs: dict[str, Any], target_BHW: Tensor) -> Tensor:
    """The branch's side of the loss alone: the network's side is constant."""
    logits_BCHW = outputs["logits"].detach()
    if isinstance(config, HardnessBranch):
        return Hardness()(logits_BCHW, target_BHW, hardness=outputs["hardness"])
    if isinstance(config, BoundaryBranch):
        # of random labels every pixel is a boundary
        halves_BHW = (torch.arange(SIZE[1]) > SIZE[1] // 2).long().expand_as(target_BHW)
        return Boundary()(logits_BCHW, halves_BHW, boundary=outputs["boundary"])
    if isinstance(config, DetailBranch):
        return Detail()(logits_BCHW, target_BHW, detail=outputs["detail"])
    return auxiliary_loss(outputs["auxiliary"], target_BHW)


def same(found: Tensor | tuple[Tensor, ...], expected: Tensor | tuple[Tensor, ...]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def seeded(module: nn.Module, images_BCHW: Tensor) -> Tensor | dict[str, Tensor]:
    torch.manual_seed(7)  # dropout
    return module(images_BCHW)


@pytest.fixture(scope="module", params=MARKED, ids=lambda case: f"{case[0]}-{getattr(case[1], 'kind', 'auxiliary')}")
def case(request: pytest.FixtureRequest) -> tuple[str, Config, Training]:
    name, config = request.param
    return name, config, make(name, [config])


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    target_BHW = torch.randint(0, 3, (2, *SIZE), generator=generator)
    target_BHW[:, :3] = 255
    return torch.randn(2, 3, *SIZE, generator=generator), target_BHW


class TestEveryNetworkAndBranch:
    def test_the_model_is_the_plain_network(self, case: tuple[str, Config, Training]) -> None:
        name, _, training = case
        plain = build_network(NetworkSpec(name=name, num_classes=3))
        assert list(training.model.state_dict()) == list(plain.state_dict())
        assert {id(p) for p in training.model.parameters()}.isdisjoint(id(p) for p in training.branches.parameters())

    def test_outputs_are_those_of_the_plain_network_bit_for_bit(
        self, case: tuple[str, Config, Training], batch: tuple[Tensor, Tensor]
    ) -> None:
        training = case[2].train()
        plain = copy.deepcopy(training.model)
        branched = seeded(training, batch[0])
        assert torch.equal(branched["logits"], seeded(plain, batch[0]))
        statistics = zip(training.model.buffers(), plain.buffers(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in statistics)

    def test_no_hook_is_left_and_copies_work(
        self, case: tuple[str, Config, Training], batch: tuple[Tensor, Tensor]
    ) -> None:
        training = case[2].eval()
        with torch.no_grad():
            outputs = training(batch[0])
            copied = copy.deepcopy(training)(batch[0])
        assert hooks_of(training) == 0
        assert all(same(outputs[key], copied[key]) for key in outputs)

    def test_no_hook_is_left_after_an_exception(self, case: tuple[str, Config, Training]) -> None:
        with pytest.raises(RuntimeError):
            case[2](torch.zeros(1, 4, *SIZE))
        assert hooks_of(case[2]) == 0

    def test_gradients_reach_what_the_method_says(
        self, case: tuple[str, Config, Training], batch: tuple[Tensor, Tensor]
    ) -> None:
        """Every branch parameter learns; a hardness branch gives the network nothing, an auxiliary head does."""
        _, config, training = case
        images_BCHW, target_BHW = batch
        training.train().zero_grad()
        outputs = training(images_BCHW)
        branch_loss(config, outputs, target_BHW).backward()
        assert all(parameter.grad is not None for parameter in training.branches.parameters())
        learning = [parameter.grad.abs().max() > 0 for parameter in training.branches.parameters()]
        # OCR's auxiliary output is the network's own
        assert any(learning) or (isinstance(config, AuxiliaryBranch) and not learning)
        reached = {name for name, p in training.model.named_parameters() if p.grad is not None}
        assert bool(reached) != isinstance(config, HardnessBranch)
        assert not any(key.startswith(HEADS) for key in reached)

    def test_the_networks_loss_does_not_reach_the_branch(
        self, case: tuple[str, Config, Training], batch: tuple[Tensor, Tensor]
    ) -> None:
        _, config, training = case
        images_BCHW, target_BHW = batch
        training.train().zero_grad()
        outputs = training(images_BCHW)
        if isinstance(config, HardnessBranch):
            Hardness()(outputs["logits"], target_BHW, hardness=outputs["hardness"].detach()).backward()
        else:
            CrossEntropy()(outputs["logits"], target_BHW).backward()
        assert all(parameter.grad is None for parameter in training.branches.parameters())
        assert all(parameter.grad is not None for parameter in training.model.parameters())


def test_the_light_branch_sees_a_fine_and_a_deep_map() -> None:
    expected = {
        "lraspp_mobilenet_v3_large": ("low", "high"),
        "bisenetv2": ("stem", "aggregated"),
        "deeplabv3_resnet50": ("low", "high"),
        "deeplabv3plus_resnet18": (2, 5),
        "segformer_b0": (2, 5),
        "hrnetv2_w18_ocr": (0, 3),
        "pidnet_s": (None,),
        "efficientvit_b0": (0, 3),
    }
    assert {name: make(name, [HardnessBranch()]).branches["hardness"].head.maps for name in expected} == expected


def test_the_light_branch_learns_where_the_loss_is_high() -> None:
    """On a frozen network, plain SGD on L_HL orders the hardness like the loss."""
    training = make("lraspp_mobilenet_v3_large", [HardnessBranch()]).eval()
    training.branches.train()
    images_BCHW = torch.zeros(2, 3, 64, 64)
    images_BCHW[..., 32:] = 1.0
    target_BHW = torch.zeros(2, 64, 64, dtype=torch.long)
    target_BHW[..., 32:] = torch.randint(0, 3, (2, 64, 32))
    logits_BCHW = torch.zeros(2, 3, 64, 64)
    logits_BCHW[:, 0] = 3.0  # right on the left, mostly wrong on the right
    branch = training.branches["hardness"]
    with torch.no_grad(), tap_outputs(training.model, {branch.tap}) as features:
        training.model(images_BCHW)
    optimiser = torch.optim.SGD(branch.parameters(), lr=0.5, momentum=0.9)
    for _ in range(20):
        hardness_B1HW = branch(features[branch.tap])
        optimiser.zero_grad()
        Hardness(alpha=1.0)(logits_BCHW, target_BHW, hardness=hardness_B1HW).backward()
        optimiser.step()
    columns_W = hardness_B1HW.mean((0, 1, 2))
    assert columns_W[-2:].mean() > columns_W[:2].mean() + 0.5


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.unused = nn.Conv2d(3, 3, 1)
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features_BChw = self.stem(images_BCHW)
        weight_BC = self.flat(self.pool(features_BChw)).sigmoid()
        logits_BChw = self.head(features_BChw * weight_BC[..., None, None])
        return nn.functional.interpolate(logits_BChw, size=images_BCHW.shape[-2:], mode="bilinear")


OWN = NetworkSpec(name="mynet:build", num_classes=3)


def test_a_light_branch_reads_a_users_network_and_leaves_it_as_it_was() -> None:
    network = Own().train()
    before = copy.deepcopy(network.state_dict())
    training = attach_branches(network, OWN, [HardnessBranch(tap="stem")])
    assert network.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    outputs = training(torch.randn(2, 3, 33, 50))
    assert outputs["hardness"].shape == (2, 1, 17, 25)
    assert outputs["logits"].shape == (2, 3, 33, 50)


def test_a_boundary_head_reads_the_published_map_or_the_finest() -> None:
    places = {name: make(name, [BoundaryBranch()]).branches["boundary"] for name in ("pidnet_s", "segformer_b0")}
    assert {name: branch.tap for name, branch in places.items()} == {"pidnet_s": "sum4", "segformer_b0": "encoder"}
    assert places["segformer_b0"].head.one.key == 2
    elsewhere = attach_branches(Own(), OWN, [BoundaryBranch(tap="stem"), DetailBranch(tap="stem")])
    outputs = elsewhere(torch.randn(2, 3, 33, 50))
    assert outputs["boundary"].shape == outputs["detail"].shape == (2, 1, 17, 25)


def test_several_branches_of_different_kinds_stand_beside_one_network() -> None:
    training = make("pidnet_s", [HardnessBranch(), BoundaryBranch(), DetailBranch(), AuxiliaryBranch()])
    outputs = training(torch.randn(2, 3, *SIZE))
    assert list(outputs) == ["logits", "hardness", "boundary", "detail", "auxiliary"]
    assert outputs["boundary"].shape == (2, 1, 5, 6)


def test_a_nested_module_can_be_tapped() -> None:
    assert (
        attach_branches(Own(), OWN, [HardnessBranch(tap="stem.0")])(torch.randn(2, 3, 64, 64))["hardness"].shape[1] == 1
    )


LRASPP = NetworkSpec(name="lraspp_mobilenet_v3_large", num_classes=3)


@pytest.mark.parametrize(
    ("spec", "configs", "message"),
    [
        (
            LRASPP,
            [HardnessBranch(tap="neck")],
            'branch hardness taps "neck", which lraspp_mobilenet_v3_large does not have. It has: backbone, classifier.',
        ),
        (LRASPP, [AuxiliaryBranch()], "lraspp_mobilenet_v3_large has no auxiliary head. Take the auxiliary branch out"),
        (LRASPP, [HardnessBranch("faithful", tap="classifier")], 'taps "backbone", not "classifier"'),
        (LRASPP, [HardnessBranch(), HardnessBranch("faithful")], "two hardness branches. Leave one"),
        (
            OWN,
            [HardnessBranch("faithful")],
            r'Use the light one with a tap, HardnessBranch\("light", tap=...\), on one of',
        ),
        (OWN, [HardnessBranch()], r"Name a tap, .*, one of: stem, pool, flat, unused, head."),
        (OWN, [HardnessBranch(tap="")], 'taps "", which mynet:build does not have. It has: stem'),
        (OWN, [HardnessBranch(tap="flat")], r'taps "flat", which gives no map \[B, C, h, w\]'),
        (OWN, [HardnessBranch(tap="unused")], r'taps "unused", which gives no map \[B, C, h, w\]'),
        (OWN, [AuxiliaryBranch()], "mynet:build has no auxiliary head"),
        (OWN, [BoundaryBranch()], r"branch boundary: .* Name a tap, BoundaryBranch\(tap=...\), one of: stem"),
        (OWN, [DetailBranch(tap="flat")], 'branch detail taps "flat", which gives no map'),
    ],
)
def test_a_branch_that_does_not_fit_is_refused(spec: NetworkSpec, configs: list[Config], message: str) -> None:
    network = Own() if spec is OWN else build_network(spec)
    with pytest.raises(BadInput, match=message):
        attach_branches(network, spec, configs)


def test_without_branches_only_logits_come_out() -> None:
    training = make("lraspp_mobilenet_v3_large", [])
    assert list(training(torch.randn(2, 3, 32, 32))) == ["logits"]
    assert list(training.branches.parameters()) == []


def test_hooks_are_on_the_model_only_inside_the_block() -> None:
    model = Own()
    with tap_outputs(model, {"stem", "head"}) as outputs:
        assert hooks_of(model) == 2
        model(torch.randn(1, 3, 32, 32))
    assert hooks_of(model) == 0
    assert outputs["stem"].shape == (1, 6, 16, 16)


EXPORT = [
    pytest.param(case, marks=() if case[0].startswith("lraspp") and case[1].kind == "light" else pytest.mark.slow)
    for case in CASES
    if isinstance(case[1], HardnessBranch) and case[0] in QUICK
]


@pytest.mark.parametrize("case", EXPORT, ids=lambda case: f"{case[0]}-{case[1].kind}")
def test_the_exported_graph_is_that_of_the_plain_network(case: tuple[str, HardnessBranch], tmp_path: Path) -> None:
    """Node for node and weight for weight, after a training step's forward has run with the branch."""
    import onnx

    name, config = case
    training = make(name, [config])
    plain = build_network(NetworkSpec(name=name, num_classes=3))
    training(torch.randn(2, 3, *SIZE))
    plain.load_state_dict(training.model.state_dict())
    found, expected = (
        onnx.load(_exported(model, tmp_path / f"{i}.onnx")) for i, model in enumerate((training.model, plain))
    )
    assert _nodes(found.graph) == _nodes(expected.graph)
    assert _weights(found.graph) == _weights(expected.graph)


def _exported(model: nn.Module, path: Path) -> Path:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            model.eval(), (torch.randn(2, 3, 64, 64),), dynamo=True, opset_version=20, verbose=False
        )
    assert program is not None
    program.save(path)
    return path


def _nodes(graph: object) -> list[tuple[object, ...]]:
    return [(n.op_type, *n.input, *n.output, *(a.SerializeToString() for a in n.attribute)) for n in graph.node]  # type: ignore[attr-defined]


def _weights(graph: object) -> dict[str, bytes]:
    return {tensor.name: tensor.raw_data for tensor in graph.initializer}  # type: ignore[attr-defined]
