"""Signatures: who vouches for a manifest, and through its digests for every file that it names.

A manifest's digest covers its own bytes and, by their sha256, its files; `load` checks all of them. So a signature on
that digest (Ed25519, in a file of its own beside the manifest) says that the holder of a key has seen this artefact.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hardedge.artefact import require_folder, resolve_output
from hardedge.console import note
from hardedge.contracts import (
    Bundle,
    Checkpoint,
    Dossier,
    Engine,
    Manifest,
    Report,
    Signature,
    load,
    parse_json,
    to_json,
    write_atomically,
)
from hardedge.errors import BadInput, missing_extra
from hardedge.paths import StrPath, local_path, local_paths

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNED: Final = (Bundle, Engine, Report, Checkpoint, Dossier)
MOST_BYTES: Final = 1 << 16  # of a signature file
_CURE: Final = "Get it from its maker again, or sign it: hardedge sign {directory} --key KEY"


@dataclass(frozen=True)
class Trust:
    """What is loaded: what the holder of `key` (32 bytes, Ed25519) signed, not before `since` where that is given.

    `vouched` are sha256s of files that a trusted manifest of another directory names: a trusted bundle's ONNX file is
    the plan of an onnxruntime engine.
    """

    key: bytes
    since: datetime | None = None
    vouched: frozenset[str] = frozenset()

    def require(self, directory: Path, manifest: Manifest) -> None:
        """Raises BadInput unless the manifest, as it was loaded, bears a signature of the trusted key."""
        path = signature_path(directory, type(manifest))
        signature = _read_signature(path, directory)
        _require_same_kind(path, signature, manifest)
        if signature.public_key != self.key.hex():
            raise BadInput(
                f"{path}: signed by another key ({signature.public_key[:16]}...) than the trusted one "
                f"({self.key.hex()[:16]}...). Give its maker's public key to --trust, or do not use it."
            )
        if not _is_valid(self.key, signature, manifest.digest):
            own = _is_valid(self.key, signature, signature.manifest_digest)
            why = f"it was made for digest {signature.manifest_digest[:16]}..." if own else "no key made it like this"
            raise BadInput(
                f"{path} does not sign {directory / manifest.FILE} ({why}, here is {manifest.digest[:16]}...): "
                "the manifest was changed after it was signed, or the signature is another artefact's, or damaged. "
                f"{_CURE.format(directory=directory)}"
            )
        if self.since and _time_of(signature.signed, path) < self.since:
            raise BadInput(
                f"{path}: signed on {signature.signed}, before --signed-since {self.since.isoformat()}: an older "
                "release is in its place. Install the current one, or give an earlier time."
            )

    def require_engine(self, directory: Path, engine: Engine) -> None:
        """As require, for an engine; one whose files a trusted manifest names, all, needs no signature of its own."""
        if not engine.files or not set(engine.files.values()) <= self.vouched:
            self.require(directory, engine)

    def vouching(self, digests: Iterable[str]) -> Trust:
        """The same trust, extended to files with these sha256s."""
        return replace(self, vouched=self.vouched | frozenset(digests))


def read_trust(public_key: StrPath, since: datetime | None = None) -> Trust:
    """The trust in the holder of an Ed25519 public key (PEM, as `hardedge sign --new-key` and openssl write it).

    Raises BadInput for a file that holds no such key, Unavailable without the extra `sign`.
    """
    public_key = local_path(public_key)
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _key_bytes(public_key)
    if b"PRIVATE KEY" in content:
        raise BadInput(f"{public_key} is a private key: it belongs to the signer alone. Give its public half, KEY.pub.")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{public_key} is no public key in PEM form ({error}). Give the signer's KEY.pub.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{public_key} holds another kind of key than Ed25519. Give the signer's KEY.pub.")
    return Trust(key.public_bytes_raw(), since)


def sign(directory: StrPath, private_key: StrPath) -> Signature:
    """Writes the signature beside the manifest of an artefact whose files were all checked, and returns it.

    Raises BadInput for an altered artefact, a directory without one, and a file that holds no Ed25519 private key;
    Unavailable without the extra `sign`.
    """
    directory, private_key = local_paths((directory, private_key))
    key = _read_private(private_key)
    kind = _kind_in(directory)
    require_folder(directory, "ARTEFACT")
    manifest = load(kind, directory)
    unsigned = Signature(
        schema_id=Signature.SCHEMA,
        manifest_schema=manifest.SCHEMA,
        manifest_digest=manifest.digest,
        signed=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        public_key=key.public_key().public_bytes_raw().hex(),
        signature="",
    )
    signature = replace(unsigned, signature=key.sign(_message(unsigned, manifest.digest)).hex())
    write_atomically(signature_path(directory, type(manifest)), to_json(signature).encode())
    return signature


def write_keys(path: StrPath) -> Path:
    """Writes a new private key (PEM, readable by its owner alone) and PATH.pub; returns the latter's path.

    Raises BadInput when either exists: a key is never replaced.
    """
    path = resolve_output(local_path(path), "--new-key")
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = path.with_name(f"{path.name}.pub")
    there = [str(each) for each in (path, public) if each.exists()]
    if there:
        raise BadInput(f"{' and '.join(there)} exists, and a key is never replaced. Give another name.")
    require_folder(path.parent, "--new-key")
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    # created with its mode: not readable by others for a moment
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    shown = key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
        write_atomically(public, shown)
    except BaseException:
        path.unlink()  # half a pair would be in the way of the next one
        raise
    return public


def signature_path(directory: Path, kind: type[Manifest]) -> Path:
    """Where the signature of an artefact lies: `bundle.json.sig` beside `bundle.json`."""
    return directory / f"{kind.FILE}.sig"


def _kind_in(directory: Path) -> type[Manifest]:
    for kind in SIGNED:
        if (directory / kind.FILE).is_file():
            return kind
    names = ", ".join(kind.FILE for kind in SIGNED)
    raise BadInput(f"{directory} holds nothing that can be signed: none of {names}. Give a bundle or an engine.")


def _read_signature(path: Path, directory: Path) -> Signature:
    if not path.is_file():
        raise BadInput(
            f"{directory} is not signed: there is no {path.name} in it, and with --trust only what a trusted key "
            f"signed is loaded. {_CURE.format(directory=directory)}"
        )
    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    signature = parse_json(Signature, content, str(path))
    if signature.schema_id != Signature.SCHEMA:
        raise BadInput(
            f"{path}, schema_id: expected {Signature.SCHEMA}, got {signature.schema_id[:60]}. Sign it again."
        )
    return signature


def _require_same_kind(path: Path, signature: Signature, manifest: Manifest) -> None:
    if signature.manifest_schema != manifest.SCHEMA:
        raise BadInput(
            f"{path} signs a {signature.manifest_schema[:60]}, but beside it is a {manifest.SCHEMA}: the manifest was "
            "exchanged for one of another kind or an older form. Get both from their maker again."
        )


def _is_valid(key: bytes, signature: Signature, digest: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(signature.signature), _message(signature, digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(signature: Signature, digest: str) -> bytes:
    """What is signed: the digest that the loaded manifest has, not the one that the signature file claims."""
    return "\n".join((Signature.SCHEMA, signature.manifest_schema, digest, signature.signed)).encode()


def _time_of(text: str, path: Path) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{path}, signed: expected a time, got {text[:60]}. Sign it again.") from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _read_private(path: Path) -> Ed25519PrivateKey:
    _require_cryptography()
    if path.is_file() and path.stat().st_mode & 0o077:
        note(f"{path} can be read by others: whoever has it can sign in your name. chmod 600 {path}")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_key_bytes(path), password=None)
    except TypeError:
        raise BadInput(
            f"{path} is encrypted, and hardedge asks for no passphrase. Hand it over decrypted without storing it: "
            "hardedge sign BUNDLE --key <(openssl pkey -in KEY)"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(
            f"{path} is no private key in PEM form ({error}). Make one: hardedge sign --new-key KEY"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path} holds another kind of key than Ed25519. Make one: hardedge sign --new-key KEY")
    return key


def _key_bytes(path: Path) -> bytes:
    # not is_file: a key may come through a pipe
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}). Make a key pair: hardedge sign --new-key KEY"
        ) from None


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401  only whether it is there
    except ImportError:
        raise missing_extra("cryptography", "sign") from None
