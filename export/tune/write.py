"""What tune writes: the bundle again, with the mixture that was chosen."""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from hardedge.contracts import Bundle, Conversion, KeptNode, ModelFile, seal, to_json, write_atomically
from hardedge.deploy.parity.subset import compared_ids
from hardedge.deploy.targets import RTX_TARGETS
from hardedge.export.components import add_file
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement
from hardedge.export.precisions.coverage import multiply_adds_by_precision
from hardedge.export.precisions.engine_checks import check_engines
from hardedge.export.precisions.legality import require_legal
from hardedge.export.precisions.write import path_of
from hardedge.export.tune.mixed import partly_quantised
from hardedge.export.tune.pareto import pareto_svg
from hardedge.export.tune.record import LOW, MIXED, NodeError, Search, Tuning
from hardedge.graphs.canonical import canonical_form, complexity_of, onnx_digest


def choose_mixture(search: Search, order: Sequence[NodeError], kept: int) -> onnx.ModelProto:
    """The INT8 graph with the first `kept` nodes of the order back in FP16."""
    return partly_quantised(search.model, {entry.node for entry in order[kept:]})


def write_tuned(search: Search, tuning: Tuning, directory: Path) -> Bundle:
    """Writes the bundle again with model.mixed.onnx, tuning.json and pareto.svg; the test split judges the mixture."""
    shutil.copytree(search.directory, directory, dirs_exist_ok=True)
    write_atomically(directory / Tuning.FILE, to_json(tuning).encode())
    write_atomically(directory / "pareto.svg", pareto_svg(tuning).encode())
    others = tuple(model for model in search.bundle.models if model.precision != MIXED)
    mixed = _mixed_file(search, tuning, directory)
    add_file(directory, mixed.path)
    return seal(directory, dataclasses.replace(search.bundle, models=(*others, mixed)))


def _mixed_file(search: Search, tuning: Tuning, directory: Path) -> ModelFile:
    began = time.perf_counter()
    chosen = choose_mixture(search, tuning.order, tuning.chosen)
    names = [node.name for node in chosen.graph.node]
    model = canonical_form(chosen)
    sources = {before: ours.name for before, ours in zip(names, model.graph.node, strict=True)}
    require_legal(model, MIXED, {})
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in search.model.metadata_props})
    path = directory / path_of(MIXED)
    write_atomically(path, model.SerializeToString(deterministic=True))
    size = search.bundle.profile.opt
    by_precision = multiply_adds_by_precision(model, size)
    return ModelFile(
        path=path.name,
        precision=MIXED,
        onnx_digest=onnx_digest(model),
        census=complexity_of(model, size, multiply_adds=sum(by_precision.values())),
        conversion=Conversion(
            tool=f"hardedge tune --goal '{tuning.measure}<={tuning.goal:g}' of {path_of(LOW)}",
            multiply_adds=by_precision,
            kept=tuple(_kept_node(entry, sources) for entry in tuning.order[: tuning.chosen]),
            agreement=measure_agreement(model, LOW, _test_reference(search, directory)),
            engines=check_engines(path, MIXED, RTX_TARGETS, search.bundle.profiles),
            seconds=time.perf_counter() - began,
        ),
    )


def _kept_node(entry: NodeError, sources: Mapping[str, str]) -> KeptNode:
    return KeptNode(
        node=sources[entry.node],
        source=entry.node,
        operator=entry.operator,
        precision="fp16",
        multiply_adds=entry.multiply_adds,
        why=f"quantised alone it moves the logits by {entry.error:.3g}",
    )


def _test_reference(search: Search, directory: Path) -> PrecisionReference:
    ids = compared_ids(search.dataset.splits["test"], search.bundle.model("fp32").census.multiply_adds)
    return dataclasses.replace(search.reference, masks=directory / "reference" / "masks", ids=ids)
