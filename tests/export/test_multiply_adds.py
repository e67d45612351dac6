"""Two counters of one network: torch's of its forward, ours of the exported file."""

from pathlib import Path

from hardedge.contracts import Bundle, load
from hardedge.models import build_network
from hardedge.models.census import multiply_adds


def test_the_exported_graph_has_the_networks_multiply_adds(bundle: Path) -> None:
    manifest = load(Bundle, bundle)
    network = build_network(manifest.network).eval()
    assert manifest.model("fp32").census.multiply_adds == multiply_adds(network, manifest.profile.opt[1:])
