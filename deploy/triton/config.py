"""config.pbtxt of a Triton model, through Triton's own protobuf classes, and compared with an ONNX file's tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import onnx

from hardedge.contracts import BuildOptions, Profile, profiles_in_words
from hardedge.errors import BadInput, missing_extra

Platform = Literal["onnxruntime_onnx", "tensorrt_plan"]
Kind = Literal["auto", "gpu", "cpu"]
CONFIG: Final = "config.pbtxt"
TENSOR: Final = "tensor"  # beside the precisions: the file of the tensor frontend
VARIES: Final = -1
# onnx's element types by Triton's names for them
_TYPES: Final[dict[int, str]] = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.FLOAT16: "TYPE_FP16",
}


@dataclass(frozen=True)
class Serving:
    """How Triton runs a model: instances and where they run, how requests become batches, how many versions it serves.

    `preferred` are batch sizes that are run at once, `delay` is how long a request waits for others, in microseconds.
    """

    instances: int = 1
    kind: Kind = "auto"
    preferred: tuple[int, ...] = ()
    delay: int = 0
    versions: int = 1


@dataclass(frozen=True)
class TritonTensor:
    """An input or output: its name, Triton's name for its type, and its shape with the batch; -1 for what varies."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Tensors:
    """What a network takes and gives."""

    inputs: tuple[TritonTensor, ...]
    outputs: tuple[TritonTensor, ...]

    @property
    def varies(self) -> bool:
        """Whether the batch does: Triton forms batches of nothing else."""
        return all(tensor.shape[0] == VARIES for tensor in (*self.inputs, *self.outputs))


@dataclass(frozen=True)
class WarmUp:
    """A request that is run when the model is loaded: one shape with the batch; a file of `warmup/`, or zeros."""

    name: str
    shape: tuple[int, ...]
    file: str | None


def triton_tensors(path: Path) -> Tensors:
    """The tensors of an ONNX file; raises BadInput for a type that Triton has no name for here."""
    graph = onnx.load(path, load_external_data=False).graph
    return Tensors(tuple(map(_tensor, graph.input)), tuple(map(_tensor, graph.output)))


def _tensor(value: onnx.ValueInfoProto) -> TritonTensor:
    kind = value.type.tensor_type
    if kind.elem_type not in _TYPES:
        name = onnx.TensorProto.DataType.Name(kind.elem_type)
        raise BadInput(f"{value.name} is of type {name}, which hardedge never exports. Export the bundle again.")
    shape = tuple(each.dim_value if each.HasField("dim_value") else VARIES for each in kind.shape.dim)
    return TritonTensor(value.name, _TYPES[kind.elem_type], shape)


def max_batch_size(tensors: Tensors, profiles: tuple[Profile, ...]) -> int:
    """The batch that every profile holds, since Triton may form it of images of any size; 0 where it is fixed.

    Raises BadInput for a profile that does not take a single image.
    """
    if not tensors.varies:
        return 0
    if any(profile.min[0] > 1 for profile in profiles):
        raise BadInput(
            f"Triton asks for single images too, and the profiles hold {profiles_in_words(profiles)}. "
            "Export with profiles whose smallest batch is 1."
        )
    return min(profile.max[0] for profile in profiles)


def config_of(
    name: str,
    platform: Platform,
    tensors: Tensors,
    profiles: tuple[Profile, ...],
    options: BuildOptions,
    serving: Serving,
    warm_ups: Sequence[WarmUp],
) -> Any:
    """Triton's ModelConfig; raises BadInput for batches that the model does not take, and for a plan on a CPU."""
    config = _messages().ModelConfig(name=name, platform=platform, max_batch_size=max_batch_size(tensors, profiles))
    for messages, ours in ((config.input, tensors.inputs), (config.output, tensors.outputs)):
        for tensor in ours:
            messages.add(name=tensor.name, data_type=_type(tensor), dims=_dims(config, tensor.shape))
    config.version_policy.latest.num_versions = serving.versions
    _add_batching(config, serving)
    _add_instances(config, serving, profiles, options)
    for warm_up in warm_ups:
        _add_warm_up(config, tensors.inputs[0], warm_up)
    return config


def _type(tensor: TritonTensor) -> int:
    return int(_messages().DataType.Value(tensor.type))


