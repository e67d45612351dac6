"""The identity certificate of every network with every branch: docs/certificates.md is what this writes.

    python benchmarks/certificates.py [--network NAME ...] [--kept runs/certificates] [--out docs/certificates.md]

For each case one process attaches the branch to the network, takes a step of SGD through both and exports the network
while the branch is still on it. Another process, which never saw a branch, builds the plain network from its name and
the stored weights and exports that. Both files are read from disk and compared: canonical digest, census, and
TensorRT-RTX engines, whose digests alone are kept. For LRASPP and DeepLabV3 both files are also converted to every
other precision, each on its own, and built for every target that holds it; elsewhere the engine is SM86's, once a
network. What is done is kept in a folder, by case: the command goes on where it was stopped.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import safetensors.torch
import torch
from measure import machine
from PIL import Image
from torch.nn import functional as F

from hardedge.console import spinner
from hardedge.contracts import NetworkSpec, Normalisation, Profile, write_atomically
from hardedge.data.streets.scene import draw_scene
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.targets import RTX_TARGETS
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.export.identity.certificate import compare_engines, compare_files
from hardedge.export.precisions.write import Origin, path_of, write_precision
from hardedge.models import ARCHITECTURES, build_network
from hardedge.train.branches import (
    AuxiliaryBranch,
    BoundaryBranch,
    BranchConfig,
    DetailBranch,
    FeatureBranch,
    HardnessBranch,
    Training,
    attach_branches,
)
from hardedge.train.losses import Boundary, CrossEntropy, Detail, Hardness

PROFILE = Profile(min=(1, 64, 64), opt=(1, 256, 512), max=(8, 1024, 2048))
BRANCHES: dict[str, BranchConfig] = {
    "hardness, faithful": HardnessBranch("faithful"),
    "hardness, light": HardnessBranch("light"),
    "features": FeatureBranch(),
    "auxiliary": AuxiliaryBranch(),
    "boundary head": BoundaryBranch(),
    "detail head": DetailBranch(),
}
# those that a network has where its published training does
PUBLISHED = {"auxiliary": "auxiliary", "boundary head": "boundary", "detail head": "detail"}
WHOLE = ("lraspp_mobilenet_v3_large", "deeplabv3_resnet50")
PRECISIONS = ("fp16", "bf16", "int8", "fp8")
CALIBRATION_IMAGES = 4
SM86 = "tensorrt-rtx:sm86"
NUM_CLASSES = 19


@dataclass(frozen=True)
class Row:
    """What was compared for one network with one branch. `engines` has a verdict for each precision that was built."""

    network: str
    branch: str
    training_only: int
    parameters: int
    multiply_adds: int
    shipped: str
    plain: str
    level0: str
    level1: str
    engines: dict[str, str]


def branches_of(network: str) -> list[str]:
    known = ARCHITECTURES[network]
    return [name for name in BRANCHES if name not in PUBLISHED or getattr(known, PUBLISHED[name])]


def write_shipped(network: str, folder: Path) -> None:
    """The network as exported with each branch on it, its weights, and how many parameters the branch has."""
    for number, branch in enumerate(branches_of(network)):
        training = trained(network, BRANCHES[branch])
        size = sum(parameter.numel() for parameter in training.branches.parameters())
        write_onnx(training.model, folder / f"{number}.shipped.onnx")
        safetensors.torch.save_file(training.model.state_dict(), folder / f"{number}.safetensors")
        (folder / f"{number}.parameters").write_text(str(size))


def write_plain(network: str, folder: Path) -> None:
    """The plain network with each of the stored weights, exported."""
    for number in range(len(branches_of(network))):
        plain = build_network(NetworkSpec(name=network, num_classes=NUM_CLASSES))
        plain.load_state_dict(safetensors.torch.load_file(folder / f"{number}.safetensors"))
        write_onnx(plain, folder / f"{number}.plain.onnx")


def write_onnx(network: torch.nn.Module, out: Path) -> None:
    model = onnx_from_network(PixelsToMask(network, Normalisation()).eval(), PROFILE, ("mask",), 20)
    onnx.save(model, out)


def trained(network: str, branch: BranchConfig) -> Training:
    """The network with the branch, after a step that both took part in."""
    torch.manual_seed(0)
    spec = NetworkSpec(name=network, num_classes=NUM_CLASSES)
    training = attach_branches(build_network(spec), spec, [branch]).train()
    images_BCHW = torch.randn(2, 3, 128, 128)
    target_BHW = torch.randint(0, NUM_CLASSES, (2, 128, 128))
    outputs = training(images_BCHW)
    loss = CrossEntropy()(outputs["logits"], target_BHW)
    if "hardness" in outputs:
        loss = loss + Hardness()(outputs["logits"], target_BHW, hardness=outputs["hardness"])
    if "boundary" in outputs:
        loss = loss + Boundary()(outputs["logits"], target_BHW, boundary=outputs["boundary"])
    if "detail" in outputs:
        loss = loss + Detail()(outputs["logits"], target_BHW, detail=outputs["detail"])
    for logits_BChw in outputs.get("auxiliary", ()):
        logits_BCHW = F.interpolate(logits_BChw, size=target_BHW.shape[1:], mode="bilinear")
        loss = loss + 0.4 * CrossEntropy()(logits_BCHW, target_BHW)
    optimiser = torch.optim.SGD(training.parameters(), lr=1e-3)
    loss.backward()
    optimiser.step()
    return training


def rows_of(network: str) -> Iterator[Row]:
    """The rows of a network; its engines and files are gone with the last."""
    with TemporaryDirectory(prefix="hardedge-") as name:
        folder = Path(name)
        for arm in ("shipped", "plain"):
            subprocess.run([sys.executable, __file__, "--arm", arm, "--network", network, "--kept", name], check=True)
        for number, branch in enumerate(branches_of(network)):
            shipped, plain = folder / f"{number}.shipped.onnx", folder / f"{number}.plain.onnx"
            targets = RTX_TARGETS if network in WHOLE else (SM86,) if number == 0 else ()
            certificate = compare_files(shipped, plain, PROFILE, targets)
            engines = {"fp32": told(certificate.level0.rtx_engines.status, targets)} if targets else {}
            if network in WHOLE and number == 0:
                engines |= {precision: converted(shipped, plain, precision, folder) for precision in PRECISIONS}
            yield Row(
                network=network,
                branch=branch,
                training_only=int((folder / f"{number}.parameters").read_text()),
                parameters=certificate.level1.shipped.parameters,
                multiply_adds=certificate.level1.shipped.multiply_adds,
                shipped=certificate.level0.shipped_digest,
                plain=certificate.level0.plain_digest,
                level0=certificate.level0.status,
                level1=certificate.level1.status,
                engines=engines,
            )


def converted(shipped: Path, plain: Path, precision: str, folder: Path) -> str:
    """Whether the engines of both files are equal, each file converted on its own."""
    images = calibration_images(folder)
    arms = []
    for source in (shipped, plain):
        out = folder / source.stem
        out.mkdir(exist_ok=True)
        write_precision(Origin(source, images, (PROFILE,), lambda model: model), precision, out)
        arms.append(out / path_of(precision))
    targets = tuple(target for target in RTX_TARGETS if not cannot_hold(target, precision))
    check = compare_engines(arms[0], arms[1], PROFILE, targets)[1]
    return told(check.status, targets) if check.status != "inconclusive" else check.detail


def calibration_images(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(CALIBRATION_IMAGES)]
    for number, path in enumerate(paths):
        Image.fromarray(draw_scene(0, number)[0]).save(path)
    return paths


def told(status: str, targets: Sequence[str]) -> str:
    return f"{status}: {', '.join(target.partition(':')[2] for target in targets)}"


def page(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """The document: what was compared, and a line for each case."""
    alike = sum(row.level0 == row.level1 == "identical" for row in rows)
    lines = [
        "# The identity certificate of every network with every branch",
        "",
        "    python benchmarks/certificates.py --out docs/certificates.md",
        "",
        "One process attaches the branch, takes a step of SGD through network and branch, and exports the network",
        "while the branch is on it. Another one builds the plain network from its name and the stored weights, and",
        "exports that. Level 0 compares the canonical ONNX digests, level 1 parameters, multiply-adds, nodes,",
        "operators, inputs and outputs. The engines are TensorRT-RTX's of both files, equal byte for byte or not, at",
        "1x256x512; for other precisions than FP32 both files were converted anew, each in a process of its own,",
        f"with {CALIBRATION_IMAGES} street scenes. Engines are hashed and deleted.",
        "",
        f"{alike} of {len(rows)} cases are identical at both levels. {NUM_CLASSES} classes; multiply-adds at 256x512.",
        f"Measured with {', '.join(f'{key} {value}' for key, value in facts.items())}.",
        "",
        "| network | branch | its parameters | network's | multiply-adds | digest | level 0 | level 1 | engines |",
        "|---|---|---:|---:|---:|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(line_of, rows), ""])


def line_of(row: Row) -> str:
    engines = "; ".join(f"{precision} {verdict}" for precision, verdict in row.engines.items())
    cells = (
        row.network,
        row.branch,
        f"{row.training_only:,}",
        f"{row.parameters / 1e6:.2f} M",
        f"{row.multiply_adds / 1e9:.2f} G",
        " ".join(f"`{digest[:12]}`" for digest in dict.fromkeys((row.shipped, row.plain))),
        row.level0,
        row.level1,
        engines,
    )
    return f"| {' | '.join(cells)} |"


def kept_rows(networks: Sequence[str], folder: Path) -> list[Row]:
    """The rows of the networks, from the folder or made now and kept in it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for network in networks:
        kept = folder / f"{network}.json"
        if not kept.is_file():
            with spinner(network):
                made = [asdict(row) for row in rows_of(network)]
            write_atomically(kept, json.dumps(made, indent=1).encode())
        rows += [Row(**row) for row in json.loads(kept.read_text())]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Identity certificates of every network with every branch.")
    parser.add_argument("--network", choices=list(ARCHITECTURES), action="append", help="only this one; repeatable")
    parser.add_argument("--kept", type=Path, default=Path("runs/certificates"), help="where results are kept")
    parser.add_argument("--out", type=Path, help="the document to write; without it, print")
    parser.add_argument("--arm", choices=("shipped", "plain"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    networks = args.network or list(ARCHITECTURES)
    if args.arm:
        (write_shipped if args.arm == "shipped" else write_plain)(networks[0], args.kept)
        return
    rows = kept_rows(networks, args.kept)
    facts = {key: value for key, value in machine(torch.device("cpu")).items() if key != "load average"}
    text = page(rows, facts)
    if args.out:
        write_atomically(args.out, text.encode())
    else:
        print(text)
    different = [f"{row.network} with {row.branch}" for row in rows if "different" in line_of(row)]
    if different:
        sys.exit(f"not identical: {', '.join(different)}")


if __name__ == "__main__":
    main()
