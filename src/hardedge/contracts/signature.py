"""Who vouches for a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hardedge.contracts.base import Contract


@dataclass(frozen=True, kw_only=True)
class Signature(Contract):
    """A signature (Ed25519) on a manifest, in MANIFEST.sig beside it.

    Signed are these lines: `hardedge.signature/1`, the manifest's schema id, its digest, and `signed`, a time in UTC.
    `public_key` says who claims to have signed, in hexadecimal digits; who is trusted is said elsewhere.
    """

    SCHEMA: ClassVar[str] = "hardedge.signature/1"

    schema_id: str
    manifest_schema: str
    manifest_digest: str
    signed: str
    public_key: str
    signature: str
