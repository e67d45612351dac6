"""Signatures on real bundles and engines: what is trusted is loaded, everything else is refused by name."""

import dataclasses
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from hardedge.contracts import Bundle, Engine, Signature, load, read_json, seal, to_json
from hardedge.deploy.bundles.signing import Trust, read_trust, sign, write_keys
from hardedge.deploy.engines.build import build
from hardedge.errors import BadInput, Unavailable

pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with maker and stranger, and the public half of each."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("maker", "stranger"):
        write_keys(folder / name)
    return folder


@pytest.fixture
def trust(keys: Path) -> Trust:
    return read_trust(keys / "maker.pub")


@pytest.fixture
def signed(own_bundle: Path, keys: Path) -> Path:
    sign(own_bundle, keys / "maker")
    return own_bundle


def test_a_signed_bundle_is_trusted_and_still_loads(signed: Path, trust: Trust) -> None:
    manifest = load(Bundle, signed)
    trust.require(signed, manifest)
    written = read_json(Signature, signed / "bundle.json.sig")
    assert (written.manifest_digest, written.public_key) == (manifest.digest, trust.key.hex())
    assert "bundle.json.sig" not in manifest.files


def test_the_signature_is_one_that_openssl_takes(signed: Path, keys: Path, tmp_path: Path) -> None:
    """An independent implementation, on the lines that the contract says are signed."""
    written = read_json(Signature, signed / "bundle.json.sig")
    lines = ("hardedge.signature/1", Bundle.SCHEMA, load(Bundle, signed).digest, written.signed)
    (tmp_path / "message").write_bytes("\n".join(lines).encode())
    (tmp_path / "signature").write_bytes(bytes.fromhex(written.signature))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys / "maker.pub"), "-rawin"]
    command += ["-in", str(tmp_path / "message"), "-sigfile", str(tmp_path / "signature")]
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done.stderr


