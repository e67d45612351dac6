"""A secret of this user's, under which their own files are known again."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from hardedge.artefact import require_folder

SIZE = 32


def user_mac(content: bytes) -> str:
    """The HMAC-SHA256 of the content under this user's key, in hexadecimal; the key is made at the first use."""
    return hmac.new(_user_key(), content, hashlib.sha256).hexdigest()


def require_user_key() -> None:
    """Raises BadInput or Unavailable where there is no key and none can be made."""
    if not _key_path().is_file():
        require_folder(_key_path().parent, "$XDG_CONFIG_HOME")


def _user_key() -> bytes:
    path = _key_path()
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # created with its mode: not readable by others for a moment
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(SIZE))
    try:
        os.link(fresh, path)  # whichever of two processes comes first makes the key
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_bytes()


def _key_path() -> Path:
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configuration) / "hardedge" / "key"
