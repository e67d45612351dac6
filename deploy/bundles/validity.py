"""What a bundle must satisfy before anything of it is run: a manifest that fits its files can still be hostile.

Digests show that nothing changed after the manifest was written; they do not show who wrote it. So the names that a
manifest gives are looked up among its files, and the files are read as what they claim to be.
"""

from __future__ import annotations

import functools
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardedge.contracts import Bundle, Certificate, sha256_of
from hardedge.deploy.bundles.trial import require_ends
from hardedge.errors import BadInput, faults_error, first_line
from hardedge.graphs.canonical import every_node
from hardedge.graphs.files import is_large, read_onnx
from hardedge.graphs.walking import readers
from hardedge.metrics import Counts

if TYPE_CHECKING:
    import onnx

COUNTS = "reference/confusion.npz"
_TRIED = (1, 64, 96, 3)
# operators that take any time or memory, whatever the image: a file with one is tried in a process of its own
_GROWING = {"Loop", "Scan", "ConstantOfShape", "Expand", "Range", "Tile", "Pad", "EyeLike", "OneHot", "SequenceMap"}
_NPY_HEADER = 1024  # bytes, more than numpy writes for a header
_CURE = "Get the bundle from a place you trust, or export it again."


def check_bundle(directory: Path, bundle: Bundle) -> None:
    """Raises BadInput, all faults together, unless every name in the manifest is among its files and can be used."""
    faults = [
        f"{name}: named in it, but not among its files" for name in files_named_in(bundle) if name not in bundle.files
    ]
    if not bundle.golden:
        faults.append("golden: no golden image")
    for name, value in (("logit_difference", bundle.logit_difference), ("margin_tolerance", bundle.margin_tolerance)):
        if not 0 <= value < math.inf:
            faults.append(f"{name}: {value}, expected a finite number, 0 or more")
    ids = [image.id for image in bundle.reference.images]
    twice = sorted(id for id, count in Counter(ids).items() if count > 1)
    faults += [f"reference.images: {id} is there more than once" for id in twice]
    if not ids:
        faults.append("reference.images: none")
    if not 1 <= bundle.task.num_classes <= 255:
        faults.append(f"task.classes: {bundle.task.num_classes}, expected 1 to 255")
    if faults:
        raise faults_error(f"{directory / Bundle.FILE} cannot be used", faults[:20], _CURE)
    for name in (*(model.path for model in bundle.models), *([bundle.control] if bundle.control else [])):
        check_model(directory / name)
    reference_counts(directory, bundle)


def files_named_in(bundle: Bundle) -> Iterator[str]:
    """Every file of the bundle that a later stage opens by a name out of the manifest."""
    yield from (model.path for model in bundle.models)
    yield from (bundle.control,) if bundle.control else ()
    yield from (bundle.tensor.path,) if bundle.tensor else ()
    yield from (Certificate.FILE, COUNTS)
    yield from (f"reference/masks/{image.id}.png" for image in bundle.reference.images)
    yield from (f"golden/{folder}/{id}.png" for id in bundle.golden for folder in ("images", "masks"))


def read_model(path: Path) -> onnx.ModelProto:
    """An ONNX file; raises BadInput when it cannot be parsed, or keeps weights in any file but its own PATH.data."""
    try:
        return read_onnx(path)
    except BadInput:
        raise
    except Exception as error:  # protobuf's own, which has no types
        raise BadInput(f"{path} cannot be read as an ONNX file ({error}). Copy the bundle again.") from None


def check_model(path: Path) -> None:
    """Raises BadInput unless the file is a network of uint8 pixels to uint8 masks, its weights whole and no NaN."""
    model = read_model(path)
    if not all(isinstance(name, str) for name in _names(model)):
        raise BadInput(f"{path}: a name in it is not UTF-8. {_CURE}")
    faults = [f"{_reader_of(model, tensor)}: {fault}" for tensor in _tensors(model) if (fault := _tensor_fault(tensor))]
    for values, name, rank in ((model.graph.input, "image", 4), (model.graph.output, "mask", 3)):
        faults += _value_faults(list(values), name, rank)
    faults = faults or _graph_faults(path if is_large(model) else model)
    if faults:
        raise faults_error(f"{path} is not a network that can be run", faults[:20], _CURE)
    called = [node for function in model.functions for node in function.node]
    if _GROWING & {node.op_type for node in (*every_node(model.graph), *called)}:
        _require_ends(path, sha256_of(path))


