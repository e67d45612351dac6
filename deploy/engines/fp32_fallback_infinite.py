"""A bundle's ONNX file as it is built: where its values do not fit their type, with the nodes in FP32 that mend it."""

from __future__ import annotations

from pathlib import Path

from hardedge.console import note, spinner
from hardedge.contracts import FallbackNode
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.engines.fp32_fallback import fallback_text
from hardedge.deploy.engines.infinities import NotRun, choose_images_to_try, find_nodes_to_keep_finite
from hardedge.errors import BadInput
from hardedge.graphs.pinning import pin_to_fp32


def write_finite_file(
    bundle: OpenBundle, onnx: Path, folder: Path, request: BuildRequest
) -> tuple[Path, tuple[FallbackNode, ...]]:
    """The file itself where its logits are finite on golden images, else one in `folder` with the nodes pinned.

    Raises BadInput with the node where pinning does not help, and where the request forbids it.
    """
    model = read_model(onnx)
    images = {id: bundle.golden_image(id) for id in bundle.manifest.golden}
    with spinner(f"infinite values in {onnx.name}"):
        few = choose_images_to_try(images, bundle.manifest.model("fp32").census.multiply_adds)
        try:
            healed = find_nodes_to_keep_finite(model, few, str(onnx))
        except NotRun as reason:
            note(f"{onnx.name}: infinite values were not looked for, as onnxruntime does not take it ({reason}).")
            return onnx, ()
    if not healed:
        return onnx, ()
    if not request.heal:
        raise BadInput(f"{onnx}: {fallback_text(healed)}; --no-heal forbids it. Build without --no-heal, or in FP32.")
    note(f"{onnx.name}: {fallback_text(healed)}")
    path = folder / "finite.onnx"
    path.write_bytes(pin_to_fp32(model, {each.node for each in healed}).SerializeToString(deterministic=True))
    return path, healed
