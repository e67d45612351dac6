"""Manifests: strict reading, digests, and what a changed byte does."""

import dataclasses
import json
from pathlib import Path

import pytest

from hardedge import __version__
from hardedge.contracts import Engine, Profile, load, parse_json, seal
from hardedge.errors import BadInput


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    (tmp_path / "model.plan").write_bytes(b"plan bytes")
    manifest = Engine(
        schema_id=Engine.SCHEMA,
        hardedge=__version__,
        made_from="1" * 64,
        files={},
        target="tensorrt-rtx:sm86",
        precision="fp32",
        plan="model.plan",
        onnx_digest="2" * 64,
        builder="tensorrt_rtx",
        builder_version="1.7.1",
        profiles=(Profile(min=(1, 64, 64), opt=(1, 128, 256), max=(4, 1024, 2048)),),
        seconds=0.5,
    )
    seal(tmp_path, manifest)
    return tmp_path


def test_what_was_sealed_is_read_back_equal(engine: Path) -> None:
    manifest = load(Engine, engine)
    assert manifest.plan == "model.plan"
    assert manifest.profiles[0].max == (4, 1024, 2048)
    assert set(manifest.files) == {"model.plan"}
    assert seal(engine, manifest) == manifest


@pytest.mark.parametrize("name", ["model.plan", "engine.json"])
def test_any_changed_byte_is_refused(engine: Path, name: str) -> None:
    content = (engine / name).read_bytes()
    for position in range(len(content)):
        changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        (engine / name).write_bytes(changed)
        with pytest.raises(BadInput):
            load(Engine, engine)
    (engine / name).write_bytes(content)
    load(Engine, engine)


def test_all_faulty_files_are_named_together(engine: Path) -> None:
    manifest = load(Engine, engine)
    (engine / "extra.bin").write_bytes(b"x")
    seal(engine, manifest)
    (engine / "extra.bin").unlink()
    (engine / "model.plan").write_bytes(b"other")
    with pytest.raises(BadInput, match=r"(?s)extra.bin: missing.*model.plan: changed"):
        load(Engine, engine)


def test_names_that_lead_outside_are_refused(engine: Path) -> None:
    manifest = load(Engine, engine)
    text = json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=False)
    (engine.parent / "outside").write_bytes(b"plan bytes")
    (engine / "engine.json").write_text(text.replace('"model.plan": ', '"../outside": ') + "\n")
    with pytest.raises(BadInput, match="changed after it was written"):
        load(Engine, engine)
    _rehash(engine / "engine.json")
    with pytest.raises(BadInput, match="outside the directory"):
        load(Engine, engine)


def _rehash(path: Path) -> None:
    from hardedge.contracts import ZERO_DIGEST
    from hardedge.contracts.files import _digest_of_manifest

    content = path.read_bytes()
    old = json.loads(content)["digest"].encode()
    zeroed = content.replace(old, ZERO_DIGEST.encode())
    path.write_bytes(content.replace(old, _digest_of_manifest(zeroed).encode()))


def test_a_missing_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no engine.json. Create it with: hardedge deploy"):
        load(Engine, tmp_path)


def test_another_schema_is_named(engine: Path) -> None:
    path = engine / "engine.json"
    path.write_text(path.read_text().replace("hardedge.engine/2", "hardedge.engine/7"))
    with pytest.raises(BadInput, match="schema_id: expected hardedge.engine/2, got"):
        load(Engine, engine)


def test_every_fault_of_a_contract_is_reported_with_its_key() -> None:
    content = json.dumps({"min": [1, 64, "a"], "opt": [1, 2, 3], "max": [1, 2], "more": 1}).encode()
    with pytest.raises(BadInput) as caught:
        parse_json(Profile, content, "profile.json")
    message = str(caught.value)
    assert "profile.json is not a valid profile" in message
    assert "min[2]: " in message
    assert 'got "a"' in message
    assert "more: " in message
    assert "max[2]: " in message