def test_a_key_of_openssl_signs(own_bundle: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    sign(own_bundle, private)
    read_trust(public).require(own_bundle, load(Bundle, own_bundle))


def test_another_key_is_refused(signed: Path, keys: Path) -> None:
    with pytest.raises(BadInput, match="signed by another key"):
        read_trust(keys / "stranger.pub").require(signed, load(Bundle, signed))


def test_another_key_that_claims_to_be_the_trusted_one_is_refused(own_bundle: Path, keys: Path, trust: Trust) -> None:
    forged = dataclasses.replace(sign(own_bundle, keys / "stranger"), public_key=trust.key.hex())
    (own_bundle / "bundle.json.sig").write_text(to_json(forged))
    with pytest.raises(BadInput, match="does not sign .*no key made it like this"):
        trust.require(own_bundle, load(Bundle, own_bundle))


def test_a_manifest_changed_after_signing_is_refused(
    signed: Path, trust: Trust, resealed: Callable[..., Bundle]
) -> None:
    # sealed anew, so that every digest fits: only the signature can tell
    (signed / "model.onnx").write_bytes((signed / "control.onnx").read_bytes())
    resealed(signed)
    manifest = load(Bundle, signed)
    with pytest.raises(BadInput, match="the manifest was changed after it was signed"):
        trust.require(signed, manifest)


@pytest.mark.parametrize("field", ["signed", "manifest_schema", "manifest_digest", "signature"])
def test_a_changed_signature_is_refused_or_changes_nothing(signed: Path, trust: Trust, field: str) -> None:
    path = signed / "bundle.json.sig"
    values = json.loads(path.read_text())
    values[field] = {"signed": "2099-01-01T00:00:00+00:00", "manifest_schema": "hardedge.bundle/0"}.get(
        field, "0" * 128
    )
    path.write_text(json.dumps(values))
    if field == "manifest_digest":  # only said, never believed
        trust.require(signed, load(Bundle, signed))
        return
    with pytest.raises(BadInput, match="bundle.json.sig"):
        trust.require(signed, load(Bundle, signed))


def test_a_missing_signature_is_refused(own_bundle: Path, trust: Trust) -> None:
    with pytest.raises(BadInput, match=r"is not signed: there is no bundle.json.sig.*hardedge sign"):
        trust.require(own_bundle, load(Bundle, own_bundle))


def test_the_signature_of_another_bundle_is_refused(
    signed: Path, trust: Trust, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(signed, other)
    resealed(other, loss="another")
    with pytest.raises(BadInput, match="it was made for digest .*the signature is another artefact's"):
        trust.require(other, load(Bundle, other))


def test_a_bundles_signature_does_not_sign_an_engine(signed: Path, trust: Trust, tmp_path: Path) -> None:
    build(signed, "onnxruntime:cpu", tmp_path / "engine")
    shutil.copy(signed / "bundle.json.sig", tmp_path / "engine/engine.json.sig")
    with pytest.raises(BadInput, match="exchanged for one of another kind"):
        trust.require(tmp_path / "engine", load(Engine, tmp_path / "engine"))


def test_an_older_release_is_refused_by_its_time(signed: Path, trust: Trust, keys: Path) -> None:
    manifest = load(Bundle, signed)
    read_trust(keys / "maker.pub", datetime(2020, 1, 1, tzinfo=timezone.utc)).require(signed, manifest)
    late = dataclasses.replace(trust, since=datetime(2999, 1, 1, tzinfo=timezone.utc))
    with pytest.raises(BadInput, match=r"before --signed-since 2999-01-01.*older release"):
        late.require(signed, manifest)


def test_an_older_form_of_manifest_is_refused(signed: Path) -> None:
    values = json.loads((signed / "bundle.json").read_text())
    (signed / "bundle.json").write_text(json.dumps(values | {"schema_id": "hardedge.bundle/0"}, indent=1))
    with pytest.raises(BadInput, match="schema_id: expected hardedge.bundle/"):
        load(Bundle, signed)


def test_an_engines_plan_is_vouched_for_by_a_trusted_bundle_or_by_its_own_signature(
    signed: Path, trust: Trust, keys: Path, tmp_path: Path
) -> None:
    engine = build(signed, "onnxruntime:cpu", tmp_path / "engine")
    with pytest.raises(BadInput, match="is not signed"):
        trust.require_engine(tmp_path / "engine", engine)
    trust.vouching(load(Bundle, signed).files.values()).require_engine(tmp_path / "engine", engine)
    # one file beside the bundle's own is enough to ask for a signature
    (tmp_path / "engine/weights.onnx").write_bytes(b"of a stranger")
    larger = seal(tmp_path / "engine", engine)
    with pytest.raises(BadInput, match="is not signed"):
        trust.vouching(load(Bundle, signed).files.values()).require_engine(tmp_path / "engine", larger)
    sign(tmp_path / "engine", keys / "maker")
    trust.require_engine(tmp_path / "engine", load(Engine, tmp_path / "engine"))


def test_an_altered_bundle_is_not_signed(own_bundle: Path, keys: Path) -> None:
    (own_bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(BadInput, match="model.onnx: changed"):
        sign(own_bundle, keys / "maker")
    assert not (own_bundle / "bundle.json.sig").exists()


def test_keys_are_private_and_never_replaced(keys: Path) -> None:
    assert stat.S_IMODE((keys / "maker").stat().st_mode) == 0o600
    before = (keys / "maker").read_bytes()
    with pytest.raises(BadInput, match="never replaced"):
        write_keys(keys / "maker")
    assert (keys / "maker").read_bytes() == before


def test_where_no_key_can_be_written_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file is a file"):
        write_keys(tmp_path / "file" / "maker")
    with pytest.raises(BadInput, match="file is a file: nothing can be written below it"):
        write_keys(tmp_path / "file" / "x" / "maker")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hardedge.deploy.bundles.signing.write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        write_keys(tmp_path / "maker")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"", "no public key"), (b"\x00" * 200, "no public key"), ("maker", "is a private key")],
)
def test_what_is_no_public_key_is_refused(keys: Path, tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes((keys / content).read_bytes() if isinstance(content, str) else content)
    with pytest.raises(BadInput, match=said):
        read_trust(path)


def test_keys_of_another_kind_and_encrypted_ones_are_told(own_bundle: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    elliptic = ec.generate_private_key(ec.SECP256R1())
    plain = elliptic.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    (tmp_path / "ec").write_bytes(plain)
    public = elliptic.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub").write_bytes(public)
    locked = forms.BestAvailableEncryption(b"words")
    secret = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "locked").write_bytes(secret.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked))
    with pytest.raises(BadInput, match="another kind of key than Ed25519"):
        sign(own_bundle, tmp_path / "ec")
    with pytest.raises(BadInput, match="another kind of key than Ed25519"):
        read_trust(tmp_path / "ec.pub")
    with pytest.raises(BadInput, match="is encrypted.*openssl pkey"):
        sign(own_bundle, tmp_path / "locked")


def test_a_huge_or_nested_signature_is_refused(signed: Path, trust: Trust) -> None:
    for content in (b"[" * 1_000_000, b"{}" + b" " * (1 << 20), b"\xff\xfe"):
        (signed / "bundle.json.sig").write_bytes(content)
        with pytest.raises(BadInput, match="not a valid signature"):
            trust.require(signed, load(Bundle, signed))


def test_without_the_extra_the_command_is_told(own_bundle: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[sign\]'"):
        sign(own_bundle, keys / "maker")
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[sign\]'"):
        read_trust(keys / "maker.pub")


def test_the_command_makes_keys_and_signs(own_bundle: Path, tmp_path: Path, hardedge: Program) -> None:
    made = hardedge("sign", "--new-key", tmp_path / "release.pem")
    assert made.stdout == f"{tmp_path / 'release.pem.pub'}\n"
    done = hardedge("sign", own_bundle, "--key", tmp_path / "release.pem")
    assert done.returncode == 0, done.stderr
    read_trust(tmp_path / "release.pem.pub").require(own_bundle, load(Bundle, own_bundle))
    assert hardedge("sign", own_bundle).returncode == 2
    assert hardedge("sign", "--key", tmp_path / "release.pem", "--new-key", tmp_path / "b").returncode == 2
    assert not (tmp_path / "b").exists()


def test_a_sealed_directory_can_be_signed_again(signed: Path, keys: Path) -> None:
    """The second signature replaces the first and is none of the manifest's files."""
    before = load(Bundle, signed)
    sign(signed, keys / "stranger")
    assert load(Bundle, signed) == before
    read_trust(keys / "stranger.pub").require(signed, before)
    assert seal(signed, before).files == before.files
