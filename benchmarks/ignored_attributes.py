"""Which attributes of ONNX operators a builder ignores without a word: engines with and without each, compared.

    python benchmarks/ignored_attributes.py

TensorRT-RTX builds on a CPU, and equal networks give equal bytes. So two files that differ in one attribute, and by
their definition in what they compute, must give different engines, or one of them is refused: equal bytes show an
attribute that nobody read. Where a pair computes the same, in two opsets, equal bytes are right.
"""

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Profile
from hardedge.deploy.targets import parse_target
from hardedge.deploy.tensorrt.api import installed_version
from hardedge.deploy.tensorrt.plans import compile_plans
from hardedge.errors import HardedgeError, first_line

SIZE = (1, 32, 48)
TARGET = parse_target("tensorrt-rtx:sm86")


@dataclass(frozen=True)
class Arm:
    """A node between the image's floats [1, 3, 32, 48] and its output: further inputs, attributes, and the opset."""

    operator: str
    attributes: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[np.ndarray | None, ...] = ()
    opset: int = 20


F, INT = np.float32, np.int64
SIZES, HALF = np.array([1, 3, 64, 96], INT), np.array([1, 3, 16, 24], INT)
GRID = np.linspace(-1.3, 1.3, 2 * 16 * 16, dtype=F).reshape(1, 16, 16, 2)
PLANE = np.ones((3,), F)
ROWS, UPDATES = np.array([[0], [0]], INT), np.ones((2, 3, 32, 48), F)
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
CUBIC = {"mode": "cubic"}
NEAREST = {"mode": "nearest"}


def resize(sizes: np.ndarray, **attributes: Any) -> Arm:
    return Arm("Resize", attributes, (None, None, sizes))


