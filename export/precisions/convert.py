"""The FP32 file converted to another precision by NVIDIA Model Optimizer, in a process of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import onnx

from hardedge.child_process import run_child
from hardedge.contracts import Contract, to_json
from hardedge.errors import BadInput, missing_extra
from hardedge.export.precisions.legality import require_legal
from hardedge.graphs.canonical import canonical_form

NEEDED = {
    "modelopt": "nvidia-modelopt",
    "lief": "lief",
    "onnx_graphsurgeon": "onnx-graphsurgeon",
    "onnxslim": "onnxslim",
    "onnxconverter_common": "onnxconverter-common",
}


@dataclass(frozen=True, kw_only=True)
class ConversionJob(Contract):
    """What to convert: the file, the precision, the calibration images, and nodes to keep in FP16 or FP32, with why.

    `method` is how INT8 and FP8 scales follow from the images' values: the divergence of histograms, or the maxima.
    """

    source: str
    precision: str
    images: tuple[str, ...]
    keep: dict[str, str]
    method: str
    out: str


@dataclass(frozen=True)
class Converted:
    """A canonical model, the tool that made it, each node's name in the source, and why some were kept out of it."""

    model: onnx.ModelProto
    tool: str
    sources: Mapping[str, str]
    reasons: Mapping[str, str]


def require_converter() -> None:
    """Raises Unavailable with the pip command when a package that converts is not installed."""
    for module, package in NEEDED.items():
        if find_spec(module) is None:
            raise missing_extra(package, "export")


def convert(
    source: Path, precision: str, images: list[Path], *, keep: Mapping[str, str] | None = None, method: str = "max"
) -> Converted:
    """Converts an FP32 file of ours; the same input gives the same bytes, in any folder and process.

    Raises BadInput with the converter's own words when it fails, and with every node that breaks a rule of NVIDIA's
    parser.
    """
    with TemporaryDirectory(prefix="hardedge-") as name:
        folder = Path(name)
        # a copy: the quantiser writes over the file that it reads
        copyfile(source, folder / "source.onnx")
        job = ConversionJob(
            source=str(folder / "source.onnx"),
            precision=precision,
            images=tuple(str(path.resolve()) for path in images),
            keep=dict(keep or {}),
            method=method,
            out=str(folder / "converted.onnx"),
        )
        tool, reasons = _run(job, folder)
        made = onnx.load(job.out)
    model = canonical_form(made)
    names = {node.name for node in onnx.load(source).graph.node}
    pairs = zip(model.graph.node, made.graph.node, strict=True)
    sources = {ours.name: theirs.name for ours, theirs in pairs if theirs.name in names}
    require_legal(model, precision, sources)
    return Converted(model=model, tool=tool, sources=sources, reasons=reasons)


def _run(job: ConversionJob, folder: Path) -> tuple[str, dict[str, str]]:
    # sets of names are walked in there: their order must not change from run to run
    settings = {"PYTHONHASHSEED": "0", "TQDM_DISABLE": "1"}
    done = run_child("hardedge.export.precisions.process", to_json(job), environment=settings, folder=folder)
    if done.status != 0:
        lines = [line for line in done.errors.splitlines() if line.strip()] or [f"signal {-done.status}"]
        raise BadInput(
            f"{job.precision}: Model Optimizer could not convert the network: {lines[-1].strip()}\n"
            "Leave this precision out, or change what the network does there. The converter's own report: --debug"
        ) from RuntimeError(done.errors)
    told = json.loads(done.output.splitlines()[-1])
    return told["tool"], told["reasons"]
