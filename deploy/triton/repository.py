"""A Triton model repository from a bundle: its ONNX file or an engine of TensorRT, with a configuration that fits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hardedge.artefact import require_folder, require_free, resolve_output, staged_directory
from hardedge.console import note
from hardedge.contracts import (
    BuildOptions,
    Bundle,
    Engine,
    ServedModel,
    load,
    profiles_in_words,
    seal,
    write_atomically,
)
from hardedge.deploy.bundles.loading import OpenBundle, engine_of, load_bundle
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.targets import backend_of
from hardedge.deploy.triton.config import (
    CONFIG,
    TENSOR,
    Platform,
    Serving,
    Tensors,
    config_differences,
    config_of,
    config_text,
    max_batch_size,
    parse_config,
    read_config,
    require_triton,
    triton_tensors,
)
from hardedge.deploy.triton.warm_up import Images, remove_others, warm_up_requests, write_requests
from hardedge.errors import BadInput, faults_error
from hardedge.graphs.files import copy_onnx
from hardedge.paths import StrPath, local_paths, optional_path
from hardedge.version import __version__

LAST_VERSION: Final = 2**63 - 1  # int64 in Triton's messages
FILES: Final[dict[Platform, str]] = {"onnxruntime_onnx": "model.onnx", "tensorrt_plan": "model.plan"}


@dataclass(frozen=True)
class TritonSource:
    """What Triton shall run: a file, the ONNX file that has its tensors, and what it was built for."""

    bundle: Bundle
    file: Path
    onnx: Path
    platform: Platform
    precision: str
    options: BuildOptions


def write_model(
    bundle: StrPath,
    repository: StrPath,
    *,
    name: str,
    version: int = 1,
    precision: str = "fp32",
    engine: StrPath | None = None,
    serving: Serving | None = None,
    warm_up: Images = "images",
    trust: Trust | None = None,
    force: bool = False,
) -> ServedModel:
    """Writes REPOSITORY/NAME/VERSION with the bundle's ONNX file of a precision (`tensor`: of the tensor frontend).

    Or an engine of the bundle that was built with TensorRT. Beside it config.pbtxt, read back and compared with the
    file's tensors, and the requests that warm it up. Other versions stay; the configuration is of all of them.

    Raises BadInput for an altered or untrusted bundle or engine, one that Triton cannot load, a version that is there
    (unless `force`), and other versions with other tensors; Unavailable without the extra `triton`. A version is
    there whole or not at all.
    """
    bundle, repository = local_paths((bundle, repository))
    engine = optional_path(engine)
    require_triton()
    _require_names(name, version)
    inside = [path for path in (bundle, engine) if path and repository.resolve().is_relative_to(path.resolve())]
    if inside:
        raise BadInput(f"--out {repository} is in {inside[0]}, which is read. Give a place beside it.")
    require_folder(repository)
    repository = resolve_output(repository)
    serving = serving or Serving()
    source = _source(bundle, precision, engine, trust)
    tensors = triton_tensors(source.onnx)
    model = repository / name
    _require_place(model, version, source, tensors, serving, force)
    requests = warm_up_requests(bundle, source.bundle, tensors, warm_up)
    warm_ups = [request.warm_up for request in requests]
    config = config_of(name, source.platform, tensors, source.bundle.profiles, source.options, serving, warm_ups)
    with _open_model(model) as directory:
        with staged_directory(directory / str(version), force=force) as place:
            served = _write_version(place, source, name, version, config_text(config))
        write_requests(directory, requests)
        write_atomically(directory / CONFIG, config_text(config).encode())
        remove_others(directory, requests)
    return served


def _require_names(name: str, version: int) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise BadInput(f"--name {name!r}: expected letters a to z, digits, '.', '_' and '-', a letter or digit first.")
    if not 1 <= version <= LAST_VERSION:
        raise BadInput(f"--version {version}: Triton counts versions from 1 to {LAST_VERSION}.")


def _source(directory: Path, precision: str, engine: Path | None, trust: Trust | None) -> TritonSource:
    bundle = load_bundle(directory, trust)
    if engine is not None:
        return _engine_source(bundle, engine)
    if precision == TENSOR:
        return _tensor_source(bundle)
    reason = cannot_hold("onnxruntime:cpu", precision)
    if reason:
        raise BadInput(f"--precision {precision}: {reason}. Build an engine of it and give that: --engine DIRECTORY.")
    path = bundle.model_path(precision)
    return TritonSource(bundle.manifest, path, path, "onnxruntime_onnx", precision, BuildOptions())


def _tensor_source(bundle: OpenBundle) -> TritonSource:
    tensor = bundle.manifest.tensor
    if tensor is None or tensor.path not in bundle.manifest.files:
        raise BadInput(f"{bundle.directory} has no model.tensor.onnx. hardedge export --frontend tensor writes it.")
    path = bundle.directory / tensor.path
    return TritonSource(bundle.manifest, path, path, "onnxruntime_onnx", TENSOR, BuildOptions())


def _engine_source(bundle: OpenBundle, path: Path) -> TritonSource:
    engine = engine_of(bundle, path)
    platform = backend_of(engine.target).triton
    if engine.target.startswith("tensorrt-rtx"):
        raise BadInput(
            f"{path} is for {engine.target}, and Triton's TensorRT backend loads plans of TensorRT alone. Build "
            f"one with: hardedge deploy {bundle.directory} --target tensorrt, in the container of the "
            "Triton that will serve it."
        )
    if not platform:
        raise BadInput(f"{path} is for {engine.target}, which Triton is given no engines of. Leave --engine out.")
    if engine.weights:
        raise BadInput(
            f"{path} was built with --strip-weights, and Triton does not refit plans. Build it again without that."
        )
    if engine.plan not in engine.files:
        raise BadInput(f"{path / Engine.FILE}, plan: {engine.plan} is not among its files. Build the engine again.")
    if engine.options.version_compatible:
        note("A version-compatible plan: start Triton with --backend-config=tensorrt,version-compatible=true")
    onnx = bundle.model_path(engine.precision)
    return TritonSource(bundle.manifest, path / engine.plan, onnx, platform, engine.precision, engine.options)


def _require_place(
    model: Path, version: int, source: TritonSource, tensors: Tensors, serving: Serving, force: bool
) -> None:
    """Raises BadInput where the version, or what the model's other versions are, is in the way."""
    if not model.exists():
        require_free(model, None)  # its parents too
        return
    if not (model / CONFIG).is_file():
        raise BadInput(f"{model} exists and has no {CONFIG}: no model of Triton. Give another --name or --out.")
    require_free(model / str(version), force)
    others = [number for number in _versions(model) if number != version]
    if not others:
        return
    faults = config_differences(
        read_config(model / CONFIG), source.platform, tensors, max_batch_size(tensors, source.bundle.profiles)
    )
    if serving.versions > 1:
        faults += _other_sizes(model, others, source)
    if faults:
        fix = f"Give another --name, or remove version {', '.join(map(str, others))}: a model has one configuration."
        raise faults_error(f"{model} has versions of another kind", faults, fix)
    if serving.versions == 1 and max(others) > version:
        note(f"Triton goes on with version {max(others)} of {model.name}, its latest; --serve-latest serves more.")


