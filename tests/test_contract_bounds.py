"""Every number of every contract has bounds: what lies just outside is refused where it is read."""

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Le
from pydantic import TypeAdapter, ValidationError

from hardedge import contracts
from hardedge.contracts import Contract, Manifest, NetworkSpec, parse_json
from hardedge.errors import BadInput

KINDS = sorted(
    (kind for kind in vars(contracts).values() if isinstance(kind, type) and issubclass(kind, Contract)),
    key=lambda kind: kind.__name__,
)


def numbers_in(kind: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[type, tuple[Any, ...]]]:
    """Every int and float of a type, with what it is annotated with; contracts inside it have a walk of their own."""
    if get_origin(kind) is Annotated:
        inner, *found = get_args(kind)
        yield from numbers_in(inner, tuple(found))
    elif kind in (int, float):
        yield kind, metadata
    elif get_origin(kind) is not None and get_origin(kind) is not typing.Literal:
        for part in get_args(kind):
            yield from numbers_in(part)


def numeric_fields() -> list[Any]:
    found = []
    for kind in KINDS:
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
            for place, (number, metadata) in enumerate(numbers_in(hints[field.name])):
                found.append(pytest.param(number, metadata, id=f"{kind.__name__}.{field.name}.{place}"))
    return found


def test_there_are_contracts_with_numbers() -> None:
    assert len(KINDS) > 40
    assert len(numeric_fields()) > 150


@pytest.mark.parametrize(("number", "metadata"), numeric_fields())
def test_values_just_outside_are_refused(number: type, metadata: tuple[Any, ...]) -> None:
    low = next((each.ge for each in metadata if isinstance(each, Ge)), None)
    high = next((each.le for each in metadata if isinstance(each, Le)), None)
    assert low is not None, "no lower bound"
    assert high is not None, "no upper bound"
    adapter = TypeAdapter(Annotated[(number, *metadata)])  # type: ignore[valid-type]  # made here
    for inside in (low, high):
        assert adapter.validate_python(number(inside), strict=True) == inside
    outside: list[Any] = [low - 1, high + 1]
    if number is float:
        outside = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.inf, -math.inf, math.nan]
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python(value, strict=True)


@pytest.mark.parametrize("value", ["-1", "2147483648", "1e400", "NaN", "1.5", '"3"', "true"])
def test_a_number_outside_names_its_key(value: str) -> None:
    with pytest.raises(BadInput, match=r"spec\.json is not a valid networkspec:\n  num_classes: "):
        parse_json(NetworkSpec, f'{{"name": "net", "num_classes": {value}}}'.encode(), "spec.json")


def test_every_artefact_is_walked() -> None:
    assert {kind for kind in Manifest.__subclasses__() if kind.__module__.startswith("hardedge.contracts")} <= {*KINDS}