# what differs: two files
DIFFERENT = {
    "Resize antialias": (resize(HALF, **LINEAR), resize(HALF, **LINEAR, antialias=1)),
    "Resize cubic_coeff_a": (resize(SIZES, **CUBIC), resize(SIZES, **CUBIC, cubic_coeff_a=-0.5)),
    "Resize exclude_outside": (resize(SIZES, **CUBIC), resize(SIZES, **CUBIC, exclude_outside=1)),
    "Resize align_corners": (
        resize(SIZES, **LINEAR),
        resize(SIZES, mode="linear", coordinate_transformation_mode="align_corners"),
    ),
    "Resize asymmetric": (
        resize(SIZES, **LINEAR),
        resize(SIZES, mode="linear", coordinate_transformation_mode="asymmetric"),
    ),
    "Resize half_pixel_symmetric": (
        resize(np.array([1, 3, 33, 47], INT), **LINEAR),
        resize(np.array([1, 3, 33, 47], INT), mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
    ),
    "Resize nearest floor, ceil": (
        resize(SIZES, **NEAREST, nearest_mode="floor"),
        resize(SIZES, **NEAREST, nearest_mode="ceil"),
    ),
    "Resize nearest prefer floor, ceil": (
        resize(HALF, **NEAREST, nearest_mode="round_prefer_floor"),
        resize(HALF, **NEAREST, nearest_mode="round_prefer_ceil"),
    ),
    "Resize keep_aspect_ratio_policy": (
        resize(np.array([1, 3, 64, 64], INT), **LINEAR),
        resize(np.array([1, 3, 64, 64], INT), **LINEAR, keep_aspect_ratio_policy="not_larger"),
    ),
    "GridSample linear, nearest": (
        Arm("GridSample", {"mode": "linear"}, (GRID,)),
        Arm("GridSample", {"mode": "nearest"}, (GRID,)),
    ),
    "GridSample cubic, nearest": (
        Arm("GridSample", {"mode": "cubic"}, (GRID,)),
        Arm("GridSample", {"mode": "nearest"}, (GRID,)),
    ),
    "GridSample padding border": (
        Arm("GridSample", {"mode": "linear"}, (GRID,)),
        Arm("GridSample", {"mode": "linear", "padding_mode": "border"}, (GRID,)),
    ),
    "GridSample padding reflection": (
        Arm("GridSample", {"mode": "linear"}, (GRID,)),
        Arm("GridSample", {"mode": "linear", "padding_mode": "reflection"}, (GRID,)),
    ),
    "GridSample align_corners": (
        Arm("GridSample", {"mode": "linear"}, (GRID,)),
        Arm("GridSample", {"mode": "linear", "align_corners": 1}, (GRID,)),
    ),
    "AveragePool count_include_pad": (
        Arm("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        Arm("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ),
    "AveragePool dilations": (
        Arm("AveragePool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        Arm("AveragePool", {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
    ),
    "MaxPool dilations": (
        Arm("MaxPool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        Arm("MaxPool", {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
    ),
    "Pad reflect, edge": (
        Arm("Pad", {"mode": "reflect"}, (np.array([0, 0, 2, 2, 0, 0, 2, 2], INT),)),
        Arm("Pad", {"mode": "edge"}, (np.array([0, 0, 2, 2, 0, 0, 2, 2], INT),)),
    ),
    "Pad wrap, constant": (
        Arm("Pad", {"mode": "wrap"}, (np.array([0, 0, 2, 2, 0, 0, 2, 2], INT),)),
        Arm("Pad", {"mode": "constant"}, (np.array([0, 0, 2, 2, 0, 0, 2, 2], INT),)),
    ),
    "InstanceNormalization epsilon": (
        Arm("InstanceNormalization", {"epsilon": 1e-5}, (PLANE, 0 * PLANE)),
        Arm("InstanceNormalization", {"epsilon": 1e-4}, (PLANE, 0 * PLANE)),
    ),
    "Gelu approximate": (Arm("Gelu"), Arm("Gelu", {"approximate": "tanh"})),
    "HardSigmoid alpha": (Arm("HardSigmoid", {"alpha": 0.2}), Arm("HardSigmoid", {"alpha": 1 / 6})),
    "Mod fmod": (
        Arm("Mod", {"fmod": 1}, (np.array(-3, F),)),
        Arm("Mod", {"fmod": 0}, (np.array(-3, F),)),
    ),
    "ScatterND reduction": (
        Arm("ScatterND", {}, (ROWS, UPDATES)),
        Arm("ScatterND", {"reduction": "add"}, (ROWS, UPDATES)),
    ),
    "ScatterElements reduction": (
        Arm("ScatterElements", {}, (np.zeros((1, 3, 1, 1), INT), np.ones((1, 3, 1, 1), F))),
        Arm("ScatterElements", {"reduction": "add"}, (np.zeros((1, 3, 1, 1), INT), np.ones((1, 3, 1, 1), F))),
    ),
    "Clip min": (Arm("Clip", {}, (np.array(0, F),)), Arm("Clip", {}, (np.array(1, F),))),
    "TopK largest": (
        Arm("TopK", {"axis": 1, "largest": 1}, (np.array([1], INT),)),
        Arm("TopK", {"axis": 1, "largest": 0}, (np.array([1], INT),)),
    ),
    "ArgMax select_last_index": (Arm("ArgMax", {"axis": 1}), Arm("ArgMax", {"axis": 1, "select_last_index": 1})),
}
SAME = {
    "GridSample linear in opset 20, 16": (
        Arm("GridSample", {"mode": "linear"}, (GRID,)),
        Arm("GridSample", {"mode": "bilinear"}, (GRID,), opset=18),
    ),
    "GridSample cubic in opset 20, 16": (
        Arm("GridSample", {"mode": "cubic"}, (GRID,)),
        Arm("GridSample", {"mode": "bicubic"}, (GRID,), opset=18),
    ),
}
ALONE = {"DFT": Arm("DFT", {"onesided": 1}, (None, np.array(2, INT)))}


def model_of(arm: Arm) -> onnx.ModelProto:
    """uint8 pixels, the node on their floats, and a uint8 mask of the first channel's sign."""
    given = [(f"c{place}", value) for place, value in enumerate(arm.inputs) if value is not None]
    constants = [numpy_helper.from_array(value, name) for name, value in given]
    names = [f"c{place}" if value is not None else "" for place, value in enumerate(arm.inputs)]
    outputs = ["made", "places"] if arm.operator == "TopK" else ["made"]
    source = "floats"
    if arm.operator == "DFT":  # of real numbers: one part each
        constants.append(numpy_helper.from_array(np.array([-1], INT), "last"))
        source = "parts"
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        *([helper.make_node("Unsqueeze", ["floats", "last"], ["parts"])] if source == "parts" else []),
        helper.make_node("Transpose", [source], ["x"], perm=[0, 3, 1, 2, *([4] if source == "parts" else [])]),
        helper.make_node(arm.operator, ["x", *names], outputs, "node", **arm.attributes),
        helper.make_node("Cast", ["made"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["values"], ["mask"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "attribute",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 32, 48, 3])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", arm.opset)], ir_version=10)


def engine_of(arm: Arm, folder: Path) -> str:
    """The engine's digest, or the line of its refusal."""
    onnx.save(model_of(arm), folder / "model.onnx")
    profile = Profile(min=SIZE, opt=SIZE, max=SIZE)
    try:
        plans = compile_plans("tensorrt-rtx", folder / "model.onnx", [TARGET], [profile], folder)
    except HardedgeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        telling = [line for line in lines if "UNSUPPORTED" in line or "INVALID" in line]
        return f"refused: {(telling or [first_line(error)])[0]}"
    return hashlib.sha256(plans[TARGET].path.read_bytes()).hexdigest()


def main() -> None:
    print(f"TensorRT-RTX {installed_version('tensorrt_rtx')}, {TARGET}\n\n| pair | engines |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for title, arm in ALONE.items():
            found = engine_of(arm, Path(name))
            print(f"| {title} | {found if found.startswith('refused') else 'built'} |", flush=True)
        for pairs, expected in ((DIFFERENT, "differ"), (SAME, "equal")):
            for title, (one, two) in pairs.items():
                digests = [engine_of(arm, Path(name)) for arm in (one, two)]
                refused = [digest for digest in digests if digest.startswith("refused")]
                found = refused[0] if refused else "equal" if digests[0] == digests[1] else "differ"
                wrong = "" if refused or found == expected else f" (expected: {expected})"
                print(f"| {title} | {found}{wrong} |", flush=True)


if __name__ == "__main__":
    main()
