"""Which images belong together: by a pattern in their names, their folder, the time that they were taken."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from hardedge.errors import BadInput


class Together:
    """Joins places 0..count-1 into groups (disjoint sets)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def join(self, first: int, second: int) -> None:
        one, other = sorted((self._root(first), self._root(second)))
        self._parents[other] = one

    def join_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Joins the places of equal keys; None belongs to nothing."""
        seen: dict[Hashable, int] = {}
        for place, key in enumerate(keys):
            if key is not None:
                self.join(seen.setdefault(key, place), place)

    def groups(self) -> list[int]:
        """The group of each place, named by its first member."""
        return [self._root(place) for place in range(len(self._parents))]

    def _root(self, place: int) -> int:
        while self._parents[place] != place:
            self._parents[place] = self._parents[self._parents[place]]
            place = self._parents[place]
        return place


def group_keys(rule: str, names: Sequence[str], times: Sequence[datetime | None]) -> list[Hashable | None]:
    """The group of each image by one --group-by: `folder`, `time:SECONDS`, or a regular expression found in its name.

    Of an expression with groups, their text is the key, else the whole match. Raises BadInput for what is none, and
    for an expression or a time that no image has.
    """
    if rule == "folder":
        return [str(PurePosixPath(name).parent) for name in names]
    keys = _by_time(rule, times) if rule.startswith("time:") else _by_pattern(rule, names)
    if not any(key is not None for key in keys):
        what = "no image has an EXIF time" if rule.startswith("time:") else f"it matches no image, such as {names[0]}"
        raise BadInput(f"--group-by {rule}: {what}.")
    return keys


def _by_pattern(rule: str, names: Sequence[str]) -> list[Hashable | None]:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise BadInput(
            f"--group-by {rule}: not a regular expression ({error}). Give one, or folder, or time:60."
        ) from None
    matches = (pattern.search(name) for name in names)
    return [(match.groups() or match.group()) if match else None for match in matches]


def _by_time(rule: str, times: Sequence[datetime | None]) -> list[Hashable | None]:
    """A number for each run of images of which none is further from the one before than so many seconds."""
    try:
        seconds = float(rule.removeprefix("time:").removesuffix("s"))
    except ValueError:
        raise BadInput(f"--group-by {rule}: expected a number of seconds, such as time:60.") from None
    known = sorted((time, place) for place, time in enumerate(times) if time is not None)
    keys: list[Hashable | None] = [None] * len(times)
    number = 0
    for index, (time, place) in enumerate(known):
        number += index > 0 and (time - known[index - 1][0]).total_seconds() > seconds
        keys[place] = number
    return keys
