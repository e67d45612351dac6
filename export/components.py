"""A bundle's component list in CycloneDX: the network with its files, its data, and the libraries that made it.

The same bundle made with the same libraries has the same bytes: no time, and a serial number from the content.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hardedge.contracts import Bundle, Checkpoint, seal, sha256_of, write_atomically
from hardedge.cyclonedx_json import FILE, as_json, own_properties, require_cyclonedx, sha256_hash
from hardedge.errors import Unavailable
from hardedge.version import __version__

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from packaging.requirements import Requirement

STAGES: Final = ("train", "export")  # the extras whose libraries train and export


def with_components(directory: Path, bundle: Bundle, checkpoint: Checkpoint, data: tuple[str, str]) -> Bundle:
    """Writes the list into a bundle and seals it again; `data` are the name and digest of the data that verified it.

    Of the training, torch's version is known; every other library is the one that is installed here, now.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.tool import ToolRepository

    model = _model(directory, bundle, checkpoint)
    libraries = installed_components()
    _mark_training(libraries, checkpoint.torch)
    listed = [library for library, _ in libraries.values()]
    sets = {(checkpoint.data, checkpoint.data_digest): "training", data: "reference"}
    if (checkpoint.data, checkpoint.data_digest) == data:
        sets = {data: "training and reference"}
    listed += [_data(name, digest, what) for (name, digest), what in sets.items()]
    bom = Bom(components=listed, metadata=BomMetaData(component=model, tools=ToolRepository(components=[_tool()])))
    bom.register_dependency(model, listed)
    for library, needed in libraries.values():
        bom.register_dependency(library, [libraries[name][0] for name in needed])
    write_atomically(directory / FILE, as_json(bom).encode())
    return seal(directory, bundle)


def require_extendable(bundle: Path) -> None:
    """Raises Unavailable where a bundle has a list that could not be added to here."""
    if (bundle / FILE).is_file():
        require_cyclonedx()


def add_file(directory: Path, name: str) -> None:
    """Adds a file of the bundle to the list that it has, if any, in place of one of that name."""
    if not (directory / FILE).is_file():
        return
    import json

    from cyclonedx.model.bom import Bom

    bom: Bom = Bom.from_json(json.loads((directory / FILE).read_text(encoding="utf-8")))  # type: ignore[attr-defined]
    assert bom.metadata.component is not None
    files = bom.metadata.component.components
    bom.metadata.component.components = [*(file for file in files if file.name != name), _file(directory / name)]
    write_atomically(directory / FILE, as_json(bom).encode())


def _model(directory: Path, bundle: Bundle, checkpoint: Checkpoint) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    files = sorted(path for pattern in ("model*.onnx", "model*.onnx.data") for path in directory.glob(pattern))
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=bundle.network.name,
        version=checkpoint.digest[:12],
        bom_ref="model",
        description=f"Semantic segmentation into {bundle.task.num_classes} classes",
        hashes=[sha256_hash(sha256_of(directory / bundle.model("fp32").path))],
        components=[_file(path) for path in files],
        properties=own_properties(checkpoint=checkpoint.digest, loss=bundle.loss, branches=",".join(bundle.branches)),
    )


def _file(path: Path) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.FILE, name=path.name, bom_ref=f"file:{path.name}", hashes=[sha256_hash(sha256_of(path))]
    )


def _data(name: str, digest: str, what: str) -> Component:
    """The digest is of classes, splits, and the files' names and sizes: a property, not a hash of bytes."""
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.DATA,
        name=name,
        bom_ref=f"data:{digest}",
        description=f"The {what} data",
        properties=own_properties(data_digest=digest),
    )


def _tool() -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(type=ComponentType.APPLICATION, name="hardedge", version=__version__, bom_ref="tool")


def installed_components() -> dict[str, tuple[Component, list[str]]]:
    """The libraries that train and export, and theirs, as they are installed here: each with the names of its own.

    Raises Unavailable where hardedge itself is no installed package, so that nobody knows what it needs.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, tuple[Component, set[str]]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [("", "hardedge", extra) for extra in STAGES]
    while waiting:
        parent, name, extra = waiting.pop()
        distribution = _distribution(name)
        if distribution is None:
            continue
        if parent in found and name != parent:
            found[parent][1].add(name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        if name != "hardedge":
            found.setdefault(name, (_library(name, distribution.version), set()))
        for requirement in _requirements(distribution, extra):
            needed = canonicalize_name(requirement.name)
            waiting += [(name, needed, each) for each in ("", *sorted(requirement.extras))]
    if ("hardedge", "export") not in seen:
        raise Unavailable("hardedge is not installed as a package here, so its libraries are not known: pip install .")
    return {name: (library, sorted(needed)) for name, (library, needed) in sorted(found.items())}


def _distribution(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements(distribution: Distribution, extra: str) -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _library(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL(type="pypi", name=name, version=version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=purl.to_string(),
        properties=own_properties(stage="export"),
    )


def _mark_training(libraries: dict[str, tuple[Component, list[str]]], trained_with: str) -> None:
    """Says which torch trained: the installed release (`2.9.0+cpu` is 2.9.0's), or another beside it."""
    from packaging.version import Version

    here = libraries.get("torch")
    if here is None or Version(here[0].version or "0").public != Version(trained_with).public:
        here = libraries["torch of the training"] = (_library("torch", trained_with), [])
        here[0].properties.clear()
    here[0].properties.update(own_properties(stage="training"))
