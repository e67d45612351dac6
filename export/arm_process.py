"""An arm, exported: `python -m hardedge.export.arm_process ARM OUT`, run by hardedge.export.arms."""

import sys
from pathlib import Path

import onnx
import torch

from hardedge.contracts import Checkpoint, load, parse_json
from hardedge.errors import HardedgeError
from hardedge.export.arms import Arm
from hardedge.export.graph import PixelsToMaskAndHardness, onnx_from_network
from hardedge.export.network import pixels_to_mask
from hardedge.models import architecture


def write_arm(arm: Arm, out: Path) -> None:
    """Builds the arm's network from its spec and weights, and writes its canonical ONNX."""
    checkpoint = load(Checkpoint, Path(arm.checkpoint))
    plain = pixels_to_mask(Path(arm.checkpoint), checkpoint)
    if arm.kind == "plain":
        onnx.save(onnx_from_network(plain, arm.form.hull(), ("mask",), arm.form.opset), out)
        return
    known = architecture(checkpoint.network.name)
    assert known is not None, "a network of the user's own has no control"
    torch.manual_seed(0)
    control = PixelsToMaskAndHardness(plain, known.tap, known.head(1))
    onnx.save(onnx_from_network(control, arm.form.hull(), ("mask", "hardness"), arm.form.opset), out)


if __name__ == "__main__":
    try:
        write_arm(parse_json(Arm, sys.argv[1].encode(), "the arm"), Path(sys.argv[2]))
    except HardedgeError as error:
        sys.exit(str(error))