@functools.lru_cache(maxsize=64)
def _require_ends(path: Path, digest: str) -> None:
    """Runs the file of that digest once on a small image, in a process with limits; raises BadInput past them."""
    model = read_model(path)
    dims = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    size = [given or usual for given, usual in zip(dims, _TRIED, strict=True)]
    require_ends(model, "image", np.zeros(size, np.uint8), "mask", str(path))


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    # protobuf gives bytes for what it cannot decode
    for group in (model.graph.input, model.graph.output, model.graph.initializer):
        yield from (entry.name for entry in group)
    for node in model.graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _reader_of(model: onnx.ModelProto, tensor: onnx.TensorProto) -> str:
    """The weight's name with the first node that reads it."""
    nodes = readers(model.graph, tensor.name)
    reads = next((f", which {node.name or node.output[0]} ({node.op_type}) reads" for node in nodes), "")
    return f"{tensor.name}{reads}"


def _tensor_fault(tensor: onnx.TensorProto) -> str | None:
    import onnx.numpy_helper

    # before to_array, which makes an array of this size out of whatever is there
    count = math.prod(tensor.dims)
    if min(tensor.dims, default=1) < 0 or count > 16 * tensor.ByteSize():
        return f"{count} values in {tensor.ByteSize()} bytes"
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # numpy's and onnx's own, which have no common base
        return f"cannot be read ({error})"
    nan = np.count_nonzero(np.isnan(values)) if tensor.data_type in _floats() else 0
    return f"{nan} of {values.size} values are NaN" if nan else None


def _floats() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE


def _graph_faults(model: onnx.ModelProto | Path) -> list[str]:
    import onnx.checker

    try:
        onnx.checker.check_model(model)  # a large one by its path
    except (onnx.checker.ValidationError, UnicodeDecodeError, ValueError, TypeError, RuntimeError) as error:
        return [first_line(error)]
    return []


def _value_faults(values: list[onnx.ValueInfoProto], name: str, rank: int) -> list[str]:
    from onnx import TensorProto

    found = {value.name: value.type.tensor_type for value in values}
    if name not in found:
        return [f"it has no {name}, but {', '.join(found) or 'nothing'}"]
    if name == "image" and len(found) > 1:
        return [f"it has {len(found)} inputs ({', '.join(found)}), expected image alone"]
    number = found[name].elem_type
    kind = TensorProto.DataType.Name(number) if number in TensorProto.DataType.values() else f"type {number}"
    dims = found[name].shape.dim
    faults = [f"{name}: {kind}, expected UINT8"] if kind != "UINT8" else []
    return faults if len(dims) == rank else [*faults, f"{name}: {len(dims)} dimensions, expected {rank}"]


def reference_counts(directory: Path, bundle: Bundle) -> Counts:
    """The reference run's confusion counts, int64 [N, C, C]; raises BadInput when the file holds anything else."""
    path = directory / COUNTS
    classes = bundle.task.num_classes
    shape = (len(bundle.reference.images), classes, classes)
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo("counts.npy").file_size
        if size > 8 * math.prod(shape) + _NPY_HEADER:
            raise ValueError(f"{size} bytes of counts")
        with np.load(path, allow_pickle=False) as stored:
            counts = stored["counts"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BadInput(f"{path} cannot be read as the reference's counts ({error}). {_CURE}") from None
    if counts.shape != shape or counts.dtype != np.int64 or counts.min(initial=0) < 0:
        raise BadInput(f"{path}: {counts.dtype} {list(counts.shape)}, expected counts int64 {list(shape)}. {_CURE}")
    if not counts.any():
        raise BadInput(f"{path}: no labelled pixel in any test image, so that nothing can be judged. {_CURE}")
    return np.asarray(counts, np.int64)
