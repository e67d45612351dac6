"""Plans of a network that its builder refuses: built again with the fewest nodes in FP32, and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hardedge.console import note
from hardedge.contracts import FallbackNode, Profile
from hardedge.deploy.backends.backend import Backend
from hardedge.deploy.backends.request import BuildRefused, BuildRequest, BuiltPlan, Target
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.engines.fp32_fallback import fallback_text, find_nodes_to_pin
from hardedge.graphs.pinning import pin_to_fp32, pinning_candidates


def compile_with_fp32_fallback(
    backend: Backend,
    onnx: Path,
    precision: str,
    targets: Sequence[Target],
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
) -> dict[Target, BuiltPlan]:
    """As the backend compiles; a refused network of less than FP32 is healed for each target that refuses it.

    Raises the refusal itself where the request forbids healing, or no set of nodes in FP32 helps.
    """
    try:
        return backend.compile(onnx, precision, targets, profiles, folder, request)
    except BuildRefused as refusal:
        if not request.heal:
            raise
        if len(targets) == 1:
            return {
                targets[0]: _compile_pinned(backend, onnx, precision, targets[0], profiles, folder, request, refusal)
            }
    plans: dict[Target, BuiltPlan] = {}
    for target in targets:
        plans |= compile_with_fp32_fallback(backend, onnx, precision, [target], profiles, folder, request)
    return plans


def _compile_pinned(
    backend: Backend,
    onnx: Path,
    precision: str,
    target: Target,
    profiles: Sequence[Profile],
    folder: Path,
    request: BuildRequest,
    refusal: BuildRefused,
) -> BuiltPlan:
    model = read_model(onnx)
    precisions = pinning_candidates(model)
    path = folder / f"healed-{target.device or 'here'}.onnx"

    def built(pins: frozenset[str]) -> BuiltPlan:
        path.write_bytes(pin_to_fp32(model, pins).SerializeToString())
        return backend.compile(path, precision, [target], profiles, folder, request)[target]

    def attempt(pins: frozenset[str]) -> str | None:
        try:
            built(pins)
        except BuildRefused as again:
            return str(again)
        return None

    chosen = find_nodes_to_pin(precisions, str(refusal), attempt) if precisions else None
    if chosen is None:
        raise refusal
    plan = built(frozenset(chosen))
    operators = {node.name: node.op_type for node in model.graph.node}
    healed = tuple(
        FallbackNode(node=name, operator=operators[name], precision=precisions[name], why=refusal.reason)
        for name in chosen
    )
    note(f"{target}: {fallback_text(healed)}")
    return replace(plan, healed=healed, onnx=path)