def _dims(config: Any, shape: Sequence[int]) -> list[int]:
    return list(shape[1:] if config.max_batch_size else shape)


def _add_batching(config: Any, serving: Serving) -> None:
    largest = config.max_batch_size
    if largest < 2:
        if serving.preferred or serving.delay:
            found = "a fixed batch" if largest == 0 else "single images"
            raise BadInput(
                f"--preferred-batch, --queue-delay: this network takes {found}, so Triton forms no batches. "
                "Leave them out, or export with a profile of larger batches."
            )
        return
    wrong = [size for size in serving.preferred if size > largest]
    if wrong:
        raise BadInput(f"--preferred-batch {wrong[0]}: the profiles hold batches of 1 to {largest}. Give one of these.")
    config.dynamic_batching.SetInParent()  # there, though every field may have its default
    config.dynamic_batching.preferred_batch_size.extend(sorted(set(serving.preferred)))
    config.dynamic_batching.max_queue_delay_microseconds = serving.delay


def _add_instances(config: Any, serving: Serving, profiles: Sequence[Profile], options: BuildOptions) -> None:
    group = config.instance_group.add(count=serving.instances)
    if config.platform == "onnxruntime_onnx":
        group.kind = group.Kind.Value(f"KIND_{serving.kind.upper()}")
        return
    if serving.kind == "cpu":
        raise BadInput("--on cpu: an engine of TensorRT runs on a GPU. Leave it out, or give --precision for the ONNX.")
    group.kind = group.KIND_GPU
    group.profile.extend(str(place) for place in range(len(profiles)))
    if options.dla is not None:
        group.secondary_devices.add(kind=group.SecondaryDevice.KIND_NVDLA, device_id=options.dla)


def _add_warm_up(config: Any, image: TritonTensor, warm_up: WarmUp) -> None:
    request = config.model_warmup.add(name=warm_up.name, batch_size=1)
    given = request.inputs[image.name]
    given.data_type = _type(image)
    given.dims.extend(_dims(config, warm_up.shape))
    if warm_up.file:
        given.input_data_file = warm_up.file
    else:
        given.zero_data = True


def config_text(config: Any) -> str:
    """The configuration as config.pbtxt has it."""
    from google.protobuf import text_format  # type: ignore[import-untyped]

    return str(text_format.MessageToString(config))


def parse_config(text: str) -> Any:
    """A configuration as Triton reads it; raises protobuf's ParseError."""
    from google.protobuf import text_format

    return text_format.Parse(text, _messages().ModelConfig())


def read_config(path: Path) -> Any:
    """A config.pbtxt as Triton reads it; raises BadInput for what is none."""
    from google.protobuf import text_format

    try:
        return parse_config(path.read_text(encoding="utf-8"))
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no configuration of Triton ({error}). Correct it, or give another --name.") from None


def config_differences(config: Any, platform: str, tensors: Tensors, largest: int) -> list[str]:
    """Where a configuration does not say what the file is, in words: none where Triton would load it as it is."""
    found = [
        f"{what} {theirs}, expected {ours}"
        for what, theirs, ours in (
            ("platform", config.platform, platform),
            ("max_batch_size", config.max_batch_size, largest),
        )
        if theirs != ours
    ]
    for kind, messages, expected in (
        ("input", config.input, tensors.inputs),
        ("output", config.output, tensors.outputs),
    ):
        theirs, ours = _tensor_rows(messages), [(each.name, each.type, _dims(config, each.shape)) for each in expected]
        found += [f"{kind}s {_in_words(theirs)}, expected {_in_words(ours)}"] if theirs != ours else []
    return found


def _tensor_rows(messages: Iterable[Any]) -> list[tuple[str, str, list[int]]]:
    types = _messages().DataType
    return [(message.name, types.Name(message.data_type), list(message.dims)) for message in messages]


def _in_words(tensors: Sequence[tuple[str, str, list[int]]]) -> str:
    return "; ".join(f"{name} {kind} {dims}" for name, kind, dims in tensors) or "none"


def require_triton() -> None:
    """Raises Unavailable without the extra `triton`."""
    _messages()


def _messages() -> Any:
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError:
        raise missing_extra("tritonclient", "triton") from None
    return model_config_pb2
