"""The component list of a bundle: valid CycloneDX, the files' own digests, the libraries that are installed here."""

import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hardedge.contracts import Bundle, Checkpoint, load, sha256_of
from hardedge.cyclonedx_json import FILE
from hardedge.data.opening import open_dataset
from hardedge.deploy.bundles.signing import read_trust, sign, write_keys
from hardedge.errors import BadInput, Unavailable
from hardedge.export.components import add_file, installed_components, with_components
from hardedge.export.stage import export

pytest.importorskip("cyclonedx", reason="comes with hardedge[components]")

# the list of a bundle again, in a process of its own
AGAIN = """
import sys
from pathlib import Path
from hardedge.contracts import Bundle, Checkpoint, load
from hardedge.data.opening import open_dataset
from hardedge.export.components import with_components

bundle, checkpoint, data = map(Path, sys.argv[1:])
dataset = open_dataset(data)
with_components(bundle, load(Bundle, bundle), load(Checkpoint, checkpoint), (dataset.name, dataset.digest()))
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, data: Path, checkpoint: Path, bundle: Path) -> Path:
    """An exported bundle with its list, and a second file as `--frontend tensor` writes one."""
    folder = Path(shutil.copytree(bundle, tmp_path_factory.mktemp("listed") / "bundle"))
    shutil.copy(folder / "model.onnx", folder / "model.tensor.onnx")
    dataset = open_dataset(data)
    verified_on = (dataset.name, dataset.digest())
    with_components(folder, load(Bundle, bundle), load(Checkpoint, checkpoint), verified_on)
    return folder


@pytest.fixture
def own(listed: Path, tmp_path: Path) -> Path:
    """A copy for a test that changes it."""
    return Path(shutil.copytree(listed, tmp_path / "bundle"))


def components(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / FILE).read_text())
    return found


def require_valid(text: str) -> None:
    """The library's own validator, against the schema that it comes with."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    pytest.importorskip("jsonschema")
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error


def test_it_is_valid_and_covered_by_the_manifest(listed: Path) -> None:
    require_valid((listed / FILE).read_text())
    with pytest.raises(AssertionError):  # the validator sees what is wrong
        require_valid((listed / FILE).read_text().replace('"machine-learning-model"', '"model"'))
    assert load(Bundle, listed).files[FILE] == sha256_of(listed / FILE)


def test_the_network_has_its_files_with_their_digests(listed: Path, checkpoint: Path) -> None:
    model = components(listed)["metadata"]["component"]
    bundle, trained = load(Bundle, listed), load(Checkpoint, checkpoint)
    assert (model["type"], model["name"]) == ("machine-learning-model", "lraspp_mobilenet_v3_large")
    assert model["hashes"] == [{"alg": "SHA-256", "content": bundle.files["model.onnx"]}]
    digests = {file["name"]: file["hashes"][0]["content"] for file in model["components"]}
    assert digests == {name: bundle.files[name] for name in ("model.onnx", "model.tensor.onnx")}
    told = {each["name"]: each["value"] for each in model["properties"]}
    assert told == {
        "hardedge:checkpoint": trained.digest,
        "hardedge:loss": trained.loss,
        "hardedge:branches": "hardness-faithful",
    }


def test_data_and_libraries_are_listed_with_versions_and_purls(listed: Path, data: Path) -> None:
    found = components(listed)
    (trained_on,) = [each for each in found["components"] if each["type"] == "data"]
    dataset = open_dataset(data)
    assert (trained_on["name"], trained_on["description"]) == (dataset.name, "The training and reference data")
    assert trained_on["properties"] == [{"name": "hardedge:data_digest", "value": dataset.digest()}]
    libraries = {each["name"]: each for each in found["components"] if each["type"] == "library"}
    for name in ("torch", "onnxscript", "numpy", "sympy"):  # the last one is torch's own
        version = importlib.metadata.version(name)
        assert libraries[name]["version"] == version
        assert libraries[name]["purl"] == f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    stages = {each["value"] for each in libraries["torch"]["properties"]}
    assert stages == {"training", "export"}
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert libraries["sympy"]["bom-ref"] in needs[libraries["torch"]["bom-ref"]]
    assert trained_on["bom-ref"] in needs["model"]
    # what only tests and documents need makes no bundle
    assert {"pytest", "ruff", "zensical"} & set(libraries) == set()


def test_what_is_not_installed_is_not_listed() -> None:
    libraries = installed_components()
    for name, (library, needed) in libraries.items():
        assert library.version == importlib.metadata.version(name)
        assert set(needed) <= set(libraries)


def test_other_processes_write_the_same_bytes(own: Path, checkpoint: Path, data: Path) -> None:
    before = (own / FILE).read_bytes()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", AGAIN, str(own), str(checkpoint), str(data)]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        assert (own / FILE).read_bytes() == before
    assert "timestamp" not in components(own)["metadata"]


def test_another_network_has_another_serial_number(own: Path) -> None:
    before = components(own)["serialNumber"]
    (own / "model.mixed.onnx").write_bytes(b"a mixture")
    add_file(own, "model.mixed.onnx")
    assert components(own)["serialNumber"] != before


def test_a_file_that_tune_adds_is_added_to_the_list(own: Path) -> None:
    before = components(own)
    for content in (b"a mixture", b"another one"):
        (own / "model.mixed.onnx").write_bytes(content)
        add_file(own, "model.mixed.onnx")
    require_valid((own / FILE).read_text())
    files = components(own)["metadata"]["component"].pop("components")
    assert [file["name"] for file in files] == ["model.mixed.onnx", "model.onnx", "model.tensor.onnx"]
    assert files[0]["hashes"][0]["content"] == sha256_of(own / "model.mixed.onnx")
    after = components(own)
    assert (after["components"], after["dependencies"]) == (before["components"], before["dependencies"])
    (own / FILE).unlink()
    add_file(own, "model.mixed.onnx")
    assert not (own / FILE).exists()


def test_another_torch_than_that_of_the_training_is_listed_beside_it(own: Path, checkpoint: Path) -> None:
    trained = dataclasses.replace(load(Checkpoint, checkpoint), torch="2.9.0")
    with_components(own, load(Bundle, own), trained, ("other", "1" * 64))
    require_valid((own / FILE).read_text())
    found = components(own)["components"]
    torches = {
        each["version"]: [each["value"] for each in each["properties"]] for each in found if each["name"] == "torch"
    }
    assert torches == {"2.9.0": ["training"], importlib.metadata.version("torch"): ["export"]}
    sets = {each["name"]: each["description"] for each in found if each["type"] == "data"}
    assert sets == {trained.data: "The training data", "other": "The reference data"}


def test_a_change_is_seen_and_a_signature_covers_it(own: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    public = write_keys(tmp_path / "key")
    sign(own, tmp_path / "key")
    read_trust(public).require(own, load(Bundle, own))
    (own / FILE).write_text((own / FILE).read_text().replace("torch", "tensorflow"))
    with pytest.raises(BadInput, match=r"components.cdx.json: changed"):
        load(Bundle, own)


def test_without_the_extra_the_command_is_told_before_any_work(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[components\]'"):
        export(checkpoint, data, tmp_path / "bundle", components=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_export_writes_it_where_it_is_asked_to(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    made = export(checkpoint, data, tmp_path / "bundle", components=True)
    assert load(Bundle, tmp_path / "bundle") == made
    assert made.files[FILE] == sha256_of(tmp_path / "bundle" / FILE)
    require_valid((tmp_path / "bundle" / FILE).read_text())
