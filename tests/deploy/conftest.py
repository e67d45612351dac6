"""A bundle made by hand: a network that names the class with the nearest colour, so deploy is tested without torch."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardedge.contracts import (
    Bundle,
    Certificate,
    Check,
    Level0,
    Level1,
    Level2,
    ModelFile,
    NetworkSpec,
    Normalisation,
    Profile,
    Reference,
    ReferenceImage,
    SegmentationScore,
    Task,
    seal,
    sha256_of,
    to_json,
)
from hardedge.data.opening import open_dataset
from hardedge.deploy.engines.build import build
from hardedge.graphs.canonical import complexity_of, onnx_digest
from hardedge.metrics import confusion_counts, iou_per_class, mean_iou

PROFILE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 128, 192))


def nearest_color_model(colors: np.ndarray, *, shift: float = 0.0, branch: bool = False) -> onnx.ModelProto:
    """uint8 pixels in, uint8 mask out: argmax of 2 c.x - |c|^2; `shift` moves one bias, `branch` adds an output."""
    weight = (2.0 * colors).astype(np.float32)[..., None, None]
    bias = -(colors.astype(np.float64) ** 2).sum(1)
    bias[0] += shift
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["image_BCHW"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["image_BCHW", "weight", "bias"], ["logits"], kernel_shape=[1, 1]),
        helper.make_node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=0),
        helper.make_node("Cast", ["classes"], ["mask"], to=TensorProto.UINT8),
    ]
    weights = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias.astype(np.float32), "bias")]
    outputs = [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", "height", "width"])]
    if branch:
        size = [15, 15]
        weights.append(numpy_helper.from_array(np.full((8, 3, *size), 1e-3, np.float32), "branch_weight"))
        nodes.append(helper.make_node("Conv", ["image_BCHW", "branch_weight"], ["hardness"], kernel_shape=size))
        outputs.append(helper.make_tensor_value_info("hardness", TensorProto.FLOAT, ["batch", 8, "h", "w"]))
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])]
    graph = helper.make_graph(nodes, "nearest color", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def nearest_color_mask(image_HWC: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """What the model computes, by distances instead."""
    distance_HWC = ((image_HWC[:, :, None].astype(np.int64) - colors.astype(np.int64)) ** 2).sum(-1)
    return distance_HWC.argmin(-1).astype(np.uint8)


def colors_of(task: Task) -> np.ndarray:
    return np.array([entry.color for entry in task.classes])


def certificate_of(model: onnx.ModelProto) -> Certificate:
    digest, counted = onnx_digest(model), complexity_of(model, PROFILE.opt)
    not_run = Check(status="not run here", detail="by hand")
    return Certificate(
        level0=Level0(
            status="identical",
            detail="",
            shipped_digest=digest,
            plain_digest=digest,
            rtx_engines=not_run,
            engines=(),
        ),
        level1=Level1(status="identical", detail="", shipped=counted, plain=counted),
        level2=Level2(status="not run here", detail="", noise_floor=None, control=None, shipped=None),
    )


def write_bundle(directory: Path, data: Path, *, control: bool = True) -> Path:
    """A whole bundle over the test split of a data set, its reference computed in numpy."""
    dataset = open_dataset(data)
    task, colors = dataset.task, colors_of(dataset.task)
    for folder in ("reference/masks", "reference/hardness", "golden/images", "golden/masks"):
        (directory / folder).mkdir(parents=True)
    model = nearest_color_model(colors)
    onnx.save(model, directory / "model.onnx")
    if control:
        onnx.save(nearest_color_model(colors, branch=True), directory / "control.onnx")
    counts = []
    for id in dataset.splits["test"]:
        image_HWC, label_HW = dataset.pair(id)
        mask_HW = nearest_color_mask(image_HWC, colors)
        counts.append(confusion_counts(mask_HW, label_HW, task.num_classes))
        Image.fromarray(mask_HW).save(directory / f"reference/masks/{id}.png")
        Image.fromarray(np.full_like(mask_HW, 128)).save(directory / f"reference/hardness/{id}.png")
        Image.fromarray(image_HWC).save(directory / f"golden/images/{id}.png")
        Image.fromarray(mask_HW).save(directory / f"golden/masks/{id}.png")
    counts_NCC = np.stack(counts)
    np.savez(directory / "reference/confusion.npz", counts=counts_NCC)
    (directory / Certificate.FILE).write_text(to_json(certificate_of(model)))
    iou = 100 * iou_per_class(counts_NCC.sum(0))
    per_class = {info.name: float(value) for info, value in zip(task.classes, iou, strict=True)}
    images = tuple(
        ReferenceImage(
            id=id, image_sha256=sha256_of(dataset.image_path(id)), label_sha256=sha256_of(dataset.mask_path(id))
        )
        for id in dataset.splits["test"]
    )
    score = SegmentationScore(miou=100 * mean_iou(counts_NCC.sum(0)), per_class=per_class)
    counted = complexity_of(model, PROFILE.opt)
    bundle = Bundle(
        schema_id=Bundle.SCHEMA,
        hardedge="0",
        made_from="0" * 64,
        files={},
        task=task,
        network=NetworkSpec(name="nearest_color", num_classes=task.num_classes),
        normalisation=Normalisation(),
        profiles=(PROFILE,),
        models=(ModelFile(path="model.onnx", precision="fp32", onnx_digest=onnx_digest(model), census=counted),),
        control="control.onnx" if control else None,
        reference=Reference(split="test", images=images, score=score),
        golden=dataset.splits["test"],
        hardness="confidence",
        loss="ce",
        branches=(),
        margin_tolerance=1e-4,
        logit_difference=0.0,
        seconds={},
    )
    seal(directory, bundle)
    return directory


def reseal(directory: Path, **changes: object) -> Bundle:
    """Seals a bundle anew after a file was changed, as someone would who hides the change."""
    from hardedge.contracts import parse_json

    bundle = parse_json(Bundle, (directory / Bundle.FILE).read_bytes(), "bundle")
    return seal(directory, dataclasses.replace(bundle, **changes))


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory, make_tiny_dataset: Callable[..., Path]) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny", train=1, val=1, test=6)


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Read by many tests, changed by none."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "bundle", shared_data)


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory, shared_bundle: Path) -> Path:
    directory = tmp_path_factory.mktemp("engine") / "cpu"
    build(shared_bundle, "onnxruntime:cpu", directory)
    return directory


@pytest.fixture
def own_bundle(tmp_path: Path, shared_data: Path) -> Path:
    """For a test that changes it."""
    return write_bundle(tmp_path / "bundle", shared_data)


@pytest.fixture
def resealed() -> Callable[..., Bundle]:
    return reseal


@pytest.fixture
def color_model() -> Callable[..., onnx.ModelProto]:
    return nearest_color_model


@pytest.fixture
def color_mask() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return nearest_color_mask
