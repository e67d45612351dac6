"""The same checkpoint gives the same bytes: in another process, from another checkout, in another folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hardedge
from hardedge.contracts import sha256_of

# every file of a bundle that a graph is in, as export writes them; without engines, which have their own tests
SCRIPT = """
import sys
from pathlib import Path

import hardedge
from hardedge.contracts import Checkpoint, Profile, load, write_atomically
from hardedge.export.graph.form import parse_form
from hardedge.export.graph.pixels_to_mask import onnx_from_network, shipped_module, with_facts
from hardedge.export.graph.network import load_pixels_to_mask
from hardedge.export.graph.tensor_frontend import write_tensor_model

checkpoint, out = Path(sys.argv[1]), Path(sys.argv[2])
manifest = load(Checkpoint, checkpoint)
for name, outputs in (("model", ()), ("outputs", ("margin", "logits"))):
    form = parse_form(["64x96", "128x96"], [], None, outputs, 20)
    network = load_pixels_to_mask(checkpoint, manifest, allow_code=True)
    model = onnx_from_network(shipped_module(network, form.outputs), form.hull(), form.outputs, form.opset)
    facts = lambda graph: with_facts(graph, manifest, form)
    write_atomically(out / f"{name}.onnx", facts(model).SerializeToString(deterministic=True))
write_tensor_model(network, form, facts, {}, out)
print(hardedge.__file__)
"""


def test_processes_checkouts_and_folders_give_the_same_bytes(
    own_module: None, make_checkpoint: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    source = make_checkpoint(tmp_path / "checkpoint", data, "tiny_segmenter:build")
    here = Path(hardedge.__file__).parent
    shutil.copytree(here, tmp_path / "another" / "checkout" / "hardedge", ignore=shutil.ignore_patterns("__pycache__"))
    places = {"first": here.parent, "second": tmp_path / "another" / "checkout"}
    digests = []
    for number, (name, root) in enumerate(places.items()):
        out = tmp_path / f"folder {number}" / name
        out.mkdir(parents=True)
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(tmp_path / "modules")]),
            "PYTHONHASHSEED": str(number),
        }
        command = [sys.executable, "-c", SCRIPT, str(source), str(out)]
        done = subprocess.run(command, env=env, cwd=out, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).is_relative_to(root)
        digests.append({path.name: sha256_of(path) for path in out.iterdir()})
    assert set(digests[0]) == {"model.onnx", "outputs.onnx", "model.tensor.onnx"}
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == 3
