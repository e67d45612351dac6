"""The limits that a gates.toml may have: their types, read by pydantic as the contracts are."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, Predicate, doc
from typing_extensions import TypedDict

from hardedge.errors import BadInput
from hardedge.precisions import EXPORTED

Require = Literal["level0", "level0-engines"]
_EXPORTED_TEXT: Final = f"{', '.join(EXPORTED[:-1])} or {EXPORTED[-1]}"


def parse_required_share(text: str) -> tuple[str, float]:
    """The precision and its least share of `int8>=0.9`; raises BadInput for any other form."""
    match = re.fullmatch(rf"({'|'.join(map(re.escape, EXPORTED))})\s*>=\s*(0(?:\.\d+)?|1(?:\.0+)?)", text.strip())
    if not match:
        raise BadInput(f'"{text}" requires no precision. Write it as int8>=0.9: {_EXPORTED_TEXT}; 0 to 1.')
    return match[1], float(match[2])


def _is_required_share(text: str) -> bool:
    try:
        parse_required_share(text)
    except BadInput:
        return False
    return True


_Percent = Annotated[float, Ge(0), Le(100), doc("a number of percent, 0 to 100")]
Limits = TypedDict(
    "Limits",
    {
        "max-miou-drop": Annotated[float, Ge(0), doc("a number of points, 0 or more")],
        "max-class-drop": Annotated[float, Ge(0), doc("a number of points, 0 or more")],
        "max-unseen": Annotated[float, Gt(0), Lt(100), doc("a number of percent, between 0 and 100")],
        "max-overhead": Annotated[float, Ge(0), doc("a number of percent, 0 or more")],
        "min-miou": _Percent,
        "min-class-iou": _Percent,
        "min-pixel-agreement": _Percent,
        "require": Annotated[Require, doc('"level0" or "level0-engines"')],
        "require-precision": Annotated[
            str, Predicate(_is_required_share), doc(f'text such as "int8>=0.9": {_EXPORTED_TEXT}; 0 to 1')
        ],
        "forbid-dominated": Annotated[bool, doc("true or false")],
        "min-relative-miou": Annotated[float, Gt(0), Le(1), doc("a ratio above 0, 1 at most")],
        "built-only": Annotated[bool, doc("true or false")],
        "requirements": Annotated[
            dict[str, str],
            Predicate(lambda ids: set(ids) <= GATES),  # below: every limit but what says how gates are judged
            doc('a table of IDs by gate, max-miou-drop = "REQ-1"'),
        ],
    },
    total=False,
)
_CONFIG: Final = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
Limits.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
KNOWN: Final = tuple(Limits.__annotations__)
GATES: Final = frozenset(KNOWN) - {"max-unseen", "built-only", "requirements"}


def limit_faults(values: Mapping[str, object]) -> list[str]:
    """What is wrong with limits by their names in a file: every unknown name, every value with what was expected."""
    from pydantic import ValidationError

    try:
        _reader().validate_python(values)
    except ValidationError as error:
        found = {str(fault["loc"][0]): fault["input"] for fault in error.errors()}
        return [_fault(name, value) for name, value in found.items()]
    return []


@functools.cache
def _reader() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Limits)


def _fault(name: str, value: object) -> str:
    if name not in KNOWN:
        nearest = difflib.get_close_matches(name, KNOWN, n=1)
        return f"{name}: no such gate" + (f". Did you mean {nearest[0]}?" if nearest else "")
    metadata = get_type_hints(Limits, include_extras=True)[name].__metadata__
    expected = next(entry.documentation for entry in metadata if hasattr(entry, "documentation"))
    return f"{name}: expected {expected}, got {value!r}"
