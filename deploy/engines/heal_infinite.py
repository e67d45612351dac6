"""A bundle's ONNX file as it is built: where its values do not fit their type, with the nodes in FP32 that mend it."""

from __future__ import annotations

from pathlib import Path

from hardedge.console import note, waiting
from hardedge.contracts import Bundle, HealedNode
from hardedge.deploy.bundles.contents import golden_image
from hardedge.deploy.bundles.validity import read_model
from hardedge.deploy.engines.finite import NotRun, images_to_try, nodes_kept_finite
from hardedge.deploy.engines.smallest_pins import in_words
from hardedge.deploy.tensorrt.plans import Order
from hardedge.errors import BadInput
from hardedge.graphs.pinning import pinned


def finite_file(
    directory: Path, bundle: Bundle, onnx: Path, folder: Path, order: Order
) -> tuple[Path, tuple[HealedNode, ...]]:
    """The file itself where its logits are finite on golden images, else one in `folder` with the nodes pinned.

    Raises BadInput with the node where pinning does not help, and where the order forbids it.
    """
    model = read_model(onnx)
    images = {id: golden_image(directory, id) for id in bundle.golden}
    with waiting(f"infinite values in {onnx.name}"):
        few = images_to_try(images, bundle.model("fp32").census.multiply_adds)
        try:
            healed = nodes_kept_finite(model, few, str(onnx))
        except NotRun as reason:
            note(f"{onnx.name}: infinite values were not looked for, as onnxruntime does not take it ({reason}).")
            return onnx, ()
    if not healed:
        return onnx, ()
    if not order.heal:
        raise BadInput(f"{onnx}: {in_words(healed)}; --no-heal forbids it. Build without --no-heal, or in FP32.")
    note(f"{onnx.name}: {in_words(healed)}")
    path = folder / "finite.onnx"
    path.write_bytes(pinned(model, {each.node for each in healed}).SerializeToString(deterministic=True))
    return path, healed
