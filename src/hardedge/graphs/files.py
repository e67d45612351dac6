"""ONNX files on disk: one file, or above protobuf's 2 GiB a second one, NAME.data, with the weights. No torch here.

The first names the second's sha256, so that whoever has the first one's digest has both.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardedge.contracts import sha256_of, write_atomically
from hardedge.graphs.inlined import require_few_nodes

if TYPE_CHECKING:
    import onnx

LARGEST = (1 << 31) - (1 << 24)  # bytes of weights in one file: protobuf ends at 2 GiB, and the graph has its share
_SMALL = 1024  # bytes of a tensor that stays in the first file: shapes, axes, scales
_DIGEST = "weights_sha256"


def is_large(model: onnx.ModelProto) -> bool:
    """Whether the weights are too many for one file."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Writes the file, deterministic and atomic; with the weights beside it, in PATH.data, where they are too many."""
    if not is_large(model):
        write_atomically(path, model.SerializeToString(deterministic=True))
        return
    outside = copy_model(model)
    data = path.with_name(f"{path.name}.data")
    digest, offset = hashlib.sha256(), 0
    with data.open("wb") as file:
        for tensor in _outer(outside):
            content = tensor.raw_data
            file.write(content)
            digest.update(content)
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            for key, value in (("location", data.name), ("offset", offset), ("length", len(content))):
                tensor.external_data.add(key=key, value=str(value))
            offset += len(content)
    outside.metadata_props.add(key=_DIGEST, value=digest.hexdigest())
    write_atomically(path, outside.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model with its weights in memory, from one file or two.

    Raises BadInput for millions of nodes in nested functions, OSError, protobuf's DecodeError, and ValueError when
    weights are in any other file than PATH.data as it was written.
    """
    import onnx.external_data_helper

    model = onnx.load(path, load_external_data=False)
    require_few_nodes(model, str(path))
    data = data_file(model, path)
    if data:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        for tensor in _tensors(model):
            tensor.ClearField("data_location")  # onnx leaves a value there that no other tensor has
        kept = [entry for entry in model.metadata_props if entry.key != _DIGEST]
        model.ClearField("metadata_props")
        model.metadata_props.extend(kept)
    return model


def data_file(model: onnx.ModelProto, path: Path) -> Path | None:
    """The second file of a model that was read without its weights; raises ValueError for one that is not its own."""
    places = {entry.value for tensor in _tensors(model) for entry in tensor.external_data if entry.key == "location"}
    if not places:
        return None
    name = places.pop()
    data = path.with_name(name) if Path(name).name == name else path
    if places or data == path or not name.endswith(".onnx.data"):
        raise ValueError(f"weights in another file ({name}) than its own")
    expected = [entry.value for entry in model.metadata_props if entry.key == _DIGEST]
    if not data.is_file() or data.is_symlink() or expected != [sha256_of(data)]:
        raise ValueError(f"{name}, which has its weights, is missing or another")
    return data


def copy_onnx(source: Path, out: Path) -> None:
    """Copies an ONNX file, and the file with its weights, if any, beside the copy under the name that it has."""
    import onnx

    data = data_file(onnx.load(source, load_external_data=False), source)
    if data:
        shutil.copyfile(data, out.with_name(data.name))
    shutil.copyfile(source, out)


def open_session(model: onnx.ModelProto, *, fused: bool = True) -> Any:
    """An onnxruntime session of a model in memory, on the CPU, without its warnings; what it refuses is raised.

    A large one goes by way of a temporary file. Without `fused`, nodes stay apart: fusions give other logits with INT8
    and wrong ones with FP8 (onnxruntime 1.31).
    """
    import onnxruntime

    options, providers = onnxruntime.SessionOptions(), ["CPUExecutionProvider"]
    options.log_severity_level = 4
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not is_large(model):
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        write_onnx(model, Path(folder) / "model.onnx")
        return onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=providers)


def copy_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model of any size: serialising a large one would fail."""
    other = type(model)()
    other.CopyFrom(model)
    return other


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each weight's sha256 in place of its bytes."""
    small = copy_model(model)
    for tensor in _outer(small):
        tensor.raw_data = hashlib.sha256(tensor.raw_data).digest()
    return small


def _outer(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from (tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= _SMALL)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
