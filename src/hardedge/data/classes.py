"""classes.json: the classes of a native data set, and what its mask values mean; one sentence for each mistake."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hardedge.contracts import ClassInfo, Task
from hardedge.data.decoding import Pixels
from hardedge.data.labels import UNKNOWN
from hardedge.data.layouts import public_data_sets
from hardedge.errors import BadInput, faults_error

FILE: Final = "classes.json"
EXAMPLE: Final = '{"ignore_index": 255, "classes": [{"name": "road", "color": [128, 64, 128]}, ...]}'
FIX: Final = f"Correct it; the form is {EXAMPLE} (docs/data.md)."
MOST: Final = 255


@dataclass(frozen=True)
class Classes:
    """The task, and the class index of each mask value (UNKNOWN for others); None where masks hold class indices."""

    task: Task
    table: Pixels | None


def read_classes(root: Path) -> Classes:
    """Reads classes.json, other keys in it left alone; raises BadInput with every mistake."""
    path = root / FILE
    if not path.is_file():
        raise BadInput(
            f"{root} has no {FILE}. Write one: {EXAMPLE}\n"
            f"Nor is it a public data set, which would be known as {public_data_sets(root)}"
        )
    raw = _json(path)
    faults: list[str] = []
    classes = _classes(raw["classes"], faults)
    ignore_index = _ignore_index(raw.get("ignore_index", 255), classes, faults)
    table = _table(raw["values"], len(classes), ignore_index, faults) if "values" in raw else None
    if faults:
        raise faults_error(f"{path} cannot be used", faults, FIX)
    return Classes(Task(classes=tuple(classes), ignore_index=ignore_index), table)


def _json(path: Path) -> dict[str, object]:
    try:
        raw = json.loads(path.read_bytes().decode("utf-8-sig"))  # a byte order mark says nothing here
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}, line {error.lineno}: not JSON ({error.msg}). {FIX}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read ({error}). {FIX}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("classes"), list):
        raise BadInput(f"{path}: no list `classes` in it. {FIX}")
    return raw


def _classes(entries: object, faults: list[str]) -> list[ClassInfo]:
    assert isinstance(entries, list), "seen by _json"
    found = [_class(index, entry, faults) for index, entry in enumerate(entries)]
    if len(entries) < 2:
        what = f"1 class ({found[0].name})" if entries else "no class"
        faults.append(f"{what}, but a mask needs 2 or more: name the rest too, for example background")
    if len(entries) > MOST:
        faults.append(f"{len(entries)} classes, but an 8-bit mask holds {MOST} and the ignore index. Merge some")
    places = defaultdict(list)
    for index, info in enumerate(found):
        places[info.name].append(str(index))
    faults += [f"classes {', '.join(same)} are all named {name}" for name, same in places.items() if len(same) > 1]
    return found


def _class(index: int, entry: object, faults: list[str]) -> ClassInfo:
    nothing = ClassInfo(name=f"classes[{index}]", color=(0, 0, 0))
    if not isinstance(entry, dict):
        faults.append(f"classes[{index}] is {_found(entry)}, expected an object with a name and a color")
        return nothing
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        faults.append(f"classes[{index}].name is {_found(name)}, expected printable text")
        return nothing
    return ClassInfo(name=name, color=_color(f"classes[{index}].color", entry.get("color"), faults))


def _color(key: str, value: object, faults: list[str]) -> tuple[int, int, int]:
    if isinstance(value, str) and len(digits := value.removeprefix("#")) == 6 and _is_hex(digits):
        red, green, blue = bytes.fromhex(digits)
        faults.append(f'{key} is "{value}", a hex colour. Write it as [{red}, {green}, {blue}]')
    elif not isinstance(value, list) or len(value) != 3:
        faults.append(f"{key} is {_found(value)}, expected three numbers of 0 to 255")
    elif wrong := [each for each in value if _byte(each) is None]:
        faults.append(f"{key} has {_found(wrong[0])}, expected whole numbers of 0 to 255")
    else:
        return value[0], value[1], value[2]
    return 0, 0, 0


def _ignore_index(value: object, classes: list[ClassInfo], faults: list[str]) -> int:
    index = _byte(value)
    if index is None:
        faults.append(f"ignore_index is {_found(value)}, expected a whole number of 0 to 255; 255 is usual")
        return MOST
    if index < len(classes) <= MOST:
        faults.append(
            f"ignore_index {index} is the index of class {classes[index].name}. Use 255; where masks have 1 to "
            f'{len(classes)} for the classes and {index} for the rest, add "values": {{"{index}": 255, "1": 0, ...}}'
        )
    return index


def _table(values: object, classes: int, ignore_index: int, faults: list[str]) -> Pixels:
    table = np.full(256, UNKNOWN, np.uint8)
    if not isinstance(values, dict) or not values:
        faults.append(f'values is {_found(values)}, expected what mask values mean: {{"0": 255, "1": 0, ...}}')
        return table
    for key, meant in values.items():
        value, index = _byte(int(key) if key.isascii() and key.isdigit() else key), _byte(meant)
        if value is None:
            faults.append(f'values has the key "{key}", expected a mask value of 0 to 255')
        elif index is None or (index >= classes and index != ignore_index):
            faults.append(
                f'values["{key}"] is {_found(meant)}, expected a class index of 0 to {classes - 1} or the ignore index '
                f"{ignore_index}"
            )
        else:
            table[value] = index
    return table


def table_as_values(table: Pixels) -> dict[str, int]:
    """What a table says, in the form that classes.json has it."""
    return {str(value): int(index) for value, index in enumerate(table) if index != UNKNOWN}


def _byte(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else None


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _found(value: object) -> str:
    """A value as JSON, cut where it is long."""
    if value is None:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
