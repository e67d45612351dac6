"""Component lists in CycloneDX, the same bytes for the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from hardedge.errors import missing_extra

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.bom import Bom

FILE: Final = "components.cdx.json"  # of a bundle
_OF: Final = "hardedge"  # what the names of our own properties begin with


def require_cyclonedx() -> None:
    """Raises Unavailable without the extra `components`."""
    for module, package in (("cyclonedx", "cyclonedx-python-lib"), ("packaging", "packaging")):
        try:
            __import__(module)
        except ImportError:
            raise missing_extra(package, "components") from None


def as_json(bom: Bom) -> str:
    """The list as JSON (CycloneDX 1.6), its serial number made from its content."""
    from cyclonedx.output.json import JsonV1Dot6

    bom.metadata.timestamp = None  # type: ignore[assignment]  # the library's own default is now
    bom.serial_number = UUID(int=0)
    bom.serial_number = uuid5(NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def sha256_hash(digest: str) -> HashType:
    """A digest as CycloneDX writes it."""
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def own_properties(**values: str) -> list[Property]:
    """hardedge's own properties, without the empty ones."""
    from cyclonedx.model import Property

    return [Property(name=f"{_OF}:{name}", value=value) for name, value in values.items() if value]