def _versions(model: Path) -> list[int]:
    return sorted(int(path.name) for path in model.iterdir() if path.is_dir() and re.fullmatch(r"[1-9]\d*", path.name))


def _other_sizes(model: Path, others: Sequence[int], source: TritonSource) -> list[str]:
    """The versions that a warm-up request of this one's sizes may not fit."""
    there = [number for number in others if (model / str(number) / ServedModel.FILE).is_file()]
    served = {number: load(ServedModel, model / str(number)) for number in there}
    expected = source.bundle.profiles
    return [
        f"version {number}: sizes {profiles_in_words(each.profiles)}, expected {profiles_in_words(expected)}"
        for number, each in served.items()
        if each.profiles != expected
    ]


@contextmanager
def _open_model(model: Path) -> Iterator[Path]:
    """The model's directory; a new one appears whole or not at all."""
    if model.exists():
        yield model
    else:
        with staged_directory(model, force=None) as directory:
            yield directory


def _write_version(place: Path, source: TritonSource, name: str, version: int, config: str) -> ServedModel:
    """The version's file and manifest, once the configuration was read back and said what that file is."""
    path = place / FILES[source.platform]
    copied = copy_onnx if source.platform == "onnxruntime_onnx" else shutil.copyfile
    copied(source.file, path)
    tensors = triton_tensors(path if source.platform == "onnxruntime_onnx" else source.onnx)
    largest = max_batch_size(tensors, source.bundle.profiles)
    faults = config_differences(parse_config(config), source.platform, tensors, largest)
    assert not faults, faults
    served = ServedModel(
        schema_id=ServedModel.SCHEMA,
        hardedge=__version__,
        made_from=source.bundle.digest,
        files={},
        name=name,
        version=version,
        platform=source.platform,
        source=source.file.name,
        precision=source.precision,
        max_batch_size=largest,
        profiles=source.bundle.profiles,
    )
    return seal(place, served)
