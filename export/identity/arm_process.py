"""An arm, exported: `python -m hardedge.export.identity.arm_process ARM OUT`, run by hardedge.export.identity.arms."""

import sys
from pathlib import Path

import torch

from hardedge.contracts import Checkpoint, load, parse_json
from hardedge.errors import HardedgeError
from hardedge.export.graph.form import Form
from hardedge.export.graph.network import load_pixels_to_mask
from hardedge.export.graph.pixels_to_mask import WithHardness, onnx_from_network, shipped_module
from hardedge.export.identity.arms import CertificateArm
from hardedge.graphs.files import write_onnx
from hardedge.models import architecture


def write_arm(arm: CertificateArm, out: Path) -> None:
    """Builds the arm's network from its spec and weights, and writes its canonical ONNX."""
    checkpoint = load(Checkpoint, Path(arm.checkpoint))
    form = arm.form
    network = load_pixels_to_mask(Path(arm.checkpoint), checkpoint, form.network_size, allow_code=arm.allow_code)
    module, outputs = shipped_module(network, form.outputs), form.outputs
    if arm.kind == "control":
        known = architecture(checkpoint.network.name)
        assert known is not None, "a network of the user's own has no control"
        torch.manual_seed(0)
        module, outputs = WithHardness(module, tap_path(form, known.tap), known.head(1)), (*outputs, "hardness")
    write_onnx(onnx_from_network(module, form.hull(), outputs, form.opset), out)


def tap_path(form: Form, tap: str) -> str:
    """The path of the network's tap inside the module that ships."""
    outer = "pixels_to_mask.network." if len(form.outputs) > 1 else "network."
    return f"{outer}network.{tap}" if form.network_size else f"{outer}{tap}"


if __name__ == "__main__":
    try:
        write_arm(parse_json(CertificateArm, sys.argv[1].encode(), "the arm"), Path(sys.argv[2]))
    except HardedgeError as error:
        sys.exit(str(error))
